//! Counter-based random streams: what a step draws depends on the seed, the
//! purpose and the step alone, never on what was drawn before. So a run that is
//! interrupted and resumed draws the same numbers.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

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
}

/// The stream for a purpose and a step.
pub fn stream(seed: u64, purpose: Purpose, step: u64) -> ChaCha8Rng {
    // Steps stay far below 2⁵⁶, so no two (purpose, step) share a stream.
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(((purpose as u64) << 56) | step);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

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
