//! How columns go on in time, alone and together.
//!
//! ```text
//! autocorrelation  r of successive values of a numeric column
//! transitions      P(level | level before) of a discrete column
//! trends, cycles   of two columns of a patient: Kendall's τ of their least-squares lines, and of
//!                  what remains; the mean over patients (Kuo et al. 2022, after Kaji's split)
//! lengths          of patients
//! ```

use crate::judge::{Difference, within_limit};
use crate::statistics::{mean, mean_difference, stride};
use crate::{
    Answer, Compared, Finding, Measure, Result, Subject, Topic, kendall, kolmogorov_smirnov,
    pearson, total_variation,
};
use hg_data::{Kind, Observed, Schema};
use rayon::prelude::*;
use serde::Serialize;

/// Patients whose trends and cycles are taken; of more, evenly spread ones are.
const MAX_PATIENTS: usize = 2000;

/// How far two cohorts are apart in time; 0 is equal, and `None` is where the real cohort has
/// nothing to compare with (patients of one step, columns that do not change).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Dynamics {
    /// Mean difference of the numeric columns' autocorrelations.
    pub autocorrelation: Option<f64>,
    /// Mean total variation of the discrete columns' next levels.
    pub transitions: Option<f64>,
    /// Mean difference of τ between the columns' trends, over all pairs.
    pub trends: Option<f64>,
    /// Mean difference of τ between the columns' cycles, over all pairs.
    pub cycles: Option<f64>,
    /// Kolmogorov and Smirnov's statistic of the lengths.
    pub lengths: Option<f64>,
}

pub(crate) struct TemporalDynamics;

impl Measure for TemporalDynamics {
    fn id(&self) -> &'static str {
        "dynamics"
    }

    fn topic(&self) -> Topic {
        Topic::Realism
    }

    fn stage(&self) -> &'static str {
        "time"
    }

    fn about(&self) -> &'static str {
        "How columns that are not static go on in time. Autocorrelation: Pearson's correlation of \
         successive values of a numeric column, the mean absolute difference over columns. Next \
         levels: the total variation between the distributions of the level that follows a level \
         (weighted by how often it is left in the real cohort), the mean over discrete columns. \
         Trends and cycles (Kuo et al. 2022, \
         [doi:10.1038/s41597-022-01784-7](https://doi.org/10.1038/s41597-022-01784-7)): each \
         patient's series is split by least squares into a line and the remainder; Kendall's τ \
         of the lines and of the remainders of two columns is averaged over at most 2,000 \
         patients, and the figures are the mean absolute differences over all pairs of columns. \
         Lengths: the Kolmogorov–Smirnov statistic of the number of steps. τ differs by up to 2, \
         as does the autocorrelation, the others by up to 1; 0 is equal. Up to 0.1 passes, or up \
         to what held-out patients differ by."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let compared = Compared::new(subject, |cohort| {
            let schema = &subject.encoder.schema;
            Ok(Some(Dynamics::new(schema, &subject.real.observed, &cohort.observed)))
        })?;

        let difference = |name, of: fn(&Dynamics) -> Option<f64>| {
            let [synthetic, held_out] =
                [&compared.synthetic, &compared.held_out].map(|side| side.as_ref().and_then(of));
            Difference { name, synthetic, held_out }
        };
        let counts = subject.patients();
        let in_time = within_limit(
            &counts,
            &[
                difference("autocorrelation", |dynamics| dynamics.autocorrelation),
                difference("next levels", |dynamics| dynamics.transitions),
            ],
            "no real patient has two steps between which a column could change",
        );
        let together = within_limit(
            &counts,
            &[
                difference("trends", |dynamics| dynamics.trends),
                difference("cycles", |dynamics| dynamics.cycles),
            ],
            "no real patient has three steps over which two columns change",
        );
        let figure = |name, of: fn(&Dynamics) -> Option<f64>| compared.figure(name, of);
        let finding = Finding::new()
            .with_answer(Answer::new(
                "time",
                "Do values go on in time as in the real cohort?",
                in_time,
            ))
            .with_answer(Answer::new(
                "pairs in time",
                "Do columns rise and fall together as in the real cohort?",
                together,
            ))
            .with_figures([
                figure("autocorrelation, mean difference", |d| d.autocorrelation),
                figure("next level, mean total variation", |d| d.transitions),
                figure("Kendall's τ of trends, mean difference", |d| d.trends),
                figure("Kendall's τ of cycles, mean difference", |d| d.cycles),
                figure("lengths, Kolmogorov–Smirnov", |d| d.lengths),
            ])
            .with_json("dynamics", &compared.synthetic)?
            .with_json("held_out_dynamics", &compared.held_out)?;
        Ok(finding.with_detail(compared))
    }
}

impl Dynamics {
    /// Compares two cohorts of one schema.
    pub fn new(schema: &Schema, real: &Observed, synthetic: &Observed) -> Self {
        let [real, synthetic] = [real, synthetic].map(Series::new);
        let changing = || schema.columns.iter().enumerate().filter(|(_, column)| !column.is_static);
        let numbers = || changing().filter(|(_, column)| column.kind == Kind::Numeric);
        let autocorrelations = |series: &Series| -> Vec<Option<f64>> {
            numbers().map(|(n, _)| series.autocorrelation(n)).collect()
        };

        let transitions: Vec<Option<f64>> = changing()
            .filter(|(_, column)| column.kind != Kind::Numeric)
            .map(|(n, column)| {
                let levels = column.level_names().len();
                apart(&real.transitions(n, levels), &synthetic.transitions(n, levels))
            })
            .collect();
        // A column whose levels never follow one another says nothing, which counts as 0 among
        // others, and is nothing where there are no others.
        let is_there = transitions.iter().any(Option::is_some);
        let transitions = mean(transitions.iter().map(|apart| apart.unwrap_or(0.)));

        let columns: Vec<usize> = changing().map(|(n, _)| n).collect();
        let (real_trends, real_cycles) = real.trends_and_cycles(&columns);
        let (synthetic_trends, synthetic_cycles) = synthetic.trends_and_cycles(&columns);
        let lengths = |series: &Series| -> Vec<f64> {
            series.patients.iter().map(|patient| patient.len() as f64).collect()
        };
        Self {
            autocorrelation: mean_difference(
                &autocorrelations(&real),
                &autocorrelations(&synthetic),
            ),
            transitions: transitions.filter(|_| is_there),
            trends: mean_difference(&real_trends, &synthetic_trends),
            cycles: mean_difference(&real_cycles, &synthetic_cycles),
            lengths: kolmogorov_smirnov(&lengths(&real), &lengths(&synthetic)),
        }
    }
}

/// A cohort with the rows of each patient.
struct Series<'a> {
    cohort: &'a Observed,
    patients: Vec<std::ops::Range<usize>>,
}

impl<'a> Series<'a> {
    fn new(cohort: &'a Observed) -> Self {
        let patients = cohort.lengths.iter().scan(0, |start, &length| {
            *start += length;
            Some(*start - length..*start)
        });
        Self { cohort, patients: patients.collect() }
    }

    /// Cells of a column that follow each other.
    fn successive(&self, column: usize) -> (Vec<Option<f64>>, Vec<Option<f64>>) {
        let cells = &self.cohort.columns[column];
        let steps =
            self.patients.iter().flat_map(|rows| rows.start + 1..rows.end.max(rows.start + 1));
        steps.map(|row| (cells[row - 1], cells[row])).unzip()
    }

    fn autocorrelation(&self, column: usize) -> Option<f64> {
        let (before, after) = self.successive(column);
        pearson(&before, &after)
    }

    /// How often each pair of successive levels occurs, `[levels, levels]`.
    fn transitions(&self, column: usize, levels: usize) -> Vec<Vec<f64>> {
        let mut counts = vec![vec![0.; levels]; levels];
        let (before, after) = self.successive(column);
        for (before, after) in before.into_iter().zip(after) {
            let (Some(before), Some(after)) = (before, after) else { continue };
            if before.is_finite() && after.is_finite() {
                counts[before as usize][after as usize] += 1.;
            }
        }
        counts
    }

    /// τ of the trends and of the cycles of every pair of columns, mean over patients; `None`
    /// where no patient has both.
    fn trends_and_cycles(&self, columns: &[usize]) -> (Vec<Option<f64>>, Vec<Option<f64>>) {
        let every = stride(self.patients.len(), MAX_PATIENTS);
        let split: Vec<Vec<Option<Split>>> = self
            .patients
            .par_iter()
            .step_by(every)
            .map(|rows| {
                let of = |&n: &usize| Split::new(&self.cohort.columns[n][rows.clone()]);
                columns.iter().map(of).collect()
            })
            .collect();
        let pairs: Vec<(usize, usize)> =
            (0..columns.len()).flat_map(|i| (0..i).map(move |j| (i, j))).collect();
        let both = |&(i, j): &(usize, usize)| {
            let patients = || {
                split
                    .iter()
                    .filter_map(|columns| Some((columns[i].as_ref()?, columns[j].as_ref()?)))
            };
            let trends = mean(patients().map(|(a, b)| a.slope.signum() * b.slope.signum()));
            let cycles = mean(patients().filter_map(|(a, b)| a.tau_with(b)));
            (trends, cycles)
        };
        pairs.par_iter().map(both).unzip()
    }
}

/// A series' least-squares line and what remains.
struct Split {
    slope: f64,
    /// By step; `None` where nothing was observed.
    remainder: Vec<Option<f64>>,
}

impl Split {
    /// `None` for a series that is constant or shorter than three: it has no cycle.
    fn new(cells: &[Option<f64>]) -> Option<Self> {
        let finite = |cell: &Option<f64>| cell.filter(|value| value.is_finite());
        let seen =
            || cells.iter().enumerate().filter_map(|(t, cell)| Some((t as f64, finite(cell)?)));
        if seen().count() < 3 {
            return None;
        }
        let (mean_t, mean_x) = (mean(seen().map(|(t, _)| t))?, mean(seen().map(|(_, x)| x))?);
        let covariance: f64 = seen().map(|(t, x)| (t - mean_t) * (x - mean_x)).sum();
        let variance: f64 = seen().map(|(t, _)| (t - mean_t).powi(2)).sum();
        let slope = covariance / variance;
        let line = |t: usize| mean_x + slope * (t as f64 - mean_t);
        let is_constant = seen().all(|(_, x)| x == mean_x);
        let remainder = cells.iter().enumerate().map(|(t, cell)| Some(finite(cell)? - line(t)));
        (!is_constant && slope.is_finite()).then(|| Self { slope, remainder: remainder.collect() })
    }

    fn tau_with(&self, other: &Self) -> Option<f64> {
        let both = self.remainder.iter().zip(&other.remainder);
        let (a, b): (Vec<f64>, Vec<f64>) = both.filter_map(|(a, b)| Some(((*a)?, (*b)?))).unzip();
        kendall(&a, &b)
    }
}

/// Mean total variation of the rows of two transition matrices, by how often a level is left
/// in the first; `None` where it has no level after another.
fn apart(real: &[Vec<f64>], synthetic: &[Vec<f64>]) -> Option<f64> {
    let share = |row: &[f64]| -> Vec<f64> {
        let total: f64 = row.iter().sum();
        row.iter().map(|count| if total > 0. { count / total } else { 0. }).collect()
    };
    let all: f64 = real.iter().flatten().sum();
    let rows = real.iter().zip(synthetic).map(|(real, synthetic)| {
        let weight = real.iter().sum::<f64>() / all.max(1.);
        // A level that the other cohort never leaves differs as far as it can. (Of one that the
        // real cohort never leaves the weight is 0.)
        weight * total_variation(&share(real), &share(synthetic)).unwrap_or(1.)
    });
    (all > 0.).then(|| rows.sum())
}
