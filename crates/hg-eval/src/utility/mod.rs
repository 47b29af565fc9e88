//! Is it useful: predictions and policies that are learnt from it.

mod clusters;
mod mdp;
mod policies;
mod predictive;

pub(crate) use policies::LearntPolicies;
pub use policies::{ActionShare, Choice, Policies, PolicyValue, Simulator};
pub(crate) use predictive::NextStepPrediction;
pub use predictive::{Predictive, predictive};
