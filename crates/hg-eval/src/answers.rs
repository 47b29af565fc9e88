//! The short answers of the report's first page.
//!
//! A question is passed or failed only where something was compared. Where there was nothing to
//! compare, or so little that chance decides, it is open, and the answer says what it would take.

use crate::evaluation::PatientCounts;
use crate::statistics::mean;
use crate::{
    Auc, Comparison, Distances, Dynamics, Evaluation, IDENTIFICATION_LIMIT, Nearness, Predictive,
};
use hg_data::OutOfDomain;
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
    /// The figures, and the limit; or why it is open.
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

/// Patients of each side from which on there is a verdict. Two draws of ten from one law are at a
/// distance of 0.3 to 0.4 by Kolmogorov and Smirnov, so that fewer say little of a limit of 0.1;
/// and whether one of so few is found or missed is chance.
const FEWEST: usize = 10;
/// The same for the classifier, which learns from one half of them and is tested on the other.
const FEWEST_TOLD_APART: usize = 2 * FEWEST;
/// Steps from which on a prediction is judged: the standard error of R², at most √(0.6 / n), is
/// then as small as [`LESS_PREDICTED`].
const FEWEST_STEPS: usize = 60;
/// Columns with values out of the domain that are named; the others are counted.
const NAMED: usize = 3;

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

/// What a question came to: a verdict with its figures, or why it is open.
type Verdict = std::result::Result<(bool, String), String>;

impl Answer {
    fn new(
        topic: &'static str,
        about: &'static str,
        question: &'static str,
        verdict: Verdict,
    ) -> Self {
        let (passed, because) = match verdict {
            Ok((passed, because)) => (Some(passed), because),
            Err(because) => (None, because),
        };
        Self { topic, about, question, passed, because }
    }
}

impl PatientCounts {
    /// Refuses a verdict on fewer than so many real or synthetic patients.
    fn at_least(&self, fewest: usize) -> std::result::Result<(), String> {
        let Self { real, synthetic, .. } = *self;
        if real.min(synthetic) >= fewest {
            return Ok(());
        }
        Err(format!(
            "there are {} and {synthetic} synthetic; it takes {fewest} of each to ask",
            patients(real, " real")
        ))
    }

    /// Refuses a verdict that takes patients who were held out.
    fn held_out_at_least(&self, fewest: usize) -> std::result::Result<(), String> {
        match self.held_out {
            None => Err(NOBODY_HELD_OUT.into()),
            Some(held_out) if held_out < fewest => Err(format!(
                "{} held out; it takes {fewest} to ask, so hold out more",
                match held_out {
                    1 => "1 patient was".into(),
                    _ => format!("{held_out} patients were"),
                }
            )),
            Some(_) => Ok(()),
        }
    }

    /// Whether those held out are enough to say what real patients differ by.
    fn has_yardstick(&self) -> bool {
        self.held_out_at_least(FEWEST).is_ok()
    }
}

/// So many patients, of a kind.
fn patients(count: usize, kind: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count}{kind} patient{plural}")
}

/// A figure, and that of patients who were held out.
type Measure = (&'static str, Option<f64>, Option<f64>);

fn realism(evaluation: &Evaluation) -> Vec<Answer> {
    let Evaluation { comparison, dynamics, held_out_dynamics, patients, .. } = evaluation;
    let columns = mean(comparison.columns.iter().filter_map(|column| column.distance));
    let has_yardstick = patients.has_yardstick();
    let pairs = |name, of: fn(&Distances) -> Option<f64>| -> Measure {
        let usual = comparison.held_out.as_ref().filter(|_| has_yardstick);
        (name, of(&comparison.distances), usual.and_then(of))
    };
    let in_time = |name, of: fn(&Dynamics) -> Option<f64>| -> Measure {
        let usual = held_out_dynamics.as_ref().filter(|_| has_yardstick);
        (name, of(dynamics), usual.and_then(of))
    };
    let within = |about, question, measures: &[Measure], nothing: &str| {
        Answer::new(REAL, about, question, within(patients, measures, nothing))
    };
    vec![
        Answer::new(REAL, "domain", "Are all values possible ones?", domain(evaluation)),
        within(
            "columns",
            "Is each column distributed as in the real cohort?",
            &[("mean distance", columns, None)],
            "no column has a value",
        ),
        within(
            "gaps",
            "Are cells missing as often as in the real cohort?",
            &[("greatest difference of shares", gaps(comparison), None)],
            "neither cohort has a gap",
        ),
        within(
            "pairs",
            "Do columns go together as in the real cohort?",
            &[
                pairs("correlations", |distances| distances.correlation_difference),
                pairs("associations", |distances| distances.association_difference),
            ],
            "there are no two columns that vary among the real patients",
        ),
        within(
            "time",
            "Do values go on in time as in the real cohort?",
            &[
                in_time("autocorrelation", |dynamics| dynamics.autocorrelation),
                in_time("next levels", |dynamics| dynamics.transitions),
            ],
            "no real patient has two steps between which a column could change",
        ),
        within(
            "pairs in time",
            "Do columns rise and fall together as in the real cohort?",
            &[
                in_time("trends", |dynamics| dynamics.trends),
                in_time("cycles", |dynamics| dynamics.cycles),
            ],
            "no real patient has three steps over which two columns change",
        ),
        Answer::new(
            REAL,
            "told apart",
            "Is it hard to tell synthetic patients from real ones?",
            told_apart(evaluation),
        ),
    ]
}

/// The greatest difference of the shares of cells that are missing; `None` without any gap.
fn gaps(comparison: &Comparison) -> Option<f64> {
    let shares = comparison.columns.iter().map(|c| (c.real_missing, c.synthetic_missing));
    let some = shares.filter(|(real, synthetic)| real.max(*synthetic) > 0.);
    some.map(|(real, synthetic)| (real - synthetic).abs()).max_by(f64::total_cmp)
}

/// Whether each figure is small, or as small as that of patients who were held out: what those
/// differ by is no fault of a cohort.
fn within(patients: &PatientCounts, measures: &[Measure], nothing: &str) -> Verdict {
    patients.at_least(FEWEST)?;
    let measured: Vec<(&str, f64, Option<f64>)> =
        measures.iter().filter_map(|&(name, value, usual)| Some((name, value?, usual))).collect();
    if measured.is_empty() {
        return Err(nothing.into());
    }
    let figure = |(name, value, usual): &(&str, f64, Option<f64>)| {
        let usual = usual.map_or(String::new(), |usual| format!(" (others {usual:.3})"));
        format!("{name} {value:.3}{usual}")
    };
    let figures: Vec<String> = measured.iter().map(figure).collect();
    let passes =
        |&(_, value, usual): &(&str, f64, Option<f64>)| value <= usual.unwrap_or(0.).max(DISTANCE);
    let has_usual = measured.iter().any(|(.., usual)| usual.is_some());
    let or_others = if has_usual { ", or what held-out patients differ by" } else { "" };
    Ok((
        measured.iter().all(passes),
        format!("{}; limit {DISTANCE}{or_others}", figures.join(", ")),
    ))
}

/// One impossible value is one too many, of however few patients.
fn domain(evaluation: &Evaluation) -> Verdict {
    let outside = &evaluation.out_of_domain;
    if outside.is_empty() {
        let said = "every synthetic value has a place among those that the real cohort allows";
        return Ok((true, said.into()));
    }
    let said = |OutOfDomain { column, problem, cells, example, row }: &OutOfDomain| {
        let plural = if *cells == 1 { "" } else { "s" };
        format!("«{column}» has {cells} cell{plural} outside (row {row}: «{example}» {problem})")
    };
    let mut columns: Vec<String> = outside.iter().take(NAMED).map(said).collect();
    if outside.len() > NAMED {
        columns.push(format!("and {} more columns", outside.len() - NAMED));
    }
    Ok((false, format!("{}; the nearest possible values are measured", columns.join("; "))))
}

fn told_apart(evaluation: &Evaluation) -> Verdict {
    evaluation.patients.at_least(FEWEST_TOLD_APART)?;
    let nothing = "there are too few sequences for a classifier";
    let Auc { area, low, high } = evaluation.discriminative.ok_or(nothing)?;
    let said = format!(
        "a classifier does it with an area under the curve of {area:.2} ({low:.2} to {high:.2}; \
         0.5 is chance, limit {TOLD_APART})"
    );
    Ok((area <= TOLD_APART, said))
}

const NOBODY_HELD_OUT: &str = "nobody was held out of training; set held_out = 0.2 to ask";
const NOTHING_KNOWN: &str = "the schema has no static column and none in patient.quasi_identifiers, or no \
    other column differs from patient to patient and has synthetic values";

fn privacy(evaluation: &Evaluation) -> Vec<Answer> {
    let answer = |about, question, verdict| Answer::new(PRIVATE, about, question, verdict);
    vec![
        answer("copies", "Are real records not copied?", copies(evaluation)),
        answer(
            "identifiers",
            "Does no synthetic patient carry a real one's identifier?",
            identifiers(evaluation),
        ),
        answer("membership", "Is it hidden who was trained on?", membership(evaluation)),
        answer(
            "identified",
            "Is it unlikely that a patient is found, and something learnt of them?",
            identified(evaluation),
        ),
        answer(
            "inferred",
            "Is no more guessed of those trained on than of others?",
            inferred(evaluation),
        ),
    ]
}

/// A copy is one of however few patients; that there is none takes some to say.
fn copies(evaluation: &Evaluation) -> Verdict {
    let Evaluation { nearness, held_out_nearness, patients: counts, .. } = evaluation;
    let near = nearness.as_ref().ok_or("there are no records to compare")?;
    let share = |near: &Nearness| near.copies as f64 / near.records as f64;
    let usual = held_out_nearness.as_ref().filter(|_| counts.has_yardstick()).map(share);
    let yardstick = match (usual, counts.held_out) {
        (Some(usual), _) => format!("{:.1} % of held-out ones do", 100. * usual),
        (None, Some(few)) => {
            format!("{} held out are too few to say how many would", patients(few, ""))
        }
        (None, None) => "nobody was held out to say how many would".into(),
    };
    let Nearness { copies, records, .. } = near;
    let said = format!("{copies} of {records} records equal one that was trained on ({yardstick})");
    if share(near) > usual.unwrap_or(0.) {
        return Ok((false, said));
    }
    match counts.at_least(FEWEST) {
        Ok(()) => Ok((true, said)),
        Err(few) => Err(format!("{said}; {few}")),
    }
}

/// As with copies, one is enough to fail.
fn identifiers(evaluation: &Evaluation) -> Verdict {
    let found = evaluation.identifiers.as_ref().ok_or("the tables themselves were not at hand")?;
    let shared = found.columns.iter().filter(|column| column.shared > 0);
    let shared: Vec<String> = shared
        .map(|column| {
            format!(
                "column «{}»: {} of {} carry a real one",
                column.column,
                column.shared,
                patients(column.patients, " synthetic")
            )
        })
        .collect();
    if !shared.is_empty() {
        return Ok((false, shared.join("; ")));
    }
    let compared = found.columns.iter().filter(|column| !column.is_running);
    let compared: Vec<String> = compared.map(|column| format!("«{}»", column.column)).collect();
    if compared.is_empty() {
        return Err("the tables have no identifiers in common to compare: synthetic patients are \
                    numbered"
            .into());
    }
    evaluation.patients.at_least(FEWEST)?;
    Ok((true, format!("no real identifier appears; compared: {}", compared.join(", "))))
}

fn membership(evaluation: &Evaluation) -> Verdict {
    evaluation.patients.held_out_at_least(FEWEST)?;
    evaluation.patients.at_least(FEWEST)?;
    let Auc { area, low, high } = evaluation.membership.ok_or("there are no records to compare")?;
    let said = format!(
        "an attacker who looks for the nearest synthetic records is right with an area under the \
         curve of {area:.2} ({low:.2} to {high:.2}; passes where 0.5 is inside or above)"
    );
    Ok((low <= 0.5, said))
}

fn identified(evaluation: &Evaluation) -> Verdict {
    let found = evaluation.identification.as_ref().ok_or(NOTHING_KNOWN)?;
    evaluation.patients.at_least(FEWEST)?;
    let said = format!(
        "by {}: {:.1} % of people and {:.1} % of records (the regulators' limit is {} %)",
        found.known.join(", "),
        100. * found.population_to_sample,
        100. * found.sample_to_population,
        100. * IDENTIFICATION_LIMIT
    );
    Ok((found.risk() <= IDENTIFICATION_LIMIT, said))
}

fn inferred(evaluation: &Evaluation) -> Verdict {
    evaluation.identification.as_ref().ok_or(NOTHING_KNOWN)?;
    evaluation.patients.held_out_at_least(FEWEST)?;
    evaluation.patients.at_least(FEWEST)?;
    let inference = evaluation.inference.ok_or(NOTHING_KNOWN)?;
    let Auc { area, low, high } = inference.told_apart;
    let said = format!(
        "{:.0} % of guesses are right, {:.0} % of other patients; the area under the curve is \
         {area:.2} ({low:.2} to {high:.2}; passes where 0.5 is inside or above)",
        100. * inference.trained_on,
        100. * inference.others,
    );
    Ok((low <= 0.5, said))
}

fn utility(evaluation: &Evaluation) -> Vec<Answer> {
    let predictions = Answer::new(
        USEFUL,
        "predictions",
        "Does a model that was trained on it predict real patients?",
        predictions(evaluation),
    );
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
        let said = format!(
            "{how} {:.3}, against {:.3} and {:.3} as usual: {gain}",
            worth.synthetic, worth.real, worth.usual
        );
        let kept = kept.map(|kept| kept >= GAIN_KEPT);
        let verdict = match (evaluation.patients.at_least(FEWEST), kept) {
            (Err(too_few), _) => Err(too_few),
            (Ok(()), Some(passed)) => Ok((passed, said)),
            (Ok(()), None) => Err(said),
        };
        let question =
            "Is a policy that is learnt from it worth as much as one from real patients?";
        Answer::new(USEFUL, "policies", question, verdict)
    });
    std::iter::once(predictions).chain(policies).collect()
}

fn predictions(evaluation: &Evaluation) -> Verdict {
    evaluation.patients.at_least(FEWEST)?;
    let nothing = "no patient has two steps, or nothing changes from one to the next";
    let Predictive { trained_on_synthetic, trained_on_real, steps } =
        evaluation.predictive.ok_or(nothing)?;
    if steps < FEWEST_STEPS {
        return Err(format!("there are {steps} steps to test on; it takes {FEWEST_STEPS} to ask"));
    }
    if trained_on_real <= 0. {
        return Err("not even real patients teach to predict others, so that there is nothing to \
                    compare with"
            .into());
    }
    let explained = match trained_on_synthetic {
        share if share < 0. => "none (it is worse than the mean)".into(),
        share => format!("{:.0} %", 100. * share),
    };
    let said = format!(
        "{explained} of the next step's variance, {:.0} % after training on real patients (up to \
         {:.0} less pass)",
        100. * trained_on_real,
        100. * LESS_PREDICTED
    );
    Ok((trained_on_synthetic >= trained_on_real - LESS_PREDICTED, said))
}
