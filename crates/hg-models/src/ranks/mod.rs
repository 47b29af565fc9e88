//! Several processes that train one model: ranks, in the word of MPI.
//!
//! Every rank has all weights, and a contiguous share of a batch's micro-batches. What is summed over
//! micro-batches (gradients, losses, the moments of the correlations) is summed over all ranks by one
//! fixed tree, so that the result has the same bits for any number of ranks, one among them. A sum
//! whose order follows from who takes part (`MPI_Allreduce`) has not.

mod threads;
mod tree;

use crate::{Error, Result};
use candle_core::Tensor;
use hg_lstm::kernel::Real;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;
use tree::{Block, add_up};

pub(crate) use tree::Tree;

/// Moves bytes between the ranks of a job. Every rank makes the same calls in the same order.
pub trait Communicator: Send + Sync + std::fmt::Debug {
    /// Which rank this process is, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn ranks(&self) -> usize;

    /// Sends the next `sizes[r]` bytes of `send` to each rank r; gives what all ranks sent to this one, in
    /// their order, `receive[r]` bytes from rank r.
    ///
    /// # Errors
    /// When a rank is gone.
    fn exchange(&self, send: &[u8], sizes: &[usize], receive: &[usize]) -> Result<Vec<u8>>;

    /// What all ranks give, in their order, `sizes[r]` bytes from rank r.
    ///
    /// # Errors
    /// When a rank is gone.
    fn gather(&self, own: &[u8], sizes: &[usize]) -> Result<Vec<u8>>;

    /// The sums over all ranks of whole numbers in i64 `[n]`, on the device where they are. Their order does not
    /// matter, so that a library may choose it.
    ///
    /// # Errors
    /// When a rank is gone.
    fn add_whole(&self, own: &Tensor) -> Result<Tensor> {
        let numbers = own.to_vec1::<i64>()?;
        let bytes: &[u8] = bytemuck::cast_slice(&numbers);
        let all = self.gather(bytes, &vec![bytes.len(); self.ranks()])?;
        let all: Vec<i64> = bytemuck::pod_collect_to_vec(&all);
        let mut sums = vec![0i64; numbers.len()];
        for of_rank in all.chunks_exact(numbers.len().max(1)) {
            sums.iter_mut().zip(of_rank).for_each(|(sum, x)| *sum = sum.wrapping_add(*x));
        }
        Ok(Tensor::from_vec(sums, numbers.len(), own.device())?)
    }
}

/// A process that trains alone.
#[derive(Debug)]
struct Alone;

impl Communicator for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn ranks(&self) -> usize {
        1
    }

    fn exchange(&self, send: &[u8], _: &[usize], _: &[usize]) -> Result<Vec<u8>> {
        Ok(send.to_vec())
    }

    fn gather(&self, own: &[u8], _: &[usize]) -> Result<Vec<u8>> {
        Ok(own.to_vec())
    }
}

/// The ranks of a job as one of them sees them; by default a process alone.
#[derive(Clone, Debug)]
pub struct Ranks(Arc<dyn Communicator>);

impl Default for Ranks {
    fn default() -> Self {
        Self(Arc::new(Alone))
    }
}

impl Ranks {
    /// Those of a communicator.
    pub fn of(communicator: Arc<dyn Communicator>) -> Self {
        Self(communicator)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.ranks()
    }

    /// Whether this is rank 0, which alone writes files and speaks.
    pub fn is_first(&self) -> bool {
        self.0.rank() == 0
    }

    /// Whether there are no others.
    pub fn is_alone(&self) -> bool {
        self.count() == 1
    }

    /// What rank 0 gives; what the others give is not looked at.
    ///
    /// # Errors
    /// When a rank is gone.
    pub fn broadcast(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let all = self.gather(if self.is_first() { bytes } else { &[] })?;
        Ok(all.into_iter().next().unwrap_or_default())
    }

    /// What every rank gives, in their order.
    ///
    /// # Errors
    /// When a rank is gone.
    pub fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        let length = (own.len() as u64).to_le_bytes();
        let lengths = self.0.gather(&length, &vec![length.len(); self.count()])?;
        let number = |&bytes: &[u8; 8]| u64::from_le_bytes(bytes) as usize;
        let sizes: Vec<usize> = lengths.as_chunks().0.iter().map(number).collect();
        let all = self.0.gather(own, &sizes)?;
        let mut rest = all.as_slice();
        let mut take = |size| {
            let (part, after) = rest.split_at_checked(size).ok_or_else(cut_short)?;
            rest = after;
            Ok(part.to_vec())
        };
        sizes.into_iter().map(&mut take).collect()
    }

    /// As [`Communicator::add_whole`].
    pub(crate) fn add_whole(&self, own: &Tensor) -> Result<Tensor> {
        if self.is_alone() { Ok(own.clone()) } else { self.0.add_whole(own) }
    }

    /// Whether any rank says so.
    ///
    /// # Errors
    /// When a rank is gone.
    pub fn any(&self, here: bool) -> Result<bool> {
        if self.is_alone() {
            return Ok(here);
        }
        let all = self.0.gather(&[u8::from(here)], &vec![1; self.count()])?;
        Ok(all.contains(&1))
    }

    /// The part of `count` things in a row that this rank has.
    pub(crate) fn share(&self, count: usize) -> Range<usize> {
        self.share_of(self.0.rank(), count)
    }

    fn share_of(&self, rank: usize, count: usize) -> Range<usize> {
        let start = |rank: usize| count * rank / self.count();
        start(rank)..start(rank + 1)
    }

    /// The sums over `leaves` leaves, of which this rank has its [share](Self::share): `own[n]` are the
    /// numbers of its `n`-th leaf, in slices that every leaf has alike; the sums go to `into`.
    ///
    /// # Errors
    /// When a rank is gone.
    pub(crate) fn add_up<S: Real>(
        &self,
        leaves: usize,
        own: &[Vec<&[S]>],
        into: Vec<&mut [S]>,
    ) -> Result<()> {
        if self.is_alone() {
            let tree = Tree::of_leaves(leaves);
            into.into_par_iter().enumerate().for_each(|(n, into)| {
                let parts: Vec<&[S]> = own.iter().map(|leaf| leaf[n]).collect();
                add_up(&tree, &parts, into);
            });
            return Ok(());
        }

        // The sums over this rank's blocks, each in one piece.
        let share = self.share(leaves);
        let length: usize = into.iter().map(|into| into.len()).sum();
        let of_blocks: Vec<Vec<S>> = Block::of(share.clone())
            .into_par_iter()
            .map(|block| {
                let own = &own[block.first - share.start..][..block.leaves];
                let tree = Tree::of_leaves(block.leaves);
                let mut sums = vec![S::default(); length];
                let mut rest = sums.as_mut_slice();
                for n in 0..into.len() {
                    let (to, after) = std::mem::take(&mut rest).split_at_mut(into[n].len());
                    let parts: Vec<&[S]> = own.iter().map(|leaf| leaf[n]).collect();
                    add_up(&tree, &parts, to);
                    rest = after;
                }
                sums
            })
            .collect();

        // Every rank adds up a part of the numbers over all blocks, and gives the sums to all.
        let all: Vec<_> = (0..self.count()).map(|rank| self.share_of(rank, length)).collect();
        let mine = all[self.0.rank()].len();
        let blocks = (0..self.count()).map(|rank| Block::of(self.share_of(rank, leaves)));
        let blocks: Vec<Vec<Block>> = blocks.collect();
        let send: Vec<S> = all
            .iter()
            .flat_map(|part| of_blocks.iter().flat_map(|sums| &sums[part.clone()]))
            .copied()
            .collect();
        let size = size_of::<S>();
        let sizes: Vec<usize> =
            all.iter().map(|part| size * of_blocks.len() * part.len()).collect();
        let receive: Vec<usize> = blocks.iter().map(|blocks| size * blocks.len() * mine).collect();
        let received = self.0.exchange(bytemuck::cast_slice(&send), &sizes, &receive)?;
        let received: Vec<S> = bytemuck::pod_collect_to_vec(&received);
        let count = blocks.iter().map(Vec::len).sum::<usize>();
        let tree = Tree::of_blocks(blocks.into_iter().flatten().collect());
        let parts: Vec<&[S]> = (0..count).map(|n| &received[n * mine..][..mine]).collect();
        let mut sums = vec![S::default(); mine];
        add_up(&tree, &parts, &mut sums);

        let sizes: Vec<usize> = all.iter().map(|part| size * part.len()).collect();
        let sums = self.0.gather(bytemuck::cast_slice(&sums), &sizes)?;
        let sums: Vec<S> = bytemuck::pod_collect_to_vec(&sums);
        let mut rest = sums.as_slice();
        for into in into {
            let (from, after) = rest.split_at_checked(into.len()).ok_or_else(cut_short)?;
            into.copy_from_slice(from);
            rest = after;
        }
        Ok(())
    }

    /// As [`Self::add_up`], of a few numbers for each leaf.
    pub(crate) fn totals<const N: usize>(
        &self,
        leaves: usize,
        own: &[[f64; N]],
    ) -> Result<[f64; N]> {
        let own: Vec<Vec<&[f64]>> = own.iter().map(|leaf| vec![leaf.as_slice()]).collect();
        let mut totals = [0.; N];
        self.add_up(leaves, &own, vec![&mut totals])?;
        Ok(totals)
    }
}

fn cut_short() -> Error {
    Error::Ranks("a message came short".into())
}

#[cfg(test)]
mod tests;
