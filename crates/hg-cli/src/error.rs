//! What ends the program, and with which exit code.

use std::path::PathBuf;

#[derive(Debug)]
pub(crate) enum Error {
    Train(hg_train::Error),
    Eval(hg_eval::Error),
    /// The report cannot be written as JSON, or a signal handler not be set.
    Other(String),
    /// Ctrl-C: the checkpoint is written.
    Interrupted {
        run: PathBuf,
        iteration: u64,
    },
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Train(
                hg_train::Error::Data(_) | hg_train::Error::Run { .. } | hg_train::Error::Config(_),
            )
            | Self::Eval(hg_eval::Error::Data(_)) => 2,
            Self::Interrupted { .. } => 130,
            _ => 1,
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Train(error) => error.fmt(f),
            Self::Eval(error) => error.fmt(f),
            Self::Other(message) => message.fmt(f),
            Self::Interrupted { run, iteration } => {
                let run = run.display();
                write!(
                    f,
                    "stopped after iteration {iteration}; go on with: hg train --resume {run}"
                )
            }
        }
    }
}

impl From<hg_train::Error> for Error {
    fn from(error: hg_train::Error) -> Self {
        Self::Train(error)
    }
}

impl From<hg_eval::Error> for Error {
    fn from(error: hg_eval::Error) -> Self {
        Self::Eval(error)
    }
}

impl From<hg_data::Error> for Error {
    fn from(error: hg_data::Error) -> Self {
        Self::Train(error.into())
    }
}

pub(crate) type Result<T> = std::result::Result<T, Error>;
