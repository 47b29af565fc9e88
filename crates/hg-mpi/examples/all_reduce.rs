//! The control of this crate's tests: `hg-mpi` with gradients that `MPI_Allreduce` adds up, which gives
//! other bits for other numbers of ranks. It takes the arguments of `hg-mpi`, with batches of three
//! micro-batches (`--batch-size 24`), of which some rank has one block, which says how long a block is.

use hg_models::{Communicator, Result};
use hg_mpi::Job;
use mpi::collective::SystemOperation;
use mpi::topology::SimpleCommunicator;
use mpi::traits::CommunicatorCollectives;
use std::process::ExitCode;

/// Messages from this size on are gradients, in `f32`.
const GRADIENTS_FROM: usize = 1 << 13;

#[derive(Debug)]
struct AllReduced(Job);

impl Communicator for AllReduced {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn ranks(&self) -> usize {
        self.0.ranks()
    }

    fn exchange(&self, send: &[u8], sizes: &[usize], receive: &[usize]) -> Result<Vec<u8>> {
        let most = self.numbers(send.len())?.into_iter().max().unwrap_or(0);
        if most < GRADIENTS_FROM {
            return self.0.exchange(send, sizes, receive);
        }

        // For each rank in turn, the numbers that it is to add up over the blocks of all.
        let (mut rest, mut answer) = (send, vec![0; receive.iter().sum()]);
        for (rank, &size) in sizes.iter().enumerate() {
            let (part, after) = rest.split_at(size);
            rest = after;
            let blocks: Vec<f32> = bytemuck::pod_collect_to_vec(part);
            let width = self.numbers(blocks.len())?.into_iter().filter(|&n| n > 0).min();
            let mut own = vec![0f32; width.unwrap_or(0)];
            for block in blocks.chunks_exact(own.len().max(1)) {
                own.iter_mut().zip(block).for_each(|(sum, &x)| *sum += x);
            }
            let mut total = vec![0f32; own.len()];
            SimpleCommunicator::world().all_reduce_into(&own, &mut total, SystemOperation::sum());
            if rank == self.rank() {
                // The first block is all there is, the others are nothing.
                answer[..4 * total.len()].copy_from_slice(bytemuck::cast_slice(&total));
            }
        }
        Ok(answer)
    }

    fn gather(&self, own: &[u8], sizes: &[usize]) -> Result<Vec<u8>> {
        self.0.gather(own, sizes)
    }
}

impl AllReduced {
    /// What all ranks say.
    fn numbers(&self, here: usize) -> Result<Vec<usize>> {
        let all = self.0.gather(&here.to_le_bytes(), &vec![size_of::<usize>(); self.ranks()])?;
        Ok(bytemuck::pod_collect_to_vec(&all))
    }
}

fn main() -> ExitCode {
    // SAFETY: no thread has been started yet.
    unsafe { hg_mpi::run(AllReduced) }
}
