//! The generator.
//!
//! ```text
//! noise [B,T,Z] → biLSTM → Linear 2H→H → LeakyReLU → Linear H→H → LeakyReLU → Linear H→D
//!               → sigmoid on numeric features, softmax on each discrete block
//!               → what is carried: yₜ = xₜ + kₜ (yₜ₋₁ − xₜ), y₀ = x₀
//! ```
//!
//! with kₜ the probability in xₜ that nothing was measured ([`crate::Carried`]).

use crate::dense::{Linear, leaky_relu_slope};
use crate::parameters::{Parameters, Spec, bilstm_specs, linear_specs};
use crate::{Result, RowLayout};
use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::{sigmoid, softmax};
use hg_lstm::{BiLstm, Lengths, LstmConfig, Recurrence, ReverseAlignment};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Sizes of a [`Generator`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratorConfig {
    /// What a row looks like.
    pub layout: RowLayout,
    /// `Z`: features of the noise.
    pub latent: usize,
    /// `H`: hidden features.
    pub hidden: usize,
    /// How the reverse outputs are lined up with time.
    pub reverse_alignment: ReverseAlignment,
}

impl GeneratorConfig {
    fn specs(&self) -> Vec<Spec> {
        let hidden = self.hidden;
        bilstm_specs(self.latent, hidden)
            .chain(linear_specs("linear1", 2 * hidden, hidden))
            .chain(linear_specs("linear2", hidden, hidden))
            .chain(linear_specs("linear3", hidden, self.layout.width()))
            .collect()
    }
}

/// Turns noise into encoded rows.
#[derive(Clone, Debug)]
pub struct Generator {
    config: GeneratorConfig,
    parameters: Parameters,
    rnn: BiLstm,
    linear1: Linear,
    linear2: Linear,
    linear3: Linear,
}

impl Generator {
    /// A generator with PyTorch's default initial weights, drawn from `rng`.
    ///
    /// # Errors
    /// Only what candle reports.
    pub fn init(
        config: GeneratorConfig,
        rng: &mut ChaCha8Rng,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let parameters = Parameters::init(&config.specs(), rng, dtype, device)?;
        Self::with_parameters(config, parameters)
    }

    /// A generator with the weights of a safetensors file, or a state dict that `torch.save` wrote.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when a name or shape does not fit.
    pub fn load(
        config: GeneratorConfig,
        path: &Path,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let parameters = Parameters::load(&config.specs(), path, dtype, device)?;
        Self::with_parameters(config, parameters)
    }

    fn with_parameters(config: GeneratorConfig, parameters: Parameters) -> Result<Self> {
        let vb = parameters.builder();
        let GeneratorConfig { latent, hidden, .. } = config;
        Ok(Self {
            rnn: BiLstm::new(LstmConfig { input: latent, hidden }, vb.clone())?,
            linear1: Linear::new(2 * hidden, hidden, vb.pp("linear1"))?,
            linear2: Linear::new(hidden, hidden, vb.pp("linear2"))?,
            linear3: Linear::new(hidden, config.layout.width(), vb.pp("linear3"))?,
            config,
            parameters,
        })
    }

    /// This generator on `device`: a copy unless it is there already.
    ///
    /// # Errors
    /// Only what candle reports.
    pub fn on(&self, device: &Device) -> Result<Self> {
        if self.parameters.device().same_device(device) {
            return Ok(self.clone());
        }
        Self::with_parameters(self.config.clone(), self.parameters.on(device)?)
    }

    /// This generator with its recurrence computed as `recurrence` says.
    pub fn with_recurrence(mut self, recurrence: Recurrence) -> Self {
        self.rnn = self.rnn.with_recurrence(recurrence);
        self
    }

    /// The trainable parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The sizes that this generator was built with.
    pub fn config(&self) -> &GeneratorConfig {
        &self.config
    }

    /// `noise` `[batch, steps, latent]` → encoded rows `[batch, steps, D]`.
    /// What lies beyond a row's length carries no meaning.
    ///
    /// # Errors
    /// When `noise` has another shape.
    pub fn forward(&self, noise: &Tensor, lengths: &Lengths) -> Result<Tensor> {
        let x = self.rnn.forward(noise, lengths)?.hidden(self.config.reverse_alignment)?;
        let x = self.linear1.forward(&x)?;
        let x = (&x * leaky_relu_slope(&x)?)?;
        let x = self.linear2.forward(&x)?;
        let x = (&x * leaky_relu_slope(&x)?)?;
        self.carry(self.output_activation(&self.linear3.forward(&x)?)?)
    }

    /// Sigmoid on numeric features, softmax on each block.
    fn output_activation(&self, logits: &Tensor) -> Result<Tensor> {
        let layout = &self.config.layout;
        let mut parts = Vec::with_capacity(1 + layout.discrete.len());
        if layout.numeric > 0 {
            parts.push(sigmoid(&logits.narrow(D::Minus1, 0, layout.numeric)?)?);
        }
        for block in layout.blocks() {
            let block = logits.narrow(D::Minus1, block.start, block.len())?;
            parts.push(softmax(&block, D::Minus1)?);
        }
        Ok(Tensor::cat(&parts, D::Minus1)?)
    }

    /// Lets carried features repeat the row before as far as the row says.
    fn carry(&self, rows: Tensor) -> Result<Tensor> {
        let layout = &self.config.layout;
        let (_, steps, width) = rows.dims3()?;
        if layout.carried.is_empty() || steps == 0 {
            return Ok(rows);
        }
        // Of each feature, the one that holds its probability; what is not carried has none.
        let (mut by, mut is_carried) = (vec![0u32; width], vec![0f64; width]);
        for carried in &layout.carried {
            by[carried.features.clone()].fill(carried.by as u32);
            is_carried[carried.features.clone()].fill(1.);
        }
        let by = Tensor::new(by, rows.device())?;
        let is_carried = Tensor::new(is_carried, rows.device())?.to_dtype(rows.dtype())?;
        let probability = rows.contiguous()?.index_select(&by, D::Minus1)?;
        let probability = probability.broadcast_mul(&is_carried)?;

        let mut carried = vec![rows.narrow(1, 0, 1)?];
        for step in 1..steps {
            let (x, k) = (rows.narrow(1, step, 1)?, probability.narrow(1, step, 1)?);
            carried.push((&x + (k * (&carried[step - 1] - &x)?)?)?);
        }
        Ok(Tensor::cat(&carried, 1)?)
    }
}
