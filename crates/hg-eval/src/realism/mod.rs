//! Is it real enough: columns, pairs, time, and what a classifier sees.

mod association;
pub(crate) mod columns;
mod courses;
pub(crate) mod domain;
pub(crate) mod dynamics;
pub(crate) mod joint_statics;
pub(crate) mod missing_cells;
pub(crate) mod pairs;
pub(crate) mod percentiles;
mod quick;
pub(crate) mod rare_levels;
pub(crate) mod rules;
pub(crate) mod spread;
pub(crate) mod statics;
mod tests_of_equality;
pub(crate) mod timing;
pub(crate) mod told_apart;
pub(crate) mod trajectories;

pub use association::{correlation_ratio, cramer, kendall};
pub use columns::{ColumnComparison, ColumnMeans, Columns};
pub use dynamics::Dynamics;
pub use joint_statics::{JointCells, JointStatics};
pub use pairs::{PairDifferences, Pairs};
pub use quick::{Quick, QuickScore};
pub use rare_levels::{RareLevel, RareLevels};
pub use spread::{ColumnSpread, SpreadDifferences};
pub use statics::StaticsExplained;
pub use tests_of_equality::{
    Hierarchy, LEVEL, Tested, hierarchy, kolmogorov_smirnov_test, snedecor_test, student_test,
    three_sigma,
};
pub use timing::Timing;
pub use told_apart::{GainShares, QuickTrees, ToldApart, discriminate};
pub use trajectories::{CourseDifferences, Trajectories};
