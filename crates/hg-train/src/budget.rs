//! How many iterations fit into a time.

use crate::{Error, Result, TrainConfig, Trainer, layout_of};
use hg_data::{Encoded, Encoder};
use std::time::{Duration, Instant};

/// The share of the time, and the time, that measuring may take, whichever is less.
const MEASURED_SHARE: u32 = 20;
const MEASURED: Duration = Duration::from_secs(10);
/// Iterations that are measured, at least and at most.
const MIN_MEASURED: u64 = 3;
const MAX_MEASURED: u64 = 50;

impl TrainConfig {
    /// The iterations that take about `time` on this machine, as it is now, rounded down to two
    /// digits; at least one. Batches from all over an epoch are measured, so that neither the
    /// curriculum's short ones nor the first windows decide.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting out of its range, and what the iterations report.
    pub fn iterations_within(
        &self,
        time: Duration,
        encoder: &Encoder,
        encoded: &Encoded,
    ) -> Result<u64> {
        if time.is_zero() {
            let problem = "no time is left to train\nhint: `--minutes` must be above 0";
            return Err(Error::Config(problem.into()));
        }
        let mut trainer = Trainer::new(self, &layout_of(encoder), encoded)?;
        // Buffers are made once, before it counts.
        trainer.step()?;
        let cycle = trainer.batches_in_cycle();
        let (begin, most) = (Instant::now(), MEASURED.min(time / MEASURED_SHARE));
        let mut measured = 0;
        while measured < MIN_MEASURED || (measured < MAX_MEASURED && begin.elapsed() < most) {
            // A step by the golden ratio goes evenly over any cycle.
            let along = (measured as f64 * 0.618_033_988_75).fract();
            trainer.iteration = (along * cycle as f64) as u64;
            trainer.step()?;
            measured += 1;
        }
        let each = begin.elapsed().as_secs_f64() / measured as f64;
        Ok(in_two_digits(time.as_secs_f64() / each.max(1e-9)))
    }
}

/// Rounded down to two digits; at least 1.
fn in_two_digits(count: f64) -> u64 {
    let count = count.max(1.);
    let unit = 10f64.powf((count.log10().floor() - 1.).max(0.));
    ((count / unit).floor() * unit) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iterations_are_rounded_down_to_two_digits() {
        for (count, expected) in
            [(0.2, 1), (1.9, 1), (9.99, 9), (10., 10), (99.9, 99), (123., 120), (98_765., 98_000)]
        {
            assert_eq!(in_two_digits(count), expected, "{count}");
        }
    }
}
