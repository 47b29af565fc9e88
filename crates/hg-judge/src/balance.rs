//! Odds that keep the distribution of every column: entropy balancing (Hainmueller 2012,
//! doi:10.1093/pan/mpr025) of those who are taken.
//!
//! ```text
//! φ(s)            for each summary of a column's values the bin of its value: sixths of the real ones, or
//!                 missing; one-hot
//! P(j is taken) = exp(ℓ_j + β·φ_j) / Σ_i exp(ℓ_i + β·φ_i)      of the candidates for one place
//! β = argmax  β·φ̄ − mean over places of log Σ_i exp(ℓ_i + β·φ_i) − |β|² / 2 n σ²
//! ```
//!
//! φ̄ is the mean of φ over n real patients, so that where the maximum is, the bins of those who are taken
//! are as full as those of the real ones: the gradient is their difference. Among all odds of which
//! this holds, these are the nearest to exp ℓ. σ is how far a weight may go: bins of few patients say
//! little. Only summaries of values are held (statics, means, shares of levels): with SDs, slopes and
//! correlations too, and tenths, hardly any candidate was left to choose from, and patients were told apart
//! more easily (docs/quality.md, "27 November 2026, evening").

use crate::Features;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Bins of a summary, at most, besides that of missing values.
const BINS: usize = 6;
/// σ
const SPREAD: f64 = 0.7;
/// Steps of Nesterov's ascent.
const STEPS: usize = 300;
/// Places whose sums are taken together, in their order.
const PLACES: usize = 32;

/// A weight for each bin of some summaries; of none where it was not learnt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Balance(Vec<Weights>);

/// The weights of a summary's bins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Weights {
    /// Its position among the summaries.
    summary: usize,
    /// Where bins end, ascending.
    cuts: Vec<f64>,
    /// `[cuts + 2]`: of the bins in order, and of a missing value.
    weights: Vec<f64>,
}

impl Balance {
    /// Whether it can be used on so many summaries.
    pub(crate) fn is_sound(&self, summaries: usize) -> bool {
        self.0.iter().all(|Weights { summary, cuts, weights }| {
            let are_finite = weights.iter().all(|weight| weight.is_finite());
            *summary < summaries && weights.len() == cuts.len() + 2 && are_finite
        })
    }

    /// The weights by which those who are taken, of so many `candidates` for each place and with these
    /// log odds `[places × candidates]`, are distributed as the real ones are, in the summaries at the
    /// positions `held`.
    pub(crate) fn fit(
        (real, held): (&Features, &[usize]),
        made: &Features,
        log_odds: &[f64],
        candidates: usize,
    ) -> Self {
        let cuts: Vec<Vec<f64>> = held.iter().map(|&n| ends_of_bins(&real.columns[n])).collect();
        // Each bin's place among all weights.
        let mut all = 0;
        let mut first_of = |cuts: &Vec<f64>| {
            all += cuts.len() + 2;
            all - cuts.len() - 2
        };
        let firsts: Vec<usize> = cuts.iter().map(&mut first_of).collect();
        let bins_of = |features: &Features| -> Vec<Vec<usize>> {
            let bins = |row| {
                let of = cuts.iter().zip(held).zip(&firsts);
                of.map(|((cuts, &n), first)| first + bin(cuts, features.columns[n][row])).collect()
            };
            (0..features.count()).map(bins).collect()
        };
        let count = real.count() as f64;
        let mut wanted = vec![0.; all];
        bins_of(real).iter().flatten().for_each(|&bin| wanted[bin] += 1. / count);
        let made = Made { bins: bins_of(made), log_odds, candidates };
        // The Hessian's greatest eigenvalue is at most half the number of summaries.
        let rate = 2. / cuts.len().max(1) as f64;
        let decay = 1. / (count * SPREAD * SPREAD);
        let (mut weights, mut before) = (vec![0.; all], vec![0.; all]);
        for step in 0..STEPS {
            let momentum = step as f64 / (step as f64 + 3.);
            let ahead: Vec<f64> =
                weights.iter().zip(&before).map(|(x, y)| x + momentum * (x - y)).collect();
            let taken = made.taken(&ahead);
            let up = |(n, x): (usize, &f64)| x + rate * (wanted[n] - taken[n] - decay * x);
            before = std::mem::replace(&mut weights, ahead.iter().enumerate().map(up).collect());
        }
        let of = |((&summary, cuts), &first): ((&usize, Vec<f64>), &usize)| {
            let weights = weights[first..first + cuts.len() + 2].to_vec();
            Weights { summary, cuts, weights }
        };
        Self(held.iter().zip(cuts).zip(&firsts).map(of).collect())
    }

    /// Adds β·φ of each patient to its log odds.
    pub(crate) fn add(&self, patients: &Features, log_odds: &mut [f64]) {
        for Weights { summary, cuts, weights } in &self.0 {
            let column = patients.columns.get(*summary).into_iter().flatten();
            for (sum, &x) in log_odds.iter_mut().zip(column) {
                *sum += weights[bin(cuts, x)];
            }
        }
    }
}

/// Made patients, those for one place one after the other.
struct Made<'a> {
    /// The full bins of each.
    bins: Vec<Vec<usize>>,
    log_odds: &'a [f64],
    candidates: usize,
}

impl Made<'_> {
    /// How full each bin is among those who are taken, by these weights.
    fn taken(&self, weights: &[f64]) -> Vec<f64> {
        let places = self.bins.len() / self.candidates;
        let together = PLACES * self.candidates;
        let parts = self.bins.par_chunks(together).zip(self.log_odds.par_chunks(together));
        let sums: Vec<Vec<f64>> = parts
            .map(|(bins, log_odds)| {
                let mut sum = vec![0.; weights.len()];
                let places = bins.chunks(self.candidates).zip(log_odds.chunks(self.candidates));
                for (bins, log_odds) in places {
                    let tilt = |bins: &Vec<usize>| bins.iter().map(|&n| weights[n]).sum::<f64>();
                    let tilted: Vec<f64> =
                        bins.iter().zip(log_odds).map(|(bins, odds)| odds + tilt(bins)).collect();
                    let greatest = tilted.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let odds: Vec<f64> = tilted.iter().map(|x| (x - greatest).exp()).collect();
                    let all: f64 = odds.iter().sum();
                    for (bins, odds) in bins.iter().zip(odds) {
                        bins.iter().for_each(|&n| sum[n] += odds / all);
                    }
                }
                sum
            })
            .collect();
        let mut taken = vec![0.; weights.len()];
        for sum in sums {
            taken.iter_mut().zip(sum).for_each(|(taken, sum)| *taken += sum / places as f64);
        }
        taken
    }
}

/// Where equal parts of the finite values end, each once; none where all are equal.
fn ends_of_bins(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let Some(&greatest) = sorted.last() else { return Vec::new() };
    let mut cuts: Vec<f64> = (1..BINS).map(|n| sorted[n * (sorted.len() - 1) / BINS]).collect();
    cuts.dedup();
    cuts.retain(|&cut| cut < greatest);
    cuts
}

/// The bin of a value; the last one of what is missing.
fn bin(cuts: &[f64], x: f64) -> usize {
    match x.is_nan() {
        true => cuts.len() + 1,
        false => cuts.partition_point(|cut| *cut < x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// A uniform number to some power, a level of three, and a number that is missing now and then.
    fn patients(count: usize, power: f64, rare: f64, rng: &mut ChaCha8Rng) -> Features {
        let drawn: Vec<[f64; 3]> =
            (0..count).map(|_| [rng.random(), rng.random(), rng.random()]).collect();
        let mut features = Features::default();
        features.add("number", &drawn, |x| x[0].powf(power));
        features.add("level", &drawn, |x| if x[1] < rare { 2. } else { (x[1] > 0.6).into() });
        features.add("gaps", &drawn, |x| if x[2] < rare { f64::NAN } else { x[0] });
        features
    }

    /// How full the bins are.
    fn shares(balance: &Balance, features: &Features, weights: &[f64]) -> Vec<f64> {
        let all: f64 = weights.iter().sum();
        let of = |Weights { summary, cuts, .. }: &Weights| {
            let mut shares = vec![0.; cuts.len() + 2];
            let values = features.columns[*summary].iter();
            values.zip(weights).for_each(|(&x, weight)| shares[bin(cuts, x)] += weight / all);
            shares
        };
        balance.0.iter().flat_map(of).collect()
    }

    #[test]
    fn those_who_are_taken_fill_every_bin_as_real_ones_do() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let real = patients(8000, 1., 0.1, &mut rng);
        let made = patients(500 * 24, 1.6, 0.25, &mut rng);
        // The odds are wrong, too.
        let odds: Vec<f64> = made.columns[0].iter().map(|x| -x).collect();
        let balance = Balance::fit((&real, &[0, 1, 2]), &made, &odds, 24);
        assert!(balance.is_sound(3));
        let mut tilted = odds.clone();
        balance.add(&made, &mut tilted);
        let softmax = |odds: &[f64]| -> Vec<f64> {
            let of_place = |odds: &[f64]| {
                let all: f64 = odds.iter().map(|x| x.exp()).sum();
                odds.iter().map(|x| x.exp() / all).collect::<Vec<_>>()
            };
            odds.chunks(24).flat_map(of_place).collect()
        };
        let wanted = shares(&balance, &real, &vec![1.; 8000]);
        let distance = |odds: &[f64]| {
            let taken = shares(&balance, &made, &softmax(odds));
            taken.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0., f64::max)
        };
        let (before, after) = (distance(&odds), distance(&tilted));
        assert!(before > 0.1 && after < 0.02, "{before} {after}");
    }

    #[test]
    fn a_summary_has_a_bin_for_each_of_few_values_and_one_for_what_is_missing() {
        let levels = [0., 0., 1., 1., 1., 2., 2., f64::NAN];
        let cuts = ends_of_bins(&levels);
        assert_eq!(cuts, [0., 1.]);
        let bins: Vec<usize> = levels.iter().map(|&x| bin(&cuts, x)).collect();
        assert_eq!(bins, [0, 0, 1, 1, 1, 2, 2, 3]);
        assert_eq!(ends_of_bins(&[5.; 9]), [0.; 0]);
        assert_eq!(ends_of_bins(&[f64::NAN]), [0.; 0]);
        let many: Vec<f64> = (0..1000).map(f64::from).collect();
        assert_eq!(ends_of_bins(&many).len(), BINS - 1);
    }

    #[test]
    fn a_balance_of_other_summaries_is_not_sound() {
        assert!(Balance::default().is_sound(7));
        let of = |summary, weights: &[f64]| {
            Balance(vec![Weights { summary, cuts: vec![1.], weights: weights.to_vec() }])
        };
        assert!(of(0, &[0.; 3]).is_sound(1));
        assert!(!of(1, &[0.; 3]).is_sound(1), "there is no such summary");
        assert!(!of(0, &[0.; 2]).is_sound(1), "a bin has no weight");
        assert!(!of(0, &[f64::INFINITY, 0., 0.]).is_sound(1));
    }
}
