//! `hg train --epsilon`: what is promised, refused and written down.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;

/// A simulated cohort in a folder of its own.
struct Cohort {
    folder: tempfile::TempDir,
}

impl Cohort {
    fn new(patients: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let table = folder.path().join("hiv.parquet").display().to_string();
        let patients = patients.to_string();
        let made =
            hg_tests::hg(&["simulate", "art-for-hiv", "--patients", &patients, "--out", &table]);
        assert!(made.status.success());
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn train(&self, schema: &Path, out: &str, more: &[&str]) -> Output {
        let (data, out) = (self.path("hiv.parquet"), self.path(out));
        let small = ["--set", "iterations=6", "--checkpoint-every", "4", "--set", "model.hidden=8"];
        let mut arguments: Vec<String> = ["train", "--data", &data.display().to_string()]
            .into_iter()
            .chain(["--schema", &schema.display().to_string(), "--out", &out.display().to_string()])
            .chain(small)
            .map(str::to_owned)
            .collect();
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        hg_tests::hg(&arguments)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn shipped() -> PathBuf {
    hg_tests::repository("data-schemas/art-for-hiv.toml")
}

#[test]
fn a_private_run_says_what_to_expect_and_writes_down_what_it_spent() {
    let cohort = Cohort::new(150);
    let trained = cohort.train(&shipped(), "run", &["--epsilon", "3"]);
    assert!(trained.status.success(), "{}", said(&trained));
    let forecast = "with 150 patients, ε = 3 and δ = 6.7e-4 the noise is";
    assert!(said(&trained).contains(forecast), "{}", said(&trained));

    let run = cohort.path("run");
    let manifest = std::fs::read_to_string(run.join("run.toml")).expect("run.toml");
    assert!(manifest.contains("[privacy]") && manifest.contains("patients = 150"), "{manifest}");
    let spent: Value =
        serde_json::from_str(&std::fs::read_to_string(run.join("privacy.json")).expect("ledger"))
            .expect("JSON");
    assert_eq!(spent["iterations"], 6);
    let epsilon = spent["epsilon"].as_f64().expect("a number");
    assert!(epsilon > 2.9 && epsilon <= 3., "{epsilon}");
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
    assert_eq!(metrics.lines().count(), 6);
    assert!(!metrics.contains("wasserstein") && metrics.contains("\"epsilon\""), "{metrics}");
    assert!(!run.join("resampler.json").exists());
    assert!(run.join("synthetic.csv").exists());
    let report = std::fs::read_to_string(run.join("report/report.md")).expect("a report");
    assert!(report.contains("the guarantee does not cover this report"), "{report}");
}

/// The encoder must know nothing of the table beside its noisy histograms.
#[test]
fn no_number_of_the_table_is_in_a_private_encoder() {
    let cohort = Cohort::new(60);
    let schema = std::fs::read_to_string(shipped()).expect("a schema");
    // Without noise to speak of, so that whatever is exact comes through.
    let trained = cohort.train(&shipped(), "run", &["--epsilon", "100000", "--iterations", "1"]);
    assert!(trained.status.success(), "{}", said(&trained));
    let encoder = std::fs::read_to_string(cohort.path("run/encoder.json")).expect("an encoder");
    let table = cohort.path("hiv.csv");
    let arguments = ["simulate", "art-for-hiv", "--patients", "60", "--out"];
    let table_text = table.display().to_string();
    assert!(hg_tests::hg(&[&arguments[..], &[&table_text]].concat()).status.success());
    let text = std::fs::read_to_string(&table).expect("a table");
    let cells = text.lines().skip(1).flat_map(|line| line.split(',')).filter(|cell| {
        // Numbers that are not in the schema anyway, with digits enough to be this table's.
        cell.len() >= 5 && cell.contains('.') && !schema.contains(cell)
    });
    let numbers: std::collections::BTreeSet<&str> =
        encoder.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')).collect();
    let mut looked_for = 0;
    for cell in cells {
        looked_for += 1;
        assert!(!numbers.contains(cell), "{cell} of the table is in encoder.json");
    }
    assert!(looked_for > 1000);
}

#[test]
fn what_a_schema_leaves_to_the_table_is_refused_and_nothing_is_left_behind() {
    let cohort = Cohort::new(30);
    let schema = cohort.path("open.toml");
    let text = std::fs::read_to_string(shipped()).expect("a schema");
    let open = text.replace("range = [0.0, 1e8]\n", "").replace("max_length = 60", "");
    std::fs::write(&schema, open).expect("writes");
    let refused = cohort.train(&schema, "run", &["--epsilon", "3"]);
    assert_eq!(refused.status.code(), Some(2));
    for part in ["column `VL`: no range", "hint: set range =", "hint: set sequence.max_length"] {
        assert!(said(&refused).contains(part), "no `{part}` in:\n{}", said(&refused));
    }
    assert!(!cohort.path("run").exists());
}

#[test]
fn a_schema_with_a_guarantee_has_every_run_keep_it() {
    let cohort = Cohort::new(40);
    let schema = cohort.path("asking.toml");
    let text = std::fs::read_to_string(shipped()).expect("a schema");
    let text = text.replace("[patient]", "[privacy]\nepsilon = 2.0\n\n[patient]");
    std::fs::write(&schema, text).expect("writes");
    let weaker = cohort.train(&schema, "weaker", &["--epsilon", "3"]);
    assert_eq!(weaker.status.code(), Some(2));
    assert!(said(&weaker).contains("allows 2 at most"), "{}", said(&weaker));
    let trained = cohort.train(&schema, "run", &[]);
    assert!(trained.status.success(), "{}", said(&trained));
    let spent = std::fs::read_to_string(cohort.path("run/privacy.json")).expect("a ledger");
    let spent: Value = serde_json::from_str(&spent).expect("JSON");
    assert!(spent["epsilon"].as_f64().is_some_and(|epsilon| epsilon <= 2.), "{spent}");
}
