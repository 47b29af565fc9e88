//! A synthetic table beside the real one.

use crate::failure::Failure;
use crate::frame::Data;
use crate::schema::Schema;
use crate::worker::in_background;
use health_gym::Evaluated;
use pyo3::prelude::*;
use std::path::PathBuf;

/// An evaluation with its report.
#[pyclass(frozen, module = "health_gym._native")]
pub(crate) struct Report(pub(crate) Evaluated);

#[pymethods]
impl Report {
    /// The report as a page.
    #[getter]
    fn html(&self) -> &str {
        &self.0.html
    }

    /// The report as Markdown.
    #[getter]
    fn markdown(&self) -> &str {
        &self.0.markdown
    }

    /// Figures and short answers as JSON.
    #[getter]
    fn json(&self, py: Python<'_>) -> PyResult<String> {
        self.0.json().map_err(|e| Failure::from(e).raise(py))
    }

    /// (question, verdict, reason) of each short answer.
    #[getter]
    fn answers(&self) -> Vec<(String, String, String)> {
        let answers = self.0.evaluation.answers();
        let texts = answers.iter().map(|answer| {
            let verdict = format!("{:?}", answer.verdict).to_lowercase();
            (answer.question.to_string(), verdict, answer.because.to_string())
        });
        texts.collect()
    }

    /// Writes report.html, report.md and comparison.json; gives the page's path.
    fn save(&self, py: Python<'_>, folder: PathBuf) -> PyResult<PathBuf> {
        self.0.save(folder).map_err(|e| Failure::from(e).raise(py))
    }
}

/// Compares a synthetic table with the real one.
#[pyfunction]
pub(crate) fn evaluate(
    py: Python<'_>,
    real: Data,
    synthetic: Data,
    schema: &Schema,
) -> PyResult<Report> {
    let schema = schema.schema.clone();
    in_background(py, move || {
        Ok(Report(match (real, synthetic) {
            (Data::Files(real), Data::Files(synthetic)) => {
                health_gym::evaluate_files(&real, &synthetic, &schema, &mut |_| {})?
            }
            (real, synthetic) => {
                let real = real.table(&schema, "real table")?;
                let synthetic = synthetic.table(&schema, "synthetic table")?;
                health_gym::evaluate(real, synthetic, &schema)?
            }
        }))
    })
}
