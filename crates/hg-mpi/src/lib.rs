//! An MPI job as the [`Communicator`](hg_models::Communicator) of a training: what the program `hg-mpi`
//! adds to `hg train`. Without the feature `mpi`, which needs an MPI library, it is empty.

#[cfg(feature = "mpi")]
mod job;

#[cfg(feature = "mpi")]
pub use job::{Job, run};
