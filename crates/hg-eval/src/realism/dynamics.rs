//! How columns go on in time, alone and together.
//!
//! ```text
//! autocorrelation  r of successive values of a numeric column
//! transitions      P(level | level before) of a discrete column
//! trends, cycles   of two columns of a patient: Kendall's τ of their least-squares lines, and of
//!                  what remains; the mean over patients (Kuo et al. 2022, after Kaji's split)
//! lengths          of patients
//! ```

use crate::judge::within_limit;
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

        let difference = |name, of: fn(&Dynamics) -> Option<f64>| compared.difference(name, of);
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
        let steps = self.patients.iter().flat_map(|rows| rows.start + 1..rows.end);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Two numbers and a binary column, and a number that is static.
    fn schema() -> Schema {
        let head = "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\nstep = 1.0\n";
        let column =
            |name: &str, more: &str| format!("[[columns]]\nname = \"{name}\"\nkind = {more}\n");
        let columns = [
            column("x", "\"numeric\""),
            column("y", "\"numeric\""),
            column("d", "\"binary\"\nlevels = [\"no\", \"yes\"]"),
            column("age", "\"numeric\"\nstatic = true"),
        ];
        Schema::parse(&(head.to_owned() + &columns.concat()), Path::new("t.toml"))
            .expect("a schema")
    }

    fn cohort(columns: &[&[f64]], lengths: &[usize]) -> Observed {
        Observed {
            columns: columns
                .iter()
                .map(|cells| cells.iter().copied().map(Some).collect())
                .collect(),
            lengths: lengths.to_vec(),
            out_of_domain: Vec::new(),
            violations: Vec::new(),
        }
    }

    fn near(found: Option<f64>, expected: f64) -> bool {
        found.is_some_and(|found| (found - expected).abs() < 1e-12)
    }

    #[test]
    fn a_series_is_split_into_its_least_squares_line_and_the_remainder() {
        // numpy.polyfit([0, 1, 3], [1, 2, 5], 1) is 57/42 and 6/7.
        let split = Split::new(&[Some(1.), Some(2.), None, Some(5.), Some(f64::NAN)]);
        let Split { slope, remainder } = split.expect("a line");
        assert!(near(Some(slope), 57. / 42.), "{slope}");
        let expected = [Some(1. / 7.), Some(-3. / 14.), None, Some(1. / 14.), None];
        for (found, expected) in remainder.iter().zip(expected) {
            assert_eq!(found.is_some(), expected.is_some());
            assert!(expected.is_none_or(|expected| near(*found, expected)), "{remainder:?}");
        }
        assert!(Split::new(&[Some(1.), Some(2.)]).is_none());
        assert!(Split::new(&[Some(2.), Some(2.), Some(2.)]).is_none());
        // A number that does not fit f64 when squared has no line.
        assert!(Split::new(&[Some(1e308), Some(-1e308), Some(1e308), Some(-1e308)]).is_none());
    }

    #[test]
    fn what_follows_is_of_one_patient() {
        let observed = cohort(&[&[0., 1., 2., 7., 5., 4.]], &[3, 0, 1, 2]);
        let some = |cells: [f64; 3]| cells.map(Some).to_vec();
        let (before, after) = Series::new(&observed).successive(0);
        assert_eq!((before, after), (some([0., 1., 5.]), some([1., 2., 4.])));
        // scipy.stats.pearsonr([0, 1, 5], [1, 2, 4])
        let r = Series::new(&observed).autocorrelation(0);
        assert!(near(r, 0.989_743_318_610_787), "{r:?}");
    }

    #[test]
    fn transitions_count_pairs_of_levels_that_were_both_seen() {
        let mut observed = cohort(&[&[0., 1., 1., 1., 0., 1., 0.]], &[3, 4]);
        assert_eq!(Series::new(&observed).transitions(0, 2), [[0., 2.], [2., 1.]]);
        observed.columns[0][4] = None;
        observed.columns[0][6] = Some(f64::NAN);
        assert_eq!(Series::new(&observed).transitions(0, 2), [[0., 1.], [0., 1.]]);
    }

    #[test]
    fn next_levels_differ_by_total_variation_weighted_by_the_real_cohort() {
        let rows = |rows: [[f64; 2]; 2]| rows.map(Vec::from).to_vec();
        let real = rows([[3., 1.], [0., 4.]]);
        assert_eq!(apart(&real, &rows([[1., 1.], [2., 0.]])), Some(0.625));
        assert_eq!(apart(&real, &real), Some(0.));
        // A level that is never left in the synthetic cohort differs as far as it can.
        assert_eq!(apart(&rows([[2., 0.], [0., 6.]]), &rows([[1., 0.], [0., 0.]])), Some(0.75));
        assert_eq!(apart(&rows([[0., 0.], [0., 0.]]), &real), None);
        // One step alone has the whole weight.
        assert_eq!(apart(&rows([[1., 0.], [0., 0.]]), &rows([[0., 1.], [0., 0.]])), Some(1.));
    }

    #[test]
    fn each_figure_sees_what_it_is_for() {
        let x = [0., 2., 1., 3., 0., 2., 1., 3.];
        // The line of x is 0.3 + 0.8 t; the first goes against it, the second against what remains.
        let against = x.map(|x| 3. - x);
        let against_cycle = [0.6, 0.2, 2.8, 2.4, 0.6, 0.2, 2.8, 2.4];
        let (levels, other) = ([0., 1., 0., 1., 0., 1., 0., 1.], [0., 0., 1., 1., 0., 0., 1., 1.]);
        let age = [5.; 8];
        let real = cohort(&[&x, &x, &levels, &age], &[4, 4]);
        let compare = |y: &[f64; 8], levels: &[f64; 8], lengths: &[usize]| {
            Dynamics::new(&schema(), &real, &cohort(&[&x, y, levels, &x], lengths))
        };

        let same = compare(&x, &levels, &[4, 4]);
        let zeros =
            [same.autocorrelation, same.transitions, same.trends, same.cycles, same.lengths];
        assert_eq!(zeros, [Some(0.); 5]);

        // Of the pairs (x, y), (x, d) and (y, d) the first and the last change sign.
        let trend = compare(&against, &levels, &[4, 4]);
        assert!(near(trend.trends, 4. / 3.), "{trend:?}");
        assert!(near(trend.autocorrelation, 0.) && near(trend.transitions, 0.), "{trend:?}");

        let cycle = compare(&against_cycle, &levels, &[4, 4]);
        assert!(near(cycle.trends, 0.) && cycle.cycles > Some(0.6), "{cycle:?}");

        // 0 was always followed by 1, and is by 0 half the time; 1 was left for 0, and never is.
        let next = compare(&x, &other, &[4, 4]);
        assert!(near(next.transitions, 4. / 6. * 0.5 + 2. / 6.), "{next:?}");

        let lengths = compare(&x, &levels, &[4, 2, 2]);
        assert!(near(lengths.lengths, 2. / 3.), "{lengths:?}");
    }

    #[test]
    fn the_mean_over_patients_is_of_those_who_have_both() {
        // The first patient's columns rise together, the second's apart, the third's y is constant.
        let x = [0., 2., 1., 3., 0., 2., 1., 3., 0., 2., 1., 3.];
        let y = [0., 2., 1., 3., 3., 1., 2., 0., 7., 7., 7., 7.];
        let observed = cohort(&[&x, &y], &[4, 4, 4]);
        let (trends, cycles) = Series::new(&observed).trends_and_cycles(&[0, 1]);
        assert_eq!((trends, cycles), (vec![Some(0.)], vec![Some(0.)]));
        let (trends, _) = Series::new(&observed).trends_and_cycles(&[0, 0]);
        assert_eq!(trends, [Some(1.)]);
        let constant = cohort(&[&x, &[7.; 12]], &[4, 4, 4]);
        let (trends, cycles) = Series::new(&constant).trends_and_cycles(&[0, 1]);
        assert_eq!((trends, cycles), (vec![None], vec![None]));
    }
}
