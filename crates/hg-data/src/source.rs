//! The types that a table's columns have, which decoding restores.

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use polars::prelude::*;
use serde::{Deserialize, Serialize};

/// The type of a column in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names of polars' types")]
pub enum SourceType {
    /// Also every column of a CSV.
    Text,
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float32,
    Float64,
}

impl SourceType {
    /// All but text, with polars' types.
    const TYPED: [(Self, DataType); 11] = [
        (Self::Boolean, DataType::Boolean),
        (Self::Int8, DataType::Int8),
        (Self::Int16, DataType::Int16),
        (Self::Int32, DataType::Int32),
        (Self::Int64, DataType::Int64),
        (Self::UInt8, DataType::UInt8),
        (Self::UInt16, DataType::UInt16),
        (Self::UInt32, DataType::UInt32),
        (Self::UInt64, DataType::UInt64),
        (Self::Float32, DataType::Float32),
        (Self::Float64, DataType::Float64),
    ];

    /// Of a polars type; what is no number is read as text.
    pub(crate) fn of(dtype: &DataType) -> Self {
        let found = Self::TYPED.into_iter().find(|(_, typed)| typed == dtype);
        found.map_or(Self::Text, |(source, _)| source)
    }

    /// `series` in this type; unchanged for text, and where a value does not fit
    /// (a margin can lead below 0, for one).
    pub(crate) fn restore(self, series: Series) -> Series {
        let dtype = Self::TYPED.into_iter().find(|(source, _)| *source == self);
        dtype.and_then(|(_, dtype)| series.strict_cast(&dtype).ok()).unwrap_or(series)
    }

    /// Whether it holds whole numbers alone.
    pub(crate) fn is_integer(self) -> bool {
        !matches!(self, Self::Text | Self::Boolean | Self::Float32 | Self::Float64)
    }
}

/// What a time column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeSource {
    /// Whole numbers.
    Integer,
    /// Numbers.
    Real,
    /// Texts in the schema's format.
    DateText,
    /// Dates.
    Date,
    /// Dates with a time of day.
    Datetime,
}

const SECONDS_PER_DAY: f64 = 86_400.;

/// 1 January 2000, where synthetic dates begin.
fn origin() -> NaiveDateTime {
    NaiveDate::default()
        .checked_add_days(Days::new(10_957))
        .unwrap_or_default()
        .and_time(NaiveTime::default())
}

/// Days since 1970 of a text in strftime's `format`.
pub(crate) fn days(text: &str, format: &str) -> Option<f64> {
    let at_midnight = || {
        NaiveDate::parse_from_str(text, format).ok().map(|date| date.and_time(NaiveTime::default()))
    };
    let at = NaiveDateTime::parse_from_str(text, format).ok().or_else(at_midnight)?;
    let since = at - NaiveDateTime::default();
    Some(since.num_milliseconds() as f64 / 1e3 / SECONDS_PER_DAY)
}

/// Whether `format` is one that can be written and read.
pub(crate) fn is_format(format: &str) -> bool {
    use chrono::format::{Item, StrftimeItems};
    !StrftimeItems::new(format).any(|item| matches!(item, Item::Error))
        && days(&write(0., format), format).is_some()
}

fn write(days: f64, format: &str) -> String {
    let since = TimeDelta::milliseconds((days * SECONDS_PER_DAY * 1e3).round() as i64);
    (origin() + since).format(format).to_string()
}

impl TimeSource {
    /// The days, or numbers, of a column that polars knows as dates or numbers;
    /// `None` for texts.
    pub(crate) fn of(column: &Column) -> PolarsResult<Option<(Self, Float64Chunked)>> {
        let numbers =
            |column: &Column| Ok::<_, PolarsError>(column.cast(&DataType::Float64)?.f64()?.clone());
        Ok(match column.dtype() {
            DataType::Date => Some((Self::Date, numbers(&column.cast(&DataType::Int32)?)?)),
            DataType::Datetime(..) => {
                let unit = DataType::Datetime(TimeUnit::Milliseconds, None);
                let milliseconds = column.cast(&unit)?.cast(&DataType::Int64)?;
                Some((Self::Datetime, &numbers(&milliseconds)? / (SECONDS_PER_DAY * 1e3)))
            }
            _ => None,
        })
    }

    /// Times from 0 in the source's type.
    pub(crate) fn series(
        self,
        name: PlSmallStr,
        times: &[f64],
        format: &str,
    ) -> PolarsResult<Series> {
        let since_1970 = |times: &[f64], per_day: f64| -> Vec<i64> {
            let origin = (origin() - NaiveDateTime::default()).num_days() as f64;
            times.iter().map(|time| ((origin + time) * per_day).round() as i64).collect()
        };
        Ok(match self {
            Self::Integer => {
                Series::new(name, times.iter().map(|&time| time as i64).collect::<Vec<_>>())
            }
            Self::Real => Series::new(name, times),
            Self::DateText => {
                let texts = times.iter().map(|&time| write(time, format));
                Series::new(name, texts.collect::<Vec<_>>())
            }
            Self::Date => Series::new(name, since_1970(times, 1.))
                .cast(&DataType::Int32)?
                .cast(&DataType::Date)?,
            Self::Datetime => Series::new(name, since_1970(times, SECONDS_PER_DAY * 1e3))
                .cast(&DataType::Datetime(TimeUnit::Milliseconds, None))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_days_and_days_become_dates() {
        assert_eq!(days("2000-01-02", "%Y-%m-%d"), Some(10_958.));
        assert_eq!(days("02.01.2000 12:00", "%d.%m.%Y %H:%M"), Some(10_958.5));
        assert_eq!(days("2000-13-02", "%Y-%m-%d"), None);
        assert_eq!(write(1.5, "%d.%m.%Y %H:%M"), "02.01.2000 12:00");
        assert!(is_format("%Y-%m-%d") && !is_format("%Q") && !is_format("day"));
    }
}
