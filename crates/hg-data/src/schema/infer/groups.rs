//! The rows of each patient.

use super::cells::Cells;
use super::time::Clock;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The rows of each patient, in the order of the table.
pub(super) struct Groups {
    pub(super) rows: Vec<Vec<usize>>,
}

impl Groups {
    /// By a column's values; of the rows that `keep` names.
    pub(super) fn new(ids: &Cells, keep: &[bool]) -> Self {
        let mut rows: Vec<Vec<usize>> = vec![Vec::new(); ids.values.len()];
        for (row, id) in ids.rows.iter().enumerate() {
            if let Some(id) = id
                && keep[row]
            {
                rows[*id as usize].push(row);
            }
        }
        rows.retain(|rows| !rows.is_empty());
        Self { rows }
    }

    /// Whether some patient has several rows.
    pub(super) fn has_several_rows(&self) -> bool {
        self.rows.iter().any(|rows| rows.len() > 1)
    }

    /// Whether no patient's values differ, gaps aside, and some patient has several rows.
    pub(super) fn holds_constant<T: PartialEq>(&self, cells: &[Option<T>]) -> bool {
        let constant = |rows: &Vec<usize>| {
            let mut present = rows.iter().filter_map(|&row| cells[row].as_ref());
            present.next().is_none_or(|first| present.all(|cell| cell == first))
        };
        self.has_several_rows() && self.rows.iter().all(constant)
    }

    /// Each patient's times, ascending.
    pub(super) fn times(&self, clock: &Clock) -> Vec<Vec<f64>> {
        let of = |rows: &Vec<usize>| {
            let mut times: Vec<f64> = rows.iter().filter_map(|&row| clock.values[row]).collect();
            times.sort_by(f64::total_cmp);
            times
        };
        self.rows.iter().map(of).collect()
    }
}

/// Which rows are no exact copies of one before.
pub(super) fn without_copies(columns: &[Cells]) -> Vec<bool> {
    let rows = columns.first().map_or(0, |cells| cells.rows.len());
    let mut seen = HashSet::with_capacity(rows);
    let is_new = |row: usize| {
        let mut hash = DefaultHasher::new();
        columns.iter().for_each(|cells| cells.rows[row].hash(&mut hash));
        seen.insert(hash.finish())
    };
    (0..rows).map(is_new).collect()
}
