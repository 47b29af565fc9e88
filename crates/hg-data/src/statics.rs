//! Columns that are constant within a patient.

use crate::parsed::{DERIVED, PATIENT, Place};
use crate::{Error, Level, Origin, OutOfDomain, Result};
use polars_core::prelude::*;

/// Which rows of a patient show a static column's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shown {
    /// All, or none where the patient has none.
    #[default]
    Throughout,
    /// The first alone.
    First,
    /// Some.
    Some,
}

/// Refuses a static column that varies within a patient; of a synthetic table such cells are
/// counted, and the patient's first value stands.
pub(crate) fn check_statics(
    frame: &mut DataFrame,
    place: &Place<'_>,
    origin: Origin,
    out_of_domain: &mut Vec<OutOfDomain>,
) -> Result<()> {
    let positions = frame.column(PATIENT)?.u32()?.clone();
    let mut problems = Vec::new();
    let of_table = place.schema.columns.iter().filter(|c| !DERIVED.contains(&c.name.as_str()));
    for column in of_table.filter(|column| column.is_static) {
        let cells = frame.column(&column.name)?.f64()?.clone();
        let mut first: Vec<Option<(f64, usize)>> = vec![None; place.patients.len()];
        let mut varying: Vec<(usize, u32)> = Vec::new();
        for (row, (patient, cell)) in positions.iter().zip(cells.iter()).enumerate() {
            let (Some(patient), Some(cell)) = (patient, cell) else { continue };
            match first[patient as usize] {
                None => first[patient as usize] = Some((cell, row)),
                Some((value, _)) if value != cell => varying.push((row, patient)),
                Some(_) => {}
            }
        }
        let Some(&(row, patient)) = varying.first() else { continue };
        let shown = |value: f64| match column.is_numeric() {
            true => value.to_string(),
            false => column.levels().get(value as usize).map(Level::to_string).unwrap_or_default(),
        };
        let here = cells.get(row).map(shown).unwrap_or_default();
        if origin == Origin::Synthetic {
            out_of_domain.push(OutOfDomain {
                column: column.name.clone(),
                problem: "differs within a patient, where the column is static".into(),
                cells: varying.len(),
                example: here,
                row: place.table.row_number(place.first_row, row),
            });
            let of_patient = |(patient, cell): (Option<u32>, Option<f64>)| {
                cell.and(first[patient? as usize]).map(|(value, _)| value)
            };
            let constant: Float64Chunked =
                positions.iter().zip(cells.iter()).map(of_patient).collect();
            frame.replace(
                &column.name,
                constant.with_name(column.name.as_str().into()).into_column(),
            )?;
            continue;
        }
        let (value, before) = first[patient as usize].unwrap_or_default();
        let problem = format!(
            "patient `{}` has {here} here and {} in row {}, but the column is static\nhint: correct the cell, or remove static = true{}",
            place.patients[patient as usize],
            shown(value),
            place.table.row_number(place.first_row, before),
            match varying.len() - 1 {
                0 => String::new(),
                more => format!(" ({more} more cells differ so)"),
            }
        );
        let row = place.table.row_number(place.first_row, row);
        problems.push(Error::cell(&place.table.name, row, &column.name, problem));
    }
    Error::all(problems)
}

/// What the rows of a table show of its static columns, part by part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShownSoFar {
    throughout: bool,
    first: bool,
    /// Whether a patient with a value has several rows.
    several: bool,
}

impl Default for ShownSoFar {
    fn default() -> Self {
        Self { throughout: true, first: true, several: false }
    }
}

impl ShownSoFar {
    /// Takes the rows of sequences of these lengths; steps that the grid invented show nothing
    /// of how the table is written.
    pub(crate) fn add(&mut self, cells: &Float64Chunked, invented: &[bool], lengths: &[usize]) {
        let mut row = 0;
        for &length in lengths {
            let real = (row..row + length).filter(|&row| !invented.get(row).unwrap_or(&false));
            let shows: Vec<bool> = real.map(|row| cells.get(row).is_some()).collect();
            row += length;
            let count = shows.iter().filter(|shows| **shows).count();
            self.throughout &= count == 0 || count == shows.len();
            self.first &= count == 0 || (count == 1 && shows.first() == Some(&true));
            self.several |= count > 0 && shows.len() > 1;
        }
    }

    pub(crate) fn shown(self) -> Shown {
        match self {
            Self { throughout: true, .. } => Shown::Throughout,
            Self { first: true, several: true, .. } => Shown::First,
            _ => Shown::Some,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_table_shows_its_statics_is_seen() {
        let shown = |cells: &[Option<f64>], invented: &[bool]| {
            let mut so_far = ShownSoFar::default();
            so_far.add(&Float64Chunked::from_slice_options("x".into(), cells), invented, &[2, 2]);
            so_far.shown()
        };
        let (one, none) = (Some(1.), None);
        assert_eq!(shown(&[one, one, none, none], &[]), Shown::Throughout);
        assert_eq!(shown(&[one, none, one, none], &[]), Shown::First);
        assert_eq!(shown(&[one, none, none, none], &[]), Shown::First);
        assert_eq!(shown(&[one, none, none, one], &[]), Shown::Some);
        let invented = [false, true, false, false];
        assert_eq!(shown(&[one, none, one, one], &invented), Shown::Throughout);
    }
}
