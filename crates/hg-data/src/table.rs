//! Tables in memory, and tables in: CSV, Parquet and Arrow IPC.

use crate::csv::{Csv, Separator, Sniffed, other_encoding, read_any};
use crate::files::{Format, files, first_csv, is_csv, open};
use crate::table_set::TableSet;
use crate::{Error, Result, Schema};
use encoding_rs::Encoding;
use polars_arrow::io::ipc::read::{FileReader, read_file_metadata};
use polars_core::prelude::*;
use polars_io::prelude::*;
use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A table in memory, with the name that messages give it.
///
/// ```
/// use hg_data::{DataFrame, Table};
///
/// let table = Table::new(DataFrame::empty(), "visits of 2021");
/// assert_eq!(table.name, "visits of 2021");
/// assert_eq!(Table::from(DataFrame::empty()).name, "table");
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    /// Its columns.
    pub frame: DataFrame,
    /// What messages call it: its file, where it was read from one.
    pub name: String,
    /// The (first) CSV that it was read from: its columns are texts, which may be numbers,
    /// times or levels. `None` where the columns' types say what they hold.
    pub(crate) csv: Option<PathBuf>,
    /// Which rows of its file these are, counted from 0, where they do not follow each other.
    pub(crate) rows: Option<Arc<[u64]>>,
    /// The tables that it was put together from, where there are several.
    pub(crate) set: Option<Arc<TableSet>>,
}

impl Table {
    /// A table whose columns' types say what they hold: a text is a text, be it of digits.
    pub fn new(frame: DataFrame, name: impl Into<String>) -> Self {
        Self { frame, name: name.into(), csv: None, rows: None, set: None }
    }

    /// The table with this name, where it was given none.
    #[must_use]
    pub fn or_named(self, name: &str) -> Self {
        match self.name == UNNAMED {
            true => Self { name: name.to_owned(), ..self },
            false => self,
        }
    }

    /// A table, or a part of one, that was read from the files at `path`.
    pub(crate) fn of_file(frame: DataFrame, path: &Path) -> Self {
        Self { csv: first_csv(path), ..Self::new(frame, path.display().to_string()) }
    }

    /// A table that was put together from several.
    pub(crate) fn of_set(
        frame: DataFrame,
        name: &str,
        csv: Option<PathBuf>,
        set: TableSet,
    ) -> Self {
        Self { csv, set: Some(Arc::new(set)), ..Self::new(frame, name) }
    }

    /// The table's name and the row, from 1, that messages about a cell give, where `first_row` rows
    /// of its file stand before the table.
    pub(crate) fn place(&self, first_row: usize, row: usize, column: &str) -> (&str, usize) {
        match (&self.set, &self.rows) {
            (Some(set), _) => set.rows.place(row, column),
            (None, Some(rows)) => (&self.name, rows[row] as usize + 1),
            (None, None) => (&self.name, first_row + row + 1),
        }
    }

    /// That something is wrong with a cell.
    pub(crate) fn cell_error(
        &self,
        (first_row, row): (usize, usize),
        column: &str,
        problem: impl Into<String>,
    ) -> Error {
        let (name, row) = self.place(first_row, row, column);
        Error::cell(name, row, column, problem)
    }

    /// Whether the columns are texts that may mean anything.
    pub(crate) fn is_untyped(&self) -> bool {
        self.csv.is_some()
    }
}

/// The name of a table that was given none.
const UNNAMED: &str = "table";

impl From<DataFrame> for Table {
    /// A table with the name `table`.
    fn from(frame: DataFrame) -> Self {
        Self::new(frame, UNNAMED)
    }
}

impl From<&DataFrame> for Table {
    /// A table with the name `table`; its columns are shared, not copied.
    fn from(frame: &DataFrame) -> Self {
        Self::new(frame.clone(), UNNAMED)
    }
}

impl From<&Table> for Table {
    /// The table with its name; its columns are shared, not copied.
    fn from(table: &Table) -> Self {
        table.clone()
    }
}

impl Schema {
    /// Reads a CSV, Parquet or Arrow IPC table, by the ending of its name; `path` may
    /// also be a folder of such files, or a pattern as `visits/*.csv`. Columns of
    /// a CSV come as text, so that the schema alone decides what they are. A CSV may
    /// be compressed (`.csv.gz`, `.csv.zst`). The table has the name of its path. Where the schema
    /// has several tables, `path` is the folder that holds them, and they are put together.
    ///
    /// # Errors
    /// [`Error::File`] when the file is missing, empty or no such table.
    pub fn read(&self, path: &Path) -> Result<Table> {
        if !self.tables.is_empty() {
            return self.read_set(path);
        }
        let frame = read_table(path, self.text_encoding(), self.cell_separator())?;
        Ok(Table::of_file(frame, path))
    }

    pub(crate) fn text_encoding(&self) -> Option<&'static Encoding> {
        self.encoding.as_ref().and_then(|name| Encoding::for_label(name.as_bytes()))
    }

    pub(crate) fn cell_separator(&self) -> Separator {
        self.separator.map_or(Separator::Usual, |separator| Separator::Given(separator as u8))
    }

    /// Opens one CSV.
    pub(crate) fn open_csv(&self, file: &Path) -> Result<Csv> {
        Csv::open(file, self.text_encoding(), self.cell_separator())
    }
}

/// Reads the files at `path` as one table, a CSV with this encoding (UTF-8 if none is
/// given) and separator.
pub(crate) fn read_table(
    path: &Path,
    encoding: Option<&'static Encoding>,
    separator: Separator,
) -> Result<DataFrame> {
    let mut all = None;
    for file in files(path)? {
        put_below(&mut all, read_file(&file, encoding, separator)?, &file)?;
    }
    all.ok_or_else(|| Error::file(path, "holds no table"))
}

/// Reads files as one table, which may have no rows.
pub(crate) fn read_files(
    files: &[PathBuf],
    encoding: Option<&'static Encoding>,
    separator: Separator,
) -> Result<Option<DataFrame>> {
    let (mut all, mut without) = (None, None);
    for file in files {
        match read_file(file, encoding, separator)? {
            Some(table) => put_below(&mut all, Some(table), file)?,
            None if is_csv(file)? => {
                let header = Csv::open(file, encoding, separator)?.header.into_iter();
                let column = |name: String| Column::new_empty(name.into(), &DataType::String);
                without = Some(DataFrame::new(0, header.map(column).collect())?);
            }
            None => without = Some(read_binary(file)?),
        }
    }
    Ok(all.or(without))
}

/// Reads the files at `path` as one table, each once: CSVs in the dialect of the first, which is
/// found.
pub(crate) fn read_any_table(path: &Path) -> Result<(DataFrame, Option<Sniffed>)> {
    read_any_files(&files(path)?, path)
}

/// Reads the files of the table at `path` as [`read_any_table`] does.
pub(crate) fn read_any_files(
    files: &[PathBuf],
    path: &Path,
) -> Result<(DataFrame, Option<Sniffed>)> {
    let (mut all, mut dialect) = (None, None);
    for file in files {
        let table = match dialect {
            None if all.is_none() && is_csv(file)? => {
                let (table, found) = read_any(file)?;
                dialect = Some(found);
                table
            }
            None => read_file(file, None, Separator::Given(b','))?,
            Some(Sniffed { encoding, separator, .. }) => {
                read_file(file, encoding, Separator::Given(separator))?
            }
        };
        put_below(&mut all, table, file)?;
    }
    let all = all.ok_or_else(|| Error::file(path, "holds no table"))?;
    Ok((all, dialect))
}

/// The names of a file's columns, in whatever dialect it is written.
pub(crate) fn any_header(file: &Path) -> Result<Vec<String>> {
    if !is_csv(file)? {
        return names_of(file)?.map_err(|problem| Error::file(file, problem));
    }
    let open = |encoding| Ok(Csv::open(file, encoding, Separator::Guessed)?.header);
    // As the whole file is read.
    open(None).or_else(|problem| match other_encoding(file)? {
        None => Err(problem),
        other => open(other),
    })
}

/// One file's rows, `None` where it has none.
fn read_file(
    file: &Path,
    encoding: Option<&'static Encoding>,
    separator: Separator,
) -> Result<Option<DataFrame>> {
    Ok(match is_csv(file)? {
        true => Csv::open(file, encoding, separator)?.batch(usize::MAX)?,
        false => Some(read_binary(file)?).filter(|table| table.height() > 0),
    })
}

/// Puts a file's rows below those of the files before it.
fn put_below(all: &mut Option<DataFrame>, table: Option<DataFrame>, file: &Path) -> Result<()> {
    let table = table
        .ok_or_else(|| Error::file(file, "has no rows\nhint: the table needs at least one"))?;
    match all {
        None => *all = Some(table),
        Some(all) => {
            all.vstack_mut(&table)
                .map_err(|e| Error::file(file, format!("differs from the files before it: {e}")))?;
        }
    }
    Ok(())
}

/// Reads a Parquet or Arrow IPC file; columns that polars cannot read are left out with a
/// warning, as long as some can be.
fn read_binary(path: &Path) -> Result<DataFrame> {
    let whole = read_columns(path, None)?;
    let Err(problem) = whole else { return Ok(whole.unwrap_or_default()) };
    let names = match names_of(path)? {
        Ok(names) => names,
        Err(_) => return Err(Error::file(path, problem)),
    };
    let mut columns = Vec::new();
    for name in names {
        match read_columns(path, Some(&name))? {
            Ok(table) => columns.extend(table.columns().iter().cloned()),
            Err(e) => tracing::warn!("{}, column `{name}`: is left out: {e}", path.display()),
        }
    }
    let rows = columns.first().map_or(0, Column::len);
    if rows == 0 || columns.iter().any(|column| column.len() != rows) {
        return Err(Error::file(path, problem));
    }
    Ok(DataFrame::new(rows, columns)?)
}

/// All columns of a file, or one; else what is wrong.
fn read_columns(path: &Path, name: Option<&str>) -> Result<std::result::Result<DataFrame, String>> {
    let (format, file) = (Format::of(path)?.0, open(path)?);
    let names = name.map(|name| vec![name.to_owned()]);
    Ok(match format {
        Format::Csv | Format::Parquet => {
            apart("Parquet", || ParquetReader::new(file).with_columns(names).finish())
        }
        Format::Ipc => apart("Arrow IPC", || IpcReader::new(file).with_columns(names).finish()),
    })
}

/// The names of a file's columns; else what is wrong.
pub(crate) fn names_of(path: &Path) -> Result<std::result::Result<Vec<String>, String>> {
    let (format, file) = (Format::of(path)?.0, open(path)?);
    let names = |schema: &ArrowSchema| schema.iter_names().map(|name| name.to_string()).collect();
    Ok(match format {
        Format::Csv | Format::Parquet => {
            apart("Parquet", || ParquetReader::new(file).schema().map(|schema| names(&schema)))
        }
        Format::Ipc => {
            apart("Arrow IPC", || IpcReader::new(file).schema().map(|schema| names(&schema)))
        }
    })
}

/// A Parquet or Arrow IPC file, some rows at a time.
pub(crate) enum Batches {
    /// Whole row groups; of large ones a part.
    Parquet {
        file: File,
        columns: Vec<String>,
        metadata: Arc<polars_parquet::read::FileMetadata>,
        slices: VecDeque<Slice>,
    },
    /// Its record batches.
    Ipc(Box<FileReader<File>>),
}

/// (first row, rows) of a batch.
type Slice = (usize, usize);

impl Batches {
    /// Opens a file, of whose columns these are read; a batch has about so many rows.
    pub(crate) fn open(path: &Path, columns: Vec<String>, rows: usize) -> Result<Self> {
        let (format, mut file) = (Format::of(path)?.0, open(path)?);
        let failed = |e: String| Error::file(path, e);
        if format == Format::Ipc {
            let opened = apart("Arrow IPC", || {
                let metadata = read_file_metadata(&mut file)?;
                let wanted = |name: &PlSmallStr| columns.iter().any(|column| *column == **name);
                let names = metadata.schema.iter_names().enumerate();
                let at = names.filter(|(_, name)| wanted(name)).map(|(n, _)| n).collect();
                Ok(Box::new(FileReader::new(file, metadata, Some(at), None)))
            });
            return opened.map(Self::Ipc).map_err(failed);
        }
        let again = file.try_clone().map_err(|e| failed(format!("cannot read the table: {e}")))?;
        let metadata = apart("Parquet", || ParquetReader::new(again).get_metadata().cloned());
        let metadata = metadata.map_err(failed)?;
        let (mut slices, mut first) = (VecDeque::new(), 0);
        for group in &metadata.row_groups {
            let end = first + group.num_rows();
            while first < end {
                let taken = (end - first).min(rows.saturating_mul(ROWS_OF_A_GROUP));
                slices.push_back((first, taken));
                first += taken;
            }
        }
        Ok(Self::Parquet { file, columns, metadata, slices })
    }

    fn read(&mut self) -> PolarsResult<Option<DataFrame>> {
        match self {
            Self::Parquet { file, columns, metadata, slices } => {
                let Some(slice) = slices.pop_front() else { return Ok(None) };
                let mut reader = ParquetReader::new(file.try_clone()?)
                    .with_columns(Some(columns.clone()))
                    .with_slice(Some(slice));
                reader.set_metadata(metadata.clone());
                reader.finish().map(Some)
            }
            Self::Ipc(reader) => Ok(reader.next().transpose()?.map(DataFrame::from)),
        }
    }
}

impl Iterator for Batches {
    type Item = PolarsResult<DataFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        // polars may panic on a damaged file, which is the file's fault and not the program's.
        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.read()));
        let damaged = || Err(PolarsError::ComputeError("the file is damaged".into()));
        read.unwrap_or_else(|_| damaged()).transpose()
    }
}

/// A row group of more rows than so many batches is read in slices.
const ROWS_OF_A_GROUP: usize = 4;

/// The name of threads in which polars may panic on what it reads, which becomes a message:
/// [`keep_silent_about_reading`].
pub const READING: &str = "hg-read";

/// Sets a panic hook that keeps silent where polars panics on a file, which becomes a message of its own;
/// for programs.
pub fn keep_silent_about_reading() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some(READING) {
            usual(panic);
        }
    }));
}

/// Lets polars read in a thread of its own: on files that are damaged, or hold types that it does
/// not know, it panics.
fn apart<T: Send>(
    what: &str,
    read: impl FnOnce() -> PolarsResult<T> + Send,
) -> std::result::Result<T, String> {
    let done = std::thread::scope(|scope| {
        let reading = std::thread::Builder::new().name(READING.into()).spawn_scoped(scope, read);
        reading.map(std::thread::ScopedJoinHandle::join)
    });
    let no = |why: String| {
        let why = why.lines().next().unwrap_or_default().to_owned();
        format!(
            "is no {what} file, or holds what cannot be read ({why})\nhint: write it again, with plain types of columns"
        )
    };
    match done {
        Ok(Ok(Ok(read))) => Ok(read),
        Ok(Ok(Err(e))) => Err(no(e.to_string())),
        Ok(Err(panic)) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(no(text.unwrap_or_default()))
        }
        Err(e) => Err(no(e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::reach;
    use std::path::PathBuf;

    fn case(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases").join(name)
    }

    /// As `infer` reads a table.
    fn read(name: &str) -> Result<DataFrame> {
        read_any_table(&case(name)).map(|(table, _)| table)
    }

    fn column(table: &DataFrame, name: &str) -> Vec<String> {
        let cells = table.column(name).and_then(|c| c.str()).expect("texts").iter();
        cells.map(|cell| cell.unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn lines_of_all_kinds_hold_the_same_table() {
        let whole = read("29-lines/cr-only.csv").expect("reads");
        assert_eq!(whole.get_column_names(), ["patient", "hour", "hr", "temp", "sex", "age"]);
        assert_eq!(column(&whole, "temp")[..3], ["37.2", "37.5", "37.3"]);
        for name in ["blank-rows", "comment", "sep-line"] {
            let table = read(&format!("29-lines/{name}.csv")).expect("reads");
            assert!(table.equals_missing(&whole), "{name}");
        }
        let empty = read("29-lines/empty-text.csv").expect("reads");
        assert_eq!(column(&empty, "sex")[5..7], ["m", ""]);
        let units = read("29-lines/unit.csv").expect("reads");
        assert_eq!(column(&units, "temp")[0], "37.2°C");
        let problem = read("29-lines/dup-names.csv").expect_err("refused").to_string();
        assert!(problem.ends_with("column `hr`: the header names it twice\nhint: rename one"));
    }

    #[test]
    fn encodings_separators_and_archives_of_the_cases_are_read() {
        let little = read("04-utf16/unicode-text.csv").expect("reads");
        let names = ["Patient", "Hour", "Puls", "Temp °C", "Geschlecht"];
        assert_eq!(little.get_column_names(), names);
        assert_eq!(column(&little, "Geschlecht")[0], "männlich");
        assert!(little.equals(&read("04-utf16/utf16-bom-be.csv").expect("reads")));
        let latin = read("03b-dialect/latin1.csv").expect("reads");
        assert_eq!(column(&latin, "place")[0], "Köln");
        assert!(latin.equals(&read("03b-dialect/semicolon.csv").expect("reads")));
        let comma = read("03-decimal-comma/lab.csv").expect("reads");
        assert_eq!(column(&comma, "kalium")[0], "4,934");
        let compressed = case("13-gz/vitals.csv.gz");
        let table = read("13-gz/vitals.csv.gz").expect("reads");
        assert!(table.width() > 2 && table.height() > 100);
        let size = std::fs::metadata(&compressed).expect("a file").len();
        assert!(reach(&compressed, size + 1).expect("reads"), "judged by what it holds");
        assert!(!reach(&compressed, 1 << 20).expect("reads"));
    }

    #[test]
    fn every_type_of_arrow_and_parquet_is_read() {
        for folder in ["01-offsets", "10-arrow-types"] {
            for entry in std::fs::read_dir(case(folder)).expect("lists") {
                let path = entry.expect("an entry").path();
                if Format::of(&path).is_ok() && !is_csv(&path).expect("a table") {
                    let table = read_binary(&path).unwrap_or_else(|e| panic!("{e}"));
                    assert!(table.height() > 0, "{}", path.display());
                }
            }
        }
    }

    #[test]
    fn notes_beside_tables_are_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let names = |files: Vec<PathBuf>| -> Vec<String> {
            files
                .iter()
                .map(|f| f.file_name().unwrap_or_default().to_string_lossy().into())
                .collect()
        };
        for name in ["b.txt", "c.csv.gz.tmp", "d.md"] {
            std::fs::write(folder.path().join(name), "a,b\n1,2\n").expect("writes");
        }
        assert_eq!(names(files(folder.path()).expect("lists")), ["b.txt"]);
        for name in ["a.csv.gz", "a.tsv"] {
            std::fs::write(folder.path().join(name), "a,b\n1,2\n").expect("writes");
        }
        assert_eq!(names(files(folder.path()).expect("lists")), ["a.csv.gz", "a.tsv"]);
        let pattern = folder.path().join("*.csv.*z");
        assert_eq!(names(files(&pattern).expect("lists")), ["a.csv.gz"]);
    }
}
