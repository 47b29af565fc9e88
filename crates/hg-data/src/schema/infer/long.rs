//! Tables with one row a measurement, which are no table of this kind yet.

use super::cells::{Cells, Nature};
use super::groups::Groups;
use super::numbers::Number;
use super::words::{has_word, is_identifier, listed, quoted, shown};
use std::collections::HashSet;

/// Words of columns that name what was measured.
const CODES: [&str; 26] = [
    "item",
    "itemid",
    "test",
    "tests",
    "testname",
    "param",
    "paramcd",
    "parameter",
    "variable",
    "measure",
    "measurement",
    "analyte",
    "concept",
    "label",
    "labname",
    "lbtestcd",
    "lbtest",
    "vstestcd",
    "vstest",
    "loinc",
    "feature",
    "observation",
    "event",
    "attribute",
    "signal",
    "code",
];
/// Words of columns that hold what was measured.
const VALUES: [&str; 18] = [
    "value",
    "values",
    "valuenum",
    "valuenumeric",
    "result",
    "results",
    "val",
    "aval",
    "lborres",
    "lbstresn",
    "vsorres",
    "vsstresn",
    "labresult",
    "valuefloat",
    "amount",
    "reading",
    "wert",
    "quantity",
];
/// Different things measured, at most.
const MOST_CODES: usize = 5_000;
/// Columns of numbers that a long table has beside its codes, at most.
const MOST_VALUES: usize = 3;

/// Whether a column's name is one of those that say which measurement a row is.
pub(super) fn names_a_code(name: &str) -> bool {
    has_word(name, &CODES)
}

/// Whether it is one of those that hold what was measured.
pub(super) fn names_a_value(name: &str) -> bool {
    has_word(name, &VALUES)
}

/// Whether it is one of those that hold the units of what was measured.
pub(super) fn names_a_unit(name: &str) -> bool {
    has_word(name, &["unit", "units", "uom", "valueuom", "einheit"])
}

/// How much is told apart by patient and time, and what else varies.
struct Layout<'a> {
    columns: &'a [Cells],
    patient: usize,
    time: usize,
    groups: &'a Groups,
    decimal: char,
}

/// A long table.
pub(super) struct Long {
    /// Its column of codes.
    pub(super) code: usize,
    /// Its column of values, where it has one.
    pub(super) value: Option<usize>,
    /// What to say of it where it stands alone.
    pub(super) message: String,
}

/// The columns of a long table; `None` where it is none.
pub(super) fn long_table(
    columns: &[Cells],
    patient: usize,
    time: usize,
    groups: &Groups,
    decimal: char,
) -> Option<Long> {
    let layout = Layout { columns, patient, time, groups, decimal };
    let rows: usize = groups.rows.iter().map(Vec::len).sum();
    let share = |n: usize| n as f64 / rows.max(1) as f64;
    let pairs = layout.told_apart(None);
    let varying: Vec<usize> = (0..columns.len()).filter(|&n| layout.varies(n)).collect();
    let numbers: Vec<usize> = varying.iter().copied().filter(|&n| layout.is_number(n)).collect();
    let mut codes: Vec<usize> =
        varying.iter().copied().filter(|&n| layout.may_be_code(n)).collect();
    codes.sort_by_key(|&n| !has_word(&columns[n].name, &CODES));
    for code in codes {
        let values: Vec<usize> = numbers.iter().copied().filter(|&n| n != code).collect();
        let value = values.iter().copied().max_by_key(|&n| {
            // Of several, the one that is numbers throughout.
            let name = &columns[n].name;
            (has_word(name, &VALUES), name.to_lowercase().contains("num"), usize::MAX - n)
        });
        let (two, three) = (share(pairs), share(layout.told_apart(Some(code))));
        let by_name =
            |n: usize| has_word(&columns[code].name, &CODES) && has_word(&columns[n].name, &VALUES);
        let is_long = value.is_some_and(|value| {
            values.len() <= MOST_VALUES
                && (by_name(value) || (two < 0.8 && three >= 0.9 && three - two >= 0.15))
        });
        let is_events = value.is_none()
            && varying.len() == 1
            && two < 0.98
            && three >= 0.95
            && three - two > 0.01;
        if is_long || is_events {
            let message = layout.message(code, value, rows - pairs, rows);
            return Some(Long { code, value, message });
        }
    }
    None
}

impl Layout<'_> {
    /// The number of different (patient, time, and code).
    fn told_apart(&self, code: Option<usize>) -> usize {
        let mut seen = HashSet::new();
        for (patient, rows) in self.groups.rows.iter().enumerate() {
            for &row in rows {
                let code = code.and_then(|code| self.columns[code].rows[row]);
                seen.insert((patient, self.columns[self.time].rows[row], code));
            }
        }
        seen.len()
    }

    fn varies(&self, n: usize) -> bool {
        let cells = &self.columns[n];
        n != self.patient
            && n != self.time
            && !matches!(cells.nature, Nature::Other(_))
            && cells.values.len() > 1
            && !self.groups.holds_constant(&cells.rows)
    }

    fn is_number(&self, n: usize) -> bool {
        let cells = &self.columns[n];
        let code = has_word(&cells.name, &CODES) || is_identifier(&cells.name);
        let is_value = has_word(&cells.name, &VALUES) && cells.values.len() > 1;
        is_value || (!code && Number::read(cells, self.decimal).is_ok())
    }

    fn may_be_code(&self, n: usize) -> bool {
        let cells = &self.columns[n];
        let named = has_word(&cells.name, &CODES);
        let is_text = matches!(cells.nature, Nature::Untyped | Nature::Text)
            && cells.dates().is_none()
            && Number::read(cells, self.decimal).is_err();
        cells.values.len() <= MOST_CODES
            && cells.missing_share() < 0.05
            && !has_word(&cells.name, &VALUES)
            && (is_text || (named && cells.is_whole()))
    }

    fn message(&self, code: usize, value: Option<usize>, shared: usize, rows: usize) -> String {
        let name = |n: usize| self.columns[n].name.as_str();
        let codes = &self.columns[code].values;
        let some = listed(codes.iter().take(3).map(|value| value.text.as_str()));
        let index = format!("[{}, {}]", quoted(name(self.patient)), quoted(name(self.time)));
        let (what, pivot) = match value {
            Some(value) => (
                format!(
                    "one measurement: `{}` says which, `{}` is its value",
                    shown(name(code)),
                    shown(name(value))
                ),
                format!(
                    "df.pivot(on={}, index={index}, values={}, aggregate_function=\"mean\")",
                    quoted(name(code)),
                    quoted(name(value))
                ),
            ),
            None => (
                format!("one event: `{}` says which", shown(name(code))),
                format!(
                    "df.with_columns(n=1).pivot(on={}, index={index}, values=\"n\", aggregate_function=\"max\").fill_null(0)",
                    quoted(name(code))
                ),
            ),
        };
        format!(
            "is a long table, in which a row is {what} ({} different ones, as {some}); {shared} of {rows} rows share patient `{}` and time `{}` with another. A schema describes one row per patient and time, with a column for each measurement\nhint: pivot the table first, in Python with polars: {pivot}. If it is not long, name both --patient and --time",
            codes.len(),
            shown(name(self.patient)),
            shown(name(self.time)),
        )
    }
}
