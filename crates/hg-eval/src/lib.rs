//! How like the real cohort a synthetic one is: per-column distances,
//! correlations, pictures of both, and how near its records come to real ones.
//!
//! This crate knows nothing about how a cohort was made.

mod comparison;
mod disclosure;
mod pictures;
mod statistics;

pub use comparison::{ColumnComparison, Comparison, Distances};
pub use disclosure::{Nearness, nearness};
pub use pictures::{draw_correlations, draw_marginals};
pub use statistics::{kolmogorov_smirnov, pearson, total_variation};

/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A table or file.
    #[error(transparent)]
    Data(#[from] hg_data::Error),
    /// A picture that cannot be drawn.
    #[error("cannot draw the picture: {0}")]
    Picture(String),
}

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;
