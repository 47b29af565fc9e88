//! The bar of long work, and how long that takes.

use chrono::{DateTime, Local, TimeDelta};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::time::Duration;

/// A bar with its rate and the time that is left, on stderr, and only where that is a terminal.
pub(crate) fn progress_bar(steps: u64) -> ProgressBar {
    ProgressBar::new(steps).with_style(style(|state| state.per_sec(), |state| state.eta()))
}

/// The style of a bar, with its steps in a second and the time that is left.
fn style(
    rate: impl Fn(&ProgressState) -> f64 + Clone + Send + Sync + 'static,
    left: impl Fn(&ProgressState) -> Duration + Clone + Send + Sync + 'static,
) -> ProgressStyle {
    let template = "{bar:24} {pos}/{len} · {rate} · ETA {left} · {wide_msg}";
    // The bar shows what could be written.
    let rate = move |state: &ProgressState, to: &mut dyn Write| {
        let _ = write!(to, "{:.1}/s", rate(state));
    };
    let left = move |state: &ProgressState, to: &mut dyn Write| {
        let _ = write!(to, "{:#}", indicatif::HumanDuration(left(state)));
    };
    let style = ProgressStyle::with_template(template);
    let style = style.map(|style| style.with_key("rate", rate).with_key("left", left));
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// How fast training goes: as it was measured before, and more and more as its own iterations go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// An iteration's time, as measured.
    each: Duration,
    /// Whether it is said of a short training too.
    is_asked_for: bool,
}

impl Pace {
    /// What was measured counts as so many iterations.
    const MEASURED: f64 = 100.;
    /// From this time on training is long.
    const LONG: Duration = Duration::from_secs(5 * 60);

    pub(crate) fn measured(each: Duration) -> Self {
        Self { each, is_asked_for: false }
    }

    /// Where so many iterations fill a time that is asked for.
    pub(crate) fn of_budget(time: Duration, iterations: u64) -> Self {
        Self { each: time.div_f64(iterations.max(1) as f64), is_asked_for: true }
    }

    /// An iteration's seconds, after so many were done in this time.
    fn each(self, done: u64, taken: Duration) -> f64 {
        let measured = Self::MEASURED * self.each.as_secs_f64();
        (measured + taken.as_secs_f64()) / (Self::MEASURED + done as f64)
    }

    /// The time of so many iterations, from the beginning.
    fn time_of(self, iterations: u64) -> Duration {
        self.each.mul_f64(iterations as f64)
    }

    /// Whether to say how long so many iterations take.
    pub(crate) fn is_said(self, iterations: u64) -> bool {
        self.is_asked_for || self.time_of(iterations) > Self::LONG
    }

    /// How fast it goes, and how long so many iterations take from `now` on.
    pub(crate) fn says(self, iterations: u64, now: DateTime<Local>) -> String {
        let (rate, takes) = (1. / self.each(0, Duration::ZERO).max(1e-9), self.time_of(iterations));
        let end = TimeDelta::from_std(takes).ok().and_then(|takes| now.checked_add_signed(takes));
        let until = end.map(|end| {
            let is_today = end.date_naive() == now.date_naive();
            format!(", until {}", end.format(if is_today { "%H:%M" } else { "%a %d %b, %H:%M" }))
        });
        let digits = if rate < 10. { 2 } else { 0 };
        format!(
            "{rate:.digits$} iterations a second: {iterations} iterations take about {}{}",
            rounded(takes),
            until.unwrap_or_default()
        )
    }

    /// Lets a bar, `before` of whose steps were done in earlier sessions, go by it.
    pub(crate) fn show(self, bar: &ProgressBar, before: u64) {
        let each = move |state: &ProgressState| {
            self.each(state.pos().saturating_sub(before), state.elapsed())
        };
        let left = move |state: &ProgressState| {
            let left = state.len().unwrap_or_default().saturating_sub(state.pos());
            Duration::try_from_secs_f64(left as f64 * each(state)).unwrap_or_default()
        };
        bar.reset_elapsed();
        bar.set_style(style(move |state| 1. / each(state).max(1e-9), left));
    }
}

/// A time as one says it: in minutes, from two hours on in hours, from two days on in days.
fn rounded(time: Duration) -> String {
    let minutes = time.as_secs_f64() / 60.;
    let said = |count: f64, unit: &str| match count.round() {
        1. => format!("1 {unit}"),
        count => format!("{count} {unit}s"),
    };
    match minutes {
        _ if minutes < 1. => "a minute at most".into(),
        _ if minutes < 120. => said(minutes, "minute"),
        _ if minutes < 2. * 24. * 60. => said(minutes / 60., "hour"),
        _ => said(minutes / 60. / 24., "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn what_was_measured_gives_way_to_how_it_goes() {
        let pace = Pace::measured(Duration::from_millis(100));
        assert_eq!(pace.each(0, Duration::ZERO), 0.1);
        // A hundred that took twice as long, then many.
        assert!((pace.each(100, Duration::from_secs(20)) - 0.15).abs() < 1e-12);
        assert!((pace.each(100_000, Duration::from_secs(20_000)) - 0.2).abs() < 1e-3);
    }

    #[test]
    fn a_long_training_says_how_long_it_is_and_when_it_ends() {
        let now = Local.with_ymd_and_hms(2026, 11, 27, 14, 20, 0).single().expect("a time");
        for (each, iterations, is_said, said) in [
            (
                80,
                4000,
                true,
                "12 iterations a second: 4000 iterations take about 5 minutes, until 14:25",
            ),
            (
                70,
                4000,
                false,
                "14 iterations a second: 4000 iterations take about 5 minutes, until 14:24",
            ),
            (
                2000,
                4000,
                true,
                "0.50 iterations a second: 4000 iterations take about 2 hours, until 16:33",
            ),
            (
                2000,
                40_000,
                true,
                "0.50 iterations a second: 40000 iterations take about 22 hours, until Sat 28 Nov, 12:33",
            ),
        ] {
            let pace = Pace::measured(Duration::from_millis(each));
            assert_eq!(
                (pace.is_said(iterations), pace.says(iterations, now).as_str()),
                (is_said, said)
            );
        }
    }
}
