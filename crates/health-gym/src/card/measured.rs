//! What an evaluation lets a card say.

use crate::Result;
use hg_eval::Evaluation;
use serde::Deserialize;
use serde_json::Value;

/// Column distances up to this pass in the report.
const LIMIT: f64 = 0.1;

/// The short answers and the columns' distances of an evaluation: what may be said of it to those who
/// have the synthetic tables alone. Means, percentiles and pictures of real patients are no part of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Measured {
    /// The report's short answers.
    pub answers: Vec<CardAnswer>,
    /// The distances of columns in which there was something to compare.
    #[serde(default)]
    columns: Vec<JsonColumn>,
    /// What held-out patients differ by.
    #[serde(default)]
    held_out: Option<Means>,
    /// Sentences on what was compared; they count real patients, so it is only said that there are any.
    #[serde(default)]
    remarks: Vec<String>,
}

/// A short answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct CardAnswer {
    /// The report's question that it belongs to, as `Is it private?`.
    pub topic: String,
    /// What it is about, in a word or two.
    pub about: String,
    /// The question.
    pub question: String,
    /// Whether it is passed; `None` where it is open.
    pub passed: Option<bool>,
    /// The figures and the limit; or why it is open.
    pub because: String,
}

/// A column of the synthetic table and how far it is from the real one.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDistance {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Whether it holds numbers.
    pub is_numeric: bool,
    /// Mean and standard deviation of the synthetic numbers.
    pub synthetic: Option<[f64; 2]>,
    /// Kolmogorov–Smirnov (numbers) or total variation (levels), from 0 to 1.
    pub distance: f64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct JsonColumn {
    name: String,
    unit: String,
    levels: Vec<String>,
    synthetic_mean: Option<f64>,
    synthetic_deviation: Option<f64>,
    distance: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Means {
    mean_ks: Option<f64>,
    mean_total_variation: Option<f64>,
}

impl Measured {
    /// Of an evaluation.
    ///
    /// # Errors
    /// [`Error::Json`](crate::Error::Json), which no figure should lead to.
    pub fn of(evaluation: &Evaluation) -> Result<Self> {
        Self::of_json(serde_json::to_value(evaluation)?)
    }

    /// Of the JSON of an evaluation, as `comparison.json` has it.
    ///
    /// # Errors
    /// [`Error::Json`](crate::Error::Json) when it is none.
    pub fn of_json(json: Value) -> Result<Self> {
        Ok(serde_json::from_value(json)?)
    }

    /// Whether only some patients of large tables were compared.
    pub fn is_partial(&self) -> bool {
        !self.remarks.is_empty()
    }

    /// The columns that were compared.
    pub fn columns(&self) -> Vec<ColumnDistance> {
        let column = |column: &JsonColumn| {
            let is_numeric = column.levels.is_empty();
            let numbers = column.synthetic_mean.zip(column.synthetic_deviation);
            Some(ColumnDistance {
                name: column.name.clone(),
                unit: column.unit.clone(),
                is_numeric,
                synthetic: numbers.filter(|_| is_numeric).map(|(mean, sd)| [mean, sd]),
                distance: column.distance?,
            })
        };
        self.columns.iter().filter_map(column).collect()
    }

    /// Columns that are farther from the real ones than the yardstick, with it: the report's limit, or what
    /// held-out patients differ by in the mean where that is more.
    pub fn far_columns(&self) -> Vec<(ColumnDistance, f64)> {
        let yardstick = |column: &ColumnDistance| {
            let others = self.held_out.as_ref().and_then(|means| match column.is_numeric {
                true => means.mean_ks,
                false => means.mean_total_variation,
            });
            others.unwrap_or(LIMIT).max(LIMIT)
        };
        let columns = self.columns().into_iter();
        let columns = columns.map(|column| {
            let yardstick = yardstick(&column);
            (column, yardstick)
        });
        columns.filter(|(column, yardstick)| column.distance > *yardstick).collect()
    }

    /// Short answers of a topic.
    pub(crate) fn answers_of(&self, topic: hg_eval::Topic) -> impl Iterator<Item = &CardAnswer> {
        self.answers.iter().filter(move |answer| answer.topic == topic.question())
    }
}

impl CardAnswer {
    /// Its verdict in a word.
    pub(crate) fn verdict(&self) -> &'static str {
        match self.passed {
            Some(true) => "passed",
            Some(false) => "FAILED",
            None => "open",
        }
    }
}
