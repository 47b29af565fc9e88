//! Thorough attacks train shadow runs.

use anyhow::{Context, Result, ensure};
use health_gym::measures::{Evaluation, ShadowMembership, Verdict};
use health_gym::training::Program;
use health_gym::{
    Attacks, CancelToken, Error, Progress, Run, TrainConfig, evaluate_run, evaluate_run_with,
    train_run,
};
use std::path::{Path, PathBuf};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A run of a few iterations, with its cohort.
fn run(folder: &Path, held_out: f64) -> Result<Run> {
    let mut settings = TrainConfig { iterations: 3, seed: 3, ..Default::default() };
    settings.model.hidden = 8;
    settings.model.resampling = false;
    settings.batching.batch_size = 16;
    settings.validation.held_out = held_out;
    settings.validation.every = 0;
    let (table, schema) = (repository("data/pbc/pbcseq.csv"), repository("data-schemas/pbc.toml"));
    let (run, encoded) = Run::create(folder, &table, &schema, settings, None, Program::default())?;
    train_run(&run, &encoded, &CancelToken::default(), &mut |_| {})?;
    run.write_synthetic(&run.sampler()?.sample(60, 1)?)?;
    Ok(run)
}

fn verdict(evaluation: &Evaluation) -> Result<Verdict> {
    let answers = evaluation.answers();
    let answer = answers.iter().find(|answer| answer.about == "shadow models");
    Ok(answer.context("an answer")?.verdict)
}

#[test]
fn shadow_runs_are_trained_where_they_are_asked_for_to_the_same_bytes_on_any_threads() -> Result<()>
{
    let folder = tempfile::tempdir()?;
    let run = run(&folder.path().join("run"), 0.3)?;
    let usual = evaluate_run(&run, &mut |_| {})?;
    ensure!(verdict(&usual.evaluation)? == Verdict::Open, "no shadow run was trained");

    let thorough = |threads: usize| -> Result<(String, Vec<Progress>)> {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        threads.install(|| {
            let mut heard = Vec::new();
            let token = CancelToken::default();
            let found = evaluate_run_with(&run, Attacks::Thorough, &token, &mut |progress| {
                heard.push(progress)
            })?;
            let shadows = found.evaluation.detail::<ShadowMembership>("shadow-membership");
            ensure!(shadows.is_some_and(|found| found.shadows == 8), "{shadows:?}");
            ensure!(verdict(&found.evaluation)? != Verdict::Open, "a verdict");
            Ok((found.json()?, heard))
        })
    };
    let (json, heard) = thorough(1)?;
    let done: Vec<u64> = heard
        .iter()
        .filter_map(|progress| match progress {
            Progress::Shadows { done, all: 24 } => Some(*done),
            _ => None,
        })
        .collect();
    ensure!(done == (1..=24).collect::<Vec<u64>>(), "{done:?}");
    ensure!(thorough(3)?.0 == json, "threads change nothing");
    Ok(())
}

#[test]
fn a_cancelled_attack_ends_and_leaves_the_report() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = run(&folder.path().join("run"), 0.3)?;
    let token = CancelToken::default();
    let found = evaluate_run_with(&run, Attacks::Thorough, &token, &mut |progress| {
        if matches!(progress, Progress::Shadows { done: 5, .. }) {
            token.cancel();
        }
    });
    ensure!(matches!(found, Err(Error::Cancelled { iteration: 2 })), "in the second shadow run");
    ensure!(!run.report().join("report.html").exists());
    Ok(())
}

#[test]
fn without_held_out_patients_no_shadow_run_is_trained() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = run(&folder.path().join("run"), 0.)?;
    let mut heard = Vec::new();
    let observe = &mut |progress| heard.push(progress);
    let found = evaluate_run_with(&run, Attacks::Thorough, &CancelToken::default(), observe)?;
    ensure!(verdict(&found.evaluation)? == Verdict::Open);
    ensure!(heard.iter().all(|progress| matches!(progress, Progress::Stage(_))), "{heard:?}");
    Ok(())
}
