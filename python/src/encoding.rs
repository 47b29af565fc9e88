//! Cohorts as observations, actions and rewards, by the schema's `[decision]`.

use crate::buffer::{fill, read};
use crate::failure::Failure;
use crate::frame::Data;
use crate::schema::Schema;
use crate::worker::in_background;
use health_gym::data::simulate::OBSERVED;
use health_gym::data::{
    Cells, DecisionView, Encoded, Encoder, FittedKind, FittedTransform, RowEncoder, Subset,
};
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An encoder, fitted to a cohort, that sees rows as observations, actions and rewards.
#[pyclass(frozen, module = "health_gym._native")]
pub(crate) struct Encoding(Arc<Fitted>);

#[derive(Serialize, Deserialize)]
struct Fitted {
    encoder: Encoder,
    view: DecisionView,
    /// The features of an observation: those of the column that says who died are not among them.
    observed: Vec<usize>,
    death: Option<Death>,
}

/// What shows that a patient has died.
#[derive(Serialize, Deserialize)]
struct Death {
    /// The position of the column.
    column: usize,
    /// The position of the level.
    level: usize,
}

/// An encoded cohort.
#[pyclass(frozen, module = "health_gym._native")]
pub(crate) struct Steps {
    fitted: Arc<Fitted>,
    encoded: Encoded,
    /// What the numbers are in their own units.
    cells: Cells,
}

/// Fits an encoding to a cohort, and encodes it; `death` is a column and its level.
#[pyfunction]
pub(crate) fn fit_encoding(
    py: Python<'_>,
    schema: &Schema,
    data: Data,
    death: Option<(String, String)>,
) -> PyResult<(Encoding, Steps)> {
    let schema = schema.schema.clone();
    in_background(py, move || {
        let Some(decision) = schema.decision.clone() else {
            return Err(Failure::BadInput(format!(
                "{}: the schema has no [decision], so there are no actions and rewards\nhint: add \
                 [decision] with `actions` and `reward`, as data-schemas/art-for-hiv.toml has it",
                schema.name
            )));
        };
        let table = data.table(&schema, "table")?;
        let (encoder, encoded) = Encoder::fit(&schema, &table, Subset::Whole)?;
        let death = death.map(|death| Death::of(&encoder, &decision.actions, death)).transpose()?;
        let view = DecisionView::new(&encoder, &decision, &encoded);
        let of_death = death.as_ref().map(|death| encoder.features_of(death.column));
        let is_observed =
            |feature: &&usize| of_death.as_ref().is_none_or(|block| !block.contains(feature));
        let observed: Vec<usize> = view.observed().iter().filter(is_observed).copied().collect();
        if observed.is_empty() {
            let problem = "nothing is observed besides the actions\nhint: add the columns that are";
            return Err(Failure::BadInput(format!("{}: {problem}", schema.name)));
        }
        let fitted = Arc::new(Fitted { encoder, view, observed, death });
        let steps = Steps::of(fitted.clone(), encoded)?;
        Ok((Encoding(fitted), steps))
    })
}

impl Death {
    fn of(
        encoder: &Encoder,
        actions: &[String],
        (name, level): (String, String),
    ) -> Result<Self, Failure> {
        let wrong =
            |problem: String| Failure::BadInput(format!("death, column `{name}`: {problem}"));
        let columns = &encoder.schema.columns;
        let with_levels = || {
            let named = columns
                .iter()
                .filter(|column| !column.levels().is_empty() && !actions.contains(&column.name));
            named.map(|column| format!("`{}`", column.name)).collect::<Vec<_>>().join(", ")
        };
        let found = columns.iter().position(|column| column.name == name);
        let Some(column) = found else {
            let problem = "the schema has no such column\nhint: columns of levels are";
            return Err(wrong(format!("{problem} {}", with_levels())));
        };
        let levels = columns[column].level_names();
        if levels.is_empty() || actions.contains(&name) {
            let problem = "it is no column of levels that is observed\nhint: those are";
            return Err(wrong(format!("{problem} {}", with_levels())));
        }
        let level = levels.iter().position(|known| *known == level).ok_or_else(|| {
            wrong(format!("it has no level `{level}`\nhint: it has {}", levels.join(", ")))
        })?;
        Ok(Self { column, level })
    }
}

impl Fitted {
    fn actions(&self) -> &[String] {
        self.encoder.schema.decision.as_ref().map_or(&[], |decision| &decision.actions)
    }

    /// The names of the levels of an action; doses have numbers.
    fn level_names(&self, action: &str, count: usize) -> Vec<String> {
        let column = self.encoder.schema.columns.iter().find(|column| column.name == action);
        let levels = column.map(|column| column.level_names()).unwrap_or_default();
        match levels.len() == count {
            true => levels,
            false => (0..count).map(|dose| format!("dose {dose}")).collect(),
        }
    }
}

#[pymethods]
impl Encoding {
    /// Encodes another cohort.
    fn encode(&self, py: Python<'_>, data: Data) -> PyResult<Steps> {
        let fitted = self.0.clone();
        in_background(py, move || {
            let table = data.table(&fitted.encoder.schema, "table")?;
            let encoded = fitted.encoder.encode(&table, Subset::Whole)?;
            Steps::of(fitted, encoded)
        })
    }

    /// What the simulation shows, encoded as observations.
    fn of_simulation(&self, py: Python<'_>) -> PyResult<SimulatedRows> {
        let rows = self.0.encoder.row_encoder(&OBSERVED, self.0.actions());
        let rows = rows.map_err(|e| Failure::from(e).raise(py))?;
        Ok(SimulatedRows { rows, observed: self.0.observed.clone() })
    }

    /// (names, least values, greatest values) of an observation's features.
    #[getter]
    fn features(&self) -> (Vec<String>, Vec<f64>, Vec<f64>) {
        let (names, numbers) = (self.0.encoder.feature_names(), self.0.encoder.numeric_features());
        let bounds = |feature: usize| match feature < numbers {
            true => FittedTransform::RANGE,
            false => [0., 1.],
        };
        let observed = || self.0.observed.iter().copied();
        (
            observed().map(|feature| names[feature].clone()).collect(),
            observed().map(|feature| bounds(feature)[0]).collect(),
            observed().map(|feature| bounds(feature)[1]).collect(),
        )
    }

    /// The actions' columns with their levels.
    #[getter]
    fn actions(&self) -> Vec<(String, Vec<String>)> {
        let levels = self.0.actions().iter().zip(self.0.view.levels());
        levels.map(|(name, count)| (name.clone(), self.0.level_names(name, count))).collect()
    }

    /// What a reward one step later is worth.
    #[getter]
    fn discount(&self) -> Option<f64> {
        self.0.encoder.schema.decision.as_ref().map(|decision| decision.discount)
    }

    /// The numbers that rewards can be made of.
    #[getter]
    fn numbers(&self) -> Vec<String> {
        let columns = self.0.encoder.schema.columns.iter().zip(&self.0.encoder.columns);
        let is_number = |kind: &FittedKind| {
            matches!(kind, FittedKind::Numeric { .. } | FittedKind::Binned { .. })
        };
        let numbers = columns.filter(|(_, fitted)| is_number(&fitted.kind));
        numbers.map(|(column, _)| column.name.clone()).collect()
    }

    /// Everything, for pickling.
    fn to_json(&self, py: Python<'_>) -> PyResult<String> {
        serde_json::to_string(&*self.0)
            .map_err(|source| Failure::from(health_gym::Error::from(source)).raise(py))
    }

    #[staticmethod]
    fn from_json(py: Python<'_>, json: &str) -> PyResult<Self> {
        let fitted = serde_json::from_str(json)
            .map_err(|source| Failure::from(health_gym::Error::from(source)).raise(py))?;
        Ok(Self(Arc::new(fitted)))
    }
}

/// Encodes what the simulation shows.
#[pyclass(frozen, module = "health_gym._native")]
pub(crate) struct SimulatedRows {
    rows: RowEncoder,
    observed: Vec<usize>,
}

#[pymethods]
impl SimulatedRows {
    /// Fills `observations` [rows, features] with the encoded `shown` [rows, 8].
    fn encode(
        &self,
        py: Python<'_>,
        shown: PyBuffer<f64>,
        observations: PyBuffer<f32>,
    ) -> PyResult<()> {
        let shown = read(py, &shown)?;
        let mut row = vec![0.; self.rows.features()];
        let mut encoded = Vec::with_capacity(observations.item_count());
        for cells in shown.chunks_exact(OBSERVED.len()) {
            self.rows.encode(cells, &mut row);
            encoded.extend(self.observed.iter().map(|&feature| row[feature]));
        }
        fill(py, &observations, encoded.into_iter())
    }
}

impl Steps {
    fn of(fitted: Arc<Fitted>, encoded: Encoded) -> Result<Self, Failure> {
        let Encoded { values, lengths, steps, .. } = &encoded;
        let cells = fitted.encoder.cells(values, lengths, *steps, Default::default())?;
        Ok(Self { fitted, encoded, cells })
    }
}

#[pymethods]
impl Steps {
    /// Rows of each patient.
    #[getter]
    fn lengths(&self) -> Vec<usize> {
        self.encoded.lengths.clone()
    }

    /// Fills `observations` [rows, features], `actions` [rows, columns], and `rewards` [rows], those of
    /// reaching each row.
    fn read(
        &self,
        py: Python<'_>,
        observations: PyBuffer<f32>,
        actions: PyBuffer<i64>,
        rewards: PyBuffer<f64>,
    ) -> PyResult<()> {
        let Fitted { view, observed, .. } = &*self.fitted;
        let of_observed =
            self.encoded.rows().flat_map(|row| observed.iter().map(|&feature| row[feature]));
        fill(py, &observations, of_observed)?;
        let of_actions = self.encoded.rows().flat_map(|row| view.actions(row));
        fill(py, &actions, of_actions.map(|level| level as i64))?;
        fill(py, &rewards, self.encoded.rows().map(|row| view.reward(row)))
    }

    /// Fills `numbers` [rows] with a column's, in its own unit.
    fn numbers(&self, py: Python<'_>, column: &str, numbers: PyBuffer<f64>) -> PyResult<()> {
        let columns = &self.fitted.encoder.schema.columns;
        let column = columns.iter().position(|known| known.name == column);
        let cells = column.map_or(&[][..], |column| self.cells.column(column));
        fill(py, &numbers, cells.iter().copied())
    }

    /// Fills `died` [rows]: 1 at the rows that show a death; of a static column at the last of a
    /// patient's.
    fn deaths(&self, py: Python<'_>, died: PyBuffer<u8>) -> PyResult<()> {
        let Some(Death { column, level }) = self.fitted.death else {
            let rows = self.encoded.lengths.iter().sum();
            return fill(py, &died, std::iter::repeat_n(0, rows));
        };
        let is_static =
            self.fitted.encoder.schema.columns.get(column).is_some_and(|of| of.is_static);
        let mut cells = self.cells.column(column).iter();
        let shown = self.encoded.lengths.iter().flat_map(|&length| {
            let of_patient: Vec<u8> = (0..length)
                .map(|step| {
                    let shows = cells.next() == Some(&(level as f64));
                    u8::from(shows && (!is_static || step + 1 == length))
                })
                .collect();
            of_patient
        });
        fill(py, &died, shown)
    }
}
