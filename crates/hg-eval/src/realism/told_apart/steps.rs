//! What a step is like, beside the one before: one row of numbers for each.

use hg_data::{Kind, Observed, Schema};
use hg_judge::{Features, Patient};

/// A step that has one before it.
pub(crate) struct Step {
    /// Which of the patients has it.
    pub(crate) patient: usize,
    row: usize,
}

/// The steps of some patients that have one before them; of more than `most`, evenly spread ones.
pub(crate) fn steps(chosen: &[Patient], most: usize) -> Vec<Step> {
    let all = chosen
        .iter()
        .enumerate()
        .flat_map(|(patient, of)| of.rows().skip(1).map(move |row| Step { patient, row }));
    let all: Vec<Step> = all.collect();
    let every = crate::statistics::stride(all.len(), most);
    all.into_iter().step_by(every).collect()
}

/// Of each step: every column's value or the position of its level, and of a column that is not
/// static also that of the step before, and by how much a number has changed.
pub(crate) fn features(schema: &Schema, cohort: &Observed, steps: &[Step]) -> Features {
    let mut features = Features::default();
    for (column, cells) in schema.columns.iter().zip(&cohort.columns) {
        let name = &column.name;
        let value = |row: usize| cells[row].filter(|value| value.is_finite()).unwrap_or(f64::NAN);
        features.add(name.clone(), steps, |step| value(step.row));
        if column.is_static {
            continue;
        }
        features.add(format!("{name}, before"), steps, |step| value(step.row - 1));
        if column.kind == Kind::Numeric {
            let change = |step: &Step| value(step.row) - value(step.row - 1);
            features.add(format!("{name}, change"), steps, change);
        }
    }
    features
}
