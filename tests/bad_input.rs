//! Bad input gets an error that names the place and the mend, exit code 2, and
//! leaves nothing behind.

#[path = "support.rs"]
mod support;

use std::path::{Path, PathBuf};
use support::{hg, repository};

const SCHEMA: &str = r#"
name = "small"
[patient]
column = "id"
[time]
column = "day"
step = 1.0
[[columns]]
name = "x"
kind = "numeric"
[[columns]]
name = "sex"
kind = "binary"
levels = ["f", "m"]
"#;

const TABLE: &str = "id,day,x,sex\n1,0,2.5,f\n1,1,3.5,f\n2,0,1.0,m\n2,1,4.0,m\n";

struct Case {
    what: &'static str,
    table: String,
    schema: String,
    /// Every part must be in the message.
    says: &'static [&'static str],
}

fn case(what: &'static str, table: &str, schema: &str, says: &'static [&'static str]) -> Case {
    Case { what, table: table.into(), schema: schema.into(), says }
}

fn train(data: &Path, schema: &Path, out: &Path) -> std::process::Output {
    let arguments: [&std::ffi::OsStr; 9] = [
        "train".as_ref(),
        "--data".as_ref(),
        data.as_ref(),
        "--schema".as_ref(),
        schema.as_ref(),
        "--out".as_ref(),
        out.as_ref(),
        "--iterations".as_ref(),
        "1".as_ref(),
    ];
    hg(&arguments)
}

fn refused(output: &std::process::Output, what: &str, says: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{what}: {message}");
    for part in says {
        assert!(message.contains(part), "{what}: no «{part}» in: {message}");
    }
    assert!(!message.contains("panicked"), "{what}: {message}");
}

#[test]
fn a_bad_table_or_schema_is_refused_with_its_place_and_leaves_nothing() {
    let change = |from: &str, to: &str| TABLE.replacen(from, to, 1);
    let cases = [
        case("missing column", &TABLE.replace("x,", "y,"), SCHEMA, &["«x»", "no such column"]),
        case("unknown level", &change("2.5,f", "2.5,w"), SCHEMA, &["row 1", "«sex»", "«w»", "add"]),
        case("no number", &change("3.5", "high"), SCHEMA, &["row 2", "«x»", "not a number"]),
        case(
            "NaN",
            &change("1.0", "NaN"),
            SCHEMA,
            &["row 3", "«x»", "not finite", "empty the cell"],
        ),
        case("infinite", &change("4.0", "-inf"), SCHEMA, &["row 4", "«x»", "not finite"]),
        case("twice", &change("1,1,", "1,0,"), SCHEMA, &["row 2", "«day»", "twice", "row 1"]),
        case("missing id", &change("\n2,0", "\n,0"), SCHEMA, &["row 3", "«id»", "missing"]),
        case("empty file", "", SCHEMA, &["table.csv", "is empty"]),
        case("header only", "id,day,x,sex\n", SCHEMA, &["table.csv", "no rows"]),
        case("no CSV", "\u{0}PNG\u{0}", SCHEMA, &["table.csv", "no CSV", "line 1"]),
        case(
            "too short",
            TABLE,
            &SCHEMA.replace(
                "[[columns]]\nname = \"x\"",
                "[sequence]\nmin_length = 3\n[[columns]]\nname = \"x\"",
            ),
            &["patient «1»", "2 of the 3 steps", "short_patients"],
        ),
        case(
            "unknown key",
            TABLE,
            &SCHEMA.replace("step = 1.0", "step = 1.0\nstpe = 2"),
            &["schema.toml, line 8", "unknown field `stpe`"],
        ),
    ];
    for Case { what, table, schema, says } in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let (data, toml) = (folder.path().join("table.csv"), folder.path().join("schema.toml"));
        std::fs::write(&data, table).expect("writes");
        std::fs::write(&toml, schema).expect("writes");
        let out = folder.path().join("run");
        refused(&train(&data, &toml, &out), what, says);
        assert!(!out.exists(), "{what}: half a run is left");
    }
}

#[test]
fn an_existing_or_impossible_run_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, schema) = (repository("data/pbc/pbcseq.csv"), repository("data-schemas/pbc.toml"));
    refused(&train(&data, &schema, folder.path()), "existing", &["already exists", "--resume"]);
    let entries = std::fs::read_dir(folder.path()).expect("lists").count();
    assert_eq!(entries, 0, "the existing folder was touched");
    // Below a file no folder can be made, whoever asks (root too).
    let file = folder.path().join("file");
    std::fs::write(&file, "mine").expect("writes");
    let output = train(&data, &schema, &file.join("run"));
    refused(&output, "unwritable", &["cannot make the run folder", "choose another --out"]);
    assert_eq!(std::fs::read_to_string(&file).expect("reads"), "mine");
}

#[test]
fn a_folder_that_is_no_run_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let out: PathBuf = folder.path().join("out.csv");
    let arguments: [&std::ffi::OsStr; 6] = [
        "generate".as_ref(),
        folder.path().as_ref(),
        "--patients".as_ref(),
        "3".as_ref(),
        "--out".as_ref(),
        out.as_ref(),
    ];
    refused(&hg(&arguments), "no run", &["run.toml", "is this a run folder?"]);
    assert!(!out.exists());
}
