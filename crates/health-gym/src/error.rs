//! What can go wrong.

/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A table or a schema.
    #[error(transparent)]
    Data(#[from] hg_data::Error),
    /// Training, or a run folder.
    #[error(transparent)]
    Train(#[from] hg_train::Error),
    /// An evaluation.
    #[error(transparent)]
    Evaluate(#[from] hg_eval::Error),
    /// A file that cannot be written.
    #[error("{}: cannot write: {source}", path.display())]
    Write {
        /// The file or folder.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A run whose cohort may not be released.
    #[error("{}: {problem}", path.display())]
    Release {
        /// The file or folder.
        path: std::path::PathBuf,
        /// What is wrong and the hint.
        problem: String,
    },
    /// A sweep's file or folder that cannot be used.
    #[error("{}: {problem}", path.display())]
    Sweep {
        /// The file or folder.
        path: std::path::PathBuf,
        /// What is wrong and the hint.
        problem: String,
    },
    /// The report's figures cannot be written as JSON.
    #[error("cannot write the figures as JSON: {source}")]
    Json {
        /// Why.
        #[from]
        source: serde_json::Error,
    },
    /// Training was cancelled by its token.
    #[error("training was cancelled after iteration {iteration}")]
    Cancelled {
        /// Iterations that were done.
        iteration: u64,
    },
}

impl Error {
    /// Whether the input is at fault (a table, a schema, a setting, a run folder), and not the
    /// program, the machine or the training.
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Data(_) | Self::Evaluate(hg_eval::Error::Data(_)) => true,
            Self::Release { .. } | Self::Sweep { .. } => true,
            Self::Train(error) => error.is_bad_input(),
            _ => false,
        }
    }
}

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;
