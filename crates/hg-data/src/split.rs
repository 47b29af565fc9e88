//! Which patients are held out of training.

use crate::Result;
use crate::parsed::{PATIENT, ParsedTable};
use polars_core::prelude::*;
use sha2::{Digest, Sha256};

/// A split of the patients. Whether one is held out depends on the seed and the id alone,
/// so all rows of a patient, and all windows, lie on one subset, in whatever order they come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// The share of patients that is held out, in [0, 1); about so many are.
    pub share: f64,
    /// Which ones.
    pub seed: u64,
}

/// The subset of a split that is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Subset {
    /// Everybody.
    Whole,
    /// Those that are not held out.
    Training(Split),
    /// Those that are.
    HeldOut(Split),
}

impl Split {
    fn holds_out(self, patient: &str) -> bool {
        let mut digest = Sha256::new();
        digest.update(self.seed.to_le_bytes());
        digest.update(patient.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest.finalize()[..8]);
        (u64::from_le_bytes(first) as f64) < self.share * 2f64.powi(64)
    }
}

impl Subset {
    /// Whether the patient with an id is in this subset.
    pub fn takes(self, patient: &str) -> bool {
        match self {
            Self::Whole => true,
            Self::Training(split) => !split.holds_out(patient),
            Self::HeldOut(split) => split.holds_out(patient),
        }
    }

    /// What is wrong where a split of `patients` patients leaves this subset, or the other,
    /// without any.
    pub(crate) fn of_empty(self, patients: usize, is_other: bool) -> Option<String> {
        let (split, is_training) = match self {
            Self::Whole => return None,
            Self::Training(split) => (split, true),
            Self::HeldOut(split) => (split, false),
        };
        let Split { share, seed } = split;
        Some(if is_training == is_other {
            format!(
                "held_out = {share} with seed {seed} holds none of {patients} patients out\nhint: raise \
                 it, choose another --seed, or leave it out and train on all"
            )
        } else {
            format!(
                "held_out = {share} with seed {seed} holds all of {patients} patients out, and \
                 none is left to train on\nhint: lower it, or choose another --seed"
            )
        })
    }

    /// Leaves this subset's rows.
    pub(crate) fn of(self, parsed: ParsedTable) -> Result<ParsedTable> {
        if self == Self::Whole {
            return Ok(parsed);
        }
        let taken: Vec<bool> = parsed.patients.iter().map(|id| self.takes(id)).collect();
        let patients = parsed.frame.column(PATIENT)?.u32()?;
        let is_taken = |patient: Option<u32>| patient.is_some_and(|n| taken[n as usize]);
        let rows: BooleanChunked = patients.iter().map(is_taken).collect();
        Ok(ParsedTable { frame: parsed.frame.filter(&rows)?, ..parsed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_the_share_is_held_out_and_the_sides_are_disjoint() {
        let split = Split { share: 0.2, seed: 7 };
        let ids: Vec<String> = (0..2000).map(|n| format!("patient {n}")).collect();
        let held = ids.iter().filter(|id| Subset::HeldOut(split).takes(id)).count();
        assert!((340..460).contains(&held), "{held}");
        assert!(
            ids.iter()
                .all(|id| Subset::HeldOut(split).takes(id) != Subset::Training(split).takes(id))
        );
        let other = Split { seed: 8, ..split };
        assert!(
            ids.iter()
                .any(|id| Subset::HeldOut(split).takes(id) != Subset::HeldOut(other).takes(id))
        );
    }
}
