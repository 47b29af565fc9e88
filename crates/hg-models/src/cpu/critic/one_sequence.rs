//! The gradient of one patient alone, clipped: what a private critic step adds up.
//!
//! ```text
//! ĝ = 1/B (Σᵢ min(1, C/‖gᵢ‖) gᵢ + ξ)      gᵢ the gradient of patient i's share of the loss, ξ the noise
//! ```
//!
//! Each interpolate has one real patient in it, so the penalty too is a sum over patients. The passes
//! forward and backward run over a micro-batch; the weights' gradients are formed from what they leave,
//! from the rows of one patient at a time, with `M` in place of its factors: clipping and noise come
//! before the chain rule, which sees nothing of the patients (Abadi et al. 2016,
//! doi:10.1145/2976749.2978318).

use super::super::linear::LinearGradient;
use super::super::micro_batch::PackedBatch;
use super::{CriticGradient, CriticWeights, CriticWork};
use hg_lstm::kernel::{Buffer, Real, Segment, sum_of_squares};
use rayon::prelude::*;

/// The rows of one sequence, in one copy of the micro-batch or in two below one another.
pub(in super::super) struct SequenceRows {
    /// In time, copy after copy.
    all: Vec<u32>,
    /// Those but the first of each copy, and those but the last.
    but_first: Vec<u32>,
    but_last: Vec<u32>,
    /// The first of each copy, and the last.
    ends: Vec<[usize; 2]>,
}

impl SequenceRows {
    /// Of the `n`-th sequence.
    pub(in super::super) fn new(packed: &PackedBatch, n: usize, copies: usize) -> Self {
        let mut rows = Self {
            all: Vec::with_capacity(copies * packed.lengths[n]),
            but_first: Vec::new(),
            but_last: Vec::new(),
            ends: Vec::new(),
        };
        for copy in 0..copies {
            let row = |time| (copy * packed.rows + packed.row(n, time)) as u32;
            let of_copy: Vec<u32> = (0..packed.lengths[n]).map(row).collect();
            let (Some((&first, later)), Some((&last, before))) =
                (of_copy.split_first(), of_copy.split_last())
            else {
                continue;
            };
            rows.but_first.extend_from_slice(later);
            rows.but_last.extend_from_slice(before);
            rows.ends.push([first as usize, last as usize]);
            rows.all.extend(of_copy);
        }
        rows
    }

    /// As segments: the second direction runs back in time.
    fn segments(&self) -> [Segment<'_>; 2] {
        let Self { all, but_first, but_last, .. } = self;
        [
            Segment { rows: all, later: but_first, before: but_last },
            Segment { rows: all, later: but_last, before: but_first },
        ]
    }

    /// (copy, direction, row) of where each direction ends.
    fn last(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let copies = self.ends.iter().enumerate();
        copies.flat_map(|(copy, &[first, last])| [(copy, 0, last), (copy, 1, first)])
    }
}

impl<S: Real> CriticWork<S> {
    /// Adds the gradients of `Σ on_scores · scores` over the copies of one sequence, after
    /// [`CriticWork::forward_and_backward`] with these.
    pub(in super::super) fn add_first_of(
        &mut self,
        weights: &CriticWeights<S>,
        rows: &SequenceRows,
        on_scores: &[S],
        into: &mut CriticGradient<S>,
    ) {
        let (path, scratch) = (weights.path, &mut self.scratch);
        let x = self.activated2.view();
        weights.rnn.add_first_of(x, rows.segments(), &mut self.rnn, &mut into.rnn);
        for (copy, direction, row) in rows.last() {
            let last = self.rnn.hidden(direction, row);
            for (to, &h) in into.readout.row_mut(direction).iter_mut().zip(last) {
                *to += on_scores[copy] * h;
            }
        }
        into.readout_bias.row_mut(0)[0] += on_scores.iter().copied().sum();
        let all = &rows.all;
        into.second.add_rows(path, all, self.grad2.view(), self.activated1.view(), scratch);
        into.first.add_rows(path, all, self.grad1.view(), self.shown.view(), scratch);
    }

    /// Adds the gradients of one sequence's penalty, after [`CriticWork::add_penalty_gradient`] that added none.
    pub(in super::super) fn add_penalty_of(
        &mut self,
        weights: &CriticWeights<S>,
        rows: &SequenceRows,
        into: &mut CriticGradient<S>,
    ) {
        let (path, scratch) = (weights.path, &mut self.scratch);
        let along = [self.activated2.view(), self.dot2.view()];
        weights.rnn.add_second_of(along, rows.segments(), &mut self.rnn, &mut into.rnn);
        for (_, direction, row) in rows.last() {
            let last = self.rnn.hidden_dot(direction, row);
            for (to, &h) in into.readout.row_mut(direction).iter_mut().zip(last) {
                *to += h;
            }
        }
        let CriticGradient { first, second, .. } = into;
        let all = &rows.all;
        second.add_rows_to_weight(all, self.grad2.view(), self.dot1.view(), scratch);
        first.add_rows_to_weight(all, self.grad1.view(), self.shown_dot.view(), scratch);
        second.add_rows(path, all, self.adjoint2.view(), self.activated1.view(), scratch);
        first.add_rows(path, all, self.adjoint1.view(), self.shown.view(), scratch);
    }
}

impl<S: Real> CriticGradient<S> {
    /// Its buffers, in a fixed order.
    pub(in super::super) fn buffers(&mut self) -> impl Iterator<Item = &mut Buffer<S>> {
        let Self { first, second, rnn, readout, readout_bias } = self;
        let dense = [first, second].into_iter().flat_map(LinearGradient::buffers);
        dense.chain(rnn.buffers()).chain([readout, readout_bias])
    }

    /// Adds the gradient of one patient, brought to a norm of at most `limit`, times `share`. One that is
    /// not finite adds nothing: no patient moves the sum by more than the limit, whatever the weights are.
    pub(in super::super) fn add_clipped(&mut self, one: &mut Self, limit: f64, share: f64) {
        let squares: f64 = one.buffers().map(|buffer| sum_of_squares(buffer.as_slice())).sum();
        let norm = squares.sqrt();
        if !norm.is_finite() {
            return;
        }
        let factor = S::from_f64(share * if norm > limit { limit / norm } else { 1. });
        for (to, from) in self.buffers().zip(one.buffers()) {
            for (to, &x) in to.as_mut_slice().iter_mut().zip(from.as_slice()) {
                *to += factor * x;
            }
        }
    }

    /// Sets its numbers to noise: `draw` fills the `n`-th of its parts; times `share`.
    pub(in super::super) fn set_to_noise(
        &mut self,
        draw: &(dyn Fn(usize, &mut [S]) + Sync),
        share: f64,
    ) {
        let share = S::from_f64(share);
        let mut parts: Vec<_> = self.buffers().enumerate().collect();
        parts.par_iter_mut().for_each(|(n, buffer)| {
            draw(*n, buffer.as_mut_slice());
            buffer.as_mut_slice().iter_mut().for_each(|x| *x = share * *x);
        });
    }
}
