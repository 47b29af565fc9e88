//! A table on the schema's grid, as numbers: what measures compare.

use crate::clock::DAY;
use crate::encode::{refuse_empty_subset, refuse_no_rows, refuse_no_sequence};
use crate::grid::{ResampledTable, grid};
use crate::levels::settled;
use crate::parsed::{PATIENT, ParsedTable, check};
use crate::violations::{Violations, violations};
use crate::{Encoded, Encoder, FittedKind, Result, Schema, ShortPatients, Subset, Table};
use serde::Serialize;

/// Who made a table that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Hospitals: whatever does not fit the schema is refused.
    Real,
    /// A generator, perhaps another program's: what has no place in the fitted domain is counted,
    /// and takes the nearest one.
    Synthetic,
}

/// Cells of a synthetic table that have no place in the fitted domain.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutOfDomain {
    /// Their column.
    pub column: String,
    /// What is wrong with them, as "is no level of the real table".
    pub problem: String,
    /// How many there are.
    pub cells: usize,
    /// The first of them, as it is written.
    pub example: String,
    /// Its row in the table, from 1.
    pub row: usize,
}

/// The observed cells of a cohort, patient after patient and step after step;
/// steps of the grid at which nothing at all was observed are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// One entry per schema column, in schema order: values (of dates and durations days), or
    /// positions of levels; `None` where nothing was measured.
    pub columns: Vec<Vec<Option<f64>>>,
    /// Observed steps of each patient.
    pub lengths: Vec<usize>,
    /// Of a synthetic table: what has no place in the fitted domain.
    pub out_of_domain: Vec<OutOfDomain>,
    /// How often the table breaks each of the schema's rules.
    pub violations: Vec<Violations>,
}

impl Observed {
    /// Checks `table` against `schema` and puts one subset of it on the grid.
    ///
    /// # Errors
    /// The first thing in the table that does not fit the schema.
    pub fn new(schema: &Schema, table: &Table, subset: Subset) -> Result<Self> {
        let schema = &settled(schema, table)?;
        let parsed = subset.of(check(table, schema, 0, Origin::Real)?)?;
        let violations = violations(&parsed, schema)?;
        let times = times(&parsed);
        let observed = Self::of(&grid(parsed, schema, &table.name)?, schema, &times)?;
        Ok(Self { violations, ..observed })
    }

    fn of(resampled: &ResampledTable, schema: &Schema, times: &[bool]) -> Result<Self> {
        let cells = |(name, is_time): (&str, bool)| -> Result<Vec<Option<f64>>> {
            let scale = if is_time { DAY } else { 1. };
            let cells = resampled.frame.column(name)?.f64()?.iter();
            Ok(cells.map(|cell| cell.map(|x| x / scale)).collect())
        };
        let names = schema.columns.iter().map(|column| column.name.as_str());
        let columns: Vec<Vec<Option<f64>>> =
            names.zip(times.iter().copied()).map(cells).collect::<Result<_>>()?;
        let seen = |row: &usize| columns.iter().any(|cells| cells[*row].is_some());
        let rows: Vec<usize> = (0..resampled.frame.height()).filter(seen).collect();
        let mut lengths = vec![0; resampled.lengths.len()];
        let mut patients = resampled.lengths.iter().enumerate();
        let (mut patient, mut end) = (0, 0);
        for &row in &rows {
            while row >= end {
                let Some((next, length)) = patients.next() else { break };
                (patient, end) = (next, end + length);
            }
            lengths[patient] += 1;
        }
        let at_rows = |cells: &Vec<Option<f64>>| rows.iter().map(|&row| cells[row]).collect();
        let columns = columns.iter().map(at_rows).collect();
        Ok(Self { columns, lengths, out_of_domain: Vec::new(), violations: Vec::new() })
    }
}

/// Which columns hold dates or durations.
fn times(parsed: &ParsedTable) -> Vec<bool> {
    parsed.facts.iter().map(|facts| facts.time.is_some()).collect()
}

impl Encoder {
    /// One subset of a table as it was observed, and encoded with what was fitted.
    ///
    /// # Errors
    /// What does not fit the schema: of a real table everything, of a synthetic one what cannot
    /// be read at all.
    pub fn observe(
        &self,
        table: &Table,
        subset: Subset,
        origin: Origin,
    ) -> Result<(Observed, Encoded)> {
        refuse_no_rows(table)?;
        let mut schema = self.schema.clone();
        if origin == Origin::Synthetic {
            schema.sequence.short_patients = ShortPatients::Drop;
        }
        let mut parsed = check(table, &schema, 0, origin)?;
        refuse_empty_subset(subset, &parsed.patients, &table.name)?;
        let mut out_of_domain = std::mem::take(&mut parsed.out_of_domain);
        if origin == Origin::Synthetic {
            out_of_domain.extend(self.beyond(&parsed, table)?);
        }
        let parsed = subset.of(parsed)?;
        let (violations, times) = (violations(&parsed, &schema)?, times(&parsed));
        let resampled = grid(parsed, &schema, &table.name)?;
        refuse_no_sequence(&resampled.lengths, &schema, &table.name)?;
        let of_steps = Observed::of(&resampled, &schema, &times)?;
        let observed = Observed { out_of_domain, violations, ..of_steps };
        Ok((observed, self.encode_one(&resampled)?))
    }

    /// Whose each of the sequences is that [`Encoder::observe`] gives of a real table's subset: the
    /// patients' ids, in the sequences' order.
    ///
    /// # Errors
    /// Everything in the table that does not fit the schema.
    pub fn ids(&self, table: &Table, subset: Subset) -> Result<Vec<String>> {
        let parsed = check(table, &self.schema, 0, Origin::Real)?;
        refuse_empty_subset(subset, &parsed.patients, &table.name)?;
        let ids = parsed.patients.clone();
        let resampled = grid(subset.of(parsed)?, &self.schema, &table.name)?;
        let of_steps: Vec<u32> = resampled.frame.column(PATIENT)?.u32()?.iter().flatten().collect();
        let mut end = 0;
        let id = |length: &usize| {
            let patient = of_steps.get(end).copied().unwrap_or_default();
            end += length;
            ids.get(patient as usize).cloned().unwrap_or_default()
        };
        Ok(resampled.lengths.iter().map(id).collect())
    }

    /// The numbers of a checked table for which a column's transform has no place.
    fn beyond(&self, parsed: &ParsedTable, table: &Table) -> Result<Vec<OutOfDomain>> {
        let mut found = Vec::new();
        for (n, (column, fitted)) in self.schema.columns.iter().zip(&self.columns).enumerate() {
            let is_derived = column.is_derived();
            // Of what is modelled by its distance from others, that is fitted.
            if is_derived || self.construction.get(n).is_some() {
                continue;
            }
            let cells = parsed.frame.column(&column.name)?.f64()?;
            let is_beyond = |x: f64| match &fitted.kind {
                FittedKind::Numeric { transform, spikes, .. } => {
                    !(spikes.holds(x) || transform.has_place_for(x))
                }
                FittedKind::Constant { .. }
                | FittedKind::Binned { .. }
                | FittedKind::Discrete { .. } => false,
                FittedKind::Empty => true,
            };
            let rows = cells.iter().enumerate().filter_map(|(row, cell)| Some((row, cell?)));
            let strays: Vec<(usize, f64)> = rows.filter(|(_, x)| is_beyond(*x)).collect();
            if let Some(&(row, x)) = strays.first() {
                let problem = match fitted.kind {
                    FittedKind::Empty => "is a value where the real table has none",
                    _ => "is far beyond the real values, and counts as the nearest of them",
                };
                found.push(OutOfDomain {
                    column: column.name.clone(),
                    problem: problem.into(),
                    cells: strays.len(),
                    example: x.to_string(),
                    row: table.place(0, row, &column.name).1,
                });
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, Sequence, Split};
    use polars_core::df;

    #[test]
    fn ids_are_those_of_the_sequences_that_are_there() -> Result<()> {
        let sequence =
            Sequence { min_length: 2, short_patients: ShortPatients::Drop, ..Sequence::default() };
        let schema = Schema::builder("ward", "id", "day", 1.)
            .sequence(sequence)
            .column(Column::numeric("x"))
            .build()?;
        // Patient 10 has one row alone.
        let table: Table = df!(
            "id" => [20, 20, 9, 9, 9, 10, 30, 30],
            "day" => [0, 1, 0, 1, 2, 0, 0, 1],
            "x" => [1., 2., 3., 4., 5., 6., 7., 8.],
        )?
        .into();
        let (encoder, _) = Encoder::fit(&schema, &table, Subset::Whole)?;
        assert_eq!(encoder.ids(&table, Subset::Whole)?, ["9", "20", "30"]);
        let split = Split { share: 0.5, seed: 1 };
        for subset in [Subset::Whole, Subset::Training(split), Subset::HeldOut(split)] {
            let ids = encoder.ids(&table, subset)?;
            let (observed, _) = encoder.observe(&table, subset, Origin::Real)?;
            assert_eq!(ids.len(), observed.lengths.len());
            assert!(ids.iter().all(|id| subset.takes(id)), "{ids:?}");
        }
        Ok(())
    }
}
