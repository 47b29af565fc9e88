//! The risk that a real patient is found by a synthetic one, and that something is learnt then
//! (El Emam, Mosquera & Bass, *J. Med. Internet Res.* 22(11):e23139, 2020):
//!
//! ```text
//! population to sample  1/N Σₛ Iₛ Rₛ / fₛ     an attacker looks for a person whom they know
//! sample to population  1/n Σₛ Iₛ Rₛ / Fₛ     an attacker asks who a record is
//! ```
//!
//! over the n real patients s of a population of N: fₛ and Fₛ are the patients and the people who
//! are like s in what is known, Iₛ whether a synthetic patient is too, and Rₛ whether it tells
//! something: at least 5 % of what is not known, right, and no more than half of the patients'
//! level. What we settled on where the paper leaves it open: known numbers are alike in the same
//! tenth of the real patients; of several synthetic patients who are alike, any one may be
//! taken, so Rₛ is their mean; nothing is taken off for errors in the data (λ = 1).

use super::patients::Patients;
use super::secrets::SensitiveAttributes;
use hg_data::{Kind, Schema};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::HashMap;

/// Regulators' limit (European Medicines Agency; Health Canada).
pub const IDENTIFICATION_LIMIT: f64 = 0.09;
/// The share of what is not known from which on something was learnt.
const LEARNT: f64 = 0.05;

/// The risk that a patient is identified, from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Identification {
    /// The columns that an attacker knows.
    pub known: Vec<String>,
    /// Of a person of the population.
    pub population_to_sample: f64,
    /// Of a record.
    pub sample_to_population: f64,
}

impl Identification {
    /// The greater of both.
    pub fn risk(&self) -> f64 {
        self.population_to_sample.max(self.sample_to_population)
    }
}

/// The known columns of a patient, in classes.
type Class = Vec<i64>;

/// `None` where the schema knows no column that an attacker may know.
pub(crate) fn identification(
    schema: &Schema,
    real: &Patients,
    others: Option<&Patients>,
    synthetic: &Patients,
) -> Option<Identification> {
    let secrets = SensitiveAttributes::new(schema, real, synthetic)?;
    let cuts: Vec<Vec<f64>> =
        secrets.known.iter().map(|&n| tenths(schema, n, &real.columns[n])).collect();
    let classes = |patients: &Patients| -> Vec<Class> {
        let class = |patient: usize| -> Class {
            let of = |(&n, cuts): (&usize, &Vec<f64>)| match patients.columns[n][patient] {
                None => -1,
                Some(value) if cuts.is_empty() => value as i64,
                Some(value) => cuts.partition_point(|&cut| cut <= value) as i64,
            };
            secrets.known.iter().zip(&cuts).map(of).collect()
        };
        (0..patients.count).map(class).collect()
    };
    let (of_real, of_synthetic) = (classes(real), classes(synthetic));
    let mut in_sample: HashMap<&Class, f64> = HashMap::new();
    of_real.iter().for_each(|class| *in_sample.entry(class).or_default() += 1.);
    let of_others = others.map(classes).unwrap_or_default();
    let mut in_table = in_sample.clone();
    of_others.iter().for_each(|class| *in_table.entry(class).or_default() += 1.);
    let mut alike: HashMap<&Class, Vec<usize>> = HashMap::new();
    of_synthetic.iter().enumerate().for_each(|(n, class)| alike.entry(class).or_default().push(n));

    let sample = real.count as f64;
    // People beyond the table are taken to be like those in it.
    let table = sample + of_others.len() as f64;
    let population = schema.patient.population.map_or(table, |people| (people as f64).max(table));
    let learnt = |patient: usize, other: usize| -> bool {
        let cell = |side: &Patients, column: usize, n: usize| side.columns[column][n];
        let (mut told, mut all) = (0., 0.);
        for secret in &secrets.columns {
            if let Some(truth) = cell(real, secret.column, patient) {
                all += 1.;
                let guess = cell(synthetic, secret.column, other);
                told += f64::from(u8::from(guess.is_some_and(|guess| secret.tells(guess, truth))));
            }
        }
        told > 0. && told >= LEARNT * all
    };
    let risks: Vec<(f64, f64)> = of_real
        .par_iter()
        .enumerate()
        .map(|(patient, class)| {
            let Some(found) = alike.get(class) else { return (0., 0.) };
            let told = found.iter().filter(|&&other| learnt(patient, other)).count() as f64;
            let told = told / found.len() as f64;
            (told / in_sample[class], told / (in_table[class] * population / table))
        })
        .collect();
    Some(Identification {
        known: secrets.known.iter().map(|&n| schema.columns[n].name.clone()).collect(),
        population_to_sample: risks.iter().map(|(of_sample, _)| of_sample).sum::<f64>()
            / population,
        sample_to_population: risks.iter().map(|(_, of_people)| of_people).sum::<f64>() / sample,
    })
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
