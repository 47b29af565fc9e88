//! When rows come: the first, the times between them, and the whole course.

use super::courses::{Courses, distance_of_values};
use crate::judge::within_limit;
use crate::{Answer, Cohort, Compared, Finding, Measure, Result, Subject, Topic};
use serde::Serialize;

/// How far two cohorts are apart in when rows come, by Kolmogorov and Smirnov's statistic; `None` where
/// the real cohort has no such time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Timing {
    /// Of the times between rows.
    pub gaps: Option<f64>,
    /// Of the patients' first times.
    pub first_times: Option<f64>,
    /// Of the times from a patient's first row to each later one.
    pub since_first: Option<f64>,
    /// Of the times from a patient's first row to the last.
    pub durations: Option<f64>,
}

pub(crate) struct TimesOfRows;

impl Measure for TimesOfRows {
    fn id(&self) -> &'static str {
        "timing"
    }

    fn topic(&self) -> Topic {
        Topic::Realism
    }

    fn stage(&self) -> &'static str {
        "timing"
    }

    fn about(&self) -> &'static str {
        "When rows come, where each row has its own time (`time.model = \"visits\"`): the two-sample \
         Kolmogorov–Smirnov statistic, in [0, 1], 0 is equal, of the times between a patient's rows, \
         of the first times, of the times from a patient's first row to each later one, and of the \
         durations from the first row to the last. Gaps can be right while durations are wrong: patients \
         of many rows may have short ones. Up to 0.1 passes, \
         or up to what held-out patients differ by. Where steps are regular nothing is asked; the number \
         of steps is among the figures of `dynamics`."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        if subject.encoder.schema.gap_column().is_none() {
            return Finding::new().with_json("timing", &None::<Timing>);
        }
        let real = Times::new(subject, subject.real);
        let compared =
            Compared::new(subject, |cohort| Ok(Some(real.compare(&Times::new(subject, cohort)))))?;
        let difference = |name, of: fn(&Timing) -> Option<f64>| compared.difference(name, of);
        let outcome = within_limit(
            &subject.patients(),
            &[
                difference("times between rows", |timing| timing.gaps),
                difference("first times", |timing| timing.first_times),
                difference("times since the first", |timing| timing.since_first),
                difference("durations", |timing| timing.durations),
            ],
            "no real patient has a row",
        );
        let figure = |name, of: fn(&Timing) -> Option<f64>| compared.figure(name, of);
        let finding = Finding::new()
            .with_answer(Answer::new("timing", "Do rows come when real ones do?", outcome))
            .with_figures([
                figure("times between rows, Kolmogorov–Smirnov", |timing| timing.gaps),
                figure("first times, Kolmogorov–Smirnov", |timing| timing.first_times),
                figure("times since the first row, Kolmogorov–Smirnov", |timing| {
                    timing.since_first
                }),
                figure("durations, Kolmogorov–Smirnov", |timing| timing.durations),
            ])
            .with_json("timing", &compared.synthetic)?
            .with_json("held_out_timing", &compared.held_out)?;
        Ok(finding.with_detail(compared))
    }
}

/// The times of a cohort's rows.
struct Times {
    gaps: Vec<f64>,
    first_times: Vec<f64>,
    since_first: Vec<f64>,
    durations: Vec<f64>,
}

impl Times {
    fn new(subject: &Subject<'_>, cohort: &Cohort) -> Self {
        let schema = &subject.encoder.schema;
        let courses = Courses::new(schema, &cohort.observed);
        let values = |column: Option<usize>, of_patient: fn(&[(f64, f64)]) -> Vec<f64>| {
            column.map_or(Vec::new(), |n| {
                courses.observed(n).flat_map(|course| of_patient(&course)).collect()
            })
        };
        let all = |course: &[(f64, f64)]| course.iter().map(|(_, x)| *x).collect();
        let first = |course: &[(f64, f64)]| course.first().map(|(_, x)| *x).into_iter().collect();
        Self {
            gaps: values(schema.gap_column(), all),
            first_times: values(schema.first_time_column(), first),
            since_first: courses.times_since_first(),
            durations: courses.durations(),
        }
    }

    fn compare(&self, other: &Self) -> Timing {
        Timing {
            gaps: distance_of_values(&self.gaps, &other.gaps),
            first_times: distance_of_values(&self.first_times, &other.first_times),
            since_first: distance_of_values(&self.since_first, &other.since_first),
            durations: distance_of_values(&self.durations, &other.durations),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(timing: Timing) -> [Option<f64>; 4] {
        [timing.gaps, timing.first_times, timing.since_first, timing.durations]
    }

    #[test]
    fn equal_gaps_make_other_durations_where_they_go_to_other_patients() {
        let times = |since_first: &[f64], durations: &[f64]| Times {
            gaps: vec![1., 1., 9., 9.],
            first_times: vec![0., 0.],
            since_first: since_first.to_vec(),
            durations: durations.to_vec(),
        };
        let real = times(&[1., 10., 9., 10.], &[10., 10.]);
        assert_eq!(all(real.compare(&real)), [Some(0.); 4]);
        let other = times(&[1., 2., 9., 18.], &[2., 18.]);
        let expected = [Some(0.), Some(0.), Some(0.25), Some(0.5)];
        assert_eq!(all(real.compare(&other)), expected);
        let nan = vec![f64::NAN];
        let none =
            Times { gaps: vec![], first_times: vec![], since_first: nan.clone(), durations: nan };
        assert_eq!(all(none.compare(&real)), [None; 4]);
        assert_eq!(all(real.compare(&none)), [Some(1.); 4]);
    }
}
