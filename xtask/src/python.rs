//! The Python package: its wheel, and its tests on the wheel as a user installs it.

use crate::tasks::{WORKSPACE, as_from_outside, clear, execute, target, venv};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names and versions of what the tests need; maturin is among them.
const REQUIRED: &str = "python/tests/requirements.txt";

/// The tests' Python with its packages.
///
/// # Errors
/// Where they are not to be had.
pub(crate) fn environment() -> Result<PathBuf> {
    let python = venv(&target().join("python-venv"), &["-r", REQUIRED])?;
    python.parent().map(Path::to_owned).context("a venv has a folder of programs")
}

/// Builds the wheel, installs it, and runs types, style, tests and notebooks.
///
/// # Errors
/// Where one of them fails.
pub(crate) fn test(programs: &Path) -> Result<()> {
    let wheel = build(programs)?;
    let mut install = Command::new(programs.join("pip"));
    install.args(["install", "--quiet", "--force-reinstall", "--no-deps"]).arg(&wheel);
    execute(install)?;
    let checks: [(&str, &[&str]); 4] = [
        ("ruff", &["format", "--check", "python"]),
        ("ruff", &["check", "python"]),
        ("mypy", &["--config-file", "python/pyproject.toml"]),
        (
            "pytest",
            &["--config-file", "python/pyproject.toml", "--rootdir", "python", "python/tests"],
        ),
    ];
    for (program, arguments) in checks {
        let mut check = Command::new(programs.join(program));
        check.current_dir(WORKSPACE).args(arguments);
        execute(check)?;
    }
    Ok(())
}

/// The wheel, built in the workspace's own target folder: no dependency is compiled again.
fn build(programs: &Path) -> Result<PathBuf> {
    let wheels = target().join("wheels");
    clear(&wheels)?;
    let mut maturin = as_from_outside(Command::new(programs.join("maturin")));
    maturin.current_dir(WORKSPACE);
    maturin.args(["build", "--release", "--quiet", "--manifest-path", "python/Cargo.toml"]);
    // For this machine; the release builds wheels for others too.
    maturin.args(["--compatibility", "off", "--out"]).arg(&wheels);
    execute(maturin)?;
    let found: Vec<PathBuf> = std::fs::read_dir(&wheels)
        .with_context(|| format!("cannot list {}", wheels.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    ensure!(found.len() == 1, "maturin built {} wheels, not one", found.len());
    found.into_iter().next().context("there is one")
}
