//! From encoded sequences back to a table.

use crate::clock::{Grid, TimeFormat, TimeKind, origin_seconds};
use crate::construct::Decoded;
use crate::encode::Place;
use crate::parsed::{GAP, START};
use crate::source::{SourceType, TimeSource};
use crate::visits::clean;
use crate::{
    Bins, Censored, Column, Encoder, Error, FittedColumn, FittedKind, Level, Observed, Result,
    Shown, ValueGrid,
};
use polars_core::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// Where the draws within bins come from, of sequences of a cohort that stand behind others: they are the
/// same as where all of them are decoded at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Draws {
    /// The cohort's seed.
    pub seed: u64,
    /// Sequences with a row that stand before these.
    pub sequences: usize,
    /// Their rows.
    pub rows: usize,
}

impl Draws {
    /// Those of the column at a position, of which there is one a sequence where it is static, else one
    /// a row.
    fn of_column(self, position: usize, is_static: bool) -> ChaCha8Rng {
        /// Words of the stream that a draw takes.
        const WORDS: u128 = 2;
        let before = if is_static { self.sequences } else { self.rows };
        let mut draws = ChaCha8Rng::seed_from_u64(self.seed);
        draws.set_stream(position as u64);
        draws.set_word_pos(before as u128 * WORDS);
        draws
    }
}

/// How the patients of a table that is a part of a cohort are numbered.
#[derive(Clone, Copy, Debug)]
pub struct Numbering {
    /// The first one's number.
    pub first: usize,
    /// The cohort's last one's, which decides their type.
    pub last: usize,
}

impl Encoder {
    /// Turns encoded sequences `[patients, steps, features]` (row-major) into a
    /// table with the original names, order, levels and types. Patients are numbered
    /// from 1. Times run on the grid, from 0, from 1 January 2000 where they are dates, or from
    /// each patient's own first time where that is modelled; or they are sums of the times between
    /// visits. Of a
    /// block, the greatest feature is the level; static columns keep their first
    /// value, and show it where the real table does; cells that were "not measured" are empty.
    /// `seed` drives the draws within bins.
    ///
    /// # Errors
    /// [`Error::Shape`] when `values` is not `lengths.len() × steps × features`.
    pub fn decode(
        &self,
        values: &[f32],
        lengths: &[usize],
        steps: usize,
        seed: u64,
    ) -> Result<DataFrame> {
        let draws = Draws { seed, ..Default::default() };
        self.table_of(&self.cells(values, lengths, steps, draws)?)
    }

    /// The cells of what [`Encoder::decode`] makes a table of; the sequences may be some of a cohort.
    ///
    /// # Errors
    /// As [`Encoder::decode`].
    pub fn cells(
        &self,
        values: &[f32],
        lengths: &[usize],
        steps: usize,
        draws: Draws,
    ) -> Result<Cells> {
        let features = self.features();
        let count = lengths.len().checked_mul(steps).and_then(|rows| rows.checked_mul(features));
        if count != Some(values.len()) || lengths.iter().any(|&l| l > steps) {
            let expected = format!("{} × {steps} × {features} values", lengths.len());
            return Err(Error::Shape { expected, got: values.len() });
        }
        let rows = rows(lengths);
        let of_row =
            |row: &Row, step: usize| &values[(row.patient * steps + step) * features..][..features];

        let of_columns = self.schema.columns.iter().zip(&self.columns).zip(self.places());
        let mut columns: Vec<Decoded> = of_columns
            .enumerate()
            .map(|(n, ((column, fitted), place))| {
                let mut draws = draws.of_column(n, column.is_static);
                let is_distance = self.construction.get(n).is_some();
                let how = Reading { column, fitted, place, is_distance };
                how.cells(&rows, &of_row, &mut draws)
            })
            .collect();
        let times = self.passed(&columns, lengths)?;
        self.construct(&mut columns, &times, lengths);
        let places = self.places();
        self.fill_steps(&mut columns, lengths, &|column, row| {
            let (flag, row) = (places[column].flag?, &rows[row]);
            let features = of_row(row, row.step);
            Some(features[flag + 1] - features[flag])
        });
        Ok(Cells { columns, times, lengths: lengths.to_vec() })
    }

    /// The table of some cells, with patients numbered from 1.
    ///
    /// # Errors
    /// Where an encoder that was edited says something that does not go together.
    pub fn table_of(&self, cells: &Cells) -> Result<DataFrame> {
        self.numbered_table_of(cells, Numbering { first: 1, last: cells.patients() })
    }

    /// The table of some cells, with patients numbered as the cohort has them of which they are a part.
    ///
    /// # Errors
    /// As [`Encoder::table_of`].
    pub fn numbered_table_of(&self, cells: &Cells, numbering: Numbering) -> Result<DataFrame> {
        let rows = rows(&cells.lengths);
        let mut columns = vec![self.patients(&rows, numbering).into_column()];
        let of_columns = self.schema.columns.iter().zip(&self.columns).zip(&cells.columns);
        for ((column, fitted), Decoded { cells, shown }) in of_columns {
            if !column.is_derived() {
                let cells = cells.iter().zip(shown).map(|(cell, shows)| shows.then_some(*cell));
                let cells: Vec<Option<f64>> = cells.collect();
                columns.push(match &fitted.time {
                    Some(time) => self.time_cells(column, time, &cells)?,
                    None => self.series(column, fitted, &cells).into_column(),
                });
            }
        }
        columns.push(self.times(&cells.times)?.into_column());
        Ok(DataFrame::new(rows.len(), columns)?.select(self.order.iter().map(String::as_str))?)
    }

    /// Numbered patients, in the type of the column.
    fn patients(&self, rows: &[Row], Numbering { first, last }: Numbering) -> Series {
        let name: PlSmallStr = self.schema.patient.column.as_str().into();
        let of_rows = || rows.iter().map(|row| (row.patient + first) as i64);
        // The last number goes with them: where a type has no room for it, no part has that type.
        let numbers = || of_rows().chain([last as i64]);
        let source = &self.patient.source;
        let numbered = match self.patient.width {
            Some(width) => {
                let padded = numbers().map(|number| format!("{number:0width$}"));
                source.restore(Series::new(name, padded.collect::<Vec<_>>()))
            }
            None if source.is_text() && *source != SourceType::Text => {
                let texts = numbers().map(|number| number.to_string());
                source.restore(Series::new(name, texts.collect::<Vec<_>>()))
            }
            None => source.restore(Series::new(name, numbers().collect::<Vec<_>>())),
        };
        numbered.head(Some(rows.len()))
    }

    /// The grid of the time column.
    fn grid(&self) -> Result<Grid> {
        let kind = match &self.time {
            TimeSource::Number { .. } => TimeKind::Numbers,
            TimeSource::Date | TimeSource::Datetime { .. } => TimeKind::Dates,
            TimeSource::Duration { .. } => TimeKind::Elapsed,
            TimeSource::Text { .. } => match self.format()?.is_date() {
                true => TimeKind::Dates,
                false => TimeKind::Elapsed,
            },
        };
        let failed = |problem| Error::column("encoder.json", &self.schema.time.column, problem);
        self.schema.time.grid(kind).map_err(failed)
    }

    fn format(&self) -> Result<TimeFormat> {
        let format = self.schema.time.format.as_deref().and_then(TimeFormat::parse);
        format.ok_or_else(|| {
            let problem = "time.format is missing, or no format";
            Error::column("encoder.json", &self.schema.time.column, problem)
        })
    }

    /// Each row's time on the axis of the time column; of dates, what has passed since 1 January
    /// 2000.
    fn passed(&self, decoded: &[Decoded], lengths: &[usize]) -> Result<Vec<f64>> {
        let grid = self.grid()?;
        let cells = |name: &str| {
            let n = self.schema.columns.iter().position(|column| column.name == name)?;
            Some(decoded[n].cells.as_slice())
        };
        let (starts, gaps) = (cells(START), cells(GAP));
        let mut times = Vec::new();
        let mut row = 0;
        for &length in lengths.iter().filter(|length| **length > 0) {
            let start = starts.map_or(0., |starts| starts[row]);
            match (grid.width, gaps, &self.visits) {
                (Some(width), ..) => {
                    times.extend((0..length).map(|step| clean(start + step as f64 * width)));
                }
                (None, Some(gaps), Some(visits)) => {
                    times.extend(visits.times(start, gaps[row + 1..row + length].iter().copied()));
                }
                // Invariant: an encoder of visits has both.
                (None, ..) => times.extend((0..length).map(|step| step as f64)),
            }
            row += length;
        }
        Ok(times)
    }

    /// The time column, from what has passed.
    fn times(&self, times: &[f64]) -> Result<Series> {
        let name: PlSmallStr = self.schema.time.column.as_str().into();
        let grid = self.grid()?;
        let dates = || -> Vec<f64> { times.iter().map(|&passed| grid.date(passed)).collect() };
        Ok(match &self.time {
            TimeSource::Number { source, integer } => {
                let is_whole = *integer && self.has_whole_steps(grid.width);
                let numbers = if is_whole && times.iter().all(|time| time.fract() == 0.) {
                    Series::new(name, times.iter().map(|&time| time as i64).collect::<Vec<_>>())
                } else {
                    Series::new(name, times)
                };
                source.restore(numbers)
            }
            TimeSource::Text { source, offset } => {
                let format = self.format()?;
                let seconds: Vec<f64> = match format.is_date() {
                    // A day begins where the texts are written.
                    true => dates().into_iter().map(|date| date - f64::from(*offset)).collect(),
                    false => times.to_vec(),
                };
                written(&format, (source, *offset), name, &seconds)
            }
            TimeSource::Duration { .. } => self.time.series(name, times)?.unwrap_or_default(),
            TimeSource::Date | TimeSource::Datetime { .. } => {
                self.time.series(name, &dates())?.unwrap_or_default()
            }
        })
    }

    /// Whether times that begin at a whole number are whole: of the grid, not of the rows at hand, so that
    /// all parts of a cohort have one type.
    fn has_whole_steps(&self, width: Option<f64>) -> bool {
        let has_steps = self.lengths.iter().skip(2).any(|&patients| patients > 0);
        !has_steps || width.is_none_or(|width| width.fract() == 0.)
    }

    /// The cells of a column of dates or durations, from their seconds.
    fn time_cells(
        &self,
        column: &Column,
        time: &TimeSource,
        cells: &[Option<f64>],
    ) -> Result<polars_core::prelude::Column> {
        let name: PlSmallStr = column.name.as_str().into();
        let counts_from_origin = time.is_date(column) && self.grid()?.kind == TimeKind::Dates;
        let origin = match counts_from_origin {
            // A day begins where the texts are written.
            true => origin_seconds() - f64::from(self.time.offset()),
            false => 0.,
        };
        let seconds: Vec<f64> = cells.iter().flatten().map(|cell| cell + origin).collect();
        let series = match time {
            TimeSource::Text { source, offset } => {
                let format = column.numbers().and_then(|numbers| numbers.format.as_deref());
                // Invariant: the schema's check and the encoder's allow no other formats.
                let format = format.and_then(TimeFormat::parse).ok_or_else(|| {
                    Error::column("encoder.json", &column.name, "its format is missing")
                })?;
                written(&format, (source, *offset), name.clone(), &seconds)
            }
            _ => time.series(name.clone(), &seconds)?.unwrap_or_default(),
        };
        if seconds.is_empty() {
            return Ok(Series::full_null(name, cells.len(), series.dtype()).into_column());
        }
        let mut taken = 0;
        let places: IdxCa = cells
            .iter()
            .map(|cell| {
                cell.map(|_| {
                    taken += 1;
                    taken - 1
                })
            })
            .collect();
        Ok(series.take(&places)?.with_name(name).into_column())
    }

    /// A column's cells in the type of its source.
    fn series(&self, column: &Column, fitted: &FittedColumn, cells: &[Option<f64>]) -> Series {
        let name: PlSmallStr = column.name.as_str().into();
        let series = match &fitted.kind {
            FittedKind::Empty => Series::full_null(name, cells.len(), &DataType::String),
            FittedKind::Discrete { .. } => column.level_series(name, &fitted.source, cells),
            FittedKind::Binned { bins, .. } if column.shows_labels() => {
                let labels = column.bins().map(|given| bins.labels(given)).unwrap_or_default();
                let label = |x: f64| labels.get(bins.bin(x)).cloned();
                let cells = cells.iter().map(|cell| cell.and_then(label));
                return Series::new(name, cells.collect::<Vec<_>>());
            }
            FittedKind::Numeric { values, .. }
            | FittedKind::Binned { values, .. }
            | FittedKind::Constant { values, .. } => {
                self.number_series(column, fitted, values, cells)
            }
        };
        let restored = fitted.source.restore(series);
        if fitted.nan_gaps { nan_for_null(restored) } else { restored }
    }

    /// Numbers; texts where the source holds texts, or where one means a bound.
    fn number_series(
        &self,
        column: &Column,
        fitted: &FittedColumn,
        values: &ValueGrid,
        cells: &[Option<f64>],
    ) -> Series {
        let name: PlSmallStr = column.name.as_str().into();
        let is_typed_text = fitted.source.is_text() && fitted.source != SourceType::Text;
        if !column.censored().is_empty() || is_typed_text {
            let style = self.style.columns.get(&column.name).cloned().unwrap_or_default();
            let text = |x: f64| {
                let bound = column.censored().iter().find(|censored| censored.value == x);
                match bound {
                    Some(censored) => censored.text.clone(),
                    None => self.style.number(x, &style),
                }
            };
            let cells = cells.iter().map(|cell| cell.map(text));
            Series::new(name, cells.collect::<Vec<_>>())
        } else if values.integer {
            let cells = cells.iter().map(|cell| cell.map(|x| x as i64));
            Series::new(name, cells.collect::<Vec<_>>())
        } else {
            Series::new(name, cells)
        }
    }
}

/// Times as texts, in the type of their source, as they are `offset` seconds east of Greenwich.
fn written(
    format: &TimeFormat,
    (source, offset): (&SourceType, i32),
    name: PlSmallStr,
    seconds: &[f64],
) -> Series {
    let texts = seconds.iter().map(|&seconds| format.write(seconds, offset));
    source.restore(Series::new(name, texts.collect::<Vec<_>>()))
}

/// Gaps of a column of floats as NaN.
fn nan_for_null(series: Series) -> Series {
    let dtype = series.dtype().clone();
    let filled = series.cast(&DataType::Float64).and_then(|floats| {
        let cells = floats.f64()?.iter().map(|cell| Some(cell.unwrap_or(f64::NAN)));
        let cells: Float64Chunked = cells.collect();
        cells.with_name(series.name().clone()).into_series().cast(&dtype)
    });
    filled.unwrap_or(series)
}

/// Decoded cells of some patients, of which a table can be made.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    /// One entry per schema column, a cell per row.
    pub(crate) columns: Vec<Decoded>,
    /// The time of each row, on the axis of the time column.
    pub(crate) times: Vec<f64>,
    /// Rows of each patient.
    pub(crate) lengths: Vec<usize>,
}

impl Cells {
    /// How many patients there are.
    pub fn patients(&self) -> usize {
        self.lengths.len()
    }

    /// The rows of each patient.
    pub(crate) fn of_patients(&self) -> impl Iterator<Item = Range<usize>> {
        self.lengths.iter().scan(0, |end, length| {
            let rows = *end..*end + length;
            *end = rows.end;
            Some(rows)
        })
    }

    /// A column's cells, one a row, patient after patient: values (of dates and durations seconds), or
    /// positions of levels; where nothing is shown, what was imputed.
    pub fn column(&self, column: usize) -> &[f64] {
        self.columns.get(column).map_or(&[], |decoded| &decoded.cells)
    }

    /// What is observed in them.
    pub fn observed(&self) -> Observed {
        let of = |Decoded { cells, shown }: &Decoded| {
            cells.iter().zip(shown).map(|(cell, shows)| shows.then_some(*cell)).collect()
        };
        Observed {
            columns: self.columns.iter().map(of).collect(),
            lengths: self.lengths.clone(),
            out_of_domain: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// Adds some patients of others, by their positions.
    pub fn add(&mut self, others: &Self, chosen: &[usize]) {
        self.columns.resize_with(others.columns.len(), Decoded::default);
        let of_patients: Vec<Range<usize>> = others.of_patients().collect();
        for &patient in chosen {
            let rows = of_patients[patient].clone();
            self.lengths.push(rows.len());
            self.times.extend(&others.times[rows.clone()]);
            for (column, from) in self.columns.iter_mut().zip(&others.columns) {
                column.cells.extend(&from.cells[rows.clone()]);
                column.shown.extend(&from.shown[rows.clone()]);
            }
        }
    }
}

struct Row {
    patient: usize,
    step: usize,
}

/// All rows of patients of these lengths.
fn rows(lengths: &[usize]) -> Vec<Row> {
    let patients = lengths.iter().enumerate();
    patients
        .flat_map(|(patient, &length)| (0..length).map(move |step| Row { patient, step }))
        .collect()
}

/// How a column's features are read.
struct Reading<'a> {
    column: &'a Column,
    fitted: &'a FittedColumn,
    place: Place,
    /// Whether the value is a distance from others, which only these make a value.
    is_distance: bool,
}

impl Reading<'_> {
    /// The column's cells in `rows`, and whether they are shown.
    fn cells<'r>(
        &self,
        rows: &[Row],
        of_row: &dyn Fn(&Row, usize) -> &'r [f32],
        draws: &mut ChaCha8Rng,
    ) -> Decoded {
        let Self { column, fitted, place, .. } = *self;
        // One position a patient for a static column, else one a row.
        let mut position = 0.;
        let mut cell = |row: &Row| {
            let step = if column.is_static { 0 } else { row.step };
            if row.step == step {
                position = draws.random();
            }
            let shows = match fitted.shown {
                Shown::First => row.step == 0,
                Shown::Throughout | Shown::Some => true,
            };
            let flags = of_row(row, if fitted.shown == Shown::Some { row.step } else { step });
            let measured = place.flag.is_none_or(|flag| flags[flag + 1] > flags[flag]);
            let value = self.value(of_row(row, step), position);
            (value, measured && shows && fitted.kind != FittedKind::Empty)
        };
        let (cells, shown) = rows.iter().map(&mut cell).unzip();
        Decoded { cells, shown }
    }

    /// The value, or the position of the level, from a row; `position` is where in its bin a value
    /// lies.
    fn value(&self, row: &[f32], position: f64) -> f64 {
        let features = &row[self.place.value..];
        match &self.fitted.kind {
            FittedKind::Numeric { transform, values, spikes, .. } => {
                let value = transform.decode(f64::from(features[0]));
                if self.is_distance {
                    return value;
                }
                let nearest = nearest_or_bound(value, values, self.column.censored());
                let Some(width) = spikes.width() else { return nearest };
                let level = greatest(&row[self.place.spikes..][..width]);
                let ends = [transform.decode(0.), transform.decode(1.)];
                let besides = || spikes.besides(value, nearest, values, ends);
                spikes.values().get(level).copied().unwrap_or_else(besides)
            }
            FittedKind::Binned { bins, values, .. } => {
                let bin = greatest(&features[..bins.count()]);
                let drawn = bins.value(bin, position);
                let value = nearest_or_bound(drawn, values, self.column.censored());
                // Rounding may not leave the bin.
                if bins.bin(value) == bin { value } else { drawn }
            }
            FittedKind::Discrete { levels, .. } => greatest(&features[..*levels]) as f64,
            FittedKind::Constant { value, .. } => *value,
            FittedKind::Empty => 0.,
        }
    }
}

/// The nearest number that the column may hold, or the bound that is nearer; beyond the outermost
/// bound, that one.
pub(crate) fn nearest_or_bound(x: f64, values: &ValueGrid, censored: &[Censored]) -> f64 {
    let number = values.nearest(x);
    let below = |bound: &&Censored| bound.text.starts_with(['<', '≤']);
    let bounds = |below_it: bool| {
        censored.iter().filter(move |bound| below(bound) == below_it).map(|bound| bound.value)
    };
    let least = bounds(true).fold(f64::INFINITY, f64::min);
    if x <= least && least.is_finite() {
        return least;
    }
    let greatest = bounds(false).fold(f64::NEG_INFINITY, f64::max);
    if x >= greatest && greatest.is_finite() {
        return greatest;
    }
    let distance = |value: &f64| (x - value).abs();
    let nearest =
        censored.iter().map(|bound| bound.value).min_by(|a, b| distance(a).total_cmp(&distance(b)));
    nearest.filter(|bound| distance(bound) < distance(&number)).unwrap_or(number)
}

/// The first of the greatest.
pub(crate) fn greatest(features: &[f32]) -> usize {
    let order = |&a: &usize, &b: &usize| features[a].total_cmp(&features[b]);
    (0..features.len()).rev().max_by(order).unwrap_or(0)
}

impl ValueGrid {
    /// What values are multiples of, where that is known.
    pub(crate) fn unit(&self) -> Option<f64> {
        let of_decimals = || self.decimals.map(|decimals| 1. / 10f64.powi(decimals as i32));
        self.multiple.or_else(of_decimals)
    }

    pub(crate) fn nearest(&self, value: f64) -> f64 {
        match (self.multiple, self.decimals) {
            (Some(multiple), _) => (value / multiple).round() * multiple + 0.,
            (None, Some(decimals)) => {
                let scale = 10f64.powi(decimals as i32);
                // Adding 0 turns −0 into 0.
                (value * scale).round() / scale + 0.
            }
            (None, None) => significant(value),
        }
    }
}

/// A value with the digits that an encoded number, an f32, holds of it.
fn significant(x: f64) -> f64 {
    const DIGITS: i32 = 7;
    if x == 0. || !x.is_finite() {
        return x;
    }
    let decimals = DIGITS - 1 - x.abs().log10().floor() as i32;
    if !(0..=15).contains(&decimals) {
        return x;
    }
    let scale = 10f64.powi(decimals);
    (x * scale).round() / scale
}

impl Column {
    fn shows_labels(&self) -> bool {
        self.bins().is_some_and(Bins::shows_labels)
    }

    /// Levels in the type of their source; an untyped one's are numbers, or truths, where the
    /// schema writes all of them so.
    fn level_series(&self, name: PlSmallStr, source: &SourceType, cells: &[Option<f64>]) -> Series {
        let positions = cells.iter().map(|cell| cell.map(|position| position as usize));
        let names = self.level_names();
        let texts = || {
            let texts = positions.clone().map(|p| p.map(|p| names[p].as_str()));
            Series::new(name.clone(), texts.collect::<Vec<_>>())
        };
        if *source != SourceType::Text {
            return texts();
        }
        let levels = self.levels();
        let truth = |level: &Level| match level {
            Level::Truth(truth) => Some(*truth),
            _ => None,
        };
        let integer = |level: &Level| match level {
            Level::Integer(number) => Some(*number),
            _ => None,
        };
        let truths: Option<Vec<bool>> = levels.iter().map(truth).collect();
        let integers: Option<Vec<i64>> = levels.iter().map(integer).collect();
        let numbers: Option<Vec<f64>> = levels.iter().map(Level::number).collect();
        match (truths, integers, numbers) {
            (Some(truths), ..) => {
                Series::new(name, positions.map(|p| p.map(|p| truths[p])).collect::<Vec<_>>())
            }
            (_, Some(integers), _) => {
                Series::new(name, positions.map(|p| p.map(|p| integers[p])).collect::<Vec<_>>())
            }
            (.., Some(numbers)) => {
                Series::new(name, positions.map(|p| p.map(|p| numbers[p])).collect::<Vec<_>>())
            }
            _ => texts(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_comes_back_beside_the_numbers_around_it() {
        let bound = |text: &str, value| Censored { text: text.into(), value };
        let censored = [bound("<0.05", 0.045), bound("<0.08", 0.075), bound(">2.5", 2.505)];
        let grid = ValueGrid { integer: false, decimals: Some(2), multiple: None };
        for (x, expected) in [
            (0.045, 0.045),
            (0.0450001, 0.045),
            (-3., 0.045),
            (0.05, 0.05),
            (0.0749999, 0.075),
            (0.08, 0.08),
            (1.234, 1.23),
            (2.5, 2.5),
            (2.505, 2.505),
            (9., 2.505),
        ] {
            assert_eq!(nearest_or_bound(x, &grid, &censored), expected, "{x}");
        }
    }

    #[test]
    fn a_number_wins_over_a_bound_that_is_as_near() {
        let bound = |text: &str, value| Censored { text: text.into(), value };
        let censored = [bound("<1", 0.5), bound("<3", 2.5)];
        let grid = ValueGrid { integer: true, decimals: Some(0), multiple: None };
        for (x, expected) in [(2.75, 3.), (2.7, 2.5), (2.25, 2.), (0.5, 0.5)] {
            assert_eq!(nearest_or_bound(x, &grid, &censored), expected, "{x}");
        }
        assert!(grid.nearest(-0.2).is_sign_positive(), "no −0");
    }

    #[test]
    fn what_an_f32_left_behind_is_no_digit() {
        for (x, expected) in [
            (42.50000020861626, 42.5),
            (51.000000298023224, 51.),
            (1.6200001781075384, 1.62),
            (58.76522929500342, 58.76523),
            (-0.00012345678, -0.0001234568),
            (3072000216.4, 3072000216.4),
            (0., 0.),
        ] {
            assert_eq!(significant(x), expected, "{x}");
        }
    }
}
