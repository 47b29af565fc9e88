//! Whole patients of a table that is too large to be compared as a whole.

use crate::files::{first_csv, reach};
use crate::parts::{LARGE, Rows, Wanted, runs, vstacked};
use crate::scattered::id_texts;
use crate::{Error, Result, Schema, Table};
use polars_core::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Rows that are read at once.
const BATCH: usize = 1 << 17;

/// How much of a table was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampled {
    /// Patients that were taken.
    pub patients: usize,
    /// All patients.
    pub of_patients: usize,
    /// Rows of the patients that were taken.
    pub rows: usize,
    /// All rows.
    pub of_rows: usize,
}

impl std::fmt::Display for Sampled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { patients, of_patients, rows, of_rows } = self;
        write!(f, "{patients} of {of_patients} patients ({rows} of {of_rows} rows)")
    }
}

impl Schema {
    /// Reads a table as [`Schema::read`] does; where it has more than `most` rows, as many whole
    /// patients as have no more together. Who is taken rests on a hash of
    /// the id alone, not on the order of the rows, so that a patient of two tables is rather in
    /// both samples or in none.
    ///
    /// # Errors
    /// As [`Schema::read`].
    pub fn read_sample(&self, path: &Path, most: usize) -> Result<(Table, Option<Sampled>)> {
        if !reach(path, LARGE)? {
            return Ok((self.read(path)?, None));
        }
        if !self.tables.is_empty() {
            return sample_of_several(self, path, most);
        }
        let (taken, sampled) = choose(self, path, most)?;
        if sampled.rows == sampled.of_rows {
            return Ok((self.read(path)?, None));
        }
        let (frame, rows) = rows_of(self, path, &taken)?;
        let rows = Some(rows.into());
        let table =
            Table { rows, csv: first_csv(path), ..Table::new(frame, path.display().to_string()) };
        Ok((table, Some(sampled)))
    }
}

/// Some patients of several tables.
fn sample_of_several(
    schema: &Schema,
    path: &Path,
    most: usize,
) -> Result<(Table, Option<Sampled>)> {
    let together = schema.read_together(path)?;
    let patients: Vec<_> =
        together.rows_of_patients().map(|(id, rows)| (place(id), (id.to_owned(), rows))).collect();
    let of_patients = patients.len();
    let of_rows = patients.iter().map(|(_, (_, rows))| rows).sum();
    let (taken, rows) = draw(patients, most);
    let sampled = Sampled { patients: taken.len(), of_patients, rows, of_rows };
    let table = together.table_of(&|id| taken.contains(id))?;
    Ok((table, Some(sampled).filter(|sampled| sampled.rows < of_rows)))
}

/// Whole patients, (place in the drawing, (patient, rows)), of no more rows together, and these.
fn draw<T: std::hash::Hash + Eq>(
    mut patients: Vec<([u8; 32], (T, usize))>,
    most: usize,
) -> (HashSet<T>, usize) {
    patients.sort_unstable_by_key(|(place, _)| *place);
    let (mut taken, mut rows) = (HashSet::new(), 0);
    for (_, (patient, of_patient)) in patients {
        if !taken.is_empty() && rows + of_patient > most {
            break;
        }
        rows += of_patient;
        taken.insert(patient);
    }
    (taken, rows)
}

/// The hashes of the patients that are taken, and how much of the table they are.
fn choose(schema: &Schema, path: &Path, most: usize) -> Result<(HashSet<u64>, Sampled)> {
    let column = &schema.patient.column;
    // (place in the drawing, rows) by the hash of the id.
    let mut patients: HashMap<u64, ([u8; 32], usize)> = HashMap::new();
    for batch in Rows::open(schema, path, BATCH, Wanted::Only(column))? {
        let batch = batch?;
        let ids = batch.column(column)?;
        let id = id_texts(ids)?;
        let mut row = 0;
        for (hash, rows) in runs(ids)? {
            patients.entry(hash).or_insert_with(|| (place(&id(row)), 0)).1 += rows;
            row += rows;
        }
    }
    let of_rows = patients.values().map(|(_, rows)| rows).sum();
    let of_patients = patients.len();
    let patients = patients.into_iter().map(|(hash, (place, rows))| (place, (hash, rows)));
    let (taken, rows) = draw(patients.collect(), most);
    let sampled = Sampled { patients: taken.len(), of_patients, rows, of_rows };
    Ok((taken, sampled))
}

/// Where a patient stands in the drawing, which has nothing to do with who is held out.
fn place(id: &str) -> [u8; 32] {
    Sha256::new_with_prefix("sample").chain_update(id).finalize().into()
}

/// The rows of some patients, and which of the table's rows they are.
fn rows_of(schema: &Schema, path: &Path, taken: &HashSet<u64>) -> Result<(DataFrame, Vec<u64>)> {
    let (mut all, mut rows, mut row): (Option<DataFrame>, _, _) = (None, Vec::new(), 0u64);
    for batch in Rows::open(schema, path, BATCH, Wanted::All)? {
        let batch = batch?;
        let (mut here, mut at): (Vec<IdxSize>, IdxSize) = (Vec::new(), 0);
        for (patient, count) in runs(batch.column(&schema.patient.column)?)? {
            let count = count as IdxSize;
            if taken.contains(&patient) {
                here.extend(at..at + count);
            }
            at += count;
        }
        rows.extend(here.iter().map(|&at| row + u64::from(at)));
        row += batch.height() as u64;
        let batch = batch.take(&IdxCa::from_slice("".into(), &here))?;
        all = Some(match all {
            Some(all) => vstacked(all, &batch)?,
            None => batch,
        });
    }
    let mut all = all.ok_or_else(|| Error::file(path, "holds no table"))?;
    all.rechunk_mut_par();
    Ok((all, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_patients_are_taken_whatever_the_order_of_the_rows() -> Result<()> {
        let schema = "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\n\
            step = 1.0\n[[columns]]\nname = \"x\"\nkind = \"numeric\"\n";
        let schema = Schema::parse(schema, Path::new("t.toml"))?;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.csv");
        let sample = |rows: &mut dyn Iterator<Item = (usize, usize)>| -> Result<_> {
            let lines = rows.map(|(id, t)| format!("p{id},{t},{},note\n", id * 10 + t));
            let text = "id,t,x,other\n".to_owned() + &lines.collect::<String>();
            std::fs::write(&path, text).expect("writes");
            let (taken, sampled) = choose(&schema, &path, 101)?;
            let (frame, rows) = rows_of(&schema, &path, &taken)?;
            assert_eq!((frame.height(), frame.width()), (sampled.rows, 4));
            let text = std::fs::read_to_string(&path).expect("reads");
            let lines: Vec<&str> = text.lines().skip(1).collect();
            let ids = frame.column("id")?.str()?.clone();
            for (&row, id) in rows.iter().zip(ids.iter()) {
                assert!(lines[row as usize].starts_with(&format!("{},", id.unwrap_or_default())));
            }
            let mut ids: Vec<String> = ids.iter().flatten().map(str::to_owned).collect();
            ids.sort();
            Ok((ids, sampled))
        };
        let together = sample(&mut (0..400).map(|n| (n / 4, n % 4)))?;
        let scattered = sample(&mut (0..400).map(|n| (99 - n % 100, n / 100)))?;
        assert_eq!(together, scattered);
        assert_eq!(together.1, Sampled { patients: 25, of_patients: 100, rows: 100, of_rows: 400 });
        assert_eq!(together.1.to_string(), "25 of 100 patients (100 of 400 rows)");
        Ok(())
    }
}
