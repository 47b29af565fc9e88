//! How the table's file is written.

use crate::Result;
use crate::csv::{Separator, sniff};
use crate::files::{files, is_csv};
use crate::table::read_table;
use polars_core::prelude::DataFrame;
use std::path::Path;

/// A table as it was read, with the keys of the schema that say how.
pub(super) struct Read {
    pub(super) table: DataFrame,
    /// Whether it is a CSV, whose texts may be anything.
    pub(super) untyped: bool,
    /// Where it is not UTF-8, with what tells so.
    pub(super) encoding: Option<(&'static encoding_rs::Encoding, &'static str)>,
    pub(super) separator: u8,
}

pub(super) fn read(path: &Path) -> Result<Read> {
    let first = &files(path)?[0];
    let sniffed = if is_csv(first)? { Some(sniff(first)?) } else { None };
    let untyped = sniffed.is_some();
    let (encoding, separator) = sniffed.map_or((None, b','), |s| (s.encoding, s.separator));
    let table = read_table(path, encoding, Separator::Given(separator))?;
    let has_mark = sniffed.is_some_and(|sniffed| sniffed.had_mark);
    let why = if has_mark { "by the file's mark" } else { "guess: the file is not UTF-8" };
    let encoding = encoding.map(|encoding| (encoding, why));
    Ok(Read { table, untyped, encoding, separator })
}
