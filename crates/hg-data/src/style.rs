//! How a CSV is written.

use crate::csv::sniff;
use crate::{Error, Result, Schema};
use encoding_rs::Encoding;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// How a CSV is written, so that a synthetic one looks like the real one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableStyle {
    /// The character between cells.
    pub separator: char,
    /// The encoding by its name among those of the WHATWG; UTF-8 if not given.
    pub encoding: Option<String>,
    /// Whether the file begins with a byte-order mark; UTF-16 always does.
    pub byte_order_mark: bool,
    /// What a line ends in: LF, CRLF or CR.
    pub line_end: String,
    /// Whether every cell stands in quotes.
    pub quoted: bool,
    /// The character before a number's decimals.
    pub decimal: char,
    /// The cells of each column, by its name; plain where there is no entry.
    pub columns: BTreeMap<String, CellStyle>,
}

/// How the cells of a column are written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CellStyle {
    /// What stands in a cell without a value.
    pub missing: String,
    /// The number of decimals; as many as needed if not given.
    pub decimals: Option<u32>,
    /// What groups digits by three.
    pub thousands: Option<char>,
    /// What follows a number, as " bpm".
    pub suffix: String,
}

impl Default for TableStyle {
    fn default() -> Self {
        Self {
            separator: ',',
            encoding: None,
            byte_order_mark: false,
            line_end: "\n".into(),
            quoted: false,
            decimal: '.',
            columns: BTreeMap::new(),
        }
    }
}

/// No f64 has more decimals.
const MOST_DECIMALS: u32 = 1074;

impl CellStyle {
    /// Whether whole numbers look otherwise than plain.
    pub(crate) fn changes_integers(&self) -> bool {
        self.decimals.unwrap_or(0) > 0 || self.thousands.is_some() || !self.suffix.is_empty()
    }

    /// Whether numbers look otherwise than plain.
    pub(crate) fn changes_numbers(&self) -> bool {
        self.decimals.is_some() || self.changes_integers()
    }
}

impl TableStyle {
    /// Of a table that was read from `csv`, which the schema describes; of one that is no CSV, how
    /// it would be written as one.
    pub(crate) fn of(
        schema: &Schema,
        csv: Option<&Path>,
        columns: BTreeMap<String, CellStyle>,
    ) -> Self {
        let decimal = schema.decimal.unwrap_or('.');
        let usual = Self { decimal, columns, ..Self::default() };
        let Some(csv) = csv else { return usual };
        // The file may be gone, or another by now.
        let Ok(sniffed) = sniff(csv, schema.text_encoding()) else {
            let separator = schema.separator.unwrap_or(usual.separator);
            return Self { separator, encoding: schema.encoding.clone(), ..usual };
        };
        let marked = sniffed.encoding.filter(|_| sniffed.had_mark);
        let by_mark = marked.map(|encoding| encoding.name().to_lowercase());
        Self {
            separator: schema.separator.unwrap_or(char::from(sniffed.separator)),
            encoding: by_mark.or_else(|| schema.encoding.clone()),
            byte_order_mark: sniffed.had_mark,
            line_end: sniffed.line_end.into(),
            quoted: sniffed.all_quoted,
            ..usual
        }
    }

    /// A number as a cell shows it, without an exponent.
    pub(crate) fn number(&self, x: f64, cell: &CellStyle) -> String {
        if !x.is_finite() {
            return x.to_string();
        }
        match cell.decimals {
            Some(decimals) => {
                let decimals = decimals.min(MOST_DECIMALS) as usize;
                self.dressed(&format!("{x:.decimals$}"), cell)
            }
            None => self.dressed(&x.to_string(), cell),
        }
    }

    /// A whole number as a cell shows it, exactly.
    pub(crate) fn integer(&self, x: i128, cell: &CellStyle) -> String {
        let decimals = cell.decimals.unwrap_or(0).min(MOST_DECIMALS) as usize;
        let rest =
            if decimals > 0 { ".".to_owned() + &"0".repeat(decimals) } else { String::new() };
        self.dressed(&(x.to_string() + &rest), cell)
    }

    /// Plain digits, with a point, in this style.
    fn dressed(&self, plain: &str, cell: &CellStyle) -> String {
        let digits = plain.trim_start_matches('-');
        let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
        let is_zero = digits.bytes().all(|byte| byte == b'0' || byte == b'.');
        let mut text = String::from(if digits == plain || is_zero { "" } else { "-" });
        for (n, digit) in whole.chars().enumerate() {
            if let Some(thousands) = cell.thousands
                && n > 0
                && (whole.len() - n).is_multiple_of(3)
            {
                text.push(thousands);
            }
            text.push(digit);
        }
        if !rest.is_empty() {
            text.push(self.decimal);
            text.push_str(rest);
        }
        text + &cell.suffix
    }

    /// The encoding that is not UTF-8, if any.
    pub(crate) fn other_encoding(&self) -> Option<&'static Encoding> {
        let encoding = Encoding::for_label(self.encoding.as_ref()?.as_bytes());
        encoding.filter(|encoding| *encoding != encoding_rs::UTF_8)
    }

    /// Refuses a style that no CSV can have.
    pub(crate) fn check(&self, path: &Path) -> Result<()> {
        let Self { separator, encoding, line_end, .. } = self;
        let problem = if !separator.is_ascii() || "\"\r\n".contains(*separator) {
            format!(
                "the separator `{separator}` is not one ASCII character as `,` or `;`\nhint: choose another"
            )
        } else if !["\n", "\r\n", "\r"].contains(&line_end.as_str()) {
            format!("lines cannot end in {line_end:?}\nhint: choose \"\\n\", \"\\r\\n\" or \"\\r\"")
        } else if let Some(encoding) = encoding
            && Encoding::for_label(encoding.as_bytes()).is_none()
        {
            format!("the encoding `{encoding}` is unknown\nhint: choose another name of the WHATWG")
        } else {
            return Ok(());
        };
        Err(Error::file(path, format!("cannot write the table: {problem}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_without_exponents_and_as_asked() {
        let cell = |decimals, thousands, suffix: &str| CellStyle {
            decimals,
            thousands,
            suffix: suffix.into(),
            ..CellStyle::default()
        };
        let style = |decimal| TableStyle { decimal, ..TableStyle::default() };
        for (x, decimal, cell, right) in [
            (9.12, '.', cell(None, None, ""), "9.12"),
            (37., '.', cell(None, None, ""), "37"),
            (36.5, ',', cell(Some(2), None, ""), "36,50"),
            (-0., '.', cell(None, None, ""), "0"),
            (-0.001, '.', cell(Some(2), None, ""), "0.00"),
            (-0.5, '.', cell(None, None, ""), "-0.5"),
            (1e21, '.', cell(None, Some(' '), ""), "1 000 000 000 000 000 000 000"),
            (1e-7, '.', cell(None, None, ""), "0.0000001"),
            (-9123.4, ',', cell(Some(1), Some('.'), "°C"), "-9.123,4°C"),
            (999., '.', cell(None, Some(','), " bpm"), "999 bpm"),
            (0.1, '.', cell(Some(u32::MAX), None, ""), &format!("{:.1074}", 0.1)),
            (f64::NAN, ',', cell(Some(2), None, " bpm"), "NaN"),
        ] {
            assert_eq!(style(decimal).number(x, &cell), right);
        }
        let cell = cell(Some(1), Some('.'), "");
        assert_eq!(
            style(',').integer(-1_152_921_504_606_846_977, &cell),
            "-1.152.921.504.606.846.977,0"
        );
    }

    #[test]
    fn an_empty_style_is_the_default() {
        let style: TableStyle = serde_json::from_str("{}").expect("a style");
        assert_eq!(style, TableStyle::default());
    }
}
