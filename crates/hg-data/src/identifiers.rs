//! Identifiers of real patients in a synthetic table.
//!
//! An identifier is the patient column, and any other column of texts or whole numbers that both
//! tables have, whether it is modelled or not, in which (nearly) every patient has a value of
//! their own and that looks like one: texts, or whole numbers under such a name as `hadm_id`.
//! A synthetic column that is numbered 1, 2, 3 … (or from 0; few may be missing) identifies no one, whatever the real one
//! holds.

use crate::parsed::present;
use crate::{Result, Schema};
use polars_core::prelude::*;
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// Patients with a value from which on a column can be told to identify them.
const PATIENTS: usize = 20;
/// The share of values that must be one patient's alone, and of texts that must be no numbers.
const NEARLY_ALL: f64 = 0.9;
/// Digits of a number from which on it identifies under a name that also counts or times things.
const DIGITS: usize = 5;
/// Parts of names that say "identifier".
const SURE: [&str; 10] =
    ["id", "ids", "mrn", "ssn", "nhs", "pid", "uid", "uuid", "guid", "identifier"];
/// Parts of names that may say so.
const LIKELY: [&str; 14] = [
    "no",
    "nr",
    "num",
    "number",
    "code",
    "case",
    "encounter",
    "admission",
    "visit",
    "stay",
    "record",
    "patient",
    "subject",
    "account",
];

/// The identifiers that two tables have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Identifiers {
    /// The patient column first, then the others in the real table's order.
    pub columns: Vec<IdentifierColumn>,
}

/// A column of identifiers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IdentifierColumn {
    /// Its name.
    pub column: String,
    /// Synthetic patients who carry a value of a real one.
    pub shared: usize,
    /// Synthetic patients with a value.
    pub patients: usize,
    /// Whether the synthetic values are a running number, which identifies no one.
    pub is_running: bool,
}

impl Identifiers {
    /// Looks for identifiers of the `real` table, as it was read, in the `synthetic` one.
    ///
    /// # Errors
    /// Only what polars reports of cells that cannot be written as texts.
    pub fn find(schema: &Schema, real: &DataFrame, synthetic: &DataFrame) -> Result<Self> {
        let patient = schema.patient.column.as_str();
        let (Ok(of_real), Ok(of_made)) = (real.column(patient), synthetic.column(patient)) else {
            return Ok(Self::default());
        };
        let (of_real, of_made) = (cells(of_real, schema)?, cells(of_made, schema)?);
        let mut columns = Vec::new();
        for column in real.columns() {
            let name = column.name().as_str();
            let Ok(made) = synthetic.column(name) else { continue };
            let is_patient = name == patient;
            if name == schema.time.column || !(is_patient || may_identify(column.dtype())) {
                continue;
            }
            let values = cells(column, schema)?;
            if !is_patient && !identifies(name, &of_real, &values) {
                continue;
            }
            let found = compare(name, &values, &of_made, &cells(made, schema)?);
            let at = if is_patient { 0 } else { columns.len() };
            columns.insert(at, found);
        }
        Ok(Self { columns })
    }
}

/// Cells as texts, `None` where they are missing.
type Cells = Vec<Option<String>>;

fn cells(column: &Column, schema: &Schema) -> Result<Cells> {
    let texts = column.cast(&DataType::String)?;
    let text = |cell: Option<&str>| {
        let text = present(cell, &schema.missing, &[])?;
        // Ids that another tool read as numbers with a fraction are the same ids.
        let whole = text.strip_suffix(".0").filter(|whole| is_whole(whole));
        Some(whole.unwrap_or(text).to_owned())
    };
    Ok(texts.str()?.iter().map(text).collect())
}

/// Texts (also of a CSV) and whole numbers; dates, truths and fractions are no identifiers.
fn may_identify(dtype: &DataType) -> bool {
    let is_text = matches!(dtype, DataType::String) || dtype.is_categorical() || dtype.is_enum();
    is_text || dtype.is_integer()
}

/// Whether a column's values are each (nearly) one patient's alone, and look like identifiers.
fn identifies(name: &str, patients: &Cells, values: &Cells) -> bool {
    let mut holders: HashMap<&str, HashSet<&str>> = HashMap::new();
    for (patient, value) in patients.iter().zip(values) {
        if let (Some(patient), Some(value)) = (patient, value) {
            holders.entry(value).or_default().insert(patient);
        }
    }
    let people: HashSet<&str> = holders.values().flatten().copied().collect();
    let all = holders.len() as f64;
    let own = holders.values().filter(|of| of.len() == 1).count() as f64;
    let is_own = people.len() >= PATIENTS
        && all >= NEARLY_ALL * people.len() as f64
        && own >= NEARLY_ALL * all;
    is_own && looks_like_one(name, holders.keys().copied())
}

fn looks_like_one<'v>(name: &str, values: impl Iterator<Item = &'v str> + Clone) -> bool {
    let share = |holds: &dyn Fn(&str) -> bool| {
        let there = values.clone().filter(|value| holds(value)).count();
        there as f64 >= NEARLY_ALL * values.clone().count() as f64
    };
    if share(&|value| value.parse::<f64>().is_err() && !is_date(value)) {
        return true;
    }
    if !share(&is_whole) {
        return false;
    }
    let parts = name_parts(name);
    let says = |words: &[&str]| parts.iter().any(|part| words.contains(&part.as_str()));
    let ends_so = parts.iter().any(|part| part.ends_with("id"));
    let is_long = || share(&|value| value.trim_start_matches('-').len() >= DIGITS);
    says(&SURE) || ((says(&LIKELY) || ends_so) && is_long())
}

fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text begins as a date: three groups of digits, of which the first or the last is a
/// year of four. Nobody is known by a date alone.
fn is_date(text: &str) -> bool {
    let date = text.split(['T', ' ']).next().unwrap_or_default();
    let groups: Vec<&str> = date.split(['-', '/', '.']).collect();
    let is_group = |group: &&str, most: usize| {
        (1..=most).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_digit())
    };
    match groups[..] {
        [first, middle, last] => {
            let is_year = |group: &str| group.len() == 4 && is_group(&group, 4);
            is_group(&middle, 2)
                && ((is_year(first) && is_group(&last, 2))
                    || (is_group(&first, 2) && is_year(last)))
        }
        _ => false,
    }
}

/// `hadm_id`, `caseNr` and `Visit-ID` in lower-case words.
fn name_parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before_is_lower = false;
    for letter in name.chars() {
        if !letter.is_alphabetic() || (letter.is_uppercase() && before_is_lower) {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut().filter(|_| letter.is_alphabetic()) {
            part.extend(letter.to_lowercase());
        }
        before_is_lower = letter.is_lowercase();
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn compare(name: &str, real: &Cells, of_made: &Cells, made: &Cells) -> IdentifierColumn {
    let known: HashSet<&str> = real.iter().flatten().map(String::as_str).collect();
    let values: HashSet<&str> = made.iter().flatten().map(String::as_str).collect();
    let is_running = is_running(&values);
    let pairs = || of_made.iter().zip(made).filter_map(|(p, v)| Some((p.as_ref()?, v.as_ref()?)));
    let people = |held: &dyn Fn(&str) -> bool| -> usize {
        pairs().filter(|(_, value)| held(value)).map(|(p, _)| p).collect::<HashSet<_>>().len()
    };
    let shared = if is_running { 0 } else { people(&|value| known.contains(value)) };
    IdentifierColumn { column: name.to_owned(), shared, patients: people(&|_| true), is_running }
}

/// Whether some distinct values are nearly all of the numbers from 0 or 1 on, each once: a patient of
/// several tables may have no row in those that are looked at.
fn is_running(values: &HashSet<&str>) -> bool {
    let numbers: Option<HashSet<u64>> = values.iter().map(|value| value.parse().ok()).collect();
    numbers.is_some_and(|numbers| {
        let (least, greatest) = (numbers.iter().min(), numbers.iter().max());
        let (Some(&least), Some(&greatest)) = (least, greatest) else { return false };
        numbers.len() == values.len()
            && least <= 1
            && numbers.len() as f64 >= NEARLY_ALL * ((greatest - least) as f64 + 1.)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const SCHEMA: &str = "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"day\"\n\
        step = 1.0\n[[columns]]\nname = \"futime\"\nkind = \"numeric\"\n";

    /// Thirty patients of two days with these columns.
    fn table(columns: &[(&str, &dyn Fn(usize) -> String)]) -> DataFrame {
        let rows = || (0..30).flat_map(|patient| [patient, patient]);
        let columns = columns.iter().map(|(name, of)| {
            Series::new((*name).into(), rows().map(of).collect::<Vec<_>>()).into_column()
        });
        DataFrame::new(60, columns.collect()).expect("a table")
    }

    /// (column, shared, of, whether it is a running number)
    fn found(real: &DataFrame, made: &DataFrame) -> Vec<(String, usize, usize, bool)> {
        let schema = Schema::parse(SCHEMA, Path::new("t.toml")).expect("a schema");
        let found = Identifiers::find(&schema, real, made).expect("texts").columns;
        found.into_iter().map(|c| (c.column, c.shared, c.patients, c.is_running)).collect()
    }

    #[test]
    fn real_ids_are_counted_and_a_running_number_is_none() {
        let named = |from: usize| move |n: usize| format!("MRN-{:04}", from + n);
        let numbered = |n: usize| (n + 1).to_string();
        let real = table(&[("id", &named(0))]);
        assert_eq!(found(&real, &table(&[("id", &named(25))])), [("id".into(), 5, 30, false)]);
        assert_eq!(found(&real, &table(&[("id", &named(30))])), [("id".into(), 0, 30, false)]);
        assert_eq!(found(&real, &table(&[("id", &numbered)])), [("id".into(), 0, 30, true)]);
        let with_gap = |n: usize| (n + 1 + usize::from(n > 5)).to_string();
        assert_eq!(found(&real, &table(&[("id", &with_gap)])), [("id".into(), 0, 30, true)]);
        // Even where the real patients are numbered too; but not some of their numbers.
        let (real, some) = (table(&[("id", &numbered)]), |n: usize| (1 + n % 7 * 3).to_string());
        assert_eq!(found(&real, &real), [("id".into(), 0, 30, true)]);
        assert_eq!(found(&real, &table(&[("id", &some)])), [("id".into(), 7, 7, false)]);
    }

    #[test]
    fn other_columns_are_identifiers_by_their_values_and_their_names() {
        let numbered = |n: usize| (n + 1).to_string();
        let long = |n: usize| (100_000 + 7 * n).to_string();
        let name = |n: usize| format!("Anna {n}");
        let date = |n: usize| format!("2014-03-{:02}", n + 1);
        let level = |n: usize| ["low", "high"][n % 2].to_owned();
        let fraction = |n: usize| format!("{n}.25");
        for (column, of, is_one) in [
            ("name", &name as &dyn Fn(usize) -> String, true),
            ("hadm_id", &long, true),
            ("caseNr", &long, true),
            ("patientunitstayid", &long, true),
            ("birth", &date, false),
            ("ward_id", &level, false),
            ("chol", &fraction, false),
            // Days of follow-up differ from patient to patient, and identify no one.
            ("futime", &long, false),
            ("visit", &numbered, false),
        ] {
            let table = table(&[("id", &numbered), (column, of)]);
            let columns = found(&table, &table);
            let shared = columns.iter().find(|(name, ..)| name == column).map(|found| found.1);
            assert_eq!(shared, is_one.then_some(30), "{column}");
        }
    }

    #[test]
    fn an_id_is_the_same_as_text_number_and_fraction() {
        let texts = table(&[("id", &|n| (7000 + 3 * n).to_string())]);
        let fractions = table(&[("id", &|n| format!("{}.0", 7000 + 3 * n))]);
        assert_eq!(found(&texts, &fractions), [("id".into(), 30, 30, false)]);
        let numbers = texts.column("id").and_then(|id| id.cast(&DataType::Int64)).expect("numbers");
        let numbers = DataFrame::new(60, vec![numbers]).expect("a table");
        assert_eq!(found(&texts, &numbers), [("id".into(), 30, 30, false)]);
    }
}
