//! A column's entry.

use super::cells::{Cells, Nature, Value};
use super::groups::Groups;
use super::numbers::Number;
use super::time::Clock;
use super::words::{is_code_name, quoted, shown};
use crate::clock::TimeKind;
use crate::notation::{Notation, is_code};
use std::collections::HashMap;
use std::fmt::Write;

/// Numbers with at most so many values are levels, if each is common enough.
const FEW: usize = 10;
/// Texts with more values are pooled or left out.
const MOST_TEXTS: usize = 30;
/// Levels with a smaller share of the rows are pooled, where there are too many.
const RARE: f64 = 0.01;
/// What is kept then must cover this share of the rows, …
const COVERED: f64 = 0.6;
/// … and each level so many patients.
const PATIENTS_OF_A_LEVEL: usize = 5;

/// What is known of the table when a column is described.
pub(super) struct Context<'a> {
    pub(super) groups: &'a Groups,
    pub(super) decimal: char,
    /// Whether rows at equal times are so frequent that numbers are averaged.
    pub(super) averaged: bool,
}

/// An entry, or a comment that says why there is none.
pub(super) struct Entry {
    pub(super) toml: String,
    pub(super) is_left_out: bool,
    /// What the user should look at.
    pub(super) doubts: Vec<String>,
}

impl Entry {
    pub(super) fn left_out(name: &str, why: &str) -> Self {
        let toml = format!("\n# Left out: `{}`, {why}.\n", shown(name));
        Self { toml, is_left_out: true, doubts: Vec::new() }
    }
}

/// A column's entry.
pub(super) fn describe(cells: &Cells, context: &Context<'_>) -> Entry {
    if cells.name.is_empty() {
        let toml = "\n# Left out: a column without a name.\n".into();
        return Entry { toml, is_left_out: true, doubts: Vec::new() };
    }
    let left_out = |why: &str| Entry::left_out(&cells.name, why);
    if let Nature::Other(what) = &cells.nature {
        return left_out(what);
    }
    let mut entry = format!("\n[[columns]]\nname = {}\n", quoted(&cells.name));
    let (mut doubts, mut proposed_missing) = (Vec::new(), 0);
    let is_static = cells.values.len() == 1
        || (cells.present() > 0 && context.groups.holds_constant(&cells.rows));
    if cells.present() == 0 {
        entry += "kind = \"numeric\"\n# empty: comes back empty\n";
    } else {
        match kind(cells, context, is_static) {
            Kind::Nothing(why) => return left_out(&why),
            Kind::Dates(clock) => write_dates(&mut entry, &clock),
            Kind::Levels(of_number) => write_levels(&mut entry, cells, of_number.as_deref()),
            Kind::Pooled(kept) => {
                let _ = writeln!(
                    entry,
                    "kind = \"categorical\"\nrare = {{ below = {RARE}, into = \"Other\" }} # guess: {} different texts, of which {kept} are kept",
                    cells.values.len()
                );
            }
            Kind::Numbers(number) => {
                number.write(&mut entry);
                proposed_missing = number.proposed_missing(cells);
                if let Some(slips) = number.doubts() {
                    let _ = writeln!(entry, "# guess: {slips}");
                }
                doubts.extend(number.guesses().into_iter().chain(number.doubts()));
                if context.averaged && !is_static {
                    entry += "aggregate = \"mean\" # of rows at one time\n";
                }
            }
        }
    }
    if is_static {
        entry += "static = true\n";
    }
    let share = cells.missing_share() + proposed_missing as f64 / cells.rows.len().max(1) as f64;
    if share > 0. {
        let percent = 100. * share;
        let percent = if percent < 1. { "less than 1".into() } else { format!("{percent:.0}") };
        let _ = writeln!(entry, "missing_indicator = true # {percent} % missing");
    }
    Entry { toml: entry, is_left_out: false, doubts }
}

/// Writes what a column of dates or durations is.
fn write_dates(entry: &mut String, clock: &Clock) {
    let what = if clock.kind == TimeKind::Dates { "dates" } else { "durations" };
    let guess = if clock.doubt { ", guess: which comes first, day or month" } else { "" };
    // Writing to a String cannot fail.
    let _ = match &clock.format {
        Some(format) => {
            writeln!(entry, "kind = \"numeric\"\nformat = {} # {what}{guess}", quoted(format))
        }
        None => writeln!(entry, "kind = \"numeric\" # {what}"),
    };
}

/// What a column turned out to hold.
enum Kind<'c> {
    Numbers(Number<'c>),
    /// With each text's number, where the levels are numbers.
    Levels(Option<Vec<f64>>),
    /// Dates or durations.
    Dates(Clock),
    /// Texts of which so many are kept.
    Pooled(usize),
    Nothing(String),
}

fn kind<'c>(cells: &'c Cells, context: &Context<'_>, is_static: bool) -> Kind<'c> {
    let count = cells.values.len();
    // A static value counts once a patient.
    let common = if is_static && count > 2 {
        context.groups.rows.len() >= 5 * count
    } else {
        cells.present() >= 5 * count
    };
    if cells.is_too_big() {
        return if count <= MOST_TEXTS && common {
            Kind::Levels(None)
        } else {
            let why = "whole numbers beyond 2^53, which are no measurements and would lose digits";
            Kind::Nothing(why.into())
        };
    }
    match cells.nature {
        Nature::Time(_) => {
            return match cells.clock(context.decimal) {
                Some(clock) => Kind::Dates(clock),
                None => Kind::Nothing("times that cannot be read".into()),
            };
        }
        Nature::Boolean => return Kind::Levels(None),
        // Texts by their type are texts; but a few rows of different numbers are numbers.
        Nature::Text
            if count <= MOST_TEXTS
                && cells.dates().is_none()
                && (common || Number::read(cells, context.decimal).is_err()) =>
        {
            return Kind::Levels(None);
        }
        _ => {}
    }
    if let Some(clock) = cells.dates() {
        let has_fractions = cells.values.iter().any(|value| value.text.contains('.'));
        return match clock.kind == TimeKind::Elapsed && has_fractions {
            // They would not be written as they were.
            true => Kind::Nothing("elapsed times with fractions of a second".into()),
            false => Kind::Dates(clock),
        };
    }
    if cells.mixed_dates().is_some() {
        return Kind::Nothing("dates in several formats, beside the time column".into());
    }
    match Number::read(cells, context.decimal) {
        Ok(number) => {
            let numbers: Option<Vec<f64>> = number.of_text.iter().copied().collect();
            match numbers.filter(|_| number.is_plain()) {
                Some(_) if is_code_name(&cells.name) && !cells.is_whole() => {
                    texts(cells, context, None)
                }
                Some(numbers) if count <= FEW && count > 1 && common => Kind::Levels(Some(numbers)),
                _ => Kind::Numbers(number),
            }
        }
        Err(None) if count > FEW && Number::read(cells, other_sign(context.decimal)).is_ok() => {
            let sign = other_sign(context.decimal);
            Kind::Nothing(format!("numbers with another decimal sign (`{sign}`) than the table's"))
        }
        Err(why) => texts(cells, context, why),
    }
}

fn other_sign(decimal: char) -> char {
    if decimal == ',' { '.' } else { ',' }
}

/// A column of texts; `why` says why it holds no numbers, where it nearly does.
fn texts<'c>(cells: &'c Cells, context: &Context<'_>, why: Option<String>) -> Kind<'c> {
    let count = cells.values.len();
    if count <= MOST_TEXTS {
        return match why.filter(|_| count > FEW) {
            Some(why) => Kind::Nothing(why),
            None => Kind::Levels(None),
        };
    }
    let rows = cells.rows.len() as f64;
    let is_kept = |value: &&Value| value.count as f64 / rows >= RARE;
    let kept: Vec<&Value> = cells.values.iter().filter(is_kept).collect();
    let covered: usize = kept.iter().map(|value| value.count).sum();
    let shared = patients_of(cells, context.groups);
    let is_shared = cells
        .values
        .iter()
        .zip(&shared)
        .all(|(value, patients)| !is_kept(&value) || *patients >= PATIENTS_OF_A_LEVEL);
    let covers = covered as f64 >= COVERED * cells.present() as f64;
    if why.is_none() && covers && is_shared && (2..MOST_TEXTS).contains(&kept.len()) {
        return Kind::Pooled(kept.len());
    }
    let digits = cells.values.iter().any(|value| is_code(&value.text));
    let what = if digits { "codes" } else { "texts" };
    Kind::Nothing(why.unwrap_or_else(|| format!("{count} different {what}")))
}

/// The number of patients that each text stands with.
fn patients_of(cells: &Cells, groups: &Groups) -> Vec<usize> {
    let mut count = vec![0; cells.values.len()];
    let mut last: HashMap<u32, usize> = HashMap::new();
    for (patient, rows) in groups.rows.iter().enumerate() {
        for at in rows.iter().filter_map(|&row| cells.rows[row]) {
            if last.insert(at, patient) != Some(patient) {
                count[at as usize] += 1;
            }
        }
    }
    count
}

/// Writes the levels: as TOML's numbers where each is one that is written so, else as texts.
fn write_levels(entry: &mut String, cells: &Cells, numbers: Option<&[f64]>) {
    let texts = cells.values.iter().map(|value| value.text.as_str());
    let levels = numbers.and_then(|numbers| numbers_as_levels(texts.clone(), numbers));
    let levels = levels.unwrap_or_else(|| {
        let mut texts: Vec<&str> = texts.collect();
        texts.sort_unstable();
        texts.into_iter().map(quoted).collect()
    });
    let kind = if levels.len() == 2 { "binary" } else { "categorical" };
    let _ = writeln!(entry, "kind = \"{kind}\"\nlevels = [{}]", levels.join(", "));
}

/// Levels as TOML writes numbers, ascending and each once; `None` where one is written in
/// another way.
fn numbers_as_levels<'t>(
    texts: impl Iterator<Item = &'t str>,
    numbers: &[f64],
) -> Option<Vec<String>> {
    let mut both: Vec<(f64, &str)> = numbers.iter().copied().zip(texts).collect();
    both.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
    both.dedup_by(|a, b| a.0 == b.0);
    let is_number = |text: &str| {
        let table = toml::from_str::<toml::Table>(&format!("x = {text}")).ok();
        let written = table.and_then(|table| table.get("x").map(ToString::to_string));
        written.as_deref() == Some(text) && Notation::PLAIN.read(text).is_some()
    };
    both.into_iter().map(|(_, text)| is_number(text).then(|| text.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a table in which each patient has four rows.
    fn entry(name: &str, texts: &[&str]) -> String {
        let ids: Vec<String> = (0..texts.len()).map(|row| (row / 4).to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let groups = Groups::new(&Cells::of_texts("id", &ids), &vec![true; texts.len()]);
        let context = Context { groups: &groups, decimal: '.', averaged: false };
        describe(&Cells::of_texts(name, texts), &context).toml
    }

    #[test]
    fn a_column_is_described_by_its_cells() {
        let many = |texts: &[&'static str], n: usize| texts.repeat(n);
        let cases: [(&str, Vec<&str>, &str); 13] = [
            (
                "sex",
                many(&["f", "f", "f", "f", "m", "m", "m", "m"], 3),
                "kind = \"binary\"\nlevels = [\"f\", \"m\"]\nstatic = true\n",
            ),
            ("on", many(&["0", "1", "1"], 8), "kind = \"binary\"\nlevels = [0, 1]\n"),
            ("edema", many(&["0.0", "0.5", "1.0"], 8), "levels = [0.0, 0.5, 1.0]\n"),
            (
                "dx",
                many(&["250.00", "427.31", "401.10"], 8),
                "levels = [\"250.00\", \"401.10\", \"427.31\"]\n",
            ),
            ("ward", many(&["01", "02", "10"], 8), "levels = [\"01\", \"02\", \"10\"]\n"),
            ("code", many(&["0417", "417"], 8), "levels = [\"0417\", \"417\"]\n"),
            ("limit", many(&["20.0"], 8), "kind = \"numeric\"\n# constant\nstatic = true\n"),
            ("site", many(&["A"], 8), "kind = \"categorical\"\nlevels = [\"A\"]\nstatic = true\n"),
            (
                "empty",
                many(&[""], 8),
                "kind = \"numeric\"\n# empty: comes back empty\nmissing_indicator = true # 100 % missing\n",
            ),
            (
                "gap",
                many(&["a", "b", "a", ""], 8),
                "levels = [\"a\", \"b\"]\nmissing_indicator = true # 25 % missing\n",
            ),
            (
                "seen",
                many(&["2018-01-05", "2018-02-06"], 8),
                "kind = \"numeric\"\nformat = \"%Y-%m-%d\" # dates\n",
            ),
            (
                "enc",
                many(&["1152921504606846976", "1152921504606846977", "3"], 8),
                "levels = [\"1152921504606846976\", \"1152921504606846977\", \"3\"]",
            ),
            ("", vec!["1", "2"], "# Left out: a column without a name."),
        ];
        for (name, texts, part) in cases {
            let entry = entry(name, &texts);
            assert!(entry.contains(part), "{name}: {part}\n{entry}");
        }
    }

    #[test]
    fn many_codes_are_pooled_where_few_cover_the_rows() {
        let mut texts: Vec<String> = (0..200).map(|n| format!("A{}", n % 3)).collect();
        texts.extend((0..40).map(|n| format!("B{n}")));
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let of_few = entry("dx", &texts);
        assert!(
            of_few.contains("rare = { below = 0.01, into = \"Other\" } # guess: 43"),
            "{of_few}"
        );
        let texts: Vec<String> = (0..200).map(|n| format!("A{n}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert!(entry("dx", &texts).contains("# Left out: `dx`, 200 different texts"));
    }
}
