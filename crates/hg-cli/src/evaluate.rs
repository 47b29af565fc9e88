//! `hg evaluate`: the comparison, its pictures and its table.

use crate::error::{Error, Result};
use comfy_table::{CellAlignment, Table, presets};
use hg_data::{Observed, Side, write_atomically};
use hg_eval::{Comparison, Nearness, draw_correlations, draw_marginals, nearness};
use hg_train::{Run, RunManifest};
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// What the report says.
#[derive(Serialize)]
pub(crate) struct Evaluation {
    #[serde(flatten)]
    pub(crate) comparison: Comparison,
    /// From synthetic records to those that were trained on.
    nearness: Option<Nearness>,
    /// From records of patients that were held out.
    held_out_nearness: Option<Nearness>,
}

pub(crate) fn run(folder: &Path, json: bool) -> Result<()> {
    let run = Run::open(folder)?;
    let evaluation = evaluate(&run)?;
    if json {
        println!("{}", to_json(&evaluation)?);
    } else {
        print(&evaluation);
        println!("{}", run.report().display());
    }
    Ok(())
}

/// Compares the run's cohorts and writes the report's files.
pub(crate) fn evaluate(run: &Run) -> Result<Evaluation> {
    let schema = &run.encoder.schema;
    let RunManifest { data, train, .. } = &run.manifest;
    run.check_data()?;
    let synthetic_path = run.synthetic_parquet();
    let (real, synthetic) = (schema.read(data)?, schema.read(&synthetic_path)?);
    let observe = |side| Observed::new(schema, &real, data, side);
    let encode = |side| run.encoder.encode(&real, data, side);
    let trained_on = observe(train.training_side())?;
    let observed = Observed::new(schema, &synthetic, &synthetic_path, Side::Whole)?;
    let mut comparison = Comparison::new(schema, &trained_on, &observed);
    let trained_on_rows = encode(train.training_side())?;
    let mut held_out_nearness = None;
    if let Some(side) = train.held_out_side() {
        let held_out = Comparison::new(schema, &trained_on, &observe(side)?);
        comparison.held_out = Some(held_out.distances);
        held_out_nearness = nearness(&encode(side)?, &trained_on_rows);
    }
    let encoded = run.encoder.encode(&synthetic, &synthetic_path, Side::Whole)?;
    let nearness = nearness(&encoded, &trained_on_rows);
    draw_marginals(&comparison, &run.report().join("marginals.svg"))?;
    draw_correlations(&comparison, &run.report().join("correlations.svg"))?;
    let evaluation = Evaluation { comparison, nearness, held_out_nearness };
    let json = to_json(&evaluation)?;
    let path = run.report().join("comparison.json");
    write_atomically(&path, |file| {
        let failed = |e| Error::Other(format!("{}: cannot write: {e}", path.display()));
        file.write_all(json.as_bytes()).map_err(failed)
    })?;
    Ok(evaluation)
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
