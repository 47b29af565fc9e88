//! What is evaluated: the cohorts, how they were encoded, and what else is at hand.

use crate::Simulator;
use crate::judge::MIN_PATIENTS;
use hg_data::{Encoded, Encoder, Identifiers, Observed};
use hg_models::RowLayout;
use serde::Serialize;

/// Patients of a side that are attacked usually.
const MAX_ATTACKED: usize = 1000;

/// A cohort, as it was observed and encoded.
#[derive(Clone, Debug)]
pub struct Cohort {
    /// The cells on the schema's grid, with gaps where nothing was measured.
    pub observed: Observed,
    /// The sequences `[patients, steps, features]` by the encoder that was fitted to the
    /// patients that were trained on.
    pub encoded: Encoded,
}

/// What a [`Measure`](crate::Measure) sees: a synthetic cohort beside the real one.
///
/// ```no_run
/// # fn of(encoder: &hg_data::Encoder, real: &hg_eval::Cohort, synthetic: &hg_eval::Cohort)
/// # -> hg_eval::Result<()> {
/// use hg_eval::{Subject, evaluate, measures};
///
/// let subject = Subject::new(encoder, real, synthetic);
/// let evaluation = evaluate(&subject, &measures(), &mut |_| {})?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Subject<'a> {
    /// How the cohorts were encoded; its `schema` names the columns.
    pub encoder: &'a Encoder,
    /// The patients that were trained on.
    pub real: &'a Cohort,
    /// The synthetic patients.
    pub synthetic: &'a Cohort,
    /// Real patients that were not trained on: the yardstick. `None` where none were held out.
    pub held_out: Option<&'a Cohort>,
    /// Identifiers that the real and the synthetic table have in common; `None` where the
    /// tables themselves were not compared.
    pub identifiers: Option<&'a Identifiers>,
    /// For simulated cohorts: what becomes of patients under a policy.
    pub simulator: Option<&'a dyn Simulator>,
    /// What a reader of the report must know of the cohorts, in whole sentences.
    pub remarks: &'a [String],
    /// How much work attacks may take.
    pub attacks: Attacks,
    /// Cohorts of models that were trained as the one that is attacked was, to attack by.
    pub shadows: Option<&'a [Shadow]>,
}

/// A synthetic cohort of a model that was trained as the one that is attacked was, on other patients of
/// whom it is known who they were.
#[derive(Clone, Debug)]
pub struct Shadow {
    /// The synthetic patients, encoded as the real ones are.
    pub synthetic: Cohort,
    /// Whether it was trained on each of the real patients of the subject, and then of those held out.
    pub trained_on: Vec<bool>,
}

/// How much work attacks may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attacks {
    /// Seconds: of many patients some are attacked.
    #[default]
    Usual,
    /// Minutes: all patients are attacked, and models are trained to attack by.
    Thorough,
}

impl<'a> Subject<'a> {
    /// A real and a synthetic cohort, with nothing else at hand.
    pub fn new(encoder: &'a Encoder, real: &'a Cohort, synthetic: &'a Cohort) -> Self {
        Self {
            encoder,
            real,
            synthetic,
            held_out: None,
            identifiers: None,
            simulator: None,
            remarks: &[],
            attacks: Attacks::Usual,
            shadows: None,
        }
    }

    /// Adds real patients that were not trained on, as the yardstick.
    #[must_use]
    pub fn with_held_out(self, held_out: Option<&'a Cohort>) -> Self {
        Self { held_out, ..self }
    }

    /// Adds what [`Identifiers::find`] found in the tables.
    #[must_use]
    pub fn with_identifiers(self, identifiers: &'a Identifiers) -> Self {
        Self { identifiers: Some(identifiers), ..self }
    }

    /// Adds a simulator, in which policies are run.
    #[must_use]
    pub fn with_simulator(self, simulator: Option<&'a dyn Simulator>) -> Self {
        Self { simulator, ..self }
    }

    /// Adds what a reader of the report must know of the cohorts, in whole sentences.
    #[must_use]
    pub fn with_remarks(self, remarks: &'a [String]) -> Self {
        Self { remarks, ..self }
    }

    /// Lets attacks take more work.
    #[must_use]
    pub fn with_attacks(self, attacks: Attacks) -> Self {
        Self { attacks, ..self }
    }

    /// Adds cohorts of other models to attack by.
    #[must_use]
    pub fn with_shadows(self, shadows: Option<&'a [Shadow]>) -> Self {
        Self { shadows, ..self }
    }

    /// Whether there are enough patients of each kind for attacks to have a verdict.
    pub fn can_be_attacked(&self) -> bool {
        let counts = self.patients();
        counts.has_yardstick() && counts.at_least(MIN_PATIENTS).is_ok()
    }

    /// Patients of a side that are attacked; of more, evenly spread ones are.
    pub(crate) fn max_attacked(&self) -> usize {
        match self.attacks {
            Attacks::Usual => MAX_ATTACKED,
            Attacks::Thorough => usize::MAX,
        }
    }

    /// How many patients there are of each kind.
    pub fn patients(&self) -> PatientCounts {
        let count = |cohort: &Cohort| cohort.observed.lengths.len();
        PatientCounts {
            real: count(self.real),
            held_out: self.held_out.map(count),
            synthetic: count(self.synthetic),
        }
    }

    /// The layout of an encoded row.
    pub fn layout(&self) -> RowLayout {
        RowLayout::new(self.encoder.numeric_features(), self.encoder.blocks())
    }
}

/// How many patients were compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PatientCounts {
    /// Real patients that were trained on.
    pub real: usize,
    /// Real patients that were held out of training; `None` where none were.
    pub held_out: Option<usize>,
    /// Synthetic patients.
    pub synthetic: usize,
}
