//! Columns read as times.

use super::cells::{Cells, Nature, Value};
use super::words::{shown, time_likeness};
use crate::clock::{Elapsed, TimeFormat, TimeKind};
use crate::notation::{Notation, is_beyond};

/// Formats of dates that are tried, in this order. What has `%d` before `%m` stands before the
/// same the other way round.
const DATES: [&str; 33] = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d.%m.%y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%d-%m-%y",
    "%d-%b-%Y",
    "%d%b%Y",
    "%d%b%y",
    "%d %b %Y",
    "%d %B %Y",
    "%d. %B %Y",
    "%d-%b-%y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%Y%m%d",
    "%Y-%m",
    "%Y/%m",
    "%m/%Y",
    "%m-%Y",
    "%m.%Y",
    "%b %Y",
    "%B %Y",
    "%b-%Y",
    "%b-%y",
    "%b %y",
    "%Y%m",
];
/// Seconds since 1970 of the years between which dates are believed.
const YEARS: (f64, f64) = (-30_000_000_000., 41_000_000_000.);
/// Years of dates that are written as one number: 1800 to 2300.
const YEARS_OF_NUMBERS: (f64, f64) = (-5_370_000_000., 10_414_000_000.);
/// Distinct texts that are looked at to say which formats a column mixes.
const LOOKED_AT: usize = 300;

/// A column read as times.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    /// Seconds, or the column's own numbers.
    pub(super) values: Vec<Option<f64>>,
    /// Of texts that are no numbers.
    pub(super) format: Option<String>,
    pub(super) kind: TimeKind,
    /// Whether day and month may stand the other way round.
    pub(super) doubt: bool,
}

/// The formats that fit all of a column's texts.
pub(super) struct Formats {
    /// The likeliest first.
    fitting: Vec<(String, TimeFormat)>,
}

/// The formats that fit all texts; otherwise the position of the first that none fits which
/// fits those before it.
pub(super) fn find_format(values: &[&Value]) -> Result<Formats, usize> {
    let fraction = fraction_of(values);
    let mut fitting = values.first().map_or(Vec::new(), |value| fits(&value.text, fraction));
    for (at, value) in values.iter().enumerate() {
        fitting.retain(|(name, format)| reads(&value.text, name, format).is_some());
        if fitting.is_empty() {
            return Err(at);
        }
    }
    if fitting.is_empty() { Err(0) } else { Ok(Formats { fitting }) }
}

/// The seconds that a text names, where that is a time to believe.
fn reads(text: &str, name: &str, format: &TimeFormat) -> Option<f64> {
    let (low, high) = match name {
        "%Y%m%d" | "%Y%m" => YEARS_OF_NUMBERS,
        _ => YEARS,
    };
    let long_enough = match name {
        "%Y%m%d" => text.len() == 8,
        "%Y%m" => text.len() == 6,
        _ => true,
    };
    let seconds = format.read(text)?.seconds;
    (long_enough && (!format.is_date() || (low..high).contains(&seconds))).then_some(seconds)
}

/// The part of a format for fractions of a second; none where no text has such.
fn fraction_of(values: &[&Value]) -> &'static str {
    let digits = |text: &str| {
        let (_, seconds) = text.rsplit_once(':').filter(|(before, _)| before.contains(':'))?;
        let (_, fraction) = seconds.split_once('.')?;
        Some(fraction.bytes().take_while(u8::is_ascii_digit).count())
    };
    let mut lengths = values.iter().map(|value| digits(&value.text).unwrap_or(0));
    let first = lengths.next().unwrap_or(0);
    match (first, lengths.all(|length| length == first)) {
        (0, true) => "",
        (3, true) => "%.3f",
        (6, true) => "%.6f",
        (9, true) => "%.9f",
        _ => "%.f",
    }
}

/// The formats that a text fits.
fn fits(text: &str, fraction: &str) -> Vec<(String, TimeFormat)> {
    let elapsed = Elapsed::ALL.iter().map(|(name, _)| (*name).to_owned());
    let parts = split(text, fraction);
    let dates = parts.iter().flat_map(|rest| DATES.iter().map(move |date| format!("{date}{rest}")));
    elapsed
        .chain(dates)
        .filter_map(|name| {
            let format = TimeFormat::parse(&name)?;
            reads(text, &name, &format)?;
            Some((name, format))
        })
        .collect()
}

/// What follows the date in a format for `text`; `None` where no date can be there.
fn split(text: &str, fraction: &str) -> Option<String> {
    let starts = |c: char| c.is_ascii_digit() || c.is_alphabetic();
    if text.len() > 60 || !text.starts_with(starts) || !text.contains(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let Some(colon) = text.find(':') else {
        let hours = text.rsplit_once(['T', ' ']).filter(|(date, hours)| {
            date.contains(['-', '/', '.']) && hours.len() == 2 && hours.parse::<u8>().is_ok()
        });
        let joiner = |date: &str| if text[date.len()..].starts_with('T') { "T%H" } else { " %H" };
        return Some(hours.map_or(String::new(), |(date, _)| joiner(date).into()));
    };
    let date = text[..colon].trim_end_matches(|c: char| c.is_ascii_digit());
    let clock = &text[date.len()..];
    let joiner = date.chars().next_back().filter(|c| matches!(c, 'T' | ' '))?;
    let zone_at = clock.find(|c: char| !(c.is_ascii_digit() || ":. ".contains(c)));
    let (clock, zone) = clock.split_at(zone_at.unwrap_or(clock.len()));
    let space = if clock.ends_with(' ') { " " } else { "" };
    let (twelve, zone) = match zone.to_ascii_uppercase().as_str() {
        "" => (false, ""),
        "AM" | "PM" => (true, "%p"),
        "Z" => (false, "Z"),
        "UTC" => (false, "UTC"),
        other if other.starts_with(['+', '-']) && other.contains(':') => (false, "%:z"),
        other if other.starts_with(['+', '-']) && other.len() == 5 => (false, "%z"),
        _ => return None,
    };
    let hours = if twelve { "%I" } else { "%H" };
    let seconds = if clock.matches(':').count() > 1 { ":%S" } else { "" };
    let fraction = if seconds.is_empty() { "" } else { fraction };
    Some(format!("{joiner}{hours}:%M{seconds}{fraction}{space}{zone}"))
}

impl Cells {
    /// The cells as times, where all that are there can be.
    pub(super) fn clock(&self, decimal: char) -> Option<Clock> {
        if let (Nature::Time(kind), Some(seconds)) = (&self.nature, &self.seconds) {
            let (values, kind) = (seconds.clone(), *kind);
            return Some(Clock { values, format: None, kind, doubt: false });
        }
        let can_be =
            matches!(self.nature, Nature::Untyped | Nature::Text | Nature::Integer | Nature::Real);
        if !can_be || self.values.is_empty() {
            return None;
        }
        if let Some(dates) = self.dates() {
            return Some(dates);
        }
        let notation = Notation { decimal, ..Notation::PLAIN };
        let read = |value: &Value| {
            let number = notation.read(&value.text)?;
            (number.is_finite() && !is_beyond(&value.text, number)).then_some(number)
        };
        let numbers: Vec<f64> = self.values.iter().map(read).collect::<Option<_>>()?;
        let values = self.spread(&numbers);
        Some(Clock { values, format: None, kind: TimeKind::Numbers, doubt: false })
    }

    /// Each row's value, given each text's.
    fn spread(&self, values: &[f64]) -> Vec<Option<f64>> {
        self.rows.iter().map(|at| at.map(|at| values[at as usize])).collect()
    }

    /// Texts as dates or elapsed time; whole numbers as dates where they are as 20180131.
    pub(super) fn dates(&self) -> Option<Clock> {
        if !matches!(self.nature, Nature::Untyped | Nature::Text | Nature::Integer) {
            return None;
        }
        let values: Vec<&Value> = self.values.iter().collect();
        let mut fitting = find_format(&values).ok()?.fitting;
        if self.values.len() < 2 || time_likeness(&self.name) < 0.7 {
            fitting.retain(|(name, _)| name != "%Y%m");
        }
        let read = |(name, format): &(String, TimeFormat)| -> Option<Vec<Option<f64>>> {
            let seconds: Option<Vec<f64>> =
                values.iter().map(|value| reads(&value.text, name, format)).collect();
            Some(self.spread(&seconds?))
        };
        let swapped = |name: &str| name.replace("%d", "%x").replace("%m", "%d").replace("%x", "%m");
        let mut best = read(fitting.first()?)?;
        let mut chosen = fitting.first()?;
        let other =
            fitting.iter().find(|(name, _)| *name == swapped(&chosen.0) && *name != chosen.0);
        let doubt = other.is_some();
        // Rows mostly stand in the order of their times.
        if let Some(other) = other
            && let Some(times) = read(other)
            && falls(&times) < falls(&best)
        {
            (best, chosen) = (times, other);
        }
        let kind = if chosen.1.is_date() { TimeKind::Dates } else { TimeKind::Elapsed };
        Some(Clock { values: best, format: Some(chosen.0.clone()), kind, doubt })
    }

    /// What is wrong with a column whose texts are dates, but not all in one format; with the
    /// cells' rows.
    pub(super) fn mixed_dates(&self) -> Option<String> {
        if !matches!(self.nature, Nature::Untyped | Nature::Text) {
            return None;
        }
        let mut left: Vec<&Value> = self.values.iter().take(LOOKED_AT).collect();
        let all = left.len();
        let mut groups: Vec<String> = Vec::new();
        let mut others: Vec<&Value> = Vec::new();
        while let Some(first) = left.first().copied() {
            let Some((name, format)) = fits(&first.text, fraction_of(&left)).into_iter().next()
            else {
                others.push(left.remove(0));
                if others.len() * 5 > all {
                    return None;
                }
                continue;
            };
            groups.push(format!("{} as `{name}`", place(first)));
            left.retain(|value| reads(&value.text, &name, &format).is_none());
        }
        if groups.is_empty() || groups.len() + others.len() < 2 {
            return None;
        }
        groups.truncate(4);
        let others =
            others.iter().take(3).map(|value| format!("{} as no date that is known", place(value)));
        groups.extend(others);
        Some(format!("writes its times in several ways: {}", groups.join(", ")))
    }
}

fn place(value: &Value) -> String {
    format!("`{}` (row {})", shown(&value.text), value.row + 1)
}

/// How often a time is below that of the row before.
fn falls(times: &[Option<f64>]) -> usize {
    times.windows(2).filter(|pair| pair[1] < pair[0]).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_the_cells() {
        let cases: [(&[&str], Option<&str>, bool); 27] = [
            (&["2018-01-05", "2018-01-31"], Some("%Y-%m-%d"), false),
            (&["05.01.18", "31.01.18"], Some("%d.%m.%y"), false),
            (&["20180105", "20180131"], Some("%Y%m%d"), false),
            (&["2018-01", "2018-12"], Some("%Y-%m"), false),
            (&["Jan 2018", "Dec 2018"], Some("%b %Y"), false),
            (&["January 2018", "May 2018"], Some("%B %Y"), false),
            (&["May 2018", "January 2018"], Some("%B %Y"), false),
            (&["01/2018", "12/2018"], Some("%m/%Y"), false),
            (&["13/01/2018", "02/01/2018"], Some("%d/%m/%Y"), false),
            (&["01/13/2018", "01/02/2018"], Some("%m/%d/%Y"), false),
            (&["01/02/2018", "02/02/2018"], Some("%d/%m/%Y"), true),
            (&["01/11/2018", "01/12/2018", "02/01/2018"], Some("%m/%d/%Y"), true),
            (&["2021-03-26 14:00:00+00:00"], Some("%Y-%m-%d %H:%M:%S%:z"), false),
            (&["2021-03-26T14:00:00+0100"], Some("%Y-%m-%dT%H:%M:%S%z"), false),
            (&["2021-03-26T14:00:00Z"], Some("%Y-%m-%dT%H:%M:%SZ"), false),
            (&["2021-03-26T14:00:00.250Z"], Some("%Y-%m-%dT%H:%M:%S%.3fZ"), false),
            (
                &["2021-03-26 14:00:00.25", "2021-03-26 14:00:01"],
                Some("%Y-%m-%d %H:%M:%S%.f"),
                false,
            ),
            (&["2021-03-26 14:00"], Some("%Y-%m-%d %H:%M"), false),
            (&["3/26/2021 2:05 PM"], Some("%m/%d/%Y %I:%M %p"), false),
            (&["26.03.2021 14:00"], Some("%d.%m.%Y %H:%M"), false),
            (&["2021-03-26 14"], Some("%Y-%m-%d %H"), false),
            (&["01JAN2018", "31DEC2018"], Some("%d%b%Y"), false),
            (&["23:50", "30:09"], Some("[h]:mm"), false),
            (&["23:50:00", "30:09:01"], Some("[h]:mm:ss"), false),
            (&["0 days 01:00:00", "1 days 00:00:00"], Some("[d] days hh:mm:ss"), false),
            (&["3.37", "12.43"], None, false),
            (&["99999999", "20180105"], None, false),
        ];
        for (texts, format, doubt) in cases {
            let clock = Cells::of_texts("time", texts).clock('.');
            let found = clock.as_ref().map(|clock| (clock.format.as_deref(), clock.doubt));
            assert_eq!(found, Some((format, doubt)), "{texts:?}");
        }
        assert!(Cells::of_texts("x", &["a", "b"]).clock('.').is_none());
        assert!(Cells::of_texts("x", &["201801", "201802"]).dates().is_none());
    }

    #[test]
    fn two_formats_in_one_column_are_named() {
        let mixed = Cells::of_texts("date", &["2019-01-03", "2019-01-04", "06/01/2019"]);
        let problem = mixed.mixed_dates().expect("mixed");
        assert!(mixed.clock('.').is_none());
        for part in ["`2019-01-03` (row 1) as `%Y-%m-%d`", "`06/01/2019` (row 3) as `%d/%m/%Y`"] {
            assert!(problem.contains(part), "{problem}");
        }
        let slip = ["2019-01-03", "2019-01-04", "2019-01-05", "2019-01-06", "2019-13-01"];
        let problem = Cells::of_texts("date", &slip).mixed_dates().expect("mixed");
        assert!(problem.contains("`2019-13-01` (row 5) as no date"), "{problem}");
        assert!(Cells::of_texts("x", &["a", "2019-01-03"]).mixed_dates().is_none());
        assert!(Cells::of_texts("x", &["2019-01-04", "2019-01-03"]).mixed_dates().is_none());
    }
}
