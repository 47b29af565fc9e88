//! Everything that is said of a synthetic cohort, and the short answers.

use crate::{Auc, Comparison, Dynamics, Nearness, Result, discriminate, membership, nearness};
use hg_data::{Encoded, Observed, Schema};
use hg_models::RowLayout;
use serde::Serialize;

/// A cohort, as it was observed and encoded.
#[derive(Clone, Debug)]
pub struct Cohort {
    /// On the schema's grid.
    pub observed: Observed,
    /// By the encoder that was fitted to those trained on.
    pub encoded: Encoded,
}

/// What the report says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Columns and pairs.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// In time.
    pub dynamics: Dynamics,
    /// How well a classifier tells synthetic patients from those that were trained on.
    pub discriminative: Option<Auc>,
    /// The same for patients that were held out.
    pub held_out_discriminative: Option<Auc>,
    /// From synthetic records to those that were trained on.
    pub nearness: Option<Nearness>,
    /// From records of patients that were held out.
    pub held_out_nearness: Option<Nearness>,
    /// How well a patient's nearness to synthetic ones tells that they were trained on; it
    /// takes patients that were held out.
    pub membership: Option<Auc>,
}

/// A question of the report's first page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// What it is about, in a word.
    pub about: &'static str,
    /// The question.
    pub question: &'static str,
    /// Whether it is passed; `None` where it could not be asked.
    pub passed: Option<bool>,
    /// The figures, and the limit.
    pub because: String,
}

/// Mean distances up to here pass. The limits are ours; no regulator's.
const DISTANCE: f64 = 0.1;
/// An area under the curve of a classifier up to here passes.
const TOLD_APART: f64 = 0.75;

impl Evaluation {
    /// Compares a synthetic cohort with the patients that were trained on, and with the others
    /// where some were held out.
    ///
    /// # Errors
    /// Only what candle reports.
    pub fn new(
        schema: &Schema,
        layout: &RowLayout,
        real: &Cohort,
        held_out: Option<&Cohort>,
        synthetic: &Cohort,
    ) -> Result<Self> {
        let mut comparison = Comparison::new(schema, &real.observed, &synthetic.observed);
        let mut evaluation_of_others = (None, None, None);
        if let Some(others) = held_out {
            let yardstick = Comparison::new(schema, &real.observed, &others.observed);
            comparison.held_out = Some(yardstick.distances);
            evaluation_of_others = (
                discriminate(&real.encoded, &others.encoded, layout, 0)?,
                nearness(&others.encoded, &real.encoded),
                membership(&real.encoded, &others.encoded, &synthetic.encoded),
            );
        }
        let (held_out_discriminative, held_out_nearness, membership) = evaluation_of_others;
        Ok(Self {
            comparison,
            dynamics: Dynamics::new(schema, &real.observed, &synthetic.observed),
            discriminative: discriminate(&real.encoded, &synthetic.encoded, layout, 0)?,
            held_out_discriminative,
            nearness: nearness(&synthetic.encoded, &real.encoded),
            held_out_nearness,
            membership,
        })
    }

    /// The short answers, those on realism first.
    pub fn answers(&self) -> Vec<Answer> {
        let distances = self.comparison.distances;
        let columns = self.comparison.columns.iter().map(|column| column.distance);
        let columns = columns.sum::<f64>() / self.comparison.columns.len().max(1) as f64;
        let Dynamics { autocorrelation, transitions, trends, cycles, .. } = self.dynamics;
        let within = |about, question, measures: &[(&str, f64)]| {
            let figures: Vec<String> =
                measures.iter().map(|(name, value)| format!("{name} {value:.3}")).collect();
            Answer {
                about,
                question,
                passed: Some(measures.iter().all(|(_, value)| *value <= DISTANCE)),
                because: format!("{} (limit {DISTANCE})", figures.join(", ")),
            }
        };
        let mut answers = vec![
            within(
                "columns",
                "Is each column distributed as in the real cohort?",
                &[("mean distance", columns)],
            ),
            within(
                "pairs",
                "Do columns go together as in the real cohort?",
                &[("mean difference of correlations", distances.correlation_difference)],
            ),
            within(
                "time",
                "Do values go on in time as in the real cohort?",
                &[("autocorrelation", autocorrelation), ("next levels", transitions)],
            ),
            within(
                "pairs in time",
                "Do columns rise and fall together as in the real cohort?",
                &[("trends", trends), ("cycles", cycles)],
            ),
        ];
        answers.push(Answer {
            about: "told apart",
            question: "Is it hard to tell synthetic patients from real ones?",
            passed: self.discriminative.map(|auc| auc.area <= TOLD_APART),
            because: match self.discriminative {
                Some(Auc { area, low, high }) => format!(
                    "a classifier does it with an area under the curve of {area:.2} ({low:.2} to \
                     {high:.2}; 0.5 is chance, limit {TOLD_APART})"
                ),
                None => "there are too few patients for a classifier".into(),
            },
        });
        let share = |near: &Nearness| near.copies as f64 / near.records as f64;
        let usual = self.held_out_nearness.as_ref().map_or(0., share);
        answers.push(Answer {
            about: "copies",
            question: "Are real records not copied?",
            passed: self.nearness.as_ref().map(|near| share(near) <= usual),
            because: match &self.nearness {
                Some(near) => format!(
                    "{} of {} records equal one that was trained on ({:.1} % of held-out ones do)",
                    near.copies,
                    near.records,
                    100. * usual
                ),
                None => "there are no records to compare".into(),
            },
        });
        answers.push(Answer {
            about: "membership",
            question: "Is it hidden who was trained on?",
            passed: self.membership.map(|auc| auc.low <= 0.5),
            because: match self.membership {
                Some(Auc { area, low, high }) => format!(
                    "an attacker who looks for the nearest synthetic records is right with an area \
                     under the curve of {area:.2} ({low:.2} to {high:.2}; passes where 0.5 is inside \
                     or above)"
                ),
                None => "nobody was held out of training; set held_out = 0.2 to ask".into(),
            },
        });
        answers
    }
}
