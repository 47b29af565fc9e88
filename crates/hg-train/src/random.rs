//! Counter-based random streams: what a step draws depends on the seed, the
//! purpose and the step alone, never on what was drawn before. So a run that is
//! interrupted and resumed draws the same numbers.

use crate::{LatentDistribution, ModelConfig};
use hg_lstm::kernel::Real;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// What random numbers are for; each purpose has streams of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The generator's first weights.
    GeneratorWeights = 1,
    /// The critic's first weights.
    CriticWeights = 2,
    /// The order of patients in an epoch.
    Shuffle = 3,
    /// The noise of a step.
    Noise = 4,
    /// α of the interpolation in a critic step.
    Interpolation = 5,
    /// The noise when a cohort is generated.
    Generation = 7,
    /// Sequence lengths when a cohort is generated.
    Lengths = 6,
    /// Where the windows of a batch begin.
    Windows = 8,
    /// The limits up to which correlations are compared.
    CorrelationLimits = 9,
    /// The noise of the cohorts that validation judges.
    Validation = 10,
    /// The noise and lengths of the cohort that a generator is calibrated by.
    Calibration = 11,
    /// The noise of the candidates from whom it is learnt which are taken.
    Candidates = 12,
    /// Their lengths.
    CandidateLengths = 13,
    /// Which of the candidates for a place is taken.
    Resampling = 14,
    /// Which conditions are met at which place of a cohort.
    Places = 15,
    /// Which patients a private critic step sees, and where their windows begin.
    Sampling = 16,
    /// The noise of a private critic step's gradient.
    GradientNoise = 17,
    /// The noise of what is released of a private table.
    Release = 18,
    /// The lengths of the sequences of a private generator step.
    StepLengths = 19,
}

/// The stream for a purpose and a step.
pub fn stream(seed: u64, purpose: Purpose, step: u64) -> ChaCha8Rng {
    // Steps stay far below 2⁵⁶, so no two (purpose, step) share a stream.
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(((purpose as u64) << 56) | step);
    rng
}

/// Fills the noise `[steps, Z]` of one sequence of a step; the patient's own features, the first
/// of each row, are those of the first row. It depends on neither the
/// other sequences nor on how many steps are asked for.
pub(crate) fn noise_of<S: Real>(
    model: &ModelConfig,
    seed: u64,
    purpose: Purpose,
    step: u64,
    sequence: usize,
    values: &mut [S],
) {
    let mut rng = stream(seed, purpose, step);
    // A sequence uses far less than 2³² words of its stream.
    rng.set_word_pos((sequence as u128) << 32);
    fill_noise(model, &mut rng, values);
}

/// Fills the noise `[steps, Z]` of one sequence from a stream.
pub(crate) fn fill_noise<S: Real>(model: &ModelConfig, rng: &mut impl Rng, values: &mut [S]) {
    let (width, of_patient) = (model.latent_features, model.patient_features());
    for at in 0..values.len() {
        let is_kept = at >= width && at % width < of_patient;
        values[at] = if is_kept { values[at % width] } else { draw(model.latent, rng) };
    }
}

fn draw<S: Real>(latent: LatentDistribution, rng: &mut impl Rng) -> S {
    let drawn: f32 = match latent {
        LatentDistribution::Gaussian => StandardNormal.sample(rng),
        LatentDistribution::Uniform => rng.random(),
    };
    S::from_f64(f64::from(drawn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_of_a_sequence_stands_alone() {
        let noise = |sequence, count| {
            let mut values = vec![0f32; count];
            let model = ModelConfig { patient_latent: 0., ..Default::default() };
            noise_of(&model, 1, Purpose::Noise, 7, sequence, &mut values);
            values
        };
        assert_eq!(noise(3, 10), noise(3, 200)[..10]);
        assert_ne!(noise(3, 10), noise(4, 10));
    }

    #[test]
    fn a_patient_keeps_the_latent_features_that_are_the_patients_own() {
        let model = ModelConfig { latent_features: 5, patient_latent: 0.4, ..Default::default() };
        let of = |sequence, steps: usize| {
            let mut values = vec![0f32; 5 * steps];
            noise_of(&model, 1, Purpose::Noise, 7, sequence, &mut values);
            values
        };
        let noise = of(3, 4);
        let rows: Vec<&[f32]> = noise.chunks_exact(5).collect();
        for pair in rows.windows(2) {
            assert_eq!(pair[0][..2], pair[1][..2]);
            assert!(pair[0][2..].iter().zip(&pair[1][2..]).all(|(before, after)| before != after));
        }
        assert_ne!(rows[0][..2], of(4, 1)[..2]);
        assert_eq!(of(3, 2), noise[..10]);
    }

    #[test]
    fn streams_differ_by_seed_purpose_and_step_and_repeat() {
        let first = |seed, purpose, step| stream(seed, purpose, step).next_u64();
        let base = first(1, Purpose::Noise, 7);
        assert_eq!(base, first(1, Purpose::Noise, 7));
        assert_ne!(base, first(2, Purpose::Noise, 7));
        assert_ne!(base, first(1, Purpose::Shuffle, 7));
        assert_ne!(base, first(1, Purpose::Noise, 8));
    }
}
