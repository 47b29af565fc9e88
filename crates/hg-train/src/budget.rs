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
            trainer.iteration = place(measured, cycle);
            trainer.step()?;
            measured += 1;
            let taken = begin.elapsed().as_secs_f64();
            let each = taken / measured as f64;
            if is_enough(measured, taken, most(each)) {
                return Ok(Duration::from_secs_f64(each));
            }
        }
    }
}

/// The place of the `n`-th batch that is measured: steps by the golden ratio go evenly over any cycle.
fn place(n: u64, cycle: u64) -> u64 {
    let along = (n as f64 * 0.618_033_988_75).fract();
    (along * cycle as f64) as u64
}

/// Whether so many iterations in so many seconds are enough, where `most` seconds may be taken.
fn is_enough(measured: u64, taken: f64, most: f64) -> bool {
    measured >= MIN_MEASURED && (measured >= MAX_MEASURED || taken >= MEASURED.min(most))
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
    use hg_data::{Schema, Subset};
    use std::path::Path;

    #[test]
    fn minutes_are_a_time_above_0_that_ends() -> Result<()> {
        assert_eq!(minutes(1.5)?, Duration::from_secs(90));
        for nothing in [0., -1., f64::NAN, f64::INFINITY, 1e300] {
            let problem = minutes(nothing).expect_err("refused").to_string();
            assert!(problem.starts_with(&format!("`--minutes` is {nothing}\nhint: ")), "{problem}");
        }
        Ok(())
    }

    #[test]
    fn batches_from_all_over_a_cycle_are_measured() {
        let places = |cycle| (0..10).map(|n| place(n, cycle)).collect::<Vec<_>>();
        assert_eq!(places(10), [0, 6, 2, 8, 4, 0, 7, 3, 9, 5]);
        assert_eq!(places(1), [0; 10]);
    }

    #[test]
    fn measuring_ends_with_the_time_it_may_take_but_after_a_few_iterations() {
        for (measured, taken, most, is_over) in [
            (2, 99., 1., false),
            (3, 0.9, 1., false),
            (3, 1., 1., true),
            (20, 9.9, 99., false),
            (20, 10., 99., true),
            (49, 0.9, 1., false),
            (50, 0.9, 1., true),
        ] {
            assert_eq!(is_enough(measured, taken, most), is_over, "{measured} {taken} {most}");
        }
    }

    #[test]
    fn iterations_take_no_longer_than_measuring_them_took() -> Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let schema = Schema::load(&root.join("data-schemas/pbc.toml"))?;
        let table = root.join("data/pbc/pbcseq.csv");
        let (encoder, encoded) = Encoder::fit_file(&schema, &table, Subset::Whole)?;
        let mut config = TrainConfig::default();
        config.model.hidden = 4;
        config.batching.batch_size = 4;

        // What was measured lies within the call.
        let begin = Instant::now();
        let each = config.time_of_iteration(1, &encoder, &encoded)?;
        assert!(!each.is_zero() && MIN_MEASURED as u32 * each <= begin.elapsed(), "{each:?}");

        let begin = Instant::now();
        let time = Duration::from_secs(100);
        let count = config.iterations_within(time, &encoder, &encoded)?;
        let least = MIN_MEASURED as f64 * time.as_secs_f64() / begin.elapsed().as_secs_f64();
        assert!(count >= in_two_digits(least), "{count} {least}");

        assert!(config.iterations_within(Duration::ZERO, &encoder, &encoded).is_err());
        Ok(())
    }

    #[test]
    fn iterations_are_rounded_down_to_two_digits() {
        for (count, expected) in
            [(0.2, 1), (1.9, 1), (9.99, 9), (10., 10), (99.9, 99), (123., 120), (98_765., 98_000)]
        {
            assert_eq!(in_two_digits(count), expected, "{count}");
        }
    }
}
