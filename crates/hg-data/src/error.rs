//! Errors that say what is wrong, where, and what to do.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// What can go wrong with a schema or a table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The schema is wrong.
    #[error("{schema}{}: {problem}", line.map(|n| format!(", line {n}")).unwrap_or_default())]
    Schema {
        /// The schema's file, or its name where it comes from none.
        schema: String,
        /// Line in the file, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong, and a line `hint:` with the way out.
        problem: String,
    },
    /// A file cannot be read or written, or is not what it should be.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and a line `hint:` with the way out.
        problem: String,
    },
    /// A table as a whole does not fit the schema.
    #[error("{table}: {problem}")]
    Table {
        /// The table's name: its file, where it was read from one.
        table: String,
        /// What is wrong, and a line `hint:` with the way out.
        problem: String,
    },
    /// A column does not fit the schema.
    #[error("{table}, column `{column}`: {problem}")]
    Column {
        /// The table's name: its file, where it was read from one.
        table: String,
        /// The column.
        column: String,
        /// What is wrong, and a line `hint:` with the way out.
        problem: String,
    },
    /// A cell does not fit the schema.
    #[error("{table}, row {row}, column `{column}`: {problem}")]
    Cell {
        /// The table's name: its file, where it was read from one.
        table: String,
        /// Data row, from 1; the header is not counted.
        row: usize,
        /// The column.
        column: String,
        /// What is wrong, and a line `hint:` with the way out.
        problem: String,
    },
    /// A condition on synthetic patients that is none.
    #[error("condition `{condition}`: {problem}")]
    Given {
        /// The condition, as it was written.
        condition: String,
        /// What is wrong, and a line `hint:` with the way out.
        problem: String,
    },
    /// A patient does not fit the schema.
    #[error("{table}, patient `{patient}`: {problem}")]
    Patient {
        /// The table's name: its file, where it was read from one.
        table: String,
        /// The patient.
        patient: String,
        /// What is wrong, and a line `hint:` with the way out.
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
    /// An encoder that was read does not fit together.
    #[error("{}{problem}", column.as_ref().map(|c| format!("column `{c}`: ")).unwrap_or_default())]
    Encoder {
        /// The column, where it is one.
        column: Option<String>,
        /// What is wrong.
        problem: String,
    },
    /// A text that is no JSON, or JSON of something else.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
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

    pub(crate) fn table(table: impl Display, problem: impl Into<String>) -> Self {
        Self::Table { table: table.to_string(), problem: problem.into() }
    }

    pub(crate) fn column(table: impl Display, column: &str, problem: impl Into<String>) -> Self {
        let (table, column) = (table.to_string(), column.to_owned());
        Self::Column { table, column, problem: problem.into() }
    }

    pub(crate) fn cell(
        table: impl Display,
        row: usize,
        column: &str,
        problem: impl Into<String>,
    ) -> Self {
        let (table, column) = (table.to_string(), column.to_owned());
        Self::Cell { table, row, column, problem: problem.into() }
    }

    pub(crate) fn patient(table: impl Display, patient: &str, problem: impl Into<String>) -> Self {
        let (table, patient) = (table.to_string(), patient.to_owned());
        Self::Patient { table, patient, problem: problem.into() }
    }
}

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;
