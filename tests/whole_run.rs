//! The main job, on the shipped cohorts, with the real program.

use hg_tests::{hg, repository};
use std::collections::BTreeMap;
use std::path::Path;

fn train(cohort: [&str; 2], out: &Path, seed: &str, more: &[&str]) {
    let (data, schema) = (repository(cohort[0]), repository(cohort[1]));
    let how = ["--iterations", "2", "--batch-size", "8", "--seed", seed];
    let output = hg_tests::train([&data, &schema, out], &[&how, more].concat());
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stdout.lines().last(), out.to_str(), "the last line is the run folder");
}

const PBC: [&str; 2] = ["data/pbc/pbcseq.csv", "data-schemas/pbc.toml"];
const EICU: [&str; 2] = ["data/eicu-demo/labs.csv", "data-schemas/eicu-demo.toml"];

/// Every file below a folder that a seed must repeat, by relative name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).expect("lists") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below").display().to_string();
                found.insert(name, std::fs::read(path).expect("reads"));
            }
        }
    }
    found
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |name: &str, seed| {
        let out = folder.path().join(name);
        train(PBC, &out, seed, &[]);
        files(&out)
    };
    let (first, again, other) = (run("a", "7"), run("b", "7"), run("c", "8"));
    assert_eq!(first.keys().collect::<Vec<_>>(), again.keys().collect::<Vec<_>>());
    for name in ["synthetic.csv", "synthetic.parquet", "metrics.jsonl", "report/report.html"] {
        assert!(first.contains_key(name), "no {name} in {:?}", first.keys());
    }
    for (name, bytes) in &first {
        assert!(again[name] == *bytes, "{name} differs");
    }
    assert!(first["synthetic.csv"] != other["synthetic.csv"]);
    // A run holds all that it takes to repeat it.
    let (run, like) = (folder.path().join("a"), folder.path().join("like"));
    let arguments =
        ["train".as_ref(), "--like".as_ref(), run.as_os_str(), "--out".as_ref(), like.as_os_str()];
    let output = hg(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(files(&like) == first, "--like differs");
    let header = |table: &[u8]| String::from_utf8_lossy(table).lines().next().map(str::to_owned);
    let synthetic = header(&first["synthetic.csv"]).expect("a header");
    let real = std::fs::read(repository(PBC[0])).expect("reads");
    assert_eq!(Some(synthetic), header(&real), "names and order are the table's");
}

#[test]
fn eicu_trains_and_generates_any_number_of_patients_from_the_run_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("eicu");
    train(EICU, &out, "1", &[]);
    let cohort = folder.path().join("cohort.csv");
    let arguments: [&std::ffi::OsStr; 6] = [
        "generate".as_ref(),
        out.as_ref(),
        "--patients".as_ref(),
        "300".as_ref(),
        "--out".as_ref(),
        cohort.as_ref(),
    ];
    let output = hg(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&cohort).expect("reads");
    let mut patients: Vec<&str> =
        text.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    patients.dedup();
    assert_eq!(patients.len(), 300);
    assert!(!text.contains("NaN") && !text.contains("inf"));
}

#[test]
fn every_generated_patient_meets_what_is_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    train(PBC, &out, "1", &[]);
    let generate = |name: &str, patients: &str, given: &[&str]| {
        let (run, cohort) = (out.display().to_string(), folder.path().join(name));
        let path = cohort.display().to_string();
        let mut arguments = vec!["generate", &run, "--patients", patients, "--out", &path];
        arguments.extend(given.iter().flat_map(|condition| ["--given", condition]));
        (hg(&arguments), cohort)
    };
    let (output, cohort) = generate("cohort.csv", "40", &["sex=m", "age>=50"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&cohort).expect("reads");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| rows[0].iter().position(|found| *found == name).expect("a column");
    let (id, sex, age) = (column("id"), column("sex"), column("age"));
    for row in &rows[1..] {
        assert!(row[sex] == "m" && row[age].parse::<f64>().is_ok_and(|age| age >= 50.), "{row:?}");
    }
    let mut ids: Vec<&str> = rows[1..].iter().map(|row| row[id]).collect();
    ids.dedup();
    let expected: Vec<String> = (1..=40).map(|id| id.to_string()).collect();
    assert_eq!(ids, expected, "patients are numbered anew");
    // The same seed gives the same cohort.
    let (_, again) = generate("again.csv", "40", &["sex=m", "age>=50"]);
    assert_eq!(std::fs::read_to_string(again).expect("reads"), text);

    for (given, said) in [
        ("age>=700", "of 20000 synthetic patients 0 meet `age>=700`"),
        ("sex=x", "condition `sex=x`: `sex` has no level `x`"),
        ("bili>1", "`bili` changes over a patient's steps"),
    ] {
        let (output, cohort) = generate("none.csv", "3", &[given]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(said) && stderr.contains("\nhint: "), "{stderr}");
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(!cohort.exists());
    }
}

#[test]
fn patients_that_are_held_out_are_a_yardstick_and_not_trained_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    train(PBC, &out, "1", &["--held-out", "0.25"]);
    let read = |name: &str| std::fs::read_to_string(out.join(name)).expect("reads");
    let comparison: serde_json::Value =
        serde_json::from_str(&read("report/comparison.json")).expect("JSON");
    let far = comparison["held_out"]["mean_ks"].as_f64().expect("a yardstick");
    assert!(far > 0. && far < 0.3, "{far}");
    for side in ["nearness", "held_out_nearness"] {
        let copies = comparison[side]["copies"].as_u64();
        assert_eq!(copies, Some(0), "{side}: {}", comparison[side]);
    }
    // The fitted encoder knows the patients that it was fitted to, and no others.
    let encoder: serde_json::Value = serde_json::from_str(&read("encoder.json")).expect("JSON");
    let lengths = encoder["lengths"].as_array().expect("lengths");
    let patients: u64 = lengths.iter().filter_map(serde_json::Value::as_u64).sum();
    assert!((200..270).contains(&patients), "{patients} of 312");
}

#[test]
fn policies_of_a_simulated_cohort_are_run_in_its_simulator() {
    let folder = tempfile::tempdir().expect("a folder");
    let simulate = |seed: &str| {
        let out = folder.path().join(format!("{seed}.parquet")).display().to_string();
        let output =
            hg(&["simulate", "art-for-hiv", "--patients", "400", "--seed", seed, "--out", &out]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        out
    };
    let (real, fresh) = (simulate("1"), simulate("2"));
    let schema = repository("data-schemas/art-for-hiv.toml").display().to_string();
    let evaluate = |real: &str| -> serde_json::Value {
        let tables = ["--real", real, "--synthetic", &fresh, "--schema", &schema];
        let output = hg(&[&["--json", "evaluate"][..], &tables].concat());
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let policies = &evaluate(&real)["policies"];
    let worth = |key: &str| policies["when_run"][key].as_f64().expect("a worth");
    // Virus below and cells above what the usual regimens leave, by many standard errors.
    let gain = |key: &str| (worth(key) - worth("usual")) / worth("error");
    assert!(gain("real") > 4. && gain("synthetic") > 4., "{policies}");
    // Without its label a table is anybody's, and there is nothing to run.
    let moved = folder.path().join("moved.parquet").display().to_string();
    std::fs::rename(&real, &moved).expect("moves");
    assert!(evaluate(&moved)["policies"]["when_run"].is_null());
}
