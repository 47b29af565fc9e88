//! Exact values that a numeric column often takes, as 0 mL or a planned dose.
//!
//! Such a column is a level or a number besides:
//!
//! ```text
//! number  the encoding of the value; at a spike that of the median of the other values
//! block   one-hot: one level per spike, then one for a number besides
//! ```

use crate::ValueGrid;
use serde::{Deserialize, Serialize};

/// The spikes of a column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FittedSpikes {
    /// The exact values; none for a column without spikes.
    values: Vec<f64>,
    /// What stands for the number of a cell at a spike: the median of the other values.
    filler: f64,
}

/// Whether a value is the spike; a value of four bytes is where the spike's is.
pub(crate) fn is_at(x: f64, spike: f64) -> bool {
    /// Beyond it four bytes do not hold every whole number.
    const WHOLE: f64 = (1 << 24) as f64;
    let short = f64::from(x as f32) == x && x as f32 == spike as f32;
    x == spike || (short && spike.abs() < WHOLE)
}

impl FittedSpikes {
    pub(crate) fn new(values: &[f64], filler: f64) -> Self {
        Self { values: values.to_vec(), filler }
    }

    /// The exact values.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// What is wrong with those of an encoder whose schema names `spikes`.
    pub(crate) fn problem(&self, spikes: &[f64]) -> Option<String> {
        let (named, fitted) = (spikes.len(), self.values.len());
        if self.values != spikes {
            return Some(format!("{fitted} spikes were fitted, and the schema names {named}"));
        }
        let is_wrong = !self.filler.is_finite();
        is_wrong.then(|| format!("what stands at its spikes is {}, no number", self.filler))
    }

    /// What stands for the number of a cell at a spike.
    pub(crate) fn filler(&self) -> f64 {
        self.filler
    }

    /// The width of the one-hot block: none without a spike.
    pub(crate) fn width(&self) -> Option<usize> {
        (!self.values.is_empty()).then(|| self.values.len() + 1)
    }

    /// Which spike a value is.
    pub(crate) fn position(&self, x: f64) -> Option<usize> {
        self.values.iter().position(|&spike| is_at(x, spike))
    }

    /// Whether a value is a spike.
    pub(crate) fn holds(&self, x: f64) -> bool {
        self.position(x).is_some()
    }

    /// A number besides, from `x` and the number `rounded` that it became: where that is a spike,
    /// the nearest number of the grid within `least` to `greatest` that is none; `x` itself where
    /// there is no such number.
    pub(crate) fn besides(
        &self,
        x: f64,
        rounded: f64,
        grid: &ValueGrid,
        [least, greatest]: [f64; 2],
    ) -> f64 {
        if !self.holds(rounded) {
            return rounded;
        }
        let Some(decimals) = grid.decimals else { return x };
        let scale = 10f64.powi(decimals as i32);
        let number = |step: f64| ((rounded * scale).round() + step) / scale + 0.;
        let slack = 0.5 / scale;
        let is_free =
            |value: &f64| !self.holds(*value) && (least - slack..=greatest + slack).contains(value);
        // Each step leaves one more spike behind, on either side.
        let steps = (1..=self.values.len() + 1).flat_map(|n| [-(n as f64), n as f64]);
        let free = steps.map(number).filter(is_free);
        free.min_by(|a, b| (a - x).abs().total_cmp(&(b - x).abs())).unwrap_or(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_besides_is_no_spike() {
        let grid = ValueGrid { integer: false, decimals: Some(1), multiple: None };
        let spikes = FittedSpikes::new(&[0., 5., 5.1], 3.);
        for (x, rounded, expected) in [
            // At the edge of the domain there is one way alone.
            (-0.01, 0., 0.1),
            (0.04, 0., 0.1),
            (0.3, 0.3, 0.3),
            // Within, the nearer side, over a neighbouring spike too.
            (4.97, 5., 4.9),
            (5.02, 5., 4.9),
            (5.08, 5.1, 5.2),
            (9., 9., 9.),
        ] {
            assert_eq!(spikes.besides(x, rounded, &grid, [0.1, 9.]), expected, "{x}");
        }
        // Nothing besides lies on the grid.
        assert_eq!(spikes.besides(0.04, 0., &grid, [0., 0.]), 0.04);
        let free = ValueGrid { integer: false, decimals: None, multiple: None };
        assert_eq!(spikes.besides(1e-12, 0., &free, [0., 9.]), 1e-12);
    }

    #[test]
    fn a_float_of_four_bytes_is_at_the_spike_that_is_written() {
        assert!(is_at(f64::from(0.1f32), 0.1) && is_at(0.1, 0.1) && is_at(-0., 0.));
        assert!(!is_at(0.1 + 1e-9, 0.1) && !is_at(16_777_216., 16_777_217.));
    }
}
