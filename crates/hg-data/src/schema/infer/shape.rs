//! Which transform makes a column's values roughly normal.

use crate::{FittedTransform, Transform};

/// A skewness that no transform is needed for.
const SMALL_SKEW: f64 = 0.8;

/// A transform and what the choice rests on.
pub(super) struct Suggestion {
    pub(super) why: String,
    pub(super) transform: Transform,
}

/// For values in ascending order, at least one. Those in `all` must be in its domain too.
pub(super) fn suggest(values: &[f64], all: &[f64]) -> Suggestion {
    let of = |why: String, transform| Suggestion { why, transform };
    let (Some(&least), Some(&greatest)) = (values.first(), values.last()) else {
        return of("nothing to go by".into(), Transform::Identity);
    };
    if least == greatest {
        return of("constant".into(), Transform::Identity);
    }
    let plain = skewness(values);
    if plain.abs() < SMALL_SKEW {
        return of(format!("skewness {plain:.1}"), Transform::Identity);
    }
    let lowest = all.first().copied().unwrap_or(least).min(least);
    let box_cox = Transform::BoxCox { shift: if lowest == 0. { 1. } else { 0. } };
    if lowest >= 0.
        && let Ok(fitted) = FittedTransform::fit(box_cox, 0., values)
        && FittedTransform::fit(box_cox, 0., all).is_ok()
    {
        let after: Vec<f64> = values.iter().map(|&x| fitted.encode(x)).collect();
        let after = skewness(&after);
        let lambda = fitted.lambda().unwrap_or(1.);
        if after.abs() < SMALL_SKEW {
            let why = format!("skewness {plain:.1}, {after:.1} after Box–Cox with λ = {lambda:.2}");
            return of(why, box_cox);
        }
    }
    of(format!("skewness {plain:.1}, which Box–Cox does not remove"), Transform::Quantile)
}

fn skewness(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let moment = |k: i32| values.iter().map(|x| (x - mean).powi(k)).sum::<f64>() / n;
    let deviation = moment(2).sqrt();
    if deviation > 0. { moment(3) / deviation.powi(3) } else { 0. }
}
