//! Errors that say what is wrong, where, and what to do.

use std::path::{Path, PathBuf};

/// What can go wrong with a schema or a table.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The schema is wrong.
    #[error("{}{}: {problem}", path.display(), line.map(|n| format!(", line {n}")).unwrap_or_default())]
    Schema {
        /// The schema's file.
        path: PathBuf,
        /// Line in the file, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong and the mend.
        problem: String,
    },
    /// A file cannot be read or written, or is not what it should be.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and the mend.
        problem: String,
    },
    /// A column does not fit the schema.
    #[error("{}, column «{column}»: {problem}", path.display())]
    Column {
        /// The table's file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What is wrong and the mend.
        problem: String,
    },
    /// A cell does not fit the schema.
    #[error("{}, row {row}, column «{column}»: {problem}", path.display())]
    Cell {
        /// The table's file.
        path: PathBuf,
        /// Data row, from 1; the header is not counted.
        row: usize,
        /// The column.
        column: String,
        /// What is wrong and the mend.
        problem: String,
    },
    /// A patient does not fit the schema.
    #[error("{}, patient «{patient}»: {problem}", path.display())]
    Patient {
        /// The table's file.
        path: PathBuf,
        /// The patient.
        patient: String,
        /// What is wrong and the mend.
        problem: String,
    },
    /// Several things are wrong.
    #[error("{}{}", lines(problems), and_more(*more))]
    Many {
        /// The first of them.
        problems: Vec<Error>,
        /// How many more there are.
        more: usize,
    },
    /// Encoded values of another shape than the encoder's.
    #[error("encoded values: expected {expected}, got {got}")]
    Shape {
        /// The shape in words.
        expected: String,
        /// The number of values that came.
        got: usize,
    },
    /// An error of polars while computing on a table that was already checked.
    #[error(transparent)]
    Polars(#[from] polars_core::error::PolarsError),
}

/// Problems that are shown; the rest is counted.
pub(crate) const SHOWN: usize = 20;

fn lines(problems: &[Error]) -> String {
    problems.iter().map(Error::to_string).collect::<Vec<_>>().join("\n")
}

fn and_more(more: usize) -> String {
    if more == 0 { String::new() } else { format!("\n… and {more} more") }
}

impl Error {
    /// All of `problems` in one; nothing where there are none.
    pub(crate) fn all(mut problems: Vec<Self>) -> Result<()> {
        let more = problems.len().saturating_sub(SHOWN);
        problems.truncate(SHOWN);
        Self::of(problems, more)
    }

    /// These problems, and so many more, in one; nothing where there are none.
    pub(crate) fn of(mut problems: Vec<Self>, more: usize) -> Result<()> {
        match problems.len() {
            0 => Ok(()),
            1 => Err(problems.remove(0)),
            _ => Err(Self::Many { problems, more }),
        }
    }

    pub(crate) fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), problem: problem.into() }
    }

    pub(crate) fn column(path: &Path, column: &str, problem: impl Into<String>) -> Self {
        Self::Column { path: path.to_owned(), column: column.to_owned(), problem: problem.into() }
    }

    pub(crate) fn cell(path: &Path, row: usize, column: &str, problem: impl Into<String>) -> Self {
        let (path, column) = (path.to_owned(), column.to_owned());
        Self::Cell { path, row, column, problem: problem.into() }
    }
}

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;
