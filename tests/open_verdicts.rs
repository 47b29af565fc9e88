//! A verdict is given on what was compared, and is open, with the reason, where nothing was; a
//! table that has moved, or is somebody else's, can be evaluated.

use hg_tests::{hg, repository};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;

const HEADER: &str = "id,day,x,y,sex";

const SCHEMA: &str = r#"name = "small"
[patient]
column = "id"
[time]
column = "day"
step = 1.0
[[columns]]
name = "x"
kind = "numeric"
[[columns]]
name = "y"
kind = "numeric"
[[columns]]
name = "sex"
kind = "binary"
levels = ["f", "m"]
static = true
"#;

/// Patients of so many days, whose numbers follow one another.
fn table(patients: usize, days: usize) -> String {
    let row = |patient: usize, day: usize| {
        let x = 50. + 10. * ((patient * 7 + day) as f64).sin();
        let y = 20. + 5. * ((patient * 3 + 2 * day) as f64).cos();
        format!("{patient},{day},{x:.1},{y:.1},{}\n", ["f", "m"][patient / 2 % 2])
    };
    let rows = (0..patients).flat_map(|patient| (0..days).map(move |day| row(patient, day)));
    format!("{HEADER}\n{}", rows.collect::<String>())
}

/// A folder with files.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        for (name, text) in files {
            std::fs::write(folder.path(name), text).expect("writes");
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn evaluate(real: &Path, synthetic: &Path, schema: &Path) -> Value {
    let [real, synthetic, schema] =
        [real, synthetic, schema].map(|path| path.display().to_string());
    let tables = ["--real", &real, "--synthetic", &synthetic, "--schema", &schema];
    let said = done(&hg(&[&["--json", "evaluate"][..], &tables].concat()));
    serde_json::from_str(&said).expect("JSON")
}

fn evaluate_texts(real: &str, synthetic: &str, schema: &str) -> Value {
    let files = [("real.csv", real), ("synthetic.csv", synthetic), ("schema.toml", schema)];
    let folder = Folder::new(&files);
    let [real, synthetic, schema] = files.map(|(name, _)| folder.path(name));
    evaluate(&real, &synthetic, &schema)
}

/// (about, whether it is passed, why) of each answer.
fn answers(evaluation: &Value) -> Vec<(String, Option<bool>, String)> {
    let text = |answer: &Value, key: &str| answer[key].as_str().expect("a text").to_owned();
    let answers = evaluation["answers"].as_array().expect("answers").iter();
    answers.map(|a| (text(a, "about"), a["passed"].as_bool(), text(a, "because"))).collect()
}

fn answer(evaluation: &Value, about: &str) -> (Option<bool>, String) {
    let found = answers(evaluation).into_iter().find(|(name, ..)| name == about);
    found.map(|(_, passed, because)| (passed, because)).expect("an answer")
}

#[test]
fn of_few_patients_nothing_is_passed_but_what_every_value_shows() {
    let many = table(40, 6);
    let (one, two, three) = (table(1, 30), table(2, 30), table(3, 30));
    for (what, real, synthetic) in [
        ("one patient", &one, &one),
        ("two patients", &two, &two),
        ("three patients", &three, &three),
        ("a synthetic one", &many, &one),
        ("a real one", &one, &many),
    ] {
        for (about, passed, because) in answers(&evaluate_texts(real, synthetic, SCHEMA)) {
            if passed == Some(true) {
                assert_eq!(about, "domain", "{what}: {because}");
            }
            assert!(!because.contains('\u{2212}'), "{what}, {about}: {because}");
            assert!(!because.contains("(0.0 % of held-out"), "{what}, {about}: {because}");
            if passed.is_none() && ["columns", "time", "told apart"].contains(&about.as_str()) {
                assert!(because.contains("it takes"), "{what}, {about}: {because}");
            }
        }
    }
}

#[test]
fn one_visit_each_says_nothing_of_time() {
    let table = repository("tests/cases/20-small/one-visit.csv");
    let folder = Folder::new(&[]);
    let schema = folder.name("schema.toml");
    done(&hg(&["schema", "infer", &table.display().to_string(), "--out", &schema]));
    let evaluation = evaluate(&table, &table, Path::new(&schema));
    for about in ["time", "pairs in time", "predictions", "membership"] {
        let (passed, because) = answer(&evaluation, about);
        assert_eq!(passed, None, "{about}: {because}");
        assert!(!because.contains("0.000"), "{about}: {because}");
    }
    assert_eq!(answer(&evaluation, "columns").0, Some(true));
    let (_, copies) = answer(&evaluation, "copies");
    assert!(copies.contains("nobody was held out"), "{copies}");
}

#[test]
fn columns_that_do_not_vary_are_not_said_to_go_together() {
    let only = |columns: &str| {
        let head = SCHEMA.split("[[columns]]").next().expect("a head");
        format!("{head}{columns}")
    };
    let number = "[[columns]]\nname = \"x\"\nkind = \"numeric\"\n";
    let levels = "[[columns]]\nname = \"sex\"\nkind = \"binary\"\nlevels = [\"f\", \"m\"]\n";
    let varied = table(40, 6);
    let constant: String = std::iter::once(HEADER.to_owned())
        .chain((0..240).map(|n| format!("{},{},7,7,f", n / 6, n % 6)))
        .collect::<Vec<_>>()
        .join("\n");
    let statics = SCHEMA.replace("\"numeric\"", "\"numeric\"\nstatic = true");
    let static_table: String = std::iter::once(HEADER.to_owned())
        .chain((0..240).map(|n| {
            let patient = n / 6;
            format!(
                "{patient},{},{},{},{}",
                n % 6,
                patient % 9,
                patient % 7,
                ["f", "m"][patient % 2]
            )
        }))
        .collect::<Vec<_>>()
        .join("\n");
    for (what, table, schema, open) in [
        ("one number", &varied, only(number), &["pairs", "pairs in time", "identified"][..]),
        ("levels alone", &varied, only(levels), &["pairs", "pairs in time", "identified"]),
        ("constants", &constant, SCHEMA.into(), &["pairs", "time", "pairs in time", "predictions"]),
        (
            "statics",
            &static_table,
            statics,
            &["time", "pairs in time", "predictions", "identified"],
        ),
    ] {
        let evaluation = evaluate_texts(table, table, &schema);
        for about in open {
            let (passed, because) = answer(&evaluation, about);
            assert_eq!(passed, None, "{what}, {about}: {because}");
        }
        let (passed, because) = answer(&evaluation, "columns");
        assert_eq!(passed, Some(true), "{what}: {because}");
    }
}

#[test]
fn a_column_without_values_is_shown_as_none_and_far_from_one_with_values() {
    let real = table(40, 6);
    let without_x = |line: &str| {
        let mut cells: Vec<&str> = line.split(',').collect();
        if cells[0] != "id" {
            cells[2] = "";
        }
        cells.join(",")
    };
    let synthetic = real.lines().map(without_x).collect::<Vec<_>>().join("\n");
    let files = [("r.csv", real.as_str()), ("s.csv", &synthetic), ("t.toml", SCHEMA)];
    let folder = Folder::new(&files);
    let [real, synthetic, schema] = files.map(|(name, _)| folder.name(name));
    let out = folder.name("report");
    let tables = ["--real", &real, "--synthetic", &synthetic, "--schema", &schema, "--out", &out];
    let shown = done(&hg(&[&["evaluate"][..], &tables].concat()));
    let read = |file: &str| std::fs::read_to_string(Path::new(&out).join(file)).expect("reads");
    let (html, markdown) = (read("report.html"), read("report.md"));
    for page in [&shown, &html, &markdown] {
        assert!(!page.contains("0.00 ± 0.00") && page.contains('–'), "{page}");
    }
    let numbers: Value = serde_json::from_str(&read("comparison.json")).expect("JSON");
    let x = &numbers["columns"][0];
    assert_eq!((x["distance"].as_f64(), x["synthetic_mean"].as_f64()), (Some(1.), None), "{x}");
}

#[test]
fn a_model_that_is_worse_than_the_mean_is_said_to_be_so() {
    let real = table(40, 12);
    // Numbers that jump from end to end.
    let jumps: String = std::iter::once(HEADER.to_owned())
        .chain((0..480).map(|n| {
            let (patient, day) = (n / 12, n % 12);
            let x = if (day + patient) % 2 == 0 { 40.1 } else { 59.9 };
            format!("{patient},{day},{x},{},{}", x / 2.9, ["f", "m"][patient % 2])
        }))
        .collect::<Vec<_>>()
        .join("\n");
    let (passed, because) = answer(&evaluate_texts(&real, &jumps, SCHEMA), "predictions");
    assert_eq!(passed, Some(false), "{because}");
    assert!(because.starts_with("none (it is worse than the mean)"), "{because}");
}

#[test]
fn values_that_are_impossible_are_counted_and_the_cohort_is_measured() {
    let [real, synthetic, schema] = [
        "data/pbc/pbcseq.csv",
        "tests/cases/33-out-of-domain/pbc-with-negative-bilirubin.csv",
        "data-schemas/pbc.toml",
    ]
    .map(repository);
    let evaluation = evaluate(&real, &synthetic, &schema);
    let (passed, because) = answer(&evaluation, "domain");
    assert_eq!(passed, Some(false), "{because}");
    assert!(because.contains("`bili` has 12 cells") && because.contains("-0.3"), "{because}");
    assert_eq!(evaluation["out_of_domain"][0]["column"], "bili");
    assert_eq!(answer(&evaluate(&real, &real, &schema), "domain").0, Some(true));
}

fn train(folder: &Folder, data: &str, more: &[&str]) -> Output {
    let (data, schema, out) = (folder.name(data), folder.name("schema.toml"), folder.name("run"));
    let arguments = ["train", "--data", &data, "--schema", &schema, "--out", &out];
    let short = ["--iterations", "1", "--batch-size", "4", "--set", "model.hidden=8"];
    hg(&[&arguments[..], &short, more].concat())
}

fn refused(output: &Output, says: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    for part in says {
        assert!(message.contains(part), "no «{part}» in: {message}");
    }
}

#[test]
fn held_out_names_the_side_that_it_leaves_empty_and_makes_no_run() {
    let folder = Folder::new(&[("three.csv", &table(3, 5)), ("schema.toml", SCHEMA)]);
    for (share, says) in [
        ("0.001", "held_out = 0.001 with seed 0 holds none of 3 patients out\nhint: raise it"),
        ("0.999", "held_out = 0.999 with seed 0 holds all of 3 patients out"),
    ] {
        let output = train(&folder, "three.csv", &["--held-out", share]);
        refused(&output, &["three.csv: ", says, "--seed"]);
        assert!(!folder.path("run").exists(), "half a run is left");
    }
}

#[test]
fn a_run_whose_table_has_moved_is_told_where_it_lies() {
    let folder = Folder::new(&[("table.csv", &table(12, 5)), ("schema.toml", SCHEMA)]);
    done(&train(&folder, "table.csv", &[]));
    let (run, moved, other) = (folder.name("run"), folder.name("moved.csv"), folder.name("b.csv"));
    std::fs::rename(folder.path("table.csv"), &moved).expect("moves");
    std::fs::write(&other, table(13, 5)).expect("writes");
    let manifest = std::fs::read(folder.path("run/run.toml")).expect("reads");
    let like = folder.name("like");
    let commands: [&[&str]; 3] = [
        &["evaluate", &run],
        &["train", "--resume", &run],
        &["train", "--like", &run, "--out", &like],
    ];
    for command in commands {
        let with = |data: &str| hg(&[command, &["--data", data]].concat());
        refused(&hg(command), &["table.csv: ", "No such file", "\nhint: ", "--data"]);
        let differs = "is not the table of the run any more (its SHA-256 differs)";
        refused(&with(&other), &["b.csv: ", differs, "\nhint: "]);
        done(&with(&moved));
    }
    // What was recorded stays; what is new says where its table was.
    assert_eq!(std::fs::read(folder.path("run/run.toml")).expect("reads"), manifest);
    let new = std::fs::read_to_string(folder.path("like/run.toml")).expect("reads");
    assert!(new.contains("moved.csv") && !new.contains("/table.csv"), "{new}");
    // It is the run's table that is given, and nothing else of it.
    let output = hg(&["evaluate", "--data", &moved, "--real", &moved]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_real_identifier_in_a_synthetic_table_is_found_whether_it_is_modelled_or_not() {
    let with_mrn = |from: usize| {
        let real = table(40, 2);
        let mrn = |line: &str| match line.split(',').next() {
            Some("id") => format!("{line},mrn"),
            id => format!("{line},{}", from + id.and_then(|id| id.parse().ok()).unwrap_or(0)),
        };
        real.lines().map(mrn).collect::<Vec<_>>().join("\n")
    };
    let real = with_mrn(880_000);
    for (synthetic, passed, says) in [
        (
            with_mrn(880_037),
            Some(false),
            "column `mrn`: 3 of 40 synthetic patients carry a real one",
        ),
        (with_mrn(990_000), Some(true), "compared: `mrn`"),
        (table(40, 2), None, "synthetic patients are numbered"),
    ] {
        let found = answer(&evaluate_texts(&real, &synthetic, SCHEMA), "identifiers");
        assert_eq!(found.0, passed, "{}", found.1);
        assert!(found.1.contains(says), "{}", found.1);
    }
}
