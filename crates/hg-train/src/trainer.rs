//! The training loop, one iteration at a time.

use crate::adam::norm;
use crate::checkpoint;
use crate::in_place::Ema;
use crate::random::{Purpose, stream};
use crate::steps::{Draws, Fused, Steps};
use crate::synthesis::{Source, draw_lengths, rows};
use crate::validation::ValidationState;
use crate::{Adam, AdamConfig, Batches, DeviceKind, Error, Result, StepScale, TrainConfig};
use candle_core::{DType, Device, Tensor};
use hg_data::{Encoded, Encoder};
use hg_lstm::Recurrence;
use hg_models::{Critic, CriticConfig, Generator, GeneratorConfig, RowLayout};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

/// What an iteration measured: one line of `metrics.jsonl`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Counted from 1.
    pub iteration: u64,
    /// Passes over the cohort that are complete.
    pub epoch: u64,
    /// The critic's loss, mean over its steps.
    pub critic_loss: f64,
    /// E[C(real)] − E[C(fake)], mean over the critic's steps.
    pub wasserstein: f64,
    /// E[(‖∇C‖ − 1)²], mean over the critic's steps.
    pub gradient_penalty: f64,
    /// The generator's loss.
    pub generator_loss: f64,
    /// mean|R(fake) − R(real)|.
    pub correlation_loss: f64,
    /// The norm of the last critic step's gradient, before any clipping.
    pub critic_norm: f64,
    /// The norm of the generator's gradient, before any clipping.
    pub generator_norm: f64,
    /// How far synthetic patients are from real ones, where this iteration was validated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
}

impl StepMetrics {
    /// What is worth a curve, by name; `None` where it was not measured.
    pub fn curves(&self) -> [(&'static str, Option<f64>); 8] {
        [
            ("Wasserstein", Some(self.wasserstein)),
            ("gradient penalty", Some(self.gradient_penalty)),
            ("critic loss", Some(self.critic_loss)),
            ("generator loss", Some(self.generator_loss)),
            ("correlation loss", Some(self.correlation_loss)),
            ("critic gradient norm", Some(self.critic_norm)),
            ("generator gradient norm", Some(self.generator_norm)),
            ("validation score", self.validation),
        ]
    }
}

/// A penalty beyond this (the critic's slope is about 100 where it should be 1) does not come
/// down again.
const GREATEST_PENALTY: f64 = 1e4;

/// A generator and a critic in training.
///
/// ```
/// use hg_train::{TrainConfig, Trainer, layout_of};
/// use std::ops::ControlFlow;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))?;
/// let schema = hg_data::Schema::load("data-schemas/pbc.toml".as_ref())?;
/// let table = schema.read("data/pbc/pbcseq.csv".as_ref())?;
/// let (encoder, encoded) = hg_data::Encoder::fit(&schema, &table, hg_data::Subset::Whole)?;
/// let config = TrainConfig { iterations: 500, hidden: 16, ..Default::default() };
/// let mut trainer = Trainer::new(&config, &layout_of(&encoder), &encoded)?;
/// trainer.train(|step| {
///     println!("{:3}: Wasserstein {:.3}", step.iteration, step.wasserstein);
///     if step.iteration < 5 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
/// })?;
/// assert_eq!(trainer.iteration(), 5, "it stops when told");
/// let (lengths, rows) = trainer.sample(&encoder.lengths, 10, 1)?;
/// let table = encoder.decode(&rows, &lengths, lengths.iter().copied().max().unwrap_or(0), 1)?;
/// assert_eq!(table.height(), lengths.iter().sum::<usize>());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Trainer {
    config: TrainConfig,
    batches: Batches,
    pub(crate) generator: Generator,
    pub(crate) critic: Critic,
    /// The running mean of the generator's weights.
    pub(crate) averaged: Generator,
    pub(crate) generator_adam: Adam,
    pub(crate) critic_adam: Adam,
    pub(crate) iteration: u64,
    pub(crate) standing: ValidationState,
    steps: Steps,
    times: StepTimes,
}

/// How long the parts of an iteration took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepTimes {
    /// All critic steps together.
    pub critic: Duration,
    /// The generator step.
    pub generator: Duration,
}

/// The layout of an encoder's rows, as the networks see it.
pub fn layout_of(encoder: &Encoder) -> RowLayout {
    RowLayout { numeric: encoder.numeric_features(), discrete: encoder.blocks() }
}

impl TrainConfig {
    /// The generator that these settings make for a layout.
    pub fn generator(&self, layout: &RowLayout) -> GeneratorConfig {
        GeneratorConfig {
            layout: layout.clone(),
            latent: self.latent_features,
            hidden: self.hidden,
            reverse_alignment: self.reverse_alignment,
        }
    }

    /// The critic that these settings make for a layout.
    pub fn critic(&self, layout: &RowLayout) -> CriticConfig {
        CriticConfig { layout: layout.clone(), hidden: self.hidden }
    }
}

impl Trainer {
    /// Networks with weights drawn from the seed, in f32 on the device that the settings name.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting out of its range, or a device that is not there.
    pub fn new(config: &TrainConfig, layout: &RowLayout, encoded: &Encoded) -> Result<Self> {
        let steps = |generator: &_, critic: &_| match config.device {
            DeviceKind::Cpu => Steps::Single(Fused::new(generator, critic)),
            DeviceKind::Cuda => Steps::Tape(DType::F32),
        };
        let device = config.device.open()?;
        let mut trainer = Self::with_steps(config, layout, encoded, (DType::F32, device), steps)?;
        if config.tf32 {
            trainer.generator = trainer.generator.with_recurrence(Recurrence::FusedTf32);
            trainer.critic = trainer.critic.with_recurrence(Recurrence::FusedTf32);
            // Every other product of the process too.
            #[cfg(feature = "cuda")]
            candle_core::cuda::set_gemm_reduced_precision_f32(true);
        }
        Ok(trainer)
    }

    /// The same in f64: for checks.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn in_f64(config: &TrainConfig, layout: &RowLayout, encoded: &Encoded) -> Result<Self> {
        let steps = |generator: &_, critic: &_| Steps::Double(Fused::new(generator, critic));
        Self::with_steps(config, layout, encoded, (DType::F64, Device::Cpu), steps)
    }

    /// The same in f64 with candle's autograd over plain operations: the oracle
    /// of the gradients by hand, many times slower.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn reference(config: &TrainConfig, layout: &RowLayout, encoded: &Encoded) -> Result<Self> {
        let steps = |_: &_, _: &_| Steps::Tape(DType::F64);
        let mut trainer =
            Self::with_steps(config, layout, encoded, (DType::F64, Device::Cpu), steps)?;
        trainer.generator = trainer.generator.with_recurrence(Recurrence::Reference);
        trainer.critic = trainer.critic.with_recurrence(Recurrence::Reference);
        Ok(trainer)
    }

    fn with_steps(
        config: &TrainConfig,
        layout: &RowLayout,
        encoded: &Encoded,
        (dtype, device): (DType, Device),
        steps: impl Fn(&Generator, &Critic) -> Steps,
    ) -> Result<Self> {
        config.check()?;
        let draw = |purpose| {
            let mut rng = stream(config.seed, purpose, 0);
            Generator::init(config.generator(layout), &mut rng, dtype, &device)
        };
        let generator = draw(Purpose::GeneratorWeights)?;
        // The mean of one set of weights: the same weights.
        let averaged = draw(Purpose::GeneratorWeights)?;
        let mut rng = stream(config.seed, Purpose::CriticWeights, 0);
        let critic = Critic::init(config.critic(layout), &mut rng, dtype, &device)?;
        let adam = AdamConfig {
            learning_rate: config.learning_rate,
            beta1: config.beta1,
            beta2: config.beta2,
        };
        Ok(Self {
            batches: Batches::new(encoded, config, dtype, &device),
            generator_adam: Adam::new(adam, generator.parameters())?,
            critic_adam: Adam::new(adam, critic.parameters())?,
            config: config.clone(),
            steps: steps(&generator, &critic),
            generator,
            critic,
            averaged,
            iteration: 0,
            standing: ValidationState::default(),
            times: StepTimes::default(),
        })
    }

    /// Iterations done.
    pub fn iteration(&self) -> u64 {
        self.iteration
    }

    /// How long the parts of the last iteration took.
    pub fn times(&self) -> StepTimes {
        self.times
    }

    /// Takes weights from files in place of those drawn; the averaged ones are the generator's.
    pub(crate) fn import(&mut self, generator: &Path, critic: Option<&Path>) -> Result<()> {
        checkpoint::fill(self.generator.parameters(), generator)?;
        checkpoint::fill(self.averaged.parameters(), generator)?;
        critic.map_or(Ok(()), |critic| checkpoint::fill(self.critic.parameters(), critic))
    }

    /// Iterations up to the configured number; `observe` sees each and may stop. Whether
    /// all were done.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn train(
        &mut self,
        mut observe: impl FnMut(&StepMetrics) -> ControlFlow<()>,
    ) -> Result<bool> {
        while self.iteration < self.config.iterations {
            if observe(&self.step()?).is_break() {
                break;
            }
        }
        Ok(self.iteration == self.config.iterations)
    }

    /// Synthetic sequences from the averaged weights: their lengths, drawn with the given
    /// frequencies (`frequencies[n]` have `n` steps, as in `Encoder::lengths`), and rows
    /// `[sequences, steps, D]`, `steps` being the longest.
    ///
    /// # Errors
    /// Only what candle reports.
    pub fn sample(
        &self,
        frequencies: &[usize],
        sequences: usize,
        seed: u64,
    ) -> Result<(Vec<usize>, Vec<f32>)> {
        let source = Source { seed, noise: Purpose::Generation, lengths: Purpose::Lengths };
        let lengths = draw_lengths(frequencies, sequences, source);
        let rows = rows(&self.averaged, &self.config, &lengths, source)?;
        Ok((lengths, rows))
    }

    /// A cohort for a judge: the same lengths and noise whenever it is asked for.
    pub(crate) fn trial(&self, frequencies: &[usize], sequences: usize) -> Result<Encoded> {
        let (seed, purpose) = (self.config.seed, Purpose::Validation);
        let source = Source { seed, noise: purpose, lengths: Purpose::Lengths };
        let lengths = draw_lengths(frequencies, sequences, source);
        let values = rows(&self.averaged, &self.config, &lengths, source)?.into();
        let steps = lengths.iter().copied().max().unwrap_or(1);
        let features = self.generator.config().layout.width();
        Ok(Encoded { values, lengths, steps, features, counts: Default::default() })
    }

    /// One iteration: critic steps on one real batch, then a generator step.
    ///
    /// # Errors
    /// [`Error::Diverged`] when a loss is no longer finite, the penalty explodes, or the
    /// generator's gradient is exactly 0.
    pub fn step(&mut self) -> Result<StepMetrics> {
        let start = Instant::now();
        let batch = self.batches.batch(self.iteration)?;
        self.steps.see(&batch)?;
        let critic_steps = self.config.critic_steps as u64;
        let first_step = self.iteration * (critic_steps + 1);
        let draws = |n: u64| Draws { config: &self.config, step: first_step + n };
        let networks = (&self.generator, &self.critic);
        let TrainConfig { schedule, iterations, clip_norm: clip, .. } = self.config;
        let done = self.iteration as f64 / iterations as f64;
        let rate = self.standing.rate() * schedule.share(done);
        let shrink = |norm: &Tensor| -> Result<f64> {
            if clip == 0. {
                return Ok(1.);
            }
            let norm = norm.to_scalar::<f64>()?;
            Ok(if norm > clip { clip / norm } else { 1. })
        };
        let mut measured = Vec::new();
        let mut critic_norm = None;
        for n in 0..critic_steps {
            let (measures, gradients) = self.steps.critic(networks, &batch, draws(n))?;
            measured.push(measures);
            // The norm costs a pass over the gradient; where nothing is clipped, one is enough.
            let mut pace = StepScale { rate, shrink: 1. };
            if clip > 0. || n + 1 == critic_steps {
                let norm = norm(&gradients)?;
                pace.shrink = shrink(&norm)?;
                critic_norm = Some(norm);
            }
            self.critic_adam.step(self.critic.parameters(), &gradients, pace)?;
        }
        self.times.critic = start.elapsed();
        let start = Instant::now();
        let (measures, gradients) = self.steps.generator(networks, &batch, draws(critic_steps))?;
        measured.push(measures);
        let generator_norm = norm(&gradients)?;
        let pace = StepScale { rate, shrink: shrink(&generator_norm)? };
        self.generator_adam.step(self.generator.parameters(), &gradients, pace)?;
        for norm in critic_norm.into_iter().chain([generator_norm]) {
            measured.push(norm.reshape(1)?);
        }
        // All at once, which is where a GPU is waited for.
        let measured = Tensor::cat(&measured, 0)?.to_vec1::<f64>()?;
        let (of_critic, of_generator) = measured.split_at(3 * critic_steps as usize);
        let &[generator_loss, correlation_loss, critic_norm, generator_norm] = of_generator else {
            return Err(Error::Config("critic_steps is 0, it must be at least 1".into()));
        };
        let [mut critic_loss, mut wasserstein, mut gradient_penalty] = [0f64; 3];
        for measures in of_critic.chunks_exact(3) {
            critic_loss += measures[0] / critic_steps as f64;
            wasserstein += measures[1] / critic_steps as f64;
            gradient_penalty += measures[2] / critic_steps as f64;
        }
        let diverged = |problem| Err(Error::Diverged { iteration: self.iteration + 1, problem });
        for (what, value) in [("critic", critic_loss), ("generator", generator_loss)] {
            if !value.is_finite() {
                return diverged(format!("the {what}'s loss is {value}"));
            }
        }
        if generator_norm == 0. {
            return diverged("the generator's gradient has vanished, it learns no more".into());
        }
        if gradient_penalty > GREATEST_PENALTY {
            return diverged(format!(
                "the gradient penalty has grown to {gradient_penalty:.0}, more than \
                 {GREATEST_PENALTY}"
            ));
        }
        self.average_weights()?;
        self.times.generator = start.elapsed();
        self.iteration += 1;
        Ok(StepMetrics {
            iteration: self.iteration,
            epoch: self.iteration / self.batches.per_epoch(),
            critic_loss,
            wasserstein,
            gradient_penalty,
            generator_loss,
            correlation_loss,
            critic_norm,
            generator_norm,
            validation: None,
        })
    }

    /// θ̄ ← d θ̄ + (1 − d) θ, with a shorter memory in the first iterations.
    fn average_weights(&self) -> Result<()> {
        let done = self.iteration as f64;
        let decay = self.config.weight_averaging.min((1. + done) / (10. + done));
        let blend = Ema { keep: decay, add: 1. - decay, square: false };
        let means = self.averaged.parameters().iter();
        let pairs: Vec<_> = means.zip(self.generator.parameters().iter()).collect();
        pairs.into_par_iter().try_for_each(|((_, mean), (_, weight))| {
            blend.apply(mean, weight)?;
            Ok(())
        })
    }
}
