//! Levels that the schema leaves to the table.

use crate::typed::{finite, present};
use crate::{Error, Kind, Rare, Result, Schema};
use polars::prelude::{DataFrame, DataType};
use std::collections::BTreeMap;
use std::path::Path;

/// Levels that are found in a table, at most.
const MOST_LEVELS: usize = 100;

/// How often each text stands in the columns whose levels, or rare ones, are to be found.
#[derive(Debug)]
pub(crate) struct LevelCounts(Vec<Option<BTreeMap<String, usize>>>);

impl LevelCounts {
    pub(crate) fn new(schema: &Schema) -> Self {
        let is_open = |column: &crate::Column| {
            column.kind != Kind::Numeric
                && (column.levels.is_empty() || column.rare.as_ref().is_some_and(|r| r.below > 0.))
        };
        Self(schema.columns.iter().map(|column| is_open(column).then(BTreeMap::new)).collect())
    }

    /// Whether there is anything to find.
    pub(crate) fn is_needed(&self) -> bool {
        self.0.iter().any(Option::is_some)
    }

    /// Counts a table's cells; columns that it lacks are reported elsewhere.
    pub(crate) fn add(&mut self, table: &DataFrame, schema: &Schema) -> Result<()> {
        for (column, counts) in schema.columns.iter().zip(&mut self.0) {
            let (Some(counts), Ok(cells)) = (counts, table.column(&column.name)) else { continue };
            let texts = cells.cast(&DataType::String)?;
            for text in texts.str()?.iter().filter_map(|cell| present(cell, &schema.missing)) {
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

    /// The schema with every column's levels.
    pub(crate) fn settle(self, schema: &Schema, path: &Path) -> Result<Schema> {
        let (mut schema, mut problems) = (schema.clone(), Vec::new());
        for (column, counts) in schema.columns.iter_mut().zip(self.0) {
            let Some(counts) = counts else { continue };
            if column.levels.is_empty() {
                let found = order(counts.keys().map(String::as_str));
                let count = found.len();
                if column.kind == Kind::Binary && count != 2 {
                    let problem = format!(
                        "a binary column has two levels, this one has {count}; use kind = \"categorical\", or name its levels"
                    );
                    problems.push(Error::column(path, &column.name, problem));
                }
                if count > MOST_LEVELS && column.rare.is_none() {
                    let problem = format!(
                        "{count} different levels were found, {MOST_LEVELS} are the most; name the levels, pool the rare ones, or leave the column out"
                    );
                    problems.push(Error::column(path, &column.name, problem));
                }
                column.levels = found.into_iter().map(toml::Value::String).collect();
            }
            if let Some(rare) = column.rare.clone() {
                column.levels = pooled(&column.levels, &column.level_names(), &rare, &counts);
                // The levels stand from now on, whatever another table's shares are.
                column.rare = Some(Rare { below: 0., ..rare });
            }
        }
        Error::all(problems)?;
        Ok(schema)
    }
}

/// The schema with every column's levels, from one table.
pub(crate) fn settled(schema: &Schema, table: &DataFrame, path: &Path) -> Result<Schema> {
    let mut counts = LevelCounts::new(schema);
    counts.add(table, schema)?;
    counts.settle(schema, path)
}

/// Levels in order: by value where all are numbers, else by text.
fn order<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<String> {
    let mut levels: Vec<String> = texts.map(str::to_owned).collect();
    if levels.iter().all(|level| finite(level).is_some()) {
        levels.sort_by(|a, b| finite(a).unwrap_or(0.).total_cmp(&finite(b).unwrap_or(0.)));
        // «1» and «1.0» are one level.
        levels.dedup_by_key(|level| finite(level).unwrap_or(0.).to_bits());
    }
    levels
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
