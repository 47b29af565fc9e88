//! The recurrence over time and its backward pass, in plain tracked candle operations: the oracle
//! for the fused kernels, and what runs on other devices. `K` directions run side by side.
//!
//! Forward, for t = 0 … T−1, from `h = c = 0`:
//!
//! ```text
//! pre'_t = pre_t + h_{t−1} Uᵀ          (f, i, a, o, c_t, h_t) = cell(pre'_t, c_{t−1})
//! ```
//!
//! Backward, for t = T−1 … 0, with `ḡ` the gradient of h:
//!
//! ```text
//! δh_t = ḡ_t + δpre_{t+1} U            δc_t = δh_t ⊙ o ⊙ (1 − tanh² c_t) + δc_{t+1} ⊙ f_{t+1}
//! δpre_f = δc_t ⊙ c_{t−1} ⊙ f(1 − f)   δpre_i = δc_t ⊙ a ⊙ i(1 − i)
//! δpre_a = δc_t ⊙ i ⊙ (1 − a²)         δpre_o = δh_t ⊙ tanh c_t ⊙ o(1 − o)
//! ```
//!
//! The backward pass is itself made of tracked operations, so differentiating its result is exact:
//! that is the second order.

use crate::cell::{CellState, lstm_cell};
use candle_core::{D, Result, Tensor};

/// Everything that the forward pass computed, one entry per step.
pub(crate) type Steps = Vec<CellState>;

/// The forward pass: `pre` `[K, batch, steps, 4·hidden]`, `u` `[K, 4·hidden, hidden]` → the
/// steps, and all hidden states `[K, batch, steps, hidden]`.
pub(crate) fn forward(pre: &Tensor, u: &Tensor) -> Result<(Steps, Tensor)> {
    let (directions, batch, steps, _) = pre.dims4()?;
    let hidden = u.dim(D::Minus1)?;
    let u_transposed = u.transpose(1, 2)?.contiguous()?;
    let zero = Tensor::zeros((directions, batch, hidden), pre.dtype(), pre.device())?;
    let mut states: Steps = Vec::with_capacity(steps);
    for t in 0..steps {
        let pre_t = pre.narrow(2, t, 1)?.squeeze(2)?;
        // The zero state takes part, so that even a single step depends on U.
        let (hidden, cell_state) = match states.last() {
            Some(before) => (&before.hidden, &before.cell_state),
            None => (&zero, &zero),
        };
        let pre_t = (pre_t + hidden.matmul(&u_transposed)?)?;
        let state = lstm_cell(&pre_t, cell_state)?;
        states.push(state);
    }
    let hidden = Tensor::stack(&states.iter().map(|s| &s.hidden).collect::<Vec<_>>(), 2)?;
    Ok((states, hidden))
}

/// The backward pass: the gradient of `Σ grad_hidden ⊙ h` with respect to `pre`
/// `[K, batch, steps, 4·hidden]`, for `grad_hidden` `[K, batch, steps, hidden]`.
pub(crate) fn backward(steps: &Steps, u: &Tensor, grad_hidden: &Tensor) -> Result<Tensor> {
    // (gradient for pre, gradient for c) of the step after.
    let mut after: Option<(Tensor, Tensor)> = None;
    let mut grads = Vec::with_capacity(steps.len());
    for (t, state) in steps.iter().enumerate().rev() {
        let CellState { forget_gate: f, input_gate: i, candidate: a, output_gate: o, .. } = state;
        let tanh_c = state.cell_state.tanh()?;
        let mut grad_h = grad_hidden.narrow(2, t, 1)?.squeeze(2)?;
        if let Some((grad_pre, _)) = &after {
            grad_h = (grad_h + grad_pre.matmul(u)?)?;
        }
        let mut grad_c = ((&grad_h * o)? * one_minus_square(&tanh_c)?)?;
        if let Some((_, carried)) = &after {
            grad_c = (grad_c + carried)?;
        }
        let grad_f = match t.checked_sub(1) {
            Some(before) => ((&grad_c * &steps[before].cell_state)? * sigmoid_slope(f)?)?,
            None => grad_c.zeros_like()?,
        };
        let grad_i = ((&grad_c * a)? * sigmoid_slope(i)?)?;
        let grad_a = ((&grad_c * i)? * one_minus_square(a)?)?;
        let grad_o = ((&grad_h * &tanh_c)? * sigmoid_slope(o)?)?;
        let grad_pre = Tensor::cat(&[grad_f, grad_i, grad_a, grad_o], D::Minus1)?;
        after = Some((grad_pre.clone(), (&grad_c * f)?));
        grads.push(grad_pre);
    }
    grads.reverse();
    Tensor::stack(&grads, 2)
}

/// σ′ written with σ: `s ⊙ (1 − s)`.
fn sigmoid_slope(s: &Tensor) -> Result<Tensor> {
    s - s.sqr()?
}

/// tanh′ written with tanh: `1 − a²`.
fn one_minus_square(a: &Tensor) -> Result<Tensor> {
    a.sqr()?.affine(-1., 1.)
}
