//! From several tables to one of visits.

use super::{Member, TableForm, members};
use crate::files::is_csv;
use crate::grid::RowCounts;
use crate::parsed::{missing_columns, plural, present, sort_ids};
use crate::scattered::{groups, id_texts};
use crate::source::SourceType;
use crate::table::read_files;
use crate::{
    Column, ColumnSource, Error, Result, Schema, SourceTable, Table, TableRole, TableStyle,
};
use polars_core::prelude::{Column as Cells, *};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a table that was put together remembers of those that it was put together from.
#[derive(Clone, Debug)]
pub(crate) struct TableSet {
    pub(crate) rows: Rows,
    /// How each is written.
    pub(crate) forms: Vec<TableForm>,
    /// What became of their rows.
    pub(crate) counts: RowCounts,
}

/// Which row of which table each row of the wide one is.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    /// What messages call each table.
    names: Vec<String>,
    /// (table, row from 0) of each row.
    rows: Vec<(u16, IdxSize)>,
    /// Of static columns of other tables: the row of each row's patient there.
    statics: HashMap<String, (u16, Vec<Option<IdxSize>>)>,
}

impl Rows {
    /// The table and the row, from 1, of a cell.
    pub(crate) fn place(&self, row: usize, column: &str) -> (&str, usize) {
        let of_static =
            self.statics.get(column).and_then(|(table, rows)| Some((*table, rows[row]?)));
        let (table, row) = of_static.unwrap_or(self.rows[row]);
        (&self.names[usize::from(table)], row as usize + 1)
    }
}

impl Schema {
    /// Puts several tables in memory, with the names that `[[tables]]` gives them, together into the
    /// one that is encoded: a row of it is a row of one of them.
    ///
    /// ```
    /// use hg_data::{Column, Schema, SourceTable, TimeModel};
    /// use polars_core::df;
    ///
    /// let schema = Schema::builder("ward", "id", "day", TimeModel::Visits)
    ///     .table(SourceTable::statics("patients"))
    ///     .table(SourceTable::events("labs", "test", Some("value")))
    ///     .column(Column::binary("sex").source("patients", "sex"))
    ///     .column(Column::numeric("crp").source("labs", "CRP"))
    ///     .build()?;
    /// let table = schema.put_together([
    ///     ("patients", df!("id" => [1, 2], "sex" => ["f", "m"])?),
    ///     ("labs", df!(
    ///         "id" => [1, 1, 2], "day" => [0, 4, 0], "test" => ["CRP", "CRP", "CRP"],
    ///         "value" => [2.5, 3.5, 1.0],
    ///     )?),
    /// ])?;
    /// assert_eq!(table.frame.get_column_names(), ["id", "day", "sex", "crp"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What does not fit the schema: a table or a column is missing, an event has no time, a
    /// patient has no row in a static table, or two that differ.
    pub fn put_together<'n>(
        &self,
        tables: impl IntoIterator<Item = (&'n str, DataFrame)>,
    ) -> Result<Table> {
        let given: BTreeMap<&str, DataFrame> = tables.into_iter().collect();
        let parts = self.tables.iter().map(|table| {
            let frame = given.get(table.name.as_str()).cloned().ok_or_else(|| {
                let names: Vec<&str> = given.keys().copied().collect();
                let problem = format!("is not among the tables {}", names.join(", "));
                Error::table(&table.name, problem + "\nhint: add it, or correct the schema")
            })?;
            let file = format!("{}.csv", table.name);
            Ok(Part { table, label: table.name.clone(), file, frame, csv: None })
        });
        let together = Together::new(self, parts.collect::<Result<_>>()?, &self.name)?;
        together.table(&together.events, together.counts)
    }

    /// Reads the tables of a folder, or those of a pattern, and puts them together.
    pub(crate) fn read_set(&self, path: &Path) -> Result<Table> {
        let together = self.read_together(path)?;
        together.table(&together.events, together.counts)
    }

    /// Reads the tables of a folder, or those of a pattern.
    pub(crate) fn read_together(&self, path: &Path) -> Result<Together<'_>> {
        let found = members(path)?;
        let missing = |table: &SourceTable| {
            let names: Vec<&str> = found.keys().map(String::as_str).collect();
            let problem = format!(
                "has no table `{}`; it has: {}\nhint: add {}.csv, .parquet or .arrow, or correct the schema",
                table.name,
                names.join(", "),
                table.name
            );
            Error::file(path, problem)
        };
        let absent = self.tables.iter().filter(|table| !found.contains_key(&table.name));
        Error::all(absent.map(missing).collect())?;
        let parts = self.tables.iter().map(|table| {
            let Member { path, files, file } = &found[&table.name];
            // In a small synthetic cohort nothing may have happened.
            let (encoding, separator) = (self.text_encoding(), self.cell_separator());
            let frame = read_files(files, encoding, separator)?
                .ok_or_else(|| Error::file(path, "holds no table"))?;
            let csv = files.first().filter(|file| is_csv(file).unwrap_or(false)).cloned();
            let label = path.display().to_string();
            Ok(Part { table, label, file: file.clone(), frame, csv })
        });
        Together::new(self, parts.collect::<Result<_>>()?, &path.display().to_string())
    }
}

/// The columns of a table that the schema knows.
pub(super) fn names<'a>(schema: &'a Schema, table: &'a SourceTable) -> Vec<&'a str> {
    let mut names = vec![schema.patient_in(table)];
    if table.has_times() {
        names.push(schema.time_in(table));
    }
    names.extend(table.columns_of_events());
    if !table.is_of_events() {
        names.extend(schema.columns_of(table).map(|(.., source)| source.name.as_str()));
    }
    names
}

/// One of the tables, as it was read.
struct Part<'a> {
    table: &'a SourceTable,
    /// What messages call it.
    label: String,
    file: String,
    frame: DataFrame,
    csv: Option<PathBuf>,
}

impl Part<'_> {
    fn column(&self, name: &str) -> Result<&Cells> {
        Ok(self.frame.column(name)?)
    }

    fn texts(&self, name: &str) -> Result<StringChunked> {
        let cells = self.column(name)?;
        let texts = cells
            .cast(&DataType::String)
            .map_err(|e| Error::column(&self.label, name, format!("holds what is no text: {e}")))?;
        Ok(texts.str()?.clone())
    }
}

/// A row of one of the tables, and those of the schema's columns that it has a cell of.
#[derive(Clone)]
pub(crate) struct Event {
    row: IdxSize,
    columns: Arc<[usize]>,
}

/// The rows of each table that become rows of the wide one.
type Events = Vec<Vec<Event>>;

/// The tables on their way into one.
pub(crate) struct Together<'a> {
    schema: &'a Schema,
    name: String,
    parts: Vec<Part<'a>>,
    /// How each is written.
    forms: Vec<TableForm>,
    events: Events,
    /// By column that is static and of another table than of visits: each patient's row.
    statics: BTreeMap<usize, HashMap<String, IdxSize>>,
    /// By id, the patients with times.
    patients: HashMap<String, OfPatient>,
    counts: RowCounts,
}

/// The rows of a patient.
struct OfPatient {
    /// (table, row) of the first.
    first: (usize, IdxSize),
    rows: usize,
}

impl<'a> Together<'a> {
    fn new(schema: &'a Schema, parts: Vec<Part<'a>>, name: &str) -> Result<Self> {
        let missing = |part: &Part<'_>| {
            let has = part.frame.get_column_names().into_iter();
            missing_columns(has, names(schema, part.table).into_iter(), &part.label)
        };
        Error::all(parts.iter().flat_map(missing).collect())?;
        let kinds: HashSet<bool> = parts.iter().map(|part| part.csv.is_some()).collect();
        if let (Some(part), true) = (parts.first(), kinds.len() > 1) {
            let problem = "some of the tables are CSV and some are not, so that types differ\nhint: write all in one kind";
            return Err(Error::table(&part.label, problem));
        }
        let counts = RowCounts::default();
        let mut together = Self {
            schema,
            name: name.to_owned(),
            parts,
            forms: Vec::new(),
            events: Vec::new(),
            statics: BTreeMap::new(),
            patients: HashMap::new(),
            counts,
        };
        let (mut problems, mut events) = (Vec::new(), Vec::new());
        for n in 0..together.parts.len() {
            events.push(match together.parts[n].table.role {
                TableRole::Static => Vec::new(),
                TableRole::Visits => {
                    let own = schema.columns_of(together.parts[n].table);
                    let own: Arc<[usize]> =
                        own.filter(|(_, column, _)| !column.is_static).map(|(c, ..)| c).collect();
                    let rows = 0..together.parts[n].frame.height() as IdxSize;
                    rows.map(|row| Event { row, columns: own.clone() }).collect()
                }
                TableRole::Events { .. } => {
                    let (found, unknown) = together.events(n, &mut problems)?;
                    together.counts.unknown_codes += unknown;
                    found
                }
            });
        }
        together.events = events;
        for column in 0..schema.columns.len() {
            if together.is_joined(column) {
                let rows = together.static_rows(column, &mut problems)?;
                together.statics.insert(column, rows);
            }
        }
        together.patients = together.patients_with_times()?;
        together.require_statics(&mut problems)?;
        Error::all(problems)?;
        let forms = together.parts.iter().map(|part| together.form(part));
        together.forms = forms.collect::<Result<_>>()?;
        Ok(together)
    }

    /// The table of a column, by its position.
    fn part_of(&self, column: usize) -> Option<(usize, &ColumnSource)> {
        let source = self.schema.columns[column].source.as_ref()?;
        let n = self.parts.iter().position(|part| part.table.name == source.table)?;
        Some((n, source))
    }

    /// Whether a column's cells are found by the patient alone.
    fn is_joined(&self, column: usize) -> bool {
        let role = self.part_of(column).map(|(n, _)| &self.parts[n].table.role);
        match role {
            Some(TableRole::Static) => true,
            Some(TableRole::Events { .. }) => self.schema.columns[column].is_static,
            Some(TableRole::Visits) | None => false,
        }
    }

    /// The columns of a table that a code is.
    fn columns_of_code(&self, table: &SourceTable, code: &str) -> Vec<usize> {
        let columns = self.schema.columns_of(table);
        columns.filter(|(.., source)| source.fits(code)).map(|(column, ..)| column).collect()
    }

    /// The rows of a table of events that hold what happened at some time, and how many have codes
    /// that no column has.
    fn events(&self, n: usize, problems: &mut Vec<Error>) -> Result<(Vec<Event>, usize)> {
        let part = &self.parts[n];
        let TableRole::Events { code, .. } = &part.table.role else { return Ok((Vec::new(), 0)) };
        let (codes, time) = (part.texts(code)?, self.schema.time_in(part.table));
        let times = part.column(time)?;
        let times = match times.dtype() {
            DataType::String => Some(part.texts(time)?),
            _ => None,
        };
        let is_timed = |row: usize| match &times {
            Some(texts) => present(texts.get(row), &self.schema.missing, &[]).is_some(),
            None => part.column(time).is_ok_and(|times| times.get(row).is_ok_and(|x| !x.is_null())),
        };
        let mut known: HashMap<&str, (bool, Arc<[usize]>)> = HashMap::new();
        let (mut found, mut unknown) = (Vec::new(), 0);
        let (mut untimed, mut timed) = (Vec::new(), Vec::new());
        for (row, cell) in codes.iter().enumerate() {
            let Some(cell) = present(cell, &self.schema.missing, &[]).map(plain_code) else {
                unknown += 1;
                continue;
            };
            let (is_static, others) = known.entry(cell).or_insert_with(|| {
                let is_static = |column: &usize| self.schema.columns[*column].is_static;
                let (statics, others): (Vec<usize>, Vec<usize>) =
                    self.columns_of_code(part.table, cell).into_iter().partition(is_static);
                (!statics.is_empty(), others.into())
            });
            unknown += usize::from(!*is_static && others.is_empty());
            match (is_timed(row), *is_static, others.is_empty()) {
                (true, true, _) => timed.push((row, cell)),
                (false, _, false) => untimed.push((row, cell)),
                _ => {}
            }
            if !others.is_empty() {
                found.push(Event { row: row as IdxSize, columns: others.clone() });
            }
        }
        let say = |(rows, why): (Vec<(usize, &str)>, &str)| {
            let &(row, code) = rows.first()?;
            let more = match rows.len() - 1 {
                0 => String::new(),
                more => format!(" ({more} more rows)"),
            };
            let problem = format!("`{code}` {why}{more}");
            Some(Error::cell(&part.label, row + 1, time, problem))
        };
        problems.extend(say((untimed, "has no time here\nhint: give it one, or set static = true where the code's rows never have one")));
        problems.extend(say((
            timed,
            "has a time here, but its column is static\nhint: remove static = true",
        )));
        Ok((found, unknown))
    }

    /// Each patient's row for a column that is found by the patient alone.
    fn static_rows(
        &self,
        column: usize,
        problems: &mut Vec<Error>,
    ) -> Result<HashMap<String, IdxSize>> {
        let Some((n, source)) = self.part_of(column) else { return Ok(HashMap::new()) };
        let part = &self.parts[n];
        let (ids, height) = (part.column(self.schema.patient_in(part.table))?, part.frame.height());
        let (cells, codes) = match &part.table.role {
            TableRole::Events { code, value, .. } => {
                let value = value.as_ref().filter(|_| !source.is_pattern());
                (part.texts(value.unwrap_or(code))?, Some(part.texts(code)?))
            }
            TableRole::Static | TableRole::Visits => (part.texts(&source.name)?, None),
        };
        let is_it = |row: usize| {
            let Some(codes) = &codes else { return true };
            let code = present(codes.get(row), &self.schema.missing, &[]).map(plain_code);
            code.is_some_and(|code| source.fits(code))
        };
        let (id, mut rows) = (id_texts(ids)?, HashMap::new());
        for row in (0..height).filter(|&row| is_it(row)) {
            let patient = id(row);
            let before = *rows.entry(patient.clone()).or_insert(row as IdxSize) as usize;
            let (here, there) = (cells.get(row), cells.get(before));
            if here != there {
                let shown = |cell: Option<&str>| cell.unwrap_or("nothing").to_owned();
                let problem = format!(
                    "patient `{patient}` has {} here and {} in row {}, but has one value\nhint: correct or remove a row",
                    shown(here),
                    shown(there),
                    before + 1
                );
                problems.push(Error::cell(&part.label, row + 1, &source.name, problem));
            }
        }
        Ok(rows)
    }

    /// The patients with times.
    fn patients_with_times(&self) -> Result<HashMap<String, OfPatient>> {
        let mut patients: HashMap<String, OfPatient> = HashMap::new();
        for (n, (part, events)) in self.parts.iter().zip(&self.events).enumerate() {
            let id = id_texts(part.column(self.schema.patient_in(part.table))?)?;
            for event in events {
                let first = (n, event.row);
                let of = || OfPatient { first, rows: 0 };
                patients.entry(id(event.row as usize)).or_insert_with(of).rows += 1;
            }
        }
        Ok(patients)
    }

    /// Refuses patients who have no row in a static table; counts those who have no other.
    fn require_statics(&mut self, problems: &mut Vec<Error>) -> Result<()> {
        let mut lone_patients = 0;
        for part in self.parts.iter().filter(|part| part.table.role == TableRole::Static) {
            let id = id_texts(part.column(self.schema.patient_in(part.table))?)?;
            let there: HashSet<String> = (0..part.frame.height()).map(&id).collect();
            let without: Vec<_> =
                self.patients.iter().filter(|(id, _)| !there.contains(*id)).collect();
            let alone = there.iter().filter(|id| !self.patients.contains_key(*id)).count();
            lone_patients = lone_patients.max(alone);
            let Some((patient, of)) = without.iter().min_by_key(|(_, of)| of.first) else {
                continue;
            };
            let (n, row) = of.first;
            let more = match without.len() - 1 {
                0 => String::new(),
                more => format!(" ({more} more patients have none)"),
            };
            let problem = format!(
                "patient `{patient}` has no row in {}{more}\nhint: add one, or remove the patient here",
                part.label
            );
            let of_them = &self.parts[n];
            let column = self.schema.patient_in(of_them.table);
            problems.push(Error::cell(&of_them.label, row as usize + 1, column, problem));
        }
        self.counts.lone_patients = lone_patients;
        Ok(())
    }

    /// The wide table of some rows.
    fn table(&self, events: &Events, counts: RowCounts) -> Result<Table> {
        let rows: Vec<(u16, IdxSize)> = events
            .iter()
            .zip(0u16..)
            .flat_map(|(events, n)| events.iter().map(move |event| (n, event.row)))
            .collect();
        if rows.is_empty() {
            let problem = "no row of the tables holds what the schema's columns name\nhint: correct their source";
            return Err(Error::table(&self.name, problem));
        }
        let ids = self.stacked(Schema::patient_in, events)?;
        let times = self.stacked(Schema::time_in, events)?;
        let texts = id_texts(&ids)?;
        let patients: Vec<String> = (0..rows.len()).map(texts).collect();
        let mut columns = vec![
            ids.with_name(self.schema.patient.column.as_str().into()),
            times.with_name(self.schema.time.column.as_str().into()),
        ];
        let mut statics = HashMap::new();
        for (n, column) in self.schema.columns.iter().enumerate() {
            let Some((of, source)) = self.part_of(n) else { continue };
            let picks: Vec<Option<IdxSize>> = match self.statics.get(&n) {
                Some(found) => patients.iter().map(|id| found.get(id).copied()).collect(),
                None => picks(n, events),
            };
            let cells = self.cells(of, source, column, &picks)?;
            columns.push(cells.with_name(column.name.as_str().into()));
            if self.statics.contains_key(&n) {
                statics.insert(column.name.clone(), (of as u16, picks));
            }
        }
        let frame = DataFrame::new(rows.len(), columns)?;
        let names = self.parts.iter().map(|part| part.label.clone()).collect();
        let (rows, forms) = (Rows { names, rows, statics }, self.forms.clone());
        let set = TableSet { rows, forms, counts };
        Ok(Table::of_set(frame, &self.name, self.csv().map(Path::to_owned), set))
    }

    /// The first of the tables, where they are CSVs.
    pub(crate) fn csv(&self) -> Option<&Path> {
        self.parts.first()?.csv.as_deref()
    }

    /// A column of all tables with times, for the rows that are taken.
    fn stacked(
        &self,
        name: fn(&'a Schema, &'a SourceTable) -> &'a str,
        events: &Events,
    ) -> Result<Cells> {
        let mut all: Option<Cells> = None;
        for (part, events) in self.parts.iter().zip(events) {
            if !part.table.has_times() {
                continue;
            }
            let name = name(self.schema, part.table);
            let rows: Vec<IdxSize> = events.iter().map(|event| event.row).collect();
            let cells = part.column(name)?.take(&IdxCa::from_vec("".into(), rows))?;
            let Some(before) = &mut all else {
                all = Some(cells);
                continue;
            };
            let cells = if before.dtype() == cells.dtype() {
                cells
            } else if before.dtype().is_integer() && cells.dtype().is_integer() {
                *before = before.cast(&DataType::Int64)?;
                cells.cast(&DataType::Int64)?
            } else {
                let problem = format!(
                    "is of type {:?} here and {:?} in another table\nhint: write them alike",
                    cells.dtype(),
                    before.dtype()
                );
                return Err(Error::column(&part.label, name, problem));
            };
            let cells = cells.with_name(before.name().clone());
            before.append(&cells)?;
        }
        all.ok_or_else(|| Error::table(&self.schema.name, "no table has times"))
    }

    /// A column's cells, taken from the rows `picks` of its table.
    fn cells(
        &self,
        of: usize,
        source: &ColumnSource,
        column: &Column,
        picks: &[Option<IdxSize>],
    ) -> Result<Cells> {
        let part = &self.parts[of];
        let taken = |cells: &Cells| -> Result<Cells> {
            let at: IdxCa = picks.iter().copied().collect();
            Ok(cells.take(&at)?)
        };
        let TableRole::Events { code, value, .. } = &part.table.role else {
            return taken(part.column(&source.name)?);
        };
        if source.is_pattern() {
            let codes = part.texts(code)?;
            let level = |row: &Option<IdxSize>| {
                source.level_of(plain_code(codes.get((*row)? as usize)?.trim()))
            };
            let levels: StringChunked = picks.iter().map(level).collect();
            return Ok(levels.into_column());
        }
        if self.schema.is_occurrence(column) {
            if let Some(value) = value {
                self.require_no_values(part, (value, source), picks)?;
            }
            let happened: BooleanChunked = picks.iter().map(|row| row.map(|_| true)).collect();
            return Ok(happened.into_column());
        }
        taken(part.column(value.as_deref().unwrap_or(code))?)
    }

    /// Refuses values of what is taken for something that happened.
    fn require_no_values(
        &self,
        part: &Part<'_>,
        (value, source): (&str, &ColumnSource),
        picks: &[Option<IdxSize>],
    ) -> Result<()> {
        let rows: Vec<IdxSize> = picks.iter().flatten().copied().collect();
        let values = part.column(value)?.take(&IdxCa::from_slice("".into(), &rows))?;
        let values = values.cast(&DataType::String)?;
        let has_value = |cell| present(cell, &self.schema.missing, &[]).is_some();
        let Some(at) = values.str()?.iter().position(has_value) else { return Ok(()) };
        let row = rows[at];
        let problem = format!(
            "`{}` has a value here, but its column has no levels, as of what happened or did not\nhint: name its levels, or set kind = \"numeric\"",
            source.name
        );
        Err(Error::cell(&part.label, row as usize + 1, value, problem))
    }

    /// How a table is written.
    fn form(&self, part: &Part<'_>) -> Result<TableForm> {
        let known = names(self.schema, part.table);
        let order = part.frame.get_column_names().into_iter().map(|name| name.to_string());
        let order = order.filter(|name| known.contains(&name.as_str())).collect();
        let mut types = BTreeMap::new();
        let patient = std::iter::once(self.schema.patient_in(part.table));
        let roles = patient.chain(part.table.columns_of_events());
        let units = match &part.table.role {
            TableRole::Events { code, unit: Some(unit), .. } => self.units(part, code, unit)?,
            _ => BTreeMap::new(),
        };
        for name in roles {
            let dtype = part.column(name)?.dtype();
            let source = SourceType::of(dtype, part.csv.is_some()).ok_or_else(|| {
                let problem = format!(
                    "holds {}, which are neither texts nor numbers\nhint: turn them into texts",
                    plural(dtype)
                );
                Error::column(&part.label, name, problem)
            })?;
            types.insert(name.to_owned(), source);
        }
        let style = TableStyle::of(self.schema, part.csv.as_deref(), BTreeMap::new());
        Ok(TableForm { file: part.file.clone(), order, types, units, style })
    }

    /// The unit of each code that a column has.
    fn units(&self, part: &Part<'_>, code: &str, unit: &str) -> Result<BTreeMap<String, String>> {
        let (codes, units) = (part.texts(code)?, part.texts(unit)?);
        let knows = |code: &str| !self.columns_of_code(part.table, code).is_empty();
        let mut found: BTreeMap<String, (String, usize)> = BTreeMap::new();
        let mut is_known: HashMap<&str, bool> = HashMap::new();
        for (row, (code, here)) in codes.iter().zip(units.iter()).enumerate() {
            let code = present(code, &self.schema.missing, &[]).map(plain_code);
            let here = present(here, &self.schema.missing, &[]);
            let (Some(code), Some(here)) = (code, here) else { continue };
            if !*is_known.entry(code).or_insert_with(|| knows(code)) {
                continue;
            }
            let (before, at) = found.entry(code.to_owned()).or_insert((here.to_owned(), row));
            if before != here {
                let problem = format!(
                    "`{code}` is in `{here}` here and in `{before}` in row {}\nhint: convert the values to one unit",
                    *at + 1
                );
                return Err(Error::cell(&part.label, row + 1, unit, problem));
            }
        }
        Ok(found.into_iter().map(|(code, (unit, _))| (code, unit)).collect())
    }
}

/// The rows of its table that a column takes its cells from.
fn picks(column: usize, events: &Events) -> Vec<Option<IdxSize>> {
    let pick = |event: &Event| event.columns.contains(&column).then_some(event.row);
    events.iter().flatten().map(pick).collect()
}

/// Tables that belong together, in groups of whole patients, so that the wide table need not be there
/// at once.
pub(crate) struct PatientGroups<'a> {
    together: Together<'a>,
    groups: Vec<Events>,
}

impl<'a> Together<'a> {
    /// The patients by id, and how many rows each has.
    pub(crate) fn rows_of_patients(&self) -> impl Iterator<Item = (&str, usize)> {
        self.patients.iter().map(|(id, of)| (id.as_str(), of.rows))
    }

    /// The rows of some patients; `group` says of which group each patient is, of so many.
    fn split(
        &mut self,
        group: &dyn Fn(&str) -> Option<usize>,
        count: usize,
    ) -> Result<Vec<Events>> {
        let mut groups: Vec<Events> = vec![vec![Vec::new(); self.parts.len()]; count];
        for (n, events) in std::mem::take(&mut self.events).into_iter().enumerate() {
            let part = &self.parts[n];
            let id = id_texts(part.column(self.schema.patient_in(part.table))?)?;
            for event in events {
                if let Some(group) = group(&id(event.row as usize)) {
                    groups[group][n].push(event);
                }
            }
        }
        Ok(groups)
    }

    /// The wide table of the patients that are taken.
    pub(crate) fn table_of(mut self, takes: &dyn Fn(&str) -> bool) -> Result<Table> {
        let taken = self.split(&|id| takes(id).then_some(0), 1)?;
        self.table(&taken[0], self.counts)
    }

    /// In groups of patients, in their order, of at least so many rows.
    pub(crate) fn grouped(mut self, rows: usize) -> Result<PatientGroups<'a>> {
        let mut patients: Vec<(&str, usize)> = self.rows_of_patients().collect();
        sort_ids(&mut patients, |(id, _)| id);
        let of_patients: Vec<usize> = patients.iter().map(|(_, rows)| *rows).collect();
        let of_patients = groups(&of_patients, rows);
        let count = of_patients.last().map_or(1, |last| last + 1);
        let patients = patients.into_iter().map(|(id, _)| id.to_owned());
        let patients: HashMap<String, usize> = patients.zip(of_patients).collect();
        let groups = self.split(&|id| patients.get(id).copied(), count)?;
        Ok(PatientGroups { together: self, groups })
    }
}

impl PatientGroups<'_> {
    /// The first of the tables, where they are CSVs.
    pub(crate) fn csv(&self) -> Option<&Path> {
        self.together.csv()
    }

    /// The wide table of each group.
    pub(crate) fn tables(&self) -> impl Iterator<Item = Result<Table>> {
        self.groups.iter().enumerate().map(|(n, events)| {
            // What is left out of all is counted once.
            let counts = if n == 0 { self.together.counts } else { RowCounts::default() };
            self.together.table(events, counts)
        })
    }
}

/// A code of digits that another program wrote as a number with a fraction is the same code.
pub(crate) fn plain_code(code: &str) -> &str {
    let whole = code.strip_suffix(".0");
    whole.filter(|whole| whole.bytes().all(|b| b.is_ascii_digit())).unwrap_or(code)
}
