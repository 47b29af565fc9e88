//! What `hg schema infer` says of every table below `tests/cases`; with HG_SHOW set, in full.

use hg_data::{Encoder, Schema, Subset, infer};
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
    ("12-hhmm/hours.csv", "RecordID", "Time", "3"),
    ("12-hhmm/set.csv", "RecordID", "Time", "3 hours"),
    ("13-gz/vitals.csv.gz", "subject_id", "hour", "1"),
    ("14-visits/trial.csv", "participant", "study_day", "60"),
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
    ("33-out-of-domain/pbc-with-negative-bilirubin.csv", "id", "day", "365"),
];

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases")
}

#[test]
fn each_case_gets_its_roles_and_a_schema_that_fits() {
    for (file, patient, time, step) in PROPOSED {
        let path = cases().join(file);
        let toml = infer(&path, None, None).unwrap_or_else(|e| panic!("{e}")).toml;
        let schema = Schema::parse(&toml, &path).unwrap_or_else(|e| panic!("{e}\n{toml}"));
        let found = (schema.patient.column.as_str(), schema.time.column.as_str());
        assert_eq!(
            (found, schema.time.step.to_string()),
            ((patient, time), step.to_owned()),
            "{file}\n{toml}"
        );
        Encoder::fit_file(&schema, &path, Subset::Whole).unwrap_or_else(|e| panic!("{e}\n{toml}"));
    }
}

#[test]
fn what_cannot_be_proposed_is_refused_with_the_reason() {
    for (file, part) in [
        ("19-long/chartevents.csv", "is a long table"),
        ("24-two-formats/visits.csv", "«2019-01-03» (row 1) as «%Y-%m-%d»"),
    ] {
        let error = infer(&cases().join(file), None, None).expect_err(file).to_string();
        assert!(error.contains(part), "{error}");
    }
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
