//! A judge that reads whole sequences (Yoon et al., *TimeGAN*, NeurIPS 2019, with an area under the
//! curve in place of the accuracy).
//!
//! It is Health Gym's critic with a logistic loss, trained on half of the
//! sequences of each side and judged on the other half. Both sides should be encoded from
//! tables, so that it sees what a reader of the tables sees, and no unrounded network output.

use crate::statistics::is_finite;
use crate::{Auc, Result, auc};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use hg_data::Encoded;
use hg_lstm::Lengths;
use hg_models::{Critic, CriticConfig, RowLayout};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Sequences of a side that are used; of more, random ones are.
const MAX_SEQUENCES: usize = 2000;
const HIDDEN: usize = 32;
const BATCH: usize = 64;
/// Passes over the smaller side's half, and the most steps.
const EPOCHS: usize = 30;
const MAX_STEPS: usize = 400;
const LEARNING_RATE: f64 = 2e-3;

/// How well a classifier tells synthetic sequences from real ones that it was not trained on:
/// ½ is not at all. `None` when a side has fewer than four sequences whose values are all
/// finite; others are left out. The same seed gives the same area.
///
/// # Errors
/// Only what candle reports.
pub fn discriminate(
    real: &Encoded,
    synthetic: &Encoded,
    layout: &RowLayout,
    seed: u64,
) -> Result<Option<Auc>> {
    let (of_real, of_synthetic) = (usable(real), usable(synthetic));
    if of_real.len().min(of_synthetic.len()) < 4 {
        return Ok(None);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut halves = |mut all: Vec<usize>| {
        all.shuffle(&mut rng);
        all.truncate(MAX_SEQUENCES);
        let test = all.split_off(all.len() / 2);
        (all, test)
    };
    let ((real_train, real_test), (synthetic_train, synthetic_test)) =
        (halves(of_real), halves(of_synthetic));

    let config = CriticConfig { layout: layout.clone(), hidden: HIDDEN, compares: false };
    let classifier = Critic::init(config, &mut rng, DType::F32, &Device::Cpu)?;
    let variables: Vec<Var> =
        classifier.parameters().iter().map(|(_, variable)| variable.clone()).collect();
    let settings = ParamsAdamW { lr: LEARNING_RATE, weight_decay: 1e-2, ..Default::default() };
    let mut optimiser = AdamW::new(variables, settings)?;

    let seen = real_train.len().min(synthetic_train.len());
    for _ in 0..(EPOCHS * seen).div_ceil(BATCH / 2).min(MAX_STEPS) {
        let mut draw = |from: &[usize]| -> Vec<usize> {
            (0..BATCH / 2).map(|_| from[rng.random_range(0..from.len())]).collect()
        };
        let (of_real, of_synthetic) = (draw(&real_train), draw(&synthetic_train));
        let real_scores = scores(&classifier, real, &of_real)?;
        let synthetic_scores = scores(&classifier, synthetic, &of_synthetic)?;
        // −log σ(s) of synthetic sequences and −log σ(−s) of real ones.
        let loss = (softplus(&synthetic_scores.neg()?)? + softplus(&real_scores)?)?;
        optimiser.backward_step(&loss)?;
    }

    let test_scores = |cohort: &Encoded, chosen: &[usize]| -> Result<Vec<f64>> {
        let mut all = Vec::with_capacity(chosen.len());
        for chosen in chosen.chunks(BATCH) {
            let scores = scores(&classifier, cohort, chosen)?.to_dtype(DType::F64)?;
            all.extend(scores.to_vec1::<f64>()?);
        }
        Ok(all)
    };
    Ok(auc(&test_scores(synthetic, &synthetic_test)?, &test_scores(real, &real_test)?))
}

/// The sequences with a step, and finite values alone.
fn usable(cohort: &Encoded) -> Vec<usize> {
    let is_usable = |&n: &usize| {
        let length = cohort.lengths[n];
        length > 0 && (0..length).all(|step| is_finite(cohort.row(n, step)))
    };
    (0..cohort.lengths.len()).filter(is_usable).collect()
}

/// The classifier's scores of some sequences `[sequences]`.
fn scores(classifier: &Critic, cohort: &Encoded, chosen: &[usize]) -> Result<Tensor> {
    let Encoded { values, lengths, steps: longest, features, .. } = cohort;
    let lengths: Vec<usize> = chosen.iter().map(|&n| lengths[n]).collect();
    let steps = lengths.iter().copied().max().unwrap_or(1);
    let rows = chosen.iter().flat_map(|&n| &values[n * longest * features..][..steps * features]);
    let rows: Vec<f32> = rows.copied().collect();
    let rows = Tensor::from_vec(rows, (chosen.len(), steps, *features), &Device::Cpu)?;
    let critique = classifier.forward(&rows, &Lengths::new(lengths, steps)?)?;
    Ok(critique.scores().clone())
}

/// The mean of log(1 + eˣ).
fn softplus(x: &Tensor) -> Result<Tensor> {
    Ok((x.relu()? + (x.abs()?.neg()?.exp()? + 1.)?.log()?)?.mean_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sequences of one number that goes up and down with a period.
    fn waves(seed: u64, period: f32, sequences: usize) -> Encoded {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut values = Vec::new();
        for _ in 0..sequences {
            let phase = rng.random::<f32>() * std::f32::consts::TAU;
            values
                .extend((0..20).map(|t| {
                    0.5 + 0.4 * (phase + t as f32 * std::f32::consts::TAU / period).sin()
                }));
        }
        let lengths = vec![20; sequences];
        Encoded {
            values: values.into(),
            lengths,
            steps: 20,
            features: 1,
            counts: Default::default(),
        }
    }

    #[test]
    fn it_tells_dynamics_apart_and_not_two_draws_of_the_same() -> Result<()> {
        let layout = RowLayout::new(1, Vec::new());
        let real = waves(1, 10., 300);
        let same = discriminate(&real, &waves(2, 10., 300), &layout, 1)?.expect("enough");
        assert!(same.low < 0.5 && same.high > 0.5, "{same:?}");
        // Every column's distribution is the same, only time goes faster.
        let other = discriminate(&real, &waves(3, 5., 300), &layout, 1)?.expect("enough");
        assert!(other.low > 0.9, "{other:?}");
        assert_eq!(discriminate(&real, &waves(4, 5., 3), &layout, 1)?, None);
        Ok(())
    }
}
