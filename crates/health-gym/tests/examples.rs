//! The examples that a stranger starts from run to their end and say what they promise.
//! `cargo test` builds them beside the tests.

use std::path::PathBuf;
use std::process::Command;

/// Runs an example; what it printed.
fn run(name: &str, arguments: &[&str]) -> String {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.ancestors().nth(2).expect("tests lie in target/release/deps");
    let program: PathBuf = folder.join("examples").join(name);
    let output = Command::new(&program).args(arguments).output();
    let output = output.unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}:\n{said}\n{complained}");
    said
}

#[test]
fn a_table_in_memory_is_described_fitted_sampled_and_evaluated() {
    let said = run("dataframe", &[]);
    for part in
        ["[patient]\ncolumn = \"patient\"", "name = \"hba1c\"", "insulin", "columns", "time"]
    {
        assert!(said.contains(part), "no `{part}` in:\n{said}");
    }
}

#[test]
fn a_table_in_files_is_trained_on_with_progress_saved_loaded_and_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    let said = run("files", &[&path, "20"]);
    assert!(said.contains("iteration 20: validation score 0."), "{said}");
    for file in ["model/run.toml", "model/encoder.json", "synthetic.csv", "report/report.html"] {
        assert!(folder.path().join(file).is_file(), "no {file}");
    }
    let table = std::fs::read_to_string(folder.path().join("synthetic.csv")).expect("reads");
    assert!(table.lines().count() > 312, "a header and more than one row for each patient");
}

#[test]
fn a_measure_of_ones_own_stands_beside_the_others() {
    let said = run("custom_measure", &[]);
    assert!(said.contains("visits"), "{said}");
}
