//! The cells of the table of columns.

use crate::ColumnComparison;
use crate::statistics::shares;

/// What is shown for a side without values.
const NOTHING: &str = "–";

/// The distance of a column, where one side has values.
pub(super) fn distance(column: &ColumnComparison) -> String {
    column.distance.map_or("open".into(), |distance| format!("{distance:.3}"))
}

/// Mean and deviation of numbers; the commonest level of others; a dash for a side without any.
pub(super) fn both_sides(column: &ColumnComparison) -> [String; 2] {
    if column.levels.is_empty() {
        return [
            (column.real_mean, column.real_deviation),
            (column.synthetic_mean, column.synthetic_deviation),
        ]
        .map(|side| match side {
            (Some(mean), Some(deviation)) => format!("{mean:.2} ± {deviation:.2}"),
            _ => NOTHING.into(),
        });
    }
    let shares = [&column.real, &column.synthetic].map(|side| shares(side, column.levels.len()));
    let commonest = (0..column.levels.len()).max_by(|&a, &b| shares[0][a].total_cmp(&shares[0][b]));
    let level = commonest.unwrap_or(0);
    shares.map(|shares| {
        if shares.iter().all(|&share| share == 0.) {
            return NOTHING.into();
        }
        let share = shares.get(level).copied().unwrap_or(0.);
        format!("{}: {}", column.levels.get(level).map_or("", String::as_str), percent(share))
    })
}

/// The shares of draws that pass the tests, by test; for levels the first alone.
pub(super) fn passes(column: &ColumnComparison) -> Option<[String; 4]> {
    let tests = column.hierarchy?;
    let first = percent(tests.kolmogorov_smirnov);
    if !column.levels.is_empty() {
        return Some([first, String::new(), String::new(), String::new()]);
    }
    let [student, snedecor, three_sigma] =
        [tests.student, tests.snedecor, tests.three_sigma].map(percent);
    Some([first, student, snedecor, three_sigma])
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", 100. * share)
}
