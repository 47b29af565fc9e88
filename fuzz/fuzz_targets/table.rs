//! No bytes of a CSV panic reading, inferring, encoding or decoding.
#![no_main]

use hg_data::{Encoder, Schema, Subset, infer};
use libfuzzer_sys::fuzz_target;
use std::path::PathBuf;

const SCHEMA: &str = r#"
name = "fuzz"
missing = ["NA"]
[patient]
column = "id"
[time]
column = "t"
step = 1.0
[sequence]
max_length = 50
[[columns]]
name = "x"
kind = "numeric"
transform = "quantile"
thousands = ","
missing_indicator = true
[[columns]]
name = "y"
kind = "numeric"
bins = { quantiles = 4 }
[[columns]]
name = "z"
kind = "categorical"
rare = { below = 0.1, into = "Other" }
"#;

const VISITS: &str = r#"
name = "fuzz"
[patient]
column = "id"
[time]
column = "t"
model = "visits"
[[rules]]
holds = "x >= y"
[[rules]]
holds = "w never falls"
[[rules]]
holds = "z = b is never left"
[[columns]]
name = "s"
kind = "numeric"
spikes = [0.0]
[[columns]]
name = "x"
kind = "numeric"
[[columns]]
name = "y"
kind = "numeric"
[[columns]]
name = "w"
kind = "numeric"
[[columns]]
name = "z"
kind = "categorical"
levels = ["a", "b", "c"]
"#;

fuzz_target!(|bytes: &[u8]| {
    // /dev/shm is memory: a disk would be the slowest part.
    let path = PathBuf::from(format!("/dev/shm/hg-fuzz-{}.csv", std::process::id()));
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    let walk = |text: &str| -> hg_data::Result<()> {
        let schema = Schema::parse(text, &path)?;
        let (encoder, encoded) = Encoder::fit(&schema, &schema.read(&path)?, Subset::Whole)?;
        assert!(encoded.values.iter().all(|x| x.is_finite()));
        let back = encoder.decode(&encoded.values, &encoded.lengths, encoded.steps, 0)?;
        assert_eq!(back.width(), 2 + schema.columns.len());
        Ok(())
    };
    for schema in [SCHEMA, VISITS] {
        let _ = walk(schema).map_err(|e| e.to_string());
    }
    let _ = infer(&path, None, None).and_then(|proposal| walk(&proposal.toml)).map_err(|e| e.to_string());
});
