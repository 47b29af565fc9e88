//! The generator and the critic of Health Gym (Kuo et al., Scientific Data 9:693, 2022), with
//! weights in the names of their PyTorch code.
//!
//! This crate knows a row only as its [`RowLayout`]: so many numeric features,
//! then so many one-hot blocks. It knows nothing about files or columns.

mod cpu;
mod critic;
mod dense;
mod generator;
mod layout;
mod losses;
mod parameters;
mod ranks;
mod units;

pub use cpu::{Alignment, CriticMeasures, Engine, GeneratorMeasures, Gradients, Guard, RealBatch};
pub use critic::{COMPARED, Critic, CriticConfig, CriticOutput};
pub use generator::{Generator, GeneratorConfig};
pub use layout::{Carried, RowLayout};
pub use losses::{
    CriticLoss, correlation, correlation_loss, critic_loss, generator_loss, interpolate,
};
pub use parameters::{Parameters, read_weights};
pub use ranks::{Communicator, Ranks};
pub use units::{SharedBatch, Units};

use std::path::PathBuf;

/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of the recurrent layers.
    #[error(transparent)]
    Lstm(#[from] hg_lstm::Error),
    /// An error of candle itself.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A file from which no weights can be read.
    #[error(
        "{} is no file of weights that we read: {source}\n\
         hint: give a safetensors file, or a state dict that `torch.save` wrote (.pt, .pth, .bin)",
        path.display()
    )]
    WeightsFile {
        /// The file.
        path: PathBuf,
        /// What candle said of it.
        #[source]
        source: candle_core::Error,
    },
    /// Ranks that train together no longer hear each other, or do not belong together.
    #[error("{0}")]
    Ranks(String),
    /// Weights that do not belong to this model.
    #[error("weights do not fit the model: {0}")]
    Weights(String),
}

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
