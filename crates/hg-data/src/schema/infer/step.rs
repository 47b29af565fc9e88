//! What a step is: a visit, or a point of a regular grid, and what that does to a table's rows.

use super::time::Clock;
use super::words::unit_of;
use crate::clock::{TimeKind, months_of};
use crate::quantile_table::quantile;

/// Steps that the grid should not exceed for most patients, unless the table is regular.
const MOST_STEPS: f64 = 100.;
/// Patients are cut after so many.
pub(super) const LONGEST: usize = 200;
/// Times between rows that differ by less, as a share of their median, are all the same.
const LEAST_SPREAD: f64 = 0.05;
/// Patients of so many visits are cut.
pub(super) const LONGEST_OF_VISITS: usize = 1000;
/// A grid on which every row has its step is taken if it has at most so many steps a row.
const STEPS_A_ROW: f64 = 3.;
/// Parts of a number's unit that are looked for.
const MOST_DECIMALS: i32 = 3;
const DAY: f64 = 86_400.;
/// Seconds of a mean month.
const MONTH: f64 = 30.44 * DAY;

/// Steps of dates and elapsed time: how many, of what, in seconds.
const CALENDAR: [(u32, &str, f64); 29] = [
    (1, "second", 1.),
    (5, "second", 5.),
    (10, "second", 10.),
    (30, "second", 30.),
    (1, "minute", 60.),
    (2, "minute", 120.),
    (5, "minute", 300.),
    (10, "minute", 600.),
    (15, "minute", 900.),
    (30, "minute", 1_800.),
    (1, "hour", 3_600.),
    (2, "hour", 7_200.),
    (3, "hour", 10_800.),
    (4, "hour", 14_400.),
    (6, "hour", 21_600.),
    (8, "hour", 28_800.),
    (12, "hour", 43_200.),
    (1, "day", DAY),
    (2, "day", 2. * DAY),
    (3, "day", 3. * DAY),
    (1, "week", 7. * DAY),
    (2, "week", 14. * DAY),
    (1, "month", MONTH),
    (2, "month", 2. * MONTH),
    (3, "month", 3. * MONTH),
    (6, "month", 6. * MONTH),
    (1, "year", 12. * MONTH),
    (2, "year", 24. * MONTH),
    (5, "year", 60. * MONTH),
];

/// Steps of numbers that count minutes, hours, …
const NATURAL: [(&str, &[f64]); 6] = [
    (
        "minutes",
        &[1., 2., 5., 10., 15., 30., 60., 120., 180., 240., 360., 480., 720., 1440., 2880., 10080.],
    ),
    ("hours", &[0.25, 0.5, 1., 2., 3., 4., 6., 8., 12., 24., 48., 72., 168.]),
    (
        "days",
        &[0.25, 0.5, 1., 2., 3., 5., 7., 10., 14., 28., 30., 60., 90., 180., 365., 730., 1825.],
    ),
    ("weeks", &[1., 2., 4., 8., 12., 26., 52., 104.]),
    ("months", &[1., 2., 3., 6., 12., 24., 60.]),
    ("years", &[0.25, 0.5, 1., 2., 5., 10.]),
];

/// Steps of numbers whose unit is not known, beside 1, 2 and 5 times a power of ten.
const ANY_UNIT: [f64; 14] = [1., 2., 3., 4., 5., 6., 8., 10., 12., 15., 20., 24., 30., 60.];

/// Patients with more visits than that are dense series, which a grid thins out.
const MOST_VISITS: f64 = 200.;

/// A proposed step.
#[derive(Debug)]
pub(super) struct Step {
    /// The grid's width as the schema has it: a number, or a text in quotes; `None` where rows are
    /// steps.
    pub(super) width: Option<String>,
    /// What the proposal rests on.
    pub(super) why: String,
    /// Rows that share their step with another.
    pub(super) merged: usize,
    /// Steps that no row has.
    pub(super) invented: usize,
    /// Of the longest patient.
    pub(super) longest: f64,
}

/// A width on the axis of the times.
struct Width {
    toml: String,
    width: f64,
}

/// Visits where the time between rows varies, else the grid for each patient's `times`, ascending;
/// `name` may tell their unit.
pub(super) fn propose(clock: &Clock, times: &[Vec<f64>], name: &str) -> Step {
    either(clock, times, name, true)
}

/// Rows that the best grid would merge, and steps that it would invent.
pub(super) fn cost_of_grid(clock: &Clock, times: &[Vec<f64>], name: &str) -> usize {
    let Step { merged, invented, .. } = either(clock, times, name, false);
    merged.saturating_add(invented)
}

fn either(clock: &Clock, times: &[Vec<f64>], name: &str, or_visits: bool) -> Step {
    let in_months = clock.kind == TimeKind::Dates && are_months(times);
    let axis: Vec<Vec<f64>> = if in_months { to_months(times) } else { times.to_vec() };
    let mut gaps: Vec<f64> = axis
        .iter()
        .flat_map(|times| times.windows(2).map(|pair| pair[1] - pair[0]))
        .filter(|gap| *gap > 0.)
        .collect();
    gaps.sort_by(f64::total_cmp);
    let mut spans: Vec<f64> =
        axis.iter().filter_map(|times| Some(times.last()? - times.first()?)).collect();
    spans.sort_by(f64::total_cmp);
    let (width, why) = if gaps.is_empty() {
        (usual_width(clock.kind, in_months), "no patient has two times".to_owned())
    } else if let Some(base) = regular_base(&axis, &gaps, &spans) {
        let width = of_base(base, clock.kind, in_months);
        (width, "all times between rows are multiples of it".into())
    } else if let Some(visits) = visits(&axis, &gaps, clock.kind, in_months).filter(|_| or_visits) {
        return visits;
    } else {
        let (median, usual) = (quantile(&gaps, 0.5), quantile(&spans, 0.95));
        let target = if usual / median > MOST_STEPS { usual / 48. } else { median };
        let whole = clock.values.iter().flatten().all(|time| time.fract() == 0.);
        let width = nearest(target, clock.kind, in_months, whole, unit_for(name));
        let why = format!(
            "guess: the median time between rows is {}, and most patients span {} or less",
            in_words(median, clock.kind, in_months),
            in_words(usual, clock.kind, in_months)
        );
        (width, why)
    };
    let months = width.toml.contains("month") || width.toml.contains("year");
    let on_axis = if months && !in_months { to_months(times) } else { axis };
    let (merged, invented, longest) = count(&on_axis, width.width);
    Step { width: Some(width.toml), why, merged, invented, longest }
}

/// Rows as steps, unless most patients have too many of them, or all are as far apart; `gaps`
/// ascend.
fn visits(times: &[Vec<f64>], gaps: &[f64], kind: TimeKind, in_months: bool) -> Option<Step> {
    let distinct =
        |times: &Vec<f64>| 1 + times.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let rows = times.iter().filter(|times| !times.is_empty());
    let mut visits: Vec<f64> = rows.map(|times| distinct(times) as f64).collect();
    visits.sort_by(f64::total_cmp);
    if quantile(&visits, 0.95) > MOST_VISITS {
        return None;
    }
    let [early, median, late] = [0.1, 0.5, 0.9].map(|p| quantile(gaps, p));
    if late - early < LEAST_SPREAD * median {
        return None;
    }
    let [early, late] = [early, late].map(|gap| in_words(gap, kind, in_months));
    let why = format!("the time between rows varies: from {early} to {late} for most of them");
    let merged = times.iter().map(Vec::len).sum::<usize>() - visits.iter().sum::<f64>() as usize;
    let longest = visits.last().copied().unwrap_or(0.);
    Some(Step { width: None, why, merged, invented: 0, longest })
}

/// Offsets count minutes in the tables that have them.
fn unit_for(name: &str) -> Option<&'static str> {
    unit_of(name).or_else(|| name.to_lowercase().contains("offset").then_some("minutes"))
}

/// Whether all dates are firsts of months, and not all of one.
fn are_months(times: &[Vec<f64>]) -> bool {
    let mut all = times.iter().flatten();
    let Some(first) = all.clone().next() else { return false };
    all.clone().any(|time| time != first)
        && all.all(|&time| months_of(time).is_some_and(|months| months.fract() == 0.))
}

fn to_months(times: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let months = |times: &Vec<f64>| times.iter().filter_map(|&time| months_of(time)).collect();
    times.iter().map(months).collect()
}

/// Rows merged, steps invented and the longest patient's steps.
fn count(times: &[Vec<f64>], width: f64) -> (usize, usize, f64) {
    let (mut merged, mut invented, mut longest) = (0, 0f64, 0f64);
    for times in times {
        let Some(first) = times.first() else { continue };
        let steps: Vec<f64> =
            times.iter().map(|time| ((time - first) / width + 0.5).floor()).collect();
        let occupied = 1 + steps.windows(2).filter(|pair| pair[0] != pair[1]).count();
        let length = 1. + steps.last().unwrap_or(&0.);
        merged += times.len() - occupied;
        invented += length - occupied as f64;
        longest = longest.max(length);
    }
    (merged, invented as usize, longest)
}

/// The width of which all gaps are multiples, where a grid of it is not much longer than the
/// table.
fn regular_base(times: &[Vec<f64>], gaps: &[f64], spans: &[f64]) -> Option<f64> {
    let scale = (0..=MOST_DECIMALS).map(|n| 10f64.powi(n)).find(|scale| {
        gaps.iter().all(|gap| {
            let scaled = gap * scale;
            scaled < 1e15 && scaled > 0.5 && (scaled - scaled.round()).abs() < 1e-4
        })
    })?;
    let base = gaps.iter().map(|gap| (gap * scale).round() as u64).fold(0, gcd) as f64 / scale;
    let steps: f64 = spans.iter().map(|span| span / base + 1.).sum();
    let rows: usize = times.iter().map(Vec::len).sum();
    let usual = quantile(spans, 0.95) / base;
    (base > 0. && steps <= STEPS_A_ROW * rows as f64 && usual <= LONGEST as f64).then_some(base)
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A base as a step, in the largest unit that divides it.
fn of_base(base: f64, kind: TimeKind, in_months: bool) -> Width {
    let counted = |each: f64, unit: &str| {
        let n = base / each;
        (n >= 1. && n.fract() == 0.).then(|| text(n, unit))
    };
    let toml = match kind {
        TimeKind::Numbers => Some(number(base)),
        _ if in_months => counted(12., "year").or_else(|| counted(1., "month")),
        _ => [("week", 7. * DAY), ("day", DAY), ("hour", 3_600.), ("minute", 60.), ("second", 1.)]
            .iter()
            .find_map(|(unit, each)| counted(*each, unit)),
    };
    Width { toml: toml.unwrap_or_else(|| text(base, "second")), width: base }
}

fn text(count: f64, unit: &str) -> String {
    format!("\"{count} {unit}{}\"", if count == 1. { "" } else { "s" })
}

/// A width as TOML's float.
fn number(width: f64) -> String {
    format!("{width:?}")
}

/// Of a table in which no patient has two times.
fn usual_width(kind: TimeKind, in_months: bool) -> Width {
    match kind {
        TimeKind::Numbers => Width { toml: number(1.), width: 1. },
        _ if in_months => Width { toml: text(1., "month"), width: 1. },
        _ => Width { toml: text(1., "day"), width: DAY },
    }
}

/// The round width that is nearest to `target`.
fn nearest(target: f64, kind: TimeKind, in_months: bool, whole: bool, unit: Option<&str>) -> Width {
    let distance = |width: f64| (width / target).ln().abs();
    if kind != TimeKind::Numbers {
        let seconds = if in_months { target * MONTH } else { target };
        let unit_of_calendar = |unit: &str| matches!(unit, "month" | "year");
        let fitting = CALENDAR.iter().filter(|(_, unit, _)| {
            if in_months {
                unit_of_calendar(unit)
            } else {
                kind == TimeKind::Dates || !unit_of_calendar(unit)
            }
        });
        let chosen = fitting
            .min_by(|a, b| {
                let distance = |width: f64| (width / seconds).ln().abs();
                distance(a.2).total_cmp(&distance(b.2))
            })
            .unwrap_or(&CALENDAR[17]);
        let (count, unit, seconds) = *chosen;
        let width = if unit_of_calendar(unit) { (seconds / MONTH).round() } else { seconds };
        return Width { toml: text(f64::from(count), unit), width };
    }
    let natural =
        NATURAL.iter().find(|(name, _)| Some(*name) == unit).map_or(&[][..], |(_, widths)| widths);
    let in_range = natural
        .first()
        .zip(natural.last())
        .is_some_and(|(low, high)| (low / 2. ..=high * 2.).contains(&target));
    let power = target.abs().clamp(1e-12, 1e15).log10().floor() as i32;
    let round = (power - 1..=power + 1).flat_map(|k| {
        // Written and read, so that 0.1 is 0.1.
        [1, 2, 5].map(|m| format!("{m}e{k}").parse::<f64>().unwrap_or(1.))
    });
    let widths: Vec<f64> = match () {
        () if in_range => natural.to_vec(),
        () if ANY_UNIT.iter().any(|width| distance(*width) < 0.4) => ANY_UNIT.to_vec(),
        () => round.collect(),
    };
    let width = widths
        .into_iter()
        .filter(|width| !whole || width.fract() == 0.)
        .min_by(|a, b| distance(*a).total_cmp(&distance(*b)))
        .unwrap_or(1.);
    Width { toml: number(width), width }
}

/// A time for people.
fn in_words(time: f64, kind: TimeKind, in_months: bool) -> String {
    let rounded = |x: f64| format!("{}", (x * 100.).round() / 100.);
    match kind {
        TimeKind::Numbers => rounded(time),
        _ if in_months => format!("{} months", rounded(time)),
        _ => {
            let units = [("days", DAY), ("hours", 3_600.), ("minutes", 60.)];
            let unit = units.iter().find(|(_, each)| time >= *each);
            let (unit, each) = unit.copied().unwrap_or(("seconds", 1.));
            format!("{} {unit}", rounded(time / each))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(kind: TimeKind, times: &[&[f64]], name: &str) -> Step {
        let values = times.iter().flat_map(|times| times.iter().copied().map(Some)).collect();
        let clock = Clock { values, format: None, kind, doubt: false };
        let times: Vec<Vec<f64>> = times.iter().map(|times| times.to_vec()).collect();
        propose(&clock, &times, name)
    }

    #[test]
    fn steps_are_round() {
        let hour = 3_600.;
        let cases: [(TimeKind, &[&[f64]], &str, &str); 14] = [
            (TimeKind::Numbers, &[&[0., 1., 2.], &[0., 2.]], "hour", "1.0"),
            (TimeKind::Numbers, &[&[0., 30., 60.], &[0., 90.]], "offset", "30.0"),
            (TimeKind::Numbers, &[&[0., 0.5, 1.5]], "t", "0.5"),
            (TimeKind::Numbers, &[&[0., 8., 29., 81.], &[0., 7., 31., 83.]], "study_day", "visits"),
            (TimeKind::Numbers, &[&[0., 3.37, 6.8, 9.48, 12.43]], "Time", "visits"),
            (TimeKind::Numbers, &[&[0., 1.357143, 2.714286]], "t", "1.0"),
            (TimeKind::Numbers, &[&[0., 0.]], "t", "1.0"),
            (TimeKind::Dates, &[&[0., hour, 3. * hour]], "t", "\"1 hour\""),
            (TimeKind::Dates, &[&[0., 7. * DAY, 14. * DAY]], "t", "\"1 week\""),
            (TimeKind::Dates, &[&[0., 31. * DAY, 59. * DAY]], "t", "\"1 month\""),
            (TimeKind::Dates, &[&[0., 365. * DAY, 731. * DAY]], "t", "\"1 year\""),
            (
                TimeKind::Dates,
                &[&[0., 92. * DAY, 181. * DAY, 275. * DAY, 380. * DAY]],
                "t",
                "visits",
            ),
            (TimeKind::Elapsed, &[&[0., 3.1 * hour, 6.3 * hour + 7.]], "t", "\"3 hours\""),
            (TimeKind::Elapsed, &[&[0., 0.25]], "t", "\"0.25 seconds\""),
        ];
        for (kind, times, name, expected) in cases {
            let step = step(kind, times, name);
            let width = step.width.as_deref().unwrap_or("visits");
            assert_eq!(width, expected, "{times:?} {}", step.why);
        }
    }

    #[test]
    fn dense_series_get_a_grid() {
        let times: Vec<f64> = (0..1000).map(|n| f64::from(n) + f64::from(n % 7) * 0.0371).collect();
        let dense = step(TimeKind::Numbers, &[&times], "hours");
        assert_eq!(dense.width.as_deref(), Some("24.0"));
        let few = step(TimeKind::Numbers, &[&[0., 1.3, 4., 9.7], &[0., 0., 3.]], "hours");
        assert_eq!((few.width, few.merged, few.longest), (None, 1, 4.), "{}", few.why);
    }

    #[test]
    fn rows_merged_and_steps_invented_are_counted() {
        assert_eq!(count(&[vec![0., 0., 1., 4.], vec![2.]], 1.), (1, 2, 5.));
        assert_eq!(count(&[vec![0., 1e300]], 1.).2, 1. + 1e300);
    }
}
