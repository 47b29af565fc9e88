//! Simulated cohorts, whose true distribution is known.

mod cohort;
mod model;
mod vector;

pub use cohort::{CODES, COLUMNS, Cohort, Simulation, Trial};
pub use model::{Dynamics, Efficacy, State, advance};
pub use vector::{OBSERVED, PatientState, VectorTrial};

use std::path::{Path, PathBuf};

/// The path of the label that lies beside a simulated table, so that nobody takes it for people.
pub fn label(table: &Path) -> PathBuf {
    let mut label = table.to_owned().into_os_string();
    label.push(".simulated.json");
    label.into()
}
