//! `hg evaluate`: the comparison, its pictures and its table.

use crate::arguments::EvaluateArguments;
use crate::curves::curves;
use crate::error::{Error, Result};
use comfy_table::{CellAlignment, Table, presets};
use hg_data::{Encoded, Encoder, Observed, Schema, Side, write_atomically};
use hg_eval::{
    Auc, Comparison, Nearness, discriminate, draw_correlations, draw_curves, draw_marginals,
    nearness,
};
use hg_train::{Run, RunManifest, layout_of};
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// What the report says.
#[derive(Serialize)]
pub(crate) struct Evaluation {
    #[serde(flatten)]
    pub(crate) comparison: Comparison,
    /// How well a classifier tells synthetic patients from those that were trained on.
    discriminative: Option<Auc>,
    /// The same for patients that were held out.
    held_out_discriminative: Option<Auc>,
    /// From synthetic records to those that were trained on.
    nearness: Option<Nearness>,
    /// From records of patients that were held out.
    held_out_nearness: Option<Nearness>,
}

/// A cohort, as it was observed and encoded.
struct Cohort {
    observed: Observed,
    encoded: Encoded,
}

pub(crate) fn run(arguments: &EvaluateArguments, json: bool) -> Result<()> {
    if let Some(folder) = &arguments.run {
        let run = Run::open(folder)?;
        let evaluation = evaluate(&run)?;
        show(&evaluation, json)?;
        if !json {
            println!("{}", run.report().display());
        }
        return Ok(());
    }
    let (Some(real), Some(synthetic), Some(schema)) =
        (&arguments.real, &arguments.synthetic, &arguments.schema)
    else {
        return Err(Error::Other("--real, --synthetic and --schema belong together".into()));
    };
    let schema = Schema::load(schema)?;
    let (encoder, _) = Encoder::fit_file(&schema, real, Side::Whole)?;
    let cohort = |table: &Path| cohort(&encoder, &schema.read(table)?, table, Side::Whole);
    let evaluation = compare(&encoder, &cohort(real)?, None, &cohort(synthetic)?)?;
    show(&evaluation, json)?;
    if let Some(out) = &arguments.out {
        let failed = |e| hg_data::Error::File {
            path: out.clone(),
            problem: format!("cannot make the folder: {e}"),
        };
        std::fs::create_dir_all(out).map_err(failed)?;
        write_report(&evaluation, out)?;
        if !json {
            println!("{}", out.display());
        }
    }
    Ok(())
}

/// Compares the run's cohorts and writes the report's files.
pub(crate) fn evaluate(run: &Run) -> Result<Evaluation> {
    let encoder = &run.encoder;
    let RunManifest { data, train, .. } = &run.manifest;
    run.check_data()?;
    let real = encoder.schema.read(data)?;
    let trained_on = cohort(encoder, &real, data, train.training_side())?;
    let held_out = match train.held_out_side() {
        Some(side) => Some(cohort(encoder, &real, data, side)?),
        None => None,
    };
    let path = run.synthetic_parquet();
    let synthetic = cohort(encoder, &encoder.schema.read(&path)?, &path, Side::Whole)?;
    let evaluation = compare(encoder, &trained_on, held_out.as_ref(), &synthetic)?;
    write_report(&evaluation, &run.report())?;
    draw_curves(&curves(&run.metrics()?), &run.report().join("learning.svg"))?;
    Ok(evaluation)
}

fn cohort(
    encoder: &Encoder,
    table: &hg_data::DataFrame,
    path: &Path,
    side: Side,
) -> Result<Cohort> {
    let observed = Observed::new(&encoder.schema, table, path, side)?;
    Ok(Cohort { observed, encoded: encoder.encode(table, path, side)? })
}

fn compare(
    encoder: &Encoder,
    real: &Cohort,
    held_out: Option<&Cohort>,
    synthetic: &Cohort,
) -> Result<Evaluation> {
    let mut comparison = Comparison::new(&encoder.schema, &real.observed, &synthetic.observed);
    let layout = layout_of(encoder);
    let discriminative = discriminate(&real.encoded, &synthetic.encoded, &layout, 0)?;
    let (mut held_out_nearness, mut held_out_discriminative) = (None, None);
    if let Some(held_out) = held_out {
        let distances = Comparison::new(&encoder.schema, &real.observed, &held_out.observed);
        comparison.held_out = Some(distances.distances);
        held_out_nearness = nearness(&held_out.encoded, &real.encoded);
        held_out_discriminative = discriminate(&real.encoded, &held_out.encoded, &layout, 0)?;
    }
    let nearness = nearness(&synthetic.encoded, &real.encoded);
    Ok(Evaluation {
        comparison,
        discriminative,
        held_out_discriminative,
        nearness,
        held_out_nearness,
    })
}

fn write_report(evaluation: &Evaluation, folder: &Path) -> Result<()> {
    draw_marginals(&evaluation.comparison, &folder.join("marginals.svg"))?;
    draw_correlations(&evaluation.comparison, &folder.join("correlations.svg"))?;
    let json = to_json(evaluation)?;
    let path = folder.join("comparison.json");
    write_atomically(&path, |file| {
        let failed = |e| Error::Other(format!("{}: cannot write: {e}", path.display()));
        file.write_all(json.as_bytes()).map_err(failed)
    })
}

fn show(evaluation: &Evaluation, json: bool) -> Result<()> {
    if json {
        println!("{}", to_json(evaluation)?);
    } else {
        print(evaluation);
    }
    Ok(())
}

fn to_json(evaluation: &Evaluation) -> Result<String> {
    serde_json::to_string(evaluation)
        .map_err(|e| Error::Other(format!("cannot write the comparison as JSON: {e}")))
}

pub(crate) fn print(evaluation: &Evaluation) {
    print_table(&evaluation.comparison);
    let line = |what: &str, near: &Option<Nearness>| {
        if let Some(Nearness { least, low, median, copies, records }) = near {
            println!(
                "{what}: {copies} of {records} records equal one; distances from {least:.3}, \
                 5 % below {low:.3}, median {median:.3}"
            );
        }
    };
    let told_apart = |who: &str, auc: &Option<Auc>| {
        if let Some(Auc { area, low, high }) = auc {
            println!(
                "a classifier tells {who} patients from those trained on with an area under the \
                 curve of {area:.2} ({low:.2} to {high:.2}); 0.5 is chance"
            );
        }
    };
    told_apart("synthetic", &evaluation.discriminative);
    told_apart("held-out", &evaluation.held_out_discriminative);
    line("nearest trained-on record, from synthetic ones", &evaluation.nearness);
    line("nearest trained-on record, from held-out ones", &evaluation.held_out_nearness);
}

fn print_table(comparison: &Comparison) {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header([
        "column",
        "real",
        "synthetic",
        "missing real",
        "missing synth.",
        "distance",
    ]);
    for column in &comparison.columns {
        let spread = |mean: f64, deviation: f64| {
            if column.levels.is_empty() {
                format!("{mean:.2} ± {deviation:.2}")
            } else {
                "".into()
            }
        };
        let shares = |values: &[f64]| {
            let share = |level: usize| {
                let there = values.iter().filter(|&&value| value as usize == level).count();
                format!("{:.0}", 100. * there as f64 / values.len().max(1) as f64)
            };
            let all: Vec<String> = (0..column.levels.len()).map(share).collect();
            if all.is_empty() { String::new() } else { format!("{} %", all.join(" / ")) }
        };
        table.add_row([
            column.name.clone(),
            spread(column.real_mean, column.real_deviation) + &shares(&column.real),
            spread(column.synthetic_mean, column.synthetic_deviation) + &shares(&column.synthetic),
            format!("{:.0} %", 100. * column.real_missing),
            format!("{:.0} %", 100. * column.synthetic_missing),
            format!("{:.3}", column.distance),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    println!(
        "distance: Kolmogorov–Smirnov for numbers (mean {:.3}), total variation for levels \
         (mean {:.3}); 0 is equal, 1 disjoint.\nmean difference of correlations: {:.3}",
        comparison.distances.mean_ks,
        comparison.distances.mean_total_variation,
        comparison.distances.correlation_difference
    );
    if let Some(yardstick) = &comparison.held_out {
        println!(
            "yardstick, the patients held out against those trained on: {:.3}, {:.3}, {:.3}",
            yardstick.mean_ks, yardstick.mean_total_variation, yardstick.correlation_difference
        );
    }
}
