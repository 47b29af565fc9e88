//! Proposes a schema for a table.

use super::Transform;
use crate::clock::TimeFormat;
use crate::csv::{Separator, sniff};
use crate::files::{files, is_csv};
use crate::landmarks::quantile;
use crate::notation::{Notation, finite};
use crate::source::TimeSource;
use crate::table::read_table;
use crate::{Error, FittedTransform, Result};
use polars::prelude::{DataFrame, DataType};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::path::Path;

/// Texts that people write for a missing value. Those that could be a level too count
/// only among numbers or dates.
const MISSING: [(&str, bool); 15] = [
    ("NA", true),
    ("N/A", true),
    ("n/a", true),
    ("#N/A", true),
    ("NULL", true),
    ("null", true),
    ("NaN", true),
    ("nan", true),
    ("None", false),
    ("none", false),
    ("missing", false),
    ("?", false),
    (".", false),
    ("-", false),
    ("--", false),
];
/// Formats of dates that are tried, in this order.
const FORMATS: [&str; 14] = [
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d-%b-%Y",
];
fn days(text: &str, format: &str) -> Option<f64> {
    Some(TimeFormat::parse(format)?.read(text)?.seconds / 86_400.)
}
fn parse_number(text: &str, thousands: Option<char>) -> Option<f64> {
    Notation { decimal: '.', thousands, suffix: "" }.read(text)
}
const IDS: [&str; 8] = ["patient", "subject", "person", "stay", "mrn", "case", "pid", "id"];
const TIMES: [&str; 13] = [
    "time", "day", "date", "hour", "offset", "visit", "month", "week", "minute", "step", "year",
    "age", "seq",
];
/// Numbers with at most so many values are levels, if each is common enough.
const FEW: usize = 10;
/// Texts with more values are left out.
const MOST_TEXTS: usize = 30;
/// A column that is missing more often has its measuring modelled.
const OFTEN_MISSING: f64 = 0.2;
/// A skewness that no transform is needed for.
const SMALL_SKEW: f64 = 0.8;
/// Steps that the grid should not exceed for most patients.
const MOST_STEPS: f64 = 100.;
/// Patients are cut after so many.
const LONGEST: usize = 200;

/// A proposal in TOML, with comments that say why, for `table`; `patient` and `time`
/// name columns where the guess is wrong.
///
/// # Errors
/// When the table cannot be read, or no column can be the patient or the time.
pub fn infer(path: &Path, patient: Option<&str>, time: Option<&str>) -> Result<String> {
    let first = &files(path)?[0];
    let sniffed = if is_csv(first)? { Some(sniff(first)?) } else { None };
    let (encoding, separator) = sniffed.map_or((None, b','), |s| (s.encoding, s.separator));
    let table = read_table(path, encoding, Separator::Given(separator))?;
    let columns: Vec<Cells> = Cells::all(&table)?;
    let place = |name: &str| {
        columns.iter().position(|cells| cells.name == name).ok_or_else(|| {
            Error::column(path, name, "the table has no such column; mend --patient or --time")
        })
    };
    let patient = match patient {
        Some(name) => place(name)?,
        None => guess_patient(&columns).ok_or_else(|| {
            Error::file(path, "no column looks like the patient; name it with --patient")
        })?,
    };
    let groups = Groups::new(&columns[patient]);
    let (time, clock) = match time {
        Some(name) => {
            let at = place(name)?;
            let clock = columns[at].clock().ok_or_else(|| {
                Error::column(
                    path,
                    name,
                    "holds neither numbers nor dates; name another with --time",
                )
            })?;
            (at, clock)
        }
        None => guess_time(&columns, patient, &groups).ok_or_else(|| {
            Error::file(path, "no column looks like the time; name it with --time")
        })?,
    };

    let mut missing: HashSet<&str> = HashSet::new();
    let mut bodies = Vec::new();
    for (n, cells) in columns.iter().enumerate() {
        missing.extend(cells.missing.iter().copied());
        if n != patient && n != time {
            bodies.push(describe(cells, &groups, &mut missing));
        }
    }

    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut toml = String::new();
    let rows = table.height();
    // Writing to a String cannot fail.
    let _ = writeln!(
        toml,
        "# Proposed by `hg schema infer` for {} ({rows} rows, {} patients).\n\
         # Read it through: what is marked «guess» is one.\n\
         name = {}",
        path.file_name().unwrap_or_default().to_string_lossy(),
        groups.rows.len(),
        quoted(&stem)
    );
    if let Some(encoding) = encoding {
        let _ = writeln!(
            toml,
            "encoding = {} # guess: the file is not UTF-8",
            quoted(&encoding.name().to_lowercase())
        );
    }
    if separator != b',' {
        let _ = writeln!(toml, "separator = {}", quoted(&char::from(separator).to_string()));
    }
    if !missing.is_empty() {
        let mut missing: Vec<String> = missing.into_iter().map(quoted).collect();
        missing.sort();
        let _ = writeln!(toml, "missing = [{}]", missing.join(", "));
    }
    let _ = write!(toml, "\n[patient]\ncolumn = {}\n", quoted(&columns[patient].name));
    write_time(&mut toml, &columns[time].name, &clock, &groups);
    toml.extend(bodies);
    Ok(toml)
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}

/// A column's cells as texts.
struct Cells {
    name: String,
    dtype: DataType,
    texts: Vec<Option<String>>,
    /// Texts for «missing» that were taken out of `texts`.
    missing: Vec<&'static str>,
    /// Of a column that polars knows as dates.
    dates: Option<Vec<Option<f64>>>,
}

/// A column read as times.
struct Clock {
    values: Vec<Option<f64>>,
    /// Of dates in a text column.
    format: Option<&'static str>,
    is_date: bool,
}

impl Cells {
    fn all(table: &DataFrame) -> Result<Vec<Self>> {
        table.columns().iter().map(Self::new).collect()
    }

    fn new(column: &polars::prelude::Column) -> Result<Self> {
        let texts = column.cast(&DataType::String)?;
        let trimmed = texts.str()?.iter().map(|cell| cell.map(str::trim).filter(|c| !c.is_empty()));
        let mut texts: Vec<Option<String>> = trimmed.map(|cell| cell.map(str::to_owned)).collect();
        let is_sign = |text: &str| MISSING.iter().find(|(sign, _)| *sign == text);
        let rest = || texts.iter().flatten().filter(|text| is_sign(text).is_none());
        let measures = |text: &String| {
            parse_number(text, Some(',')).is_some()
                || text.starts_with(['<', '>'])
                || FORMATS.iter().any(|format| days(text, format).is_some())
        };
        let is_measure = rest().next().is_some() && rest().all(measures);
        let mut missing = Vec::new();
        for cell in &mut texts {
            let sign = cell.as_deref().and_then(is_sign);
            if let Some((sign, _)) = sign.filter(|(_, always)| *always || is_measure) {
                missing.push(*sign);
                *cell = None;
            }
        }
        missing.sort();
        missing.dedup();
        let dates = TimeSource::of(column)?.map(|(_, days)| days.iter().collect());
        let (name, dtype) = (column.name().to_string(), column.dtype().clone());
        Ok(Self { name, dtype, texts, missing, dates })
    }

    fn present(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().filter_map(Option::as_deref)
    }

    fn missing_share(&self) -> f64 {
        self.texts.iter().filter(|cell| cell.is_none()).count() as f64 / self.texts.len() as f64
    }

    fn distinct(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        self.present().for_each(|text| *counts.entry(text).or_insert(0) += 1);
        counts
    }

    /// The cells as times, where all that are there can be.
    fn clock(&self) -> Option<Clock> {
        if let Some(days) = &self.dates {
            return Some(Clock { values: days.clone(), format: None, is_date: true });
        }
        let read = |read: &dyn Fn(&str) -> Option<f64>| -> Option<Vec<Option<f64>>> {
            self.present().next()?;
            let cell = |cell: &Option<String>| match cell {
                Some(text) => read(text).map(Some),
                None => Some(None),
            };
            self.texts.iter().map(cell).collect()
        };
        if let Some(values) = read(&finite) {
            return Some(Clock { values, format: None, is_date: false });
        }
        FORMATS.iter().find_map(|format| {
            let values = read(&|text| days(text, format))?;
            Some(Clock { values, format: Some(format), is_date: true })
        })
    }
}

/// The rows of each patient.
struct Groups {
    rows: Vec<Vec<usize>>,
}

impl Groups {
    fn new(ids: &Cells) -> Self {
        let mut place: HashMap<&str, usize> = HashMap::new();
        let mut rows: Vec<Vec<usize>> = Vec::new();
        for (row, id) in ids.texts.iter().enumerate() {
            let Some(id) = id else { continue };
            let group = *place.entry(id).or_insert(rows.len());
            if group == rows.len() {
                rows.push(Vec::new());
            }
            rows[group].push(row);
        }
        Self { rows }
    }

    /// Whether no patient's values differ, and some patient has several rows.
    fn holds_constant<T: PartialEq>(&self, cells: &[Option<T>]) -> bool {
        let constant = |rows: &Vec<usize>| {
            let mut present = rows.iter().filter_map(|&row| cells[row].as_ref());
            present.next().is_none_or(|first| present.all(|cell| cell == first))
        };
        self.rows.iter().any(|rows| rows.len() > 1) && self.rows.iter().all(constant)
    }

    /// Each patient's times, ascending.
    fn times(&self, clock: &Clock) -> Vec<Vec<f64>> {
        let of = |rows: &Vec<usize>| {
            let mut times: Vec<f64> = rows.iter().filter_map(|&row| clock.values[row]).collect();
            times.sort_by(f64::total_cmp);
            times
        };
        self.rows.iter().map(of).collect()
    }
}

/// How much a name looks like one of `words`.
fn score(name: &str, words: &[&str]) -> usize {
    let name = name.to_lowercase();
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
    let of = |word: &&str| match () {
        () if plain == *word => 4,
        () if plain == format!("{word}id") => 5,
        () if name.split(|c: char| !c.is_alphanumeric()).any(|part| part == *word) => 3,
        () if plain.ends_with(word) => 2,
        () if word.len() > 3 && plain.contains(word) => 2,
        () => 0,
    };
    words.iter().map(of).sum()
}

fn guess_patient(columns: &[Cells]) -> Option<usize> {
    let complete = |cells: &Cells| cells.texts.iter().all(Option::is_some);
    let by_name = (0..columns.len())
        .filter(|&n| complete(&columns[n]) && score(&columns[n].name, &IDS) > 0)
        .rev()
        .max_by_key(|&n| score(&columns[n].name, &IDS));
    // Otherwise the first column whose values come in groups.
    by_name.or_else(|| {
        (0..columns.len()).find(|&n| {
            let distinct = columns[n].distinct().len();
            complete(&columns[n])
                && distinct < columns[n].texts.len()
                && columns[n].clock().is_none()
        })
    })
}

fn guess_time(columns: &[Cells], patient: usize, groups: &Groups) -> Option<(usize, Clock)> {
    let mut best: Option<(usize, usize, Clock)> = None;
    for (n, cells) in columns.iter().enumerate().filter(|(n, _)| *n != patient) {
        let Some(clock) = cells.clock() else { continue };
        if clock.values.iter().any(Option::is_none) || groups.holds_constant(&clock.values) {
            continue;
        }
        let times = groups.times(&clock);
        let unique = times.iter().all(|times| times.windows(2).all(|pair| pair[0] < pair[1]));
        let in_order = groups
            .rows
            .iter()
            .all(|rows| rows.windows(2).all(|pair| clock.values[pair[0]] < clock.values[pair[1]]));
        let named = score(&cells.name, &TIMES);
        if named == 0 && !clock.is_date && !in_order {
            continue;
        }
        let score = 8 * usize::from(unique)
            + 4 * usize::from(clock.is_date)
            + 2 * named
            + usize::from(in_order);
        if best.as_ref().is_none_or(|(before, ..)| score > *before) {
            best = Some((score, n, clock));
        }
    }
    best.map(|(_, n, clock)| (n, clock))
}

/// Two significant digits.
fn rounded(x: f64) -> f64 {
    let scale = 10f64.powf(x.abs().log10().floor() - 1.);
    if x == 0. { x } else { (x / scale).round() * scale }
}

fn write_time(toml: &mut String, name: &str, clock: &Clock, groups: &Groups) {
    let times = groups.times(clock);
    let mut gaps: Vec<f64> = times
        .iter()
        .flat_map(|times| times.windows(2).map(|pair| pair[1] - pair[0]))
        .filter(|gap| *gap > 0.)
        .collect();
    gaps.sort_by(f64::total_cmp);
    let span = |times: &Vec<f64>| Some(times.last()? - times.first()?);
    let mut spans: Vec<f64> = times.iter().filter_map(span).collect();
    spans.sort_by(f64::total_cmp);
    let median = if gaps.is_empty() { 1. } else { quantile(&gaps, 0.5) };
    let usual = if spans.is_empty() { 0. } else { quantile(&spans, 0.95) };
    let _ = write!(toml, "\n[time]\ncolumn = {}\n", quoted(name));
    if clock.is_date {
        let _ = writeln!(toml, "unit = \"days\"");
    }
    if let Some(format) = clock.format {
        let is_guess = format.starts_with("%d/%m");
        let doubt = if is_guess { " # guess: the day comes first" } else { "" };
        let _ = writeln!(toml, "format = {}{doubt}", quoted(format));
    }
    let whole = clock.values.iter().flatten().all(|time| time.fract() == 0.);
    let (median, usual) =
        if whole { (median.round().max(1.), usual.round()) } else { (median, rounded(usual)) };
    let step = if usual / median > MOST_STEPS { rounded(usual / 48.) } else { median };
    let _ = writeln!(
        toml,
        "step = {step:?} # guess: the median time between rows is {median}, and most patients span {usual} or less"
    );
    let longest = spans.last().map_or(0., |span| span / step) as usize + 1;
    if longest > LONGEST {
        let _ = writeln!(
            toml,
            "\n[sequence]\nmax_length = {LONGEST} # the longest patient has {longest} steps"
        );
    }
}

/// A column's entry, or a comment that says why it has none.
fn describe<'c>(cells: &'c Cells, groups: &Groups, missing: &mut HashSet<&'c str>) -> String {
    let share = cells.missing_share();
    let name = quoted(&cells.name);
    if cells.name.is_empty() {
        return "\n# Left out: a column without a name.\n".into();
    }
    if share == 1. {
        return format!("\n# Left out: {name}, nothing was measured.\n");
    }
    let distinct = cells.distinct();
    let is_static = groups.holds_constant(&cells.texts);
    let mut entry = format!("\n[[columns]]\nname = {name}\n");
    let mut number = Number::read(&cells.texts, &distinct);
    if cells.dtype == DataType::Boolean {
        number = None;
    }
    let common = cells.present().count() >= 5 * distinct.len();
    match number {
        Some(number)
            if number.is_plain() && distinct.len() <= FEW && distinct.len() > 1 && common =>
        {
            write_levels(&mut entry, &distinct, true);
        }
        Some(number) => {
            missing.extend(number.unread.iter().copied());
            number.write(&mut entry);
        }
        None if cells.dates.is_some() || cells.clock().is_some() => {
            return format!("\n# Left out: {name}, dates beside the time column.\n");
        }
        None if distinct.len() <= MOST_TEXTS => write_levels(&mut entry, &distinct, false),
        None => {
            let count = distinct.len();
            return format!("\n# Left out: {name}, a text with {count} different values.\n");
        }
    }
    // Writing to a String cannot fail.
    if is_static {
        let _ = writeln!(entry, "static = true");
    }
    if share > 0. {
        let percent = 100. * share;
        let measured = share > OFTEN_MISSING && !is_static;
        let key = if measured { "measured = true " } else { "" };
        let _ = writeln!(entry, "{key}# {percent:.0} % missing");
    }
    entry
}

fn write_levels(entry: &mut String, distinct: &BTreeMap<&str, usize>, numeric: bool) {
    let mut levels: Vec<&str> = distinct.keys().copied().collect();
    if numeric {
        let value = |text: &&str| finite(text).unwrap_or(0.);
        levels.sort_by(|a, b| value(a).total_cmp(&value(b)));
        levels.dedup_by(|a, b| value(&&**a) == value(&&**b));
    }
    let kind = if levels.len() == 2 { "binary" } else { "categorical" };
    let as_written = |text: &str| {
        let number = toml::from_str::<toml::Table>(&format!("x = {text}")).ok();
        let same = number.and_then(|table| table.get("x").map(|x| x.to_string() == text));
        if same == Some(true) && text != "true" && text != "false" {
            text.into()
        } else {
            quoted(text)
        }
    };
    let levels: Vec<String> = levels.into_iter().map(as_written).collect();
    let _ = writeln!(entry, "kind = \"{kind}\"\nlevels = [{}]", levels.join(", "));
}

/// A column read as numbers.
struct Number<'c> {
    /// Ascending.
    values: Vec<f64>,
    thousands: bool,
    censored: Option<(&'c str, f64)>,
    /// Further texts like `> 89`, which become missing.
    unread: Vec<&'c str>,
}

impl<'c> Number<'c> {
    /// `None` where a cell is no number.
    fn read(cells: &'c [Option<String>], distinct: &BTreeMap<&'c str, usize>) -> Option<Self> {
        let thousands = distinct.keys().any(|text| {
            parse_number(text, None).is_none() && parse_number(text, Some(',')).is_some()
        });
        let parse = |text: &str| {
            parse_number(text, thousands.then_some(',')).filter(|value| value.is_finite())
        };
        let mut bounds: Vec<(&str, f64)> = Vec::new();
        for text in distinct.keys().copied().filter(|text| parse(text).is_none()) {
            let bound = text.strip_prefix(['<', '>'])?.trim_start_matches('=').trim();
            bounds.push((text, parse(bound)?));
        }
        let mut values: Vec<f64> = cells.iter().flatten().filter_map(|text| parse(text)).collect();
        values.sort_by(f64::total_cmp);
        values.first()?;
        // The commonest bound is modelled.
        bounds.sort_by_key(|(text, _)| std::cmp::Reverse(distinct[text]));
        let unread = bounds.iter().skip(1).map(|(text, _)| *text).collect();
        Some(Self { values, thousands, censored: bounds.first().copied(), unread })
    }

    fn is_plain(&self) -> bool {
        !self.thousands && self.censored.is_none()
    }

    fn write(&self, entry: &mut String) {
        let _ = writeln!(entry, "kind = \"numeric\"");
        let (why, transform, shift) = suggest_transform(&self.values);
        if transform == Transform::Identity {
            let _ = writeln!(entry, "# {why}");
        } else {
            let name = toml::Value::try_from(transform).map(|name| name.to_string());
            let _ = writeln!(entry, "transform = {} # {why}", name.unwrap_or_default());
        }
        if let Some(shift) = shift {
            let _ = writeln!(entry, "shift = {shift:?}");
        }
        if self.thousands {
            let _ = writeln!(entry, "thousands = \",\"");
        }
        if let Some((text, bound)) = self.censored {
            // Beyond the bound, so that the bound itself stays a number.
            let whole = self.values.iter().all(|x| x.fract() == 0.);
            let beyond = if whole { 1. } else { bound.abs().max(1.) * 1e-3 };
            let value = if text.starts_with('<') { bound - beyond } else { bound + beyond };
            let _ = writeln!(entry, "censored = {{ text = {}, value = {value:?} }}", quoted(text));
        }
    }
}

/// What the choice rests on, the transform and Box–Cox's shift.
fn suggest_transform(values: &[f64]) -> (String, Transform, Option<f64>) {
    let plain = skewness(values.iter().copied());
    if plain == 0. && values[0] == values[values.len() - 1] {
        return ("constant".into(), Transform::Identity, None);
    }
    if plain.abs() < SMALL_SKEW {
        return (format!("skewness {plain:.1}"), Transform::Identity, None);
    }
    let shift = (values[0] == 0.).then_some(1.);
    if values[0] >= 0.
        && let Ok(fitted) = FittedTransform::fit(Transform::BoxCox, shift.unwrap_or(0.), 0., values)
    {
        let after = skewness(values.iter().map(|&x| fitted.encode(x)));
        let lambda = fitted.lambda().unwrap_or(1.);
        if after.abs() < SMALL_SKEW {
            let why = format!("skewness {plain:.1}, {after:.1} after Box–Cox with λ = {lambda:.2}");
            return (why, Transform::BoxCox, shift);
        }
    }
    (format!("skewness {plain:.1}, which Box–Cox does not mend"), Transform::Quantile, None)
}

fn skewness(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let moment = |k: i32| values.clone().map(|x| (x - mean).powi(k)).sum::<f64>() / n;
    let deviation = moment(2).sqrt();
    if deviation > 0. { moment(3) / deviation.powi(3) } else { 0. }
}
