//! From encoded sequences back to a table.

use crate::{Column, Encoder, Error, FittedColumn, FittedKind, Result};
use polars::prelude::*;

impl Encoder {
    /// Turns encoded sequences `[patients, steps, features]` (row-major) into a
    /// table with the schema's names, levels and types. Patients are numbered
    /// from 1, times run from 0 on the grid. Of a block, the greatest feature
    /// is the level; static columns keep their first value; cells that were
    /// «not measured» are empty.
    ///
    /// # Errors
    /// [`Error::Shape`] when `values` is not `lengths.len() × steps × features`.
    pub fn decode(&self, values: &[f64], lengths: &[usize], steps: usize) -> Result<DataFrame> {
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
            self.times(&rows),
        ];
        for ((column, fitted), (at, flag)) in
            self.schema.columns.iter().zip(&self.columns).zip(self.places())
        {
            let cells: Vec<Option<f64>> = rows
                .iter()
                .map(|row| {
                    let step = if column.is_static { 0 } else { row.step };
                    let row = &values[start(row, step)..][..features];
                    let measured = flag.is_none_or(|flag| row[flag + 1] > row[flag]);
                    measured.then(|| fitted.decode(&row[at..]))
                })
                .collect();
            columns.push(column.series(fitted, &cells).into_column());
        }
        Ok(DataFrame::new(rows.len(), columns)?)
    }

    fn times(&self, rows: &[Row]) -> polars::prelude::Column {
        let name = self.schema.time.column.as_str().into();
        let step = self.schema.time.step;
        let times = rows.iter().map(|row| row.step as f64 * step);
        if self.integer_time && step.fract() == 0. {
            Series::new(name, times.map(|time| time as i64).collect::<Vec<_>>()).into_column()
        } else {
            Series::new(name, times.collect::<Vec<_>>()).into_column()
        }
    }
}

struct Row {
    patient: usize,
    step: usize,
}

impl FittedColumn {
    /// The value, or the position of the level, from a row that begins with
    /// this column's features.
    fn decode(&self, features: &[f64]) -> f64 {
        match &self.kind {
            FittedKind::Numeric { transform, decimals, .. } => {
                let value = transform.decode(features[0]);
                match decimals {
                    Some(decimals) => {
                        let scale = 10f64.powi(*decimals as i32);
                        // Adding 0 turns −0 into 0.
                        (value * scale).round() / scale + 0.
                    }
                    None => value,
                }
            }
            FittedKind::Discrete { levels } => {
                // The first of the greatest.
                let level = (0..*levels).rev().max_by(|&a, &b| features[a].total_cmp(&features[b]));
                level.unwrap_or(0) as f64
            }
        }
    }
}

impl Column {
    /// The cells in the type that the source had.
    fn series(&self, fitted: &FittedColumn, cells: &[Option<f64>]) -> Series {
        let name = self.name.as_str().into();
        match &fitted.kind {
            FittedKind::Numeric { integer, .. } => match &self.censored {
                Some(censored) => {
                    let text = |x: &f64| {
                        if *x >= censored.value { censored.text.clone() } else { x.to_string() }
                    };
                    let cells = cells.iter().map(|cell| cell.as_ref().map(text));
                    Series::new(name, cells.collect::<Vec<_>>())
                }
                None if *integer => {
                    let cells = cells.iter().map(|cell| cell.map(|x| x as i64));
                    Series::new(name, cells.collect::<Vec<_>>())
                }
                None => Series::new(name, cells),
            },
            FittedKind::Discrete { .. } => self.level_series(name, cells),
        }
    }

    /// Levels that are all whole numbers, or all numbers, become such columns.
    fn level_series(&self, name: PlSmallStr, cells: &[Option<f64>]) -> Series {
        let names = self.level_names();
        let integers: Option<Vec<i64>> = names.iter().map(|name| name.parse().ok()).collect();
        let floats: Option<Vec<f64>> = names.iter().map(|name| name.parse().ok()).collect();
        let positions = cells.iter().map(|cell| cell.map(|position| position as usize));
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
