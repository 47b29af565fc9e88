//! Two LSTMs over the same sequences, one of them backwards in time.

use crate::lstm::mask;
use crate::recurrence::{Recurrence, States, adjoint};
use crate::{Lengths, Lstm, LstmConfig, Result};
use candle_core::{D, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

/// How the outputs of the reverse direction are lined up with time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReverseAlignment {
    /// Output t joins what both directions know about step t.
    #[default]
    Flipped,
    /// The reverse outputs stay in reversed order, as in the original Health
    /// Gym code, whose weights need it.
    HealthGym,
}

/// A bidirectional LSTM: `rnn_f` reads each row forwards, `rnn_r` reads it from
/// its last existing step back to its first.
#[derive(Clone, Debug)]
pub struct BiLstm {
    forwards: Lstm,
    backwards: Lstm,
    recurrence: Recurrence,
}

impl BiLstm {
    /// Takes the parameters `rnn_f.*` and `rnn_r.*` from `vb`.
    ///
    /// # Errors
    /// When a parameter is missing or has another shape.
    pub fn new(config: LstmConfig, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            forwards: Lstm::new(config, vb.pp("rnn_f"))?,
            backwards: Lstm::new(config, vb.pp("rnn_r"))?,
            recurrence: Recurrence::default(),
        })
    }

    /// The same layer with its recurrence computed in another way.
    pub fn with_recurrence(mut self, recurrence: Recurrence) -> Self {
        self.recurrence = recurrence;
        self
    }

    /// Runs both directions over `x` `[batch, steps, input]`.
    ///
    /// # Errors
    /// When `x` has another shape than the layer and `lengths` say.
    pub fn forward(&self, x: &Tensor, lengths: &Lengths) -> Result<BiTrace> {
        let pre = Tensor::stack(
            &[
                self.forwards.pre_activations(x, lengths)?,
                lengths.reverse(&self.backwards.pre_activations(x, lengths)?)?,
            ],
            0,
        )?;
        let recurrent = [&self.forwards.h2h_weight, &self.backwards.h2h_weight];
        let recurrent_weights = Tensor::stack(&recurrent, 0)?;
        let states = self.recurrence.forward(&pre, &recurrent_weights, lengths)?;
        Ok(BiTrace { layer: self.clone(), lengths: lengths.clone(), recurrent_weights, states })
    }
}

/// What a forward pass of [`BiLstm`] leaves behind.
#[derive(Clone, Debug)]
pub struct BiTrace {
    layer: BiLstm,
    lengths: Lengths,
    recurrent_weights: Tensor,
    states: States,
}

impl BiTrace {
    /// The outputs of both directions side by side, `[batch, steps, 2·hidden]`,
    /// zero beyond each length.
    ///
    /// # Errors
    /// Only what candle reports.
    pub fn hidden(&self, alignment: ReverseAlignment) -> Result<Tensor> {
        let hidden = mask(&self.states.hidden, &self.lengths)?;
        let (forwards, backwards) = (hidden.get(0)?, hidden.get(1)?);
        let backwards = match alignment {
            ReverseAlignment::Flipped => self.lengths.reverse(&backwards)?,
            ReverseAlignment::HealthGym => backwards,
        };
        Ok(Tensor::cat(&[forwards, backwards], D::Minus1)?)
    }

    /// The last state of each direction side by side, `[batch, 2·hidden]`: at
    /// the row's end for the forward one, at its beginning for the other.
    ///
    /// # Errors
    /// Only what candle reports.
    pub fn last_hidden(&self) -> Result<Tensor> {
        let last = |direction| self.lengths.last(&self.states.hidden.get(direction)?);
        Ok(Tensor::cat(&[last(0)?, last(1)?], D::Minus1)?)
    }

    /// The gradient for the input, `[batch, steps, input]`, of
    /// `Σ grad_last ⊙ last_hidden` (`grad_last` `[batch, 2·hidden]`), as an
    /// ordinary tracked tensor (see [`crate::Trace::input_gradient`]).
    ///
    /// # Errors
    /// When `grad_last` has another shape.
    pub fn input_gradient_of_last(&self, grad_last: &Tensor) -> Result<Tensor> {
        let hidden = self.layer.forwards.config().hidden;
        let place = |direction: usize| {
            let half = grad_last.narrow(D::Minus1, direction * hidden, hidden)?;
            self.lengths.place_last(&half)
        };
        let grad_hidden = Tensor::stack(&[place(0)?, place(1)?], 0)?;
        let grad_pre = adjoint(&self.states, &self.recurrent_weights, &grad_hidden)?;
        let forwards = self.layer.forwards.pull_back(&grad_pre.get(0)?)?;
        let backwards =
            self.layer.backwards.pull_back(&self.lengths.reverse(&grad_pre.get(1)?)?)?;
        Ok((forwards + backwards)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use candle_nn::VarMap;

    fn layer(input: usize, hidden: usize) -> anyhow::Result<(VarMap, BiLstm)> {
        let weights = VarMap::new();
        let vb = VarBuilder::from_varmap(&weights, DType::F64, &Device::Cpu);
        let layer = BiLstm::new(LstmConfig { input, hidden }, vb)?;
        Ok((weights, layer))
    }

    #[test]
    fn a_padded_row_equals_the_same_row_alone() -> anyhow::Result<()> {
        let (_weights, layer) = layer(3, 4)?;
        let x = Tensor::randn(0f64, 1., (2, 5, 3), &Device::Cpu)?;
        let batch = layer.forward(&x, &Lengths::new(vec![5, 3], 5)?)?;
        let alone = layer.forward(&x.narrow(0, 1, 1)?.narrow(1, 0, 3)?, &Lengths::full(1, 3)?)?;
        for alignment in [ReverseAlignment::Flipped, ReverseAlignment::HealthGym] {
            let in_batch = batch.hidden(alignment)?.get(1)?;
            let difference = (in_batch.narrow(0, 0, 3)? - alone.hidden(alignment)?.get(0)?)?;
            assert!(difference.abs()?.max_all()?.to_scalar::<f64>()? < 1e-15);
            assert_eq!(in_batch.narrow(0, 3, 2)?.abs()?.sum_all()?.to_scalar::<f64>()?, 0.);
        }
        let difference = (batch.last_hidden()?.get(1)? - alone.last_hidden()?.get(0)?)?;
        assert!(difference.abs()?.max_all()?.to_scalar::<f64>()? < 1e-15);
        Ok(())
    }

    #[test]
    fn input_gradient_equals_candles_own_backward() -> anyhow::Result<()> {
        let (_weights, layer) = layer(3, 4)?;
        let lengths = Lengths::new(vec![5, 1, 3], 5)?;
        let x = candle_core::Var::randn(0f64, 1., (3, 5, 3), &Device::Cpu)?;
        let grad_last = Tensor::randn(0f64, 1., (3, 8), &Device::Cpu)?;
        let trace = layer.forward(&x, &lengths)?;
        let by_hand = trace.input_gradient_of_last(&grad_last)?;
        let grads = (trace.last_hidden()? * &grad_last)?.sum_all()?.backward()?;
        let by_candle = grads.get(&x).expect("x is a variable of the loss");
        let difference = (by_hand - by_candle)?.abs()?.max_all()?.to_scalar::<f64>()?;
        assert!(difference < 1e-14, "{difference:e}");
        Ok(())
    }

    /// The gradient penalty's derivative for every weight against central
    /// differences: what candle gets wrong when a gradient is differentiated.
    #[test]
    fn second_order_equals_central_differences() -> anyhow::Result<()> {
        let (weights, layer) = layer(2, 3)?;
        let lengths = Lengths::new(vec![4, 2], 4)?;
        let x = Tensor::randn(0f64, 1., (2, 4, 2), &Device::Cpu)?;
        let grad_last = Tensor::randn(0f64, 1., (2, 6), &Device::Cpu)?;
        let penalty = || -> anyhow::Result<Tensor> {
            let g = layer.forward(&x, &lengths)?.input_gradient_of_last(&grad_last)?;
            let norm = (g.sqr()?.sum((1, 2))? + 1e-12)?.sqrt()?;
            Ok((norm - 1.)?.sqr()?.sum_all()?)
        };
        let grads = penalty()?.backward()?;
        let step = 1e-5;
        for var in weights.all_vars() {
            let exact = grads.get(&var).expect("every weight has a gradient").flatten_all()?;
            let start = var.flatten_all()?.to_vec1::<f64>()?;
            for (n, exact) in exact.to_vec1::<f64>()?.into_iter().enumerate() {
                let at = |value: f64| -> anyhow::Result<f64> {
                    let mut moved = start.clone();
                    moved[n] = value;
                    var.set(&Tensor::from_vec(moved, var.shape(), &Device::Cpu)?)?;
                    Ok(penalty()?.to_scalar::<f64>()?)
                };
                let central = (at(start[n] + step)? - at(start[n] - step)?) / (2. * step);
                at(start[n])?;
                assert!((exact - central).abs() < 1e-8 * exact.abs().max(1.), "{exact} {central}");
            }
        }
        Ok(())
    }
}
