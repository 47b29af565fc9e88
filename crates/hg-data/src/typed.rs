//! A raw table checked against a schema: every modelled column as numbers
//! (values, or the position of the level), missing cells as nulls.

use crate::{Column, Error, Kind, Result, Schema};
use polars::prelude::*;
use std::collections::HashMap;
use std::path::Path;

/// Working name of the patient's position among all patients.
pub(crate) const PATIENT: &str = "__patient";
/// Working name of the time.
pub(crate) const TIME: &str = "__time";

/// A checked table.
pub(crate) struct Typed {
    /// [`PATIENT`] (u32), [`TIME`] (f64) and one f64 column per schema column.
    pub(crate) frame: DataFrame,
    /// The patients' ids in order: by number where all are whole numbers, else
    /// by text.
    pub(crate) patients: Vec<String>,
    /// Whether each schema column's source holds whole numbers only.
    pub(crate) integers: Vec<bool>,
    /// Whether the time column's source holds whole numbers only.
    pub(crate) integer_time: bool,
}

/// Checks `table` against `schema`; `path` is for messages.
pub(crate) fn check(table: &DataFrame, schema: &Schema, path: &Path) -> Result<Typed> {
    let checker = Checker { table, schema, path };
    let ids = checker.ids()?;
    let (patients, positions) = order_patients(&ids);
    let (time, integer_time) = checker.numbers(&schema.time.column, None)?;
    if let Some(row) = (0..time.len()).find(|&row| time.get(row).is_none()) {
        let problem = "the time is missing; fill the cell or remove the row";
        return Err(Error::cell(path, row + 1, &schema.time.column, problem));
    }
    let mut columns = vec![
        Series::new(PATIENT.into(), positions).into_column(),
        time.with_name(TIME.into()).into_column(),
    ];
    let mut integers = Vec::with_capacity(schema.columns.len());
    for column in &schema.columns {
        let (values, integer) = match column.kind {
            Kind::Numeric => checker.numbers(&column.name, Some(column))?,
            Kind::Categorical | Kind::Binary => (checker.levels(column)?, false),
        };
        integers.push(integer);
        columns.push(values.into_column());
    }
    let frame = DataFrame::new(table.height(), columns)?;
    Ok(Typed { frame, patients, integers, integer_time })
}

struct Checker<'a> {
    table: &'a DataFrame,
    schema: &'a Schema,
    path: &'a Path,
}

impl Checker<'_> {
    fn source(&self, name: &str) -> Result<&polars::prelude::Column> {
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

    /// The cells as trimmed texts, missing ones as `None`.
    fn texts(&self, name: &str) -> Result<Vec<Option<String>>> {
        let text = self.source(name)?.cast(&DataType::String)?;
        let is_missing =
            |cell: &str| cell.is_empty() || self.schema.missing.iter().any(|m| m == cell);
        let cells = text
            .str()?
            .iter()
            .map(|cell| cell.map(str::trim).filter(|cell| !is_missing(cell)).map(str::to_owned));
        Ok(cells.collect())
    }

    fn ids(&self) -> Result<Vec<String>> {
        let name = &self.schema.patient.column;
        self.texts(name)?
            .into_iter()
            .enumerate()
            .map(|(row, id)| {
                let problem = "the patient is missing; fill the cell or remove the row";
                id.ok_or_else(|| Error::cell(self.path, row + 1, name, problem))
            })
            .collect()
    }

    /// Finite numbers, and whether all are written as whole numbers.
    fn numbers(&self, name: &str, column: Option<&Column>) -> Result<(Float64Chunked, bool)> {
        let censored = column.and_then(|column| column.censored.as_ref());
        let integer_source = self.source(name)?.dtype().is_integer();
        let float_source = self.source(name)?.dtype().is_float();
        let mut integer = !float_source;
        let mut values = Vec::with_capacity(self.table.height());
        for (row, cell) in self.texts(name)?.into_iter().enumerate() {
            let value = match cell {
                None => None,
                Some(text) => match censored.filter(|censored| censored.text == text) {
                    Some(censored) => Some(censored.value),
                    None => Some(self.number(&text, row, name)?),
                },
            };
            integer &= integer_source || value.is_none_or(|x| x.fract() == 0.);
            values.push(value);
        }
        Ok((Float64Chunked::from_iter_options(name.into(), values.into_iter()), integer))
    }

    fn number(&self, text: &str, row: usize, name: &str) -> Result<f64> {
        let problem = match text.parse::<f64>() {
            Ok(value) if value.is_finite() => return Ok(value),
            Ok(_) => format!(
                "«{text}» is not finite; empty the cell, or list «{text}» under `missing` in the schema"
            ),
            Err(_) => format!(
                "«{text}» is not a number; mend the cell, or list «{text}» under `missing` in the schema"
            ),
        };
        Err(Error::cell(self.path, row + 1, name, problem))
    }

    /// Positions of levels. Levels that are numbers match by value, so that
    /// «1» is «1.0».
    fn levels(&self, column: &Column) -> Result<Float64Chunked> {
        let names = column.level_names();
        let as_number = |text: &str| text.parse::<f64>().ok().filter(|x| x.is_finite());
        let numbers: Option<Vec<f64>> = names.iter().map(|name| as_number(name)).collect();
        let by_name: HashMap<&str, usize> =
            names.iter().enumerate().map(|(n, name)| (name.as_str(), n)).collect();
        let position = |text: &str| match (&numbers, by_name.get(text)) {
            (_, Some(&n)) => Some(n),
            (Some(numbers), None) => {
                let number = as_number(text)?;
                numbers.iter().position(|&level| level == number)
            }
            (None, None) => None,
        };
        let mut positions = Vec::with_capacity(self.table.height());
        for (row, cell) in self.texts(&column.name)?.into_iter().enumerate() {
            positions.push(match cell {
                None => None,
                Some(text) => Some(position(&text).ok_or_else(|| {
                    let problem = format!(
                        "«{text}» is not among the levels {}; mend the cell or add the level to the schema",
                        names.join(", ")
                    );
                    Error::cell(self.path, row + 1, &column.name, problem)
                })? as f64),
            });
        }
        let name = column.name.as_str().into();
        Ok(Float64Chunked::from_iter_options(name, positions.into_iter()))
    }
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
