//! The report: one HTML file that needs nothing else, and the figures in Markdown.

mod columns;
mod html;
mod markdown;
mod one_patient;
mod pictures;
mod projection;

use crate::statistics::stride;
use crate::{Columns, Evaluation, Pairs, Result, Subject, Verdict};
use hg_data::{Kind, Observed};
use one_patient::OnePatient;
pub use pictures::Curve;
use pictures::{draw_correlation, draw_curve, draw_marginal, draw_points, draw_trajectories};
use projection::Projection;

/// Patients whose trajectories are drawn, of either side.
const MAX_DRAWN: usize = 8;

/// What no figure here can show.
const CAVEATS: [&str; 4] = [
    "No figure on this page proves privacy. Nothing here is differentially private: whoever trained \
     the model could have let it memorise a patient, and these checks could miss it.",
    "A distance above 0 says that no record was copied, not that nobody can be recognised. Rare \
     combinations of values can point to a person without being anybody's record.",
    "The attacks tried here are some of many, by attackers who have one synthetic table and not the \
     model. Of a cohort that leaks nothing each fails one time in forty by chance.",
    "The limits for \"passed\" are this program's own. They are no law's and no regulator's; an ethics \
     board may want others.",
];

/// A report of one evaluation. Sections whose measure was not computed are left out.
#[derive(Debug)]
pub struct Report<'a> {
    title: String,
    evaluation: &'a Evaluation,
    /// SVG pictures, each as text.
    marginals: Vec<String>,
    maps: Vec<String>,
    plane: Option<String>,
    trajectories: Vec<String>,
    one_patient: Option<OnePatient>,
    curves: Vec<String>,
}

impl<'a> Report<'a> {
    /// Draws all pictures; `curves` are those of training, where there are any.
    ///
    /// # Errors
    /// [`Error::Picture`](crate::Error::Picture) when one cannot be drawn.
    pub fn new(
        subject: &Subject<'_>,
        evaluation: &'a Evaluation,
        curves: &[Curve],
    ) -> Result<Self> {
        let plane = Projection::new(&subject.real.encoded, &subject.synthetic.encoded);
        let curves = curves.iter().filter(|(_, points)| !points.is_empty());
        Ok(Self {
            title: subject.encoder.schema.name.clone(),
            evaluation,
            marginals: columns_of(evaluation)
                .iter()
                .flat_map(|found| &found.columns)
                .map(draw_marginal)
                .collect::<Result<_>>()?,
            maps: draw_maps(subject, evaluation)?,
            plane: plane.as_ref().map(draw_points).transpose()?,
            trajectories: draw_changing_numbers(subject)?,
            one_patient: OnePatient::new(subject)?,
            curves: curves.map(draw_curve).collect::<Result<_>>()?,
        })
    }
}

/// The comparison of the columns, where it was computed.
fn columns_of(evaluation: &Evaluation) -> Option<&Columns> {
    evaluation.detail("column-distances")
}

/// Correlations and associations of both cohorts, and their differences.
fn draw_maps(subject: &Subject<'_>, evaluation: &Evaluation) -> Result<Vec<String>> {
    let Some(pairs) = evaluation.detail::<Pairs>("pairs") else { return Ok(Vec::new()) };
    let columns = &subject.encoder.schema.columns;
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let (a, b) = (&pairs.real_correlation, &pairs.synthetic_correlation);
    let (c, d) = (&pairs.real_association, &pairs.synthetic_association);
    [
        ("real", a),
        ("synthetic", b),
        ("synthetic − real", &difference(a, b)),
        ("associations, real", c),
        ("associations, synthetic", d),
        ("synthetic − real", &difference(c, d)),
    ]
    .iter()
    .map(|(title, matrix)| draw_correlation(&names, matrix, title))
    .collect()
}

fn difference(from: &[Vec<f64>], to: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let row = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| b - a).collect();
    from.iter().zip(to).map(row).collect()
}

/// Some patients' values of each numeric column that is not static.
fn draw_changing_numbers(subject: &Subject<'_>) -> Result<Vec<String>> {
    let columns = subject.encoder.schema.columns.iter().enumerate();
    columns
        .filter(|(_, column)| column.kind == Kind::Numeric && !column.is_static)
        .map(|(n, column)| {
            let [real, synthetic] =
                [subject.real, subject.synthetic].map(|cohort| trajectories(&cohort.observed, n));
            draw_trajectories(&column.name, &real, &synthetic)
        })
        .collect()
}

/// Values of a column by step, of evenly spread patients.
fn trajectories(cohort: &Observed, column: usize) -> Vec<Vec<(f64, f64)>> {
    let mut start = 0;
    let every = stride(cohort.lengths.len(), MAX_DRAWN);
    let mut drawn = Vec::new();
    for (patient, &length) in cohort.lengths.iter().enumerate() {
        if patient % every == 0 {
            drawn.push(course(&cohort.columns[column][start..start + length]));
        }
        start += length;
    }
    drawn
}

/// The values of a patient's cells that have one, by step.
fn course(cells: &[Option<f64>]) -> Vec<(f64, f64)> {
    let seen = cells.iter().enumerate().filter_map(|(step, cell)| Some((step as f64, (*cell)?)));
    seen.filter(|(_, value)| value.is_finite()).collect()
}

fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "Passed.",
        Verdict::Failed => "Failed.",
        Verdict::Open => "Not asked.",
    }
}
