//! How near synthetic records come to real ones (Kuo et al. 2022: the least Euclidean
//! distance in encoded space between any real and any synthetic record must exceed 0), and how
//! much nearer to one than to others (the nearest-neighbour distance ratio).
//!
//! A record is one step of one patient; one with a value that is not finite is left out. Distances alone prove no privacy; what they can
//! show is copying. Real patients that were held out give the yardstick: records of people
//! whom the training never saw are this near to those whom it saw.

use crate::statistics::{is_finite, mean, stride};
use crate::{Auc, auc};
use hg_data::Encoded;
use rayon::prelude::*;
use serde::Serialize;

/// Records of a side that are compared; of more, evenly spread ones are.
const MAX_RECORDS: usize = 10_000;
/// Patients of a side that are attacked; of more, evenly spread ones are.
pub(crate) const PATIENTS: usize = 1000;

/// From records to the nearest records that were trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Nearness {
    /// The least distance.
    pub least: f64,
    /// The distances' 5 % quantile.
    pub low: f64,
    /// Their median.
    pub median: f64,
    /// The 5 % quantile of the ratio of the distance to the nearest and to the second nearest
    /// record: 1 is as near to two as to one, 0 is one's copy, and a low ratio points to one.
    pub ratio_low: f64,
    /// The ratio's median.
    pub ratio_median: f64,
    /// Records that equal one that was trained on.
    pub copies: usize,
    /// Records that were compared.
    pub records: usize,
}

/// Distances of each record of `from` to its nearest of `to`; `None` when either side is
/// empty or they are encoded differently.
pub fn nearness(from: &Encoded, to: &Encoded) -> Option<Nearness> {
    let (from_rows, to_rows) = (rows(from), rows(to));
    if from_rows.is_empty() || to_rows.is_empty() || from.features != to.features {
        return None;
    }
    let records = Records::new(&to_rows);
    let nearest: Vec<[f64; 2]> = from_rows.par_iter().map(|row| records.nearest_two(row)).collect();
    let sorted = |of: fn(&[f64; 2]) -> f64| -> Vec<f64> {
        let mut values: Vec<f64> = nearest.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let distances = sorted(|[nearest, _]| *nearest);
    // Who is equal to two stands for neither.
    let ratios = sorted(|[nearest, second]| if *second > 0. { nearest / second } else { 1. });
    let at = |values: &[f64], share: f64| values[(share * (values.len() - 1) as f64) as usize];
    Some(Nearness {
        least: distances[0],
        low: at(&distances, 0.05),
        median: at(&distances, 0.5),
        ratio_low: at(&ratios, 0.05),
        ratio_median: at(&ratios, 0.5),
        copies: distances.iter().take_while(|distance| **distance == 0.).count(),
        records: distances.len(),
    })
}

/// How well an attacker who holds a patient's records tells whether they were trained on: by
/// the mean distance of the records to the nearest synthetic ones (Chen et al., *GAN-Leaks*,
/// CCS 2020, without access to the model). `None` where a side has fewer than two patients, or
/// is encoded differently.
pub fn membership(members: &Encoded, others: &Encoded, synthetic: &Encoded) -> Option<Auc> {
    let made = rows(synthetic);
    let is_other = |cohort: &Encoded| cohort.features != synthetic.features;
    if made.is_empty() || is_other(members) || is_other(others) {
        return None;
    }
    let records = Records::new(&made);
    let score = |cohort: &Encoded| -> Vec<f64> {
        let every = stride(cohort.lengths.len(), PATIENTS);
        cohort
            .lengths
            .par_iter()
            .enumerate()
            .step_by(every)
            .filter_map(|(sequence, &length)| {
                let rows = (0..length).map(|step| cohort.row(sequence, step));
                let rows = rows.filter(|row| is_finite(row));
                mean(rows.map(|row| records.nearest_two(row)[0])).map(|apart| -apart)
            })
            .collect()
    };
    auc(&score(members), &score(others))
}

/// Evenly spread records `[features]`.
fn rows(encoded: &Encoded) -> Vec<&[f32]> {
    let spread = encoded.rows().step_by(stride(encoded.lengths.iter().sum(), MAX_RECORDS));
    spread.filter(|row| is_finite(row)).collect()
}

/// Records that are compared with one at once.
const BLOCK: usize = 64;

/// Records in blocks, feature by feature, so that distances to a block add up side by side.
struct Records {
    /// `[blocks][features]` of as many values as a block has records; what is left of the last
    /// block is infinitely far.
    blocks: Vec<Vec<[f64; BLOCK]>>,
}

impl Records {
    fn new(rows: &[&[f32]]) -> Self {
        let features = rows.first().map_or(0, |row| row.len());
        let block = |rows: &[&[f32]]| {
            let at = |feature: usize, n: usize| {
                rows.get(n).map_or(f64::INFINITY, |row| f64::from(row[feature]))
            };
            (0..features).map(|feature| std::array::from_fn(|n| at(feature, n))).collect()
        };
        Self { blocks: rows.chunks(BLOCK).map(block).collect() }
    }

    /// The distances to the nearest record and to the second.
    fn nearest_two(&self, row: &[f32]) -> [f64; 2] {
        let (mut nearest, mut second) = ([f64::INFINITY; BLOCK], [f64::INFINITY; BLOCK]);
        for block in &self.blocks {
            let mut squares = [0f64; BLOCK];
            for (&value, column) in row.iter().zip(block) {
                for (square, other) in squares.iter_mut().zip(column) {
                    let apart = f64::from(value) - other;
                    *square += apart * apart;
                }
            }
            for ((square, nearest), second) in squares.iter().zip(&mut nearest).zip(&mut second) {
                *second = second.min(square.max(*nearest));
                *nearest = nearest.min(*square);
            }
        }
        let mut least = [f64::INFINITY; 2];
        for square in nearest.into_iter().chain(second) {
            least = [least[0].min(square), least[1].min(square.max(least[0]))];
        }
        least.map(f64::sqrt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohort(rows: &[[f32; 2]]) -> Encoded {
        let values = rows.concat().into();
        Encoded {
            values,
            lengths: vec![rows.len()],
            steps: rows.len(),
            features: 2,
            counts: Default::default(),
        }
    }

    #[test]
    fn a_copy_is_counted_and_the_rest_has_its_distance() {
        let real = cohort(&[[0., 0.], [1., 1.]]);
        let near = nearness(&cohort(&[[1., 1.], [0.6, 0.]]), &real).expect("rows");
        assert_eq!((near.copies, near.records, near.least), (1, 2, 0.));
        let far = nearness(&cohort(&[[0.6, 0.]]), &real).expect("rows");
        assert!((far.median - 0.6).abs() < 1e-6 && far.copies == 0, "{far:?}");
        assert_eq!(nearness(&cohort(&[]), &real), None);
    }

    #[test]
    fn the_second_nearest_is_of_any_block() {
        let mut rows: Vec<[f32; 2]> = (0..200).map(|n| [10. + n as f32, 0.]).collect();
        (rows[3], rows[130]) = ([1., 0.], [3., 0.]);
        let near = nearness(&cohort(&[[0., 0.]]), &cohort(&rows)).expect("rows");
        assert!((near.ratio_median - 1. / 3.).abs() < 1e-6, "{near:?}");
        // In one block and one lane: the second is kept where a nearer one comes later.
        (rows[2], rows[66]) = ([0.5, 0.], [0.25, 0.]);
        let near = nearness(&cohort(&[[0., 0.]]), &cohort(&rows)).expect("rows");
        assert!((near.ratio_median - 0.5).abs() < 1e-6, "{near:?}");
    }
}
