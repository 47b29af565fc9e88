//! What is observed of a column over time, patient by patient, for the measures of courses.

use crate::statistics::kolmogorov_smirnov;
use hg_data::{Kind, Observed, Schema};
use hg_judge::{Patient, patients};

/// The patients of a cohort, with their cells.
pub(super) struct Courses<'a> {
    cohort: &'a Observed,
    patients: Vec<Patient>,
}

impl<'a> Courses<'a> {
    pub(super) fn new(schema: &Schema, cohort: &'a Observed) -> Self {
        Self { cohort, patients: patients(schema, cohort) }
    }

    /// Those of every `nth` patient from one on.
    pub(super) fn every(&self, nth: usize, first: usize) -> Self {
        let chosen = self.patients.iter().skip(first).step_by(nth);
        Self { cohort: self.cohort, patients: chosen.cloned().collect() }
    }

    /// Two halves: what two draws of half the size differ by.
    pub(super) fn halves(&self) -> [Self; 2] {
        [0, 1].map(|first| self.every(2, first))
    }

    /// The patients who have a row.
    pub(super) fn patients(&self) -> &[Patient] {
        &self.patients
    }

    /// The finite values of a column in the order of time, by patient: when each was, from the
    /// patient's first row on, and the value.
    pub(super) fn observed(&self, column: usize) -> impl Iterator<Item = Vec<(f64, f64)>> {
        let cells = &self.cohort.columns[column];
        self.patients.iter().map(|patient| patient.observed(cells))
    }

    /// The time from a patient's first row to each later one.
    pub(super) fn times_since_first(&self) -> Vec<f64> {
        self.patients.iter().flat_map(|patient| patient.times().iter().skip(1).copied()).collect()
    }

    /// The time from each patient's first row to the last.
    pub(super) fn durations(&self) -> Vec<f64> {
        self.patients.iter().filter_map(|patient| patient.times().last().copied()).collect()
    }
}

/// Positions of the numeric columns that change.
pub(super) fn changing_numbers(schema: &Schema) -> Vec<usize> {
    let changes = |n: &usize| !schema.columns[*n].is_static;
    let is_number = |n: &usize| schema.columns[*n].kind == Kind::Numeric;
    (0..schema.columns.len()).filter(changes).filter(is_number).collect()
}

/// Kolmogorov and Smirnov's statistic of finite values; 1 where the second side has none, and
/// `None` where the first has none.
pub(super) fn distance_of_values(real: &[f64], other: &[f64]) -> Option<f64> {
    let is_there = real.iter().any(|value| value.is_finite());
    kolmogorov_smirnov(real, other).or(is_there.then_some(1.))
}

/// A column's name, and its unit where it has one.
pub(super) fn name_and_unit(name: &str, unit: &str) -> String {
    if unit.is_empty() { name.to_owned() } else { format!("{name} {unit}") }
}
