//! Visits and rules from the shipped cohort, and from a proposal, through the program.

use hg_tests::{hg, repository};
use std::path::Path;

/// Runs `hg` and has it succeed.
fn run(arguments: &[&str]) {
    let output = hg(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Some columns of a CSV without quotes, row by row.
fn columns(path: &Path, names: &[&str]) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).expect("a table");
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().expect("a header");
    let at = |name: &&str| header.iter().position(|h| h == name).expect("the column");
    let at: Vec<usize> = names.iter().map(at).collect();
    lines.map(|cells| at.iter().map(|&n| cells[n].to_owned()).collect()).collect()
}

#[test]
fn nobody_is_seen_twice_on_a_day_or_after_follow_up_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let (out, made) = (folder.path().join("run"), folder.path().join("made.csv"));
    let (schema, data) = (repository("data-schemas/pbc.toml"), repository("data/pbc/pbcseq.csv"));
    let [schema, data] = [&schema, &data].map(|path| path.to_str().expect("a text"));
    let text = |path: &Path| path.to_str().expect("a text").to_owned();
    run(&["train", "--data", data, "--schema", schema, "--out", &text(&out), "--iterations", "3"]);
    run(&["generate", &text(&out), "--patients", "500", "--out", &text(&made)]);
    let number = |text: &String| text.parse::<i64>().expect("a whole number");
    let rows: Vec<Vec<i64>> = columns(&made, &["id", "day", "futime"])
        .iter()
        .map(|row| row.iter().map(number).collect())
        .collect();
    assert!(rows.iter().all(|row| row[1] <= row[2]), "no visit after follow-up");
    for pair in rows.windows(2) {
        match pair[0][0] == pair[1][0] {
            true => assert!(pair[0][1] < pair[1][1], "{pair:?}"),
            false => assert_eq!(pair[1][1], 0, "{pair:?}"),
        }
    }
    // No grid of years lies below.
    let gaps = rows.windows(2).filter(|pair| pair[0][0] == pair[1][0]);
    let gaps: std::collections::BTreeSet<i64> = gaps.map(|pair| pair[1][1] - pair[0][1]).collect();
    assert!(gaps.len() > 1, "{gaps:?}");
}

#[test]
fn carried_values_are_proposed_and_carried() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a text").to_owned();
    let (real, schema, out, made) =
        (path("hiv.csv"), path("hiv.toml"), path("run"), path("made.csv"));
    run(&["simulate", "art-for-hiv", "--patients", "40", "--out", &real]);
    run(&["schema", "infer", &real, "--out", &schema]);
    let toml = std::fs::read_to_string(&schema).expect("a schema");
    assert!(toml.contains("holds = \"CD4 carried when `CD4 (M)` = 0\""), "{toml}");
    run(&["train", "--data", &real, "--schema", &schema, "--out", &out, "--iterations", "2"]);
    run(&["generate", &out, "--patients", "40", "--out", &made]);
    let mut carried = 0;
    for (name, flag) in [("VL", "VL (M)"), ("CD4", "CD4 (M)"), ("Comp. INI", "Drug (M)")] {
        let rows = columns(Path::new(&made), &["PatientID", name, flag]);
        for pair in rows.windows(2).filter(|pair| pair[0][0] == pair[1][0] && pair[1][2] == "0") {
            assert_eq!(pair[0][1], pair[1][1], "{name}");
            carried += 1;
        }
    }
    assert!(carried > 0, "no value was carried");
}
