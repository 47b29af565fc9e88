//! The program `hg-mpi`: `hg train` by several ranks of an MPI job, with the bytes of `hg train`.

use std::process::ExitCode;

/// How many ranks of a job share this machine, as Open MPI and MPICH tell it.
const ON_THIS_MACHINE: [&str; 2] = ["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"];
/// What says how many threads compute.
const THREADS: [&str; 2] = ["RAYON_NUM_THREADS", "POLARS_MAX_THREADS"];

fn main() -> ExitCode {
    // SAFETY: no thread has been started yet.
    unsafe { share_the_machine() };
    #[cfg(feature = "nccl")]
    // SAFETY: the same.
    unsafe {
        choose_a_gpu();
        hg_mpi::run(hg_mpi::Gpus::of)
    }
    #[cfg(not(feature = "nccl"))]
    // SAFETY: the same.
    unsafe {
        hg_mpi::run(|job| job)
    }
}

/// Which of its machine's ranks this is, as Open MPI, MPICH and Slurm tell it.
#[cfg(feature = "nccl")]
const WHICH_HERE: [&str; 3] = ["OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"];
/// What says which GPUs a process sees.
#[cfg(feature = "nccl")]
const GPUS: &str = "CUDA_VISIBLE_DEVICES";

/// Shows each rank one of the GPUs that its machine shows, in their order.
///
/// # Safety
/// There may be no other thread.
#[cfg(feature = "nccl")]
unsafe fn choose_a_gpu() {
    let Some(here) = number_in(&WHICH_HERE) else { return };
    let shown = std::env::var(GPUS).unwrap_or_default();
    let shown: Vec<&str> = shown.split(',').filter(|gpu| !gpu.is_empty()).collect();
    let own = match shown.as_slice() {
        [] => here.to_string(),
        // The launcher has chosen.
        [_] => return,
        several => several[here % several.len()].to_owned(),
    };
    // SAFETY: the caller's.
    unsafe { std::env::set_var(GPUS, own) };
}

/// The number in the first of these variables that has one.
fn number_in(variables: &[&str]) -> Option<usize> {
    variables.iter().find_map(|name| std::env::var(name).ok()?.parse().ok())
}

/// Gives each rank its share of the machine's cores, where nothing is said.
///
/// # Safety
/// There may be no other thread.
unsafe fn share_the_machine() {
    let (Some(ranks), Ok(cores)) =
        (number_in(&ON_THIS_MACHINE), std::thread::available_parallelism())
    else {
        return;
    };
    let threads = (cores.get() / ranks.max(1)).max(1).to_string();
    for name in THREADS {
        if std::env::var_os(name).is_none() {
            // SAFETY: the caller's.
            unsafe { std::env::set_var(name, &threads) };
        }
    }
}
