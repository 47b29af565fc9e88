//! Training the Health Gym WGAN-GP: optimiser, batches, a session with validation and
//! checkpoints, and the run folder as its store.

mod adam;
mod batches;
mod budget;
mod checkpoint;
mod conditional;
mod config;
mod error;
mod in_place;
mod metrics;
mod privacy;
mod random;
mod record;
mod resampling;
mod run;
mod session;
mod settings;
mod shard;
mod steps;
mod store;
mod synthesis;
mod tensorboard;
mod trainer;
mod validation;

pub use adam::{Adam, AdamConfig, StepScale};
pub use batches::{Batch, Batches};
pub use budget::minutes;
pub use checkpoint::Checkpoint;
pub use config::{
    BatchingConfig, CheckpointConfig, CheckpointSelection, DeviceKind, LatentDistribution,
    ModelConfig, OptimiserConfig, PrivacyConfig, Schedule, TrainConfig, ValidationConfig,
    WindowRule, Windows,
};
pub use error::{Error, Result};
pub use metrics::StepMetrics;
pub use privacy::{PrivacyLoss, PrivacyPlan, Spending, fit_private, noise_multiplier};
pub use random::{Purpose, stream};
pub use resampling::Resampling;
pub use run::{Program, Run, RunManifest, RunStore, import_weights, vectors};
pub use session::{CancelToken, Event, Outcome, Session, Validator};
pub use settings::{Preset, Settings};
pub use shard::Shard;
pub use store::{MemoryStore, Spent, Store};
pub use synthesis::Sampler;
pub use trainer::{StepTimes, Trainer, layout_of};
pub use validation::ValidationScore;

pub use hg_models::{Communicator, Ranks};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
