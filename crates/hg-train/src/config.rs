//! The settings of a run.

use crate::{Error, Result};
use candle_core::Device;
use hg_data::{Split, Subset};
use hg_lstm::ReverseAlignment;
use serde::{Deserialize, Serialize};

/// All settings that shape a training run. Defaults are DESIGN §1's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Generator steps; each follows `critic_steps` critic steps.
    pub iterations: u64,
    /// Drives every random draw.
    pub seed: u64,
    /// Where the networks are trained.
    pub device: DeviceKind,
    /// Whether a GPU multiplies in TF32 (10 bits of mantissa, sums in f32): faster, less exact.
    pub tf32: bool,
    /// Patients in a batch.
    pub batch_size: usize,
    /// `H`: hidden features of both networks.
    pub hidden: usize,
    /// `Z`: features of the noise.
    pub latent_features: usize,
    /// The law of the noise.
    pub latent: LatentDistribution,
    /// How the generator lines up its reverse outputs.
    pub reverse_alignment: ReverseAlignment,
    /// Critic steps before each generator step, all on one real batch.
    pub critic_steps: usize,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// How the learning rate goes on over the iterations.
    pub schedule: Schedule,
    /// The greatest norm of a network's gradient; 0 for no limit.
    pub clip_norm: f64,
    /// Adam's β₁.
    pub beta1: f64,
    /// Adam's β₂.
    pub beta2: f64,
    /// λ_gp, the weight of the gradient penalty.
    pub penalty_weight: f64,
    /// λ_corr, the weight of the correlation alignment.
    pub correlation_weight: f64,
    /// Whether each correlation is compared up to a limit that is drawn from U(0, 1) in every
    /// generator step, as in Health Gym's later code.
    pub correlation_limits: bool,
    /// Lengths of the random windows that batches are cut to; none for whole sequences. An
    /// epoch goes through them in order.
    pub windows: Vec<usize>,
    /// Epochs in which batches are visited shortest first; afterwards their
    /// order is random.
    pub curriculum_epochs: u64,
    /// Decay of the running mean of the generator's weights that sampling uses.
    pub weight_averaging: f64,
    /// The share of patients that training never sees; 0 for none.
    pub held_out: f64,
    /// Iterations between checkpoints.
    pub checkpoint_every: u64,
    /// Iterations between validations: a synthetic cohort is compared with the patients that
    /// are held out, or with those trained on where none are. 0 for none.
    pub validate_every: u64,
    /// Validations without a better score after which training stops; 0 for never.
    pub patience: u64,
    /// Which weights sampling takes.
    pub select: CheckpointSelection,
    /// How often a run that diverges goes back to its newest checkpoint and on with half the
    /// learning rate.
    pub restarts: u64,
}

/// Which of a run's weights sampling takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointSelection {
    /// Those with the best validation score.
    #[default]
    Best,
    /// The last ones.
    Last,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            iterations: 4000,
            seed: 0,
            device: DeviceKind::Cpu,
            tf32: false,
            batch_size: 32,
            hidden: 128,
            latent_features: 128,
            latent: LatentDistribution::Gaussian,
            reverse_alignment: ReverseAlignment::Flipped,
            critic_steps: 5,
            learning_rate: 1e-3,
            schedule: Schedule::Constant,
            clip_norm: 0.,
            beta1: 0.9,
            beta2: 0.99,
            penalty_weight: 10.,
            correlation_weight: 10.,
            correlation_limits: false,
            windows: Vec::new(),
            curriculum_epochs: 5,
            weight_averaging: 0.99,
            held_out: 0.,
            checkpoint_every: 100,
            validate_every: 100,
            patience: 0,
            select: CheckpointSelection::Best,
            restarts: 0,
        }
    }
}

/// Where networks are trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// The processor, with gradients by hand: the same bits every time.
    #[default]
    Cpu,
    /// The first NVIDIA GPU, with gradients by autograd over the fused kernels. It takes the
    /// feature `cuda`, and the last bits may differ from run to run.
    Cuda,
}

impl DeviceKind {
    /// The device.
    ///
    /// # Errors
    /// [`Error::Config`] where the program was built without it, or there is none.
    pub(crate) fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda if cfg!(feature = "cuda") => Device::new_cuda(0).map_err(|e| {
                Error::Config(format!("device is «cuda», and there is none to use: {e}"))
            }),
            Self::Cuda => {
                let problem = "device is «cuda», and this program was built without it: build it with \
                               `cargo build --release --workspace --features cuda`, or take the cpu";
                Err(Error::Config(problem.into()))
            }
        }
    }
}

/// How the learning rate goes on over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// It stays, as published.
    #[default]
    Constant,
    /// It falls to 0 in a line.
    Linear,
    /// It falls to 0 along half a cosine.
    Cosine,
}

impl Schedule {
    /// The share of the learning rate at a point of the run, in [0, 1].
    pub(crate) fn share(self, done: f64) -> f64 {
        match self {
            Self::Constant => 1.,
            Self::Linear => 1. - done,
            Self::Cosine => 0.5 * (1. + (std::f64::consts::PI * done).cos()),
        }
    }
}

/// The law of the generator's noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LatentDistribution {
    /// N(0, 1), as the paper says.
    #[default]
    Gaussian,
    /// U(0, 1), as the original code draws.
    Uniform,
}

impl TrainConfig {
    /// The patients that training sees.
    pub fn training_subset(&self) -> Subset {
        if self.held_out > 0. { Subset::Training(self.split()) } else { Subset::Whole }
    }

    /// The patients that it does not see, where some are held out.
    pub fn held_out_subset(&self) -> Option<Subset> {
        (self.held_out > 0.).then(|| Subset::HeldOut(self.split()))
    }

    fn split(&self) -> Split {
        Split { share: self.held_out, seed: self.seed }
    }

    /// Refuses settings that cannot work.
    ///
    /// # Errors
    /// [`Error::Config`] that names the first such setting.
    pub fn check(&self) -> Result<()> {
        let positive = [
            ("batch_size", self.batch_size),
            ("hidden", self.hidden),
            ("latent_features", self.latent_features),
            ("critic_steps", self.critic_steps),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(Error::Config(format!("{name} is 0, it must be at least 1")));
        }
        if self.iterations == 0 || self.checkpoint_every == 0 {
            let problem = "iterations and checkpoint_every must be at least 1";
            return Err(Error::Config(problem.into()));
        }
        if self.tf32 && self.device == DeviceKind::Cpu {
            let problem = "tf32 is true, and the cpu has none; leave it, or set device = \"cuda\"";
            return Err(Error::Config(problem.into()));
        }
        if self.windows.contains(&0) || !self.windows.is_sorted() {
            let problem = "windows must be lengths from 1 on, shortest first";
            return Err(Error::Config(problem.into()));
        }
        let shares = [
            ("beta1", self.beta1),
            ("beta2", self.beta2),
            ("weight_averaging", self.weight_averaging),
            ("held_out", self.held_out),
        ];
        if let Some((name, value)) = shares.iter().find(|(_, value)| !(0. ..1.).contains(value)) {
            return Err(Error::Config(format!("{name} is {value}, it must be in [0, 1)")));
        }
        if !(self.clip_norm.is_finite() && self.clip_norm >= 0.) {
            let problem = format!("clip_norm is {}, it must be 0 or more", self.clip_norm);
            return Err(Error::Config(problem));
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.) {
            let problem = format!("learning_rate is {}, it must be above 0", self.learning_rate);
            return Err(Error::Config(problem));
        }
        Ok(())
    }
}
