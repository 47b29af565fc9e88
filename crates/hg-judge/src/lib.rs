//! What tells synthetic patients from real ones: summaries of patients, boosted trees that learn from
//! them, and importance resampling by what the trees say.
//!
//! This crate knows nothing of how patients are made, and nothing of reports.

mod balance;
mod resampler;
mod summaries;
mod trees;

pub use resampler::{CANDIDATES, Resampler};
pub use summaries::{
    Patient, mean, of_values, patients, pearson, stride, summaries, summaries_of,
    summaries_of_encoded,
};
pub use trees::{CrossFit, FOLDS, Features, Trees, cross_fit};

/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Boosted trees that do not learn.
    #[error("cannot fit trees: {source}")]
    Trees {
        /// What the library reports.
        #[from]
        source: forust_ml::errors::ForustError,
    },
}

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
