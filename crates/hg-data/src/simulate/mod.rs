//! Simulated cohorts, whose true distribution is known.

mod cohort;
mod model;

pub use cohort::{COLUMNS, Cohort, Simulation, Trial};
pub use model::{Dynamics, Efficacy, State, advance};
