//! The schema: what a table's columns are, in TOML.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::Path;

/// A table's description. Unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    #[serde(default)]
    pub missing: Vec<String>,
    /// Every other column that is modelled; the table may have more.
    pub columns: Vec<Column>,
}

/// The column that tells patients apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patient {
    /// Its name.
    pub column: String,
}

/// The column that orders a patient's rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// Its name.
    pub column: String,
    /// Its unit, for people.
    #[serde(default)]
    pub unit: String,
    /// The width of the regular grid, in the column's own unit. A row belongs
    /// to the nearest grid point, counted from the patient's first row.
    pub step: f64,
}

/// How long sequences are, in grid steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    /// The shortest patient that is taken.
    #[serde(default = "one")]
    pub min_length: usize,
    /// Longer patients are cut after this many steps.
    #[serde(default)]
    pub max_length: Option<usize>,
    /// What happens to patients shorter than `min_length`.
    #[serde(default)]
    pub short_patients: ShortPatients,
}

impl Default for Sequence {
    fn default() -> Self {
        Self { min_length: 1, max_length: None, short_patients: ShortPatients::default() }
    }
}

fn one() -> usize {
    1
}

/// What happens to patients shorter than the schema wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShortPatients {
    /// The table is refused.
    #[default]
    Refuse,
    /// They are left out, and a log line says how many.
    Drop,
}

/// A modelled column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Categorical and binary only: the levels, in order; texts or numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<toml::Value>,
    /// Numeric only: a text that stands for «more than», as `> 89`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub censored: Option<Censored>,
    /// The column is constant within a patient.
    #[serde(default, rename = "static")]
    pub is_static: bool,
    /// Model whether the value was measured, and leave synthetic cells empty
    /// where it was not.
    #[serde(default)]
    pub measured: bool,
    /// Which of several values in one grid step counts.
    #[serde(default)]
    pub aggregate: Aggregate,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transform {
    /// As it is.
    #[default]
    Identity,
    /// log(1 + x), for x > −1.
    Log1p,
    /// Box–Cox of x + shift with λ of maximum likelihood.
    BoxCox,
}

/// A text that stands for a number at the end of the scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Censored {
    /// The text, as `> 89`.
    pub text: String,
    /// The number it is modelled as, as 90; decoded values from here on become
    /// the text again.
    pub value: f64,
}

/// Which of several values in one grid step counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
        let problems = schema.problems();
        if problems.is_empty() {
            return Ok(schema);
        }
        Err(Error::Schema { path: path.to_owned(), line: None, problem: problems.join("; ") })
    }

    /// Everything that is wrong with it beyond its grammar.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(self.time.step.is_finite() && self.time.step > 0.) {
            problems.push(format!("time.step is {}, it must be above 0", self.time.step));
        }
        if self.sequence.min_length == 0 {
            problems.push("sequence.min_length is 0, it must be at least 1".into());
        }
        if self.sequence.max_length.is_some_and(|max| max < self.sequence.min_length) {
            problems.push("sequence.max_length is below sequence.min_length".into());
        }
        if self.columns.is_empty() {
            problems.push("there is no [[columns]] entry; add one for each column to model".into());
        }
        let mut seen = HashSet::from([self.patient.column.as_str()]);
        if !seen.insert(&self.time.column) {
            problems.push(format!("«{}» is both patient and time", self.time.column));
        }
        for column in &self.columns {
            let name = &column.name;
            if !seen.insert(name) {
                problems.push(format!("column «{name}» is named twice; remove one entry"));
            }
            problems.extend(column.problems().into_iter().map(|p| format!("column «{name}»: {p}")));
        }
        problems
    }
}

impl Column {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let levels = self.level_names();
        let distinct: HashSet<_> = levels.iter().collect();
        if distinct.len() < levels.len() {
            problems.push("a level is named twice".into());
        }
        match self.kind {
            Kind::Numeric if !levels.is_empty() => {
                problems.push("a numeric column has no levels; remove them".into());
            }
            Kind::Categorical if levels.len() < 2 => {
                problems.push("a categorical column needs at least two levels".into());
            }
            Kind::Binary if levels.len() != 2 => {
                problems.push("a binary column needs exactly two levels".into());
            }
            _ => {}
        }
        if self.shift.is_some() && self.transform != Some(Transform::BoxCox) {
            problems.push("shift goes with transform = \"box-cox\"; remove it".into());
        }
        if self.kind != Kind::Numeric {
            if self.transform.is_some() {
                problems.push("only numeric columns have a transform; remove it".into());
            }
            if self.censored.is_some() {
                problems.push("only numeric columns can be censored".into());
            }
            if self.aggregate != Aggregate::Last {
                problems.push("levels have no mean or sum; use aggregate = \"last\"".into());
            }
        }
        problems
    }

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
