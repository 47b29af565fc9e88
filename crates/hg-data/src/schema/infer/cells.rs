//! A table's columns as texts, each distinct text once.

use super::time::find_format;
use crate::Result;
use crate::clock::TimeKind;
use crate::notation::{EXACT, Notation};
use crate::parsed::plural;
use polars_core::prelude::{Column, DataFrame, DataType, IntoColumn, TimeUnit};
use std::collections::HashMap;

/// Texts that people write for a missing value. Those that could be a level too count
/// only among numbers or dates.
const MISSING: [(&str, bool); 28] = [
    ("NA", true),
    ("N/A", true),
    ("n/a", true),
    ("#N/A", true),
    ("<NA>", true),
    ("NaT", true),
    ("NULL", true),
    ("null", true),
    ("NaN", true),
    ("nan", true),
    ("#VALUE!", true),
    ("#DIV/0!", true),
    ("n.a.", true),
    ("N.A.", true),
    ("k.A.", true),
    ("k. A.", true),
    ("None", false),
    ("none", false),
    ("missing", false),
    ("unknown", false),
    ("Unknown", false),
    ("UNK", false),
    ("not done", false),
    ("ND", false),
    ("?", false),
    (".", false),
    ("-", false),
    ("--", false),
];

/// What a column's type says of its cells.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Nature {
    /// A CSV's texts, which may be anything.
    Untyped,
    /// Texts by their type, be they digits.
    Text,
    Boolean,
    Integer,
    Real,
    /// Dates or durations.
    Time(TimeKind),
    /// What cannot be modelled, in words.
    Other(String),
}

impl Nature {
    fn of(dtype: &DataType, untyped: bool) -> Self {
        match dtype {
            DataType::String if untyped => Self::Untyped,
            DataType::String | DataType::Categorical(..) | DataType::Enum(..) => Self::Text,
            DataType::Boolean => Self::Boolean,
            DataType::Float16 | DataType::Float32 | DataType::Float64 | DataType::Decimal(..) => {
                Self::Real
            }
            DataType::Null => Self::Untyped,
            DataType::Date | DataType::Datetime(..) => Self::Time(TimeKind::Dates),
            DataType::Duration(_) => Self::Time(TimeKind::Elapsed),
            other if other.is_integer() => Self::Integer,
            other => Self::Other(plural(other)),
        }
    }
}

/// One of a column's texts.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) count: usize,
    /// The first row that holds it, from 0.
    pub(super) row: usize,
}

/// A column's cells.
#[derive(Debug)]
pub(super) struct Cells {
    pub(super) name: String,
    pub(super) nature: Nature,
    /// Each row's position in `values`; `None` where the cell is missing.
    pub(super) rows: Vec<Option<u32>>,
    pub(super) values: Vec<Value>,
    /// Texts for "missing" that were taken out, but for a typed column's own NaN.
    pub(super) missing: Vec<&'static str>,
    /// Of a typed column of times: seconds.
    pub(super) seconds: Option<Vec<Option<f64>>>,
}

impl Cells {
    /// All columns of a table; texts of an `untyped` one, a CSV, may be anything.
    pub(super) fn all(table: &DataFrame, untyped: bool) -> Result<Vec<Self>> {
        table.columns().iter().map(|column| Self::new(column, untyped)).collect()
    }

    fn new(column: &Column, untyped: bool) -> Result<Self> {
        let nature = Nature::of(column.dtype(), untyped);
        let mut cells = Self {
            name: column.name().to_string(),
            nature,
            rows: vec![None; column.len()],
            values: Vec::new(),
            missing: Vec::new(),
            seconds: None,
        };
        let plain = match &cells.nature {
            // polars cannot turn them into texts.
            Nature::Other(_) => return Ok(cells),
            Nature::Time(_) => {
                let counts = counts_of_time(column)?;
                let per_second = if column.dtype() == &DataType::Date { 1. / 86_400. } else { 1e6 };
                let seconds = counts.cast(&DataType::Float64)?;
                let seconds = seconds.f64()?.iter().map(|cell| cell.map(|x| x / per_second));
                cells.seconds = Some(seconds.collect());
                counts
            }
            _ if column.dtype() == &DataType::Float16 => column.cast(&DataType::Float32)?,
            _ => column.clone(),
        };
        let texts = plain.cast(&DataType::String)?;
        let trimmed = texts.str()?.iter().map(|cell| cell.map(str::trim));
        cells.fill(trimmed);
        cells.take_missing();
        Ok(cells)
    }

    /// Of texts, as a CSV's.
    #[cfg(test)]
    pub(super) fn of_texts(name: &str, texts: &[&str]) -> Self {
        let column = Column::new(name.into(), texts);
        // Invariant: texts can be cast to texts.
        Self::new(&column, true).expect("texts")
    }

    /// Some rows of a column, under another name.
    pub(super) fn of_rows(&self, rows: &[usize], name: &str) -> Self {
        let mut cells = Self {
            name: name.to_owned(),
            nature: self.nature.clone(),
            rows: vec![None; rows.len()],
            values: Vec::new(),
            missing: self.missing.clone(),
            seconds: None,
        };
        cells.fill(rows.iter().map(|&row| self.text(row)));
        // What is said of a row is said of the whole table's.
        cells.values.iter_mut().for_each(|value| value.row = rows[value.row]);
        cells
    }

    fn fill<'t>(&mut self, texts: impl Iterator<Item = Option<&'t str>>) {
        let mut place: HashMap<&'t str, u32> = HashMap::new();
        for (row, text) in texts.enumerate() {
            let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
            let at = *place.entry(text).or_insert(self.values.len() as u32);
            if at as usize == self.values.len() {
                self.values.push(Value { text: text.to_owned(), count: 0, row });
            }
            self.values[at as usize].count += 1;
            self.rows[row] = Some(at);
        }
    }

    /// Takes the texts that mean "missing" out.
    fn take_missing(&mut self) {
        let is_sign = |text: &str| MISSING.iter().find(|(sign, _)| *sign == text);
        let is_real = self.nature == Nature::Real;
        if !is_real && !matches!(self.nature, Nature::Untyped | Nature::Text) {
            return;
        }
        let rest: Vec<&Value> =
            self.values.iter().filter(|value| is_sign(&value.text).is_none()).collect();
        let has_signs = rest.len() < self.values.len();
        if !has_signs {
            return;
        }
        let is_measure = !rest.is_empty()
            && (rest.iter().all(|value| looks_like_number(&value.text))
                || find_format(&rest).is_ok());
        let signs: Vec<Option<&'static str>> = self
            .values
            .iter()
            .map(|value| {
                let sign = is_sign(&value.text).filter(|(_, always)| *always || is_measure);
                sign.map(|(sign, _)| *sign)
            })
            .collect();
        if !is_real {
            self.missing = signs.iter().flatten().copied().collect();
            self.missing.sort_unstable();
        }
        self.keep(|at| signs[at].is_none());
    }

    /// Keeps the values at some positions; cells with others become missing.
    pub(super) fn keep(&mut self, keeps: impl Fn(usize) -> bool) {
        let mut next = 0;
        let places: Vec<Option<u32>> = (0..self.values.len())
            .map(|at| {
                keeps(at).then(|| {
                    next += 1;
                    next - 1
                })
            })
            .collect();
        let mut at = 0;
        self.values.retain(|_| {
            at += 1;
            places[at - 1].is_some()
        });
        for cell in &mut self.rows {
            *cell = cell.and_then(|at| places[at as usize]);
        }
    }

    /// The number of cells that hold something.
    pub(super) fn present(&self) -> usize {
        self.values.iter().map(|value| value.count).sum()
    }

    pub(super) fn missing_share(&self) -> f64 {
        1. - self.present() as f64 / self.rows.len().max(1) as f64
    }

    pub(super) fn is_complete(&self) -> bool {
        !matches!(self.nature, Nature::Other(_)) && self.rows.iter().all(Option::is_some)
    }

    /// A row's text.
    pub(super) fn text(&self, row: usize) -> Option<&str> {
        Some(&self.values[(*self.rows.get(row)?)? as usize].text)
    }

    /// Whether all that is there is a whole number.
    pub(super) fn is_whole(&self) -> bool {
        let whole = |value: &Value| {
            let text = value.text.strip_suffix(".0").unwrap_or(&value.text);
            text.parse::<i128>().is_ok()
        };
        self.nature != Nature::Boolean && self.values.iter().all(whole)
    }

    /// Whether it holds whole numbers beyond what a double holds exactly.
    pub(super) fn is_too_big(&self) -> bool {
        let too_big = |value: &Value| {
            value.text.len() > 15
                && value.text.parse::<i128>().is_ok_and(|x| x.unsigned_abs() > EXACT as u128)
        };
        matches!(self.nature, Nature::Untyped | Nature::Integer)
            && self.is_whole()
            && self.values.iter().any(too_big)
    }
}

/// Dates as days since 1970, other times in microseconds.
fn counts_of_time(column: &Column) -> Result<Column> {
    Ok(match column.dtype() {
        DataType::Date => column.cast(&DataType::Int32)?,
        // Their zone may be one that polars does not know.
        DataType::Duration(unit) | DataType::Datetime(unit, _) => {
            let counted = column.to_physical_repr().cast(&DataType::Int64)?;
            let cells = counted.i64()?;
            let in_microseconds: polars_core::prelude::Int64Chunked = match unit {
                TimeUnit::Nanoseconds => {
                    cells.iter().map(|n| n.map(|n| n.div_euclid(1000))).collect()
                }
                TimeUnit::Microseconds => cells.clone(),
                TimeUnit::Milliseconds => {
                    cells.iter().map(|n| n.map(|n| n.saturating_mul(1000))).collect()
                }
            };
            in_microseconds.with_name(column.name().clone()).into_column()
        }
        _ => column.clone(),
    })
}

/// Whether a text may be a number in some notation, a bound as `< 5` or a number with a unit.
fn looks_like_number(text: &str) -> bool {
    let reads = |text: &str| {
        let point = Notation { decimal: '.', thousands: Some(','), suffix: "" };
        let comma = Notation { decimal: ',', thousands: Some('.'), suffix: "" };
        point.read(text).is_some() || comma.read(text).is_some()
    };
    let text = text.trim_start_matches(['<', '>', '=', '≤', '≥']).trim_start();
    reads(text) || super::numbers::split_suffix(text).is_some_and(|(number, _)| reads(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_missing_values_depend_on_the_rest() {
        let cases: [(&[&str], &[&str]); 5] = [
            (&["1", "-", "NA"], &["-", "NA"]),
            (&["a", "-", "NA"], &["NA"]),
            (&["2018-01-05", "?"], &["?"]),
            (&["82 bpm", "."], &["."]),
            (&["none", "some"], &[]),
        ];
        for (texts, missing) in cases {
            let cells = Cells::of_texts("x", texts);
            assert_eq!(cells.missing, missing, "{texts:?}");
            assert_eq!(cells.present(), texts.len() - missing.len());
        }
    }

    #[test]
    fn big_integers_are_told() {
        assert!(Cells::of_texts("x", &["1152921504606846977", "1"]).is_too_big());
        assert!(!Cells::of_texts("x", &["9007199254740992"]).is_too_big());
        assert!(!Cells::of_texts("x", &["0.1234567890123456789"]).is_too_big());
    }
}
