//! How much numbers vary within and between patients, and how far they step.
//!
//! ```text
//! within   √( Σᵢ Σⱼ (xᵢⱼ − x̄ᵢ)² / Σᵢ (nᵢ − 1) )    of patients i with nᵢ ≥ 1 values
//! between  √( Σᵢ (x̄ᵢ − x̄)² / (n − 1) )             of n patients; x̄ is the mean of the x̄ᵢ
//! step     |xᵢⱼ − xᵢ,ⱼ₋₁|                           of successive values of a patient
//! ```

use super::courses::{Courses, changing_numbers, distance_of_values, name_and_unit};
use crate::finding::short;
use crate::judge::{MAX_DISTANCE, MAX_RELATIVE, raised, within};
use crate::statistics::{mean, percentile};
use crate::{Answer, Cohort, Compared, Finding, Measure, ReportTable, Result, Subject, Topic};
use hg_data::Schema;
use rayon::prelude::*;
use serde::Serialize;

/// |ln ratio| is at most that of a factor of ten: one of 0 and something is infinite.
const MAX_LOG_RATIO: f64 = std::f64::consts::LN_10;

/// How a column's numbers vary in one cohort; `None` where it has too few values.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ColumnSpread {
    /// The column's name.
    pub column: String,
    /// Its unit.
    pub unit: String,
    /// Standard deviation around the patient's mean, pooled over patients.
    pub within_patients: Option<f64>,
    /// Standard deviation of the patients' means.
    pub between_patients: Option<f64>,
    /// Median absolute difference of a patient's successive values.
    pub median_step: Option<f64>,
    /// The absolute differences of successive values, ascending.
    #[serde(skip)]
    pub steps: Vec<f64>,
}

/// How far the spread of a cohort's numbers is from the real one's, mean over columns; `None` where
/// no column changes in the real cohort.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SpreadDifferences {
    /// |ln ratio| of the standard deviations within patients.
    pub within_patients: Option<f64>,
    /// |ln ratio| of the standard deviations between patients.
    pub between_patients: Option<f64>,
    /// Kolmogorov and Smirnov's statistic of the absolute differences of successive values.
    pub steps: Option<f64>,
    /// Of each column.
    pub columns: Vec<ColumnSpread>,
}

pub(crate) struct Spread;

impl Measure for Spread {
    fn id(&self) -> &'static str {
        "spread"
    }

    fn topic(&self) -> Topic {
        Topic::Realism
    }

    fn stage(&self) -> &'static str {
        "spread"
    }

    fn about(&self) -> &'static str {
        "How much each number that changes varies within a patient and between patients (one-way \
         analysis of variance), and how far it steps. Within: the standard deviation around the \
         patient's mean, pooled over patients. Between: the standard deviation of the patients' \
         means. Steps: the absolute differences of a patient's successive values. A generator that \
         draws each row by itself has the right distribution of a column, with too much of it within \
         patients and too little between them. The figures are the mean over columns of \
         |ln (synthetic / real)| of both standard deviations (0 is equal, 0.15 is 15 %, one that is 0 \
         counts as a factor of ten) and of the Kolmogorov–Smirnov statistic of the steps in [0, 1]. Up \
         to 0.15 and 0.1 pass, or up to what held-out patients differ by, or two draws of these sizes \
         (by halves of the real patients)."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let schema = &subject.encoder.schema;
        let courses = |cohort: &'_ Cohort| spreads(schema, &Courses::new(schema, &cohort.observed));
        let real = courses(subject.real);
        let compared = Compared::new(subject, |cohort| {
            Ok(Some(SpreadDifferences::new(&real, courses(cohort))))
        })?;
        let halves = Courses::new(schema, &subject.real.observed).halves();
        let [first, second] = halves.map(|half| spreads(schema, &half));
        let halves = SpreadDifferences::new(&first, second);

        let difference =
            |name, of: fn(&SpreadDifferences) -> Option<f64>| compared.difference(name, of);
        let (counts, nothing) = (subject.patients(), "no real patient has two values of a number");
        let differences = [
            difference("SD within patients, mean absolute log ratio", |found| {
                found.within_patients
            }),
            difference("between patients", |found| found.between_patients),
        ];
        let limit =
            raised(MAX_RELATIVE, &counts, [halves.within_patients, halves.between_patients]);
        let spread = within(limit, &counts, &differences, nothing);
        let differences = [difference("steps, mean Kolmogorov–Smirnov", |found| found.steps)];
        let limit = raised(MAX_DISTANCE, &counts, [halves.steps]);
        let steps = within(limit, &counts, &differences, nothing);

        let figure = |name, of: fn(&SpreadDifferences) -> Option<f64>| compared.figure(name, of);
        let mut finding = Finding::new()
            .with_answer(Answer::new(
                "spread",
                "Do numbers vary within and between patients as in the real cohort?",
                spread,
            ))
            .with_answer(Answer::new(
                "steps",
                "Do numbers step from row to row as far as in the real cohort?",
                steps,
            ))
            .with_figures([
                figure("SD within patients, mean absolute log ratio", |found| {
                    found.within_patients
                }),
                figure("SD between patients, mean absolute log ratio", |found| {
                    found.between_patients
                }),
                figure("steps, mean Kolmogorov–Smirnov", |found| found.steps),
            ])
            .with_json("spread", &compared.synthetic)?
            .with_json("held_out_spread", &compared.held_out)?
            .with_json("real_spread", &real)?;
        if !real.is_empty() {
            finding = finding.with_table(table(&real, &compared));
        }
        Ok(finding.with_detail(compared))
    }
}

impl SpreadDifferences {
    /// Compares columns with the real cohort's, one by one.
    pub(crate) fn new(real: &[ColumnSpread], columns: Vec<ColumnSpread>) -> Self {
        let over_columns = |of: fn(&ColumnSpread, &ColumnSpread) -> Option<f64>| {
            mean(real.iter().zip(&columns).filter_map(|(real, other)| of(real, other)))
        };
        Self {
            within_patients: over_columns(|a, b| log_ratio(a.within_patients, b.within_patients)),
            between_patients: over_columns(|a, b| {
                log_ratio(a.between_patients, b.between_patients)
            }),
            steps: over_columns(|a, b| distance_of_values(&a.steps, &b.steps)),
            columns,
        }
    }
}

/// The spread of each numeric column that changes.
fn spreads(schema: &Schema, courses: &Courses<'_>) -> Vec<ColumnSpread> {
    let of_column = |&n: &usize| {
        let column = &schema.columns[n];
        let values = |course: Vec<(f64, f64)>| course.into_iter().map(|(_, x)| x).collect();
        let patients: Vec<Vec<f64>> = courses.observed(n).map(values).collect();
        ColumnSpread::new(&column.name, &column.unit, &patients)
    };
    changing_numbers(schema).par_iter().map(of_column).collect()
}

impl ColumnSpread {
    /// Of a column's values by patient, in the order of time.
    fn new(column: &str, unit: &str, patients: &[Vec<f64>]) -> Self {
        let of_patients: Vec<(f64, f64)> =
            patients.iter().filter_map(|values| centre_and_squares(values)).collect();
        let squares: f64 = of_patients.iter().map(|(_, squares)| squares).sum();
        let freedom: usize = patients.iter().map(|values| values.len().saturating_sub(1)).sum();
        let centres: Vec<f64> = of_patients.iter().map(|(centre, _)| *centre).collect();
        let deviation = |squares: f64, freedom: usize| {
            Some((squares / freedom as f64).sqrt()).filter(|deviation| deviation.is_finite())
        };

        let step = |pair: &[f64]| (pair[1] - pair[0]).abs();
        let steps = patients.iter().flat_map(|values| values.windows(2).map(step));
        let mut steps: Vec<f64> = steps.filter(|step| step.is_finite()).collect();
        steps.sort_by(f64::total_cmp);
        Self {
            column: column.to_owned(),
            unit: unit.to_owned(),
            within_patients: deviation(squares, freedom),
            between_patients: centre_and_squares(&centres)
                .and_then(|(_, squares)| deviation(squares, centres.len() - 1)),
            median_step: percentile(&steps, 0.5),
            steps,
        }
    }
}

/// The mean of some values and the sum of squares around it, which is 0 and no rounding error
/// where they are equal; `None` where there are none.
fn centre_and_squares(values: &[f64]) -> Option<(f64, f64)> {
    let first = *values.first()?;
    if values.iter().all(|&value| value == first) {
        return Some((first, 0.));
    }
    let centre = mean(values.iter().copied())?;
    Some((centre, values.iter().map(|value| (value - centre).powi(2)).sum()))
}

/// |ln (other / real)|, up to a factor of ten; `None` where the real one has none.
fn log_ratio(real: Option<f64>, other: Option<f64>) -> Option<f64> {
    let (real, other) = (real?, other.unwrap_or(0.));
    if real == other {
        return Some(0.);
    }
    Some((other / real).ln().abs().min(MAX_LOG_RATIO))
}

/// The real cohort's spread by column, and the synthetic one's as a multiple of it; in brackets that of
/// held-out patients.
fn table(real: &[ColumnSpread], compared: &Compared<SpreadDifferences>) -> ReportTable {
    type Of = fn(&ColumnSpread) -> Option<f64>;
    let kinds: [(&str, Of); 3] = [
        ("SD within patients", |found| found.within_patients),
        ("SD between patients", |found| found.between_patients),
        ("median step", |found| found.median_step),
    ];
    let sides = [&compared.synthetic, &compared.held_out];
    let row = |(n, of_real): (usize, &ColumnSpread)| {
        let others = sides.map(|side| side.as_ref().and_then(|found| found.columns.get(n)));
        let mut row = vec![name_and_unit(&of_real.column, &of_real.unit)];
        for (_, of) in kinds {
            let real = of(of_real);
            let multiple = |other: Option<&ColumnSpread>| {
                let real = real.filter(|real| *real > 0.)?;
                Some(format!("{:.2}", of(other?)? / real))
            };
            row.push(real.map_or("–".into(), short));
            row.push(beside(others.map(multiple), "× "));
        }
        let distance = |other: Option<&ColumnSpread>| {
            Some(format!("{:.2}", distance_of_values(&of_real.steps, &other?.steps)?))
        };
        row.push(beside(others.map(distance), ""));
        row
    };
    let held_out =
        if compared.held_out.is_some() { ", in brackets those of held-out patients" } else { "" };
    let of_kinds = kinds.iter().flat_map(|(name, _)| [*name, "synthetic"]);
    ReportTable {
        title: "Spread within and between patients".into(),
        note: format!(
            "Of numbers that change: the real cohort's standard deviations, and its median step from a \
             value to the patient's next one; synthetic ones as multiples of them{held_out}; and how far \
             the distributions of steps are apart, by Kolmogorov and Smirnov."
        ),
        header: ["column"]
            .into_iter()
            .chain(of_kinds)
            .chain(["steps' KS"])
            .map(String::from)
            .collect(),
        rows: real.iter().enumerate().map(row).collect(),
    }
}

/// The synthetic cohort's figure, and in brackets that of held-out patients.
fn beside([synthetic, held_out]: [Option<String>; 2], sign: &str) -> String {
    let synthetic = synthetic.map_or("–".into(), |text| format!("{sign}{text}"));
    held_out.map_or(synthetic.clone(), |held_out| format!("{synthetic} ({held_out})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(patients: &[&[f64]]) -> ColumnSpread {
        let patients: Vec<Vec<f64>> = patients.iter().map(|values| values.to_vec()).collect();
        ColumnSpread::new("x", "mg", &patients)
    }

    #[test]
    fn standard_deviations_are_numpys() {
        // Squares around the patients' means 2, 7 and 4 are 2, 0 and 8 + 2; of their four degrees of
        // freedom. numpy.std([2, 7, 4], ddof=1) is 2.516611478423583.
        let found = spread(&[&[1., 3.], &[7.], &[], &[2., 6., 4.]]);
        assert_eq!(found.within_patients, Some((10f64 / 3.).sqrt()));
        let between = found.between_patients.expect("three means");
        assert!((between - 2.516_611_478_423_583).abs() < 1e-12, "{between}");
        assert_eq!((found.steps.as_slice(), found.median_step), (&[2., 2., 4.][..], Some(2.)));
    }

    #[test]
    fn constants_have_no_spread_and_too_few_values_say_nothing() {
        // 0.1 + 0.1 + 0.1 is not 3 · 0.1.
        let constant = spread(&[&[0.1, 0.1, 0.1], &[0.1]]);
        assert_eq!((constant.within_patients, constant.between_patients), (Some(0.), Some(0.)));
        for few in [spread(&[]), spread(&[&[], &[]])] {
            let found = (few.within_patients, few.between_patients, few.median_step);
            assert_eq!(found, (None, None, None));
        }
        let single = spread(&[&[1.]]);
        assert_eq!((single.within_patients, single.between_patients), (None, None));
        let overflows = spread(&[&[-1.7e308, 1.7e308], &[0.]]);
        assert_eq!((overflows.within_patients, overflows.median_step), (None, None));
    }

    #[test]
    fn the_table_has_multiples_of_the_real_spread_and_those_of_held_out_patients_in_brackets() {
        let real = [spread(&[&[1., 3.], &[7.]]), spread(&[&[2., 2.], &[2.]])];
        let other = |by: f64| {
            let columns = vec![spread(&[&[by, 3. * by], &[7. * by]]), spread(&[])];
            Some(SpreadDifferences::new(&real, columns))
        };
        let mut compared = Compared { synthetic: other(2.), held_out: other(0.5) };
        let found = table(&real, &compared);
        let multiples = "× 2.00 (0.50)";
        let row = ["x mg", "1.41", multiples, "3.54", multiples, "2", multiples, "1.00 (1.00)"];
        assert_eq!((&found.rows[0][..], found.header.len()), (&row.map(String::from)[..], 8));
        assert_eq!(found.rows[1][1..4], ["0", "–", "0"].map(String::from));
        compared.held_out = None;
        let found = table(&real, &compared);
        assert_eq!(found.rows[0][2], "× 2.00");
        assert!(!found.note.contains("held-out"));
    }

    #[test]
    fn ratios_count_in_either_direction_and_up_to_ten() {
        let ln = |x: f64| Some(x.ln());
        assert_eq!(log_ratio(Some(2.), Some(4.)), ln(2.));
        assert_eq!(log_ratio(Some(4.), Some(2.)), ln(2.));
        assert_eq!(log_ratio(Some(0.), Some(0.)), Some(0.));
        for far in [Some(0.), None, Some(1000.)] {
            assert_eq!(log_ratio(Some(2.), far), Some(MAX_LOG_RATIO), "{far:?}");
        }
        assert_eq!(log_ratio(Some(0.), Some(1.)), Some(MAX_LOG_RATIO));
        assert_eq!(log_ratio(None, Some(1.)), None);
    }

    #[test]
    fn rows_drawn_by_themselves_vary_within_patients_and_not_between_them() {
        let real = [spread(&[&[1., 2., 1.], &[5., 6., 5.], &[9., 8., 9.]])];
        let mixed = vec![spread(&[&[1., 6., 9.], &[5., 2., 8.], &[9., 1., 5.]])];
        let found = SpreadDifferences::new(&real, mixed);
        assert!(found.within_patients > Some(1.) && found.between_patients > Some(1.), "{found:?}");
        assert_eq!(found.steps, Some(1.));
        let same = SpreadDifferences::new(&real, real.to_vec());
        let zeros = (same.within_patients, same.between_patients, same.steps);
        assert_eq!(zeros, (Some(0.), Some(0.), Some(0.)));
        let nothing = SpreadDifferences::new(&real, vec![spread(&[])]);
        let far = (nothing.within_patients, nothing.between_patients, nothing.steps);
        assert_eq!(far, (Some(MAX_LOG_RATIO), Some(MAX_LOG_RATIO), Some(1.)));
        assert_eq!(SpreadDifferences::new(&[], Vec::new()).within_patients, None);
    }
}
