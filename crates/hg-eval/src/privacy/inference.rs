//! Attribute inference: what somebody who knows a person's quasi-identifiers guesses of the
//! other columns.

use super::distance::Distance;
use super::patients::{Patients, commonest};
use super::risk::Risk;
use super::sensitive_attributes::{NO_ATTRIBUTE, SensitiveAttribute, SensitiveAttributes, median};
use crate::judge::MIN_PATIENTS;
use crate::statistics::{mean, stride};
use crate::{
    Answer, Auc, Figure, FigureValue, Finding, Measure, Outcome, Result, Subject, Topic, auc,
};
use hg_data::Schema;
use rayon::prelude::*;
use serde::Serialize;

/// How well sensitive attributes are guessed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Inference {
    /// The share of right guesses of patients that were trained on.
    pub trained_on: f64,
    /// The share of right guesses of held-out patients.
    pub others: f64,
    /// How well a patient's share of right guesses tells those trained on from the others: 0.5
    /// is not at all.
    pub told_apart: Auc,
    /// What is guessed of those trained on beyond what is guessed of the others; `None` where
    /// everything is guessed of these.
    pub beyond: Option<Risk>,
}

pub(crate) struct AttributeInference;

impl Measure for AttributeInference {
    fn id(&self) -> &'static str {
        "inference"
    }

    fn topic(&self) -> Topic {
        Topic::Privacy
    }

    fn stage(&self) -> &'static str {
        "attribute inference"
    }

    fn about(&self) -> &'static str {
        "What an attacker who knows a patient's quasi-identifiers guesses of the other columns: \
         the median (numbers) or the commonest level of the synthetic patients who are nearest in \
         the quasi-identifiers (a difference of one standard deviation, or of a level, counts 1). \
         A guess is right where the level is, or where the number is nearer than 1.48 median \
         absolute deviations. Held-out patients are guessed as well as the cohort allows; only \
         what is guessed better of those trained on has leaked (Giomi et al., Anonymeter, 2023, \
         [doi:10.56553/popets-2023-0055](https://doi.org/10.56553/popets-2023-0055)). The figures \
         are the shares of right guesses in [0, 1], the risk (a − c) / (1 − c) of a right guess of those \
         trained on (a) beyond that of others (c) with a 95 % interval, and the area under the ROC curve by \
         which the shares tell the two groups apart; it passes where 0.5 is inside its 95 % interval or \
         above it."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let schema = &subject.encoder.schema;
        let [real, synthetic] =
            [subject.real, subject.synthetic].map(|cohort| Patients::new(schema, &cohort.observed));
        let attributes = SensitiveAttributes::new(schema, &real, &synthetic);
        let found = match (subject.held_out, &attributes) {
            (Some(others), Some(attributes)) => {
                let others = Patients::new(schema, &others.observed);
                let most = subject.max_attacked();
                inference(schema, attributes, [&real, &others], &synthetic, most)
            }
            _ => None,
        };

        let question = "Is no more guessed of those trained on than of others?";
        let outcome = judge(subject, attributes.is_some(), found.as_ref());
        let finding = Finding::new()
            .with_answer(Answer::new("inferred", question, outcome))
            .with_json("inference", &found)?;
        let Some(found) = found else { return Ok(finding) };
        let percent = |share| FigureValue::Percent { share, decimals: 1 };
        let guesses = Figure::new("right guesses of what is not known", percent(found.trained_on));
        Ok(finding
            .with_figure(guesses.held_out(percent(found.others)))
            .with_figure(Figure::new("told apart by right guesses, area", found.told_apart))
            .with_figures(
                found.beyond.map(|beyond| {
                    Figure::new("right guesses beyond those of others: risk", beyond)
                }),
            )
            .with_detail(found))
    }
}

fn judge(subject: &Subject<'_>, has_attributes: bool, found: Option<&Inference>) -> Outcome {
    if !has_attributes {
        return Err(NO_ATTRIBUTE.into());
    }
    let counts = subject.patients();
    counts.held_out_at_least(MIN_PATIENTS)?;
    counts.at_least(MIN_PATIENTS)?;
    let found = found.ok_or(NO_ATTRIBUTE)?;
    let Auc { area, low, high } = found.told_apart;
    let said = format!(
        "{:.0} % of guesses are right, {:.0} % of other patients; the area under the curve is \
         {area:.2} ({low:.2} to {high:.2}; passes where 0.5 is inside or above)",
        100. * found.trained_on,
        100. * found.others,
    );
    Ok((low <= 0.5, said))
}

/// Attacks real patients that were trained on, and others; `None` where a side has fewer than
/// two patients.
fn inference(
    schema: &Schema,
    attributes: &SensitiveAttributes,
    [real, others]: [&Patients; 2],
    synthetic: &Patients,
    most: usize,
) -> Option<Inference> {
    if synthetic.count == 0 {
        return None;
    }
    let attack = Attack::new(schema, attributes, real, synthetic);
    let (of_real, of_others) =
        (attack.right_guesses(real, most), attack.right_guesses(others, most));
    Some(Inference {
        trained_on: mean(of_real.iter().copied())?,
        others: mean(of_others.iter().copied())?,
        told_apart: auc(&of_real, &of_others)?,
        beyond: Risk::new(&of_real, &of_others),
    })
}

/// An attacker who holds the synthetic patients.
struct Attack<'a> {
    attributes: &'a SensitiveAttributes,
    synthetic: &'a Patients,
    distance: Distance<'a>,
}

impl<'a> Attack<'a> {
    fn new(
        schema: &Schema,
        attributes: &'a SensitiveAttributes,
        real: &Patients,
        synthetic: &'a Patients,
    ) -> Self {
        let distance = Distance::new(schema, &attributes.quasi_identifiers, real);
        Self { attributes, synthetic, distance }
    }

    /// The share of right guesses of each of some evenly spread patients.
    fn right_guesses(&self, side: &Patients, most: usize) -> Vec<f64> {
        let every = stride(side.count, most);
        let patients: Vec<usize> = (0..side.count).step_by(every).collect();
        let right_guesses = |&patient: &usize| {
            let nearest = self.nearest(side, patient);
            let asked = self.attributes.attributes.iter().filter_map(|attribute| {
                let truth = side.columns[attribute.column][patient]?;
                let guess = self.guess(attribute, &nearest);
                let is_right = guess.is_some_and(|guess| attribute.is_right(guess, truth));
                Some(f64::from(u8::from(is_right)))
            });
            // Of a patient without any value nothing is guessed right.
            mean(asked).unwrap_or(0.)
        };
        patients.par_iter().map(right_guesses).collect()
    }

    /// The synthetic patients who are nearest to a patient in the quasi-identifiers.
    fn nearest(&self, side: &Patients, patient: usize) -> Vec<usize> {
        let mut nearest = (f64::INFINITY, Vec::new());
        for other in 0..self.synthetic.count {
            let distance = self.distance.of((side, patient), (self.synthetic, other));
            if distance < nearest.0 {
                nearest = (distance, vec![other]);
            } else if distance == nearest.0 {
                nearest.1.push(other);
            }
        }
        nearest.1
    }

    /// The median or the commonest level of these synthetic patients; `None` where they have no
    /// value.
    fn guess(&self, attribute: &SensitiveAttribute, nearest: &[usize]) -> Option<f64> {
        let cells = &self.synthetic.columns[attribute.column];
        let seen: Vec<f64> = nearest.iter().filter_map(|&patient| cells[patient]).collect();
        match (seen.is_empty(), attribute.is_number()) {
            (true, _) => None,
            (false, true) => Some(median(seen)),
            (false, false) => commonest(&seen),
        }
    }
}
