//! What can go wrong in training.

use std::path::PathBuf;

/// What can go wrong in training.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The table or schema.
    #[error(transparent)]
    Data(#[from] hg_data::Error),
    /// A network.
    #[error(transparent)]
    Model(#[from] hg_models::Error),
    /// The recurrent layers.
    #[error(transparent)]
    Lstm(#[from] hg_lstm::Error),
    /// candle itself.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A run folder that cannot be used.
    #[error("{}: {problem}", path.display())]
    Run {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and the mend.
        problem: String,
    },
    /// A setting out of its range.
    #[error("{0}")]
    Config(String),
    /// A loss that is no longer a finite number.
    #[error(
        "training diverged at iteration {iteration}: {what} is not finite; lower the learning rate"
    )]
    Diverged {
        /// The iteration, from 0.
        iteration: u64,
        /// Which loss.
        what: &'static str,
    },
}

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;
