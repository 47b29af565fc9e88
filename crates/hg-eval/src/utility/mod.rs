//! Is it useful: predictions and policies that are learnt from it.

mod clusters;
mod mdp;
pub(crate) mod policies;
pub(crate) mod predictive;

pub use policies::{ActionShare, Choice, Policies, PolicyValue, Simulator};
pub use predictive::{Predictive, predictive};
