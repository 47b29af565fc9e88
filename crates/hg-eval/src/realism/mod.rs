//! Is it real enough: columns, pairs, time, and what a classifier sees.

mod association;
mod columns;
mod domain;
mod dynamics;
mod missing_cells;
mod pairs;
mod quick;
mod tests_of_equality;
mod told_apart;

pub use association::{correlation_ratio, cramer, kendall};
pub(crate) use columns::ColumnDistances;
pub use columns::{ColumnComparison, ColumnMeans, Columns};
pub(crate) use domain::Domain;
pub use dynamics::Dynamics;
pub(crate) use dynamics::TemporalDynamics;
pub(crate) use missing_cells::MissingCells;
pub(crate) use pairs::PairAssociations;
pub use pairs::{PairDifferences, Pairs};
pub use quick::{Quick, QuickScore};
pub use tests_of_equality::{
    Hierarchy, LEVEL, Tested, hierarchy, kolmogorov_smirnov_test, snedecor_test, student_test,
    three_sigma,
};
pub(crate) use told_apart::ToldApart;
pub use told_apart::discriminate;
