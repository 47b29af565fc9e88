//! Cells of times.

use crate::Result;
use crate::clock::{Axis, Grid, TimeFormat, TimeKind, months_of};
use crate::notes::ColumnFacts;
use crate::parsed::{Checker, plural, present};
use crate::source::{SourceType, TimeSource};
use polars_core::prelude::*;

impl Checker<'_> {
    /// Each row's time on the grid's axis, what the column holds, the grid, and how its cells
    /// are written.
    pub(crate) fn times(&mut self) -> Result<(Float64Chunked, TimeSource, Grid, ColumnFacts)> {
        let name = &self.schema.time.column;
        let column = self.raw(name)?;
        let (times, source, kind, facts) = if let Some((source, seconds)) = TimeSource::of(column)?
        {
            let kind = match source {
                TimeSource::Duration { .. } => TimeKind::Elapsed,
                _ => TimeKind::Dates,
            };
            (seconds, source, kind, ColumnFacts::new(SourceType::Float64))
        } else if let Some(format) = self.schema.time.format.as_deref() {
            self.written_times(name, format)?
        } else {
            if *column.dtype() == DataType::Boolean {
                let problem = format!(
                    "holds {}, which are no times\nhint: name another column",
                    plural(column.dtype())
                );
                return Err(self.error(name, problem));
            }
            let (times, facts) = self.numbers(name, None)?;
            let (source, integer) = (facts.source.clone(), facts.integer);
            (times, TimeSource::Number { source, integer }, TimeKind::Numbers, facts)
        };
        if times.null_count() > 0 && self.problems.is_empty() {
            for (row, _) in times.iter().enumerate().filter(|(_, time)| time.is_none()) {
                self.say(row, name, "the time is missing\nhint: fill the cell or remove the row");
            }
        }
        let grid = self.schema.time.grid(kind).map_err(|problem| self.error(name, problem))?;
        let times = match grid.axis {
            Axis::Own | Axis::Seconds => times,
            Axis::Months => times.iter().map(|time| months_of(time?)).collect(),
        };
        Ok((times, source, grid, facts))
    }

    /// Texts of times, in seconds.
    fn written_times(
        &mut self,
        name: &str,
        format: &str,
    ) -> Result<(Float64Chunked, TimeSource, TimeKind, ColumnFacts)> {
        let (_, source) = self.source(name)?;
        let parsed = TimeFormat::parse(format).ok_or_else(|| {
            self.error(
                name,
                format!(
                    "time.format `{format}` cannot be written and read\nhint: correct the schema"
                ),
            )
        })?;
        let texts = self.texts(name)?;
        let mut offset = None;
        let mut values = Vec::with_capacity(texts.len());
        for (row, cell) in texts.iter().enumerate() {
            let text = present(cell, &self.schema.missing, &[]);
            let instant = text.and_then(|text| parsed.read(text));
            if let (Some(text), None) = (text, instant) {
                let problem = format!(
                    "`{text}` is no date of the form `{format}`\nhint: correct the cell, or time.format in the schema"
                );
                self.say(row, name, problem);
            }
            offset = offset.or(instant.and_then(|instant| instant.offset));
            values.push(instant.map(|instant| instant.seconds));
        }
        let kind = if parsed.is_date() { TimeKind::Dates } else { TimeKind::Elapsed };
        let facts = ColumnFacts::new(source.clone());
        let source = TimeSource::Text { source, offset: offset.unwrap_or(0) };
        let values = Float64Chunked::from_iter_options(name.into(), values.into_iter());
        Ok((values, source, kind, facts))
    }
}
