//! Rules of the schema, and how often each cohort breaks them.

use crate::{Answer, Finding, Measure, ReportTable, Result, Subject, Topic};
use hg_data::Violations;

pub(crate) struct Rules;

impl Measure for Rules {
    fn id(&self) -> &'static str {
        "rules"
    }

    fn topic(&self) -> Topic {
        Topic::Realism
    }

    fn stage(&self) -> &'static str {
        "rules"
    }

    fn about(&self) -> &'static str {
        "In how many rows each of the schema's rules (`[[rules]]`) is broken, in the synthetic, the \
         real and the held-out table; rows with a gap in one of a rule's columns do not count. The \
         verdict passes where no synthetic row breaks a rule. Tables that `hg` makes keep all rules \
         by construction; those of other programs may not."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let synthetic = &subject.synthetic.observed.violations;
        let real = &subject.real.observed.violations;
        let held_out = subject.held_out.map(|cohort| &cohort.observed.violations);
        let finding = Finding::new().with_json("rules", synthetic)?;
        if synthetic.is_empty() {
            return Ok(finding);
        }
        let mut header = vec!["rule".into(), "synthetic".into(), "real".into()];
        header.extend(held_out.map(|_| "held out".into()));
        let rows = synthetic.iter().enumerate().map(|(n, of_rule)| {
            let of = |cohort: &[Violations]| cohort.get(n).map_or_else(String::new, shown);
            let mut row = vec![of_rule.rule.clone(), shown(of_rule), of(real)];
            row.extend(held_out.map(|cohort| of(cohort)));
            row
        });
        let table = ReportTable {
            title: "Rules".into(),
            note: "Rows that break each rule, of those to which it applies.".into(),
            header,
            rows: rows.collect(),
        };
        Ok(finding.with_table(table).with_answer(answer(synthetic)))
    }
}

fn shown(of_rule: &Violations) -> String {
    format!("{} of {}", of_rule.broken, of_rule.rows)
}

fn answer(synthetic: &[Violations]) -> Answer {
    let broken: Vec<&Violations> = synthetic.iter().filter(|rule| rule.broken > 0).collect();
    let because = match broken.as_slice() {
        [] if synthetic.len() == 1 => "it holds in every row".to_owned(),
        [] => format!("all {} hold in every row", synthetic.len()),
        [first, ..] => format!(
            "{} of {} are broken, as {} in {} rows",
            broken.len(),
            synthetic.len(),
            first.rule,
            first.broken
        ),
    };
    let outcome = match synthetic.iter().all(|rule| rule.rows == 0) {
        true => Err("no row has the columns that the rules are about".into()),
        false => Ok((broken.is_empty(), because)),
    };
    Answer::new("rules", "Do the rules hold that real rows keep?", outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;

    #[test]
    fn one_broken_row_fails_and_no_row_says_nothing() {
        let of = |rows, broken| Violations { rule: "a <= b".into(), rows, broken };
        assert_eq!(answer(&[of(9, 0), of(0, 0)]).verdict, Verdict::Passed);
        assert_eq!(answer(&[of(9, 0), of(5, 1)]).verdict, Verdict::Failed);
        assert_eq!(answer(&[of(0, 0)]).verdict, Verdict::Open);
    }
}
