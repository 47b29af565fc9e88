//! Gradient-boosted trees that tell synthetic rows from real ones (Friedman 2001,
//! doi:10.1214/aos/1013203451), with the settings of scikit-learn's `HistGradientBoostingClassifier`.
//!
//! Every row gets its score from trees that have not seen it: rows are in [`FOLDS`] folds, and those
//! of one fold are scored by trees that learnt from the others. Rows of one patient belong into
//! one fold.

use crate::Result;
use forust_ml::Matrix;
use forust_ml::gradientbooster::{GradientBooster, GrowPolicy, ImportanceMethod};
use rayon::prelude::*;

/// Folds of the cross-validation.
pub const FOLDS: usize = 5;
/// Trees, one after the other.
const TREES: usize = 100;
const LEARNING_RATE: f32 = 0.1;
const MAX_LEAVES: usize = 31;
const BINS: u16 = 255;
/// The least sum of p (1 − p) over a leaf's rows; about 20 rows that are still undecided, which
/// scikit-learn counts.
const MIN_LEAF_WEIGHT: f32 = 3.;

/// Rows of features; NaN is missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// What each feature is called.
    pub names: Vec<String>,
    /// `[features, rows]`
    pub columns: Vec<Vec<f64>>,
}

impl Features {
    /// Adds a feature: what `of` says of each row.
    pub(crate) fn add<T>(&mut self, name: impl Into<String>, rows: &[T], of: impl Fn(&T) -> f64) {
        self.names.push(name.into());
        self.columns.push(rows.iter().map(of).collect());
    }

    /// These rows, and below them those of the same features of others.
    pub(crate) fn below(mut self, others: Self) -> Self {
        for (column, more) in self.columns.iter_mut().zip(others.columns) {
            column.extend(more);
        }
        self
    }

    /// How many rows there are.
    pub(super) fn count(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    /// Every other row, and the rest.
    pub(super) fn halves(&self) -> (Self, Self) {
        let half = |first: usize| {
            let of = |column: &Vec<f64>| column.iter().skip(first).step_by(2).copied().collect();
            Self { names: self.names.clone(), columns: self.columns.iter().map(of).collect() }
        };
        (half(0), half(1))
    }

    /// The features that have two values among some rows.
    fn varying(&self, rows: &[usize]) -> Vec<usize> {
        let varies = |&n: &usize| {
            let mut values = rows.iter().map(|&row| self.columns[n][row]).filter(|x| !x.is_nan());
            let first = values.next();
            values.any(|value| Some(value) != first)
        };
        (0..self.names.len()).filter(varies).collect()
    }

    /// Some features of some rows, feature by feature.
    fn rows(&self, features: &[usize], rows: &[usize]) -> Vec<f64> {
        features.iter().flat_map(|&n| rows.iter().map(move |&row| self.columns[n][row])).collect()
    }
}

/// What the trees said.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossFit {
    /// The log-odds that a row is synthetic, by trees that have not seen it.
    pub scores: Vec<f64>,
    /// The share of the gain over all splits that each feature brought.
    pub importance: Vec<f64>,
}

/// Lets trees learn from all folds but one, and score that one, for each of the folds. What does
/// not vary among the rows learnt from is left out; where nothing does, all scores are 0.
///
/// # Errors
/// [`crate::Error::Trees`] with what the library reports.
pub fn cross_fit(features: &Features, is_synthetic: &[bool], folds: &[usize]) -> Result<CrossFit> {
    let fitted: Vec<(Vec<usize>, CrossFit)> = (0..FOLDS)
        .into_par_iter()
        .map(|fold| {
            let (test, train): (Vec<usize>, Vec<usize>) =
                (0..folds.len()).partition(|&row| folds[row] == fold);
            let fitted = fit_and_score(features, is_synthetic, &train, &test)?;
            Ok((test, fitted))
        })
        .collect::<Result<_>>()?;
    let mut scores = vec![0.; folds.len()];
    let mut importance = vec![0.; features.names.len()];
    for (test, of_fold) in fitted {
        test.into_iter().zip(of_fold.scores).for_each(|(row, score)| scores[row] = score);
        let gains = importance.iter_mut().zip(of_fold.importance);
        gains.for_each(|(sum, gain)| *sum += gain / FOLDS as f64);
    }
    Ok(CrossFit { scores, importance })
}

pub(super) fn fit_and_score(
    features: &Features,
    is_synthetic: &[bool],
    train: &[usize],
    test: &[usize],
) -> Result<CrossFit> {
    let varying = features.varying(train);
    let mut importance = vec![0.; features.names.len()];
    if varying.is_empty() {
        return Ok(CrossFit { scores: vec![0.; test.len()], importance });
    }
    let mut trees = GradientBooster::default();
    trees.iterations = TREES;
    trees.learning_rate = LEARNING_RATE;
    trees.max_depth = usize::MAX;
    trees.max_leaves = MAX_LEAVES;
    trees.l2 = 0.;
    trees.min_leaf_weight = MIN_LEAF_WEIGHT;
    trees.nbins = BINS;
    trees.grow_policy = GrowPolicy::LossGuide;
    trees.initialize_base_score = true;
    // The folds run side by side.
    trees.parallel = false;
    let labels: Vec<f64> =
        train.iter().map(|&row| f64::from(u8::from(is_synthetic[row]))).collect();
    let rows = features.rows(&varying, train);
    let learnt_from = Matrix::new(&rows, train.len(), varying.len());
    trees.fit(&learnt_from, &labels, &vec![1.; train.len()], None)?;

    let rows = features.rows(&varying, test);
    let scores = trees.predict(&Matrix::new(&rows, test.len(), varying.len()), false);
    let gains = trees.calculate_feature_importance(ImportanceMethod::TotalGain, false);
    let gain = |n: &usize| gains.get(n).map_or(0., |&gain| f64::from(gain));
    let all: f64 = (0..varying.len()).map(|n| gain(&n)).sum();
    for (n, &feature) in varying.iter().enumerate().filter(|_| all > 0.) {
        importance[feature] = gain(&n) / all;
    }
    Ok(CrossFit { scores, importance })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_vary_is_left_out_and_the_rest_decides() -> Result<()> {
        let rows: Vec<usize> = (0..200).collect();
        let is_synthetic: Vec<bool> = rows.iter().map(|row| row % 2 == 1).collect();
        let folds: Vec<usize> = rows.iter().map(|row| row / 2 % FOLDS).collect();
        let mut features = Features::default();
        features.add("constant", &rows, |_| 3.);
        features.add("missing", &rows, |_| f64::NAN);
        let nothing = cross_fit(&features, &is_synthetic, &folds)?;
        assert_eq!((nothing.scores, nothing.importance), (vec![0.; 200], vec![0.; 2]));

        features.add("side", &rows, |&row| (row % 2) as f64 + (row * 37 % 100) as f64 * 1e-3);
        let found = cross_fit(&features, &is_synthetic, &folds)?;
        let sides = found.scores.iter().zip(&is_synthetic);
        let right = sides.filter(|(score, side)| (**score > 0.) == **side).count();
        assert!(right > 190, "{right} of 200");
        assert_eq!(found.importance[..2], [0., 0.]);
        assert!((found.importance[2] - 1.).abs() < 1e-12);
        Ok(())
    }
}
