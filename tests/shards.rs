//! Shards of a cohort, put below one another, are the cohort.

use hg_tests::{few_patients, hg, repository, train};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;

/// A run on pbc with few iterations, with a resampler or without.
struct Trained {
    _folder: tempfile::TempDir,
    run: PathBuf,
}

static WITH_RESAMPLER: LazyLock<Trained> = LazyLock::new(|| trained(true));
static WITHOUT: LazyLock<Trained> = LazyLock::new(|| trained(false));

fn trained(resampling: bool) -> Trained {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let setting = format!("model.resampling={resampling}");
    let (data, schema) = (folder.path().join("few.csv"), repository("data-schemas/pbc.toml"));
    std::fs::write(&data, few_patients(80)).expect("writes");
    let how = ["--iterations", "30", "--batch-size", "8", "--set", &setting];
    done(&train([&data, &schema, &run], &how));
    let resampler = std::fs::read_to_string(run.join("resampler.json"));
    let chooses = resampler.is_ok_and(|json| !json.contains("\"resampler\":null"));
    assert_eq!(chooses, resampling, "what the test is about");
    Trained { _folder: folder, run }
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `hg generate RUN … --out`.
fn generate(run: &Path, out: &Path, more: &[&str]) -> Output {
    let (run, out) = (run.display().to_string(), out.display().to_string());
    hg(&[&["generate", &run, "--out", &out], more].concat())
}

/// The header and the rest of a CSV.
fn parts(path: &Path) -> (String, String) {
    let text = std::fs::read_to_string(path).expect("reads");
    let (header, rows) = text.split_once('\n').expect("a header");
    (header.to_owned(), rows.to_owned())
}

/// Asserts that shards of a CSV put below one another are the whole one.
fn assert_concatenates(run: &Path, of: usize, how: &[&str]) {
    // Tests share a run, and run beside one another.
    let folder = tempfile::tempdir().expect("a folder");
    let out = |name: &str| folder.path().join(name);
    done(&generate(run, &out("whole.csv"), how));
    let (header, whole) = parts(&out("whole.csv"));
    let mut together = String::new();
    for number in 1..=of {
        let (part, shard) = (out("part.csv"), format!("{number}/{of}"));
        done(&generate(run, &part, &[how, &["--shard", &shard]].concat()));
        let (own_header, rows) = parts(&part);
        assert_eq!(own_header, header, "{shard} of {how:?}");
        assert!(!rows.is_empty(), "{shard} of {how:?}");
        together += &rows;
    }
    assert!(together == whole, "{of} shards of {how:?} are not the whole");
}

#[test]
fn one_to_seven_shards_are_the_whole_cohort_where_patients_are_chosen() {
    // Parts of 41 places have noise of their own: within one, over several, at an edge.
    for (of, patients) in
        [(1, "7"), (7, "7"), (2, "41"), (3, "83"), (4, "123"), (5, "101"), (6, "85")]
    {
        assert_concatenates(&WITH_RESAMPLER.run, of, &["--patients", patients, "--seed", "5"]);
    }
}

#[test]
fn one_to_seven_shards_are_the_whole_cohort_where_all_are_taken() {
    // 256 sequences are made together.
    for (of, patients) in
        [(1, "9"), (7, "7"), (2, "517"), (3, "83"), (4, "515"), (5, "101"), (6, "301")]
    {
        assert_concatenates(&WITHOUT.run, of, &["--patients", patients, "--seed", "6"]);
    }
}

#[test]
fn shards_of_a_cohort_with_conditions_are_the_whole_one() {
    let run = &WITHOUT.run;
    assert_concatenates(run, 3, &["--patients", "31", "--given", "sex=f"]);
    // 410 places are filled together.
    assert_concatenates(run, 4, &["--patients", "1301", "--share", "sex=m:0.3"]);
    let both = ["--patients", "25", "--given", "age>=40", "--share", "sex=m:0.4"];
    assert_concatenates(&WITH_RESAMPLER.run, 2, &both);

    let sexes = ["f", "m", "f"].map(|sex| format!("{sex}\n")).concat().repeat(11);
    let table = run.with_file_name("like.csv");
    std::fs::write(&table, format!("sex\n{sexes}")).expect("writes");
    assert_concatenates(run, 5, &["--like", &table.display().to_string()]);
}

#[test]
fn what_is_no_shard_is_refused() {
    let run = &WITHOUT.run;
    let out = run.with_file_name("refused.csv");
    for (shard, says) in [
        ("0/3", "`0/3` is no share of the work\nhint: "),
        ("4/3", "`4/3` is no share of the work\nhint: "),
        ("x", "`x` is no share of the work\nhint: "),
        ("1/6", "`patients` is 5, and shard 1/6 asks for more shards than that\nhint: "),
    ] {
        let output = generate(run, &out, &["--patients", "5", "--shard", shard]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(says), "{said}");
        assert!(!out.exists());
    }
}

#[test]
fn a_shard_costs_its_share_of_the_work() {
    let time = |more: &[&str]| {
        let began = std::time::Instant::now();
        let out = WITH_RESAMPLER.run.with_file_name("timed.csv");
        done(&generate(&WITH_RESAMPLER.run, &out, &[&["--patients", "2400"], more].concat()));
        began.elapsed().as_secs_f64()
    };
    let least = time(&["--shard", "1/600"]);
    let whole = time(&[]);
    // A loaded machine may be slow at times: the best of three, and half is far from an eighth, and from all.
    let part =
        [(); 3].map(|()| time(&["--shard", "5/8"])).into_iter().fold(f64::INFINITY, f64::min);
    assert!(part - least < (whole - least) / 2., "{part} of {whole}, {least} for nothing");
}

#[test]
fn shards_of_several_tables_are_each_a_complete_set() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let (data, schema) = (repository("data/icu-nutrition"), path("schema.toml"));
    let run = path("run");
    let text = |path: &Path| path.display().to_string();
    done(&hg(&["schema", "infer", &text(&data), "--out", &text(&schema)]));
    let how = ["--iterations", "2", "--batch-size", "8", "--set", "model.hidden=16"];
    done(&train([&data, &schema, &run], &how));

    done(&generate(&run, &path("whole"), &["--patients", "51"]));
    let shard = |number: usize| path(&format!("part{number}"));
    for number in 1..=3 {
        let of = format!("{number}/3");
        done(&generate(&run, &shard(number), &["--patients", "51", "--shard", &of]));
    }
    let tables = std::fs::read_dir(path("whole")).expect("reads");
    let names: Vec<_> = tables.map(|entry| entry.expect("reads").file_name()).collect();
    assert_eq!(names.len(), 2);
    for name in names {
        let (header, whole) = parts(&path("whole").join(&name));
        let shards = (1..=3).map(|number| parts(&shard(number).join(&name)));
        let (headers, rows): (Vec<_>, Vec<_>) = shards.unzip();
        assert!(headers.iter().all(|own| *own == header), "{name:?}");
        assert!(rows.concat() == whole, "{name:?}");
    }
}
