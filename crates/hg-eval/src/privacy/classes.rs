//! Classes of equivalent patients: those with the same quasi-identifiers. Numbers are the same in the
//! same tenth of the patients that were trained on.

use super::patients::Patients;
use hg_data::{Kind, Schema};
use std::collections::HashMap;

/// The quasi-identifiers of a patient, in classes.
pub(crate) type Class = Vec<i64>;

/// How quasi-identifiers fall into classes.
pub(crate) struct Classes<'a> {
    quasi_identifiers: &'a [usize],
    /// Where the tenths of each begin; none for levels.
    cuts: Vec<Vec<f64>>,
}

impl<'a> Classes<'a> {
    pub(crate) fn new(schema: &Schema, quasi_identifiers: &'a [usize], real: &Patients) -> Self {
        let cuts = quasi_identifiers.iter().map(|&n| tenths(schema, n, &real.columns[n]));
        Self { quasi_identifiers, cuts: cuts.collect() }
    }

    /// The class of each patient.
    pub(crate) fn of(&self, patients: &Patients) -> Vec<Class> {
        let class = |patient: usize| -> Class {
            let of = |(&n, cuts): (&usize, &Vec<f64>)| match patients.columns[n][patient] {
                None => -1,
                Some(value) if cuts.is_empty() => value as i64,
                Some(value) => cuts.partition_point(|&cut| cut <= value) as i64,
            };
            self.quasi_identifiers.iter().zip(&self.cuts).map(of).collect()
        };
        (0..patients.count).map(class).collect()
    }
}

/// Where the tenths of a number's values begin; none for levels.
fn tenths(schema: &Schema, column: usize, cells: &[Option<f64>]) -> Vec<f64> {
    if schema.columns[column].kind != Kind::Numeric {
        return Vec::new();
    }
    let mut values: Vec<f64> = cells.iter().flatten().copied().collect();
    values.sort_by(f64::total_cmp);
    (1..10).filter_map(|n| values.get(n * values.len() / 10).copied()).collect()
}

/// How many patients are in each class.
pub(crate) fn sizes(classes: &[Class]) -> HashMap<&Class, usize> {
    let mut sizes = HashMap::new();
    classes.iter().for_each(|class| *sizes.entry(class).or_default() += 1);
    sizes
}
