//! Fitting an encoder to a table, and the encoded sequences.
//!
//! Features of an encoded row: numeric columns in schema order, then a one-hot
//! block for each categorical, binary and binned column, then a block of two for
//! each column whose measuring is modelled (not measured, measured).

use crate::grid::{Gridded, fill_within_patients, grid};
use crate::landmarks::quantile;
use crate::levels::settled;
use crate::sample::Sample;
use crate::source::{SourceType, TimeSource};
use crate::typed::check;
use crate::{
    Aggregate, Column, Error, FittedBins, FittedTransform, Kind, Result, Schema, Side, Transform,
    Values,
};
use polars::prelude::DataFrame;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::Path;

/// Everything needed to decode, and to encode again: a schema with what was
/// fitted to the data. Saved with a model, so that generating needs no access
/// to the private table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Encoder {
    /// The schema that it was fitted for, with the levels and edges that were found.
    pub schema: Schema,
    /// One entry per schema column.
    pub columns: Vec<FittedColumn>,
    /// What the time column holds.
    pub time: TimeSource,
    /// The modelled columns, patient and time among them, in the table's order.
    pub order: Vec<String>,
    /// `lengths[n]` sequences have `n` steps.
    pub lengths: Vec<usize>,
}

/// What was fitted for one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedColumn {
    /// By kind.
    pub kind: FittedKind,
    /// What fills cells of patients without any value: the median, or the
    /// position of the commonest level.
    pub fill: f64,
    /// The source's type.
    pub source: SourceType,
}

/// What was fitted, by kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FittedKind {
    /// A numeric column.
    Numeric {
        /// Its transform.
        transform: FittedTransform,
        /// Its values' grid.
        values: ValueGrid,
    },
    /// A numeric column by bins.
    Binned {
        /// Its bins.
        bins: FittedBins,
        /// Its values' grid.
        values: ValueGrid,
    },
    /// A categorical or binary column with so many levels.
    Discrete {
        /// Number of levels.
        levels: usize,
    },
}

/// The grid that a source's values lie on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueGrid {
    /// Whether they are whole numbers only.
    pub integer: bool,
    /// Their decimals, where at most six.
    pub decimals: Option<u32>,
}

/// Encoded sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// `[sequences, steps, features]`, row-major; 0 beyond a sequence's length.
    pub values: Values,
    /// Steps of each sequence.
    pub lengths: Vec<usize>,
    /// Steps of the longest sequence.
    pub steps: usize,
    /// Features of a row.
    pub features: usize,
    /// Patients that were shorter than the schema wants and left out.
    pub dropped_patients: usize,
}

impl Encoded {
    /// A row `[features]`: one step of a sequence.
    pub fn row(&self, sequence: usize, step: usize) -> &[f32] {
        &self.values[(sequence * self.steps + step) * self.features..][..self.features]
    }

    /// Every row within a sequence's length.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        let sequences = self.lengths.iter().enumerate();
        sequences.flat_map(move |(n, &length)| (0..length).map(move |step| self.row(n, step)))
    }
}

impl Encoder {
    /// Fits to `table` and encodes it; `path` is for messages.
    ///
    /// # Errors
    /// Everything in the table that does not fit the schema, with the places and
    /// the mends.
    pub fn fit(schema: &Schema, table: &DataFrame, path: &Path) -> Result<(Self, Encoded)> {
        Self::fit_side(schema, table, path, Side::Whole)
    }

    pub(crate) fn fit_side(
        schema: &Schema,
        table: &DataFrame,
        path: &Path,
        side: Side,
    ) -> Result<(Self, Encoded)> {
        let schema = settled(schema, table, path)?;
        let mut fit = Fit::new(&schema, path, side);
        let gridded = fit.part(table, 0)?;
        fit.add(&gridded)?;
        let encoder = fit.finish()?;
        let encoded = encoder.encode_one(gridded)?;
        Ok((encoder, encoded))
    }

    /// Encodes one side of another table with what was fitted; `path` is for messages.
    ///
    /// # Errors
    /// As [`Encoder::fit`].
    pub fn encode(&self, table: &DataFrame, path: &Path, side: Side) -> Result<Encoded> {
        let typed = check(table, &self.schema, path, 0)?;
        refuse_empty_side(side, &typed.patients, path)?;
        let gridded = grid(side.of(typed)?, &self.schema, path)?;
        refuse_nobody(&gridded.lengths, &self.schema, path)?;
        self.encode_one(gridded)
    }

    /// Numeric features, which lead every row.
    pub fn numeric_features(&self) -> usize {
        let is_numeric = |column: &&FittedColumn| matches!(column.kind, FittedKind::Numeric { .. });
        self.columns.iter().filter(is_numeric).count()
    }

    /// The widths of the one-hot blocks that follow.
    pub fn blocks(&self) -> Vec<usize> {
        let levels = self.columns.iter().filter_map(FittedColumn::width);
        let measured = self.schema.columns.iter().filter(|column| column.measured).map(|_| 2);
        levels.chain(measured).collect()
    }

    /// Features of a row.
    pub fn features(&self) -> usize {
        self.numeric_features() + self.blocks().iter().sum::<usize>()
    }

    /// The features of a column's value in a row: one of a number, a block of levels or bins.
    pub fn features_of(&self, column: usize) -> std::ops::Range<usize> {
        let first = self.places()[column].0;
        first..first + self.columns[column].width().unwrap_or(1)
    }

    /// The first feature of each column's value, and of each column's measured
    /// flag where it has one.
    pub(crate) fn places(&self) -> Vec<(usize, Option<usize>)> {
        let (mut numeric, mut discrete) = (0, self.numeric_features());
        let values: Vec<usize> = self
            .columns
            .iter()
            .map(|column| match column.width() {
                None => {
                    numeric += 1;
                    numeric - 1
                }
                Some(width) => {
                    discrete += width;
                    discrete - width
                }
            })
            .collect();
        let flags = self.schema.columns.iter().map(|column| {
            column.measured.then(|| {
                discrete += 2;
                discrete - 2
            })
        });
        values.into_iter().zip(flags.collect::<Vec<_>>()).collect()
    }

    /// A checked part of a table, after `first_row` rows, on the grid.
    pub(crate) fn gridded(
        &self,
        table: &DataFrame,
        first_row: usize,
        path: &Path,
        side: Side,
    ) -> Result<Gridded> {
        let typed = check(table, &self.schema, path, first_row)?;
        grid(side.of(typed)?, &self.schema, path)
    }

    fn encode_one(&self, whole: Gridded) -> Result<Encoded> {
        let steps = whole.lengths.iter().copied().max().unwrap_or(0);
        let features = self.features();
        let values = Values::fill(whole.lengths.len() * steps * features, |values| {
            self.encode_part(&whole, steps, values)
        })?;
        let Gridded { lengths, dropped: dropped_patients, .. } = whole;
        Ok(Encoded { values, lengths, steps, features, dropped_patients })
    }

    /// Encodes a part into `values` `[its sequences, steps, features]`, which are 0.
    pub(crate) fn encode_part(
        &self,
        part: &Gridded,
        steps: usize,
        values: &mut [f32],
    ) -> Result<()> {
        let filled = fill_within_patients(part, &self.schema)?;
        let features = self.features();
        let (mut starts, mut row) = (Vec::with_capacity(part.lengths.len()), 0);
        for &length in &part.lengths {
            starts.push(row);
            row += length;
        }
        let columns: Vec<ToEncode<'_>> = self
            .schema
            .columns
            .par_iter()
            .zip(&self.columns)
            .zip(self.places())
            .map(|((column, fitted), (at, flag))| {
                let cells = filled.column(&column.name)?.f64()?;
                let cells = match cells.cont_slice() {
                    // Without gaps there is nothing to fill.
                    Ok(cells) if filled.column(&column.name)?.null_count() == 0 => {
                        Cow::Borrowed(cells)
                    }
                    _ => cells.iter().map(|cell| cell.unwrap_or(fitted.fill)).collect(),
                };
                let observed = match flag {
                    Some(_) => part.frame.column(&column.name)?.is_not_null().iter().collect(),
                    None => Vec::new(),
                };
                Ok(ToEncode { fitted, at, flag, cells, observed })
            })
            .collect::<Result<_>>()?;
        // Some sequences at a time stay in the cache while every column writes to them.
        let together = 64;
        values
            .par_chunks_mut(together * steps * features)
            .zip(starts.par_chunks(together).zip(part.lengths.par_chunks(together)))
            .for_each(|(values, (starts, lengths))| {
                for column in &columns {
                    let sequences = starts.iter().zip(lengths);
                    for ((&start, &length), values) in
                        sequences.zip(values.chunks_exact_mut(steps * features))
                    {
                        for (row, values) in
                            (start..start + length).zip(values.chunks_exact_mut(features))
                        {
                            column.encode(row, values);
                        }
                    }
                }
            });
        Ok(())
    }
}

/// Refuses a split that leaves nobody on the side that is wanted.
fn refuse_empty_side(side: Side, patients: &[String], path: &Path) -> Result<()> {
    let is_empty = !patients.iter().any(|id| side.takes(id));
    match side.of_nobody(patients.len(), false).filter(|_| is_empty) {
        Some(problem) => Err(Error::file(path, problem)),
        None => Ok(()),
    }
}

/// Refuses a cohort in which every patient is too short.
fn refuse_nobody(lengths: &[usize], schema: &Schema, path: &Path) -> Result<()> {
    if !lengths.is_empty() {
        return Ok(());
    }
    let shortest = schema.sequence.min_length;
    let problem =
        format!("no patient has the {shortest} steps that sequence.min_length asks for; lower it");
    Err(Error::file(path, problem))
}

/// A column on its way into the rows.
struct ToEncode<'a> {
    fitted: &'a FittedColumn,
    at: usize,
    flag: Option<usize>,
    cells: Cow<'a, [f64]>,
    /// Whether each cell was observed, where that is modelled.
    observed: Vec<Option<bool>>,
}

impl ToEncode<'_> {
    fn encode(&self, row: usize, values: &mut [f32]) {
        let cell = self.cells[row];
        match &self.fitted.kind {
            FittedKind::Numeric { transform, .. } => {
                values[self.at] = transform.encode(cell) as f32;
            }
            FittedKind::Binned { bins, .. } => values[self.at + bins.bin(cell)] = 1.,
            FittedKind::Discrete { .. } => values[self.at + cell as usize] = 1.,
        }
        if let Some(flag) = self.flag {
            values[flag + usize::from(self.observed[row] == Some(true))] = 1.;
        }
    }
}

/// A fit that sees the table part by part.
pub(crate) struct Fit<'a> {
    schema: &'a Schema,
    path: &'a Path,
    side: Side,
    samples: Vec<Sample>,
    integers: Vec<bool>,
    sources: Vec<SourceType>,
    time: Option<TimeSource>,
    order: Vec<String>,
    /// Patients on this side of the split, and on the other.
    sides: [usize; 2],
    /// Steps of each sequence so far.
    pub(crate) lengths: Vec<usize>,
    pub(crate) dropped: usize,
}

impl<'a> Fit<'a> {
    /// Nothing seen yet. The schema's levels are settled.
    pub(crate) fn new(schema: &'a Schema, path: &'a Path, side: Side) -> Self {
        Self {
            schema,
            path,
            side,
            samples: schema.columns.iter().map(|_| Sample::default()).collect(),
            integers: vec![true; schema.columns.len()],
            sources: Vec::new(),
            time: None,
            order: Vec::new(),
            sides: [0; 2],
            lengths: Vec::new(),
            dropped: 0,
        }
    }

    /// Checks a part and puts it on the grid.
    pub(crate) fn part(&mut self, table: &DataFrame, first_row: usize) -> Result<Gridded> {
        let typed = check(table, self.schema, self.path, first_row)?;
        self.integers.iter_mut().zip(&typed.integers).for_each(|(all, here)| *all &= here);
        self.sources.clone_from(&typed.sources);
        for id in &typed.patients {
            self.sides[usize::from(!self.side.takes(id))] += 1;
        }
        let names = table.get_column_names().into_iter().map(|name| name.as_str());
        let modelled = names.filter(|name| self.schema.names().any(|n| n == *name));
        self.order = modelled.map(str::to_owned).collect();
        // A part of whole numbers among others is one of numbers.
        let is_mixed = self.time == Some(TimeSource::Real) && typed.time == TimeSource::Integer;
        self.time = Some(if is_mixed { TimeSource::Real } else { typed.time });
        grid(self.side.of(typed)?, self.schema, self.path)
    }

    /// Takes what a part shows.
    pub(crate) fn add(&mut self, part: &Gridded) -> Result<()> {
        self.lengths.extend(&part.lengths);
        self.dropped += part.dropped;
        self.schema.columns.par_iter().zip(&mut self.samples).try_for_each(|(column, sample)| {
            sample.add(part.frame.column(&column.name)?.f64()?);
            Ok(())
        })
    }

    /// Fits every column.
    pub(crate) fn finish(self) -> Result<Encoder> {
        // A split that leaves a side empty is the cause, whatever else would be said of it.
        if let Some(empty) = self.sides.iter().position(|&patients| patients == 0)
            && let Some(problem) = self.side.of_nobody(self.sides.iter().sum(), empty == 1)
        {
            return Err(Error::file(self.path, problem));
        }
        refuse_nobody(&self.lengths, self.schema, self.path)?;
        let mut schema = self.schema.clone();
        let fitted: Vec<Result<FittedColumn>> = schema
            .columns
            .par_iter_mut()
            .zip(self.samples)
            .enumerate()
            .map(|(n, (column, sample))| {
                let (integer, source) = (self.integers[n], self.sources[n]);
                fit_column(column, sample.sorted(), integer, source, self.path)
            })
            .collect();
        let (mut columns, mut problems) = (Vec::with_capacity(fitted.len()), Vec::new());
        for fitted in fitted {
            match fitted {
                Ok(fitted) => columns.push(fitted),
                Err(problem) => problems.push(problem),
            }
        }
        Error::all(problems)?;
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        let mut lengths = vec![0; longest + 1];
        self.lengths.iter().for_each(|&length| lengths[length] += 1);
        let time = self.time.unwrap_or(TimeSource::Real);
        Ok(Encoder { schema, columns, time, order: self.order, lengths })
    }
}

impl FittedColumn {
    /// The width of its one-hot block; `None` for a single number.
    fn width(&self) -> Option<usize> {
        match &self.kind {
            FittedKind::Numeric { .. } => None,
            FittedKind::Binned { bins, .. } => Some(bins.count()),
            FittedKind::Discrete { levels } => Some(*levels),
        }
    }
}

/// Fits a column to its values, ascending, and writes what is found of its bins to the
/// schema's `column`.
fn fit_column(
    column: &mut Column,
    observed: Vec<f64>,
    integer: bool,
    source: SourceType,
    path: &Path,
) -> Result<FittedColumn> {
    if observed.is_empty() {
        let problem = "nothing was measured within the sequences' length; remove the column";
        return Err(Error::column(path, &column.name, problem));
    }
    if column.kind != Kind::Numeric {
        let levels = column.levels.len();
        let mut counts = vec![0usize; levels];
        for &level in &observed {
            counts[level as usize] += 1;
        }
        // The first of the commonest.
        let mode = (0..levels).rev().max_by_key(|&level| counts[level]).unwrap_or(0);
        let kind = FittedKind::Discrete { levels };
        return Ok(FittedColumn { kind, fill: mode as f64, source });
    }
    let fill = quantile(&observed, 0.5);
    let is_mean = column.aggregate == Aggregate::Mean;
    let values = ValueGrid {
        integer: integer && !is_mean,
        decimals: if is_mean { None } else { decimals(&observed) },
    };
    if let Some(bins) = &mut column.bins {
        let fitted = FittedBins::fit(bins, &observed);
        (bins.edges, bins.quantiles) = (fitted.edges().to_vec(), None);
        let kind = FittedKind::Binned { bins: fitted, values };
        return Ok(FittedColumn { kind, fill, source });
    }
    let shift = column.shift.unwrap_or(0.);
    let transform = column.transform.unwrap_or_default();
    let transform = FittedTransform::fit(transform, shift, column.margin, &observed)
        .map_err(|value| {
            let or_shift = match column.transform {
                Some(Transform::BoxCox) => ", or a greater shift",
                _ => "",
            };
            let problem = format!(
                "the transform is not defined at {value}; choose \"identity\" or \"quantile\"{or_shift}"
            );
            Error::column(path, &column.name, problem)
        })?;
    Ok(FittedColumn { kind: FittedKind::Numeric { transform, values }, fill, source })
}

/// The fewest decimals, up to six, that write every value exactly.
fn decimals(values: &[f64]) -> Option<u32> {
    (0..=6).find(|&decimals| {
        let scale = 10f64.powi(decimals as i32);
        values.iter().all(|&x| (x * scale).round() / scale == x)
    })
}
