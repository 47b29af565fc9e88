//! Tells the program what it was built from, for run.toml.

use std::path::Path;
use std::process::Command;

/// The crates whose versions can change the bits of a result.
const DECISIVE: [&str; 7] =
    ["candle-core", "gemm", "polars-core", "rand", "rand_chacha", "rand_distr", "argmin"];

fn main() {
    let git = |arguments: &[&str]| {
        let out = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(out.stdout).ok()?;
        out.status.success().then(|| text.trim().to_owned())
    };
    // An archive of the sources has no history.
    let commit = git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=HG_COMMIT={commit}");
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    // In the workspace; or beside the manifest, in a package from a registry.
    let lock = ["../../Cargo.lock", "Cargo.lock"].map(Path::new);
    let lock = lock.into_iter().find(|lock| lock.exists()).unwrap_or(lock[1]);
    println!("cargo::rerun-if-changed={}", lock.display());
    let lock = std::fs::read_to_string(lock).unwrap_or_default();
    let version = |name: &str| {
        let package =
            lock.split("[[package]]").find(|p| p.contains(&format!("\nname = \"{name}\"\n")))?;
        package.split("version = \"").nth(1)?.split('"').next().map(str::to_owned)
    };
    let versions: Vec<String> =
        DECISIVE.iter().filter_map(|name| Some(format!("{name} {}", version(name)?))).collect();
    println!("cargo::rustc-env=HG_CRATES={}", versions.join(", "));
}
