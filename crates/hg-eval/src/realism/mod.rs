//! Is it real enough: columns, pairs, time, and what a classifier sees.

mod association;
mod comparison;
mod discriminative;
mod dynamics;
mod quick;
mod tests_of_equality;

pub use association::{correlation_ratio, cramer, kendall};
pub use comparison::{ColumnComparison, Comparison, Distances};
pub use discriminative::discriminate;
pub use dynamics::Dynamics;
pub use quick::{Quick, QuickScore};
pub use tests_of_equality::{
    Hierarchy, LEVEL, Tested, hierarchy, kolmogorov_smirnov_test, snedecor_test, student_test,
    three_sigma,
};
