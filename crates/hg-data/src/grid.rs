//! From rows at any time to one row per grid step, ordered by patient and step.

use crate::parsed::{PATIENT, ParsedTable, TIME};
use crate::{Aggregate, Error, Impute, Result, Schema, ShortPatients};
use polars::prelude::*;
use std::collections::HashSet;
use std::path::Path;

/// Working name of the grid step.
pub(crate) const STEP: &str = "__step";
/// Working name of a grid step's rows.
pub(crate) const ROWS: &str = "__rows";

/// Steps of a patient at most: more are a slip in the times.
const MOST_STEPS: f64 = 100_000.;

/// Rows on the regular grid.
pub(crate) struct ResampledTable {
    /// One f64 column per schema column, ordered by patient and step, nulls
    /// where nothing was measured.
    pub(crate) frame: DataFrame,
    /// Steps of each sequence: of each patient, or of a patient's windows.
    pub(crate) lengths: Vec<usize>,
    /// Whether each step is one that the table has no row for; empty where there is none.
    pub(crate) invented: Vec<bool>,
    /// What became of the table's rows.
    pub(crate) counts: RowCounts,
}

/// What became of a table's rows, and of its patients, on the grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// Patients that were shorter than the schema wants and left out.
    pub dropped_patients: usize,
    /// Rows that are exact copies of another, and left out.
    pub copies: usize,
    /// Rows that share a grid step with an earlier one; each column's `aggregate` says what
    /// becomes of them.
    pub merged_rows: usize,
    /// Grid steps between a patient's first and last row at which the table has none.
    pub invented_steps: usize,
}

impl std::ops::AddAssign for RowCounts {
    fn add_assign(&mut self, other: Self) {
        self.dropped_patients += other.dropped_patients;
        self.copies += other.copies;
        self.merged_rows += other.merged_rows;
        self.invented_steps += other.invented_steps;
    }
}

/// Puts a checked table on the schema's grid; `path` is for messages.
pub(crate) fn grid(typed: ParsedTable, schema: &Schema, path: &Path) -> Result<ResampledTable> {
    if let Some(lengths) = regular(&typed, schema)? {
        let (invented, counts) = (Vec::new(), RowCounts::default());
        return Ok(ResampledTable { frame: typed.frame, lengths, invented, counts });
    }
    let rows = without_copies(&typed)?;
    let copies = typed.frame.height() - rows.height();
    let stepped = rows
        .lazy()
        .sort([PATIENT, TIME], SortMultipleOptions::default().with_maintain_order(true))
        .with_column(step_of_row(typed.grid.width)?.alias(STEP))
        .filter(col(STEP).lt(lit(schema.sequence.max_length.unwrap_or(usize::MAX) as f64)));
    let mut of_steps: Vec<Expr> = schema.columns.iter().map(aggregated).collect();
    of_steps.push(len().cast(DataType::UInt32).alias(ROWS));
    let observed = stepped.group_by_stable([col(PATIENT), col(STEP)]).agg(of_steps).collect()?;
    let taken: usize = observed.column(ROWS)?.u32()?.iter().flatten().map(|n| n as usize).sum();
    let merged_rows = taken - observed.height();

    let (skeleton, lengths, dropped_patients) = skeleton(&observed, &typed, schema, path)?;
    let keys = [col(PATIENT), col(STEP)];
    let mut join = JoinArgs::new(JoinType::Left);
    join.maintain_order = MaintainOrderJoin::Left;
    let frame = skeleton.lazy().join(observed.lazy(), keys.clone(), keys, join).collect()?;
    let invented: Vec<bool> =
        frame.column(ROWS)?.is_null().iter().map(|n| n == Some(true)).collect();
    let invented_steps = invented.iter().filter(|invented| **invented).count();
    let counts = RowCounts { dropped_patients, copies, merged_rows, invented_steps };
    Ok(ResampledTable { frame, lengths, invented, counts })
}

/// What a column shows at a step of several rows.
fn aggregated(column: &crate::Column) -> Expr {
    let values = col(column.name.as_str()).drop_nulls();
    match column.aggregate {
        Aggregate::Last => values.last(),
        Aggregate::Mean => values.mean(),
        // The sum of nothing is 0, but an empty step was not measured.
        Aggregate::Sum => {
            when(values.clone().len().gt(lit(0))).then(values.sum()).otherwise(lit(NULL))
        }
    }
    .alias(column.name.as_str())
}

/// The lengths of a table that already is on the grid: patient after patient, step after
/// step, none missing, and no patient to cut or refuse. Most large tables are.
fn regular(typed: &ParsedTable, schema: &Schema) -> Result<Option<Vec<usize>>> {
    let patients = typed.frame.column(PATIENT)?.u32()?;
    let times = typed.frame.column(TIME)?.f64()?;
    let sequence = &schema.sequence;
    let longest = sequence.max_length.unwrap_or(usize::MAX).min(MOST_STEPS as usize);
    let mut lengths: Vec<usize> = Vec::new();
    let (mut current, mut start, mut before) = (None, 0., f64::NEG_INFINITY);
    for (patient, time) in patients.iter().zip(times.iter()) {
        let (Some(patient), Some(time)) = (patient, time) else { return Ok(None) };
        if current != Some(patient) {
            if current.is_some_and(|current| patient < current) {
                return Ok(None);
            }
            (current, start, before) = (Some(patient), time, f64::NEG_INFINITY);
            lengths.push(0);
        }
        let Some(length) = lengths.last_mut() else { return Ok(None) };
        let step = ((time - start) / typed.grid.width + 0.5).floor();
        if step != *length as f64 || time <= before {
            return Ok(None);
        }
        *length += 1;
        before = time;
    }
    let shortest = sequence.min_length;
    let fits = lengths.iter().all(|length| (shortest..=longest).contains(length));
    Ok((fits && sequence.window.is_none()).then_some(lengths))
}

/// The nearest grid step, counted from the patient's first row.
fn step_of_row(step: f64) -> PolarsResult<Expr> {
    let since_first = col(TIME) - col(TIME).min().over([col(PATIENT)])?;
    Ok((since_first / lit(step) + lit(0.5)).floor())
}

/// The rows, each once.
fn without_copies(typed: &ParsedTable) -> Result<DataFrame> {
    let patients = typed.frame.column(PATIENT)?.u32()?;
    let times = typed.frame.column(TIME)?.f64()?;
    let mut seen = HashSet::new();
    let is_new = |(patient, time): (Option<u32>, Option<f64>)| {
        // Adding 0 makes −0 and 0 one key.
        seen.insert((patient, time.map(|time| (time + 0.).to_bits())))
    };
    if patients.iter().zip(times.iter()).all(is_new) {
        return Ok(typed.frame.clone());
    }
    let rows = typed.frame.clone().lazy();
    Ok(rows.unique_stable(None, UniqueKeepStrategy::First).collect()?)
}

/// Every (patient, step) up to each patient's last observed step.
fn skeleton(
    observed: &DataFrame,
    typed: &ParsedTable,
    schema: &Schema,
    path: &Path,
) -> Result<(DataFrame, Vec<usize>, usize)> {
    let mut all_lengths = vec![0usize; typed.patients.len()];
    let patients = observed.column(PATIENT)?.u32()?;
    let steps = observed.column(STEP)?.f64()?;
    for (patient, step) in patients.iter().zip(steps.iter()) {
        if let (Some(patient), Some(step)) = (patient, step) {
            if step >= MOST_STEPS {
                let problem = format!(
                    "spans {step:e} steps of the grid; mend its times, raise time.step, or set \
                     sequence.max_length"
                );
                let patient = typed.patients[patient as usize].clone();
                return Err(Error::Patient { path: path.to_owned(), patient, problem });
            }
            let length = &mut all_lengths[patient as usize];
            *length = (*length).max(step as usize + 1);
        }
    }
    let (mut patients, mut steps, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    let sequence = &schema.sequence;
    let (shortest, mut dropped, mut problems) = (sequence.min_length, 0, Vec::new());
    // A patient of the split's other side has no rows.
    for (patient, &length) in all_lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
        if length < shortest {
            dropped += 1;
            if sequence.short_patients == ShortPatients::Refuse {
                let problem = format!(
                    "has {length} of the {shortest} steps that sequence.min_length asks for; \
                     lower it, or set sequence.short_patients = \"drop\""
                );
                let (path, patient) = (path.to_owned(), typed.patients[patient].clone());
                problems.push(Error::Patient { path, patient, problem });
            }
            continue;
        }
        let window = sequence.window.unwrap_or(length);
        for start in (0..length).step_by(window) {
            let length = window.min(length - start);
            if length >= shortest {
                lengths.push(length);
                patients.extend(std::iter::repeat_n(patient as u32, length));
                steps.extend((start..start + length).map(|step| step as f64));
            }
        }
    }
    Error::all(problems)?;
    let columns = vec![
        Series::new(PATIENT.into(), patients).into_column(),
        Series::new(STEP.into(), steps).into_column(),
    ];
    Ok((DataFrame::new(columns[0].len(), columns)?, lengths, dropped))
}

/// Fills gaps from the same patient's other steps, as each column asks.
pub(crate) fn fill_within_patients(gridded: &ResampledTable, schema: &Schema) -> Result<DataFrame> {
    let fills: Vec<Expr> = schema
        .columns
        .iter()
        .filter(|column| {
            let has_gaps = |cells: &polars::prelude::Column| cells.null_count() > 0;
            column.impute != Impute::None && gridded.frame.column(&column.name).is_ok_and(has_gaps)
        })
        .map(|column| {
            let carried =
                col(column.name.as_str()).fill_null_with_strategy(FillNullStrategy::Forward(None));
            let filled = match column.impute {
                Impute::Both => carried.fill_null_with_strategy(FillNullStrategy::Backward(None)),
                Impute::Forward | Impute::None => carried,
            };
            filled.over([col(PATIENT)])
        })
        .collect::<PolarsResult<_>>()?;
    if fills.is_empty() {
        return Ok(gridded.frame.clone());
    }
    Ok(gridded.frame.clone().lazy().with_columns(fills).collect()?)
}
