//! Which of a generator's patients are taken: importance resampling by the odds of a classifier (Rubin 1988;
//! with a discriminator's odds: Grover et al., NeurIPS 2019, arXiv:1906.09531; Azadi et al., ICLR 2019,
//! arXiv:1810.06758).
//!
//! ```text
//! s                      the summaries of a patient
//! ℓ_k(s)                 mean over bags of log P(real | s) / P(made | s), by trees of round k
//! ℓ(s) = Σ_k ℓ_k(s) + β·φ(s)             β·φ holds the distribution of each column (balance.rs)
//! P(j is taken) = exp ℓ(s_j) / Σ_i exp ℓ(s_i)      of the candidates s_1 … s_C for one place
//! ```
//!
//! Where the trees are right, exp ℓ is how much more often such a patient is real than made, and with
//! many candidates those who are taken are distributed as the real ones are. The candidates for a place
//! have one length, so that lengths stay as they are drawn. The trees of the first round learn from real
//! patients and made ones; those of each later round from real patients and those whom the rounds before
//! take. After each round β is found anew. Where nearly every made patient is told from the real ones, odds say who is least unlike, not who
//! is like: then nothing is learnt.

use crate::balance::Balance;
use crate::{CrossFit, Error, FOLDS, Features, Result, Trees, cross_fit, summaries_of};
use hg_data::{Observed, Schema};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// C: candidates for a place.
pub const CANDIDATES: usize = 24;
/// Rounds of trees.
const ROUNDS: usize = 4;
/// In each, so many times trees learn from …
const BAGS: usize = 5;
/// … this share of the real patients and as many times as many others.
const BAG_SHARE: f64 = 0.8;
const OTHERS: usize = 2;
/// Real patients, and others, to learn from at least.
const LEAST_PATIENTS: usize = 50;
/// The area under the curve of trees that tell made patients from real ones, up to which their odds are
/// of use.
const MOST_APART: f64 = 0.99;

/// What chooses among a generator's patients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Saved")]
pub struct Resampler {
    /// The summaries that the trees look at.
    features: Vec<String>,
    /// `[rounds, bags]`
    rounds: Vec<Vec<Trees>>,
    balance: Balance,
}

/// What a file holds, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    features: Vec<String>,
    rounds: Vec<Vec<Trees>>,
    /// Runs from before had none.
    #[serde(default)]
    balance: Balance,
}

impl TryFrom<Saved> for Resampler {
    type Error = &'static str;

    fn try_from(
        Saved { features, rounds, balance }: Saved,
    ) -> std::result::Result<Self, Self::Error> {
        let are_sound = |bags: &Vec<Trees>| {
            !bags.is_empty() && bags.iter().all(|trees| trees.are_sound(features.len()))
        };
        match rounds.iter().all(are_sound) && balance.is_sound(features.len()) {
            true => Ok(Self { features, rounds, balance }),
            false => Err("it holds trees or weights that cannot be used"),
        }
    }
}

impl Resampler {
    /// Learns to tell real patients from those of a generator, and holds the distributions of the summaries
    /// at the positions `held`: `make` makes the candidates for so many
    /// places, so many for each, those of one place one after the other, and others in every call. About
    /// `most` are made in a round. `None` where there are too few patients to learn from, or nearly
    /// every one that is made is told apart.
    ///
    /// # Errors
    /// What `make` reports, and the trees.
    pub fn fit<E: From<Error>>(
        (real, held): (&Features, &[usize]),
        make: &mut dyn FnMut(usize, usize) -> std::result::Result<Features, E>,
        most: usize,
    ) -> std::result::Result<Option<Self>, E> {
        let places = (OTHERS * real.count()).min(most / CANDIDATES);
        if real.count().min(places) < LEAST_PATIENTS {
            return Ok(None);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut fitted =
            Self { features: real.names.clone(), rounds: Vec::new(), balance: Balance::default() };
        for round in 0..ROUNDS {
            let candidates = if round == 0 { 1 } else { CANDIDATES };
            let made = make(places, candidates)?;
            let draws: Vec<f64> = (0..made.count() / candidates).map(|_| rng.random()).collect();
            let taken = made.chosen(&fitted.choose(&made, &draws));
            if taken.count() < LEAST_PATIENTS || (round == 0 && apart(real, &taken)? > MOST_APART) {
                return Ok(None);
            }
            fitted.rounds.push(bags(real, &taken, &mut rng)?);
            let made = make(places, CANDIDATES)?;
            fitted.balance = Balance::default();
            let log_odds = fitted.log_odds(&made);
            fitted.balance = Balance::fit((real, held), &made, &log_odds, CANDIDATES);
        }
        Ok(Some(fitted))
    }

    /// Whether it chooses among patients that `schema` describes.
    pub fn is_for(&self, schema: &Schema) -> bool {
        let nobody = Observed {
            columns: vec![Vec::new(); schema.columns.len()],
            lengths: Vec::new(),
            out_of_domain: Vec::new(),
            violations: Vec::new(),
        };
        summaries_of(schema, &nobody).names == self.features
    }

    /// For each place, by a number in [0, 1), the row of the candidate who is taken. The rows of the
    /// candidates are shared out among the places evenly, one place after the other.
    pub fn choose(&self, candidates: &Features, draws: &[f64]) -> Vec<usize> {
        let log_odds = self.log_odds(candidates);
        let place = |n: usize| n * log_odds.len() / draws.len();
        let of_place = |(n, &draw): (usize, &f64)| {
            let first = place(n);
            first + chosen(&log_odds[first..place(n + 1)], draw)
        };
        draws.iter().enumerate().map(of_place).collect()
    }

    /// ℓ of each patient.
    fn log_odds(&self, patients: &Features) -> Vec<f64> {
        let mut log_odds = vec![0.; patients.count()];
        for bags in &self.rounds {
            let scores: Vec<Vec<f64>> = bags.iter().map(|trees| trees.scores(patients)).collect();
            for (row, sum) in log_odds.iter_mut().enumerate() {
                let synthetic: f64 = scores.iter().map(|scores| scores[row]).sum();
                *sum -= synthetic / bags.len() as f64;
            }
        }
        self.balance.add(patients, &mut log_odds);
        log_odds
    }
}

/// One of several, drawn in proportion to exp ℓ; 0 of none.
fn chosen(log_odds: &[f64], draw: f64) -> usize {
    let greatest = log_odds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights = || log_odds.iter().map(|log_odds| (log_odds - greatest).exp());
    let mut left = draw * weights().sum::<f64>();
    let found = weights().position(|weight| {
        left -= weight;
        left < 0.
    });
    found.unwrap_or(log_odds.len().saturating_sub(1))
}

/// The area under the curve with which trees tell two sides apart that they have not seen.
fn apart(real: &Features, made: &Features) -> Result<f64> {
    let counts = [real.count(), made.count()];
    let folds: Vec<usize> =
        counts.into_iter().flat_map(|count| (0..count).map(|row| row % FOLDS)).collect();
    let is_made = [vec![false; counts[0]], vec![true; counts[1]]].concat();
    let CrossFit { scores, .. } = cross_fit(&real.clone().below(made.clone()), &is_made, &folds)?;
    let (real, made) = scores.split_at(counts[0]);
    let mut real = real.to_vec();
    real.sort_by(f64::total_cmp);
    let below = |score: &f64| {
        let (lower, to) =
            (real.partition_point(|x| x < score), real.partition_point(|x| x <= score));
        (lower + to) as f64 / 2.
    };
    let pairs = (counts[0] * counts[1]) as f64;
    Ok(made.iter().map(below).sum::<f64>() / pairs)
}

/// Trees of a round, each from another part of both sides, which weigh the same.
fn bags<E: From<Error>>(
    real: &Features,
    taken: &Features,
    rng: &mut ChaCha8Rng,
) -> std::result::Result<Vec<Trees>, E> {
    let mut part = |count: usize, of: usize| {
        let mut order: Vec<usize> = (0..of).collect();
        order.shuffle(rng);
        order.truncate(count);
        order
    };
    let count = (BAG_SHARE * real.count() as f64).ceil() as usize;
    let mut sides = || {
        let real = real.chosen(&part(count, real.count()));
        (real, taken.chosen(&part(OTHERS * count, taken.count())))
    };
    let sides: Vec<(Features, Features)> = (0..BAGS).map(|_| sides()).collect();
    let fitted = sides.into_par_iter().map(|(real, taken)| Trees::between(real, taken));
    Ok(fitted.collect::<Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patients of two features: a uniform one, and one that the generator has wrong.
    fn rows(count: usize, rng: &mut ChaCha8Rng, second: impl Fn(f64, f64) -> f64) -> Features {
        let drawn: Vec<[f64; 2]> = (0..count).map(|_| [rng.random(), rng.random()]).collect();
        let mut features = Features::default();
        features.add("first", &drawn, |x| x[0]);
        features.add("second", &drawn, |x| second(x[0], x[1]));
        features
    }

    fn correlation(features: &Features) -> f64 {
        let [x, y] = [0, 1].map(|n| &features.columns[n]);
        let count = x.len() as f64;
        let [mx, my] = [x, y].map(|x| x.iter().sum::<f64>() / count);
        let sum = |a: &[f64], ma: f64, b: &[f64], mb: f64| -> f64 {
            a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum()
        };
        sum(x, mx, y, my) / (sum(x, mx, x, mx) * sum(y, my, y, my)).sqrt()
    }

    /// So many of those whom it takes.
    fn taken(resampler: &Resampler, candidates: &Features) -> Features {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let places = candidates.count() / CANDIDATES;
        let draws: Vec<f64> = (0..places).map(|_| rng.random()).collect();
        candidates.chosen(&resampler.choose(candidates, &draws))
    }

    #[test]
    fn those_who_are_taken_have_the_joint_distribution_of_the_real_ones() -> Result<()> {
        // Real: the second goes with the first. Made: the columns alone are right.
        let together = |x: f64, y: f64| 0.7 * x + 0.3 * y;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let real = rows(400, &mut rng, together);
        let other = rows(4000, &mut rng, together);
        let mut make =
            |places, each| -> Result<Features> { Ok(rows(places * each, &mut rng, |_, y| y)) };
        let fitted = Resampler::fit((&real, &[0, 1]), &mut make, 12_000)?.expect("enough patients");
        let candidates = make(1000, CANDIDATES)?;
        let taken = correlation(&taken(&fitted, &candidates));
        let (real, made) = (correlation(&other), correlation(&candidates));
        assert!(made.abs() < 0.1 && real > 0.9, "{made} {real}");
        assert!((taken - real).abs() < 0.1, "{taken} for {real}");

        let json = serde_json::to_string(&fitted).expect("JSON");
        assert_eq!(serde_json::from_str::<Resampler>(&json).expect("sound"), fitted);
        Ok(())
    }

    #[test]
    fn where_nothing_is_wrong_the_distribution_stays() -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let real = rows(300, &mut rng, |_, y| y);
        let mut make =
            |places, each| -> Result<Features> { Ok(rows(places * each, &mut rng, |_, y| y)) };
        let fitted = Resampler::fit((&real, &[0, 1]), &mut make, 12_000)?.expect("enough patients");
        let taken = taken(&fitted, &make(1500, CANDIDATES)?);
        for column in &taken.columns {
            for share in [0.25, 0.5, 0.75] {
                let below = column.iter().filter(|x| **x < share).count() as f64;
                assert!((below / column.len() as f64 - share).abs() < 0.08, "{share}: {below}");
            }
        }
        Ok(())
    }

    #[test]
    fn one_of_several_is_drawn_in_proportion_to_the_odds() {
        let log_odds = [0., 3f64.ln(), f64::NEG_INFINITY];
        let draws: Vec<usize> = (0..100).map(|n| chosen(&log_odds, f64::from(n) / 100.)).collect();
        assert_eq!(
            [0, 1, 2].map(|row| draws.iter().filter(|&&drawn| drawn == row).count()),
            [25, 75, 0]
        );
        // Neither overflow nor underflow: only differences count.
        assert_eq!((chosen(&[1e4, 1e4 + 50.], 0.5), chosen(&[-1e4], 0.999)), (1, 0));
        assert_eq!(chosen(&[], 0.5), 0);
    }

    #[test]
    fn places_share_the_candidates_out() {
        let none = Resampler {
            features: vec!["x".into()],
            rounds: Vec::new(),
            balance: Balance::default(),
        };
        let candidates = Features { names: vec!["x".into()], columns: vec![vec![0.; 7]] };
        assert_eq!(none.choose(&candidates, &[0., 0., 0.]), [0, 2, 4]);
        assert_eq!(none.choose(&candidates, &[0.999, 0.999, 0.999]), [1, 3, 6]);
        assert_eq!(none.choose(&candidates, &[]), [0; 0]);
    }

    #[test]
    fn patients_who_are_all_told_apart_teach_nothing() -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let real = rows(200, &mut rng, |_, y| y);
        let mut make =
            |places, each| -> Result<Features> { Ok(rows(places * each, &mut rng, |_, y| y + 2.)) };
        assert_eq!(Resampler::fit((&real, &[0, 1]), &mut make, 12_000)?, None);
        let same = make(200, 1)?;
        assert!(apart(&real, &same)? > MOST_APART);
        assert!((apart(&same, &make(400, 1)?)? - 0.5).abs() < 0.1);
        Ok(())
    }

    #[test]
    fn too_few_patients_teach_nothing() -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let few = rows(LEAST_PATIENTS - 1, &mut rng, |_, y| y);
        let mut make = |_, _| -> Result<Features> { unreachable!("nobody is needed") };
        assert_eq!(Resampler::fit((&few, &[0, 1]), &mut make, 40_000)?, None);
        Ok(())
    }

    #[test]
    fn a_file_that_was_changed_is_refused() {
        let read = |tree: &str| {
            let trees = format!(r#"{{"base":0.0,"trees":[{tree}]}}"#);
            let json = format!(r#"{{"features":["x"],"rounds":[[{trees}]]}}"#);
            serde_json::from_str::<Resampler>(&json)
        };
        assert!(read("[[0,0.5,1,2,1],-1.0,1.0]").is_ok());
        let no_node = "[]";
        let no_such_feature = "[[1,0.5,1,2,1],-1.0,1.0]";
        let in_a_circle = "[[0,0.5,0,2,1],-1.0,1.0]";
        let no_such_child = "[[0,0.5,1,3,1],-1.0,1.0]";
        let no_number = "[[0,0.5,1,2,1],\"x\",1.0]";
        for tree in [no_node, no_such_feature, in_a_circle, no_such_child, no_number] {
            assert!(read(tree).is_err(), "{tree}");
        }
    }
}
