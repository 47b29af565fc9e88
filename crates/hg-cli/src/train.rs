//! `hg train`.

use crate::arguments::TrainArguments;
use crate::built::program;
use crate::error::{Error, Result};
use crate::evaluate;
use crate::progress::{Pace, progress_bar};
use crate::ranks::{open_shared, refuse_processes_together, tell_of_a_stop};
use crate::schema::of_rows;
use crate::settings::gather;
use crate::signals::cancelled_by_ctrl_c;
use chrono::Local;
use health_gym::data::Encoded;
use health_gym::measures::{Columns, Pairs};
use health_gym::training::{Ranks, minutes};
use health_gym::{Evaluated, Event, Outcome, Run, Schema, StepMetrics, Training, train_run_shared};
use indicatif::ProgressBar;
use std::path::PathBuf;

pub(crate) fn run(arguments: &TrainArguments, json: bool, ranks: &Ranks) -> Result<()> {
    if arguments.print_config {
        let mut settings = gather(arguments)?;
        if ranks.is_first() {
            settings.lines().for_each(|line| println!("{line}"));
        }
        return Ok(());
    }
    refuse_processes_together(ranks)?;
    let (run, encoded) = open_shared(arguments, ranks, open)?;
    train(&run, &encoded, ranks, arguments.minutes)?;
    if !ranks.is_first() {
        return Ok(());
    }
    run.clear_away()?;
    let (evaluated, page) = finish(&run, encoded.lengths.len())?;
    let evaluation = &evaluated.evaluation;
    if json {
        let columns = evaluation.detail::<Columns>("column-distances");
        let pairs = evaluation.detail::<Pairs>("pairs");
        let summary = serde_json::json!({
            "run": run.folder(),
            "report": page,
            "iterations": run.manifest.train.iterations,
            "mean_ks": columns.map(|found| found.distances.mean_ks),
            "mean_total_variation": columns.map(|found| found.distances.mean_total_variation),
            "correlation_difference": pairs.map(|found| found.differences.correlation_difference),
        });
        println!("{summary}");
    } else {
        evaluate::print(evaluation);
        println!("report: {}", page.display());
        println!("{}", run.folder().display());
    }
    Ok(())
}

/// Trains a run from its newest checkpoint on, and makes its cohort, report and card.
pub(crate) fn make(run: &Run, encoded: &Encoded) -> Result<()> {
    train(run, encoded, &Ranks::default(), None)?;
    finish(run, encoded.lengths.len()).map(drop)
}

/// The cohort, the report and the card of a run that is trained.
fn finish(run: &Run, patients: usize) -> Result<(Evaluated, PathBuf)> {
    let cohort = run.sampler()?.sample(patients, run.manifest.train.seed)?;
    run.write_synthetic(&cohort)?;
    evaluate::evaluate(run)
}

fn open(arguments: &TrainArguments) -> Result<(Run, Encoded)> {
    if let Some(folder) = &arguments.resume {
        let run = Run::open(folder)?.with_data(arguments.data.as_deref())?;
        run.warn_of_other_vectors()?;
        let encoded = run.real()?;
        return Ok((run, encoded));
    }
    if let (Some(like), Some(out)) = (&arguments.like, &arguments.out) {
        let like = Run::open(like)?.with_data(arguments.data.as_deref())?;
        return Ok(like.again(out, program())?);
    }
    let (Some(data), Some(schema), Some(out)) =
        (&arguments.data, &arguments.schema, &arguments.out)
    else {
        return Err(Error::Other("--data, --schema and --out belong together".into()));
    };
    let mut settings = gather(arguments)?;
    // What is wrong with them is said before a file is opened.
    settings.clone().resolve()?;
    settings.ask_as(&Schema::load(schema)?)?;
    let train = settings.resolve()?;
    let budget = arguments.minutes.map(minutes).transpose()?;
    Ok(Run::create(out, data, schema, train, budget, program())?)
}

/// So few iterations are done before the rate is known.
const FEW: u64 = 100;

/// How fast training goes, where that is worth knowing.
fn measured(run: &Run, encoded: &Encoded) -> Option<Pace> {
    let train = &run.manifest.train;
    let is_worth_it = train.iterations > FEW;
    // What is wrong comes up when it trains.
    let each = || train.time_of_iteration(train.iterations, &run.encoder, encoded).ok();
    is_worth_it.then(each).flatten().map(Pace::measured)
}

/// Trains a run from its newest checkpoint on, and says what of. `time` is what its iterations were chosen for.
fn train(run: &Run, encoded: &Encoded, ranks: &Ranks, time: Option<f64>) -> Result<()> {
    tracing::info!(
        patients = encoded.lengths.len(),
        longest = encoded.steps,
        features = encoded.features,
        left_out = encoded.counts.dropped_patients,
        "read the cohort"
    );
    of_rows(&encoded.counts).iter().for_each(|said| tracing::info!("{said}"));
    if let Some(plan) = &run.manifest.privacy {
        tracing::info!("{}", plan.forecast(&run.critic()));
    }
    let pace = match time {
        Some(time) => Some(Pace::of_budget(minutes(time)?, run.manifest.train.iterations)),
        None if ranks.is_alone() => measured(run, encoded),
        None => None,
    };

    let cancel = cancelled_by_ctrl_c()?;
    let in_training = tell_of_a_stop(run, ranks, &cancel);
    let bar = progress_bar(run.manifest.train.iterations);
    let mut validation = None;
    let trained = train_run_shared(run, encoded, ranks, &cancel, &mut |event| match event {
        Event::Begun { done, iterations } => {
            // A run that goes on does not begin at 0.
            bar.set_position(*done);
            bar.reset_eta();
            if let Some(pace) = pace {
                begin(&bar, pace, *done, *iterations);
            }
        }
        Event::Step(step) => {
            validation = step.get(VALIDATION).or(validation);
            bar.set_position(step.iteration);
            bar.set_message(measures(step, validation));
        }
        Event::Choosing => bar.set_message("learning which patients to take"),
        Event::Restarted { diverged_at, problem, from, rate } => bar.suspend(|| {
            tracing::warn!(
                "diverged at iteration {diverged_at}: {problem}; going on from iteration {from} \
                 with a learning rate of {rate}"
            );
        }),
        _ => {}
    });
    drop(in_training);
    bar.finish_and_clear();
    let Training { outcome, iteration } = trained?;
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::NoBetter => {
            tracing::info!("stopped after iteration {iteration}: validation got no better");
            Ok(())
        }
        Outcome::Cancelled => Err(Error::Interrupted { run: run.folder().to_owned(), iteration }),
    }
}

/// Says how long training takes after `done` iterations, where it takes long.
fn begin(bar: &ProgressBar, pace: Pace, done: u64, iterations: u64) {
    pace.show(bar, done);
    let left = iterations.saturating_sub(done);
    if pace.is_said(left) {
        bar.suspend(|| tracing::info!("{}", pace.says(left, Local::now())));
    }
}

const VALIDATION: &str = "validation";

/// What the bar says: some of the iteration's numbers, and the last validation.
fn measures(step: &StepMetrics, validation: Option<f64>) -> String {
    let scalars = step.scalars.iter().filter(|(name, _)| SHOWN.contains(&&**name));
    let scalars = scalars.map(|(name, value)| format!("{} {value:.3}", name.replace('_', " ")));
    let validation = validation.map(|score| format!("validation {score:.3}"));
    validation.into_iter().chain(scalars).collect::<Vec<_>>().join(", ")
}

/// The numbers that the bar has room for.
const SHOWN: [&str; 5] =
    ["wasserstein", "gradient_penalty", "generator_loss", "correlation_loss", "epsilon"];
