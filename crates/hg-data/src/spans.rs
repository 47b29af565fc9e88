//! How long patients are followed: what becomes of the sum of the times between their visits.
//!
//! ```text
//! g ↦ g · Q(F(s)) / s,   s = Σ g over a patient's visits, F the share of the generator's sums up to s,
//!                        Q the quantiles of the real ones
//! ```
//!
//! among patients of about one number of visits and about one first time. Times between visits may be
//! distributed as real ones and still add up to nothing like a real patient: most of what differs between
//! them differs between patients.

use crate::calibration::{made_quantiles, real_quantiles, share_of, value_at};
use crate::parsed::{GAP, START};
use crate::{Encoded, Encoder, FittedKind, FittedTransform};
use serde::{Deserialize, Serialize};

/// Patients of a class, at least, where there are several.
const MIN_CLASS: usize = 60;
/// Classes of lengths, and of first times within each, at most.
const MAX_CLASSES: usize = 4;
/// A generator's patients of a class below which its spans stay as they are.
const MIN_MADE: usize = 20;

/// How long real patients are followed who have about one number of visits and are first seen at about
/// one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpanClass {
    /// Visits at most.
    pub visits: usize,
    /// The first time at most, as it is encoded; of a class of lengths the last has all beyond.
    pub start: f32,
    /// The points [share, time from the first to the last visit] of the quantile function, both
    /// ascending.
    pub quantiles: Vec<[f32; 2]>,
}

/// Maps the times between a generator's visits to what real patients of a class have in all.
#[derive(Clone, Debug)]
pub(crate) struct SpanMap {
    times: Times,
    /// In the order of the classes, from the generator's quantiles to the real ones; nothing where the
    /// generator has too few patients.
    maps: Vec<(SpanClass, Vec<[f32; 2]>)>,
}

/// Where a row has what its time follows from.
#[derive(Clone, Debug)]
struct Times {
    start: Option<usize>,
    gap: usize,
    transform: FittedTransform,
    unit: f64,
    /// Features of a row.
    width: usize,
}

/// A patient by whom spans are compared.
#[derive(Clone, Copy)]
struct Followed {
    sequence: usize,
    visits: usize,
    start: f32,
    span: f32,
}

impl Times {
    /// `None` where times between visits are not modelled.
    fn of(encoder: &Encoder) -> Option<Self> {
        let visits = encoder.visits.as_ref()?;
        let number = |name: &str| {
            let n = encoder.schema.columns.iter().position(|column| column.name == name)?;
            let FittedKind::Numeric { transform, .. } = &encoder.columns[n].kind else {
                return None;
            };
            Some((encoder.places()[n].value, transform.clone()))
        };
        let (gap, transform) = number(GAP)?;
        let start = number(START).map(|(start, _)| start);
        Some(Self { start, gap, transform, unit: visits.gap, width: encoder.features() })
    }

    /// The time between two visits that a row stands for.
    fn gap(&self, row: &[f32]) -> f64 {
        let gap = self.transform.decode(f64::from(row[self.gap]));
        if self.unit > 0. { (gap / self.unit).round().max(1.) * self.unit } else { gap }
    }

    /// The patient of a sequence's rows; `None` where there is one visit alone, or no time between.
    fn followed(&self, sequence: usize, rows: &[f32], visits: usize) -> Option<Followed> {
        let mut rows = rows.chunks_exact(self.width).take(visits);
        let start = self.start.map_or(Some(0.), |start| rows.next().map(|row| row[start]));
        let skipped = usize::from(self.start.is_none());
        let span = rows.skip(skipped).map(|row| self.gap(row)).sum::<f64>() as f32;
        let start = start.filter(|start| start.is_finite())?;
        (span > 0. && span.is_finite()).then_some(Followed { sequence, visits, start, span })
    }

    fn all(&self, cohort: &Encoded) -> Vec<Followed> {
        let sequences = cohort.values.chunks_exact((cohort.steps * self.width).max(1));
        let of = sequences.zip(&cohort.lengths).enumerate();
        of.filter_map(|(n, (rows, &visits))| self.followed(n, rows, visits)).collect()
    }
}

impl Encoder {
    /// The classes of real patients, by length and first time.
    pub(crate) fn spans_of(&self, real: &Encoded) -> Vec<SpanClass> {
        let Some(times) = Times::of(self) else { return Vec::new() };
        let mut all = times.all(real);
        if all.is_empty() {
            return Vec::new();
        }
        let most = ((all.len() / MIN_CLASS) as f64).sqrt() as usize;
        let classes = most.clamp(1, MAX_CLASSES);
        all.sort_by_key(|followed| followed.visits);
        let mut found = Vec::new();
        let by_length = cut(&all, classes, |a, b| a.visits == b.visits);
        for (n, of_length) in by_length.iter().enumerate() {
            let mut of_length = of_length.to_vec();
            let last = of_length.last().map_or(usize::MAX, |followed| followed.visits);
            let visits = if n + 1 == by_length.len() { usize::MAX } else { last };
            of_length.sort_by(|a, b| a.start.total_cmp(&b.start));
            let by_start = cut(&of_length, classes, |a, b| a.start == b.start);
            for (n, class) in by_start.iter().enumerate() {
                let last = class.last().map_or(f32::MAX, |followed| followed.start);
                let start = if n + 1 == by_start.len() { f32::MAX } else { last };
                found.push(SpanClass { visits, start, quantiles: real_quantiles(spans(class)) });
            }
        }
        found
    }

    /// The map that takes the spans of patients like a generator's to the real ones; `None` where none
    /// are kept.
    pub(crate) fn span_map(&self, made: &Encoded) -> Option<SpanMap> {
        if self.spans.is_empty() {
            return None;
        }
        let times = Times::of(self)?;
        let mut of_class = vec![Vec::new(); self.spans.len()];
        for followed in times.all(made) {
            if let Some(n) = class_of(self.spans.iter(), &followed) {
                of_class[n].push(followed);
            }
        }
        let from = of_class.iter().map(|class| match class.len() >= MIN_MADE {
            true => made_quantiles(&spans(class)),
            false => Vec::new(),
        });
        Some(SpanMap { maps: self.spans.iter().cloned().zip(from).collect(), times })
    }

    /// What is wrong with the spans of a saved encoder.
    pub(crate) fn spans_problem(&self) -> Option<String> {
        let is_sound = |class: &SpanClass| {
            let points = &class.quantiles;
            let of_point = |[share, span]: &[f32; 2]| {
                (0. ..=1.).contains(share) && span.is_finite() && *span > 0.
            };
            let ascends = |pair: &[[f32; 2]]| pair[0] <= pair[1] && pair[0][1] <= pair[1][1];
            class.start.is_finite() && points.iter().all(of_point) && points.windows(2).all(ascends)
        };
        let all_sound = self.spans.iter().all(is_sound);
        (!all_sound).then(|| "how long its patients are followed is no distribution".into())
    }
}

/// Cuts what is in order in so many parts of about one size, not between equals.
fn cut<T>(all: &[T], parts: usize, are_equal: impl Fn(&T, &T) -> bool) -> Vec<&[T]> {
    let size = all.len().div_ceil(parts).max(1);
    let mut found = Vec::new();
    let mut rest = all;
    while rest.len() >= 2 * size {
        let mut end = size;
        while end < rest.len() && are_equal(&rest[end - 1], &rest[end]) {
            end += 1;
        }
        let (part, others) = rest.split_at(end);
        found.push(part);
        rest = others;
    }
    if !rest.is_empty() {
        found.push(rest);
    }
    found
}

/// Spans, ascending, with their sequences.
fn spans(class: &[Followed]) -> Vec<(f32, usize)> {
    let mut spans: Vec<(f32, usize)> = class.iter().map(|of| (of.span, of.sequence)).collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    spans
}

fn class_of<'a>(
    mut classes: impl Iterator<Item = &'a SpanClass>,
    followed: &Followed,
) -> Option<usize> {
    classes.position(|class| followed.visits <= class.visits && followed.start <= class.start)
}

impl SpanMap {
    /// Maps the times between visits in a sequence's rows.
    pub(crate) fn apply(&self, rows: &mut [f32], visits: usize) {
        let times = &self.times;
        let Some(followed) = times.followed(0, rows, visits) else { return };
        let classes = self.maps.iter().map(|(class, _)| class);
        let Some((class, from)) = class_of(classes, &followed).and_then(|n| self.maps.get(n))
        else {
            return;
        };
        if from.is_empty() || class.quantiles.is_empty() {
            return;
        }
        let span = value_at(&class.quantiles, share_of(from, followed.span));
        let factor = f64::from(span) / f64::from(followed.span);
        for row in rows.chunks_exact_mut(times.width).take(visits).skip(1) {
            let gap = times.transform.decode(f64::from(row[times.gap])) * factor;
            row[times.gap] = times.transform.encode(gap).clamp(0., 1.) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::tests::pbc;

    /// Kolmogorov and Smirnov's distance.
    fn distance(a: &[f32], b: &[f32]) -> f32 {
        let share =
            |of: &[f32], x: f32| of.iter().filter(|y| **y <= x).count() as f32 / of.len() as f32;
        a.iter().chain(b).map(|&x| (share(a, x) - share(b, x)).abs()).fold(0., f32::max)
    }

    #[test]
    fn patients_are_followed_as_long_as_real_ones_and_gaps_stay_as_they_are() {
        let (encoder, real) = pbc();
        let times = Times::of(&encoder).expect("visits");
        // Times between visits that are a patient's, all too long or all too short.
        let mut values = real.values.to_vec();
        let size = real.steps * real.features;
        for (n, rows) in values.chunks_exact_mut(size).enumerate() {
            for (step, row) in rows.chunks_exact_mut(real.features).enumerate() {
                let of_patient = (n * 7919 % 1000) as f32 / 1000.;
                row[times.gap] = 0.2 + 0.6 * of_patient + (step * 31 + n) as f32 % 7. * 0.01;
            }
        }
        let made = Encoded { values: values.into(), ..real.clone() };
        let spans = |cohort: &Encoded, visits: std::ops::Range<usize>| -> Vec<f32> {
            let all = times.all(cohort).into_iter();
            all.filter(|of| visits.contains(&of.visits)).map(|of| of.span).collect()
        };
        let gaps = |cohort: &Encoded| -> Vec<f32> {
            let of = |(n, &length): (usize, &usize)| {
                (1..length).map(move |step| (n, step)).collect::<Vec<_>>()
            };
            let steps = cohort.lengths.iter().enumerate().flat_map(of);
            steps.map(|(n, step)| times.gap(cohort.row(n, step)) as f32).collect()
        };
        let calibrated = |encoder: &Encoder| {
            let mut calibrated = made.clone();
            encoder.calibration(&made).apply(&mut calibrated);
            calibrated
        };
        let without = calibrated(&Encoder { spans: Vec::new(), ..encoder.clone() });
        let with = calibrated(&encoder);
        for visits in [2..6, 6..100] {
            let real = spans(&real, visits.clone());
            let before = distance(&real, &spans(&without, visits.clone()));
            let after = distance(&real, &spans(&with, visits.clone()));
            assert!(after < before && after < 0.15, "{visits:?}: {before} became {after}");
        }
        let off = distance(&gaps(&real), &gaps(&with));
        assert!(off < 0.03, "the times between visits are {off} off");
    }

    #[test]
    fn classes_hold_every_patient_and_are_not_cut_between_equals() {
        assert_eq!(cut(&[1, 1, 1, 2, 3, 4], 3, |a, b| a == b), [&[1, 1, 1][..], &[2, 3, 4]]);
        assert_eq!(cut(&[5, 5], 4, |a, b| a == b), [[5, 5]]);
        let (encoder, real) = pbc();
        let times = Times::of(&encoder).expect("visits");
        for followed in times.all(&real) {
            assert!(class_of(encoder.spans.iter(), &followed).is_some());
        }
        let beyond = Followed { sequence: 0, visits: 1000, start: 9., span: 1. };
        assert_eq!(class_of(encoder.spans.iter(), &beyond), Some(encoder.spans.len() - 1));
    }
}
