//! Whatever a schema or a table holds, there is an answer and no panic. `fuzz/` goes further
//! where a nightly compiler is at hand; `PROPTEST_CASES=100000` goes further here.

use hg_data::{Encoder, Schema, Subset, infer};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

const SCHEMA: &str = r#"name = "any"
missing = ["NA"]
separator = ","
[patient]
column = "id"
[time]
column = "t"
step = 1.0
[sequence]
min_length = 1
max_length = 50
[[columns]]
name = "x"
kind = "numeric"
transform = "box-cox"
shift = 1.0
thousands = ","
missing_indicator = true
margin = 0.1
[[columns]]
name = "y"
kind = "numeric"
bins = { quantiles = 4 }
impute = "forward"
[[columns]]
name = "z"
kind = "categorical"
rare = { below = 0.1, into = "Other" }
"#;

const TABLE: &str = "id,t,x,y,z
a,0,1.5,10,low
a,1,,20,high
a,2,3.5,30,low
b,0,\"1,250\",NA,mid
b,2,0.25,-4,low
c,5,7,0.001,high
";

/// What is put somewhere in a text.
const PIECES: [&str; 36] = [
    "",
    "0",
    "-1",
    "1e308",
    "-1e308",
    "1e-320",
    "NaN",
    "inf",
    "NA",
    ",",
    ";",
    "\t",
    "\"",
    "\"\"",
    "\n",
    "\r\n",
    "a",
    "b",
    "id",
    "t",
    "x",
    "é",
    "\u{0}",
    "\u{feff}",
    "> 89",
    "1,000",
    "[",
    "]",
    "{",
    "}",
    "=",
    "true",
    "9999999999999999999",
    "2021-02-30",
    "%Y",
    "#",
];

/// (where, how much is taken away, what is put there), all as shares or indices.
type Edit = (f64, usize, usize);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec((0f64..1., 0usize..6, 0..PIECES.len()), 0..8)
}

fn edited(text: &str, edits: &[Edit]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for &(share, taken, piece) in edits {
        let start = (share * characters.len() as f64) as usize;
        let end = (start + taken).min(characters.len());
        characters.splice(start..end, PIECES[piece].chars());
    }
    characters.into_iter().collect()
}

/// Reads, fits, decodes; what is encoded must be finite.
fn walk(schema: &str, path: &Path) -> hg_data::Result<()> {
    let schema = Schema::parse(schema, path)?;
    let (encoder, encoded) = Encoder::fit(&schema, &schema.read(path)?, Subset::Whole)?;
    assert!(encoded.values.iter().all(|x| x.is_finite()), "not finite");
    let back = encoder.decode(&encoded.values, &encoded.lengths, encoded.steps, 0)?;
    assert_eq!(back.width(), 2 + schema.columns.len());
    Ok(())
}

fn file(folder: &tempfile::TempDir, table: &str) -> PathBuf {
    let path = folder.path().join("any.csv");
    std::fs::write(&path, table).expect("writes");
    path
}

proptest! {
    #[test]
    fn any_schema_and_table_get_an_answer(of_schema in edits(), of_table in edits()) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = file(&folder, &edited(TABLE, &of_table));
        for schema in [SCHEMA.to_owned(), edited(SCHEMA, &of_schema)] {
            if let Err(error) = walk(&schema, &path) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn what_is_inferred_is_a_schema_of_its_table(of_table in edits()) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = file(&folder, &edited(TABLE, &of_table));
        if let Ok(proposal) = infer(&path, None, None) {
            let schema = proposal.toml;
            // Nothing may be left to model, or a patient's time may stand twice.
            if let Err(error) = walk(&schema, &path) {
                let text = error.to_string();
                let known = ["there is no [[columns]]", "twice", "spans", "named twice", "missing;"];
                prop_assert!(known.iter().any(|part| text.contains(part)), "{text}\n{schema}");
            }
        }
    }
}
