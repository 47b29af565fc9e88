//! What can go wrong in training.

use std::path::PathBuf;

/// What can go wrong in training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    /// Trees that choose among patients.
    #[error(transparent)]
    Judge(#[from] hg_judge::Error),
    /// candle itself.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A run folder that cannot be used.
    #[error("{}: {problem}", path.display())]
    Run {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and the hint.
        problem: String,
    },
    /// A file that cannot be written: the disk is full, say.
    #[error("{}: cannot write {what}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What was to be written there.
        what: &'static str,
        /// Why it cannot be.
        #[source]
        source: std::io::Error,
    },
    /// A setting out of its range.
    #[error("{0}")]
    Config(String),
    /// Conditions that hardly any synthetic patient meets.
    #[error(
        "of {made} synthetic patients {found} meet {given}\nhint: ask for fewer patients, or for \
         less; of what is rare among the patients that it was trained on, a model knows little"
    )]
    Rare {
        /// The conditions.
        given: String,
        /// How many meet them.
        found: usize,
        /// Of how many.
        made: usize,
    },
    /// Training that no longer leads anywhere.
    #[error("training diverged at iteration {iteration}: {problem}")]
    Diverged {
        /// The iteration, from 1.
        iteration: u64,
        /// What went wrong and the hint.
        problem: String,
    },
}

impl Error {
    /// Whether the input is at fault (a table, a schema, a setting, weights, a run folder), and not the
    /// program, the machine or the training.
    pub fn is_bad_input(&self) -> bool {
        use hg_models::Error as Model;
        match self {
            Self::Data(_) | Self::Run { .. } | Self::Config(_) | Self::Rare { .. } => true,
            Self::Model(error) => matches!(error, Model::WeightsFile { .. } | Model::Weights(_)),
            _ => false,
        }
    }
}

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;
