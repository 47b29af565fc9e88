//! Attacks whose success is an area under the ROC curve.

use crate::judge::MIN_PATIENTS;
use crate::{Answer, Auc, Figure, Finding, Outcome, Result, Subject};

/// An attack that scores patients; the area under the ROC curve between those trained on and held-out ones
/// says how well the scores tell them apart.
pub(super) struct AreaAttack {
    /// What the answer is about, and its question.
    pub(super) about: &'static str,
    pub(super) question: &'static str,
    /// The figure's name.
    pub(super) figure: &'static str,
    /// Its key in JSON.
    pub(super) key: &'static str,
    /// Who is right so often.
    pub(super) attacker: &'static str,
    /// Why there is no area, where there are patients enough.
    pub(super) nothing: &'static str,
}

impl AreaAttack {
    /// What such an attack found.
    pub(super) fn finding(&self, subject: &Subject<'_>, found: Option<Auc>) -> Result<Finding> {
        let figure =
            Figure { name: self.figure.into(), synthetic: found.map(Into::into), held_out: None };
        let answer = Answer::new(self.about, self.question, self.judge(subject, found));
        let finding =
            Finding::new().with_answer(answer).with_figure(figure).with_json(self.key, &found)?;
        Ok(match found {
            Some(auc) => finding.with_detail(auc),
            None => finding,
        })
    }

    fn judge(&self, subject: &Subject<'_>, found: Option<Auc>) -> Outcome {
        let counts = subject.patients();
        counts.held_out_at_least(MIN_PATIENTS)?;
        counts.at_least(MIN_PATIENTS)?;
        let Auc { area, low, high } = found.ok_or(self.nothing)?;
        let said = format!(
            "{} is right with an area under the curve of {area:.2} ({low:.2} to {high:.2}; passes where 0.5 \
             is inside or above)",
            self.attacker
        );
        Ok((low <= 0.5, said))
    }
}
