//! How often cells are missing.

use super::columns::missing_share;
use crate::judge::{Difference, within_limit};
use crate::{Answer, Finding, Measure, Result, Subject, Topic};

pub(crate) struct MissingCells;

impl Measure for MissingCells {
    fn id(&self) -> &'static str {
        "missing-cells"
    }

    fn topic(&self) -> Topic {
        Topic::Realism
    }

    fn stage(&self) -> &'static str {
        "missing cells"
    }

    fn about(&self) -> &'static str {
        "The greatest difference, over columns, of the shares of cells that are missing, in \
         [0, 1]: 0 is equal. Columns without a gap in either cohort are left out. Up to 0.1 \
         passes. The shares themselves are in the table of columns."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let columns = &subject.real.observed.columns;
        let shares = columns.iter().zip(&subject.synthetic.observed.columns);
        let shares = shares.map(|(real, synthetic)| [real, synthetic].map(|c| missing_share(c)));
        let greatest = shares
            .filter(|[real, synthetic]| real.max(*synthetic) > 0.)
            .map(|[real, synthetic]| (real - synthetic).abs())
            .max_by(f64::total_cmp);

        let difference = Difference {
            name: "greatest difference of shares",
            synthetic: greatest,
            held_out: None,
        };
        let outcome = within_limit(&subject.patients(), &[difference], "neither cohort has a gap");
        let question = "Are cells missing as often as in the real cohort?";
        Ok(Finding::new().with_answer(Answer::new("gaps", question, outcome)))
    }
}
