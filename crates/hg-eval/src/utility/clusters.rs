//! k-means: points by their nearest centre, centres in the middle of their points (Lloyd,
//! *IEEE Trans. Inf. Theory* 28, 1982; first centres as in Arthur & Vassilvitskii, SODA 2007).

use crate::statistics::is_finite;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Rounds at most.
const MAX_ROUNDS: usize = 50;

/// Centres `[clusters][features]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Clusters {
    centres: Vec<Vec<f32>>,
}

impl Clusters {
    /// At most `count` clusters of `points`; the same seed gives the same. There are fewer where
    /// fewer points differ. Points that are not finite are left out; of no point there is no
    /// cluster.
    pub(crate) fn new(points: &[Vec<f32>], count: usize, seed: u64) -> Self {
        let points: Vec<&Vec<f32>> = points.iter().filter(|point| is_finite(point)).collect();
        let Some(first) = points.first() else { return Self::default() };

        // First centres.
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut clusters = Self::default();
        let mut apart: Vec<f64> = vec![1.; points.len()];
        while clusters.centres.len() < count {
            // The next centre is a point, by the square of its distance from those that are there.
            let mut place = rng.random::<f64>() * apart.iter().sum::<f64>();
            let next = apart.iter().position(|square| {
                place -= square;
                place < 0.
            });
            let Some(next) = next else { break };
            let centre = points[next];
            let squares = points.par_iter().map(|point| square_distance(point, centre));
            let is_first = clusters.centres.is_empty();
            apart = squares
                .zip(&apart)
                .map(|(new, old)| if is_first { new } else { new.min(*old) })
                .collect();
            clusters.centres.push(centre.clone());
        }

        // Centres move into the middle of their points until they stay.
        for _ in 0..MAX_ROUNDS {
            let nearest: Vec<usize> = points.par_iter().map(|point| clusters.of(point)).collect();
            let mut sums = vec![(vec![0f64; first.len()], 0f64); clusters.centres.len()];
            for (point, cluster) in points.iter().zip(nearest) {
                let (sum, members) = &mut sums[cluster];
                sum.iter_mut().zip(*point).for_each(|(sum, x)| *sum += f64::from(*x));
                *members += 1.;
            }
            let before = clusters.centres.clone();
            for (centre, (sum, members)) in clusters.centres.iter_mut().zip(sums) {
                // A centre that lost its points stays where it was.
                if members > 0. {
                    *centre = sum.into_iter().map(|x| (x / members) as f32).collect();
                }
            }
            if clusters.centres == before {
                break;
            }
        }
        clusters
    }

    /// How many clusters there are.
    pub(crate) fn count(&self) -> usize {
        self.centres.len()
    }

    /// The cluster of the nearest centre; of equally near ones the first.
    pub(crate) fn of(&self, point: &[f32]) -> usize {
        let apart = self.centres.iter().map(|centre| square_distance(point, centre)).enumerate();
        apart.min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(n, _)| n)
    }
}

fn square_distance(a: &[f32], b: &[f32]) -> f64 {
    f64::from(a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_heaps_are_three_clusters() {
        let mut points = Vec::new();
        for n in 0..90 {
            let (heap, off) = (n % 3, (n / 3) as f32 / 30.);
            points.push(vec![10. * heap as f32 + off, off]);
        }
        let clusters = Clusters::new(&points, 3, 5);
        let first: Vec<usize> = (0..3).map(|n| clusters.of(&points[n])).collect();
        assert!(first[0] != first[1] && first[1] != first[2] && first[0] != first[2]);
        assert!(points.iter().enumerate().all(|(n, point)| clusters.of(point) == first[n % 3]));
        assert_eq!(Clusters::new(&vec![vec![1.]; 9], 4, 0).count(), 1);
        // What is not finite has no place in the plane.
        assert_eq!(Clusters::new(&[vec![f32::NAN], vec![f32::INFINITY]], 4, 0).count(), 0);
        assert_eq!(Clusters::new(&[], 4, 0).count(), 0);
    }
}
