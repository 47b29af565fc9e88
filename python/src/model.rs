//! Models: fitted, sampled from, saved, loaded.

use crate::evaluation::Report;
use crate::failure::Failure;
use crate::frame::{Data, Frame, frames};
use crate::schema::Schema;
use crate::worker::{in_background, work};
use health_gym::training::{Preset, Settings};
use health_gym::{
    CancelToken, DataFrame, Event, Interrupted, StepMetrics, Synthesizer, Table, TrainConfig,
};
use polars_core::prelude::Column;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use toml::Value;

/// What messages call settings from Python.
const SETTINGS: &str = "settings";

/// A trained model.
#[pyclass(frozen, module = "health_gym._native")]
pub(crate) struct Model(Arc<Synthesizer>);

/// A training that was interrupted, or nothing.
#[pyclass(frozen, module = "health_gym._native")]
#[derive(Clone)]
pub(crate) struct Paused(Arc<Mutex<Option<Interrupted>>>);

#[pymethods]
impl Paused {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }
}

/// Settings as `{"model.hidden": 64}` or `{"model": {"hidden": 64}}`, by full names.
fn full_names(given: &Bound<'_, PyDict>) -> PyResult<Vec<(String, Value)>> {
    let mut named = Vec::new();
    for (name, value) in given {
        let name: String = name.extract()?;
        match value.cast::<PyDict>() {
            Ok(group) => {
                for (inner, value) in group {
                    let name = format!("{name}.{}", inner.extract::<String>()?);
                    let value = toml_value(&name, &value)?;
                    named.push((name, value));
                }
            }
            Err(_) => {
                let value = toml_value(&name, &value)?;
                named.push((name, value));
            }
        }
    }
    Ok(named)
}

/// Settings over others, as the trainer takes them.
fn resolved(mut settings: Settings, given: Vec<(String, Value)>) -> Result<TrainConfig, Failure> {
    for (name, value) in given {
        settings.set(&name, value, SETTINGS)?;
    }
    Ok(settings.resolve()?)
}

/// A value from Python as TOML has it.
fn toml_value(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(list) = value.cast::<PyList>() {
        let values = list.iter().map(|value| toml_value(name, &value));
        return Ok(Value::Array(values.collect::<PyResult<_>>()?));
    }
    if value.is_instance_of::<PyBool>() {
        return Ok(Value::Boolean(value.extract()?));
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(Value::Integer(value.extract()?));
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(Value::Float(value.extract()?));
    }
    // JSON, in which models keep their settings, has no sign for infinity.
    if value.is_none() && name == "privacy.epsilon" {
        return Ok(Value::Float(f64::INFINITY));
    }
    // A number of NumPy's, or a text.
    let texts = value.extract::<String>().map(Value::String);
    let numbers = || value.extract::<i64>().map(Value::Integer);
    let floats = || value.extract::<f64>().map(Value::Float);
    texts.or_else(|_| numbers()).or_else(|_| floats()).map_err(|_| {
        let problem = format!("the setting `{name}` is a number, a text, true or false, or a list");
        PyTypeError::new_err(problem)
    })
}

/// What the bar shows.
#[derive(Clone, Default)]
struct Progress {
    iterations: u64,
    done: u64,
    step: Option<StepMetrics>,
    validation: Option<f64>,
    is_choosing: bool,
}

impl Progress {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Begun { done, iterations } => {
                (self.done, self.iterations) = (*done, *iterations)
            }
            Event::Step(step) => {
                self.done = step.iteration;
                self.validation = step.get("validation").or(self.validation);
                self.step = Some(step.clone());
            }
            Event::Choosing => self.is_choosing = true,
            Event::Restarted { diverged_at, problem, from, rate } => crate::failure::keep(format!(
                "diverged at iteration {diverged_at}: {problem}; going on from iteration {from} with \
                 a learning rate of {rate}"
            )),
            _ => {}
        }
    }

    /// (done, iterations, numbers by name, whether patients are being chosen)
    fn show(&self, py: Python<'_>, observer: &Py<PyAny>) -> PyResult<()> {
        let numbers = PyDict::new(py);
        for (name, value) in self.step.iter().flat_map(|step| &step.scalars) {
            numbers.set_item(name.as_ref() as &str, value)?;
        }
        if let Some(validation) = self.validation {
            numbers.set_item("validation", validation)?;
        }
        observer.call1(py, (self.done, self.iterations, numbers, self.is_choosing))?;
        Ok(())
    }
}

/// Trains a model. `progress` is called now and then with the iterations done, those in all, numbers by
/// name, and whether patients are being chosen. After Ctrl-C the training stays in `paused`.
#[pyfunction]
pub(crate) fn fit(
    py: Python<'_>,
    schema: &Schema,
    data: Data,
    asked: (Option<String>, Bound<'_, PyDict>, Option<f64>),
    paused: &Paused,
    progress: Option<Py<PyAny>>,
) -> PyResult<Model> {
    let (preset, settings, minutes) = asked;
    let given = full_names(&settings)?;
    let asked = planned(&schema.schema, preset.as_deref(), given, minutes)
        .map_err(|failure| failure.raise(py))?;
    let cancel = CancelToken::default();
    let heard = Arc::new(Mutex::new(Progress::default()));
    let job = {
        let (cancel, heard, paused) = (cancel.clone(), heard.clone(), paused.clone());
        let schema = schema.schema.clone();
        move || fit_to(&schema, data, asked, &paused, (cancel, &heard))
    };
    let mut shown = None;
    let mut tick = |py: Python<'_>| {
        let Some(observer) = &progress else { return Ok(()) };
        let now = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let state = (now.done, now.iterations, now.is_choosing);
        if now.iterations > 0 && shown != Some(state) {
            shown = Some(state);
            now.show(py, observer)?;
        }
        Ok(())
    };
    let synthesizer = work(py, Some(&cancel), &mut tick, job)?;
    Ok(Model(Arc::new(synthesizer)))
}

/// The settings and the time that are asked for.
fn planned(
    schema: &health_gym::Schema,
    preset: Option<&str>,
    given: Vec<(String, Value)>,
    minutes: Option<f64>,
) -> Result<(TrainConfig, Option<Duration>), Failure> {
    let mut settings = match preset {
        Some(name) => Settings::of_preset(name.parse::<Preset>()?)?,
        None => Settings::defaults()?,
    };
    settings.ask_as(schema)?;
    Ok((resolved(settings, given)?, minutes.map(health_gym::training::minutes).transpose()?))
}

fn fit_to(
    schema: &health_gym::Schema,
    data: Data,
    (config, budget): (TrainConfig, Option<Duration>),
    paused: &Paused,
    (cancel, heard): (CancelToken, &Mutex<Progress>),
) -> Result<Synthesizer, Failure> {
    let mut kept = paused.0.lock().unwrap_or_else(PoisonError::into_inner);
    let mut builder = Synthesizer::builder(schema.clone())
        .settings(config)
        .cancel_with(cancel)
        .resuming(&mut kept)
        .on_progress(|event| heard.lock().unwrap_or_else(PoisonError::into_inner).hear(event));
    if let Some(time) = budget {
        builder = builder.within(time);
    }
    Ok(match data {
        Data::Files(path) => builder.fit_file(path)?,
        data => builder.fit(data.table(schema, "table")?)?,
    })
}

/// A model around weights that the original's code, or another program, trained.
#[pyfunction]
pub(crate) fn import_weights(
    py: Python<'_>,
    generator: PathBuf,
    critic: Option<PathBuf>,
    schema: &Schema,
    data: Data,
    settings: &Bound<'_, PyDict>,
) -> PyResult<Model> {
    let given = full_names(settings)?;
    let schema = schema.schema.clone();
    let synthesizer = in_background(py, move || {
        let settings = Settings::of_weights(&generator, critic.as_deref())?;
        let builder = Synthesizer::builder((*schema).clone()).settings(resolved(settings, given)?);
        let weights = (generator.as_path(), critic.as_deref());
        Ok(match data {
            Data::Files(path) => builder.import_file(path, weights)?,
            data => builder.import(data.table(&schema, "table")?, weights)?,
        })
    })?;
    Ok(Model(Arc::new(synthesizer)))
}

#[pymethods]
impl Model {
    /// Loads a run folder.
    #[staticmethod]
    fn load(py: Python<'_>, folder: PathBuf) -> PyResult<Self> {
        let loaded = in_background(py, move || Ok(Synthesizer::load(folder)?))?;
        Ok(Self(Arc::new(loaded)))
    }

    /// Writes a run folder.
    fn save(&self, py: Python<'_>, folder: PathBuf) -> PyResult<()> {
        let model = self.0.clone();
        in_background(py, move || Ok(model.save(folder)?))
    }

    /// Writes the weights in PyTorch's names into a folder.
    fn export(&self, py: Python<'_>, folder: PathBuf) -> PyResult<()> {
        let model = self.0.clone();
        in_background(py, move || Ok(model.export(folder)?))
    }

    /// Synthetic patients as named tables.
    fn sample(&self, py: Python<'_>, asked: Asked) -> PyResult<Vec<(String, Frame)>> {
        let model = self.0.clone();
        let tables = in_background(py, move || Ok(model.take_apart(&cohort(&model, asked)?)?))?;
        Ok(frames(tables))
    }

    /// Writes synthetic patients as the real table is written.
    fn write(&self, py: Python<'_>, path: PathBuf, asked: Asked) -> PyResult<()> {
        let model = self.0.clone();
        in_background(py, move || Ok(model.write(&cohort(&model, asked)?, path)?))
    }

    /// Compares a synthetic table with the real one.
    fn evaluate(&self, py: Python<'_>, real: Data, synthetic: Data) -> PyResult<Report> {
        let model = self.0.clone();
        in_background(py, move || {
            let schema = model.schema();
            let real = real.table(schema, "real table")?;
            let synthetic = synthetic.table(schema, "synthetic table")?;
            Ok(Report(model.evaluate(real, synthetic)?))
        })
    }

    /// The schema, with the levels and edges that were found.
    #[getter]
    fn schema(&self, py: Python<'_>) -> PyResult<Schema> {
        Schema::of(self.0.schema()).map_err(|failure| failure.raise(py))
    }

    /// All settings, as JSON.
    #[getter]
    fn settings(&self, py: Python<'_>) -> PyResult<String> {
        json(py, self.0.settings())
    }

    /// What each iteration measured, as a table.
    #[getter]
    fn history(&self, py: Python<'_>) -> PyResult<Frame> {
        history(&self.0).map(Frame).map_err(|failure| failure.raise(py))
    }
}

/// A column for each number that training measured, a row for each iteration.
fn history(model: &Synthesizer) -> Result<DataFrame, Failure> {
    let steps = model.metrics()?;
    let mut columns = vec![Column::new(
        "iteration".into(),
        steps.iter().map(|step| step.iteration).collect::<Vec<_>>(),
    )];
    columns.extend(StepMetrics::names(&steps).iter().map(|name| {
        let values: Vec<Option<f64>> = steps.iter().map(|step| step.get(name)).collect();
        Column::new(name.as_str().into(), values)
    }));
    DataFrame::new(steps.len(), columns).map_err(Failure::of_polars)
}

fn json(py: Python<'_>, value: &TrainConfig) -> PyResult<String> {
    serde_json::to_string(value)
        .map_err(|source| Failure::from(health_gym::Error::from(source)).raise(py))
}

/// (patients, seed, conditions that all meet, conditions with shares, a table of statics)
type Asked = (usize, u64, Vec<String>, Vec<String>, Option<Data>);

/// The cohort that is asked for.
fn cohort(
    model: &Synthesizer,
    (patients, seed, given, shares, like): Asked,
) -> Result<DataFrame, Failure> {
    Ok(match like {
        Some(Data::One(statics)) => model.sample_like(Table::new(statics, "statics"), seed)?,
        Some(_) => {
            let problem = "`like` is one table of statics, a row for each patient";
            return Err(Failure::BadInput(problem.into()));
        }
        None if given.is_empty() && shares.is_empty() => model.sample(patients, seed)?,
        None => model.sample_shares(patients, seed, &given, &shares)?,
    })
}
