//! Simulated patients.

use crate::failure::Failure;
use crate::frame::Frame;
use crate::worker::in_background;
use health_gym::data::simulate::Simulation;
use pyo3::prelude::*;

/// A cohort of simulated HIV patients under therapy.
#[pyfunction]
pub(crate) fn simulate_art_for_hiv(py: Python<'_>, patients: usize, seed: u64) -> PyResult<Frame> {
    in_background(py, move || {
        if patients == 0 {
            let problem = "`patients` is 0\nhint: ask for at least 1 patient";
            return Err(Failure::BadInput(problem.into()));
        }
        let simulation = Simulation::shipped()?;
        let mut parts = simulation.cohort(patients, seed);
        let mut all = parts.next().transpose()?.unwrap_or_default();
        for part in parts {
            all.vstack_mut_owned(part?).map_err(Failure::of_polars)?;
        }
        Ok(Frame(all))
    })
}
