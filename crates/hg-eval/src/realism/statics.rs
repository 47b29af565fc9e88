//! Do statics go with the course that they had, as in the real cohort?
//!
//! ```text
//! x [summaries]: a patient's course    y [targets]: a static number, or a static level as 0 and 1
//! W = (Σ z zᵀ + ρ n I)⁻¹ Σ z (y − ȳ)ᵀ,   z = (x − x̄) / SD(x), 0 where x is missing
//! R² of a target = 1 − Σ (y − ȳ − Wᵀz)² / Σ (y − ȳ)²
//! ```
//!
//! Learnt from one half of the real patients; tested on the other half, and on synthetic ones.

use crate::judge::MIN_PATIENTS;
use crate::statistics::{deviation, mean, stride};
use crate::{
    Answer, Cohort, Compared, Figure, FigureValue, Finding, Measure, Outcome, Result, Subject,
    Topic,
};
use hg_data::{Column, Kind, Schema};
use hg_judge::{Features, patients, summaries};
use nalgebra::DMatrix;
use serde::Serialize;

/// Patients of a side that are learnt from or tested; of more, evenly spread ones are.
const MAX_PATIENTS: usize = 2000;
/// ρ
const RIDGE: f64 = 0.3;
/// A target counts where so much of it is explained in real patients.
const EXPLAINED: f64 = 0.1;
/// So much less may be explained.
const LESS_EXPLAINED: f64 = 0.1;
/// Real and synthetic patients from which on there is a verdict.
const MIN_LEARNT_FROM: usize = 5 * MIN_PATIENTS;

/// How much of the statics a patient's course tells, by what other real patients taught.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StaticsExplained {
    /// Mean R² in real patients of the targets that count.
    pub in_real: f64,
    /// Mean R² of the same targets in the cohort.
    pub in_cohort: f64,
    /// How many targets count.
    pub targets: usize,
}

pub(crate) struct StaticsByCourse;

impl Measure for StaticsByCourse {
    fn id(&self) -> &'static str {
        "statics"
    }

    fn topic(&self) -> Topic {
        Topic::Realism
    }

    fn stage(&self) -> &'static str {
        "statics"
    }

    fn about(&self) -> &'static str {
        "Whether static columns go with a patient's course as in the real cohort. A ridge regression \
         learns from one half of the real patients to tell each static number, and each static \
         level, by summaries of the columns that change (mean, SD, slope, autocorrelation, steps; \
         shares of levels and of changes). The figures are the mean shares R² that it explains in \
         the other half and in synthetic patients, over those of which it explains 0.1 or more in \
         the other half; at most 1, and below 0 it is worse than the mean. Up to 0.1 less passes."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let learnt = Learnt::new(subject);
        let compared = Compared::new(subject, |cohort| {
            Ok(learnt.as_ref().and_then(|learnt| learnt.test(&subject.encoder.schema, cohort)))
        })?;
        let question = "Do statics go with the course of a patient as in the real cohort?";
        let outcome = judge(subject, compared.synthetic);
        let mut finding = Finding::new()
            .with_answer(Answer::new("statics", question, outcome))
            .with_json("statics", &compared.synthetic)?
            .with_json("held_out_statics", &compared.held_out)?;
        if let Some(found) = compared.synthetic {
            let share = FigureValue::ExplainedVariance;
            let mut figure =
                Figure::new("statics explained by the course, R²", share(found.in_cohort));
            if let Some(held_out) = compared.held_out {
                figure = figure.held_out(share(held_out.in_cohort));
            }
            finding = finding.with_figure(figure).with_figure(Figure::new(
                "the same in the other half of the real patients",
                share(found.in_real),
            ));
        }
        Ok(finding.with_detail(compared))
    }
}

fn judge(subject: &Subject<'_>, found: Option<StaticsExplained>) -> Outcome {
    subject.patients().at_least(MIN_LEARNT_FROM)?;
    let StaticsExplained { in_real, in_cohort, .. } =
        found.ok_or("not even among real patients does the course tell any static column")?;
    let explained = match in_cohort {
        share if share < 0. => "nothing (it is worse than the mean)".into(),
        share => format!("{:.0} %", 100. * share),
    };
    let said = format!(
        "the course explains {explained} of them, {:.0} % among real patients (up to {:.0} less \
         pass)",
        100. * in_real,
        100. * LESS_EXPLAINED
    );
    Ok((in_cohort >= in_real - LESS_EXPLAINED, said))
}

/// What one half of the real patients teaches.
struct Learnt {
    /// Of each summary: mean and SD.
    scales: Vec<(f64, f64)>,
    /// Of each target: ȳ.
    centres: Vec<f64>,
    /// `[summaries, targets]`
    weights: DMatrix<f64>,
    /// R² in the other half, by target.
    in_real: Vec<f64>,
}

/// Summaries of the course, and the statics as numbers: both `[features, patients]`.
struct Split {
    course: Features,
    targets: Vec<Vec<f64>>,
}

impl Split {
    fn of(schema: &Schema, cohort: &Cohort) -> Self {
        let observed = &cohort.observed;
        let all = patients(schema, observed);
        let every = stride(all.len(), MAX_PATIENTS);
        let chosen: Vec<_> = all.into_iter().step_by(every).collect();
        let Features { names, columns } = summaries(schema, observed, &chosen);
        let mut split = Self { course: Features::default(), targets: Vec::new() };
        for (name, values) in names.into_iter().zip(columns) {
            let is_it = |column: &&Column| column.is_static && column.name == name;
            match schema.columns.iter().find(is_it) {
                Some(column) => split.targets.extend(targets(column, &values)),
                None => {
                    split.course.names.push(name);
                    split.course.columns.push(values);
                }
            }
        }
        split
    }

    /// The patients at every second place from `first` on.
    fn half(&self, first: usize) -> Self {
        let half = |values: &Vec<f64>| values.iter().skip(first).step_by(2).copied().collect();
        let columns = self.course.columns.iter().map(half).collect();
        let course = Features { names: self.course.names.clone(), columns };
        Self { course, targets: self.targets.iter().map(half).collect() }
    }
}

/// A static column as numbers: itself, or 0 and 1 for each level.
fn targets(column: &Column, values: &[f64]) -> Vec<Vec<f64>> {
    if column.kind == Kind::Numeric {
        return vec![values.to_vec()];
    }
    let is_level = |level: usize| {
        let at = |&x: &f64| if x.is_nan() { x } else { f64::from(u8::from(x == level as f64)) };
        values.iter().map(at).collect()
    };
    (0..column.level_names().len()).map(is_level).collect()
}

impl Learnt {
    /// `None` where there is no static column, nothing to tell it by, or too few patients.
    fn new(subject: &Subject<'_>) -> Option<Self> {
        let real = Split::of(&subject.encoder.schema, subject.real);
        let (learnt_from, tested) = (real.half(0), real.half(1));
        if real.targets.is_empty() || real.course.columns.is_empty() {
            return None;
        }
        let centre = |values: &Vec<f64>| mean(values.iter().copied()).unwrap_or(0.);
        let scale = |values: &Vec<f64>| (centre(values), deviation(values).unwrap_or(0.));
        let scales: Vec<(f64, f64)> = learnt_from.course.columns.iter().map(scale).collect();
        let centres: Vec<f64> = learnt_from.targets.iter().map(centre).collect();
        let z = standardised(&learnt_from.course, &scales);
        // A missing static says nothing: it is at the mean.
        let y = DMatrix::from_fn(z.nrows(), centres.len(), |n, target| {
            let y = learnt_from.targets[target][n] - centres[target];
            if y.is_finite() { y } else { 0. }
        });
        let size = z.ncols();
        let ridge = DMatrix::identity(size, size) * (RIDGE * z.nrows() as f64);
        let weights = (z.tr_mul(&z) + ridge).cholesky()?.solve(&z.tr_mul(&y));
        let mut learnt = Self { scales, centres, weights, in_real: Vec::new() };
        learnt.in_real = learnt.explained(&tested);
        Some(learnt)
    }

    /// `None` where no target counts.
    fn test(&self, schema: &Schema, cohort: &Cohort) -> Option<StaticsExplained> {
        let found = self.explained(&Split::of(schema, cohort));
        let counted = self.in_real.iter().zip(found).filter(|(real, _)| **real >= EXPLAINED);
        let counted: Vec<(f64, f64)> = counted.map(|(real, found)| (*real, found)).collect();
        Some(StaticsExplained {
            in_real: mean(counted.iter().map(|(real, _)| *real))?,
            in_cohort: mean(counted.iter().map(|(_, found)| *found))?,
            targets: counted.len(),
        })
    }

    /// R² by target, against the mean of these patients; 0 where a target does not vary.
    fn explained(&self, split: &Split) -> Vec<f64> {
        let predicted = standardised(&split.course, &self.scales) * &self.weights;
        let of_target = |(target, values): (usize, &Vec<f64>)| {
            let is_there = |n: &usize| values[*n].is_finite();
            let rows: Vec<usize> = (0..values.len()).filter(is_there).collect();
            let centre = mean(rows.iter().map(|&n| values[n])).unwrap_or(0.);
            let around: f64 = rows.iter().map(|&n| (values[n] - centre).powi(2)).sum();
            let missed = |&n: &usize| values[n] - self.centres[target] - predicted[(n, target)];
            let left: f64 = rows.iter().map(|n| missed(n).powi(2)).sum();
            let explained = 1. - left / around;
            if explained.is_finite() { explained } else { 0. }
        };
        split.targets.iter().enumerate().map(of_target).collect()
    }
}

/// z `[patients, summaries]`
fn standardised(course: &Features, scales: &[(f64, f64)]) -> DMatrix<f64> {
    let patients = course.columns.first().map_or(0, Vec::len);
    DMatrix::from_fn(patients, scales.len(), |n, feature| {
        let (centre, spread) = scales[feature];
        let z = (course.columns[feature][n] - centre) / spread;
        if z.is_finite() { z } else { 0. }
    })
}
