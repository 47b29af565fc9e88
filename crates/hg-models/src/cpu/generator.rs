//! The generator's rows and the gradients of its loss.

use super::bilstm::{BiGradient, BiLstm, Workspace};
use super::carry::{carry, carry_backward};
use super::export::Export;
use super::linear::{Linear, LinearGradient, Width, numbers};
use super::micro_batch::PackedBatch;
use super::{Gradients, LEAK};
use crate::{GeneratorConfig, Parameters, Result, RowLayout};
use hg_lstm::ReverseAlignment;
use hg_lstm::kernel::{
    Buffer, Factors, OutputGradient, Panels, Real, SimdPath, Start, exp_of_negative_in_place,
    leaky_relu_backward_in_place, leaky_relu_in_place, padded, sigmoid_in_place,
};

/// The generator's weights, packed.
#[derive(Debug)]
pub(super) struct GeneratorWeights<S: Real> {
    config: GeneratorConfig,
    path: SimdPath,
    rnn: BiLstm<S>,
    /// linear1, linear2, linear3
    dense: [Linear<S>; 3],
}

const DENSE: [&str; 3] = ["linear1", "linear2", "linear3"];

/// (input, output) of the dense layers.
fn dense_widths(config: &GeneratorConfig) -> [(Width, Width); 3] {
    let hidden = Width::one(config.hidden);
    let both = Width { parts: 2, each: config.hidden };
    [(both, hidden), (hidden, hidden), (hidden, Width::one(config.layout.width()))]
}

impl<S: Real> GeneratorWeights<S> {
    pub(super) fn new(config: &GeneratorConfig, path: SimdPath) -> Self {
        Self {
            rnn: BiLstm::new(config.latent, config.hidden, path),
            dense: dense_widths(config).map(|(input, output)| Linear::new(input, output, path)),
            config: config.clone(),
            path,
        }
    }

    /// Takes the factors of recurrent products so, from the next load on.
    pub(super) fn set_factors(&mut self, factors: Factors) {
        self.rnn.set_factors(factors);
    }

    pub(super) fn load(&mut self, parameters: &Parameters) -> Result<()> {
        for (linear, name) in self.dense.iter_mut().zip(DENSE) {
            let part = |part: &str| -> Result<_> {
                Ok(numbers(parameters.get(&format!("{name}.{part}"))?.as_tensor()))
            };
            linear.load(part("weight")?.get()?, &[part("bias")?.get()?]);
        }
        self.rnn.load(parameters)
    }
}

/// The gradients of the generator's weights.
#[derive(Clone, Debug)]
pub(super) struct GeneratorGradient<S: Real> {
    rnn: BiGradient<S>,
    dense: [LinearGradient<S>; 3],
}

impl<S: Real> GeneratorGradient<S> {
    pub(super) fn new(config: &GeneratorConfig) -> Self {
        Self {
            rnn: BiGradient::new(config.latent, config.hidden),
            dense: dense_widths(config).map(|(input, output)| LinearGradient::new(input, output)),
        }
    }

    /// Its buffers, in a fixed order.
    pub(super) fn buffers(&mut self) -> impl Iterator<Item = &mut Buffer<S>> {
        let dense = self.dense.iter_mut().flat_map(LinearGradient::buffers);
        self.rnn.buffers().chain(dense)
    }

    /// Sets all gradients to 0.
    pub(super) fn clear(&mut self) {
        self.buffers().for_each(|buffer| buffer.as_mut_slice().fill(S::default()));
    }

    /// Writes the gradients over all micro-batches.
    pub(super) fn export(parts: &[&Self], into: &mut Gradients) -> Result<()> {
        let mut export = Export::new();
        for (n, name) in DENSE.iter().enumerate() {
            let dense: Vec<_> = parts.iter().map(|part| &part.dense[n]).collect();
            LinearGradient::export(&dense, name, &mut export);
        }
        let rnn: Vec<_> = parts.iter().map(|part| &part.rnn).collect();
        BiGradient::export(&rnn, &mut export);
        export.write(into)
    }
}

/// What a pass through the generator works on.
#[derive(Debug)]
pub(super) struct GeneratorWork<S: Real> {
    /// `[rows, Z]`
    noise: Buffer<S>,
    rnn: Workspace<S>,
    /// Both directions side by side.
    hidden: Buffer<S>,
    activated1: Buffer<S>,
    activated2: Buffer<S>,
    /// `[rows, D]`, before anything is carried.
    activated3: Buffer<S>,
    /// `[rows, D]`
    pub(super) out: Buffer<S>,
    grad2: Buffer<S>,
    grad1: Buffer<S>,
    grad_hidden: Buffer<S>,
    /// What arrives at each direction's h.
    arriving: [Buffer<S>; 2],
    scratch: Panels<S>,
}

impl<S: Real> GeneratorWork<S> {
    pub(super) fn new(config: &GeneratorConfig, path: SimdPath) -> Self {
        let wide = || Buffer::new(0, config.hidden);
        let both = || Buffer::new(0, 2 * padded(config.hidden));
        Self {
            noise: Buffer::new(0, config.latent),
            rnn: Workspace::new(config.latent, config.hidden, path),
            hidden: both(),
            activated1: wide(),
            activated2: wide(),
            activated3: Buffer::new(0, config.layout.width()),
            out: Buffer::new(0, config.layout.width()),
            grad2: wide(),
            grad1: wide(),
            grad_hidden: both(),
            arriving: [wide(), wide()],
            scratch: Panels::new(path),
        }
    }

    /// Makes rows `[rows, D]` for every sequence of the micro-batch, in `self.out`. `noise` fills
    /// `[length · Z]` values for a sequence of the batch.
    pub(super) fn forward(
        &mut self,
        weights: &GeneratorWeights<S>,
        packed: &PackedBatch,
        noise: &(dyn Fn(usize, &mut [S]) + Sync),
    ) {
        let latent = weights.config.latent;
        self.noise.set_rows(packed.rows);
        for (n, (&sequence, &length)) in packed.sequences.iter().zip(&packed.lengths).enumerate() {
            let mut values = vec![S::default(); length * latent];
            noise(sequence, &mut values);
            for (time, values) in values.chunks_exact(latent).enumerate() {
                self.noise.row_mut(packed.row(n, time))[..latent].copy_from_slice(values);
            }
        }

        // Both directions of the biLSTM side by side.
        weights.rnn.forward(self.noise.view(), &packed.once, &mut self.rnn);
        let wide = padded(weights.config.hidden);
        self.hidden.set_rows(packed.rows);
        for_aligned(weights.config.reverse_alignment, packed, |row, reverse_row| {
            let both = self.hidden.row_mut(row);
            both[..wide].copy_from_slice(self.rnn.hidden(0, row));
            both[wide..].copy_from_slice(self.rnn.hidden(1, reverse_row));
        });

        // The dense layers.
        let leak = S::from_f64(LEAK);
        let [linear1, linear2, linear3] = &weights.dense;
        self.activated1.set_rows(packed.rows);
        linear1.forward(self.hidden.view(), self.activated1.view_mut());
        leaky_relu_in_place(weights.path, leak, self.activated1.as_mut_slice());
        self.activated2.set_rows(packed.rows);
        linear2.forward(self.activated1.view(), self.activated2.view_mut());
        leaky_relu_in_place(weights.path, leak, self.activated2.as_mut_slice());
        self.activated3.set_rows(packed.rows);
        linear3.forward(self.activated2.view(), self.activated3.view_mut());
        let layout = &weights.config.layout;
        for row in 0..packed.rows {
            output_activation(weights.path, layout, self.activated3.row_mut(row));
        }
        carry(&layout.carried, packed, &self.activated3, &mut self.out);
    }

    /// Adds the gradients for a gradient of `self.out`, which it uses up.
    pub(super) fn add_gradient(
        &mut self,
        weights: &GeneratorWeights<S>,
        packed: &PackedBatch,
        grad_out: &mut Buffer<S>,
        into: &mut GeneratorGradient<S>,
    ) {
        let (leak, path, layout) = (S::from_f64(LEAK), weights.path, &weights.config.layout);
        carry_backward(&layout.carried, packed, &self.activated3, &self.out, grad_out);
        for row in 0..packed.rows {
            output_activation_backward(layout, self.activated3.row(row), grad_out.row_mut(row));
        }

        // The dense layers.
        let [linear1, linear2, linear3] = &weights.dense;
        let [on_linear1, on_linear2, on_linear3] = &mut into.dense;
        let scratch = &mut self.scratch;
        on_linear3.add(path, grad_out.view(), self.activated2.view(), scratch);
        self.grad2.set_rows(packed.rows);
        linear3.backward(grad_out.view(), Start::Zero, self.grad2.view_mut());
        let activated2 = self.activated2.as_slice();
        leaky_relu_backward_in_place(path, leak, self.grad2.as_mut_slice(), activated2);
        on_linear2.add(path, self.grad2.view(), self.activated1.view(), scratch);
        self.grad1.set_rows(packed.rows);
        linear2.backward(self.grad2.view(), Start::Zero, self.grad1.view_mut());
        let activated1 = self.activated1.as_slice();
        leaky_relu_backward_in_place(path, leak, self.grad1.as_mut_slice(), activated1);
        on_linear1.add(path, self.grad1.view(), self.hidden.view(), scratch);
        self.grad_hidden.set_rows(packed.rows);
        linear1.backward(self.grad1.view(), Start::Zero, self.grad_hidden.view_mut());

        let wide = padded(weights.config.hidden);
        let [forwards, backwards] = &mut self.arriving;
        forwards.set_rows(packed.rows);
        backwards.set_rows(packed.rows);
        for_aligned(weights.config.reverse_alignment, packed, |row, reverse_row| {
            let both = self.grad_hidden.row(row);
            forwards.row_mut(row).copy_from_slice(&both[..wide]);
            backwards.row_mut(reverse_row).copy_from_slice(&both[wide..]);
        });
        let arriving = [0, 1].map(|n: usize| OutputGradient::Every(self.arriving[n].view()));
        let (x, rnn) = (self.noise.view(), &mut self.rnn);
        weights.rnn.backward(x, &packed.once, arriving, rnn, &mut into.rnn);
    }
}

/// Calls `each(row, row of the reverse direction that is lined up with it)`.
fn for_aligned(
    alignment: ReverseAlignment,
    packed: &PackedBatch,
    mut each: impl FnMut(usize, usize),
) {
    for (n, _, time, row) in packed.steps() {
        let reverse_row = match alignment {
            ReverseAlignment::Flipped => row,
            ReverseAlignment::HealthGym => packed.row(n, packed.lengths[n] - 1 - time),
        };
        each(row, reverse_row);
    }
}

/// Sigmoid on numeric features, softmax on each block; padding becomes 0.
fn output_activation<S: Real>(path: SimdPath, layout: &RowLayout, row: &mut [S]) {
    row[layout.width()..].fill(S::default());
    for block in layout.blocks() {
        let block = &mut row[block];
        let greatest = block.iter().fold(block[0], |a, &b| if b > a { b } else { a });
        block.iter_mut().for_each(|x| *x = greatest - *x);
    }
    let (numeric, discrete) = row[..layout.width()].split_at_mut(layout.numeric);
    sigmoid_in_place(path, numeric);
    exp_of_negative_in_place(path, discrete);
    for block in layout.blocks() {
        let block = &mut row[block];
        let sum: S = block.iter().copied().sum();
        block.iter_mut().for_each(|x| *x /= sum);
    }
}

/// The backward pass of [`output_activation`]: from its result `out` and the gradient of that to
/// the gradient of the logits, both in `grad`.
fn output_activation_backward<S: Real>(layout: &RowLayout, out: &[S], grad: &mut [S]) {
    let one = S::from_f64(1.);
    for (g, &s) in grad.iter_mut().zip(out).take(layout.numeric) {
        *g = *g * s * (one - s);
    }
    for block in layout.blocks() {
        let (p, g) = (&out[block.clone()], &mut grad[block]);
        let mean: S = p.iter().zip(g.iter()).map(|(&p, &g)| p * g).sum();
        for (g, &p) in g.iter_mut().zip(p) {
            *g = p * (*g - mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The greatest logit of a block is taken off first, or e^1000 would be infinite.
    #[test]
    fn logits_far_apart_give_shares_and_not_infinity() {
        let layout = RowLayout::new(1, vec![3, 2]);
        for path in SimdPath::available() {
            let mut row = [9f32; 16];
            row[..6].copy_from_slice(&[-1000., -1000., 1000., 0., 500., 500.]);
            output_activation(path, &layout, &mut row);
            assert_eq!(row[..6], [0., 0., 1., 0., 0.5, 0.5], "{path:?}");
            assert_eq!(row[6..], [0.; 10], "{path:?}: padding");
        }
    }
}
