//! What this program was built from: part of what a run's bits depend on.

use health_gym::training::Program;

/// As run.toml records it.
pub(crate) fn program() -> Program {
    Program {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: env!("HG_COMMIT").to_owned(),
        crates: env!("HG_CRATES").split(", ").map(str::to_owned).collect(),
        target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        features: cfg!(feature = "cuda").then(|| "cuda".to_owned()).into_iter().collect(),
    }
}
