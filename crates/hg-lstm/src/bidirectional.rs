//! Two LSTMs over the same sequences, one of them backwards in time.

use crate::lstm::mask;
use crate::recurrence::{Recurrence, States, backward};
use crate::{Lengths, Lstm, LstmConfig, Result};
use candle_core::{D, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

/// How the outputs of the reverse direction are lined up with time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReverseAlignment {
    /// The reverse outputs are flipped back, so that output t joins what both directions know
    /// about step t.
    #[default]
    Flipped,
    /// The reverse outputs stay in reversed order, as in the PyTorch code of Health Gym (Kuo et
    /// al. 2022), whose weights need it.
    HealthGym,
}

/// A bidirectional LSTM: one layer (`rnn_f`) reads each row forward, the other (`rnn_r`) from its
/// last existing step back to its first.
#[derive(Clone, Debug)]
pub struct BiLstm {
    forwards: Lstm,
    backwards: Lstm,
    recurrence: Recurrence,
}

impl BiLstm {
    /// A layer with the parameters `rnn_f.*` and `rnn_r.*` of `vb`, drawn as [`Lstm::new`] says
    /// where a [`candle_nn::VarMap`] does not hold them yet.
    ///
    /// # Errors
    /// When a parameter is missing from `vb` or has another shape.
    pub fn new(config: LstmConfig, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            forwards: Lstm::new(config, vb.pp("rnn_f"))?,
            backwards: Lstm::new(config, vb.pp("rnn_r"))?,
            recurrence: Recurrence::default(),
        })
    }

    /// This layer with its recurrence computed as `recurrence` says.
    pub fn with_recurrence(mut self, recurrence: Recurrence) -> Self {
        self.recurrence = recurrence;
        self
    }

    /// Runs both directions over `x` `[batch, steps, input]`, each row up to its own length, from
    /// zero states.
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

/// The result of [`BiLstm::forward`]: the hidden states of both directions, and what their
/// gradients are made of.
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

    /// The gradient of `Σ grad_last ⊙ last_hidden` with respect to the input,
    /// `[batch, steps, input]`, for `grad_last` `[batch, 2·hidden]`; zero beyond each length.
    ///
    /// The result is an ordinary tracked tensor: a loss made from it has an exact `backward()` for
    /// every parameter and for `grad_last`.
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
        let grad_pre = backward(&self.states, &self.recurrent_weights, &grad_hidden)?;
        let forwards = self.layer.forwards.backward_input(&grad_pre.get(0)?)?;
        let backwards =
            self.layer.backwards.backward_input(&self.lengths.reverse(&grad_pre.get(1)?)?)?;
        Ok((forwards + backwards)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};
    use candle_nn::VarMap;

    fn layer(input: usize, hidden: usize) -> anyhow::Result<(VarMap, BiLstm)> {
        let weights = VarMap::new();
        let vb = VarBuilder::from_varmap(&weights, DType::F64, &Device::Cpu);
        let layer = BiLstm::new(LstmConfig { input, hidden }, vb)?;
        Ok((weights, layer))
    }

    fn greatest(x: &Tensor) -> anyhow::Result<f64> {
        Ok(x.abs()?.max_all()?.to_scalar::<f64>()?)
    }

    /// Fails where the tensors differ, and where there is nothing to compare.
    fn same(ours: &Tensor, exact: &Tensor, tolerance: f64) -> anyhow::Result<()> {
        assert!(greatest(exact)? > 1e-4, "all that is compared is 0");
        let difference = greatest(&(ours - exact)?)?;
        assert!(difference < tolerance, "{difference:e}");
        Ok(())
    }

    #[test]
    fn a_padded_row_equals_the_same_row_alone() -> anyhow::Result<()> {
        let (_weights, layer) = layer(3, 4)?;
        let x = Tensor::randn(0f64, 1., (2, 5, 3), &Device::Cpu)?;
        let batch = layer.forward(&x, &Lengths::new(vec![5, 3], 5)?)?;
        let alone = layer.forward(&x.narrow(0, 1, 1)?.narrow(1, 0, 3)?, &Lengths::full(1, 3)?)?;
        for alignment in [ReverseAlignment::Flipped, ReverseAlignment::HealthGym] {
            let in_batch = batch.hidden(alignment)?.get(1)?;
            same(&in_batch.narrow(0, 0, 3)?, &alone.hidden(alignment)?.get(0)?, 1e-15)?;
            assert_eq!(greatest(&in_batch.narrow(0, 3, 2)?)?, 0.);
        }
        same(&batch.last_hidden()?.get(1)?, &alone.last_hidden()?.get(0)?, 1e-15)
    }

    /// Both alignments, and the last states, from the two directions run as layers of their own.
    #[test]
    fn each_direction_is_an_lstm_over_its_own_reading_order() -> anyhow::Result<()> {
        let (weights, layer) = layer(3, 4)?;
        let vb = VarBuilder::from_varmap(&weights, DType::F64, &Device::Cpu);
        let config = LstmConfig { input: 3, hidden: 4 };
        let forwards = Lstm::new(config, vb.pp("rnn_f"))?;
        let backwards = Lstm::new(config, vb.pp("rnn_r"))?;
        let x = Tensor::randn(0f64, 1., (2, 5, 3), &Device::Cpu)?;
        let lengths = Lengths::new(vec![5, 3], 5)?;
        let trace = layer.forward(&x, &lengths)?;
        let ahead = forwards.forward(&x, &lengths)?;
        let behind = backwards.forward(&lengths.reverse(&x)?, &lengths)?;
        let flipped = lengths.reverse(&behind.hidden()?)?;
        let both = Tensor::cat(&[&ahead.hidden()?, &flipped], D::Minus1)?;
        same(&trace.hidden(ReverseAlignment::Flipped)?, &both, 1e-15)?;
        let both = Tensor::cat(&[&ahead.hidden()?, &behind.hidden()?], D::Minus1)?;
        same(&trace.hidden(ReverseAlignment::HealthGym)?, &both, 1e-15)?;
        let last = Tensor::cat(&[&ahead.last_hidden()?, &behind.last_hidden()?], D::Minus1)?;
        same(&trace.last_hidden()?, &last, 1e-15)
    }

    #[test]
    fn input_gradient_equals_candles_own_backward() -> anyhow::Result<()> {
        let (_weights, layer) = layer(3, 4)?;
        let lengths = Lengths::new(vec![5, 1, 3], 5)?;
        let x = Var::randn(0f64, 1., (3, 5, 3), &Device::Cpu)?;
        let grad_last = Tensor::randn(0f64, 1., (3, 8), &Device::Cpu)?;
        let trace = layer.forward(&x, &lengths)?;
        let by_hand = trace.input_gradient_of_last(&grad_last)?;
        let grads = (trace.last_hidden()? * &grad_last)?.sum_all()?.backward()?;
        let by_candle = grads.get(&x).expect("x is a variable of the loss");
        same(&by_hand, by_candle, 1e-14)
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
            assert!(greatest(&exact)? > 1e-4, "all gradients are 0");
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
