//! Bad input gets an error that names the place and the way out, exit code 2, and
//! leaves nothing behind.

use hg_tests::{hg, repository};
use std::path::{Path, PathBuf};

const SCHEMA: &str = r#"name = "small"
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

/// What is wrong; (from, to) in the table and in the schema, or (nothing, all of it); the
/// message.
type Case = (&'static str, [&'static str; 2], [&'static str; 2], &'static str);

const NONE: [&str; 2] = ["", ""];

/// TABLE and SCHEMA stand for the files.
const CASES: [Case; 66] = [
    (
        "a missing column",
        ["x", "y"],
        NONE,
        "TABLE, column `x`: the table has no such column; it has: id, day, y, sex\nhint: correct the schema or the header",
    ),
    (
        "two missing columns",
        ["x,sex", "y,z"],
        NONE,
        "TABLE, column `x`: the table has no such column; it has: id, day, y, z\nhint: correct the schema or the header\nTABLE, column `sex`: the table has no such column; it has: id, day, y, z\nhint: correct the schema or the header",
    ),
    (
        "an unknown level",
        ["f", "w"],
        NONE,
        "TABLE, row 1, column `sex`: `w` is not among the levels f, m\nhint: correct the cell or add the level to the schema",
    ),
    (
        "no number",
        ["3.5", "high"],
        NONE,
        "TABLE, row 2, column `x`: `high` is not a number\nhint: correct the cell, or list `high` under `missing` in the schema",
    ),
    (
        "a column twice in the header",
        ["sex", "x"],
        NONE,
        "TABLE, column `x`: the header names it twice\nhint: rename one",
    ),
    (
        "a row too short",
        ["3.5,f", "3.5"],
        NONE,
        "TABLE: row 2 has 3 cells, the header has 4\nhint: correct it (quote cells that hold a `,`)",
    ),
    (
        "no patient left",
        NONE,
        [
            "step = 1.0\n[[columns]]",
            "step = 1.0\n[sequence]\nmin_length = 3\nshort_patients = \"drop\"\n[[columns]]",
        ],
        "TABLE: no patient has the 3 steps that sequence.min_length asks for\nhint: lower it",
    ),
    (
        "Box–Cox of −2",
        ["2.5", "-2"],
        [
            "kind = \"numeric\"\n[[columns]]",
            "kind = \"numeric\"\ntransform = \"box-cox\"\n[[columns]]",
        ],
        "TABLE, row 1, column `x`: the transform is not defined at -2\nhint: choose \"identity\" or \"quantile\", or a greater shift",
    ),
    (
        "NaN",
        ["1.0", "NaN"],
        NONE,
        "TABLE, row 3, column `x`: `NaN` is not finite\nhint: empty the cell, or list `NaN` under `missing` in the schema",
    ),
    (
        "infinite",
        ["4.0", "-inf"],
        NONE,
        "TABLE, row 4, column `x`: `-inf` is not finite\nhint: empty the cell, or list `-inf` under `missing` in the schema",
    ),
    (
        "grouped digits",
        ["3.5", "\"1,250\""],
        NONE,
        "TABLE, row 2, column `x`: `1,250` is not a number\nhint: if the comma groups digits, set thousands = \",\" for the column; if it stands before decimals, set decimal = \",\" in the schema",
    ),
    (
        "a decimal comma",
        ["3.5", "\"12,5\""],
        NONE,
        "TABLE, row 2, column `x`: `12,5` is not a number\nhint: if the comma stands before decimals, set decimal = \",\" in the schema, and thousands = \".\" for the column if points group digits",
    ),
    (
        "a unit in a cell",
        ["3.5", "3.5 mmol"],
        NONE,
        "TABLE, row 2, column `x`: `3.5 mmol` is not a number\nhint: if every cell ends so, set suffix = \" mmol\" for the column",
    ),
    (
        "a number that no double holds",
        ["3.5", "9007199254740993"],
        NONE,
        "TABLE, row 2, column `x`: `9007199254740993` is a whole number beyond 2⁵³, which no calculation keeps exactly\nhint: leave an identifier out of the schema, or make a code categorical",
    ),
    (
        "a code that is no level",
        ["3.5,f", "3.5,0f"],
        ["levels = [\"f\", \"m\"]", "levels = [\"f\", \"m\"]"],
        "TABLE, row 2, column `sex`: `0f` is not among the levels f, m\nhint: correct the cell or add the level to the schema",
    ),
    (
        "a static column that varies",
        ["1,1,3.5,f", "1,1,3.5,m"],
        ["levels = [\"f\", \"m\"]", "levels = [\"f\", \"m\"]\nstatic = true"],
        "TABLE, row 2, column `sex`: patient `1` has m here and f in row 1, but the column is static\nhint: correct the cell, or remove static = true",
    ),
    (
        "nothing measured at all",
        ["", "id,day,x,sex\n1,0,,\n1,1,,\n"],
        NONE,
        "TABLE: nothing was measured in any of the schema's columns\nhint: add a column that was",
    ),
    (
        "a bound",
        ["3.5", "> 89"],
        NONE,
        "TABLE, row 2, column `x`: `> 89` is not a number\nhint: set censored = { text = \"> 89\", value = … } for the column, or add it to the list there",
    ),
    (
        "a missing id",
        ["f\n2", "f\n"],
        NONE,
        "TABLE, row 3, column `id`: the patient is missing\nhint: fill the cell or remove the row",
    ),
    (
        "a missing time",
        ["2,0", "2,"],
        NONE,
        "TABLE, row 3, column `day`: the time is missing\nhint: fill the cell or remove the row",
    ),
    (
        "a time that is no number",
        ["2,0", "2,May"],
        NONE,
        "TABLE, row 3, column `day`: `May` is not a number\nhint: correct the cell, or list `May` under `missing` in the schema",
    ),
    (
        "several at once",
        ["2.5,f", "high,w"],
        NONE,
        "TABLE, row 1, column `x`: `high` is not a number\nhint: correct the cell, or list `high` under `missing` in the schema\nTABLE, row 1, column `sex`: `w` is not among the levels f, m\nhint: correct the cell or add the level to the schema",
    ),
    (
        "an empty file",
        ["id,day,x,sex\n1,0,2.5,f\n1,1,3.5,f\n2,0,1.0,m\n2,1,4.0,m\n", ""],
        NONE,
        "TABLE: is empty\nhint: a CSV needs a header line and rows",
    ),
    (
        "a header alone",
        ["1,0,2.5,f\n1,1,3.5,f\n2,0,1.0,m\n2,1,4.0,m\n", ""],
        NONE,
        "TABLE: has no rows\nhint: the table needs at least one",
    ),
    (
        "a NUL byte",
        ["id,day,x,sex\n1,0,2.5,f\n1,1,3.5,f\n2,0,1.0,m\n2,1,4.0,m\n", "\u{0}PNG\u{0}"],
        NONE,
        "TABLE: is no CSV: line 1 holds a NUL byte",
    ),
    (
        "a row too long",
        ["3.5,f", "3.5,f,9"],
        NONE,
        "TABLE: row 2 has 5 cells, the header has 4\nhint: correct it (quote cells that hold a `,`)",
    ),
    (
        "not UTF-8",
        ["f\n1,1,3.5,f\n2,0,1.0,m\n2,1,4.0,m", "fü"],
        NONE,
        "TABLE: line 2 is not UTF-8\nhint: save the file as UTF-8, or set encoding = \"windows-1252\" in the schema",
    ),
    (
        "a patient too short",
        NONE,
        ["step = 1.0\n[[columns]]", "step = 1.0\n[sequence]\nmin_length = 3\n[[columns]]"],
        "TABLE, patient `1`: has 2 of the 3 steps that sequence.min_length asks for\nhint: lower it, or set sequence.short_patients = \"drop\"\nTABLE, patient `2`: has 2 of the 3 steps that sequence.min_length asks for\nhint: lower it, or set sequence.short_patients = \"drop\"",
    ),
    (
        "a logarithm of −2",
        ["2.5", "-2"],
        [
            "kind = \"numeric\"\n[[columns]]",
            "kind = \"numeric\"\ntransform = \"log1p\"\n[[columns]]",
        ],
        "TABLE, row 1, column `x`: the transform is not defined at -2\nhint: choose \"identity\" or \"quantile\"",
    ),
    (
        "a square root of −2",
        ["2.5", "-2"],
        [
            "kind = \"numeric\"\n[[columns]]",
            "kind = \"numeric\"\ntransform = \"sqrt\"\n[[columns]]",
        ],
        "TABLE, row 1, column `x`: the transform is not defined at -2\nhint: choose \"identity\" or \"quantile\"",
    ),
    (
        "three levels for two",
        ["4.0,m", "4.0,d"],
        ["levels = [\"f\", \"m\"]\n", ""],
        "TABLE, column `sex`: a binary column has two levels, this one has 3\nhint: use kind = \"categorical\", or name its levels",
    ),
    (
        "a date in another form",
        ["0,2.5,f\n1,1,3.5,f\n2,0,1.0,m\n2,1,4.0,m", "1 May,2,f"],
        ["step = 1.0\n[[columns]]", "step = 1.0\nformat = \"%Y-%m-%d\"\n[[columns]]"],
        "TABLE, row 1, column `day`: `1 May` is no date of the form `%Y-%m-%d`\nhint: correct the cell, or time.format in the schema",
    ),
    (
        "an unknown key",
        NONE,
        ["step = 1.0\n[[columns]]", "step = 1.0\nstpe = 2\n[[columns]]"],
        "SCHEMA, line 7: unknown field `stpe`, expected one of `column`, `unit`, `model`, `step`, `format`, `start`",
    ),
    (
        "an unknown kind",
        NONE,
        ["kind = \"numeric\"", "kind = \"number\""],
        "SCHEMA, line 9: unknown variant `number`, expected one of `numeric`, `categorical`, `binary`",
    ),
    (
        "an unknown transform",
        NONE,
        ["kind = \"numeric\"\n[[columns]]", "kind = \"numeric\"\ntransform = \"log\"\n[[columns]]"],
        "SCHEMA, line 10: unknown variant `log`, expected one of `identity`, `log1p`, `sqrt`, `box-cox`, `quantile`",
    ),
    (
        "no TOML",
        NONE,
        ["name = \"small\"", "name = small"],
        "SCHEMA, line 1: string values must be quoted, expected literal string",
    ),
    (
        "no patient",
        NONE,
        ["[patient]\ncolumn = \"id\"\n[time]", "[time]"],
        "SCHEMA, line 1: missing field `patient`",
    ),
    (
        "a step of 0",
        NONE,
        ["step = 1.0", "step = 0.0"],
        "SCHEMA, line 6: time.step is 0, it must be above 0",
    ),
    (
        "no step",
        NONE,
        ["step = 1.0\n", ""],
        "SCHEMA, line 5: time.step is missing, the width of the grid\nhint: give it, or set time.model = \"visits\" where rows are steps",
    ),
    (
        "visits on a grid",
        NONE,
        ["step = 1.0", "step = 1.0\nmodel = \"visits\""],
        "SCHEMA, line 6: visits have no time.step\nhint: remove it, or time.model = \"visits\"",
    ),
    (
        "visits with a start",
        NONE,
        ["step = 1.0", "model = \"visits\"\nstart = \"modelled\""],
        "SCHEMA, line 7: time.start goes with a grid: the first times of visits are modelled anyway\nhint: remove it",
    ),
    (
        "no rule",
        NONE,
        ["step = 1.0", "step = 1.0\n[[rules]]\nholds = \"x is fine\""],
        "SCHEMA, line 8: `x is fine` is no rule\nhint: write `a <= b`, `a never falls`, `a = level is never left`, `a happens once` or `a carried when flag = level`",
    ),
    (
        "a rule about an unknown column",
        NONE,
        ["step = 1.0", "step = 1.0\n[[rules]]\nholds = \"y never falls\""],
        "SCHEMA, line 8: rule `y never falls`: `y` is no [[columns]] entry\nhint: correct the name",
    ),
    (
        "a rule about levels as numbers",
        NONE,
        ["step = 1.0", "step = 1.0\n[[rules]]\nholds = \"day <= sex\""],
        "SCHEMA, line 8: rule `day <= sex`: `sex` must be numeric and have no bins",
    ),
    (
        "rules in a circle",
        NONE,
        [
            "step = 1.0",
            "step = 1.0\n[[rules]]\nholds = \"x <= day\"\n[[rules]]\nholds = \"day <= x\"",
        ],
        "SCHEMA, line 8: the rules go round in a circle over `x`\nhint: remove one",
    ),
    (
        "a spike twice",
        NONE,
        ["kind = \"numeric\"", "kind = \"numeric\"\nspikes = [0.0, 0.0]"],
        "SCHEMA, line 10: column `x`: a spike is named twice\nhint: remove one",
    ),
    (
        "a min_length of 0",
        NONE,
        ["step = 1.0\n[[columns]]", "step = 1.0\n[sequence]\nmin_length = 0\n[[columns]]"],
        "SCHEMA, line 8: sequence.min_length is 0, it must be at least 1",
    ),
    (
        "a max_length below min_length",
        NONE,
        [
            "step = 1.0\n[[columns]]",
            "step = 1.0\n[sequence]\nmin_length = 5\nmax_length = 3\n[[columns]]",
        ],
        "SCHEMA, line 9: sequence.max_length is below sequence.min_length\nhint: raise it",
    ),
    (
        "a column twice",
        NONE,
        ["name = \"sex\"", "name = \"x\""],
        "SCHEMA, line 11: column `x` is named twice\nhint: remove one entry",
    ),
    (
        "patient and time the same",
        NONE,
        ["column = \"day\"", "column = \"id\""],
        "SCHEMA, line 5: `id` is both patient and time\nhint: name two columns",
    ),
    (
        "a level twice",
        NONE,
        ["levels = [\"f\", \"m\"]", "levels = [\"f\", \"f\"]"],
        "SCHEMA, line 13: column `sex`: a level is named twice\nhint: remove one",
    ),
    (
        "levels of numbers",
        NONE,
        ["kind = \"numeric\"\n[[columns]]", "kind = \"numeric\"\nlevels = [1, 2]\n[[columns]]"],
        "SCHEMA, line 10: column `x`: a numeric column has no levels\nhint: remove them",
    ),
    (
        "a shift without Box–Cox",
        NONE,
        ["kind = \"numeric\"\n[[columns]]", "kind = \"numeric\"\nshift = 1.0\n[[columns]]"],
        "SCHEMA, line 10: column `x`: shift goes with transform = \"box-cox\"\nhint: remove it",
    ),
    (
        "edges that do not ascend",
        NONE,
        [
            "kind = \"numeric\"\n[[columns]]",
            "kind = \"numeric\"\nbins = { edges = [2.0, 1.0] }\n[[columns]]",
        ],
        "SCHEMA, line 10: column `x`: edges must be finite and ascend",
    ),
    (
        "bins without edges",
        NONE,
        ["kind = \"numeric\"\n[[columns]]", "kind = \"numeric\"\nbins = {}\n[[columns]]"],
        "SCHEMA, line 10: column `x`: bins need either edges or quantiles",
    ),
    (
        "a transform of levels",
        NONE,
        [
            "kind = \"binary\"\nlevels = [\"f\", \"m\"]",
            "kind = \"binary\"\ntransform = \"log1p\"\nlevels = [\"f\", \"m\"]",
        ],
        "SCHEMA, line 13: column `sex`: only numeric columns have transform\nhint: remove it",
    ),
    (
        "a mean of levels",
        NONE,
        [
            "kind = \"binary\"\nlevels = [\"f\", \"m\"]",
            "kind = \"binary\"\naggregate = \"mean\"\nlevels = [\"f\", \"m\"]",
        ],
        "SCHEMA, line 13: column `sex`: levels have no mean or sum\nhint: use aggregate = \"last\"",
    ),
    (
        "an unknown encoding",
        NONE,
        ["name = \"small\"\n[patient]", "name = \"small\"\nencoding = \"latin-15\"\n[patient]"],
        "SCHEMA, line 2: encoding `latin-15` is unknown\nhint: use `utf-8`, `windows-1252` or another name of the WHATWG",
    ),
    (
        "a format of no date",
        NONE,
        ["step = 1.0\n[[columns]]", "step = 1.0\nformat = \"day\"\n[[columns]]"],
        "SCHEMA, line 7: time.format `day` is no format of dates or of elapsed time\nhint: write dates as in %Y-%m-%d, elapsed time as in [h]:mm",
    ),
    (
        "a format that cannot be written",
        NONE,
        ["step = 1.0\n[[columns]]", "step = 1.0\nformat = \"%Y-%:\"\n[[columns]]"],
        "SCHEMA, line 7: time.format `%Y-%:` is no format of dates or of elapsed time\nhint: write dates as in %Y-%m-%d, elapsed time as in [h]:mm",
    ),
    (
        "a step in no unit",
        NONE,
        ["step = 1.0", "step = \"1 fortnight\""],
        "SCHEMA, line 6: time.step `1 fortnight` is no step\nhint: give a number, or one with a unit, as \"4 hours\" or \"1 month\"",
    ),
    (
        "a step in words, and numbers of no unit",
        NONE,
        ["step = 1.0", "step = \"1 hour\""],
        "TABLE, column `day`: time.step `1 hour` needs to know what the column's numbers count\nhint: set time.unit = \"days\" or the like, or give the step as a number",
    ),
    (
        "months of elapsed time",
        NONE,
        ["step = 1.0\n[[columns]]", "step = \"1 month\"\nformat = \"[h]:mm\"\n[[columns]]"],
        "SCHEMA, line 6: time.step `1 month` counts months, and the column holds time that has elapsed\nhint: give days or hours",
    ),
    (
        "dates with a start of their own",
        NONE,
        [
            "step = 1.0\n[[columns]]",
            "step = 1.0\nformat = \"%Y-%m-%d\"\nstart = \"modelled\"\n[[columns]]",
        ],
        "SCHEMA, line 8: time.start = \"modelled\" is for times that count from an event; synthetic dates start at 1 January 2000\nhint: remove it",
    ),
    (
        "a semicolon for a decimal sign",
        NONE,
        ["name = \"small\"\n[patient]", "name = \"small\"\ndecimal = \";\"\n[patient]"],
        "SCHEMA, line 2: decimal is `;`, it must be \".\" or \",\"",
    ),
    (
        "a bound twice",
        NONE,
        [
            "kind = \"numeric\"\n[[columns]]",
            "kind = \"numeric\"\ncensored = [{ text = \"<1\", value = 0.5 }, { text = \"<1\", value = 0.4 }]\n[[columns]]",
        ],
        "SCHEMA, line 10: column `x`: a text is named twice\nhint: remove one",
    ),
];

fn train(data: &Path, schema: &Path, out: &Path) -> std::process::Output {
    hg_tests::train([data, schema, out], &["--iterations", "1"])
}

fn refused(output: &std::process::Output, what: &str, says: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{what}: {message}");
    for part in says {
        assert!(message.contains(part), "{what}: no `{part}` in: {message}");
    }
    assert!(!message.contains("panicked"), "{what}: {message}");
}

#[test]
fn a_bad_table_or_schema_is_refused_with_its_place_and_leaves_nothing() {
    let mut wrong = String::new();
    for (what, in_table, in_schema, says) in CASES {
        let folder = tempfile::tempdir().expect("a folder");
        let (data, toml) = (folder.path().join("table.csv"), folder.path().join("schema.toml"));
        let edited = |text: &str, edit: [&str; 2]| match edit {
            NONE => text.to_owned(),
            ["", all] => all.to_owned(),
            [from, to] => text.replacen(from, to, 1),
        };
        // Latin-1, in which "ü" is no UTF-8.
        let bytes: Vec<u8> = edited(TABLE, in_table).chars().map(|c| c as u32 as u8).collect();
        std::fs::write(&data, bytes).expect("writes");
        std::fs::write(&toml, edited(SCHEMA, in_schema)).expect("writes");
        let out = folder.path().join("run");
        let output = train(&data, &toml, &out);
        let message = String::from_utf8_lossy(&output.stderr)
            .replace(&data.display().to_string(), "TABLE")
            .replace(&toml.display().to_string(), "SCHEMA");
        if message.trim_end() != format!("error: {says}") {
            wrong += &format!("{what}: says\n  {message}instead of\n  error: {says}\n");
        }
        if output.status.code() != Some(2) {
            wrong += &format!("{what}: ends with {:?}\n", output.status.code());
        }
        if out.exists() {
            wrong += &format!("{what}: half a run is left\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
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
