//! A raw table checked against a schema: every modelled column as numbers
//! (values, or the position of the level), missing cells as nulls.

use crate::source::{SourceType, TimeSource, days};
use crate::{Column, Error, FittedBins, Kind, Result, Schema};
use polars::prelude::*;
use std::collections::{BTreeMap, HashMap};
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
    /// The schema, with the levels that were found.
    pub(crate) schema: Schema,
    /// The type of each schema column's source.
    pub(crate) sources: Vec<SourceType>,
    /// Whether each schema column's source holds whole numbers only.
    pub(crate) integers: Vec<bool>,
    /// What the time column holds.
    pub(crate) time: TimeSource,
}

/// Checks `table` against `schema`; `path` is for messages.
pub(crate) fn check(table: &DataFrame, schema: &Schema, path: &Path) -> Result<Typed> {
    let mut checker = Checker { table, schema, path, problems: Vec::new() };
    let missing: Vec<Error> = [&schema.patient.column, &schema.time.column]
        .into_iter()
        .chain(schema.columns.iter().map(|column| &column.name))
        .filter_map(|name| checker.source(name).err())
        .collect();
    Error::all(missing)?;
    let ids = checker.ids()?;
    let (time, time_source) = checker.times()?;
    let mut schema = schema.clone();
    let mut columns = Vec::with_capacity(schema.columns.len());
    let (mut sources, mut integers) = (Vec::new(), Vec::new());
    for column in &mut schema.columns {
        let (values, integer) = match column.kind {
            Kind::Numeric => checker.numbers(&column.name, Some(column))?,
            Kind::Categorical | Kind::Binary => (checker.levels(column)?, false),
        };
        integers.push(integer);
        sources.push(SourceType::of(checker.source(&column.name)?.dtype()));
        columns.push(values.into_column());
    }
    Error::all(checker.problems)?;
    let (patients, positions) = order_patients(&ids);
    columns.push(Series::new(PATIENT.into(), positions).into_column());
    columns.push(time.with_name(TIME.into()).into_column());
    let frame = DataFrame::new(table.height(), columns)?;
    Ok(Typed { frame, patients, schema, sources, integers, time: time_source })
}

struct Checker<'a> {
    table: &'a DataFrame,
    schema: &'a Schema,
    path: &'a Path,
    problems: Vec<Error>,
}

impl<'a> Checker<'a> {
    fn source(&self, name: &str) -> Result<&'a polars::prelude::Column> {
        self.table.column(name).map_err(|_| {
            let names = self.table.get_column_names();
            let names: Vec<_> = names.iter().map(|name| name.as_str()).collect();
            let problem = format!(
                "the table has no such column; it has: {}. Mend the schema or the header",
                names.join(", ")
            );
            Error::column(self.path, name, problem)
        })
    }

    fn say(&mut self, row: usize, name: &str, problem: impl Into<String>) {
        self.problems.push(Error::cell(self.path, row + 1, name, problem));
    }

    fn is_missing(&self, cell: &str) -> bool {
        cell.is_empty() || self.schema.missing.iter().any(|missing| missing == cell)
    }

    /// The cells as texts.
    fn texts(&self, name: &str) -> Result<StringChunked> {
        Ok(self.source(name)?.cast(&DataType::String)?.str()?.clone())
    }

    /// A cell, trimmed, where it is not missing.
    fn present<'t>(&self, cell: Option<&'t str>) -> Option<&'t str> {
        cell.map(str::trim).filter(|cell| !self.is_missing(cell))
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
        // polars reads most cells; those that it cannot read are looked at one by one.
        let read = source.cast(&DataType::Float64)?;
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
        let dtype = SourceType::of(source.dtype());
        let is_float = matches!(dtype, SourceType::Float32 | SourceType::Float64);
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

    /// Positions of levels. Levels that are numbers match by value, so that
    /// «1» is «1.0». Fills in levels that the schema leaves open, and pools rare
    /// ones.
    fn levels(&mut self, column: &mut Column) -> Result<Float64Chunked> {
        let texts = self.texts(&column.name)?;
        let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (row, cell) in texts.iter().enumerate() {
            if let Some(text) = self.present(cell) {
                counts.entry(text).or_insert((0, row)).0 += 1;
            }
        }
        if column.levels.is_empty() {
            let found = order_levels(counts.keys().copied());
            if column.kind == Kind::Binary && found.len() != 2 {
                let problem = format!(
                    "a binary column has two levels, this one has {}; use kind = \"categorical\", or name its levels",
                    found.len()
                );
                self.problems.push(Error::column(self.path, &column.name, problem));
            }
            if found.len() > MOST_LEVELS {
                let problem = format!(
                    "{} different levels were found, {MOST_LEVELS} are the most; name the levels, or leave the column out",
                    found.len()
                );
                self.problems.push(Error::column(self.path, &column.name, problem));
            }
            column.levels = found.into_iter().map(toml::Value::String).collect();
        }
        let mut positions = self.positions(column, &counts);
        if let Some(rare) = column.rare.clone() {
            pool(column, &rare, &counts, &mut positions);
        }
        let cells = texts.iter().map(|cell| {
            let text = self.present(cell)?;
            positions.get(text).map(|&position| position as f64)
        });
        Ok(Float64Chunked::from_iter_options(
            column.name.as_str().into(),
            cells.collect::<Vec<_>>().into_iter(),
        ))
    }

    /// The position of each text among the column's levels. A text that is none
    /// is one of the pooled levels where there are such, else a problem.
    fn positions<'t>(
        &mut self,
        column: &Column,
        counts: &BTreeMap<&'t str, (usize, usize)>,
    ) -> HashMap<&'t str, usize> {
        let names = column.level_names();
        let numbers: Option<Vec<f64>> = names.iter().map(|name| finite(name)).collect();
        let mut positions = HashMap::new();
        for (&text, &(_, row)) in counts {
            let by_name = names.iter().position(|name| name == text);
            let by_value = || {
                let number = finite(text)?;
                numbers.as_ref()?.iter().position(|&level| level == number)
            };
            let pooled = || {
                let into = &column.rare.as_ref()?.into;
                names.iter().position(|name| name == into)
            };
            match by_name.or_else(by_value).or_else(pooled) {
                Some(position) => {
                    positions.insert(text, position);
                }
                None => self.say(
                    row,
                    &column.name,
                    format!(
                        "«{text}» is not among the levels {}; mend the cell or add the level to the schema",
                        names.join(", ")
                    ),
                ),
            }
        }
        positions
    }
}

/// Levels that are found in a table, at most.
pub(crate) const MOST_LEVELS: usize = 100;

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

/// Levels in order: by value where all are numbers, else by text.
fn order_levels<'t>(texts: impl Iterator<Item = &'t str> + Clone) -> Vec<String> {
    let mut levels: Vec<String> = texts.map(str::to_owned).collect();
    if levels.iter().all(|level| finite(level).is_some()) {
        levels.sort_by(|a, b| finite(a).unwrap_or(0.).total_cmp(&finite(b).unwrap_or(0.)));
        // «1» and «1.0» are one level.
        levels.dedup_by_key(|level| finite(level).unwrap_or(0.).to_bits());
    }
    levels
}

/// Lets the levels that fewer than `rare.below` of the cells have become one.
fn pool(
    column: &mut Column,
    rare: &crate::Rare,
    counts: &BTreeMap<&str, (usize, usize)>,
    positions: &mut HashMap<&str, usize>,
) {
    let names = column.level_names();
    let mut shares = vec![0.; names.len()];
    let total: usize = counts.values().map(|(count, _)| count).sum();
    for (text, (count, _)) in counts {
        if let Some(&position) = positions.get(text) {
            shares[position] += *count as f64 / total as f64;
        }
    }
    let keeps = |n: usize| names[n] != rare.into && shares[n] >= rare.below;
    let kept: Vec<usize> = (0..names.len()).filter(|&n| keeps(n)).collect();
    if kept.len() == names.len() {
        return;
    }
    let pooled = kept.len();
    positions.values_mut().for_each(|position| {
        *position = kept.iter().position(|n| n == position).unwrap_or(pooled);
    });
    let mut levels: Vec<toml::Value> = kept.iter().map(|&n| column.levels[n].clone()).collect();
    levels.push(toml::Value::String(rare.into.clone()));
    column.levels = levels;
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
