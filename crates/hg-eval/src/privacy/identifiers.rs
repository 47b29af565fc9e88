//! Identifiers of real patients in the synthetic table.

use crate::judge::{MIN_PATIENTS, patients};
use crate::{Answer, Finding, Measure, Outcome, Result, Subject, Topic};

pub(crate) struct SharedIdentifiers;

impl Measure for SharedIdentifiers {
    fn id(&self) -> &'static str {
        "identifiers"
    }

    fn topic(&self) -> Topic {
        Topic::Privacy
    }

    fn stage(&self) -> &'static str {
        "identifiers"
    }

    fn about(&self) -> &'static str {
        "Synthetic patients who carry a real patient's identifier, counted by column, for the \
         patient column and for columns that look like identifiers (record numbers and codes), \
         modelled or not. Running numbers of synthetic patients are left out. One such patient \
         fails. It takes the tables themselves."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let question = "Does no synthetic patient carry a real one's identifier?";
        Finding::new()
            .with_answer(Answer::new("identifiers", question, judge(subject)))
            .with_json("identifiers", &subject.identifiers)
    }
}

/// One shared identifier is enough to fail, of however few patients.
fn judge(subject: &Subject<'_>) -> Outcome {
    let found = subject.identifiers.ok_or("the tables themselves were not at hand")?;
    let shared: Vec<String> = found
        .columns
        .iter()
        .filter(|column| column.shared > 0)
        .map(|column| {
            format!(
                "column `{}`: {} of {} carry a real one",
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
    let compared: Vec<String> = compared.map(|column| format!("`{}`", column.column)).collect();
    if compared.is_empty() {
        return Err("the tables have no identifiers in common to compare: synthetic patients are \
                    numbered"
            .into());
    }
    subject.patients().at_least(MIN_PATIENTS)?;
    Ok((true, format!("no real identifier appears; compared: {}", compared.join(", "))))
}
