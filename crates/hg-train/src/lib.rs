//! Training the Health Gym WGAN-GP: losses, optimiser, batches, checkpoints
//! and the run folder.

mod adam;
mod batches;
mod checkpoint;
mod config;
mod error;
mod in_place;
mod random;
mod record;
mod run;
mod steps;
mod synthesis;
mod tensorboard;
mod trainer;
mod validation;

pub use adam::{Adam, AdamConfig, StepScale};
pub use batches::{Batch, Batches};
pub use config::{CheckpointSelection, DeviceKind, LatentDistribution, Schedule, TrainConfig};
pub use error::{Error, Result};
pub use random::{Purpose, stream};
pub use run::{Event, Outcome, Program, Run, RunManifest, generate, sizes_of, vectors};
pub use steps::by_name;
pub use trainer::{StepMetrics, StepTimes, Trainer, layout_of};
pub use validation::ValidationScore;
