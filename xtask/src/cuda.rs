//! The CUDA toolkit, and what can be checked of the CUDA code without a GPU.

use crate::mpi;
use crate::tasks::{WORKSPACE, cargo, execute, target, venv};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `nvcc` takes, from PyPI. At 13.0: a newer PTX is refused by a 13.0 driver.
const WHEELS: [&str; 5] = [
    "nvidia-cuda-nvcc==13.0.88",
    "nvidia-nvvm==13.0.88",
    "nvidia-cuda-crt==13.0.88",
    "nvidia-cuda-runtime==13.0.96",
    "nvidia-cuda-cccl==13.0.85",
];
/// Where the wheels lay their files, below the folder they are installed to.
const LAID_OUT: &str = "nvidia/cu13";
/// Machine code that every kernel is compiled to, and what its own build defines.
const TARGETS: [(&str, Option<&str>); 2] = [("sm_80", None), ("sm_90", Some("-DHG_CLUSTERS"))];

/// The toolkit's folder: that of CUDA_HOME where there is one, else one from PyPI's wheels, which
/// is laid out now where it is not there yet.
pub(crate) fn toolkit() -> Result<PathBuf> {
    let home = match std::env::var_os("CUDA_HOME").map(PathBuf::from) {
        Some(home) if nvcc(&home).is_file() => home,
        _ => lay_out()?,
    };
    require_working(&home)?;
    Ok(home)
}

fn lay_out() -> Result<PathBuf> {
    let folder = target().join("cuda-13.0");
    let home = std::path::absolute(folder.join(LAID_OUT))?;
    let done = folder.join("complete");
    if done.exists() {
        return Ok(home);
    }
    let python = venv(&target().join("cuda-venv"), &["pip"])?;
    let mut install = Command::new(python);
    install.args(["-m", "pip", "install", "--quiet", "--upgrade", "--no-deps", "--target"]);
    install.arg(&folder).args(WHEELS);
    execute(install)?;
    // Wheels may lose the right to be run.
    for programs in ["bin", "nvvm/bin"] {
        make_executable(&home.join(programs))?;
    }
    std::fs::write(&done, "").with_context(|| format!("cannot write {}", done.display()))?;
    Ok(home)
}

/// Refuses a toolkit that cannot compile here: nvcc passes the host's part of a file to gcc.
fn require_working(home: &Path) -> Result<()> {
    let source = target().join("cuda-trial.cu");
    std::fs::write(
        &source,
        "#include <cmath>\n__global__ void trial(float* x) { *x = exp(*x); }\n",
    )
    .with_context(|| format!("cannot write {}", source.display()))?;
    let mut compile = Command::new(nvcc(home));
    compile.args(["-std=c++17", "-cubin", "-arch=sm_90"]).arg(&source);
    compile.arg("-o").arg(target().join("cuda-trial.cubin"));
    execute(compile).context("nvcc needs a C++ compiler (Debian: apt-get install g++)")
}

fn nvcc(home: &Path) -> PathBuf {
    home.join("bin/nvcc")
}

#[cfg(unix)]
fn make_executable(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("the wheels left no {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_file() {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_executable(_folder: &Path) -> Result<()> {
    Ok(())
}

/// Compiles each kernel with nvcc to machine code, alone, then lints the workspace with the
/// feature `cuda`.
pub(crate) fn check(home: &Path) -> Result<()> {
    eprintln!("── kernels, with {}", nvcc(home).display());
    let folder = Path::new(WORKSPACE).join("crates/hg-lstm/kernels");
    let mut kernels = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cu") {
            kernels.push(path);
        }
    }
    kernels.sort();
    if kernels.is_empty() {
        bail!("there is no kernel in {}", folder.display());
    }
    let out = target().join("cuda-check.cubin");
    for kernel in &kernels {
        for (machine, define) in TARGETS {
            let mut compile = Command::new(nvcc(home));
            compile.args(["-std=c++17", "-O3", "-cubin", "-Werror", "all-warnings"]);
            compile.arg(format!("-arch={machine}")).args(define).arg(kernel).arg("-o").arg(&out);
            execute(compile)?;
            let name = kernel.file_name().unwrap_or_default();
            println!("{machine} {}", Path::new(name).display());
        }
    }
    eprintln!("── the workspace with the feature cuda");
    let mut check = cargo();
    check.args(["clippy", "--release", "--workspace", "--all-targets", "--features", "cuda"]);
    if !mpi::features().is_empty() {
        check.args(["--features", "hg-mpi/nccl"]);
    }
    check.args(["--", "--deny", "warnings"]);
    let mut path = std::ffi::OsString::from(home.join("bin"));
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    // Without a GPU its compute capability cannot be asked for: that of an H100.
    if std::env::var_os("CUDA_COMPUTE_CAP").is_none() {
        check.env("CUDA_COMPUTE_CAP", "90");
    }
    check.env("CUDA_HOME", home).env("PATH", path);
    execute(check)
}
