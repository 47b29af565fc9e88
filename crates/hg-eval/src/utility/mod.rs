//! Is it useful: predictions and policies that are learnt from it.

mod clusters;
mod policy;
mod predictive;

pub(crate) use policy::policies;
pub use policy::{ActionShare, Choice, Policies, PolicyValue, Simulator};
pub use predictive::{Predictive, predictive};
