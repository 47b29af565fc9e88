//! The schema: what a table's columns are, in TOML.

pub(crate) mod check;
mod decision;
mod infer;

use crate::{Error, Result};
use check::Stage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

pub use decision::Decision;
pub use infer::{Proposal, infer, infer_table};

/// A table's description. Unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// A short name of the cohort.
    pub name: String,
    /// What the cohort is and where it comes from.
    #[serde(default)]
    pub description: String,
    /// The column that tells patients apart.
    pub patient: Patient,
    /// The column that orders a patient's rows.
    pub time: Time,
    /// How long sequences are.
    #[serde(default)]
    pub sequence: Sequence,
    /// Texts that stand for a missing value, besides the empty cell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// CSV only: the file's encoding, as `windows-1252`; UTF-8 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// CSV only: the character between cells; a comma if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<char>,
    /// CSV only: the character between whole digits and decimals; a point if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal: Option<char>,
    /// What is decided at each step, for policies that are learnt from the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Every other column that is modelled; the table may have more.
    pub columns: Vec<Column>,
}

/// The column that tells patients apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Patient {
    /// Its name.
    pub column: String,
    /// Columns that somebody who looks for a person may know of them, as age and sex; the static
    /// ones if none are given. `hg evaluate` attacks with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(alias = "known")]
    pub quasi_identifiers: Vec<String>,
    /// How many people the table's patients stand for; if not given, nobody but them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub population: Option<u64>,
}

/// The column that orders a patient's rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// Its name.
    pub column: String,
    /// Its unit, for people.
    #[serde(default)]
    pub unit: String,
    /// The width of the regular grid: a number in the column's own unit, which is days
    /// where the column holds dates or durations, or a text as `"4 hours"` or `"1 month"`.
    /// A row belongs to the nearest grid point, counted from the patient's first row.
    pub step: Step,
    /// How times are written in a text column: dates as `%Y-%m-%d` or `%d.%m.%Y %H:%M` (the
    /// letters of C's strftime), or time that has elapsed as `[h]:mm`, `[h]:mm:ss` or
    /// `[d] days hh:mm:ss`. Synthetic dates start at 1 January 2000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Where a synthetic patient's times start.
    #[serde(default, skip_serializing_if = "is_default")]
    pub start: Start,
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

/// A modelled column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name in the table.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Its unit, for people and plots.
    #[serde(default)]
    pub unit: String,
    /// Numeric only: how its values are made roughly normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<Transform>,
    /// Box–Cox only: added to every value first, as the transform needs
    /// positive numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<f64>,
    /// Numeric only: widens the range that synthetic values may take by this
    /// share of the observed range (after the transform) on both sides.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub margin: f64,
    /// Numeric only: model the value's bin, not the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bins: Option<Bins>,
    /// Categorical and binary only: the levels, in order; texts or numbers. If
    /// none are given, those of the table are taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Level>")]
    pub levels: Vec<toml::Value>,
    /// Categorical only: pools levels that are too rare to learn, or to share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rare: Option<Rare>,
    /// Texts that stand for a missing value in this column, besides the schema's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Numeric only: texts that stand for «more than» or «less than», as `> 89`; one, or a list.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<Censored>")]
    pub censored: Vec<Censored>,
    /// Numeric only: what follows the number in every cell, as `°C`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// Numeric only: the character that groups digits, as in `12,500`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thousands: Option<char>,
    /// The column is constant within a patient.
    #[serde(default, rename = "static", skip_serializing_if = "is_false")]
    pub is_static: bool,
    /// Model whether the value was measured, and leave synthetic cells empty
    /// where it was not.
    #[serde(default, skip_serializing_if = "is_false")]
    #[serde(alias = "measured")]
    pub missing_indicator: bool,
    /// Which of several values in one grid step counts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub aggregate: Aggregate,
    /// How a missing value is filled from the patient's other steps.
    #[serde(default, skip_serializing_if = "is_default")]
    #[serde(alias = "carry")]
    pub impute: Impute,
}

fn is_zero(x: &f64) -> bool {
    *x == 0.
}

fn is_false(x: &bool) -> bool {
    !x
}

fn is_default<T: Default + PartialEq>(x: &T) -> bool {
    *x == T::default()
}

/// One value, or a list of them.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

fn one_or_many<'de, T, D>(from: D) -> std::result::Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

/// A level in the JSON Schema.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes `Column::levels` to schemars, which reads the variants")]
enum Level {
    Text(String),
    Number(f64),
    Truth(bool),
}

/// Bins of a numeric column: either `edges` or `quantiles`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bins {
    /// Inner edges, ascending; bin k holds edge k−1 ≤ x < edge k.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<f64>,
    /// So many bins of equal share, as 10 for deciles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantiles: Option<usize>,
    /// What a synthetic cell shows.
    #[serde(default, skip_serializing_if = "is_default")]
    pub decode: DecodeBins,
    /// The bins' names for `decode = "label"`; intervals if not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// What a synthetic cell of a binned column shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DecodeBins {
    /// A value drawn from the distribution of the real values within the bin.
    #[default]
    Draw,
    /// The bin's label.
    Label,
}

/// Pools rare levels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rare {
    /// Levels with a smaller share of the table's rows are pooled.
    pub below: f64,
    /// The level that they become.
    pub into: String,
}

/// How a missing value is filled from the patient's other steps. What is still
/// missing then becomes the cohort's median or commonest level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Impute {
    /// From the last step measured before, else from the first after.
    #[default]
    Both,
    /// From the last step measured before.
    Forward,
    /// Not at all.
    None,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Real numbers.
    Numeric,
    /// One of several named levels.
    Categorical,
    /// One of two levels.
    Binary,
}

/// How a numeric column is made roughly normal before it is scaled to [0, 1].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Transform {
    /// As it is.
    #[default]
    Identity,
    /// log(1 + x), for x > −1.
    Log1p,
    /// Box–Cox of x + shift with λ of maximum likelihood.
    BoxCox,
    /// The value's quantile in the table as that of a normal law, within ±5.2.
    Quantile,
}

/// A text that stands for a number at the end of the scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Censored {
    /// The text, as `> 89`.
    pub text: String,
    /// The number it is modelled as, as 90. Decoded values that are nearer to it than to a
    /// number of the column become the text again, and so do those beyond the outermost one.
    pub value: f64,
}

/// Which of several values in one grid step counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregate {
    /// The last one measured.
    #[default]
    Last,
    /// Their mean (numeric only).
    Mean,
    /// Their sum (numeric only).
    Sum,
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
        let schema: Self = toml::from_str(text).map_err(|e| {
            let line = e.span().map(|span| 1 + text[..span.start].matches('\n').count());
            Error::Schema { path: path.to_owned(), line, problem: e.message().to_owned() }
        })?;
        let problems = check::problems(&schema, text, Stage::Written).into_iter();
        let of_line = |(line, problem)| Error::Schema { path: path.to_owned(), line, problem };
        Error::all(problems.map(of_line).collect())?;
        Ok(schema)
    }

    /// The names of all columns that matter: patient, time, and the modelled ones.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.columns.iter().map(|column| column.name.as_str());
        let columns = names.filter(|name| *name != crate::parsed::START);
        [self.patient.column.as_str(), self.time.column.as_str()].into_iter().chain(columns)
    }
}

/// The JSON Schema of the TOML, with which editors complete and check it.
///
/// # Panics
/// Never: the schema's own description is JSON.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(Schema);
    // Invariant: a JSON value always serialises.
    serde_json::to_string_pretty(&schema).expect("JSON") + "\n"
}

impl Schema {
    /// Positions of the columns that somebody who looks for a person may know.
    pub fn quasi_identifiers(&self) -> Vec<usize> {
        let is_known = |column: &Column| match self.patient.quasi_identifiers.as_slice() {
            [] => column.is_static && column.name != crate::parsed::START,
            known => known.contains(&column.name),
        };
        (0..self.columns.len()).filter(|&n| is_known(&self.columns[n])).collect()
    }
}

impl Column {
    /// The levels as texts.
    pub fn level_names(&self) -> Vec<String> {
        let name = |level: &toml::Value| match level {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        self.levels.iter().map(name).collect()
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
        assert_eq!(schema.columns[0].transform, Some(Transform::Log1p));
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
