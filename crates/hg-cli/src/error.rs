//! What ends the program, and with which exit code.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    HealthGym(#[from] health_gym::Error),
    /// The terminal, a signal handler, arguments that belong together.
    #[error("{0}")]
    Other(String),
    /// Ctrl-C: the checkpoint is written.
    #[error(
        "stopped after iteration {iteration}; go on with: hg train --resume {}", run.display()
    )]
    Interrupted { run: PathBuf, iteration: u64 },
    /// What rank 0 says, and another rank need not repeat.
    #[error("rank 0 says why")]
    OnRank0,
    /// Ctrl-C in a sweep.
    #[error("stopped; the same command goes on")]
    SweepStopped,
    /// Runs of a sweep that failed, each with its message.
    #[error("of {of} runs {} failed: {}", failed.len(), failed.join(", "))]
    RunsFailed { failed: Vec<String>, of: usize },
    /// Ctrl-C while an evaluation trains shadow runs.
    #[error("stopped; the run and its report are as they were")]
    Stopped,
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::HealthGym(error) if error.is_bad_input() => 2,
            Self::OnRank0 => 2,
            Self::Interrupted { .. } | Self::SweepStopped | Self::Stopped => 130,
            Self::HealthGym(_) | Self::Other(_) | Self::RunsFailed { .. } => 1,
        }
    }

    /// Whether all ranks of a job come to it, so that rank 0 says it for all.
    pub(crate) fn is_of_all_ranks(&self) -> bool {
        use health_gym::training::Error as Training;
        match self {
            Self::OnRank0 | Self::Interrupted { .. } | Self::Other(_) => true,
            Self::HealthGym(health_gym::Error::Train(error)) => {
                matches!(error, Training::Config(_) | Training::Diverged { .. })
            }
            _ => false,
        }
    }
}

impl From<health_gym::training::Error> for Error {
    fn from(error: health_gym::training::Error) -> Self {
        Self::HealthGym(error.into())
    }
}

impl From<health_gym::data::Error> for Error {
    fn from(error: health_gym::data::Error) -> Self {
        Self::HealthGym(error.into())
    }
}

pub(crate) type Result<T> = std::result::Result<T, Error>;
