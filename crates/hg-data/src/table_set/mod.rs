//! Several tables that belong together: put together into one table of visits before it is checked
//! and encoded, and taken apart again after decoding.
//!
//! ```text
//! patients  id sex          wide   id time sex  chol  diabetes
//!           1  f                   1  0    f    183
//! labs      id time test v  ⇄      1  0    f          true
//!           1  0    chol 183       1  9    f    201
//!           1  9    chol 201
//! events    id time event          a row of the wide table is a row of one of the tables; rows of
//!           1  0    diabetes       one time become one step, as in any table
//! ```

mod apart;
mod members;
mod together;

pub(crate) use members::{Member, files_below, members};
pub(crate) use together::{PatientGroups, TableSet, plain_code};

use crate::source::SourceType;
use crate::{Error, Result, Schema, TableStyle};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Component, Path};

/// How one of several tables is written, so that a synthetic one looks like it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableForm {
    /// Its file in the folder of the tables, as `labs.csv` or `data/0.parquet`.
    pub file: String,
    /// Those of its columns that the schema knows, in its order.
    pub order: Vec<String>,
    /// The type of its columns of patients, codes, values and units.
    pub types: BTreeMap<String, SourceType>,
    /// Of a table of events: the unit of each code.
    pub units: BTreeMap<String, String>,
    /// How it is written, where it is a CSV.
    pub style: TableStyle,
}

/// What is wrong with the forms of an encoder that was read; a line each.
pub(crate) fn problems(forms: &[TableForm], schema: &Schema) -> Vec<String> {
    if forms.len() != schema.tables.len() {
        let (forms, tables) = (forms.len(), schema.tables.len());
        return vec![format!("its schema has {tables} tables, but {forms} were fitted")];
    }
    let of_form = |(form, table): (&TableForm, &crate::SourceTable)| {
        let file = Path::new(&form.file);
        let stays = file.components().all(|part| matches!(part, Component::Normal(_)));
        let mut found = Vec::new();
        if form.file.is_empty() || !stays || crate::files::Format::of(file).is_err() {
            found.push(format!("table `{}`: `{}` is no file of its folder", table.name, form.file));
        }
        let wrong = form.types.values().find_map(SourceType::problem);
        found.extend(wrong.map(|problem| format!("table `{}`: {problem}", table.name)));
        let names = together::names(schema, table);
        if let Some(stranger) = form.order.iter().find(|name| !names.contains(&name.as_str())) {
            found.push(format!("table `{}`: `{stranger}` is no column of it", table.name));
        }
        found
    };
    forms.iter().zip(&schema.tables).flat_map(of_form).collect()
}

/// Refuses a path at which several tables should lie, but where one file is.
fn require_folder(path: &Path) -> Result<()> {
    if path.is_file() {
        let problem = "is one file, but the schema has several [[tables]]\nhint: name the folder that holds them";
        return Err(Error::file(path, problem));
    }
    Ok(())
}
