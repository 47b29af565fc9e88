//! Schemas.

use crate::failure::{Failure, keep};
use crate::frame::{Data, write_all};
use crate::worker::in_background;
use health_gym::data::{Proposal, infer as infer_files, infer_table};
use pyo3::prelude::*;
use std::path::Path;
use std::sync::Arc;

/// A schema with its text.
#[pyclass(frozen, module = "health_gym._native")]
pub(crate) struct Schema {
    pub(crate) schema: Arc<health_gym::Schema>,
    /// In TOML, with its comments.
    #[pyo3(get)]
    toml: String,
}

impl Schema {
    pub(crate) fn of(schema: &health_gym::Schema) -> Result<Self, Failure> {
        let toml = toml::to_string(schema).map_err(|e| {
            Failure::BadInput(format!("{}: cannot be written as TOML: {e}", schema.name))
        })?;
        Ok(Self { schema: Arc::new(schema.clone()), toml })
    }

    fn parse(toml: String, origin: &str) -> Result<Self, Failure> {
        let schema = health_gym::Schema::parse(&toml, Path::new(origin))?;
        Ok(Self { schema: Arc::new(schema), toml })
    }
}

#[pymethods]
impl Schema {
    /// A schema from its text; `origin` names it in messages.
    #[new]
    fn new(py: Python<'_>, toml: String, origin: &str) -> PyResult<Self> {
        Self::parse(toml, origin).map_err(|failure| failure.raise(py))
    }

    /// (tables, columns): the names of several tables, and all columns besides patient and time.
    #[getter]
    fn names(&self) -> (Vec<String>, Vec<String>) {
        let tables = self.schema.tables.iter().map(|table| table.name.clone()).collect();
        let columns = self.schema.columns.iter().filter(|column| !column.is_derived());
        (tables, columns.map(|column| column.name.clone()).collect())
    }
}

/// Proposes a schema for data: (schema, remarks).
#[pyfunction]
pub(crate) fn infer(
    py: Python<'_>,
    data: Data,
    patient: Option<String>,
    time: Option<String>,
) -> PyResult<(Schema, Vec<String>)> {
    in_background(py, move || {
        let (patient, time) = (patient.as_deref(), time.as_deref());
        let Proposal { toml, remarks, warnings } = match data {
            Data::One(frame) => {
                infer_table(&health_gym::Table::new(frame, "table"), patient, time)?
            }
            Data::Files(path) => infer_files(&path, patient, time)?,
            Data::Several(mut tables) if tables.len() == 1 => {
                let (name, frame) = tables.remove(0);
                infer_table(&health_gym::Table::new(frame, name), patient, time)?
            }
            Data::Several(mut tables) => {
                // What several tables are to each other is found in a folder of them.
                let folder = tempfile::tempdir().map_err(|source| health_gym::Error::Write {
                    path: std::env::temp_dir(),
                    source,
                })?;
                // The schema has the folder's name.
                let folder = folder.path().join("tables");
                write_all(&mut tables, &folder)?;
                infer_files(&folder, patient, time)?
            }
        };
        warnings.into_iter().for_each(keep);
        Ok((Schema::parse(toml, "proposed schema")?, remarks))
    })
}
