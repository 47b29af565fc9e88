//! Sequences as points of a plane: principal components of what they are like on average and
//! how they change.
//!
//! A sequence is described by the mean of each feature and the mean size of its steps. The axes
//! are those of the real cohort's greatest variance, and both cohorts are projected onto them.

use crate::statistics::{is_finite, stride};
use hg_data::Encoded;
use nalgebra::{DMatrix, SymmetricEigen};

/// Points that are drawn, of either side.
const MAX_DRAWN: usize = 400;

/// Two cohorts' points in a plane.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Projection {
    /// Points of the real cohort.
    pub(crate) real: Vec<(f64, f64)>,
    /// Points of the synthetic cohort.
    pub(crate) synthetic: Vec<(f64, f64)>,
    /// The share of the real cohort's variance along each axis.
    pub(crate) explained: [f64; 2],
}

impl Projection {
    /// `None` where the real cohort does not vary, or the cohorts are encoded differently.
    /// Sequences with a value that is not finite are left out.
    pub(crate) fn new(real: &Encoded, synthetic: &Encoded) -> Option<Self> {
        let (a, b) = (descriptions(real), descriptions(synthetic));
        if a.nrows() == 0 || a.ncols() != b.ncols() {
            return None;
        }

        // The real cohort's axes of greatest variance.
        let centre = a.row_mean();
        let centred = |mut x: DMatrix<f64>| {
            x.row_iter_mut().for_each(|mut row| row -= &centre);
            x
        };
        let (a, b) = (centred(a), centred(b));
        let SymmetricEigen { eigenvalues, eigenvectors } = SymmetricEigen::new(a.tr_mul(&a));
        let mut order: Vec<usize> = (0..eigenvalues.len()).collect();
        order.sort_by(|&m, &n| eigenvalues[n].total_cmp(&eigenvalues[m]));
        let total: f64 = eigenvalues.iter().sum();
        let [first, second, ..] = order[..] else { return None };
        if total <= 0. || !total.is_finite() {
            return None;
        }
        let axes = [first, second].map(|n| {
            let axis = eigenvectors.column(n);
            // Of the two directions the one whose greatest part is positive.
            let greatest = axis.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
            axis * greatest.unwrap_or(1.).signum()
        });

        // Both cohorts along them.
        let points = |x: &DMatrix<f64>| -> Vec<(f64, f64)> {
            let (x, y) = (x * &axes[0], x * &axes[1]);
            x.iter().copied().zip(y.iter().copied()).collect()
        };
        let explained = [first, second].map(|n| eigenvalues[n] / total);
        Some(Self { real: points(&a), synthetic: points(&b), explained })
    }
}

/// `[sequences, 2·features]`, of evenly spread sequences.
fn descriptions(encoded: &Encoded) -> DMatrix<f64> {
    let Encoded { lengths, features, .. } = encoded;
    let every = stride(lengths.len(), MAX_DRAWN);
    let is_usable =
        |&n: &usize| lengths[n] > 0 && (0..lengths[n]).all(|step| is_finite(encoded.row(n, step)));
    let chosen: Vec<usize> = (0..lengths.len()).step_by(every).filter(is_usable).collect();
    DMatrix::from_fn(chosen.len(), 2 * features, |n, j| {
        let (sequence, feature) = (chosen[n], j % features);
        let at = |t: usize| f64::from(encoded.row(sequence, t)[feature]);
        let length = lengths[sequence];
        if j < *features {
            (0..length).map(at).sum::<f64>() / length as f64
        } else {
            let changes = (1..length).map(|t| (at(t) - at(t - 1)).abs()).sum::<f64>();
            changes / length.saturating_sub(1).max(1) as f64
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_axis_is_the_greatest_variance_and_an_empty_plane_is_none() {
        let cohort = |values: Vec<f32>| {
            let lengths = vec![1; values.len() / 2];
            Encoded {
                values: values.into(),
                lengths,
                steps: 1,
                features: 2,
                counts: Default::default(),
            }
        };
        let real = cohort(vec![0., 1., 4., 1., 8., 1.5]);
        let points = Projection::new(&real, &cohort(vec![4., 1.])).expect("it varies");
        assert!(points.explained[0] > 0.99);
        assert!(points.real[0].0 < -3.9 && points.real[2].0 > 3.9, "{points:?}");
        assert!(points.synthetic[0].0.abs() < 0.1);
        assert_eq!(Projection::new(&cohort(vec![1., 1., 1., 1.]), &real), None);
    }
}
