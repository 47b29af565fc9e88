//! One LSTM over a batch of sequences.

use crate::recurrence::{Recurrence, States, backward};
use crate::{Error, Lengths, Result};
use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

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
    /// A layer with the parameters of `vb`. Those that a [`candle_nn::VarMap`] does not hold yet
    /// are drawn as in PyTorch's `nn.LSTM`: weights and biases alike from U(−1/√hidden, 1/√hidden).
    ///
    /// # Errors
    /// When a parameter is missing from `vb` or has another shape.
    pub fn new(config: LstmConfig, vb: VarBuilder) -> Result<Self> {
        let LstmConfig { input, hidden } = config;
        let (i2h, h2h) = (vb.pp("i2h"), vb.pp("h2h"));
        let bound = 1. / (hidden as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        Ok(Self {
            i2h_weight: i2h.get_with_hints((4 * hidden, input), "weight", init)?,
            i2h_bias: i2h.get_with_hints(4 * hidden, "bias", init)?,
            h2h_weight: h2h.get_with_hints((4 * hidden, hidden), "weight", init)?,
            h2h_bias: h2h.get_with_hints(4 * hidden, "bias", init)?,
            config,
            recurrence: Recurrence::default(),
        })
    }

    /// This layer with its recurrence computed as `recurrence` says.
    pub fn with_recurrence(mut self, recurrence: Recurrence) -> Self {
        self.recurrence = recurrence;
        self
    }

    /// The sizes that this layer was built with.
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

    /// The gradient of the input `[batch, steps, input]` from that of the pre-activations
    /// `[batch, steps, 4·hidden]`.
    pub(crate) fn backward_input(&self, grad_pre: &Tensor) -> Result<Tensor> {
        let (batch, steps, width) = grad_pre.dims3()?;
        let flat = grad_pre.reshape((batch * steps, width))?.matmul(&self.i2h_weight)?;
        Ok(flat.reshape((batch, steps, self.config.input))?)
    }
}

/// The result of [`Lstm::forward`]: the hidden states, and what their gradients are made of.
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

    /// The gradient of `Σ grad_hidden ⊙ hidden` with respect to the input, `[batch, steps, input]`,
    /// for `grad_hidden` `[batch, steps, hidden]`; zero beyond each length.
    ///
    /// The result is an ordinary tracked tensor: a loss made from it has an exact `backward()` for
    /// every parameter and for `grad_hidden`.
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
        let grad_pre = backward(&self.states, &self.recurrent_weights, &grad_hidden)?;
        self.lstm.backward_input(&grad_pre.squeeze(0)?)
    }
}

/// Zeros what lies beyond each row's length in `[.., batch, steps, features]`.
pub(crate) fn mask(x: &Tensor, lengths: &Lengths) -> Result<Tensor> {
    if lengths.is_full() {
        return Ok(x.clone());
    }
    Ok(x.broadcast_mul(&lengths.mask(x.dtype(), x.device())?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use candle_nn::VarMap;
    use std::collections::HashMap;

    const CONFIG: LstmConfig = LstmConfig { input: 40, hidden: 25 };
    const SHAPES: [(&str, &[usize]); 4] = [
        ("i2h.weight", &[100, 40]),
        ("i2h.bias", &[100]),
        ("h2h.weight", &[100, 25]),
        ("h2h.bias", &[100]),
    ];

    fn numbers(x: &Tensor) -> anyhow::Result<Vec<f64>> {
        Ok(x.flatten_all()?.to_vec1()?)
    }

    #[test]
    fn new_parameters_fill_pytorchs_range() -> anyhow::Result<()> {
        let weights = VarMap::new();
        Lstm::new(CONFIG, VarBuilder::from_varmap(&weights, DType::F64, &Device::Cpu))?;
        let vars = weights.data().lock().expect("nobody panicked").clone();
        assert_eq!(vars.len(), SHAPES.len());
        let bound = 0.2; // 1 / √25
        for (name, shape) in SHAPES {
            assert_eq!(vars[name].dims(), shape);
            let values = numbers(&vars[name])?;
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            // 100 draws all miss a fifth of the range with a chance of 2e-10.
            assert!((-bound..-0.6 * bound).contains(&least), "{name}: {least}");
            assert!((0.6 * bound..bound).contains(&greatest), "{name}: {greatest}");
        }
        Ok(())
    }

    #[test]
    fn existing_parameters_are_taken_as_they_are() -> anyhow::Result<()> {
        let tensors: HashMap<String, Tensor> = SHAPES
            .into_iter()
            .map(|(name, shape)| {
                let values = Tensor::randn(0f64, 3., shape, &Device::Cpu)?;
                Ok((name.to_owned(), values))
            })
            .collect::<Result<_>>()?;
        let vb = VarBuilder::from_tensors(tensors.clone(), DType::F64, &Device::Cpu);
        let lstm = Lstm::new(CONFIG, vb)?;
        let taken = [&lstm.i2h_weight, &lstm.i2h_bias, &lstm.h2h_weight, &lstm.h2h_bias];
        for ((name, _), taken) in SHAPES.iter().zip(taken) {
            assert_eq!(numbers(taken)?, numbers(&tensors[*name])?);
        }
        Ok(())
    }

    #[test]
    fn another_shape_than_the_layers_is_refused() -> anyhow::Result<()> {
        let weights = VarMap::new();
        let vb = VarBuilder::from_varmap(&weights, DType::F64, &Device::Cpu);
        let lstm = Lstm::new(CONFIG, vb)?;
        let zeros = |shape: (usize, usize, usize)| Tensor::zeros(shape, DType::F64, &Device::Cpu);
        let lengths = Lengths::new(vec![3, 2], 3)?;
        for shape in [(2, 3, 39), (2, 4, 40), (1, 3, 40)] {
            let refused = lstm.forward(&zeros(shape)?, &lengths);
            assert!(matches!(refused, Err(Error::Shape { what: "x", .. })), "{shape:?}");
        }
        let trace = lstm.forward(&zeros((2, 3, 40))?, &lengths)?;
        for shape in [(2, 3, 24), (2, 2, 25), (3, 3, 25)] {
            let refused = trace.input_gradient(&zeros(shape)?);
            assert!(matches!(refused, Err(Error::Shape { what: "grad_hidden", .. })), "{shape:?}");
        }
        Ok(())
    }

    #[test]
    fn the_fused_kernels_and_the_reference_give_the_same_layer() -> anyhow::Result<()> {
        let weights = VarMap::new();
        let vb = VarBuilder::from_varmap(&weights, DType::F64, &Device::Cpu);
        let fused = Lstm::new(CONFIG, vb)?;
        let reference = fused.clone().with_recurrence(Recurrence::Reference);
        assert_eq!((fused.config(), fused.recurrence), (CONFIG, Recurrence::Fused));
        assert_eq!(reference.recurrence, Recurrence::Reference);
        let x = Tensor::randn(0f64, 1., (3, 4, 40), &Device::Cpu)?;
        let grad_hidden = Tensor::randn(0f64, 1., (3, 4, 25), &Device::Cpu)?;
        let lengths = Lengths::new(vec![4, 1, 3], 4)?;
        let results = |lstm: &Lstm| -> anyhow::Result<Vec<f64>> {
            let trace = lstm.forward(&x, &lengths)?;
            let mut all = numbers(&trace.hidden()?)?;
            all.extend(numbers(&trace.last_hidden()?)?);
            all.extend(numbers(&trace.input_gradient(&grad_hidden)?)?);
            Ok(all)
        };
        let (ours, exact) = (results(&fused)?, results(&reference)?);
        assert!(exact.iter().any(|x| x.abs() > 0.01));
        assert!(ours.iter().zip(&exact).all(|(a, b)| (a - b).abs() < 1e-14));
        // Nothing beyond a row's length: rows of the second sequence from step 1 on.
        assert!(exact[5 * 25..8 * 25].iter().all(|&x| x == 0.));
        Ok(())
    }

    #[test]
    fn a_layer_is_its_cells_one_after_the_other_on_both_maps_with_both_biases() -> anyhow::Result<()>
    {
        let weights = VarMap::new();
        let vb = VarBuilder::from_varmap(&weights, DType::F64, &Device::Cpu);
        let lstm = Lstm::new(LstmConfig { input: 3, hidden: 2 }, vb)?;
        let x = Tensor::randn(0f64, 1., (2, 4, 3), &Device::Cpu)?;
        let hidden = lstm.forward(&x, &Lengths::full(2, 4)?)?.hidden()?;
        let mut h = Tensor::zeros((2, 2), DType::F64, &Device::Cpu)?;
        let mut c = h.clone();
        for step in 0..4 {
            let from_input = x.narrow(1, step, 1)?.squeeze(1)?.matmul(&lstm.i2h_weight.t()?)?;
            let from_hidden = h.matmul(&lstm.h2h_weight.t()?)?;
            let pre = (from_input.broadcast_add(&lstm.i2h_bias)?
                + from_hidden.broadcast_add(&lstm.h2h_bias)?)?;
            let state = crate::lstm_cell(&pre, &c)?;
            (h, c) = (state.hidden, state.cell_state);
            let ours = numbers(&hidden.narrow(1, step, 1)?.squeeze(1)?)?;
            let exact = numbers(&h)?;
            assert!(exact.iter().any(|x| x.abs() > 1e-3));
            assert!(ours.iter().zip(&exact).all(|(a, b)| (a - b).abs() < 1e-15));
        }
        Ok(())
    }
}
