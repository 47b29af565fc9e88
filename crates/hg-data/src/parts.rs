//! Tables too large for memory, in parts of whole patients.

use crate::encode::{Fit, refuse_no_sequence};
use crate::files::{files, first_csv, is_csv, reach};
use crate::grid::RowCounts;
use crate::kept::Kept;
use crate::levels::{LevelCounts, settled};
use crate::parsed::require_columns;
use crate::scattered::Scattered;
use crate::table::{Batches, READING, names_of};
use crate::table_set::PatientGroups;
use crate::{Encoded, Encoder, Error, Result, Schema, Subset, Table, Values};
use polars_core::prelude::*;
use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

/// Tables of more bytes, once decompressed, are read part by part.
pub(crate) const LARGE: u64 = 64 << 20;
/// Rows of a part, besides the rest of its last patient: so many that what is made of a column
/// stays in the cache.
pub(crate) const ROWS: usize = 1 << 15;
/// So many parts' rows are read at once.
const PARTS_OF_A_BATCH: usize = 4;

impl Encoder {
    /// Reads, fits to and encodes one subset of the table at `path`: a file, a folder of files, or a
    /// pattern as `visits/*.parquet`. A large table is read part by part; what is fitted then
    /// rests on every second, fourth … row beyond a million. Where the rows of some patient do not
    /// stand together, the parts are put together in temporary files first, and the cohort comes
    /// as that of the table sorted by patient. Several tables are read into memory, and put together
    /// part by part.
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
        let mut source = Source::new(&self.schema, path, ROWS);
        let kept = source.fold(
            || Kept::new(&self.schema),
            |kept, part| kept.add(&self.resampled(&part.table, part.first_row, subset)?),
        )?;
        refuse_no_sequence(&kept.lengths, &self.schema, &source.name)?;
        self.encode_kept(kept)
    }

    fn fit_in_parts(
        schema: &Schema,
        path: &Path,
        subset: Subset,
        rows: usize,
    ) -> Result<(Self, Encoded)> {
        let mut source = Source::new(schema, path, rows);
        let (name, csv) = (source.name.clone(), source.csv()?);
        let mut counts = LevelCounts::new(schema);
        if counts.is_needed() {
            let start = || LevelCounts::new(schema);
            counts = source.fold(start, |counts, part| counts.add(&part.table, schema))?;
        }
        let schema = counts.settle(schema, &name)?;
        let start = || (Fit::new(&schema, &name, csv.as_deref(), subset), Kept::new(&schema));
        let (fit, kept) = source.fold(start, |(fit, kept), part| {
            let resampled = fit.part(&part.table, part.first_row)?;
            fit.add(&resampled)?;
            kept.add(&resampled)
        })?;
        let mut encoder = fit.finish()?;
        let encoded = encoder.encode_kept(kept)?;
        encoder.fit_calibration(&encoded);
        Ok((encoder, encoded))
    }
}

/// A large table in memory as slices of whole patients, so that what is made of its cells on the way
/// exists for one slice at a time, and the table beside its encoded cohort is all that memory holds.
/// `None` for a small table, and where the rows of some patient do not stand together.
pub(crate) fn slices(schema: &Schema, table: &Table, large: u64, rows: usize) -> Option<Vec<Part>> {
    let is_plain = table.set.is_none() && table.rows.is_none();
    if !is_plain || (table.frame.estimated_size() as u64) < large {
        return None;
    }
    let runs = runs(table.frame.column(&schema.patient.column).ok()?).ok()?;
    let mut seen = HashSet::with_capacity(runs.len());
    let (mut slices, mut from, mut to) = (Vec::new(), 0, 0);
    for (n, (patient, length)) in runs.iter().enumerate() {
        if !seen.insert(patient) {
            return None;
        }
        to += length;
        if to - from >= rows || n + 1 == runs.len() {
            let mut frame = table.frame.slice(from as i64, to - from);
            frame.rechunk_mut();
            let csv = table.csv.clone();
            let table = Table { csv, ..Table::new(frame, table.name.clone()) };
            slices.push(Part { first_row: from, table });
            from = to;
        }
    }
    Some(slices)
}

impl Encoder {
    /// [`Encoder::fit`] by slices of the table: each is looked at twice.
    pub(crate) fn fit_in_slices(
        schema: &Schema,
        table: &Table,
        slices: &[Part],
        subset: Subset,
    ) -> Result<(Self, Encoded)> {
        let schema = settled(schema, table)?;
        let mut fit = Fit::new(&schema, &table.name, table.csv.as_deref(), subset);
        for slice in slices {
            let resampled = fit.part(&slice.table, slice.first_row)?;
            fit.add(&resampled)?;
        }
        let (lengths, counts) = (fit.lengths.clone(), fit.counts);
        let mut encoder = fit.finish()?;
        let encoded = encoder.fill(slices, subset, lengths, counts)?;
        encoder.fit_calibration(&encoded);
        Ok((encoder, encoded))
    }

    /// [`Encoder::encode`] by slices of the table.
    pub(crate) fn encode_slices(
        &self,
        table: &Table,
        slices: &[Part],
        subset: Subset,
    ) -> Result<Encoded> {
        let (mut lengths, mut counts) = (Vec::new(), RowCounts::default());
        for slice in slices {
            let resampled = self.resampled(&slice.table, slice.first_row, subset)?;
            lengths.extend(resampled.lengths);
            counts += resampled.counts;
        }
        refuse_no_sequence(&lengths, &self.schema, &table.name)?;
        self.fill(slices, subset, lengths, counts)
    }

    /// Encodes slices one after the other into a cohort of these lengths.
    fn fill(
        &self,
        slices: &[Part],
        subset: Subset,
        lengths: Vec<usize>,
        counts: RowCounts,
    ) -> Result<Encoded> {
        let steps = lengths.iter().copied().max().unwrap_or(0);
        let features = self.features();
        let values = Values::fill(lengths.len() * steps * features, |values| {
            let mut rest = values;
            for slice in slices {
                let resampled = self.resampled(&slice.table, slice.first_row, subset)?;
                let here = resampled.lengths.len() * steps * features;
                let (here, others) = rest.split_at_mut(here);
                self.encode_into(&resampled, steps, here)?;
                rest = others;
            }
            Ok(())
        })?;
        Ok(Encoded { values, lengths, steps, features, counts })
    }
}

/// Rows of whole patients.
pub(crate) struct Part {
    /// Rows that stand before it, where its rows follow each other.
    pub(crate) first_row: usize,
    pub(crate) table: Table,
}

/// A table that is read in parts, as often as need be.
struct Source<'a> {
    schema: &'a Schema,
    path: &'a Path,
    name: String,
    rows: usize,
    /// The table by patients, once it is known that their rows do not stand together.
    scattered: Option<Scattered>,
    /// Several tables by patients.
    set: Option<PatientGroups<'a>>,
}

impl<'a> Source<'a> {
    fn new(schema: &'a Schema, path: &'a Path, rows: usize) -> Self {
        Self { schema, path, name: path.display().to_string(), rows, scattered: None, set: None }
    }

    /// Several tables, which are read once.
    fn several(&mut self) -> Result<&PatientGroups<'a>> {
        Ok(match &mut self.set {
            Some(set) => set,
            none => none.insert(self.schema.read_together(self.path)?.grouped(self.rows)?),
        })
    }

    /// The (first) CSV that it is read from, if it is one.
    fn csv(&mut self) -> Result<Option<PathBuf>> {
        Ok(match self.schema.tables.is_empty() {
            true => first_csv(self.path),
            false => self.several()?.csv().map(Path::to_owned),
        })
    }

    /// Begins with `start` and takes every part by `step`; begins anew where a patient's rows turn
    /// out not to stand together.
    fn fold<T>(
        &mut self,
        start: impl Fn() -> T,
        mut step: impl FnMut(&mut T, &Part) -> Result<()>,
    ) -> Result<T> {
        if !self.schema.tables.is_empty() {
            let mut state = start();
            for table in self.several()?.tables() {
                step(&mut state, &Part { first_row: 0, table: table? })?;
            }
            return Ok(state);
        }
        if self.scattered.is_none() {
            let mut state = start();
            let mut parts = Parts::open(self.schema, self.path, self.rows)?;
            let taken = parts.by_ref().try_for_each(|part| step(&mut state, &part?));
            // What is wrong with half a patient may be right of the whole one.
            let are_whole = !(parts.are_scattered || taken.is_err() && parts.turn_out_scattered());
            if are_whole {
                return taken.map(|()| state);
            }
            tracing::info!(
                "{}: rows of one patient do not stand together; they are put together in \
                 temporary files in {}",
                self.name,
                std::env::temp_dir().display()
            );
        }
        let scattered = match &mut self.scattered {
            Some(scattered) => scattered,
            none => none.insert(Scattered::gather(self.schema, self.path, self.rows)?),
        };
        let mut state = start();
        scattered.parts().try_for_each(|part| step(&mut state, &part?))?;
        Ok(state)
    }
}

/// The columns of a table that are wanted.
#[derive(Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// Those of the schema.
    Modelled,
    /// One of them.
    Only(&'a str),
    /// All that there are.
    All,
}

/// The rows of a table as they stand, some at a time.
pub(crate) struct Rows<'a> {
    schema: &'a Schema,
    path: &'a Path,
    /// Rows that are read at once, about.
    rows: usize,
    wanted: Wanted<'a>,
    files: VecDeque<PathBuf>,
    batches: Option<std::sync::mpsc::IntoIter<Result<DataFrame>>>,
}

impl<'a> Rows<'a> {
    pub(crate) fn open(
        schema: &'a Schema,
        path: &'a Path,
        rows: usize,
        wanted: Wanted<'a>,
    ) -> Result<Self> {
        Ok(Self { schema, path, rows, wanted, files: files(path)?.into(), batches: None })
    }

    fn is_wanted(&self, name: &str) -> bool {
        match self.wanted {
            Wanted::Modelled => self.schema.names().any(|n| n == name),
            Wanted::Only(only) => name == only,
            Wanted::All => true,
        }
    }

    /// The batches of a CSV.
    fn csv(&self, file: &Path) -> Result<Receiver<Result<DataFrame>>> {
        let mut csv = self.schema.open_csv(file)?;
        let names: Vec<PlSmallStr> = csv.header.iter().map(|name| name.as_str().into()).collect();
        require_columns(names.iter(), self.schema, file.display())?;
        csv.want(|name| self.is_wanted(name));
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
        let wanted = names.iter().filter(|name| self.is_wanted(name)).map(ToString::to_string);
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
}

impl Iterator for Rows<'_> {
    type Item = Result<DataFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}

/// A table, part by part, until a patient comes again.
struct Parts<'a> {
    source: Rows<'a>,
    name: String,
    csv: Option<PathBuf>,
    /// Rows of a part, besides the rest of its last patient.
    rows: usize,
    /// Rows that wait for the rest of their patient.
    carried: Option<DataFrame>,
    /// Parts that are cut.
    cut: VecDeque<DataFrame>,
    has_ended: bool,
    first_row: usize,
    /// Hashes of the patients that are done.
    seen: HashSet<u64>,
    /// Whether a patient came again, with which the parts end.
    are_scattered: bool,
}

impl<'a> Parts<'a> {
    fn open(schema: &'a Schema, path: &'a Path, rows: usize) -> Result<Self> {
        Ok(Self {
            source: Rows::open(
                schema,
                path,
                rows.saturating_mul(PARTS_OF_A_BATCH),
                Wanted::Modelled,
            )?,
            name: path.display().to_string(),
            csv: first_csv(path),
            rows,
            carried: None,
            cut: VecDeque::new(),
            has_ended: false,
            first_row: 0,
            seen: HashSet::new(),
            are_scattered: false,
        })
    }

    /// Whether a patient comes again in what is left.
    fn turn_out_scattered(&mut self) -> bool {
        while let Some(Ok(_)) = self.next() {}
        self.are_scattered
    }

    /// Takes further rows, and cuts what is whole.
    fn read_on(&mut self) -> Result<()> {
        let Some(batch) = self.source.next().transpose()? else {
            self.has_ended = true;
            return match self.carried.take() {
                Some(last) => self.cut_off(last, true),
                None => Ok(()),
            };
        };
        match self.carried.take() {
            None => self.cut_off(batch, false),
            // Few rows are put to the others.
            Some(carried) if batch.height() < self.rows => {
                self.cut_off(vstacked(carried, &batch)?, false)
            }
            // Of many rows only those of the patient who began before.
            Some(carried) => {
                let patient = &self.source.schema.patient.column;
                let last = carried.tail(Some(1));
                let last = hashes(last.column(patient)?)?.pop();
                let (first, rows) =
                    runs(batch.column(patient)?)?.first().copied().unwrap_or_default();
                let of_before = if Some(first) == last { rows } else { 0 };
                let begun = vstacked(carried, &batch.slice(0, of_before))?;
                if of_before == batch.height() {
                    self.carried = Some(begun);
                    return Ok(());
                }
                self.cut_off(begun, true)?;
                self.cut_off(batch.slice(of_before as i64, usize::MAX), false)
            }
        }
    }

    /// Cuts rows into parts, and carries those of the last patient, unless `is_whole`.
    fn cut_off(&mut self, table: DataFrame, is_whole: bool) -> Result<()> {
        if !is_whole && table.height() < self.rows {
            self.carried = Some(table);
            return Ok(());
        }
        let mut runs = runs(table.column(&self.source.schema.patient.column)?)?;
        let carried = if is_whole { None } else { runs.pop() };
        let (mut from, mut to) = (0, 0);
        for (patient, rows) in runs {
            if !self.seen.insert(patient) {
                self.are_scattered = true;
                return Ok(());
            }
            to += rows;
            if to - from >= self.rows {
                self.cut.push_back(table.slice(from as i64, to - from));
                from = to;
            }
        }
        if to > from {
            self.cut.push_back(table.slice(from as i64, to - from));
        }
        self.carried = carried.map(|(_, rows)| table.slice(to as i64, rows));
        Ok(())
    }

    fn part(&mut self) -> Result<Option<Part>> {
        loop {
            if self.are_scattered {
                return Ok(None);
            }
            if let Some(mut frame) = self.cut.pop_front() {
                frame.rechunk_mut();
                let first_row = self.first_row;
                self.first_row += frame.height();
                let csv = self.csv.clone();
                let table = Table { csv, ..Table::new(frame, self.name.clone()) };
                return Ok(Some(Part { first_row, table }));
            }
            if self.has_ended {
                return Ok(None);
            }
            self.read_on()?;
        }
    }
}

impl Iterator for Parts<'_> {
    type Item = Result<Part>;

    fn next(&mut self) -> Option<Self::Item> {
        self.part().transpose()
    }
}

pub(crate) fn vstacked(mut table: DataFrame, more: &DataFrame) -> Result<DataFrame> {
    table.vstack_mut(more)?;
    Ok(table)
}

/// (hash of the patient, rows) of each run of rows of one patient.
pub(crate) fn runs(ids: &Column) -> Result<Vec<(u64, usize)>> {
    Ok(hashes(ids)?.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect())
}

/// A hash of each row's patient: a whole number is its own.
fn hashes(ids: &Column) -> Result<Vec<u64>> {
    let integers = ids.strict_cast(&DataType::Int64).ok().filter(|_| ids.dtype().is_integer());
    Ok(if let Some(ids) = integers {
        ids.i64()?.iter().map(|id| id.unwrap_or(i64::MIN) as u64).collect()
    } else {
        let hash = |id: Option<&str>| {
            let mut hasher = DefaultHasher::new();
            id.map(str::trim).hash(&mut hasher);
            hasher.finish()
        };
        ids.cast(&DataType::String)?.str()?.iter().map(hash).collect()
    })
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
    fn slices_of_a_table_in_memory_are_encoded_as_the_whole() -> Result<()> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let schema = Schema::load(&repository.join("data-schemas/pbc.toml"))?;
        let table = schema.read(&repository.join("data/pbc/pbcseq.csv"))?;
        let split = crate::Split { share: 0.3, seed: 1 };
        for subset in [Subset::Whole, Subset::Training(split)] {
            let (whole, encoded) = Encoder::fit(&schema, &table, subset)?;
            for rows in [1, 100, 1_000_000] {
                let parts = slices(&schema, &table, 0, rows).expect("patients stand together");
                assert!(rows > 1 || parts.len() == 312, "a slice for each patient");
                let (encoder, in_slices) = Encoder::fit_in_slices(&schema, &table, &parts, subset)?;
                assert!(encoder == whole && in_slices == encoded, "{rows} rows, {subset:?}");
                assert!(whole.encode_slices(&table, &parts, subset)? == encoded);
            }
        }
        assert!(slices(&schema, &table, LARGE, 100).is_none(), "it is small");
        let frame = table.frame.sort(["day"], Default::default())?;
        let scattered = Table { frame, ..table };
        assert!(slices(&schema, &scattered, 0, 100).is_none());
        Ok(())
    }

    #[test]
    fn several_tables_in_parts_are_encoded_as_the_whole() -> Result<()> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/nafld");
        let schema = crate::infer(&path, None, None)?.schema()?;
        let split = crate::Split { share: 0.3, seed: 1 };
        for subset in [Subset::Whole, Subset::Training(split)] {
            let (whole, encoded) = Encoder::fit(&schema, &schema.read(&path)?, subset)?;
            for rows in [100, 1_000_000] {
                let (encoder, in_parts) = Encoder::fit_in_parts(&schema, &path, subset, rows)?;
                assert!(encoder == whole, "{rows} rows, {subset:?}");
                assert!(in_parts == encoded, "{rows} rows, {subset:?}");
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

    /// A table with these lines, and a schema of it.
    fn lines(lines: &str, more: &str) -> (tempfile::TempDir, PathBuf, Schema) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.csv");
        std::fs::write(&path, lines).expect("writes");
        let schema = format!(
            "name = \"t\"\n{more}[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\n\
             step = 1.0\n[[columns]]\nname = \"x\"\nkind = \"numeric\"\n"
        );
        let schema = Schema::parse(&schema, Path::new("t.toml")).expect("a schema");
        (folder, path, schema)
    }

    #[test]
    fn a_scattered_table_is_encoded_as_the_whole() -> Result<()> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = tempfile::tempdir().expect("a folder");
        for (schema, table) in [
            ("data-schemas/pbc.toml", "data/pbc/pbcseq.csv"),
            ("data-schemas/eicu-demo.toml", "data/eicu-demo/labs.csv"),
        ] {
            let schema = Schema::load(&repository.join(schema))?;
            let text = std::fs::read_to_string(repository.join(table)).expect("reads");
            let (header, rows) = text.split_once('\n').expect("a header");
            let mut rows: Vec<&str> = rows.lines().collect();
            // As good as any order: by the digits from behind.
            rows.sort_by_cached_key(|row| row.bytes().rev().collect::<Vec<u8>>());
            let path = folder.path().join("t.csv");
            std::fs::write(&path, format!("{header}\n{}\n", rows.join("\n"))).expect("writes");
            let split = crate::Split { share: 0.3, seed: 1 };
            for subset in [Subset::Whole, Subset::HeldOut(split)] {
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
    fn typed_columns_come_through_the_temporary_files_as_they_are() -> Result<()> {
        use polars_core::df;
        let mut frame = df!(
            "id" => ["b, a long name of a patient", "a", "b, a long name of a patient", "a"],
            "t" => [0i32, 0, 1, 1],
            "x" => [1.5f32, 2.5, f32::NAN, 4.5],
            "sex" => ["m", "f", "m", "f"],
        )?;
        let levels = FrozenCategories::new(["f", "m"])?;
        let sex = frame.column("sex")?.cast(&DataType::from_frozen_categories(levels))?;
        frame.replace("sex", sex)?;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.parquet");
        crate::write_table(&mut frame, &path, &crate::TableStyle::default())?;
        let schema = "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\n\
            step = 1.0\n[[columns]]\nname = \"x\"\nkind = \"numeric\"\n\
            [[columns]]\nname = \"sex\"\nkind = \"binary\"\n";
        let schema = Schema::parse(schema, Path::new("t.toml"))?;
        let whole = Encoder::fit(&schema, &schema.read(&path)?, Subset::Whole)?;
        assert!(Encoder::fit_in_parts(&schema, &path, Subset::Whole, 1)? == whole);
        Ok(())
    }

    #[test]
    fn a_message_about_a_scattered_patient_names_the_row_of_the_table() {
        let (_folder, path, schema) = lines("id,t,x\na,0,1\nb,0,1\na,1,2\nb,1,?\n", "");
        let error = Encoder::fit_in_parts(&schema, &path, Subset::Whole, 1).expect_err("refused");
        assert!(error.to_string().contains("row 4, column `x`: `?` is not"), "{error}");
        let (_folder, path, schema) = lines("id,t,x\na,0,1\n,0,1\na,1,2\n", "");
        let error = Encoder::fit_in_parts(&schema, &path, Subset::Whole, 1).expect_err("refused");
        assert!(error.to_string().contains("row 2, column `id`: the patient is"), "{error}");
    }

    #[test]
    fn a_patient_who_seems_short_in_one_place_goes_on_in_another() -> Result<()> {
        let short = "sequence = { min_length = 2 }\n";
        let (_folder, path, schema) = lines("id,t,x\na,0,1\nb,0,1\nb,1,1\na,1,2\n", short);
        let (_, encoded) = Encoder::fit_in_parts(&schema, &path, Subset::Whole, 1)?;
        assert_eq!(encoded.lengths, [2, 2]);
        // One who is short is told of, though all stand together.
        let (_folder, path, schema) = lines("id,t,x\na,0,1\nb,0,1\nb,1,1\n", short);
        let error = Encoder::fit_in_parts(&schema, &path, Subset::Whole, 1).expect_err("refused");
        assert!(error.to_string().contains("patient `a`"), "{error}");
        Ok(())
    }
}
