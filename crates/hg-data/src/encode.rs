//! Fitting an encoder to a table, and the encoded sequences.
//!
//! Features of an encoded row: numeric columns in schema order, then a one-hot
//! block for each categorical, binary and binned column, then a block of two for
//! each column whose measuring is modelled (not measured, measured).

use crate::grid::{Gridded, fill_within_patients, grid};
use crate::landmarks::quantile;
use crate::source::{SourceType, TimeSource};
use crate::typed::check;
use crate::{Aggregate, Column, Error, FittedBins, FittedTransform, Kind, Result, Schema};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
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
    /// `[patients, steps, features]`, row-major; 0 beyond a patient's length.
    pub values: Vec<f64>,
    /// Steps of each sequence.
    pub lengths: Vec<usize>,
    /// Steps of the longest sequence.
    pub steps: usize,
    /// Features of a row.
    pub features: usize,
    /// Patients that were shorter than the schema wants and left out.
    pub dropped_patients: usize,
}

impl Encoder {
    /// Fits to `table` and encodes it; `path` is for messages.
    ///
    /// # Errors
    /// Everything in the table that does not fit the schema, with the places and
    /// the mends.
    pub fn fit(schema: &Schema, table: &DataFrame, path: &Path) -> Result<(Self, Encoded)> {
        let mut typed = check(table, schema, path)?;
        let gridded = grid(&typed, path)?;
        let mut columns = Vec::with_capacity(schema.columns.len());
        let mut problems = Vec::new();
        for (n, column) in typed.schema.columns.iter_mut().enumerate() {
            match fit_column(column, &gridded, typed.integers[n], typed.sources[n], path) {
                Ok(fitted) => columns.push(fitted),
                Err(problem) => problems.push(problem),
            }
        }
        Error::all(problems)?;
        let longest = gridded.lengths.iter().copied().max().unwrap_or(0);
        let mut lengths = vec![0; longest + 1];
        for &length in &gridded.lengths {
            lengths[length] += 1;
        }
        let encoder = Self { schema: typed.schema, columns, time: typed.time, lengths };
        let encoded = encoder.encode_grid(&gridded)?;
        Ok((encoder, encoded))
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

    fn encode_grid(&self, gridded: &Gridded) -> Result<Encoded> {
        let filled = fill_within_patients(gridded, &self.schema)?;
        let steps = gridded.lengths.iter().copied().max().unwrap_or(0);
        let features = self.features();
        let mut values = vec![0f64; gridded.lengths.len() * steps * features];
        // Where each row of the grid goes.
        let rows: Vec<usize> = gridded
            .lengths
            .iter()
            .enumerate()
            .flat_map(|(patient, &length)| {
                (0..length).map(move |step| (patient * steps + step) * features)
            })
            .collect();
        let places = self.places();
        for ((column, fitted), (at, flag)) in
            self.schema.columns.iter().zip(&self.columns).zip(places)
        {
            let cells = filled.column(&column.name)?.f64()?;
            for (&row, cell) in rows.iter().zip(cells.iter()) {
                let cell = cell.unwrap_or(fitted.fill);
                match &fitted.kind {
                    FittedKind::Numeric { transform, .. } => {
                        values[row + at] = transform.encode(cell);
                    }
                    FittedKind::Binned { bins, .. } => values[row + at + bins.bin(cell)] = 1.,
                    FittedKind::Discrete { .. } => values[row + at + cell as usize] = 1.,
                }
            }
            if let Some(flag) = flag {
                let observed = gridded.frame.column(&column.name)?.f64()?;
                for (&row, cell) in rows.iter().zip(observed.iter()) {
                    values[row + flag + usize::from(cell.is_some())] = 1.;
                }
            }
        }
        let (lengths, dropped_patients) = (gridded.lengths.clone(), gridded.dropped);
        Ok(Encoded { values, lengths, steps, features, dropped_patients })
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

/// Fits a column, and writes what is found of its bins to the schema's `column`.
fn fit_column(
    column: &mut Column,
    gridded: &Gridded,
    integer: bool,
    source: SourceType,
    path: &Path,
) -> Result<FittedColumn> {
    let cells = gridded.frame.column(&column.name)?.f64()?;
    let mut observed: Vec<f64> = cells.iter().flatten().collect();
    if observed.is_empty() {
        let problem = "nothing was measured within the sequences' length; remove the column";
        return Err(Error::column(path, &column.name, problem));
    }
    observed.sort_by(f64::total_cmp);
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
            let problem = format!(
                "the transform is not defined at {value}; choose \"identity\" or \"quantile\", or a greater shift"
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
