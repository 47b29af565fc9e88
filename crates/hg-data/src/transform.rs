//! Transforms of numeric columns, fitted to data.
//!
//! Box–Cox (Box & Cox, J. R. Stat. Soc. B 26, 1964):
//!
//! ```text
//! y = (x^λ − 1)/λ  (λ ≠ 0),  log x  (λ = 0);   λ maximises (λ−1) Σ log x − n/2 · log var(y)
//! ```
//!
//! It is computed of x divided by the geometric mean of the values, which changes y by a factor
//! and a constant alone, and both go with min–max. Without that, a λ of −5 puts all values of
//! some thousands into the last bits of a double.
//!
//! Quantile → normal, over m landmarks q (the values at m equally spaced quantiles):
//!
//! ```text
//! y = Φ⁻¹((p (m−1) + ½)/m),   p = where x stands among the landmarks, in [0, 1]
//! ```

use crate::Transform;
use crate::quantile_table::QuantileTable;
use argmin::core::{CostFunction, Executor, State};
use argmin::solver::brent::BrentOpt;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

/// So many times the width of the fitted range a value may lie beyond it: a slip of the pen, or
/// a generator's fault, would otherwise drown every other number of a row.
const FARTHEST: f64 = 10.;

/// A transform with its parameters, then min–max to [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedTransform {
    transform: Transform,
    /// Added before Box–Cox; 0 elsewhere.
    shift: f64,
    /// λ of Box–Cox; 0 elsewhere.
    lambda: f64,
    /// The mean of the shifted values' logarithms, for Box–Cox; 0 elsewhere.
    mean_log: f64,
    /// Of the quantile transform; none elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    landmarks: Option<QuantileTable>,
    /// The least observed value, transformed, less the margin.
    low: f64,
    /// The greatest observed value, transformed, and the margin.
    high: f64,
}

impl FittedTransform {
    /// Fits to observed values (finite, ascending; at least one). `margin` widens
    /// the range on both sides, as a share of it.
    ///
    /// # Errors
    /// The offending value, when the transform is not defined, or infinite, there.
    pub fn fit(transform: Transform, shift: f64, margin: f64, values: &[f64]) -> Result<Self, f64> {
        let defined = |x: f64| match transform {
            Transform::Identity | Transform::Quantile => true,
            Transform::Log1p => x > -1.,
            Transform::BoxCox => x + shift > 0.,
        };
        if let Some(&x) = values.iter().find(|&&x| !defined(x)) {
            return Err(x);
        }
        let (lambda, mean_log) = match transform {
            Transform::BoxCox => {
                let shifted: Vec<f64> = values.iter().map(|x| x + shift).collect();
                let logs = shifted.iter().map(|x| x.ln()).sum::<f64>();
                (box_cox_lambda(&shifted), logs / values.len().max(1) as f64)
            }
            _ => (0., 0.),
        };
        let landmarks = (transform == Transform::Quantile).then(|| QuantileTable::of(values));
        let mut fitted = Self { transform, shift, lambda, mean_log, landmarks, low: 0., high: 1. };
        // Every transform is monotone.
        let [low, high] = [values[0], values[values.len() - 1]].map(|x| fitted.forward(x));
        if !(high - low).is_finite() {
            return Err(values[values.len() - 1]);
        }
        let margin = margin * (high - low);
        (fitted.low, fitted.high) = (low - margin, high + margin);
        match (fitted.high - fitted.low).is_finite() {
            true => Ok(fitted),
            false => Err(values[values.len() - 1]),
        }
    }

    /// What is wrong with a transform that was read, in words.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self { shift, lambda, mean_log, low, high, .. } = self;
        let numbers = [
            ("shift", shift),
            ("lambda", lambda),
            ("mean_log", mean_log),
            ("low", low),
            ("high", high),
        ];
        if let Some((name, x)) = numbers.into_iter().find(|(_, x)| !x.is_finite()) {
            return Some(format!("the transform's {name} is {x}, it must be finite"));
        }
        if high < low || !(high - low).is_finite() {
            return Some(format!("the transform's range from {low} to {high} is none"));
        }
        match &self.landmarks {
            Some(landmarks) => landmarks.problem(),
            None if self.transform == Transform::Quantile => {
                Some("the quantile transform has no quantile table".into())
            }
            None => None,
        }
    }

    /// λ of Box–Cox, where that is the transform.
    pub fn lambda(&self) -> Option<f64> {
        matches!(self.transform, Transform::BoxCox).then_some(self.lambda)
    }

    /// A value → [0, 1] (0 everywhere for a constant column). Values beyond those that it was
    /// fitted to go beyond [0, 1]; those that it [has no place for](Self::has_place_for) go to
    /// the nearest end.
    pub fn encode(&self, x: f64) -> f64 {
        if self.high <= self.low {
            return 0.;
        }
        let unit = (self.forward(x) - self.low) / (self.high - self.low);
        match unit {
            _ if (-FARTHEST..=1. + FARTHEST).contains(&unit) => unit,
            // Every transform is monotone, and undefined below its domain.
            _ if unit > 1. => 1.,
            _ => 0.,
        }
    }

    /// Whether the transform is defined at a value, and the value not absurdly far from those
    /// that it was fitted to.
    pub fn has_place_for(&self, x: f64) -> bool {
        if self.high <= self.low {
            return x.is_finite();
        }
        let unit = (self.forward(x) - self.low) / (self.high - self.low);
        (-FARTHEST..=1. + FARTHEST).contains(&unit)
    }

    /// [0, 1] → a value within the observed range and its margins.
    pub fn decode(&self, unit: f64) -> f64 {
        let y = self.low + unit.clamp(0., 1.) * (self.high - self.low);
        match self.transform {
            Transform::Identity => y,
            Transform::Log1p => y.exp_m1(),
            Transform::BoxCox => box_cox_inverse(y, self.lambda, self.mean_log) - self.shift,
            Transform::Quantile => self.landmarks.as_ref().map_or(y, |landmarks| {
                let m = landmarks.count() as f64;
                landmarks.value((Normal::standard().cdf(y) * m - 0.5) / (m - 1.))
            }),
        }
    }

    fn forward(&self, x: f64) -> f64 {
        match self.transform {
            Transform::Identity => x,
            Transform::Log1p => x.ln_1p(),
            Transform::BoxCox => box_cox(x + self.shift, self.lambda, self.mean_log),
            Transform::Quantile => self.landmarks.as_ref().map_or(x, |landmarks| {
                let m = landmarks.count() as f64;
                Normal::standard().inverse_cdf((landmarks.position(x) * (m - 1.) + 0.5) / m)
            }),
        }
    }
}

fn box_cox(x: f64, lambda: f64, mean_log: f64) -> f64 {
    let log = x.ln() - mean_log;
    if lambda == 0. { log } else { (lambda * log).exp_m1() / lambda }
}

fn box_cox_inverse(y: f64, lambda: f64, mean_log: f64) -> f64 {
    let log = if lambda == 0. { y } else { (lambda * y).max(-1.).ln_1p() / lambda };
    (log + mean_log).exp()
}

struct NegativeLogLikelihood {
    logs: Vec<f64>,
    sum_of_logs: f64,
}

impl CostFunction for NegativeLogLikelihood {
    type Param = f64;
    type Output = f64;

    fn cost(&self, lambda: &f64) -> Result<f64, argmin::core::Error> {
        let transformed = |log: &f64| {
            if *lambda == 0. { *log } else { (lambda * log).exp_m1() / lambda }
        };
        let y: Vec<f64> = self.logs.iter().map(transformed).collect();
        let n = y.len() as f64;
        let mean = y.iter().sum::<f64>() / n;
        let squares = y.iter().map(|y| (y - mean).powi(2)).sum::<f64>();
        Ok(0.5 * n * (squares / n).ln() - (lambda - 1.) * self.sum_of_logs)
    }
}

/// Values that λ is fitted to; of more, every second, third … in ascending order is.
const MOST_FOR_LAMBDA: usize = 1 << 18;

/// λ of maximum likelihood; 1 (no change of shape) for a constant column.
fn box_cox_lambda(values: &[f64]) -> f64 {
    if values.iter().all(|&x| x == values[0]) {
        return 1.;
    }
    let step = values.len().div_ceil(MOST_FOR_LAMBDA);
    let mut logs: Vec<f64> = values.iter().step_by(step).map(|x| x.ln()).collect();
    // Of values divided by their geometric mean, whose logarithms sum to 0: the same maximum,
    // and no cancellation.
    let mean = logs.iter().sum::<f64>() / logs.len().max(1) as f64;
    logs.iter_mut().for_each(|log| *log -= mean);
    let sum_of_logs = logs.iter().sum();
    let problem = NegativeLogLikelihood { logs, sum_of_logs };
    let solver = BrentOpt::new(-5., 5.).set_tolerance(1e-9, 1e-10);
    let found = Executor::new(problem, solver).configure(|s| s.max_iters(200)).run();
    found.ok().and_then(|run| run.state().get_best_param().copied()).unwrap_or(1.)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn box_cox_of_powers_of_two_is_the_logarithm() {
        // Symmetric on the log scale, so the likelihood peaks at λ = 0.
        let values: Vec<f64> = (-6..=6).map(|k| 2f64.powi(k)).collect();
        let fitted = FittedTransform::fit(Transform::BoxCox, 0., 0., &values).expect("fits");
        assert!(fitted.lambda().expect("box-cox").abs() < 1e-6, "{fitted:?}");
    }

    #[test]
    fn large_values_close_together_keep_their_digits() {
        let values = [3393.3, 3553.94, 4078.53];
        let fitted = FittedTransform::fit(Transform::BoxCox, 0.001, 0., &values).expect("fits");
        for x in values {
            assert!((fitted.decode(fitted.encode(x)) - x).abs() < 1e-6, "{x} {fitted:?}");
        }
    }

    #[test]
    fn a_value_outside_the_domain_is_named() {
        assert_eq!(FittedTransform::fit(Transform::Log1p, 0., 0., &[-2., 1.]), Err(-2.));
        assert_eq!(FittedTransform::fit(Transform::BoxCox, 0.5, 0., &[-0.5]), Err(-0.5));
    }

    #[test]
    fn what_has_no_place_goes_to_the_nearest_end() {
        let values = [1., 2., 4., 8.];
        for (kind, outside) in [
            (Transform::Log1p, vec![(-1., 0.), (-5., 0.), (1e300, 1.)]),
            (Transform::BoxCox, vec![(0., 0.), (-0.3, 0.), (f64::INFINITY, 1.)]),
            (Transform::Identity, vec![(-1e308, 0.), (1e308, 1.), (f64::NAN, 0.)]),
        ] {
            let fitted = FittedTransform::fit(kind, 0., 0., &values).expect("fits");
            for (x, unit) in outside {
                assert!(!fitted.has_place_for(x), "{kind:?} {x}");
                assert_eq!(fitted.encode(x), unit, "{kind:?} {x}");
            }
            assert!(fitted.has_place_for(9.) && fitted.encode(9.) > 1., "{kind:?}");
        }
    }

    proptest! {
        #[test]
        fn decode_undoes_encode(
            values in prop::collection::vec(0f64..5000., 1..60),
            shift in 0.001f64..2.,
            margin in 0f64..0.5,
        ) {
            let mut values = values;
            values.sort_by(f64::total_cmp);
            let kinds =
                [Transform::Identity, Transform::Log1p, Transform::BoxCox, Transform::Quantile];
            for kind in kinds {
                let fitted = FittedTransform::fit(kind, shift, margin, &values).expect("defined on x ≥ 0");
                for &x in &values {
                    let unit = fitted.encode(x);
                    prop_assert!((0. ..=1. + 1e-12).contains(&unit));
                    let back = fitted.decode(unit);
                    prop_assert!((back - x).abs() < 1e-6 * x.abs().max(1.), "{kind:?} {x} {back}");
                }
            }
        }
    }
}
