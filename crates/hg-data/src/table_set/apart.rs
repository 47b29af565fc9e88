//! From one table of visits back to several.

use super::TableForm;
use crate::parts::runs;
use crate::write::shown_texts;
use crate::{
    CellStyle, Column, ColumnSource, Encoder, Error, Result, SourceTable, TableRole, TableStyle,
    write_table,
};
use polars_core::prelude::{Column as Cells, *};
use std::path::{Path, PathBuf};

/// One of several tables, taken out of a decoded one.
struct Taken {
    frame: DataFrame,
    style: TableStyle,
}

impl Encoder {
    /// Takes a decoded table apart into those that it was put together from, by their names, in the
    /// form that they have: a row a patient, a row a visit, or a row for each code that was measured
    /// or happened. The table itself, by the schema's name, where it is one.
    ///
    /// # Errors
    /// When `table` is not one that [`Encoder::decode`] made.
    pub fn take_apart(&self, table: &DataFrame) -> Result<Vec<(String, DataFrame)>> {
        if self.tables.is_empty() {
            return Ok(vec![(self.schema.name.clone(), table.clone())]);
        }
        let forms = self.schema.tables.iter().zip(&self.tables);
        forms.map(|(of, form)| Ok((of.name.clone(), self.taken(table, of, form)?.frame))).collect()
    }

    /// Writes a decoded table as the real one is written: a file, or a folder of several tables;
    /// to a temporary name first.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be written, or `path` is a folder that holds anything else.
    pub fn write(&self, table: &DataFrame, path: &Path) -> Result<()> {
        if self.tables.is_empty() {
            return write_table(&mut table.clone(), path, &self.style);
        }
        self.require_replaceable(path)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let temporary: PathBuf = path.with_file_name(name);
        let failed = |e: std::io::Error| Error::file(path, format!("cannot write: {e}"));
        let written = (|| {
            for (of, form) in self.schema.tables.iter().zip(&self.tables) {
                let Taken { mut frame, style } = self.taken(table, of, form)?;
                let file = temporary.join(&form.file);
                std::fs::create_dir_all(file.parent().unwrap_or(&temporary)).map_err(failed)?;
                write_table(&mut frame, &file, &style)?;
            }
            if path.exists() {
                std::fs::remove_dir_all(path).map_err(failed)?;
            }
            std::fs::rename(&temporary, path).map_err(failed)
        })();
        if written.is_err() {
            // The error is reported; what is left of the temporary folder may stay.
            let _ = std::fs::remove_dir_all(&temporary);
        }
        written
    }

    /// Refuses to replace what is no cohort of these tables.
    fn require_replaceable(&self, path: &Path) -> Result<()> {
        if !path.exists() {
            return Ok(());
        }
        let own = |file: &Path| self.tables.iter().any(|form| path.join(&form.file) == file);
        let is_cohort = path.is_dir() && super::files_below(path)?.iter().all(|file| own(file));
        let holds_others = || {
            let entries = std::fs::read_dir(path).ok().into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).any(|entry| entry.is_file() && !own(&entry))
        };
        match is_cohort && !holds_others() {
            true => Ok(()),
            false => {
                let problem = "is there, and is no cohort of these tables\nhint: name a new folder";
                Err(Error::file(path, problem))
            }
        }
    }

    fn taken(&self, wide: &DataFrame, table: &SourceTable, form: &TableForm) -> Result<Taken> {
        let wide = Wide { encoder: self, frame: wide, table, form };
        match &table.role {
            TableRole::Static => wide.rows_of(&wide.firsts()?),
            TableRole::Visits => wide.rows_of(&wide.rows_with_values()?),
            TableRole::Events { code, value, unit } => {
                wide.events(code, value.as_deref(), unit.as_deref())
            }
        }
    }
}

/// A decoded table, one of whose sources is taken out.
struct Wide<'a> {
    encoder: &'a Encoder,
    frame: &'a DataFrame,
    table: &'a SourceTable,
    form: &'a TableForm,
}

/// A row of a table of events: a row of the wide one, and what was measured or happened there.
struct Event {
    row: IdxSize,
    has_time: bool,
    code: String,
    value: Option<String>,
}

impl Wide<'_> {
    /// The schema's columns of the table, and what they are called there.
    fn columns(&self) -> impl Iterator<Item = (&Column, &ColumnSource)> {
        let columns = self.encoder.schema.columns_of(self.table);
        columns.map(|(_, column, source)| (column, source))
    }

    /// The style of the table, with the cells of columns of the wide one under other names.
    fn style<'n>(&self, names: impl Iterator<Item = (&'n str, &'n str)>) -> TableStyle {
        let mut style = self.form.style.clone();
        for (from, to) in names {
            if let Some(cell) = self.encoder.style.columns.get(from) {
                style.columns.insert(to.to_owned(), cell.clone());
            }
        }
        style
    }

    /// The columns of patients and times: in the wide table, and here.
    fn keys(&self) -> [(&str, &str); 2] {
        let schema = &self.encoder.schema;
        [
            (schema.patient.column.as_str(), schema.patient_in(self.table)),
            (schema.time.column.as_str(), schema.time_in(self.table)),
        ]
    }

    /// The first row of each patient.
    fn firsts(&self) -> Result<Vec<IdxSize>> {
        let mut row = 0;
        let mut firsts = Vec::new();
        for (_, rows) in runs(self.frame.column(&self.encoder.schema.patient.column)?)? {
            firsts.push(row);
            row += rows as IdxSize;
        }
        Ok(firsts)
    }

    /// The rows with a value in some column of the table; all where no other table has times.
    fn rows_with_values(&self) -> Result<Vec<IdxSize>> {
        let rows = 0..self.frame.height() as IdxSize;
        let timed = self.encoder.schema.tables.iter().filter(|table| table.has_times());
        if timed.count() == 1 {
            return Ok(rows.collect());
        }
        let cells = self.columns().filter(|(column, _)| !column.is_static);
        let is_there =
            |(column, _): (&Column, _)| Ok(self.frame.column(&column.name)?.is_not_null());
        let there: Vec<BooleanChunked> = cells.map(is_there).collect::<Result<_>>()?;
        let has_value = |row: &IdxSize| there.iter().any(|t| t.get(*row as usize) == Some(true));
        Ok(rows.filter(has_value).collect())
    }

    /// A table of a row a patient, or of a row a visit.
    fn rows_of(&self, rows: &[IdxSize]) -> Result<Taken> {
        let rows = IdxCa::from_slice("".into(), rows);
        let keys = self.keys().into_iter().take(if self.table.has_times() { 2 } else { 1 });
        let others = self.columns().map(|(c, source)| (c.name.as_str(), source.name.as_str()));
        let names: Vec<(&str, &str)> = keys.chain(others).collect();
        let take = |&(from, to): &(&str, &str)| -> Result<Cells> {
            Ok(self.typed(self.frame.column(from)?.take(&rows)?.with_name(to.into())))
        };
        let taken = names.iter().map(take).collect::<Result<Vec<_>>>()?;
        let style = self.style(names.into_iter());
        let frame = DataFrame::new(rows.len(), taken)?;
        Ok(Taken { frame: frame.select(self.form.order.iter().map(String::as_str))?, style })
    }

    /// Cells in the type that their column has in the table.
    fn typed(&self, cells: Cells) -> Cells {
        match self.form.types.get(cells.name().as_str()) {
            Some(source) => source.restore(cells.take_materialized_series()).into_column(),
            None => cells,
        }
    }

    /// A table of a row for each code that was measured or happened.
    fn events(&self, code: &str, value: Option<&str>, unit: Option<&str>) -> Result<Taken> {
        let events = self.found()?;
        let rows: IdxCa = events.iter().map(|event| Some(event.row)).collect();
        let timed: IdxCa = events.iter().map(|event| event.has_time.then_some(event.row)).collect();
        let [(patients, patient), (times, time)] = self.keys();
        let patients = self.frame.column(patients)?.take(&rows)?.with_name(patient.into());
        let times = self.frame.column(times)?.take(&timed)?;
        let codes: StringChunked = events.iter().map(|event| Some(event.code.as_str())).collect();
        let codes = codes.into_column().with_name(code.into());
        let mut columns =
            vec![self.typed(patients), times.with_name(time.into()), self.coded(codes)];
        if let Some(value) = value {
            let cells: StringChunked = events.iter().map(|event| event.value.as_deref()).collect();
            columns.push(self.coded(cells.into_column().with_name(value.into())));
        }
        if let Some(unit) = unit {
            let of = |event: &Event| self.form.units.get(&event.code).map(String::as_str);
            let cells: StringChunked = events.iter().map(of).collect();
            columns.push(self.coded(cells.into_column().with_name(unit.into())));
        }
        let style = self.style(self.keys().into_iter());
        let frame = DataFrame::new(events.len(), columns)?;
        Ok(Taken { frame: frame.select(self.form.order.iter().map(String::as_str))?, style })
    }

    /// Texts in the type of their column: through numbers where it holds such.
    fn coded(&self, texts: Cells) -> Cells {
        let source = self.form.types.get(texts.name().as_str());
        let is_number = source.is_some_and(|source| source.is_number());
        let numbers = |texts: &Cells| {
            let of = source.filter(|source| source.is_integer()).map(|_| DataType::Int64);
            texts.cast(&of.unwrap_or(DataType::Float64)).ok()
        };
        let cells = if is_number { numbers(&texts).unwrap_or(texts) } else { texts };
        self.typed(cells)
    }

    /// The events of each patient: those without a time, then the others in the order of time.
    fn found(&self) -> Result<Vec<Event>> {
        let columns: Vec<Coded<'_>> =
            self.columns().map(|(c, source)| self.cells_of(c, source)).collect::<Result<_>>()?;
        let (statics, others): (Vec<&Coded<'_>>, Vec<&Coded<'_>>) =
            columns.iter().partition(|coded| coded.is_static);
        let mut found = Vec::new();
        let mut firsts = self.firsts()?.into_iter().peekable();
        for row in 0..self.frame.height() as IdxSize {
            if firsts.next_if_eq(&row).is_some() {
                found.extend(statics.iter().filter_map(|coded| coded.event(row, false)));
            }
            found.extend(others.iter().filter_map(|coded| coded.event(row, true)));
        }
        Ok(found)
    }

    /// A column's cells as texts.
    fn cells_of<'c>(&self, column: &'c Column, source: &'c ColumnSource) -> Result<Coded<'c>> {
        let encoder = self.encoder;
        let cells = self.frame.column(&column.name)?;
        let plain = CellStyle::default();
        let style = encoder.style.columns.get(&column.name).unwrap_or(&plain);
        let is_occurrence = encoder.schema.is_occurrence(column);
        let texts = shown_texts(cells, &encoder.style, style)?;
        Ok(Coded { source, is_static: column.is_static, texts, is_occurrence })
    }
}

/// A column of the wide table that is a code of the long one.
struct Coded<'a> {
    source: &'a ColumnSource,
    is_static: bool,
    texts: Vec<Option<String>>,
    is_occurrence: bool,
}

impl Coded<'_> {
    fn event(&self, row: IdxSize, has_time: bool) -> Option<Event> {
        let (source, text) = (self.source, self.texts[row as usize].as_ref()?);
        if self.is_occurrence {
            let code = source.name.clone();
            return (text == "true").then_some(Event { row, has_time, code, value: None });
        }
        if source.is_pattern() {
            return Some(Event { row, has_time, code: source.code_of(text), value: None });
        }
        let (code, value) = (source.name.clone(), Some(text.clone()));
        Some(Event { row, has_time, code, value })
    }
}
