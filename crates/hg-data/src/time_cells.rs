//! Cells of times.

use crate::clock::{Axis, Grid, TimeFormat, TimeKind, months_of};
use crate::notes::ColumnFacts;
use crate::parsed::{Checker, plural, present};
use crate::source::{SourceType, TimeSource};
use crate::{NumericModel, Result, Transform};
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
            let (times, source, facts) = self.written_times(name, format, &[])?;
            let is_date = TimeFormat::parse(format).is_some_and(|format| format.is_date());
            let kind = if is_date { TimeKind::Dates } else { TimeKind::Elapsed };
            (times, source, kind, facts)
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

    /// The cells of a modelled column of dates or durations, in seconds; `None` where it holds other
    /// numbers.
    pub(crate) fn seconds(
        &mut self,
        column: &crate::Column,
    ) -> Result<Option<(Float64Chunked, ColumnFacts)>> {
        let format = column.numbers().and_then(|numbers| numbers.format.as_deref());
        let raw = self.raw(&column.name)?;
        let (seconds, source, mut facts) = match (TimeSource::of(raw)?, format) {
            (Some((source, seconds)), _) => {
                self.require_times(column)?;
                let mut facts = ColumnFacts::new(SourceType::Int64);
                facts.has_null = seconds.null_count() > 0;
                (seconds, source, facts)
            }
            (None, Some(format)) => self.written_times(&column.name, format, &column.missing)?,
            (None, None) => return Ok(None),
        };
        facts.integer = seconds.iter().flatten().all(|seconds| seconds.fract() == 0.);
        facts.time = Some(source);
        Ok(Some((seconds, facts)))
    }

    /// Refuses what does not go with dates and durations.
    fn require_times(&self, column: &crate::Column) -> Result<()> {
        let goes = column.numbers().is_some_and(|numbers| {
            let is_plain = numbers.spikes.is_empty() && numbers.censored.is_empty();
            let transform = match numbers.model {
                NumericModel::Value { transform, .. } => transform,
                NumericModel::Bin(_) => return false,
            };
            is_plain && matches!(transform, Transform::Identity | Transform::Quantile)
        });
        let problem = "holds dates or durations, which have no bins, spikes or bounds, and go with transform = \"identity\" or \"quantile\"\nhint: remove these from the schema";
        if goes { Ok(()) } else { Err(self.error(&column.name, problem.into())) }
    }

    /// Texts of times, in seconds.
    fn written_times(
        &mut self,
        name: &str,
        format: &str,
        missing: &[String],
    ) -> Result<(Float64Chunked, TimeSource, ColumnFacts)> {
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
        let (mut offset, mut facts) = (None, ColumnFacts::new(source.clone()));
        let mut values = Vec::with_capacity(texts.len());
        for (row, cell) in texts.iter().enumerate() {
            let text = present(cell, &self.schema.missing, missing);
            if text.is_none() {
                facts.see_gap(cell);
            }
            let instant = text.and_then(|text| parsed.read(text));
            if let (Some(text), None) = (text, instant) {
                let problem = format!(
                    "`{text}` is no date of the form `{format}`\nhint: correct the cell, or {} in the schema",
                    if name == self.schema.time.column {
                        "time.format"
                    } else {
                        "the column's format"
                    }
                );
                self.say(row, name, problem);
            }
            offset = offset.or(instant.and_then(|instant| instant.offset));
            values.push(instant.map(|instant| instant.seconds));
        }
        let source = TimeSource::Text { source, offset: offset.unwrap_or(0) };
        let values = Float64Chunked::from_iter_options(name.into(), values.into_iter());
        Ok((values, source, facts))
    }
}
