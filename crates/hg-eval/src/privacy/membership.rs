//! Membership inference: is it hidden who was trained on?

use super::area::AreaAttack;
use super::closest_records::{Records, spread_rows};
use crate::statistics::{is_finite, mean, stride};
use crate::{Auc, Finding, Measure, Result, Subject, Topic, auc};
use hg_data::Encoded;
use rayon::prelude::*;

pub(crate) struct MembershipInference;

impl Measure for MembershipInference {
    fn id(&self) -> &'static str {
        "membership"
    }

    fn topic(&self) -> Topic {
        Topic::Privacy
    }

    fn stage(&self) -> &'static str {
        "membership attack"
    }

    fn about(&self) -> &'static str {
        "How well an attacker who holds a patient's records and the synthetic table, and not the \
         model, tells whether the patient was trained on: the score of a patient is the mean \
         Euclidean distance of their records to the closest synthetic ones, in encoded space \
         (Chen et al., GAN-Leaks, 2020, \
         [doi:10.1145/3372297.3417238](https://doi.org/10.1145/3372297.3417238)). The figure is \
         the area under the ROC curve between patients trained on and held-out ones, with its \
         95 % interval: 0.5 is not at all, 1 is always. It passes where 0.5 is inside the \
         interval or above it. It takes held-out patients."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let found = subject.held_out.and_then(|others| {
            let most = subject.max_attacked();
            attack([&subject.real.encoded, &others.encoded], &subject.synthetic.encoded, most)
        });
        let attacked = AreaAttack {
            about: "membership",
            question: "Is it hidden who was trained on?",
            figure: "membership attack, area under the curve",
            key: "membership",
            attacker: "an attacker who looks for the nearest synthetic records",
            nothing: "there are no records to compare",
        };
        attacked.finding(subject, found)
    }
}

/// How well an attacker who holds a patient's records tells whether they were trained on: by
/// the mean distance of the records to the closest synthetic ones (Chen et al., *GAN-Leaks*,
/// CCS 2020, without access to the model). `None` where a side has fewer than two patients, or
/// is encoded differently.
pub fn membership(members: &Encoded, others: &Encoded, synthetic: &Encoded) -> Option<Auc> {
    attack([members, others], synthetic, usize::MAX)
}

/// By so many patients of a side at most.
fn attack([members, others]: [&Encoded; 2], synthetic: &Encoded, most: usize) -> Option<Auc> {
    let is_other = |cohort: &Encoded| cohort.features != synthetic.features;
    if is_other(members) || is_other(others) {
        return None;
    }
    let records = Records::new(&spread_rows(synthetic));
    let scores = |cohort: &Encoded| -> Vec<f64> {
        let every = stride(cohort.lengths.len(), most);
        let chosen: Vec<usize> = (0..cohort.lengths.len()).step_by(every).collect();
        let distances = distances(cohort, &chosen, &records).into_iter().flatten();
        distances.map(|distance| -distance).collect()
    };
    auc(&scores(members), &scores(others))
}

/// The mean distance of each of some patients' records to the closest of others; `None` of a patient
/// without a record, or where there are no others.
pub(super) fn distances(cohort: &Encoded, chosen: &[usize], records: &Records) -> Vec<Option<f64>> {
    let distance = |&sequence: &usize| {
        let rows = (0..cohort.lengths[sequence]).map(|step| cohort.row(sequence, step));
        let rows = rows.filter(|row| is_finite(row));
        mean(rows.map(|row| records.closest_two(row)[0]))
    };
    chosen.par_iter().map(distance).collect()
}
