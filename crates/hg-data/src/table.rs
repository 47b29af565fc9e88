//! Tables in: CSV, Parquet and Arrow IPC.

use crate::csv::{Csv, Separator};
use crate::files::{Format, files, is_csv, open};
use crate::{Error, Result, Schema};
use encoding_rs::Encoding;
use polars::prelude::*;
use std::path::Path;

impl Schema {
    /// Reads a CSV, Parquet or Arrow IPC table, by the ending of its name; `path` may
    /// also be a folder of such files, or a pattern as `visits/*.csv`. Columns of
    /// a CSV come as text, so that the schema alone decides what they are. A CSV may
    /// be compressed (`.csv.gz`, `.csv.zst`).
    ///
    /// # Errors
    /// [`Error::File`] when the file is missing, empty or no such table.
    pub fn read(&self, path: &Path) -> Result<DataFrame> {
        read_table(path, self.text_encoding(), self.cell_separator())
    }

    fn text_encoding(&self) -> Option<&'static Encoding> {
        self.encoding.as_ref().and_then(|name| Encoding::for_label(name.as_bytes()))
    }

    fn cell_separator(&self) -> Separator {
        self.separator.map_or(Separator::Usual, |separator| Separator::Given(separator as u8))
    }

    /// Opens one CSV.
    pub(crate) fn open_csv(&self, file: &Path) -> Result<Csv> {
        Csv::open(file, self.text_encoding(), self.cell_separator())
    }
}

/// A plan that reads one Parquet or Arrow IPC file.
pub(crate) fn scan(file: &Path) -> Result<LazyFrame> {
    let path = PlRefPath::from(&*file.to_string_lossy());
    let failed = |e: PolarsError| Error::file(file, format!("cannot read the table: {e}"));
    match Format::of(file)?.0 {
        Format::Csv | Format::Parquet => {
            LazyFrame::scan_parquet(path, ScanArgsParquet::default()).map_err(failed)
        }
        Format::Ipc => {
            LazyFrame::scan_ipc(path, IpcScanOptions::default(), UnifiedScanArgs::default())
                .map_err(failed)
        }
    }
}

/// Reads the files at `path` as one table, a CSV with this encoding (UTF-8 if none is
/// given) and separator.
pub(crate) fn read_table(
    path: &Path,
    encoding: Option<&'static Encoding>,
    separator: Separator,
) -> Result<DataFrame> {
    let mut all: Option<DataFrame> = None;
    for file in files(path)? {
        let table = if is_csv(&file)? {
            Csv::open(&file, encoding, separator)?.batch(usize::MAX)?
        } else {
            Some(read_binary(&file)?).filter(|table| table.height() > 0)
        };
        let table =
            table.ok_or_else(|| Error::file(&file, "has no rows; the table needs at least one"))?;
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

fn read_binary(path: &Path) -> Result<DataFrame> {
    let no = |what: &str, e: PolarsError| Error::file(path, format!("is no {what} file: {e}"));
    match Format::of(path)?.0 {
        Format::Csv | Format::Parquet => {
            ParquetReader::new(open(path)?).finish().map_err(|e| no("Parquet", e))
        }
        Format::Ipc => IpcReader::new(open(path)?).finish().map_err(|e| no("Arrow IPC", e)),
    }
}
