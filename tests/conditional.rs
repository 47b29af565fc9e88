//! Patients as they are asked for: exactly, and honest where the model has none.

use hg_tests::{hg, program, repository, train};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

/// A run on pbc whose generator has learnt little: its columns alone are right.
static RUN: LazyLock<(tempfile::TempDir, PathBuf)> =
    LazyLock::new(|| trained(&["--iterations", "2", "--batch-size", "8"]));

fn trained(more: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let (data, schema) = (repository("data/pbc/pbcseq.csv"), repository("data-schemas/pbc.toml"));
    let output = train([&data, &schema, &run], more);
    assert!(output.status.success(), "{}", stderr(&output));
    (folder, run)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `hg generate RUN … --out`, and the file.
fn generate(run: &Path, out: &str, more: &[&str]) -> (Output, PathBuf) {
    let out = run.with_file_name(out);
    let (run, path) = (run.display().to_string(), out.display().to_string());
    (hg(&[&["generate", &run, "--out", &path], more].concat()), out)
}

/// A cohort that `hg generate` makes: its patients in order, each a list of rows by column.
type Patients = Vec<Vec<BTreeMap<String, String>>>;

fn made(run: &Path, out: &str, more: &[&str]) -> Patients {
    let (output, out) = generate(run, out, more);
    assert!(output.status.success(), "{}", stderr(&output));
    patients(&std::fs::read_to_string(out).expect("reads"))
}

fn patients(table: &str) -> Patients {
    let mut lines = table.lines().map(|line| line.split(',').map(str::to_owned));
    let header: Vec<String> = lines.next().expect("a header").collect();
    let mut patients: Patients = Vec::new();
    for line in lines {
        let row: BTreeMap<String, String> = header.iter().cloned().zip(line).collect();
        match patients.last_mut() {
            Some(patient) if patient[0]["id"] == row["id"] => patient.push(row),
            _ => patients.push(vec![row]),
        }
    }
    patients
}

fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column].parse().expect("a number")
}

/// The statics of the first real patients, as a CSV of these columns.
fn real_statics(columns: &[&str], count: usize) -> String {
    let table = std::fs::read_to_string(repository("data/pbc/pbcseq.csv")).expect("reads");
    let statics = patients(&table).into_iter().take(count);
    let line = |patient: Vec<BTreeMap<String, String>>| {
        columns.iter().map(|name| patient[0][*name].clone()).collect::<Vec<_>>().join(",")
    };
    let lines: Vec<String> = statics.map(line).collect();
    format!("{}\n{}\n", columns.join(","), lines.join("\n"))
}

fn write(run: &Path, name: &str, text: &str) -> String {
    let path = run.with_file_name(name);
    std::fs::write(&path, text).expect("writes");
    path.display().to_string()
}

/// Whether each patient has the statics of a row of the table, and rules hold.
fn assert_like(found: &Patients, table: &str) {
    let mut lines = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().expect("a header");
    let wanted: Vec<Vec<&str>> = lines.collect();
    assert_eq!(found.len(), wanted.len());
    for (n, (patient, wanted)) in found.iter().zip(&wanted).enumerate() {
        assert_eq!(patient[0]["id"], (n + 1).to_string(), "in the order of the rows");
        for row in patient {
            for (column, cell) in header.iter().zip(wanted).filter(|(_, cell)| !cell.is_empty()) {
                let is_same = row[*column] == *cell
                    || cell.parse::<f64>().is_ok_and(|wanted| number(row, column) == wanted);
                assert!(is_same, "patient {}: {column} is {}, not {cell}", n + 1, row[*column]);
            }
            assert!(number(row, "day") <= number(row, "futime"), "{row:?}");
        }
    }
    let courses: std::collections::BTreeSet<String> =
        found.iter().map(|rows| format!("{:?}", rows.iter().map(|row| &row["bili"]))).collect();
    assert!(courses.len() > found.len() * 9 / 10, "no course is taken twice");
}

#[test]
fn every_patient_has_the_statics_of_their_row() {
    let run = &RUN.1;
    for (name, columns, count) in [
        ("some.csv", vec!["sex", "status", "age"], 60),
        // The follow-up may not end before the last visit.
        ("follow-up.csv", vec!["futime", "trt"], 60),
        ("all.csv", vec!["age", "sex", "trt", "status", "futime"], 8),
    ] {
        let table = real_statics(&columns, count);
        let like = write(run, name, &table);
        let out = format!("of-{name}");
        let found = made(run, &out, &["--like", &like]);
        assert_like(&found, &table);
    }
}

#[test]
fn a_seed_gives_the_same_bytes_and_another_one_others() {
    let run = &RUN.1;
    let like = write(run, "seeds.csv", &real_statics(&["sex", "age"], 20));
    let text = |out: &str, seed: &str| {
        made(run, out, &["--like", &like, "--seed", seed]);
        std::fs::read(run.with_file_name(out)).expect("reads")
    };
    let first = text("first.csv", "3");
    assert!(first == text("again.csv", "3") && first != text("other.csv", "4"));
}

#[test]
fn an_empty_cell_stands_for_any_value_and_equal_rows_for_several_patients() {
    let run = &RUN.1;
    let rows = ["f,,2", ",50.25,", ",,", "m,60,0"];
    let table = format!("sex,age,status\n{}\n", rows.map(|row| [row; 12].join("\n")).join("\n"));
    let like = write(run, "gaps.csv", &table);
    let found = made(run, "of-gaps.csv", &["--like", &like]);
    assert_like(&found, &table);
    let levels = |column: &str, of: std::ops::Range<usize>| {
        let rows = found[of].iter().map(|rows| rows[0][column].clone());
        rows.collect::<std::collections::BTreeSet<_>>().len()
    };
    assert!(levels("age", 0..12) > 6 && levels("status", 24..36) > 1, "any value");
}

#[test]
fn ids_and_the_form_of_the_table_make_no_difference() {
    let run = &RUN.1;
    let table = real_statics(&["id", "sex", "age"], 20);
    let cohort = |name: &str, table: &str| {
        let like = write(run, name, table);
        made(run, "of-form.csv", &["--like", &like])
    };
    let first = cohort("ids.csv", &table);
    let without: Vec<&str> =
        table.lines().filter_map(|line| Some(line.split_once(',')?.1)).collect();
    assert!(first == cohort("no-ids.csv", &without.join("\n")));
    // A number written longer is the same number.
    assert!(first == cohort("tsv.tsv", &table.replace(',', "\t")));
}

#[test]
fn rows_that_nobody_can_have_are_named() {
    let run = &RUN.1;
    let (oldest, age) = ("78.43942505133471", "50");
    for (table, said) in [
        ("sex\n", "has no rows\nhint: "),
        ("id\n1\n", "asks for nothing, it has no static column\nhint: "),
        ("sexx\nf\n", "TABLE, column `sexx`: there is no column `sexx`\nhint: static columns are "),
        ("bili\n1\n", "column `bili`: `bili` changes over a patient's steps\nhint: static columns"),
        ("day\n1\n", "column `day`: there is no column `day`\nhint: static columns are "),
        (
            "sex,age\nf,50\nx,50\n",
            "TABLE, row 2, column `sex`: `x` is not among the levels f, m\nhint: correct it, or leave the cell empty for any",
        ),
        (
            "sex,age\nf,old\n",
            "TABLE, row 1, column `age`: `old` is not a number\nhint: correct it, or leave the cell empty for any",
        ),
        ("age\n50\n90\n", "TABLE, row 2, column `age`: `90` lies outside of 26.2"),
        (
            "futime\n400.5\n",
            "TABLE, row 1, column `futime`: `400.5` is no number of this column, whose nearest is 401",
        ),
    ] {
        let like = write(run, "bad.csv", table);
        let (output, out) = generate(run, "none.csv", &["--like", &like]);
        let (stderr, said) = (stderr(&output), said.replace("TABLE", &like));
        assert!(stderr.contains(&said) && stderr.contains("\nhint: "), "{said}\n{stderr}");
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(!out.exists());
    }
    // Every row alone is possible.
    let rare: String = (0..40).map(|_| format!("{oldest},m,1,1\n")).collect();
    let like = write(run, "rare.csv", &format!("age,sex,status,trt\n{age},f,0,1\n{rare}"));
    let (output, out) = generate(run, "none.csv", &["--like", &like]);
    let stderr = stderr(&output);
    assert!(stderr.contains(" synthetic patients ") && stderr.contains(" meet rows "), "{stderr}");
    assert!(stderr.contains(" more of `") && stderr.contains("\nhint: "), "{stderr}");
    assert_eq!((output.status.code(), out.exists()), (Some(2), false));
}

#[test]
fn so_many_patients_meet_each_condition_as_its_share_says() {
    let run = &RUN.1;
    let count = |found: &Patients, meets: &dyn Fn(&BTreeMap<String, String>) -> bool| {
        found.iter().filter(|rows| meets(&rows[0])).count()
    };
    let male = |row: &BTreeMap<String, String>| row["sex"] == "m";
    let old = |row: &BTreeMap<String, String>| number(row, "age") >= 60.;
    let shares = ["--share", "sex=m:0.5", "--share", "age>=60:0.3"];
    let found = made(run, "s.csv", &[&["--patients", "101"][..], &shares].concat());
    assert_eq!((found.len(), count(&found, &male), count(&found, &old)), (101, 51, 30));
    let first = count(&found[..50].to_vec(), &male);
    assert!((10..40).contains(&first), "{first} of the first 50: kinds are mixed");

    // With a condition that all meet.
    let given = ["--patients", "40", "--given", "trt=1", "--share", "status=0:0.25"];
    let found = made(run, "g.csv", &[&given[..], &["--share", "status=1:0.5"]].concat());
    assert_eq!(count(&found, &|row| row["trt"] == "1"), 40);
    for (status, patients) in [("0", 10), ("1", 20), ("2", 10)] {
        assert_eq!(count(&found, &|row| row["status"] == status), patients);
    }
    let found = made(run, "n.csv", &["--patients", "30", "--share", "sex=m:0"]);
    assert_eq!(count(&found, &male), 0);
}

#[test]
fn shares_that_cannot_be_had_are_refused() {
    let run = &RUN.1;
    for (shares, said) in [
        (vec!["sex=m"], "condition `sex=m`: it has no share\nhint: "),
        (vec!["sex=m:1.2"], "condition `sex=m:1.2`: `1.2` is no share\nhint: "),
        (vec!["sex=m:half"], "condition `sex=m:half`: `half` is no share\nhint: "),
        (vec!["sex=x:0.5"], "condition `sex=x`: `sex` has no level `x`\nhint: "),
        (vec!["sex=m:0.5", "sex=m:0.4"], "`sex=m` has a share already\nhint: "),
        (vec!["sex=m:0.5", "sex=f:0.7"], "no 10 patients have these shares"),
        (vec!["age>=90:0.5"], "of 20000 synthetic patients 0 meet `age>=90`\nhint: "),
        (vec!["age>=20:0.5"], "of 20000 synthetic patients 0 meet not `age>=20`\nhint: "),
    ] {
        let shares: Vec<&str> = shares.iter().flat_map(|share| ["--share", share]).collect();
        let arguments = [&["--patients", "10"][..], &shares].concat();
        let (output, out) = generate(run, "none.csv", &arguments);
        let stderr = stderr(&output);
        assert!(stderr.contains(said) && stderr.contains("\nhint: "), "{said}\n{stderr}");
        assert_eq!((output.status.code(), out.exists()), (Some(2), false), "{stderr}");
    }
    for more in [&["--patients", "3"][..], &["--given", "sex=f"], &["--share", "sex=f:1"]] {
        let like = write(run, "like.csv", "sex\nf\n");
        let (output, _) = generate(run, "none.csv", &[&["--like", &like][..], more].concat());
        assert!(stderr(&output).contains("cannot be used with"), "{}", stderr(&output));
    }
}

#[test]
fn what_is_asked_holds_after_the_choice_too_on_any_number_of_threads() {
    let small = ["--set", "model.hidden=32", "--set", "validation.every=0"];
    let size = ["--iterations", "400", "--batch-size", "16"];
    let (_folder, run) = trained(&[&small[..], &size].concat());
    let resampler = std::fs::read_to_string(run.join("resampler.json")).expect("reads");
    assert!(resampler.contains("\"rounds\""), "some patients are chosen");

    let table = real_statics(&["age", "sex", "status"], 40);
    let like = write(&run, "like.csv", &table);
    let on = |threads: &str, out: &str, more: &[&str]| {
        let out = run.with_file_name(out);
        let mut command = Command::new(program());
        command.env("RAYON_NUM_THREADS", threads).args(["generate".as_ref(), run.as_os_str()]);
        let output = command.args(["--out".as_ref(), out.as_os_str()]).args(more).output();
        let output = output.expect("hg runs");
        assert!(output.status.success(), "{}", stderr(&output));
        std::fs::read_to_string(out).expect("reads")
    };
    let shares = ["--patients", "60", "--share", "sex=m:0.5", "--share", "age>=60:0.3"];
    for more in [&["--like", like.as_str()][..], &shares] {
        assert!(on("1", "one.csv", more) == on("3", "three.csv", more), "{more:?}");
    }
    assert_like(&patients(&on("2", "like-2.csv", &["--like", &like])), &table);
    let found = patients(&on("2", "shares.csv", &shares));
    let males = found.iter().filter(|rows| rows[0]["sex"] == "m").count();
    let old = found.iter().filter(|rows| number(&rows[0], "age") >= 60.).count();
    assert_eq!((found.len(), males, old), (60, 30, 18));
}
