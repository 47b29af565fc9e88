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
//! Quantile → normal, over a table of the values at m equally spaced quantiles:
//!
//! ```text
//! y = Φ⁻¹((p (m−1) + ½)/m),   p = the position of x in the table, in [0, 1]
//! ```

use crate::Transform;
use crate::quantile_table::QuantileTable;
use crate::schema::transform::TransformKey;
use argmin::core::{CostFunction, Executor, State};
use argmin::solver::brent::BrentOpt;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

/// A value may lie this many widths of the fitted range beyond it: a slip of the pen, or
/// a generator's fault, would otherwise drown every other number of a row.
const FARTHEST: f64 = 10.;

/// A transform with its parameters, then min–max to [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "SavedTransform")]
pub struct FittedTransform {
    curve: Curve,
    /// The least observed value, transformed, less the margin.
    low: f64,
    /// The greatest observed value, transformed, and the margin.
    high: f64,
}

/// A transform with what was fitted of it; every one is monotone.
#[derive(Clone, Debug, PartialEq)]
enum Curve {
    Identity,
    Log1p,
    Sqrt,
    BoxCox {
        shift: f64,
        lambda: f64,
        /// The mean of the shifted values' logarithms.
        mean_log: f64,
    },
    Quantile(QuantileTable),
}

impl Curve {
    /// Fits to ascending values at which the transform is defined.
    fn fit(transform: Transform, values: &[f64]) -> Self {
        match transform {
            Transform::Identity => Self::Identity,
            Transform::Log1p => Self::Log1p,
            Transform::Sqrt => Self::Sqrt,
            Transform::BoxCox { shift } => {
                let shifted: Vec<f64> = values.iter().map(|x| x + shift).collect();
                let logs = shifted.iter().map(|x| x.ln()).sum::<f64>();
                let mean_log = logs / values.len().max(1) as f64;
                Self::BoxCox { shift, lambda: box_cox_lambda(&shifted), mean_log }
            }
            Transform::Quantile => Self::Quantile(QuantileTable::of(values)),
        }
    }

    /// x → y
    fn forward(&self, x: f64) -> f64 {
        match self {
            Self::Identity => x,
            Self::Log1p => x.ln_1p(),
            Self::Sqrt => x.sqrt(),
            Self::BoxCox { shift, lambda, mean_log } => box_cox(x + shift, *lambda, *mean_log),
            Self::Quantile(table) => {
                let m = table.count() as f64;
                Normal::standard().inverse_cdf((table.position(x) * (m - 1.) + 0.5) / m)
            }
        }
    }

    /// y → x
    fn inverse(&self, y: f64) -> f64 {
        match self {
            Self::Identity => y,
            Self::Log1p => y.exp_m1(),
            // A margin can lead below 0.
            Self::Sqrt => y.max(0.).powi(2),
            Self::BoxCox { shift, lambda, mean_log } => {
                box_cox_inverse(y, *lambda, *mean_log) - shift
            }
            Self::Quantile(table) => {
                let m = table.count() as f64;
                table.value((Normal::standard().cdf(y) * m - 0.5) / (m - 1.))
            }
        }
    }
}

impl FittedTransform {
    /// Where encoded values lie, [0, 1] being the fitted range.
    pub const RANGE: [f64; 2] = [-FARTHEST, 1. + FARTHEST];

    /// Fits to observed values (finite, ascending; at least one). `margin` widens
    /// the range on both sides, as a share of it.
    ///
    /// # Errors
    /// The offending value, when the transform is not defined, or infinite, there.
    pub fn fit(transform: Transform, margin: f64, values: &[f64]) -> Result<Self, f64> {
        if let Some(&x) = values.iter().find(|&&x| !transform.is_defined_at(x)) {
            return Err(x);
        }
        let curve = Curve::fit(transform, values);
        let [low, high] = [values[0], values[values.len() - 1]].map(|x| curve.forward(x));
        let margin = margin * (high - low);
        let (low, high) = (low - margin, high + margin);
        match (high - low).is_finite() {
            true => Ok(Self { curve, low, high }),
            false => Err(values[values.len() - 1]),
        }
    }

    /// λ of Box–Cox, where that is the transform.
    pub fn lambda(&self) -> Option<f64> {
        match self.curve {
            Curve::BoxCox { lambda, .. } => Some(lambda),
            Curve::Identity | Curve::Log1p | Curve::Sqrt | Curve::Quantile(_) => None,
        }
    }

    /// A value → [0, 1] (0 everywhere for a constant column). Values beyond those that it was
    /// fitted to go beyond [0, 1]; those that it [has no place for](Self::has_place_for) go to
    /// the nearest end.
    pub fn encode(&self, x: f64) -> f64 {
        if self.high <= self.low {
            return 0.;
        }
        let unit = self.unit(x);
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
        (-FARTHEST..=1. + FARTHEST).contains(&self.unit(x))
    }

    /// [0, 1] → a value within the observed range and its margins.
    pub fn decode(&self, unit: f64) -> f64 {
        self.curve.inverse(self.low + unit.clamp(0., 1.) * (self.high - self.low))
    }

    /// Where a value lies between the ends, which are 0 and 1.
    fn unit(&self, x: f64) -> f64 {
        (self.curve.forward(x) - self.low) / (self.high - self.low)
    }
}

/// A transform as JSON holds it: every parameter of every transform, 0 where it has none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedTransform {
    transform: TransformKey,
    shift: f64,
    lambda: f64,
    mean_log: f64,
    #[serde(default, rename = "landmarks", skip_serializing_if = "Option::is_none")]
    quantiles: Option<QuantileTable>,
    low: f64,
    high: f64,
}

impl From<FittedTransform> for SavedTransform {
    fn from(fitted: FittedTransform) -> Self {
        let FittedTransform { curve, low, high } = fitted;
        let plain = |transform| Self {
            transform,
            shift: 0.,
            lambda: 0.,
            mean_log: 0.,
            quantiles: None,
            low,
            high,
        };
        match curve {
            Curve::Identity => plain(TransformKey::Identity),
            Curve::Log1p => plain(TransformKey::Log1p),
            Curve::Sqrt => plain(TransformKey::Sqrt),
            Curve::BoxCox { shift, lambda, mean_log } => {
                Self { shift, lambda, mean_log, ..plain(TransformKey::BoxCox) }
            }
            Curve::Quantile(table) => {
                Self { quantiles: Some(table), ..plain(TransformKey::Quantile) }
            }
        }
    }
}

impl TryFrom<SavedTransform> for FittedTransform {
    type Error = String;

    /// # Errors
    /// What is wrong with a transform that was edited or damaged, in words.
    fn try_from(saved: SavedTransform) -> Result<Self, String> {
        let SavedTransform { transform, shift, lambda, mean_log, quantiles, low, high } = saved;
        let numbers = [
            ("shift", shift),
            ("lambda", lambda),
            ("mean_log", mean_log),
            ("low", low),
            ("high", high),
        ];
        if let Some((name, x)) = numbers.into_iter().find(|(_, x)| !x.is_finite()) {
            return Err(format!("the transform's {name} is {x}, it must be finite"));
        }
        if high < low || !(high - low).is_finite() {
            return Err(format!("the transform's range from {low} to {high} is none"));
        }
        let curve = match (transform, quantiles) {
            (TransformKey::Identity, _) => Curve::Identity,
            (TransformKey::Log1p, _) => Curve::Log1p,
            (TransformKey::Sqrt, _) => Curve::Sqrt,
            (TransformKey::BoxCox, _) => Curve::BoxCox { shift, lambda, mean_log },
            (TransformKey::Quantile, Some(table)) => Curve::Quantile(table.checked()?),
            (TransformKey::Quantile, None) => {
                return Err("the quantile transform has no quantile table".into());
            }
        };
        Ok(Self { curve, low, high })
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
        let fitted =
            FittedTransform::fit(Transform::BoxCox { shift: 0. }, 0., &values).expect("fits");
        assert!(fitted.lambda().expect("box-cox").abs() < 1e-6, "{fitted:?}");
    }

    #[test]
    fn lambda_is_that_of_the_greatest_likelihood() {
        // By golden-section search over the likelihood as the module's documentation has it.
        let values = [0.5, 1., 2., 3., 5., 8., 13., 40.];
        let fitted = FittedTransform::fit(Transform::BoxCox { shift: 0. }, 0., &values);
        let lambda = fitted.expect("fits").lambda().expect("box-cox");
        assert!((lambda - -0.049_861_884).abs() < 1e-6, "{lambda}");
        let constant = FittedTransform::fit(Transform::BoxCox { shift: 1. }, 0., &[3., 3.]);
        assert_eq!(constant.expect("fits").lambda(), Some(1.));
        let other = FittedTransform::fit(Transform::Log1p, 0., &values).expect("fits");
        assert_eq!(other.lambda(), None);
    }

    #[test]
    fn the_margin_widens_the_range_on_both_sides() {
        let fitted = FittedTransform::fit(Transform::Identity, 0.1, &[10., 20.]).expect("fits");
        assert_eq!([0., 1.].map(|unit| fitted.decode(unit)), [9., 21.]);
        assert!((fitted.encode(15.) - 0.5).abs() < 1e-12);
        // Beyond ten widths of the range a value has no place.
        let fitted = FittedTransform::fit(Transform::Identity, 0., &[0., 1.]).expect("fits");
        for (x, has_place) in [(10.9, true), (11.1, false), (-9.9, true), (-10.1, false)] {
            assert_eq!(fitted.has_place_for(x), has_place, "{x}");
            let end = if x > 0. { 1. } else { 0. };
            assert_eq!(fitted.encode(x), if has_place { x } else { end }, "{x}");
        }
    }

    #[test]
    fn a_range_that_no_double_holds_is_refused() {
        let wide = [-1e308, 1e308];
        assert_eq!(FittedTransform::fit(Transform::Identity, 0., &wide), Err(1e308));
        assert_eq!(FittedTransform::fit(Transform::Identity, 10., &[0., 1e308]), Err(1e308));
        let fitted = FittedTransform::fit(Transform::Identity, 0., &[1., 2.]).expect("fits");
        let saved = SavedTransform { low: -1e308, high: 1e308, ..fitted.into() };
        let refused = FittedTransform::try_from(saved).expect_err("refused");
        assert!(refused.contains("range from"), "{refused}");
    }

    #[test]
    fn large_values_close_together_keep_their_digits() {
        let values = [3393.3, 3553.94, 4078.53];
        let fitted =
            FittedTransform::fit(Transform::BoxCox { shift: 0.001 }, 0., &values).expect("fits");
        for x in values {
            assert!((fitted.decode(fitted.encode(x)) - x).abs() < 1e-6, "{x} {fitted:?}");
        }
    }

    #[test]
    fn a_value_outside_the_domain_is_named() {
        assert_eq!(FittedTransform::fit(Transform::Log1p, 0., &[-2., 1.]), Err(-2.));
        assert_eq!(FittedTransform::fit(Transform::BoxCox { shift: 0.5 }, 0., &[-0.5]), Err(-0.5));
    }

    #[test]
    fn what_has_no_place_goes_to_the_nearest_end() {
        let values = [1., 2., 4., 8.];
        for (kind, outside) in [
            (Transform::Log1p, vec![(-1., 0.), (-5., 0.), (1e300, 1.)]),
            (Transform::BoxCox { shift: 0. }, vec![(0., 0.), (-0.3, 0.), (f64::INFINITY, 1.)]),
            (Transform::Identity, vec![(-1e308, 0.), (1e308, 1.), (f64::NAN, 0.)]),
        ] {
            let fitted = FittedTransform::fit(kind, 0., &values).expect("fits");
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
            for kind in Transform::ALL.into_iter().chain([Transform::BoxCox { shift }]) {
                let fitted = FittedTransform::fit(kind, margin, &values).expect("defined on x ≥ 0");
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
