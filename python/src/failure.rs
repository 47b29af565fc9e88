//! Errors and warnings as Python has them.

use health_gym::data::Error as DataError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple, PyType};
use std::fmt::Write;
use std::sync::{Mutex, OnceLock, PoisonError};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// What goes wrong on the Rust side.
pub(crate) enum Failure {
    /// The library says so.
    Library(health_gym::Error),
    /// What Python gave makes no sense.
    BadInput(String),
}

impl<E: Into<health_gym::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Library(error.into())
    }
}

impl Failure {
    /// An error of polars while a table crosses the border.
    pub(crate) fn of_polars(error: polars_core::error::PolarsError) -> Self {
        DataError::from(error).into()
    }

    /// As an exception: `BadInputError` where the input is at fault, else `HealthGymError`.
    pub(crate) fn raise(self, py: Python<'_>) -> PyErr {
        let (is_bad_input, text) = match &self {
            Self::Library(error) => (error.is_bad_input(), with_keywords(&error.to_string())),
            Self::BadInput(problem) => (true, problem.clone()),
        };
        let name = if is_bad_input { "BadInputError" } else { "HealthGymError" };
        match errors_class(py, name) {
            Ok(class) => PyErr::from_type(class, text),
            Err(_) => PyRuntimeError::new_err(text),
        }
    }
}

/// A text with the program's flags as Python's keywords: --held-out is `held_out`.
fn with_keywords(text: &str) -> String {
    let mut parts = text.split("--");
    let mut keywords = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_of_name = |c: char| c.is_ascii_lowercase() || c == '-';
        let name = part.split(|c| !is_of_name(c)).next().unwrap_or_default();
        let is_flag = !name.is_empty() && keywords.ends_with([' ', '`', '\n']);
        let quote = if keywords.ends_with('`') { "" } else { "`" };
        match is_flag {
            true => {
                let keyword = name.replace('-', "_");
                keywords += &format!("{quote}{keyword}{quote}{}", &part[name.len()..]);
            }
            false => keywords += &format!("--{part}"),
        }
    }
    keywords
}

fn errors_class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyType>> {
    Ok(py.import("health_gym._errors")?.getattr(name)?.cast_into::<PyType>()?)
}

/// What is to be warned of: it may come up in any thread.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Collects the library's warnings, which Python shows when its call comes back.
struct Warnings;

impl<S: tracing::Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == tracing::Level::WARN {
            let mut text = Text::default();
            event.record(&mut text);
            let Text { message, fields } = text;
            keep(message + &fields);
        }
    }
}

/// Keeps a text that Python is to be warned of.
pub(crate) fn keep(warning: String) {
    WARNINGS.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
}

/// An event's message, then its other fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a text does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// Prepares what every call needs, once.
pub(crate) fn begin() -> Result<(), Failure> {
    static BEGUN: OnceLock<()> = OnceLock::new();
    BEGUN.get_or_init(|| {
        health_gym::data::keep_silent_about_reading();
        // Whoever set another subscriber listens to that.
        let _ =
            tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Warnings));
    });
    health_gym::training::vectors()?;
    Ok(())
}

/// Shows the collected warnings as Python warnings of the line that called the package.
pub(crate) fn warn(py: Python<'_>) -> PyResult<()> {
    let texts = std::mem::take(&mut *WARNINGS.lock().unwrap_or_else(PoisonError::into_inner));
    if texts.is_empty() {
        return Ok(());
    }
    let warn = py.import("health_gym._errors")?.getattr("warn")?;
    for text in texts {
        warn.call1(PyTuple::new(py, [PyString::new(py, &text)])?)?;
    }
    Ok(())
}
