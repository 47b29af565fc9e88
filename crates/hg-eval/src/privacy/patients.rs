//! A patient as one row: the mean of each number, the commonest of each column's levels.

use crate::statistics::mean;
use hg_data::{Column, Observed, Schema};

/// Patients as one row each.
pub(crate) struct Patients {
    /// By column and patient; `None` where nothing was observed.
    pub(crate) columns: Vec<Vec<Option<f64>>>,
    /// How many there are.
    pub(crate) count: usize,
}

impl Patients {
    /// Of a cohort on the schema's grid.
    pub(crate) fn new(schema: &Schema, observed: &Observed) -> Self {
        Self::by(schema, observed, |column, seen| match column.is_numeric() {
            true => mean(seen.iter().copied()),
            false => commonest(seen),
        })
    }

    /// With the first value of each column in place of the mean or the commonest.
    pub(crate) fn of_first_values(schema: &Schema, observed: &Observed) -> Self {
        Self::by(schema, observed, |_, seen| seen.first().copied())
    }

    /// With what is made of a column's values of each patient.
    fn by(
        schema: &Schema,
        observed: &Observed,
        of: impl Fn(&Column, &[f64]) -> Option<f64>,
    ) -> Self {
        let columns = schema.columns.iter().zip(&observed.columns).map(|(column, cells)| {
            let mut cells = cells.as_slice();
            let patients = observed.lengths.iter().map(|&length| {
                let (own, others) = cells.split_at(length);
                cells = others;
                let seen = own.iter().flatten().copied().filter(|value| value.is_finite());
                of(column, &seen.collect::<Vec<f64>>())
            });
            patients.collect()
        });
        Self { columns: columns.collect(), count: observed.lengths.len() }
    }
}

/// The commonest of some positions of levels; of equally common ones, the first level.
pub(crate) fn commonest(positions: &[f64]) -> Option<f64> {
    let mut sorted = positions.to_vec();
    sorted.sort_by(f64::total_cmp);
    // Of equal runs max_by_key takes the last, so they are gone through from the end.
    let longest = sorted.chunk_by(|a, b| a == b).rev().max_by_key(|run| run.len());
    longest.map(|run| run[0])
}
