//! The short answers of the report's first page.

use crate::statistics::mean;
use crate::{Auc, Distances, Dynamics, Evaluation, IDENTIFICATION_LIMIT, Nearness};
use serde::Serialize;

/// A question of the report's first page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Which of the three questions of the report it belongs to.
    pub topic: &'static str,
    /// What it is about, in a word.
    pub about: &'static str,
    /// The question.
    pub question: &'static str,
    /// Whether it is passed; `None` where it could not be asked.
    pub passed: Option<bool>,
    /// The figures, and the limit.
    pub because: String,
}

/// Mean distances up to here pass. This and the limits below are ours; no regulator's.
const DISTANCE: f64 = 0.1;
/// An area under the curve of a classifier up to here passes.
const TOLD_APART: f64 = 0.75;
/// So much less of the variance may be predicted.
const LESS_PREDICTED: f64 = 0.1;
/// So much of what a policy gains must be kept.
const GAIN_KEPT: f64 = 0.75;

const REAL: &str = "Is it real enough?";
const PRIVATE: &str = "Is it private?";
const USEFUL: &str = "Is it useful?";

impl Evaluation {
    /// The short answers: on realism, then on privacy, then on use.
    pub fn answers(&self) -> Vec<Answer> {
        let mut answers = realism(self);
        answers.extend(privacy(self));
        answers.extend(utility(self));
        answers
    }
}

fn realism(evaluation: &Evaluation) -> Vec<Answer> {
    let Evaluation { comparison, dynamics, held_out_dynamics, .. } = evaluation;
    let columns = mean(comparison.columns.iter().map(|column| column.distance));
    let pairs = |name, of: fn(&Distances) -> f64| {
        (name, of(&comparison.distances), comparison.held_out.as_ref().map(of))
    };
    let in_time =
        |name, of: fn(&Dynamics) -> f64| (name, of(dynamics), held_out_dynamics.as_ref().map(of));
    // What patients that were held out differ by is no fault of a cohort.
    let within = |about, question, measures: &[(&str, f64, Option<f64>)]| {
        let figure = |(name, value, usual): &(&str, f64, Option<f64>)| {
            let usual = usual.map_or(String::new(), |usual| format!(" (others {usual:.3})"));
            format!("{name} {value:.3}{usual}")
        };
        let figures: Vec<String> = measures.iter().map(figure).collect();
        let passes = |&(_, value, usual): &(&str, f64, Option<f64>)| {
            value <= usual.unwrap_or(0.).max(DISTANCE)
        };
        let or_others = if measures.iter().any(|(.., usual)| usual.is_some()) {
            ", or what held-out patients differ by"
        } else {
            ""
        };
        Answer {
            topic: REAL,
            about,
            question,
            passed: Some(measures.iter().all(passes)),
            because: format!("{}; limit {DISTANCE}{or_others}", figures.join(", ")),
        }
    };
    vec![
        within(
            "columns",
            "Is each column distributed as in the real cohort?",
            &[("mean distance", columns, None)],
        ),
        within(
            "pairs",
            "Do columns go together as in the real cohort?",
            &[
                pairs("correlations", |distances| distances.correlation_difference),
                pairs("associations", |distances| distances.association_difference),
            ],
        ),
        within(
            "time",
            "Do values go on in time as in the real cohort?",
            &[
                in_time("autocorrelation", |dynamics| dynamics.autocorrelation),
                in_time("next levels", |dynamics| dynamics.transitions),
            ],
        ),
        within(
            "pairs in time",
            "Do columns rise and fall together as in the real cohort?",
            &[
                in_time("trends", |dynamics| dynamics.trends),
                in_time("cycles", |dynamics| dynamics.cycles),
            ],
        ),
        Answer {
            topic: REAL,
            about: "told apart",
            question: "Is it hard to tell synthetic patients from real ones?",
            passed: evaluation.discriminative.map(|auc| auc.area <= TOLD_APART),
            because: match evaluation.discriminative {
                Some(Auc { area, low, high }) => format!(
                    "a classifier does it with an area under the curve of {area:.2} ({low:.2} to \
                     {high:.2}; 0.5 is chance, limit {TOLD_APART})"
                ),
                None => "there are too few patients for a classifier".into(),
            },
        },
    ]
}

const NOBODY_HELD_OUT: &str = "nobody was held out of training; set held_out = 0.2 to ask";
const NOTHING_KNOWN: &str = "the schema has no static column, and none in patient.known";

fn privacy(evaluation: &Evaluation) -> Vec<Answer> {
    let share = |near: &Nearness| near.copies as f64 / near.records as f64;
    let usual = evaluation.held_out_nearness.as_ref().map_or(0., share);
    let copies = Answer {
        topic: PRIVATE,
        about: "copies",
        question: "Are real records not copied?",
        passed: evaluation.nearness.as_ref().map(|near| share(near) <= usual),
        because: match &evaluation.nearness {
            Some(near) => format!(
                "{} of {} records equal one that was trained on ({:.1} % of held-out ones do)",
                near.copies,
                near.records,
                100. * usual
            ),
            None => "there are no records to compare".into(),
        },
    };
    let membership = Answer {
        topic: PRIVATE,
        about: "membership",
        question: "Is it hidden who was trained on?",
        passed: evaluation.membership.map(|auc| auc.low <= 0.5),
        because: match evaluation.membership {
            Some(Auc { area, low, high }) => format!(
                "an attacker who looks for the nearest synthetic records is right with an area \
                 under the curve of {area:.2} ({low:.2} to {high:.2}; passes where 0.5 is inside \
                 or above)"
            ),
            None => NOBODY_HELD_OUT.into(),
        },
    };
    let identified = Answer {
        topic: PRIVATE,
        about: "identified",
        question: "Is it unlikely that a patient is found, and something learnt of them?",
        passed: evaluation
            .identification
            .as_ref()
            .map(|found| found.risk() <= IDENTIFICATION_LIMIT),
        because: match &evaluation.identification {
            Some(found) => format!(
                "by {}: {:.1} % of people and {:.1} % of records (the regulators' limit is {} %)",
                found.known.join(", "),
                100. * found.population_to_sample,
                100. * found.sample_to_population,
                100. * IDENTIFICATION_LIMIT
            ),
            None => NOTHING_KNOWN.into(),
        },
    };
    let inferred = Answer {
        topic: PRIVATE,
        about: "inferred",
        question: "Is no more guessed of those trained on than of others?",
        passed: evaluation.inference.map(|inference| inference.told_apart.low <= 0.5),
        because: match (&evaluation.inference, &evaluation.identification) {
            (Some(inference), _) => format!(
                "{:.0} % of guesses are right, {:.0} % of other patients; the area under the curve \
                 is {:.2} ({:.2} to {:.2}; passes where 0.5 is inside or above)",
                100. * inference.trained_on,
                100. * inference.others,
                inference.told_apart.area,
                inference.told_apart.low,
                inference.told_apart.high
            ),
            (None, Some(_)) => NOBODY_HELD_OUT.into(),
            (None, None) => NOTHING_KNOWN.into(),
        },
    };
    vec![copies, membership, identified, inferred]
}

fn utility(evaluation: &Evaluation) -> Vec<Answer> {
    let predictions = Answer {
        topic: USEFUL,
        about: "predictions",
        question: "Does a model that was trained on it predict real patients?",
        passed: evaluation.predictive.map(|predictive| {
            predictive.trained_on_synthetic >= predictive.trained_on_real - LESS_PREDICTED
        }),
        because: match evaluation.predictive {
            Some(predictive) => format!(
                "{:.0} % of the next step's variance, {:.0} % after training on real patients \
                 (up to {:.0} less pass)",
                100. * predictive.trained_on_synthetic,
                100. * predictive.trained_on_real,
                100. * LESS_PREDICTED
            ),
            None => "there are too few steps, or nothing changes".into(),
        },
    };
    let policies = evaluation.policies.as_ref().map(|policies| {
        let (worth, how) = match &policies.when_run {
            Some(worth) => (worth, "when run in the simulator"),
            None => (&policies.by_the_table, "by the real cohort's steps, which is optimistic,"),
        };
        let kept = worth.kept();
        let gain = match kept {
            Some(kept) => format!(
                "it keeps {:.0} % of what a policy learnt from real patients gains (at least {:.0} \
                 pass)",
                100. * kept,
                100. * GAIN_KEPT
            ),
            None => "a policy learnt from real patients gains nothing to compare with".into(),
        };
        Answer {
            topic: USEFUL,
            about: "policies",
            question: "Is a policy that is learnt from it worth as much as one from real patients?",
            passed: kept.map(|kept| kept >= GAIN_KEPT),
            because: format!(
                "{how} {:.3}, against {:.3} and {:.3} as usual: {gain}",
                worth.synthetic, worth.real, worth.usual
            ),
        }
    });
    std::iter::once(predictions).chain(policies).collect()
}
