//! `hg schema check`.

use crate::error::Result;
use hg_data::{Encoder, Schema, read_table};
use std::path::Path;

pub(crate) fn check(path: &Path, table: Option<&Path>, json: bool) -> Result<()> {
    let schema = Schema::load(path)?;
    let fitted = match table {
        Some(table) => Some(Encoder::fit(&schema, &read_table(table)?, table)?),
        None => None,
    };
    let columns = schema.columns.len();
    if json {
        let table = fitted.as_ref().map(|(_, encoded)| {
            serde_json::json!({
                "patients": encoded.lengths.len(),
                "dropped_patients": encoded.dropped_patients,
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
            encoded.dropped_patients,
            encoded.features
        );
    }
    Ok(())
}
