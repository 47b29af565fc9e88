//! Is a synthetic cohort real enough, is it private, and is it useful: measures, attacks,
//! policies, and the report that shows them.
//!
//! A [`Measure`] looks at a [`Subject`] and gives a [`Finding`]; [`measures`] is the registry of
//! all of them, [`evaluate`] computes them, and a [`Report`] shows what they found.
//!
//! This crate knows nothing about how a cohort was made.

mod auc;
mod evaluation;
mod finding;
mod judge;
mod measure;
mod privacy;
mod realism;
mod report;
mod statistics;
mod subject;
mod utility;

pub use auc::{Auc, auc};
pub use evaluation::{Evaluation, evaluate};
pub use finding::{Answer, Compared, Figure, FigureValue, Finding, Outcome, ReportTable, Verdict};
pub use measure::{Measure, Topic, measures, measures_markdown};
pub use privacy::{
    ClassRow, DistanceToClosestRecord, IDENTIFICATION_LIMIT, Identification, Inference, Linkage,
    Risk, ShadowMembership, SinglingOut, distance_to_closest_record, membership,
};
pub use realism::{
    ColumnComparison, ColumnMeans, ColumnSpread, Columns, CourseDifferences, Dynamics, GainShares,
    Hierarchy, JointCells, JointStatics, LEVEL, PairDifferences, Pairs, Quick, QuickScore,
    QuickTrees, RareLevel, RareLevels, SpreadDifferences, StaticsExplained, Tested, Timing,
    ToldApart, Trajectories, correlation_ratio, cramer, discriminate, hierarchy, kendall,
    kolmogorov_smirnov_test, snedecor_test, student_test, three_sigma,
};
pub use report::{Curve, Report};
pub use statistics::{jensen_shannon, kolmogorov_smirnov, pearson, total_variation, wasserstein};
pub use subject::{Attacks, Cohort, PatientCounts, Shadow, Subject};
pub use utility::{ActionShare, Choice, Policies, PolicyValue, Predictive, Simulator, predictive};

/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    #[error("cannot draw the picture: {source}")]
    Picture {
        /// What the drawing reports.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Boosted trees that do not learn.
    #[error(transparent)]
    Judge(#[from] hg_judge::Error),
    /// A result that JSON cannot hold.
    #[error("cannot write a result as JSON: {source}")]
    Json {
        /// What the writing reports.
        #[from]
        source: serde_json::Error,
    },
    /// Two measures of one evaluation have one id.
    #[error("there are two measures `{id}`\nhint: give each measure an id of its own")]
    SameId {
        /// The id.
        id: &'static str,
    },
    /// A measure gives JSON a key that is taken.
    #[error(
        "measure `{id}` gives the JSON a second `{key}`\nhint: take the measure's id as its key"
    )]
    SameKey {
        /// The measure's id.
        id: &'static str,
        /// The key.
        key: String,
    },
}

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
