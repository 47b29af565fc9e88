//! A cheap comparison of encoded sequences: what training selects its weights by.
//!
//! ```text
//! score     = (marginals + correlations + dynamics + within) / 4
//! marginals   mean over columns of the Kolmogorov–Smirnov statistic (numeric features) or the
//!             total variation (blocks)
//! correlations  mean |R − R*| over all pairs of features
//! dynamics    mean over columns of |r₁ − r₁*|, r₁ being the correlation of successive values
//!             (numeric features), and |p − p*|, p being how often a level stays (blocks)
//! within      mean over numeric features that change of |log(s / s*)|, up to 1, s being the standard
//!             deviation within sequences, and the mean step |xₜ − xₜ₋₁|
//! ```
//!
//! Every part is 0 for equal cohorts and at most about 1. Rows with a value that is not finite
//! are left out; a cohort of which nothing is left is at distance 1 in every part.

use crate::statistics::{is_finite, kolmogorov_smirnov_sorted, mean, stride, total_variation};
use hg_data::Encoded;
use rayon::prelude::*;
use std::ops::Range;

/// Sequences of the real cohort that are looked at; of more, evenly spread ones are.
const MAX_SEQUENCES: usize = 2048;
/// Bins by which the entropy of a numeric feature, which lies in [0, 1], is measured.
const BINS: usize = 20;

/// How a synthetic cohort compares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuickScore {
    /// Distance of the columns' distributions, one by one.
    pub marginals: f64,
    /// Difference of the correlations of pairs of features.
    pub correlations: f64,
    /// Difference of what happens from step to step.
    pub dynamics: f64,
    /// Difference of how much numbers vary within a patient.
    pub within: f64,
}

impl QuickScore {
    /// All parts in one: 0 is best.
    pub fn total(&self) -> f64 {
        (self.marginals + self.correlations + self.dynamics + self.within) / 4.
    }
}

/// Real sequences, to compare many synthetic cohorts with.
#[derive(Clone, Debug)]
pub struct Quick {
    numeric: usize,
    blocks: Vec<Range<usize>>,
    real: Summary,
}

#[derive(Clone, Debug)]
struct Summary {
    /// Rows that were looked at.
    rows: usize,
    columns: Columns,
    /// `[D, D]`
    correlations: Vec<f64>,
    /// Of each column: r₁ or p.
    dynamics: Vec<f64>,
    /// Of each numeric feature: the standard deviation within sequences, and the mean step.
    within: Vec<[f64; 2]>,
}

/// The distributions of the columns, one by one.
#[derive(Clone, Debug)]
struct Columns {
    /// The values of each numeric feature, ascending.
    sorted: Vec<Vec<f64>>,
    /// The shares of each block's levels.
    shares: Vec<Vec<f64>>,
}

impl Quick {
    /// Of real sequences whose rows begin with `numeric` features in [0, 1]; one-hot blocks of
    /// these widths follow.
    pub fn new(real: &Encoded, numeric: usize, blocks: &[usize]) -> Self {
        let blocks = blocks.iter().scan(numeric, |start, &width| {
            *start += width;
            Some(*start - width..*start)
        });
        let blocks: Vec<Range<usize>> = blocks.collect();
        let real = Summary::new(real, numeric, &blocks);
        Self { numeric, blocks, real }
    }

    /// Compares a synthetic cohort that is encoded alike.
    pub fn score(&self, synthetic: &Encoded) -> QuickScore {
        let real = &self.real;
        let synthetic = Summary::new(synthetic, self.numeric, &self.blocks);
        if synthetic.rows == 0 && real.rows > 0 {
            return QuickScore { marginals: 1., correlations: 1., dynamics: 1., within: 1. };
        }
        let numeric = real.columns.sorted.iter().zip(&synthetic.columns.sorted);
        let numeric = numeric.map(|(a, b)| kolmogorov_smirnov_sorted(a, b).unwrap_or(1.));
        let discrete = real.columns.shares.iter().zip(&synthetic.columns.shares);
        let discrete = discrete.map(|(a, b)| total_variation(a, b).unwrap_or(1.));
        let apart = |a: &[f64], b: &[f64]| or_0(mean(a.iter().zip(b).map(|(a, b)| (a - b).abs())));
        QuickScore {
            marginals: or_0(mean(numeric.chain(discrete))),
            correlations: apart(&real.correlations, &synthetic.correlations),
            dynamics: apart(&real.dynamics, &synthetic.dynamics),
            within: or_0(mean(
                real.within.iter().zip(&synthetic.within).flat_map(|(a, b)| log_ratios(a, b)),
            )),
        }
    }

    /// The mean entropy of a synthetic cohort's columns over that of the real ones; 0 where no row
    /// is finite.
    pub fn diversity(&self, synthetic: &Encoded) -> f64 {
        let rows = Rows::new(synthetic, self.numeric, &self.blocks).rows;
        let real = self.real.columns.entropy();
        match (rows.is_empty() && self.real.rows > 0, real > 0.) {
            (true, _) => 0.,
            (_, true) => Columns::new(&rows, self.numeric, &self.blocks).entropy() / real,
            (_, false) => 1.,
        }
    }
}

impl Columns {
    fn new(rows: &[Vec<f64>], numeric: usize, blocks: &[Range<usize>]) -> Self {
        let feature = |n: usize| rows.iter().map(move |row| row[n]);
        let sorted = (0..numeric).into_par_iter().map(|n| {
            let mut values: Vec<f64> = feature(n).collect();
            values.sort_by(f64::total_cmp);
            values
        });
        let share = |n: usize| or_0(mean(feature(n)));
        let shares = blocks.iter().map(|block| block.clone().map(share).collect());
        Self { sorted: sorted.collect(), shares: shares.collect() }
    }

    /// The mean entropy of the columns.
    fn entropy(&self) -> f64 {
        let numbers = self.sorted.iter().map(|values| entropy(&histogram(values)));
        or_0(mean(numbers.chain(self.shares.iter().map(|shares| entropy(shares)))))
    }
}

impl Summary {
    fn new(cohort: &Encoded, numeric: usize, blocks: &[Range<usize>]) -> Self {
        let Encoded { features, .. } = cohort;
        let Rows { rows, pairs, sequences } = Rows::new(cohort, numeric, blocks);
        let feature = |n: usize| rows.iter().map(move |row| row[n]);

        // From one row to the next.
        let successive = (0..numeric).into_par_iter().map(|n| {
            let before = pairs.iter().map(|&at| rows[at - 1][n]);
            let after = pairs.iter().map(|&at| rows[at][n]);
            correlation(&unit(before), &unit(after))
        });
        let staying = blocks.par_iter().map(|block| {
            let stays = |&at: &usize| rows[at][block.clone()] == rows[at - 1][block.clone()];
            or_0(mean(pairs.iter().map(|at| f64::from(u8::from(stays(at))))))
        });
        let dynamics = successive.chain(staying).collect();

        // Within sequences.
        let within = (0..numeric).into_par_iter().map(|n| {
            let squares = sequences.iter().map(|of| {
                let values = || rows[of.clone()].iter().map(|row| row[n]);
                let centre = or_0(mean(values()));
                values().map(|x| (x - centre).powi(2)).sum::<f64>()
            });
            let free: usize = sequences.iter().map(|of| of.len().saturating_sub(1)).sum();
            let steps = pairs.iter().map(|&at| (rows[at][n] - rows[at - 1][n]).abs());
            [(squares.sum::<f64>() / free.max(1) as f64).sqrt(), or_0(mean(steps))]
        });
        let within = within.collect();

        // Pairs of features.
        let columns: Vec<Vec<f64>> =
            (0..*features).into_par_iter().map(|n| unit(feature(n))).collect();
        let correlations = (0..features * features)
            .into_par_iter()
            .map(|n| correlation(&columns[n / features], &columns[n % features]))
            .collect();

        let marginals = Columns::new(&rows, numeric, blocks);
        Self { rows: rows.len(), columns: marginals, correlations, dynamics, within }
    }
}

/// The rows of a cohort that are looked at.
struct Rows {
    /// `[rows][features]`, blocks as one-hot levels, as decoding takes the greatest.
    rows: Vec<Vec<f64>>,
    /// Rows that follow the one before them in a sequence.
    pairs: Vec<usize>,
    /// The rows of each sequence.
    sequences: Vec<Range<usize>>,
}

impl Rows {
    fn new(cohort: &Encoded, numeric: usize, blocks: &[Range<usize>]) -> Self {
        let every = stride(cohort.lengths.len(), MAX_SEQUENCES);
        let (mut rows, mut pairs, mut sequences) = (Vec::new(), Vec::new(), Vec::new());
        for (sequence, &length) in cohort.lengths.iter().enumerate().step_by(every) {
            let (mut follows, first) = (false, rows.len());
            for row in (0..length).map(|step| cohort.row(sequence, step)) {
                let is_finite = is_finite(row);
                if is_finite && follows {
                    pairs.push(rows.len());
                }
                if is_finite {
                    rows.push(settled(row, numeric, blocks));
                }
                follows = is_finite;
            }
            sequences.push(first..rows.len());
        }
        Self { rows, pairs, sequences }
    }
}

/// The shares of values in [0, 1] in each of [`BINS`] bins.
fn histogram(values: &[f64]) -> [f64; BINS] {
    let mut shares = [0.; BINS];
    for value in values {
        shares[((value * BINS as f64) as usize).min(BINS - 1)] += 1. / values.len() as f64;
    }
    shares
}

/// A row with the greatest of each block as 1 and the others as 0.
fn settled(row: &[f32], numeric: usize, blocks: &[Range<usize>]) -> Vec<f64> {
    let mut settled = vec![0.; row.len()];
    for (to, &from) in settled[..numeric].iter_mut().zip(row) {
        *to = f64::from(from);
    }
    for block in blocks {
        let mut greatest = block.start;
        for n in block.clone() {
            if row[n] > row[greatest] {
                greatest = n;
            }
        }
        settled[greatest] = 1.;
    }
    settled
}

/// How many times one is the other, as a logarithm up to 1 either way; of what does not vary among
/// real sequences nothing.
fn log_ratios(real: &[f64; 2], synthetic: &[f64; 2]) -> Vec<f64> {
    let varying = real.iter().zip(synthetic).filter(|(real, _)| **real > 1e-9);
    varying.map(|(real, synthetic)| (synthetic / real).ln().abs().min(1.)).collect()
}

/// A column less its mean, divided by its norm; zeros where it is constant.
fn unit(values: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let centre = or_0(mean(values.clone()));
    let norm = values.clone().map(|value| (value - centre).powi(2)).sum::<f64>().sqrt();
    let scale = if norm > 1e-8 { 1. / norm } else { 0. };
    values.map(|value| (value - centre) * scale).collect()
}

/// A part of a score, 0 where there was nothing to compare.
fn or_0(mean: Option<f64>) -> f64 {
    mean.unwrap_or(0.)
}

/// Of two columns that [`unit`] made so.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The entropy of shares, in nats.
fn entropy(shares: &[f64]) -> f64 {
    -shares.iter().filter(|&&share| share > 0.).map(|share| share * share.ln()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sequences of one number and one binary column.
    fn cohort(sequences: usize, row: impl Fn(usize, usize) -> (f32, bool)) -> Encoded {
        let steps = 6;
        let values = (0..sequences * steps).flat_map(|n| {
            let (number, yes) = row(n / steps, n % steps);
            [number, f32::from(u8::from(!yes)), f32::from(u8::from(yes))]
        });
        let values: Vec<f32> = values.collect();
        let lengths = vec![steps; sequences];
        Encoded { values: values.into(), lengths, steps, features: 3, counts: Default::default() }
    }

    #[test]
    fn each_part_sees_what_it_is_for() {
        // Numbers that rise in time from a start of the patient's own, and a level that goes
        // with them.
        let rising = |patient: usize, step: usize| {
            let x = 0.1 * step as f32 + (patient * 7 % 10) as f32 * 0.04;
            (x, x > 0.4)
        };
        let real = cohort(200, rising);
        let quick = Quick::new(&real, 1, &[2]);
        let same = quick.score(&real);
        assert_eq!(same.total(), 0.);
        assert!((quick.diversity(&real) - 1.).abs() < 1e-12);

        // The same columns, each row another patient's.
        let jumping = quick.score(&cohort(200, |p, step| rising(p * 7 + 3 * step * step, step)));
        assert!(jumping.within > 0.1 && jumping.marginals < 0.05, "{jumping:?}");

        let shuffled =
            quick.score(&cohort(200, |p, step| rising((p + 37 * step) % 200, step * 5 % 6)));
        assert!(shuffled.marginals < 0.05 && shuffled.correlations < 0.05, "{shuffled:?}");
        assert!(shuffled.dynamics > 0.3, "{shuffled:?}");

        let apart =
            quick.score(&cohort(200, |p, step| (rising(p, step).0, rising(p + 3, 5 - step).1)));
        assert!(apart.marginals < 0.05 && apart.correlations > 0.2, "{apart:?}");

        let constant = cohort(200, |_, _| (0.3, true));
        assert!(quick.diversity(&constant) < 1e-9 && quick.score(&constant).marginals > 0.3);
    }
}
