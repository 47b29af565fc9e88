//! What leaves the house: the synthetic tables and what may be said of them, and no number of the private table.

use hg_tests::{hg, repository};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

/// The shipped table with identifiers as hospitals have them.
fn table_with_ids(path: &Path) {
    let text = std::fs::read_to_string(repository("data/pbc/pbcseq.csv")).expect("reads");
    let mut lines = text.lines();
    let mut table = lines.next().expect("a header").to_owned() + "\n";
    let position = table.trim().split(',').position(|name| name == "id").expect("ids");
    for line in lines {
        let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        cells[position] = format!("MRN{:0>6}X", cells[position]);
        table += &(cells.join(",") + "\n");
    }
    std::fs::write(path, table).expect("writes");
}

fn train(data: &Path, run: &Path) {
    let schema = repository("data-schemas/pbc.toml");
    let how = ["--iterations", "2", "--batch-size", "8", "--held-out", "0.2", "--seed", "1"];
    let output = hg_tests::train([data, &schema, run], &how);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn release(run: &Path, out: &Path, more: &[&str]) -> Output {
    let (run, out) = (run.display().to_string(), out.display().to_string());
    let mut arguments = vec!["release", &run, "--out", &out, "--license", "CC-BY-4.0"];
    arguments.extend(more);
    hg(&arguments)
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn refused(output: &Output, said: &str, out: &Path) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(said) && stderr.contains("\nhint: "), "{stderr}");
    let parent = std::fs::read_dir(out.parent().expect("a parent")).expect("lists");
    let left = parent.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let left: Vec<String> = left.filter(|name| name.starts_with(".hg-release")).collect();
    assert!(!out.exists() && left.is_empty(), "{left:?} is left behind");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("lists");
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn numbers_of(value: &Value, into: &mut Vec<f64>) {
    match value {
        Value::Number(number) => into.extend(number.as_f64()),
        Value::Array(values) => values.iter().for_each(|value| numbers_of(value, into)),
        Value::Object(map) => map.values().for_each(|value| numbers_of(value, into)),
        _ => {}
    }
}

/// Digits of a written number that count.
fn significant(text: &str) -> usize {
    let mantissa = text.split(['e', 'E']).next().unwrap_or("");
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0');
    if mantissa.contains('.') { digits.len() } else { digits.trim_end_matches('0').len() }
}

/// A number as somebody would write it, at several precisions.
fn written(number: f64) -> impl Iterator<Item = String> {
    let whole = [number.abs().to_string(), (number.abs() as f32).to_string()];
    whole.into_iter().chain((0..8).map(move |decimals| format!("{:.decimals$}", number.abs())))
}

/// The numbers in a text with more than three digits that count; no parts of words or sums.
fn numbers_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '.';
    let words = text.split(|c: char| !is_part(c)).map(|word| word.trim_matches('.'));
    let is_number = |word: &&str| word.parse::<f64>().is_ok() && significant(word) > 3;
    words.filter(is_number).map(str::to_owned).collect()
}

#[test]
fn a_release_holds_the_tables_byte_for_byte_and_no_number_or_name_of_the_private_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, run, out) =
        (folder.path().join("mrn.csv"), folder.path().join("run"), folder.path().join("out"));
    table_with_ids(&data);
    train(&data, &run);
    // The private table is not needed.
    std::fs::rename(&data, folder.path().join("away.csv")).expect("moves");
    done(&release(&run, &out, &["--despite-privacy"]));
    let tables = ["synthetic.csv", "synthetic.parquet"];
    let texts = ["SHA256SUMS", "card.json", "card.md", "report.md"];
    assert_eq!(names(&out), [&texts[..], &tables[..]].concat());
    let read = |path: &Path| std::fs::read(path).expect("reads");
    for table in tables {
        assert!(read(&out.join(table)) == read(&run.join(table)), "{table} is another");
    }

    // Names: ids, paths, sums of private files.
    let manifest = std::fs::read_to_string(run.join("run.toml")).expect("reads");
    let sums = manifest.lines().filter(|line| line.contains("sha256"));
    let sums: Vec<&str> = sums.filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(sums.len(), 3, "{manifest}");
    let place = folder.path().display().to_string();
    for name in names(&out) {
        let bytes = read(&out.join(&name));
        let text = String::from_utf8_lossy(&bytes);
        for private in ["MRN", "mrn.csv", "encoder", &place].into_iter().chain(sums.clone()) {
            assert!(!text.contains(private), "{name} tells {private}");
        }
    }

    // Numbers: those of the schema's author, and of the synthetic tables' size, are no secret.
    let encoder: Value = serde_json::from_slice(&read(&run.join("encoder.json"))).expect("JSON");
    let mut fitted = Vec::new();
    numbers_of(&encoder, &mut fitted);
    let is_long = |text: &String| significant(text) > 3;
    let private: BTreeSet<String> = fitted.into_iter().flat_map(written).filter(is_long).collect();
    assert!(private.len() > 1_000, "{} numbers were fitted", private.len());
    let schema = std::fs::read_to_string(repository("data-schemas/pbc.toml")).expect("reads");
    let rows = String::from_utf8_lossy(&read(&out.join("synthetic.csv"))).lines().count() - 1;
    let mut public = numbers_in(&schema);
    public.extend(tables.map(|table| read(&out.join(table)).len().to_string()));
    public.insert(rows.to_string());
    for name in texts {
        let text = String::from_utf8_lossy(&read(&out.join(name))).into_owned();
        let told: Vec<String> = numbers_in(&text)
            .into_iter()
            .filter(|number| private.contains(number) && !public.contains(number))
            .collect();
        assert!(told.is_empty(), "{name} tells {told:?}");
    }
    if let Ok(checked) =
        Command::new("sha256sum").args(["-c", "SHA256SUMS"]).current_dir(&out).output()
    {
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
}

#[test]
fn what_a_custodian_would_not_let_go_is_refused_and_one_flag_says_otherwise() {
    let folder = tempfile::tempdir().expect("a folder");
    let (run, out) = (folder.path().join("run"), folder.path().join("out"));
    train(&repository("data/pbc/pbcseq.csv"), &run);
    let figures = run.join("report/comparison.json");
    let text = std::fs::read_to_string(&figures).expect("reads");
    let judged = |passed: Value| {
        let mut json: Value = serde_json::from_str(&text).expect("JSON");
        let answers = json["answers"].as_array_mut().expect("answers");
        let private = answers.iter_mut().filter(|answer| answer["topic"] == "Is it private?");
        private.for_each(|answer| answer["passed"] = passed.clone());
        std::fs::write(&figures, json.to_string()).expect("writes");
    };

    judged(false.into());
    refused(&release(&run, &out, &[]), "a question of privacy is failed", &out);
    let despite = folder.path().join("despite");
    done(&release(&run, &despite, &["--despite-privacy"]));
    let card = std::fs::read_to_string(despite.join("card.md")).expect("reads");
    assert!(card.contains("- **FAILED**: Is it hidden who was trained on?"), "{card}");
    let again = release(&run, &despite, &[]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("already exists"));

    judged(true.into());
    let fine = folder.path().join("fine");
    done(&release(&run, &fine, &[]));
    // Another table than was evaluated.
    let table = run.join("synthetic.csv");
    let whole = std::fs::read_to_string(&table).expect("reads");
    std::fs::write(&table, whole.clone() + "\n").expect("writes");
    refused(&release(&run, &out, &[]), "have not been evaluated as they are now", &out);
    std::fs::write(&table, whole).expect("writes");
    std::fs::remove_file(&figures).expect("removes");
    refused(&release(&run, &out, &[]), "have not been evaluated", &out);
    let unknown = folder.path().join("unknown");
    done(&release(&run, &unknown, &["--despite-privacy"]));
    let card = std::fs::read_to_string(unknown.join("card.md")).expect("reads");
    assert!(card.contains("The cohort was not attacked"), "{card}");
    assert!(!unknown.join("report.md").exists());
    std::fs::remove_file(&table).expect("removes");
    refused(&release(&run, &out, &["--despite-privacy"]), "synthetic.csv: cannot be read", &out);
}
