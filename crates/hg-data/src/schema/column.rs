//! The columns of a schema, by kind, so that what cannot be cannot be written.

use super::{ColumnSource, Transform};
use crate::parsed::DERIVED;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A modelled column.
///
/// ```
/// use hg_data::{Column, Transform};
///
/// let bilirubin: Column = Column::numeric("bili")
///     .unit("mg/dL")
///     .transform(Transform::Log1p)
///     .bounds([("< 0.2", 0.1), ("> 30", 31.)])
///     .missing_indicator(true)
///     .into();
/// let sex: Column = Column::binary("sex").levels(["f", "m"]).constant().into();
/// assert!(bilirubin.is_numeric() && sex.is_static);
/// assert_eq!(sex.level_names(), ["f", "m"]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name in the table; of several tables, a name of its own.
    pub name: String,
    /// Where it comes from, where there are several tables.
    pub source: Option<ColumnSource>,
    /// Its unit, for people and plots.
    pub unit: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// Texts that mean a missing value in this column, besides the schema's.
    pub missing: Vec<String>,
    /// The column is constant within a patient.
    pub is_static: bool,
    /// Model whether the value was measured, and leave synthetic cells empty where it was not; if
    /// nothing is said, where the table has gaps.
    pub missing_indicator: Option<bool>,
    /// How a missing value is filled from the patient's other steps.
    pub impute: Impute,
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnKind {
    /// Real numbers.
    Numeric(Numeric),
    /// One of several named levels.
    Categorical(Categorical),
    /// One of two levels.
    Binary(Binary),
}

/// What a column holds: numbers or levels.
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

/// A column of real numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numeric {
    /// What is modelled of a number.
    pub model: NumericModel,
    /// Which of several values in one grid step counts.
    pub aggregate: Aggregate,
    /// Texts that mean "more than" or "less than", as `> 89`.
    pub censored: Vec<Censored>,
    /// Exact values that the column often takes, as 0 mL: each is a level, beside the numbers.
    pub spikes: Vec<f64>,
    /// How a column of texts writes dates or elapsed time, as `%Y-%m-%d`; they are numbers of
    /// seconds.
    pub format: Option<String>,
    /// What follows the number in every cell, as `°C`.
    pub suffix: Option<String>,
    /// The character that groups digits, as in `12,500`.
    pub thousands: Option<char>,
    /// The least and the greatest value that it may have.
    pub range: Option<[f64; 2]>,
    /// How many decimals its values have; as many as the table's if not given.
    pub decimals: Option<u32>,
}

/// What is modelled of a number.
#[derive(Clone, Debug, PartialEq)]
pub enum NumericModel {
    /// The value.
    Value {
        /// How values are made roughly normal.
        transform: Transform,
        /// Widens the range that synthetic values may take by this share of the observed range
        /// (after the transform) on both sides.
        margin: f64,
    },
    /// The bin that it lies in.
    Bin(Bins),
}

impl Default for NumericModel {
    fn default() -> Self {
        Self::Value { transform: Transform::default(), margin: 0. }
    }
}

/// A column of one of several levels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Categorical {
    /// The levels in order; those of the table if none are given.
    pub levels: Vec<Level>,
    /// Pools levels that are too rare to learn, or to share.
    pub rare: Option<Rare>,
}

/// A column of one of two levels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Binary {
    /// The levels in order; those of the table if none are given.
    pub levels: Option<[Level; 2]>,
}

/// A level, as the schema writes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Level {
    /// `"low"`
    Text(String),
    /// `1`
    Integer(i64),
    /// `0.5`
    Real(f64),
    /// `true`
    Truth(bool),
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(from)? {
            toml::Value::String(text) => Ok(Self::Text(text)),
            toml::Value::Integer(number) => Ok(Self::Integer(number)),
            toml::Value::Float(number) if number.is_finite() => Ok(Self::Real(number)),
            toml::Value::Boolean(truth) => Ok(Self::Truth(truth)),
            toml::Value::Datetime(date) => Ok(Self::Text(date.to_string())),
            other => {
                let problem = format!(
                    "`{other}` is no level\nhint: give texts, finite numbers, or true and false"
                );
                Err(serde::de::Error::custom(problem))
            }
        }
    }
}

impl std::fmt::Display for Level {
    /// Its text in a table.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => text.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Real(number) => toml::Value::Float(*number).fmt(f),
            Self::Truth(truth) => truth.fmt(f),
        }
    }
}

impl Level {
    /// Its number, where the schema writes one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Real(number) => Some(*number),
            Self::Text(_) | Self::Truth(_) => None,
        }
    }
}

impl From<&str> for Level {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Level {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Level {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Level {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<bool> for Level {
    fn from(truth: bool) -> Self {
        Self::Truth(truth)
    }
}

/// Bins of a numeric column.
#[derive(Clone, Debug, PartialEq)]
pub struct Bins {
    /// Where one bin ends and the next begins.
    pub cuts: Cuts,
    /// What a synthetic cell shows.
    pub decode: DecodeBins,
    /// The bins' names for [`DecodeBins::Label`]; intervals if there are none.
    pub labels: Vec<String>,
}

/// Where bins end.
#[derive(Clone, Debug, PartialEq)]
pub enum Cuts {
    /// Inner edges, ascending; bin k holds edge k−1 ≤ x < edge k.
    Edges(Vec<f64>),
    /// So many bins of equal share, as 10 for deciles.
    Quantiles(usize),
}

impl From<Cuts> for Bins {
    /// Bins whose synthetic cells are drawn.
    fn from(cuts: Cuts) -> Self {
        Self { cuts, decode: DecodeBins::Draw, labels: Vec::new() }
    }
}

impl Bins {
    /// Whether synthetic cells show labels.
    pub(crate) fn shows_labels(&self) -> bool {
        self.decode == DecodeBins::Label
    }
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

/// A text for a number beyond the end of the scale.
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

impl PartialEq<Kind> for ColumnKind {
    fn eq(&self, kind: &Kind) -> bool {
        self.kind() == *kind
    }
}

impl ColumnKind {
    /// The kind without the details.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Numeric(_) => Kind::Numeric,
            Self::Categorical(_) => Kind::Categorical,
            Self::Binary(_) => Kind::Binary,
        }
    }
}

impl Column {
    /// A column of numbers, as they are.
    pub fn numeric(name: impl Into<String>) -> ColumnBuilder<Numeric> {
        ColumnBuilder::new(name)
    }

    /// A column of several levels: those of the table, unless they are given.
    pub fn categorical(name: impl Into<String>) -> ColumnBuilder<Categorical> {
        ColumnBuilder::new(name)
    }

    /// A column of two levels: those of the table, unless they are given.
    pub fn binary(name: impl Into<String>) -> ColumnBuilder<Binary> {
        ColumnBuilder::new(name)
    }

    /// Whether the steps have it and the table has not.
    pub fn is_derived(&self) -> bool {
        DERIVED.contains(&self.name.as_str())
    }

    /// Whether it holds numbers, binned or not.
    pub fn is_numeric(&self) -> bool {
        self.numbers().is_some()
    }

    /// What is said of its numbers, where it holds such.
    pub fn numbers(&self) -> Option<&Numeric> {
        match &self.kind {
            ColumnKind::Numeric(numbers) => Some(numbers),
            ColumnKind::Categorical(_) | ColumnKind::Binary(_) => None,
        }
    }

    /// The bins of its numbers, where these are modelled.
    pub fn bins(&self) -> Option<&Bins> {
        match &self.numbers()?.model {
            NumericModel::Bin(bins) => Some(bins),
            NumericModel::Value { .. } => None,
        }
    }

    /// The levels in order; none of a numeric column, and of one whose levels the table has.
    pub fn levels(&self) -> &[Level] {
        match &self.kind {
            ColumnKind::Numeric(_) => &[],
            ColumnKind::Categorical(Categorical { levels, .. }) => levels,
            ColumnKind::Binary(Binary { levels }) => levels.as_ref().map_or(&[], |both| both),
        }
    }

    /// The levels as texts.
    pub fn level_names(&self) -> Vec<String> {
        self.levels().iter().map(Level::to_string).collect()
    }

    /// The position of a level, as its cells have it.
    pub(crate) fn position_of(&self, level: &Level) -> Option<f64> {
        let (names, level) = (self.level_names(), level.to_string());
        names.iter().position(|name| *name == level).map(|n| n as f64)
    }

    /// Which of several values in one grid step counts.
    pub(crate) fn aggregate(&self) -> Aggregate {
        self.numbers().map_or(Aggregate::Last, |numbers| numbers.aggregate)
    }

    /// The texts for the ends of its scale.
    pub(crate) fn censored(&self) -> &[Censored] {
        self.numbers().map_or(&[], |numbers| &numbers.censored)
    }

    /// The exact values that are levels of their own.
    pub(crate) fn spikes(&self) -> &[f64] {
        self.numbers().map_or(&[], |numbers| &numbers.spikes)
    }

    /// How its rare levels are pooled.
    pub(crate) fn rare(&self) -> Option<&Rare> {
        match &self.kind {
            ColumnKind::Categorical(Categorical { rare, .. }) => rare.as_ref(),
            ColumnKind::Numeric(_) | ColumnKind::Binary(_) => None,
        }
    }
}

/// A column that is being described; [`Into`] makes a [`Column`] of it.
#[derive(Clone, Debug)]
pub struct ColumnBuilder<K> {
    name: String,
    source: Option<ColumnSource>,
    unit: String,
    missing: Vec<String>,
    is_static: bool,
    missing_indicator: Option<bool>,
    impute: Impute,
    kind: K,
}

impl<K: Default> ColumnBuilder<K> {
    fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            source: None,
            unit: String::new(),
            missing: Vec::new(),
            is_static: false,
            missing_indicator: None,
            impute: Impute::default(),
            kind: K::default(),
        }
    }
}

impl<K> ColumnBuilder<K> {
    /// Its unit, for people and plots.
    pub fn unit(self, unit: impl Into<String>) -> Self {
        Self { unit: unit.into(), ..self }
    }

    /// Where it comes from, where there are several tables: the table, and the column's name or
    /// the code there.
    pub fn source(self, table: impl Into<String>, name: impl Into<String>) -> Self {
        let source = ColumnSource { table: table.into(), name: name.into() };
        Self { source: Some(source), ..self }
    }

    /// Texts that mean a missing value, besides the empty cell and the schema's.
    pub fn missing(self, texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { missing: texts.into_iter().map(Into::into).collect(), ..self }
    }

    /// The column is constant within a patient (the schema's key `static`).
    pub fn constant(self) -> Self {
        Self { is_static: true, ..self }
    }

    /// Model whether the value was measured, or do not, whether the table has gaps or not.
    pub fn missing_indicator(self, is_modelled: bool) -> Self {
        Self { missing_indicator: Some(is_modelled), ..self }
    }

    /// How a missing value is filled from the patient's other steps.
    pub fn impute(self, impute: Impute) -> Self {
        Self { impute, ..self }
    }
}

impl ColumnBuilder<Numeric> {
    /// How values are made roughly normal.
    pub fn transform(mut self, transform: Transform) -> Self {
        let margin = match self.kind.model {
            NumericModel::Value { margin, .. } => margin,
            NumericModel::Bin(_) => 0.,
        };
        self.kind.model = NumericModel::Value { transform, margin };
        self
    }

    /// Widens the range that synthetic values may take, by this share of the observed range on
    /// both sides; from 0 to 10.
    pub fn margin(mut self, margin: f64) -> Self {
        let transform = match self.kind.model {
            NumericModel::Value { transform, .. } => transform,
            NumericModel::Bin(_) => Transform::default(),
        };
        self.kind.model = NumericModel::Value { transform, margin };
        self
    }

    /// Model the value's bin, in place of the value.
    pub fn bins(mut self, bins: impl Into<Bins>) -> Self {
        self.kind.model = NumericModel::Bin(bins.into());
        self
    }

    /// Texts that mean "more than" or "less than", with the numbers that they are modelled
    /// as (the schema's key `censored`).
    pub fn bounds(mut self, bounds: impl IntoIterator<Item = (impl Into<String>, f64)>) -> Self {
        let bounds = bounds.into_iter().map(|(text, value)| Censored { text: text.into(), value });
        self.kind.censored = bounds.collect();
        self
    }

    /// Exact values that the column often takes, as 0 mL: each becomes a level beside the
    /// numbers, and the transform is fitted to the others.
    pub fn spikes(mut self, spikes: impl IntoIterator<Item = f64>) -> Self {
        self.kind.spikes = spikes.into_iter().collect();
        self
    }

    /// The least and the greatest value that it may have: a real table with another is refused. Training
    /// under a privacy guarantee takes it in place of what the table shows.
    pub fn range(mut self, least: f64, greatest: f64) -> Self {
        self.kind.range = Some([least, greatest]);
        self
    }

    /// How many decimals its values have.
    pub fn decimals(mut self, decimals: u32) -> Self {
        self.kind.decimals = Some(decimals);
        self
    }

    /// Which of several values in one grid step counts.
    pub fn aggregate(mut self, aggregate: Aggregate) -> Self {
        self.kind.aggregate = aggregate;
        self
    }

    /// How a column of texts writes dates or elapsed time, as `%Y-%m-%d`.
    pub fn format(mut self, format: impl Into<String>) -> Self {
        self.kind.format = Some(format.into());
        self
    }

    /// What follows the number in every cell, as `°C`.
    pub fn suffix(mut self, suffix: impl Into<String>) -> Self {
        self.kind.suffix = Some(suffix.into());
        self
    }

    /// The character that groups digits, as in `12,500`.
    pub fn thousands(mut self, thousands: char) -> Self {
        self.kind.thousands = Some(thousands);
        self
    }
}

impl ColumnBuilder<Categorical> {
    /// The levels in order.
    pub fn levels(mut self, levels: impl IntoIterator<Item = impl Into<Level>>) -> Self {
        self.kind.levels = levels.into_iter().map(Into::into).collect();
        self
    }

    /// Pools levels that fewer than this share of the rows have, into one of this name.
    pub fn rare(mut self, below: f64, into: impl Into<String>) -> Self {
        self.kind.rare = Some(Rare { below, into: into.into() });
        self
    }
}

impl ColumnBuilder<Binary> {
    /// The levels in order.
    pub fn levels(mut self, levels: [impl Into<Level>; 2]) -> Self {
        self.kind.levels = Some(levels.map(Into::into));
        self
    }
}

impl From<Numeric> for ColumnKind {
    fn from(numbers: Numeric) -> Self {
        Self::Numeric(numbers)
    }
}

impl From<Categorical> for ColumnKind {
    fn from(levels: Categorical) -> Self {
        Self::Categorical(levels)
    }
}

impl From<Binary> for ColumnKind {
    fn from(levels: Binary) -> Self {
        Self::Binary(levels)
    }
}

impl<K: Into<ColumnKind>> From<ColumnBuilder<K>> for Column {
    fn from(builder: ColumnBuilder<K>) -> Self {
        let ColumnBuilder {
            name,
            source,
            unit,
            missing,
            is_static,
            missing_indicator,
            impute,
            kind,
        } = builder;
        let kind = kind.into();
        Self { name, source, unit, kind, missing, is_static, missing_indicator, impute }
    }
}
