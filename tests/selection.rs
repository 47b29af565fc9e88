//! Training chooses its weights by validation, and says when it leads nowhere.

use hg_tests::{hg, repository};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn train(out: &Path, settings: &[&str]) -> Output {
    let mut command = Command::new(hg_tests::program());
    command.arg("train").arg("--data").arg(repository("data/pbc/pbcseq.csv"));
    command.arg("--schema").arg(repository("data-schemas/pbc.toml")).arg("--out").arg(out);
    for setting in ["batching.batch_size=8", "model.hidden=16"].iter().chain(settings) {
        command.args(["--set", setting]);
    }
    command.output().expect("runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Iteration and score of each validation.
fn validations(out: &Path) -> Vec<(u64, f64)> {
    let text = std::fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    let steps = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    steps
        .filter_map(|step| Some((step["iteration"].as_u64()?, step["validation"].as_f64()?)))
        .collect()
}

fn best(out: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(out.join("checkpoints")).expect("lists");
    let names =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    names.filter(|name| name.starts_with("best-")).collect()
}

#[test]
fn the_weights_with_the_best_score_are_kept_and_sampled_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    // A rate that spoils what it has learnt now and then.
    let output = train(
        &out,
        &[
            "iterations=60",
            "validation.every=10",
            "optimiser.learning_rate=0.02",
            "validation.held_out=0.2",
        ],
    );
    assert!(output.status.success(), "{}", said(&output));
    let scores = validations(&out);
    assert_eq!(scores.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [10, 20, 30, 40, 50, 60]);
    let (at, _) = scores.iter().min_by(|a, b| a.1.total_cmp(&b.1)).expect("scores");
    assert_eq!(best(&out), [format!("best-{at:08}")]);
    // Sampling takes them: without the newest checkpoint the result is the same.
    let sample = |name: &str| {
        let path = folder.path().join(name);
        let arguments: [&std::ffi::OsStr; 6] = [
            "generate".as_ref(),
            out.as_ref(),
            "--patients".as_ref(),
            "20".as_ref(),
            "--out".as_ref(),
            path.as_ref(),
        ];
        let output = hg(&arguments);
        assert!(output.status.success(), "{}", said(&output));
        std::fs::read(path).expect("reads")
    };
    let before = sample("before.csv");
    std::fs::remove_dir_all(out.join("checkpoints/00000060")).expect("removes");
    assert!(sample("after.csv") == before);
}

#[test]
fn training_stops_when_validation_gets_no_better() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    // Weights that hardly move get no better.
    let output = train(
        &out,
        &[
            "iterations=500",
            "validation.every=2",
            "validation.patience=3",
            "optimiser.learning_rate=1e-12",
        ],
    );
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("validation got no better"), "{}", said(&output));
    assert!(validations(&out).len() < 20, "{:?}", validations(&out));
    assert!(out.join("synthetic.csv").exists());
}

#[test]
fn a_run_that_diverges_says_so_and_keeps_what_was_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let wild = ["iterations=40", "optimiser.learning_rate=30.0", "checkpoints.every=1"];
    let output = train(&out, &wild);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    for text in [
        "training diverged at iteration",
        "hint: lower `optimiser.learning_rate`, or set `checkpoints.restarts = 3`",
    ] {
        assert!(said(&output).contains(text), "no «{text}» in {}", said(&output));
    }
}

#[test]
fn a_run_that_may_restart_goes_back_with_half_the_rate_until_it_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    let wild = [
        "iterations=12",
        "optimiser.learning_rate=30.0",
        "checkpoints.restarts=30",
        // None in between: weights that are ruined already may be kept.
        "checkpoints.every=12",
    ];
    let output = train(&one, &wild);
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains("going on from iteration 0 with a learning rate of 15"),
        "{}",
        said(&output)
    );
    let metrics = |out: &Path| std::fs::read_to_string(out.join("metrics.jsonl")).expect("reads");
    assert_eq!(metrics(&one).lines().count(), 12);
    assert!(train(&two, &wild).status.success());
    assert!(metrics(&one) == metrics(&two), "a restart is part of what a seed repeats");
}

/// How many rows each patient of a CSV has, whose first column tells them apart.
fn lengths(csv: &str) -> Vec<usize> {
    let of = |line: &str| line.split(',').next().map(str::to_owned);
    let patients: Vec<Option<String>> = csv.lines().skip(1).map(of).collect();
    patients.chunk_by(|a, b| a == b).map(<[_]>::len).collect()
}

#[test]
fn a_patient_is_one_of_several_once_training_has_ended_and_lengths_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    // A generator that has learnt so much that not everybody is told from the real ones.
    let settings = ["iterations=1000", "batching.batch_size=32", "model.hidden=64"];
    let output = train(&out, &[&settings[..], &["validation.every=0"]].concat());
    assert!(output.status.success(), "{}", said(&output));
    let generate = |name: &str| {
        let path = folder.path().join(name);
        let mut command = Command::new(hg_tests::program());
        command.arg("generate").arg(&out).args(["--patients", "100", "--out"]).arg(&path);
        let output = command.output().expect("runs");
        (output.status.code(), said(&output), std::fs::read_to_string(path).unwrap_or_default())
    };
    let (code, message, chosen) = generate("chosen.csv");
    assert!(code == Some(0) && !message.contains("has not ended"), "{message}");
    // The run's own cohort is of its seed, 0, as is this one, but of more patients.
    let own = std::fs::read_to_string(out.join("synthetic.csv")).expect("reads");
    assert!(own.starts_with(&chosen[..chosen.len() / 2]), "the run's cohort is chosen as well");

    let resampler = out.join("resampler.json");
    let kept = std::fs::read_to_string(&resampler).expect("is kept");
    std::fs::write(&resampler, &kept[..kept.len() / 2]).expect("writes");
    let (code, message, _) = generate("damaged.csv");
    assert!(code == Some(2) && message.contains("resampler.json"), "{code:?} {message}");
    assert!(message.contains("hint: "), "{message}");

    // As it is when training was interrupted, or goes on with other weights.
    let sum = kept.find("generator_sha256\":\"").expect("its weights") + 20;
    let other = format!("{}{}{}", &kept[..sum], "0000", &kept[sum + 4..]);
    std::fs::write(&resampler, other).expect("writes");
    let (code, message, others) = generate("others.csv");
    assert!(code == Some(0) && message.contains("has not ended"), "{message}");
    std::fs::remove_file(&resampler).expect("removes");
    let (code, message, all) = generate("all.csv");
    assert!(code == Some(0) && message.contains("has not ended"), "{message}");
    assert_eq!(others, all);

    let manifest = out.join("run.toml");
    let settings = std::fs::read_to_string(&manifest).expect("reads");
    assert!(settings.contains("resampling = true"), "{settings}");
    std::fs::write(&manifest, settings.replace("resampling = true", "resampling = false"))
        .expect("writes");
    let (code, message, none) = generate("none.csv");
    assert!(code == Some(0) && !message.contains("has not ended"), "{message}");
    assert_eq!(none, all);
    assert_ne!(none, chosen);
    assert_eq!(lengths(&none), lengths(&chosen), "patients have the lengths that are drawn");
    assert_eq!(lengths(&none).len(), 100);
}
