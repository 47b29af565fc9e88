//! Patients as points: their summaries along the axes in which real patients differ most.
//!
//! Each summary is taken by its rank among real patients, as a normal score, so that no unit and no
//! outlier decides, and a missing one is the middle. Principal components of these are the axes. All
//! real patients, trained on and held out, count alike in both, so that neither is nearer by how the
//! space was made.

use hg_data::{Observed, Schema};
use hg_judge::{Features, of_values, patients, stride, summaries};
use nalgebra::{DMatrix, SymmetricEigen};
use statrs::distribution::{ContinuousCDF, Normal};

/// Axes are taken until they have this share of the variance,
const EXPLAINED: f64 = 0.9;
/// or are so many: in more directions everybody is far from everybody.
const MAX_AXES: usize = 10;

/// A patient's place along each axis.
pub(crate) type Point = Vec<f64>;

/// Where patients are points.
pub(crate) struct Space {
    /// By summary, the values of real patients in ascending order.
    values: Vec<Vec<f64>>,
    /// `[summaries, axes]`
    axes: DMatrix<f64>,
}

impl Space {
    /// Of real cohorts; `None` where their patients do not differ.
    pub(crate) fn new(schema: &Schema, real: &[&Observed], most: usize) -> Option<Self> {
        let mut all = Features::default();
        for cohort in real {
            let chosen: Vec<usize> = spread(cohort, most);
            let found = features(schema, cohort, &chosen);
            all = if all.names.is_empty() { found } else { all.below(found) };
        }
        let ascending = |column: &Vec<f64>| {
            let mut values: Vec<f64> = column.iter().copied().filter(|x| x.is_finite()).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let values: Vec<Vec<f64>> = all.columns.iter().map(ascending).collect();
        let scores = scores(&values, &all)?;

        // A score's mean over real patients is 0, but for ties and gaps.
        let SymmetricEigen { eigenvalues, eigenvectors } =
            SymmetricEigen::new(scores.tr_mul(&scores));
        let mut order: Vec<usize> = (0..eigenvalues.len()).collect();
        order.sort_by(|&m, &n| eigenvalues[n].total_cmp(&eigenvalues[m]));
        let total: f64 = eigenvalues.iter().sum();
        if !(total > 0. && total.is_finite()) {
            return None;
        }
        let mut explained = 0.;
        let taken = order.iter().take_while(|&&n| {
            let goes_on = explained < EXPLAINED * total;
            explained += eigenvalues[n];
            goes_on
        });
        let taken: Vec<usize> = taken.take(MAX_AXES).copied().collect();
        Some(Self { values, axes: eigenvectors.select_columns(&taken) })
    }

    /// The points of some patients of a cohort, by their positions in it; a patient without a step or
    /// without any value has none.
    pub(crate) fn points(
        &self,
        schema: &Schema,
        cohort: &Observed,
        chosen: &[usize],
    ) -> Vec<Option<Point>> {
        let there: Vec<usize> =
            chosen.iter().copied().filter(|&patient| cohort.lengths[patient] > 0).collect();
        let features = features(schema, cohort, &there);
        let placed = scores(&self.values, &features).map(|scores| scores * &self.axes);
        let values = of_values(schema, &features);
        let has_value = |row: usize| values.iter().any(|&n| !features.columns[n][row].is_nan());
        let rows = placed.iter().flat_map(|placed| placed.row_iter()).enumerate();
        let mut points = rows
            .map(|(row, place)| has_value(row).then(|| place.iter().copied().collect::<Point>()));
        let of_patient = |&patient: &usize| match cohort.lengths[patient] {
            0 => None,
            _ => points.next().flatten(),
        };
        chosen.iter().map(of_patient).collect()
    }
}

/// The positions of evenly spread patients, so many at most.
pub(crate) fn spread(cohort: &Observed, most: usize) -> Vec<usize> {
    let count = cohort.lengths.len();
    (0..count).step_by(stride(count, most)).collect()
}

/// The summaries of some patients who have a step, by their positions.
fn features(schema: &Schema, cohort: &Observed, chosen: &[usize]) -> Features {
    let mut all = patients(schema, cohort).into_iter();
    let is_there = cohort.lengths.iter().map(|&length| length > 0);
    let by_position: Vec<_> =
        is_there.map(|is_there| if is_there { all.next() } else { None }).collect();
    let chosen: Vec<_> = chosen.iter().filter_map(|&n| by_position[n].clone()).collect();
    summaries(schema, cohort, &chosen)
}

/// `[patients, summaries]`: the normal score of each summary's rank among these ascending values; a
/// missing one is in the middle. `None` without a patient or a summary.
fn scores(values: &[Vec<f64>], features: &Features) -> Option<DMatrix<f64>> {
    let normal = Normal::standard();
    if features.count() == 0 || values.is_empty() {
        return None;
    }
    let score = |x: f64, values: &[f64]| {
        if x.is_nan() || values.is_empty() {
            return 0.;
        }
        let below = values.partition_point(|&value| value < x);
        let up_to = values.partition_point(|&value| value <= x);
        let (n, rank) = (values.len() as f64, (below + up_to) as f64 / 2.);
        normal.inverse_cdf((rank.clamp(0.5, n - 0.5)) / n)
    };
    let columns = features.columns.iter().zip(values).map(|(column, values)| {
        nalgebra::DVector::from_iterator(column.len(), column.iter().map(|&x| score(x, values)))
    });
    Some(DMatrix::from_columns(&columns.collect::<Vec<_>>()))
}

/// The squared distance of two points.
pub(crate) fn apart(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_decide_and_what_is_missing_is_in_the_middle() {
        let features =
            |values: &[f64]| Features { names: vec!["x".into()], columns: vec![values.to_vec()] };
        let real = [1., 2., 3., 1e300];
        let found =
            scores(&[real.to_vec()], &features(&[1., 2., f64::NAN, 2.5, 1e300, f64::INFINITY]));
        let found: Vec<f64> = found.expect("scores").iter().copied().collect();
        // scipy.stats.norm.ppf([1/8, 3/8, 1/2, 1/2, 7/8, 7/8])
        let expected = [-1.150_349_38, -0.318_639_36, 0., 0., 1.150_349_38, 1.150_349_38];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-7, "{found} for {expected}");
        }
        assert!(scores(&[real.to_vec()], &features(&[])).is_none());
        assert!(scores(&[], &Features::default()).is_none());
    }
}
