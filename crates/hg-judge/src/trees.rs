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
use serde::{Deserialize, Serialize};

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
/// Rows that go through a tree one after the other.
const ROWS_AT_ONCE: usize = 64;

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
    pub fn add<T>(&mut self, name: impl Into<String>, rows: &[T], of: impl Fn(&T) -> f64) {
        self.names.push(name.into());
        self.columns.push(rows.iter().map(of).collect());
    }

    /// These rows, and below them those of the same features of others.
    pub fn below(mut self, others: Self) -> Self {
        for (column, more) in self.columns.iter_mut().zip(others.columns) {
            column.extend(more);
        }
        self
    }

    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    /// Every other row, and the rest.
    pub fn halves(&self) -> (Self, Self) {
        let half = |first| self.chosen(&(first..self.count()).step_by(2).collect::<Vec<_>>());
        (half(0), half(1))
    }

    /// Some of the rows, in this order.
    pub fn chosen(&self, rows: &[usize]) -> Self {
        let of = |column: &Vec<f64>| rows.iter().map(|&row| column[row]).collect();
        Self { names: self.names.clone(), columns: self.columns.iter().map(of).collect() }
    }

    /// The features that have two values.
    fn varying(&self) -> Vec<usize> {
        let varies = |&n: &usize| {
            let mut values = self.columns[n].iter().filter(|x| !x.is_nan());
            let first = values.next();
            values.any(|value| Some(value) != first)
        };
        (0..self.names.len()).filter(varies).collect()
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
    let fitted: Vec<(Vec<usize>, Vec<f64>, Vec<f64>)> = (0..FOLDS)
        .into_par_iter()
        .map(|fold| {
            let (test, train): (Vec<usize>, Vec<usize>) =
                (0..folds.len()).partition(|&row| folds[row] == fold);
            let labels: Vec<bool> = train.iter().map(|&row| is_synthetic[row]).collect();
            let weights = vec![1.; train.len()];
            let (trees, importance) = Trees::fit(&features.chosen(&train), &labels, &weights)?;
            let scores = trees.scores(&features.chosen(&test));
            Ok((test, scores, importance))
        })
        .collect::<Result<_>>()?;
    let mut scores = vec![0.; folds.len()];
    let mut importance = vec![0.; features.names.len()];
    for (test, of_test, gains) in fitted {
        test.into_iter().zip(of_test).for_each(|(row, score)| scores[row] = score);
        importance.iter_mut().zip(gains).for_each(|(sum, gain)| *sum += gain / FOLDS as f64);
    }
    Ok(CrossFit { scores, importance })
}

/// Boosted trees that have learnt: the log-odds that a row is synthetic are a number that all rows
/// have, and one from each tree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trees {
    base: f64,
    trees: Vec<Vec<Node>>,
}

/// A node of a tree; the first one is the root, and children come after their parents.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Node {
    Leaf(f64),
    /// A feature, a value, and the nodes where the feature is below the value, where it is not,
    /// and where it is missing.
    Split(u32, f64, u32, u32, u32),
}

impl Trees {
    /// Learns from weighted rows. With the trees goes the share of the gain over all splits that
    /// each feature brought. Features that do not vary are left out; where none does, all scores are
    /// 0.
    ///
    /// # Errors
    /// [`crate::Error::Trees`] with what the library reports.
    pub fn fit(
        features: &Features,
        is_synthetic: &[bool],
        weights: &[f64],
    ) -> Result<(Self, Vec<f64>)> {
        let varying = features.varying();
        let mut importance = vec![0.; features.names.len()];
        if varying.is_empty() {
            return Ok((Self::default(), importance));
        }
        let mut booster = GradientBooster::default();
        booster.iterations = TREES;
        booster.learning_rate = LEARNING_RATE;
        booster.max_depth = usize::MAX;
        booster.max_leaves = MAX_LEAVES;
        booster.l2 = 0.;
        booster.min_leaf_weight = MIN_LEAF_WEIGHT;
        booster.nbins = BINS;
        booster.grow_policy = GrowPolicy::LossGuide;
        booster.initialize_base_score = true;
        // Several are fitted side by side.
        booster.parallel = false;
        let labels: Vec<f64> =
            is_synthetic.iter().map(|&is_synthetic| f64::from(u8::from(is_synthetic))).collect();
        let rows: Vec<f64> =
            varying.iter().flat_map(|&n| features.columns[n].iter().copied()).collect();
        let learnt_from = Matrix::new(&rows, labels.len(), varying.len());
        booster.fit(&learnt_from, &labels, weights, None)?;

        let gains = booster.calculate_feature_importance(ImportanceMethod::TotalGain, false);
        let gain = |n: &usize| gains.get(n).map_or(0., |&gain| f64::from(gain));
        let all: f64 = (0..varying.len()).map(|n| gain(&n)).sum();
        for (n, &feature) in varying.iter().enumerate().filter(|_| all > 0.) {
            importance[feature] = gain(&n) / all;
        }
        let trees = booster.trees.iter().map(|tree| {
            let nodes = tree.nodes.iter().map(|node| match node.is_leaf {
                true => Node::Leaf(f64::from(node.weight_value)),
                false => Node::Split(
                    varying[node.split_feature] as u32,
                    node.split_value,
                    node.left_child as u32,
                    node.right_child as u32,
                    node.missing_node as u32,
                ),
            });
            nodes.collect()
        });
        Ok((Self { base: booster.base_score, trees: trees.collect() }, importance))
    }

    /// Learns from real rows and synthetic ones, both sides weighing the same.
    ///
    /// # Errors
    /// [`crate::Error::Trees`] with what the library reports.
    pub fn between(real: Features, synthetic: Features) -> Result<Self> {
        let counts = [real.count(), synthetic.count()];
        let of_both = |real, made| [vec![real; counts[0]], vec![made; counts[1]]].concat();
        let weights = of_both(1., counts[0] as f64 / counts[1].max(1) as f64);
        let is_synthetic = [vec![false; counts[0]], vec![true; counts[1]]].concat();
        Ok(Self::fit(&real.below(synthetic), &is_synthetic, &weights)?.0)
    }

    /// The log-odds that each row is synthetic, which has the features learnt from.
    pub fn scores(&self, features: &Features) -> Vec<f64> {
        let mut scores = vec![self.base; features.count()];
        // A tree stays at hand while some rows go through it.
        scores.par_chunks_mut(ROWS_AT_ONCE).enumerate().for_each(|(n, scores)| {
            for tree in &self.trees {
                for (row, score) in scores.iter_mut().enumerate() {
                    let row = n * ROWS_AT_ONCE + row;
                    *score += Node::value(tree, |feature| features.columns[feature][row]);
                }
            }
        });
        scores
    }

    /// Whether rows of so many features can be scored: a file may have been edited.
    pub(crate) fn are_sound(&self, features: usize) -> bool {
        let is_sound = |tree: &Vec<Node>| {
            let node_is = |(n, node): (usize, &Node)| match *node {
                Node::Leaf(value) => value.is_finite(),
                Node::Split(feature, below, left, right, missing) => {
                    let children = [left, right, missing].map(|child| child as usize);
                    let follow = children.iter().all(|&child| child > n && child < tree.len());
                    (feature as usize) < features && below.is_finite() && follow
                }
            };
            !tree.is_empty() && tree.iter().enumerate().all(node_is)
        };
        self.base.is_finite() && self.trees.iter().all(is_sound)
    }
}

impl Node {
    /// The value of the leaf that a row falls into.
    fn value(tree: &[Self], row: impl Fn(usize) -> f64) -> f64 {
        let mut at = 0;
        loop {
            match tree[at] {
                Self::Leaf(value) => return value,
                Self::Split(feature, below, left, right, missing) => {
                    let x = row(feature as usize);
                    let child = if x.is_nan() {
                        missing
                    } else if x < below {
                        left
                    } else {
                        right
                    };
                    at = child as usize;
                }
            }
        }
    }
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
