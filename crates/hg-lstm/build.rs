//! Compiles the CUDA kernels to PTX where the feature `cuda` is on, as candle does with its own:
//! the driver then makes code for whatever GPU there is.

use std::path::PathBuf;
use std::process::Command;

/// Compute capability, and whether it has clusters of thread blocks.
const TARGETS: [(&str, bool); 2] = [("80", false), ("90", true)];

fn main() {
    println!("cargo::rerun-if-changed=kernels");
    println!("cargo::rerun-if-env-changed=CUDA_HOME");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let nvcc = match std::env::var_os("CUDA_HOME") {
        Some(home) => PathBuf::from(home).join("bin/nvcc"),
        None => "nvcc".into(),
    };
    // Cargo sets it for every build script.
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("OUT_DIR"));
    for (capability, has_clusters) in TARGETS {
        let mut compile = Command::new(&nvcc);
        compile.args(["-std=c++17", "-O3", "-ptx", "-Werror", "all-warnings", "kernels/all.cu"]);
        compile.arg(format!("-arch=compute_{capability}"));
        compile.args(has_clusters.then_some("-DHG_CLUSTERS"));
        compile.arg("-o").arg(out.join(format!("kernels_{capability}.ptx")));
        match compile.status() {
            Ok(status) if status.success() => {}
            Ok(status) => panic!("nvcc refused the kernels for compute_{capability}: {status}"),
            Err(e) => panic!(
                "cannot run {}: {e}; `cargo xtask cuda-toolkit` lays out a toolkit, and \
                 CUDA_HOME says where it is",
                nvcc.display()
            ),
        }
    }
}
