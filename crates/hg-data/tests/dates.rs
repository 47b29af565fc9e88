//! Columns of dates beside dates as times: what is kept is how far they lie from the patient's first
//! day, and which comes first.

use anyhow::{Result, ensure};
use hg_data::{Column, Encoder, Rule, Schema, Subset, Table, TimeModel, infer_table};
use polars_core::df;
use polars_core::prelude::DataType;
use std::path::Path;

/// Visits of two patients, and when they were born, and died.
fn table() -> Result<Table> {
    let frame = df!(
        "id" => ["a", "a", "b", "b", "b"],
        "seen" => ["2019-03-02", "2019-05-01", "2020-02-29", "2020-03-01", "2021-01-01"],
        "born" => ["12.07.1951", "12.07.1951", "01.01.1949", "01.01.1949", "01.01.1949"],
        "died" => ["2019-05-03", "2019-05-03", "", "", ""],
        "slept" => ["07:30", "08:15", "", "06:00", "09:45"],
    )?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("t.csv");
    hg_data::write_table(&mut frame.clone(), &path, &hg_data::TableStyle::default())?;
    let schema = Schema::builder("t", "id", "seen", TimeModel::Visits).time_format("%Y-%m-%d");
    let schema = schema.column(Column::numeric("born").format("%d.%m.%Y").constant()).build()?;
    Ok(schema.read(&path)?)
}

fn schema() -> Result<Schema> {
    let rule = |text: &str| Rule::parse(text).map_err(anyhow::Error::msg);
    Ok(Schema::builder("t", "id", "seen", TimeModel::Visits)
        .time_format("%Y-%m-%d")
        .column(Column::numeric("born").format("%d.%m.%Y").constant())
        .column(Column::numeric("died").format("%Y-%m-%d").constant())
        .column(Column::numeric("slept").format("[h]:mm"))
        .rule(rule("seen <= died")?)
        .rule(rule("born <= died")?)
        .build()?)
}

fn texts(table: &hg_data::DataFrame, name: &str) -> Result<Vec<Option<String>>> {
    Ok(table.column(name)?.str()?.iter().map(|cell| cell.map(str::to_owned)).collect())
}

#[test]
fn dates_keep_their_distance_from_the_first_day() -> Result<()> {
    let (encoder, encoded) = Encoder::fit(&schema()?, &table()?, Subset::Whole)?;
    let encoder = Encoder::from_json(&encoder.to_json()?)?;
    let back = encoder.decode(&encoded.values, &encoded.lengths, encoded.steps, 1)?;
    let some = |texts: &[&str]| texts.iter().map(|t| Some((*t).to_owned())).collect::<Vec<_>>();
    let seen = texts(&back, "seen")?;
    ensure!(
        seen == some(&["2000-01-01", "2000-03-01", "2000-01-01", "2000-01-02", "2000-11-03"]),
        "{seen:?}"
    );
    // 24,705 and 25,991 days before.
    let born = texts(&back, "born")?;
    ensure!(
        born == some(&["12.05.1932", "12.05.1932", "03.11.1928", "03.11.1928", "03.11.1928"]),
        "{born:?}"
    );
    let died = texts(&back, "died")?;
    let right = Some("2000-03-03".to_owned());
    ensure!(died == [right.clone(), right, None, None, None], "{died:?}");
    let slept = texts(&back, "slept")?;
    ensure!(slept[0].as_deref() == Some("07:30") && slept[2].is_none(), "{slept:?}");
    Ok(())
}

#[test]
fn a_visit_after_death_is_refused_by_row() -> Result<()> {
    let mut table = table()?;
    let died = texts(&table.frame, "died")?
        .into_iter()
        .map(|cell| cell.map(|text| text.replace("05-03", "04-03")));
    table
        .frame
        .with_column(polars_core::prelude::Column::new("died".into(), died.collect::<Vec<_>>()))?;
    let error = Encoder::fit(&schema()?, &table, Subset::Whole).expect_err("refused").to_string();
    ensure!(
        error.contains("row 2, column `seen`: ") && error.contains("`seen <= died`"),
        "{error}"
    );
    Ok(())
}

#[test]
fn infer_proposes_dates_and_their_order() -> Result<()> {
    let (mut ids, mut seen, mut died) = (Vec::new(), Vec::new(), Vec::new());
    let date = |day: i64| {
        let days = polars_core::prelude::Column::new("d".into(), [day as i32]);
        let date = days.cast(&DataType::Date)?.cast(&DataType::String)?;
        anyhow::Ok(date.str()?.get(0).unwrap_or_default().to_owned())
    };
    for patient in 0..40 {
        // Some are seen every week, some once a year.
        let (first, gap) = (15_000 + 31 * patient, 7 + 9 * patient);
        for visit in 0..4 {
            ids.push(patient);
            seen.push(date(first + visit * gap + visit * visit)?);
            died.push(date(first + 3 * gap + 10 + patient % 9)?);
        }
    }
    let frame = df!("patient" => ids, "visit_date" => seen, "death_date" => died)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("t.csv");
    hg_data::write_table(&mut frame.clone(), &path, &hg_data::TableStyle::default())?;
    let toml = hg_data::infer(&path, None, None)?.toml;
    for part in
        ["format = \"%Y-%m-%d\" # dates\nstatic = true", "holds = \"visit_date <= death_date\""]
    {
        ensure!(toml.contains(part), "{toml}");
    }
    let schema = Schema::parse(&toml, Path::new("t.toml"))?;
    ensure!(infer_table(&schema.read(&path)?, None, None).is_ok());
    Ok(())
}
