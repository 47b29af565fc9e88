//! One step of the LSTM, in plain candle operations: the oracle for every
//! faster path.
//!
//! ```text
//! f = σ(pre_f)   i = σ(pre_i)   a = tanh(pre_a)   o = σ(pre_o)
//! c = f ⊙ c₋ + i ⊙ a            h = o ⊙ tanh(c)
//! ```
//!
//! `pre` is the sum of both affine maps, packed in the gate order f, i, a, o.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::sigmoid;

/// The values of one step, each `[.., hidden]`.
#[derive(Clone, Debug)]
pub struct CellState {
    /// `f`: how much of the old cell state is kept.
    pub forget_gate: Tensor,
    /// `i`: how much of the candidate enters.
    pub input_gate: Tensor,
    /// `a`: the candidate, in (−1, 1).
    pub candidate: Tensor,
    /// `o`: how much of the cell state shows.
    pub output_gate: Tensor,
    /// `c`
    pub cell_state: Tensor,
    /// `h`
    pub hidden: Tensor,
}

/// Computes one step from the pre-activations `[.., 4·hidden]` and the
/// previous cell state `[.., hidden]`.
///
/// # Errors
/// When the last axis of `pre` is not four times that of `previous_cell`.
pub fn lstm_cell(pre: &Tensor, previous_cell: &Tensor) -> Result<CellState> {
    let hidden = previous_cell.dim(D::Minus1)?;
    let gate = |n: usize| pre.narrow(D::Minus1, n * hidden, hidden);
    let forget_gate = sigmoid(&gate(0)?)?;
    let input_gate = sigmoid(&gate(1)?)?;
    let candidate = gate(2)?.tanh()?;
    let output_gate = sigmoid(&gate(3)?)?;
    let cell_state = ((&forget_gate * previous_cell)? + (&input_gate * &candidate)?)?;
    let hidden = (&output_gate * cell_state.tanh()?)?;
    Ok(CellState { forget_gate, input_gate, candidate, output_gate, cell_state, hidden })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn cell_matches_the_equations_in_scalars() -> Result<()> {
        let device = Device::Cpu;
        let pre = [0.3f64, -1.2, 0.7, 2.0];
        let previous = 0.4f64;
        let state = lstm_cell(&Tensor::new(&pre, &device)?, &Tensor::new(&[previous], &device)?)?;
        let sigma = |x: f64| 1. / (1. + (-x).exp());
        let c = sigma(pre[0]) * previous + sigma(pre[1]) * pre[2].tanh();
        let h = sigma(pre[3]) * c.tanh();
        assert!((state.cell_state.to_vec1::<f64>()?[0] - c).abs() < 1e-15);
        assert!((state.hidden.to_vec1::<f64>()?[0] - h).abs() < 1e-15);
        Ok(())
    }
}
