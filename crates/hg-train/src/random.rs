//! Counter-based random streams: what a step draws depends on the seed, the
//! purpose and the step alone, never on what was drawn before. So a run that is
//! interrupted and resumed draws the same numbers.

use crate::LatentDistribution;
use hg_lstm::kernel::Real;
use rand::{RngExt, SeedableRng};
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
}

/// The stream for a purpose and a step.
pub fn stream(seed: u64, purpose: Purpose, step: u64) -> ChaCha8Rng {
    // Steps stay far below 2⁵⁶, so no two (purpose, step) share a stream.
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(((purpose as u64) << 56) | step);
    rng
}

/// Fills the noise of one sequence of a step. It depends on neither the other
/// sequences nor on how many of the values are asked for.
pub(crate) fn noise_of<S: Real>(
    latent: LatentDistribution,
    seed: u64,
    purpose: Purpose,
    step: u64,
    sequence: usize,
    values: &mut [S],
) {
    let mut rng = stream(seed, purpose, step);
    // A sequence uses far less than 2³² words of its stream.
    rng.set_word_pos((sequence as u128) << 32);
    for value in values {
        let drawn: f32 = match latent {
            LatentDistribution::Gaussian => StandardNormal.sample(&mut rng),
            LatentDistribution::Uniform => rng.random(),
        };
        *value = S::from_f64(f64::from(drawn));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn the_noise_of_a_sequence_stands_alone() {
        let noise = |sequence, count| {
            let mut values = vec![0f32; count];
            noise_of(LatentDistribution::Gaussian, 1, Purpose::Noise, 7, sequence, &mut values);
            values
        };
        assert_eq!(noise(3, 10), noise(3, 200)[..10]);
        assert_ne!(noise(3, 10), noise(4, 10));
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
