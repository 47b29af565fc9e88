//! Tables too large for memory, in parts of whole patients.

use crate::encode::Fit;
use crate::files::{files, first_csv, is_csv, reach};
use crate::levels::LevelCounts;
use crate::parsed::require_columns;
use crate::table::{Batches, READING, names_of};
use crate::{Encoded, Encoder, Error, Result, RowCounts, Schema, Subset, Table, Values};
use polars_core::prelude::*;
use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

/// Tables of more bytes, once decompressed, are read part by part.
const LARGE: u64 = 64 << 20;
/// Rows of a part, besides the rest of its last patient.
const ROWS: usize = 1 << 17;

impl Encoder {
    /// Reads, fits to and encodes one subset of the table at `path`: a file, a folder of files, or a
    /// pattern as `visits/*.parquet`. A large table is read part by part, for which each
    /// patient's rows must stand together; what is fitted then rests on every second,
    /// fourth … row beyond a million.
    ///
    /// # Errors
    /// As [`Schema::read`] and [`Encoder::fit`].
    pub fn fit_file(schema: &Schema, path: &Path, subset: Subset) -> Result<(Self, Encoded)> {
        if !reach(path, LARGE)? {
            return Self::fit(schema, &schema.read(path)?, subset);
        }
        Self::fit_in_parts(schema, path, subset, ROWS)
    }

    /// Encodes one subset of the table at `path` with what was fitted.
    ///
    /// # Errors
    /// As [`Encoder::fit_file`].
    pub fn encode_file(&self, path: &Path, subset: Subset) -> Result<Encoded> {
        if !reach(path, LARGE)? {
            return self.encode(&self.schema.read(path)?, subset);
        }
        let (mut lengths, mut counts) = (Vec::new(), RowCounts::default());
        for part in Parts::open(&self.schema, path, ROWS)? {
            let Part { first_row, table } = part?;
            let part = self.resampled(&table, first_row, subset)?;
            lengths.extend(part.lengths);
            counts += part.counts;
        }
        self.encode_in_parts(path, subset, ROWS, (lengths, counts))
    }

    fn fit_in_parts(
        schema: &Schema,
        path: &Path,
        subset: Subset,
        rows: usize,
    ) -> Result<(Self, Encoded)> {
        let mut counts = LevelCounts::new(schema);
        if counts.is_needed() {
            for part in Parts::open(schema, path, rows)? {
                counts.add(&part?.table, schema)?;
            }
        }
        let (name, csv) = (path.display().to_string(), first_csv(path));
        let schema = counts.settle(schema, &name)?;
        let mut fit = Fit::new(&schema, &name, csv.as_deref(), subset);
        for part in Parts::open(&schema, path, rows)? {
            let Part { first_row, table } = part?;
            let resampled = fit.part(&table, first_row)?;
            fit.add(&resampled)?;
        }
        let of_rows = (fit.lengths.clone(), fit.counts);
        let encoder = fit.finish()?;
        let encoded = encoder.encode_in_parts(path, subset, rows, of_rows)?;
        Ok((encoder, encoded))
    }

    fn encode_in_parts(
        &self,
        path: &Path,
        subset: Subset,
        rows: usize,
        (lengths, counts): (Vec<usize>, RowCounts),
    ) -> Result<Encoded> {
        let steps = lengths.iter().copied().max().unwrap_or(0);
        let features = self.features();
        let values = Values::fill(lengths.len() * steps * features, |mut values| {
            for part in Parts::open(&self.schema, path, rows)? {
                let Part { first_row, table } = part?;
                let part = self.resampled(&table, first_row, subset)?;
                let (here, rest) =
                    values.split_at_mut_checked(part.lengths.len() * steps * features).ok_or_else(
                        || Error::file(path, "changed while it was read\nhint: try again"),
                    )?;
                self.encode_part(&part, steps, here)?;
                values = rest;
            }
            Ok(())
        })?;
        Ok(Encoded { values, lengths, steps, features, counts })
    }
}

/// Rows of whole patients.
struct Part {
    /// Rows that stand before it.
    first_row: usize,
    table: Table,
}

/// A table, part by part.
struct Parts<'a> {
    schema: &'a Schema,
    path: &'a Path,
    name: String,
    csv: Option<PathBuf>,
    rows: usize,
    files: VecDeque<PathBuf>,
    batches: Option<std::sync::mpsc::IntoIter<Result<DataFrame>>>,
    /// Rows that wait for the rest of their patient.
    carried: Option<DataFrame>,
    first_row: usize,
    /// Hashes of the patients that are done.
    seen: HashSet<u64>,
}

impl<'a> Parts<'a> {
    fn open(schema: &'a Schema, path: &'a Path, rows: usize) -> Result<Self> {
        Ok(Self {
            schema,
            path,
            name: path.display().to_string(),
            csv: first_csv(path),
            rows,
            files: files(path)?.into(),
            batches: None,
            carried: None,
            first_row: 0,
            seen: HashSet::new(),
        })
    }

    /// Some further rows, `None` after the last.
    fn batch(&mut self) -> Result<Option<DataFrame>> {
        loop {
            if let Some(batch) = self.batches.as_mut().and_then(Iterator::next) {
                return batch.map(Some);
            }
            let Some(file) = self.files.pop_front() else { return Ok(None) };
            let batches = if is_csv(&file)? { self.csv(&file) } else { self.binary(&file) };
            self.batches = Some(batches?.into_iter());
        }
    }

    fn matters(&self, name: &str) -> bool {
        self.schema.names().any(|n| n == name)
    }

    /// The batches of a CSV.
    fn csv(&self, file: &Path) -> Result<Receiver<Result<DataFrame>>> {
        let mut csv = self.schema.open_csv(file)?;
        let names: Vec<PlSmallStr> = csv.header.iter().map(|name| name.as_str().into()).collect();
        require_columns(names.iter(), self.schema, file.display())?;
        csv.want(|name| self.matters(name));
        let (rows, (send, receive)) = (self.rows, sync_channel(2));
        std::thread::spawn(move || {
            while let Some(batch) = csv.batch(rows).transpose() {
                let failed = batch.is_err();
                // The receiver is gone, so that there is nothing to read for.
                if send.send(batch).is_err() || failed {
                    break;
                }
            }
        });
        Ok(receive)
    }

    /// The batches of another file.
    fn binary(&self, file: &Path) -> Result<Receiver<Result<DataFrame>>> {
        let names = names_of(file)?.map_err(|problem| Error::file(file, problem))?;
        let names: Vec<PlSmallStr> = names.into_iter().map(Into::into).collect();
        require_columns(names.iter(), self.schema, file.display())?;
        let wanted = names.iter().filter(|name| self.matters(name)).map(ToString::to_string);
        let batches = Batches::open(file, wanted.collect(), self.rows)?;
        let (file, (send, receive)) = (file.to_owned(), sync_channel(2));
        let read = move || {
            for batch in batches {
                let unreadable =
                    |e: PolarsError| Error::file(&file, format!("cannot read the table: {e}"));
                let failed = batch.is_err();
                // The receiver is gone, so that there is nothing to read for.
                if send.send(batch.map_err(unreadable)).is_err() || failed {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name(READING.into()).spawn(read);
        thread.map_err(|e| Error::file(self.path, format!("cannot start a thread: {e}")))?;
        Ok(receive)
    }

    /// The next part, `None` after the last.
    fn part(&mut self) -> Result<Option<Part>> {
        let mut table = self.carried.take();
        let table = loop {
            let more = self.batch()?;
            let is_last = more.is_none();
            table = match (table, more) {
                (Some(mut table), Some(more)) => {
                    table.vstack_mut(&more)?;
                    Some(table)
                }
                (table, more) => table.or(more),
            };
            let Some(gathered) = &table else { return Ok(None) };
            if is_last {
                break table;
            }
            if gathered.height() >= self.rows {
                let runs = runs(gathered.column(&self.schema.patient.column)?)?;
                let last = runs.last().map_or(0, |(_, rows)| *rows);
                let whole = gathered.height() - last;
                if whole > 0 {
                    self.carried = Some(gathered.slice(whole as i64, last));
                    break Some(gathered.slice(0, whole));
                }
            }
        };
        let Some(mut table) = table.filter(|table| table.height() > 0) else { return Ok(None) };
        table.rechunk_mut();
        let first_row = self.first_row;
        let mut row = first_row;
        for (patient, rows) in runs(table.column(&self.schema.patient.column)?)? {
            if !self.seen.insert(patient) {
                let problem = "the patient's rows do not stand together, which a table of this \
                               size needs\nhint: sort it by patient";
                let column = &self.schema.patient.column;
                return Err(Error::cell(self.path.display(), row + 1, column, problem));
            }
            row += rows;
        }
        self.first_row = row;
        let table = Table { frame: table, name: self.name.clone(), csv: self.csv.clone() };
        Ok(Some(Part { first_row, table }))
    }
}

impl Iterator for Parts<'_> {
    type Item = Result<Part>;

    fn next(&mut self) -> Option<Self::Item> {
        self.part().transpose()
    }
}

/// (hash of the patient, rows) of each run of rows of one patient.
fn runs(ids: &Column) -> Result<Vec<(u64, usize)>> {
    let integers = ids.strict_cast(&DataType::Int64).ok().filter(|_| ids.dtype().is_integer());
    let hashes: Vec<u64> = if let Some(ids) = integers {
        ids.i64()?.iter().map(|id| id.unwrap_or(i64::MIN) as u64).collect()
    } else {
        let hash = |id: Option<&str>| {
            let mut hasher = DefaultHasher::new();
            id.map(str::trim).hash(&mut hasher);
            hasher.finish()
        };
        ids.cast(&DataType::String)?.str()?.iter().map(hash).collect()
    };
    Ok(hashes.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ColumnKind, Rare};

    #[test]
    fn parts_of_any_size_are_encoded_as_the_whole() -> Result<()> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (schema, table) in [
            ("data-schemas/pbc.toml", "data/pbc/pbcseq.csv"),
            ("data-schemas/eicu-demo.toml", "data/eicu-demo/labs.csv"),
        ] {
            let (mut schema, path) =
                (Schema::load(&repository.join(schema))?, repository.join(table));
            // Levels that are found, and pooled, in parts too.
            for column in &mut schema.columns {
                if let ColumnKind::Categorical(categorical) = &mut column.kind {
                    categorical.levels.clear();
                    categorical.rare = Some(Rare { below: 0.05, into: "Other".into() });
                }
            }
            let split = crate::Split { share: 0.3, seed: 1 };
            for subset in [Subset::Whole, Subset::Training(split)] {
                let (whole, encoded) = Encoder::fit(&schema, &schema.read(&path)?, subset)?;
                for rows in [1, 100, 1_000_000] {
                    let (encoder, in_parts) = Encoder::fit_in_parts(&schema, &path, subset, rows)?;
                    assert!(encoder == whole, "{table}, {rows} rows, {subset:?}");
                    assert!(in_parts == encoded, "{table}, {rows} rows, {subset:?}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn parts_of_a_text_in_any_dialect_are_encoded_as_the_plain_one() -> Result<()> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let plain = repository.join("data/pbc/pbcseq.csv");
        let schema = Schema::load(&repository.join("data-schemas/pbc.toml"))?;
        let (whole, encoded) = Encoder::fit(&schema, &schema.read(&plain)?, Subset::Whole)?;
        let text = std::fs::read_to_string(&plain).expect("reads");
        let text = format!("sep=;\n# from a ward\n{}", text.replace(',', ";")).replace('\n', "\r");
        let units = std::iter::once(0xFEFF).chain(text.encode_utf16());
        let bytes: Vec<u8> = units.flat_map(u16::to_be_bytes).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.csv.zst");
        std::fs::write(&path, zstd::encode_all(&bytes[..], 1).expect("packs")).expect("writes");
        for rows in [100, 1_000_000] {
            let (encoder, in_parts) = Encoder::fit_in_parts(&schema, &path, Subset::Whole, rows)?;
            // How the table is written is the one thing that differs.
            let encoder = Encoder { style: whole.style.clone(), ..encoder };
            assert!(encoder == whole && in_parts == encoded, "{rows} rows");
        }
        // A damaged archive ends with a message, wherever it is read.
        let bytes = std::fs::read(&path).expect("reads");
        std::fs::write(&path, &bytes[..bytes.len() - 9]).expect("writes");
        let error = Encoder::fit_in_parts(&schema, &path, Subset::Whole, 100).expect_err("refused");
        assert!(error.to_string().contains("is cut off or no zstd archive"), "{error}");
        Ok(())
    }

    #[test]
    fn what_a_later_part_shows_of_ids_and_times_counts() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.csv");
        let table = "id,t,x\n101,0,1\n101,1,2\n002,0,1\n002,1.5,3\n303,0,1\n";
        std::fs::write(&path, table).expect("writes");
        let schema = "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\n\
            step = 0.5\n[[columns]]\nname = \"x\"\nkind = \"numeric\"\n";
        let schema = Schema::parse(schema, Path::new("t.toml"))?;
        let (encoder, encoded) = Encoder::fit_in_parts(&schema, &path, Subset::Whole, 1)?;
        assert_eq!(encoder.patient.width, Some(3));
        let is_whole = matches!(encoder.time, crate::TimeSource::Number { integer, .. } if integer);
        assert!(!is_whole && encoded.lengths == [3, 4, 1], "{:?}", encoded.lengths);
        assert_eq!(encoded.counts.invented_steps, 3);
        Ok(())
    }

    #[test]
    fn a_patient_whose_rows_are_scattered_is_named() -> Result<()> {
        let folder = tempfile::tempdir().map_err(|e| Error::file(Path::new(""), e.to_string()))?;
        let path = folder.path().join("t.csv");
        let table = "id,t,x\na,0,1\nb,0,1\na,1,2\n";
        std::fs::write(&path, table).map_err(|e| Error::file(&path, e.to_string()))?;
        let schema = "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\n\
            step = 1.0\n[[columns]]\nname = \"x\"\nkind = \"numeric\"\n";
        let schema = Schema::parse(schema, Path::new("t.toml"))?;
        let error = Encoder::fit_in_parts(&schema, &path, Subset::Whole, 1)
            .expect_err("refused")
            .to_string();
        assert!(error.contains("row 3") && error.contains("sort it by patient"), "{error}");
        Ok(())
    }
}
