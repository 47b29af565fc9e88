//! The keys of the TOML: flat, as people write them. A [`Schema`] is what they mean, once they
//! were checked.

use super::check::{Stage, problems};
use super::column::{Binary, Categorical, Column, ColumnKind, Cuts, Kind, Numeric, NumericModel};
use super::tables::{self, TableKeys};
use super::transform::TransformKey;
use super::{
    Aggregate, Bins, Censored, ColumnSource, Decision, DecodeBins, Impute, Level, Patient, Privacy,
    Rare, Rule, Schema, Sequence, SourceTable, Start, Step, Time, TimeModel, Transform,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A table's description. Unknown keys are refused.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Schema")]
pub(crate) struct SchemaKeys {
    /// A short name of the cohort.
    pub(crate) name: String,
    /// What the cohort is and where it comes from.
    #[serde(default)]
    pub(crate) description: String,
    /// The column that tells patients apart.
    pub(crate) patient: Patient,
    /// The column that orders a patient's rows.
    pub(crate) time: TimeKeys,
    /// How long sequences are.
    #[serde(default)]
    pub(crate) sequence: Sequence,
    /// The privacy guarantee that every run on the table must keep; none if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) privacy: Option<Privacy>,
    /// Texts that mean a missing value, besides the empty cell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing: Vec<String>,
    /// CSV only: the file's encoding, as `windows-1252`; UTF-8 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encoding: Option<String>,
    /// CSV only: the character between cells; a comma if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) separator: Option<char>,
    /// CSV only: the character between whole digits and decimals; a point if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decimal: Option<char>,
    /// What is decided at each step, for policies that are learnt from the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decision: Option<Decision>,
    /// What holds in every row, and in synthetic ones too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rules: Vec<RuleKeys>,
    /// Several tables that belong together; none for one table with a row for each patient and
    /// time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tables: Vec<TableKeys>,
    /// Every other column that is modelled; the table may have more.
    pub(crate) columns: Vec<ColumnKeys>,
}

/// The column that orders a patient's rows.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Time")]
pub(crate) struct TimeKeys {
    /// Its name.
    pub(crate) column: String,
    /// Its unit, for people.
    #[serde(default)]
    pub(crate) unit: String,
    /// What a step is.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub(crate) model: TimeModelKey,
    /// Grid only: its width, a number in the column's own unit, which is days
    /// where the column holds dates or durations, or a text as `"4 hours"` or `"1 month"`.
    /// A row belongs to the nearest grid point, counted from the patient's first row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<Step>,
    /// How times are written in a text column: dates as `%Y-%m-%d` or `%d.%m.%Y %H:%M` (the
    /// letters of C's strftime), or time that has elapsed as `[h]:mm`, `[h]:mm:ss` or
    /// `[d] days hh:mm:ss`. Synthetic dates start at 1 January 2000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<String>,
    /// Grid only: where a synthetic patient's times start.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub(crate) start: Start,
}

/// The values of the schema's key `time.model`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "TimeModel")]
pub(crate) enum TimeModelKey {
    /// A step is a row, whenever it is: the time since the row before is modelled, and so is
    /// each patient's first time.
    Visits,
    /// A step is a point of a regular grid, whether the table has a row there or not.
    #[default]
    Grid,
}

/// What holds in every row.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rule")]
pub(crate) struct RuleKeys {
    /// `sbp >= dbp` (also `<=`, `<`, `>`; of a static column and the time as of any two
    /// numbers), `dose never falls` (or `rises`), `status = 2 is never left`, `diabetes happens
    /// once` (of a code without values), or `VL carried when flag = 0`. A name with spaces stands
    /// in backticks.
    pub(crate) holds: String,
}

/// A modelled column.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Column")]
pub(crate) struct ColumnKeys {
    /// Its name in the table; of several tables, a name of its own.
    pub(crate) name: String,
    /// Which of several tables it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) table: Option<String>,
    /// Its name there, or of a table of events its code, where it is not called so; a pattern
    /// as `GENDER//*` takes all codes that fit, and what stands for `*` is the level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// What it holds.
    pub(crate) kind: Kind,
    /// Its unit, for people and plots.
    #[serde(default)]
    pub(crate) unit: String,
    /// Numeric only: how its values are made roughly normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transform: Option<TransformKey>,
    /// Box–Cox only: added to every value first, as the transform needs
    /// positive numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shift: Option<f64>,
    /// Numeric only: widens the range that synthetic values may take by this
    /// share of the observed range (after the transform) on both sides.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) margin: f64,
    /// Numeric only: model the value's bin, not the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bins: Option<BinKeys>,
    /// Categorical and binary only: the levels, in order; texts or numbers. If
    /// none are given, those of the table are taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<LevelKey>")]
    pub(crate) levels: Vec<Level>,
    /// Categorical only: pools levels that are too rare to learn, or to share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rare: Option<Rare>,
    /// Texts that mean a missing value in this column, besides the schema's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing: Vec<String>,
    /// Numeric only: texts that mean "more than" or "less than", as `> 89`; one, or a list.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<Censored>")]
    pub(crate) censored: Vec<Censored>,
    /// Numeric only: exact values that the column often takes, as `[0.0]`: each is
    /// modelled as a level, beside "a number besides", to which the transform is fitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) spikes: Vec<f64>,
    /// Numeric only: how a column of texts writes dates or elapsed time, as `time.format`. Columns
    /// whose type is one of dates or durations need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<String>,
    /// Numeric only: what follows the number in every cell, as `°C`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) suffix: Option<String>,
    /// Numeric only: the character that groups digits, as in `12,500`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thousands: Option<char>,
    /// Numeric only: the least and the greatest value that it may have, as `[0.0, 500.0]`. A real table
    /// with another is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) range: Option<[f64; 2]>,
    /// Numeric only: how many decimals its values have; as many as the table's if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decimals: Option<u32>,
    /// The column is constant within a patient.
    #[serde(default, rename = "static", skip_serializing_if = "is_false")]
    pub(crate) is_static: bool,
    /// Whether it is modelled if the value was measured, and synthetic cells are left empty
    /// where it was not; if nothing is said, it is where the table has gaps.
    #[serde(default, alias = "measured", skip_serializing_if = "Option::is_none")]
    pub(crate) missing_indicator: Option<bool>,
    /// Which of several values in one grid step counts.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub(crate) aggregate: Aggregate,
    /// How a missing value is filled from the patient's other steps.
    #[serde(default, alias = "carry", skip_serializing_if = "super::is_default")]
    pub(crate) impute: Impute,
}

/// Bins of a numeric column: either `edges` or `quantiles`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Bins")]
pub(crate) struct BinKeys {
    /// Inner edges, ascending; bin k holds edge k−1 ≤ x < edge k.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) edges: Vec<f64>,
    /// So many bins of equal share, as 10 for deciles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) quantiles: Option<usize>,
    /// What a synthetic cell shows.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub(crate) decode: DecodeBins,
    /// The bins' names for `decode = "label"`; intervals if not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) labels: Vec<String>,
}

fn is_zero(x: &f64) -> bool {
    *x == 0.
}

fn is_false(x: &bool) -> bool {
    !x
}

/// One value, or a list of them.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

fn one_or_many<'de, T, D>(from: D) -> Result<Vec<T>, D::Error>
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
#[schemars(rename = "Level")]
#[expect(dead_code, reason = "describes levels to schemars, which reads the variants")]
enum LevelKey {
    Text(String),
    Number(f64),
    Truth(bool),
}

impl SchemaKeys {
    /// What the keys mean. They must have been checked: what contradicts itself is dropped here.
    pub(crate) fn meaning(self) -> Schema {
        let Self {
            name,
            description,
            patient,
            time,
            sequence,
            privacy,
            missing,
            encoding,
            separator,
            decimal,
            decision,
            rules,
            tables,
            columns,
        } = self;
        let rules = rules.iter().filter_map(|rule| Rule::parse(&rule.holds).ok()).collect();
        let tables: Vec<SourceTable> = tables.into_iter().map(TableKeys::meaning).collect();
        let mut columns: Vec<Column> = columns.into_iter().map(ColumnKeys::meaning).collect();
        columns.iter_mut().for_each(|column| tables::settle(column, &tables));
        Schema {
            name,
            description,
            patient,
            time: time.meaning(),
            sequence,
            privacy,
            missing,
            encoding,
            separator,
            decimal,
            decision,
            rules,
            tables,
            columns,
        }
    }
}

impl TryFrom<SchemaKeys> for Schema {
    type Error = String;

    /// # Errors
    /// Everything that is wrong, a line each.
    fn try_from(keys: SchemaKeys) -> Result<Self, String> {
        let problems = problems(&keys, "", Stage::Written);
        if problems.is_empty() {
            return Ok(keys.meaning());
        }
        Err(problems.into_iter().map(|(_, problem)| problem).collect::<Vec<_>>().join("\n"))
    }
}

impl From<Schema> for SchemaKeys {
    fn from(schema: Schema) -> Self {
        let Schema {
            name,
            description,
            patient,
            time,
            sequence,
            privacy,
            missing,
            encoding,
            separator,
            decimal,
            decision,
            rules,
            tables,
            columns,
        } = schema;
        let rules = rules.iter().map(|rule| RuleKeys { holds: rule.to_string() }).collect();
        let tables = tables.into_iter().map(TableKeys::from).collect();
        let columns = columns.into_iter().map(ColumnKeys::from).collect();
        Self {
            name,
            description,
            patient,
            time: time.into(),
            sequence,
            privacy,
            missing,
            encoding,
            separator,
            decimal,
            decision,
            rules,
            tables,
            columns,
        }
    }
}

impl TimeKeys {
    pub(super) fn meaning(self) -> Time {
        let Self { column, unit, model, step, format, start } = self;
        let model = match (model, step) {
            (TimeModelKey::Grid, Some(step)) => TimeModel::Grid { step, start },
            (TimeModelKey::Grid, None) | (TimeModelKey::Visits, _) => TimeModel::Visits,
        };
        Time { column, unit, model, format }
    }
}

impl From<Time> for TimeKeys {
    fn from(time: Time) -> Self {
        let Time { column, unit, model, format } = time;
        let (model, step, start) = match model {
            TimeModel::Visits => (TimeModelKey::Visits, None, Start::default()),
            TimeModel::Grid { step, start } => (TimeModelKey::Grid, Some(step), start),
        };
        Self { column, unit, model, step, format, start }
    }
}

impl ColumnKeys {
    fn meaning(self) -> Column {
        let Self { name, unit, missing, is_static, missing_indicator, impute, .. } = self;
        let source = self.table.map(|table| {
            let name = self.source.unwrap_or_else(|| name.clone());
            ColumnSource { table, name }
        });
        let kind = match self.kind {
            Kind::Numeric => {
                let transform = Transform::of_keys(self.transform, self.shift);
                let model = match self.bins {
                    Some(bins) => NumericModel::Bin(bins.meaning()),
                    None => NumericModel::Value { transform, margin: self.margin },
                };
                let (aggregate, censored) = (self.aggregate, self.censored);
                let (spikes, suffix, thousands) = (self.spikes, self.suffix, self.thousands);
                let (format, range, decimals) = (self.format, self.range, self.decimals);
                let numbers = Numeric {
                    model,
                    aggregate,
                    censored,
                    spikes,
                    format,
                    suffix,
                    thousands,
                    range,
                    decimals,
                };
                ColumnKind::Numeric(numbers)
            }
            Kind::Categorical => {
                ColumnKind::Categorical(Categorical { levels: self.levels, rare: self.rare })
            }
            Kind::Binary => ColumnKind::Binary(Binary { levels: self.levels.try_into().ok() }),
        };
        Column { name, source, unit, kind, missing, is_static, missing_indicator, impute }
    }
}

impl From<Column> for ColumnKeys {
    fn from(column: Column) -> Self {
        let Column { name, source, unit, kind, missing, is_static, missing_indicator, impute } =
            column;
        let (table, source) = match source {
            Some(source) => (Some(source.table), Some(source.name).filter(|s| *s != name)),
            None => (None, None),
        };
        let mut keys = Self {
            name,
            table,
            source,
            kind: kind.kind(),
            unit,
            transform: None,
            shift: None,
            margin: 0.,
            bins: None,
            levels: Vec::new(),
            rare: None,
            missing,
            censored: Vec::new(),
            spikes: Vec::new(),
            format: None,
            suffix: None,
            thousands: None,
            range: None,
            decimals: None,
            is_static,
            missing_indicator,
            aggregate: Aggregate::default(),
            impute,
        };
        match kind {
            ColumnKind::Numeric(numbers) => {
                let Numeric { model, aggregate, censored, spikes, format, .. } = numbers;
                let Numeric { suffix, thousands, range, decimals, .. } = numbers;
                (keys.format, keys.range, keys.decimals) = (format, range, decimals);
                match model {
                    NumericModel::Value { transform, margin } => {
                        let is_usual = transform == Transform::default();
                        keys.transform = (!is_usual).then(|| transform.key());
                        (keys.shift, keys.margin) = (transform.shift(), margin);
                    }
                    NumericModel::Bin(bins) => keys.bins = Some(bins.into()),
                }
                (keys.aggregate, keys.censored) = (aggregate, censored);
                (keys.spikes, keys.suffix, keys.thousands) = (spikes, suffix, thousands);
            }
            ColumnKind::Categorical(Categorical { levels, rare }) => {
                (keys.levels, keys.rare) = (levels, rare);
            }
            ColumnKind::Binary(Binary { levels }) => {
                keys.levels = levels.map(Vec::from).unwrap_or_default();
            }
        }
        keys
    }
}

impl BinKeys {
    fn meaning(self) -> Bins {
        let Self { edges, quantiles, decode, labels } = self;
        let cuts = match quantiles {
            Some(count) => Cuts::Quantiles(count),
            None => Cuts::Edges(edges),
        };
        Bins { cuts, decode, labels }
    }
}

impl From<Bins> for BinKeys {
    fn from(bins: Bins) -> Self {
        let Bins { cuts, decode, labels } = bins;
        let (edges, quantiles) = match cuts {
            Cuts::Edges(edges) => (edges, None),
            Cuts::Quantiles(count) => (Vec::new(), Some(count)),
        };
        Self { edges, quantiles, decode, labels }
    }
}
