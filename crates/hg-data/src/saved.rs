//! An encoder as JSON holds it, which may have been edited or damaged.

use crate::bins::SavedBins;
use crate::calibration::Distribution;
use crate::clock::TimeFormat;
use crate::construct::Construction;
use crate::parsed::{GAP, START};
use crate::schema::check::{Stage, problems};
use crate::schema::keys::SchemaKeys;
use crate::table_set::{self, TableForm};
use crate::transform::SavedTransform;
use crate::{
    Column, Cuts, Encoder, Error, FittedColumn, FittedKind, FittedSpikes, PatientSource, Result,
    Schema, Shown, SourceType, SpanClass, TableStyle, TimeModel, TimeSource, ValueGrid, VisitGrid,
};
use serde::{Deserialize, Serialize};

/// Digits of an id that is filled up with zeros.
pub(crate) const MAX_ID_WIDTH: usize = 1000;
/// Decimals that a grid of values has.
const MAX_DECIMALS: u32 = 6;
/// Sequences of a cohort: as many as a double counts.
const MAX_SEQUENCES: usize = 1 << 53;

/// The JSON of an [`Encoder`].
#[derive(Deserialize)]
pub(crate) struct SavedEncoder {
    schema: SchemaKeys,
    columns: Vec<SavedColumn>,
    patient: PatientSource,
    time: TimeSource,
    style: TableStyle,
    order: Vec<String>,
    lengths: Vec<usize>,
    #[serde(default)]
    visits: Option<VisitGrid>,
    #[serde(default)]
    has_full_steps: bool,
    #[serde(default)]
    tables: Vec<TableForm>,
    #[serde(default)]
    distributions: Vec<Distribution>,
    #[serde(default)]
    repeats: Vec<Vec<f32>>,
    #[serde(default)]
    spans: Vec<SpanClass>,
}

/// The JSON of a [`FittedColumn`].
#[derive(Serialize, Deserialize)]
pub(crate) struct SavedColumn {
    kind: SavedKind,
    fill: f64,
    source: SourceType,
    shown: Shown,
    nan_gaps: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<TimeSource>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<[f64; 2]>,
}

/// The JSON of a [`FittedKind`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SavedKind {
    Numeric {
        transform: SavedTransform,
        values: ValueGrid,
        #[serde(default)]
        spikes: FittedSpikes,
    },
    Binned {
        bins: SavedBins,
        values: ValueGrid,
    },
    Discrete {
        levels: usize,
    },
    Constant {
        values: ValueGrid,
    },
    Empty,
}

impl From<FittedColumn> for SavedColumn {
    fn from(column: FittedColumn) -> Self {
        let fill = column.fill();
        let FittedColumn { kind, source, shown, nan_gaps, time, range } = column;
        let kind = match kind {
            FittedKind::Numeric { transform, values, spikes, .. } => {
                SavedKind::Numeric { transform: transform.into(), values, spikes }
            }
            FittedKind::Binned { bins, values, .. } => {
                SavedKind::Binned { bins: bins.into(), values }
            }
            FittedKind::Discrete { levels, .. } => SavedKind::Discrete { levels },
            FittedKind::Constant { values, .. } => SavedKind::Constant { values },
            FittedKind::Empty => SavedKind::Empty,
        };
        Self { kind, fill, source, shown, nan_gaps, time, range }
    }
}

impl TryFrom<SavedEncoder> for Encoder {
    type Error = Error;

    /// # Errors
    /// [`Error::Encoder`], several where several things are wrong.
    fn try_from(saved: SavedEncoder) -> Result<Self> {
        let SavedEncoder {
            schema,
            columns,
            patient,
            time,
            style,
            order,
            lengths,
            visits,
            has_full_steps,
            tables,
            distributions,
            repeats,
            spans,
        } = saved;
        let mut wrong: Vec<Error> = problems(&schema, "", Stage::Fitted)
            .into_iter()
            .map(|(_, problem)| of_encoder(format!("its schema: {problem}")))
            .collect();
        let schema = schema.meaning();

        let fitted = checked(columns, &schema, &mut wrong);
        if wrong.is_empty() && !fitted.iter().any(FittedColumn::is_modelled) {
            wrong.push(of_encoder("no column has anything to model"));
        }

        let of_patient = patient.source.problem().or_else(|| of_width(patient.width));
        wrong.extend(of_patient.map(|problem| of_column(&schema.patient.column, problem)));
        wrong.extend(of_time(&time, &schema).map(|e| of_column(&schema.time.column, e)));
        wrong.extend(of_order(&order, &schema));
        wrong.extend(of_lengths(&lengths).map(of_encoder));
        wrong.extend(of_visits(&schema, visits).map(of_encoder));
        wrong.extend(table_set::problems(&tables, &schema).into_iter().map(of_encoder));
        Error::all(wrong)?;
        // Invariant: the schema was checked above.
        let construction = Construction::of(&schema).unwrap_or_default();
        let encoder = Self {
            schema,
            columns: fitted,
            patient,
            time,
            style,
            order,
            lengths,
            visits,
            has_full_steps,
            tables,
            distributions,
            repeats,
            spans,
            construction,
        };
        match encoder.distributions_problem().or_else(|| encoder.spans_problem()) {
            Some(problem) => Err(of_encoder(problem)),
            None => Ok(encoder),
        }
    }
}

/// What was fitted to the columns of a schema; what is wrong with it besides.
fn checked(saved: Vec<SavedColumn>, schema: &Schema, wrong: &mut Vec<Error>) -> Vec<FittedColumn> {
    if schema.columns.len() != saved.len() {
        let (columns, fitted) = (schema.columns.len(), saved.len());
        let problem = format!("its schema has {columns} columns, but {fitted} were fitted");
        wrong.push(of_encoder(problem));
    }
    let mut fitted = Vec::with_capacity(saved.len());
    for (column, saved) in schema.columns.iter().zip(saved) {
        match saved.checked(column) {
            Ok(checked) => fitted.push(checked),
            Err(problem) => wrong.push(of_column(&column.name, problem)),
        }
    }
    fitted
}

fn of_encoder(problem: impl Into<String>) -> Error {
    Error::Encoder { column: None, problem: problem.into() }
}

fn of_column(column: &str, problem: impl Into<String>) -> Error {
    Error::Encoder { column: Some(column.to_owned()), problem: problem.into() }
}

impl SavedColumn {
    /// What was fitted to a schema's column, if it can be that.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    fn checked(self, column: &Column) -> std::result::Result<FittedColumn, String> {
        let Self { kind, fill, source, shown, nan_gaps, time, range } = self;
        if let Some(problem) = source.problem() {
            return Err(problem);
        }
        let median = || match fill.is_finite() {
            true => Ok(fill),
            false => Err(format!("fill is {fill}, it must be finite")),
        };
        let not_of_schema =
            |what: &str| Err(format!("{what} were fitted to another kind of column"));
        let (is_numeric, bins_of_schema) = (column.is_numeric(), column.bins());
        let kind = match kind {
            SavedKind::Empty => FittedKind::Empty,
            SavedKind::Numeric { transform, values, spikes }
                if is_numeric && bins_of_schema.is_none() =>
            {
                let (transform, values) = (transform.try_into()?, values.checked()?);
                if let Some(problem) = spikes.problem(column.spikes()) {
                    return Err(problem);
                }
                FittedKind::Numeric { transform, values, spikes, fill: median()? }
            }
            SavedKind::Constant { values } if is_numeric && bins_of_schema.is_none() => {
                FittedKind::Constant { value: median()?, values: values.checked()? }
            }
            SavedKind::Numeric { .. } | SavedKind::Constant { .. } => {
                return not_of_schema("numbers");
            }
            SavedKind::Binned { bins, values } if bins_of_schema.is_some() => {
                let bins = crate::FittedBins::try_from(bins)?;
                let edges = bins_of_schema.map(|bins| &bins.cuts);
                if edges != Some(&Cuts::Edges(bins.edges().to_vec())) {
                    return Err("its bins have other edges than the schema's".into());
                }
                FittedKind::Binned { bins, values: values.checked()?, fill: median()? }
            }
            SavedKind::Binned { .. } => return not_of_schema("bins"),
            SavedKind::Discrete { .. } if is_numeric => return not_of_schema("levels"),
            SavedKind::Discrete { levels } => {
                let named = column.levels().len();
                if levels != named || named == 0 {
                    return Err(format!("{levels} levels were fitted, the schema names {named}"));
                }
                if fill.fract() != 0. || !(0. ..named as f64).contains(&fill) {
                    return Err(format!("fill is {fill}, it must be one of {named} levels"));
                }
                FittedKind::Discrete { levels, fill: fill as usize }
            }
        };
        if let Some(problem) = time.as_ref().and_then(|time| of_dates(time, column)) {
            return Err(problem);
        }
        if let Some([least, greatest]) = range
            && !(least.is_finite() && greatest.is_finite() && least <= greatest)
        {
            return Err(format!("its values cannot lie between {least} and {greatest}"));
        }
        Ok(FittedColumn { kind, source, shown, nan_gaps, time, range })
    }
}

impl ValueGrid {
    fn checked(self) -> std::result::Result<Self, String> {
        if let Some(multiple) = self.multiple.filter(|m| !(m.is_finite() && *m > 0.)) {
            return Err(format!("its values are multiples of {multiple}, which must be above 0"));
        }
        match self.decimals.filter(|&decimals| decimals > MAX_DECIMALS) {
            Some(decimals) => {
                Err(format!("its values have {decimals} decimals, at most {MAX_DECIMALS} are kept"))
            }
            None => Ok(self),
        }
    }
}

fn of_width(width: Option<usize>) -> Option<String> {
    let width = width.filter(|width| *width > MAX_ID_WIDTH)?;
    Some(format!("its ids have {width} digits, at most {MAX_ID_WIDTH} can be written"))
}

fn of_time(time: &TimeSource, schema: &Schema) -> Option<String> {
    match time {
        TimeSource::Number { source, .. } if !(source.is_number() || source.is_text()) => {
            Some("its type is one of neither numbers nor texts".into())
        }
        TimeSource::Number { source, .. } => source.problem(),
        TimeSource::Text { offset, .. } if of_offset(*offset).is_some() => of_offset(*offset),
        TimeSource::Text { source, .. } => {
            match schema.time.format.as_deref().and_then(TimeFormat::parse) {
                Some(_) => source.problem(),
                None => Some("its times are texts, but the schema has no time.format".into()),
            }
        }
        TimeSource::Date | TimeSource::Datetime { .. } | TimeSource::Duration { .. } => None,
    }
}

/// What is wrong with what a modelled column of dates or durations holds.
fn of_dates(time: &TimeSource, column: &Column) -> Option<String> {
    let format = column.numbers().and_then(|numbers| numbers.format.as_deref());
    match time {
        _ if !column.is_numeric() => Some("only numeric columns hold dates".into()),
        TimeSource::Number { .. } => Some("its dates are plain numbers".into()),
        TimeSource::Text { offset, .. } if of_offset(*offset).is_some() => of_offset(*offset),
        TimeSource::Text { source, .. } => match format.and_then(TimeFormat::parse) {
            Some(_) => source.problem(),
            None => Some("its dates are texts, but the column has no format".into()),
        },
        TimeSource::Date | TimeSource::Datetime { .. } | TimeSource::Duration { .. } => None,
    }
}

/// What is wrong with a distance from Greenwich.
fn of_offset(offset: i32) -> Option<String> {
    const DAY: u32 = 24 * 60 * 60;
    (offset.unsigned_abs() >= DAY).then(|| format!("no zone is {offset} seconds from Greenwich"))
}

/// The order must name each column of the table once.
fn of_order(order: &[String], schema: &Schema) -> Option<Error> {
    let mut names: Vec<&str> = schema.names().collect();
    let mut order: Vec<&str> = order.iter().map(String::as_str).collect();
    if let Some(unknown) = order.iter().find(|name| !names.contains(name)) {
        return Some(of_column(unknown, "the order of columns names it, the schema does not"));
    }
    names.sort_unstable();
    order.sort_unstable();
    (names != order).then(|| of_encoder("the order of columns must name each of them once"))
}

/// An encoder of visits has all that makes their times.
fn of_visits(schema: &Schema, visits: Option<VisitGrid>) -> Option<String> {
    let has = |name: &str| schema.columns.iter().any(|column| column.name == name);
    match (schema.time.model == TimeModel::Visits, visits) {
        (true, Some(grid)) if has(START) && has(GAP) => grid.problem(),
        (true, _) => Some("it has no times between visits, though the schema has visits".into()),
        (false, Some(_)) => Some("it has times between visits, the schema has a grid".into()),
        (false, None) => None,
    }
}

fn of_lengths(lengths: &[usize]) -> Option<String> {
    if lengths.first().is_some_and(|&sequences| sequences > 0) {
        return Some("its lengths count sequences without a step".into());
    }
    let add = |sum: usize, &count: &usize| sum.checked_add(count);
    match lengths.iter().try_fold(0, add) {
        Some(0) => Some("its lengths count no sequence".into()),
        Some(1..=MAX_SEQUENCES) => None,
        _ => Some("its lengths count more sequences than there can be".into()),
    }
}
