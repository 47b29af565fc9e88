//! Linear layers over `[batch, steps, features]` and leaky ReLU, each with what its input gradient
//! needs.

use crate::Result;
use candle_core::{D, Tensor};
use candle_nn::VarBuilder;

/// The slope of leaky ReLU below 0.
pub(crate) const LEAK: f64 = 0.1;

/// `x Wᵀ + b` with `weight` `[out, in]`.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
}

impl Linear {
    pub(crate) fn new(input: usize, output: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self { weight: vb.get((output, input), "weight")?, bias: vb.get(output, "bias")? })
    }

    /// `[.., in]` → `[.., out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(rows_times(x, &self.weight.t()?)?.broadcast_add(&self.bias)?)
    }

    /// The gradient `[.., in]` of the input from that of the output `[.., out]`.
    pub(crate) fn backward(&self, grad: &Tensor) -> Result<Tensor> {
        rows_times(grad, &self.weight)
    }
}

/// `x` `[.., k]` times a matrix `[k, n]`, as one product over all rows.
pub(crate) fn rows_times(x: &Tensor, matrix: &Tensor) -> Result<Tensor> {
    let mut shape = x.dims().to_vec();
    let inner = x.dim(D::Minus1)?;
    let rows = x.elem_count() / inner;
    let product = x.reshape((rows, inner))?.matmul(matrix)?;
    if let Some(last) = shape.last_mut() {
        *last = matrix.dim(1)?;
    }
    Ok(product.reshape(shape)?)
}

/// The slope of leaky ReLU at `x`, 1 above 0 and 0.1 elsewhere, as a constant.
pub(crate) fn leaky_relu_slope(x: &Tensor) -> Result<Tensor> {
    let positive = x.detach().gt(0.)?.to_dtype(x.dtype())?;
    Ok(positive.affine(1. - LEAK, LEAK)?)
}
