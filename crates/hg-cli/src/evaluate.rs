//! `hg evaluate`: the comparison, its report and its table.

use crate::arguments::EvaluateArguments;
use crate::curves::curves;
use crate::error::{Error, Result};
use crate::simulated::Simulated;
use comfy_table::{CellAlignment, presets};
use hg_data::{Encoder, Identifiers, Origin, Schema, Subset, Table, write_atomically};
use hg_eval::{Answer, Cohort, Comparison, Evaluation, Report, STAGES, Simulator, Subject};
use hg_train::{Run, RunManifest, layout_of};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PAGE: &str = "report.html";
const NUMBERS: &str = "comparison.json";

pub(crate) fn run(arguments: &EvaluateArguments, json: bool) -> Result<()> {
    if let Some(folder) = &arguments.run {
        let run = Run::open(folder)?.with_data(arguments.data.as_deref())?;
        let (evaluation, page) = evaluate(&run)?;
        show(&evaluation, json)?;
        if !json {
            println!("{}", page.display());
        }
        return Ok(());
    }
    let (Some(real), Some(synthetic), Some(schema)) =
        (&arguments.real, &arguments.synthetic, &arguments.schema)
    else {
        return Err(Error::Other("--real, --synthetic and --schema belong together".into()));
    };
    let schema = Schema::load(schema)?;
    let (encoder, _) = Encoder::fit_file(&schema, real, Subset::Whole)?;
    let simulated = Simulated::of(&encoder, real)?;
    let (real_table, synthetic_table) = (schema.read(real)?, schema.read(synthetic)?);
    let real = cohort(&encoder, &real_table, Subset::Whole, Origin::Real)?;
    let synthetic = cohort(&encoder, &synthetic_table, Subset::Whole, Origin::Synthetic)?;
    let subject = Subject {
        encoder: &encoder,
        layout: &layout_of(&encoder),
        real: &real,
        held_out: None,
        synthetic: &synthetic,
        simulator: simulated.as_ref().map(|simulated| simulated as &dyn Simulator),
    };
    let mut evaluation = measure(&subject)?;
    evaluation.identifiers =
        Some(Identifiers::find(&schema, &real_table.frame, &synthetic_table.frame)?);
    show(&evaluation, json)?;
    if let Some(out) = &arguments.out {
        let failed = |e| hg_data::Error::File {
            path: out.clone(),
            problem: format!("cannot make the folder: {e}"),
        };
        std::fs::create_dir_all(out).map_err(failed)?;
        write_report(&evaluation, &Report::new(&subject, &evaluation, &[])?, out)?;
        if !json {
            println!("{}", out.join(PAGE).display());
        }
    }
    Ok(())
}

/// Compares the run's cohorts and writes the report's files; gives the page's path too.
pub(crate) fn evaluate(run: &Run) -> Result<(Evaluation, PathBuf)> {
    let encoder = &run.encoder;
    let RunManifest { data, train, .. } = &run.manifest;
    run.check_data()?;
    let table = encoder.schema.read(data)?;
    let real = cohort(encoder, &table, train.training_subset(), Origin::Real)?;
    let held_out = match train.held_out_subset() {
        Some(side) => Some(cohort(encoder, &table, side, Origin::Real)?),
        None => None,
    };
    let synthetic_table = encoder.schema.read(&run.synthetic_parquet())?;
    let synthetic = cohort(encoder, &synthetic_table, Subset::Whole, Origin::Synthetic)?;
    let simulated = Simulated::of(encoder, data)?;
    let subject = Subject {
        encoder,
        layout: &layout_of(encoder),
        real: &real,
        held_out: held_out.as_ref(),
        synthetic: &synthetic,
        simulator: simulated.as_ref().map(|simulated| simulated as &dyn Simulator),
    };
    let mut evaluation = measure(&subject)?;
    // Of all real patients: one who was held out is no less real.
    evaluation.identifiers =
        Some(Identifiers::find(&encoder.schema, &table.frame, &synthetic_table.frame)?);
    let report = Report::new(&subject, &evaluation, &curves(&run.metrics()?))?;
    write_report(&evaluation, &report, &run.report())?;
    Ok((evaluation, run.report().join(PAGE)))
}

/// With a bar on stderr, where that is a terminal.
fn measure(subject: &Subject<'_>) -> Result<Evaluation> {
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} · {elapsed} · {msg}");
    let bar = ProgressBar::new(STAGES.len() as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_secs(1));
    let mut begun = 0;
    let evaluation = Evaluation::new(subject, &mut |stage| {
        bar.set_position(begun);
        bar.set_message(stage);
        begun += 1;
    });
    bar.finish_and_clear();
    Ok(evaluation?)
}

fn cohort(encoder: &Encoder, table: &Table, side: Subset, origin: Origin) -> Result<Cohort> {
    let (observed, encoded) = encoder.observe(table, side, origin)?;
    Ok(Cohort { observed, encoded })
}

fn write_report(evaluation: &Evaluation, report: &Report<'_>, folder: &Path) -> Result<()> {
    let files =
        [(PAGE, report.html()), ("report.md", report.markdown()), (NUMBERS, to_json(evaluation)?)];
    for (name, text) in files {
        let path = folder.join(name);
        let failed = |e| Error::Other(format!("{}: cannot write: {e}", path.display()));
        write_atomically(&path, |file| file.write_all(text.as_bytes()).map_err(failed))?;
    }
    Ok(())
}

fn show(evaluation: &Evaluation, json: bool) -> Result<()> {
    if json {
        println!("{}", to_json(evaluation)?);
    } else {
        print(evaluation);
    }
    Ok(())
}

/// The figures, and the short answers.
fn to_json(evaluation: &Evaluation) -> Result<String> {
    #[derive(Serialize)]
    struct Said<'a> {
        answers: Vec<Answer>,
        #[serde(flatten)]
        evaluation: &'a Evaluation,
    }
    serde_json::to_string(&Said { answers: evaluation.answers(), evaluation })
        .map_err(|e| Error::Other(format!("cannot write the comparison as JSON: {e}")))
}

pub(crate) fn print(evaluation: &Evaluation) {
    print_table(&evaluation.comparison);
    for answers in evaluation.answers().chunk_by(|a, b| a.topic == b.topic) {
        println!("\n{}", answers[0].topic);
        for answer in answers {
            let verdict = match answer.passed {
                Some(true) => "passed",
                Some(false) => "FAILED",
                None => "open  ",
            };
            println!("  {verdict}  {:<14} {}", answer.about, answer.because);
        }
    }
}

fn print_table(comparison: &Comparison) {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header([
        "column",
        "real",
        "synthetic",
        "missing real",
        "missing synth.",
        "distance",
    ]);
    for column in &comparison.columns {
        let spread = |mean: Option<f64>, deviation: Option<f64>| match (mean, deviation) {
            (Some(mean), Some(deviation)) if column.levels.is_empty() => {
                format!("{mean:.2} ± {deviation:.2}")
            }
            (None, _) => NOTHING.into(),
            _ => String::new(),
        };
        let shares = |values: &[f64]| {
            let share = |level: usize| {
                let there = values.iter().filter(|&&value| value as usize == level).count();
                format!("{:.0}", 100. * there as f64 / values.len().max(1) as f64)
            };
            let all: Vec<String> = (0..column.levels.len()).map(share).collect();
            let is_empty = all.is_empty() || values.is_empty();
            if is_empty { String::new() } else { format!("{} %", all.join(" / ")) }
        };
        table.add_row([
            column.name.clone(),
            spread(column.real_mean, column.real_deviation) + &shares(&column.real),
            spread(column.synthetic_mean, column.synthetic_deviation) + &shares(&column.synthetic),
            format!("{:.0} %", 100. * column.real_missing),
            format!("{:.0} %", 100. * column.synthetic_missing),
            column.distance.map_or("open".into(), figure),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    println!(
        "distance: Kolmogorov–Smirnov for numbers (mean {}), total variation for levels (mean {}); \
         0 is equal, 1 disjoint.\nmean difference of correlations: {}",
        or_nothing(comparison.distances.mean_ks),
        or_nothing(comparison.distances.mean_total_variation),
        or_nothing(comparison.distances.correlation_difference)
    );
    if let Some(yardstick) = &comparison.held_out {
        println!(
            "yardstick, the patients held out against those trained on: {}, {}, {}",
            or_nothing(yardstick.mean_ks),
            or_nothing(yardstick.mean_total_variation),
            or_nothing(yardstick.correlation_difference)
        );
    }
}

/// What stands where there are no values.
const NOTHING: &str = "–";

fn figure(value: f64) -> String {
    format!("{value:.3}")
}

fn or_nothing(value: Option<f64>) -> String {
    value.map_or(NOTHING.into(), figure)
}
