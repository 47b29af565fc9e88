//! What somebody may learn about a patient of whom they know a few columns.

use super::patients::Patients;
use crate::statistics::shares;
use hg_data::{Kind, Schema};

/// The columns that are not known, and when a guess of one counts as right.
pub(crate) struct SensitiveAttributes {
    /// Positions of the columns that are known.
    pub(crate) known: Vec<usize>,
    /// The others.
    pub(crate) columns: Vec<Secret>,
}

/// A column that is not known.
pub(crate) struct Secret {
    pub(crate) column: usize,
    /// The share of real patients with each level; none for a number.
    shares: Vec<f64>,
    /// How near a number must come.
    near: f64,
}

/// 1.48 median absolute deviations are one standard deviation of a normal law.
const DEVIATIONS: f64 = 1.48;

impl SensitiveAttributes {
    /// `None` where all columns are known, or none, or no guess of the others would tell
    /// anything, as where they are constant, or the synthetic patients have no value to guess
    /// from.
    pub(crate) fn new(schema: &Schema, real: &Patients, synthetic: &Patients) -> Option<Self> {
        let known = schema.quasi_identifiers();
        let others = (0..schema.columns.len()).filter(|n| !known.contains(n));
        let secret = |column: usize| {
            let values: Vec<f64> = real.columns[column].iter().flatten().copied().collect();
            if schema.columns[column].kind == Kind::Numeric {
                let centre = median(values.clone());
                let apart = median(values.iter().map(|value| (value - centre).abs()).collect());
                return Secret { column, shares: Vec::new(), near: DEVIATIONS * apart };
            }
            let levels = schema.columns[column].level_names().len();
            Secret { column, shares: shares(&values, levels), near: 0. }
        };
        let columns: Vec<Secret> = others.map(secret).collect();
        let has_values = |column: usize| synthetic.columns[column].iter().any(Option::is_some);
        let is_asked = known.iter().any(|&column| has_values(column))
            && columns.iter().any(|secret| secret.is_secret() && has_values(secret.column));
        is_asked.then_some(Self { known, columns })
    }
}

impl Secret {
    pub(crate) fn is_number(&self) -> bool {
        self.shares.is_empty()
    }

    /// Whether any right guess tells something.
    fn is_secret(&self) -> bool {
        if self.is_number() {
            return self.near > 0.;
        }
        self.shares.iter().any(|&share| share > 0. && share < 0.5)
    }

    /// Whether a guess is right: the level, or nearer than 1.48 median absolute deviations.
    pub(crate) fn is_right(&self, guess: f64, truth: f64) -> bool {
        if self.is_number() { (guess - truth).abs() < self.near } else { guess == truth }
    }

    /// Whether a right guess tells more than that most patients are like this.
    pub(crate) fn tells(&self, guess: f64, truth: f64) -> bool {
        let share = self.shares.get(truth as usize).copied().unwrap_or(0.);
        self.is_right(guess, truth) && share < 0.5
    }
}

/// The middle of some values, 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.,
    }
}
