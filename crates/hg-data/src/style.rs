//! How a CSV is written.

use crate::Schema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// How a CSV is written, so that a synthetic one looks like the real one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableStyle {
    /// Between cells.
    #[serde(default = "comma")]
    pub separator: char,
    /// A WHATWG label; UTF-8 if none.
    #[serde(default)]
    pub encoding: Option<String>,
    /// Whether the file begins with a mark.
    #[serde(default)]
    pub byte_order_mark: bool,
    /// Between rows.
    #[serde(default = "newline")]
    pub line_end: String,
    /// The decimal sign.
    #[serde(default = "point")]
    pub decimal: char,
    /// By column name; absent is default.
    #[serde(default)]
    pub columns: BTreeMap<String, CellStyle>,
}

fn comma() -> char {
    ','
}
fn newline() -> String {
    "\n".into()
}
fn point() -> char {
    '.'
}

/// How a column's cells are written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CellStyle {
    /// What an empty cell shows.
    #[serde(default)]
    pub missing: String,
    /// Fixed decimals.
    #[serde(default)]
    pub decimals: Option<u32>,
    /// Groups digits.
    #[serde(default)]
    pub thousands: Option<char>,
    /// Follows the number.
    #[serde(default)]
    pub suffix: String,
}

impl Default for TableStyle {
    fn default() -> Self {
        Self {
            separator: ',',
            encoding: None,
            byte_order_mark: false,
            line_end: "\n".into(),
            decimal: '.',
            columns: BTreeMap::new(),
        }
    }
}

impl TableStyle {
    /// Of a schema's table; of one that is no CSV, how it would be written as one.
    pub(crate) fn of(schema: &Schema, path: &Path, columns: BTreeMap<String, CellStyle>) -> Self {
        let _ = path;
        Self {
            separator: schema.separator.unwrap_or(','),
            encoding: schema.encoding.clone(),
            decimal: schema.decimal.unwrap_or('.'),
            columns,
            ..Self::default()
        }
    }

    pub(crate) fn number(&self, x: f64, cell: &CellStyle) -> String {
        let text = match cell.decimals {
            Some(decimals) => format!("{x:.*}", decimals as usize),
            None => x.to_string(),
        };
        text + &cell.suffix
    }
}
