//! An MPI job as the [`Communicator`](hg_models::Communicator) of a training: what the program `hg-mpi`
//! adds to `hg train`. Without the feature `mpi`, which needs an MPI library, it is empty. The feature
//! `nccl` is for ranks with a GPU each.

#[cfg(feature = "nccl")]
mod gpus;
#[cfg(feature = "mpi")]
mod job;

#[cfg(feature = "nccl")]
pub use gpus::Gpus;
#[cfg(feature = "mpi")]
pub use job::{Job, run};
