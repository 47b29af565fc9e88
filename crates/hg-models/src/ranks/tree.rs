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
use std::borrow::Cow;
use std::ops::Range;

/// Numbers that are added up together: they stay in the fastest cache.
const TOGETHER: usize = 512;

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

    /// Its leaves.
    pub(super) fn range(self) -> Range<usize> {
        self.first..self.first + self.leaves
    }

    /// The sum of this and the next block, where the tree has it.
    fn with(self, next: Self) -> Option<Self> {
        let leaves = 2 * self.leaves;
        let are_halves = self.leaves == next.leaves && self.first.is_multiple_of(leaves);
        are_halves.then_some(Self { first: self.first, leaves })
    }
}

/// Adds up blocks that follow each other, of which `parts` has the numbers; the sums go to `to`.
pub(super) fn add_up<S: Real>(blocks: &[Block], parts: &[&[S]], to: &mut [S]) {
    to.par_chunks_mut(TOGETHER).enumerate().for_each(|(n, to)| {
        let at = n * TOGETHER..n * TOGETHER + to.len();
        // Sums that wait for their right parts.
        let mut waiting: Vec<(Block, Vec<S>)> = Vec::new();
        for (&block, part) in blocks.iter().zip(parts) {
            let (mut block, mut sum) = (block, Cow::Borrowed(&part[at.clone()]));
            while let Some((left, left_sum)) = waiting.pop() {
                let Some(both) = left.with(block) else {
                    waiting.push((left, left_sum));
                    break;
                };
                (block, sum) = (both, Cow::Owned(added(left_sum, &sum)));
            }
            waiting.push((block, sum.into_owned()));
        }
        let sums = waiting.into_iter().map(|(_, sum)| sum);
        match sums.rev().reduce(|right, left| added(left, &right)) {
            Some(sum) => to.copy_from_slice(&sum),
            None => to.fill(S::default()),
        }
    });
}

fn added<S: Real>(mut left: Vec<S>, right: &[S]) -> Vec<S> {
    left.iter_mut().zip(right).for_each(|(left, &right)| *left += right);
    left
}
