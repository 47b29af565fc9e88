//! Tables, tensors and weights go out to other programs and come back.

use hg_tests::{hg, repository};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::Path;

const PBC: [&str; 2] = ["data/pbc/pbcseq.csv", "data-schemas/pbc.toml"];

fn run(arguments: &[&OsStr]) -> String {
    let output = hg(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

macro_rules! os {
    ($($part:expr),+ $(,)?) => { [$(AsRef::<OsStr>::as_ref($part)),+] };
}

#[test]
fn a_table_that_is_encoded_and_decoded_is_the_same_cohort() {
    let folder = tempfile::tempdir().expect("a folder");
    let [table, schema] = PBC.map(repository);
    let (encoded, back) = (folder.path().join("encoded"), folder.path().join("back.csv"));
    run(&os!["encode", &table, "--schema", &schema, "--out", &encoded]);
    let (tensors, encoder) = (encoded.join("encoded.safetensors"), encoded.join("encoder.json"));
    run(&os!["decode", &tensors, "--encoder", &encoder, "--out", &back]);
    let compared = run(&os![
        "--json",
        "evaluate",
        "--real",
        &table,
        "--synthetic",
        &back,
        "--schema",
        &schema
    ]);
    let compared: Value = serde_json::from_str(&compared).expect("JSON");
    // Gaps are filled on encoding, so the cohorts are not equal cell for cell.
    for (measure, most) in
        [("mean_ks", 0.02), ("mean_total_variation", 0.02), ("correlation_difference", 0.02)]
    {
        let value = compared[measure].as_f64().expect("a number");
        assert!(value < most, "{measure}: {value}");
    }
    let output = hg(&os!["decode", &encoder, "--encoder", &encoder, "--out", &back]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn exported_weights_are_imported_as_the_same_generator() {
    let folder = tempfile::tempdir().expect("a folder");
    let [table, schema] = PBC.map(repository);
    let [ours, weights, again] = ["ours", "weights", "again"].map(|name| folder.path().join(name));
    run(&os![
        "train",
        "--data",
        &table,
        "--schema",
        &schema,
        "--out",
        &ours,
        "--iterations",
        "2",
        "--set",
        "model.hidden=8",
        "--set",
        "model.latent_features=6"
    ]);
    run(&os!["export", &ours, "--out", &weights]);
    let (generator, critic) =
        (weights.join("generator.safetensors"), weights.join("critic.safetensors"));
    run(&os![
        "import",
        "--generator",
        &generator,
        "--critic",
        &critic,
        "--data",
        &table,
        "--schema",
        &schema,
        "--out",
        &again,
        "--set",
        "reverse_alignment=flipped",
        "--set",
        "model.latent=gaussian",
        "--set",
        "model.patient_latent=0.75",
        "--set",
        "model.generator_carries=true",
        "--set",
        "iterations=3"
    ]);
    let sample = |run_folder: &Path, name: &str| {
        let path = folder.path().join(name);
        run(&os!["generate", run_folder, "--patients", "9", "--out", &path]);
        std::fs::read(path).expect("reads")
    };
    assert!(sample(&ours, "a.csv") == sample(&again, "b.csv"));
    // They can be trained further.
    run(&os!["train", "--resume", &again]);
    assert!(again.join("synthetic.csv").exists());
}

#[test]
fn weights_that_do_not_fit_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let [table, schema] = PBC.map(repository);
    let out = folder.path().join("run");
    for (file, says) in [
        ("tests/golden/generator.pt", "`linear3.bias` has shape [7], schema and settings make it"),
        ("tests/golden/critic.safetensors", "`linear1.weight` has shape [5, 8], schema and"),
        ("README.md", "README.md is no file of weights that we read"),
    ] {
        let generator = repository(file);
        let arguments = os![
            "import",
            "--generator",
            &generator,
            "--data",
            &table,
            "--schema",
            &schema,
            "--out",
            &out
        ];
        let output = hg(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && !out.exists(), "{file}: {said}");
        assert!(said.contains(says), "{file}: {said}");
    }
}
