//! The area under the ROC curve with its interval.
//!
//! With midranks of all scores together and of each side alone, AUC is the mean of the
//! positives' placements, and its variance follows from the placements' variances (DeLong et
//! al., *Biometrics* 44, 1988; computed as in Sun & Xu, *IEEE Signal Process. Lett.* 21, 2014):
//!
//! ```text
//! placement of a positive = (rank among all − rank among positives) / negatives
//! variance = var(placements of positives) / positives + var(placements of negatives) / negatives
//! ```
//!
//! Scores of one cluster (the steps of a patient) are not independent. Then the clusters' sums take
//! the placements' place (Obuchowski, *Biometrics* 53, 1997): with K clusters of a side, M scores
//! and v the sum of a cluster's placements less the area,
//!
//! ```text
//! variance of a side = K / (K − 1) · Σ v² / M²
//! ```
//!
//! which is the variance above where each cluster has one score.

use crate::statistics::finite;
use serde::Serialize;

/// The normal law's 97.5 % quantile.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

/// An area under the ROC curve: ½ is chance, 1 tells the sides apart always.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Auc {
    /// The area.
    pub area: f64,
    /// The lower end of its 95 % interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// How well scores tell positives from negatives; `None` unless both sides have two or more
/// that are finite.
///
/// ```
/// let auc = hg_eval::auc(&[0.9, 0.8, 0.4], &[0.5, 0.3]).unwrap();
/// assert!((auc.area - 5. / 6.).abs() < 1e-12);
/// ```
pub fn auc(positives: &[f64], negatives: &[f64]) -> Option<Auc> {
    let alone = |scores: &[f64]| scores.iter().map(|&score| vec![score]).collect::<Vec<_>>();
    auc_of_clusters(&alone(positives), &alone(negatives))
}

/// How well scores tell positives from negatives, where those of one cluster depend on each other;
/// `None` unless both sides have two clusters or more with a finite score.
pub(crate) fn auc_of_clusters(positives: &[Vec<f64>], negatives: &[Vec<f64>]) -> Option<Auc> {
    let [(positives, of_positive), (negatives, of_negative)] =
        [positives, negatives].map(|clusters| {
            let sizes = clusters.iter().map(|scores| finite(scores).len());
            let sizes: Vec<usize> = sizes.filter(|&size| size > 0).collect();
            (finite(&clusters.concat()).into_owned(), sizes)
        });
    if of_positive.len() < 2 || of_negative.len() < 2 {
        return None;
    }
    let all = [&positives[..], &negatives[..]].concat();
    let ranks = midranks(&all);
    let (of_positives, of_negatives) = ranks.split_at(positives.len());
    let placements = |ranks: &[f64], alone: &[f64], others: usize| -> Vec<f64> {
        ranks.iter().zip(alone).map(|(all, own)| (all - own) / others as f64).collect()
    };
    let positive = placements(of_positives, &midranks(&positives), negatives.len());
    let negative = placements(of_negatives, &midranks(&negatives), positives.len());
    let area = positive.iter().sum::<f64>() / positive.len() as f64;
    let error = (spread(&positive, &of_positive) + spread(&negative, &of_negative)).sqrt();
    Some(Auc { area, low: (area - Z * error).max(0.), high: (area + Z * error).min(1.) })
}

/// The variance of the mean of values in clusters of these sizes, one after the other.
fn spread(values: &[f64], sizes: &[usize]) -> f64 {
    let (n, clusters) = (values.len() as f64, sizes.len() as f64);
    let mean = values.iter().sum::<f64>() / n;
    let mut rest = values;
    let squares = sizes.iter().map(|&size| {
        let (cluster, after) = rest.split_at(size);
        rest = after;
        cluster.iter().map(|value| value - mean).sum::<f64>().powi(2)
    });
    clusters / (clusters - 1.) * squares.sum::<f64>() / (n * n)
}

/// The rank of each of some finite values, from 1; equal values share the mean of theirs.
fn midranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.; values.len()];
    let mut first = 0;
    while first < order.len() {
        // The first is equal to itself, whatever it is, so that this ends.
        let rest = order[first + 1..].iter();
        let equal = 1 + rest.take_while(|&&n| values[n] == values[order[first]]).count();
        for &n in &order[first..first + equal] {
            ranks[n] = (2 * first + equal + 1) as f64 / 2.;
        }
        first += equal;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_are_chance_and_no_overlap_is_certain() {
        let chance = auc(&[1., 1., 1.], &[1., 1.]).expect("an area");
        assert_eq!((chance.area, chance.low, chance.high), (0.5, 0.5, 0.5));
        assert_eq!(auc(&[2., 3.], &[0., 1.]).map(|auc| auc.area), Some(1.));
        assert_eq!(auc(&[2.], &[0., 1.]), None);
        assert_eq!(auc(&[2., 3.], &[1.]), None);
    }

    #[test]
    fn the_interval_is_delongs_by_hand() {
        // Placements of positives 1, 1, ½ (variance 1/12), of negatives 1/3, 0 (variance 1/18).
        let found = auc(&[0.9, 0.8, 0.4], &[0.5, 0.3]).expect("an area");
        let error = (1. / 12. / 3. + 1. / 18. / 2f64).sqrt();
        assert!((found.low - (5. / 6. - 1.959_963_984_540_054 * error)).abs() < 1e-12, "{found:?}");
        assert_eq!(found.high, 1.);
        // Turned around, both ends change places.
        let turned = auc(&[0.5, 0.3], &[0.9, 0.8, 0.4]).expect("an area");
        assert!((turned.high - (1. - found.low)).abs() < 1e-12 && turned.low == 0., "{turned:?}");
    }

    #[test]
    fn a_cluster_counts_once_and_its_scores_together() {
        let clusters = |scores: &[&[f64]]| scores.iter().map(|s| s.to_vec()).collect::<Vec<_>>();
        // Placements of positives 1, 1 | ½ and of negatives 1/3 | 0, as in the test above: the
        // positives' cluster sums less the area are 1/3 and −1/3, so 2/1 · 2/9 / 9.
        let found =
            auc_of_clusters(&clusters(&[&[0.9, 0.8], &[0.4]]), &clusters(&[&[0.5], &[0.3]]));
        let error = (4. / 81. + 1. / 18. / 2f64).sqrt();
        let low = found.expect("an area").low;
        assert!((low - (5. / 6. - Z * error)).abs() < 1e-12, "{low}");
        // The same scores twice say no more than once.
        let (a, b) = ([0.9, 0.8, 0.4, 0.35], [0.5, 0.3, 0.1]);
        let twice = |scores: &[f64]| scores.iter().map(|&s| vec![s, s]).collect::<Vec<_>>();
        let (once, found) = (auc(&a, &b), auc_of_clusters(&twice(&a), &twice(&b)));
        let near = |x: f64, y: f64| (x - y).abs() < 1e-12;
        let (once, found) = (once.expect("an area"), found.expect("an area"));
        assert!(near(once.area, found.area) && near(once.low, found.low), "{once:?} {found:?}");
        assert_eq!(auc_of_clusters(&clusters(&[&[0.9, 0.8]]), &clusters(&[&[0.5], &[0.3]])), None);
    }

    #[test]
    fn equal_values_share_the_mean_of_their_ranks() {
        assert_eq!(midranks(&[3., 1., 3., 2., 3.]), [4., 1., 4., 2., 4.]);
        assert_eq!(midranks(&[0., -0., 1.]), [1.5, 1.5, 3.]);
        assert!(midranks(&[]).is_empty());
    }
}
