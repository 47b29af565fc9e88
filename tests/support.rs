//! Running the real program in the end-to-end tests.

use std::path::PathBuf;
use std::process::{Command, Output};

/// A path within the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}

/// Runs `hg` to its end.
pub(crate) fn hg<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hg"));
    command.args(arguments).output().expect("hg starts")
}
