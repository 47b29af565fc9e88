//! What a patient is like: one row of numbers for each.
//!
//! ```text
//! all                steps
//! static column      its value, or the position of its level
//! numeric column     share observed, mean, SD, slope in time, lag-1 autocorrelation, mean |step|
//! discrete column    share observed, share of each level, share of steps at which it changes
//! two numbers        correlation over the patient's steps, of the first eight that change
//! ```
//!
//! NaN where a patient has too few values: one for a mean and a share, two for an SD, a slope and a
//! step, three for an autocorrelation and a correlation.

use crate::Features;
use hg_data::{Draws, Encoded, Encoder, Kind, Observed, Schema};
use std::collections::HashSet;
use std::fmt::Display;
use std::ops::Range;

/// So many numeric columns that change are paired.
const MAX_PAIRED: usize = 8;
/// So many levels of a column are features of their own; the others are what is left.
const MAX_LEVELS: usize = 16;

/// A patient's rows in a cohort.
#[derive(Clone, Debug)]
pub struct Patient {
    rows: Range<usize>,
    times: Vec<f64>,
}

/// The patients of a cohort who have a step.
pub fn patients(schema: &Schema, cohort: &Observed) -> Vec<Patient> {
    let gaps = schema.gap_column().map(|n| &cohort.columns[n]);
    let mut end = 0;
    let patient = |&length: &usize| {
        let rows = end..end + length;
        end += length;
        let mut time = 0.;
        let elapsed = rows.clone().map(|row| {
            let gap = gaps.map_or(Some(1.), |gaps| gaps[row]);
            time += if row == rows.start { 0. } else { gap.unwrap_or(0.) };
            time
        });
        Patient { times: elapsed.collect(), rows }
    };
    cohort.lengths.iter().filter(|length| **length > 0).map(patient).collect()
}

impl Patient {
    /// The rows.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// When each row was, from the first on: in the table's unit, or in steps where those are regular.
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// The finite values of a column, given by all of its cells: when each was, and the value.
    pub fn observed(&self, cells: &[Option<f64>]) -> Vec<(f64, f64)> {
        let cells = self.times.iter().zip(&cells[self.rows()]);
        let seen = cells.filter_map(|(&time, cell)| Some((time, (*cell)?)));
        seen.filter(|(_, x)| x.is_finite()).collect()
    }
}

/// The summaries of some patients of a cohort.
pub fn summaries(schema: &Schema, cohort: &Observed, chosen: &[Patient]) -> Features {
    let mut features = Features::default();
    features.add("steps", chosen, |patient| patient.rows.len() as f64);
    for (column, cells) in schema.columns.iter().zip(&cohort.columns) {
        let name = &column.name;
        let observed: Vec<Vec<(f64, f64)>> =
            chosen.iter().map(|patient| patient.observed(cells)).collect();
        if column.is_static {
            let value = |seen: &Vec<(f64, f64)>| seen.first().map_or(f64::NAN, |first| first.1);
            features.add(name.clone(), &observed, value);
            continue;
        }
        let of_steps: Vec<(&Patient, &Vec<(f64, f64)>)> = chosen.iter().zip(&observed).collect();
        features.add(format!("{name}: observed"), &of_steps, |(patient, seen)| {
            seen.len() as f64 / patient.rows.len() as f64
        });
        if column.kind == Kind::Numeric {
            let courses: Vec<Course> = observed.iter().map(|seen| Course::new(seen)).collect();
            features.add(mean_of(name), &courses, |course| course.mean);
            features.add(format!("{name}: SD"), &courses, |course| course.deviation);
            features.add(format!("{name}: slope"), &courses, |course| course.slope);
            features
                .add(format!("{name}: autocorrelation"), &courses, |course| course.autocorrelation);
            features.add(format!("{name}: step"), &courses, |course| course.step);
        } else {
            let levels: Vec<Levels> = observed.iter().map(|seen| Levels::new(seen)).collect();
            for (position, level) in column.level_names().iter().enumerate().take(MAX_LEVELS) {
                features.add(share_of(name, level), &levels, |levels| levels.share(position));
            }
            features.add(format!("{name}: changes"), &levels, |levels| levels.changes);
        }
    }
    let changes = |n: &usize| {
        let column = &schema.columns[*n];
        !column.is_static && column.kind == Kind::Numeric
    };
    let numbers: Vec<usize> = (0..schema.columns.len()).filter(changes).take(MAX_PAIRED).collect();
    for (position, &first) in numbers.iter().enumerate() {
        for &second in &numbers[..position] {
            let [a, b] = [second, first].map(|n| schema.columns[n].name.as_str());
            features.add(format!("{a} and {b}: correlation"), chosen, |patient| {
                let cells = [second, first].map(|n| &cohort.columns[n][patient.rows()]);
                correlation(cells)
            });
        }
    }
    features
}

/// The name of a column's mean.
fn mean_of(column: &str) -> String {
    format!("{column}: mean")
}

/// The name of the share that a level has of a column's steps.
fn share_of(column: &str, level: impl Display) -> String {
    format!("{column}: {level}")
}

/// Where among the summaries those stand that say which values a column has: of a static column itself,
/// of others the mean, or the shares of levels.
pub fn of_values(schema: &Schema, summaries: &Features) -> Vec<usize> {
    let names = schema.columns.iter().flat_map(|column| {
        let name = &column.name;
        match column.is_static {
            true => vec![name.clone()],
            false if column.kind == Kind::Numeric => vec![mean_of(name)],
            false => column.level_names().iter().map(|level| share_of(name, level)).collect(),
        }
    });
    let names: HashSet<String> = names.collect();
    let is_one = |n: &usize| names.contains(&summaries.names[*n]);
    (0..summaries.names.len()).filter(is_one).collect()
}

/// Pearson's of the steps at which both are observed, three at least.
fn correlation([first, second]: [&[Option<f64>]; 2]) -> f64 {
    let is_seen = |cell: &Option<f64>| cell.is_some_and(f64::is_finite);
    let both = first.iter().zip(second).filter(|(a, b)| is_seen(a) && is_seen(b)).count();
    if both < 3 { f64::NAN } else { pearson(first, second).unwrap_or(f64::NAN) }
}

/// The summaries of a cohort's patients, one row for each who has a step.
pub fn summaries_of(schema: &Schema, cohort: &Observed) -> Features {
    summaries(schema, cohort, &patients(schema, cohort))
}

/// The summaries of encoded patients, decoded as those of a generator are; of more than `most`, evenly
/// spread ones. Nothing where they cannot be decoded.
pub fn summaries_of_encoded(encoder: &Encoder, cohort: &Encoded, most: usize) -> Features {
    let count = cohort.lengths.len();
    let chosen = || (0..count).step_by(stride(count, most));
    let lengths: Vec<usize> = chosen().map(|patient| cohort.lengths[patient]).collect();
    let row = |(patient, step)| cohort.row(patient, step).iter().copied();
    let steps = chosen().flat_map(|patient| (0..cohort.steps).map(move |step| (patient, step)));
    let values: Vec<f32> = steps.flat_map(row).collect();
    match encoder.cells(&values, &lengths, cohort.steps, Draws::default()) {
        Ok(cells) => summaries_of(&encoder.schema, &cells.observed()),
        Err(_) => Features::default(),
    }
}

/// How a number goes on.
struct Course {
    mean: f64,
    /// With one degree of freedom taken off.
    deviation: f64,
    /// Of the least-squares line, per unit of time.
    slope: f64,
    /// `Σ dₜ dₜ₋₁ / Σ dₜ²` of the distances d from the mean.
    autocorrelation: f64,
    /// The mean of |xₜ − xₜ₋₁|.
    step: f64,
}

impl Course {
    fn new(observed: &[(f64, f64)]) -> Self {
        let count = observed.len() as f64;
        let values = || observed.iter().map(|(_, x)| *x);
        let centre = mean(values()).unwrap_or(f64::NAN);
        let centre_of_time = mean(observed.iter().map(|(t, _)| *t)).unwrap_or(f64::NAN);
        let distances: Vec<f64> = values().map(|x| x - centre).collect();
        let squares: f64 = distances.iter().map(|d| d * d).sum();
        let together: f64 =
            observed.iter().zip(&distances).map(|((t, _), d)| (t - centre_of_time) * d).sum();
        let time_squares: f64 = observed.iter().map(|(t, _)| (t - centre_of_time).powi(2)).sum();
        let products: f64 = distances.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let steps = observed.windows(2).map(|pair| (pair[1].1 - pair[0].1).abs());
        let from = |least: usize, value: f64| {
            if observed.len() >= least && value.is_finite() { value } else { f64::NAN }
        };
        Self {
            mean: from(1, centre),
            deviation: from(2, (squares / (count - 1.)).sqrt()),
            slope: from(2, together / time_squares),
            autocorrelation: from(3, products / squares),
            step: from(2, mean(steps).unwrap_or(f64::NAN)),
        }
    }
}

/// How often a patient has each level, and changes it.
struct Levels {
    observed: Vec<usize>,
    changes: f64,
}

impl Levels {
    fn new(observed: &[(f64, f64)]) -> Self {
        let observed: Vec<usize> = observed.iter().map(|(_, level)| *level as usize).collect();
        let changes = observed.windows(2).map(|pair| f64::from(u8::from(pair[0] != pair[1])));
        Self { changes: mean(changes).unwrap_or(f64::NAN), observed }
    }

    fn share(&self, position: usize) -> f64 {
        let has_it = self.observed.iter().map(|&level| f64::from(u8::from(level == position)));
        mean(has_it).unwrap_or(f64::NAN)
    }
}

/// Pearson's correlation over the rows where both are observed; `None` when either is constant
/// there, or nothing is.
pub fn pearson(first: &[Option<f64>], second: &[Option<f64>]) -> Option<f64> {
    let both = first.iter().zip(second).filter_map(|(x, y)| Some(((*x)?, (*y)?)));
    let both: Vec<(f64, f64)> = both.filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    let n = both.len() as f64;
    let mean_x = both.iter().map(|(x, _)| x).sum::<f64>() / n;
    let mean_y = both.iter().map(|(_, y)| y).sum::<f64>() / n;
    let (mut xx, mut yy, mut xy) = (0., 0., 0.);
    for (x, y) in both {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    let scale = (xx * yy).sqrt();
    // Squares that overflow say nothing, where xy / ∞ would be a 0 that was not measured.
    (scale > 0. && scale.is_finite()).then(|| xy / scale)
}

/// Every how many of `count` are taken, so that evenly spread ones and `most` at most are.
pub fn stride(count: usize, most: usize) -> usize {
    count.div_ceil(most).max(1)
}

/// The mean of those values that are finite; `None` where none is.
pub fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let finite = values.into_iter().filter(|value| value.is_finite());
    let (sum, count) = finite.fold((0., 0usize), |(sum, n), value| (sum + value, n + 1));
    Some(sum / count as f64).filter(|mean| mean.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_is_numpys_and_has_no_statistic_of_too_few_values() {
        // x = [1, 2, 4, 3] at t = [0, 1, 3, 4]: numpy.std(x, ddof=1), numpy.polyfit(t, x, 1)[0].
        let course = Course::new(&[(0., 1.), (1., 2.), (3., 4.), (4., 3.)]);
        let expected = [2.5, 1.290_994_448_735_805_6, 0.6, 0.15, 4. / 3.];
        let found =
            [course.mean, course.deviation, course.slope, course.autocorrelation, course.step];
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
        }
        let none = Course::new(&[]);
        assert!(none.mean.is_nan() && none.deviation.is_nan() && none.step.is_nan());
        let one = Course::new(&[(0., 7.)]);
        assert!(
            one.mean == 7. && one.deviation.is_nan() && one.slope.is_nan() && one.step.is_nan()
        );
        let two = Course::new(&[(0., 1.), (2., 5.)]);
        assert!(two.slope == 2. && two.step == 4. && two.autocorrelation.is_nan());
        let constant = Course::new(&[(0., 1.), (1., 1.), (2., 1.)]);
        assert!(
            constant.deviation == 0. && constant.slope == 0. && constant.autocorrelation.is_nan()
        );
    }

    #[test]
    fn two_numbers_go_together_over_the_steps_that_have_both() {
        // numpy.corrcoef([1, 2, 4], [3, 5, 4])[0, 1]
        let a = [Some(1.), Some(2.), None, Some(4.), Some(9.)];
        let b = [Some(3.), Some(5.), Some(7.), Some(4.), None];
        assert!((correlation([&a, &b]) - 0.327_326_835_353_988_57).abs() < 1e-12);
        let constant = [Some(3.); 5];
        assert!(correlation([&a, &constant]).is_nan() && correlation([&a[..2], &b[..2]]).is_nan());
    }

    #[test]
    fn levels_have_shares_and_changes() {
        let levels = Levels::new(&[(0., 2.), (1., 2.), (2., 0.), (3., 2.)]);
        assert_eq!([0, 1, 2].map(|level| levels.share(level)), [0.25, 0., 0.75]);
        assert!((levels.changes - 2. / 3.).abs() < 1e-12);
        let none = Levels::new(&[]);
        assert!(none.share(0).is_nan() && none.changes.is_nan());
    }
}
