//! The module `health_gym._native`: what the Python package calls of the crate `health-gym`. Shapes of
//! its API, defaults and documentation are in the package; here tables and errors cross the border.

mod art_for_hiv;
mod buffer;
mod encoding;
mod evaluation;
mod failure;
mod frame;
mod model;
mod schema;
mod simulation;
mod worker;

use pyo3::prelude::*;

/// The compiled part of health_gym.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::art_for_hiv::{VectorTrial, art_for_hiv_reward};
    #[pymodule_export]
    use crate::encoding::{Encoding, Steps, fit_encoding};
    #[pymodule_export]
    use crate::evaluation::{Report, evaluate};
    #[pymodule_export]
    use crate::frame::Frame;
    #[pymodule_export]
    use crate::model::{Model, Paused, fit, import_weights};
    #[pymodule_export]
    use crate::run_hg;
    #[pymodule_export]
    use crate::schema::{Schema, infer};
    #[pymodule_export]
    use crate::simulation::simulate_art_for_hiv;

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}

/// Runs the program `hg` with these arguments, the first of which is its name; gives its exit code.
#[pyfunction]
fn run_hg(arguments: Vec<std::ffi::OsString>) -> u8 {
    // SAFETY: the package's script calls it as the first that the process does, in its only thread,
    // which holds the interpreter's lock.
    unsafe { hg_cli::run(arguments) }
}
