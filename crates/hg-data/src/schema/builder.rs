//! Schemas that are built in Rust, not read from TOML.

use super::check::{Stage, problems};
use super::keys::SchemaKeys;
use super::{
    Column, Decision, Patient, Privacy, Rule, Schema, Sequence, SourceTable, Start, Step, Time,
    TimeModel,
};
use crate::{Error, Result};

/// A schema that is being described; see [`Schema::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct SchemaBuilder(Schema);

impl Schema {
    /// Describes a table in Rust: its name, the columns of patient and time, and what a step is:
    /// [`TimeModel::Visits`], or the width of a regular grid.
    ///
    /// ```
    /// use hg_data::{Column, Encoder, Schema, Subset, Transform};
    /// use polars_core::df;
    ///
    /// let schema = Schema::builder("ward", "patient", "hour", 4.)
    ///     .column(Column::numeric("lactate").transform(Transform::Log1p).missing_indicator(true))
    ///     .column(Column::binary("ventilated").levels(["no", "yes"]))
    ///     .build()?;
    /// let table = df!(
    ///     "patient" => ["anna", "anna", "ben"],
    ///     "hour" => [0, 4, 0],
    ///     "lactate" => [Some(2.5), None, Some(1.0)],
    ///     "ventilated" => ["no", "yes", "no"],
    /// )?;
    /// let (encoder, encoded) = Encoder::fit(&schema, &table.into(), Subset::Whole)?;
    /// assert_eq!(encoded.lengths, [2, 1]);
    /// assert_eq!(encoder.features(), 1 + 2 + 2); // lactate, ventilated, measured or not
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(
        name: impl Into<String>,
        patient: impl Into<String>,
        time: impl Into<String>,
        model: impl Into<TimeModel>,
    ) -> SchemaBuilder {
        let patient =
            Patient { column: patient.into(), quasi_identifiers: Vec::new(), population: None };
        let time =
            Time { column: time.into(), unit: String::new(), model: model.into(), format: None };
        SchemaBuilder(Schema {
            name: name.into(),
            description: String::new(),
            patient,
            time,
            sequence: Sequence::default(),
            privacy: None,
            missing: Vec::new(),
            encoding: None,
            separator: None,
            decimal: None,
            decision: None,
            rules: Vec::new(),
            tables: Vec::new(),
            columns: Vec::new(),
        })
    }
}

impl From<f64> for Step {
    fn from(width: f64) -> Self {
        Self::Number(width)
    }
}

impl From<&str> for Step {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<S: Into<Step>> From<S> for TimeModel {
    /// A grid of this width, from 0.
    fn from(step: S) -> Self {
        Self::Grid { step: step.into(), start: Start::default() }
    }
}

impl SchemaBuilder {
    /// A further column that is modelled.
    pub fn column(mut self, column: impl Into<Column>) -> Self {
        self.0.columns.push(column.into());
        self
    }

    /// What the cohort is and where it comes from.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.0.description = description.into();
        self
    }

    /// The unit of a time column of numbers, as `days`.
    pub fn time_unit(mut self, unit: impl Into<String>) -> Self {
        self.0.time.unit = unit.into();
        self
    }

    /// How times are written in a text column, as `%Y-%m-%d`.
    pub fn time_format(mut self, format: impl Into<String>) -> Self {
        self.0.time.format = Some(format.into());
        self
    }

    /// Where a synthetic patient's times on a grid start; visits have first times anyway.
    pub fn time_start(mut self, from: Start) -> Self {
        if let TimeModel::Grid { start, .. } = &mut self.0.time.model {
            *start = from;
        }
        self
    }

    /// What holds in every row, and in synthetic ones too.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.0.rules.push(rule);
        self
    }

    /// One of several tables; columns then say by `source` which they come from.
    pub fn table(mut self, table: SourceTable) -> Self {
        self.0.tables.push(table);
        self
    }

    /// How long sequences are.
    pub fn sequence(mut self, sequence: Sequence) -> Self {
        self.0.sequence = sequence;
        self
    }

    /// The privacy guarantee that every run on the table must keep.
    pub fn privacy(mut self, privacy: Privacy) -> Self {
        self.0.privacy = Some(privacy);
        self
    }

    /// Texts that mean a missing value in any column, besides the empty cell.
    pub fn missing(mut self, texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.missing = texts.into_iter().map(Into::into).collect();
        self
    }

    /// Columns that an attacker may know of a person.
    pub fn quasi_identifiers(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.patient.quasi_identifiers = names.into_iter().map(Into::into).collect();
        self
    }

    /// How many people the table's patients were drawn from.
    pub fn population(mut self, people: u64) -> Self {
        self.0.patient.population = Some(people);
        self
    }

    /// What is decided at each step, for policies that are learnt from the table.
    pub fn decision(mut self, decision: Decision) -> Self {
        self.0.decision = Some(decision);
        self
    }

    /// The schema, checked.
    ///
    /// # Errors
    /// [`Error::Schema`], several where several things are wrong.
    pub fn build(self) -> Result<Schema> {
        let Self(schema) = self;
        let keys = SchemaKeys::from(schema.clone());
        let problems = problems(&keys, "", Stage::Written).into_iter();
        let named = |(line, problem)| Error::Schema { schema: schema.name.clone(), line, problem };
        Error::all(problems.map(named).collect())?;
        Ok(keys.meaning())
    }
}
