//! A sum over leaves that comes to the same bits however the leaves are shared out.
//!
//! ```text
//! s(0, k) = leaf k,   s(l, k) = s(l−1, 2k) + s(l−1, 2k+1)
//! ```
//!
//! A sum whose right part has no leaf is its left part. Whoever has the leaves a..b in a row can compute
//! those s(l, k) that lie within, the greatest of which ([`Block::of`], two for each doubling of the leaves
//! at most) are all that others need of them.

use hg_lstm::kernel::Real;
use rayon::prelude::*;
use std::ops::Range;

/// A sum s(l, k) of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Its first leaf, k · 2ˡ.
    pub(super) first: usize,
    /// Its leaves, 2ˡ.
    pub(super) leaves: usize,
}

impl Block {
    /// The leaves themselves.
    pub(super) fn leaves(share: Range<usize>) -> Vec<Self> {
        share.map(|first| Self { first, leaves: 1 }).collect()
    }

    /// The greatest blocks within these leaves, which make them up.
    pub(super) fn of(share: Range<usize>) -> Vec<Self> {
        let mut blocks = Vec::new();
        let mut first = share.start;
        while first < share.end {
            let mut leaves = 1;
            while first.is_multiple_of(2 * leaves) && first + 2 * leaves <= share.end {
                leaves *= 2;
            }
            blocks.push(Self { first, leaves });
            first += leaves;
        }
        blocks
    }
}

/// The tree over blocks that follow each other from a place where as many leaves can be a block.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    blocks: Vec<Block>,
}

impl Tree {
    /// Over so many leaves.
    pub(crate) fn of_leaves(count: usize) -> Self {
        Self { blocks: Block::leaves(0..count) }
    }

    pub(super) fn of_blocks(blocks: Vec<Block>) -> Self {
        Self { blocks }
    }

    /// Room for the sums of `width` numbers that wait for their left parts.
    pub(crate) fn waiting<S: Real>(&self, width: usize) -> Vec<Vec<S>> {
        let levels = usize::BITS - self.blocks.len().leading_zeros();
        vec![vec![S::default(); width]; levels as usize]
    }

    /// Sets `to` to the sums of the blocks, of which `part` has the numbers.
    pub(crate) fn add_up<'a, S: Real + 'a>(
        &self,
        part: &impl Fn(usize) -> &'a [S],
        to: &mut [S],
        waiting: &mut [Vec<S>],
    ) {
        self.add_up_some(0..self.blocks.len(), part, to, waiting);
    }

    fn add_up_some<'a, S: Real + 'a>(
        &self,
        some: Range<usize>,
        part: &impl Fn(usize) -> &'a [S],
        to: &mut [S],
        waiting: &mut [Vec<S>],
    ) {
        match some.len() {
            0 => to.fill(S::default()),
            1 => to.copy_from_slice(part(some.start)),
            2 => {
                let pairs = part(some.start).iter().zip(part(some.start + 1));
                to.iter_mut().zip(pairs).for_each(|(to, (&left, &right))| *to = left + right);
            }
            _ => {
                // The left part has the greatest power of two of leaves that is not all of them.
                let blocks = &self.blocks[some.clone()];
                let leaves: usize = blocks.iter().map(|block| block.leaves).sum();
                let middle = blocks[0].first + (leaves.div_ceil(2)).next_power_of_two();
                let left = blocks.partition_point(|block| block.first < middle);
                let (left, right) = (some.start..some.start + left, some.start + left..some.end);
                self.add_up_some(left, part, to, waiting);
                // INVARIANT: there is one for each doubling of the blocks.
                let Some((here, deeper)) = waiting.split_first_mut() else { return };
                let here = &mut here[..to.len()];
                self.add_up_some(right, part, here, deeper);
                to.iter_mut().zip(&*here).for_each(|(sum, &right)| *sum += right);
            }
        }
    }
}

/// The most numbers that are added up by one thread.
const TOGETHER: usize = 4096;

/// Adds up blocks that follow each other, of which `parts` has the numbers; the sums go to `to`.
pub(super) fn add_up<S: Real>(tree: &Tree, parts: &[&[S]], to: &mut [S]) {
    to.par_chunks_mut(TOGETHER).enumerate().for_each(|(n, to)| {
        let at = n * TOGETHER..n * TOGETHER + to.len();
        let part = |block: usize| &parts[block][at.clone()];
        tree.add_up(&part, to, &mut tree.waiting(to.len()));
    });
}
