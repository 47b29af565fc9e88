//! Levels that the schema leaves to the table.

use crate::notation::{finite, is_code};
use crate::parsed::{START, plural, present};
use crate::source::SourceType;
use crate::{Aggregate, Column, Error, Impute, Kind, Rare, Result, Schema, Start, Table};
use polars_core::prelude::DataType;
use std::collections::BTreeMap;

/// Levels that are found in a table, at most.
const MOST_LEVELS: usize = 100;

/// How often each text stands in the columns whose levels, or rare ones, are to be found, and
/// whether the column is one of texts.
#[derive(Debug)]
pub(crate) struct LevelCounts(Vec<Option<BTreeMap<String, usize>>>, Vec<bool>);

impl LevelCounts {
    pub(crate) fn new(schema: &Schema) -> Self {
        let is_open = |column: &crate::Column| {
            column.kind != Kind::Numeric
                && (column.levels.is_empty() || column.rare.as_ref().is_some_and(|r| r.below > 0.))
        };
        let columns = &schema.columns;
        let counts = columns.iter().map(|column| is_open(column).then(BTreeMap::new));
        Self(counts.collect(), vec![false; columns.len()])
    }

    /// Whether there is anything to find.
    pub(crate) fn is_needed(&self) -> bool {
        self.0.iter().any(Option::is_some)
    }

    /// Counts a table's cells; columns that it lacks are reported elsewhere.
    pub(crate) fn add(&mut self, table: &Table, schema: &Schema) -> Result<()> {
        for (n, (column, counts)) in schema.columns.iter().zip(&mut self.0).enumerate() {
            let (Some(counts), Ok(cells)) = (counts, table.frame.column(&column.name)) else {
                continue;
            };
            let source = SourceType::of(cells.dtype(), table.is_untyped()).ok_or_else(|| {
                let problem = format!(
                    "holds {}, which are no levels; turn them into texts, or leave the column out of the schema",
                    plural(cells.dtype())
                );
                Error::column(&table.name, &column.name, problem)
            })?;
            self.1[n] |= source.is_text() && source != SourceType::Text;
            let texts = cells.cast(&DataType::String)?;
            let is_nan = |text: &&str| source.is_number() && *text == "NaN";
            let signs = (&schema.missing, &column.missing);
            let cells = texts.str()?.iter().filter_map(|cell| present(cell, signs.0, signs.1));
            for text in cells.filter(|text| !is_nan(text)) {
                match counts.get_mut(text) {
                    Some(count) => *count += 1,
                    None => {
                        counts.insert(text.to_owned(), 1);
                    }
                }
            }
        }
        Ok(())
    }

    /// The schema with every column's levels; `table` is the table's name.
    pub(crate) fn settle(self, schema: &Schema, table: &str) -> Result<Schema> {
        let (mut schema, mut problems) = (schema.clone(), Vec::new());
        let columns = schema.columns.iter_mut().zip(self.0).zip(self.1);
        for ((column, counts), typed_texts) in columns {
            let Some(counts) = counts else { continue };
            if column.levels.is_empty() {
                let found = order(counts.keys().map(String::as_str), typed_texts);
                let count = found.len();
                if column.kind == Kind::Binary && count != 2 {
                    let problem = format!(
                        "a binary column has two levels, this one has {count}; use kind = \"categorical\", or name its levels"
                    );
                    problems.push(Error::column(table, &column.name, problem));
                }
                if count > MOST_LEVELS && column.rare.is_none() {
                    let problem = format!(
                        "{count} different levels were found, {MOST_LEVELS} are the most; name the levels, pool the rare ones, or leave the column out"
                    );
                    problems.push(Error::column(table, &column.name, problem));
                }
                column.levels = found;
            }
            if let Some(rare) = column.rare.clone() {
                column.levels = pooled(&column.levels, &column.level_names(), &rare, &counts);
                // The levels stand from now on, whatever another table's shares are.
                column.rare = Some(Rare { below: 0., ..rare });
            }
        }
        Error::all(problems)?;
        if schema.time.start == Start::Modelled && !schema.columns.iter().any(is_start) {
            schema.columns.push(start_column(&schema.time.unit));
        }
        Ok(schema)
    }
}

fn is_start(column: &Column) -> bool {
    column.name == START
}

/// The column of each patient's first time.
fn start_column(unit: &str) -> Column {
    Column {
        name: START.into(),
        kind: Kind::Numeric,
        unit: unit.into(),
        transform: None,
        shift: None,
        margin: 0.,
        bins: None,
        levels: Vec::new(),
        rare: None,
        missing: Vec::new(),
        censored: Vec::new(),
        suffix: None,
        thousands: None,
        is_static: true,
        missing_indicator: false,
        aggregate: Aggregate::Last,
        impute: Impute::Both,
    }
}

/// The schema with every column's levels, from one table.
pub(crate) fn settled(schema: &Schema, table: &Table) -> Result<Schema> {
    let mut counts = LevelCounts::new(schema);
    counts.add(table, schema)?;
    counts.settle(schema, &table.name)
}

/// Levels in order. Plain numbers are levels by value, so that `1` and `1.0` are one; texts of
/// digits with leading zeros, and all of a column of texts, are levels as they are written.
fn order<'t>(texts: impl Iterator<Item = &'t str>, typed_texts: bool) -> Vec<toml::Value> {
    let mut levels: Vec<&str> = texts.collect();
    let value = |text: &str| finite(text).filter(|x| x.abs() < 9e15 && !is_code(text));
    if typed_texts || !levels.iter().all(|level| value(level).is_some()) {
        return levels.into_iter().map(|level| toml::Value::String(level.into())).collect();
    }
    levels.sort_by(|a, b| value(a).unwrap_or(0.).total_cmp(&value(b).unwrap_or(0.)));
    levels.dedup_by_key(|level| value(level).unwrap_or(0.).to_bits());
    let whole = levels.iter().all(|level| level.parse::<i64>().is_ok());
    let number = |level: &str| match level.parse() {
        Ok(integer) if whole => toml::Value::Integer(integer),
        _ => toml::Value::Float(value(level).unwrap_or(0.)),
    };
    levels.into_iter().map(number).collect()
}

/// The levels without those that fewer than `rare.below` of the cells have, and the one
/// that these become.
fn pooled(
    levels: &[toml::Value],
    names: &[String],
    rare: &Rare,
    counts: &BTreeMap<String, usize>,
) -> Vec<toml::Value> {
    let total: usize = counts.values().sum();
    let share = |name: &String| {
        let is_it =
            |text: &str| text == name || (finite(text).is_some() && finite(text) == finite(name));
        let count: usize = counts.iter().filter(|(text, _)| is_it(text)).map(|(_, n)| n).sum();
        count as f64 / total.max(1) as f64
    };
    let keeps = |name: &String| *name != rare.into && share(name) >= rare.below;
    if names.iter().all(keeps) {
        return levels.to_vec();
    }
    let kept = levels.iter().zip(names).filter(|(_, name)| keeps(name));
    let into = toml::Value::String(rare.into.clone());
    kept.map(|(level, _)| level.clone()).chain([into]).collect()
}
