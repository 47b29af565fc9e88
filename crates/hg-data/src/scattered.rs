//! Large tables in which the rows of a patient do not stand together.
//!
//! The patients, in the order that encoded cohorts have, are cut into groups of about equal
//! numbers of rows. Each row goes to the temporary file of its patient's group, and each group is
//! a part. So the parts are those of the table sorted by patient, and no more than one is in
//! memory.

use crate::files::first_csv;
use crate::kept::no_room;
use crate::parsed::sort_ids;
use crate::parts::{Part, Rows, Wanted, runs};
use crate::{Error, Result, Schema, Table};
use polars_core::prelude::*;
use polars_io::ipc::BatchedWriter;
use polars_io::prelude::{IpcCompression, IpcReader, IpcWriter};
use polars_io::{SerReader, SerWriter};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Seek};
use std::path::{Path, PathBuf};

/// Temporary files at most: each is open twice, and macOS gives a program 256.
const MOST_GROUPS: usize = 96;
/// Rows that are read at once.
const BATCH: usize = 1 << 17;
/// The column of the rows' numbers in the temporary files.
const ROW: &str = "__row";

/// A table by groups of patients.
pub(crate) struct Scattered {
    name: String,
    csv: Option<PathBuf>,
    /// The columns and their types.
    types: Vec<(PlSmallStr, DataType)>,
    patient: String,
    /// The rank of each patient, by the hash of the id.
    ranks: HashMap<u64, u32>,
    /// They have no name, so that nothing is left of them, however the program ends.
    files: Vec<File>,
}

impl Scattered {
    /// Reads the table at `path` twice: for the patients, and to write their rows by groups of
    /// `rows` rows or more.
    pub(crate) fn gather(schema: &Schema, path: &Path, rows: usize) -> Result<Self> {
        let Patients { ranks, rows: of_patients } = Patients::of(schema, path)?;
        let total: usize = of_patients.iter().sum();
        let groups = groups(&of_patients, rows.max(total.div_ceil(MOST_GROUPS)));
        let mut scattered = Self {
            name: path.display().to_string(),
            csv: first_csv(path),
            types: Vec::new(),
            patient: schema.patient.column.clone(),
            ranks,
            files: Vec::new(),
        };
        let mut writers: Vec<BatchedWriter<BufWriter<File>>> = Vec::new();
        let mut first_row = 0u64;
        for batch in Rows::open(schema, path, BATCH, Wanted::Modelled)? {
            let mut batch = batch?;
            let rows = first_row..first_row + batch.height() as u64;
            first_row = rows.end;
            let rows = UInt64Chunked::from_vec(ROW.into(), rows.collect());
            if writers.is_empty() {
                let types = batch.columns().iter().map(|c| (c.name().clone(), c.dtype().clone()));
                scattered.types = types.collect();
                batch = plain(batch.with_column(rows.into_series().into_column())?)?;
                let count = groups.last().map_or(0, |group| group + 1);
                for _ in 0..count {
                    let file = tempfile::tempfile().map_err(no_room)?;
                    scattered.files.push(file.try_clone().map_err(no_room)?);
                    writers.push(writer(file, &batch)?);
                }
            } else {
                scattered.require_types(&batch)?;
                batch = plain(batch.with_column(rows.into_series().into_column())?)?;
            }
            scattered.write(&batch, &groups, &mut writers)?;
        }
        writers.iter_mut().try_for_each(BatchedWriter::finish).map_err(of_temporary)?;
        Ok(scattered)
    }

    /// Refuses a file whose columns have other types than those before it.
    fn require_types(&self, batch: &DataFrame) -> Result<()> {
        for (name, dtype) in &self.types {
            let here = batch.column(name)?.dtype();
            if here != dtype {
                let problem = format!(
                    "is of type {here:?} in one file and {dtype:?} in another\nhint: write them alike"
                );
                return Err(Error::column(&self.name, name, problem));
            }
        }
        Ok(())
    }

    /// Writes rows to the files of their groups.
    fn write(
        &self,
        batch: &DataFrame,
        groups: &[usize],
        writers: &mut [BatchedWriter<BufWriter<File>>],
    ) -> Result<()> {
        let (batch, ranks) = self.by_rank(batch)?;
        let mut from = 0;
        for of_group in ranks.chunk_by(|&a, &b| groups[a as usize] == groups[b as usize]) {
            let rows = batch.slice(from as i64, of_group.len());
            from += of_group.len();
            writers[groups[of_group[0] as usize]].write_batch(&rows).map_err(of_temporary)?;
        }
        Ok(())
    }

    /// Rows by the ranks of their patients, those of a patient as they stood, and the ranks.
    fn by_rank(&self, rows: &DataFrame) -> Result<(DataFrame, Vec<u32>)> {
        let mut ranks = Vec::with_capacity(rows.height());
        for (patient, count) in runs(rows.column(&self.patient)?)? {
            let rank = self.ranks.get(&patient).copied().ok_or_else(|| {
                Error::file(Path::new(&self.name), "changed while it was read\nhint: try again")
            })?;
            ranks.extend(std::iter::repeat_n(rank, count));
        }
        let mut order: Vec<IdxSize> = (0..ranks.len() as IdxSize).collect();
        order.sort_by_key(|&row| ranks[row as usize]);
        let rows = rows.take(&IdxCa::from_slice("".into(), &order))?;
        Ok((rows, order.into_iter().map(|row| ranks[row as usize]).collect()))
    }

    /// The groups of patients, in order.
    pub(crate) fn parts(&mut self) -> impl Iterator<Item = Result<Part>> {
        (0..self.files.len()).map(|group| self.part(group))
    }

    fn part(&mut self, group: usize) -> Result<Part> {
        let file = &mut self.files[group];
        file.rewind().map_err(no_room)?;
        let file = file.try_clone().map_err(no_room)?;
        let rows = IpcReader::new(file).finish().map_err(of_temporary)?;
        let (mut frame, _) = self.by_rank(&rows)?;
        let numbers = frame.drop_in_place(ROW)?;
        let numbers: Vec<u64> = numbers.u64()?.iter().map(Option::unwrap_or_default).collect();
        for (name, dtype) in &self.types {
            if is_coded(dtype) {
                let coded = frame.column(name)?.cast(dtype)?;
                frame.replace(name, coded)?;
            }
        }
        frame.rechunk_mut();
        let rows = Some(numbers.into());
        let (csv, name) = (self.csv.clone(), self.name.clone());
        Ok(Part { first_row: 0, table: Table { csv, rows, ..Table::new(frame, name) } })
    }
}

/// The patients of a table, in order.
struct Patients {
    /// The rank of each, by the hash of the id.
    ranks: HashMap<u64, u32>,
    /// The rows of each.
    rows: Vec<usize>,
}

impl Patients {
    fn of(schema: &Schema, path: &Path) -> Result<Self> {
        let column = &schema.patient.column;
        let mut places: HashMap<u64, usize> = HashMap::new();
        // (id, hash, rows)
        let mut patients: Vec<(String, u64, usize)> = Vec::new();
        for batch in Rows::open(schema, path, BATCH, Wanted::Only(column))? {
            let batch = batch?;
            let ids = batch.column(column)?;
            let id = id_texts(ids)?;
            let mut row = 0;
            for (hash, rows) in runs(ids)? {
                let place = *places.entry(hash).or_insert_with(|| {
                    patients.push((id(row), hash, 0));
                    patients.len() - 1
                });
                patients[place].2 += rows;
                row += rows;
            }
        }
        sort_ids(&mut patients, |(id, ..)| id);
        let ranks = patients.iter().zip(0u32..).map(|((_, hash, _), rank)| (*hash, rank));
        let ranks = ranks.collect();
        Ok(Self { ranks, rows: patients.into_iter().map(|(.., rows)| rows).collect() })
    }
}

/// The ids of a column as texts, by row.
pub(crate) fn id_texts(ids: &Column) -> Result<impl Fn(usize) -> String> {
    let integers = match ids.dtype().is_integer() {
        true => ids.strict_cast(&DataType::Int64).ok().map(|ids| ids.i64().cloned()).transpose()?,
        false => None,
    };
    let texts = match integers {
        Some(_) => None,
        None => Some(ids.cast(&DataType::String)?.str()?.clone()),
    };
    Ok(move |row: usize| {
        let integer = integers.as_ref().and_then(|ids| ids.get(row)).map(|id| id.to_string());
        let text = || texts.as_ref().and_then(|ids| ids.get(row)).map(|id| id.trim().to_owned());
        integer.or_else(text).unwrap_or_default()
    })
}

/// The group of each patient, of at least so many rows, the last excepted.
pub(crate) fn groups(rows: &[usize], least: usize) -> Vec<usize> {
    let (mut group, mut so_far) = (0, 0);
    let mut of = |rows: &usize| {
        if so_far >= least {
            (group, so_far) = (group + 1, 0);
        }
        so_far += rows;
        group
    };
    rows.iter().map(&mut of).collect()
}

/// Whether a type's cells are codes, for whose texts a temporary file has no place.
fn is_coded(dtype: &DataType) -> bool {
    matches!(dtype, DataType::Categorical(..) | DataType::Enum(..))
}

/// The table with texts in place of codes.
fn plain(table: &DataFrame) -> Result<DataFrame> {
    let mut table = table.clone();
    let coded = table.columns().iter().filter(|column| is_coded(column.dtype()));
    let texts: Vec<Column> =
        coded.map(|column| column.cast(&DataType::String)).collect::<PolarsResult<_>>()?;
    for column in texts {
        table.with_column(column)?;
    }
    table.rechunk_mut();
    Ok(table)
}

fn writer(file: File, first: &DataFrame) -> Result<BatchedWriter<BufWriter<File>>> {
    let arrow = first.schema().to_arrow(CompatLevel::newest());
    let fields = polars_arrow::io::ipc::write::default_ipc_fields(arrow.iter_values());
    IpcWriter::new(BufWriter::new(file))
        .with_compression(Some(IpcCompression::LZ4))
        .batched(first.schema(), fields)
        .map_err(of_temporary)
}

fn of_temporary(error: PolarsError) -> Error {
    no_room(std::io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_whole_patients_and_enough_rows() {
        assert_eq!(groups(&[1, 1, 5, 1, 2], 2), [0, 0, 1, 2, 2]);
        assert_eq!(groups(&[1, 1], 1), [0, 1]);
        assert_eq!(groups(&[], 1), Vec::<usize>::new());
    }
}
