//! Many runs on one table: a grid or a list of settings, each with several seeds, done by as many
//! processes as there are, and ranked.
//!
//! ```text
//! sweep.toml     what the sweep is and what each run is; written first, and never changed
//! 001-…/ 002-…/  the runs' folders, as `hg train` makes them
//! ranking.json   the runs by how good they are, and the settings over their seeds
//! best           a link to the best run
//! .sweep/        locks, and why runs failed
//! ```

mod file;
mod folder;
mod rank;
mod slurm;

pub use file::{PlannedRun, Sweep};
pub use folder::{Claim, Failure, RunLock, RunState, SweepFolder};
pub use rank::{Judge, RankedRun, RankedSettings, Ranking, Unfinished, Verdicts};
pub use slurm::slurm_task;

use crate::Error;
use std::path::Path;

fn refused(path: &Path, problem: impl Into<String>) -> Error {
    Error::Sweep { path: path.to_owned(), problem: problem.into() }
}

fn unwritable(path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Write { path, source }
}
