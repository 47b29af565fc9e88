//! How long iterations take, and how many fit into a time.

use crate::{Error, Result, TrainConfig, Trainer};
use hg_data::{Encoded, Encoder};
use std::time::{Duration, Instant};

/// The share of the time that is to be told or filled, and the time, that measuring may take, whichever is
/// less.
const MEASURED_SHARE: f64 = 0.05;
const MEASURED: f64 = 10.;
/// Where it is only told.
const TOLD_SHARE: f64 = 0.01;
/// Iterations that are measured, at least and at most.
const MIN_MEASURED: u64 = 3;
const MAX_MEASURED: u64 = 50;

/// So many minutes as a time to train.
///
/// # Errors
/// [`Error::Config`] where it is no time.
pub fn minutes(minutes: f64) -> Result<Duration> {
    let time = Duration::try_from_secs_f64(60. * minutes).ok().filter(|time| !time.is_zero());
    time.ok_or_else(|| {
        Error::Config(format!("`--minutes` is {minutes}\nhint: it must be above 0, and finite"))
    })
}

impl TrainConfig {
    /// The iterations that take about `time` on this machine, as it is now, rounded down to two
    /// digits; at least one.
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
        let most = MEASURED_SHARE * time.as_secs_f64();
        let each = self.measured(encoder, encoded, &|_| most)?;
        Ok(in_two_digits(time.as_secs_f64() / each.as_secs_f64().max(1e-9)))
    }

    /// The time of an iteration on this machine, as it is now. Measuring takes about a hundredth of the
    /// time of so many `iterations`.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting out of its range, and what the iterations report.
    pub fn time_of_iteration(
        &self,
        iterations: u64,
        encoder: &Encoder,
        encoded: &Encoded,
    ) -> Result<Duration> {
        self.measured(encoder, encoded, &|each| TOLD_SHARE * iterations as f64 * each)
    }

    /// The mean time of iterations, measured for as many seconds as `most` says of the mean so far.
    /// Batches from all over an epoch are measured, so that neither the curriculum's short ones nor the
    /// first windows decide.
    fn measured(
        &self,
        encoder: &Encoder,
        encoded: &Encoded,
        most: &dyn Fn(f64) -> f64,
    ) -> Result<Duration> {
        let mut trainer = Trainer::of(self, encoder, encoded)?;
        // Buffers are made once, before it counts.
        trainer.step()?;
        let cycle = trainer.batches_in_cycle();
        let begin = Instant::now();
        let mut measured = 0;
        loop {
            // A step by the golden ratio goes evenly over any cycle.
            let along = (measured as f64 * 0.618_033_988_75).fract();
            trainer.iteration = (along * cycle as f64) as u64;
            trainer.step()?;
            measured += 1;
            let (taken, is_least) = (begin.elapsed(), measured >= MIN_MEASURED);
            let each = taken.as_secs_f64() / measured as f64;
            if is_least
                && (measured == MAX_MEASURED || taken.as_secs_f64() >= MEASURED.min(most(each)))
            {
                return Ok(Duration::from_secs_f64(each));
            }
        }
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
