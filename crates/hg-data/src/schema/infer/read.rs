//! How the table's file is written.

use crate::Result;
use crate::csv::{Separator, sniff};
use crate::files::{files, is_csv};
use crate::table::read_table;
use polars::prelude::DataFrame;
use std::path::Path;

/// A table as it was read, with the keys of the schema that say how.
pub(super) struct Read {
    pub(super) table: DataFrame,
    /// Whether it is a CSV, whose texts may be anything.
    pub(super) untyped: bool,
    /// Where it is neither UTF-8 nor told by a byte-order mark.
    pub(super) encoding: Option<&'static encoding_rs::Encoding>,
    pub(super) separator: u8,
}

pub(super) fn read(path: &Path) -> Result<Read> {
    let first = &files(path)?[0];
    if !is_csv(first)? {
        let table = read_table(path, None, Separator::Usual)?;
        return Ok(Read { table, untyped: false, encoding: None, separator: b',' });
    }
    let sniffed = sniff(first)?;
    let separator = Separator::Given(sniffed.separator);
    let table = read_table(path, sniffed.encoding, separator)?;
    let encoding = sniffed.encoding.filter(|_| !sniffed.had_mark);
    Ok(Read { table, untyped: true, encoding, separator: sniffed.separator })
}
