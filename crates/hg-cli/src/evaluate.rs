//! `hg evaluate`: the comparison, its report and its table.

use crate::arguments::EvaluateArguments;
use crate::curves::curves;
use crate::error::{Error, Result};
use crate::simulated::Simulated;
use comfy_table::{CellAlignment, Table, presets};
use hg_data::{DataFrame, Encoder, Identifiers, Origin, Schema, Subset, write_atomically};
use hg_eval::{
    Cohort, ColumnComparison, Columns, Evaluation, Pairs, Report, Simulator, Subject, Verdict,
    measures,
};
use hg_train::{Run, RunManifest};
use indicatif::{ProgressBar, ProgressStyle};
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
    let real = cohort(&encoder, &real_table, real, Subset::Whole, Origin::Real)?;
    let path = synthetic;
    let synthetic = cohort(&encoder, &synthetic_table, path, Subset::Whole, Origin::Synthetic)?;
    let identifiers = Identifiers::find(&schema, &real_table, &synthetic_table)?;
    let subject = Subject::new(&encoder, &real, &synthetic)
        .with_identifiers(&identifiers)
        .with_simulator(simulated.as_ref().map(|simulated| simulated as &dyn Simulator));
    let evaluation = measure(&subject)?;
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
    let real = cohort(encoder, &table, data, train.training_subset(), Origin::Real)?;
    let held_out = match train.held_out_subset() {
        Some(side) => Some(cohort(encoder, &table, data, side, Origin::Real)?),
        None => None,
    };
    let path = run.synthetic_parquet();
    let synthetic_table = encoder.schema.read(&path)?;
    let synthetic = cohort(encoder, &synthetic_table, &path, Subset::Whole, Origin::Synthetic)?;
    let simulated = Simulated::of(encoder, data)?;
    // Of all real patients: one who was held out is no less real.
    let identifiers = Identifiers::find(&encoder.schema, &table, &synthetic_table)?;
    let subject = Subject::new(encoder, &real, &synthetic)
        .with_held_out(held_out.as_ref())
        .with_identifiers(&identifiers)
        .with_simulator(simulated.as_ref().map(|simulated| simulated as &dyn Simulator));
    let evaluation = measure(&subject)?;
    let report = Report::new(&subject, &evaluation, &curves(&run.metrics()?))?;
    write_report(&evaluation, &report, &run.report())?;
    Ok((evaluation, run.report().join(PAGE)))
}

/// Computes all measures, with a bar on stderr, where that is a terminal.
fn measure(subject: &Subject<'_>) -> Result<Evaluation> {
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} · {elapsed} · {msg}");
    let measures = measures();
    let bar = ProgressBar::new(measures.len() as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_secs(1));
    let mut begun = 0;
    let evaluation = hg_eval::evaluate(subject, &measures, &mut |stage| {
        bar.set_position(begun);
        bar.set_message(stage);
        begun += 1;
    });
    bar.finish_and_clear();
    Ok(evaluation?)
}

fn cohort(
    encoder: &Encoder,
    table: &DataFrame,
    path: &Path,
    side: Subset,
    origin: Origin,
) -> Result<Cohort> {
    let (observed, encoded) = encoder.observe(table, path, side, origin)?;
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
    serde_json::to_string(evaluation)
        .map_err(|e| Error::Other(format!("cannot write the comparison as JSON: {e}")))
}

pub(crate) fn print(evaluation: &Evaluation) {
    print_columns(evaluation);
    for (topic, answers) in evaluation.answers_by_topic() {
        println!("\n{}", topic.question());
        for answer in answers {
            let verdict = match answer.verdict {
                Verdict::Passed => "passed",
                Verdict::Failed => "FAILED",
                Verdict::Open => "open  ",
            };
            println!("  {verdict}  {:<14} {}", answer.about, answer.because);
        }
    }
}

/// The table of columns, and means over them and their pairs.
fn print_columns(evaluation: &Evaluation) {
    let Some(found) = evaluation.detail::<Columns>("column-distances") else { return };
    println!("{}", columns_table(&found.columns));

    let pairs = evaluation.detail::<Pairs>("pairs");
    println!(
        "distance: Kolmogorov–Smirnov for numbers (mean {}), total variation for levels (mean {}); \
         0 is equal, 1 disjoint.\nmean difference of correlations: {}",
        or_nothing(found.distances.mean_ks),
        or_nothing(found.distances.mean_total_variation),
        or_nothing(pairs.and_then(|pairs| pairs.differences.correlation_difference))
    );
    if let Some(yardstick) = &found.held_out {
        println!(
            "yardstick, the patients held out against those trained on: {}, {}, {}",
            or_nothing(yardstick.mean_ks),
            or_nothing(yardstick.mean_total_variation),
            or_nothing(
                pairs.and_then(|pairs| pairs.held_out).and_then(|d| d.correlation_difference)
            )
        );
    }
}

fn columns_table(columns: &[ColumnComparison]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header([
        "column",
        "real",
        "synthetic",
        "missing real",
        "missing synth.",
        "distance",
    ]);
    for column in columns {
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
    table
}

/// What is shown where there are no values.
const NOTHING: &str = "–";

fn figure(value: f64) -> String {
    format!("{value:.3}")
}

fn or_nothing(value: Option<f64>) -> String {
    value.map_or(NOTHING.into(), figure)
}
