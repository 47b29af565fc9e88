//! An audit of the mechanism in one run (Steinke, Nasr & Jagielski, NeurIPS 2023, arXiv:2305.08846).
//!
//! A coin is thrown for each of m canaries, patients like no other, whether they are in the batch. An
//! attacker who sees the gradient and knows the canaries says of some who was in. Under (ε, δ) privacy, v of
//! r such guesses are right with probability
//!
//! ```text
//! P[V ≥ v] ≤ P[Binomial(r, 1/(1 + e⁻ᵋ)) ≥ v] + 2 m δ
//! ```
//!
//! so that an ε for which this is below 5 % is too small to be true. The attack is the strongest that the
//! guarantee is for: it sees all that leaves a private step, whose canaries share no parameter.

use super::key::{Key, fill_normal};
use super::{PrivacyLoss, noise_multiplier};
use crate::Result;
use crate::random::Purpose;
use candle_core::{DType, Device, Tensor};
use hg_lstm::Lengths;
use hg_models::{Critic, CriticConfig, Engine, Generator, GeneratorConfig, Guard, RowLayout};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{Binomial, DiscreteCDF};

const CANARIES: usize = 240;
const DELTA: f64 = 1e-5;
/// Less than the canaries' gradients have of themselves.
const CLIP: f64 = 0.02;
const HIDDEN: usize = 16;

/// How a private step is run: as it should be, or sabotaged.
struct Mechanism {
    /// The noise, over what it should be.
    noise: f64,
    /// The clipping norm, over what the noise is for.
    clip: f64,
}

/// The greatest ε that is refuted where a claim of `epsilon` is tested on a mechanism; 0 for none.
fn refuted(epsilon: f64, mechanism: &Mechanism) -> Result<f64> {
    let claimed = noise_multiplier(epsilon, DELTA, 1., 1, &PrivacyLoss::none())?;
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let layout = RowLayout::new(CANARIES, Vec::new());
    let device = Device::Cpu;
    let generator = GeneratorConfig {
        layout: layout.clone(),
        latent: 4,
        hidden: HIDDEN,
        reverse_alignment: Default::default(),
    };
    let generator = Generator::init(generator, &mut rng, DType::F32, &device)?;
    let critic = CriticConfig { layout, hidden: HIDDEN, compares: false };
    let critic = Critic::init(critic, &mut rng, DType::F32, &device)?;

    // Canary n has values in column n alone, so great that its gradient is that column's weights'.
    let is_in: Vec<bool> = (0..CANARIES).map(|_| rng.random()).collect();
    let mut engine = Engine::<f32>::new(generator.config(), critic.config());
    let key = Key::new()?;
    let mut gradient = |members: &[usize], noise: f64, clip: f64| -> Result<Vec<f32>> {
        let mut rows = vec![0f32; members.len() * CANARIES];
        for (row, &canary) in members.iter().enumerate() {
            rows[row * CANARIES + canary] = 30.;
        }
        let rows = Tensor::from_vec(rows, (members.len(), 1, CANARIES), &device)?;
        let batch = engine.pack(&rows, &Lengths::full(members.len(), 1)?)?;
        let draw = |part: usize, values: &mut [f32]| {
            let mut rng = key.stream(Purpose::GradientNoise, 0, part as u64);
            fill_normal(&mut rng, noise, values);
        };
        let guard = Guard { clip_norm: clip, batch: 1., noise: &draw };
        let silent = |_: usize, values: &mut [f32]| values.fill(0.);
        let networks = [generator.parameters(), critic.parameters()];
        // α = 1: the penalty too is at the canary itself.
        let alpha = vec![1.; members.len()];
        let all =
            engine.private_critic_gradient(networks, Some(&batch), &silent, &alpha, 10., &guard)?;
        Ok(all["linear1.weight"].flatten_all()?.to_vec1::<f32>()?)
    };

    // What the attacker sees, and what each canary would add alone.
    let members: Vec<usize> = (0..CANARIES).filter(|&n| is_in[n]).collect();
    let seen = gradient(&members, mechanism.noise * claimed * CLIP, mechanism.clip * CLIP)?;
    let mut alone = Vec::with_capacity(CANARIES);
    for canary in 0..CANARIES {
        alone.push(gradient(&[canary], 0., mechanism.clip * CLIP)?);
    }
    // Half of all is expected; what is beyond it in a canary's own column says which half it is in.
    let expected = |n: usize| alone.iter().map(|own| f64::from(own[n]) / 2.).sum::<f64>();
    let score = |canary: usize| -> f64 {
        let column = (canary..seen.len()).step_by(CANARIES);
        let own = |n: usize| f64::from(alone[canary][n]);
        let along = column.map(|n| own(n) * (f64::from(seen[n]) - expected(n))).sum::<f64>();
        let square = (canary..seen.len()).step_by(CANARIES).map(|n| own(n).powi(2)).sum::<f64>();
        // As many standard deviations of the noise as it stands out by.
        along / square.sqrt()
    };
    let mut scores: Vec<(f64, bool)> =
        is_in.iter().enumerate().map(|(canary, &is_in)| (score(canary), is_in)).collect();
    // The half that stands out is guessed.
    scores.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
    let guesses = &scores[..CANARIES / 2];
    let right = guesses.iter().filter(|(score, is_in)| (*score > 0.) == *is_in).count();
    Ok(bound(right as u64, guesses.len() as u64))
}

/// The greatest ε that so many right guesses refute with 95 % confidence; 0 for none.
fn bound(right: u64, guesses: u64) -> f64 {
    let mut refuted = 0.;
    for hundredth in 1..1000 {
        let epsilon = f64::from(hundredth) / 100.;
        let share = 1. / (1. + (-epsilon).exp());
        let law = Binomial::new(share, guesses).expect("a share, and guesses");
        let tail = 1. - right.checked_sub(1).map_or(0., |below| law.cdf(below));
        if tail + 2. * CANARIES as f64 * DELTA <= 0.05 {
            refuted = epsilon;
        }
    }
    refuted
}

#[test]
fn the_mechanism_stands_an_audit_and_sabotaged_ones_do_not() -> Result<()> {
    let honest = Mechanism { noise: 1., clip: 1. };
    for epsilon in [1., 3.] {
        let found = refuted(epsilon, &honest)?;
        assert!(found < epsilon, "an ε of {epsilon} is refuted up to {found}");
        for (sabotage, mechanism) in [
            ("no noise to speak of", Mechanism { noise: 0.02, ..honest }),
            ("gradients that are not clipped", Mechanism { clip: 50., ..honest }),
        ] {
            let found = refuted(epsilon, &mechanism)?;
            assert!(found > epsilon, "{sabotage}: {epsilon} is refuted up to {found} only");
        }
    }
    Ok(())
}

#[test]
fn guesses_refute_what_they_should() {
    // Of 120 guesses by chance 60 are right, and nothing is refuted; all right refute
    // up to log(p / (1 − p)) with p¹²⁰ = 0.05 − 2 m δ.
    assert_eq!(bound(60, 120), 0.);
    let p = (0.05f64 - 2. * CANARIES as f64 * DELTA).powf(1. / 120.);
    assert!((bound(120, 120) - (p / (1. - p)).ln()).abs() < 0.011);
}
