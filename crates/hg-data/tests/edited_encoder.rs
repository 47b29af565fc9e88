//! An `encoder.json` that was edited or damaged is refused, or decodes: never a panic, never an
//! endless loop.

use anyhow::{Context, Result, ensure};
use hg_data::{DataFrame, Encoder, Schema, Subset, Table, write_table};
use polars_core::prelude::*;
use proptest::prelude::*;
use serde_json::Value;
use std::path::Path;
use std::sync::LazyLock;

/// Everything that an encoder can hold, with numbers as times.
const NUMBERS: &str = r#"
name = "numbers"
missing = ["NA"]
[patient]
column = "id"
[time]
column = "t"
step = 2.0
start = "modelled"
[sequence]
max_length = 40
[[columns]]
name = "age"
kind = "numeric"
static = true
[[columns]]
name = "plain"
kind = "numeric"
margin = 0.1
suffix = " mg"
missing_indicator = true
[[columns]]
name = "log"
kind = "numeric"
transform = "log1p"
censored = [{ text = "<1", value = 0.9 }]
[[columns]]
name = "power"
kind = "numeric"
transform = "box-cox"
shift = 1.0
[[columns]]
name = "rank"
kind = "numeric"
transform = "quantile"
[[columns]]
name = "bins"
kind = "numeric"
bins = { edges = [2.0, 5.0], decode = "label", labels = ["low", "mid", "high"] }
[[columns]]
name = "quartiles"
kind = "numeric"
bins = { quantiles = 4 }
[[columns]]
name = "ward"
kind = "categorical"
rare = { below = 0.1, into = "Other" }
missing_indicator = true
[[columns]]
name = "on"
kind = "binary"
levels = [false, true]
[[columns]]
name = "empty"
kind = "numeric"
"#;

/// Texts of dates as times.
const DATES: &str = r#"
name = "dates"
[patient]
column = "id"
[time]
column = "t"
format = "%Y-%m-%d %H:%M:%S%:z"
step = "1 month"
[[columns]]
name = "x"
kind = "numeric"
"#;

/// Several tables, dates among their columns.
const TABLES: &str = r#"
name = "several"
[patient]
column = "id"
[time]
column = "t"
model = "visits"
[[tables]]
name = "people"
role = "static"
[[tables]]
name = "labs"
role = "events"
code = "test"
value = "value"
unit = "unit"
[[tables]]
name = "events"
role = "events"
code = "event"
[[rules]]
holds = "stroke happens once"
[[columns]]
name = "born"
table = "people"
kind = "numeric"
[[columns]]
name = "crp"
table = "labs"
source = "CRP"
kind = "numeric"
[[columns]]
name = "stroke"
table = "events"
kind = "binary"
[[columns]]
name = "ward"
table = "events"
source = "WARD//*"
kind = "categorical"
"#;

fn several() -> Result<[(&'static str, DataFrame); 3]> {
    let born = Series::new("born".into(), [-7_000, -8_000]).cast(&DataType::Date)?;
    let people = DataFrame::new(2, vec![Column::new("id".into(), [1i64, 2]), born.into_column()])?;
    let labs = df!(
        "id" => [1i64, 1, 2], "t" => [0, 9, 4], "test" => ["CRP"; 3],
        "value" => [1.5f32, 2.5, 0.5], "unit" => ["mg/L"; 3],
    )?;
    let events = df!(
        "id" => [1i64, 1, 2], "t" => [9, 12, 4], "event" => ["stroke", "WARD//icu", "WARD//ward"],
    )?;
    Ok([("people", people), ("labs", labs), ("events", events)])
}

fn numbers() -> Result<Table> {
    let rows = 40;
    let cell = |row: i32, n: i32| f64::from((7 * row + 3 * n) % 11) + 0.25;
    let column = |n: i32| (0..rows).map(|row| cell(row, n)).collect::<Vec<f64>>();
    let ward = |row: i32| ["a", "b", "b", "c"][(row % 4) as usize];
    let frame = df!(
        "id" => (0..rows).map(|row| format!("{:03}", row / 8)).collect::<Vec<_>>(),
        "t" => (0..rows).map(|row| 2 * (row % 8) - 3).collect::<Vec<_>>(),
        "age" => (0..rows).map(|row| 40 + row / 8).collect::<Vec<_>>(),
        "plain" => (0..rows).map(|row| (row % 5 > 0).then(|| cell(row, 1))).collect::<Vec<_>>(),
        "log" => column(2),
        "power" => column(3),
        "rank" => column(4),
        "bins" => column(5),
        "quartiles" => column(6),
        "ward" => (0..rows).map(|row| (row % 7 > 0).then(|| ward(row))).collect::<Vec<_>>(),
        "on" => (0..rows).map(|row| row % 3 == 0).collect::<Vec<_>>(),
        "empty" => vec![None::<f64>; rows as usize],
    )?;
    Ok(frame.into())
}

fn dates() -> Result<Table> {
    let frame = df!(
        "id" => [1i64, 1, 2, 2],
        "t" => [
            "2021-01-31 10:00:00+01:00",
            "2021-03-01 00:00:00+01:00",
            "2020-12-01 00:00:00+01:00",
            "2021-02-01 00:00:00+01:00",
        ],
        "x" => [1.5, 2.5, 3.5, 4.5],
    )?;
    Ok(frame.into())
}

/// Tables with times of each type, and the encoders that were fitted to them, as JSON.
fn originals() -> Result<Vec<(Table, Value)>> {
    let mut tables = vec![(NUMBERS, numbers()?), (DATES, dates()?)];
    for dtype in [
        DataType::Date,
        DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC)),
        DataType::Duration(TimeUnit::Nanoseconds),
    ] {
        let times = match dtype {
            DataType::Date => Series::new("t".into(), [18_000, 18_031, 18_000, 18_040]),
            _ => Series::new("t".into(), [0i64, 86_400_000, 0, 86_400_000]),
        };
        let mut frame = dates()?.frame;
        frame.with_column(times.cast(&dtype)?.into_column())?;
        let schema = "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\n\
            step = \"1 day\"\n[[columns]]\nname = \"x\"\nkind = \"numeric\"\n";
        tables.push((schema, frame.into()));
    }
    let schema = Schema::parse(TABLES, Path::new("t.toml"))?;
    tables.push((TABLES, schema.put_together(several()?)?));
    let encoders = tables.into_iter().map(|(schema, table)| {
        let schema = Schema::parse(schema, Path::new("t.toml"))?;
        let (encoder, _) = Encoder::fit(&schema, &table, Subset::Whole)?;
        Ok((table, serde_json::from_str(&encoder.to_json()?)?))
    });
    encoders.collect()
}

static ORIGINALS: LazyLock<Vec<(Table, Value)>> =
    LazyLock::new(|| originals().expect("the encoders"));

/// What is put in the place of a value.
const VALUES: [&str; 30] = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "2",
    "3.5",
    "1e308",
    "-1e308",
    "1e-320",
    "100001",
    "4294967296",
    "18446744073709551615",
    "-9223372036854775808",
    "\"\"",
    "\"x\"",
    "\"(first time)\"",
    "\"numeric\"",
    "\"boolean\"",
    "\"null\"",
    "\"text\"",
    "\"%Y\"",
    "\"box-cox\"",
    "\"quantile\"",
    "[]",
    "[1.0]",
    "{}",
    "{\"decimal\": [40, 50]}",
    "{\"enum\": [\"a\", \"a\"]}",
];

/// A change: where, what is done, with what; all taken modulo what there is.
type Edit = (usize, usize, usize);

/// The path of every value below this one.
fn paths(value: &Value, path: String, found: &mut Vec<String>) {
    found.push(path.clone());
    match value {
        Value::Array(items) => {
            let each = items.iter().enumerate();
            each.for_each(|(n, item)| paths(item, format!("{path}/{n}"), found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, item)| paths(item, format!("{path}/{name}"), found));
        }
        _ => {}
    }
}

fn edit(json: &mut Value, &(place, how, with): &Edit) {
    let mut all = Vec::new();
    paths(json, String::new(), &mut all);
    let path = &all[place % all.len()];
    let other = json.pointer(&all[with % all.len()]).cloned().unwrap_or_default();
    let Some(value) = json.pointer_mut(path) else { return };
    match (how % 5, &mut *value) {
        // What stands elsewhere in the encoder.
        (0, _) => *value = other,
        (1, Value::Array(items)) if !items.is_empty() => {
            items.remove(with % items.len());
        }
        (2, Value::Array(items)) if !items.is_empty() => {
            let at = with % items.len();
            items.insert(at, items[at].clone());
        }
        (3, Value::Array(items)) => items.reverse(),
        _ => *value = serde_json::from_str(VALUES[with % VALUES.len()]).unwrap_or_default(),
    }
}

/// Reads, decodes, writes and encodes with an encoder.
fn walk(json: &str, table: &Table, draws: &[f32]) -> hg_data::Result<()> {
    let encoder = Encoder::from_json(json)?;
    let (lengths, steps) = ([3, 1], 3);
    let count = lengths.len() * steps * encoder.features();
    let values: Vec<f32> = draws.iter().copied().cycle().take(count).collect();
    let mut back: DataFrame = encoder.decode(&values, &lengths, steps, 1)?;
    assert_eq!(back.height(), 4);
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["back.csv", "back.parquet"] {
        let _ = write_table(&mut back, &folder.path().join(name), &encoder.style);
    }
    let _ = encoder.take_apart(&back);
    encoder.encode(table, Subset::Whole).map(|_| ())
}

fn places() -> impl Strategy<Value = Edit> {
    (0usize..100_000, 0usize..100, 0usize..100_000)
}

proptest! {
    #[test]
    fn an_edited_encoder_is_refused_or_decodes(
        which in 0usize..6,
        edits in prop::collection::vec(places(), 1..4),
        draws in prop::collection::vec(-0.5f32..1.5, 1..50),
    ) {
        let (table, original) = &ORIGINALS[which];
        let mut json = original.clone();
        edits.iter().for_each(|each| edit(&mut json, each));
        if let Err(error) = walk(&json.to_string(), table, &draws) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn a_damaged_encoder_is_refused_or_decodes(
        which in 0usize..6,
        at in 0f64..1.,
        taken in 0usize..40,
        put in prop::sample::select(&VALUES[..]),
    ) {
        let (table, original) = &ORIGINALS[which];
        let mut text: Vec<char> = original.to_string().chars().collect();
        let start = (at * text.len() as f64) as usize;
        let end = (start + taken).min(text.len());
        text.splice(start..end, put.chars());
        let text: String = text.into_iter().collect();
        if let Err(error) = walk(&text, table, &[0.5]) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn what_was_saved_is_read_as_it_was() -> Result<()> {
    for (table, original) in ORIGINALS.iter() {
        let encoder = Encoder::from_json(&original.to_string())?;
        ensure!(serde_json::from_str::<Value>(&encoder.to_json()?)? == *original);
        walk(&original.to_string(), table, &[0.5])?;
    }
    Ok(())
}

/// What is changed in the encoder of numbers, and what is said of it.
const REFUSED: [(&str, &str, &str); 22] = [
    ("/columns/5/kind/binned/bins/edges/1", "2.0", "the edges of bins must be finite and ascend"),
    ("/columns/1/fill", "1e999", "number out of range"),
    ("/columns/8/fill", "7.0", "column `on`: fill is 7, it must be one of 2 levels"),
    ("/columns/8/fill", "0.5", "column `on`: fill is 0.5"),
    (
        "/columns/8/kind/discrete/levels",
        "3",
        "column `on`: 3 levels were fitted, the schema names 2",
    ),
    ("/columns/1/kind/numeric/transform/low", "9e9", "column `plain`: the transform's range from"),
    (
        "/columns/4/kind/numeric/transform/landmarks",
        "null",
        "column `rank`: the quantile transform has no",
    ),
    (
        "/columns/4/kind/numeric/transform/landmarks",
        "[1.0]",
        "column `rank`: a quantile table has 1 values",
    ),
    (
        "/columns/4/kind/numeric/transform/landmarks",
        "[2.0, 1.0]",
        "column `rank`: the values of a quantile table",
    ),
    ("/columns/1/kind/numeric/values/decimals", "7", "column `plain`: its values have 7 decimals"),
    ("/columns/5/kind/binned/bins/edges/0", "3.0", "column `bins`: its bins have other edges"),
    (
        "/columns/5/kind/binned/bins/within",
        "[null, null]",
        "column `bins`: 2 edges make 3 bins, not 2",
    ),
    (
        "/schema/columns/1/kind",
        "\"binary\"",
        "its schema: column `plain`: only numeric columns have margin",
    ),
    ("/schema/columns/8/name", "\"ward\"", "its schema: column `ward` is named twice"),
    (
        "/columns/1/source",
        "{\"decimal\": [40, 2]}",
        "column `plain`: there are no decimals of 40 digits",
    ),
    ("/order/3", "\"other\"", "column `other`: the order of columns names it, the schema does not"),
    ("/order/3", "\"id\"", "the order of columns must name each of them once"),
    ("/time/number/source", "\"boolean\"", "column `t`: its type is one of neither numbers"),
    ("/lengths", "[]", "its lengths count no sequence"),
    ("/lengths", "[1, 1]", "its lengths count sequences without a step"),
    ("/patient/width", "70000", "column `id`: its ids have 70000 digits"),
    ("/columns", "[]", "its schema has 11 columns, but 0 were fitted"),
];

#[test]
fn each_fault_is_named_with_its_column() -> Result<()> {
    for (path, value, message) in REFUSED {
        let mut json = ORIGINALS[0].1.clone();
        // A number beyond all others is none for serde_json's values, so it is put in as text.
        *json.pointer_mut(path).with_context(|| path.to_owned())? = Value::String("HERE".into());
        let text = json.to_string().replace("\"HERE\"", value);
        let error = match Encoder::from_json(&text) {
            Ok(_) => anyhow::bail!("{path} = {value} was taken"),
            Err(error) => error.to_string(),
        };
        ensure!(error.contains(message), "{path} = {value}: {error}");
    }
    Ok(())
}

#[test]
fn what_was_fitted_must_be_of_the_columns_kind() -> Result<()> {
    // A number, a number by bins, and levels.
    let kinds = [1, 5, 8];
    for at in kinds {
        for from in kinds.into_iter().filter(|from| *from != at) {
            let mut json = ORIGINALS[0].1.clone();
            json["columns"][at]["kind"] = json["columns"][from]["kind"].clone();
            let error = Encoder::from_json(&json.to_string()).expect_err("refused").to_string();
            ensure!(
                error.contains("were fitted to another kind of column"),
                "{at} {from}: {error}"
            );
        }
    }
    Ok(())
}

#[test]
fn the_largest_numbers_that_can_be_written_are_taken() -> Result<()> {
    for (path, most) in [("/columns/1/kind/numeric/values/decimals", 6), ("/patient/width", 1000)] {
        for (number, is_taken) in [(most, true), (most + 1, false)] {
            let mut json = ORIGINALS[0].1.clone();
            *json.pointer_mut(path).context("a number")? = number.into();
            ensure!(Encoder::from_json(&json.to_string()).is_ok() == is_taken, "{path} {number}");
        }
    }
    Ok(())
}

#[test]
fn a_text_of_dates_needs_the_schema_s_format() -> Result<()> {
    let mut json = ORIGINALS[1].1.clone();
    json["schema"]["time"]["format"] = Value::Null;
    let error = Encoder::from_json(&json.to_string()).expect_err("refused").to_string();
    ensure!(error.contains("column `t`: its times are texts"), "{error}");
    json = ORIGINALS[1].1.clone();
    json["time"]["text"]["offset"] = 86_400.into();
    let error = Encoder::from_json(&json.to_string()).expect_err("refused").to_string();
    ensure!(error.contains("column `t`: no zone is 86400 seconds"), "{error}");
    Ok(())
}
