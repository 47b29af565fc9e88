//! Several tables that do not fit together get an error that names the file, the row and the way
//! out, exit code 2, and leave nothing behind.

use hg_tests::hg;
use std::path::Path;

const SCHEMA: &str = r#"name = "small"
[patient]
column = "id"
[time]
column = "day"
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
[[rules]]
holds = "born <= day"
[[columns]]
name = "sex"
table = "patients"
kind = "binary"
levels = ["f", "m"]
[[columns]]
name = "born"
table = "patients"
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
name = "region"
table = "events"
source = "REGION//*"
kind = "categorical"
static = true
"#;

const FILES: [(&str, &str); 3] = [
    ("patients.csv", "id,sex,born\n1,f,-900\n2,m,-800\n3,m,-700\n"),
    (
        "labs.csv",
        "id,day,test,value,unit\n1,0,CRP,2.5,mg/L\n1,9,CRP,3.5,mg/L\n2,0,CRP,1.0,mg/L\n2,4,CRP,4.0,mg/L\n",
    ),
    ("events.csv", "id,day,event\n1,,REGION//north\n2,,REGION//south\n1,4,stroke\n"),
];

/// What is wrong; (file, from, to), to nothing where the file is not there; (from, to) in the
/// schema; the message, in which FOLDER and SCHEMA stand for the paths.
type Case = (&'static str, [&'static str; 3], [&'static str; 2], &'static str);

const NONE: [&str; 2] = ["", ""];
const ALL: [&str; 3] = ["", "", ""];

const CASES: [Case; 29] = [
    (
        "a table that is not there",
        ["labs.csv", "", ""],
        NONE,
        "FOLDER: has no table `labs`; it has: events, patients\nhint: add labs.csv, .parquet or .arrow, or correct the schema",
    ),
    (
        "a code that no row has",
        ALL,
        ["source = \"CRP\"", "source = \"HCL\""],
        "FOLDER, column `crp`: no row of the table `labs` has a value of the code `HCL`\nhint: correct the column's source, or remove the column",
    ),
    (
        "a pattern that no code fits",
        ALL,
        ["REGION//*", "PLACE//*"],
        "FOLDER, column `region`: no row of the table `events` has a value of the code `PLACE//*`\nhint: correct the column's source, or remove the column",
    ),
    (
        "a patient without statics",
        ["patients.csv", "2,m,-800\n", ""],
        NONE,
        "FOLDER/labs.csv, row 3, column `id`: patient `2` has no row in FOLDER/patients.csv\nhint: add one, or remove the patient here",
    ),
    (
        "an event before birth",
        ["events.csv", "1,4,stroke", "1,-901,stroke"],
        NONE,
        "FOLDER/events.csv, row 3, column `day`: `born` is -900 here, and `day` is -901, but the schema says `born <= day`\nhint: correct the cell, or remove the rule",
    ),
    (
        "two rows that disagree on a static",
        ["patients.csv", "3,m", "2,f,-800\n3,m"],
        NONE,
        "FOLDER/patients.csv, row 3, column `sex`: patient `2` has f here and m in row 2, but has one value\nhint: correct or remove a row",
    ),
    (
        "two static codes of one patient",
        ["events.csv", "2,,REGION//south", "2,,REGION//south\n2,,REGION//north"],
        NONE,
        "FOLDER/events.csv, row 3, column `REGION//*`: patient `2` has REGION//north here and REGION//south in row 2, but has one value\nhint: correct or remove a row",
    ),
    (
        "an event without a time",
        ["events.csv", "1,4,stroke", "1,,stroke"],
        NONE,
        "FOLDER/events.csv, row 3, column `day`: `stroke` has no time here\nhint: give it one, or set static = true where the code's rows never have one",
    ),
    (
        "what never changes with a time",
        ["events.csv", "1,,REGION", "1,3,REGION"],
        NONE,
        "FOLDER/events.csv, row 1, column `day`: `REGION//north` has a time here, but its column is static\nhint: remove static = true",
    ),
    (
        "a time that is none",
        ["events.csv", "1,4,stroke", "1,late,stroke"],
        NONE,
        "FOLDER/events.csv, row 3, column `day`: `late` is not a number\nhint: correct the cell, or list `late` under `missing` in the schema",
    ),
    (
        "a zone that cannot be read",
        ["labs.csv", "2,4,", "2,2020-01-01T00:00:00+99:99,"],
        ["model = \"visits\"", "model = \"visits\"\nformat = \"%Y-%m-%dT%H:%M:%S%:z\""],
        "FOLDER/labs.csv, row 1, column `day`: `0` is no date of the form `%Y-%m-%dT%H:%M:%S%:z`\nhint: correct the cell, or time.format in the schema\nFOLDER/labs.csv, row 2, column `day`: `9` is no date of the form `%Y-%m-%dT%H:%M:%S%:z`\nhint: correct the cell, or time.format in the schema\nFOLDER/labs.csv, row 3, column `day`: `0` is no date of the form `%Y-%m-%dT%H:%M:%S%:z`\nhint: correct the cell, or time.format in the schema\nFOLDER/labs.csv, row 4, column `day`: `2020-01-01T00:00:00+99:99` is no date of the form `%Y-%m-%dT%H:%M:%S%:z`\nhint: correct the cell, or time.format in the schema\nFOLDER/events.csv, row 3, column `day`: `4` is no date of the form `%Y-%m-%dT%H:%M:%S%:z`\nhint: correct the cell, or time.format in the schema",
    ),
    (
        "a value that is no number",
        ["labs.csv", "3.5", "high"],
        NONE,
        "FOLDER/labs.csv, row 2, column `crp`: `high` is not a number\nhint: correct the cell, or list `high` under `missing` in the schema",
    ),
    (
        "a level that is unknown",
        ["patients.csv", "2,m", "2,w"],
        NONE,
        "FOLDER/patients.csv, row 2, column `sex`: `w` is not among the levels f, m\nhint: correct the cell or add the level to the schema",
    ),
    (
        "a code in two units",
        ["labs.csv", "4.0,mg/L", "4.0,mg/dL"],
        NONE,
        "FOLDER/labs.csv, row 4, column `unit`: `CRP` is in `mg/dL` here and in `mg/L` in row 1\nhint: convert the values to one unit",
    ),
    (
        "values of what only happens",
        ALL,
        ["source = \"CRP\"\nkind = \"numeric\"", "source = \"CRP\"\nkind = \"binary\""],
        "FOLDER/labs.csv, row 1, column `value`: `CRP` has a value here, but its column has no levels, as of what happened or did not\nhint: name its levels, or set kind = \"numeric\"",
    ),
    (
        "a column that is not there",
        ["labs.csv", "test,value", "item,value"],
        NONE,
        "FOLDER/labs.csv, column `test`: the table has no such column; it has: id, day, item, value, unit\nhint: correct the schema or the header",
    ),
    (
        "nothing that the schema knows",
        ALL,
        [
            "[[columns]]\nname = \"crp\"\ntable = \"labs\"\nsource = \"CRP\"\nkind = \"numeric\"\n[[columns]]\nname = \"stroke\"\n",
            "[[columns]]\nname = \"crp\"\ntable = \"labs\"\nkind = \"numeric\"\n[[columns]]\nname = \"storke\"\n",
        ],
        "FOLDER: no row of the tables holds what the schema's columns name\nhint: correct their source",
    ),
    (
        "a table named twice",
        ALL,
        ["name = \"events\"\nrole", "name = \"labs\"\nrole"],
        "SCHEMA, line 17: table `labs`: is named twice\nhint: remove one entry\nSCHEMA, line 38: column `stroke`: there is no [[tables]] entry `events`\nhint: add one\nSCHEMA, line 42: column `region`: there is no [[tables]] entry `events`\nhint: add one",
    ),
    (
        "a table of which nothing is taken",
        ALL,
        ["[[rules]]", "[[tables]]\nname = \"notes\"\nrole = \"visits\"\n[[rules]]"],
        "SCHEMA, line 21: table `notes`: no [[columns]] entry has it as its table\nhint: add one, or remove it",
    ),
    (
        "tables without times",
        ALL,
        ["name = \"small\"", "name = \"small\"\ntables = []"],
        "SCHEMA, line 8: duplicate key",
    ),
    (
        "a column of no table",
        ALL,
        ["table = \"labs\"\n", ""],
        "SCHEMA, line 11: table `labs`: no [[columns]] entry has it as its table\nhint: add one, or remove it\nSCHEMA, line 32: column `crp`: which of the tables it comes from is not said\nhint: add table = \"…\"",
    ),
    (
        "a column of an unknown table",
        ALL,
        ["table = \"labs\"\n", "table = \"lab\"\n"],
        "SCHEMA, line 11: table `labs`: no [[columns]] entry has it as its table\nhint: add one, or remove it\nSCHEMA, line 33: column `crp`: there is no [[tables]] entry `lab`\nhint: add one",
    ),
    (
        "a table of events without codes",
        ALL,
        ["code = \"event\"\n", ""],
        "SCHEMA, line 18: table `events`: a table of events needs the column of its codes\nhint: add code = \"…\"",
    ),
    (
        "a static table with codes",
        ALL,
        ["role = \"static\"", "role = \"static\"\ncode = \"sex\""],
        "SCHEMA, line 10: table `patients`: only tables of events have code\nhint: remove it, or set role = \"events\"",
    ),
    (
        "a folder above",
        ALL,
        ["name = \"events\"\nrole", "name = \"../events\"\nrole"],
        "SCHEMA, line 17: table `../events`: must be the name of a file or folder alone\nSCHEMA, line 17: table `../events`: no [[columns]] entry has it as its table\nhint: add one, or remove it\nSCHEMA, line 38: column `stroke`: there is no [[tables]] entry `events`\nhint: add one\nSCHEMA, line 42: column `region`: there is no [[tables]] entry `events`\nhint: add one",
    ),
    (
        "numbers of a table without values",
        ALL,
        [
            "name = \"stroke\"\ntable = \"events\"\nkind = \"binary\"",
            "name = \"stroke\"\ntable = \"events\"\nkind = \"numeric\"",
        ],
        "SCHEMA, line 39: column `stroke`: the table has no values\nhint: give the table its value = \"…\", or set kind = \"binary\": the event happened or not",
    ),
    (
        "a pattern with two stars",
        ALL,
        ["REGION//*", "*//*"],
        "SCHEMA, line 43: column `region`: a pattern of codes has one `*`",
    ),
    (
        "two columns of one code",
        ALL,
        [
            "name = \"stroke\"\ntable = \"events\"",
            "name = \"stroke\"\nsource = \"REGION//*\"\ntable = \"events\"",
        ],
        "SCHEMA, line 44: column `region`: another column comes from there too\nhint: remove one",
    ),
    (
        "once, of what is measured",
        ALL,
        ["holds = \"born <= day\"", "holds = \"crp happens once\""],
        "SCHEMA, line 21: rule `crp happens once`: `crp` is no code without values that happens at some time",
    ),
];

/// Trains on the tables; gives the message, and whether anything was left.
fn train(folder: &Path, schema: &Path, out: &Path) -> (Option<i32>, String) {
    let output = hg_tests::train([folder, schema, out], &["--iterations", "1"]);
    let message = String::from_utf8_lossy(&output.stderr);
    // What is only said comes before the error.
    let message = message.find("error: ").map_or(&*message, |at| &message[at..]);
    let message = message.replace(&folder.display().to_string(), "FOLDER");
    let message = message.replace(&schema.display().to_string(), "SCHEMA");
    (output.status.code(), message.trim_end().to_owned())
}

/// The tables, one of them edited.
fn write(folder: &Path, [file, from, to]: [&str; 3]) {
    std::fs::create_dir(folder).expect("makes");
    for (name, text) in FILES {
        let is_absent = name == file && from.is_empty();
        if !is_absent {
            let text = if name == file { text.replacen(from, to, 1) } else { text.to_owned() };
            std::fs::write(folder.join(name), text).expect("writes");
        }
    }
}

#[test]
fn tables_that_do_not_fit_are_refused_with_their_place_and_leave_nothing() {
    let mut wrong = String::new();
    for (what, in_tables, [from, to], says) in CASES {
        let folder = tempfile::tempdir().expect("a folder");
        let (data, schema) = (folder.path().join("tables"), folder.path().join("schema.toml"));
        write(&data, in_tables);
        std::fs::write(&schema, SCHEMA.replacen(from, to, 1)).expect("writes");
        let out = folder.path().join("run");
        let (code, message) = train(&data, &schema, &out);
        if message != format!("error: {says}") {
            wrong += &format!("{what}: says\n  {message}\ninstead of\n  error: {says}\n");
        }
        if code != Some(2) || out.exists() {
            wrong += &format!("{what}: ends with {code:?}, or leaves a run\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn files_that_are_no_set_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, schema) = (folder.path().join("tables"), folder.path().join("schema.toml"));
    let out = folder.path().join("run");
    write(&data, ALL);
    std::fs::write(&schema, SCHEMA).expect("writes");

    let (code, message) = train(&data.join("labs.csv"), &schema, &out);
    assert_eq!(code, Some(2));
    assert!(message.ends_with("FOLDER: is one file, but the schema has several [[tables]]\nhint: name the folder that holds them"), "{message}");

    std::fs::write(data.join("labs.tsv"), "id\n").expect("writes");
    let (code, message) = train(&data, &schema, &out);
    assert_eq!(code, Some(2));
    let twice = "error: FOLDER/labs.tsv: is the table `labs`, and so is FOLDER/labs.csv\nhint: move one of them elsewhere";
    assert_eq!(message, twice);
}

#[test]
fn a_cohort_is_never_written_over_anything_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, schema) = (folder.path().join("tables"), folder.path().join("schema.toml"));
    let run = folder.path().join("run");
    write(&data, ALL);
    std::fs::write(&schema, SCHEMA).expect("writes");
    let (code, message) = train(&data, &schema, &run);
    assert_eq!(code, Some(0), "{message}");
    let generate = |out: &Path| {
        let (run, out) = (run.display().to_string(), out.display().to_string());
        hg(&["generate", &run, "--patients", "5", "--out", &out])
    };
    let out = folder.path().join("cohort");
    assert!(generate(&out).status.success());
    assert!(generate(&out).status.success(), "a cohort is replaced by another");
    let patients = std::fs::read_to_string(out.join("patients.csv")).expect("reads");
    assert_eq!(patients.lines().count(), 6);
    std::fs::write(out.join("notes.md"), "mine").expect("writes");
    let output = generate(&out);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        message.contains("is there, and is no cohort of these tables\nhint: name a new folder")
    );
    assert_eq!(std::fs::read_to_string(out.join("notes.md")).expect("reads"), "mine");
    assert!(!folder.path().join("cohort.tmp").exists());
}
