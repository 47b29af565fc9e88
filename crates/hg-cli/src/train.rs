//! `hg train`.

use crate::arguments::TrainArguments;
use crate::built::program;
use crate::error::{Error, Result};
use crate::evaluate;
use crate::schema::of_rows;
use crate::settings::Settings;
use hg_data::{Encoded, write_table};
use hg_eval::{Columns, Pairs, Quick};
use hg_train::{Event, Outcome, Run, StepMetrics, TrainConfig, ValidationScore, generate};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) fn run(arguments: &TrainArguments, json: bool) -> Result<()> {
    if arguments.print_config {
        Settings::gather(arguments)?.print();
        return Ok(());
    }
    let (run, encoded) = open(arguments)?;
    let patients = encoded.lengths.len();
    tracing::info!(
        patients,
        longest = encoded.steps,
        features = encoded.features,
        left_out = encoded.counts.dropped_patients,
        "read the cohort"
    );
    of_rows(&encoded.counts).iter().for_each(|said| tracing::info!("{said}"));
    train(&run, &encoded)?;
    let mut cohort = generate(&run, patients, run.manifest.train.seed)?;
    write_table(&mut cohort, &run.synthetic_csv(), &run.encoder.style)?;
    write_table(&mut cohort, &run.synthetic_parquet(), &run.encoder.style)?;
    let (evaluation, page) = evaluate::evaluate(&run)?;
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
        evaluate::print(&evaluation);
        println!("report: {}", page.display());
        println!("{}", run.folder().display());
    }
    Ok(())
}

fn open(arguments: &TrainArguments) -> Result<(Run, Encoded)> {
    if let Some(folder) = &arguments.resume {
        let run = Run::open(folder)?.with_data(arguments.data.as_deref())?;
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
    let train = Settings::gather(arguments)?.resolve()?;
    Ok(Run::create(out, data, schema, train, program())?)
}

fn train(run: &Run, encoded: &Encoded) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let handler = move || {
        // The second signal does not wait for the iteration's end.
        if seen.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler)
        .map_err(|e| Error::Other(format!("cannot catch Ctrl-C: {e}; is it caught already?")))?;
    let mut trainer = run.trainer(encoded)?;
    let TrainConfig { iterations, validate_every, .. } = run.manifest.train;
    // Where nobody is held out, those trained on are what there is to compare with.
    let held_out = match run.manifest.train.held_out_subset() {
        Some(side) if validate_every > 0 => Some(run.encode_subset(side)?),
        _ => None,
    };
    let (numeric, blocks) = (run.encoder.numeric_features(), run.encoder.blocks());
    let quick = Quick::new(held_out.as_ref().unwrap_or(encoded), numeric, &blocks);
    let judge = |made: &Encoded| {
        let score = quick.score(made);
        ValidationScore { score: score.total(), diversity: score.diversity }
    };
    let bar = progress_bar(trainer.iteration(), iterations);
    let mut validation = None;
    let outcome = run.train(&mut trainer, Some(&judge), |event| {
        match event {
            Event::Step(step) => {
                validation = step.validation.or(validation);
                bar.set_position(step.iteration);
                bar.set_message(measures(step, validation));
            }
            Event::Restarted { diverged_at, problem, from, rate } => bar.suspend(|| {
                tracing::warn!(
                    "diverged at iteration {diverged_at}: {problem}; going on from iteration \
                     {from} with a learning rate of {rate}"
                );
            }),
        }
        if stop.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    let iteration = trainer.iteration();
    match outcome? {
        Outcome::Done => Ok(()),
        Outcome::NoBetter => {
            tracing::info!("stopped after iteration {iteration}: validation got no better");
            Ok(())
        }
        Outcome::Stopped => Err(Error::Interrupted { run: run.folder().to_owned(), iteration }),
    }
}

/// On stderr, and only where that is a terminal.
fn progress_bar(done: u64, iterations: u64) -> ProgressBar {
    let template = "{bar:24} {pos}/{len} · {rate} · ETA {eta} · {msg}";
    let rate = |state: &ProgressState, to: &mut dyn std::fmt::Write| {
        // The bar shows what could be written.
        let _ = write!(to, "{:.1}/s", state.per_sec());
    };
    let style = ProgressStyle::with_template(template).map(|style| style.with_key("rate", rate));
    let bar = ProgressBar::new(iterations)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_position(done);
    bar.reset_eta();
    bar
}

fn measures(step: &StepMetrics, validation: Option<f64>) -> String {
    let validation = validation.map_or(String::new(), |score| format!(", validation {score:.3}"));
    format!(
        "Wasserstein {:.3}, penalty {:.3}, generator {:.3}, correlation {:.3}, ‖∇‖ {:.2}{validation}",
        step.wasserstein,
        step.gradient_penalty,
        step.generator_loss,
        step.correlation_loss,
        step.generator_norm,
    )
}
