//! A distribution by its values at equally spaced quantiles.

use serde::{Deserialize, Serialize};

/// Observed values for each of the table's, so that a saved model does not hold the private
/// values one by one.
const VALUES_PER_QUANTILE: usize = 10;
/// The longest table.
const MAX_QUANTILES: usize = 1000;

/// The values at `m` equally spaced quantiles, the least and the greatest among them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct QuantileTable(Vec<f64>);

impl QuantileTable {
    /// Of ascending values, at least one.
    pub(crate) fn of(values: &[f64]) -> Self {
        let count = (values.len() / VALUES_PER_QUANTILE).clamp(2, MAX_QUANTILES);
        let at = |n: usize| quantile(values, n as f64 / (count - 1) as f64);
        Self((0..count).map(at).collect())
    }

    /// How many, at least 2.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The position of `x` in the table, in [0, 1]; in the middle of equal values, but at 0 and
    /// 1 for the least and the greatest.
    pub(crate) fn position(&self, x: f64) -> f64 {
        let (values, last) = (&self.0, self.0.len() - 1);
        // What is no number has no position; 0 is as good as any.
        if x <= values[0] || x.is_nan() {
            return 0.;
        }
        if x >= values[last] {
            return 1.;
        }
        let below = values.partition_point(|&value| value < x);
        let above = values.partition_point(|&value| value <= x);
        let position = if below < above {
            0.5 * (below + above - 1) as f64
        } else {
            let (low, high) = (values[below - 1], values[below]);
            (below - 1) as f64 + (x - low) / (high - low)
        };
        position / last as f64
    }

    /// A table that was read, if it can be one.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn checked(self) -> Result<Self, String> {
        let values = &self.0;
        if values.len() < 2 {
            let count = values.len();
            return Err(format!("a quantile table has {count} values, it needs at least 2"));
        }
        match values.iter().all(|x| x.is_finite()) && values.is_sorted() {
            true => Ok(self),
            false => Err("the values of a quantile table must be finite and ascend".into()),
        }
    }

    /// The value at a position; positions beyond [0, 1] are at its ends.
    pub(crate) fn value(&self, position: f64) -> f64 {
        quantile(&self.0, position.clamp(0., 1.))
    }
}

/// The quantile `share` of ascending values, linear between neighbours (numpy's
/// default).
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let at = share * (values.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(values.len() - 1);
    let (low, high, between) = (values[below], values[above], at - below as f64);
    if between == 0. {
        return low;
    }
    // Within the neighbours, whatever is rounded, and where their distance overflows.
    (low + between * (high - low)).clamp(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_the_position_in_their_middle_and_others_one_between() {
        let table = QuantileTable(vec![0., 5., 5., 5., 10.]);
        for (x, position) in [
            (-1., 0.),
            (0., 0.),
            (2.5, 0.125),
            (5., 0.5),
            (6., 0.8),
            (10., 1.),
            (1e9, 1.),
            (f64::NAN, 0.),
        ] {
            assert_eq!(table.position(x), position, "{x}");
        }
    }

    #[test]
    fn a_position_leads_back_to_its_value() {
        let values: Vec<f64> = (0..300).map(|n| f64::from(n / 3).powi(2)).collect();
        let table = QuantileTable::of(&values);
        assert_eq!(table.count(), 30);
        for x in values {
            let back = table.value(table.position(x));
            assert!((back - x).abs() < 1e-9 * x.max(1.), "{x} {back}");
        }
    }
}
