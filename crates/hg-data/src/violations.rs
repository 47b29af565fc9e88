//! Where rows of a table break the schema's rules.

use crate::clock::Axis;
use crate::grid::HAPPENED;
use crate::parsed::{PATIENT, ParsedTable, TIME};
use crate::{Error, Result, Rule, Schema, Table};
use polars_core::prelude::*;
use serde::Serialize;
use std::collections::HashMap;

/// How often a table breaks a rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Violations {
    /// The rule, as the schema writes it.
    pub rule: String,
    /// Rows (of statics alone: patients) to which it can be applied.
    pub rows: usize,
    /// Those of them that break it.
    pub broken: usize,
}

/// What a table's rows do to a rule.
#[derive(Default)]
struct Tally {
    rows: usize,
    broken: usize,
    /// (row, problem) of the first that breaks it.
    first: Option<(usize, String)>,
}

impl Tally {
    fn add(&mut self, row: usize, problem: Option<impl FnOnce() -> String>) {
        self.rows += 1;
        if let Some(problem) = problem {
            self.broken += 1;
            self.first.get_or_insert_with(|| (row, problem()));
        }
    }
}

/// The columns of a checked table, and its rows by patient and time.
pub(crate) struct Rows<'a> {
    schema: &'a Schema,
    frame: &'a DataFrame,
    /// Where columns of dates, and times beside them, count from.
    origins: Option<&'a [f64]>,
    /// Rows in order, and where each patient's begin and end in it; of several tables, the first
    /// row of each time.
    order: Vec<usize>,
    /// Of several tables: the other rows of a time, by its first.
    others: HashMap<usize, Vec<usize>>,
    patients: Vec<std::ops::Range<usize>>,
}

type Cells = Vec<Option<f64>>;

impl<'a> Rows<'a> {
    pub(crate) fn new(parsed: &'a ParsedTable, schema: &'a Schema) -> Result<Self> {
        let ids: Vec<u32> = parsed.frame.column(PATIENT)?.u32()?.iter().flatten().collect();
        let times: Cells = parsed.frame.column(TIME)?.f64()?.iter().collect();
        let key = |row: usize| (ids[row], times[row].unwrap_or_default());
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by(|&a, &b| {
            let ((a, at_a), (b, at_b)) = (key(a), key(b));
            a.cmp(&b).then(at_a.total_cmp(&at_b))
        });
        let mut others: HashMap<usize, Vec<usize>> = HashMap::new();
        if !schema.tables.is_empty() {
            // A row of each table is one step.
            let mut firsts: Vec<usize> = Vec::new();
            for row in order {
                match firsts.last() {
                    Some(&first) if key(first) == key(row) => {
                        others.entry(first).or_default().push(row);
                    }
                    _ => firsts.push(row),
                }
            }
            order = firsts;
        }
        let mut patients = Vec::new();
        for run in order.chunk_by(|&a, &b| ids[a] == ids[b]) {
            let first = patients.last().map_or(0, |before: &std::ops::Range<usize>| before.end);
            patients.push(first..first + run.len());
        }
        let is_counted = parsed.grid.axis == Axis::Seconds;
        let origins = parsed.origins.as_deref().filter(|_| is_counted);
        Ok(Self { schema, frame: &parsed.frame, origins, order, others, patients })
    }

    /// A column's cells, or the times.
    pub(crate) fn cells(&self, name: &str) -> Result<Cells> {
        let name = if name == self.schema.time.column { TIME } else { name };
        let mut cells: Cells = self.frame.column(name)?.f64()?.iter().collect();
        if let (TIME, Some(origins)) = (name, self.origins) {
            let patients = self.frame.column(PATIENT)?.u32()?;
            for (cell, patient) in cells.iter_mut().zip(patients.iter().flatten()) {
                *cell = cell.map(|time| time - origins[patient as usize]);
            }
        }
        for (&first, others) in &self.others {
            // Of several values at one time the last counts.
            let last = others.iter().rev().find_map(|&row| cells[row]);
            cells[first] = last.or(cells[first]);
        }
        let column = self.schema.columns.iter().find(|column| column.name == name);
        if column.is_some_and(|column| self.schema.is_occurrence(column)) {
            // What is not said to have happened did not.
            cells.iter_mut().for_each(|cell| *cell = cell.or(Some(0.)));
        }
        Ok(cells)
    }

    /// The row of the table in which a column has its value at the time of `row`.
    fn row_of(&self, row: usize, column: &str) -> Result<usize> {
        let name = if column == self.schema.time.column { TIME } else { column };
        let cells = self.frame.column(name)?.is_not_null();
        let others = self.others.get(&row).into_iter().flatten().rev();
        Ok(others.copied().find(|&row| cells.get(row) == Some(true)).unwrap_or(row))
    }

    fn is_static(&self, name: &str) -> bool {
        self.schema.columns.iter().any(|column| column.name == name && column.is_static)
    }

    fn level(&self, column: &str, level: &crate::Level) -> Option<f64> {
        let column = self.schema.columns.iter().find(|c| c.name == column)?;
        column.position_of(level)
    }

    /// Rows to which a rule can be applied, and those that break it.
    pub(crate) fn count(&self, rule: &Rule) -> Result<(usize, usize)> {
        let tally = self.tally(rule)?;
        Ok((tally.rows, tally.broken))
    }

    fn tally(&self, rule: &Rule) -> Result<Tally> {
        match rule {
            Rule::Order { lesser, greater, strict } => self.order(lesser, greater, *strict),
            Rule::Monotone { column, rises } => self.monotone(column, *rises),
            Rule::NeverLeft { column, level } => self.never_left(column, level),
            Rule::Once { column } => self.once(column),
            Rule::Carried { column, flag, level } => self.carried(column, flag, level),
        }
    }

    fn order(&self, lesser: &str, greater: &str, strict: bool) -> Result<Tally> {
        let (least, most) = (self.cells(lesser)?, self.cells(greater)?);
        let mut tally = Tally::default();
        for patient in &self.patients {
            // A value that is shown once holds for all of the patient's rows.
            let constant = |name: &str, cells: &Cells| {
                let mut rows = self.order[patient.clone()].iter();
                if self.is_static(name) { rows.find_map(|&row| cells[row]) } else { None }
            };
            let (of_lesser, of_greater) = (constant(lesser, &least), constant(greater, &most));
            for &row in &self.order[patient.clone()] {
                let (Some(a), Some(b)) = (of_lesser.or(least[row]), of_greater.or(most[row]))
                else {
                    continue;
                };
                let breaks = a > b || (strict && a == b);
                let say = || format!("`{lesser}` is {a} here, and `{greater}` is {b}");
                tally.add(row, breaks.then_some(say));
            }
        }
        Ok(tally)
    }

    fn monotone(&self, column: &str, rises: bool) -> Result<Tally> {
        let cells = self.cells(column)?;
        let mut tally = Tally::default();
        for patient in &self.patients {
            let mut before: Option<f64> = None;
            for &row in &self.order[patient.clone()] {
                let Some(here) = cells[row] else { continue };
                if let Some(before) = before {
                    let breaks = if rises { here < before } else { here > before };
                    let say = || format!("`{column}` is {here} here, after {before}");
                    tally.add(row, breaks.then_some(say));
                }
                before = Some(here);
            }
        }
        Ok(tally)
    }

    fn never_left(&self, column: &str, level: &crate::Level) -> Result<Tally> {
        let cells = self.cells(column)?;
        let Some(at) = self.level(column, level) else { return Ok(Tally::default()) };
        let mut tally = Tally::default();
        for patient in &self.patients {
            let mut reached = false;
            for &row in &self.order[patient.clone()] {
                let Some(here) = cells[row] else { continue };
                if reached {
                    let say = || format!("`{column}` has left `{level}` here");
                    tally.add(row, (here != at).then_some(say));
                }
                reached |= here == at;
            }
        }
        Ok(tally)
    }

    fn once(&self, column: &str) -> Result<Tally> {
        let cells = self.cells(column)?;
        let mut tally = Tally::default();
        for patient in &self.patients {
            let mut happened = false;
            let rows = self.order[patient.clone()].iter();
            for &row in rows.filter(|row| cells[**row] == Some(HAPPENED)) {
                let say = || format!("`{column}` happens again here");
                tally.add(row, happened.then_some(say));
                happened = true;
            }
        }
        Ok(tally)
    }

    fn carried(&self, column: &str, flag: &str, level: &crate::Level) -> Result<Tally> {
        let (cells, flags) = (self.cells(column)?, self.cells(flag)?);
        let at = self.level(flag, level);
        let mut tally = Tally::default();
        for patient in self.patients.iter().filter(|_| at.is_some()) {
            for rows in self.order[patient.clone()].windows(2) {
                let (before, row) = (rows[0], rows[1]);
                if flags[row] != at {
                    continue;
                }
                let say = || {
                    let shown = |cell: Option<f64>| cell.map_or("empty".into(), |x| x.to_string());
                    let (here, before) = (shown(cells[row]), shown(cells[before]));
                    format!(
                        "`{column}` is {here} here, after {before}, though `{flag}` is `{level}`"
                    )
                };
                tally.add(row, (cells[row] != cells[before]).then_some(say));
            }
        }
        Ok(tally)
    }
}

/// How often a checked table breaks each of the schema's rules.
pub(crate) fn violations(parsed: &ParsedTable, schema: &Schema) -> Result<Vec<Violations>> {
    if schema.rules.is_empty() {
        return Ok(Vec::new());
    }
    let rows = Rows::new(parsed, schema)?;
    let counted = schema.rules.iter().map(|rule| {
        let (rows, broken) = rows.count(rule)?;
        Ok(Violations { rule: rule.to_string(), rows, broken })
    });
    counted.collect()
}

/// Refuses a table, before which `first_row` rows stand in its file, that breaks a rule: what is
/// learnt from it is made to hold them.
pub(crate) fn refuse_violations(
    parsed: &ParsedTable,
    schema: &Schema,
    (table, first_row): (&Table, usize),
) -> Result<()> {
    if schema.rules.is_empty() {
        return Ok(());
    }
    let rows = Rows::new(parsed, schema)?;
    let mut problems = Vec::new();
    for rule in &schema.rules {
        let tally = rows.tally(rule)?;
        let Some((row, what)) = tally.first else { continue };
        let more = match tally.broken - 1 {
            0 => String::new(),
            more => format!(" ({more} more rows break the rule)"),
        };
        let problem = format!(
            "{what}, but the schema says `{rule}`{more}\nhint: correct the cell, or remove the rule"
        );
        // What never changes stands in another row, perhaps of another table.
        let columns = rule.columns();
        let column = columns.iter().find(|name| !rows.is_static(name)).unwrap_or(&columns[0]);
        let row = rows.row_of(row, column)?;
        problems.push(table.cell_error((first_row, row), column, problem));
    }
    Error::all(problems)
}
