//! An encoder as it was saved, which may have been edited or damaged since.

use crate::clock::TimeFormat;
use crate::schema::check::{Stage, problems};
use crate::{
    Column, Encoder, Error, FittedColumn, FittedKind, Kind, PatientSource, Result, Schema,
    TableStyle, TimeSource, ValueGrid,
};
use serde::Deserialize;

/// Digits of an id that is filled up with zeros.
pub(crate) const MAX_ID_WIDTH: usize = 1000;
/// Decimals that a grid of values has.
const MAX_DECIMALS: u32 = 6;
/// Sequences of a cohort: as many as a double counts.
const MAX_SEQUENCES: usize = 1 << 53;

/// What JSON holds, with the fields of an [`Encoder`].
#[derive(Deserialize)]
pub(crate) struct UncheckedEncoder {
    schema: Schema,
    columns: Vec<FittedColumn>,
    patient: PatientSource,
    time: TimeSource,
    style: TableStyle,
    order: Vec<String>,
    lengths: Vec<usize>,
}

impl TryFrom<UncheckedEncoder> for Encoder {
    type Error = Error;

    /// # Errors
    /// [`Error::Encoder`], several where several things are wrong.
    fn try_from(unchecked: UncheckedEncoder) -> Result<Self> {
        Error::all(unchecked.problems())?;
        let UncheckedEncoder { schema, columns, patient, time, style, order, lengths } = unchecked;
        Ok(Self { schema, columns, patient, time, style, order, lengths })
    }
}

fn of_encoder(problem: impl Into<String>) -> Error {
    Error::Encoder { column: None, problem: problem.into() }
}

fn of_column(column: &str, problem: impl Into<String>) -> Error {
    Error::Encoder { column: Some(column.to_owned()), problem: problem.into() }
}

impl UncheckedEncoder {
    fn problems(&self) -> Vec<Error> {
        let schema = problems(&self.schema, "", Stage::Fitted).into_iter();
        let mut found: Vec<Error> =
            schema.map(|(_, problem)| of_encoder(format!("its schema: {problem}"))).collect();

        let (schema, fitted) = (&self.schema.columns, &self.columns);
        if schema.len() != fitted.len() {
            let (columns, fitted) = (schema.len(), fitted.len());
            found.push(of_encoder(format!(
                "its schema has {columns} columns, but {fitted} were fitted"
            )));
        }
        if fitted.iter().all(|column| column.kind == FittedKind::Empty) {
            found.push(of_encoder("no column has anything to model"));
        }
        for (column, fitted) in schema.iter().zip(fitted) {
            let problem = fitted.source.problem().or_else(|| of_kind(column, fitted));
            found.extend(problem.map(|problem| of_column(&column.name, problem)));
        }

        let patient = self.patient.source.problem().or_else(|| self.of_width());
        found.extend(patient.map(|problem| of_column(&self.schema.patient.column, problem)));
        found.extend(self.of_time().map(|problem| of_column(&self.schema.time.column, problem)));
        found.extend(self.of_order());
        found.extend(self.of_lengths().map(of_encoder));
        found
    }

    fn of_width(&self) -> Option<String> {
        let width = self.patient.width.filter(|width| *width > MAX_ID_WIDTH)?;
        Some(format!("its ids have {width} digits, at most {MAX_ID_WIDTH} can be written"))
    }

    fn of_time(&self) -> Option<String> {
        const DAY: u32 = 24 * 60 * 60;
        match &self.time {
            TimeSource::Number { source, .. } if !(source.is_number() || source.is_text()) => {
                Some("its type is one of neither numbers nor texts".into())
            }
            TimeSource::Number { source, .. } => source.problem(),
            TimeSource::Text { offset, .. } if offset.unsigned_abs() >= DAY => {
                Some(format!("no zone is {offset} seconds from Greenwich"))
            }
            TimeSource::Text { source, .. } => {
                let format = self.schema.time.format.as_deref().and_then(TimeFormat::parse);
                match format {
                    Some(_) => source.problem(),
                    None => Some("its times are texts, but the schema has no time.format".into()),
                }
            }
            TimeSource::Date | TimeSource::Datetime { .. } | TimeSource::Duration { .. } => None,
        }
    }

    /// The order must name each column of the table once.
    fn of_order(&self) -> Option<Error> {
        let mut names: Vec<&str> = self.schema.names().collect();
        let mut order: Vec<&str> = self.order.iter().map(String::as_str).collect();
        if let Some(unknown) = order.iter().find(|name| !names.contains(name)) {
            return Some(of_column(unknown, "the order of columns names it, the schema does not"));
        }
        names.sort_unstable();
        order.sort_unstable();
        (names != order).then(|| of_encoder("the order of columns must name each of them once"))
    }

    fn of_lengths(&self) -> Option<String> {
        if self.lengths.first().is_some_and(|&sequences| sequences > 0) {
            return Some("its lengths count sequences without a step".into());
        }
        let add = |sum: usize, &count: &usize| sum.checked_add(count);
        match self.lengths.iter().try_fold(0, add) {
            Some(0) => Some("its lengths count no sequence".into()),
            Some(1..=MAX_SEQUENCES) => None,
            _ => Some("its lengths count more sequences than there can be".into()),
        }
    }
}

/// What is wrong with what was fitted to a column.
fn of_kind(column: &Column, fitted: &FittedColumn) -> Option<String> {
    let is_numeric = column.kind == Kind::Numeric;
    let not_of_schema = |what: &str| Some(format!("{what} were fitted to another kind of column"));
    match &fitted.kind {
        FittedKind::Empty => None,
        FittedKind::Numeric { .. } if !is_numeric || column.bins.is_some() => {
            not_of_schema("numbers")
        }
        FittedKind::Numeric { transform, values } => {
            transform.problem().or_else(|| of_values(values)).or_else(|| of_number(fitted.fill))
        }
        FittedKind::Binned { .. } if !is_numeric || column.bins.is_none() => not_of_schema("bins"),
        FittedKind::Binned { bins, values } => {
            let is_of_schema = column.bins.as_ref().is_some_and(|of| of.edges == bins.edges());
            let problem =
                (!is_of_schema).then(|| "its bins have other edges than the schema's".into());
            problem
                .or_else(|| bins.problem())
                .or_else(|| of_values(values))
                .or_else(|| of_number(fitted.fill))
        }
        FittedKind::Discrete { .. } if is_numeric => not_of_schema("levels"),
        FittedKind::Discrete { levels } => {
            let named = column.levels.len();
            if *levels != named || named == 0 {
                return Some(format!("{levels} levels were fitted, the schema names {named}"));
            }
            let is_level = fitted.fill.fract() == 0. && (0. ..named as f64).contains(&fitted.fill);
            (!is_level)
                .then(|| format!("fill is {}, it must be one of {named} levels", fitted.fill))
        }
    }
}

fn of_number(fill: f64) -> Option<String> {
    (!fill.is_finite()).then(|| format!("fill is {fill}, it must be finite"))
}

fn of_values(values: &ValueGrid) -> Option<String> {
    let decimals = values.decimals.filter(|&decimals| decimals > MAX_DECIMALS)?;
    Some(format!("its values have {decimals} decimals, at most {MAX_DECIMALS} are kept"))
}
