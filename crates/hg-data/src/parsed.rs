//! A raw table checked against a schema: every modelled column as numbers
//! (values, or the position of the level), missing cells as nulls.

use crate::clock::{Grid, TimeKind};
use crate::csv::other_separator;
use crate::notes::ColumnFacts;
use crate::source::{SourceType, TimeSource};
use crate::statics::check_statics;
use crate::{Error, Origin, OutOfDomain, Result, Schema, Table};
use polars_core::prelude::*;
use rayon::prelude::*;
use std::collections::HashMap;

/// Working name of the patient's position among all patients.
pub(crate) const PATIENT: &str = "__patient";
/// Working name of the time.
pub(crate) const TIME: &str = "__time";
/// Name of the column that holds each patient's first time, where that is modelled.
pub(crate) const START: &str = "(first time)";
/// Name of the column that holds the time since the row before, where rows are steps.
pub(crate) const GAP: &str = "(time since the row before)";
/// Columns that the schema has and the table has not.
pub(crate) const DERIVED: [&str; 2] = [START, GAP];

/// A checked table.
pub(crate) struct ParsedTable {
    /// [`PATIENT`] (u32), [`TIME`] (f64, on the grid's axis) and one f64 column per schema
    /// column.
    pub(crate) frame: DataFrame,
    /// The patients' ids in order: by number where all are numbers, else by text.
    pub(crate) patients: Vec<String>,
    /// The type of the patient column.
    pub(crate) patient_source: SourceType,
    /// What each schema column's source shows.
    pub(crate) facts: Vec<ColumnFacts>,
    /// What the time column holds.
    pub(crate) time: TimeSource,
    /// How its cells are written.
    pub(crate) time_facts: ColumnFacts,
    /// The grid on it.
    pub(crate) grid: Grid,
    /// Of a synthetic table: what the schema has no place for.
    pub(crate) out_of_domain: Vec<OutOfDomain>,
    /// Where times are dates, and other columns too: the midnight, in seconds, before each patient's
    /// first time, from which those columns count.
    pub(crate) origins: Option<Vec<f64>>,
}

/// Checks `table` against `schema`, whose levels are settled; `first_row` rows stand before the
/// table in its file.
pub(crate) fn check(
    table: &Table,
    schema: &Schema,
    first_row: usize,
    origin: Origin,
) -> Result<ParsedTable> {
    require_columns(table.frame.get_column_names().into_iter(), schema, &table.name)?;
    let checker = || Checker::new(table, schema, first_row, origin);
    let mut first = checker();
    let (patients, positions, patient_source) = first.patients()?;
    let (times, time, grid, time_facts) = first.times()?;
    let modelled = schema.columns.par_iter().filter(|c| !c.is_derived());
    let read: Vec<(Float64Chunked, ColumnFacts, Checker<'_>)> =
        modelled.map(|column| checker().column(column)).collect::<Result<_>>()?;

    // Everything that is wrong is said at once.
    let Checker { mut problems, mut out_of_domain, .. } = first;
    let (mut columns, mut facts) = (Vec::with_capacity(read.len() + 3), Vec::new());
    for (values, of_column, checker) in read {
        columns.push(values.into_column());
        facts.push(of_column);
        problems.extend(checker.problems);
        out_of_domain.extend(checker.out_of_domain);
    }
    Error::all(problems)?;

    for column in &schema.columns {
        // The steps will have them.
        if column.is_derived() {
            let of_numbers = ColumnFacts::new(SourceType::Float64);
            facts.push(ColumnFacts { integer: time_facts.integer, ..of_numbers });
        }
    }
    columns.push(Series::new(PATIENT.into(), positions).into_column());
    columns.push(times.with_name(TIME.into()).into_column());
    let mut frame = DataFrame::new(table.frame.height(), columns)?;

    let place = Place { schema, table, first_row, patients: &patients };
    check_statics(&mut frame, &place, origin, &mut out_of_domain)?;
    let origins = count_from_origins(&mut frame, schema, (&facts, grid, time.offset()))?;
    Ok(ParsedTable {
        frame,
        patients,
        patient_source,
        facts,
        time,
        time_facts,
        grid,
        out_of_domain,
        origins,
    })
}

/// The cells of some of a table's columns, which are none of dates, as [`check`] reads them.
pub(crate) fn cells_of(
    table: &Table,
    schema: &Schema,
    columns: &[usize],
) -> Result<Vec<Vec<Option<f64>>>> {
    let (mut cells, mut problems) = (Vec::new(), Vec::new());
    for &column in columns {
        let checker = Checker::new(table, schema, 0, Origin::Real);
        let (values, _, checker) = checker.column(&schema.columns[column])?;
        cells.push(values.iter().collect());
        problems.extend(checker.problems);
    }
    Error::all(problems)?;
    Ok(cells)
}

/// Lets columns of dates count from the midnight before their patient's first time, where times are
/// dates, which a synthetic patient's do not keep; gives these midnights.
fn count_from_origins(
    frame: &mut DataFrame,
    schema: &Schema,
    (facts, grid, offset): (&[ColumnFacts], Grid, i32),
) -> Result<Option<Vec<f64>>> {
    let of_dates = schema
        .columns
        .iter()
        .zip(facts)
        .filter(|(column, facts)| facts.time.as_ref().is_some_and(|time| time.is_date(column)));
    let of_dates: Vec<&str> = of_dates.map(|(column, _)| column.name.as_str()).collect();
    if grid.kind != TimeKind::Dates || of_dates.is_empty() {
        return Ok(None);
    }
    let patients: Vec<u32> = frame.column(PATIENT)?.u32()?.iter().flatten().collect();
    let count = patients.iter().max().map_or(0, |most| *most as usize + 1);
    let mut origins = vec![f64::INFINITY; count];
    for (time, &patient) in frame.column(TIME)?.f64()?.iter().zip(&patients) {
        let first = &mut origins[patient as usize];
        *first = first.min(time.unwrap_or(f64::INFINITY));
    }
    origins.iter_mut().for_each(|first| *first = grid.midnight(*first, offset));
    for name in of_dates {
        let cells = frame.column(name)?.f64()?.iter().zip(&patients);
        let counted: Float64Chunked =
            cells.map(|(cell, &patient)| Some(cell? - origins[patient as usize])).collect();
        frame.replace(name, counted.with_name(name.into()).into_column())?;
    }
    Ok(Some(origins))
}

/// Where messages about a table's rows point to.
pub(crate) struct Place<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) table: &'a Table,
    /// Rows that stand before the table in its file.
    pub(crate) first_row: usize,
    pub(crate) patients: &'a [String],
}

/// Refuses a table, whose name is `table`, that lacks one of the schema's columns.
pub(crate) fn require_columns<'n>(
    names: impl Iterator<Item = &'n PlSmallStr>,
    schema: &Schema,
    table: impl std::fmt::Display,
) -> Result<()> {
    Error::all(missing_columns(names, schema.names(), table))
}

/// That a table, whose name is `table`, lacks some of the columns that are `wanted` of it.
pub(crate) fn missing_columns<'n, 'w>(
    names: impl Iterator<Item = &'n PlSmallStr>,
    wanted: impl Iterator<Item = &'w str>,
    table: impl std::fmt::Display,
) -> Vec<Error> {
    let names: Vec<&str> = names.map(PlSmallStr::as_str).collect();
    let problem = |name: &str| {
        let problem = match names.as_slice() {
            [only] if let Some(hint) = other_separator(only, b'\0') => {
                format!("the table has no such column\nhint: {hint}")
            }
            _ => format!(
                "the table has no such column; it has: {}\nhint: correct the schema or the header",
                names.join(", ")
            ),
        };
        Error::column(&table, name, problem)
    };
    wanted.filter(|name| !names.contains(name)).map(problem).collect()
}

/// Reads a table's columns, and gathers what is wrong with them.
pub(crate) struct Checker<'a> {
    table: &'a Table,
    pub(crate) schema: &'a Schema,
    first_row: usize,
    origin: Origin,
    pub(crate) problems: Vec<Error>,
    out_of_domain: Vec<OutOfDomain>,
}

/// Rows whose cells a synthetic table has outside the domain.
pub(crate) struct Strays {
    pub(crate) cells: usize,
    pub(crate) example: String,
    /// In the table, from 0.
    pub(crate) row: usize,
}

impl<'a> Checker<'a> {
    fn new(table: &'a Table, schema: &'a Schema, first_row: usize, origin: Origin) -> Self {
        let (problems, out_of_domain) = (Vec::new(), Vec::new());
        Self { table, schema, first_row, origin, problems, out_of_domain }
    }

    /// A modelled column's cells as numbers, with what its source shows and what was found.
    fn column(mut self, column: &crate::Column) -> Result<(Float64Chunked, ColumnFacts, Self)> {
        let (values, facts) = match column.is_numeric() {
            true => match self.seconds(column)? {
                Some(read) => read,
                None => self.numbers(&column.name, Some(column))?,
            },
            false => self.levels(column)?,
        };
        Ok((values, facts, self))
    }

    /// A column and its type.
    pub(crate) fn source(&self, name: &str) -> Result<(&'a Column, SourceType)> {
        let column = self.table.frame.column(name)?;
        let source = SourceType::of(column.dtype(), self.table.is_untyped()).ok_or_else(|| {
            let problem = format!(
                "holds {}, which cannot be modelled\nhint: turn it into numbers or texts, or leave it out of the schema",
                plural(column.dtype())
            );
            Error::column(&self.table.name, name, problem)
        })?;
        Ok((column, source))
    }

    pub(crate) fn raw(&self, name: &str) -> Result<&'a Column> {
        Ok(self.table.frame.column(name)?)
    }

    pub(crate) fn error(&self, name: &str, problem: String) -> Error {
        Error::column(&self.table.name, name, problem)
    }

    pub(crate) fn say(&mut self, row: usize, name: &str, problem: impl Into<String>) {
        self.problems.push(self.table.cell_error((self.first_row, row), name, problem));
    }

    /// A column as texts.
    pub(crate) fn texts(&self, name: &str) -> Result<StringChunked> {
        let column = self.table.frame.column(name)?;
        let texts = column.cast(&DataType::String).map_err(|e| {
            let problem = format!("holds {}, which are no texts: {e}", plural(column.dtype()));
            Error::column(&self.table.name, name, problem)
        })?;
        Ok(texts.str()?.clone())
    }

    /// Whether what is out of the domain is counted instead of refused.
    pub(crate) fn counts_strays(&self) -> bool {
        self.origin == Origin::Synthetic
    }

    pub(crate) fn stray(&mut self, column: &str, problem: &str, strays: Strays) {
        let Strays { cells, example, row } = strays;
        self.out_of_domain.push(OutOfDomain {
            column: column.to_owned(),
            problem: problem.to_owned(),
            cells,
            example,
            row: self.table.place(self.first_row, row, column).1,
        });
    }

    /// The distinct ids in order, each row's position among them, and their type.
    fn patients(&mut self) -> Result<(Vec<String>, Vec<u32>, SourceType)> {
        let name = &self.schema.patient.column;
        let (column, source) = self.source(name)?;
        if source.is_integer()
            && column.null_count() == 0
            && self.schema.missing.is_empty()
            && let Ok(ids) = column.strict_cast(&DataType::Int64)
        {
            let ids: Vec<i64> = ids.i64()?.iter().flatten().collect();
            if ids.is_sorted() {
                let mut patients: Vec<String> = Vec::new();
                let mut positions = Vec::with_capacity(ids.len());
                for run in ids.chunk_by(|a, b| a == b) {
                    positions.extend(std::iter::repeat_n(patients.len() as u32, run.len()));
                    patients.push(run[0].to_string());
                }
                return Ok((patients, positions, source));
            }
        }
        let (patients, positions) = order_patients(&self.ids()?);
        // A CSV's ids that are written as 1.0 come back so.
        let is_real =
            |id: &String| id.strip_suffix(".0").is_some_and(|id| id.parse::<i64>().is_ok());
        let source = match source {
            SourceType::Text if !patients.is_empty() && patients.iter().all(is_real) => {
                SourceType::Float64
            }
            source => source,
        };
        Ok((patients, positions, source))
    }

    fn ids(&mut self) -> Result<Vec<String>> {
        let name = &self.schema.patient.column;
        let texts = self.texts(name)?;
        let mut ids = Vec::with_capacity(texts.len());
        for (row, cell) in texts.iter().enumerate() {
            let id = present(cell, &self.schema.missing, &[]);
            if id.is_none() {
                self.say(
                    row,
                    name,
                    "the patient is missing\nhint: fill the cell or remove the row",
                );
            }
            ids.push(id.unwrap_or_default().to_owned());
        }
        Ok(ids)
    }
}

/// What the cells of a type are called in messages.
pub(crate) fn plural(dtype: &DataType) -> String {
    match dtype {
        DataType::List(_) | DataType::Array(..) => "lists".into(),
        DataType::Struct(_) => "structs (records of several fields)".into(),
        DataType::Binary | DataType::BinaryOffset => "bytes".into(),
        DataType::Date | DataType::Datetime(..) => "dates".into(),
        DataType::Duration(_) => "durations".into(),
        DataType::Time => "times of day".into(),
        other => format!("cells of type {other:?}"),
    }
}

/// A cell, trimmed, where it is neither empty nor one of the texts for "missing".
pub(crate) fn present<'t>(
    cell: Option<&'t str>,
    missing: &[String],
    of_column: &[String],
) -> Option<&'t str> {
    let is_missing =
        |cell: &str| cell.is_empty() || missing.iter().chain(of_column).any(|text| text == cell);
    cell.map(str::trim).filter(|cell| !is_missing(cell))
}

/// The distinct ids in order, and each row's position among them.
fn order_patients(ids: &[String]) -> (Vec<String>, Vec<u32>) {
    // A patient's rows mostly stand together.
    let runs = || ids.chunk_by(|a, b| a == b);
    let mut patients: Vec<&str> = runs().map(|run| run[0].as_str()).collect();
    patients.sort_unstable();
    patients.dedup();
    sort_ids(&mut patients, |id| id);
    let position: HashMap<&str, u32> = patients.iter().copied().zip(0u32..).collect();
    let mut rows = Vec::with_capacity(ids.len());
    for run in runs() {
        rows.extend(std::iter::repeat_n(position[run[0].as_str()], run.len()));
    }
    (patients.into_iter().map(str::to_owned).collect(), rows)
}

/// Puts patients in the order that encoded cohorts have: by number where all their ids are
/// numbers, else by text.
pub(crate) fn sort_ids<T>(patients: &mut [T], id: impl Fn(&T) -> &str) {
    fn number(id: &str) -> Option<i128> {
        id.strip_suffix(".0").unwrap_or(id).parse().ok()
    }
    patients.sort_by(|a, b| id(a).cmp(id(b)));
    if patients.iter().all(|patient| number(id(patient)).is_some()) {
        patients.sort_by_cached_key(|patient| number(id(patient)));
    }
}
