//! The training loop, one iteration at a time.

use crate::adam::norm;
use crate::checkpoint;
use crate::config::OptimiserConfig;
use crate::in_place::Ema;
use crate::privacy::Private;
use crate::random::{Purpose, stream};
use crate::steps::{CRITIC_MEASURES, Draws, Fused, GENERATOR_MEASURES, Steps};
use crate::synthesis::{Source, cohort, draw_lengths};
use crate::validation::ValidationState;
use crate::{
    Adam, AdamConfig, Batches, DeviceKind, Error, Result, StepMetrics, StepScale, TrainConfig,
};
use candle_core::{DType, Device, Tensor};
use hg_data::{Encoded, Encoder};
use hg_lstm::Recurrence;
use hg_lstm::kernel::Factors;
use hg_models::{
    Carried, Critic, CriticConfig, Generator, GeneratorConfig, Gradients, Parameters, Ranks,
    RowLayout, read_weights,
};
use rayon::prelude::*;
use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, Instant};

/// A penalty beyond this (the critic's slope is about 100 where it should be 1) does not come
/// down again.
const GREATEST_PENALTY: f64 = 1e4;

/// A generator and a critic in training, one iteration at a time.
///
/// [`crate::Session`] adds validation, checkpoints and restarts.
///
/// ```
/// use hg_train::{TrainConfig, Trainer, layout_of};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))?;
/// let schema = hg_data::Schema::load("data-schemas/pbc.toml".as_ref())?;
/// let table = "data/pbc/pbcseq.csv".as_ref();
/// let (encoder, encoded) = hg_data::Encoder::fit_file(&schema, table, hg_data::Subset::Whole)?;
/// let mut config = TrainConfig::default();
/// config.model.hidden = 16;
/// let mut trainer = Trainer::new(&config, &layout_of(&encoder), &encoded)?;
/// for _ in 0..5 {
///     let step = trainer.step()?;
///     println!("{:3}: Wasserstein {:?}", step.iteration, step.get("wasserstein"));
/// }
/// assert_eq!(trainer.iteration(), 5);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Trainer {
    pub(crate) config: TrainConfig,
    pub(crate) batches: Batches,
    pub(crate) generator: Generator,
    pub(crate) critic: Critic,
    /// The running mean of the generator's weights.
    pub(crate) averaged: Generator,
    pub(crate) generator_adam: Adam,
    pub(crate) critic_adam: Adam,
    pub(crate) iteration: u64,
    pub(crate) validation: ValidationState,
    pub(crate) steps: Steps,
    pub(crate) times: StepTimes,
    /// What keeps a guarantee, where one is kept.
    pub(crate) private: Option<Private>,
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
    let carried = encoder.carried().into_iter();
    RowLayout {
        carried: carried.map(|(by, features)| Carried { by, features }).collect(),
        ..RowLayout::new(encoder.numeric_features(), encoder.blocks())
    }
}

impl TrainConfig {
    /// The generator that these settings make for a layout.
    pub fn generator(&self, layout: &RowLayout) -> GeneratorConfig {
        let carried =
            if self.model.generator_carries { layout.carried.clone() } else { Vec::new() };
        GeneratorConfig {
            layout: RowLayout { carried, ..layout.clone() },
            latent: self.model.latent_features,
            hidden: self.model.hidden,
            reverse_alignment: self.model.reverse_alignment,
        }
    }

    /// The critic that these settings make for a layout.
    pub fn critic(&self, layout: &RowLayout) -> CriticConfig {
        CriticConfig {
            layout: layout.clone(),
            hidden: self.model.hidden,
            compares: self.model.critic_compares,
        }
    }
}

impl Trainer {
    /// Networks with weights drawn from the seed, in f32 on the device that the settings name.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting out of its range, or a device that is not there; and where the
    /// settings ask for a guarantee, which [`Trainer::of`] keeps.
    pub fn new(config: &TrainConfig, layout: &RowLayout, encoded: &Encoded) -> Result<Self> {
        if config.privacy.is_on() {
            let problem = "`privacy.epsilon` is finite, and this trainer keeps no guarantee\nhint: \
                           use `Trainer::of`";
            return Err(Error::Config(problem.into()));
        }
        Self::unguarded(config, layout, encoded)
    }

    /// As [`Trainer::new`], whatever guarantee is asked for.
    pub(crate) fn unguarded(
        config: &TrainConfig,
        layout: &RowLayout,
        encoded: &Encoded,
    ) -> Result<Self> {
        let factors = if config.bf16 { Factors::Bf16 } else { Factors::Full };
        let steps = |generator: &_, critic: &_| match config.device {
            DeviceKind::Cpu => Steps::Single(Fused::new(generator, critic, factors)),
            DeviceKind::Cuda => Steps::tape(DType::F32),
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
        let steps =
            |generator: &_, critic: &_| Steps::Double(Fused::new(generator, critic, Factors::Full));
        Self::with_steps(config, layout, encoded, (DType::F64, Device::Cpu), steps)
    }

    /// The same in f64 with candle's autograd over plain operations: the oracle
    /// of the gradients by hand, many times slower.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn reference(config: &TrainConfig, layout: &RowLayout, encoded: &Encoded) -> Result<Self> {
        let steps = |_: &_, _: &_| Steps::tape(DType::F64);
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
        let OptimiserConfig { learning_rate, beta1, beta2, .. } = config.optimiser;
        let adam = AdamConfig { learning_rate, beta1, beta2 };
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
            validation: ValidationState::default(),
            times: StepTimes::default(),
            private: None,
        })
    }

    /// Iterations done.
    pub fn iteration(&self) -> u64 {
        self.iteration
    }

    /// The iterations after which batches are of the same kinds again.
    pub(crate) fn batches_in_cycle(&self) -> u64 {
        self.batches.per_cycle()
    }

    /// Shares the work of every iteration with other ranks, which all train the same model.
    pub(crate) fn share_with(&mut self, ranks: &Ranks) -> Result<()> {
        if self.private.is_some() && !ranks.is_alone() {
            let problem = "`privacy.epsilon` is finite, and a guarantee is kept by a process alone\n\
                           hint: train without `mpiexec`";
            return Err(Error::Config(problem.into()));
        }
        self.steps.share_with(ranks);
        Ok(())
    }

    /// How long the parts of the last iteration took.
    pub fn times(&self) -> StepTimes {
        self.times
    }

    /// Takes weights from files in place of those drawn; the averaged ones are the generator's.
    pub(crate) fn import(&mut self, generator: &Path, critic: Option<&Path>) -> Result<()> {
        let weights = read_weights(generator)?;
        checkpoint::fill(self.generator.parameters(), &weights, generator)?;
        checkpoint::fill(self.averaged.parameters(), &weights, generator)?;
        let Some(critic) = critic else { return Ok(()) };
        checkpoint::fill(self.critic.parameters(), &read_weights(critic)?, critic)
    }

    /// A cohort for a validator: the same lengths and noise whenever it is asked for.
    pub fn validation_cohort(&self, frequencies: &[usize], sequences: usize) -> Result<Encoded> {
        let (seed, purpose) = (self.config.seed, Purpose::Validation);
        let lengths = draw_lengths(frequencies, sequences, stream(seed, Purpose::Lengths, 0));
        let source = Source { seed, noise: purpose, part: 0 };
        cohort(&self.averaged, &self.config, lengths, source)
    }

    /// One iteration: critic steps on one real batch, then a generator step.
    ///
    /// # Errors
    /// [`Error::Diverged`] when a loss is no longer finite, the penalty explodes, or the
    /// generator's gradient is exactly 0.
    pub fn step(&mut self) -> Result<StepMetrics> {
        if self.private.is_some() {
            return self.private_step();
        }
        let start = Instant::now();
        let OptimiserConfig { critic_steps, schedule, clip_norm, .. } = self.config.optimiser;
        let batch = self.batches.shared(self.iteration, |patients| self.steps.share(patients))?;
        self.steps.see(&batch)?;
        let first_step = self.iteration * (critic_steps as u64 + 1);
        let draws =
            |n: usize| Draws { config: &self.config, step: first_step + n as u64, key: None };
        let networks = (&self.generator, &self.critic);
        let done = self.iteration as f64 / self.config.iterations as f64;
        let rate = self.validation.rate() * schedule.share(done);

        // The critic. Its norm costs a pass over the gradient; where nothing is clipped, one is
        // enough.
        let mut measured = Vec::new();
        for n in 0..critic_steps {
            let (measures, gradients) = self.steps.critic(networks, &batch, draws(n))?;
            let (adam, parameters) = (&mut self.critic_adam, self.critic.parameters());
            let is_measured = clip_norm > 0. || n + 1 == critic_steps;
            let descent = Descent { rate, clip_norm, is_measured };
            measured.push(measures);
            measured.extend(
                descent.step(adam, parameters, &gradients)?.filter(|_| n + 1 == critic_steps),
            );
        }
        self.times.critic = start.elapsed();

        let start = Instant::now();
        let (measures, gradients) = self.steps.generator(networks, &batch, draws(critic_steps))?;
        let (adam, parameters) = (&mut self.generator_adam, self.generator.parameters());
        let descent = Descent { rate, clip_norm, is_measured: true };
        measured.push(measures);
        measured.extend(descent.step(adam, parameters, &gradients)?);

        // All at once, which is where a GPU is waited for.
        let measured = Tensor::cat(&measured, 0)?.to_vec1::<f64>()?;
        let scalars = scalars(&measured, critic_steps);
        if let Some(problem) = divergence(&scalars) {
            return Err(Error::Diverged { iteration: self.iteration + 1, problem });
        }
        self.average_weights()?;
        self.times.generator = start.elapsed();
        self.iteration += 1;
        let epoch = self.iteration / self.batches.per_epoch();
        Ok(StepMetrics { iteration: self.iteration, epoch, scalars })
    }

    /// θ̄ ← d θ̄ + (1 − d) θ, with a shorter memory in the first iterations.
    pub(crate) fn average_weights(&self) -> Result<()> {
        let done = self.iteration as f64;
        let decay = self.config.optimiser.weight_averaging.min((1. + done) / (10. + done));
        let blend = Ema { keep: decay, add: 1. - decay, square: false };
        let means = self.averaged.parameters().iter();
        let pairs: Vec<_> = means.zip(self.generator.parameters().iter()).collect();
        pairs.into_par_iter().try_for_each(|((_, mean), (_, weight))| {
            blend.apply(mean, weight)?;
            Ok(())
        })
    }
}

/// How a network moves against its gradient. All gradients of a run pass through
/// [`Descent::step`], between the engine that computed them and Adam: whatever is to happen to
/// them (their norm, clipping, a sum over several processes) happens there.
pub(crate) struct Descent {
    /// The share of the learning rate that is taken.
    pub(crate) rate: f64,
    /// The greatest norm; 0 for no limit.
    pub(crate) clip_norm: f64,
    /// Whether the norm is computed.
    pub(crate) is_measured: bool,
}

impl Descent {
    /// Moves a network one step; gives its gradient's norm `[1]`, before any clipping.
    pub(crate) fn step(
        &self,
        adam: &mut Adam,
        parameters: &Parameters,
        gradients: &Gradients,
    ) -> Result<Option<Tensor>> {
        let norm = if self.is_measured { Some(norm(gradients)?) } else { None };
        let mut scale = StepScale { rate: self.rate, shrink: 1. };
        if let Some(norm) = norm.as_ref().filter(|_| self.clip_norm > 0.) {
            let norm = norm.to_scalar::<f64>()?;
            if norm > self.clip_norm {
                scale.shrink = self.clip_norm / norm;
            }
        }
        adam.step(parameters, gradients, scale)?;
        Ok(norm.map(|norm| norm.reshape(1)).transpose()?)
    }
}

/// The numbers of an iteration by name, from what its steps measured one after the other: means
/// over the critic's steps, and the norms of the last critic step's and the generator's gradient.
fn scalars(measured: &[f64], critic_steps: usize) -> Vec<(Cow<'static, str>, f64)> {
    let critic = CRITIC_MEASURES.len();
    let (of_critic, rest) = measured.split_at(critic * critic_steps);
    let mean = |n: usize| -> f64 {
        of_critic.chunks_exact(critic).map(|step| step[n] / critic_steps as f64).sum()
    };
    let means = CRITIC_MEASURES.into_iter().enumerate().map(|(n, name)| (name, mean(n)));
    let (critic_norm, of_generator) = (rest[0], &rest[1..]);
    let names = GENERATOR_MEASURES.into_iter().zip(of_generator.iter().copied());
    let norms =
        [("critic_norm", critic_norm), ("generator_norm", of_generator[GENERATOR_MEASURES.len()])];
    means.chain(names).chain(norms).map(|(name, value)| (name.into(), value)).collect()
}

/// What shows that training no longer leads anywhere.
fn divergence(scalars: &[(Cow<'static, str>, f64)]) -> Option<String> {
    let value = |name: &str| scalars.iter().find(|(known, _)| known == name).map(|(_, x)| *x);
    for network in ["critic", "generator"] {
        let loss = value(&format!("{network}_loss"))?;
        if !loss.is_finite() {
            return Some(format!("the {network}'s loss is {loss}"));
        }
    }
    if value("generator_norm")? == 0. {
        return Some("the generator's gradient has vanished, it learns no more".into());
    }
    let penalty = value("gradient_penalty")?;
    (penalty > GREATEST_PENALTY).then(|| {
        format!("the gradient penalty has grown to {penalty:.0}, more than {GREATEST_PENALTY}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hg_data::{Schema, Subset};

    /// By autograd, as GPUs train: two units of a batch, so that the third rank has none.
    #[test]
    fn ranks_that_train_by_autograd_have_the_weights_of_a_process_alone() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let schema = Schema::load(&root.join("data-schemas/pbc.toml")).expect("a schema");
        let table = root.join("data/pbc/pbcseq.csv");
        let (encoder, encoded) =
            Encoder::fit_file(&schema, &table, Subset::Whole).expect("a cohort");
        let mut config = TrainConfig::default();
        config.model.hidden = 6;
        config.batching.batch_size = 140;
        config.batching.windows = vec![3].into();
        let train = |ranks: Ranks| {
            let layout = crate::layout_of(&encoder);
            let mut trainer = Trainer::reference(&config, &layout, &encoded).expect("a trainer");
            trainer.share_with(&ranks).expect("shared");
            for _ in 0..2 {
                trainer.step().expect("a step");
            }
            let weights = trainer.generator.parameters().tensors().into_values();
            let numbers = |x: Tensor| x.flatten_all().and_then(|x| x.to_vec1::<f64>());
            let mut bits: Vec<u64> =
                weights.flat_map(|x| numbers(x).expect("numbers")).map(f64::to_bits).collect();
            bits.sort_unstable();
            bits
        };
        let alone = train(Ranks::default());
        for count in [2, 3] {
            std::thread::scope(|scope| {
                let running: Vec<_> =
                    Ranks::threads(count).into_iter().map(|r| scope.spawn(|| train(r))).collect();
                for thread in running {
                    assert!(thread.join().expect("no panic") == alone, "{count} ranks");
                }
            });
        }
    }
}
