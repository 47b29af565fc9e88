//! Values of the synthetic table that cannot be: outside the fitted domain.

use crate::{Answer, Finding, Measure, Outcome, Result, Subject, Topic};
use hg_data::OutOfDomain;

/// Columns with values out of the domain that are named; the others are counted.
const MAX_NAMED: usize = 3;

pub(crate) struct Domain;

impl Measure for Domain {
    fn id(&self) -> &'static str {
        "domain"
    }

    fn topic(&self) -> Topic {
        Topic::Realism
    }

    fn stage(&self) -> &'static str {
        "possible values"
    }

    fn about(&self) -> &'static str {
        "Cells of the synthetic table that have no place in the domain fitted to the real one: levels \
         that it does not have, numbers for which the column's transform has no place (far beyond \
         the real values), values in a column that is empty there. They are counted by column; \
         every other measure takes the nearest possible value in their place. One such cell fails."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let outside = &subject.synthetic.observed.out_of_domain;
        let question = "Are all values possible ones?";
        Finding::new()
            .with_answer(Answer::new("domain", question, judge(outside)))
            .with_detail(outside.clone())
            .with_json("out_of_domain", outside)
    }
}

/// One impossible value is one too many, of however few patients.
fn judge(outside: &[OutOfDomain]) -> Outcome {
    if outside.is_empty() {
        let said = "every synthetic value has a place among those that the real cohort allows";
        return Ok((true, said.into()));
    }
    let said = |OutOfDomain { column, problem, cells, example, row }: &OutOfDomain| {
        let plural = if *cells == 1 { "" } else { "s" };
        format!("`{column}` has {cells} cell{plural} outside (row {row}: `{example}` {problem})")
    };
    let mut columns: Vec<String> = outside.iter().take(MAX_NAMED).map(said).collect();
    if outside.len() > MAX_NAMED {
        columns.push(format!("and {} more columns", outside.len() - MAX_NAMED));
    }
    Ok((false, format!("{}; the nearest possible values are measured", columns.join("; "))))
}
