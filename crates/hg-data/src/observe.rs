//! A table on the schema's grid, as numbers: what measures compare.

use crate::grid::grid;
use crate::levels::settled;
use crate::typed::check;
use crate::{Result, Schema, Side};
use polars::prelude::DataFrame;
use std::path::Path;

/// The observed cells of a cohort, patient after patient and step after step;
/// steps of the grid at which nothing at all was observed are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// One entry per schema column, in schema order: values, or positions of
    /// levels; `None` where nothing was measured.
    pub columns: Vec<Vec<Option<f64>>>,
    /// Observed steps of each patient.
    pub lengths: Vec<usize>,
}

impl Observed {
    /// Checks `table` against `schema` and puts one side of it on the grid; `path` is for
    /// messages.
    ///
    /// # Errors
    /// The first thing in the table that does not fit the schema.
    pub fn new(schema: &Schema, table: &DataFrame, path: &Path, side: Side) -> Result<Self> {
        let schema = &settled(schema, table, path)?;
        let gridded = grid(side.of(check(table, schema, path, 0)?)?, schema, path)?;
        let cells = |name: &str| Ok(gridded.frame.column(name)?.f64()?.iter().collect());
        let columns: Vec<Vec<Option<f64>>> =
            schema.columns.iter().map(|column| cells(&column.name)).collect::<Result<_>>()?;
        let seen = |row: &usize| columns.iter().any(|cells| cells[*row].is_some());
        let rows: Vec<usize> = (0..gridded.frame.height()).filter(seen).collect();
        let mut lengths = vec![0; gridded.lengths.len()];
        let mut patients = gridded.lengths.iter().enumerate();
        let (mut patient, mut end) = (0, 0);
        for &row in &rows {
            while row >= end {
                let Some((next, length)) = patients.next() else { break };
                (patient, end) = (next, end + length);
            }
            lengths[patient] += 1;
        }
        let at_rows = |cells: &Vec<Option<f64>>| rows.iter().map(|&row| cells[row]).collect();
        Ok(Self { columns: columns.iter().map(at_rows).collect(), lengths })
    }
}
