//! What a measure finds: figures, short answers, tables, JSON.

use crate::judge::Difference;
use crate::{Auc, Cohort, Result, Risk, Subject};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// What a [`Measure`](crate::Measure) finds of a synthetic cohort.
///
/// ```
/// use hg_eval::{Answer, Figure, Finding};
///
/// # fn find() -> hg_eval::Result<()> {
/// let finding = Finding::new()
///     .with_figure(Figure::new("mean age, difference", 1.5).held_out(0.7))
///     .with_answer(Answer::new("age", "Is the mean age right?", Ok((true, "1.5 years off".into()))))
///     .with_json("mean-age", &1.5)?;
/// assert_eq!(finding.figures[0].to_string(), "mean age, difference: 1.500 (held out: 0.700)");
/// # Ok(()) }
/// # find().unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Finding {
    /// Rows of the report's table of figures.
    pub figures: Vec<Figure>,
    /// Short answers of the report's first page.
    pub answers: Vec<Answer>,
    /// Tables of the report.
    pub tables: Vec<ReportTable>,
    /// Keys and values at the top level of the evaluation's JSON.
    pub json: Map<String, Value>,
    detail: Option<Arc<dyn Any + Send + Sync>>,
}

impl Finding {
    /// A finding without any content.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row of the report's table of figures.
    #[must_use]
    pub fn with_figure(mut self, figure: Figure) -> Self {
        self.figures.push(figure);
        self
    }

    /// Adds rows of the report's table of figures.
    #[must_use]
    pub fn with_figures(mut self, figures: impl IntoIterator<Item = Figure>) -> Self {
        self.figures.extend(figures);
        self
    }

    /// Adds a short answer.
    #[must_use]
    pub fn with_answer(mut self, answer: Answer) -> Self {
        self.answers.push(answer);
        self
    }

    /// Adds a table of the report.
    #[must_use]
    pub fn with_table(mut self, table: ReportTable) -> Self {
        self.tables.push(table);
        self
    }

    /// Adds a value at the top level of the evaluation's JSON. Objects that several measures
    /// put under one key are merged; a measure of one's own takes its id as its key.
    ///
    /// # Errors
    /// [`Error::Json`](crate::Error::Json) for a value that JSON cannot hold.
    pub fn with_json(mut self, key: &str, value: &impl Serialize) -> Result<Self> {
        self.json.insert(key.to_owned(), serde_json::to_value(value)?);
        Ok(self)
    }

    /// Keeps a typed result for whoever knows the measure; see
    /// [`Evaluation::detail`](crate::Evaluation::detail).
    #[must_use]
    pub fn with_detail<T: Any + Send + Sync>(mut self, detail: T) -> Self {
        self.detail = Some(Arc::new(detail));
        self
    }

    /// The typed result; `None` where there is none, or it has another type.
    pub fn detail<T: Any>(&self) -> Option<&T> {
        self.detail.as_deref()?.downcast_ref()
    }
}

/// A named figure of the synthetic cohort, and the one of held-out patients: the yardstick.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What the report calls it.
    pub name: Cow<'static, str>,
    /// Of the synthetic cohort against the real one; `None` leaves the cell empty.
    pub synthetic: Option<FigureValue>,
    /// Of held-out patients against the real cohort; `None` leaves the cell empty.
    pub held_out: Option<FigureValue>,
}

impl Figure {
    /// A figure of the synthetic cohort.
    pub fn new(name: impl Into<Cow<'static, str>>, synthetic: impl Into<FigureValue>) -> Self {
        Self { name: name.into(), synthetic: Some(synthetic.into()), held_out: None }
    }

    /// Adds the figure of held-out patients.
    #[must_use]
    pub fn held_out(self, held_out: impl Into<FigureValue>) -> Self {
        Self { held_out: Some(held_out.into()), ..self }
    }

    /// The cells of the report's row: name, synthetic, held out.
    pub(crate) fn cells(&self) -> [String; 3] {
        let text = |value: Option<FigureValue>| value.map_or(String::new(), |v| v.to_string());
        [self.name.clone().into_owned(), text(self.synthetic), text(self.held_out)]
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [name, synthetic, held_out] = self.cells();
        write!(f, "{name}: {synthetic}")?;
        if held_out.is_empty() { Ok(()) } else { write!(f, " (held out: {held_out})") }
    }
}

/// A value of a [`Figure`], with the way it is shown. In JSON it is one number, or `null`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum FigureValue {
    /// There was nothing to compare: `–`.
    Undefined,
    /// A number: `0.123`.
    Number(f64),
    /// A share from 0 to 1, as per cent: `12.3 %`.
    Percent {
        /// The share.
        share: f64,
        /// Decimals of the per cent.
        decimals: usize,
    },
    /// So many of so many: `3 of 1945`.
    Count {
        /// How many.
        count: usize,
        /// Of how many.
        of: usize,
    },
    /// An area under the ROC curve with its interval: `0.54 (0.41–0.67)`.
    Area(Auc),
    /// A risk of an attack with its interval: `3.1 % (-5.2 to 11.0 %)`.
    Risk(Risk),
    /// R², at most 1; how far below −1 it lies says nothing more: `0.571`, `below −1`.
    ExplainedVariance(f64),
    /// An estimate, and its standard error where it has one: `1.234 ± 0.056`.
    Estimate {
        /// The estimate.
        value: f64,
        /// Its standard error.
        error: Option<f64>,
    },
}

impl FigureValue {
    /// The number alone; `None` where there was nothing to compare.
    pub fn value(&self) -> Option<f64> {
        match *self {
            Self::Undefined => None,
            Self::Number(value)
            | Self::Percent { share: value, .. }
            | Self::Area(Auc { area: value, .. })
            | Self::Risk(Risk { risk: value, .. })
            | Self::ExplainedVariance(value)
            | Self::Estimate { value, .. } => Some(value),
            Self::Count { count, of } => (of > 0).then(|| count as f64 / of as f64),
        }
    }
}

impl From<f64> for FigureValue {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<Option<f64>> for FigureValue {
    fn from(value: Option<f64>) -> Self {
        value.map_or(Self::Undefined, Self::Number)
    }
}

impl From<Auc> for FigureValue {
    fn from(auc: Auc) -> Self {
        Self::Area(auc)
    }
}

impl From<Risk> for FigureValue {
    fn from(risk: Risk) -> Self {
        Self::Risk(risk)
    }
}

impl fmt::Display for FigureValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Undefined => f.write_str("–"),
            Self::Number(value) => write!(f, "{value:.3}"),
            Self::Percent { share, decimals } => write!(f, "{:.decimals$} %", 100. * share),
            Self::Count { count, of } => write!(f, "{count} of {of}"),
            Self::Area(Auc { area, low, high }) => write!(f, "{area:.2} ({low:.2}–{high:.2})"),
            Self::Risk(Risk { risk, low, high, .. }) => {
                let [risk, low, high] = [risk, low, high].map(|x| 100. * x);
                write!(f, "{risk:.1} % ({low:.1} to {high:.1} %)")
            }
            Self::ExplainedVariance(value) if value < -1. => f.write_str("below −1"),
            Self::ExplainedVariance(value) => write!(f, "{value:.3}"),
            Self::Estimate { value, error: None } => write!(f, "{value:.3}"),
            Self::Estimate { value, error: Some(error) } => write!(f, "{value:.3} ± {error:.3}"),
        }
    }
}

impl Serialize for FigureValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

/// Whether a question of the report's first page is passed. In JSON: `true`, `false`, `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The figures are within the limit.
    Passed,
    /// They are not.
    Failed,
    /// Nothing was compared, or so little that chance decides.
    Open,
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let passed = match self {
            Self::Passed => Some(true),
            Self::Failed => Some(false),
            Self::Open => None,
        };
        passed.serialize(serializer)
    }
}

/// What a question came to: `Ok` with whether it is passed, the figures and the limit; or `Err`
/// with why it is open.
pub type Outcome = std::result::Result<(bool, String), String>;

/// A question of the report's first page, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Answer {
    /// What it is about, in a word or two.
    pub about: &'static str,
    /// The question.
    pub question: &'static str,
    /// Whether it is passed.
    #[serde(rename = "passed")]
    pub verdict: Verdict,
    /// The figures and the limit; or why it is open.
    pub because: String,
}

impl Answer {
    /// The answer to a question.
    pub fn new(about: &'static str, question: &'static str, outcome: Outcome) -> Self {
        let (verdict, because) = match outcome {
            Ok((true, because)) => (Verdict::Passed, because),
            Ok((false, because)) => (Verdict::Failed, because),
            Err(because) => (Verdict::Open, because),
        };
        Self { about, question, verdict, because }
    }
}

/// A table of the report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReportTable {
    /// Its heading.
    pub title: String,
    /// A sentence or two below the heading; may be empty.
    pub note: String,
    /// The names of its columns.
    pub header: Vec<String>,
    /// Its rows, each as long as the header.
    pub rows: Vec<Vec<String>>,
}

/// A result for the synthetic cohort and for held-out patients, each against the patients that
/// were trained on. `None` where there was nothing to compare, or none were held out.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared<T> {
    /// Of the synthetic cohort.
    pub synthetic: Option<T>,
    /// Of held-out patients.
    pub held_out: Option<T>,
}

impl<T> Compared<T> {
    /// Takes the result of the synthetic cohort and of those held out.
    pub(crate) fn new(
        subject: &Subject<'_>,
        result: impl Fn(&Cohort) -> Result<Option<T>>,
    ) -> Result<Self> {
        let synthetic = result(subject.synthetic)?;
        let held_out = subject.held_out.map(result).transpose()?.flatten();
        Ok(Self { synthetic, held_out })
    }

    /// The figure that `of` takes from both results.
    pub(crate) fn figure<V: Into<FigureValue>>(
        &self,
        name: &'static str,
        of: impl Fn(&T) -> V,
    ) -> Figure {
        let value = |result: &Option<T>| result.as_ref().map(|result| of(result).into());
        let (synthetic, held_out) = (value(&self.synthetic), value(&self.held_out));
        Figure { name: name.into(), synthetic, held_out }
    }

    /// The difference from the real cohort that `of` takes from both results.
    pub(crate) fn difference(
        &self,
        name: &'static str,
        of: impl Fn(&T) -> Option<f64>,
    ) -> Difference {
        let [synthetic, held_out] =
            [&self.synthetic, &self.held_out].map(|side| side.as_ref().and_then(&of));
        Difference { name, synthetic, held_out }
    }
}

/// A number with three digits or more that tell something.
pub(crate) fn short(x: f64) -> String {
    let decimals = (2. - x.abs().max(1e-9).log10().floor()).clamp(0., 4.) as usize;
    let text = format!("{x:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_shown_in_its_own_form_and_is_one_number_in_json() {
        let auc = Auc { area: 0.538, low: 0.412, high: 0.667 };
        for (value, shown, json) in [
            (FigureValue::from(None), "–", "null"),
            (FigureValue::from(0.1234), "0.123", "0.1234"),
            (FigureValue::Percent { share: 0.0612, decimals: 1 }, "6.1 %", "0.0612"),
            (FigureValue::Percent { share: 0.0612, decimals: 2 }, "6.12 %", "0.0612"),
            (FigureValue::Count { count: 3, of: 4 }, "3 of 4", "0.75"),
            (FigureValue::Count { count: 0, of: 0 }, "0 of 0", "null"),
            (FigureValue::from(auc), "0.54 (0.41–0.67)", "0.538"),
            (FigureValue::ExplainedVariance(0.5), "0.500", "0.5"),
            (FigureValue::ExplainedVariance(-1.), "-1.000", "-1.0"),
            (FigureValue::ExplainedVariance(-3.), "below −1", "-3.0"),
            (FigureValue::Estimate { value: 2., error: None }, "2.000", "2.0"),
            (FigureValue::Estimate { value: 2., error: Some(0.25) }, "2.000 ± 0.250", "2.0"),
        ] {
            assert_eq!(value.to_string(), shown);
            assert_eq!(serde_json::to_string(&value).ok().as_deref(), Some(json), "{shown}");
        }
    }

    #[test]
    fn a_typed_detail_comes_back_by_its_own_type_alone() {
        let finding = Finding::new().with_detail(vec![1u8, 2]);
        assert_eq!(finding.detail::<Vec<u8>>(), Some(&vec![1, 2]));
        assert_eq!(finding.detail::<Vec<i8>>(), None);
        assert_eq!(Finding::new().detail::<u8>(), None);
    }

    #[test]
    fn an_outcome_is_a_verdict_with_its_reason() {
        for (outcome, verdict, json) in [
            (Ok((true, "a".to_owned())), Verdict::Passed, "true"),
            (Ok((false, "a".to_owned())), Verdict::Failed, "false"),
            (Err("a".to_owned()), Verdict::Open, "null"),
        ] {
            let answer = Answer::new("x", "Is it?", outcome);
            assert_eq!((answer.verdict, answer.because.as_str()), (verdict, "a"));
            assert_eq!(serde_json::to_string(&verdict).ok().as_deref(), Some(json));
        }
    }
}
