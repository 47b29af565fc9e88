//! Tables across the border, by the Arrow PyCapsule protocol: numbers are not copied.
//! <https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html>

use crate::failure::Failure;
use health_gym::data::READING;
use health_gym::{DataFrame, Schema, Table};
use polars_arrow::array::{Array, StructArray};
use polars_arrow::datatypes::{ArrowDataType, Field};
use polars_arrow::ffi::{ArrowArrayStream, ArrowArrayStreamReader, export_iterator};
use polars_core::error::PolarsResult;
use polars_core::prelude::{Column, CompatLevel, Series};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyString};
use std::ffi::CStr;
use std::path::{Path, PathBuf};

const STREAM: &CStr = c"arrow_array_stream";

/// A table on its way to Python.
#[pyclass(frozen, module = "health_gym._native")]
pub(crate) struct Frame(pub(crate) DataFrame);

#[pymethods]
impl Frame {
    /// (rows, columns)
    #[getter]
    fn shape(&self) -> (usize, usize) {
        self.0.shape()
    }

    /// The table as an Arrow stream.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The protocol allows to answer with another schema than is asked for.
        let _ = requested_schema;
        PyCapsule::new_with_value(py, stream(self.0.clone()), STREAM)
    }
}

/// A table as a stream of one struct array for each of its chunks.
fn stream(mut frame: DataFrame) -> ArrowArrayStream {
    // Everybody reads these types; views of texts not everybody does.
    let level = CompatLevel::oldest();
    frame.align_chunks_par();
    let fields = frame.columns().iter().map(|column| column.field().to_arrow(level));
    let dtype = ArrowDataType::Struct(fields.collect());
    let (height, of_chunk) = (frame.height(), dtype.clone());
    let chunks: Vec<Box<dyn Array>> = frame
        .iter_chunks(level, true)
        .map(|chunk| {
            let length = chunk.len();
            StructArray::new(of_chunk.clone(), length, chunk.into_arrays(), None).boxed()
        })
        .collect();
    debug_assert_eq!(chunks.iter().map(|chunk| chunk.len()).sum::<usize>(), height);
    let chunks = chunks.into_iter().map(PolarsResult::Ok);
    export_iterator(Box::new(chunks), Field::new("".into(), dtype, false))
}

/// What Python gives as data.
pub(crate) enum Data {
    /// A table.
    One(DataFrame),
    /// Several, by their names.
    Several(Vec<(String, DataFrame)>),
    /// A file, a folder or a pattern.
    Files(PathBuf),
}

impl<'py> FromPyObject<'_, 'py> for Data {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyString>() {
            return Ok(Self::Files(object.extract()?));
        }
        if let Ok(tables) = object.cast::<PyDict>() {
            let named = tables.iter().map(|(name, table)| Ok((name.extract()?, read(&table)?)));
            return Ok(Self::Several(named.collect::<PyResult<_>>()?));
        }
        Ok(Self::One(read(&object)?))
    }
}

impl Data {
    /// The table that `schema` describes, put together where it describes several; `name` is for
    /// messages.
    pub(crate) fn table(self, schema: &Schema, name: &str) -> Result<Table, Failure> {
        let several = !schema.tables.is_empty();
        match self {
            Self::Files(path) => Ok(schema.read(&path)?),
            Self::One(frame) if !several => Ok(Table::new(frame, name)),
            Self::Several(mut tables) if !several && tables.len() == 1 => {
                let (name, frame) = tables.remove(0);
                Ok(Table::new(frame, name))
            }
            Self::Several(tables) if several => {
                let named = tables.iter().map(|(name, frame)| (name.as_str(), frame.clone()));
                Ok(schema.put_together(named)?)
            }
            Self::One(_) => {
                let names: Vec<&str> = schema.tables.iter().map(|t| t.name.as_str()).collect();
                Err(Failure::BadInput(format!(
                    "{name}: the schema has several tables, {}\nhint: give a dict of them, by name",
                    names.join(", ")
                )))
            }
            Self::Several(_) => Err(Failure::BadInput(format!(
                "{name}: the schema has one table, and several came\nhint: give the table alone, or \
                 infer a schema from all of them"
            ))),
        }
    }
}

/// Reads any object that is an Arrow stream.
fn read(object: &Bound<'_, PyAny>) -> PyResult<DataFrame> {
    let Ok(method) = object.getattr("__arrow_c_stream__") else {
        let class = object.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "a {class} is no table\nhint: give a pandas, polars or pyarrow table, or the path of a file"
        )));
    };
    let capsule = method.call1((object.py().None(),))?.cast_into::<PyCapsule>()?;
    let pointer = capsule.pointer_checked(Some(STREAM))?.cast::<ArrowArrayStream>();
    // SAFETY: a capsule of this name holds a stream, by the protocol; who takes it leaves a released
    // one behind.
    let stream = unsafe { std::mem::replace(&mut *pointer.as_ptr(), ArrowArrayStream::empty()) };
    let py = object.py();
    py.detach(|| checked_import(stream)).map_err(|failure| failure.raise(py))
}

/// The table of a stream; what polars has no type for is refused.
fn checked_import(stream: ArrowArrayStream) -> Result<DataFrame, Failure> {
    // polars panics on some types; it says so on stderr in a thread that is not silent about it.
    let importing = std::thread::scope(|scope| {
        let reading = std::thread::Builder::new().name(READING.into());
        reading.spawn_scoped(scope, || import(stream)).map(|thread| thread.join())
    });
    let problem = match importing {
        Ok(Ok(Ok(frame))) => return Ok(frame),
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(panic)) => panic_text(panic.as_ref()),
        Err(error) => error.to_string(),
    };
    let why = problem.lines().next().unwrap_or_default();
    Err(Failure::BadInput(format!(
        "the table cannot be read ({why})\nhint: give each column a plain type: numbers, texts, levels, \
         dates, times"
    )))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let owned = panic.downcast_ref::<String>().cloned();
    owned.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

/// The table of a stream. Its columns share the stream's memory.
fn import(stream: ArrowArrayStream) -> PolarsResult<DataFrame> {
    // SAFETY: the stream's owner keeps to the protocol.
    let mut reader = unsafe { ArrowArrayStreamReader::try_new(Box::new(stream)) }?;
    let ArrowDataType::Struct(fields) = reader.field().dtype().clone() else {
        return Err(polars_core::error::polars_err!(ComputeError: "the Arrow stream is no table"));
    };
    let mut columns: Vec<Vec<Box<dyn Array>>> = vec![Vec::new(); fields.len()];
    let mut height = 0;
    // SAFETY: as above.
    while let Some(chunk) = unsafe { reader.next() } {
        let chunk = chunk?;
        height += chunk.len();
        let Some(chunk) = chunk.as_any().downcast_ref::<StructArray>() else { continue };
        for (column, values) in columns.iter_mut().zip(chunk.values()) {
            column.push(values.clone());
        }
    }
    let columns = fields.iter().zip(columns).map(|(field, chunks)| {
        Ok(match chunks.is_empty() {
            true => Column::new_empty(
                field.name.clone(),
                &polars_core::prelude::DataType::from_arrow_field(field),
            ),
            false => Series::try_from((field, chunks))?.into(),
        })
    });
    DataFrame::new(height, columns.collect::<PolarsResult<_>>()?)
}

/// The names of tables with the tables, for Python.
pub(crate) fn frames(tables: Vec<(String, DataFrame)>) -> Vec<(String, Frame)> {
    tables.into_iter().map(|(name, frame)| (name, Frame(frame))).collect()
}

/// Writes tables as Parquet files into a folder, which is made.
pub(crate) fn write_all(tables: &mut [(String, DataFrame)], folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir(folder)
        .map_err(|source| health_gym::Error::Write { path: folder.to_owned(), source })?;
    for (name, frame) in tables {
        let path = folder.join(format!("{name}.parquet"));
        if path.parent() != Some(folder) {
            let problem =
                format!("`{name}` cannot be a table's name\nhint: name it without slashes");
            return Err(Failure::BadInput(problem));
        }
        health_gym::data::write_table(frame, &path, &Default::default())?;
    }
    Ok(())
}
