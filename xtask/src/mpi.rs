//! MPI, where the machine has it: what adds `hg-mpi` to what cargo builds and tests.

use std::path::Path;
use std::process::{Command, Stdio};

/// The feature, for cargo.
const FEATURES: [&str; 2] = ["--features", "hg-mpi/mpi"];
/// Folders where a system's libclang lies, which reads MPI's headers.
const LIBRARIES: [&str; 4] =
    ["/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];

/// The arguments with which cargo builds everything that this machine can build.
pub(crate) fn features() -> &'static [&'static str] {
    let missing = ["mpicc", "mpiexec"].into_iter().find(|program| !runs(program));
    match missing.or_else(|| (!has_libclang()).then_some("libclang")) {
        None => &FEATURES,
        Some(missing) => {
            eprintln!(
                "── MPI: NOT CHECKED, there is no {missing}\nhint: apt install openmpi-bin \
                 libopenmpi-dev libclang-dev"
            );
            &[]
        }
    }
}

fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn has_libclang() -> bool {
    let holds = |folder: &Path| {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names = files.map(|file| file.file_name().to_string_lossy().into_owned());
        names.any(|name| name.starts_with("libclang") && name.contains(".so"))
    };
    // Debian gives each version of LLVM a folder.
    let versions = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut versions = versions
        .filter(|folder| folder.file_name().to_string_lossy().starts_with("llvm"))
        .map(|folder| folder.path().join("lib"));
    std::env::var_os("LIBCLANG_PATH").is_some()
        || LIBRARIES.into_iter().any(|folder| holds(folder.as_ref()))
        || versions.any(|folder| holds(&folder))
}
