//! `hg schema`: check, infer, json.

use crate::arguments::InferArguments;
use crate::error::Result;
use health_gym::data::{Encoder, RowCounts, Schema, Subset, write_atomically};
use std::io::Write;
use std::path::Path;

pub(crate) fn check(path: &Path, table: Option<&Path>, json: bool) -> Result<()> {
    let schema = Schema::load(path)?;
    let fitted = match table {
        Some(table) => Some(Encoder::fit_file(&schema, table, Subset::Whole)?),
        None => None,
    };
    let columns = schema.columns.len();
    if json {
        let table = fitted.as_ref().map(|(_, encoded)| {
            serde_json::json!({
                "patients": encoded.lengths.len(),
                "dropped_patients": encoded.counts.dropped_patients,
                "copies": encoded.counts.copies,
                "merged_rows": encoded.counts.merged_rows,
                "invented_steps": encoded.counts.invented_steps,
                "unknown_codes": encoded.counts.unknown_codes,
                "lone_patients": encoded.counts.lone_patients,
                "longest": encoded.steps,
                "features": encoded.features,
            })
        });
        println!("{}", serde_json::json!({"schema": path, "columns": columns, "table": table}));
        return Ok(());
    }
    println!("{}: sound, {columns} columns", path.display());
    if let (Some(table), Some((_, encoded))) = (table, fitted) {
        println!(
            "{}: fits, {} patients of up to {} steps ({} left out as too short), {} features a step",
            table.display(),
            encoded.lengths.len(),
            encoded.steps,
            encoded.counts.dropped_patients,
            encoded.features
        );
        for said in of_rows(&encoded.counts) {
            println!("{}: {said}", table.display());
        }
    }
    Ok(())
}

/// What a reader should know of a table's rows.
pub(crate) fn of_rows(counts: &RowCounts) -> Vec<String> {
    let RowCounts { copies, merged_rows, invented_steps, unknown_codes, lone_patients, .. } =
        *counts;
    let said = [
        (copies, "exact copies of rows are left out"),
        (merged_rows, "rows share a grid step with another, and are merged as `aggregate` says"),
        (unknown_codes, "rows have codes that no column has, and are left out"),
        (lone_patients, "patients have a row in a static table alone, and are left out"),
        (invented_steps, "grid steps have no row, and are filled as `impute` says"),
    ];
    said.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect()
}

pub(crate) fn infer(arguments: &InferArguments) -> Result<()> {
    let InferArguments { table, out, patient, time } = arguments;
    let proposal = health_gym::data::infer(table, patient.as_deref(), time.as_deref())?;
    // A proposal that its own table does not fit is of no use.
    let schema = Schema::parse(&proposal.toml, out)?;
    let (encoder, encoded) = Encoder::fit_file(&schema, table, Subset::Whole)?;
    if out.exists() {
        return Err(health_gym::data::Error::File {
            path: out.clone(),
            problem: "already exists; choose another --out, or remove it first".into(),
        }
        .into());
    }
    write_atomically(out, |file| {
        file.write_all(proposal.toml.as_bytes()).map_err(|e| health_gym::data::Error::File {
            path: out.clone(),
            problem: format!("cannot write the schema: {e}"),
        })
    })?;
    proposal.remarks.iter().for_each(|remark| tracing::info!("{remark}"));
    proposal.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    tracing::info!(
        "{} columns, {} patients of up to {} steps; read it through before you train",
        encoder.schema.columns.len(),
        encoded.lengths.len(),
        encoded.steps
    );
    println!("{}", out.display());
    Ok(())
}
