//! What each command runs.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// xtask lies directly in the workspace's folder.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

pub(crate) fn train(name: &str, arguments: &[String]) -> Result<()> {
    // The whole workspace selects the features, so that this build and the
    // tests' share every dependency.
    let mut build = cargo();
    build.args(["build", "--release", "--workspace", "--bin", "hg"]);
    execute(build)?;
    let mut hg = Command::new(target().join("release/hg"));
    hg.current_dir(WORKSPACE)
        .args(["train", "--data", "data/pbc/pbcseq.csv", "--schema", "data-schemas/pbc.toml"])
        .arg("--out")
        .arg(PathBuf::from("runs").join(name))
        .args(arguments);
    execute(hg)
}

pub(crate) fn test() -> Result<()> {
    let steps: [(&str, &[&str]); 4] = [
        ("format", &["fmt", "--all", "--check"]),
        (
            "lints",
            &["clippy", "--release", "--workspace", "--all-targets", "--", "--deny", "warnings"],
        ),
        ("docs", &["doc", "--release", "--workspace", "--no-deps"]),
        ("tests", &["test", "--release", "--workspace"]),
    ];
    for (what, arguments) in steps {
        eprintln!("── {what}");
        let mut command = cargo();
        command.args(arguments).env("RUSTDOCFLAGS", "--deny warnings");
        execute(command)?;
    }
    Ok(())
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => folder.into(),
        None => Path::new(WORKSPACE).join("target"),
    }
}

/// The cargo that runs this program, in the workspace's folder.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(WORKSPACE);
    command
}

fn execute(mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
