//! How near synthetic records come to real ones (Kuo et al. 2022: the least Euclidean
//! distance in encoded space between any real and any synthetic record must exceed 0).
//!
//! A record is one step of one patient. Distances alone prove no privacy; what they can
//! show is copying. Real patients that were held out give the yardstick: records of people
//! whom the training never saw are this near to those whom it saw.

use crate::{Auc, auc};
use hg_data::Encoded;
use rayon::prelude::*;
use serde::Serialize;

/// Records of a side that are compared; of more, evenly spread ones are.
const MOST: usize = 10_000;
/// Patients of a side that are attacked; of more, evenly spread ones are.
const PATIENTS: usize = 1000;

/// Distances from records to the nearest record that was trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Nearness {
    /// The least of them.
    pub least: f64,
    /// Their 5 % quantile.
    pub low: f64,
    /// Their median.
    pub median: f64,
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
    let blocks: Vec<Block> = to_rows.chunks(BLOCK).map(Block::new).collect();
    let mut distances: Vec<f64> = from_rows
        .par_iter()
        .map(|row| {
            let squares = blocks.iter().map(|block| block.least_square_distance(row));
            f64::from(squares.fold(f32::INFINITY, f32::min)).sqrt()
        })
        .collect();
    distances.sort_by(f64::total_cmp);
    let at = |share: f64| distances[(share * (distances.len() - 1) as f64) as usize];
    Some(Nearness {
        least: distances[0],
        low: at(0.05),
        median: at(0.5),
        copies: distances.iter().take_while(|distance| **distance == 0.).count(),
        records: distances.len(),
    })
}

/// How well an attacker who holds a patient's records tells whether they were trained on: by
/// the mean distance of the records to the nearest synthetic ones (Chen et al., *GAN-Leaks*,
/// CCS 2020, without access to the model). `None` where a side has fewer than two patients.
pub fn membership(members: &Encoded, others: &Encoded, synthetic: &Encoded) -> Option<Auc> {
    let made = rows(synthetic);
    if made.is_empty() || members.features != synthetic.features {
        return None;
    }
    let blocks: Vec<Block> = made.chunks(BLOCK).map(Block::new).collect();
    let score = |cohort: &Encoded| -> Vec<f64> {
        let Encoded { values, lengths, steps, features, .. } = cohort;
        let every = lengths.len().div_ceil(PATIENTS).max(1);
        lengths
            .par_iter()
            .enumerate()
            .step_by(every)
            .map(|(sequence, &length)| {
                let record = |step| &values[(sequence * steps + step) * features..][..*features];
                let nearest = |step| {
                    let squares =
                        blocks.iter().map(|block| block.least_square_distance(record(step)));
                    f64::from(squares.fold(f32::INFINITY, f32::min)).sqrt()
                };
                -(0..length).map(nearest).sum::<f64>() / length as f64
            })
            .collect()
    };
    auc(&score(members), &score(others))
}

/// Evenly spread records `[features]`.
fn rows(encoded: &Encoded) -> Vec<&[f32]> {
    let Encoded { values, lengths, steps, features, .. } = encoded;
    let count: usize = lengths.iter().sum();
    let all = lengths.iter().enumerate().flat_map(|(sequence, &length)| {
        (0..length).map(move |step| (sequence * steps + step) * features)
    });
    all.step_by(count.div_ceil(MOST).max(1)).map(|at| &values[at..at + features]).collect()
}

/// Records that are compared with one at once.
const BLOCK: usize = 64;

/// Some records, feature by feature, so that distances to all of them add up side by side.
struct Block {
    /// `[features]` of as many values as there are records; the last record fills up the rest.
    columns: Vec<[f32; BLOCK]>,
}

impl Block {
    fn new(rows: &[&[f32]]) -> Self {
        let features = rows.first().map_or(0, |row| row.len());
        let at = |feature: usize, n: usize| rows[n.min(rows.len() - 1)][feature];
        let column = |feature| std::array::from_fn(|n| at(feature, n));
        Self { columns: (0..features).map(column).collect() }
    }

    fn least_square_distance(&self, row: &[f32]) -> f32 {
        let mut squares = [0f32; BLOCK];
        for (&value, column) in row.iter().zip(&self.columns) {
            for (square, other) in squares.iter_mut().zip(column) {
                let apart = value - other;
                *square += apart * apart;
            }
        }
        squares.into_iter().fold(f32::INFINITY, f32::min)
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
            dropped_patients: 0,
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
}
