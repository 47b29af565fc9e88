//! What a column's fit rests on, gathered part by part.

use crate::compact::with_nan_gaps;
use polars_core::prelude::Float64Chunked;

/// Values that are kept; of longer columns every second, every fourth … cell is.
const MAX_VALUES: usize = 1 << 20;

/// A column's observed values. What is kept depends on the cells alone, not on the parts
/// that they come in.
#[derive(Debug)]
pub(crate) struct Sample {
    /// The value of every 2ᵏ-th cell, where it is observed.
    values: Numbers,
    /// The cell's number of each, over 2ᵏ; `None` where they are 0, 1, 2 … as none is missing.
    places: Option<Vec<u64>>,
    /// k
    thinning: u32,
    cells: u64,
    least: f64,
    greatest: f64,
}

/// Numbers, in little room while all are small and whole.
#[derive(Debug)]
enum Numbers {
    Bytes(Vec<u8>),
    Doubles(Vec<f64>),
}

impl Numbers {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(numbers) => numbers.len(),
            Self::Doubles(numbers) => numbers.len(),
        }
    }

    fn push(&mut self, x: f64) {
        match self {
            Self::Bytes(numbers) if f64::from(x as u8).to_bits() == x.to_bits() => {
                numbers.push(x as u8);
            }
            Self::Bytes(numbers) => {
                let mut doubles: Vec<f64> = numbers.iter().copied().map(f64::from).collect();
                doubles.push(x);
                *self = Self::Doubles(doubles);
            }
            Self::Doubles(numbers) => numbers.push(x),
        }
    }

    /// Leaves those that `keeps`, by their positions.
    fn retain(&mut self, keeps: impl Fn(usize) -> bool) {
        fn of<T>(numbers: &mut Vec<T>, keeps: impl Fn(usize) -> bool) {
            let mut position = 0..;
            numbers.retain(|_| position.next().is_some_and(&keeps));
        }
        match self {
            Self::Bytes(numbers) => of(numbers, keeps),
            Self::Doubles(numbers) => of(numbers, keeps),
        }
    }
}

impl Default for Sample {
    fn default() -> Self {
        let (least, greatest) = (f64::INFINITY, f64::NEG_INFINITY);
        let values = Numbers::Bytes(Vec::new());
        Self { values, places: None, thinning: 0, cells: 0, least, greatest }
    }
}

impl Sample {
    /// Takes further cells.
    pub(crate) fn add(&mut self, cells: &Float64Chunked) {
        let numbers = with_nan_gaps(cells);
        self.see_ends(&numbers);
        let first = self.cells;
        self.cells += numbers.len() as u64;
        let mut number = first.next_multiple_of(1 << self.thinning);
        while number < self.cells {
            let value = numbers[(number - first) as usize];
            if value.is_nan() {
                self.places.get_or_insert_with(|| (0..self.values.len() as u64).collect());
            } else {
                self.values.push(value);
                if let Some(places) = &mut self.places {
                    places.push(number >> self.thinning);
                }
                if self.values.len() > MAX_VALUES {
                    self.thin();
                }
            }
            number = (number + 1).next_multiple_of(1 << self.thinning);
        }
    }

    /// Leaves every second cell.
    fn thin(&mut self) {
        self.thinning += 1;
        match &mut self.places {
            None => self.values.retain(|position| position % 2 == 0),
            Some(places) => {
                self.values.retain(|position| places[position] % 2 == 0);
                places.retain(|place| place % 2 == 0);
                places.iter_mut().for_each(|place| *place /= 2);
            }
        }
    }

    /// The least and the greatest of all cells; a comparison with NaN is false.
    fn see_ends(&mut self, numbers: &[f64]) {
        // Eight of each, so that no comparison waits for the one before it.
        let (mut least, mut greatest) = ([self.least; 8], [self.greatest; 8]);
        for numbers in numbers.chunks(8) {
            for ((least, greatest), &x) in least.iter_mut().zip(&mut greatest).zip(numbers) {
                *least = if x < *least { x } else { *least };
                *greatest = if x > *greatest { x } else { *greatest };
            }
        }
        self.least = least.into_iter().fold(self.least, f64::min);
        self.greatest = greatest.into_iter().fold(self.greatest, f64::max);
    }

    /// The values, ascending, the least and the greatest of all cells among them.
    pub(crate) fn sorted(self) -> Vec<f64> {
        let mut values = match self.values {
            Numbers::Bytes(mut numbers) => {
                numbers.sort_unstable();
                numbers.into_iter().map(f64::from).collect()
            }
            Numbers::Doubles(numbers) => numbers,
        };
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

    #[test]
    fn of_a_long_column_every_second_or_fourth_cell_is_kept_where_it_is_observed() {
        let cells = 3 * MAX_VALUES + 5;
        let gaps = [None, Some(0), Some(5), Some(2 * MAX_VALUES + 1)];
        for (first_gap, modulus) in gaps.into_iter().zip([7, 7, 300, 2]) {
            let is_gap = |n: usize| first_gap.is_some_and(|first| n >= first && n % 3 != 1);
            let cell = |n: usize| {
                (!is_gap(n)).then(|| (n * n % modulus) as f64 - f64::from(modulus == 300))
            };
            let column: Vec<Option<f64>> = (0..cells).map(cell).collect();
            let mut sample = Sample::default();
            for part in column.chunks(100_003) {
                sample.add(&part.iter().copied().collect());
            }
            let every = |step: usize| -> Vec<f64> {
                column.iter().step_by(step).copied().flatten().collect()
            };
            let step = [1, 2, 4].into_iter().find(|&step| every(step).len() <= MAX_VALUES);
            let mut right = every(step.expect("at most four million cells"));
            let observed = || column.iter().copied().flatten();
            right.extend([observed().fold(f64::INFINITY, f64::min)]);
            right.extend([observed().fold(f64::NEG_INFINITY, f64::max)]);
            right.sort_by(f64::total_cmp);
            assert!(sample.sorted() == right, "{first_gap:?}");
        }
    }
}
