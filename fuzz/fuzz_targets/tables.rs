//! No bytes of several CSVs panic inferring, putting together, encoding, decoding or taking apart.
#![no_main]

use hg_data::{Encoder, Schema, Subset, infer};
use libfuzzer_sys::fuzz_target;
use std::path::{Path, PathBuf};

const SCHEMA: &str = r#"
name = "fuzz"
missing = ["NA"]
[patient]
column = "id"
[time]
column = "t"
model = "visits"
[[tables]]
name = "patients"
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
[[tables]]
name = "daily"
role = "visits"
[[rules]]
holds = "e happens once"
[[rules]]
holds = "t <= end"
[[columns]]
name = "sex"
table = "patients"
kind = "categorical"
[[columns]]
name = "end"
table = "patients"
kind = "numeric"
[[columns]]
name = "a"
table = "labs"
kind = "numeric"
spikes = [0.0]
[[columns]]
name = "b"
table = "labs"
kind = "categorical"
[[columns]]
name = "e"
table = "events"
kind = "binary"
[[columns]]
name = "g"
table = "events"
source = "G//*"
kind = "categorical"
static = true
[[columns]]
name = "w"
table = "events"
source = "W//*"
kind = "categorical"
[[columns]]
name = "x"
table = "daily"
kind = "numeric"
"#;

/// The tables, in the order in which they stand in the bytes.
const TABLES: [&str; 4] = ["patients", "labs", "events", "daily"];

fuzz_target!(|bytes: &[u8]| {
    // /dev/shm is memory: a disk would be the slowest part.
    let folder = PathBuf::from(format!("/dev/shm/hg-fuzz-tables-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("makes the folder");
    // A NUL stands between two tables.
    let mut texts = bytes.split(|&byte| byte == 0);
    for name in TABLES {
        let path = folder.join(format!("{name}.csv"));
        match texts.next() {
            Some(text) => std::fs::write(&path, text).expect("writes the table"),
            None => drop(std::fs::remove_file(&path)),
        }
    }
    let walk = |schema: &str| -> hg_data::Result<()> {
        let schema = Schema::parse(schema, Path::new("fuzz.toml"))?;
        let (encoder, encoded) = Encoder::fit_file(&schema, &folder, Subset::Whole)?;
        let back = encoder.decode(&encoded.values, &encoded.lengths, encoded.steps, 1)?;
        let back = encoder.take_apart(&back)?;
        assert_eq!(back.len(), encoder.tables.len().max(1));
        Ok(())
    };
    let _ = walk(SCHEMA).map_err(|e| e.to_string());
    let inferred = infer(&folder, None, None).and_then(|proposal| walk(&proposal.toml));
    let _ = inferred.map_err(|e| e.to_string());
});
