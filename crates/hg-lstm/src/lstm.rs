//! One LSTM over a batch of sequences.

use crate::recurrence::{Recurrence, States, adjoint};
use crate::{Error, Lengths, Result};
use candle_core::Tensor;
use candle_nn::VarBuilder;

/// Sizes of an [`Lstm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LstmConfig {
    /// Features of one input step.
    pub input: usize,
    /// Features of the hidden state.
    pub hidden: usize,
}

/// An LSTM with the parameters `i2h.{weight,bias}` and `h2h.{weight,bias}`;
/// `weight` is `[4·hidden, in]` in the gate order f, i, a, o.
#[derive(Clone, Debug)]
pub struct Lstm {
    pub(crate) i2h_weight: Tensor,
    pub(crate) i2h_bias: Tensor,
    pub(crate) h2h_weight: Tensor,
    pub(crate) h2h_bias: Tensor,
    config: LstmConfig,
    recurrence: Recurrence,
}

impl Lstm {
    /// Takes its parameters from `vb`.
    ///
    /// # Errors
    /// When a parameter is missing or has another shape.
    pub fn new(config: LstmConfig, vb: VarBuilder) -> Result<Self> {
        let LstmConfig { input, hidden } = config;
        let (i2h, h2h) = (vb.pp("i2h"), vb.pp("h2h"));
        Ok(Self {
            i2h_weight: i2h.get((4 * hidden, input), "weight")?,
            i2h_bias: i2h.get(4 * hidden, "bias")?,
            h2h_weight: h2h.get((4 * hidden, hidden), "weight")?,
            h2h_bias: h2h.get(4 * hidden, "bias")?,
            config,
            recurrence: Recurrence::default(),
        })
    }

    /// The same layer with its recurrence computed in another way.
    pub fn with_recurrence(mut self, recurrence: Recurrence) -> Self {
        self.recurrence = recurrence;
        self
    }

    /// The sizes it was built with.
    pub fn config(&self) -> LstmConfig {
        self.config
    }

    /// Runs over `x` `[batch, steps, input]`, each row up to its own length,
    /// from a zero state.
    ///
    /// # Errors
    /// When `x` has another shape than the layer and `lengths` say.
    pub fn forward(&self, x: &Tensor, lengths: &Lengths) -> Result<Trace> {
        let pre = self.pre_activations(x, lengths)?.unsqueeze(0)?;
        let recurrent_weights = self.h2h_weight.unsqueeze(0)?;
        let states = self.recurrence.forward(&pre, &recurrent_weights, lengths)?;
        Ok(Trace { lstm: self.clone(), lengths: lengths.clone(), recurrent_weights, states })
    }

    /// `x W_i2hᵀ + b_i2h + b_h2h`, `[batch, steps, 4·hidden]`: one product over
    /// all rows and steps.
    pub(crate) fn pre_activations(&self, x: &Tensor, lengths: &Lengths) -> Result<Tensor> {
        let (batch, steps, input) = x.dims3()?;
        lengths.check("x", x.dims(), batch, steps)?;
        if input != self.config.input {
            let expected = format!("[batch, steps, {}]", self.config.input);
            return Err(Error::Shape { what: "x", expected, got: x.dims().to_vec() });
        }
        let bias = (&self.i2h_bias + &self.h2h_bias)?;
        let flat = x.reshape((batch * steps, input))?.matmul(&self.i2h_weight.t()?)?;
        Ok(flat.broadcast_add(&bias)?.reshape((batch, steps, 4 * self.config.hidden))?)
    }

    /// Pulls a gradient for the pre-activations `[batch, steps, 4·hidden]` back
    /// to the input `[batch, steps, input]`.
    pub(crate) fn pull_back(&self, grad_pre: &Tensor) -> Result<Tensor> {
        let (batch, steps, width) = grad_pre.dims3()?;
        let flat = grad_pre.reshape((batch * steps, width))?.matmul(&self.i2h_weight)?;
        Ok(flat.reshape((batch, steps, self.config.input))?)
    }
}

/// What a forward pass leaves behind: its outputs, and the way back.
#[derive(Clone, Debug)]
pub struct Trace {
    lstm: Lstm,
    lengths: Lengths,
    recurrent_weights: Tensor,
    states: States,
}

impl Trace {
    /// The hidden states `[batch, steps, hidden]`, zero beyond each length.
    ///
    /// # Errors
    /// Only what candle reports.
    pub fn hidden(&self) -> Result<Tensor> {
        mask(&self.states.hidden.squeeze(0)?, &self.lengths)
    }

    /// The hidden state after each row's last step, `[batch, hidden]`.
    ///
    /// # Errors
    /// Only what candle reports.
    pub fn last_hidden(&self) -> Result<Tensor> {
        self.lengths.last(&self.states.hidden.squeeze(0)?)
    }

    /// The gradient for the input, `[batch, steps, input]`, of
    /// `Σ grad_hidden ⊙ hidden` (`grad_hidden` `[batch, steps, hidden]`).
    ///
    /// The result is an ordinary tracked tensor: a loss made from it has an
    /// exact `backward()` for every parameter and for `grad_hidden`.
    ///
    /// # Errors
    /// When `grad_hidden` has another shape.
    pub fn input_gradient(&self, grad_hidden: &Tensor) -> Result<Tensor> {
        let (batch, steps, hidden) = grad_hidden.dims3()?;
        self.lengths.check("grad_hidden", grad_hidden.dims(), batch, steps)?;
        if hidden != self.lstm.config.hidden {
            let expected = format!("[batch, steps, {}]", self.lstm.config.hidden);
            let got = grad_hidden.dims().to_vec();
            return Err(Error::Shape { what: "grad_hidden", expected, got });
        }
        let grad_hidden = mask(grad_hidden, &self.lengths)?.unsqueeze(0)?;
        let grad_pre = adjoint(&self.states, &self.recurrent_weights, &grad_hidden)?;
        self.lstm.pull_back(&grad_pre.squeeze(0)?)
    }
}

/// Zeros what lies beyond each row's length in `[.., batch, steps, features]`.
pub(crate) fn mask(x: &Tensor, lengths: &Lengths) -> Result<Tensor> {
    if lengths.is_full() {
        return Ok(x.clone());
    }
    Ok(x.broadcast_mul(&lengths.mask(x.dtype(), x.device())?)?)
}
