//! What of a budget is spent, and what a crash may have spent: written down before it happens.

use super::plan::{PrivacyPlan, Spending};
use crate::store::{Spent, Store};
use crate::{Error, Result};

/// The budget of a session. A stretch of iterations up to the next checkpoint is charged before the first of
/// them, and set right after the checkpoint. So whatever ends a session, all noise that was ever added has
/// been paid for; what a crash loses is not computed again, and the run ends so many iterations earlier.
#[derive(Debug)]
pub(crate) struct Budget {
    spending: Spending,
    delta: f64,
    critic_steps: u64,
    /// Iterations that were charged, and whose result is lost.
    pub(crate) lost: u64,
    /// Iterations that are charged, the lost ones too.
    charged: u64,
}

impl Budget {
    /// Of a session under a plan that begins after `done` iterations, with so many critic steps in each.
    ///
    /// # Errors
    /// Where the store does not say what was spent.
    pub(crate) fn of(
        plan: &PrivacyPlan,
        critic_steps: u64,
        (done, store): (u64, &dyn Store),
    ) -> Result<Self> {
        let charged = store.charged()?.map_or(0, |spent| spent.iterations);
        let Some(lost) = charged.checked_sub(done) else {
            let problem = format!(
                "{done} iterations were done, and {charged} were charged to the privacy budget\nhint: \
                 `privacy.json` is missing or of another run; without it the run cannot go on"
            );
            return Err(Error::Config(problem));
        };
        if lost > 0 {
            tracing::warn!(
                "the session before ended without a checkpoint: {lost} iterations are spent and lost, \
                 and the run will have so many fewer"
            );
        }
        let (spending, delta) = (plan.spent(), plan.delta);
        Ok(Self { spending, delta, critic_steps, lost, charged })
    }

    /// Whether the iteration after this one is paid for.
    pub(crate) fn covers(&self, iteration: u64) -> bool {
        iteration + self.lost < self.charged
    }

    /// Charges for all up to and with this iteration; what is to be written down.
    pub(crate) fn charge(&mut self, iteration: u64) -> Spent {
        self.charged = iteration + self.lost;
        Spent {
            iterations: self.charged,
            epsilon: self.epsilon_after(iteration),
            delta: self.delta,
        }
    }

    /// ε after this iteration.
    pub(crate) fn epsilon_after(&self, iteration: u64) -> f64 {
        self.spending.epsilon_after((iteration + self.lost) * self.critic_steps)
    }
}
