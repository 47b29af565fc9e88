//! Situations that users of such tools met (tests/cases): each table goes from `infer` to a
//! decoded table that equals itself, or to a message that a person can act on.

use anyhow::{Context, Result, ensure};
use hg_data::{DataFrame, Encoder, Kind, Proposal, RowCounts, Schema, Subset, infer, write_table};
use polars_core::prelude::*;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What is right for a table.
enum Right {
    /// It comes back cell by cell, but for these columns, which are left out.
    Same(&'static [&'static str]),
    /// The grid merges and invents so many rows.
    ResampledTable { merged: usize, invented: usize },
    /// A message that holds this.
    Refused(&'static str),
}

use Right::{Refused, ResampledTable, Same};

/// A file, what is right for it, and what the proposal, or a remark, says.
const CASES: [(&str, Right, &[&str]); 44] = [
    (
        "01-offsets/millis-z.csv",
        Same(&[]),
        &["format = \"%Y-%m-%dT%H:%M:%S%.3fZ\"", "step = \"1 hour\""],
    ),
    ("01-offsets/tz-us-utc.parquet", Same(&[]), &["step = \"1 hour\""]),
    ("01-offsets/utc-text.csv", Same(&[]), &["%:z"]),
    (
        "02-codes/codes.csv",
        Same(&[]),
        &["\"0417\"", "\"417\"", "\"038.9\"", "\"01\"", "\"250.00\""],
    ),
    ("03-decimal-comma/lab.csv", Same(&[]), &["decimal = \",\""]),
    (
        "03-decimal-comma/thousands-and-comma.csv",
        Same(&[]),
        &["decimal = \",\"", "thousands = \".\""],
    ),
    ("03b-dialect/latin1.csv", Same(&[]), &["encoding = \"windows-1252\"", "Köln"]),
    ("03b-dialect/semicolon.csv", Same(&[]), &["separator = \";\""]),
    ("04-utf16/unicode-text.csv", Same(&[]), &["männlich", "separator = \"\\t\""]),
    ("04-utf16/utf16-bom-be.csv", Same(&[]), &["männlich"]),
    ("05-negative-offsets/labs.csv", Same(&[]), &["start = \"modelled\""]),
    (
        "06-same-time/bloodgas.csv",
        ResampledTable { merged: 39, invented: 0 },
        &["aggregate = \"mean\""],
    ),
    ("06-same-time/exact-copies.csv", Same(&[]), &["cop"]),
    ("07-missing/missing.csv", Same(&[]), &["missing_indicator = true"]),
    ("08-constant/constant.csv", Same(&[]), &["comes back empty", "constant"]),
    ("09-infinite/inf.parquet", Same(&[]), &["missing = [\"inf\"]", "missing = [\"-inf\"]"]),
    ("10-arrow-types/binary.parquet", Same(&["binary"]), &["binary"]),
    ("10-arrow-types/decimal.arrow", Same(&[]), &[]),
    ("10-arrow-types/decimal.parquet", Same(&[]), &[]),
    ("10-arrow-types/dictionary.parquet", Same(&[]), &[]),
    ("10-arrow-types/duration.parquet", Same(&[]), &["# durations"]),
    ("10-arrow-types/half.parquet", Same(&[]), &[]),
    ("10-arrow-types/large_string.parquet", Same(&[]), &[]),
    ("10-arrow-types/list.parquet", Same(&["list"]), &["list"]),
    ("10-arrow-types/pandas-category.parquet", Same(&[]), &[]),
    ("10-arrow-types/string_view.parquet", Same(&[]), &[]),
    ("10-arrow-types/struct.parquet", Same(&["struct"]), &["struct"]),
    ("10-arrow-types/uint64.parquet", Same(&["uint64"]), &["2^53"]),
    ("12-hhmm/hours.csv", Same(&[]), &["static = true"]),
    (
        "12-hhmm/set.csv",
        ResampledTable { merged: 0, invented: 0 },
        &["[h]:mm", "missing = [\"-1\"]"],
    ),
    ("13-gz/vitals.csv.gz", Same(&[]), &["name = \"vitals\""]),
    ("14-visits/trial.csv", Same(&[]), &["column = \"participant\"", "model = \"visits\""]),
    ("16-slips/vitals.csv", Same(&[]), &["10000000", "369"]),
    ("18-durations/dyn.csv", Same(&[]), &["[d] days hh:mm:ss"]),
    ("18-durations/dyn.parquet", Same(&[]), &["step = \"1 hour\""]),
    ("19-long/chartevents.csv", Refused("is a long table"), &[]),
    ("20-small/one-visit.csv", Same(&[]), &[]),
    ("20-small/three.csv", Same(&[]), &[]),
    ("21-big-integers/big.parquet", Same(&["encounter"]), &["encounter"]),
    ("21-big-integers/float-ids.csv", Same(&[]), &[]),
    ("24-two-formats/visits.csv", Refused("`2019-01-03` (row 1)"), &[]),
    ("25-months/month-name.csv", Same(&[]), &["%b %Y", "step = \"1 month\""]),
    ("25-months/period.csv", Same(&[]), &["%Y-%m", "step = \"1 month\""]),
    ("29-lines/dup-names.csv", Refused("column `hr`: the header names it twice"), &[]),
];

/// Tables that are the same but for how their lines are written.
const LINES: [&str; 6] = ["blank-rows", "comment", "cr-only", "empty-text", "sep-line", "unit"];

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases").join(name)
}

/// The proposal; the table as it was and as it came back, read in the same way.
struct Walked {
    proposal: Proposal,
    counts: RowCounts,
    schema: Schema,
    was: DataFrame,
    is: DataFrame,
}

fn walk(path: &Path) -> Result<Walked> {
    let proposal = infer(path, None, None)?;
    let schema = Schema::parse(&proposal.toml, Path::new("proposed.toml"))?;
    let (encoder, encoded) = Encoder::fit_file(&schema, path, Subset::Whole)?;
    ensure!(Encoder::from_json(&encoder.to_json()?)? == encoder, "saved and read");
    let mut back = encoder.decode(&encoded.values, &encoded.lengths, encoded.steps, 7)?;
    let folder = tempfile::tempdir()?;
    let name = path.file_name().context("a name")?;
    let again = folder.path().join(name);
    write_table(&mut back, &again, &encoder.style)?;
    let (was, is) = (schema.read(path)?.frame, schema.read(&again)?.frame);
    let checked = Encoder::fit_file(&schema, &again, Subset::Whole)?.1;
    ensure!(checked.lengths == encoded.lengths, "what is written is another table");
    Ok(Walked { proposal, counts: encoded.counts, schema, was, is })
}

/// The rows of a table in the order of decoded ones, each once: by patient, as each came.
fn ordered(table: &DataFrame, schema: &Schema) -> Result<DataFrame> {
    let names = table.get_column_names().into_iter().cloned();
    let known = |name: &PlSmallStr| {
        let name = name.as_str();
        let columns = schema.columns.iter().map(|column| column.name.as_str());
        [schema.patient.column.as_str(), schema.time.column.as_str()]
            .into_iter()
            .chain(columns)
            .any(|n| n == name)
    };
    let table = table.select(names.filter(known))?;
    let table = table.unique_stable(None, UniqueKeepStrategy::First, None)?;
    let ids = table.column(&schema.patient.column)?.cast(&DataType::String)?;
    let mut place: HashMap<&str, usize> = HashMap::new();
    let mut ids_of_rows: Vec<(usize, IdxSize)> = Vec::new();
    for (row, id) in ids.str()?.iter().enumerate() {
        let next = place.len();
        ids_of_rows.push((*place.entry(id.unwrap_or_default()).or_insert(next), row as IdxSize));
    }
    ids_of_rows.sort();
    let rows: Vec<IdxSize> = ids_of_rows.into_iter().map(|(_, row)| row).collect();
    Ok(table.take(&IdxCa::from_vec("".into(), rows))?)
}

/// Whether all but patient and time is the same, cell by cell.
fn compare(walked: &Walked, left_out: &[&str]) -> Result<()> {
    let Walked { schema, was, is, .. } = walked;
    let found = was.get_column_names().into_iter().map(|name| name.as_str());
    let missing: Vec<&str> = found.filter(|name| is.column(name).is_err()).collect();
    ensure!(missing == left_out, "left out: {missing:?}");
    let was = ordered(was, schema)?;
    ensure!(was.height() == is.height(), "{} rows became {}", was.height(), is.height());
    for column in is.columns() {
        let name = column.name().as_str();
        let before = was.column(name)?;
        ensure!(
            before.dtype() == column.dtype(),
            "{name}: {:?} {:?}",
            before.dtype(),
            column.dtype()
        );
        if name != schema.patient.column && name != schema.time.column {
            same(before, column, schema).with_context(|| name.to_owned())?;
        }
    }
    Ok(())
}

/// Texts are equal as they are written; numbers of a typed column up to what an f32 holds.
fn same(was: &Column, is: &Column, schema: &Schema) -> Result<()> {
    let of_column = schema.columns.iter().find(|column| column.name == was.name().as_str());
    let missing = of_column.map(|column| column.missing.clone()).unwrap_or_default();
    // polars has no texts of durations.
    let texts = |column: &Column| column.to_physical_repr().cast(&DataType::String);
    let is_temporal = was.dtype().is_temporal();
    let plain = |column: &Column| column.cast(&DataType::String);
    let (texts_was, texts_is) = match is_temporal {
        true => (texts(was)?, texts(is)?),
        false => (plain(was)?, plain(is)?),
    };
    for (row, (was, is)) in texts_was.str()?.iter().zip(texts_is.str()?.iter()).enumerate() {
        // What stands for "missing" may come back empty.
        let present = |cell: Option<&str>| {
            cell.filter(|text| *text != "NaN" && !missing.iter().any(|sign| sign == text))
                .map(str::to_owned)
        };
        let (was, is) = (present(was), present(is));
        let number = |cell: &Option<String>| cell.as_ref()?.parse::<f64>().ok();
        // Codes are texts: 0417 is not 417.
        let is_numeric = of_column.is_some_and(|column| column.kind == Kind::Numeric);
        let is_near = match (number(&was), number(&is)) {
            (Some(was), Some(is)) => is_numeric && (was - is).abs() <= 1e-6 * was.abs().max(1.),
            _ => false,
        };
        let is_text = texts_was.dtype() == &DataType::String && !is_near;
        ensure!(was == is || !is_text, "row {}: {was:?} became {is:?}", row + 1);
    }
    Ok(())
}

fn hold(name: &str, right: &Right, says: &[&str]) -> Result<()> {
    let walked = match (walk(&case(name)), right) {
        (Err(error), Refused(message)) => {
            let text = error.to_string();
            ensure!(text.contains(message) && text.contains(name), "says: {text}");
            return Ok(());
        }
        (walked, _) => walked?,
    };
    match right {
        Same(left_out) => {
            compare(&walked, left_out).with_context(|| walked.proposal.toml.clone())?
        }
        ResampledTable { merged, invented } => {
            let RowCounts { merged_rows, invented_steps, .. } = walked.counts;
            ensure!(
                (merged_rows, invented_steps) == (*merged, *invented),
                "{:?}\n{}",
                walked.counts,
                walked.proposal.toml
            );
        }
        Refused(_) => ensure!(false, "was not refused"),
    }
    let Proposal { toml, remarks, warnings } = &walked.proposal;
    let all = [toml.as_str(), &remarks.join("\n"), &warnings.join("\n")].join("\n");
    for part in says {
        ensure!(all.contains(part), "no `{part}` in:\n{all}");
    }
    Ok(())
}

#[test]
fn what_users_met_comes_back_or_is_named() {
    let mut wrong = String::new();
    for (name, right, says) in &CASES {
        if let Err(error) = hold(name, right, says) {
            wrong += &format!("{name}: {error:#}\n");
        }
    }
    for name in LINES {
        let name = format!("29-lines/{name}.csv");
        if let Err(error) = hold(&name, &Same(&[]), &[]) {
            wrong += &format!("{name}: {error:#}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_case_is_listed() {
    let listed = |name: &str| {
        CASES.iter().any(|(case, ..)| *case == name)
            || LINES.iter().any(|line| format!("29-lines/{line}.csv") == name)
            // Schemas of a case, and the tables of other tests.
            || name.ends_with(".toml")
            || name.starts_with("33-out-of-domain/")
    };
    let folders = std::fs::read_dir(case("")).expect("the cases");
    for folder in folders.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir())
    {
        for file in std::fs::read_dir(&folder).expect("a folder") {
            let file = file.expect("an entry").path();
            let name = file.strip_prefix(case("")).expect("below").display().to_string();
            assert!(listed(&name), "{name}");
        }
    }
}
