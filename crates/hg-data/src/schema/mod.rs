//! The schema: what a table's columns are, in TOML.

mod builder;
pub(crate) mod check;
mod column;
mod decision;
mod infer;
pub(crate) mod keys;
mod rule;
mod tables;
pub(crate) mod transform;

use crate::parsed::{DERIVED, GAP, START};
use crate::{Error, Result};
use check::Stage;
use keys::SchemaKeys;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

pub use builder::SchemaBuilder;
pub use column::{
    Aggregate, Binary, Bins, Categorical, Censored, Column, ColumnBuilder, ColumnKind, Cuts,
    DecodeBins, Impute, Kind, Level, Numeric, NumericModel, Rare,
};
pub use decision::Decision;
pub use infer::{Proposal, infer, infer_table};
pub use rule::Rule;
pub use tables::{ColumnSource, SourceTable, TableRole};
pub use transform::Transform;

/// A table's description, read from TOML or [built](Schema::builder).
///
/// # Invariants
/// [`Schema::parse`] and [`SchemaBuilder::build`] check that it does not contradict itself;
/// whoever changes a field has to keep it so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SchemaKeys", into = "SchemaKeys")]
pub struct Schema {
    /// A short name of the cohort.
    pub name: String,
    /// What the cohort is and where it comes from.
    pub description: String,
    /// The column that tells patients apart.
    pub patient: Patient,
    /// The column that orders a patient's rows.
    pub time: Time,
    /// How long sequences are.
    pub sequence: Sequence,
    /// The privacy guarantee that every run on the table must keep.
    pub privacy: Option<Privacy>,
    /// Texts that mean a missing value, besides the empty cell.
    pub missing: Vec<String>,
    /// CSV only: the file's encoding, as `windows-1252`; UTF-8 if not given.
    pub encoding: Option<String>,
    /// CSV only: the character between cells; a comma if not given.
    pub separator: Option<char>,
    /// CSV only: the character between whole digits and decimals; a point if not given.
    pub decimal: Option<char>,
    /// What is decided at each step, for policies that are learnt from the table.
    pub decision: Option<Decision>,
    /// What holds in every row, and in synthetic ones too.
    pub rules: Vec<Rule>,
    /// The tables, where there are several; none for one table of visits.
    pub tables: Vec<SourceTable>,
    /// Every other column that is modelled; the table may have more.
    pub columns: Vec<Column>,
}

/// The column that tells patients apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Patient {
    /// Its name.
    pub column: String,
    /// Columns that an attacker may know of a person, as age and sex; the static
    /// ones if none are given. `hg evaluate` attacks with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(alias = "known")]
    pub quasi_identifiers: Vec<String>,
    /// How many people the table's patients were drawn from; if not given, only they themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub population: Option<u64>,
}

/// The column that orders a patient's rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Time {
    /// Its name.
    pub column: String,
    /// Its unit, for people.
    pub unit: String,
    /// What a step is.
    pub model: TimeModel,
    /// How times are written in a text column: dates as `%Y-%m-%d` or `%d.%m.%Y %H:%M` (the
    /// letters of C's strftime), or time that has elapsed as `[h]:mm`, `[h]:mm:ss` or
    /// `[d] days hh:mm:ss`. Synthetic dates start at 1 January 2000.
    pub format: Option<String>,
}

/// What a step of a sequence is.
#[derive(Clone, Debug, PartialEq)]
pub enum TimeModel {
    /// A row, whenever it is. The time since the row before is modelled, and so is each
    /// patient's first time (of dates, the first time of day).
    Visits,
    /// A point of a regular grid, whether the table has a row there or not.
    Grid {
        /// The width between two points. A row belongs to the nearest one, counted from the
        /// patient's first row.
        step: Step,
        /// Where a synthetic patient's times start.
        start: Start,
    },
}

impl TimeModel {
    /// Whether each patient's first time is modelled.
    pub(crate) fn has_first_times(&self) -> bool {
        matches!(self, Self::Visits | Self::Grid { start: Start::Modelled, .. })
    }
}

impl std::fmt::Display for TimeModel {
    /// `visits`, or the grid's width.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Visits => "visits".fmt(f),
            Self::Grid { step, .. } => step.fmt(f),
        }
    }
}

/// The width of a regular grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Step {
    /// In the column's own unit; days where it holds dates or durations.
    Number(f64),
    /// A number and a unit: second, minute, hour, day, week, month or year.
    Text(String),
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(width) => width.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// Where a synthetic patient's times start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// At 0, or at 1 January 2000.
    #[default]
    Zero,
    /// At a time of the patient's own, modelled like a static column: for times that count
    /// from an event, as minutes from admission.
    Modelled,
}

/// How long sequences are, in grid steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    /// The shortest patient that is taken.
    #[serde(default = "one")]
    pub min_length: usize,
    /// Longer patients are cut after this many steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Cut each patient into sequences of so many steps; a last piece shorter
    /// than `min_length` is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// What happens to patients shorter than `min_length`.
    #[serde(default)]
    pub short_patients: ShortPatients,
}

/// A privacy guarantee: whoever sees what a run makes cannot tell much better than by chance whether any one
/// patient's sequence was in the table (Dwork & Roth 2014, doi:10.1561/0400000042).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// ε: no result is more than eᵋ times as probable with a patient as without, but for δ.
    pub epsilon: f64,
    /// δ; 1 / (10 · patients) if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<f64>,
}

impl Default for Sequence {
    fn default() -> Self {
        Self {
            min_length: 1,
            max_length: None,
            window: None,
            short_patients: ShortPatients::default(),
        }
    }
}

fn one() -> usize {
    1
}

/// What happens to patients shorter than the schema wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ShortPatients {
    /// The table is refused.
    #[default]
    Refuse,
    /// They are left out, and a log line says how many.
    Drop,
}

fn is_default<T: Default + PartialEq>(x: &T) -> bool {
    *x == T::default()
}

impl Schema {
    /// Reads and checks a schema file.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, [`Error::Schema`] when it is no
    /// valid schema.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::file(path, format!("cannot read the schema: {e}")))?;
        Self::parse(&text, path)
    }

    /// Parses and checks a schema's text; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Schema`] with the line where it is known.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let named =
            |(line, problem)| Error::Schema { schema: path.display().to_string(), line, problem };
        let keys: SchemaKeys = toml::from_str(text).map_err(|e| {
            let line = e.span().map(|span| 1 + text[..span.start].matches('\n').count());
            named((line, e.message().to_owned()))
        })?;
        let problems = check::problems(&keys, text, Stage::Written).into_iter();
        Error::all(problems.map(named).collect())?;
        Ok(keys.meaning())
    }

    /// Whether its rules go with its columns, and with each other.
    pub(crate) fn has_sound_rules(&self) -> bool {
        check::of_rules(&SchemaKeys::from(self.clone())).is_empty()
    }

    /// The names of all columns that matter: patient, time, and the modelled ones.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.columns.iter().map(|column| column.name.as_str());
        let columns = names.filter(|name| !DERIVED.contains(name));
        [self.patient.column.as_str(), self.time.column.as_str()].into_iter().chain(columns)
    }
}

/// The JSON Schema of the TOML, with which editors complete and check it.
///
/// # Panics
/// Never: the schema's own description is JSON.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(SchemaKeys);
    // Invariant: a JSON value always serialises.
    serde_json::to_string_pretty(&schema).expect("JSON") + "\n"
}

impl Schema {
    /// Whether a column says of something that happens to a patient at most once.
    pub(crate) fn happens_once(&self, column: &Column) -> bool {
        let of = |rule: &Rule| matches!(rule, Rule::Once { column: once } if *once == column.name);
        self.rules.iter().any(of)
    }

    /// The position of the column that holds the time since the row before; `None` where steps are
    /// regular.
    pub fn gap_column(&self) -> Option<usize> {
        self.columns.iter().position(|column| column.name == GAP)
    }

    /// The position of the column that holds when a patient's first row was; `None` where that is not
    /// modelled.
    pub fn first_time_column(&self) -> Option<usize> {
        self.columns.iter().position(|column| column.name == START)
    }

    /// Positions of the columns that an attacker may know of a person.
    pub fn quasi_identifiers(&self) -> Vec<usize> {
        let is_known = |column: &Column| match self.patient.quasi_identifiers.as_slice() {
            [] => column.is_static && !column.is_derived(),
            known => known.contains(&column.name),
        };
        (0..self.columns.len()).filter(|&n| is_known(&self.columns[n])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
name = "small"
[patient]
column = "id"
[time]
column = "day"
step = 1.0
[[columns]]
name = "x"
kind = "numeric"
transform = "log1p"
"#;

    #[test]
    fn a_small_schema_parses() -> Result<()> {
        let schema = Schema::parse(SMALL, Path::new("small.toml"))?;
        let built = Schema::builder("small", "id", "day", 1.)
            .column(Column::numeric("x").transform(Transform::Log1p))
            .build()?;
        assert_eq!(schema, built);
        Ok(())
    }

    #[test]
    fn keys_of_version_0_1_mean_what_they_meant() -> Result<()> {
        let today = SMALL
            .replace("column = \"id\"", "column = \"id\"\nquasi_identifiers = [\"x\"]")
            + "missing_indicator = true\nimpute = \"forward\"\n";
        let before = today
            .replace("quasi_identifiers", "known")
            .replace("missing_indicator", "measured")
            .replace("impute", "carry");
        let schema = Schema::parse(&today, Path::new("s.toml"))?;
        assert_eq!(Schema::parse(&before, Path::new("s.toml"))?, schema);
        assert_eq!(schema.patient.quasi_identifiers, ["x"]);
        assert_eq!(schema.columns[0].missing_indicator, Some(true));
        Ok(())
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let text = SMALL.replace("step = 1.0", "step = 1.0\nstpe = 2");
        let message = Schema::parse(&text, Path::new("s.toml")).expect_err("refused").to_string();
        assert!(message.starts_with("s.toml, line 8: unknown field `stpe`"), "{message}");
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let text = SMALL.replace("1.0", "0.0").replace("log1p\"", "log1p\"\nlevels = [1, 1]");
        let message = Schema::parse(&text, Path::new("s.toml")).expect_err("refused").to_string();
        for part in ["time.step is 0", "a level is named twice", "has no levels"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
