//! Developer commands: `cargo xtask <command>`.

mod bench;
mod cuda;
mod mpi;
mod peers;
mod python;
mod quality;
mod tasks;
mod tools;

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Developer commands of Health Gym.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Train on the shipped cohort; the last line on stdout is the run folder.
    Train {
        /// Name of the run: it goes into runs/NAME.
        #[arg(long, default_value = "pbc")]
        name: String,
        /// Further arguments for `hg train`, as `-- --iterations 100`.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Check format, lints and docs, run every test, check the CUDA code, and reproduce a small run.
    Test,
    /// The same as `test`: what CI runs.
    Ci,
    /// Build the Python package's wheel, install it into a venv and test it.
    Python,
    /// Train a run again from its run.toml and compare weights and output, byte by byte.
    Reproduce {
        /// The run folder.
        run: PathBuf,
    },
    /// Lay out a CUDA toolkit from PyPI's wheels where none is installed; print its folder.
    CudaToolkit,
    /// Compile every kernel with nvcc and check the workspace with the feature cuda; no GPU needed.
    CudaCheck,
    /// Measure kernels, iterations, and the peers.
    Bench(bench::Bench),
    /// Train with fixed budgets, PyTorch or other programs (--peers) too, and write docs/quality.md.
    Quality(quality::Quality),
    /// Make the golden values again with PyTorch, in a venv of its own.
    Fixtures {
        /// Folder of the venv.
        #[arg(long, default_value = "target/fixtures-venv")]
        venv: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Train { name, arguments } => tasks::train(&name, &arguments),
        Task::Test | Task::Ci => tasks::test(),
        Task::Python => python::test(&python::environment()?),
        Task::Reproduce { run } => tasks::reproduce(&run),
        Task::CudaToolkit => {
            println!("{}", cuda::toolkit()?.display());
            Ok(())
        }
        Task::CudaCheck => cuda::check(&cuda::toolkit()?),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Quality(arguments) => quality::run(&arguments),
        Task::Fixtures { venv } => tasks::fixtures(&venv),
    }
}
