//! Tables in and out: CSV, Parquet and Arrow IPC.

use crate::{Error, Result, Schema};
use encoding_rs::Encoding;
use polars::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Csv,
    Parquet,
    Ipc,
}

impl Format {
    fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Ok(Self::Csv),
            "parquet" | "pq" => Ok(Self::Parquet),
            "arrow" | "ipc" | "feather" => Ok(Self::Ipc),
            _ => {
                let problem = "unknown kind of table; name it .csv, .parquet or .arrow";
                Err(Error::file(path, problem))
            }
        }
    }
}

impl Schema {
    /// Reads a CSV, Parquet or Arrow IPC table, by the ending of its name; `path` may
    /// also be a folder of such files, or a pattern as `visits/*.csv`. Columns of
    /// a CSV come as text, so that the schema alone decides what they are.
    ///
    /// # Errors
    /// [`Error::File`] when the file is missing, empty or no such table.
    pub fn read(&self, path: &Path) -> Result<DataFrame> {
        let encoding = self.encoding.as_ref().and_then(|name| Encoding::for_label(name.as_bytes()));
        read_table(path, encoding, self.separator.unwrap_or(',') as u8)
    }
}

/// The files at `path`: itself, those of a folder, or those of a pattern.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let text = path.to_string_lossy();
    let mut files: Vec<PathBuf> = if path.is_dir() {
        let entries = std::fs::read_dir(path)
            .map_err(|e| Error::file(path, format!("cannot list the folder: {e}")))?;
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        files.filter(|file| Format::of(file).is_ok()).collect()
    } else if !path.exists() && text.contains(['*', '?', '[']) {
        let found = glob::glob(&text)
            .map_err(|e| Error::file(path, format!("is no pattern of files: {e}")))?;
        found.filter_map(std::result::Result::ok).collect()
    } else {
        return Ok(vec![path.to_owned()]);
    };
    files.sort();
    if files.is_empty() {
        return Err(Error::file(path, "holds no table; .csv, .parquet and .arrow are tables"));
    }
    Ok(files)
}

/// Bytes of the files at `path`.
pub(crate) fn total_bytes(path: &Path) -> Result<u64> {
    let size = |file: PathBuf| {
        let failed = |e| Error::file(&file, format!("cannot open the table: {e}"));
        Ok(std::fs::metadata(&file).map_err(failed)?.len())
    };
    files(path)?.into_iter().map(size).sum()
}

/// A plan that reads one file, CSV columns as text.
pub(crate) fn scan(schema: &Schema, file: &Path) -> Result<LazyFrame> {
    let path = PlRefPath::from(&*file.to_string_lossy());
    let failed = |e: PolarsError| Error::file(file, format!("cannot read the table: {e}"));
    match Format::of(file)? {
        Format::Csv => LazyCsvReader::new(path)
            .with_infer_schema_length(Some(0))
            .with_separator(schema.separator.unwrap_or(',') as u8)
            .finish(),
        Format::Parquet => LazyFrame::scan_parquet(path, ScanArgsParquet::default()),
        Format::Ipc => {
            LazyFrame::scan_ipc(path, IpcScanOptions::default(), UnifiedScanArgs::default())
        }
    }
    .map_err(failed)
}

/// Reads the files at `path` as one table, a CSV with this encoding (UTF-8 if none is
/// given) and separator.
pub(crate) fn read_table(
    path: &Path,
    encoding: Option<&'static Encoding>,
    separator: u8,
) -> Result<DataFrame> {
    let mut all: Option<DataFrame> = None;
    for file in files(path)? {
        let table = read_file(&file, encoding, separator)?;
        match &mut all {
            None => all = Some(table),
            Some(all) => {
                all.vstack_mut(&table).map_err(|e| {
                    Error::file(&file, format!("differs from the files before it: {e}"))
                })?;
            }
        }
    }
    all.ok_or_else(|| Error::file(path, "holds no table"))
}

fn read_file(path: &Path, encoding: Option<&'static Encoding>, separator: u8) -> Result<DataFrame> {
    let no = |what: &str, e: PolarsError| Error::file(path, format!("is no {what} file: {e}"));
    let table = match Format::of(path)? {
        Format::Csv => parse_csv(path, read_csv_text(path, encoding)?, separator)?,
        Format::Parquet => {
            ParquetReader::new(open(path)?).finish().map_err(|e| no("Parquet", e))?
        }
        Format::Ipc => IpcReader::new(open(path)?).finish().map_err(|e| no("Arrow IPC", e))?,
    };
    if table.height() == 0 {
        return Err(Error::file(path, "has no rows; the table needs at least one"));
    }
    Ok(table)
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| Error::file(path, format!("cannot open the table: {e}")))
}

/// Whether the file is a CSV by its name.
pub(crate) fn is_csv(path: &Path) -> Result<bool> {
    Ok(Format::of(path)? == Format::Csv)
}

/// The text of a CSV, as UTF-8.
pub(crate) fn read_csv_text(path: &Path, encoding: Option<&'static Encoding>) -> Result<String> {
    let bytes = std::fs::read(path)
        .map_err(|e| Error::file(path, format!("cannot open the table: {e}")))?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::file(path, "is empty; a CSV needs a header line and rows"));
    }
    let line_of = |at: usize| 1 + bytes[..at].iter().filter(|&&b| b == b'\n').count();
    if let Some(at) = bytes.iter().position(|&b| b == 0) {
        let line = line_of(at);
        return Err(Error::file(path, format!("is no CSV: line {line} holds a NUL byte")));
    }
    if let Some(encoding) = encoding {
        let (text, used, failed) = encoding.decode(&bytes);
        if failed {
            let problem = format!("is not {}; mend `encoding` in the schema", used.name());
            return Err(Error::file(path, problem));
        }
        return Ok(text.into_owned());
    }
    String::from_utf8(bytes).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()]
            .iter()
            .filter(|&&b| b == b'\n')
            .count();
        let problem = format!(
            "line {line} is not UTF-8; save the file as UTF-8, or set encoding = \"windows-1252\" in the schema"
        );
        Error::file(path, problem)
    })
}

/// The separator that the header line holds most of; a comma if it holds none.
pub(crate) fn csv_separator(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    let count = |separator: &u8| header.bytes().filter(|b| b == separator).count();
    let candidates = [b'|', b'\t', b';', b','];
    candidates.into_iter().max_by_key(count).unwrap_or(b',')
}

/// Refuses a header with a name twice, and rows with more or fewer cells than it.
fn check_records(path: &Path, text: &str, separator: u8) -> Result<()> {
    let mut records = Records { rest: text.as_bytes(), separator };
    let header = records.next().unwrap_or_default();
    let mut names = HashSet::new();
    if let Some(twice) = header.iter().find(|name| !names.insert(name.trim())) {
        let problem = "the header names it twice; rename one";
        return Err(Error::column(path, twice.trim(), problem));
    }
    let mut problems = Vec::new();
    for (row, record) in records.filter(|record| *record != [""]).enumerate() {
        // A table of one column has empty lines for empty cells.
        if record.len() != header.len() {
            let problem = format!(
                "row {} has {} cells, the header has {}; mend it (quote cells that hold a «{}»)",
                row + 1,
                record.len(),
                header.len(),
                char::from(separator)
            );
            problems.push(Error::file(path, problem));
        }
    }
    Error::all(problems)
}

/// The records of a CSV as raw cells.
struct Records<'a> {
    rest: &'a [u8],
    separator: u8,
}

impl<'a> Iterator for Records<'a> {
    type Item = Vec<&'a str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (mut cells, mut start, mut quoted, mut end) = (Vec::new(), 0, false, self.rest.len());
        // The cuts are at ASCII bytes, so the pieces are as sound as the whole.
        let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).unwrap_or_default();
        for (at, &byte) in self.rest.iter().enumerate() {
            match byte {
                b'"' => quoted = !quoted,
                b'\n' if !quoted => {
                    end = at;
                    break;
                }
                _ if byte == self.separator && !quoted => {
                    cells.push(text(&self.rest[start..at]));
                    start = at + 1;
                }
                _ => {}
            }
        }
        let last = text(&self.rest[start..end]);
        cells.push(last.strip_suffix('\r').unwrap_or(last));
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        Some(cells)
    }
}

fn parse_csv(path: &Path, text: String, separator: u8) -> Result<DataFrame> {
    check_records(path, &text, separator)?;
    let options = CsvReadOptions::default()
        .with_has_header(true)
        .with_infer_schema_length(Some(0))
        .with_parse_options(CsvParseOptions::default().with_separator(separator));
    CsvReader::new(std::io::Cursor::new(text.into_bytes()))
        .with_options(options)
        .finish()
        .map_err(|e| Error::file(path, format!("is no CSV: {e}")))
}

/// Writes a table as CSV, Parquet or Arrow IPC, by the ending of its name, to a temporary
/// name first.
///
/// # Errors
/// [`Error::File`] when the file cannot be written.
pub fn write_table(table: &mut DataFrame, path: &Path) -> Result<()> {
    let format = Format::of(path)?;
    write_atomically(path, |file| {
        let written = match format {
            Format::Csv => CsvWriter::new(file).finish(table),
            Format::Parquet => ParquetWriter::new(file).finish(table).map(|_| ()),
            Format::Ipc => IpcWriter::new(file).finish(table),
        };
        written.map_err(|e| Error::file(path, format!("cannot write the table: {e}")))
    })
}

/// Writes a table that comes in parts, by the ending of its name, to a temporary
/// name first; a Parquet file is marked as simulated. At least one part must come.
///
/// # Errors
/// What a part reports, and [`Error::File`] when the file cannot be written.
pub fn write_simulated(
    parts: impl Iterator<Item = Result<DataFrame>>,
    path: &Path,
) -> Result<usize> {
    let format = Format::of(path)?;
    let mut parts = parts.peekable();
    let columns = match parts.peek() {
        Some(Ok(first)) => first.schema().clone(),
        // The first part's error is reported below.
        _ => SchemaRef::default(),
    };
    let failed = |e: PolarsError| Error::file(path, format!("cannot write the table: {e}"));
    let mut rows = 0;
    let mut each = |write: &mut dyn FnMut(&DataFrame) -> PolarsResult<()>| -> Result<()> {
        for part in &mut parts {
            let part = part?;
            rows += part.height();
            write(&part).map_err(failed)?;
        }
        Ok(())
    };
    write_atomically(path, |file| -> Result<()> {
        match format {
            Format::Csv => {
                let mut writer = CsvWriter::new(file).batched(&columns).map_err(failed)?;
                each(&mut |part| writer.write_batch(part))?;
                writer.finish().map_err(failed)
            }
            Format::Parquet => {
                let mark = vec![("simulated".to_owned(), "true".to_owned())];
                let mut writer = ParquetWriter::new(file)
                    .with_key_value_metadata(Some(KeyValueMetadata::from_static(mark)))
                    .batched(&columns)
                    .map_err(failed)?;
                each(&mut |part| writer.write_batch(part))?;
                writer.finish().map(|_| ()).map_err(failed)
            }
            Format::Ipc => {
                let problem = "simulated cohorts come part by part; name it .parquet or .csv";
                Err(Error::file(path, problem))
            }
        }
    })?;
    Ok(rows)
}

/// Lets `write` fill a temporary file beside `path` and renames it when it is
/// complete and on disk, so that `path` is never half-written.
///
/// # Errors
/// What `write` reports, and [`Error::File`] when the file cannot be written.
pub fn write_atomically<E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    fill_then_rename(path, |temporary| {
        let failed = |e: std::io::Error| E::from(Error::file(path, format!("cannot write: {e}")));
        let mut file = File::create(temporary).map_err(failed)?;
        write(&mut file)?;
        file.flush().map_err(failed)
    })
}

/// The same for a `write` that wants the temporary file's name.
///
/// # Errors
/// As [`write_atomically`].
pub fn fill_then_rename<E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&Path) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary: PathBuf = path.with_file_name(name);
    let failed = |e: std::io::Error| E::from(Error::file(path, format!("cannot write: {e}")));
    let result = (|| {
        write(&temporary)?;
        File::open(&temporary).and_then(|file| file.sync_all()).map_err(failed)?;
        std::fs::rename(&temporary, path).map_err(failed)
    })();
    if result.is_err() {
        // The error is reported; what is left of the temporary file may stay.
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// SHA-256 of the files at `path`, one after the other, in hexadecimal.
///
/// # Errors
/// [`Error::File`] when it cannot be read.
pub fn fingerprint(path: &Path) -> Result<String> {
    let mut digest = Sha256::new();
    for file in files(path)? {
        std::io::copy(&mut open(&file)?, &mut HashWriter(&mut digest))
            .map_err(|e| Error::file(&file, format!("cannot read: {e}")))?;
    }
    Ok(hexadecimal(digest))
}

/// SHA-256 of bytes, in hexadecimal.
pub fn fingerprint_of(bytes: &[u8]) -> String {
    hexadecimal(Sha256::new_with_prefix(bytes))
}

fn hexadecimal(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
