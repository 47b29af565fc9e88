//! What is wrong with a schema beyond its grammar, with the lines.

use super::keys::{ColumnKeys, SchemaKeys, TimeKeys, TimeModelKey};
use super::rule::Rule;
use super::transform::TransformKey;
use super::{Aggregate, Kind, Privacy, Sequence, Start, Step, Transform};
use crate::clock::{TimeFormat, TimeKind, parse_step};
use crate::construct::Construction;
use crate::parsed::{DERIVED, GAP, PATIENT, START, TIME};
use crate::spikes::is_at;
use std::collections::HashSet;
use toml::de::{DeTable, DeValue};

/// Working names.
const RESERVED: [&str; 4] = [PATIENT, TIME, START, GAP];

/// Decimals of a column, at most.
const MOST_DECIMALS: u32 = 6;

/// Spikes of a column, at most.
const MOST_SPIKES: usize = 20;

/// Where a schema comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stage {
    /// A person wrote it.
    Written,
    /// Levels and bins were fitted since: the first time may be a column of its own, rare levels
    /// are pooled already, and there may be fewer bins than labels.
    Fitted,
}

/// Where in the TOML a problem is.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// In a key outside of all tables; empty for none.
    Top(&'static str),
    /// In a key of a table.
    Key(&'static str, &'static str),
    /// In a key of the n-th column.
    Column(usize, &'static str),
    /// In the n-th rule.
    Rule(usize),
    /// In a key of the n-th of several tables.
    Table(usize, &'static str),
}

/// Problems with the keys that they are about.
type Problems = Vec<(&'static str, String)>;

/// Everything that is wrong with `schema`, which was read from `text`: the line where it is
/// known, and the problem.
pub(crate) fn problems(
    schema: &SchemaKeys,
    text: &str,
    stage: Stage,
) -> Vec<(Option<usize>, String)> {
    let in_table = |table| move |(key, problem)| (Place::Key(table, key), problem);
    let decision = schema.decision.iter().flat_map(|decision| decision.problems(schema));
    let decision = decision.map(|(key, problem)| (key, format!("decision.{key}: {problem}")));

    let mut found: Vec<(Place, String)> = Vec::new();
    found.extend(of_time(&schema.time).into_iter().map(in_table("time")));
    found.extend(of_sequence(&schema.sequence).into_iter().map(in_table("sequence")));
    found.extend(of_privacy(schema).into_iter().map(in_table("privacy")));
    found.extend(of_file(schema).into_iter().map(|(key, problem)| (Place::Top(key), problem)));
    found.extend(of_roles(schema));
    found.extend(decision.map(in_table("decision")));
    found.extend(super::tables::problems(schema));
    found.extend(of_rules(schema));
    found.extend(of_names(schema, stage));

    let lines = Lines::new(text);
    found.into_iter().map(|(place, problem)| (lines.of(place), problem)).collect()
}

fn of_sequence(sequence: &Sequence) -> Problems {
    let mut found = Vec::new();
    if sequence.min_length == 0 {
        found.push(("min_length", "sequence.min_length is 0, it must be at least 1".into()));
    }
    for (name, longest) in [("max_length", sequence.max_length), ("window", sequence.window)] {
        if longest.is_some_and(|longest| longest < sequence.min_length.max(1)) {
            let problem = format!("sequence.{name} is below sequence.min_length\nhint: raise it");
            found.push((name, problem));
        }
    }
    found
}

fn of_privacy(schema: &SchemaKeys) -> Problems {
    let Some(Privacy { epsilon, delta }) = schema.privacy else { return Vec::new() };
    let mut found = Vec::new();
    if !(epsilon.is_finite() && epsilon > 0.) {
        let problem = format!("privacy.epsilon is {epsilon}, it must be a finite number above 0");
        found.push(("epsilon", problem));
    }
    if let Some(delta) = delta.filter(|delta| !(*delta > 0. && *delta < 1.)) {
        found.push(("delta", format!("privacy.delta is {delta}, it must lie between 0 and 1")));
    }
    found
}

/// How the file is written, and whether there are columns at all.
fn of_file(schema: &SchemaKeys) -> Problems {
    let mut found = Vec::new();
    if let Some(encoding) = &schema.encoding
        && encoding_rs::Encoding::for_label(encoding.as_bytes()).is_none()
    {
        let problem = format!(
            "encoding `{encoding}` is unknown\nhint: use `utf-8`, `windows-1252` or another name of the WHATWG"
        );
        found.push(("encoding", problem));
    }
    if schema.separator.is_some_and(|c| !c.is_ascii() || "\"\r\n".contains(c)) {
        let problem = "separator must be one ASCII character, as \",\", \";\" or \"\\t\"".into();
        found.push(("separator", problem));
    }
    if let Some(decimal) = schema.decimal.filter(|c| !matches!(c, '.' | ',')) {
        let problem = format!("decimal is `{decimal}`, it must be \".\" or \",\"");
        found.push(("decimal", problem));
    }
    if schema.columns.is_empty() {
        let problem = "there is no [[columns]] entry\nhint: add one for each column to model";
        found.push(("", problem.into()));
    }
    found
}

/// The columns of patient and time, and what is known of patients.
fn of_roles(schema: &SchemaKeys) -> Vec<(Place, String)> {
    let (patient, time) = (&schema.patient, &schema.time);
    let mut found = Vec::new();
    if patient.column == time.column {
        let problem = format!("`{}` is both patient and time\nhint: name two columns", time.column);
        found.push((Place::Key("time", "column"), problem));
    }
    for name in &patient.quasi_identifiers {
        if !schema.columns.iter().any(|column| column.name == *name) {
            let problem = format!("patient.quasi_identifiers: `{name}` is no [[columns]] entry");
            found.push((Place::Key("patient", "quasi_identifiers"), problem));
        }
    }
    if patient.population == Some(0) {
        let problem = "patient.population is 0, it must be at least the table's patients".into();
        found.push((Place::Key("patient", "population"), problem));
    }
    found
}

/// The columns: their names, and each by itself.
fn of_names(schema: &SchemaKeys, stage: Stage) -> Vec<(Place, String)> {
    let is_modelled = schema.time.clone().meaning().model.has_first_times();
    let mut seen = HashSet::from([schema.patient.column.as_str(), schema.time.column.as_str()]);
    let mut found = Vec::new();
    for (n, column) in schema.columns.iter().enumerate() {
        let name = column.name.as_str();
        let is_derived = stage == Stage::Fitted && is_modelled && DERIVED.contains(&name);
        if RESERVED.contains(&name) && !is_derived {
            let problem =
                format!("column `{name}` has a name that is used within\nhint: rename it");
            found.push((Place::Column(n, "name"), problem));
        }
        if name.is_empty() {
            let problem = "a column has an empty name\nhint: name it".into();
            found.push((Place::Column(n, "name"), problem));
        }
        if !seen.insert(name) {
            let problem = format!("column `{name}` is named twice\nhint: remove one entry");
            found.push((Place::Column(n, "name"), problem));
        }
        if column.thousands.is_some_and(|c| c == schema.decimal.unwrap_or('.')) {
            let problem = format!("column `{name}`: thousands and decimal are the same character");
            found.push((Place::Column(n, "thousands"), problem));
        }
        let of_column = of_levels(column)
            .into_iter()
            .chain(of_transform(column))
            .chain(of_bins(column, stage))
            .chain(of_notation(column))
            .chain(of_spikes(column))
            .chain(of_range(column))
            .chain(of_rare(column, stage))
            .chain(of_kind(column));
        found.extend(
            of_column.map(|(key, problem)| {
                (Place::Column(n, key), format!("column `{name}`: {problem}"))
            }),
        );
    }
    found
}

fn of_time(time: &TimeKeys) -> Problems {
    let mut found = Vec::new();
    let format = time.format.as_deref().map(|text| (text, TimeFormat::parse(text)));
    let is_grid = time.model == TimeModelKey::Grid;
    match &time.step {
        None if is_grid => {
            let problem = "time.step is missing, the width of the grid\nhint: give it, or set time.model = \"visits\" where rows are steps";
            found.push(("column", problem.into()));
        }
        None => {}
        Some(_) if !is_grid => {
            let problem = "visits have no time.step\nhint: remove it, or time.model = \"visits\"";
            found.push(("step", problem.into()));
        }
        Some(Step::Number(width)) if !(width.is_finite() && *width > 0.) => {
            found.push(("step", format!("time.step is {width}, it must be above 0")));
        }
        Some(Step::Text(text)) if parse_step(text).is_none() => {
            let problem = format!(
                "time.step `{text}` is no step\nhint: give a number, or one with a unit, as \"4 hours\" or \"1 month\""
            );
            found.push(("step", problem));
        }
        Some(_) => {
            let kind = match &format {
                Some((_, Some(format))) if format.is_date() => Some(TimeKind::Dates),
                Some((_, Some(_))) => Some(TimeKind::Elapsed),
                // Only the table tells whether the column holds dates.
                _ => None,
            };
            let grid = kind.map(|kind| time.clone().meaning().grid(kind));
            if let Some(Err(problem)) = grid {
                found.push(("step", problem));
            }
        }
    }
    if !is_grid && time.start != Start::default() {
        let problem = "time.start goes with a grid: the first times of visits are modelled anyway\nhint: remove it";
        found.push(("start", problem.into()));
    }
    match format {
        Some((text, None)) => {
            let problem = format!(
                "time.format `{text}` is no format of dates or of elapsed time\nhint: write dates as in %Y-%m-%d, elapsed time as in [h]:mm"
            );
            found.push(("format", problem));
        }
        Some((_, Some(format))) if format.is_date() && time.start == Start::Modelled => {
            let problem = "time.start = \"modelled\" is for times that count from an event; synthetic dates start at 1 January 2000\nhint: remove it";
            found.push(("start", problem.into()));
        }
        _ => {}
    }
    found
}

pub(super) fn of_rules(schema: &SchemaKeys) -> Vec<(Place, String)> {
    let (mut found, mut rules) = (Vec::new(), Vec::new());
    for (n, keys) in schema.rules.iter().enumerate() {
        let problems = match Rule::parse(&keys.holds) {
            Err(problem) => vec![problem],
            Ok(rule) => {
                let problems = of_rule(&rule, schema);
                rules.push(rule);
                problems
                    .into_iter()
                    .map(|problem| format!("rule `{}`: {problem}", keys.holds))
                    .collect()
            }
        };
        found.extend(problems.into_iter().map(|problem| (Place::Rule(n), problem)));
    }
    if !found.is_empty() {
        return found;
    }
    let meaning = schema.clone().meaning();
    match Construction::of(&meaning) {
        Err(columns) => {
            let problem = format!(
                "the rules go round in a circle over `{}`\nhint: remove one",
                columns.join("`, `")
            );
            vec![(Place::Rule(0), problem)]
        }
        Ok(construction) => {
            let constructed = (0..schema.columns.len()).filter(|&n| construction.get(n).is_some());
            let spiked = constructed.clone().find(|&n| !schema.columns[n].spikes.is_empty());
            if let Some(n) = spiked {
                let problem = format!(
                    "rule about `{}`: its distance from another column is modelled, which has no spikes\nhint: remove the rule, or the column's spikes",
                    schema.columns[n].name
                );
                return vec![(Place::Rule(0), problem)];
            }
            of_pairs_of_rules(
                &rules,
                constructed.map(|n| schema.columns[n].name.as_str()).collect(),
            )
        }
    }
}

/// What is wrong with one rule.
fn of_rule(rule: &Rule, schema: &SchemaKeys) -> Vec<String> {
    let column = |name: &str| schema.columns.iter().find(|column| column.name == name);
    let is_time = |name: &str| name == schema.time.column;
    let mut found = Vec::new();
    for name in rule.columns() {
        let allows_time = matches!(rule, Rule::Order { .. });
        if column(name).is_none() && !(is_time(name) && allows_time) {
            found.push(format!("`{name}` is no [[columns]] entry\nhint: correct the name"));
        }
    }
    let is_number = |column: &ColumnKeys| column.kind == Kind::Numeric && column.bins.is_none();
    let mut wants_numbers = |name: &str| {
        if column(name).is_some_and(|column| !is_number(column)) {
            found.push(format!("`{name}` must be numeric and have no bins"));
        }
    };
    let is_static = |name: &str| column(name).is_some_and(|column| column.is_static);
    let of_level = |name: &str, level: &crate::Level| {
        let levels: Vec<String> = column(name)?.levels.iter().map(ToString::to_string).collect();
        let is_one = levels.is_empty() || levels.contains(&level.to_string());
        (!is_one).then(|| format!("`{level}` is no level of `{name}`"))
    };
    let varies =
        |name: &str| is_static(name).then(|| format!("`{name}` is static\nhint: remove the rule"));
    match rule {
        Rule::Order { lesser, greater, .. } => {
            wants_numbers(lesser);
            wants_numbers(greater);
            if lesser == greater {
                found.push("it compares a column with itself\nhint: remove it".into());
            }
        }
        Rule::Monotone { column, .. } => {
            wants_numbers(column);
            found.extend(varies(column));
        }
        Rule::NeverLeft { column, level } => {
            found.extend(of_level(column, level));
            found.extend(varies(column));
        }
        Rule::Once { column } => {
            let schema = schema.clone().meaning();
            let mut columns = schema.columns.iter().filter(|other| other.name == *column);
            if columns.any(|column| column.is_static || !schema.is_occurrence(column)) {
                found.push(format!(
                    "`{column}` is no code without values that happens at some time"
                ));
            }
        }
        Rule::Carried { column: carried, flag, level } => {
            found.extend(of_level(flag, level));
            found.extend(varies(carried));
            if column(flag).is_some_and(|column| column.kind == Kind::Numeric) {
                found.push(format!("the flag `{flag}` must have levels"));
            }
        }
    }
    found
}

/// Rules of which not both can be made to hold; the columns `constructed` are modelled by their
/// distance from others.
fn of_pairs_of_rules(rules: &[Rule], constructed: Vec<&str>) -> Vec<(Place, String)> {
    let changed = |rule: &Rule| match rule {
        Rule::Monotone { column, .. } | Rule::Carried { column, .. } | Rule::Once { column } => {
            Some(column.clone())
        }
        Rule::Order { .. } | Rule::NeverLeft { .. } => None,
    };
    let mut found = Vec::new();
    for (n, rule) in rules.iter().enumerate() {
        let Some(column) = changed(rule) else { continue };
        let is_changed_before =
            rules[..n].iter().any(|other| changed(other).as_ref() == Some(&column));
        if is_changed_before || constructed.contains(&column.as_str()) {
            let problem = format!(
                "rule `{rule}`: another rule is about `{column}` too, and not both can be built in\nhint: remove one"
            );
            found.push((Place::Rule(n), problem));
        }
    }
    found
}

fn of_levels(column: &ColumnKeys) -> Problems {
    let levels: Vec<String> = column.levels.iter().map(ToString::to_string).collect();
    let distinct: HashSet<_> = levels.iter().collect();
    let mut found: Problems = Vec::new();
    if distinct.len() < levels.len() {
        found.push(("levels", "a level is named twice\nhint: remove one".into()));
    }
    match column.kind {
        Kind::Numeric if !levels.is_empty() => {
            found.push(("levels", "a numeric column has no levels\nhint: remove them".into()));
        }
        Kind::Binary if !levels.is_empty() && levels.len() != 2 => {
            found.push(("levels", "a binary column needs exactly two levels".into()));
        }
        _ => {}
    }
    found
}

fn of_transform(column: &ColumnKeys) -> Problems {
    let mut found: Problems = Vec::new();
    if column.shift.is_some() && column.transform != Some(TransformKey::BoxCox) {
        found.push(("shift", "shift goes with transform = \"box-cox\"\nhint: remove it".into()));
    }
    if let Some(shift) = column.shift.filter(|shift| !shift.is_finite()) {
        found.push(("shift", format!("shift is {shift}, it must be finite")));
    }
    if !(0. ..=10.).contains(&column.margin) {
        found.push(("margin", format!("margin is {}, it must be from 0 to 10", column.margin)));
    }
    found
}

fn of_bins(column: &ColumnKeys, stage: Stage) -> Problems {
    let Some(bins) = &column.bins else { return Vec::new() };
    let mut found: Problems = Vec::new();
    if bins.edges.is_empty() == bins.quantiles.is_none() {
        found.push(("bins", "bins need either edges or quantiles".into()));
    }
    let ascend = bins.edges.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascend || bins.edges.iter().any(|edge| !edge.is_finite()) {
        found.push(("bins", "edges must be finite and ascend".into()));
    }
    if bins.quantiles.is_some_and(|n| !(2..=1000).contains(&n)) {
        found.push(("bins", "quantiles must be from 2 to 1000".into()));
    }
    let (count, labels) = (bins.quantiles.unwrap_or(bins.edges.len() + 1), bins.labels.len());
    if stage == Stage::Written && labels > 0 && labels != count {
        found.push(("bins", format!("{count} bins need {count} labels, not {labels}")));
    }
    if column.transform.is_some() || column.margin != 0. {
        found.push(("bins", "a binned column has no transform and no margin".into()));
    }
    found
}

/// How a column's numbers are written.
fn of_notation(column: &ColumnKeys) -> Problems {
    let mut found: Problems = Vec::new();
    if let Some(wrong) = column.censored.iter().find(|censored| !censored.value.is_finite()) {
        found.push(("censored", format!("the value of `{}` must be finite", wrong.text)));
    }
    let texts: HashSet<&str> = column.censored.iter().map(|c| c.text.as_str()).collect();
    if texts.len() < column.censored.len() {
        found.push(("censored", "a text is named twice\nhint: remove one".into()));
    }
    let has_digit = |text: &str| text.contains(|c: char| c.is_ascii_digit());
    if column.suffix.as_ref().is_some_and(|text| text.trim().is_empty() || has_digit(text)) {
        found.push(("suffix", "suffix must be a text without digits, as \"°C\"".into()));
    }
    if let Some(format) = &column.format {
        found.extend(of_format(column, format));
    }
    if column.thousands.is_some_and(|c| c.is_alphanumeric() || "-+\"".contains(c)) {
        let problem = "thousands must be a separator, as \",\", \".\", \" \" or \"'\"";
        found.push(("thousands", problem.into()));
    }
    found
}

/// How dates or elapsed time are written, and what does not go with them.
fn of_format(column: &ColumnKeys, format: &str) -> Problems {
    let mut found: Problems = Vec::new();
    if TimeFormat::parse(format).is_none() {
        let problem = format!(
            "format `{format}` is no format of dates or of elapsed time\nhint: write dates as in %Y-%m-%d, elapsed time as in [h]:mm"
        );
        found.push(("format", problem));
    }
    let is_of_dates =
        matches!(column.transform, None | Some(TransformKey::Identity | TransformKey::Quantile));
    if !is_of_dates {
        let problem = "dates and elapsed time go with transform = \"identity\" or \"quantile\"";
        found.push(("transform", problem.into()));
    }
    let of_numbers = [
        ("suffix", column.suffix.is_some()),
        ("thousands", column.thousands.is_some()),
        ("censored", !column.censored.is_empty()),
        ("spikes", !column.spikes.is_empty()),
        ("bins", column.bins.is_some()),
        ("range", column.range.is_some()),
        ("decimals", column.decimals.is_some()),
    ];
    let given = of_numbers.into_iter().filter(|(_, given)| *given);
    found.extend(given.map(|(key, _)| {
        (key, format!("dates and elapsed time have no {key}\nhint: remove it, or format"))
    }));
    found
}

/// Where values lie, and how they are written.
fn of_range(column: &ColumnKeys) -> Problems {
    let mut found: Problems = Vec::new();
    if let Some(decimals) = column.decimals.filter(|&decimals| decimals > MOST_DECIMALS) {
        let problem = format!("decimals is {decimals}, {MOST_DECIMALS} are the most");
        found.push(("decimals", problem));
    }
    let Some([least, greatest]) = column.range else { return found };
    if !(least < greatest && (greatest - least).is_finite()) {
        let problem = format!(
            "the range from {least} to {greatest} is none\nhint: give the least value, then the greatest"
        );
        found.push(("range", problem));
        return found;
    }
    let transform = Transform::of_keys(column.transform, column.shift);
    let is_spike = column.spikes.iter().any(|&spike| is_at(least, spike));
    if column.bins.is_none() && !transform.is_defined_at(least) && !is_spike {
        let problem = format!(
            "the transform is not defined at {least}, where the range begins\nhint: begin it higher, or choose another transform"
        );
        found.push(("range", problem));
    }
    let censored = column.censored.iter().map(|censored| censored.value);
    let outside = |x: &f64| !(least..=greatest).contains(x);
    if let Some(x) = column.spikes.iter().copied().chain(censored).find(outside) {
        let problem = format!("{x} lies outside the range from {least} to {greatest}");
        found.push(("range", problem));
    }
    if column.margin != 0. {
        let problem = "range says where values lie, and margin leads beyond\nhint: remove one";
        found.push(("margin", problem.into()));
    }
    found
}

/// Exact values that are levels of their own.
fn of_spikes(column: &ColumnKeys) -> Problems {
    let spikes = &column.spikes;
    let mut found: Problems = Vec::new();
    if let Some(wrong) = spikes.iter().find(|spike| !spike.is_finite()) {
        found.push(("spikes", format!("the spike {wrong} must be finite")));
    }
    let is_again =
        |(n, spike): (usize, &f64)| spikes[..n].iter().any(|other| is_at(*other, *spike));
    if spikes.iter().enumerate().any(is_again) {
        found.push(("spikes", "a spike is named twice\nhint: remove one".into()));
    }
    if spikes.len() > MOST_SPIKES {
        let problem = format!(
            "{} spikes are named, {MOST_SPIKES} are the most\nhint: make the column categorical, or bin it",
            spikes.len()
        );
        found.push(("spikes", problem));
    }
    if !spikes.is_empty() && column.bins.is_some() {
        let problem = "a binned column has no spikes\nhint: give the spike a bin of its own";
        found.push(("spikes", problem.into()));
    }
    found
}

fn of_rare(column: &ColumnKeys, stage: Stage) -> Problems {
    let Some(rare) = &column.rare else { return Vec::new() };
    let mut found: Problems = Vec::new();
    let is_pooled = stage == Stage::Fitted && rare.below == 0.;
    if !(rare.below > 0. && rare.below < 1. || is_pooled) {
        found.push(("rare", format!("rare.below is {}, it must be between 0 and 1", rare.below)));
    }
    if column.kind != Kind::Categorical {
        found.push(("rare", "only categorical columns pool rare levels\nhint: remove it".into()));
    }
    found
}

/// Keys that only numeric columns have.
fn of_kind(column: &ColumnKeys) -> Problems {
    if column.kind == Kind::Numeric {
        return Vec::new();
    }
    let numeric_only = [
        ("transform", column.transform.is_some()),
        ("bins", column.bins.is_some()),
        ("margin", column.margin != 0.),
        ("censored", !column.censored.is_empty()),
        ("thousands", column.thousands.is_some()),
        ("suffix", column.suffix.is_some()),
        ("format", column.format.is_some()),
        ("spikes", !column.spikes.is_empty()),
        ("range", column.range.is_some()),
        ("decimals", column.decimals.is_some()),
    ];
    let given = numeric_only.into_iter().filter(|(_, given)| *given);
    let mut found: Problems = given
        .map(|(key, _)| (key, format!("only numeric columns have {key}\nhint: remove it")))
        .collect();
    if column.aggregate != Aggregate::Last {
        let problem = "levels have no mean or sum\nhint: use aggregate = \"last\"";
        found.push(("aggregate", problem.into()));
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

    /// The line of a place, where the text has it.
    fn of(&self, place: Place) -> Option<usize> {
        match place {
            Place::Top("") => None,
            Place::Top(key) => self.of_top(key),
            Place::Key(table, key) => self.of_key(table, key),
            Place::Column(n, key) => self.of_entry("columns", n, key),
            Place::Rule(n) => self.of_entry("rules", n, "holds"),
            Place::Table(n, key) => self.of_entry("tables", n, key),
        }
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

    /// The line of a key of the n-th entry of a list, or of its head where the key is not given.
    fn of_entry(&self, list: &str, n: usize, key: &str) -> Option<usize> {
        let DeValue::Array(entries) = self.root.as_ref()?.get(list)?.get_ref() else {
            return None;
        };
        let entry = entries.get(n)?;
        let table = entry.get_ref().as_table()?;
        Some(self.key(table, key).unwrap_or_else(|| self.line(entry.span().start)))
    }
}
