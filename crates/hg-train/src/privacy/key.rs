//! The key from which everything is drawn that nobody may know: who is in a batch, and the noise.
//!
//! It comes from the operating system when a session begins, and is never written. A run that is resumed
//! draws from another key, so that two sessions never add the same noise, whatever became of what was
//! computed in between.

use crate::random::Purpose;
use crate::{Error, Result};
use hg_lstm::kernel::Real;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, StandardNormal};

/// Normal draws that are added up for one: whoever sees the sum cannot search for what they were
/// (Holohan & Braghin 2021, arXiv:2107.10138).
const ADDED: usize = 4;

/// 256 bits that nobody knows.
pub(crate) struct Key([u8; 32]);

impl Key {
    /// From the operating system.
    ///
    /// # Errors
    /// Where that has none to give.
    pub(crate) fn new() -> Result<Self> {
        let mut key = [0; 32];
        match getrandom::fill(&mut key) {
            Ok(()) => Ok(Self(key)),
            Err(e) => {
                Err(Error::Config(format!("the operating system gives no random numbers: {e}")))
            }
        }
    }

    /// The stream for a purpose, a step and a part of it.
    pub(crate) fn stream(&self, purpose: Purpose, step: u64, part: u64) -> ChaCha20Rng {
        let mut rng = ChaCha20Rng::from_seed(self.0);
        // Steps stay far below 2⁴⁰; parts, as sequences of a batch, below 2³² in words of 2³² each.
        rng.set_stream(((purpose as u64) << 56) | step);
        rng.set_word_pos(u128::from(part) << 32);
        rng
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// A draw from N(0, 1).
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    let draws = (0..ADDED).map(|_| Distribution::<f64>::sample(&StandardNormal, rng));
    draws.sum::<f64>() / (ADDED as f64).sqrt()
}

/// Fills in draws from N(0, deviation²).
pub(crate) fn fill_normal<S: Real>(rng: &mut impl Rng, deviation: f64, values: &mut [S]) {
    values.iter_mut().for_each(|x| *x = S::from_f64(deviation * normal(rng)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::distribution::{ContinuousCDF, Normal};

    /// A broken mechanism shows here: noise that is too small, that repeats, or that is not normal.
    #[test]
    fn noise_is_normal_with_the_deviation_that_the_accountant_is_told() -> Result<()> {
        let key = Key::new()?;
        let deviation = 3.5;
        let mut noise = vec![0f32; 200_000];
        fill_normal(&mut key.stream(Purpose::GradientNoise, 7, 1), deviation, &mut noise);
        let mut values: Vec<f64> = noise.iter().map(|&x| f64::from(x)).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|x| x * x).sum::<f64>() / count;
        assert!(mean.abs() < 6. * deviation / count.sqrt(), "{mean}");
        assert!((variance.sqrt() / deviation - 1.).abs() < 6. / (2. * count).sqrt(), "{variance}");
        let paired: f64 = values.windows(2).map(|pair| pair[0] * pair[1]).sum();
        assert!((paired / count / variance).abs() < 6. / count.sqrt(), "draws hang together");
        // Kolmogorov's statistic: beyond 2.2 once in 10,000 times.
        values.sort_by(f64::total_cmp);
        let law = Normal::standard();
        let apart = values.iter().enumerate().map(|(n, x)| {
            let cdf = law.cdf(x / deviation);
            (cdf - n as f64 / count).abs().max((cdf - (n + 1) as f64 / count).abs())
        });
        assert!(apart.fold(0., f64::max) * count.sqrt() < 2.2);
        Ok(())
    }

    #[test]
    fn keys_steps_and_parts_have_noise_of_their_own() -> Result<()> {
        let (one, other) = (Key::new()?, Key::new()?);
        let draw =
            |key: &Key, step, part| normal(&mut key.stream(Purpose::GradientNoise, step, part));
        assert_eq!(draw(&one, 1, 1), draw(&one, 1, 1));
        for (key, step, part) in [(&one, 1, 2), (&one, 2, 1), (&other, 1, 1)] {
            assert_ne!(draw(&one, 1, 1), draw(key, step, part));
        }
        assert_eq!(format!("{one:?}"), "Key(…)", "a key must not be shown");
        Ok(())
    }
}
