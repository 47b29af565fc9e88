//! Linear maps on padded rows.

use super::export::{Export, add_up};
use crate::{Error, Result};
use candle_core::{Layout, Storage, Tensor};
use hg_lstm::kernel::{
    Buffer, Input, Matrix, MatrixMut, Panels, Real, SimdPath, Start, add_column_sums,
    add_column_sums_of_rows, add_transposed_product, add_transposed_product_of_rows, multiply,
    multiply_rows, padded,
};
use std::ops::Deref;

/// A width made of equal parts, each padded on its own: the four gates of an
/// LSTM, or its two directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Width {
    pub(super) parts: usize,
    pub(super) each: usize,
}

impl Width {
    pub(super) fn one(each: usize) -> Self {
        Self { parts: 1, each }
    }

    pub(super) fn real(self) -> usize {
        self.parts * self.each
    }

    pub(super) fn padded(self) -> usize {
        self.parts * padded(self.each)
    }

    /// Where feature `n` is in a padded row.
    pub(super) fn place(self, n: usize) -> usize {
        n / self.each * padded(self.each) + n % self.each
    }

    /// (first feature, its place, count) of each part.
    pub(super) fn runs(self) -> impl Iterator<Item = (usize, usize, usize)> {
        (0..self.parts).map(move |part| (part * self.each, part * padded(self.each), self.each))
    }
}

/// The numbers of a tensor on the CPU, where they lie.
pub(super) struct Numbers<'a, G> {
    storage: G,
    layout: &'a Layout,
}

/// Holds a tensor's numbers.
pub(super) fn numbers(x: &Tensor) -> Numbers<'_, impl Deref<Target = Storage>> {
    let (storage, layout) = x.storage_and_layout();
    Numbers { storage, layout }
}

impl<G: Deref<Target = Storage>> Numbers<'_, G> {
    /// Row-major.
    pub(super) fn get<S: Real>(&self) -> Result<&[S]> {
        let at = self.layout.contiguous_offsets();
        let (Storage::Cpu(storage), Some((start, end))) = (&*self.storage, at) else {
            let problem = "the engine takes contiguous weights on the CPU";
            return Err(Error::Weights(problem.into()));
        };
        Ok(&storage.as_slice::<S>()?[start..end])
    }
}

/// `y = x Wᵀ + b`, packed for both ways.
#[derive(Clone, Debug)]
pub(super) struct Linear<S: Real> {
    pub(super) input: Width,
    pub(super) output: Width,
    weight: Buffer<S>,
    bias: Buffer<S>,
    forwards: Panels<S>,
    backwards: Panels<S>,
}

impl<S: Real> Linear<S> {
    pub(super) fn new(input: Width, output: Width, path: SimdPath) -> Self {
        Self {
            input,
            output,
            weight: Buffer::new(output.padded(), input.padded()),
            bias: Buffer::new(1, output.padded()),
            forwards: Panels::new(path),
            backwards: Panels::new(path),
        }
    }

    /// Takes `weight` `[out, in]`, row-major, and the sum of `biases` `[out]`.
    pub(super) fn load(&mut self, weight: &[S], biases: &[&[S]]) {
        let bias = self.bias.row_mut(0);
        for n in 0..self.output.real() {
            bias[self.output.place(n)] = biases.iter().map(|bias| bias[n]).sum();
        }
        if pad_rows(weight, self.output, self.input, &mut self.weight) || self.forwards.is_empty() {
            self.forwards.pack_transposed(self.weight.view());
            self.backwards.pack(self.weight.view());
        }
    }

    /// `y = x Wᵀ + b`
    pub(super) fn forward(&self, x: Matrix<'_, S>, y: MatrixMut<'_, S>) {
        multiply(x, &self.forwards, Start::Bias(self.bias.row(0)), y);
    }

    /// This map of `x` as the input of a recurrence.
    pub(super) fn as_input<'a>(&'a self, x: Matrix<'a, S>) -> Input<'a, S> {
        Input { x, weights: &self.forwards, start: Start::Bias(self.bias.row(0)) }
    }

    /// This map of a tangent `x_dot`, without the bias, as the input of a recurrence's JVP.
    pub(super) fn as_jvp_input<'a>(&'a self, x_dot: Matrix<'a, S>) -> Input<'a, S> {
        Input { x: x_dot, weights: &self.forwards, start: Start::Zero }
    }

    /// `ẏ = ẋ Wᵀ`
    pub(super) fn jvp(&self, x_dot: Matrix<'_, S>, y_dot: MatrixMut<'_, S>) {
        multiply(x_dot, &self.forwards, Start::Zero, y_dot);
    }

    /// `ḡₓ = start + ḡ W`
    pub(super) fn backward(
        &self,
        grad: Matrix<'_, S>,
        start: Start<'_, S>,
        grad_input: MatrixMut<'_, S>,
    ) {
        multiply(grad, &self.backwards, start, grad_input);
    }

    /// `ḡₓ = start + ḡ W` of these rows alone.
    pub(super) fn backward_rows(
        &self,
        rows: &[u32],
        grad: Matrix<'_, S>,
        start: Start<'_, S>,
        grad_input: MatrixMut<'_, S>,
    ) {
        multiply_rows(rows, grad, &self.backwards, start, grad_input);
    }
}

/// Copies `[rows, columns]` into a padded buffer; whether that changed it.
pub(super) fn pad_rows<S: Real>(
    from: &[S],
    rows: Width,
    columns: Width,
    to: &mut Buffer<S>,
) -> bool {
    let mut changed = false;
    for (n, row) in from.chunks_exact(columns.real()).enumerate() {
        let padded_row = to.row_mut(rows.place(n));
        for (first, place, count) in columns.runs() {
            let (from, to) = (&row[first..first + count], &mut padded_row[place..place + count]);
            // Over all of them, which runs in vectors, as a search for the first does not.
            let differ = from.iter().zip(&*to).fold(false, |differ, (a, b)| differ | (a != b));
            if differ {
                to.copy_from_slice(from);
                changed = true;
            }
        }
    }
    changed
}

/// The gradient of a [`Linear`].
#[derive(Clone, Debug)]
pub(super) struct LinearGradient<S: Real> {
    input: Width,
    output: Width,
    weight: Buffer<S>,
    bias: Buffer<S>,
}

impl<S: Real> LinearGradient<S> {
    pub(super) fn new(input: Width, output: Width) -> Self {
        Self {
            input,
            output,
            weight: Buffer::new(output.padded(), input.padded()),
            bias: Buffer::new(1, output.padded()),
        }
    }

    /// Adds what `ḡ` brings where the input was `x`.
    pub(super) fn add(
        &mut self,
        path: SimdPath,
        grad: Matrix<'_, S>,
        x: Matrix<'_, S>,
        scratch: &mut Panels<S>,
    ) {
        self.add_to_weight(grad, x, scratch);
        add_column_sums(path, grad, self.bias.view_mut());
    }

    /// Adds what `ḡ` brings at these rows alone, where the input was `x`.
    pub(super) fn add_rows(
        &mut self,
        path: SimdPath,
        rows: &[u32],
        grad: Matrix<'_, S>,
        x: Matrix<'_, S>,
        scratch: &mut Panels<S>,
    ) {
        self.add_rows_to_weight(rows, grad, x, scratch);
        add_column_sums_of_rows(path, rows, grad, self.bias.view_mut());
    }

    /// Adds to the weight's gradient alone what `ḡ` brings at these rows, as a tangent does.
    pub(super) fn add_rows_to_weight(
        &mut self,
        rows: &[u32],
        grad: Matrix<'_, S>,
        x: Matrix<'_, S>,
        scratch: &mut Panels<S>,
    ) {
        let into = self.weight.view_mut();
        add_transposed_product_of_rows((rows, grad), (rows, x), into, scratch);
    }

    /// Adds to the weight's gradient alone what `ḡ` brings where `x` was a tangent.
    pub(super) fn add_to_weight(
        &mut self,
        grad: Matrix<'_, S>,
        x: Matrix<'_, S>,
        scratch: &mut Panels<S>,
    ) {
        add_transposed_product(grad, x, self.weight.view_mut(), scratch);
    }

    pub(super) fn buffers(&mut self) -> [&mut Buffer<S>; 2] {
        [&mut self.weight, &mut self.bias]
    }

    /// The weight's gradient `[out, in]`, row-major, over all micro-batches.
    pub(super) fn weight_numbers(parts: &[&Self]) -> Vec<S> {
        let Self { input, output, .. } = *parts[0];
        let mut all = vec![S::default(); output.real() * input.real()];
        let weights: Vec<_> = parts.iter().map(|part| &part.weight).collect();
        add_up(&weights, output, input, &mut all);
        all
    }

    /// The gradients of weight and bias over all micro-batches.
    pub(super) fn export<'a>(parts: &[&'a Self], name: &str, into: &mut Export<'a, S>) {
        let Self { input, output, .. } = *parts[0];
        let weights = parts.iter().map(|part| &part.weight).collect();
        let shape = [output.real(), input.real()];
        into.sum(format!("{name}.weight"), &shape, weights, [output, input]);
        Self::export_bias(parts, format!("{name}.bias"), into);
    }

    /// The gradient of the bias over all micro-batches.
    pub(super) fn export_bias<'a>(parts: &[&'a Self], name: String, into: &mut Export<'a, S>) {
        let output = parts[0].output;
        let biases = parts.iter().map(|part| &part.bias).collect();
        into.sum(name, &[output.real()], biases, [Width::one(1), output]);
    }
}
