//! Is a synthetic cohort real enough, is it private, and is it useful: measures, attacks,
//! policies, and the report that shows them.
//!
//! This crate knows nothing about how a cohort was made.

mod answers;
mod auc;
mod evaluation;
mod privacy;
mod realism;
mod report;
mod statistics;
mod utility;

pub use answers::Answer;
pub use auc::{Auc, auc};
pub use evaluation::{Cohort, Evaluation, PatientCounts, STAGES, Subject};
pub use privacy::{
    IDENTIFICATION_LIMIT, Identification, Inference, Nearness, membership, nearness,
};
pub use realism::{
    ColumnComparison, Comparison, Distances, Dynamics, Hierarchy, LEVEL, Quick, QuickScore, Tested,
    correlation_ratio, cramer, discriminate, hierarchy, kendall, kolmogorov_smirnov_test,
    snedecor_test, student_test, three_sigma,
};
pub use report::{Curve, Report};
pub use statistics::{jensen_shannon, kolmogorov_smirnov, pearson, total_variation, wasserstein};
pub use utility::{ActionShare, Choice, Policies, PolicyValue, Predictive, Simulator, predictive};

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
