//! Sensitive attributes: what an attacker who knows a patient's quasi-identifiers may learn.

use super::patients::Patients;
use crate::statistics::shares;
use hg_data::{Kind, Schema};

/// Why a question about sensitive attributes is open.
pub(super) const NO_ATTRIBUTE: &str = "the schema has no static column and none in \
    `patient.quasi_identifiers`, or no other column differs from patient to patient and has \
    synthetic values";

/// The quasi-identifiers of a schema, and the other columns as sensitive attributes.
pub(crate) struct SensitiveAttributes {
    /// Positions of the columns that an attacker knows.
    pub(crate) quasi_identifiers: Vec<usize>,
    /// The other columns.
    pub(crate) attributes: Vec<SensitiveAttribute>,
}

/// A column that an attacker guesses, and when a guess counts as right.
pub(crate) struct SensitiveAttribute {
    /// Its position in the schema.
    pub(crate) column: usize,
    /// The share of real patients with each level; none for a number.
    shares: Vec<f64>,
    /// How near a number must come.
    tolerance: f64,
}

/// 1.48 median absolute deviations are one standard deviation of a normal law.
const DEVIATIONS: f64 = 1.48;

impl SensitiveAttributes {
    /// `None` where all columns are quasi-identifiers, or none is, or no guess of the others
    /// would tell anything, as where they are constant, or the synthetic patients have no value
    /// to guess from.
    pub(crate) fn new(schema: &Schema, real: &Patients, synthetic: &Patients) -> Option<Self> {
        let quasi_identifiers = schema.quasi_identifiers();
        let others = (0..schema.columns.len()).filter(|n| !quasi_identifiers.contains(n));
        let attribute = |column: usize| {
            let values: Vec<f64> = real.columns[column].iter().flatten().copied().collect();
            if schema.columns[column].kind == Kind::Numeric {
                let centre = median(values.clone());
                let deviation = median(values.iter().map(|value| (value - centre).abs()).collect());
                return SensitiveAttribute {
                    column,
                    shares: Vec::new(),
                    tolerance: DEVIATIONS * deviation,
                };
            }
            let levels = schema.columns[column].level_names().len();
            SensitiveAttribute { column, shares: shares(&values, levels), tolerance: 0. }
        };
        let attributes: Vec<SensitiveAttribute> = others.map(attribute).collect();
        let has_values = |column: usize| synthetic.columns[column].iter().any(Option::is_some);
        let is_asked = quasi_identifiers.iter().any(|&column| has_values(column))
            && attributes
                .iter()
                .any(|attribute| attribute.is_informative() && has_values(attribute.column));
        is_asked.then_some(Self { quasi_identifiers, attributes })
    }
}

impl SensitiveAttribute {
    /// Whether the column holds numbers.
    pub(crate) fn is_number(&self) -> bool {
        self.shares.is_empty()
    }

    /// Whether some right guess tells more than that most patients are like this.
    fn is_informative(&self) -> bool {
        if self.is_number() {
            return self.tolerance > 0.;
        }
        self.shares.iter().any(|&share| share > 0. && share < 0.5)
    }

    /// Whether a guess is right: the level, or nearer than 1.48 median absolute deviations.
    pub(crate) fn is_right(&self, guess: f64, truth: f64) -> bool {
        if self.is_number() { (guess - truth).abs() < self.tolerance } else { guess == truth }
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
