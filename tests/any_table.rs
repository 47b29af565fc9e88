//! A table of any make goes from `hg schema infer` to an evaluated synthetic cohort
//! without an edit.

use hg_tests::{hg, repository};
use std::path::Path;

/// Infers a schema, and trains with it.
fn walk_from(table: &Path, folder: &Path) {
    let name = |end: &str| folder.join(end).display().to_string();
    let (schema, run) = (name("schema.toml"), name("run"));
    let table = table.display().to_string();
    succeed(&[
        &["schema", "infer", &table, "--out", &schema],
        &[
            "train",
            "--data",
            &table,
            "--schema",
            &schema,
            "--out",
            &run,
            "--iterations",
            "2",
            "--batch-size",
            "4",
        ],
    ]);
}

/// Runs commands, each to its good end.
fn succeed(commands: &[&[&str]]) {
    for command in commands {
        let output = hg(command);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {message}");
    }
}

/// Infers, trains, generates and evaluates; the schema that was inferred, and the
/// generated cohort.
fn walk(table: &Path, folder: &Path) -> (String, String) {
    walk_from(table, folder);
    let name = |end: &str| folder.join(end).display().to_string();
    let (schema, run, cohort) = (name("schema.toml"), name("run"), name("cohort.csv"));
    succeed(&[&["generate", &run, "--patients", "5", "--out", &cohort], &["evaluate", &run]]);
    // A cohort has the encoding of its table.
    let text = |path: &str| std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into());
    let read = |path: &str| -> String { text(path).expect("reads") };
    (read(&schema), read(&cohort))
}

/// A table's bytes; what the inferred schema must hold, and what each row of the
/// generated cohort's column must look like.
struct Case {
    what: &'static str,
    file: &'static str,
    table: Vec<u8>,
    schema: &'static [&'static str],
    header: &'static str,
}

fn rows(header: &str, row: impl Fn(usize, usize) -> String) -> Vec<u8> {
    let rows = (0..12).flat_map(|patient| (0..4).map(move |step| (patient, step)));
    let lines = rows.map(|(patient, step)| row(patient, step));
    [header.to_owned()].into_iter().chain(lines).collect::<Vec<_>>().join("\n").into_bytes()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of tables")]
fn tables_of_any_make_need_no_edit() {
    let level = |n: usize| ["low", "mid", "high"][n % 3];
    let mut latin_1 = rows("id,day,ward,x", |p, s| format!("{p},{s},Ward{},{}", p % 2, p + s));
    let text = String::from_utf8(latin_1).expect("ASCII").replace("Ward0", "Chirurgie Süd");
    latin_1 = text.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect();
    let cases = [
        Case {
            what: "text ids",
            file: "a.csv",
            table: rows("subject,hour,level", |p, s| format!("anna-{p},{s},{}", level(p + s))),
            schema: &["column = \"subject\"", "column = \"hour\"", "[\"high\", \"low\", \"mid\"]"],
            header: "subject,hour,level",
        },
        Case {
            what: "dates as times",
            file: "b.csv",
            table: rows("patient,date,x", |p, s| format!("{p},0{}.03.2021,{}", 1 + 2 * s, p * s)),
            schema: &["format = \"%d.%m.%Y\"", "step = \"2 days\""],
            header: "patient,date,x",
        },
        Case {
            what: "thousands separators, semicolons",
            file: "c.csv",
            table: rows("id;t;platelets", |p, s| format!("{p};{s};{},500,250", 100 + 7 * p + s)),
            schema: &["separator = \";\"", "thousands = \",\""],
            header: "id;t;platelets",
        },
        Case {
            what: "censored ages",
            file: "d.csv",
            table: rows("id,t,age,x", |p, s| {
                let age = if p == 3 { "> 89".into() } else { (50 + 3 * p).to_string() };
                format!("{p},{s},{age},{}", s * s)
            }),
            schema: &["censored = { text = \"> 89\", value = 90.0 }", "static = true"],
            header: "id,t,age,x",
        },
        Case {
            what: "Latin-1",
            file: "e.csv",
            table: latin_1,
            schema: &["encoding = \"windows-1252\"", "Chirurgie Süd"],
            header: "id,day,ward,x",
        },
        Case {
            what: "booleans",
            file: "f.csv",
            table: rows("id,t,dead", |p, s| format!("{p},{s},{}", (p + s) % 5 == 0)),
            schema: &["levels = [\"false\", \"true\"]", "kind = \"binary\""],
            header: "id,t,dead",
        },
        Case {
            what: "an all-missing and a constant column, NA",
            file: "g.csv",
            table: rows("id,t,nothing,same,city,x", |p, s| {
                let x = if s == 1 { "NA".into() } else { (p * 10 + s).to_string() };
                format!("{p},{s},,7,Basel,{x}")
            }),
            schema: &["comes back empty", "missing = [\"NA\"]", "missing_indicator = true"],
            header: "id,t,nothing,same,city,x",
        },
        Case {
            what: "one patient",
            file: "h.csv",
            table: "id,t,x\n1,0,2.5\n1,1,3.0\n1,2,1.25\n".into(),
            schema: &["name = \"x\""],
            header: "id,t,x",
        },
        Case {
            what: "one row per patient",
            file: "i.csv",
            table: rows("id,visit,x", |p, s| format!("{},0,{}", 4 * p + s, p + s)),
            schema: &["step = 1.0"],
            header: "id,visit,x",
        },
    ];
    for Case { what, file, table, schema, header } in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(file);
        std::fs::write(&path, table).expect("writes");
        let (inferred, cohort) = walk(&path, folder.path());
        for part in schema {
            assert!(inferred.contains(part), "{what}: no `{part}` in:\n{inferred}");
        }
        assert_eq!(cohort.lines().next(), Some(header), "{what}");
        assert!(cohort.lines().count() > 5, "{what}: {cohort}");
    }
}

#[test]
fn the_shipped_and_a_simulated_cohort_need_no_edit() {
    let folder = tempfile::tempdir().expect("a folder");
    let simulated = folder.path().join("hiv.parquet");
    let out = simulated.display().to_string();
    let output = hg(&["simulate", "art-for-hiv", "--patients", "12", "--out", &out]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let label = std::fs::read_to_string(folder.path().join("hiv.parquet.simulated.json"));
    assert!(label.expect("a label").contains("No person's data"));
    let tables =
        [repository("data/pbc/pbcseq.csv"), repository("data/eicu-demo/labs.csv"), simulated];
    for (n, table) in tables.iter().enumerate() {
        let below = folder.path().join(n.to_string());
        std::fs::create_dir(&below).expect("makes");
        walk(table, &below);
    }
}

#[test]
fn the_published_schema_fits_the_simulated_cohort() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = folder.path().join("hiv.csv").display().to_string();
    let schema = repository("data-schemas/art-for-hiv.toml").display().to_string();
    let output = hg(&["simulate", "art-for-hiv", "--patients", "200", "--out", &table]);
    assert!(output.status.success());
    let output = hg(&["schema", "check", &schema, &table]);
    let (said, failed) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{failed}");
    assert!(said.contains("200 patients of up to 60 steps"), "{said}");
}

#[test]
fn what_is_generated_is_read_like_the_real_table() {
    for (name, end, shows) in [
        ("03-decimal-comma/lab.csv", "csv", ";"),
        ("03-decimal-comma/thousands-and-comma.csv", "csv.gz", ""),
        ("04-utf16/unicode-text.csv", "csv", ""),
        ("02-codes/codes.csv", "csv", "0417"),
        ("08-constant/constant.csv", "csv", ""),
        ("12-hhmm/set.csv", "csv", ",24:"),
        ("18-durations/dyn.parquet", "parquet", ""),
        ("25-months/month-name.csv", "csv.zst", ""),
        ("29-lines/unit.csv", "csv", "°C"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let table = repository("tests/cases").join(name);
        walk_from(&table, folder.path());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (run, cohort, schema) =
            (path("run"), path(&format!("cohort.{end}")), path("schema.toml"));
        let real = table.display().to_string();
        succeed(&[
            &["generate", &run, "--patients", "30", "--out", &cohort],
            &["evaluate", "--real", &real, "--synthetic", &cohort, "--schema", &schema],
        ]);
        let bytes = std::fs::read(&cohort).expect("reads");
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(shows), "{name}: no `{shows}` in {text}");
        // A UTF-16 table is given back as one.
        assert_eq!(bytes.starts_with(&[0xff, 0xfe]), name.starts_with("04"), "{name}");
    }
}
