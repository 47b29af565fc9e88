//! What a model that is trained on the synthetic cohort is worth on real patients (train on
//! synthetic, test on real; Esteban, Hyland & Rätsch, arXiv 1706.02633, 2017).
//!
//! The model predicts a patient's next row from the present one and the one before, by least
//! squares with a small ridge:
//!
//! ```text
//! x [1 + 2D], y [targets]:  W = (Σ x xᵀ + ρ n I)⁻¹ Σ x yᵀ
//! R² = 1 − Σ ‖y − Wᵀx‖² / Σ ‖y − ȳ‖²
//! ```
//!
//! It is linear because then nothing but the data decides: its training has no seed, no steps
//! and no rate.

use crate::judge::MIN_PATIENTS;
use crate::statistics::{is_finite, stride};
use crate::{Answer, Figure, FigureValue, Finding, Measure, Outcome, Result, Subject, Topic};
use hg_data::Encoded;
use nalgebra::DMatrix;
use rayon::prelude::*;
use serde::Serialize;

/// Patients of a side that are learnt from or tested; of more, evenly spread ones are.
const MAX_PATIENTS: usize = 2000;
/// ρ
const RIDGE: f64 = 1e-4;
/// Patients whose products are summed at once.
const PATIENTS_PER_SUM: usize = 50;

/// So much less of the variance may be predicted.
const LESS_PREDICTED: f64 = 0.1;
/// Steps from which on a prediction is judged: the standard error of R², at most √(0.6 / n), is
/// then as small as [`LESS_PREDICTED`].
const MIN_STEPS: usize = 60;

/// The share of the next step's variance that is predicted in real patients, R².
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Predictive {
    /// After training on synthetic patients.
    pub trained_on_synthetic: f64,
    /// After training on other real ones.
    pub trained_on_real: f64,
    /// The steps of real patients that it was tested on.
    pub steps: usize,
}

pub(crate) struct NextStepPrediction;

impl Measure for NextStepPrediction {
    fn id(&self) -> &'static str {
        "predictions"
    }

    fn topic(&self) -> Topic {
        Topic::Utility
    }

    fn stage(&self) -> &'static str {
        "predictions"
    }

    fn about(&self) -> &'static str {
        "Train on synthetic, test on real (Esteban, Hyland & Rätsch 2017, \
         [doi:10.48550/arXiv.1706.02633](https://doi.org/10.48550/arXiv.1706.02633)): a ridge \
         regression predicts a patient's next encoded row (columns that are not static) from the \
         present one and the one before. The figures are the shares R² of the variance that it \
         predicts in one half of the real patients, after training on synthetic patients and on \
         the other half; at most 1, and below 0 it is worse than the mean. Up to 0.1 less than \
         after training on real patients passes."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let encoder = subject.encoder;
        let columns = encoder.schema.columns.iter().enumerate();
        let changing = columns.filter(|(_, column)| !column.is_static);
        let targets: Vec<usize> = changing.flat_map(|(n, _)| encoder.features_of(n)).collect();
        let found = predictive(&subject.real.encoded, &subject.synthetic.encoded, &targets);

        let question = "Does a model that was trained on it predict real patients?";
        let finding = Finding::new()
            .with_answer(Answer::new("predictions", question, judge(subject, found)))
            .with_json("predictive", &found)?;
        let Some(found) = found else { return Ok(finding) };
        let figure = |name, share| Figure::new(name, FigureValue::ExplainedVariance(share));
        Ok(finding
            .with_figures([
                figure(
                    "next step, R² after training on synthetic patients",
                    found.trained_on_synthetic,
                ),
                figure("next step, R² after training on real ones", found.trained_on_real),
            ])
            .with_detail(found))
    }
}

fn judge(subject: &Subject<'_>, found: Option<Predictive>) -> Outcome {
    subject.patients().at_least(MIN_PATIENTS)?;
    let nothing = "no patient has two steps, or nothing changes from one to the next";
    let Predictive { trained_on_synthetic, trained_on_real, steps } = found.ok_or(nothing)?;
    if steps < MIN_STEPS {
        return Err(format!("there are {steps} steps to test on; it takes {MIN_STEPS} to ask"));
    }
    if trained_on_real <= 0. {
        return Err("not even real patients teach to predict others, so that there is nothing to \
                    compare with"
            .into());
    }
    let explained = match trained_on_synthetic {
        share if share < 0. => "none (it is worse than the mean)".into(),
        share => format!("{:.0} %", 100. * share),
    };
    let said = format!(
        "{explained} of the next step's variance, {:.0} % after training on real patients (up to \
         {:.0} less pass)",
        100. * trained_on_real,
        100. * LESS_PREDICTED
    );
    Ok((trained_on_synthetic >= trained_on_real - LESS_PREDICTED, said))
}

/// Tests on one half of the real patients, after training on synthetic ones and on the other
/// half. `targets` are the features that are predicted. `None` where a side has no patient of
/// two steps, or the targets do not change. Steps with a value that is not finite are left out.
pub fn predictive(real: &Encoded, synthetic: &Encoded, targets: &[usize]) -> Option<Predictive> {
    let half = |first: usize| spread((first..real.lengths.len()).step_by(2).collect());
    let (learnt_from, tested) = (half(0), half(1));
    let every = spread((0..synthetic.lengths.len()).collect());
    let tested = Moments::of(real, &tested, targets)?;
    let score = |from: &Encoded, patients: &[usize]| {
        tested.explained(&Moments::of(from, patients, targets)?.weights()?)
    };
    Some(Predictive {
        trained_on_synthetic: score(synthetic, &every)?,
        trained_on_real: score(real, &learnt_from)?,
        steps: tested.steps as usize,
    })
}

/// At most [`MAX_PATIENTS`] of these, evenly spread.
fn spread(patients: Vec<usize>) -> Vec<usize> {
    let every = stride(patients.len(), MAX_PATIENTS);
    patients.into_iter().step_by(every).collect()
}

/// Sums over steps with a next one.
struct Moments {
    /// `Σ x xᵀ`
    xx: DMatrix<f64>,
    /// `Σ x yᵀ`
    xy: DMatrix<f64>,
    /// `Σ y²`, by target.
    yy: Vec<f64>,
    steps: f64,
}

impl Moments {
    /// `None` where there is no step.
    fn of(encoded: &Encoded, patients: &[usize], targets: &[usize]) -> Option<Self> {
        let parts: Vec<Option<Self>> = patients
            .par_chunks(PATIENTS_PER_SUM)
            .map(|part| Self::of_part(encoded, part, targets))
            .collect();
        // In order, so that the sums are the same on any number of threads.
        parts.into_iter().flatten().reduce(|mut sum, part| {
            sum.xx += part.xx;
            sum.xy += part.xy;
            sum.yy.iter_mut().zip(part.yy).for_each(|(sum, part)| *sum += part);
            sum.steps += part.steps;
            sum
        })
    }

    /// The sums over these patients' steps; `None` where there is no step.
    fn of_part(encoded: &Encoded, patients: &[usize], targets: &[usize]) -> Option<Self> {
        let Encoded { lengths, features, .. } = encoded;
        let rows: Vec<[&[f32]; 3]> = patients
            .iter()
            .flat_map(|&patient| {
                let row = move |step: usize| encoded.row(patient, step);
                (1..lengths[patient]).map(move |t| [row(t.saturating_sub(2)), row(t - 1), row(t)])
            })
            .filter(|rows| rows.iter().all(|row| is_finite(row)))
            .collect();
        if rows.is_empty() || targets.is_empty() {
            return None;
        }
        let x = DMatrix::from_fn(rows.len(), 1 + 2 * features, |n, j| match j {
            0 => 1.,
            j if j <= *features => f64::from(rows[n][0][j - 1]),
            j => f64::from(rows[n][1][j - 1 - features]),
        });
        let y =
            DMatrix::from_fn(rows.len(), targets.len(), |n, j| f64::from(rows[n][2][targets[j]]));
        let yy = y.column_iter().map(|column| column.norm_squared()).collect();
        Some(Self { xx: x.tr_mul(&x), xy: x.tr_mul(&y), yy, steps: rows.len() as f64 })
    }

    /// `None` where the least squares have no solution.
    fn weights(&self) -> Option<DMatrix<f64>> {
        let size = self.xx.nrows();
        let ridge = DMatrix::identity(size, size) * (RIDGE * self.steps);
        Some((&self.xx + ridge).cholesky()?.solve(&self.xy))
    }

    /// R² of these steps; `None` where they do not vary.
    fn explained(&self, weights: &DMatrix<f64>) -> Option<f64> {
        // Σ‖y − Wᵀx‖² = Σy² − 2 tr Wᵀ Σxyᵀ + tr Wᵀ Σxxᵀ W; the first entry of x is 1, so Σy is
        // the first row of Σxyᵀ.
        let squares: f64 = self.yy.iter().sum();
        let around: f64 = squares - self.xy.row(0).norm_squared() / self.steps;
        let left = squares - 2. * weights.dot(&self.xy) + weights.dot(&(&self.xx * weights));
        let explained = (around > 1e-9 * squares.max(1.)).then(|| 1. - left / around);
        explained.filter(|share| share.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patients whose number goes on as `a·x + noise`.
    fn cohort(a: f32, patients: usize) -> Encoded {
        let (mut values, mut noise) = (Vec::new(), 12345u32);
        for _ in 0..patients {
            let mut x = 0f32;
            for _ in 0..20 {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                x = a * x + (noise >> 8) as f32 / (1 << 24) as f32 - 0.5;
                values.push(x);
            }
        }
        let lengths = vec![20; patients];
        Encoded {
            values: values.into(),
            lengths,
            steps: 20,
            features: 1,
            counts: Default::default(),
        }
    }

    #[test]
    fn a_cohort_with_the_same_law_teaches_as_much_and_one_with_another_less() {
        let real = cohort(0.8, 100);
        let same = predictive(&real, &cohort(0.8, 37), &[0]).expect("steps");
        // An AR(1) process explains a² of its variance, and less before it has settled.
        assert!((0.5..0.64).contains(&same.trained_on_real), "{same:?}");
        assert!((same.trained_on_synthetic - same.trained_on_real).abs() < 0.02, "{same:?}");
        let other = predictive(&real, &cohort(-0.8, 37), &[0]).expect("steps");
        assert!(other.trained_on_synthetic < 0., "{other:?}");
        assert_eq!(predictive(&real, &cohort(0., 0), &[0]), None);
    }
}
