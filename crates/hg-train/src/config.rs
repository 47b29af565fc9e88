//! The settings of a run.

use crate::{Error, Result};
use candle_core::Device;
use hg_data::{Split, Subset};
use hg_lstm::ReverseAlignment;
use serde::{Deserialize, Serialize};

/// All settings that shape a training run; the defaults are those of `docs/method.md`,
/// "Training".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Generator steps; each follows `optimiser.critic_steps` critic steps.
    pub iterations: u64,
    /// Drives every random draw.
    pub seed: u64,
    /// Where the networks are trained.
    pub device: DeviceKind,
    /// Whether a GPU multiplies in TF32 (10 bits of mantissa, sums in f32): faster, less exact.
    pub tf32: bool,
    /// Whether the processor rounds the factors of recurrent products to bf16 (8 bits of mantissa, sums in
    /// f32): faster where it has AVX-512 BF16, less exact, the same bytes with and without.
    pub bf16: bool,
    /// The networks.
    pub model: ModelConfig,
    /// The losses and the steps against their gradients.
    pub optimiser: OptimiserConfig,
    /// How patients are put into batches.
    pub batching: BatchingConfig,
    /// How a run is judged while it trains.
    pub validation: ValidationConfig,
    /// What is kept, and gone back to.
    pub checkpoints: CheckpointConfig,
    /// The guarantee that is kept.
    pub privacy: PrivacyConfig,
}

/// The networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// `H`: hidden features of both networks.
    pub hidden: usize,
    /// `Z`: features of the noise.
    pub latent_features: usize,
    /// The share of them that is drawn once for a patient and repeated at every step; the others
    /// are drawn for each step.
    pub patient_latent: f64,
    /// Whether the critic is shown, beside each row, its change from the one before and its
    /// distance from the patient's mean.
    pub critic_compares: bool,
    /// Whether the generator repeats the row before where its row says that nothing was measured: by a
    /// rule (`x carried when flag = level`), and where gaps are filled from the step before.
    pub generator_carries: bool,
    /// The distribution of the noise.
    pub latent: LatentDistribution,
    /// How the generator lines up its reverse outputs.
    pub reverse_alignment: ReverseAlignment,
    /// Whether each column of a synthetic cohort is mapped to the distribution of the column that
    /// was trained on, in the order in which the generator made its values.
    pub calibration: bool,
    /// Whether a synthetic patient is one of several that the generator makes, drawn by the odds, by
    /// boosted trees, that each is real.
    pub resampling: bool,
}

/// The losses and the steps against their gradients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimiserConfig {
    /// Critic steps before each generator step, all on one real batch.
    pub critic_steps: usize,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// How the learning rate changes over the iterations.
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
    /// Decay of the running mean of the generator's weights that sampling uses.
    pub weight_averaging: f64,
}

/// How patients are put into batches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchingConfig {
    /// Patients in a batch.
    pub batch_size: usize,
    /// Lengths of the random windows that batches are cut to.
    pub windows: Windows,
    /// Epochs in which batches are visited shortest first; afterwards their order is random.
    pub curriculum_epochs: u64,
}

/// Lengths of the random windows that batches are cut to, shortest first. An epoch goes through them
/// in order. A critic that sees windows learns a small cohort by heart much later than one that sees
/// the same whole sequences again and again, and short ones cost less.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Windows {
    /// By the cohort.
    Rule(WindowRule),
    /// These; none for whole sequences.
    Lengths(Vec<usize>),
}

/// Windows that follow from a cohort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WindowRule {
    /// 2, 4, 8 steps and so on, and the longest sequence's.
    Doubling,
}

impl Windows {
    /// For a cohort whose longest sequence has so many steps.
    pub fn lengths(&self, longest: usize) -> Vec<usize> {
        match self {
            Self::Lengths(lengths) => lengths.clone(),
            Self::Rule(WindowRule::Doubling) => {
                let doubling = std::iter::successors(Some(2usize), |n| n.checked_mul(2));
                doubling.take_while(|&n| n < longest).chain([longest]).collect()
            }
        }
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self::Rule(WindowRule::Doubling)
    }
}

impl From<Vec<usize>> for Windows {
    fn from(lengths: Vec<usize>) -> Self {
        Self::Lengths(lengths)
    }
}

/// How a run is judged while it trains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValidationConfig {
    /// The share of patients that training never sees; 0 for none.
    pub held_out: f64,
    /// Iterations between validations: a synthetic cohort is compared with the patients that
    /// are held out, or with those trained on where none are. 0 for none.
    pub every: u64,
    /// Validations without a better score after which training stops; 0 for never.
    pub patience: u64,
    /// Which weights sampling takes.
    pub select: CheckpointSelection,
}

/// What is kept, and gone back to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Iterations between checkpoints.
    pub every: u64,
    /// How often a run that diverges goes back to its newest checkpoint and on with half the
    /// learning rate.
    pub restarts: u64,
}

/// A privacy guarantee for every patient's whole sequence (docs/method.md, "A privacy guarantee").
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrivacyConfig {
    /// ε of the whole run; infinite for no guarantee.
    pub epsilon: f64,
    /// δ; 0 for 1 / (10 · patients).
    pub delta: f64,
    /// C: the greatest norm that the gradient of one patient keeps.
    pub clip_norm: f64,
    /// The share of ε that is spent before training, on how columns and lengths are distributed.
    pub release_share: f64,
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
            bf16: false,
            model: ModelConfig::default(),
            optimiser: OptimiserConfig::default(),
            batching: BatchingConfig::default(),
            validation: ValidationConfig::default(),
            checkpoints: CheckpointConfig::default(),
            privacy: PrivacyConfig::default(),
        }
    }
}

impl Default for PrivacyConfig {
    fn default() -> Self {
        Self { epsilon: f64::INFINITY, delta: 0., clip_norm: 1., release_share: 0.1 }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            hidden: 128,
            latent_features: 128,
            patient_latent: 0.75,
            critic_compares: true,
            generator_carries: true,
            latent: LatentDistribution::Gaussian,
            reverse_alignment: ReverseAlignment::Flipped,
            calibration: true,
            resampling: true,
        }
    }
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Self {
            critic_steps: 2,
            learning_rate: 1e-3,
            schedule: Schedule::Constant,
            clip_norm: 0.,
            beta1: 0.9,
            beta2: 0.99,
            penalty_weight: 10.,
            correlation_weight: 10.,
            correlation_limits: false,
            weight_averaging: 0.999,
        }
    }
}

impl Default for BatchingConfig {
    fn default() -> Self {
        Self { batch_size: 32, windows: Windows::default(), curriculum_epochs: 5 }
    }
}

impl Default for ValidationConfig {
    fn default() -> Self {
        Self { held_out: 0., every: 100, patience: 0, select: CheckpointSelection::Best }
    }
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every: 100, restarts: 0 }
    }
}

/// Units of a layer, at most: from here on the weights of one take gigabytes.
const MOST_UNITS: usize = 8192;

/// The groups of settings, each a table of its own in TOML.
const GROUPS: [&str; 6] =
    ["model", "optimiser", "batching", "validation", "checkpoints", "privacy"];

/// Names that settings had when they stood in no group, where those differ from the last part
/// of today's.
const RENAMED: [(&str, &str); 2] =
    [("validate_every", "validation.every"), ("checkpoint_every", "checkpoints.every")];

impl TrainConfig {
    /// The full names of all settings, as `optimiser.learning_rate`, in order.
    pub fn names() -> Vec<String> {
        let defaults = toml::Table::try_from(Self::default()).unwrap_or_default();
        let mut names = Vec::new();
        for (key, value) in &defaults {
            match value.as_table() {
                Some(group) => names.extend(group.keys().map(|inner| format!("{key}.{inner}"))),
                None => names.push(key.clone()),
            }
        }
        names
    }

    /// The full name of a setting of version 0.1, which had no groups; `None` where it is not one.
    pub fn name_of_flat(key: &str) -> Option<String> {
        if let Some((_, name)) = RENAMED.iter().find(|(flat, _)| *flat == key) {
            return Some((*name).to_owned());
        }
        let inner = |name: &String| name.split_once('.').is_some_and(|(_, inner)| inner == key);
        // `every` alone was never a name.
        Self::names().into_iter().find(|name| inner(name) && key != "every")
    }

    /// Settings from TOML; the flat names of version 0.1 are accepted, with a warning. `origin`
    /// is for messages.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no such setting, or a value is of another type.
    pub fn from_table(table: toml::Table, origin: &str) -> Result<Self> {
        let table = grouped(table, origin);
        table
            .try_into()
            .map_err(|e: toml::de::Error| Error::Config(format!("{origin}: {}", e.message())))
    }
}

/// The table with settings under flat names put into their groups.
pub(crate) fn grouped(table: toml::Table, origin: &str) -> toml::Table {
    let mut grouped = toml::Table::new();
    let mut put = |name: &str, value: toml::Value| match name.split_once('.') {
        Some((group, key)) => {
            let group = grouped.entry(group).or_insert_with(|| toml::Table::new().into());
            if let Some(group) = group.as_table_mut() {
                group.insert(key.to_owned(), value);
            }
        }
        None => {
            grouped.insert(name.to_owned(), value);
        }
    };
    for (key, value) in table {
        match (value, TrainConfig::name_of_flat(&key)) {
            (toml::Value::Table(inner), _) if GROUPS.contains(&key.as_str()) => {
                inner.into_iter().for_each(|(name, value)| put(&format!("{key}.{name}"), value));
            }
            (value, Some(name)) => {
                tracing::warn!("{origin}: `{key}` is now `{name}`; the old name still works");
                put(&name, value);
            }
            (value, None) => put(&key, value),
        }
    }
    grouped
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
    /// Refuses a device that is not there.
    ///
    /// # Errors
    /// [`Error::Config`] where the program was built without it, or there is none.
    pub fn check(self) -> Result<()> {
        self.open().map(drop)
    }

    /// What computes: the GPU by its maker's name, of which others have other last bits.
    ///
    /// # Errors
    /// As [`DeviceKind::check`].
    pub fn name(self) -> Result<String> {
        let name = match self.open()? {
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => {
                let name = device.cuda_stream().context().name();
                name.map_err(candle_core::Error::wrap)?
            }
            _ => "the CPU".into(),
        };
        Ok(name)
    }

    /// The device.
    ///
    /// # Errors
    /// [`Error::Config`] where the program was built without it, or there is none.
    pub(crate) fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda if cfg!(feature = "cuda") => Device::new_cuda(0).map_err(|e| {
                Error::Config(format!("`device` is `cuda`, and there is none to use: {e}\nhint: set `device = \"cpu\"`"))
            }),
            Self::Cuda => {
                let problem = "`device` is `cuda`, and this program was built without it\nhint: build it \
                               with `cargo build --release --workspace --features cuda`, or set \
                               `device = \"cpu\"`";
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

/// The distribution of the generator's noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LatentDistribution {
    /// N(0, 1), as the paper says.
    #[default]
    Gaussian,
    /// U(0, 1), as the original code draws.
    Uniform,
}

impl ModelConfig {
    /// How many features of the noise are the patient's own.
    pub(crate) fn patient_features(&self) -> usize {
        (self.patient_latent * self.latent_features as f64).round() as usize
    }
}

impl TrainConfig {
    /// The patients that training sees.
    pub fn training_subset(&self) -> Subset {
        match self.validation.held_out > 0. {
            true => Subset::Training(self.split()),
            false => Subset::Whole,
        }
    }

    /// The patients that it does not see, where some are held out.
    pub fn held_out_subset(&self) -> Option<Subset> {
        (self.validation.held_out > 0.).then(|| Subset::HeldOut(self.split()))
    }

    fn split(&self) -> Split {
        Split { share: self.validation.held_out, seed: self.seed }
    }

    fn refuse_arithmetic_of_another_device(&self) -> Result<()> {
        if self.tf32 && self.device == DeviceKind::Cpu {
            let problem = "`tf32` is true, and the cpu has none\nhint: leave it out, or set \
                           `device = \"cuda\"`";
            return Err(Error::Config(problem.into()));
        }
        if self.bf16 && self.device != DeviceKind::Cpu {
            let problem = "`bf16` is true, and that is for the cpu\nhint: leave it out, or set `tf32`, \
                           which is a GPU's";
            return Err(Error::Config(problem.into()));
        }
        Ok(())
    }

    /// Refuses settings that cannot work.
    ///
    /// # Errors
    /// [`Error::Config`] that names the first such setting.
    pub fn check(&self) -> Result<()> {
        let Self { model, optimiser, batching, validation, checkpoints, .. } = self;
        let positive = [
            ("iterations", self.iterations),
            ("model.hidden", model.hidden as u64),
            ("model.latent_features", model.latent_features as u64),
            ("optimiser.critic_steps", optimiser.critic_steps as u64),
            ("batching.batch_size", batching.batch_size as u64),
            ("checkpoints.every", checkpoints.every),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(Error::Config(format!("`{name}` is 0\nhint: it must be at least 1")));
        }
        let sizes =
            [("model.hidden", model.hidden), ("model.latent_features", model.latent_features)];
        if let Some((name, value)) = sizes.iter().find(|(_, value)| *value > MOST_UNITS) {
            let hint = format!("it must be at most {MOST_UNITS}");
            return Err(Error::Config(format!("`{name}` is {value}\nhint: {hint}")));
        }
        self.refuse_arithmetic_of_another_device()?;
        // Those of a rule are sound whatever the cohort.
        let windows = batching.windows.lengths(1);
        if windows.contains(&0) || !windows.is_sorted() {
            let problem = "`batching.windows` cannot be used\nhint: give lengths from 1 on, \
                           shortest first, or `doubling`";
            return Err(Error::Config(problem.into()));
        }
        let shares = [
            ("optimiser.beta1", optimiser.beta1),
            ("optimiser.beta2", optimiser.beta2),
            ("optimiser.weight_averaging", optimiser.weight_averaging),
            ("validation.held_out", validation.held_out),
        ];

        let refuse = |name: &str, value: f64, range: &str| {
            Err(Error::Config(format!("`{name}` is {value}\nhint: it must be {range}")))
        };
        if let Some((name, value)) = shares.iter().find(|(_, value)| !(0. ..1.).contains(value)) {
            return refuse(name, *value, "in [0, 1)");
        }
        if !(0. ..=1.).contains(&model.patient_latent) {
            return refuse("model.patient_latent", model.patient_latent, "in [0, 1]");
        }
        let (clip, rate) = (optimiser.clip_norm, optimiser.learning_rate);
        if !(clip.is_finite() && clip >= 0.) {
            return refuse("optimiser.clip_norm", clip, "0 or more");
        }
        if !(rate.is_finite() && rate > 0.) {
            return refuse("optimiser.learning_rate", rate, "above 0");
        }
        let weights = [
            ("optimiser.penalty_weight", optimiser.penalty_weight),
            ("optimiser.correlation_weight", optimiser.correlation_weight),
        ];
        match weights.iter().find(|(_, weight)| !(weight.is_finite() && *weight >= 0.)) {
            Some((name, weight)) => refuse(name, *weight, "0 or more"),
            None => self.refuse_unprotected(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_settings_of_version_0_1_find_their_groups() -> Result<()> {
        let flat = "iterations = 7\nbatch_size = 8\nvalidate_every = 3\ncheckpoint_every = 4\n\
                    held_out = 0.5\nlearning_rate = 0.5\nhidden = 16\n[checkpoints]\nrestarts = 2\n";
        let table = flat.parse().expect("TOML");
        let config = TrainConfig::from_table(table, "old.toml")?;
        let mut expected = TrainConfig { iterations: 7, ..Default::default() };
        expected.model.hidden = 16;
        expected.optimiser.learning_rate = 0.5;
        expected.batching.batch_size = 8;
        expected.validation.every = 3;
        expected.validation.held_out = 0.5;
        expected.checkpoints = CheckpointConfig { every: 4, restarts: 2 };
        assert_eq!(config, expected);
        for key in ["every", "hiden", "model"] {
            assert_eq!(TrainConfig::name_of_flat(key), None, "{key}");
        }
        Ok(())
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let problem = |change: fn(&mut TrainConfig)| {
            let mut config = TrainConfig::default();
            change(&mut config);
            config.check().expect_err("refused").to_string()
        };
        assert!(problem(|c| c.model.hidden = 0).starts_with("`model.hidden` is 0"));
        assert!(problem(|c| c.optimiser.beta1 = 1.).starts_with("`optimiser.beta1` is 1"));
        assert!(problem(|c| c.optimiser.clip_norm = f64::NAN).contains("clip_norm"));
        assert!(problem(|c| c.optimiser.learning_rate = 0.).contains("learning_rate"));
        assert!(problem(|c| c.optimiser.penalty_weight = -1.).contains("penalty_weight"));
        assert!(problem(|c| c.batching.windows = vec![3, 2].into()).contains("windows"));
        assert!(problem(|c| c.validation.held_out = 1.).contains("held_out"));
        for share in [-0.1, 1.1, f64::NAN] {
            let config = TrainConfig {
                model: ModelConfig { patient_latent: share, ..Default::default() },
                ..Default::default()
            };
            let problem = config.check().expect_err("refused").to_string();
            assert!(
                problem.starts_with(&format!("`model.patient_latent` is {share}")),
                "{problem}"
            );
        }
        assert!(problem(|c| c.tf32 = true).contains("tf32"));
        assert!(problem(|c| (c.bf16, c.device) = (true, DeviceKind::Cuda)).contains("bf16"));
        TrainConfig::default().check().expect("the defaults work");
    }
}
