//! What each command runs.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// PyTorch and NumPy that made the committed golden values.
const FIXTURE_PACKAGES: [&str; 3] = ["torch==2.15.0", "numpy==2.4.6", "safetensors==0.8.0"];

pub(crate) fn train(name: &str, arguments: &[String]) -> Result<()> {
    let run = PathBuf::from("runs").join(name);
    let mut hg = cargo();
    hg.args(["run", "--quiet", "--release", "--package", "hg-cli", "--", "train"])
        .args(["--data", "data/pbc/pbcseq.csv", "--schema", "data-schemas/pbc.toml", "--out"])
        .arg(&run)
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

pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    let mut command = cargo();
    command.args(["bench", "--package", "hg-train", "--bench", "iteration", "--"]).args(arguments);
    execute(command)
}

pub(crate) fn fixtures(venv: &Path) -> Result<()> {
    let python = venv.join("bin/python");
    if !python.exists() {
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(venv);
        execute(make)?;
    }
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet"]).args(FIXTURE_PACKAGES);
    execute(install)?;
    let mut script = Command::new(&python);
    script.args(["tests/golden/make_goldens.py", "tests/golden"]);
    execute(script)
}

/// The cargo that runs this program, in the workspace's folder.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // xtask lies directly in the workspace's folder.
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command
}

fn execute(mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
