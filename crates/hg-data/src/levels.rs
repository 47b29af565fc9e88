//! Levels that the schema leaves to the table.

use crate::notation::{finite, is_code};
use crate::parsed::{GAP, START, plural, present};
use crate::source::SourceType;
use crate::{Column, ColumnKind, Error, Level, Rare, Result, Schema, Table, TimeModel, Transform};
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
        let is_open = |column: &Column| {
            let pools = column.rare().is_some_and(|rare| rare.below > 0.);
            !column.is_numeric() && (column.levels().is_empty() || pools)
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
                    "holds {}, which are no levels\nhint: turn them into texts, or leave the column out of the schema",
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
            if let Err(problem) = settle_column(&mut column.kind, &counts, typed_texts) {
                problems.push(Error::column(table, &column.name, problem));
            }
        }
        Error::all(problems)?;
        for name in derived(&schema.time.model) {
            if !schema.columns.iter().any(|column| column.name == name) {
                schema.columns.push(derived_column(name, &schema.time.unit));
            }
        }
        Ok(schema)
    }
}

/// The columns that the steps have beside those of the table.
fn derived(model: &TimeModel) -> impl Iterator<Item = &'static str> {
    let start = model.has_first_times().then_some(START);
    start.into_iter().chain((*model == TimeModel::Visits).then_some(GAP))
}

/// The column of each patient's first time, or of the time since the row before.
fn derived_column(name: &str, unit: &str) -> Column {
    let column = Column::numeric(name).unit(unit);
    match name {
        START => column.constant().into(),
        // By quantiles, visits that are planned for certain days are far enough apart to be told.
        _ => column.transform(Transform::Quantile).into(),
    }
}

/// Gives a column the levels that were counted in the table, where it names none, and pools the
/// rare ones.
///
/// # Errors
/// What is wrong with the levels that were found.
fn settle_column(
    kind: &mut ColumnKind,
    counts: &BTreeMap<String, usize>,
    typed_texts: bool,
) -> std::result::Result<(), String> {
    let found = || order(counts.keys().map(String::as_str), typed_texts);
    match kind {
        ColumnKind::Numeric(_) => {}
        ColumnKind::Binary(binary) if binary.levels.is_none() => {
            let both = found().try_into().map_err(|found: Vec<Level>| {
                format!(
                    "a binary column has two levels, this one has {}\nhint: use kind = \"categorical\", or name its levels",
                    found.len()
                )
            })?;
            binary.levels = Some(both);
        }
        ColumnKind::Binary(_) => {}
        ColumnKind::Categorical(categorical) => {
            if categorical.levels.is_empty() {
                categorical.levels = found();
                let count = categorical.levels.len();
                if count > MOST_LEVELS && categorical.rare.is_none() {
                    return Err(format!(
                        "{count} different levels were found, {MOST_LEVELS} are the most\nhint: name the levels, pool the rare ones, or leave the column out"
                    ));
                }
            }
            if let Some(rare) = &mut categorical.rare {
                categorical.levels = pooled(&categorical.levels, rare, counts);
                // The levels stay from now on, whatever another table's shares are.
                rare.below = 0.;
            }
        }
    }
    Ok(())
}

/// The schema with every column's levels, from one table.
pub(crate) fn settled(schema: &Schema, table: &Table) -> Result<Schema> {
    let mut counts = LevelCounts::new(schema);
    counts.add(table, schema)?;
    counts.settle(schema, &table.name)
}

/// Levels in order. Plain numbers are levels by value, so that `1` and `1.0` are one; texts of
/// digits with leading zeros, and all of a column of texts, are levels as they are written.
fn order<'t>(texts: impl Iterator<Item = &'t str>, typed_texts: bool) -> Vec<Level> {
    let mut levels: Vec<&str> = texts.collect();
    let value = |text: &str| finite(text).filter(|x| x.abs() < 9e15 && !is_code(text));
    if typed_texts || !levels.iter().all(|level| value(level).is_some()) {
        return levels.into_iter().map(Level::from).collect();
    }
    levels.sort_by(|a, b| value(a).unwrap_or(0.).total_cmp(&value(b).unwrap_or(0.)));
    levels.dedup_by_key(|level| value(level).unwrap_or(0.).to_bits());
    let whole = levels.iter().all(|level| level.parse::<i64>().is_ok());
    let number = |level: &str| match level.parse() {
        Ok(integer) if whole => Level::Integer(integer),
        _ => Level::Real(value(level).unwrap_or(0.)),
    };
    levels.into_iter().map(number).collect()
}

/// The levels without those that fewer than `rare.below` of the cells have, and the one
/// that these become.
fn pooled(levels: &[Level], rare: &Rare, counts: &BTreeMap<String, usize>) -> Vec<Level> {
    let total: usize = counts.values().sum();
    let share = |name: &str| {
        let is_it =
            |text: &str| text == name || (finite(text).is_some() && finite(text) == finite(name));
        let count: usize = counts.iter().filter(|(text, _)| is_it(text)).map(|(_, n)| n).sum();
        count as f64 / total.max(1) as f64
    };
    let keeps = |level: &&Level| {
        let name = level.to_string();
        name != rare.into && share(&name) >= rare.below
    };
    let mut kept: Vec<Level> = levels.iter().filter(keeps).cloned().collect();
    if kept.len() < levels.len() {
        kept.push(Level::Text(rare.into.clone()));
    }
    kept
}
