//! How losses and gradients are computed: by hand on the CPU, or by autograd.
//!
//! What a step measures stays where it was computed, as a tensor in f64, so that a GPU need not be
//! waited for at each step.

use crate::privacy::Key;
use crate::random::{Purpose, fill_noise, noise_of, stream};
use crate::{Batch, Error, Result, TrainConfig};
use candle_core::{DType, Device, Tensor};
use hg_lstm::kernel::{Factors, Real};
use hg_models::{
    Alignment, Critic, CriticMeasures, Engine, Generator, GeneratorMeasures, Gradients, Guard,
    Ranks, RealBatch, SharedBatch, Units,
};
use rand::Rng;
use rand_distr::{Distribution, StandardUniform};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;

/// What a critic step measures, in the order of its tensor.
pub(crate) const CRITIC_MEASURES: [&str; 3] = ["critic_loss", "wasserstein", "gradient_penalty"];
/// What a generator step measures, in the order of its tensor.
pub(crate) const GENERATOR_MEASURES: [&str; 2] = ["generator_loss", "correlation_loss"];

/// What computes the gradients of a step.
#[derive(Debug)]
pub(crate) enum Steps {
    /// [`Engine`] in f32.
    Single(Fused<f32>),
    /// [`Engine`] in f64.
    Double(Fused<f64>),
    /// candle's autograd: over the fused kernels on a GPU, and over the reference recurrence as
    /// the oracle.
    Tape(Units, DType),
}

/// The engine with the real batch it was given last.
#[derive(Debug)]
pub(crate) struct Fused<S: Real> {
    engine: Engine<S>,
    batch: Option<RealBatch<S>>,
}

/// What a step sees besides weights and data.
#[derive(Clone, Copy)]
pub(crate) struct Draws<'a> {
    pub(crate) config: &'a TrainConfig,
    /// Which step of the run, over both networks.
    pub(crate) step: u64,
    /// Of a private critic step: what draws in place of the seed, which is known.
    pub(crate) key: Option<&'a Key>,
}

impl Draws<'_> {
    /// The noise of one sequence.
    fn noise<S: Real>(&self, sequence: usize, values: &mut [S]) {
        let model = &self.config.model;
        if let Some(key) = self.key {
            let mut rng = key.stream(Purpose::Noise, self.step, sequence as u64);
            return fill_noise(model, &mut rng, values);
        }
        noise_of(model, self.config.seed, Purpose::Noise, self.step, sequence, values);
    }

    /// α of every sequence.
    fn alpha<S: Real>(&self, sequences: usize) -> Vec<S> {
        let draw = |rng: &mut dyn Rng| {
            let law = Distribution::<f32>::sample_iter(StandardUniform, rng);
            law.take(sequences).map(|alpha| S::from_f64(f64::from(alpha))).collect()
        };
        match self.key {
            Some(key) => draw(&mut key.stream(Purpose::Interpolation, self.step, 0)),
            None => draw(&mut stream(self.config.seed, Purpose::Interpolation, self.step)),
        }
    }

    /// The limits of the correlations of `width` features, where they have any.
    fn limits(&self, width: usize) -> Option<Vec<f64>> {
        let rng = stream(self.config.seed, Purpose::CorrelationLimits, self.step);
        let law = Distribution::<f64>::sample_iter(StandardUniform, rng);
        self.config.optimiser.correlation_limits.then(|| law.take(width * width).collect())
    }

    /// The noise of a share of a batch as `[share, steps, Z]`, 0 beyond each length, where the batch is.
    fn noise_tensor(&self, batch: &Batch, share: Range<usize>, dtype: DType) -> Result<Tensor> {
        let features = self.config.model.latent_features;
        let shape = (share.len(), batch.lengths.steps(), features);
        let device = batch.rows.device();
        Ok(match dtype {
            DType::F32 => Tensor::from_vec(self.noises::<f32>(batch, share), shape, device)?,
            _ => Tensor::from_vec(self.noises::<f64>(batch, share), shape, device)?
                .to_dtype(dtype)?,
        })
    }

    /// Every sequence draws from a stream of its own, so that all cores draw at once.
    fn noises<S: Real>(&self, batch: &Batch, share: Range<usize>) -> Vec<S> {
        let features = self.config.model.latent_features;
        let width = batch.lengths.steps() * features;
        let mut values = vec![S::default(); share.len() * width];
        let lengths = &batch.lengths.rows()[share.clone()];
        let sequences = values.par_chunks_exact_mut(width).zip(lengths).enumerate();
        sequences.for_each(|(sequence, (values, &length))| {
            self.noise(share.start + sequence, &mut values[..length * features]);
        });
        values
    }
}

impl<S: Real> Fused<S> {
    pub(crate) fn new(generator: &Generator, critic: &Critic, factors: Factors) -> Self {
        let engine = Engine::new(generator.config(), critic.config()).with_factors(factors);
        Self { engine, batch: None }
    }

    fn critic(
        &mut self,
        networks: (&Generator, &Critic),
        draws: Draws<'_>,
    ) -> Result<(Tensor, Cow<'_, Gradients>)> {
        let (generator, critic) = networks;
        let batch = self.batch.as_ref().ok_or_else(no_batch)?;
        let alpha = draws.alpha(batch.sequences());
        let (measures, gradients) = self.engine.critic_gradient(
            generator.parameters(),
            critic.parameters(),
            batch,
            &|sequence, values| draws.noise(sequence, values),
            &alpha,
            draws.config.optimiser.penalty_weight,
        )?;
        let CriticMeasures { loss, wasserstein, penalty } = measures;
        Ok((Tensor::new(&[loss, wasserstein, penalty], &Device::Cpu)?, Cow::Borrowed(gradients)))
    }

    /// A critic step whose gradient is clipped by patient and has noise; `batch` `None` for nobody.
    pub(crate) fn private_critic(
        &mut self,
        (generator, critic): (&Generator, &Critic),
        batch: Option<&Batch>,
        draws: Draws<'_>,
        guard: &Guard<'_, S>,
    ) -> Result<&Gradients> {
        let batch = match batch {
            Some(Batch { rows, lengths }) => Some(self.engine.pack(rows, lengths)?),
            None => None,
        };
        let sequences = batch.as_ref().map_or(0, RealBatch::sequences);
        Ok(self.engine.private_critic_gradient(
            [generator.parameters(), critic.parameters()],
            batch.as_ref(),
            &|sequence, values| draws.noise(sequence, values),
            &draws.alpha(sequences),
            draws.config.optimiser.penalty_weight,
            guard,
        )?)
    }

    fn generator(
        &mut self,
        networks: (&Generator, &Critic),
        draws: Draws<'_>,
    ) -> Result<(Tensor, Cow<'_, Gradients>)> {
        let (generator, critic) = networks;
        let batch = self.batch.as_ref().ok_or_else(no_batch)?;
        let limits = draws.limits(critic.config().layout.width());
        let (measures, gradients) = self.engine.generator_gradient(
            generator.parameters(),
            critic.parameters(),
            batch,
            &|sequence, values| draws.noise(sequence, values),
            Alignment {
                weight: draws.config.optimiser.correlation_weight,
                limits: limits.as_deref(),
            },
        )?;
        let GeneratorMeasures { loss, alignment } = measures;
        Ok((Tensor::new(&[loss, alignment], &Device::Cpu)?, Cow::Borrowed(gradients)))
    }
}

fn no_batch() -> Error {
    Error::Config("a step was asked for before a batch".into())
}

impl Steps {
    /// Autograd, over the fused kernels or as the oracle.
    pub(crate) fn tape(dtype: DType) -> Self {
        Self::Tape(Units::default(), dtype)
    }

    /// Shares the work of batches with other ranks.
    pub(crate) fn share_with(&mut self, ranks: &Ranks) {
        match self {
            Self::Single(fused) => fused.engine.share_with(ranks.clone()),
            Self::Double(fused) => fused.engine.share_with(ranks.clone()),
            Self::Tape(units, _) => units.share_with(ranks.clone()),
        }
    }

    /// The part of a batch of so many patients that this rank packs.
    pub(crate) fn share(&self, patients: usize) -> Range<usize> {
        match self {
            Self::Single(fused) => fused.engine.share(patients),
            Self::Double(fused) => fused.engine.share(patients),
            Self::Tape(units, _) => units.share(patients),
        }
    }

    /// Takes a real batch for the steps that follow.
    pub(crate) fn see(&mut self, batch: &Batch) -> Result<()> {
        match self {
            Self::Single(fused) => {
                fused.batch = Some(fused.engine.pack(&batch.rows, &batch.lengths)?);
            }
            Self::Double(fused) => {
                fused.batch = Some(fused.engine.pack(&batch.rows, &batch.lengths)?);
            }
            Self::Tape(..) => {}
        }
        Ok(())
    }

    /// The critic's loss, Wasserstein estimate and penalty `[3]`, and its gradients.
    pub(crate) fn critic(
        &mut self,
        networks: (&Generator, &Critic),
        batch: &Batch,
        draws: Draws<'_>,
    ) -> Result<(Tensor, Cow<'_, Gradients>)> {
        let (units, dtype) = match self {
            Self::Single(fused) => return fused.critic(networks, draws),
            Self::Double(fused) => return fused.critic(networks, draws),
            Self::Tape(units, dtype) => (units, *dtype),
        };
        let Batch { rows, lengths } = batch;
        let noise = &draws.noise_tensor(batch, units.share(lengths.batch()), dtype)?;
        let alpha = Tensor::new(draws.alpha::<f64>(lengths.batch()), rows.device())?;
        let (alpha, weight) = (alpha.to_dtype(dtype)?, draws.config.optimiser.penalty_weight);
        let batch = SharedBatch { rows, noise, lengths };
        let (measures, gradients) = units.critic(networks, batch, &alpha, weight)?;
        Ok((measures, Cow::Owned(gradients)))
    }

    /// The generator's loss and alignment `[2]`, and its gradients.
    pub(crate) fn generator(
        &mut self,
        networks: (&Generator, &Critic),
        batch: &Batch,
        draws: Draws<'_>,
    ) -> Result<(Tensor, Cow<'_, Gradients>)> {
        let (units, dtype) = match self {
            Self::Single(fused) => return fused.generator(networks, draws),
            Self::Double(fused) => return fused.generator(networks, draws),
            Self::Tape(units, dtype) => (units, *dtype),
        };
        let Batch { rows, lengths } = batch;
        let noise = &draws.noise_tensor(batch, units.share(lengths.batch()), dtype)?;
        let weight = draws.config.optimiser.correlation_weight;
        let limits = draws.limits(networks.1.config().layout.width());
        let aligned = Alignment { weight, limits: limits.as_deref() };
        let batch = SharedBatch { rows, noise, lengths };
        let (measures, gradients) = units.generator(networks, batch, aligned)?;
        Ok((measures, Cow::Owned(gradients)))
    }
}
