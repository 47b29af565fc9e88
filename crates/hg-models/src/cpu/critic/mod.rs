//! The critic's scores, input gradient, penalty, and the gradients of its loss.
//!
//! ```text
//! y₁ = x̃ M + b₁   a₁ = ϕ(y₁)   y₂ = a₁ W₂ᵀ + b₂   a₂ = ϕ(y₂)   h = biLSTM(a₂)   C = w₃ · h_last + b₃
//! ```
//!
//! with x̃ what is shown of x ([`super::compare`]), `M` the embeddings and the first linear map in one,
//! below them `N` where the critic compares ([`crate::Critic`]), and ϕ leaky ReLU.

mod one_sequence;

pub(super) use one_sequence::SequenceRows;

use super::bilstm::{BiGradient, BiLstm, Workspace};
use super::compare::{show, show_transposed, shown_width};
use super::export::Export;
use super::linear::{Linear, LinearGradient, Width, numbers};
use super::micro_batch::{Directions, PackedBatch};
use super::{Gradients, LEAK};
use crate::critic::{COMPARED, embedding_name};
use crate::{CriticConfig, Parameters, Result};
use hg_lstm::kernel::{
    Buffer, Factors, OutputGradient, Panels, Real, SimdPath, Start, leaky_relu_backward_in_place,
    leaky_relu_in_place, scale_in_place, sum_of_squares,
};

/// Under the root of the gradient's norm.
const NORM_FLOOR: f64 = 1e-12;

/// The critic's weights, packed.
#[derive(Debug)]
pub(super) struct CriticWeights<S: Real> {
    config: CriticConfig,
    path: SimdPath,
    /// `M`
    first: Linear<S>,
    second: Linear<S>,
    rnn: BiLstm<S>,
    /// `w₃`, a row for each direction.
    readout: Buffer<S>,
    readout_bias: f64,
    /// The factors of `M`, as loaded: each block's embedding `[k, e]` and the first
    /// linear weight `[H, embedded]`.
    embeddings: Vec<Vec<S>>,
    linear1: Vec<S>,
    /// `Nᵀ` `[H, 2D]`; nothing where the critic does not compare.
    compared: Vec<S>,
}

impl<S: Real> CriticWeights<S> {
    pub(super) fn new(config: &CriticConfig, path: SimdPath) -> Self {
        let hidden = Width::one(config.hidden);
        Self {
            first: Linear::new(shown_width(config), hidden, path),
            second: Linear::new(hidden, hidden, path),
            rnn: BiLstm::new(config.hidden, config.hidden, path),
            readout: Buffer::new(2, config.hidden),
            readout_bias: 0.,
            embeddings: Vec::new(),
            linear1: Vec::new(),
            compared: Vec::new(),
            config: config.clone(),
            path,
        }
    }

    /// Takes the factors of recurrent products so, from the next load on.
    pub(super) fn set_factors(&mut self, factors: Factors) {
        self.rnn.set_factors(factors);
    }

    pub(super) fn load(&mut self, parameters: &Parameters) -> Result<()> {
        let get =
            |name: &str| -> Result<Vec<S>> { Ok(numbers(parameters.get(name)?).get()?.to_vec()) };
        let blocks = self.config.layout.discrete.len();
        self.embeddings = (0..blocks).map(|n| get(&embedding_name(n))).collect::<Result<_>>()?;
        self.linear1 = get("linear1.weight")?;
        if self.config.compares {
            self.compared = get(COMPARED)?;
        }
        self.first.load(&self.first_map(), &[&get("linear1.bias")?]);
        self.second.load(&get("linear2.weight")?, &[&get("linear2.bias")?]);
        let readout = get("linear3.weight")?;
        for (n, half) in readout.chunks_exact(self.config.hidden).enumerate() {
            self.readout.row_mut(n)[..half.len()].copy_from_slice(half);
        }
        self.readout_bias = get("linear3.bias")?[0].to_f64();
        self.rnn.load(parameters)
    }

    /// `Mᵀ` `[H, D]`, and beside it `Nᵀ`.
    fn first_map(&self) -> Vec<S> {
        let layout = &self.config.layout;
        let embedded = self.config.embedded_width();
        let mut map = Vec::with_capacity(self.linear1.len() + self.compared.len());
        let compared = self.compared.len() / self.config.hidden;
        for (n, weights) in self.linear1.chunks_exact(embedded).enumerate() {
            let (numeric, mut rest) = weights.split_at(layout.numeric);
            map.extend_from_slice(numeric);
            for (embedding, &levels) in self.embeddings.iter().zip(&layout.discrete) {
                let (block, after) = rest.split_at(embedding.len() / levels);
                let dot = |level: &[S]| level.iter().zip(block).map(|(&e, &w)| e * w).sum::<S>();
                map.extend(embedding.chunks_exact(block.len()).map(dot));
                rest = after;
            }
            map.extend_from_slice(&self.compared[n * compared..][..compared]);
        }
        map
    }
}

/// Calls `each(sequence, direction, row)` for where every sequence ends.
fn for_ends(Directions(schedule): &Directions, mut each: impl FnMut(usize, usize, usize)) {
    for (direction, schedule) in schedule.iter().enumerate() {
        for (sequence, row) in schedule.ends() {
            each(sequence, direction, row);
        }
    }
}

/// The gradients of the critic's weights, `M` standing for its factors.
#[derive(Clone, Debug)]
pub(super) struct CriticGradient<S: Real> {
    first: LinearGradient<S>,
    second: LinearGradient<S>,
    rnn: BiGradient<S>,
    readout: Buffer<S>,
    readout_bias: Buffer<S>,
}

impl<S: Real> CriticGradient<S> {
    pub(super) fn new(config: &CriticConfig) -> Self {
        let hidden = Width::one(config.hidden);
        Self {
            first: LinearGradient::new(shown_width(config), hidden),
            second: LinearGradient::new(hidden, hidden),
            rnn: BiGradient::new(config.hidden, config.hidden),
            readout: Buffer::new(2, config.hidden),
            readout_bias: Buffer::new(1, 1),
        }
    }

    /// Sets all gradients to 0.
    pub(super) fn clear(&mut self) {
        self.buffers().for_each(|buffer| buffer.as_mut_slice().fill(S::default()));
    }

    /// Writes the gradients over all micro-batches, that of `M` as those of its factors.
    pub(super) fn export(
        parts: &[&Self],
        weights: &CriticWeights<S>,
        into: &mut Gradients,
    ) -> Result<()> {
        let CriticConfig { layout, hidden, compares } = &weights.config;
        let (embedded, width) = (weights.config.embedded_width(), layout.width());
        let shown = shown_width(&weights.config).real();

        // From M's gradient to those of the embeddings and of the first linear map.
        let first: Vec<_> = parts.iter().map(|part| &part.first).collect();
        let map = LinearGradient::weight_numbers(&first);
        let mut linear1 = vec![S::default(); hidden * embedded];
        let mut embeddings: Vec<Vec<S>> =
            weights.embeddings.iter().map(|e| vec![S::default(); e.len()]).collect();
        let mut on_compared = Vec::new();
        for (n, map) in map.chunks_exact(shown).enumerate() {
            let (map, compared) = map.split_at(width);
            on_compared.extend_from_slice(compared);
            let weight = &weights.linear1[n * embedded..][..embedded];
            let grad = &mut linear1[n * embedded..][..embedded];
            grad[..layout.numeric].copy_from_slice(&map[..layout.numeric]);
            let mut at = layout.numeric;
            for ((block, embedding), grad_embedding) in
                layout.blocks().zip(&weights.embeddings).zip(&mut embeddings)
            {
                let e = embedding.len() / block.len();
                for (level, &on_map) in map[block].iter().enumerate() {
                    for feature in 0..e {
                        grad[at + feature] += on_map * embedding[level * e + feature];
                        grad_embedding[level * e + feature] += on_map * weight[at + feature];
                    }
                }
                at += e;
            }
        }

        let mut export = Export::new();
        if *compares {
            export.numbers(COMPARED.into(), &[*hidden, shown - width], on_compared);
        }
        for (n, (grad, &levels)) in embeddings.into_iter().zip(&layout.discrete).enumerate() {
            let shape = [levels, grad.len() / levels];
            export.numbers(embedding_name(n), &shape, grad);
        }
        export.numbers("linear1.weight".into(), &[*hidden, embedded], linear1);
        LinearGradient::export_bias(&first, "linear1.bias".into(), &mut export);
        let second: Vec<_> = parts.iter().map(|part| &part.second).collect();
        LinearGradient::export(&second, "linear2", &mut export);
        let rnn: Vec<_> = parts.iter().map(|part| &part.rnn).collect();
        BiGradient::export(&rnn, &mut export);
        let readout = parts.iter().map(|part| &part.readout).collect();
        let widths = [Width::one(2), Width::one(*hidden)];
        export.sum("linear3.weight".into(), &[1, 2 * hidden], readout, widths);
        let bias = parts.iter().map(|part| &part.readout_bias).collect();
        export.sum("linear3.bias".into(), &[1], bias, [Width::one(1); 2]);
        export.write(into)
    }
}

/// What a pass through the critic works on.
#[derive(Debug)]
pub(super) struct CriticWork<S: Real> {
    /// What the critic is shown of its rows, and of their tangents.
    shown: Buffer<S>,
    shown_dot: Buffer<S>,
    activated1: Buffer<S>,
    activated2: Buffer<S>,
    rnn: Workspace<S>,
    /// What arrives at h_last, `[sequences, H]` for each direction.
    arriving: [Buffer<S>; 2],
    grad1: Buffer<S>,
    grad2: Buffer<S>,
    dot1: Buffer<S>,
    dot2: Buffer<S>,
    /// ε of y₁ and y₂, from the double backward pass.
    adjoint1: Buffer<S>,
    adjoint2: Buffer<S>,
    /// `[rows, D]`: the input gradient g, then the direction w.
    pub(super) grad_input: Buffer<S>,
    scratch: Panels<S>,
}

impl<S: Real> CriticWork<S> {
    pub(super) fn new(config: &CriticConfig, path: SimdPath) -> Self {
        let wide = || Buffer::new(0, config.hidden);
        let shown = || Buffer::new(0, shown_width(config).padded());
        Self {
            shown: shown(),
            shown_dot: shown(),
            activated1: wide(),
            activated2: wide(),
            rnn: Workspace::new(config.hidden, config.hidden, path),
            arriving: [wide(), wide()],
            grad1: wide(),
            grad2: wide(),
            dot1: wide(),
            dot2: wide(),
            adjoint1: wide(),
            adjoint2: wide(),
            grad_input: Buffer::new(0, config.layout.width()),
            scratch: Panels::new(path),
        }
    }

    /// The scores of the sequences in `x` `[rows, D]`, those of the micro-batch once or twice, and the
    /// backward pass down to y₁ where sequence `n`'s score has the gradient `on_scores[n]`. The gradients of `Σ on_scores · scores`
    /// for the recurrent layers and the readout are added to `into`; without it what the
    /// second order needs is kept.
    pub(super) fn forward_and_backward(
        &mut self,
        weights: &CriticWeights<S>,
        x: &Buffer<S>,
        on_scores: &[S],
        packed: &PackedBatch,
        mut into: Option<&mut CriticGradient<S>>,
    ) -> Vec<f64> {
        let is_once = on_scores.len() == packed.sequences.len();
        let directions = if is_once { &packed.once } else { &packed.twice };

        // The dense layers.
        let leak = S::from_f64(LEAK);
        self.activated1.set_rows(x.rows());
        show(x, packed, &mut self.shown);
        weights.first.forward(self.shown.view(), self.activated1.view_mut());
        leaky_relu_in_place(weights.path, leak, self.activated1.as_mut_slice());
        self.activated2.set_rows(x.rows());
        weights.second.forward(self.activated1.view(), self.activated2.view_mut());
        leaky_relu_in_place(weights.path, leak, self.activated2.as_mut_slice());

        // The biLSTM forward and backward, from what each score gives to the last hidden states.
        for (direction, arriving) in self.arriving.iter_mut().enumerate() {
            arriving.set_rows(on_scores.len());
            for (sequence, &on_score) in on_scores.iter().enumerate() {
                let readout = weights.readout.row(direction);
                for (to, &w) in arriving.row_mut(sequence).iter_mut().zip(readout) {
                    *to = on_score * w;
                }
            }
        }
        weights.rnn.forward_and_backward(
            self.activated2.view(),
            directions,
            [0, 1].map(|n: usize| OutputGradient::Last(self.arriving[n].view())),
            &mut self.rnn,
            &mut self.grad2,
            into.as_mut().map(|into| &mut into.rnn),
        );

        // The readout.
        let mut scores = vec![weights.readout_bias; on_scores.len()];
        for_ends(directions, |sequence, direction, row| {
            let last = self.rnn.hidden(direction, row);
            let readout = weights.readout.row(direction);
            scores[sequence] +=
                last.iter().zip(readout).map(|(&h, &w)| h.to_f64() * w.to_f64()).sum::<f64>();
            if let Some(into) = &mut into {
                for (to, &h) in into.readout.row_mut(direction).iter_mut().zip(last) {
                    *to += on_scores[sequence] * h;
                }
            }
        });

        Self::backward_dense(
            weights,
            &mut self.grad2,
            &mut self.grad1,
            &self.activated1,
            &self.activated2,
        );
        scores
    }

    /// From the gradient of a₂ (which becomes that of y₂) to that of y₁.
    fn backward_dense(
        weights: &CriticWeights<S>,
        grad2: &mut Buffer<S>,
        grad1: &mut Buffer<S>,
        activated1: &Buffer<S>,
        activated2: &Buffer<S>,
    ) {
        let (leak, path) = (S::from_f64(LEAK), weights.path);
        leaky_relu_backward_in_place(path, leak, grad2.as_mut_slice(), activated2.as_slice());
        grad1.set_rows(grad2.rows());
        weights.second.backward(grad2.view(), Start::Zero, grad1.view_mut());
        leaky_relu_backward_in_place(path, leak, grad1.as_mut_slice(), activated1.as_slice());
    }

    /// The rest of the backward pass, from y₁ to the input: g `[rows, D]`.
    pub(super) fn input_gradient(&mut self, weights: &CriticWeights<S>, packed: &PackedBatch) {
        self.shown_dot.set_rows(self.grad1.rows());
        weights.first.backward(self.grad1.view(), Start::Zero, self.shown_dot.view_mut());
        show_transposed(&self.shown_dot, packed, &mut self.grad_input);
    }

    /// Adds the gradients of the critic's loss `Σ on_scores · scores` at `x` `[rows, D]`;
    /// returns the scores.
    pub(super) fn add_first(
        &mut self,
        weights: &CriticWeights<S>,
        x: &Buffer<S>,
        on_scores: &[S],
        packed: &PackedBatch,
        into: &mut CriticGradient<S>,
    ) -> Vec<f64> {
        let scores = self.forward_and_backward(weights, x, on_scores, packed, Some(&mut *into));
        into.readout_bias.row_mut(0)[0] += on_scores.iter().copied().sum();
        let (path, scratch) = (weights.path, &mut self.scratch);
        into.second.add(path, self.grad2.view(), self.activated1.view(), scratch);
        into.first.add(path, self.grad1.view(), self.shown.view(), scratch);
        scores
    }

    /// The gradient penalty at `x` `[rows, D]`, for every sequence `share · (‖g‖ − 1)²`, and what
    /// [`Self::add_penalty_gradient`] goes on from. Returns Σ (‖g‖ − 1)².
    pub(super) fn penalty(
        &mut self,
        weights: &CriticWeights<S>,
        x: &Buffer<S>,
        packed: &PackedBatch,
        share: f64,
    ) -> f64 {
        let (leak, path) = (S::from_f64(LEAK), weights.path);
        let ones = vec![S::from_f64(1.); packed.sequences.len()];
        self.forward_and_backward(weights, x, &ones, packed, None);
        self.input_gradient(weights, packed);
        let penalty = self.turn_into_direction(path, packed, share);

        // The JVP along w: C's directional derivative is w₃ · ḣ_last.
        self.dot1.set_rows(x.rows());
        show(&self.grad_input, packed, &mut self.shown_dot);
        weights.first.jvp(self.shown_dot.view(), self.dot1.view_mut());
        let activated1 = self.activated1.as_slice();
        leaky_relu_backward_in_place(path, leak, self.dot1.as_mut_slice(), activated1);
        self.dot2.set_rows(x.rows());
        weights.second.jvp(self.dot1.view(), self.dot2.view_mut());
        let activated2 = self.activated2.as_slice();
        leaky_relu_backward_in_place(path, leak, self.dot2.as_mut_slice(), activated2);
        penalty
    }

    /// What follows the JVP: its own backward pass, which has the δ of the first one, and the double
    /// backward pass. The penalty's gradients are added to `into`; without it all that they are made of
    /// is kept.
    pub(super) fn add_penalty_gradient(
        &mut self,
        weights: &CriticWeights<S>,
        packed: &PackedBatch,
        mut into: Option<&mut CriticGradient<S>>,
    ) {
        let (path, scratch) = (weights.path, &mut self.scratch);
        if let Some(into) = &mut into {
            into.second.add_to_weight(self.grad2.view(), self.dot1.view(), scratch);
            into.first.add_to_weight(self.grad1.view(), self.shown_dot.view(), scratch);
        }
        weights.rnn.second_order(
            [self.activated2.view(), self.dot2.view()],
            &packed.once,
            &mut self.rnn,
            &mut self.adjoint2,
            into.as_mut().map(|into| &mut into.rnn),
        );
        Self::backward_dense(
            weights,
            &mut self.adjoint2,
            &mut self.adjoint1,
            &self.activated1,
            &self.activated2,
        );
        let Some(into) = into else { return };
        for_ends(&packed.once, |_, direction, row| {
            let last = self.rnn.hidden_dot(direction, row);
            for (to, &h) in into.readout.row_mut(direction).iter_mut().zip(last) {
                *to += h;
            }
        });
        into.second.add(path, self.adjoint2.view(), self.activated1.view(), scratch);
        into.first.add(path, self.adjoint1.view(), self.shown.view(), scratch);
    }

    /// g → w = share · ∂(‖g‖ − 1)²/∂g for every sequence; Σ (‖g‖ − 1)².
    fn turn_into_direction(&mut self, path: SimdPath, packed: &PackedBatch, share: f64) -> f64 {
        let mut squares = vec![NORM_FLOOR; packed.sequences.len()];
        for (n, _, _, row) in packed.steps() {
            squares[n] += sum_of_squares(self.grad_input.row(row));
        }
        let norms: Vec<f64> = squares.iter().map(|square| square.sqrt()).collect();
        for (n, _, _, row) in packed.steps() {
            let factor = S::from_f64(share * 2. * (norms[n] - 1.) / norms[n]);
            scale_in_place(path, factor, self.grad_input.row_mut(row));
        }
        norms.iter().map(|norm| (norm - 1.) * (norm - 1.)).sum()
    }
}

/// From the real and the synthetic sequences of one micro-batch, `both` `[2 · rows, D]`, to the
/// interpolates `between` them, `[rows, D]`.
pub(super) fn interpolate<S: Real>(
    both: &Buffer<S>,
    alpha: &[S],
    packed: &PackedBatch,
    between: &mut Buffer<S>,
) {
    between.set_rows(packed.rows);
    for (_, sequence, _, row) in packed.steps() {
        let (real, fake) = (both.row(row), both.row(packed.rows + row));
        let alpha = alpha[sequence];
        for ((to, &real), &fake) in between.row_mut(row).iter_mut().zip(real).zip(fake) {
            *to = fake + alpha * (real - fake);
        }
    }
}
