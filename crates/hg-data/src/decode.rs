//! From encoded sequences back to a table.

use crate::source::TimeSource;
use crate::{
    Bins, Censored, Column, Encoder, Error, FittedColumn, FittedKind, Result, Time, ValueGrid,
};
use polars::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

impl Encoder {
    /// Turns encoded sequences `[patients, steps, features]` (row-major) into a
    /// table with the original names, order, levels and types. Patients are numbered
    /// from 1, times run from 0 (dates from 1 January 2000) on the grid. Of a
    /// block, the greatest feature is the level; static columns keep their first
    /// value; cells that were «not measured» are empty. `seed` drives the draws
    /// within bins.
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
        let features = self.features();
        if values.len() != lengths.len() * steps * features || lengths.iter().any(|&l| l > steps) {
            let expected = format!("{} × {steps} × {features} values", lengths.len());
            return Err(Error::Shape { expected, got: values.len() });
        }
        let mut rows = Vec::new();
        for (patient, &length) in lengths.iter().enumerate() {
            rows.extend((0..length).map(|step| Row { patient, step }));
        }
        let start = |row: &Row, step: usize| (row.patient * steps + step) * features;
        let mut columns = vec![
            Series::new(
                self.schema.patient.column.as_str().into(),
                rows.iter().map(|row| row.patient as i64 + 1).collect::<Vec<_>>(),
            )
            .into_column(),
            self.times(&rows)?,
        ];
        for (n, ((column, fitted), (at, flag))) in
            self.schema.columns.iter().zip(&self.columns).zip(self.places()).enumerate()
        {
            let mut draws = ChaCha8Rng::seed_from_u64(seed);
            draws.set_stream(n as u64);
            // One position a patient for a static column, else one a row.
            let mut position = 0.;
            let cells: Vec<Option<f64>> = rows
                .iter()
                .map(|row| {
                    let step = if column.is_static { 0 } else { row.step };
                    if row.step == step {
                        position = draws.random();
                    }
                    let row = &values[start(row, step)..][..features];
                    let measured = flag.is_none_or(|flag| row[flag + 1] > row[flag]);
                    measured.then(|| fitted.decode(&row[at..], position))
                })
                .collect();
            columns.push(column.series(fitted, &cells).into_column());
        }
        Ok(DataFrame::new(rows.len(), columns)?.select(self.order.iter().map(String::as_str))?)
    }

    fn times(&self, rows: &[Row]) -> Result<polars::prelude::Column> {
        let Time { column, step, format, .. } = &self.schema.time;
        let times: Vec<f64> = rows.iter().map(|row| row.step as f64 * step).collect();
        let source = match self.time {
            TimeSource::Integer if step.fract() != 0. => TimeSource::Real,
            source => source,
        };
        let format = format.as_deref().unwrap_or_default();
        Ok(source.series(column.as_str().into(), &times, format)?.into_column())
    }
}

struct Row {
    patient: usize,
    step: usize,
}

impl FittedColumn {
    /// The value, or the position of the level, from a row that begins with
    /// this column's features; `position` is where in its bin a value lies.
    fn decode(&self, features: &[f32], position: f64) -> f64 {
        match &self.kind {
            FittedKind::Numeric { transform, values } => {
                values.nearest(transform.decode(f64::from(features[0])))
            }
            FittedKind::Binned { bins, values } => {
                let bin = greatest(&features[..bins.count()]);
                let value = values.nearest(bins.value(bin, position));
                // Rounding may not leave the bin.
                if bins.bin(value) == bin { value } else { bins.value(bin, position) }
            }
            FittedKind::Discrete { levels } => greatest(&features[..*levels]) as f64,
        }
    }
}

/// A number with its whole digits in groups of three.
fn grouped(x: f64, separator: char) -> String {
    let text = x.abs().to_string();
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::from(if x < 0. { "-" } else { "" });
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n).is_multiple_of(3) {
            grouped.push(separator);
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// The first of the greatest.
fn greatest(features: &[f32]) -> usize {
    let order = |&a: &usize, &b: &usize| features[a].total_cmp(&features[b]);
    (0..features.len()).rev().max_by(order).unwrap_or(0)
}

impl ValueGrid {
    fn nearest(&self, value: f64) -> f64 {
        match self.decimals {
            Some(decimals) => {
                let scale = 10f64.powi(decimals as i32);
                // Adding 0 turns −0 into 0.
                (value * scale).round() / scale + 0.
            }
            None => value,
        }
    }
}

impl Column {
    /// The cells in the type that the source had.
    fn series(&self, fitted: &FittedColumn, cells: &[Option<f64>]) -> Series {
        let name: PlSmallStr = self.name.as_str().into();
        let series = match &fitted.kind {
            FittedKind::Discrete { .. } => self.level_series(name, cells),
            FittedKind::Binned { bins, .. } if self.shows_labels() => {
                let labels = self.bins.as_ref().map(|given| bins.labels(given)).unwrap_or_default();
                let label = |x: f64| labels.get(bins.bin(x)).cloned();
                let cells = cells.iter().map(|cell| cell.and_then(label));
                return Series::new(name, cells.collect::<Vec<_>>());
            }
            FittedKind::Numeric { values, .. } | FittedKind::Binned { values, .. } => {
                self.number_series(name, values, cells)
            }
        };
        fitted.source.restore(series)
    }

    fn shows_labels(&self) -> bool {
        self.bins.as_ref().is_some_and(Bins::shows_labels)
    }

    fn number_series(&self, name: PlSmallStr, values: &ValueGrid, cells: &[Option<f64>]) -> Series {
        if self.censored.is_some() || self.thousands.is_some() {
            let beyond = |x: f64| {
                self.censored.as_ref().filter(|Censored { text, value }| {
                    if text.starts_with('<') { x <= *value } else { x >= *value }
                })
            };
            let text = |x: f64| match (beyond(x), self.thousands) {
                (Some(censored), _) => censored.text.clone(),
                (None, Some(separator)) => grouped(x, separator),
                (None, None) => x.to_string(),
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

    /// Levels that are all whole numbers, or all numbers, become such columns.
    fn level_series(&self, name: PlSmallStr, cells: &[Option<f64>]) -> Series {
        let names = self.level_names();
        let integers: Option<Vec<i64>> = names.iter().map(|name| name.parse().ok()).collect();
        let floats: Option<Vec<f64>> = names.iter().map(|name| name.parse().ok()).collect();
        let positions = cells.iter().map(|cell| cell.map(|position| position as usize));
        if names.iter().all(|name| name == "true" || name == "false") {
            let truth = positions.map(|p| p.map(|p| names[p] == "true"));
            return Series::new(name, truth.collect::<Vec<_>>());
        }
        match (integers, floats) {
            (Some(levels), _) => {
                Series::new(name, positions.map(|p| p.map(|p| levels[p])).collect::<Vec<_>>())
            }
            (None, Some(levels)) => {
                Series::new(name, positions.map(|p| p.map(|p| levels[p])).collect::<Vec<_>>())
            }
            (None, None) => {
                let cells = positions.map(|p| p.map(|p| names[p].as_str()));
                Series::new(name, cells.collect::<Vec<_>>())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn digits_are_grouped_as_they_were_read() {
        for (x, text) in
            [(1234567.25, "1,234,567.25"), (999., "999"), (-1000., "-1,000"), (0.5, "0.5")]
        {
            assert_eq!(grouped(x, ','), text);
            assert_eq!(crate::typed::parse_number(text, Some(',')), Some(x));
        }
    }
}
