//! The program `hg-mpi`: `hg train` by several ranks of an MPI job, with the bytes of `hg train`.

use std::process::ExitCode;

/// How many ranks of a job share this machine, as Open MPI and MPICH tell it.
const ON_THIS_MACHINE: [&str; 2] = ["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"];
/// What says how many threads compute.
const THREADS: [&str; 2] = ["RAYON_NUM_THREADS", "POLARS_MAX_THREADS"];

fn main() -> ExitCode {
    // SAFETY: no thread has been started yet.
    unsafe { share_the_machine() };
    // SAFETY: the same.
    unsafe { hg_mpi::run(|job| job) }
}

/// Gives each rank its share of the machine's cores, where nothing is said.
///
/// # Safety
/// There may be no other thread.
unsafe fn share_the_machine() {
    let number = |name| std::env::var(name).ok()?.parse::<usize>().ok();
    let (Some(ranks), Ok(cores)) =
        (ON_THIS_MACHINE.into_iter().find_map(number), std::thread::available_parallelism())
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
