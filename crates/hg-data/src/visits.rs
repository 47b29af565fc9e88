//! Times of visits: sums of what was since the visit before.
//!
//! ```text
//! t₀ = start,   tₖ = tₖ₋₁ + max(1, [gapₖ / u]) · u,   u: what all real gaps are multiples of
//! ```
//!
//! A hundred gaps of which each is possible can lead centuries away: where tₙ is later than the latest
//! real time L, all tₖ − t₀ are multiplied by (L − t₀) / (tₙ − t₀).

use crate::Result;
use crate::grid::ResampledTable;
use crate::parsed::START;
use serde::{Deserialize, Serialize};

/// Parts of a unit that are told apart.
const PARTS: f64 = 1e6;
/// Numbers beyond have no such parts left in a double.
const LARGEST: f64 = 4e15;
/// What encoded numbers, f32s, leave behind in a time, as a share of it.
const SLACK: f64 = 1e-5;

/// What the times of visits are multiples of; 0 where there is no such number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VisitGrid {
    /// Of each patient's first time.
    pub start: f64,
    /// Of the time since the visit before.
    pub gap: f64,
    /// The latest time of all; none in an encoder from before it was kept.
    #[serde(default)]
    pub latest: Option<f64>,
}

/// The latest time of a part's visits, counted as the first times are.
pub(crate) fn latest(part: &ResampledTable) -> Result<Option<f64>> {
    let Ok(starts) = part.frame.column(START) else { return Ok(None) };
    let starts = starts.f64()?;
    let (mut row, mut latest) = (0, None);
    for &length in part.lengths.iter().filter(|length| **length > 0) {
        let span = part.times[row + length - 1] - part.times[row];
        let last = starts.get(row).map(|start| start + span);
        latest = last.into_iter().chain(latest).reduce(f64::max);
        row += length;
    }
    Ok(latest)
}

impl VisitGrid {
    pub(crate) fn of([starts, gaps]: &[Multiples; 2], latest: Option<f64>) -> Self {
        Self { start: starts.unit().unwrap_or(0.), gap: gaps.unit().unwrap_or(0.), latest }
    }

    /// A damaged one is refused.
    pub(crate) fn problem(&self) -> Option<String> {
        if let Some(latest) = self.latest.filter(|latest| !latest.is_finite()) {
            return Some(format!("its latest time is {latest}, which must be finite"));
        }
        let wrong = [self.start, self.gap].into_iter().find(|u| !(u.is_finite() && *u >= 0.))?;
        Some(format!("its times are multiples of {wrong}, which must be finite and not below 0"))
    }

    /// The times of a sequence of visits, ascending, from its first time and the times between; none
    /// is later than the latest real one, as far as the number of visits allows.
    pub(crate) fn times(&self, start: f64, gaps: impl Iterator<Item = f64>) -> Vec<f64> {
        let start = nearest_multiple(start, self.start);
        let unit = if self.gap == 0. { 1. } else { self.gap };
        // What has passed, in units.
        let mut passed = vec![0.];
        let mut sum = 0.;
        for gap in gaps {
            sum += if self.gap == 0. { gap } else { (gap / unit).round().max(1.) };
            passed.push(sum);
        }
        if let Some(latest) = self.latest
            && let room = (latest - start) / unit
            && sum > room + SLACK * (start.abs() + latest.abs()) / unit
        {
            self.squeeze(&mut passed, (room / sum).max(0.));
        }
        let time = |passed: f64| if passed == 0. { start } else { clean(start + passed * unit) };
        passed.into_iter().map(time).collect()
    }

    /// Multiplies what has passed, in units, and keeps it ascending on the grid.
    fn squeeze(&self, passed: &mut [f64], share: f64) {
        let mut before = f64::NEG_INFINITY;
        for passed in passed {
            *passed *= share;
            if self.gap > 0. {
                // What a product leaves behind is no day less.
                *passed = (*passed + 1e-6).floor().max(before + 1.);
            }
            before = *passed;
        }
    }
}

fn nearest_multiple(x: f64, unit: f64) -> f64 {
    if unit == 0. { x } else { clean((x / unit).round() * unit) }
}

/// A sum of steps without what doubles leave behind: 9.12, not 9.119999999999997.
pub(crate) fn clean(x: f64) -> f64 {
    const SCALE: f64 = 1e9;
    let rounded = (x * SCALE).round() / SCALE;
    if rounded.is_finite() && x.abs() < 1e6 { rounded } else { x }
}

/// The greatest number of which all that were seen are multiples, among those with six decimals.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Multiples {
    /// In parts of a unit; 0 where only 0 was seen.
    divisor: u64,
    /// Whether a number was seen that has more decimals.
    is_broken: bool,
}

impl Multiples {
    pub(crate) fn add(&mut self, x: f64) {
        let parts = x.abs() * PARTS;
        // What a difference of two doubles leaves behind.
        let slack = 1e-3 + parts * 1e-12;
        if !(parts < LARGEST && (parts - parts.round()).abs() < slack) {
            self.is_broken = true;
            return;
        }
        let (mut a, mut b) = (self.divisor, parts.round() as u64);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        self.divisor = a;
    }

    /// `None` where there is none.
    pub(crate) fn unit(&self) -> Option<f64> {
        (self.divisor > 0 && !self.is_broken).then(|| self.divisor as f64 / PARTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(numbers: &[f64]) -> Option<f64> {
        let mut multiples = Multiples::default();
        numbers.iter().for_each(|&x| multiples.add(x));
        multiples.unit()
    }

    #[test]
    fn what_numbers_are_multiples_of_is_found() {
        for (numbers, expected) in [
            (vec![2., 3.], Some(1.)),
            (vec![-60., 720., 0.], Some(60.)),
            (vec![0.3, 0.1 + 0.2, 0.9], Some(0.3)),
            (vec![0.5, 0.25], Some(0.25)),
            (vec![0.], None),
            (vec![1. / 3., 1.], None),
            (vec![f64::NAN, 1.], None),
            (vec![1e300, 1.], None),
            (vec![86_400. * 11_000., 86_400.], Some(86_400.)),
        ] {
            assert_eq!(unit(&numbers), expected, "{numbers:?}");
        }
    }

    #[test]
    fn visits_ascend_on_the_grid_whatever_is_generated() {
        let grid = VisitGrid { start: 10., gap: 0.1, latest: None };
        let times = grid.times(-14., [0.31, 0., -3., 0.05].into_iter());
        assert_eq!(times, [-10., -9.7, -9.6, -9.5, -9.4]);
        let free = VisitGrid { start: 0., gap: 0., latest: None };
        assert_eq!(free.times(0.125, [1.5, 0.25].into_iter()), [0.125, 1.625, 1.875]);
    }

    #[test]
    fn no_visit_is_later_than_the_latest_real_one() {
        let grid = VisitGrid { start: 1., gap: 1., latest: Some(100.) };
        assert_eq!(grid.times(-20., [70., 50.].into_iter()), [-20., 50., 100.]);
        // A half of each, on the grid.
        assert_eq!(grid.times(0., [1., 99., 100.].into_iter()), [0., 1., 50., 100.]);
        let times = grid.times(-20., [3000., 1., 1., 9000.].into_iter());
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
        assert_eq!(times.last(), Some(&100.));
        // Where there is no room, they ascend all the same.
        assert_eq!(grid.times(99., [7., 7., 7.].into_iter()), [99., 100., 101., 102.]);
        let free = VisitGrid { start: 0., gap: 0., latest: Some(1.5) };
        assert_eq!(free.times(0.5, [1., 3.].into_iter()), [0.5, 0.75, 1.5]);
    }

    #[test]
    fn sums_of_steps_are_clean() {
        assert_eq!(clean(0.1 + 0.2), 0.3);
        assert_eq!(clean(12. * 0.76), 9.12);
        assert_eq!(clean(1e12 + 0.5), 1e12 + 0.5);
        // Of large times nine decimals are more than a double has.
        let large = 1_234_567.123_456_789_2;
        assert_eq!(clean(large), large);
        assert_ne!((large * 1e9).round() / 1e9, large);
    }
}
