//! What is wrong with a schema beyond its grammar, with the lines.

use super::{Aggregate, Column, Kind, Schema, Start, Step, Time, Transform};
use crate::clock::{TimeFormat, TimeKind, parse_step};
use crate::parsed::{PATIENT, START, TIME};
use std::collections::HashSet;
use toml::de::{DeTable, DeValue};

/// Working names.
const RESERVED: [&str; 3] = [PATIENT, TIME, START];

/// Where a schema comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stage {
    /// A person wrote it.
    Written,
    /// Levels and bins were fitted since: the first time may be a column of its own, rare levels
    /// are pooled already, and there may be fewer bins than labels.
    Fitted,
}

/// Everything that is wrong with `schema`, which was read from `text`: the line where it is
/// known, and the problem.
pub(crate) fn problems(schema: &Schema, text: &str, stage: Stage) -> Vec<(Option<usize>, String)> {
    let lines = Lines::new(text);
    let mut found = Vec::new();
    let mut say = |line: Option<usize>, problem: String| found.push((line, problem));
    let (time, sequence) = (&schema.time, &schema.sequence);
    for (key, problem) in of_time(time) {
        say(lines.of_key("time", key), problem);
    }
    if sequence.min_length == 0 {
        let line = lines.of_key("sequence", "min_length");
        say(line, "sequence.min_length is 0, it must be at least 1".into());
    }
    for (name, longest) in [("max_length", sequence.max_length), ("window", sequence.window)] {
        if longest.is_some_and(|longest| longest < sequence.min_length.max(1)) {
            let problem = format!("sequence.{name} is below sequence.min_length; raise it");
            say(lines.of_key("sequence", name), problem);
        }
    }
    if let Some(encoding) = &schema.encoding
        && encoding_rs::Encoding::for_label(encoding.as_bytes()).is_none()
    {
        let problem = format!(
            "encoding «{encoding}» is unknown; use «utf-8», «windows-1252» or another name of the WHATWG"
        );
        say(lines.of_top("encoding"), problem);
    }
    if schema.separator.is_some_and(|c| !c.is_ascii() || "\"\r\n".contains(c)) {
        let problem = "separator must be one ASCII character, as \",\", \";\" or \"\\t\"".into();
        say(lines.of_top("separator"), problem);
    }
    if let Some(decimal) = schema.decimal.filter(|c| !matches!(c, '.' | ',')) {
        let problem = format!("decimal is «{decimal}», it must be \".\" or \",\"");
        say(lines.of_top("decimal"), problem);
    }
    if schema.columns.is_empty() {
        say(None, "there is no [[columns]] entry; add one for each column to model".into());
    }
    let mut seen = HashSet::from([schema.patient.column.as_str()]);
    if !seen.insert(&time.column) {
        let problem = format!("«{}» is both patient and time; name two columns", time.column);
        say(lines.of_key("time", "column"), problem);
    }
    for name in &schema.patient.quasi_identifiers {
        if !schema.columns.iter().any(|column| column.name == *name) {
            let problem = format!("patient.quasi_identifiers: «{name}» is no [[columns]] entry");
            say(lines.of_key("patient", "quasi_identifiers"), problem);
        }
    }
    if schema.patient.population == Some(0) {
        let problem = "patient.population is 0, it must be at least the table's patients".into();
        say(lines.of_key("patient", "population"), problem);
    }
    for (key, problem) in schema.decision.iter().flat_map(|decision| decision.problems(schema)) {
        say(lines.of_key("decision", key), format!("decision.{key}: {problem}"));
    }
    for (n, column) in schema.columns.iter().enumerate() {
        let name = &column.name;
        let is_start = stage == Stage::Fitted && time.start == Start::Modelled && name == START;
        if RESERVED.contains(&name.as_str()) && !is_start {
            let problem = format!("column «{name}» has a name that is used within; rename it");
            say(lines.of_column(n, "name"), problem);
        }
        if name.is_empty() {
            say(lines.of_column(n, "name"), "a column has an empty name; name it".into());
        }
        if !seen.insert(name) {
            let problem = format!("column «{name}» is named twice; remove one entry");
            say(lines.of_column(n, "name"), problem);
        }
        if column.thousands.is_some_and(|c| c == schema.decimal.unwrap_or('.')) {
            let problem = format!("column «{name}»: thousands and decimal are the same character");
            say(lines.of_column(n, "thousands"), problem);
        }
        for (key, problem) in of_column(column, stage) {
            say(lines.of_column(n, key), format!("column «{name}»: {problem}"));
        }
    }
    found
}

/// (key, problem)
fn of_time(time: &Time) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let format = time.format.as_deref().map(|text| (text, TimeFormat::parse(text)));
    match &time.step {
        Step::Number(width) if !(width.is_finite() && *width > 0.) => {
            found.push(("step", format!("time.step is {width}, it must be above 0")));
        }
        Step::Text(text) if parse_step(text).is_none() => {
            let problem = format!(
                "time.step «{text}» is no step; give a number, or one with a unit, as \"4 hours\" or \"1 month\""
            );
            found.push(("step", problem));
        }
        _ => {
            let kind = match &format {
                Some((_, Some(format))) if format.is_date() => Some(TimeKind::Dates),
                Some((_, Some(_))) => Some(TimeKind::Elapsed),
                // Only the table tells whether the column holds dates.
                _ => None,
            };
            if let Some(Err(problem)) = kind.map(|kind| time.grid(kind)) {
                found.push(("step", problem));
            }
        }
    }
    match format {
        Some((text, None)) => {
            let problem = format!(
                "time.format «{text}» is no format of dates, as %Y-%m-%d is, or of elapsed time, as [h]:mm is"
            );
            found.push(("format", problem));
        }
        Some((_, Some(format))) if format.is_date() && time.start == Start::Modelled => {
            let problem = "time.start = \"modelled\" is for times that count from an event; synthetic dates start at 1 January 2000. Remove it";
            found.push(("start", problem.into()));
        }
        _ => {}
    }
    found
}

/// (key, problem)
fn of_column(column: &Column, stage: Stage) -> Vec<(&'static str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    let levels = column.level_names();
    let distinct: HashSet<_> = levels.iter().collect();
    if distinct.len() < levels.len() {
        found.push(("levels", "a level is named twice; remove one".into()));
    }
    match column.kind {
        Kind::Numeric if !levels.is_empty() => {
            found.push(("levels", "a numeric column has no levels; remove them".into()));
        }
        Kind::Binary if !levels.is_empty() && levels.len() != 2 => {
            found.push(("levels", "a binary column needs exactly two levels".into()));
        }
        _ => {}
    }
    if column.shift.is_some() && column.transform != Some(Transform::BoxCox) {
        found.push(("shift", "shift goes with transform = \"box-cox\"; remove it".into()));
    }
    if !(0. ..=10.).contains(&column.margin) {
        found.push(("margin", format!("margin is {}, it must be from 0 to 10", column.margin)));
    }
    if let Some(bins) = &column.bins {
        if bins.edges.is_empty() == bins.quantiles.is_none() {
            found.push(("bins", "bins need either edges or quantiles".into()));
        }
        if bins.edges.iter().any(|edge| !edge.is_finite())
            || bins.edges.windows(2).any(|pair| pair[0] >= pair[1])
        {
            found.push(("bins", "edges must be finite and ascend".into()));
        }
        if bins.quantiles.is_some_and(|n| !(2..=1000).contains(&n)) {
            found.push(("bins", "quantiles must be from 2 to 1000".into()));
        }
        let count = bins.quantiles.unwrap_or(bins.edges.len() + 1);
        if stage == Stage::Written && !bins.labels.is_empty() && bins.labels.len() != count {
            let problem = format!("{count} bins need {count} labels, not {}", bins.labels.len());
            found.push(("bins", problem));
        }
        if column.transform.is_some() || column.margin != 0. {
            found.push(("bins", "a binned column has no transform and no margin".into()));
        }
    }
    if let Some(wrong) = column.censored.iter().find(|censored| !censored.value.is_finite()) {
        found.push(("censored", format!("the value of «{}» must be finite", wrong.text)));
    }
    let texts: HashSet<&str> = column.censored.iter().map(|c| c.text.as_str()).collect();
    if texts.len() < column.censored.len() {
        found.push(("censored", "a text is named twice; remove one".into()));
    }
    if column.suffix.as_ref().is_some_and(|suffix| {
        suffix.trim().is_empty() || suffix.contains(|c: char| c.is_ascii_digit())
    }) {
        found.push(("suffix", "suffix must be a text without digits, as \"°C\"".into()));
    }
    if column.thousands.is_some_and(|c| c.is_alphanumeric() || "-+\"".contains(c)) {
        let problem = "thousands must be a separator, as \",\", \".\", \" \" or \"'\"";
        found.push(("thousands", problem.into()));
    }
    if let Some(rare) = &column.rare
        && !(rare.below > 0. && rare.below < 1. || stage == Stage::Fitted && rare.below == 0.)
    {
        found.push(("rare", format!("rare.below is {}, it must be between 0 and 1", rare.below)));
    }
    if column.kind != Kind::Categorical && column.rare.is_some() {
        found.push(("rare", "only categorical columns pool rare levels; remove it".into()));
    }
    if column.kind != Kind::Numeric {
        let numeric_only = [
            ("transform", column.transform.is_some()),
            ("bins", column.bins.is_some()),
            ("margin", column.margin != 0.),
            ("censored", !column.censored.is_empty()),
            ("thousands", column.thousands.is_some()),
            ("suffix", column.suffix.is_some()),
        ];
        for (key, _) in numeric_only.into_iter().filter(|(_, given)| *given) {
            found.push((key, format!("only numeric columns have {key}; remove it")));
        }
        if column.aggregate != Aggregate::Last {
            let problem = "levels have no mean or sum; use aggregate = \"last\"";
            found.push(("aggregate", problem.into()));
        }
    }
    found
}

/// Where things stand in the TOML.
struct Lines<'a> {
    text: &'a str,
    /// `None` for a text that cannot be parsed, which has no lines to give.
    root: Option<DeTable<'a>>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, root: DeTable::parse(text).ok().map(toml::Spanned::into_inner) }
    }

    fn line(&self, at: usize) -> usize {
        1 + self.text[..at].matches('\n').count()
    }

    fn key(&self, table: &DeTable<'_>, key: &str) -> Option<usize> {
        table.get_key_value(key).map(|(key, _)| self.line(key.span().start))
    }

    fn of_top(&self, key: &str) -> Option<usize> {
        self.key(self.root.as_ref()?, key)
    }

    fn of_key(&self, table: &str, key: &str) -> Option<usize> {
        let table = self.root.as_ref()?.get(table)?.get_ref().as_table()?;
        self.key(table, key)
    }

    /// The line of a column's key, or of its head where the key is not given.
    fn of_column(&self, n: usize, key: &str) -> Option<usize> {
        let DeValue::Array(columns) = self.root.as_ref()?.get("columns")?.get_ref() else {
            return None;
        };
        let column = columns.get(n)?;
        let table = column.get_ref().as_table()?;
        Some(self.key(table, key).unwrap_or_else(|| self.line(column.span().start)))
    }
}
