//! Linkability: do the synthetic patients tell that two records are of one person (Giomi et al., Anonymeter,
//! *PoPETs* 2023(2))?
//!
//! An attacker has two tables of real people, each with half of the columns, and looks for the synthetic
//! patients nearest to a record of either. Where these are among the same few, the records are taken to be of
//! one person. Held-out patients are linked as well as the columns depend on each other.

use super::distance::Distance;
use super::patients::Patients;
use super::risk::{Risk, TRAINED_ON, judge};
use crate::statistics::stride;
use crate::{Answer, Finding, Measure, Result, Subject, Topic};
use rayon::prelude::*;

/// So many nearest synthetic patients are looked at by either record.
const NEAREST: usize = 5;

pub(crate) struct Linkability;

impl Measure for Linkability {
    fn id(&self) -> &'static str {
        "linkability"
    }

    fn topic(&self) -> Topic {
        Topic::Privacy
    }

    fn stage(&self) -> &'static str {
        "linkability"
    }

    fn about(&self) -> &'static str {
        "Whether synthetic patients help to find out that two records are of one person: an attacker \
         knows every other column of a patient (its mean, or the commonest level) from one table and the \
         rest from another, and takes both for one \
         person where a synthetic patient is among the five nearest to each (a difference of one standard \
         deviation, or of a level, counts 1; Giomi et al., Anonymeter, 2023, \
         [doi:10.56553/popets-2023-0055](https://doi.org/10.56553/popets-2023-0055)). The figure is the \
         risk (a − c) / (1 − c), a and c being the shares of patients trained on and of held-out ones who \
         are linked so, with a 95 % interval (Wilson 1927, Newcombe 1998). It passes where 0 is inside the \
         interval or above it. It takes held-out patients."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let found = linkability(subject);
        let nothing = "there are not two columns that differ, or all held-out patients are linked";
        let outcome = judge(&subject.patients(), TRAINED_ON, &[(LINKED, found)], nothing);
        let question = "Are records of one person found to be that no more than of others?";
        let finding = Finding::new()
            .with_answer(Answer::new("linkable", question, outcome))
            .with_figures(found.iter().flat_map(|risk| risk.figures("records linked")))
            .with_json("linkability", &found)?;
        Ok(match found {
            Some(risk) => finding.with_detail(risk),
            None => finding,
        })
    }
}

const LINKED: &str = "records linked";

fn linkability(subject: &Subject<'_>) -> Option<Risk> {
    let schema = &subject.encoder.schema;
    let [real, synthetic, others] = [subject.real, subject.synthetic, subject.held_out?]
        .map(|cohort| Patients::new(schema, &cohort.observed));
    let tables = tables(&real);
    if synthetic.count == 0 || tables.iter().any(Vec::is_empty) {
        return None;
    }
    let distances = tables.each_ref().map(|columns| Distance::new(schema, columns, &real));
    let linked = |side: &Patients| -> Vec<f64> {
        let every = stride(side.count, subject.max_attacked());
        let patients: Vec<usize> = (0..side.count).step_by(every).collect();
        let is_linked = |&patient: &usize| {
            let [first, second] =
                distances.each_ref().map(|by| nearest(by, (side, patient), &synthetic));
            f64::from(u8::from(first.iter().any(|other| second.contains(other))))
        };
        patients.par_iter().map(is_linked).collect()
    };
    Risk::new(&linked(&real), &linked(&others))
}

/// The columns that each of two tables has: every other one of those that differ from patient to patient.
fn tables(real: &Patients) -> [Vec<usize>; 2] {
    let differs = |&n: &usize| {
        let mut values = real.columns[n].iter();
        let first = values.next();
        values.any(|value| Some(value) != first)
    };
    let all: Vec<usize> = (0..real.columns.len()).filter(differs).collect();
    let half = |first: usize| all.iter().skip(first).step_by(2).copied().collect();
    [half(0), half(1)]
}

/// The synthetic patients nearest to a patient; of equally near ones the first.
fn nearest(distance: &Distance<'_>, of: (&Patients, usize), synthetic: &Patients) -> Vec<usize> {
    let mut order: Vec<(f64, usize)> =
        (0..synthetic.count).map(|other| (distance.of(of, (synthetic, other)), other)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    order.into_iter().take(NEAREST).map(|(_, other)| other).collect()
}
