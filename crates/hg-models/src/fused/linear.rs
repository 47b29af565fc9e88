//! Linear maps on padded rows.

use crate::Result;
use candle_core::{Device, Tensor};
use hg_lstm::kernel::{
    Buffer, Matrix, MatrixMut, Panels, Real, SimdPath, Start, add_column_sums,
    add_transposed_product, multiply, padded,
};

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

    fn real(self) -> usize {
        self.parts * self.each
    }

    pub(super) fn padded(self) -> usize {
        self.parts * padded(self.each)
    }

    /// Where feature `n` is in a padded row.
    fn place(self, n: usize) -> usize {
        n / self.each * padded(self.each) + n % self.each
    }

    /// (first feature, its place, count) of each part.
    fn runs(self) -> impl Iterator<Item = (usize, usize, usize)> {
        (0..self.parts).map(move |part| (part * self.each, part * padded(self.each), self.each))
    }
}

/// The numbers of a tensor on the CPU.
pub(super) fn numbers<S: Real>(x: &Tensor) -> Result<Vec<S>> {
    Ok(x.flatten_all()?.to_vec1()?)
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
        pad_rows(weight, self.output, self.input, &mut self.weight);
        let bias = self.bias.row_mut(0);
        for n in 0..self.output.real() {
            bias[self.output.place(n)] = biases.iter().map(|bias| bias[n]).sum();
        }
        self.forwards.pack_transposed(self.weight.view());
        self.backwards.pack(self.weight.view());
    }

    /// `y = x Wᵀ + b`
    pub(super) fn forward(&self, x: Matrix<'_, S>, y: MatrixMut<'_, S>) {
        multiply(x, &self.forwards, Start::Bias(self.bias.row(0)), y);
    }

    /// `ẏ = ẋ Wᵀ`
    pub(super) fn tangent(&self, x_dot: Matrix<'_, S>, y_dot: MatrixMut<'_, S>) {
        multiply(x_dot, &self.forwards, Start::Zero, y_dot);
    }

    /// `ḡₓ = start + ḡ W`
    pub(super) fn pull_back(
        &self,
        grad: Matrix<'_, S>,
        start: Start<'_, S>,
        grad_input: MatrixMut<'_, S>,
    ) {
        multiply(grad, &self.backwards, start, grad_input);
    }
}

/// Copies `[rows, columns]` into a padded buffer.
pub(super) fn pad_rows<S: Real>(from: &[S], rows: Width, columns: Width, to: &mut Buffer<S>) {
    for (n, row) in from.chunks_exact(columns.real()).enumerate() {
        let padded_row = to.row_mut(rows.place(n));
        for (first, place, count) in columns.runs() {
            padded_row[place..place + count].copy_from_slice(&row[first..first + count]);
        }
    }
}

/// Copies a padded buffer's `[rows, columns]` out.
pub(super) fn unpad_rows<S: Real>(from: &Buffer<S>, rows: Width, columns: Width) -> Vec<S> {
    let mut all = Vec::with_capacity(rows.real() * columns.real());
    for n in 0..rows.real() {
        let row = from.row(rows.place(n));
        for (_, place, count) in columns.runs() {
            all.extend_from_slice(&row[place..place + count]);
        }
    }
    all
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

    /// Adds to the weight's gradient alone, as a tangent does.
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

    /// The weight's gradient `[out, in]`, row-major.
    pub(super) fn weight_numbers(&self) -> Vec<S> {
        unpad_rows(&self.weight, self.output, self.input)
    }

    pub(super) fn weight(&self) -> Result<Tensor> {
        let shape = (self.output.real(), self.input.real());
        Ok(Tensor::from_vec(self.weight_numbers(), shape, &Device::Cpu)?)
    }

    pub(super) fn bias(&self) -> Result<Tensor> {
        let bias = unpad_rows(&self.bias, Width::one(1), self.output);
        Ok(Tensor::from_vec(bias, self.output.real(), &Device::Cpu)?)
    }
}
