//! How like the real cohort a synthetic one is: per-column distances,
//! correlations, pictures of both, and how near its records come to real ones.
//!
//! This crate knows nothing about how a cohort was made.

mod association;
mod auc;
mod comparison;
mod disclosure;
mod discriminative;
mod dynamics;
mod evaluation;
mod pictures;
mod quick;
mod report;
mod statistics;
mod tests_of_equality;

pub use association::{correlation_ratio, cramer, kendall};
pub use auc::{Auc, auc};
pub use comparison::{ColumnComparison, Comparison, Distances};
pub use disclosure::{Nearness, membership, nearness};
pub use discriminative::discriminate;
pub use dynamics::Dynamics;
pub use evaluation::{Answer, Cohort, Evaluation};
pub use pictures::Curve;
pub use quick::{Quick, QuickScore};
pub use report::Report;
pub use statistics::{jensen_shannon, kolmogorov_smirnov, pearson, total_variation, wasserstein};
pub use tests_of_equality::{
    Hierarchy, LEVEL, Tested, hierarchy, kolmogorov_smirnov_test, snedecor_test, student_test,
    three_sigma,
};

/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A table or file.
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
    /// A picture that cannot be drawn.
    #[error("cannot draw the picture: {0}")]
    Picture(String),
}

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;
