//! A raw table checked against a schema: every modelled column as numbers
//! (values, or the position of the level), missing cells as nulls.

use crate::source::{SourceType, TimeSource, days};
use crate::{Column, Error, FittedBins, Kind, Result, Schema};
use polars::prelude::*;
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Working name of the patient's position among all patients.
pub(crate) const PATIENT: &str = "__patient";
/// Working name of the time.
pub(crate) const TIME: &str = "__time";

/// A checked table.
pub(crate) struct Typed {
    /// [`PATIENT`] (u32), [`TIME`] (f64, days where the source holds dates) and one
    /// f64 column per schema column.
    pub(crate) frame: DataFrame,
    /// The patients' ids in order: by number where all are whole numbers, else
    /// by text.
    pub(crate) patients: Vec<String>,
    /// The type of each schema column's source.
    pub(crate) sources: Vec<SourceType>,
    /// Whether each schema column's source holds whole numbers only.
    pub(crate) integers: Vec<bool>,
    /// What the time column holds.
    pub(crate) time: TimeSource,
    /// Rows that stand before the table in its file.
    pub(crate) first_row: usize,
}

/// Checks `table` against `schema`, whose levels are settled. `path` is for messages, and
/// `first_row` rows stand before the table in its file.
pub(crate) fn check(
    table: &DataFrame,
    schema: &Schema,
    path: &Path,
    first_row: usize,
) -> Result<Typed> {
    let checker = || Checker { table, schema, path, first_row, problems: Vec::new() };
    let mut first = checker();
    require_columns(table.get_column_names().into_iter(), schema, path)?;
    let (patients, positions) = first.patients()?;
    let (times, time) = first.times()?;
    let read: Vec<(Float64Chunked, bool, SourceType, Vec<Error>)> = schema
        .columns
        .par_iter()
        .map(|column| {
            let mut checker = checker();
            let (values, integer) = match column.kind {
                Kind::Numeric => checker.numbers(&column.name, Some(column))?,
                Kind::Categorical | Kind::Binary => (checker.levels(column)?, false),
            };
            let source = SourceType::of(checker.source(&column.name)?.dtype());
            Ok((values, integer, source, checker.problems))
        })
        .collect::<Result<_>>()?;
    let mut problems = first.problems;
    let mut columns = Vec::with_capacity(read.len() + 2);
    let (mut sources, mut integers) = (Vec::new(), Vec::new());
    for (values, integer, source, found) in read {
        columns.push(values.into_column());
        integers.push(integer);
        sources.push(source);
        problems.extend(found);
    }
    Error::all(problems)?;
    columns.push(Series::new(PATIENT.into(), positions).into_column());
    columns.push(times.with_name(TIME.into()).into_column());
    let frame = DataFrame::new(table.height(), columns)?;
    Ok(Typed { frame, patients, sources, integers, time, first_row })
}

/// Refuses a table that lacks one of the schema's columns.
pub(crate) fn require_columns<'n>(
    names: impl Iterator<Item = &'n PlSmallStr>,
    schema: &Schema,
    path: &Path,
) -> Result<()> {
    let names: Vec<&str> = names.map(PlSmallStr::as_str).collect();
    let problem = |name: &str| {
        let problem = format!(
            "the table has no such column; it has: {}. Mend the schema or the header",
            names.join(", ")
        );
        Error::column(path, name, problem)
    };
    let missing = schema.names().filter(|name| !names.contains(name));
    Error::all(missing.map(problem).collect())
}

struct Checker<'a> {
    table: &'a DataFrame,
    schema: &'a Schema,
    path: &'a Path,
    first_row: usize,
    problems: Vec<Error>,
}

impl<'a> Checker<'a> {
    fn source(&self, name: &str) -> Result<&'a polars::prelude::Column> {
        Ok(self.table.column(name)?)
    }

    fn say(&mut self, row: usize, name: &str, problem: impl Into<String>) {
        self.problems.push(Error::cell(self.path, self.first_row + row + 1, name, problem));
    }

    /// The cells as texts.
    fn texts(&self, name: &str) -> Result<StringChunked> {
        Ok(self.source(name)?.cast(&DataType::String)?.str()?.clone())
    }

    /// A cell, trimmed, where it is not missing.
    fn present<'t>(&self, cell: Option<&'t str>) -> Option<&'t str> {
        present(cell, &self.schema.missing)
    }

    /// Whether polars' numbers are all there is to a column: no texts, and no number
    /// that stands for a missing value.
    fn is_plain(&self, source: &polars::prelude::Column, read: &Float64Chunked) -> bool {
        let dtype = SourceType::of(source.dtype());
        let is_number = !matches!(dtype, SourceType::Text | SourceType::Boolean);
        is_number && self.schema.missing.is_empty() && (dtype.is_integer() || is_finite(read))
    }

    /// The distinct ids in order, and each row's position among them.
    fn patients(&mut self) -> Result<(Vec<String>, Vec<u32>)> {
        let source = self.source(&self.schema.patient.column)?;
        if SourceType::of(source.dtype()).is_integer()
            && source.null_count() == 0
            && self.schema.missing.is_empty()
        {
            let ids: Vec<i64> = source.cast(&DataType::Int64)?.i64()?.iter().flatten().collect();
            if ids.len() == self.table.height() && ids.is_sorted() {
                let mut patients: Vec<String> = Vec::new();
                let mut positions = Vec::with_capacity(ids.len());
                for run in ids.chunk_by(|a, b| a == b) {
                    positions.extend(std::iter::repeat_n(patients.len() as u32, run.len()));
                    patients.push(run[0].to_string());
                }
                return Ok((patients, positions));
            }
        }
        Ok(order_patients(&self.ids()?))
    }

    fn ids(&mut self) -> Result<Vec<String>> {
        let name = &self.schema.patient.column;
        let texts = self.texts(name)?;
        let mut ids = Vec::with_capacity(texts.len());
        for (row, cell) in texts.iter().enumerate() {
            let id = self.present(cell);
            if id.is_none() {
                self.say(row, name, "the patient is missing; fill the cell or remove the row");
            }
            ids.push(id.unwrap_or_default().to_owned());
        }
        Ok(ids)
    }

    fn times(&mut self) -> Result<(Float64Chunked, TimeSource)> {
        let name = &self.schema.time.column;
        let (times, source) = if let Some((source, times)) = TimeSource::of(self.source(name)?)? {
            (times, source)
        } else if let Some(format) = &self.schema.time.format {
            (self.dates(name, format)?, TimeSource::DateText)
        } else {
            let (times, integer) = self.numbers(name, None)?;
            (times, if integer { TimeSource::Integer } else { TimeSource::Real })
        };
        if times.null_count() > 0 && self.problems.is_empty() {
            for (row, _) in times.iter().enumerate().filter(|(_, time)| time.is_none()) {
                self.say(row, name, "the time is missing; fill the cell or remove the row");
            }
        }
        Ok((times, source))
    }

    fn dates(&mut self, name: &str, format: &str) -> Result<Float64Chunked> {
        let texts = self.texts(name)?;
        let mut values = Vec::with_capacity(texts.len());
        for (row, cell) in texts.iter().enumerate() {
            let text = self.present(cell);
            let value = text.and_then(|text| days(text, format));
            if let (Some(text), None) = (text, value) {
                let problem = format!(
                    "«{text}» is no date of the form «{format}»; mend the cell, or time.format in the schema"
                );
                self.say(row, name, problem);
            }
            values.push(value);
        }
        Ok(Float64Chunked::from_iter_options(name.into(), values.into_iter()))
    }

    /// Finite numbers, and whether all are written as whole numbers.
    fn numbers(&mut self, name: &str, column: Option<&Column>) -> Result<(Float64Chunked, bool)> {
        let source = self.source(name)?;
        let dtype = SourceType::of(source.dtype());
        // polars reads most cells; those that it cannot read are looked at one by one.
        let read = source.cast(&DataType::Float64)?;
        if self.is_plain(source, read.f64()?) {
            return Ok((read.f64()?.clone(), dtype.is_integer()));
        }
        let is_float = matches!(dtype, SourceType::Float32 | SourceType::Float64);
        let texts = self.texts(name)?;
        let labels = column.map(labels_of).unwrap_or_default();
        let mut values = Vec::with_capacity(read.len());
        for (row, (value, text)) in read.f64()?.iter().zip(texts.iter()).enumerate() {
            // A number can stand for a missing value, as -999.
            let listed = text.is_some_and(|text| self.schema.missing.iter().any(|m| m == text));
            values.push(match value.filter(|x| x.is_finite() && !listed) {
                Some(value) => Some(value),
                None => match self.present(text) {
                    None => None,
                    Some(text) => match labels.get(text) {
                        Some(&value) => Some(value),
                        None => self.number(text, row, name, column),
                    },
                },
            });
        }
        let whole = || values.iter().flatten().all(|x| x.fract() == 0.);
        let integer = dtype.is_integer() || (!is_float && whole());
        Ok((Float64Chunked::from_iter_options(name.into(), values.into_iter()), integer))
    }

    fn number(
        &mut self,
        text: &str,
        row: usize,
        name: &str,
        column: Option<&Column>,
    ) -> Option<f64> {
        let thousands = column.and_then(|column| column.thousands);
        let problem = match parse_number(text, thousands) {
            Some(value) if value.is_finite() => return Some(value),
            Some(_) => format!(
                "«{text}» is not finite; empty the cell, or list «{text}» under `missing` in the schema"
            ),
            None if parse_number(text, Some(',')).is_some() => format!(
                "«{text}» is not a number; if the comma groups digits, set thousands = \",\" for the column"
            ),
            None if text.starts_with(['<', '>']) => format!(
                "«{text}» is not a number; set censored = {{ text = \"{text}\", value = … }} for the column"
            ),
            None => format!(
                "«{text}» is not a number; mend the cell, or list «{text}» under `missing` in the schema"
            ),
        };
        self.say(row, name, problem);
        None
    }

    /// Positions of levels. Levels that are numbers match by value, so that «1» is
    /// «1.0». What is no level is one of the pooled ones where there are such, else a
    /// problem, which is told once.
    fn levels(&mut self, column: &Column) -> Result<Float64Chunked> {
        let names = column.level_names();
        let numbers: Option<Vec<f64>> = names.iter().map(|name| finite(name)).collect();
        let by_value = |value: f64| numbers.as_ref()?.iter().position(|&level| level == value);
        let pooled =
            column.rare.as_ref().and_then(|rare| names.iter().position(|name| *name == rare.into));
        let source = self.source(&column.name)?;
        let mut unknown: Vec<(usize, String)> = Vec::new();
        let mut positions: Vec<Option<f64>> = Vec::with_capacity(source.len());
        let read = source.cast(&DataType::Float64)?;
        if numbers.is_some() && read.null_count() == 0 && self.is_plain(source, read.f64()?) {
            // The usual case, at speed.
            let cells = read.f64()?.rechunk();
            if let Some(found) = positions_of_codes(cells.cont_slice()?, &by_value) {
                return Ok(Float64Chunked::from_vec(column.name.as_str().into(), found));
            }
        }
        if numbers.is_some() && self.is_plain(source, read.f64()?) {
            for (row, value) in read.f64()?.iter().enumerate() {
                let position = value.and_then(|value| by_value(value).or(pooled));
                if let (Some(value), None) = (value, position) {
                    unknown.push((row, value.to_string()));
                }
                positions.push(position.map(|position| position as f64));
            }
        } else {
            let mut known: HashMap<&str, Option<usize>> = HashMap::new();
            let texts = self.texts(&column.name)?;
            for (row, cell) in texts.iter().enumerate() {
                let position = self.present(cell).and_then(|text| {
                    *known.entry(text).or_insert_with(|| {
                        let by_name = names.iter().position(|name| name == text);
                        let position = by_name.or_else(|| by_value(finite(text)?)).or(pooled);
                        if position.is_none() {
                            unknown.push((row, text.to_owned()));
                        }
                        position
                    })
                });
                positions.push(position.map(|position| position as f64));
            }
        }
        let mut told = HashSet::new();
        for (row, text) in unknown {
            if told.insert(text.clone()) {
                let problem = format!(
                    "«{text}» is not among the levels {}; mend the cell or add the level to the schema",
                    names.join(", ")
                );
                self.say(row, &column.name, problem);
            }
        }
        let name = column.name.as_str().into();
        Ok(Float64Chunked::from_iter_options(name, positions.into_iter()))
    }
}

/// The position of each level, where all are found: small whole numbers in a table, others one
/// by one.
fn positions_of_codes(cells: &[f64], by_value: &impl Fn(f64) -> Option<usize>) -> Option<Vec<f64>> {
    const CODES: usize = 256;
    let unknown = f64::NAN;
    let of = |value: f64| by_value(value).map_or(unknown, |position| position as f64);
    let table: [f64; CODES] = std::array::from_fn(|code| of(code as f64));
    let mut all_found = true;
    let mut positions = Vec::with_capacity(cells.len());
    positions.extend(cells.iter().map(|&value| {
        // What is no small whole number goes to 0 or the last code, and is not equal to it.
        let code = value as usize;
        let position = match table.get(code) {
            Some(&position) if code as f64 == value => position,
            _ => of(value),
        };
        all_found &= !position.is_nan();
        position
    }));
    all_found.then_some(positions)
}

/// A cell, trimmed, where it is neither empty nor one of the texts for «missing».
pub(crate) fn present<'t>(cell: Option<&'t str>, missing: &[String]) -> Option<&'t str> {
    let is_missing = |cell: &str| cell.is_empty() || missing.iter().any(|text| text == cell);
    cell.map(str::trim).filter(|cell| !is_missing(cell))
}

/// Whether all that is there is finite. (What an empty cell holds may say no, too, which
/// costs only time.)
fn is_finite(cells: &Float64Chunked) -> bool {
    cells.downcast_iter().all(|chunk| chunk.values().iter().all(|x| x.is_finite()))
}

/// A finite number.
pub(crate) fn finite(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|x| x.is_finite())
}

/// A number whose digits may be grouped by `thousands`.
pub(crate) fn parse_number(text: &str, thousands: Option<char>) -> Option<f64> {
    let Some(separator) = thousands.filter(|&separator| text.contains(separator)) else {
        return text.parse().ok();
    };
    let (whole, rest) = match text.find(|c: char| c == '.' && c != separator) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let mut groups = whole.split(separator);
    let first = groups.next()?.trim_start_matches(['-', '+']);
    let is_group = |group: &str| group.bytes().all(|b| b.is_ascii_digit());
    if !((1..=3).contains(&first.len()) && is_group(first)) {
        return None;
    }
    if !groups.all(|group| group.len() == 3 && is_group(group)) {
        return None;
    }
    (whole.replace(separator, "") + rest).parse().ok()
}

/// Texts that stand for numbers: the censored one, and the labels of bins.
fn labels_of(column: &Column) -> HashMap<String, f64> {
    let mut labels = HashMap::new();
    if let Some(censored) = &column.censored {
        labels.insert(censored.text.clone(), censored.value);
    }
    if let Some(bins) =
        column.bins.as_ref().filter(|bins| bins.shows_labels() && !bins.edges.is_empty())
    {
        let fitted = FittedBins::fit(bins, &bins.edges);
        let names = fitted.labels(bins);
        for (bin, name) in names.into_iter().enumerate() {
            // Below the first edge lies what is nearest to it from below.
            let value = if bin == 0 { bins.edges[0].next_down() } else { bins.edges[bin - 1] };
            labels.insert(name, value);
        }
    }
    labels
}

/// The distinct ids in order, and each row's position among them.
fn order_patients(ids: &[String]) -> (Vec<String>, Vec<u32>) {
    let mut patients = ids.to_vec();
    patients.sort();
    patients.dedup();
    if patients.iter().all(|id| id.parse::<i64>().is_ok()) {
        patients.sort_by_key(|id| id.parse::<i64>().unwrap_or_default());
    }
    let position: HashMap<&str, u32> =
        patients.iter().zip(0u32..).map(|(id, n)| (id.as_str(), n)).collect();
    let rows = ids.iter().map(|id| position[id.as_str()]).collect();
    (patients, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grouped_digits_are_read_only_in_groups_of_three() {
        for (text, value) in
            [("12,500", Some(12500.)), ("-1,234,567.5", Some(-1_234_567.5)), ("7", Some(7.))]
        {
            assert_eq!(parse_number(text, Some(',')), value, "{text}");
        }
        for text in ["1,5", "1234,567", ",500", "12,5000"] {
            assert_eq!(parse_number(text, Some(',')), None, "{text}");
        }
        assert_eq!(parse_number("1.234.567", Some('.')), Some(1_234_567.));
    }
}
