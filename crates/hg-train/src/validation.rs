//! How good a run's generator is at a time, by a judge from outside.

use crate::{Error, Result};

/// What a judge says of a synthetic cohort.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValidationScore {
    /// How far it is from real patients: 0 is best.
    pub score: f64,
    /// The entropy of its columns over that of the real ones: near 0 the generator always
    /// makes the same row.
    pub diversity: f64,
}

/// A generator that had reached this diversity …
const DIVERSE: f64 = 0.5;
/// … and falls below this one has collapsed.
const COLLAPSED: f64 = 0.1;

/// What a run remembers of its validations and restarts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ValidationState {
    /// The best score so far; infinite before the first.
    pub(crate) best: f64,
    /// Validations since then.
    pub(crate) since_best: u64,
    /// Whether the generator has been diverse.
    pub(crate) was_diverse: bool,
    /// How often the run went back.
    pub(crate) restarts: u64,
}

impl Default for ValidationState {
    fn default() -> Self {
        Self { best: f64::INFINITY, since_best: 0, was_diverse: false, restarts: 0 }
    }
}

impl ValidationState {
    /// Takes in a judgement of the weights after `iteration`; whether it is the best so far.
    pub(crate) fn judge(&mut self, iteration: u64, judgement: ValidationScore) -> Result<bool> {
        let ValidationScore { score, diversity } = judgement;
        if self.was_diverse && diversity < COLLAPSED {
            let problem = format!(
                "the generator has collapsed: its columns have {:.0} % of the entropy of the real \
                 ones",
                100. * diversity
            );
            return Err(Error::Diverged { iteration, problem });
        }
        self.was_diverse |= diversity > DIVERSE;
        let is_best = score < self.best;
        if is_best {
            self.best = score;
            self.since_best = 0;
        } else {
            self.since_best += 1;
        }
        Ok(is_best)
    }

    /// The share of the learning rate that is left: half for each restart.
    pub(crate) fn rate(&self) -> f64 {
        0.5f64.powi(self.restarts as i32)
    }

    pub(crate) fn to_numbers(self) -> [f64; 4] {
        let Self { best, since_best, was_diverse, restarts } = self;
        [best, since_best as f64, f64::from(u8::from(was_diverse)), restarts as f64]
    }

    pub(crate) fn from_numbers(numbers: &[f64]) -> Option<Self> {
        let &[best, since_best, was_diverse, restarts] = numbers else { return None };
        let (since_best, restarts) = (since_best as u64, restarts as u64);
        Some(Self { best, since_best, was_diverse: was_diverse != 0., restarts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_remembered_and_a_collapse_is_told_from_a_beginning() -> Result<()> {
        let mut validation = ValidationState::default();
        let mut judge = |iteration, score, diversity| {
            validation.judge(iteration, ValidationScore { score, diversity })
        };
        assert!(judge(1, 0.5, 0.01)?, "an untrained generator makes one row, that is no collapse");
        assert!(!judge(2, 0.6, 0.8)?);
        assert!(judge(3, 0.4, 0.8)?);
        let collapsed = judge(4, 0.9, 0.05).expect_err("collapsed").to_string();
        assert_eq!(
            collapsed,
            "training diverged at iteration 4: the generator has collapsed: its columns have 5 % \
             of the entropy of the real ones"
        );
        assert_eq!(ValidationState::from_numbers(&validation.to_numbers()), Some(validation));
        Ok(())
    }
}
