//! The training loop, one iteration at a time.

use crate::losses::{critic_loss, generator_loss};
use crate::random::{Purpose, stream};
use crate::{Adam, AdamConfig, Batch, Batches, Error, Latent, Result, TrainConfig};
use candle_core::{DType, Device, Tensor};
use hg_data::{Encoded, Encoder};
use hg_lstm::Lengths;
use hg_models::{Critic, CriticConfig, Generator, GeneratorConfig, RowLayout};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

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
}

/// A generator and a critic in training.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use hg_train::{TrainConfig, Trainer};
/// let path = std::path::Path::new("data/pbc/pbcseq.csv");
/// let schema = hg_data::Schema::load("data-schemas/pbc.toml".as_ref())?;
/// let table = hg_data::read_table(path)?;
/// let (encoder, encoded) = hg_data::Encoder::fit(&schema, &table, path)?;
/// let config = TrainConfig { iterations: 10, ..Default::default() };
/// let mut trainer = Trainer::new(&config, &encoder, &encoded)?;
/// while trainer.iteration() < config.iterations {
///     println!("{:?}", trainer.step()?);
/// }
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
}

/// The layout of an encoder's rows, as the networks see it.
pub fn layout_of(encoder: &Encoder) -> RowLayout {
    RowLayout { numeric: encoder.numeric_features(), discrete: encoder.blocks() }
}

impl TrainConfig {
    /// The generator that these settings make for an encoder.
    pub fn generator(&self, encoder: &Encoder) -> GeneratorConfig {
        GeneratorConfig {
            layout: layout_of(encoder),
            latent: self.latent_features,
            hidden: self.hidden,
            reverse_alignment: self.reverse_alignment,
        }
    }

    /// The critic that these settings make for an encoder.
    pub fn critic(&self, encoder: &Encoder) -> CriticConfig {
        CriticConfig { layout: layout_of(encoder), hidden: self.hidden }
    }
}

impl Trainer {
    /// Networks with weights drawn from the seed, in f32 on the CPU.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting out of its range.
    pub fn new(config: &TrainConfig, encoder: &Encoder, encoded: &Encoded) -> Result<Self> {
        config.check()?;
        let (dtype, device) = (DType::F32, Device::Cpu);
        let draw = |purpose| {
            let mut rng = stream(config.seed, purpose, 0);
            Generator::draw(config.generator(encoder), &mut rng, dtype, &device)
        };
        let generator = draw(Purpose::GeneratorWeights)?;
        // The mean of one set of weights: the same weights.
        let averaged = draw(Purpose::GeneratorWeights)?;
        let mut rng = stream(config.seed, Purpose::CriticWeights, 0);
        let critic = Critic::draw(config.critic(encoder), &mut rng, dtype, &device)?;
        let adam = AdamConfig {
            learning_rate: config.learning_rate,
            beta1: config.beta1,
            beta2: config.beta2,
        };
        Ok(Self {
            batches: Batches::new(encoded, config, dtype, &device)?,
            generator_adam: Adam::new(adam, generator.parameters())?,
            critic_adam: Adam::new(adam, critic.parameters())?,
            config: config.clone(),
            generator,
            critic,
            averaged,
            iteration: 0,
        })
    }

    /// Iterations done.
    pub fn iteration(&self) -> u64 {
        self.iteration
    }

    /// One iteration: critic steps on one real batch, then a generator step.
    ///
    /// # Errors
    /// [`Error::Diverged`] when a loss is no longer finite.
    pub fn step(&mut self) -> Result<StepMetrics> {
        let batch = self.batches.batch(self.iteration)?;
        let first_draw = self.iteration * (self.config.critic_steps as u64 + 1);
        let mut sums = [0f64; 3];
        for n in 0..self.config.critic_steps {
            let parts = self.critic_step(&batch, first_draw + n as u64)?;
            for (sum, part) in sums.iter_mut().zip(parts) {
                *sum += part / self.config.critic_steps as f64;
            }
        }
        let [critic_loss, wasserstein, gradient_penalty] = sums;
        let draw = first_draw + self.config.critic_steps as u64;
        let (generator_loss, correlation_loss) = self.generator_step(&batch, draw)?;
        for (what, value) in [("critic loss", critic_loss), ("generator loss", generator_loss)] {
            if !value.is_finite() {
                return Err(Error::Diverged { iteration: self.iteration, what });
            }
        }
        self.average_weights()?;
        self.iteration += 1;
        Ok(StepMetrics {
            iteration: self.iteration,
            epoch: self.iteration / self.batches.per_epoch(),
            critic_loss,
            wasserstein,
            gradient_penalty,
            generator_loss,
            correlation_loss,
        })
    }

    fn critic_step(&mut self, batch: &Batch, draw: u64) -> Result<[f64; 3]> {
        let Batch { rows, lengths } = batch;
        let fake = self.generator.forward(&self.noise(lengths, draw)?, lengths)?;
        let mut rng = stream(self.config.seed, Purpose::Interpolation, draw);
        let alpha: Vec<f32> = (0..lengths.batch()).map(|_| rng.random()).collect();
        let alpha = Tensor::new(alpha, rows.device())?.to_dtype(rows.dtype())?;
        let weight = self.config.penalty_weight;
        let loss = critic_loss(&self.critic, rows, &fake, &alpha, lengths, weight)?;
        self.critic_adam.step(self.critic.parameters(), &loss.total.backward()?)?;
        Ok([scalar(&loss.total)?, scalar(&loss.wasserstein)?, scalar(&loss.penalty)?])
    }

    fn generator_step(&mut self, batch: &Batch, draw: u64) -> Result<(f64, f64)> {
        let Batch { rows, lengths } = batch;
        let fake = self.generator.forward(&self.noise(lengths, draw)?, lengths)?;
        let weight = self.config.correlation_weight;
        let (total, alignment) = generator_loss(&self.critic, rows, &fake, lengths, weight)?;
        self.generator_adam.step(self.generator.parameters(), &total.backward()?)?;
        Ok((scalar(&total)?, scalar(&alignment)?))
    }

    fn noise(&self, lengths: &Lengths, draw: u64) -> Result<Tensor> {
        let mut rng = stream(self.config.seed, Purpose::Noise, draw);
        let shape = (lengths.batch(), lengths.steps(), self.config.latent_features);
        let values = latent_values(self.config.latent, &mut rng, shape.0 * shape.1 * shape.2);
        let parameters = self.generator.parameters();
        Ok(Tensor::from_vec(values, shape, parameters.device())?.to_dtype(parameters.dtype())?)
    }

    /// θ̄ ← d θ̄ + (1 − d) θ, with a shorter memory in the first iterations.
    fn average_weights(&self) -> Result<()> {
        let done = self.iteration as f64;
        let decay = self.config.weight_averaging.min((1. + done) / (10. + done));
        let pairs = self.averaged.parameters().iter().zip(self.generator.parameters().iter());
        for ((_, mean), (_, weight)) in pairs {
            let (mean_value, weight) = (mean.as_tensor().detach(), weight.as_tensor().detach());
            mean.set(&(mean_value.affine(decay, 0.)? + weight.affine(1. - decay, 0.)?)?)?;
        }
        Ok(())
    }
}

/// Draws `count` values of the latent law.
pub(crate) fn latent_values(latent: Latent, rng: &mut ChaCha8Rng, count: usize) -> Vec<f32> {
    match latent {
        Latent::Gaussian => StandardNormal.sample_iter(rng).take(count).collect(),
        Latent::Uniform => rng.random_iter().take(count).collect(),
    }
}

fn scalar(x: &Tensor) -> Result<f64> {
    Ok(x.to_dtype(DType::F64)?.to_scalar()?)
}
