//! How far patients are from each other in some columns: one standard deviation of a number counts 1, as
//! does another level, or a value that one of them lacks.

use super::patients::Patients;
use crate::statistics::deviation;
use hg_data::{Kind, Schema};

/// A distance of patients in some columns.
pub(crate) struct Distance<'a> {
    columns: &'a [usize],
    /// What one unit of distance is, by column: a standard deviation of a number, `None` for levels.
    scales: Vec<Option<f64>>,
}

impl<'a> Distance<'a> {
    /// In these columns, with the deviations of these patients.
    pub(crate) fn new(schema: &Schema, columns: &'a [usize], real: &Patients) -> Self {
        let scale = |&column: &usize| {
            let seen: Vec<f64> = real.columns[column].iter().flatten().copied().collect();
            let is_number = schema.columns[column].kind == Kind::Numeric;
            is_number.then(|| deviation(&seen).unwrap_or(0.).max(f64::MIN_POSITIVE))
        };
        Self { columns, scales: columns.iter().map(scale).collect() }
    }

    /// Of one patient from another.
    pub(crate) fn of(
        &self,
        (side, patient): (&Patients, usize),
        (others, other): (&Patients, usize),
    ) -> f64 {
        let of = |(&column, scale): (&usize, &Option<f64>)| {
            let cells = (side.columns[column][patient], others.columns[column][other]);
            match (cells, scale) {
                ((Some(a), Some(b)), Some(deviation)) => ((a - b) / deviation).abs(),
                ((a, b), _) => f64::from(u8::from(a != b)),
            }
        };
        self.columns.iter().zip(&self.scales).map(of).sum()
    }
}
