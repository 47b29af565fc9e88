//! Cells of levels.

use crate::compact::with_nan_gaps;
use crate::notation::{EXACT, finite};
use crate::notes::ColumnFacts;
use crate::parsed::{Checker, Strays, present};
use crate::source::SourceType;
use crate::{Column, Level, Result};
use polars_core::prelude::*;
use std::collections::{HashMap, HashSet};

/// The levels of a column, to find a cell's among.
struct Levels {
    names: Vec<String>,
    /// The numbers that the names are.
    numbers: Vec<Option<f64>>,
    /// Of those that the schema writes as numbers.
    values: Vec<Option<f64>>,
    /// Where levels go that are not named.
    pooled: Option<usize>,
}

impl Levels {
    fn new(column: &Column) -> Self {
        let names = column.level_names();
        let values = column.levels().iter().map(Level::number).collect();
        let pooled =
            column.rare().and_then(|rare| names.iter().position(|name| *name == rare.into));
        let numbers = names.iter().map(|name| finite(name)).collect();
        Self { names, numbers, values, pooled }
    }

    /// Of a text: the level of this very name, else one that the schema writes as a number of
    /// the same value, as `1.0` is `1`. `01` and `1` are two texts.
    fn of_text(&self, text: &str) -> Option<usize> {
        let by_name = self.names.iter().position(|name| name == text);
        let by_value = || {
            let value = finite(text)?;
            self.values.iter().position(|level| *level == Some(value))
        };
        by_name.or_else(by_value)
    }

    /// Of a number in a typed column.
    fn of_number(&self, value: f64) -> Option<usize> {
        self.numbers.iter().position(|number| *number == Some(value))
    }
}

impl Checker<'_> {
    /// Positions of levels. What is no level is one of the pooled ones where there are such,
    /// else a problem, which is told once; in a synthetic table it counts as missing.
    pub(crate) fn levels(&mut self, column: &Column) -> Result<(Float64Chunked, ColumnFacts)> {
        let levels = Levels::new(column);
        let (cells, source) = self.source(&column.name)?;
        let mut facts = ColumnFacts::new(source.clone());
        facts.has_null = cells.null_count() > 0;
        let has_signs = !(self.schema.missing.is_empty() && column.missing.is_empty());
        let name: PlSmallStr = column.name.as_str().into();

        if source.is_number() && !has_signs {
            // The usual case, at speed.
            let read = cells.cast(&DataType::Float64)?;
            let of_number = |value: f64| levels.of_number(value);
            if let Some(found) = positions_of_codes(&with_nan_gaps(read.f64()?), &of_number) {
                let gaps = found.iter().filter(|position| position.is_nan()).count();
                facts.has_nan = gaps > cells.null_count();
                let is_there = |position: f64| Some(position).filter(|p| !p.is_nan());
                let found = match gaps {
                    0 => Float64Chunked::from_vec(name, found),
                    _ => Float64Chunked::from_iter_options(name, found.into_iter().map(is_there)),
                };
                return Ok((found, facts));
            }
        }

        let mut unknown: Vec<(usize, String)> = Vec::new();
        let mut known: HashMap<&str, Option<usize>> = HashMap::new();
        let texts = self.texts(&column.name)?;
        let mut positions: Vec<Option<f64>> = Vec::with_capacity(texts.len());
        for (row, cell) in texts.iter().enumerate() {
            let is_nan = source.is_number() && cell == Some("NaN");
            facts.has_nan |= is_nan;
            let text = present(cell, &self.schema.missing, &column.missing).filter(|_| !is_nan);
            let Some(text) = text else {
                facts.see_gap(cell);
                positions.push(None);
                continue;
            };
            let position = *known.entry(text).or_insert_with(|| {
                let by_number = || match source {
                    SourceType::Text | SourceType::String => None,
                    _ => levels.of_number(finite(text)?),
                };
                levels.of_text(text).or_else(by_number).or(levels.pooled)
            });
            if position.is_none() {
                unknown.push((row, text.to_owned()));
            }
            positions.push(position.map(|position| position as f64));
        }
        self.say_unknown(&column.name, &levels.names, unknown);
        Ok((Float64Chunked::from_iter_options(name, positions.into_iter()), facts))
    }

    /// Tells of each unknown level once.
    fn say_unknown(&mut self, name: &str, levels: &[String], unknown: Vec<(usize, String)>) {
        if self.counts_strays() {
            if let Some((row, example)) = unknown.first().cloned() {
                let strays = Strays { cells: unknown.len(), example, row };
                self.stray(name, "is no level, and counts as missing", strays);
            }
            return;
        }
        let mut told = HashSet::new();
        for (row, text) in unknown {
            if told.insert(text.clone()) {
                let problem = format!(
                    "`{text}` is not among the levels {}\nhint: correct the cell or add the level to the schema",
                    levels.join(", ")
                );
                self.say(row, name, problem);
            }
        }
    }
}

/// The position of each level, where all are found: small whole numbers in a table, others one
/// by one. NaN is no level, and stays.
fn positions_of_codes(cells: &[f64], by_value: &impl Fn(f64) -> Option<usize>) -> Option<Vec<f64>> {
    const CODES: usize = 256;
    let unknown = f64::NAN;
    let of = |value: f64| {
        let position = by_value(value).filter(|_| value.abs() < EXACT);
        position.map_or(unknown, |position| position as f64)
    };
    let table: [f64; CODES] = std::array::from_fn(|code| of(code as f64));
    let mut all_found = true;
    let mut positions = Vec::with_capacity(cells.len());
    positions.extend(cells.iter().map(|&value| {
        // What is no small whole number goes to 0 or the last code, and is not equal to it.
        let code = value as usize;
        let position = match table.get(code) {
            Some(&position) if code as f64 == value => position,
            _ => of(value),
        };
        all_found &= !position.is_nan() || value.is_nan();
        position
    }));
    all_found.then_some(positions)
}
