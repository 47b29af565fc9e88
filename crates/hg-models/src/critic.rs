//! The critic and its input gradient.
//!
//! ```text
//! x [B,T,D] → numeric as they are, each block [k] times its embedding [k,e] → concat
//!           → Linear →H → LeakyReLU → Linear H→H → LeakyReLU → biLSTM
//!           → last hidden of each direction [B,2H] → Linear 2H→1 → score
//! ```
//!
//! Embedding and first linear map are both linear in x, so they fold into one
//! map `M` `[D,H]`. A critic that compares is shown, beside each row, its change from the row before
//! and its distance from the sequence's mean, and the first linear map gains
//!
//! ```text
//! [xₜ − xₜ₋₁, xₜ − x̄] N      with `N` [2D,H], x₀ without a change
//! ```
//!
//! Read backward, with s₁, s₂ the slopes of the leaky ReLUs:
//!
//! ```text
//! ∇ₓC = (((B(w₃) ⊙ s₂) W₂) ⊙ s₁) Mᵀ
//! ```
//!
//! where B is the biLSTM's backward pass; what `N` adds goes back through the transpose of the
//! comparison. It is written out in tracked operations, so one
//! `backward()` through a loss of it is exact (`docs/method.md`, "Second order").

use crate::dense::{Linear, leaky_relu_slope, rows_times};
use crate::parameters::{Init, Parameters, Spec, bilstm_specs, linear_specs};
use crate::{Result, RowLayout};
use candle_core::{D, DType, Device, Tensor};
use hg_lstm::{BiLstm, BiTrace, Lengths, LstmConfig, Recurrence};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Sizes of a [`Critic`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CriticConfig {
    /// What a row looks like.
    pub layout: RowLayout,
    /// `H`: hidden features.
    pub hidden: usize,
    /// Whether each row is shown beside its change from the one before and its distance from the
    /// sequence's mean.
    pub compares: bool,
}

impl CriticConfig {
    /// The numbers of a gradient as a private step clips it: the map that embeddings and first layer make
    /// together, and all other weights, the two biases of a recurrent layer once.
    pub fn clipped_parameters(&self) -> usize {
        let hidden = self.hidden;
        let shown = self.layout.width() * if self.compares { 3 } else { 1 };
        let dense = hidden * (shown + 1) + hidden * (hidden + 1);
        let recurrent = 2 * 4 * hidden * (2 * hidden + 1);
        dense + recurrent + 2 * hidden + 1
    }

    pub(crate) fn embedded_width(&self) -> usize {
        let layout = &self.layout;
        layout.numeric
            + layout.discrete.iter().map(|&k| RowLayout::embedding_width(k)).sum::<usize>()
    }

    fn specs(&self) -> Vec<Spec> {
        let hidden = self.hidden;
        let embeddings = self.layout.discrete.iter().enumerate().map(|(n, &levels)| Spec {
            name: embedding_name(n),
            shape: vec![levels, RowLayout::embedding_width(levels)],
            init: Init::Normal,
        });
        embeddings
            .chain(linear_specs("linear1", self.embedded_width(), hidden))
            .chain(linear_specs("linear2", hidden, hidden))
            .chain(bilstm_specs(hidden, hidden))
            .chain(linear_specs("linear3", 2 * hidden, 1))
            .chain(self.compares.then(|| Spec {
                name: COMPARED.into(),
                shape: vec![hidden, 2 * self.layout.width()],
                init: Init::FanIn(2 * self.layout.width()),
            }))
            .collect()
    }
}

/// The name of `Nᵀ` `[H, 2D]`, which only a critic that compares has.
pub const COMPARED: &str = "compared.weight";

pub(crate) fn embedding_name(block: usize) -> String {
    format!("embedding_layers.{block}.weight")
}

/// Scores sequences: high for real ones.
#[derive(Clone, Debug)]
pub struct Critic {
    config: CriticConfig,
    parameters: Parameters,
    embeddings: Vec<Tensor>,
    linear1: Linear,
    linear2: Linear,
    rnn: BiLstm,
    linear3: Linear,
    /// `Nᵀ`
    compared: Option<Tensor>,
}

impl Critic {
    /// A critic with PyTorch's default initial weights, drawn from `rng`.
    ///
    /// # Errors
    /// Only what candle reports.
    pub fn init(
        config: CriticConfig,
        rng: &mut ChaCha8Rng,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let parameters = Parameters::init(&config.specs(), rng, dtype, device)?;
        Self::with_parameters(config, parameters)
    }

    /// A critic with the weights of a safetensors file, or a state dict that `torch.save` wrote.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when a name or shape does not fit.
    pub fn load(config: CriticConfig, path: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let parameters = Parameters::load(&config.specs(), path, dtype, device)?;
        Self::with_parameters(config, parameters)
    }

    fn with_parameters(config: CriticConfig, parameters: Parameters) -> Result<Self> {
        let vb = parameters.builder();
        let hidden = config.hidden;
        let embeddings = config.layout.discrete.iter().enumerate().map(|(n, &levels)| {
            vb.get((levels, RowLayout::embedding_width(levels)), &embedding_name(n))
        });
        Ok(Self {
            embeddings: embeddings.collect::<candle_core::Result<_>>()?,
            linear1: Linear::new(config.embedded_width(), hidden, vb.pp("linear1"))?,
            linear2: Linear::new(hidden, hidden, vb.pp("linear2"))?,
            rnn: BiLstm::new(LstmConfig { input: hidden, hidden }, vb.clone())?,
            linear3: Linear::new(2 * hidden, 1, vb.pp("linear3"))?,
            compared: config
                .compares
                .then(|| vb.get((hidden, 2 * config.layout.width()), COMPARED))
                .transpose()?,
            config,
            parameters,
        })
    }

    /// This critic with its recurrence computed as `recurrence` says.
    pub fn with_recurrence(mut self, recurrence: Recurrence) -> Self {
        self.rnn = self.rnn.with_recurrence(recurrence);
        self
    }

    /// The sizes that this critic was built with.
    pub fn config(&self) -> &CriticConfig {
        &self.config
    }

    /// The trainable parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Scores encoded sequences `x` `[batch, steps, D]`, each up to its own length.
    ///
    /// # Errors
    /// When `x` has another shape.
    pub fn forward(&self, x: &Tensor, lengths: &Lengths) -> Result<CriticOutput> {
        let first_map = self.first_map()?;
        let mut pre1 = rows_times(x, &first_map)?.broadcast_add(&self.linear1.bias)?;
        if let Some(compared) = &self.compared {
            pre1 = (pre1 + rows_times(&compare(x, lengths)?, &compared.t()?)?)?;
        }
        let slope1 = leaky_relu_slope(&pre1)?;
        let pre2 = self.linear2.forward(&(&pre1 * &slope1)?)?;
        let slope2 = leaky_relu_slope(&pre2)?;
        let trace = self.rnn.forward(&(&pre2 * &slope2)?, lengths)?;
        let scores = self.linear3.forward(&trace.last_hidden()?)?.squeeze(1)?;
        let (critic, lengths) = (self.clone(), lengths.clone());
        Ok(CriticOutput { critic, lengths, first_map, slope1, slope2, trace, scores })
    }

    /// `M` `[D,H]`: embeddings and first linear map in one.
    fn first_map(&self) -> Result<Tensor> {
        let weight = self.linear1.weight.t()?;
        let numeric = self.config.layout.numeric;
        let mut parts = Vec::with_capacity(1 + self.embeddings.len());
        if numeric > 0 {
            parts.push(weight.narrow(0, 0, numeric)?);
        }
        let mut start = numeric;
        for embedding in &self.embeddings {
            let width = embedding.dim(1)?;
            parts.push(embedding.matmul(&weight.narrow(0, start, width)?)?);
            start += width;
        }
        Ok(Tensor::cat(&parts, 0)?)
    }
}

/// Of rows `x` `[batch, steps, D]` their changes and distances `[batch, steps, 2D]`.
fn compare(x: &Tensor, lengths: &Lengths) -> Result<Tensor> {
    // The first row stands before itself.
    let before = x.pad_with_same(1, 1, 0)?.narrow(1, 0, x.dim(1)?)?;
    let change = (x - before)?;
    let distance = x.broadcast_sub(&mean(x, lengths)?)?;
    Ok(Tensor::cat(&[change, distance], D::Minus1)?)
}

/// The transpose of [`compare`], of a gradient that is 0 beyond each length.
fn compare_transposed(grad: &Tensor, lengths: &Lengths) -> Result<Tensor> {
    let (_, steps, width) = grad.dims3()?;
    let [on_change, on_distance] =
        [0, 1].map(|part: usize| grad.narrow(2, part * width / 2, width / 2));
    let (on_change, on_distance) = (on_change?, on_distance?);
    let mask = lengths.mask(grad.dtype(), grad.device())?;
    let centre = mean(&on_distance, lengths)?.broadcast_mul(&mask)?;
    let from_distance = (on_distance - centre)?;
    if steps == 1 {
        return Ok(from_distance);
    }
    let on_change = on_change.narrow(1, 1, steps - 1)?;
    let from_change = (on_change.pad_with_zeros(1, 1, 0)? - on_change.pad_with_zeros(1, 0, 1)?)?;
    Ok((from_change + from_distance)?)
}

/// The mean of each sequence, `[batch, 1, features]`.
fn mean(x: &Tensor, lengths: &Lengths) -> Result<Tensor> {
    let mask = lengths.mask(x.dtype(), x.device())?;
    let sum = x.broadcast_mul(&mask)?.sum_keepdim(1)?;
    Ok(sum.broadcast_div(&mask.sum_keepdim(1)?)?)
}

/// The result of [`Critic::forward`]: the scores of a batch, and what their input gradient is made
/// of.
#[derive(Clone, Debug)]
pub struct CriticOutput {
    critic: Critic,
    lengths: Lengths,
    first_map: Tensor,
    slope1: Tensor,
    slope2: Tensor,
    trace: BiTrace,
    scores: Tensor,
}

impl CriticOutput {
    /// One score for each sequence, `[batch]`.
    pub fn scores(&self) -> &Tensor {
        &self.scores
    }

    /// The gradient of `Σ scores` with respect to the input, `[batch, steps, D]`, zero beyond each
    /// length; a tracked tensor whose own `backward()` is exact.
    ///
    /// # Errors
    /// Only what candle reports.
    pub fn input_gradient(&self) -> Result<Tensor> {
        let critic = &self.critic;
        let batch = self.scores.dim(0)?;
        let grad_last = critic.linear3.weight.broadcast_as((batch, 2 * critic.config.hidden))?;
        let grad = self.trace.input_gradient_of_last(&grad_last.contiguous()?)?;
        let grad = critic.linear2.backward(&(grad * &self.slope2)?)?;
        let grad = (grad * &self.slope1)?;
        let on_rows = rows_times(&grad, &self.first_map.t()?)?;
        match &critic.compared {
            Some(compared) => {
                let on_compared = rows_times(&grad, compared)?;
                Ok((on_rows + compare_transposed(&on_compared, &self.lengths)?)?)
            }
            None => Ok(on_rows),
        }
    }
}
