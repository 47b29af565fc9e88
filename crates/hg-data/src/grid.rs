//! From rows at any time to one row per step, ordered by patient and step: a point of the regular
//! grid, or a visit.

use crate::clock::{Axis, Grid};
use crate::parsed::{GAP, PATIENT, ParsedTable, START, TIME};
use crate::{Aggregate, Error, Result, Schema, ShortPatients, TimeModel};
use polars_core::prelude::*;
use rayon::prelude::*;
use std::collections::HashSet;
use std::ops::Range;

/// Steps of a patient at most: more are a slip in the times.
const MAX_STEPS: f64 = 100_000.;

/// One row per step.
pub(crate) struct ResampledTable {
    /// One f64 column per schema column, ordered by patient and step, nulls
    /// where nothing was measured.
    pub(crate) frame: DataFrame,
    /// Steps of each sequence: of each patient, or of a patient's windows.
    pub(crate) lengths: Vec<usize>,
    /// The time of each step, on the axis of the time column; from its patient's origin, where
    /// columns of dates count from there.
    pub(crate) times: Vec<f64>,
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
    /// Of several tables: rows of events whose code no column has.
    pub unknown_codes: usize,
    /// Of several tables: patients with a row in a static table alone.
    pub lone_patients: usize,
}

impl std::ops::AddAssign for RowCounts {
    fn add_assign(&mut self, other: Self) {
        self.dropped_patients += other.dropped_patients;
        self.copies += other.copies;
        self.merged_rows += other.merged_rows;
        self.invented_steps += other.invented_steps;
        self.unknown_codes += other.unknown_codes;
        self.lone_patients += other.lone_patients;
    }
}

/// Puts a checked table, whose name is `table`, in steps.
pub(crate) fn grid(parsed: ParsedTable, schema: &Schema, table: &str) -> Result<ResampledTable> {
    if let Some((lengths, times)) = regular(&parsed, schema)? {
        let (invented, counts) = (Vec::new(), RowCounts::default());
        let mut frame = parsed.frame;
        let clock = Clock { grid: parsed.grid, offset: parsed.time.offset() };
        derive(&mut frame, schema, clock, (&times, &lengths), None)?;
        fill_occurrences(&mut frame, schema, &lengths)?;
        let times = counted(times, &frame, (parsed.grid, parsed.origins.as_deref()))?;
        return Ok(ResampledTable { frame, lengths, times, invented, counts });
    }

    // The table's rows in order, those of one step together.
    let keys = keys(&parsed)?;
    let order = rows_in_order(&parsed, &keys)?;
    let copies = parsed.frame.height() - order.len();
    let observed = observed_steps(&keys, &order, parsed.grid.width, schema.sequence.max_length);

    // Every step of every patient, whether the table has rows there or not.
    let Skeleton { patients, steps, times, lengths, firsts, dropped_patients } =
        skeleton(&observed, &parsed, schema, table)?;
    let of_table = schema.columns.par_iter().filter(|c| !c.is_derived());
    let columns = of_table.map(|column| {
        let cells: Vec<Option<f64>> = parsed.frame.column(&column.name)?.f64()?.iter().collect();
        let at = |step: &Option<usize>| {
            let rows = &order[observed[(*step)?].rows.clone()];
            aggregate(column.aggregate(), rows.iter().filter_map(|&row| cells[row]))
        };
        let cells: Float64Chunked = steps.iter().map(at).collect();
        Ok(cells.with_name(column.name.as_str().into()).into_column())
    });
    let mut columns = columns.collect::<Result<Vec<_>>>()?;
    let merged_rows = merged_rows(&parsed, schema, (&observed, &order))?;
    columns.insert(0, Column::new(PATIENT.into(), patients));
    let mut frame = DataFrame::new(steps.len(), columns)?;
    let of_steps = (times.as_slice(), lengths.as_slice());
    let clock = Clock { grid: parsed.grid, offset: parsed.time.offset() };
    derive(&mut frame, schema, clock, of_steps, Some(&firsts))?;
    fill_occurrences(&mut frame, schema, &lengths)?;
    let times = counted(times, &frame, (parsed.grid, parsed.origins.as_deref()))?;

    let invented: Vec<bool> = steps.iter().map(Option::is_none).collect();
    let invented_steps = invented.iter().filter(|invented| **invented).count();
    let counts =
        RowCounts { dropped_patients, copies, merged_rows, invented_steps, ..RowCounts::default() };
    Ok(ResampledTable { frame, lengths, times, invented, counts })
}

/// Rows that share their step with an earlier one; of several tables, in which each holds a row, those
/// in which a column has a value that it has at the step already.
fn merged_rows(
    parsed: &ParsedTable,
    schema: &Schema,
    (observed, order): (&[ObservedStep], &[usize]),
) -> Result<usize> {
    if schema.tables.is_empty() {
        return Ok(observed.iter().map(|step| step.rows.len() - 1).sum());
    }
    let varying = schema.columns.iter().filter(|column| !column.is_static && !column.is_derived());
    let mut merged = 0;
    for column in varying {
        let cells = parsed.frame.column(&column.name)?.is_not_null();
        let is_there = |&&row: &&usize| cells.get(row) == Some(true);
        let at = |step: &ObservedStep| order[step.rows.clone()].iter().filter(is_there).count();
        merged += observed.iter().map(|step| at(step).saturating_sub(1)).sum::<usize>();
    }
    Ok(merged)
}

/// The position of the level of what happened.
pub(crate) const HAPPENED: f64 = 1.;

/// What happened at no row of a step did not happen there; what happens once has happened from its
/// step on.
fn fill_occurrences(frame: &mut DataFrame, schema: &Schema, lengths: &[usize]) -> Result<()> {
    for column in schema.columns.iter().filter(|column| schema.is_occurrence(column)) {
        let cells = frame.column(&column.name)?.f64()?;
        let mut filled: Vec<f64> = cells.iter().map(|cell| cell.unwrap_or(0.)).collect();
        if schema.happens_once(column) {
            for sequence in sequences(&mut filled, lengths) {
                if let Some(first) = sequence.iter().position(|&cell| cell == HAPPENED) {
                    sequence[first..].fill(HAPPENED);
                }
            }
        }
        let filled: Float64Chunked = filled.into_iter().map(Some).collect();
        frame.replace(&column.name, filled.with_name(column.name.as_str().into()).into_column())?;
    }
    Ok(())
}

/// Times of steps as columns of dates count, where there are such.
fn counted(
    mut times: Vec<f64>,
    frame: &DataFrame,
    (grid, origins): (Grid, Option<&[f64]>),
) -> Result<Vec<f64>> {
    if let Some(origins) = origins.filter(|_| grid.axis == Axis::Seconds) {
        let patients = frame.column(PATIENT)?.u32()?;
        for (time, patient) in times.iter_mut().zip(patients.iter().flatten()) {
            *time -= origins[patient as usize];
        }
    }
    Ok(times)
}

/// The cells of each sequence of a column.
pub(crate) fn sequences<'c>(
    cells: &'c mut [f64],
    lengths: &'c [usize],
) -> impl Iterator<Item = &'c mut [f64]> {
    let mut rest = cells;
    lengths.iter().map(move |&length| {
        let (sequence, others) = std::mem::take(&mut rest).split_at_mut(length);
        rest = others;
        sequence
    })
}

/// How the time column counts.
#[derive(Clone, Copy)]
struct Clock {
    grid: Grid,
    /// Seconds east of Greenwich.
    offset: i32,
}

/// Adds the columns that the schema has and the table has not: each sequence's first time, of
/// which `firsts` are other than the first step's where it is a window on a grid, and the time
/// since the step before.
fn derive(
    frame: &mut DataFrame,
    schema: &Schema,
    clock: Clock,
    (times, lengths): (&[f64], &[usize]),
    firsts: Option<&[f64]>,
) -> Result<()> {
    if !schema.time.model.has_first_times() {
        return Ok(());
    }
    let is_visits = schema.time.model == TimeModel::Visits;
    let (mut starts, mut gaps) = (Vec::with_capacity(times.len()), Vec::new());
    let mut rest = times;
    for (n, &length) in lengths.iter().enumerate() {
        let (sequence, others) = rest.split_at(length);
        rest = others;
        let first = firsts.filter(|_| !is_visits).map_or(sequence[0], |firsts| firsts[n]);
        let first = clock.grid.first_time(first, clock.offset);
        starts.extend(std::iter::repeat_n(first, length));
        if is_visits {
            gaps.push(None);
            gaps.extend(sequence.windows(2).map(|pair| Some(pair[1] - pair[0])));
        }
    }
    frame.with_column(Column::new(START.into(), starts))?;
    if is_visits {
        frame.with_column(Column::new(GAP.into(), gaps))?;
    }
    Ok(())
}

/// What a column shows at a step of several rows: `values` are those measured there, in order.
fn aggregate(how: Aggregate, values: impl Iterator<Item = f64>) -> Option<f64> {
    let sum = |(sum, count): (f64, usize), value| (sum + value, count + 1);
    match how {
        Aggregate::Last => values.last(),
        Aggregate::Mean => match values.fold((0., 0), sum) {
            (_, 0) => None,
            (sum, count) => Some(sum / count as f64),
        },
        // The sum of nothing is 0, but an empty step was not measured.
        Aggregate::Sum => match values.fold((0., 0), sum) {
            (_, 0) => None,
            (sum, _) => Some(sum),
        },
    }
}

/// The lengths of a table that already is in steps, and its times: patient after patient, step
/// after step, none missing, and no patient to cut or refuse. Most large tables are.
fn regular(parsed: &ParsedTable, schema: &Schema) -> Result<Option<(Vec<usize>, Vec<f64>)>> {
    let patients = parsed.frame.column(PATIENT)?.u32()?;
    let of_rows = parsed.frame.column(TIME)?.f64()?;
    let sequence = &schema.sequence;
    let longest = sequence.max_length.unwrap_or(usize::MAX).min(MAX_STEPS as usize);
    let (mut lengths, mut times): (Vec<usize>, Vec<f64>) = (Vec::new(), Vec::new());
    times.reserve(of_rows.len());
    let (mut current, mut start, mut before) = (None, 0., f64::NEG_INFINITY);
    for (patient, time) in patients.iter().zip(of_rows.iter()) {
        let (Some(patient), Some(time)) = (patient, time) else { return Ok(None) };
        if current != Some(patient) {
            if current.is_some_and(|current| patient < current) {
                return Ok(None);
            }
            (current, start, before) = (Some(patient), time, f64::NEG_INFINITY);
            lengths.push(0);
        }
        let Some(length) = lengths.last_mut() else { return Ok(None) };
        if let Some(width) = parsed.grid.width
            && ((time - start) / width + 0.5).floor() != *length as f64
        {
            return Ok(None);
        }
        if time <= before {
            return Ok(None);
        }
        *length += 1;
        before = time;
        // Adding 0 makes −0 and 0 one time.
        times.push(time + 0.);
    }
    let shortest = sequence.min_length;
    let fits = lengths.iter().all(|length| (shortest..=longest).contains(length));
    Ok((fits && sequence.window.is_none()).then_some((lengths, times)))
}

/// The rows by patient and time, those at the same time as they stand in the table; of exact
/// copies the first alone.
fn rows_in_order(parsed: &ParsedTable, (patients, times): &Keys) -> Result<Vec<usize>> {
    let key = |row: usize| (patients[row], times[row]);
    let compare = |a: (u32, f64), b: (u32, f64)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1));
    let mut order: Vec<usize> = (0..patients.len()).collect();
    if !order.is_sorted_by(|&a, &b| compare(key(a), key(b)).is_le()) {
        order.par_sort_by(|&a, &b| compare(key(a), key(b)));
    }
    if order.windows(2).all(|rows| key(rows[0]) != key(rows[1])) {
        return Ok(order);
    }

    // Copies stand among the rows of one time.
    let columns: Vec<Vec<Option<f64>>> = parsed
        .frame
        .columns()
        .iter()
        .filter(|column| ![PATIENT, TIME].contains(&column.name().as_str()))
        .map(|column| Ok(column.cast(&DataType::Float64)?.f64()?.iter().collect()))
        .collect::<Result<_>>()?;
    // Adding 0 makes −0 and 0 one value.
    let bits =
        |cell: Option<f64>| cell.map(|x| if x.is_nan() { f64::NAN } else { x + 0. }.to_bits());
    let cells = |row: usize| -> Vec<Option<u64>> { columns.iter().map(|c| bits(c[row])).collect() };
    let mut kept = Vec::with_capacity(order.len());
    for rows in order.chunk_by(|&a, &b| key(a) == key(b)) {
        match rows {
            [row] => kept.push(*row),
            _ => {
                let mut seen = HashSet::new();
                kept.extend(rows.iter().filter(|&&row| seen.insert(cells(row))));
            }
        }
    }
    Ok(kept)
}

/// The patient and the time of each row.
type Keys = (Vec<u32>, Vec<f64>);

fn keys(parsed: &ParsedTable) -> Result<Keys> {
    let patients = parsed.frame.column(PATIENT)?.u32()?.iter().map(Option::unwrap_or_default);
    // Adding 0 makes −0 and 0 one time.
    let times = parsed.frame.column(TIME)?.f64()?.iter().map(|time| time.unwrap_or_default() + 0.);
    Ok((patients.collect(), times.collect()))
}

/// A step at which the table has rows.
struct ObservedStep {
    patient: u32,
    /// Counted from the patient's first row.
    step: f64,
    /// Its time: on a grid that of its point.
    time: f64,
    /// Its rows, as positions in the order of [`rows_in_order`].
    rows: Range<usize>,
}

/// The steps, in order: each time of a patient, or on a grid of such `width` the nearest point of
/// each row; none from `max_length` on.
fn observed_steps(
    (patients, times): &Keys,
    order: &[usize],
    width: Option<f64>,
    max_length: Option<usize>,
) -> Vec<ObservedStep> {
    let limit = max_length.unwrap_or(usize::MAX) as f64;
    let mut found: Vec<ObservedStep> = Vec::new();
    // The patient, the first time, the time before, and how many there were.
    let mut seen: (Option<u32>, f64, f64, f64) = (None, 0., 0., 0.);
    for (position, &row) in order.iter().enumerate() {
        let (patient, time) = (patients[row], times[row]);
        seen = match seen {
            (Some(before), first, last, count) if before == patient => {
                (Some(patient), first, time, if last == time { count } else { count + 1. })
            }
            _ => (Some(patient), time, time, 0.),
        };
        let (_, first, _, rank) = seen;
        let (step, time) = match width {
            None => (rank, time),
            Some(width) => {
                let step = ((time - first) / width + 0.5).floor();
                (step, first + step * width)
            }
        };
        match found.last_mut() {
            _ if step >= limit => {}
            Some(last) if last.patient == patient && last.step == step => {
                last.rows.end = position + 1;
            }
            _ => found.push(ObservedStep { patient, step, time, rows: position..position + 1 }),
        }
    }
    found
}

/// Every step, of the patients that are long enough, in order.
struct Skeleton {
    /// The patient of each step.
    patients: Vec<u32>,
    /// Which of the observed steps each is; `None` where the table has no row.
    steps: Vec<Option<usize>>,
    /// The time of each step.
    times: Vec<f64>,
    /// Steps of each sequence: of each patient, or of a patient's windows.
    lengths: Vec<usize>,
    /// The first time of each sequence's patient.
    firsts: Vec<f64>,
    /// Patients that are shorter than the schema wants.
    dropped_patients: usize,
}

fn skeleton(
    observed: &[ObservedStep],
    parsed: &ParsedTable,
    schema: &Schema,
    table: &str,
) -> Result<Skeleton> {
    let (mut patients, mut steps, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    let (mut times, mut firsts) = (Vec::new(), Vec::new());
    let sequence = &schema.sequence;
    let (shortest, mut dropped_patients, mut problems) = (sequence.min_length, 0, Vec::new());
    let of_patient = |patient: u32, problem: String| {
        Error::patient(table, &parsed.patients[patient as usize], problem)
    };
    let mut first = 0;
    for run in observed.chunk_by(|a, b| a.patient == b.patient) {
        let (patient, last) = (run[0].patient, run[run.len() - 1].step);
        let of_run = first..first + run.len();
        first = of_run.end;
        if last >= MAX_STEPS {
            let problem = match parsed.grid.width {
                Some(_) => format!(
                    "spans {last:e} steps of the grid\nhint: correct its times, raise time.step, or \
                     set sequence.max_length"
                ),
                None => format!("has {last:e} visits\nhint: set sequence.max_length"),
            };
            return Err(of_patient(patient, problem));
        }
        let length = last as usize + 1;
        if length < shortest {
            dropped_patients += 1;
            if sequence.short_patients == ShortPatients::Refuse {
                let problem = format!(
                    "has {length} of the {shortest} steps that sequence.min_length asks for\n\
                     hint: lower it, or set sequence.short_patients = \"drop\""
                );
                problems.push(of_patient(patient, problem));
            }
            continue;
        }

        let mut places = vec![None; length];
        for (step, place) in run.iter().zip(of_run) {
            places[step.step as usize] = Some(place);
        }
        let time_of = |step: usize, place: &Option<usize>| match place {
            Some(place) => observed[*place].time,
            None => run[0].time + step as f64 * parsed.grid.width.unwrap_or_default(),
        };
        let of_steps: Vec<f64> = places.iter().enumerate().map(|(n, p)| time_of(n, p)).collect();
        let together = sequence.window.unwrap_or(length);
        for (window, of_window) in places.chunks(together).zip(of_steps.chunks(together)) {
            if window.len() >= shortest {
                lengths.push(window.len());
                firsts.push(run[0].time);
                times.extend(of_window);
                patients.extend(std::iter::repeat_n(patient, window.len()));
                steps.extend(window);
            }
        }
    }
    Error::all(problems)?;
    Ok(Skeleton { patients, steps, times, lengths, firsts, dropped_patients })
}
