//! What a data card says, and what it leaves out.

use anyhow::{Result, ensure};
use health_gym::training::Program;
use health_gym::{CancelToken, Card, Guarantee, Measured, Run, TrainConfig, train_run};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A run with a cohort of 30.
fn run(folder: &Path) -> Result<Run> {
    let mut settings = TrainConfig { iterations: 1, ..Default::default() };
    settings.model.hidden = 8;
    settings.batching.batch_size = 8;
    settings.validation.every = 0;
    settings.model.resampling = false;
    let (data, schema) = (repository("data/pbc/pbcseq.csv"), repository("data-schemas/pbc.toml"));
    let program = Program { version: "9.9".into(), ..Default::default() };
    let (run, encoded) = Run::create(&folder.join("run"), &data, &schema, settings, None, program)?;
    train_run(&run, &encoded, &CancelToken::default(), &mut |_| {})?;
    run.write_synthetic(&run.sampler()?.sample(30, 0)?)?;
    Ok(run)
}

fn measured() -> Result<Measured> {
    let answer = |topic: &str, about: &str, passed: Value, because: &str| json!({"topic": topic, "about": about, "question": "Is it?", "passed": passed, "because": because});
    let column = |name: &str, distance: f64| {
        json!({"name": name, "unit": "", "levels": [], "distance": distance,
            "synthetic_mean": 1.5, "synthetic_deviation": 0.5})
    };
    Ok(Measured::of_json(json!({
        "answers": [
            answer("Is it real enough?", "spread", false.into(), "far <b>off</b>"),
            answer("Is it private?", "membership", true.into(), "area 0.51 (0.44 to 0.59)"),
        ],
        "columns": [column("bili", 0.3), column("chol", 0.1)],
        "held_out": {"mean_ks": 0.2, "mean_total_variation": null},
        "remarks": ["249 of 312 real patients"],
    }))?)
}

#[test]
fn a_card_tells_verdicts_faults_and_what_is_written_in_the_schema() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let card = Card::new(&run(folder.path())?, Some(measured()?), Some("cc-by-4.0"))?;
    let text = card.markdown();
    for said in [
        "license: cc-by-4.0\n",
        "size_categories:\n- n<1K\n",
        "**30 synthetic patients**",
        "trained on about 310 patients",
        "| bili | a number | mg/dl |  |",
        "| sex | one of two levels, constant in a patient |  | f, m |",
        "There is no guarantee of privacy",
        "- **passed**: Is it? area 0.51 (0.44 to 0.59)",
        "- spread: Is it? No: far &lt;b>off&lt;/b>.",
        "Column `bili` is distributed otherwise than in the real table: distance 0.30, yardstick 0.20",
    ] {
        ensure!(text.contains(said), "no {said:?} in {text}");
    }
    for private in ["`chol` is distributed", "249 of 312", "312 patients of a private"] {
        ensure!(!text.contains(private), "{private:?} in {text}");
    }
    Ok(())
}

#[test]
fn a_card_is_croissant_with_a_field_for_each_column() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = run(folder.path())?;
    let json: Value =
        serde_json::from_str(&Card::new(&run, Some(measured()?), None)?.croissant()?)?;
    ensure!(json["@type"] == "sc:Dataset" && json["license"] == "not stated");
    ensure!(json["conformsTo"][0] == "http://mlcommons.org/croissant/1.0");
    let files = json["distribution"].as_array().map_or(0, Vec::len);
    ensure!(files == 2, "{json}");
    for file in json["distribution"].as_array().into_iter().flatten() {
        let path = run.folder().join(file["contentUrl"].as_str().unwrap_or_default());
        ensure!(file["sha256"] == health_gym::data::fingerprint(&path)?.as_str());
        ensure!(file["contentSize"] == format!("{} B", std::fs::metadata(&path)?.len()));
    }
    let fields = json["recordSet"][0]["field"].as_array().cloned().unwrap_or_default();
    let names: Vec<&str> = fields.iter().filter_map(|field| field["name"].as_str()).collect();
    ensure!(names == run.encoder.order, "{names:?}");
    let bili = fields.iter().find(|field| field["name"] == "bili");
    let bili = bili.map(|field| (field["dataType"].clone(), field["description"].clone()));
    ensure!(bili == Some((json!("sc:Float"), json!("a number; unit: mg/dl"))), "{bili:?}");
    for key in ["rai:dataCollection", "rai:dataLimitations", "rai:personalSensitiveInformation"] {
        ensure!(!json[key].is_null(), "no {key}");
    }
    Ok(())
}

#[test]
fn under_a_guarantee_nothing_is_told_that_was_measured_with_the_private_table() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let guarantee = Guarantee {
        epsilon: 3.,
        delta: 1e-5,
        unit: "one patient's whole sequence",
        mechanism: "Gradients were clipped and noise added.".into(),
    };
    let run = run(folder.path())?;
    let card = Card::with_guarantee(&run, Some(measured()?), None, Some(guarantee))?;
    for text in [card.markdown(), card.croissant()?] {
        ensure!(text.contains("ε = 3 and δ = 1e-5 for one patient's whole sequence"), "{text}");
        ensure!(text.contains("left out of this card"), "{text}");
        ensure!(text.contains("trained on 312 patients"), "{text}");
        for measured in ["0.51", "spread", "distance 0.30", "No: far"] {
            ensure!(!text.contains(measured), "{measured} in {text}");
        }
    }
    Ok(())
}
