//! Times as they are written: dates, time that has elapsed, and steps of the calendar.
//!
//! Within the crate a time is a number: in the column's own unit where it holds numbers, else in
//! seconds (since 1 January 1970 for dates), or in months where the grid counts months.

use crate::{Time, TimeModel};
use chrono::format::{Item, Parsed, StrftimeItems};
use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use std::fmt::Write;

/// Seconds of a day.
pub(crate) const DAY: f64 = 86_400.;

/// How a text column writes times.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TimeFormat {
    /// Dates, by strftime's letters.
    Date(Vec<Item<'static>>),
    /// Time that has elapsed: hours may exceed 24.
    Elapsed(Elapsed),
}

/// The ways in which elapsed time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elapsed {
    /// 30:09
    HoursMinutes,
    /// 30:09:00
    HoursMinutesSeconds,
    /// 1 days 06:09:00, as pandas does.
    Days,
}

impl Elapsed {
    /// With the names that a schema has for them, after spreadsheets' `[h]:mm`.
    pub(crate) const ALL: [(&'static str, Self); 3] = [
        ("[h]:mm", Self::HoursMinutes),
        ("[h]:mm:ss", Self::HoursMinutesSeconds),
        ("[d] days hh:mm:ss", Self::Days),
    ];

    /// Seconds of a text that is written so.
    fn read(self, text: &str) -> Option<f64> {
        let (days, clock) = match (self, text.split_once("day")) {
            (Self::Days, Some((days, clock))) => {
                let clock = clock.strip_prefix('s').unwrap_or(clock);
                (days.trim().parse::<i32>().ok()?, clock.trim_start_matches(',').trim())
            }
            // Some write the days only where there are any.
            (Self::Days, None) => (0, text.trim()),
            (_, Some(_)) => return None,
            (_, None) => (0, text.trim()),
        };
        if clock.is_empty() && self == Self::Days {
            return Some(f64::from(days) * DAY);
        }
        let (sign, clock) = match clock.strip_prefix('-') {
            Some(clock) => (-1., clock),
            None => (1., clock.strip_prefix('+').unwrap_or(clock)),
        };
        let mut parts = clock.split(':');
        let hours: u32 = digits(parts.next()?)?.parse().ok()?;
        let minutes: u32 = digits(parts.next()?)?.parse().ok()?;
        let seconds: f64 = match (self, parts.next()) {
            (Self::HoursMinutes, None) => 0.,
            (Self::HoursMinutes, Some(_)) | (_, None) => return None,
            (_, Some(seconds)) => {
                let (whole, _) = seconds.split_once('.').unwrap_or((seconds, ""));
                digits(whole)?;
                seconds.parse().ok()?
            }
        };
        if parts.next().is_some() || minutes > 59 || !(0. ..60.).contains(&seconds) {
            return None;
        }
        let of_day = f64::from(hours) * 3600. + f64::from(minutes) * 60. + seconds;
        Some(f64::from(days) * DAY + sign * of_day)
    }

    pub(crate) fn write(self, seconds: f64) -> String {
        let milliseconds = (seconds * 1e3).round() as i64;
        let (days, rest) = match self {
            Self::Days => {
                (milliseconds.div_euclid(86_400_000), milliseconds.rem_euclid(86_400_000))
            }
            _ => (0, milliseconds.saturating_abs()),
        };
        let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
        let sign = if self != Self::Days && milliseconds < 0 { "-" } else { "" };
        let mut text = match self {
            Self::Days => format!("{days} days {hours:02}:{minutes:02}"),
            _ => format!("{sign}{hours:02}:{minutes:02}"),
        };
        if self != Self::HoursMinutes {
            let (seconds, fraction) = (rest / 1000 % 60, rest % 1000);
            // Writing to a String cannot fail.
            let _ = write!(text, ":{seconds:02}");
            if fraction > 0 {
                let _ = write!(text, ".{fraction:03}");
            }
        }
        text
    }
}

/// `text`, where it is one to nine digits.
fn digits(text: &str) -> Option<&str> {
    let sound = (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    sound.then_some(text)
}

/// A time as it was read: seconds, and the distance from UTC where the text names one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Instant {
    pub(crate) seconds: f64,
    /// Seconds east of Greenwich.
    pub(crate) offset: Option<i32>,
}

impl TimeFormat {
    /// `None` where `format` cannot be written and read again.
    pub(crate) fn parse(format: &str) -> Option<Self> {
        if let Some((_, elapsed)) = Elapsed::ALL.iter().find(|(name, _)| *name == format) {
            return Some(Self::Elapsed(*elapsed));
        }
        let items: Vec<Item<'static>> = StrftimeItems::new(format).map(Item::to_owned).collect();
        if items.contains(&Item::Error) {
            return None;
        }
        let format = Self::Date(items);
        let origin = origin_seconds();
        let read = format.read(&format.write(origin, 0)?)?;
        (read.seconds.abs() < 4e12).then_some(format)
    }

    /// The instant that a text names.
    pub(crate) fn read(&self, text: &str) -> Option<Instant> {
        let items = match self {
            Self::Elapsed(elapsed) => {
                return Some(Instant { seconds: elapsed.read(text)?, offset: None });
            }
            Self::Date(items) => items,
        };
        let mut parsed = Parsed::new();
        match text.strip_suffix(['Z', 'z']) {
            // A name of UTC, where others write their distance from it.
            Some(local) if items.iter().any(is_offset) => {
                let text = format!("{local}+00:00");
                chrono::format::parse(&mut parsed, &text, items.iter()).ok()?;
            }
            _ => chrono::format::parse(&mut parsed, text, items.iter()).ok()?,
        }
        if let Some(seconds) = parsed.timestamp() {
            let fraction = f64::from(parsed.nanosecond().unwrap_or(0)) / 1e9;
            return Some(Instant { seconds: seconds as f64 + fraction, offset: None });
        }
        let date = date_of(&mut parsed)?;
        let time = time_of(&mut parsed)?;
        let local = date.and_time(time);
        let offset = parsed.offset();
        Some(Instant { seconds: seconds_of(local) - f64::from(offset.unwrap_or(0)), offset })
    }

    /// A time as text, as it is `offset` seconds east of Greenwich; `None` beyond the calendar.
    pub(crate) fn write(&self, seconds: f64, offset: i32) -> Option<String> {
        let items = match self {
            Self::Elapsed(elapsed) => return Some(elapsed.write(seconds)),
            Self::Date(items) => items,
        };
        let utc = date_time(seconds)?.and_utc();
        let local: DateTime<FixedOffset> = utc.with_timezone(&FixedOffset::east_opt(offset)?);
        let mut text = String::new();
        write!(text, "{}", local.format_with_items(items.iter())).ok()?;
        Some(text)
    }

    /// Whether the texts of two days of a month differ.
    fn tells_days(&self) -> bool {
        let written = |days: f64| self.write(origin_seconds() + days * DAY, 0);
        written(0.) != written(1.)
    }

    /// Whether its texts are dates.
    pub(crate) fn is_date(&self) -> bool {
        matches!(self, Self::Date(_))
    }
}

fn is_offset(item: &Item<'_>) -> bool {
    use chrono::format::Fixed;
    let of_zone = [
        Fixed::TimezoneOffset,
        Fixed::TimezoneOffsetColon,
        Fixed::TimezoneOffsetDoubleColon,
        Fixed::TimezoneOffsetTripleColon,
        Fixed::TimezoneOffsetColonZ,
        Fixed::TimezoneOffsetZ,
    ];
    matches!(item, Item::Fixed(fixed) if of_zone.contains(fixed))
}

/// The date of what was parsed: the first of the month, or of the year, where no day is given.
fn date_of(parsed: &mut Parsed) -> Option<NaiveDate> {
    if let Ok(date) = parsed.to_naive_date() {
        return Some(date);
    }
    if parsed.day().is_none() && parsed.ordinal().is_none() {
        parsed.set_day(1).ok()?;
    }
    if parsed.month().is_none() {
        parsed.set_month(1).ok()?;
    }
    parsed.to_naive_date().ok()
}

/// The time of day of what was parsed: midnight where none is given.
fn time_of(parsed: &mut Parsed) -> Option<NaiveTime> {
    if parsed.hour_mod_12().is_none() && parsed.minute().is_none() {
        return Some(NaiveTime::MIN);
    }
    if parsed.minute().is_none() {
        parsed.set_minute(0).ok()?;
    }
    parsed.to_naive_time().ok()
}

/// Seconds since 1970.
fn seconds_of(time: NaiveDateTime) -> f64 {
    let time = time.and_utc();
    time.timestamp() as f64 + f64::from(time.timestamp_subsec_nanos()) / 1e9
}

fn date_time(seconds: f64) -> Option<NaiveDateTime> {
    // To the microsecond, which a double holds for any date of ours.
    let microseconds = seconds * 1e6;
    (microseconds.abs() < 9e18).then_some(())?;
    Some(DateTime::from_timestamp_micros(microseconds.round() as i64)?.naive_utc())
}

/// 1 January 2000 in seconds since 1970, where synthetic dates begin.
pub(crate) fn origin_seconds() -> f64 {
    10_957. * DAY
}

/// 1 January 2000 in months since January 1970.
const ORIGIN_MONTHS: f64 = 360.;

/// Months since January 1970, with the share of the month that has passed.
pub(crate) fn months_of(seconds: f64) -> Option<f64> {
    let time = date_time(seconds)?;
    let first = time.date().with_day(1)?;
    let days = f64::from(first.num_days_in_month());
    let of_day = f64::from(time.num_seconds_from_midnight()) / DAY;
    let passed = (f64::from(time.day0()) + of_day) / days;
    Some(f64::from(time.year() - 1970) * 12. + f64::from(time.month0()) + passed)
}

/// Seconds since 1970 of the first of a month.
fn seconds_of_month(months: f64) -> Option<f64> {
    let months = months.round() as i64;
    let year = i32::try_from(1970 + months.div_euclid(12)).ok()?;
    let month = months.rem_euclid(12) as u32 + 1;
    Some(seconds_of(NaiveDate::from_ymd_opt(year, month, 1)?.and_time(NaiveTime::MIN)))
}

/// What the numbers of a time axis count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    /// The column's own unit.
    Own,
    /// Seconds.
    Seconds,
    /// Months of the calendar.
    Months,
}

/// The axis of a time column, and the regular grid on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Grid {
    pub(crate) axis: Axis,
    /// The width of a step on the axis; `None` where a row is a step.
    pub(crate) width: Option<f64>,
    /// What the column holds.
    pub(crate) kind: TimeKind,
}

/// What a time column holds, as far as a grid asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeKind {
    Numbers,
    Dates,
    /// Durations and elapsed time.
    Elapsed,
}

/// Units that a step may be given in, with their seconds (months for the last two).
const UNITS: [(&str, Axis, f64); 7] = [
    ("second", Axis::Seconds, 1.),
    ("minute", Axis::Seconds, 60.),
    ("hour", Axis::Seconds, 3_600.),
    ("day", Axis::Seconds, DAY),
    ("week", Axis::Seconds, 7. * DAY),
    ("month", Axis::Months, 1.),
    ("year", Axis::Months, 12.),
];

/// A unit by its name, in the singular or the plural.
fn unit(name: &str) -> Option<(Axis, f64)> {
    let name = name.trim().to_lowercase();
    let name = name.strip_suffix('s').unwrap_or(&name);
    UNITS.iter().find(|(unit, ..)| *unit == name).map(|(_, axis, width)| (*axis, *width))
}

/// `4 hours` → (seconds, 14,400).
pub(crate) fn parse_step(text: &str) -> Option<(Axis, f64)> {
    let text = text.trim();
    let at = text.find(|c: char| c.is_alphabetic())?;
    let count: f64 = match text[..at].trim() {
        "" => 1.,
        count => count.parse().ok()?,
    };
    let (axis, width) = unit(&text[at..])?;
    let sound = count.is_finite() && count > 0. && (axis != Axis::Months || count.fract() == 0.);
    sound.then_some((axis, count * width))
}

impl Time {
    /// The grid on a column of this kind.
    ///
    /// # Errors
    /// Why the step does not go with the column, and the way out.
    pub(crate) fn grid(&self, kind: TimeKind) -> Result<Grid, String> {
        let step = match &self.model {
            TimeModel::Visits => return Ok(Grid { axis: self.axis(kind), width: None, kind }),
            TimeModel::Grid { step, .. } => step,
        };
        let grid = |axis, width| Ok(Grid { axis, width: Some(width), kind });
        let text = match step {
            crate::Step::Number(days) if kind != TimeKind::Numbers => {
                return grid(Axis::Seconds, days * DAY);
            }
            crate::Step::Number(width) => return grid(Axis::Own, *width),
            crate::Step::Text(text) => text,
        };
        let (axis, width) =
            parse_step(text).ok_or_else(|| format!("time.step `{text}` is no step"))?;
        match kind {
            TimeKind::Dates => grid(axis, width),
            TimeKind::Elapsed if axis == Axis::Seconds => grid(axis, width),
            TimeKind::Elapsed => Err(format!(
                "time.step `{text}` counts months, and the column holds time that has elapsed\nhint: give days or hours"
            )),
            // A column of numbers has the unit that the schema names.
            TimeKind::Numbers => match unit(&self.unit) {
                Some((own, each)) if own == axis => grid(Axis::Own, width / each),
                _ => Err(format!(
                    "time.step `{text}` needs to know what the column's numbers count\nhint: set time.unit = \"days\" or the like, or give the step as a number"
                )),
            },
        }
    }

    /// The axis of visits.
    fn axis(&self, kind: TimeKind) -> Axis {
        let format = self.format.as_deref().and_then(TimeFormat::parse);
        match (kind, format) {
            (TimeKind::Numbers, _) => Axis::Own,
            // Where a text names no day, visits are months apart.
            (TimeKind::Dates, Some(format)) if !format.tells_days() => Axis::Months,
            (TimeKind::Dates | TimeKind::Elapsed, _) => Axis::Seconds,
        }
    }
}

impl Grid {
    /// What is modelled of a patient's first time: the time itself where times count from an event;
    /// of dates, which begin anew at a fixed day, the time of day, as it is `offset` seconds east
    /// of Greenwich.
    pub(crate) fn first_time(self, time: f64, offset: i32) -> f64 {
        match (self.kind, self.axis) {
            (TimeKind::Numbers | TimeKind::Elapsed, _) => time,
            (TimeKind::Dates, Axis::Months) => 0.,
            (TimeKind::Dates, _) => (time + f64::from(offset)).rem_euclid(DAY),
        }
    }

    /// The midnight, in seconds since 1970, before a date on the axis, as it is `offset` seconds east
    /// of Greenwich; of months the first of the month.
    pub(crate) fn midnight(self, time: f64, offset: i32) -> f64 {
        match self.axis {
            Axis::Months => seconds_of_month(time.floor()).unwrap_or_default(),
            Axis::Own | Axis::Seconds => time - self.first_time(time, offset),
        }
    }

    /// A synthetic date's seconds since 1970, so long on the axis after 1 January 2000.
    pub(crate) fn date(self, passed: f64) -> f64 {
        match self.axis {
            Axis::Months => seconds_of_month(ORIGIN_MONTHS + passed).unwrap_or(origin_seconds()),
            Axis::Own | Axis::Seconds => origin_seconds() + passed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str, format: &str) -> Option<f64> {
        TimeFormat::parse(format)?.read(text).map(|instant| instant.seconds)
    }

    #[test]
    fn texts_become_instants() {
        let cases = [
            ("2000-01-02", "%Y-%m-%d", Some(10_958. * DAY)),
            ("02.01.2000 12:00", "%d.%m.%Y %H:%M", Some(10_958.5 * DAY)),
            ("2000-13-02", "%Y-%m-%d", None),
            ("20000102", "%Y%m%d", Some(10_958. * DAY)),
            ("02.01.00", "%d.%m.%y", Some(10_958. * DAY)),
            ("2000-02", "%Y-%m", Some(10_988. * DAY)),
            ("Feb 2000", "%b %Y", Some(10_988. * DAY)),
            ("2000", "%Y", Some(10_957. * DAY)),
            ("2000-01-01 05", "%Y-%m-%d %H", Some(10_957. * DAY + 18_000.)),
            ("2000-01-01 01:00:00+01:00", "%Y-%m-%d %H:%M:%S%:z", Some(10_957. * DAY)),
            ("2000-01-01T00:00:00.250Z", "%Y-%m-%dT%H:%M:%S%.3fZ", Some(10_957. * DAY + 0.25)),
            ("30:09", "[h]:mm", Some(108_540.)),
            ("-02:30", "[h]:mm", Some(-9_000.)),
            ("30:09:01", "[h]:mm:ss", Some(108_541.)),
            ("30:61", "[h]:mm", None),
            ("1 days 06:09:00", "[d] days hh:mm:ss", Some(108_540.)),
            ("-1 days +23:00:00", "[d] days hh:mm:ss", Some(-3_600.)),
            ("-1 day, 23:00:00", "[d] days hh:mm:ss", Some(-3_600.)),
            ("0:30:00", "[d] days hh:mm:ss", Some(1_800.)),
            ("2 days", "[d] days hh:mm:ss", Some(2. * DAY)),
            ("2000-01-01 00:00:00Z", "%Y-%m-%d %H:%M:%S%:z", Some(10_957. * DAY)),
        ];
        for (text, format, expected) in cases {
            assert_eq!(seconds(text, format), expected, "{text} {format}");
        }
    }

    #[test]
    fn what_is_read_is_written_as_it_was() {
        let cases = [
            ("2000-01-02", "%Y-%m-%d"),
            ("Feb 2000", "%b %Y"),
            ("2000-01-01T00:00:00.250Z", "%Y-%m-%dT%H:%M:%S%.3fZ"),
            ("30:09", "[h]:mm"),
            ("-02:30", "[h]:mm"),
            ("30:09:01", "[h]:mm:ss"),
            ("30:09:01.250", "[h]:mm:ss"),
            ("-1 days 23:00:00", "[d] days hh:mm:ss"),
        ];
        for (text, format) in cases {
            let format = TimeFormat::parse(format).expect("a format");
            let instant = format.read(text).expect("a time");
            assert_eq!(format.write(instant.seconds, 0).as_deref(), Some(text));
        }
        let zoned = TimeFormat::parse("%Y-%m-%d %H:%M%:z").expect("a format");
        let text = zoned.write(origin_seconds(), 7_200);
        assert_eq!(text.as_deref(), Some("2000-01-01 02:00+02:00"));
    }

    #[test]
    fn a_format_that_cannot_be_written_is_none() {
        for format in ["%Q", "day", "%", "%Y-%:", "%3z", ""] {
            assert_eq!(TimeFormat::parse(format), None, "{format}");
        }
        assert!(TimeFormat::parse("%Y-%m-%d %H:%M:%S%:z").is_some());
    }

    #[test]
    fn steps_are_read_in_words() {
        for (text, expected) in [
            ("1 hour", Some((Axis::Seconds, 3_600.))),
            ("4hours", Some((Axis::Seconds, 14_400.))),
            ("month", Some((Axis::Months, 1.))),
            ("2 years", Some((Axis::Months, 24.))),
            ("1.5 months", None),
            ("0 days", None),
            ("1 fortnight", None),
            ("5", None),
        ] {
            assert_eq!(parse_step(text), expected, "{text}");
        }
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        assert_eq!(months_of(10_957. * DAY), Some(360.));
        assert_eq!(months_of(10_988. * DAY), Some(361.));
        let grid = Grid { axis: Axis::Months, width: Some(3.), kind: TimeKind::Dates };
        assert_eq!(grid.date(3.), seconds("2000-04-01", "%Y-%m-%d").expect("a date"));
    }
}
