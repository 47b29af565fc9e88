//! What a column's fit rests on, gathered part by part.

use crate::compact::with_nan_gaps;
use polars_core::prelude::Float64Chunked;

/// Values that are kept; of longer columns every second, every fourth … cell is.
const MAX_VALUES: usize = 1 << 20;

/// A column's observed values. What is kept depends on the cells alone, not on the parts
/// that they come in.
#[derive(Debug)]
pub(crate) struct Sample {
    /// (cell's number, value) of every 2ᵏ-th cell, where it is observed.
    kept: Vec<(u64, f64)>,
    thinning: u32,
    cells: u64,
    least: f64,
    greatest: f64,
}

impl Default for Sample {
    fn default() -> Self {
        let (least, greatest) = (f64::INFINITY, f64::NEG_INFINITY);
        Self { kept: Vec::new(), thinning: 0, cells: 0, least, greatest }
    }
}

impl Sample {
    /// Takes further cells.
    pub(crate) fn add(&mut self, cells: &Float64Chunked) {
        let numbers = with_nan_gaps(cells);
        // A comparison with NaN is false.
        let least = |least, &x: &f64| if x < least { x } else { least };
        let greatest = |greatest, &x: &f64| if x > greatest { x } else { greatest };
        self.least = numbers.iter().fold(self.least, least);
        self.greatest = numbers.iter().fold(self.greatest, greatest);
        let first = self.cells;
        self.cells += numbers.len() as u64;
        let mut number = first.next_multiple_of(1 << self.thinning);
        while number < self.cells {
            let value = numbers[(number - first) as usize];
            if !value.is_nan() {
                self.kept.push((number, value));
                if self.kept.len() > MAX_VALUES {
                    self.thinning += 1;
                    let step = 1 << self.thinning;
                    self.kept.retain(|(number, _)| number.is_multiple_of(step));
                }
            }
            number = (number + 1).next_multiple_of(1 << self.thinning);
        }
    }

    /// The values, ascending, the least and the greatest of all cells among them.
    pub(crate) fn sorted(self) -> Vec<f64> {
        let mut values: Vec<f64> = self.kept.into_iter().map(|(_, value)| value).collect();
        if self.thinning > 0 {
            values.extend([self.least, self.greatest]);
        }
        values.sort_unstable_by(f64::total_cmp);
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_column_is_thinned_the_same_in_any_parts() {
        let values: Vec<f64> =
            (0..MAX_VALUES + MAX_VALUES / 2).map(|n| (n as f64 * 0.37).sin()).collect();
        let gather = |part: usize| {
            let mut sample = Sample::default();
            for part in values.chunks(part) {
                sample.add(&Float64Chunked::from_vec("x".into(), part.to_vec()));
            }
            sample.sorted()
        };
        let whole = gather(values.len());
        assert!(whole.len() > MAX_VALUES / 2 && whole.len() <= MAX_VALUES);
        assert!(whole == gather(10_007));
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(whole[0], least);
    }
}
