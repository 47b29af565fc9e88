//! One synthetic patient, beside the kind of real patients that is most like them.
//!
//! ```text
//! d(p, q) = mean over summaries of ((s_p − s_q) / SD)²      1 where one of the two is missing
//! kind    the real patients with the least d, a tenth of them, from 10 to 50
//! ```
//!
//! Of the kind only shares and quartiles are shown, at steps that at least [`LEAST_AT_STEP`] of its
//! patients have.

use super::course;
use super::pictures::{Band, draw_beside_kind, titled};
use crate::finding::short;
use crate::statistics::{deviation, percentile, stride};
use crate::{ReportTable, Result, Subject};
use hg_data::{Column, Kind, Observed};
use hg_judge::{Features, Patient, patients, summaries};

/// Real patients that are looked at; of more, evenly spread ones are.
const MAX_REAL: usize = 2000;
/// Patients of a kind.
const KIND: std::ops::RangeInclusive<usize> = 10..=50;
/// Patients with a value at a step that is drawn.
const LEAST_AT_STEP: usize = 5;
/// Steps, and levels of a column, that the tables have room for.
const MAX_STEPS: usize = 24;
const MAX_LEVELS: usize = 3;

/// What the report shows of the patient.
#[derive(Debug)]
pub(super) struct OnePatient {
    /// Static columns, of the patient and of the kind.
    pub(super) statics: ReportTable,
    /// Columns that change, step by step.
    pub(super) steps: ReportTable,
    /// Of each number that changes, as SVG.
    pub(super) pictures: Vec<String>,
}

impl OnePatient {
    /// The first synthetic patient who has at least as many steps as half of them; `None` where there
    /// is none, or too few real ones for a kind.
    pub(super) fn new(subject: &Subject<'_>) -> Result<Option<Self>> {
        let schema = &subject.encoder.schema;
        let [real, synthetic] = [subject.real, subject.synthetic].map(|cohort| &cohort.observed);
        let mut lengths: Vec<usize> = synthetic.lengths.clone();
        lengths.sort_unstable();
        let median = lengths.get(lengths.len() / 2).copied().unwrap_or(0);
        let mut all = patients(schema, synthetic).into_iter();
        let Some(shown) = all.find(|patient| patient.rows().len() >= median) else {
            return Ok(None);
        };
        let all = patients(schema, real);
        let every = stride(all.len(), MAX_REAL);
        let all: Vec<Patient> = all.into_iter().step_by(every).collect();
        let size = (all.len() / 10).clamp(*KIND.start(), *KIND.end());
        if all.len() < 2 * size {
            return Ok(None);
        }
        let of_shown = summaries(schema, synthetic, std::slice::from_ref(&shown));
        let distances = distances(&summaries(schema, real, &all), &of_shown);
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]).then(a.cmp(&b)));
        let kind: Vec<&Patient> = order[..size].iter().map(|&patient| &all[patient]).collect();
        let sides = Sides { real, kind, synthetic, shown };

        let columns = || schema.columns.iter().enumerate();
        let changing: Vec<(usize, &Column)> =
            columns().filter(|(_, column)| !column.is_static).collect();
        let numbers = changing.iter().filter(|(_, column)| column.kind == Kind::Numeric);
        let pictures = numbers.map(|&(n, column)| {
            draw_beside_kind(&titled(&column.name, &column.unit), &sides.bands(n), &sides.course(n))
        });
        let statics = columns().filter(|(_, column)| column.is_static);
        Ok(Some(Self {
            statics: ReportTable {
                title: "One synthetic patient".into(),
                note: format!(
                    "A patient to read as a clinician would, beside the {size} real ones whose statics and \
                     course are most like theirs: their kind. Of numbers the kind's median and quartiles, \
                     of levels its shares."
                ),
                header: ["static column", "this patient", "their kind"].map(Into::into).into(),
                rows: statics.map(|(n, column)| sides.of_static(n, column)).collect(),
            },
            steps: ReportTable {
                title: "Their steps".into(),
                note: String::new(),
                header: std::iter::once("step".to_owned())
                    .chain(changing.iter().map(|(_, column)| titled(&column.name, &column.unit)))
                    .collect(),
                rows: sides.steps(&changing),
            },
            pictures: pictures.collect::<Result<_>>()?,
        }))
    }
}

/// The patient and the kind, with the cohorts that they are of.
struct Sides<'a> {
    real: &'a Observed,
    kind: Vec<&'a Patient>,
    synthetic: &'a Observed,
    shown: Patient,
}

impl Sides<'_> {
    /// The patient's values of a column, by step.
    fn course(&self, column: usize) -> Vec<(f64, f64)> {
        course(&self.synthetic.columns[column][self.shown.rows()])
    }

    /// The kind's values of a column at a step, ascending; at none, the first one of each patient.
    fn of_kind(&self, column: usize, step: Option<usize>) -> Vec<f64> {
        let value = |patient: &&Patient| {
            let mut cells = self.real.columns[column][patient.rows()].iter();
            let cell = match step {
                Some(step) => *cells.nth(step)?,
                None => cells.copied().flatten().next(),
            };
            cell.filter(|value| value.is_finite())
        };
        let mut values: Vec<f64> = self.kind.iter().filter_map(value).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    /// Quartiles at each step of the patient's that enough of the kind have.
    fn bands(&self, column: usize) -> Vec<Band> {
        let band = |step: usize| {
            let values = self.of_kind(column, Some(step));
            (values.len() >= LEAST_AT_STEP).then(|| (step as f64, quartiles(&values)))
        };
        (0..self.shown.rows().len()).filter_map(band).collect()
    }

    fn of_static(&self, n: usize, column: &Column) -> Vec<String> {
        let names = column.level_names();
        let own = self.course(n).first().map_or("–".into(), |(_, x)| cell(*x, column, &names));
        let values = self.of_kind(n, None);
        let kind = if values.len() < LEAST_AT_STEP {
            "–".into()
        } else if column.kind == Kind::Numeric {
            let [low, middle, high] = quartiles(&values).map(short);
            format!("{middle} ({low} to {high})")
        } else {
            let share = |level: usize| {
                let those = values.iter().filter(|&&value| value as usize == level).count();
                100. * those as f64 / values.len() as f64
            };
            let mut shares: Vec<(f64, &String)> =
                names.iter().enumerate().map(|(n, name)| (share(n), name)).collect();
            shares.sort_by(|a, b| b.0.total_cmp(&a.0));
            let shares = shares.iter().take(MAX_LEVELS).filter(|(share, _)| *share > 0.);
            shares
                .map(|(share, name)| format!("{name}: {share:.0} %"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        vec![titled(&column.name, &column.unit), own, kind]
    }

    fn steps(&self, columns: &[(usize, &Column)]) -> Vec<Vec<String>> {
        let names: Vec<Vec<String>> =
            columns.iter().map(|(_, column)| column.level_names()).collect();
        let row = |(step, row): (usize, usize)| {
            let cells = columns.iter().zip(&names).map(|((n, column), names)| {
                let value = self.synthetic.columns[*n][row].filter(|value| value.is_finite());
                value.map_or(String::new(), |value| cell(value, column, names))
            });
            std::iter::once((step + 1).to_string()).chain(cells).collect()
        };
        self.shown.rows().take(MAX_STEPS).enumerate().map(row).collect()
    }
}

/// d of each real patient from the one who is shown.
fn distances(real: &Features, shown: &Features) -> Vec<f64> {
    let mut sums = vec![0.; real.count()];
    let mut compared = 0;
    for (column, own) in real.columns.iter().zip(&shown.columns) {
        let Some(spread) = deviation(column).filter(|spread| *spread > 0.) else { continue };
        compared += 1;
        for (sum, value) in sums.iter_mut().zip(column) {
            let distance = (value - own[0]) / spread;
            *sum += match (value.is_nan(), own[0].is_nan()) {
                (true, true) => 0.,
                (false, false) => distance * distance,
                _ => 1.,
            };
        }
    }
    sums.iter_mut().for_each(|sum| *sum /= f64::from(compared.max(1)));
    sums
}

/// Of ascending values, of which there is one.
fn quartiles(values: &[f64]) -> [f64; 3] {
    [0.25, 0.5, 0.75].map(|share| percentile(values, share).unwrap_or(f64::NAN))
}

/// A level's name, or a number.
fn cell(value: f64, column: &Column, names: &[String]) -> String {
    match column.kind == Kind::Numeric {
        true => short(value),
        false => names.get(value as usize).cloned().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cohort;
    use hg_data::{Encoder, Schema, Subset};
    use std::path::Path;

    #[test]
    fn a_patient_stands_beside_those_most_like_them_and_few_are_not_shown() -> Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let schema = Schema::load(&root.join("data-schemas/pbc.toml"))?;
        let table = schema.read(&root.join("data/pbc/pbcseq.csv"))?;
        let (encoder, encoded) = Encoder::fit(&schema, &table, Subset::Whole)?;
        let observed = Observed::new(&encoder.schema, &table, Subset::Whole)?;
        let real = Cohort { observed, encoded };
        let found = OnePatient::new(&Subject::new(&encoder, &real, &real))?.expect("a patient");
        let statics = &found.statics.rows;
        assert_eq!(statics.len(), 6, "those of the table, and the first time");
        // The patient, who is real here, is one of their own kind.
        let sex = statics.iter().find(|row| row[0] == "sex").expect("is a static");
        assert!(sex[2].contains(&format!("{}: ", sex[1])), "{sex:?}");
        let steps = &found.steps;
        assert!(
            steps.rows.len() >= 5 && steps.rows.iter().all(|row| row.len() == steps.header.len())
        );
        assert!(found.pictures.len() >= 7 && found.pictures.iter().all(|svg| svg.contains("<svg")));

        // Of 19 patients there is no kind.
        let mut few = real.clone();
        few.observed.lengths.truncate(19);
        assert!(OnePatient::new(&Subject::new(&encoder, &few, &real))?.is_none());
        let mut nobody = real.clone();
        nobody.observed.lengths.clear();
        assert!(OnePatient::new(&Subject::new(&encoder, &real, &nobody))?.is_none());
        Ok(())
    }

    #[test]
    fn the_nearest_are_those_whose_summaries_are() {
        let features = |columns: &[&[f64]]| Features {
            names: vec!["x".into(); columns.len()],
            columns: columns.iter().map(|column| column.to_vec()).collect(),
        };
        // SD 1 and 10; the third column does not vary.
        let real = features(&[&[-1., 1., 1., -1.], &[10., 10., -10., f64::NAN], &[3.; 4]]);
        let shown = features(&[&[1.], &[-10.], &[9.]]);
        let found = distances(&real, &shown);
        assert!(found[2] == 0. && found[1] < found[0] && found[1] > 0., "{found:?}");
        // Missing on one side counts as one SD.
        assert!((found[3] - (4. + 1.) / 2.).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn numbers_have_three_digits_and_no_empty_ones() {
        let shown = [0., 0.5, 3.14259, 12.34, 1718.4, -0.00012].map(short);
        assert_eq!(shown, ["0", "0.5", "3.14", "12.3", "1718", "-0.0001"]);
    }
}
