//! Several tables that one schema describes.

use super::check::Place;
use super::keys::{ColumnKeys, SchemaKeys};
use super::{Binary, Column, ColumnKind, Kind, Level, Schema};
use crate::parsed::DERIVED;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What stands for any text in a code.
const ANY: char = '*';

/// One of several tables.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceTable {
    /// The name of its file without endings, or of the folder that holds its files.
    pub name: String,
    /// What its rows are.
    pub role: TableRole,
    /// Its column of patients, where it is not called as the schema's.
    pub patient: Option<String>,
    /// Its column of times, where it is not called as the schema's.
    pub time: Option<String>,
}

/// What the rows of one of several tables are.
#[derive(Clone, Debug, PartialEq)]
pub enum TableRole {
    /// A row a patient, without a time: its columns are static.
    Static,
    /// A row for each patient and time, a column for each thing measured.
    Visits,
    /// A row for each patient, time and code.
    Events {
        /// Its column of codes, which say what was measured or happened.
        code: String,
        /// Its column of values; a table without one holds what happened.
        value: Option<String>,
        /// Its column of units, of which a code has one.
        unit: Option<String>,
    },
}

impl SourceTable {
    /// A table with a row a patient.
    pub fn statics(name: impl Into<String>) -> Self {
        Self::new(name, TableRole::Static)
    }

    /// A table with a row for each patient and time.
    pub fn visits(name: impl Into<String>) -> Self {
        Self::new(name, TableRole::Visits)
    }

    /// A table with a row for each patient, time and code, and with a column of values or without.
    pub fn events(name: impl Into<String>, code: impl Into<String>, value: Option<&str>) -> Self {
        let value = value.map(str::to_owned);
        Self::new(name, TableRole::Events { code: code.into(), value, unit: None })
    }

    fn new(name: impl Into<String>, role: TableRole) -> Self {
        Self { name: name.into(), role, patient: None, time: None }
    }

    /// Whether it has a row for each patient, time and code.
    pub(crate) fn is_of_events(&self) -> bool {
        matches!(self.role, TableRole::Events { .. })
    }

    /// Of a table of events: its columns of codes, values and units.
    pub(crate) fn columns_of_events(&self) -> impl Iterator<Item = &str> {
        let names = match &self.role {
            TableRole::Events { code, value, unit } => [Some(code), value.as_ref(), unit.as_ref()],
            TableRole::Static | TableRole::Visits => [None; 3],
        };
        names.into_iter().flatten().map(String::as_str)
    }

    /// Whether its rows have times.
    pub(crate) fn has_times(&self) -> bool {
        self.role != TableRole::Static
    }
}

/// Where in several tables a column comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSource {
    /// The table.
    pub table: String,
    /// The column's name there; of a table of events the code, or a pattern of codes as
    /// `GENDER//*`, in which what stands for `*` is the level.
    pub name: String,
}

impl ColumnSource {
    /// What stands for the `*` of a pattern in a code that fits it.
    pub(crate) fn level_of<'c>(&self, code: &'c str) -> Option<&'c str> {
        let (before, after) = self.name.split_once(ANY)?;
        code.strip_prefix(before)?.strip_suffix(after)
    }

    /// Whether it is a code, or a pattern that the code fits.
    pub(crate) fn fits(&self, code: &str) -> bool {
        self.name == code || self.level_of(code).is_some()
    }

    /// Whether it is a pattern.
    pub(crate) fn is_pattern(&self) -> bool {
        self.name.contains(ANY)
    }

    /// The code of a level.
    pub(crate) fn code_of(&self, level: &str) -> String {
        self.name.replacen(ANY, level, 1)
    }
}

/// One of several tables.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Table")]
pub(crate) struct TableKeys {
    /// The name of its file without endings, or of the folder that holds its files.
    pub(crate) name: String,
    /// What its rows are.
    pub(crate) role: RoleKey,
    /// Events only: its column of codes, which say what was measured or happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// Events only: its column of values; a table without one holds what happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    /// Events only: its column of units, of which a code has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    /// Its column of patients, where it is not called as `patient.column`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) patient: Option<String>,
    /// Its column of times, where it is not called as `time.column`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<String>,
}

/// The values of the key `role` of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "TableRole")]
pub(crate) enum RoleKey {
    /// A row a patient, without a time: its columns are static.
    Static,
    /// A row for each patient and time, a column for each thing measured.
    Visits,
    /// A row for each patient, time and code.
    Events,
}

impl TableKeys {
    pub(super) fn meaning(self) -> SourceTable {
        let Self { name, role, code, value, unit, patient, time } = self;
        let role = match role {
            RoleKey::Static => TableRole::Static,
            RoleKey::Visits => TableRole::Visits,
            RoleKey::Events => TableRole::Events { code: code.unwrap_or_default(), value, unit },
        };
        SourceTable { name, role, patient, time }
    }
}

impl From<SourceTable> for TableKeys {
    fn from(table: SourceTable) -> Self {
        let SourceTable { name, role, patient, time } = table;
        let keys = Self {
            name,
            role: RoleKey::Static,
            code: None,
            value: None,
            unit: None,
            patient,
            time,
        };
        match role {
            TableRole::Static => keys,
            TableRole::Visits => Self { role: RoleKey::Visits, ..keys },
            TableRole::Events { code, value, unit } => {
                Self { role: RoleKey::Events, code: Some(code), value, unit, ..keys }
            }
        }
    }
}

/// The levels of a column that says whether an event happened.
const HAPPENED: [Level; 2] = [Level::Truth(false), Level::Truth(true)];

/// What a column is by the role of its table: those of a static table are static, and a code without
/// a value happened or not.
pub(super) fn settle(column: &mut Column, tables: &[SourceTable]) {
    let Some(source) = &column.source else { return };
    let Some(table) = tables.iter().find(|table| table.name == source.table) else { return };
    match (&table.role, &mut column.kind) {
        (TableRole::Static, _) => column.is_static = true,
        (TableRole::Events { .. }, ColumnKind::Binary(Binary { levels }))
            if levels.is_none() && !source.is_pattern() =>
        {
            *levels = Some(HAPPENED);
        }
        _ => {}
    }
}

impl Schema {
    /// The table that a column comes from, where there are several.
    pub(crate) fn table_of(&self, column: &Column) -> Option<&SourceTable> {
        let source = column.source.as_ref()?;
        self.tables.iter().find(|table| table.name == source.table)
    }

    /// The columns that come from one of several tables, and their positions.
    pub(crate) fn columns_of<'a>(
        &'a self,
        table: &'a SourceTable,
    ) -> impl Iterator<Item = (usize, &'a Column, &'a ColumnSource)> {
        let columns = self.columns.iter().enumerate();
        let with_source =
            columns.filter_map(|(n, column)| Some((n, column, column.source.as_ref()?)));
        with_source.filter(|(.., source)| source.table == table.name)
    }

    /// Whether a column says that something happened: a code without a value, which happened or did
    /// not, and is never missing.
    pub(crate) fn is_occurrence(&self, column: &Column) -> bool {
        self.table_of(column).is_some_and(SourceTable::is_of_events) && column.levels() == HAPPENED
    }

    /// The patients' column in one of several tables.
    pub(crate) fn patient_in<'a>(&'a self, table: &'a SourceTable) -> &'a str {
        table.patient.as_ref().unwrap_or(&self.patient.column)
    }

    /// The times' column in one of several tables.
    pub(crate) fn time_in<'a>(&'a self, table: &'a SourceTable) -> &'a str {
        table.time.as_ref().unwrap_or(&self.time.column)
    }
}

/// What is wrong with the tables, and with where columns come from.
pub(super) fn problems(schema: &SchemaKeys) -> Vec<(Place, String)> {
    let mut found = Vec::new();
    for (n, table) in schema.tables.iter().enumerate() {
        let of = |(key, problem): (_, String)| {
            (Place::Table(n, key), format!("table `{}`: {problem}", table.name))
        };
        found.extend(of_table(table).into_iter().map(of));
        if schema.tables[..n].iter().any(|other| other.name == table.name) {
            found.push(of(("name", "is named twice\nhint: remove one entry".into())));
        }
        let is_used = |column: &ColumnKeys| column.table.as_ref() == Some(&table.name);
        if !schema.columns.iter().any(is_used) {
            let problem = "no [[columns]] entry has it as its table\nhint: add one, or remove it";
            found.push(of(("name", problem.into())));
        }
    }
    if !schema.tables.is_empty() && schema.tables.iter().all(|t| t.role == RoleKey::Static) {
        let problem = "no table has times\nhint: add one with role = \"visits\" or \"events\"";
        found.push((Place::Top("tables"), problem.into()));
    }
    for (n, column) in schema.columns.iter().enumerate() {
        let of = |(key, problem): (_, String)| {
            (Place::Column(n, key), format!("column `{}`: {problem}", column.name))
        };
        found.extend(of_column(column, schema).map(of));
        let place = |column: &ColumnKeys| {
            let source = column.source.clone().unwrap_or_else(|| column.name.clone());
            column.table.clone().map(|table| (table, source))
        };
        let here = place(column);
        if here.is_some() && schema.columns[..n].iter().any(|other| place(other) == here) {
            found.push(of((
                "source",
                "another column comes from there too\nhint: remove one".into(),
            )));
        }
    }
    found
}

fn of_table(table: &TableKeys) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let of_events = [("code", &table.code), ("value", &table.value), ("unit", &table.unit)];
    if table.role == RoleKey::Events {
        if table.code.is_none() {
            let problem = "a table of events needs the column of its codes\nhint: add code = \"…\"";
            found.push(("role", problem.into()));
        }
        if table.unit.is_some() && table.value.is_none() {
            found.push(("unit", "units go with values\nhint: add value = \"…\"".into()));
        }
    } else {
        let given = of_events.into_iter().filter(|(_, name)| name.is_some());
        found.extend(given.map(|(key, _)| {
            (
                key,
                format!(
                    "only tables of events have {key}\nhint: remove it, or set role = \"events\""
                ),
            )
        }));
    }
    if table.role == RoleKey::Static && table.time.is_some() {
        found.push(("time", "a static table has no times\nhint: remove it".into()));
    }
    let name = std::path::Path::new(&table.name);
    if name.file_name() != Some(name.as_os_str()) {
        found.push(("name", "must be the name of a file or folder alone".into()));
    }
    found
}

fn of_column(column: &ColumnKeys, schema: &SchemaKeys) -> Option<(&'static str, String)> {
    let Some(name) = &column.table else {
        let problem = "which of the tables it comes from is not said\nhint: add table = \"…\"";
        let says_nothing = !schema.tables.is_empty() && !DERIVED.contains(&column.name.as_str());
        let problem = says_nothing.then(|| ("name", problem.into()));
        let alone = || ("source", "source goes with table\nhint: remove it".into());
        return problem.or_else(|| column.source.as_ref().map(|_| alone()));
    };
    let Some(table) = schema.tables.iter().find(|table| table.name == *name) else {
        let problem = format!("there is no [[tables]] entry `{name}`\nhint: add one");
        return Some(("table", problem));
    };
    let source = column.source.as_ref().unwrap_or(&column.name);
    let stars = source.matches(ANY).count();
    if table.role != RoleKey::Events {
        let patient = table.patient.as_ref().unwrap_or(&schema.patient.column);
        let time = table.time.as_ref().unwrap_or(&schema.time.column);
        let is_role = source == patient || (source == time && table.role == RoleKey::Visits);
        let problem = || format!("`{source}` is the patient or the time there\nhint: name another");
        return is_role.then(|| ("source", problem()));
    }
    match (column.kind, table.value.is_some(), stars) {
        (_, _, 2..) => Some(("source", "a pattern of codes has one `*`".into())),
        (Kind::Numeric, _, 1) => {
            let problem = "what stands for `*` is a level\nhint: kind = \"categorical\"";
            Some(("kind", problem.into()))
        }
        (_, _, 1) => None,
        (Kind::Binary, false, _) if column.levels.is_empty() || column.levels == HAPPENED => None,
        (Kind::Binary, false, _) => {
            let problem =
                "the table has no values: an event happened or not\nhint: remove the levels";
            Some(("levels", problem.into()))
        }
        (_, false, _) => {
            let problem = "the table has no values\nhint: give the table its value = \"…\", or set kind = \"binary\": the event happened or not";
            Some(("kind", problem.into()))
        }
        (_, true, _) => None,
    }
}
