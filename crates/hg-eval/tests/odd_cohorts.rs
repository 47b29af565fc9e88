//! Measures of patients end, with a finding, for cohorts in which there is little to measure.

use hg_data::{Encoder, Observed, Schema, Subset};
use hg_eval::{Cohort, Evaluation, Subject, Verdict, evaluate, measures};
use std::path::Path;

const MEASURES: [&str; 5] = ["rare-levels", "spread", "trajectories", "timing", "joint-statics"];

struct Pbc {
    encoder: Encoder,
    real: Cohort,
}

fn pbc() -> Pbc {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let schema = Schema::load(&root.join("data-schemas/pbc.toml")).expect("a schema");
    let table = schema.read(&root.join("data/pbc/pbcseq.csv")).expect("a table");
    let (encoder, encoded) = Encoder::fit(&schema, &table, Subset::Whole).expect("encodes");
    let observed = Observed::new(&encoder.schema, &table, Subset::Whole).expect("observes");
    Pbc { encoder, real: Cohort { observed, encoded } }
}

impl Pbc {
    fn compare(&self, real: &Cohort, synthetic: &Cohort, held_out: Option<&Cohort>) -> Evaluation {
        let chosen = measures().into_iter().filter(|measure| MEASURES.contains(&measure.id()));
        let subject = Subject::new(&self.encoder, real, synthetic).with_held_out(held_out);
        evaluate(&subject, &chosen.collect::<Vec<_>>(), &mut |_| {}).expect("evaluates")
    }

    /// The real patients with other cells: the row, the step and the cell.
    fn with_cells(&self, cell: impl Fn(usize, Option<f64>) -> Option<f64>) -> Cohort {
        let mut cohort = self.real.clone();
        for cells in &mut cohort.observed.columns {
            for (row, value) in cells.iter_mut().enumerate() {
                *value = cell(row, *value);
            }
        }
        cohort
    }

    /// The first rows of each patient, so many of them.
    fn first_rows(&self, most: usize) -> Cohort {
        let mut cohort = self.real.clone();
        let observed = &mut cohort.observed;
        let mut start = 0;
        let rows: Vec<usize> = observed
            .lengths
            .iter()
            .flat_map(|length| {
                let rows = start..start + most.min(*length);
                start += length;
                rows
            })
            .collect();
        for cells in &mut observed.columns {
            *cells = rows.iter().map(|&row| cells[row]).collect();
        }
        observed.lengths.iter_mut().for_each(|length| *length = most.min(*length));
        cohort
    }
}

#[test]
fn cohorts_with_little_in_them_end_in_findings_without_nan() {
    let pbc = pbc();
    let nobody = {
        let mut cohort = pbc.first_rows(0);
        cohort.observed.lengths.clear();
        cohort
    };
    let odd = [
        ("nobody", nobody),
        ("patients without a row", pbc.first_rows(0)),
        ("single rows", pbc.first_rows(1)),
        ("nothing observed", pbc.with_cells(|_, _| None)),
        ("NaN", pbc.with_cells(|_, cell| cell.map(|_| f64::NAN))),
        ("constant columns", pbc.with_cells(|_, cell| cell.map(|_| 1.))),
        (
            "huge numbers",
            pbc.with_cells(|row, cell| {
                cell.map(|x| if x > 4. { if row % 2 == 0 { 1e308 } else { -1e308 } } else { x })
            }),
        ),
    ];
    for (name, cohort) in &odd {
        for (real, synthetic) in [(&pbc.real, cohort), (cohort, &pbc.real), (cohort, cohort)] {
            for held_out in [None, Some(cohort), Some(&pbc.real)] {
                let evaluation = pbc.compare(real, synthetic, held_out);
                let json = serde_json::to_string(&evaluation).expect("JSON");
                assert!(!json.contains("NaN") && !json.contains("inf"), "{name}: {json}");
                for (id, finding) in evaluation.findings() {
                    let widths = finding
                        .tables
                        .iter()
                        .all(|table| table.rows.iter().all(|row| row.len() == table.header.len()));
                    assert!(widths, "{name}, {id}");
                }
            }
        }
    }
}

#[test]
fn a_synthetic_cohort_without_a_value_passes_nothing() {
    let pbc = pbc();
    for cohort in [pbc.with_cells(|_, _| None), pbc.with_cells(|_, cell| cell.map(|_| f64::NAN))] {
        let evaluation = pbc.compare(&pbc.real, &cohort, Some(&pbc.real));
        let answers = evaluation.answers();
        assert_eq!(answers.len(), 8);
        for answer in answers {
            assert_eq!(answer.verdict, Verdict::Failed, "{answer:?}");
        }
    }
}

#[test]
fn one_row_each_says_nothing_of_time() {
    let pbc = pbc();
    let single = pbc.first_rows(1);
    let evaluation = pbc.compare(&single, &single, Some(&single));
    // Whether a level is rare among first rows is another question.
    for answer in evaluation.answers().into_iter().filter(|answer| answer.about != "rare levels") {
        let asks_of_time = ["steps", "over time", "covariance", "ranks"].contains(&answer.about);
        assert_eq!(answer.verdict == Verdict::Open, asks_of_time, "{answer:?}");
    }
}
