//! Attribute inference: what somebody who knows a few columns of a person guesses of the others.
//!
//! The guess is that of the synthetic patients who come nearest in what is known (the median of
//! numbers, the commonest level). Whoever was never trained on is guessed as well as the cohort
//! allows; only what is guessed better of those who were has leaked (Giomi et al., *Anonymeter*,
//! PoPETs 2023).

use super::disclosure::PATIENTS;
use super::patients::{Patients, commonest};
use super::secrets::{SensitiveAttributes, median};
use crate::statistics::{deviation, mean, stride};
use crate::{Auc, auc};
use hg_data::{Kind, Schema};
use rayon::prelude::*;
use serde::Serialize;

/// How well columns are guessed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Inference {
    /// The share of right guesses of patients that were trained on.
    pub trained_on: f64,
    /// Of those that were not.
    pub others: f64,
    /// How well the share of right guesses tells one from the other: ½ is not at all.
    pub told_apart: Auc,
}

/// `None` where the schema knows no column that an attacker may know, or a side has fewer than
/// two patients.
pub(crate) fn inference(
    schema: &Schema,
    real: &Patients,
    others: &Patients,
    synthetic: &Patients,
) -> Option<Inference> {
    let secrets = SensitiveAttributes::new(schema, real, synthetic)?;
    if synthetic.count == 0 {
        return None;
    }
    // What one unit of distance is: a level, or a standard deviation.
    let scales: Vec<Option<f64>> = secrets
        .known
        .iter()
        .map(|&n| {
            let seen: Vec<f64> = real.columns[n].iter().flatten().copied().collect();
            let is_number = schema.columns[n].kind == Kind::Numeric;
            is_number.then(|| deviation(&seen).unwrap_or(0.).max(f64::MIN_POSITIVE))
        })
        .collect();
    let distance = |side: &Patients, patient: usize, other: usize| -> f64 {
        let of = |(&n, scale): (&usize, &Option<f64>)| match (
            side.columns[n][patient],
            synthetic.columns[n][other],
            scale,
        ) {
            (Some(a), Some(b), Some(deviation)) => ((a - b) / deviation).abs(),
            (a, b, _) => f64::from(u8::from(a != b)),
        };
        secrets.known.iter().zip(&scales).map(of).sum()
    };
    let rights = |side: &Patients| -> Vec<f64> {
        let every = stride(side.count, PATIENTS);
        let patients: Vec<usize> = (0..side.count).step_by(every).collect();
        let right = |&patient: &usize| {
            let mut nearest = (f64::INFINITY, Vec::new());
            for other in 0..synthetic.count {
                let apart = distance(side, patient, other);
                if apart < nearest.0 {
                    nearest = (apart, vec![other]);
                } else if apart == nearest.0 {
                    nearest.1.push(other);
                }
            }
            let asked = secrets.columns.iter().filter_map(|secret| {
                let truth = side.columns[secret.column][patient]?;
                let seen = nearest.1.iter().filter_map(|&n| synthetic.columns[secret.column][n]);
                let seen: Vec<f64> = seen.collect();
                let guess = match (seen.is_empty(), secret.is_number()) {
                    (true, _) => None,
                    (false, true) => Some(median(seen)),
                    (false, false) => commonest(&seen),
                };
                let is_right = guess.is_some_and(|guess| secret.is_right(guess, truth));
                Some(f64::from(u8::from(is_right)))
            });
            // Of whom nothing is known, nothing is guessed right.
            mean(asked).unwrap_or(0.)
        };
        patients.par_iter().map(right).collect()
    };
    let (of_real, of_others) = (rights(real), rights(others));
    Some(Inference {
        trained_on: mean(of_real.iter().copied())?,
        others: mean(of_others.iter().copied())?,
        told_apart: auc(&of_real, &of_others)?,
    })
}
