//! The types that a table's columns have, which decoding restores.

use crate::clock::TimeFormat;
use polars_core::prelude::*;
use serde::{Deserialize, Serialize};

/// The type of a column in the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names of polars' types")]
pub enum SourceType {
    /// Every column of a CSV: what its texts are, the schema says.
    Text,
    String,
    Categorical,
    /// With its categories.
    Enum(Vec<String>),
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Int128,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    UInt128,
    Float16,
    Float32,
    Float64,
    /// With its digits, and those behind the point.
    Decimal(usize, usize),
    /// A column that holds nothing, not even a type.
    Null,
}

impl SourceType {
    /// Types without anything to remember, with polars' own.
    const PLAIN: [(Self, DataType); 16] = [
        (Self::String, DataType::String),
        (Self::Boolean, DataType::Boolean),
        (Self::Int8, DataType::Int8),
        (Self::Int16, DataType::Int16),
        (Self::Int32, DataType::Int32),
        (Self::Int64, DataType::Int64),
        (Self::Int128, DataType::Int128),
        (Self::UInt8, DataType::UInt8),
        (Self::UInt16, DataType::UInt16),
        (Self::UInt32, DataType::UInt32),
        (Self::UInt64, DataType::UInt64),
        (Self::UInt128, DataType::UInt128),
        (Self::Float16, DataType::Float16),
        (Self::Float32, DataType::Float32),
        (Self::Float64, DataType::Float64),
        (Self::Null, DataType::Null),
    ];

    /// Of a polars type; texts of an `untyped` table, a CSV, may be anything. `None` for what
    /// cannot be modelled: lists, bytes, dates and the like.
    pub(crate) fn of(dtype: &DataType, untyped: bool) -> Option<Self> {
        if untyped && *dtype == DataType::String {
            return Some(Self::Text);
        }
        match dtype {
            DataType::Categorical(..) => Some(Self::Categorical),
            DataType::Enum(categories, _) => {
                let categories = categories.categories().values_iter().map(str::to_owned);
                Some(Self::Enum(categories.collect()))
            }
            DataType::Decimal(precision, scale) => Some(Self::Decimal(*precision, *scale)),
            _ => {
                let found = Self::PLAIN.into_iter().find(|(_, typed)| typed == dtype);
                found.map(|(source, _)| source)
            }
        }
    }

    /// polars' type; `None` for an untyped column.
    fn dtype(&self) -> Option<DataType> {
        Some(match self {
            Self::Text => return None,
            Self::Categorical => DataType::from_categories(Categories::global()),
            Self::Enum(categories) => {
                let frozen = FrozenCategories::new(categories.iter().map(String::as_str)).ok()?;
                DataType::from_frozen_categories(frozen)
            }
            Self::Decimal(precision, scale) => DataType::Decimal(*precision, *scale),
            plain => {
                let found = Self::PLAIN.into_iter().find(|(source, _)| source == plain);
                found.map(|(_, dtype)| dtype)?
            }
        })
    }

    /// `series` in this type; unchanged for an untyped column, and where a value does not fit
    /// (a margin can lead below 0, for one).
    pub(crate) fn restore(&self, series: Series) -> Series {
        let Some(dtype) = self.dtype() else { return series };
        if dtype == DataType::Boolean && series.dtype() == &DataType::String {
            let name = series.name().clone();
            let truth = |cells: &StringChunked| -> BooleanChunked {
                cells.iter().map(|cell| cell.map(|text| text == "true")).collect()
            };
            return series
                .str()
                .map_or(series.clone(), |texts| truth(texts).with_name(name).into_series());
        }
        series.strict_cast(&dtype).unwrap_or(series)
    }

    /// What is wrong with a type that was read, in words.
    pub(crate) fn problem(&self) -> Option<String> {
        /// Digits of polars' decimals.
        const DIGITS: usize = 38;
        match self {
            Self::Decimal(precision, scale)
                if !(1..=DIGITS).contains(precision) || scale > precision =>
            {
                Some(format!(
                    "there are no decimals of {precision} digits, {scale} of them behind the point"
                ))
            }
            _ => None,
        }
    }

    /// Whether it holds whole numbers alone.
    pub(crate) fn is_integer(&self) -> bool {
        !self.is_text()
            && !matches!(
                self,
                Self::Boolean
                    | Self::Float16
                    | Self::Float32
                    | Self::Float64
                    | Self::Decimal(..)
                    | Self::Null
            )
    }

    /// Whether it holds texts.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text | Self::String | Self::Categorical | Self::Enum(_))
    }

    /// Whether it holds numbers of any type.
    pub(crate) fn is_number(&self) -> bool {
        !self.is_text() && !matches!(self, Self::Boolean | Self::Null)
    }
}

/// The least part of a second that a typed time column counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names of polars' units")]
pub enum Resolution {
    Nanoseconds,
    Microseconds,
    Milliseconds,
}

impl Resolution {
    pub(crate) fn of(unit: TimeUnit) -> Self {
        match unit {
            TimeUnit::Nanoseconds => Self::Nanoseconds,
            TimeUnit::Microseconds => Self::Microseconds,
            TimeUnit::Milliseconds => Self::Milliseconds,
        }
    }

    fn unit(self) -> TimeUnit {
        match self {
            Self::Nanoseconds => TimeUnit::Nanoseconds,
            Self::Microseconds => TimeUnit::Microseconds,
            Self::Milliseconds => TimeUnit::Milliseconds,
        }
    }

    /// How many a second has.
    pub(crate) fn per_second(self) -> f64 {
        match self {
            Self::Nanoseconds => 1e9,
            Self::Microseconds => 1e6,
            Self::Milliseconds => 1e3,
        }
    }

    /// Seconds as whole numbers of it. A double holds a date to the microsecond, so that
    /// nanoseconds are rounded to that.
    fn count(self, seconds: f64) -> i64 {
        match self {
            Self::Nanoseconds => ((seconds * 1e6).round() as i64).saturating_mul(1000),
            _ => (seconds * self.per_second()).round() as i64,
        }
    }
}

/// What a time column holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeSource {
    /// Numbers.
    Number {
        /// The column's type.
        source: SourceType,
        /// Whether all are whole.
        integer: bool,
    },
    /// Texts in the schema's format.
    Text {
        /// The column's type.
        source: SourceType,
        /// Seconds east of Greenwich, where the texts say so.
        offset: i32,
    },
    /// Dates.
    Date,
    /// Dates with a time of day.
    Datetime {
        /// What it counts.
        resolution: Resolution,
        /// Its time zone.
        zone: Option<String>,
    },
    /// Time that has elapsed.
    Duration {
        /// What it counts.
        resolution: Resolution,
    },
}

impl TimeSource {
    /// A typed column's seconds: since 1970 for dates. `None` for numbers and texts.
    pub(crate) fn of(column: &Column) -> PolarsResult<Option<(Self, Float64Chunked)>> {
        let numbers = |column: &Column| -> PolarsResult<Float64Chunked> {
            Ok(column.cast(&DataType::Int64)?.cast(&DataType::Float64)?.f64()?.clone())
        };
        Ok(match column.dtype() {
            DataType::Date => {
                let days = column.cast(&DataType::Int32)?;
                Some((Self::Date, &numbers(&days)? * 86_400.))
            }
            DataType::Datetime(unit, zone) => {
                let resolution = Resolution::of(*unit);
                let zone = zone.as_ref().map(|zone| zone.to_string());
                let counted = numbers(&column.to_physical_repr())?;
                let seconds = &counted / resolution.per_second();
                Some((Self::Datetime { resolution, zone }, seconds))
            }
            DataType::Duration(unit) => {
                let resolution = Resolution::of(*unit);
                let counted = numbers(&column.to_physical_repr())?;
                Some((Self::Duration { resolution }, &counted / resolution.per_second()))
            }
            _ => None,
        })
    }

    /// Whether a modelled column with it holds dates, and not time that has elapsed.
    pub(crate) fn is_date(&self, column: &crate::Column) -> bool {
        let format = || {
            let format = column.numbers()?.format.as_deref()?;
            Some(TimeFormat::parse(format)?.is_date())
        };
        match self {
            Self::Date | Self::Datetime { .. } => true,
            Self::Text { .. } => format().unwrap_or(false),
            Self::Number { .. } | Self::Duration { .. } => false,
        }
    }

    /// Seconds east of Greenwich, where the texts say so.
    pub(crate) fn offset(&self) -> i32 {
        match self {
            Self::Text { offset, .. } => *offset,
            Self::Number { .. } | Self::Date | Self::Datetime { .. } | Self::Duration { .. } => 0,
        }
    }

    /// Times from their seconds; `None` for numbers and texts.
    pub(crate) fn series(&self, name: PlSmallStr, seconds: &[f64]) -> PolarsResult<Option<Series>> {
        let count = |resolution: Resolution| -> Series {
            let counted = seconds.iter().map(|&seconds| resolution.count(seconds));
            Series::new(name.clone(), counted.collect::<Vec<i64>>())
        };
        Ok(Some(match self {
            Self::Number { .. } | Self::Text { .. } => return Ok(None),
            Self::Date => {
                let days = seconds.iter().map(|seconds| (seconds / 86_400.).round() as i32);
                Series::new(name, days.collect::<Vec<i32>>()).cast(&DataType::Date)?
            }
            Self::Datetime { resolution, zone } => {
                let zone = match zone {
                    Some(zone) => TimeZone::opt_try_new(Some(zone.as_str()))?,
                    None => None,
                };
                // Not by a cast, which asks whether the zone is known.
                count(*resolution)
                    .i64()?
                    .clone()
                    .into_datetime(resolution.unit(), zone)
                    .into_series()
            }
            Self::Duration { resolution } => {
                count(*resolution).cast(&DataType::Duration(resolution.unit()))?
            }
        }))
    }
}
