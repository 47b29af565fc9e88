//! What a fit takes from a table, and what it refuses.

use anyhow::{Result, ensure};
use hg_data::{DataFrame, Encoder, Schema, Split, Subset, Table, TimeModel};
use polars_core::df;

fn schema(sequence: &str, columns: &str) -> Result<Schema> {
    let toml = format!(
        "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\nstep = 1.0\n\
         [sequence]\n{sequence}\n{columns}\n"
    );
    Ok(Schema::parse(&toml, "t.toml".as_ref())?)
}

const NUMBER: &str = "[[columns]]\nname = \"x\"\nkind = \"numeric\"";

/// Two patients of two steps.
fn table() -> Result<Table> {
    let frame = df!("id" => [1, 1, 2, 2], "t" => [0, 1, 0, 1], "x" => [1.0, 2.0, 3.0, 4.0])?;
    Ok(Table::new(frame, "visits"))
}

fn message<T>(result: hg_data::Result<T>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn features_lie_as_the_columns_say() -> Result<()> {
    let columns = "[[columns]]\nname = \"level\"\nkind = \"categorical\"\n\
        levels = [\"a\", \"b\", \"c\"]\nmissing_indicator = true\n\
        [[columns]]\nname = \"x\"\nkind = \"numeric\"\n\
        [[columns]]\nname = \"none\"\nkind = \"categorical\"\n\
        [[columns]]\nname = \"y\"\nkind = \"numeric\"\n\
        [[columns]]\nname = \"bin\"\nkind = \"numeric\"\nbins = { edges = [2.0] }";
    let frame: DataFrame = df!(
        "id" => [1, 1, 2], "t" => [0, 1, 0], "x" => [1.0, 2.0, 3.0], "y" => [5.0, 5.0, 6.0],
        "level" => [Some("b"), None, Some("c")], "none" => [None::<&str>, None, None],
        "bin" => [1.0, 2.0, 3.0],
    )?;
    let (encoder, encoded) = Encoder::fit(&schema("", columns)?, &frame.into(), Subset::Whole)?;
    ensure!(encoder.numeric_features() == 2 && encoder.blocks() == [3, 2, 2]);
    ensure!(encoder.features() == 9 && encoded.features == 9);
    let places: Vec<_> = (0..5).map(|column| encoder.features_of(column)).collect();
    ensure!(places == [2..5, 0..1, 5..5, 1..2, 5..7], "{places:?}");

    let rows: Vec<&[f32]> = encoded.rows().collect();
    ensure!(rows.len() == 3 && encoded.steps == 2);
    ensure!(*rows[0] == [0., 0., 0., 1., 0., 1., 0., 0., 1.], "{:?}", rows[0]);
    ensure!(*rows[1] == [0.5, 0., 0., 1., 0., 0., 1., 1., 0.], "{:?}", rows[1]);
    ensure!(*rows[2] == [1., 1., 0., 0., 1., 0., 1., 0., 1.], "{:?}", rows[2]);
    ensure!(encoded.row(1, 0) == rows[2] && encoded.row(0, 1) == rows[1]);
    // Nothing lies beyond a sequence's length.
    ensure!(*encoded.row(1, 1) == [0.; 9]);
    Ok(())
}

#[test]
fn a_patient_without_a_value_gets_the_commonest_level() -> Result<()> {
    let columns = "[[columns]]\nname = \"x\"\nkind = \"categorical\"\nmissing_indicator = false";
    let frame = df!(
        "id" => [1, 2, 3, 4, 5], "t" => [0; 5],
        "x" => [Some("c"), Some("b"), Some("a"), Some("b"), None],
    )?;
    let (encoder, encoded) = Encoder::fit(&schema("", columns)?, &frame.into(), Subset::Whole)?;
    let back = encoder.decode(&encoded.values, &encoded.lengths, encoded.steps, 1)?;
    let levels: Vec<&str> = back.column("x")?.str()?.iter().flatten().collect();
    ensure!(levels == ["c", "b", "a", "b", "b"], "{levels:?}");
    Ok(())
}

#[test]
fn a_split_that_leaves_a_side_without_patients_is_named() -> Result<()> {
    let (schema, table) = (schema("", NUMBER)?, table()?);
    let (none, all) = (Split { share: 0., seed: 3 }, Split { share: 1. - 1e-16, seed: 3 });
    let fit = |subset| message(Encoder::fit(&schema, &table, subset));
    let none_is_held_out = "visits: held_out = 0 with seed 3 holds none of 2 patients out";
    let all_are = "visits: held_out = 0.9999999999999999 with seed 3 holds all of 2 patients out";
    for (said, right) in [
        (fit(Subset::Training(none)), none_is_held_out),
        (fit(Subset::HeldOut(none)), none_is_held_out),
        (fit(Subset::Training(all)), all_are),
        (fit(Subset::HeldOut(all)), all_are),
    ] {
        ensure!(said.starts_with(right), "{said}");
    }
    let (encoder, _) = Encoder::fit(&schema, &table, Subset::Whole)?;
    let encode = |subset| message(encoder.encode(&table, subset));
    ensure!(encode(Subset::HeldOut(none)).starts_with(none_is_held_out));
    ensure!(encode(Subset::Training(all)).starts_with(all_are));
    ensure!(encode(Subset::Training(none)).is_empty() && encode(Subset::Whole).is_empty());
    Ok(())
}

#[test]
fn a_table_that_leaves_nothing_to_model_is_refused() -> Result<()> {
    let long = schema("min_length = 3\nshort_patients = \"drop\"", NUMBER)?;
    let too_short = "visits: no patient has the 3 steps that sequence.min_length asks for";
    ensure!(message(Encoder::fit(&long, &table()?, Subset::Whole)).starts_with(too_short));
    let four = df!("id" => [1; 4], "t" => [0, 1, 2, 3], "x" => [1.0, 2.0, 3.0, 4.0])?;
    let (encoder, _) = Encoder::fit(&long, &four.into(), Subset::Whole)?;
    ensure!(message(encoder.encode(&table()?, Subset::Whole)).starts_with(too_short));

    let frame = df!("id" => [1, 2], "t" => [0, 0], "x" => [None::<f64>, None])?;
    let said = message(Encoder::fit(&schema("", NUMBER)?, &frame.into(), Subset::Whole));
    ensure!(said.contains("nothing was measured in any of the schema's columns"), "{said}");
    // First times that are all the same are no more to model.
    let visits = Schema::builder("t", "id", "t", TimeModel::Visits);
    let visits = visits.column(hg_data::Column::numeric("x")).build()?;
    let frame = df!("id" => [1, 2], "t" => [0, 0], "x" => [None::<f64>, None])?;
    let said = message(Encoder::fit(&visits, &frame.into(), Subset::Whole));
    ensure!(said.contains("nothing was measured in any of the schema's columns"), "{said}");
    Ok(())
}

#[test]
fn the_row_at_which_a_transform_is_not_defined_is_named() -> Result<()> {
    let frame = df!("id" => [1, 1, 1], "t" => [0, 1, 2], "x" => [4.0, -1.0, -2.5])?;
    let table = Table::new(frame, "visits");
    let of = |transform: &str| -> Result<String> {
        let columns = format!("{NUMBER}\ntransform = {transform}");
        Ok(message(Encoder::fit(&schema("", &columns)?, &table, Subset::Whole)))
    };
    let right = |row: usize, value: f64, more: &str| {
        format!(
            "visits, row {row}, column `x`: the transform is not defined at {value}\n\
             hint: choose \"identity\" or \"quantile\"{more}"
        )
    };
    let both = [right(2, -1., ""), right(3, -2.5, "")].join("\n");
    ensure!(of("\"sqrt\"")? == both, "{}", of("\"sqrt\"")?);
    ensure!(of("\"log1p\"")? == both);
    let shifted = right(3, -2.5, ", or a greater shift");
    ensure!(of("\"box-cox\"\nshift = 2.0")? == shifted, "{}", of("\"box-cox\"\nshift = 2.0")?);
    ensure!(of("\"quantile\"")?.is_empty() && of("\"box-cox\"\nshift = 2.6")?.is_empty());
    Ok(())
}

#[test]
fn ids_are_filled_with_zeros_where_all_of_a_table_s_are() -> Result<()> {
    let schema = schema("", NUMBER)?;
    for (ids, width) in [
        (["007", "011"], Some(3)),
        (["007", "111"], Some(3)),
        (["07", "011"], None),
        (["101", "211"], None),
        (["0a7", "011"], None),
    ] {
        let frame = df!("id" => ids, "t" => [0, 0], "x" => [1.0, 2.0])?;
        let (encoder, _) = Encoder::fit(&schema, &frame.into(), Subset::Whole)?;
        ensure!(encoder.patient.width == width, "{ids:?}: {:?}", encoder.patient.width);
    }
    let frame = df!("id" => [7, 11], "t" => [0, 0], "x" => [1.0, 2.0])?;
    let (encoder, _) = Encoder::fit(&schema, &frame.into(), Subset::Whole)?;
    ensure!(encoder.patient.width.is_none());

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("t.csv");
    std::fs::write(&path, "id,t,x\n7.0,0,1\n11.0,0,2\n")?;
    let (encoder, _) = Encoder::fit(&schema, &schema.read(&path)?, Subset::Whole)?;
    let style = encoder.style.columns.get("id").and_then(|style| style.decimals);
    ensure!(style == Some(1), "{:?}", encoder.style.columns);
    Ok(())
}
