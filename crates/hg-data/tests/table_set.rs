//! Several tables go through one and come back as they were, whatever they hold.

use anyhow::{Context, Result, ensure};
use hg_data::{
    Column, DataFrame, Encoder, Origin, Schema, SourceTable, Subset, TableRole, TimeModel,
};
use polars_core::prelude::*;
use proptest::prelude::*;
use std::path::Path;

/// What is known of a patient.
#[derive(Clone, Debug)]
struct Patient {
    is_female: bool,
    age: Option<i64>,
    region: Option<&'static str>,
    times: Vec<Visit>,
}

/// What was measured and happened at a time.
#[derive(Clone, Debug)]
struct Visit {
    gap: i64,
    crp: Option<f64>,
    sodium: Option<f64>,
    smokes: Option<bool>,
    stroke: bool,
    admission: Option<&'static str>,
    pulse: Option<i64>,
}

impl Visit {
    /// Whether any table has a row of it.
    fn is_there(&self) -> bool {
        self.stroke
            || self.admission.is_some()
            || self.pulse.is_some()
            || self.crp.is_some()
            || self.sodium.is_some()
            || self.smokes.is_some()
    }
}

fn visits() -> impl Strategy<Value = Visit> {
    let numbers = prop::option::of(prop::sample::select(vec![0.5, 1.25, 3.0, 17.5]));
    let ward = prop::option::weighted(0.2, prop::sample::select(vec!["icu", "med surg", "007"]));
    (
        1..400_i64,
        numbers.clone(),
        numbers,
        prop::option::of(any::<bool>()),
        prop::bool::weighted(0.2),
        ward,
        prop::option::of(50..90_i64),
    )
        .prop_map(|(gap, crp, sodium, smokes, stroke, admission, pulse)| Visit {
            gap,
            crp,
            sodium,
            smokes,
            stroke,
            admission,
            pulse,
        })
}

fn patients() -> impl Strategy<Value = Vec<Patient>> {
    let regions = prop::option::of(prop::sample::select(vec!["north", "south", "01"]));
    let patient = (
        any::<bool>(),
        prop::option::of(18..90_i64),
        regions,
        prop::collection::vec(visits(), 1..8),
    );
    let patient = patient.prop_map(|(is_female, age, region, mut times)| {
        // Somebody with a number at the first time, so that nobody is empty.
        times[0].pulse.get_or_insert(60);
        Patient { is_female, age, region, times }
    });
    prop::collection::vec(patient, 2..8)
}

const TABLES: [&str; 5] = ["patients", "labs", "events", "vitals", "meds"];

/// The tables of some patients, by name.
fn tables(patients: &[Patient]) -> Result<Vec<(&'static str, DataFrame)>> {
    let ids = 1..=patients.len() as i64;
    let statics = df!(
        "id" => ids.clone().collect::<Vec<_>>(),
        "sex" => patients.iter().map(|p| if p.is_female { "f" } else { "m" }).collect::<Vec<_>>(),
        "age" => patients.iter().map(|p| p.age).collect::<Vec<_>>(),
    )?;
    // (id, day, code, value, unit)
    let mut labs: Vec<(i64, i64, &str, f64, Option<&str>)> = Vec::new();
    let mut events: Vec<(i64, i64, &str)> = Vec::new();
    let mut vitals: Vec<(i64, i64, i64)> = Vec::new();
    let mut meds: Vec<(i64, Option<i64>, String)> = Vec::new();
    for (id, patient) in ids.zip(patients) {
        meds.extend(patient.region.map(|region| (id, None, format!("REGION//{region}"))));
        let mut day = 0;
        for visit in &patient.times {
            day += visit.gap;
            if !visit.is_there() {
                continue;
            }
            labs.extend(visit.crp.map(|x| (id, day, "CRP", x, Some("mg/L"))));
            labs.extend(visit.sodium.map(|x| (id, day, "2951-2", x * 100., Some("mmol/L"))));
            let smokes = visit.smokes.map(|x| (id, day, "smokes", f64::from(u8::from(x)), None));
            labs.extend(smokes);
            events.extend(visit.stroke.then_some((id, day, "stroke")));
            vitals.extend(visit.pulse.map(|x| (id, day, x)));
            meds.extend(visit.admission.map(|to| (id, Some(day), format!("ADMISSION//{to}"))));
        }
    }
    let labs = df!(
        "id" => labs.iter().map(|l| l.0).collect::<Vec<_>>(),
        "value" => labs.iter().map(|l| l.3 as f32).collect::<Vec<_>>(),
        "day" => labs.iter().map(|l| l.1).collect::<Vec<_>>(),
        "test" => labs.iter().map(|l| l.2).collect::<Vec<_>>(),
        "unit" => labs.iter().map(|l| l.4).collect::<Vec<_>>(),
    )?;
    let events = df!(
        "pid" => events.iter().map(|e| e.0).collect::<Vec<_>>(),
        "on" => events.iter().map(|e| e.1).collect::<Vec<_>>(),
        "what" => events.iter().map(|e| e.2).collect::<Vec<_>>(),
    )?;
    let vitals = df!(
        "id" => vitals.iter().map(|v| v.0).collect::<Vec<_>>(),
        "day" => vitals.iter().map(|v| v.1).collect::<Vec<_>>(),
        "hr" => vitals.iter().map(|v| v.2 as u8).collect::<Vec<_>>(),
    )?;
    let meds = df!(
        "id" => meds.iter().map(|m| m.0).collect::<Vec<_>>(),
        "day" => meds.iter().map(|m| m.1).collect::<Vec<_>>(),
        "code" => meds.iter().map(|m| m.2.as_str()).collect::<Vec<_>>(),
    )?;
    Ok(TABLES.into_iter().zip([statics, labs, events, vitals, meds]).collect())
}

fn schema() -> Result<Schema> {
    let mut labs = SourceTable::events("labs", "test", Some("value"));
    if let TableRole::Events { unit, .. } = &mut labs.role {
        *unit = Some("unit".into());
    }
    let events = SourceTable {
        patient: Some("pid".into()),
        time: Some("on".into()),
        ..SourceTable::events("events", "what", None)
    };
    let schema = Schema::builder("ward", "id", "day", TimeModel::Visits)
        .table(SourceTable::statics("patients"))
        .table(labs)
        .table(events)
        .table(SourceTable::visits("vitals"))
        .table(SourceTable::events("meds", "code", None))
        .column(Column::binary("sex").levels(["f", "m"]).source("patients", "sex"))
        .column(Column::numeric("age").source("patients", "age"))
        .column(Column::numeric("crp").source("labs", "CRP"))
        .column(Column::numeric("sodium").source("labs", "2951-2"))
        .column(Column::binary("smokes").levels([0, 1]).source("labs", "smokes"))
        .column(Column::binary("stroke").source("events", "stroke"))
        .column(Column::numeric("pulse").source("vitals", "hr"))
        .column(Column::categorical("region").constant().source("meds", "REGION//*"))
        .column(Column::categorical("admission").source("meds", "ADMISSION//*"))
        .build()?;
    Ok(schema)
}

/// Rows in an order of their own, so that tables can be compared.
fn sorted(table: &DataFrame) -> Result<DataFrame> {
    let by: Vec<PlSmallStr> = table.get_column_names_owned();
    Ok(table.sort(by, SortMultipleOptions::default())?)
}

/// Encodes and decodes a table, and takes it apart.
fn there_and_back(schema: &Schema, table: &hg_data::Table) -> Result<(Encoder, DataFrame)> {
    let (encoder, encoded) = Encoder::fit(schema, table, Subset::Whole)?;
    let encoder = Encoder::from_json(&encoder.to_json()?)?;
    let decoded = encoder.decode(&encoded.values, &encoded.lengths, encoded.steps, 0)?;
    Ok((encoder, decoded))
}

fn is_nothing(rows: usize, name: &str) -> bool {
    // Of a table without rows nothing can be learnt; a code in it is refused.
    rows == 0 && name != "meds"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tables_come_back_as_they_were(patients in patients()) {
        let check = || -> Result<()> {
            let (schema, tables) = (schema()?, tables(&patients)?);
            let has = |test: &str| {
                let labs = tables[1].1.column("test")?.str()?.clone();
                Ok::<bool, anyhow::Error>(labs.iter().flatten().any(|code| code == test))
            };
            let all_there = has("CRP")? && has("2951-2")? && has("smokes")?;
            let is_empty = tables.iter().any(|(name, table)| is_nothing(table.height(), name));
            let codes = tables[4].1.column("code")?.str()?.clone();
            let starts = |with: &str| codes.iter().flatten().any(|code| code.starts_with(with));
            if !all_there || is_empty || !starts("REGION") || !starts("ADMISSION") {
                return Ok(());
            }
            let together = schema.put_together(tables.clone())?;
            let (encoder, decoded) = there_and_back(&schema, &together)?;
            let back = encoder.take_apart(&decoded)?;
            for ((name, table), (of, made)) in tables.iter().zip(&back) {
                ensure!(name == of);
                ensure!(table.schema() == made.schema(), "{name}: {:?}", made.schema());
                let (table, made) = (sorted(table)?, sorted(made)?);
                ensure!(table.equals_missing(&made), "{name}: {table}\n{made}");
            }
            // What was made is read again, and is what a comparison expects.
            let made = back.iter().map(|(name, table)| (name.as_str(), table.clone()));
            let again = schema.put_together(made)?;
            let (observed, _) = encoder.observe(&again, Subset::Whole, Origin::Synthetic)?;
            ensure!(observed.out_of_domain.is_empty(), "{:?}", observed.out_of_domain);
            Ok(())
        };
        let checked = check();
        prop_assert!(checked.is_ok(), "{:?}", checked);
    }

    #[test]
    fn no_visit_is_lost_whatever_is_generated(
        patients in patients(),
        noise in prop::collection::vec(0f32..1., 89),
    ) {
        let check = || -> Result<()> {
            // A first visit at which everything was, and happened: there is something to learn of all.
            let first = Visit {
                gap: 3,
                crp: Some(1.5),
                sodium: Some(3.),
                smokes: Some(true),
                stroke: true,
                admission: Some("icu"),
                pulse: Some(70),
            };
            let with_all = Patient {
                is_female: true,
                age: Some(40),
                region: Some("north"),
                times: vec![first],
            };
            let patients = [patients.clone(), vec![with_all]].concat();
            let schema = schema()?;
            let together = schema.put_together(tables(&patients)?)?;
            let (encoder, encoded) = Encoder::fit(&schema, &together, Subset::Whole)?;
            let count = encoded.values.len();
            let values: Vec<f32> = (0..count).map(|n| noise[(n * 31 + n / 7) % 89]).collect();
            let made = encoder.decode(&values, &encoded.lengths, encoded.steps, 3)?;
            let apart = encoder.take_apart(&made)?;
            let apart = apart.iter().map(|(name, table)| (name.as_str(), table.clone()));
            let again = schema.put_together(apart)?;
            let (observed, _) = encoder.observe(&again, Subset::Whole, Origin::Synthetic)?;
            ensure!(observed.lengths == encoded.lengths, "{:?}\n{made}", observed.lengths);
            Ok(())
        };
        let checked = check();
        prop_assert!(checked.is_ok(), "{:?}", checked);
    }

    #[test]
    fn files_come_back_as_they_were(
        patients in patients(),
        ending in prop::sample::select(vec!["csv", "parquet", "csv.gz", "arrow"]),
    ) {
        let check = || -> Result<()> {
            let (schema, tables) = (schema()?, tables(&patients)?);
            let codes = |n: usize, column: &str| -> Result<Vec<String>> {
                let codes = tables[n].1.column(column)?.str()?.clone();
                Ok(codes.iter().flatten().map(str::to_owned).collect())
            };
            let (labs, meds) = (codes(1, "test")?, codes(4, "code")?);
            let has = |test: &str| labs.iter().any(|code| code == test);
            let starts = |with: &str| meds.iter().any(|code| code.starts_with(with));
            let is_whole = has("CRP") && has("2951-2") && has("smokes") && starts("REGION")
                && starts("ADMISSION") && tables[2].1.height() > 0;
            if !is_whole {
                return Ok(());
            }
            let folder = tempfile::tempdir()?;
            let (real, made) = (folder.path().join("real"), folder.path().join("made"));
            std::fs::create_dir(&real)?;
            for (name, table) in &tables {
                let path = real.join(format!("{name}.{ending}"));
                hg_data::write_table(&mut table.clone(), &path, &hg_data::TableStyle::default())?;
            }
            let (encoder, decoded) = there_and_back(&schema, &schema.read(&real)?)?;
            encoder.write(&decoded, &made)?;
            // A second time it is put in its place.
            encoder.write(&decoded, &made)?;
            for (name, _) in &tables {
                let file = format!("{name}.{ending}");
                let read = |folder: &Path| one_table(&folder.join(&file));
                let (table, made) = (sorted(&read(&real)?)?, sorted(&read(&made)?)?);
                let (table, made) = (with_numbers(table)?, with_numbers(made)?);
                ensure!(table.schema() == made.schema(), "{name}: {:?}", made.schema());
                ensure!(table.equals_missing(&made), "{name}: {table}\n{made}");
            }
            Ok(())
        };
        let checked = check();
        prop_assert!(checked.is_ok(), "{:?}", checked);
    }
}

#[test]
fn a_synthetic_cohort_to_which_nothing_happened_is_read() -> Result<()> {
    let visit = |stroke, admission| Visit {
        gap: 3,
        crp: Some(1.5),
        sodium: Some(3.),
        smokes: Some(true),
        stroke,
        admission,
        pulse: Some(70),
    };
    let patient = |region, stroke| Patient {
        is_female: stroke,
        age: Some(40),
        region: Some(region),
        times: vec![visit(stroke, Some("icu")), visit(false, None)],
    };
    let schema = schema()?;
    let real = tables(&[patient("north", true), patient("south", false)])?;
    let (encoder, _) = there_and_back(&schema, &schema.put_together(real)?)?;
    for ending in ["csv", "parquet", "arrow"] {
        let folder = tempfile::tempdir()?;
        for (name, table) in tables(&[patient("north", false), patient("south", false)])? {
            let path = folder.path().join(format!("{name}.{ending}"));
            hg_data::write_table(&mut table.clone(), &path, &hg_data::TableStyle::default())?;
        }
        let made = schema.read(folder.path())?;
        let (observed, _) = encoder.observe(&made, Subset::Whole, Origin::Synthetic)?;
        ensure!(observed.lengths == [2, 2], "{ending}: {:?}", observed.lengths);
    }
    Ok(())
}

/// The table with its values as numbers: a level is written as the schema writes it.
fn with_numbers(mut table: DataFrame) -> Result<DataFrame> {
    if let Ok(values) = table.column("value") {
        let values = values.cast(&DataType::Float64)?;
        table.with_column(values)?;
    }
    Ok(table)
}

/// A table in a file as it is, texts of a CSV as texts.
fn one_table(path: &Path) -> Result<DataFrame> {
    let schema = Schema::builder("t", "id", "day", TimeModel::Visits);
    let schema = schema.column(Column::numeric("x")).build()?;
    Ok(schema.read(path).with_context(|| path.display().to_string())?.frame)
}
