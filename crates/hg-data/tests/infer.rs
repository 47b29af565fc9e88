//! What `hg schema infer` says of every table below `tests/cases`; with HG_SHOW set, in full.

use hg_data::{Encoder, Schema, Subset, Table, infer, infer_table, write_table};
use polars_core::prelude::*;
use std::path::{Path, PathBuf};

/// (file, patient, time, step), where a schema is proposed.
const PROPOSED: [(&str, &str, &str, &str); 46] = [
    ("01-offsets/millis-z.csv", "person_id", "measurement_datetime", "1 hour"),
    ("01-offsets/tz-us-utc.parquet", "person_id", "measurement_datetime", "1 hour"),
    ("01-offsets/utc-text.csv", "person_id", "measurement_datetime", "1 hour"),
    ("02-codes/codes.csv", "subject", "day", "1"),
    ("03-decimal-comma/lab.csv", "patient_id", "tag", "1"),
    ("03-decimal-comma/thousands-and-comma.csv", "patient_id", "tag", "1"),
    ("03b-dialect/latin1.csv", "patient", "hour", "1"),
    ("03b-dialect/semicolon.csv", "patient", "hour", "1"),
    ("04-utf16/unicode-text.csv", "Patient", "Hour", "1"),
    ("04-utf16/utf16-bom-be.csv", "Patient", "Hour", "1"),
    ("05-negative-offsets/labs.csv", "patientunitstayid", "labresultoffset", "60"),
    ("06-same-time/bloodgas.csv", "stay", "offset", "30"),
    ("06-same-time/exact-copies.csv", "id", "hour", "1"),
    ("07-missing/missing.csv", "patient", "hour", "1"),
    ("08-constant/constant.csv", "patient", "hour", "1"),
    ("09-infinite/inf.parquet", "patient", "hour", "1"),
    ("10-arrow-types/binary.parquet", "patient", "hour", "1"),
    ("10-arrow-types/decimal.parquet", "patient", "hour", "1"),
    ("10-arrow-types/dictionary.parquet", "patient", "hour", "1"),
    ("10-arrow-types/duration.parquet", "patient", "hour", "1"),
    ("10-arrow-types/half.parquet", "patient", "hour", "1"),
    ("10-arrow-types/list.parquet", "patient", "hour", "1"),
    ("10-arrow-types/pandas-category.parquet", "patient", "hour", "1"),
    ("10-arrow-types/string_view.parquet", "patient", "hour", "1"),
    ("10-arrow-types/struct.parquet", "patient", "hour", "1"),
    ("10-arrow-types/uint64.parquet", "patient", "hour", "1"),
    ("12-hhmm/hours.csv", "RecordID", "Time", "visits"),
    ("12-hhmm/set.csv", "RecordID", "Time", "visits"),
    ("13-gz/vitals.csv.gz", "subject_id", "hour", "1"),
    ("14-visits/trial.csv", "participant", "study_day", "visits"),
    ("16-slips/vitals.csv", "patient", "hour", "1"),
    ("18-durations/dyn.csv", "stay_id", "time", "1 hour"),
    ("18-durations/dyn.parquet", "stay_id", "time", "1 hour"),
    ("20-small/one-visit.csv", "patient", "visit", "1"),
    ("20-small/three.csv", "patient", "visit", "1"),
    ("21-big-integers/big.parquet", "person_id", "month", "1"),
    ("21-big-integers/float-ids.csv", "patient", "hour", "1"),
    ("25-months/month-name.csv", "patient", "month", "1 month"),
    ("25-months/period.csv", "patient", "month", "1 month"),
    ("29-lines/blank-rows.csv", "patient", "hour", "1"),
    ("29-lines/comment.csv", "patient", "hour", "1"),
    ("29-lines/cr-only.csv", "patient", "hour", "1"),
    ("29-lines/sep-line.csv", "patient", "hour", "1"),
    ("29-lines/empty-text.csv", "patient", "hour", "1"),
    ("29-lines/unit.csv", "patient", "hour", "1"),
    ("33-out-of-domain/pbc-with-negative-bilirubin.csv", "id", "day", "visits"),
];

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases")
}

#[test]
fn each_case_gets_its_roles_and_a_schema_that_fits() {
    let mut others = Vec::new();
    for (file, patient, time, step) in PROPOSED {
        let path = cases().join(file);
        let toml = infer(&path, None, None).unwrap_or_else(|e| panic!("{e}")).toml;
        let schema = Schema::parse(&toml, &path).unwrap_or_else(|e| panic!("{e}\n{toml}"));
        let found = (schema.patient.column.as_str(), schema.time.column.as_str());
        let found = (found, schema.time.model.to_string());
        if found != ((patient, time), step.to_owned()) {
            others.push(format!("{file}: {found:?}"));
        }
        Encoder::fit_file(&schema, &path, Subset::Whole).unwrap_or_else(|e| panic!("{e}\n{toml}"));
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

#[test]
fn what_cannot_be_proposed_is_refused_with_the_reason() {
    for (file, part) in [
        ("19-long/chartevents.csv", "is a long table"),
        ("24-two-formats/visits.csv", "`2019-01-03` (row 1) as `%Y-%m-%d`"),
    ] {
        let error = infer(&cases().join(file), None, None).expect_err(file).to_string();
        assert!(error.contains(part), "{error}");
    }
}

/// A proposal without its first line, which names the file.
fn below_the_name(toml: &str) -> &str {
    toml.split_once("\nname = ").map_or(toml, |(_, rest)| rest.split_once('\n').map_or("", |r| r.1))
}

#[test]
fn a_table_in_memory_gets_the_proposal_of_its_file() {
    for (file, patient, time, _) in PROPOSED {
        let path = cases().join(file);
        let from_file = infer(&path, None, None).unwrap_or_else(|e| panic!("{e}")).toml;
        let schema = Schema::parse(&from_file, &path).unwrap_or_else(|e| panic!("{e}"));
        let table = schema.read(&path).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(table.name, path.display().to_string());
        let in_memory = infer_table(&table, Some(patient), Some(time)).expect(file).toml;
        let named = infer(&path, Some(patient), Some(time)).expect(file).toml;
        assert_eq!(in_memory, named, "{file}");
        assert_eq!(Schema::infer(&table).expect(file).toml, from_file, "{file}");
    }
}

#[test]
fn types_of_a_table_in_memory_are_respected() {
    let rows = 0..60i32;
    let frame = df!(
        "patient" => rows.clone().map(|row| row / 6).collect::<Vec<_>>(),
        "day" => rows.clone().map(|row| row % 6).collect::<Vec<_>>(),
        "ward" => rows.clone().map(|row| ["1", "2", "3"][(row % 3) as usize]).collect::<Vec<_>>(),
        "on" => rows.clone().map(|row| row % 2 == 0).collect::<Vec<_>>(),
        "crp" => rows.map(|row| f64::from(row % 17) * 1.25).collect::<Vec<_>>(),
    )
    .expect("a table");
    let mut table = Table::new(frame, "wards");
    let toml = Schema::infer(&table).expect("a proposal").toml;
    for part in [
        "for wards (60 rows, 10 patients)",
        "name = \"wards\"",
        "levels = [\"1\", \"2\", \"3\"]",
        "levels = [\"false\", \"true\"]",
        "name = \"crp\"\nkind = \"numeric\"",
    ] {
        assert!(toml.contains(part), "{part}\n{toml}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wards.parquet");
    write_table(&mut table.frame, &path, &Default::default()).expect("writes");
    let of_file = infer(&path, None, None).expect("a proposal").toml;
    assert_eq!(below_the_name(&of_file), below_the_name(&toml));
    // As a text of a CSV the same level is a number.
    let path = folder.path().join("wards.csv");
    write_table(&mut table.frame, &path, &Default::default()).expect("writes");
    let of_csv = infer(&path, None, None).expect("a proposal").toml;
    assert!(of_csv.contains("levels = [1, 2, 3]"), "{of_csv}");
}

/// Prints what is proposed for the tables below the folders that HG_SHOW names, with `:`
/// between them.
#[test]
fn proposals_are_shown() {
    let Ok(folders) = std::env::var("HG_SHOW") else { return };
    let mut files = Vec::new();
    for folder in folders.split(':') {
        for pattern in ["**/*.csv", "**/*.parquet", "**/*.arrow", "**/*.csv.gz"] {
            let found = glob::glob(&format!("{folder}/{pattern}")).expect("a pattern");
            files.extend(found.filter_map(Result::ok));
        }
    }
    files.sort();
    for path in files {
        println!("\n======== {}", path.display());
        match infer(&path, None, None) {
            Err(error) => println!("REFUSED: {error}"),
            Ok(proposal) => {
                println!("{}", proposal.toml);
                proposal.remarks.iter().for_each(|remark| println!("INFO {remark}"));
                proposal.warnings.iter().for_each(|warning| println!("WARN {warning}"));
                let fitted = Schema::parse(&proposal.toml, &path)
                    .and_then(|schema| Encoder::fit_file(&schema, &path, Subset::Whole));
                match fitted {
                    Err(error) => println!("DOES NOT FIT: {error}"),
                    Ok((_, encoded)) => println!(
                        "FITS: {} patients of up to {} steps",
                        encoded.lengths.len(),
                        encoded.steps
                    ),
                }
            }
        }
    }
}
