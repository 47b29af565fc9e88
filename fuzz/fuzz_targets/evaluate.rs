//! No two tables panic `hg evaluate`, and none keeps it from ending: libFuzzer's `-timeout` says so.
#![no_main]

use hg_data::{Encoder, Origin, Schema, Subset};
use hg_eval::{Cohort, Report, Subject, evaluate, measures};
use libfuzzer_sys::fuzz_target;
use std::path::{Path, PathBuf};

const SCHEMA: &str = r#"
name = "fuzz"
missing = ["NA"]
[patient]
column = "id"
quasi_identifiers = ["age"]
[time]
column = "t"
step = 1.0
[sequence]
max_length = 8
[decision]
actions = ["z"]
reward = { x = 1.0 }
[[columns]]
name = "age"
kind = "numeric"
static = true
[[columns]]
name = "x"
kind = "numeric"
transform = "box-cox"
shift = 0.5
missing_indicator = true
censored = [{ text = "<1", value = 0.9 }, { text = ">9", value = 9.1 }]
[[columns]]
name = "y"
kind = "numeric"
transform = "log1p"
[[columns]]
name = "z"
kind = "categorical"
levels = ["a", "b", "c"]
"#;

fn cohort(encoder: &Encoder, path: &Path, origin: Origin) -> hg_data::Result<Cohort> {
    let table = encoder.schema.read(path)?;
    let (observed, encoded) = encoder.observe(&table, Subset::Whole, origin)?;
    Ok(Cohort { observed, encoded })
}

fn walk(real: &Path, synthetic: &Path) -> hg_data::Result<()> {
    let schema = Schema::parse(SCHEMA, Path::new("fuzz.toml"))?;
    let (encoder, _) = Encoder::fit_file(&schema, real, Subset::Whole)?;
    let (of_real, of_synthetic) =
        (cohort(&encoder, real, Origin::Real)?, cohort(&encoder, synthetic, Origin::Synthetic)?);
    let subject = Subject::new(&encoder, &of_real, &of_synthetic);
    let evaluation = evaluate(&subject, &measures(), &mut |_| ()).expect("evaluates");
    assert!(!evaluation.answers().is_empty());
    let report = Report::new(&subject, &evaluation, &[]).expect("draws");
    assert!(!report.html().is_empty());
    Ok(())
}

// The bytes are two tables, with a byte between them that no UTF-8 holds.
fuzz_target!(|bytes: &[u8]| {
    let middle = bytes.iter().position(|&byte| byte == 0xff).unwrap_or(bytes.len());
    let tables = [&bytes[..middle], bytes.get(middle + 1..).unwrap_or(&bytes[..middle])];
    // /dev/shm is memory: a disk would be the slowest part.
    let name = |which: usize| {
        PathBuf::from(format!("/dev/shm/hg-fuzz-{}-{which}.csv", std::process::id()))
    };
    let paths = [name(0), name(1)];
    for (table, path) in tables.iter().zip(&paths) {
        if std::fs::write(path, table).is_err() {
            return;
        }
    }
    let _ = walk(&paths[0], &paths[1]).map_err(|e| e.to_string());
});
