//! Training under a privacy guarantee: the accountant, the plan that fixes the noise beforehand, the key
//! that it is drawn from, and the iterations.

mod accountant;
#[cfg(test)]
mod audit;
mod budget;
mod key;
mod plan;
mod training;

pub use accountant::{PrivacyLoss, noise_multiplier};
pub(crate) use budget::Budget;
pub(crate) use key::Key;
pub use plan::{PrivacyPlan, Spending, fit_private};
pub(crate) use training::Private;
