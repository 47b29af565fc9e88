//! How the table's file is written.

use crate::Result;
use crate::table::{csv_separator, files, is_csv, read_csv_text, read_table};
use polars::prelude::DataFrame;
use std::path::Path;

/// A table as it was read, with the keys of the schema that say how.
pub(super) struct Read {
    pub(super) table: DataFrame,
    /// Whether it is a CSV, whose texts may be anything.
    pub(super) untyped: bool,
    /// Where it is not UTF-8.
    pub(super) encoding: Option<&'static encoding_rs::Encoding>,
    pub(super) separator: u8,
}

pub(super) fn read(path: &Path) -> Result<Read> {
    let first = &files(path)?[0];
    let untyped = is_csv(first)?;
    let (encoding, separator) = if untyped { csv_dialect(first)? } else { (None, b',') };
    let table = read_table(path, encoding, separator)?;
    Ok(Read { table, untyped, encoding, separator })
}

/// The encoding, where it is not UTF-8, and the separator of a CSV.
fn csv_dialect(path: &Path) -> Result<(Option<&'static encoding_rs::Encoding>, u8)> {
    match read_csv_text(path, None) {
        Ok(text) => Ok((None, csv_separator(&text))),
        Err(_) => {
            // Any bytes are windows-1252; an empty file or a NUL is refused again.
            let encoding = encoding_rs::WINDOWS_1252;
            Ok((Some(encoding), csv_separator(&read_csv_text(path, Some(encoding))?)))
        }
    }
}
