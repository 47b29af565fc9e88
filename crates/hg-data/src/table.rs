//! Tables in and out: CSV and Parquet.

use crate::{Error, Result};
use polars::prelude::*;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Csv,
    Parquet,
}

impl Format {
    fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Ok(Self::Csv),
            "parquet" | "pq" => Ok(Self::Parquet),
            _ => Err(Error::file(path, "unknown kind of table; name it .csv or .parquet")),
        }
    }
}

/// Reads a CSV or Parquet table, by the ending of its name. Columns of a CSV
/// come as text, so that the schema alone decides what they are.
///
/// # Errors
/// [`Error::File`] when the file is missing, empty or no such table.
pub fn read_table(path: &Path) -> Result<DataFrame> {
    let table = match Format::of(path)? {
        Format::Csv => read_csv(path)?,
        Format::Parquet => {
            let file = open(path)?;
            ParquetReader::new(file)
                .finish()
                .map_err(|e| Error::file(path, format!("is no Parquet file: {e}")))?
        }
    };
    if table.height() == 0 {
        return Err(Error::file(path, "has no rows; the table needs at least one"));
    }
    Ok(table)
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| Error::file(path, format!("cannot open the table: {e}")))
}

fn read_csv(path: &Path) -> Result<DataFrame> {
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
    if let Err(e) = std::str::from_utf8(&bytes) {
        let line = line_of(e.valid_up_to());
        return Err(Error::file(path, format!("line {line} is not UTF-8; save the file as UTF-8")));
    }
    let options = CsvReadOptions::default().with_has_header(true).with_infer_schema_length(Some(0));
    CsvReader::new(std::io::Cursor::new(bytes))
        .with_options(options)
        .finish()
        .map_err(|e| Error::file(path, format!("is no CSV: {e}")))
}

/// Writes a table as CSV or Parquet, by the ending of its name, to a temporary
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
        };
        written.map_err(|e| Error::file(path, format!("cannot write the table: {e}")))
    })
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
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary: PathBuf = path.with_file_name(name);
    let failed = |e: std::io::Error| E::from(Error::file(path, format!("cannot write: {e}")));
    let result = (|| {
        let mut file = File::create(&temporary).map_err(failed)?;
        write(&mut file)?;
        file.flush().map_err(failed)?;
        file.sync_all().map_err(failed)?;
        std::fs::rename(&temporary, path).map_err(failed)
    })();
    if result.is_err() {
        // The error is reported; what is left of the temporary file may stay.
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// [`Error::File`] when it cannot be read.
pub fn fingerprint(path: &Path) -> Result<String> {
    let mut digest = Sha256::new();
    std::io::copy(&mut open(path)?, &mut HashWriter(&mut digest))
        .map_err(|e| Error::file(path, format!("cannot read: {e}")))?;
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
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
