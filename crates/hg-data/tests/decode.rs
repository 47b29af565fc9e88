//! What decoding restores of a table besides its numbers: types, gaps, texts, times.

use anyhow::{Context, Result, ensure};
use hg_data::{DataFrame, Draws, Encoded, Encoder, Error, Numbering, Schema, Subset, Table};
use polars_core::prelude::*;

/// A schema with these entries for time and columns.
fn schema(time: &str, columns: &str) -> Result<Schema> {
    let toml = format!(
        "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\n{time}\n{columns}\n"
    );
    Ok(Schema::parse(&toml, "t.toml".as_ref())?)
}

/// A table and what comes back of it.
fn back(schema: &Schema, table: &Table) -> Result<(Encoder, Encoded, DataFrame)> {
    let (encoder, encoded) = Encoder::fit(schema, table, Subset::Whole)?;
    let back = encoder.decode(&encoded.values, &encoded.lengths, encoded.steps, 1)?;
    Ok((encoder, encoded, back))
}

/// A CSV, whose columns are texts that may mean anything.
fn csv(schema: &Schema, text: &str) -> Result<DataFrame> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("t.csv");
    std::fs::write(&path, text)?;
    Ok(back(schema, &schema.read(&path)?)?.2)
}

/// Cells as texts.
fn texts(frame: &DataFrame, name: &str) -> Result<Vec<String>> {
    let texts = frame.column(name)?.cast(&DataType::String)?;
    Ok(texts.str()?.iter().map(|cell| cell.unwrap_or("·").to_owned()).collect())
}

fn is(frame: &DataFrame, name: &str, dtype: DataType, cells: &[&str]) -> Result<()> {
    let found = texts(frame, name)?;
    ensure!(*frame.column(name)?.dtype() == dtype, "{name}: {:?}", frame.column(name)?.dtype());
    ensure!(found == cells, "{name}: {found:?}");
    Ok(())
}

#[test]
fn patients_are_numbered_in_the_type_of_their_column() -> Result<()> {
    let schema = schema("step = 1.0", "[[columns]]\nname = \"x\"\nkind = \"numeric\"")?;
    let frame = df!("id" => ["anna", "ben"], "t" => [0, 0], "x" => [1.0, 2.0])?;
    is(&back(&schema, &frame.into())?.2, "id", DataType::String, &["1", "2"])?;
    let frame = df!("id" => ["007", "011"], "t" => [0, 0], "x" => [1.0, 2.0])?;
    is(&back(&schema, &frame.into())?.2, "id", DataType::String, &["001", "002"])?;
    let frame = df!("id" => [70i32, 90], "t" => [0, 0], "x" => [1.0, 2.0])?;
    is(&back(&schema, &frame.into())?.2, "id", DataType::Int32, &["1", "2"])?;
    let mut frame = df!("id" => ["anna", "ben"], "t" => [0, 0], "x" => [1.0, 2.0])?;
    let categories = DataType::from_categories(Categories::global());
    let ids = frame.column("id")?.cast(&categories)?;
    frame.replace("id", ids)?;
    is(&back(&schema, &frame.into())?.2, "id", categories, &["1", "2"])?;
    is(&csv(&schema, "id,t,x\nanna,0,1\nben,0,2\n")?, "id", DataType::Int64, &["1", "2"])
}

#[test]
fn levels_have_the_type_that_the_schema_writes_or_the_column_has() -> Result<()> {
    let of = |levels: &str| {
        let column = format!("[[columns]]\nname = \"x\"\nkind = \"categorical\"\n{levels}");
        schema("step = 1.0", &column)
    };
    let table = |cells: [&str; 3]| {
        format!("id,t,x\n1,0,{}\n1,1,{}\n1,2,{}\n", cells[0], cells[1], cells[2])
    };
    let (whole, truth) = (["1", "0", "1"], ["true", "false", "true"]);
    is(&csv(&of("levels = [0, 1]")?, &table(whole))?, "x", DataType::Int64, &whole)?;
    is(&csv(&of("levels = [\"0\", \"1\"]")?, &table(whole))?, "x", DataType::String, &whole)?;
    is(&csv(&of("levels = [false, true]")?, &table(truth))?, "x", DataType::Boolean, &truth)?;
    let halves = ["0.5", "1.0", "0.5"];
    is(&csv(&of("levels = [0.5, 1]")?, &table(halves))?, "x", DataType::Float64, &halves)?;
    let mixed = ["low", "1", "low"];
    is(&csv(&of("levels = [\"low\", 1]")?, &table(mixed))?, "x", DataType::String, &mixed)?;

    let frame = df!("id" => [1, 1, 1], "t" => [0, 1, 2], "x" => whole)?;
    is(&back(&of("levels = [0, 1]")?, &frame.into())?.2, "x", DataType::String, &whole)?;
    let frame = df!("id" => [1, 1, 1], "t" => [0, 1, 2], "x" => [true, false, true])?;
    is(&back(&of("")?, &frame.into())?.2, "x", DataType::Boolean, &truth)
}

#[test]
fn numbers_in_a_column_of_texts_stay_texts_and_those_of_a_csv_are_numbers() -> Result<()> {
    let schema = schema("step = 1.0", "[[columns]]\nname = \"x\"\nkind = \"numeric\"")?;
    let frame = df!("id" => [1, 1], "t" => [0, 1], "x" => ["2.5", "4.25"])?;
    is(&back(&schema, &frame.into())?.2, "x", DataType::String, &["2.5", "4.25"])?;
    let table = csv(&schema, "id,t,x\n1,0,2.5\n1,1,4.25\n")?;
    is(&table, "x", DataType::Float64, &["2.5", "4.25"])?;
    is(&csv(&schema, "id,t,x\n1,0,2\n1,1,4\n")?, "x", DataType::Int64, &["2", "4"])
}

#[test]
fn gaps_that_are_nan_come_back_as_nan() -> Result<()> {
    let columns = "[[columns]]\nname = \"x\"\nkind = \"numeric\"\nmissing_indicator = true\n\
        [[columns]]\nname = \"none\"\nkind = \"numeric\"\n\
        [[columns]]\nname = \"null\"\nkind = \"numeric\"\nmissing_indicator = true";
    let frame = df!(
        "id" => [1, 1, 1], "t" => [0, 1, 2], "x" => [1.5, f64::NAN, 2.5], "none" => [f64::NAN; 3],
        "null" => [Some(1.5), None, Some(f64::NAN)],
    )?;
    let frame = back(&schema("step = 1.0", columns)?, &frame.into())?.2;
    is(&frame, "x", DataType::Float64, &["1.5", "NaN", "2.5"])?;
    is(&frame, "none", DataType::Float64, &["NaN", "NaN", "NaN"])?;
    // Where both are gaps a null is none the less one.
    is(&frame, "null", DataType::Float64, &["1.5", "·", "·"])
}

#[test]
fn statics_show_where_the_table_shows_them() -> Result<()> {
    let columns = "[[columns]]\nname = \"first\"\nkind = \"numeric\"\nstatic = true\n\
        [[columns]]\nname = \"some\"\nkind = \"numeric\"\nstatic = true\nmissing_indicator = true\n\
        [[columns]]\nname = \"all\"\nkind = \"numeric\"\nstatic = true\nmissing_indicator = true";
    let frame = df!(
        "id" => [1, 1, 1, 2, 2, 2],
        "t" => [0, 1, 2, 0, 1, 2],
        "first" => [Some(4.0), None, None, Some(6.0), None, None],
        "some" => [Some(1.0), None, Some(1.0), None, Some(2.0), None],
        "all" => [None, None, None, Some(7.0), Some(7.0), Some(7.0)],
    )?;
    let frame = back(&schema("step = 1.0", columns)?, &frame.into())?.2;
    is(&frame, "first", DataType::Float64, &["4.0", "·", "·", "6.0", "·", "·"])?;
    is(&frame, "some", DataType::Float64, &["1.0", "·", "1.0", "·", "2.0", "·"])?;
    is(&frame, "all", DataType::Float64, &["·", "·", "·", "7.0", "7.0", "7.0"])
}

#[test]
fn equal_flags_mean_that_nothing_was_measured() -> Result<()> {
    let columns = "[[columns]]\nname = \"x\"\nkind = \"numeric\"\nmissing_indicator = true";
    let frame = df!("id" => [1, 1], "t" => [0, 1], "x" => [Some(1.0), None])?;
    let (encoder, ..) = back(&schema("step = 1.0", columns)?, &frame.into())?;
    let frame = encoder.decode(&[0.5, 0.5, 0.5, 0.5, 0.4, 0.6], &[2], 2, 1)?;
    is(&frame, "x", DataType::Float64, &["·", "1.0"])
}

#[test]
fn bins_are_drawn_anew_in_each_row_and_once_for_a_static() -> Result<()> {
    let columns = "[[columns]]\nname = \"x\"\nkind = \"numeric\"\nbins = { edges = [5.0] }\n\
        [[columns]]\nname = \"age\"\nkind = \"numeric\"\nstatic = true\nbins = { quantiles = 2 }\n\
        [[columns]]\nname = \"named\"\nkind = \"numeric\"\n\
        bins = { edges = [5.0], decode = \"label\" }";
    let rows = 0..120i32;
    let x: Vec<f64> = rows.clone().map(|row| f64::from(row % 100) / 10.).collect();
    let frame = df!(
        "id" => rows.clone().map(|row| row / 4).collect::<Vec<_>>(),
        "t" => rows.clone().map(|row| row % 4).collect::<Vec<_>>(),
        "x" => x.clone(),
        "age" => rows.map(|row| f64::from(40 + row / 4)).collect::<Vec<_>>(),
        "named" => x.clone(),
    )?;
    let (_, _, frame) = back(&schema("step = 1.0", columns)?, &frame.into())?;

    let drawn: Vec<f64> = frame.column("x")?.f64()?.iter().flatten().collect();
    ensure!(drawn.len() == x.len());
    for (is, was) in drawn.iter().zip(&x) {
        ensure!((*is < 5.) == (*was < 5.), "{is} is not in the bin of {was}");
        ensure!((is * 10. - (is * 10.).round()).abs() < 1e-9, "{is} has other decimals");
    }
    let mut distinct = drawn.clone();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    ensure!(distinct.len() > 40, "{} different values", distinct.len());

    let ages: Vec<f64> = frame.column("age")?.f64()?.iter().flatten().collect();
    ensure!(ages.chunks(4).all(|of_patient| of_patient.iter().all(|age| *age == of_patient[0])));
    let mut distinct = ages.clone();
    distinct.dedup();
    ensure!(distinct.len() > 10, "{distinct:?}");

    let labels = texts(&frame, "named")?;
    let right = x.iter().map(|x| if *x < 5. { "<5" } else { ">=5" });
    ensure!(labels.iter().map(String::as_str).eq(right), "{labels:?}");
    Ok(())
}

#[test]
fn times_come_back_in_the_form_of_the_column() -> Result<()> {
    let column = "[[columns]]\nname = \"x\"\nkind = \"numeric\"";
    let of_csv = |time: &str, times: [&str; 3]| {
        let [a, b, c] = times;
        csv(&schema(time, column)?, &format!("id,t,x\n1,{a},1\n1,{b},2\n1,{c},3\n"))
    };
    let plain = of_csv("step = 1.0", ["0", "1", "2"])?;
    is(&plain, "t", DataType::Int64, &["0", "1", "2"])?;
    // One time that is not whole makes all of them numbers with decimals.
    let broken = of_csv("step = 1.0", ["0", "0.9", "2.1"])?;
    is(&broken, "t", DataType::Float64, &["0.0", "1.0", "2.0"])?;
    let halves = of_csv("step = 0.5", ["0", "1", "2"])?;
    is(&halves, "t", DataType::Float64, &["0.0", "0.5", "1.0", "1.5", "2.0"])?;
    // A day begins where the texts are written, at any distance from Greenwich.
    let format = "step = \"1 day\"\nformat = \"%Y-%m-%d %H:%M:%S%:z\"";
    let zoned =
        ["2021-03-01 10:00:00+02:00", "2021-03-02 10:00:00+02:00", "2021-03-03 10:00:00+02:00"];
    let right =
        ["2000-01-01 00:00:00+02:00", "2000-01-02 00:00:00+02:00", "2000-01-03 00:00:00+02:00"];
    is(&of_csv(format, zoned)?, "t", DataType::String, &right)?;
    let modelled = of_csv("step = 1.0\nstart = \"modelled\"", ["-3", "-2", "-1"])?;
    is(&modelled, "t", DataType::Int64, &["-3", "-2", "-1"])
}

#[test]
fn values_of_another_shape_are_refused() -> Result<()> {
    let columns = "[[columns]]\nname = \"x\"\nkind = \"numeric\"";
    let frame = df!("id" => [1, 1], "t" => [0, 1], "x" => [1.0, 3.0])?;
    let (encoder, ..) = back(&schema("step = 1.0", columns)?, &frame.into())?;
    for (values, lengths, steps) in
        [(3, vec![2], 2), (1, vec![2], 2), (2, vec![3], 2), (2, vec![1], usize::MAX)]
    {
        let refused = encoder.decode(&vec![0.5; values], &lengths, steps, 1).err();
        let refused = refused.with_context(|| format!("{values} values, {lengths:?}, {steps}"))?;
        ensure!(matches!(refused, Error::Shape { got, .. } if got == values), "{refused}");
    }
    ensure!(encoder.decode(&[0.5, 0.5], &[1], 2, 1)?.height() == 1);
    Ok(())
}

#[test]
fn a_part_of_a_cohort_is_decoded_as_it_is_in_the_whole() -> Result<()> {
    let columns = "[[columns]]\nname = \"x\"\nkind = \"numeric\"\nbins = { edges = [10.0] }\n\
                   [[columns]]\nname = \"s\"\nkind = \"numeric\"\nstatic = true\nbins = { edges = [30.0] }";
    let schema = schema("step = 0.5", columns)?;
    // Two in three patients have two rows, so that times are 0.5 too.
    let ids: Vec<i8> = (0..90).map(|n| n / 3 * 2 + i8::from(n % 3 == 2)).collect();
    let times: Vec<f64> = (0..90).map(|n| if n % 3 == 1 { 1. } else { 0. }).collect();
    let x: Vec<f64> = (0..90).map(|n| f64::from(n % 20)).collect();
    let s: Vec<f64> = ids.iter().map(|&id| f64::from(id)).collect();
    let frame = df!("id" => ids, "t" => times, "x" => x, "s" => s)?;
    let (encoder, encoded) = Encoder::fit(&schema, &frame.into(), Subset::Whole)?;

    let Encoded { values, lengths, steps, features, .. } = &encoded;
    let stride = steps * features;
    let last = lengths.len();
    let part = |from: usize, to: usize| -> Result<DataFrame> {
        let rows = lengths[..from].iter().sum();
        let draws = Draws { seed: 3, sequences: from, rows };
        let (values, lengths) = (&values[from * stride..to * stride], &lengths[from..to]);
        let cells = encoder.cells(values, lengths, *steps, draws)?;
        // As if there were more patients than an i8 can number.
        let last = if last == to && from == 0 { last } else { 200 };
        Ok(encoder.numbered_table_of(&cells, Numbering { first: from + 1, last })?)
    };
    let whole = part(0, last)?;
    ensure!(whole.equals_missing(&encoder.decode(values, lengths, *steps, 3)?));
    ensure!(*whole.column("id")?.dtype() == DataType::Int8);

    for cut in [1, 2, 31, last - 1] {
        let (first, second) = (part(0, cut)?, part(cut, last)?);
        for name in ["t", "x", "s"] {
            ensure!(*first.column(name)?.dtype() == *second.column(name)?.dtype(), "{cut} {name}");
        }
        ensure!(*first.column("id")?.dtype() == DataType::Int64);
        let together = first.vstack(&second)?;
        for name in ["id", "t", "x", "s"] {
            ensure!(texts(&together, name)? == texts(&whole, name)?, "{cut} {name}");
        }
    }
    Ok(())
}
