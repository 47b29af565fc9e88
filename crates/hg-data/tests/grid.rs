//! What becomes of a table's rows on the regular grid.

use anyhow::{Result, ensure};
use hg_data::{Encoder, Observed, RowCounts, Schema, Subset, Table};
use polars_core::df;

/// (patient, time, x)
type Row = (i64, f64, Option<f64>);

fn table(rows: &[Row]) -> Result<Table> {
    let frame = df!(
        "id" => rows.iter().map(|row| row.0).collect::<Vec<_>>(),
        "t" => rows.iter().map(|row| row.1).collect::<Vec<_>>(),
        "x" => rows.iter().map(|row| row.2).collect::<Vec<_>>(),
    )?;
    Ok(frame.into())
}

/// A schema with further lines for sequences and for the column.
fn schema(sequence: &str, column: &str) -> Result<Schema> {
    let toml = format!(
        "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\nstep = 1.0\n\
         [sequence]\n{sequence}\n[[columns]]\nname = \"x\"\nkind = \"numeric\"\n{column}\n"
    );
    Ok(Schema::parse(&toml, "t.toml".as_ref())?)
}

/// The steps with a value: sequences' lengths, and what x is there.
fn observed(schema: &Schema, rows: &[Row]) -> Result<(Vec<usize>, Vec<Option<f64>>)> {
    let observed = Observed::new(schema, &table(rows)?, Subset::Whole)?;
    Ok((observed.lengths, observed.columns.into_iter().next().unwrap_or_default()))
}

/// Every step, as it comes back from its encoding, and what became of the rows.
fn filled(schema: &Schema, rows: &[Row]) -> Result<(Vec<usize>, Vec<f64>, RowCounts)> {
    let (encoder, encoded) = Encoder::fit(schema, &table(rows)?, Subset::Whole)?;
    let back = encoder.decode(&encoded.values, &encoded.lengths, encoded.steps, 1)?;
    let cells = back.column("x")?.f64()?.iter().map(Option::unwrap_or_default).collect();
    Ok((encoded.lengths, cells, encoded.counts))
}

fn refused(schema: &Schema, rows: &[Row]) -> Result<String> {
    match Encoder::fit(schema, &table(rows)?, Subset::Whole) {
        Ok(_) => anyhow::bail!("was taken"),
        Err(error) => Ok(error.to_string()),
    }
}

#[test]
fn rows_of_one_step_are_merged_as_the_column_says() -> Result<()> {
    let rows = [
        (1, 0., Some(1.)),
        (1, 0.1, Some(5.)),
        (1, 0.2, None),
        (1, 1., None),
        (1, 1.2, None),
        (1, 2., Some(4.)),
    ];
    for (aggregate, first) in [("last", 5.), ("mean", 3.), ("sum", 6.)] {
        let schema = schema("", &format!("aggregate = \"{aggregate}\""))?;
        let (lengths, cells) = observed(&schema, &rows)?;
        ensure!((lengths, cells) == (vec![2], vec![Some(first), Some(4.)]), "{aggregate}");
    }
    Ok(())
}

#[test]
fn a_row_belongs_to_the_nearest_step_from_the_patients_first_row() -> Result<()> {
    let rows = [
        (1, 10.25, Some(1.)),
        (1, 10.5, Some(2.)),
        (1, 10.75, Some(3.)),
        (1, 11.5, Some(4.)),
        (1, 11.75, Some(5.)),
        (2, -3., Some(6.)),
        (2, -1.75, Some(7.)),
    ];
    let (lengths, cells, counts) = filled(&schema("", "")?, &rows)?;
    ensure!(lengths == [3, 2], "{lengths:?}");
    ensure!(cells == [2., 4., 5., 6., 7.], "{cells:?}");
    ensure!(counts == RowCounts { merged_rows: 2, ..RowCounts::default() }, "{counts:?}");
    Ok(())
}

#[test]
fn steps_are_counted_in_widths_from_the_first_row() -> Result<()> {
    // (width, times, steps of the grid, of which so many have a row)
    let cases: [(&str, [f64; 2], usize, usize); 7] = [
        ("3.0", [0., 1.], 1, 1),
        ("3.0", [1., 2.], 1, 1),
        ("3.0", [0., 2.], 2, 2),
        ("3.0", [0., 4.], 2, 2),
        ("0.5", [0., 0.5], 2, 2),
        ("0.5", [0., 2.], 5, 2),
        ("1.0", [0.2, 0.4], 1, 1),
    ];
    for (width, [first, second], steps, with_rows) in cases {
        let toml = format!(
            "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\nstep = {width}\n\
             [[columns]]\nname = \"x\"\nkind = \"numeric\"\n"
        );
        let schema = Schema::parse(&toml, "t.toml".as_ref())?;
        let rows = [(1, first, Some(1.)), (1, second, Some(2.))];
        let (lengths, _, counts) = filled(&schema, &rows)?;
        let right = RowCounts {
            merged_rows: 2 - with_rows,
            invented_steps: steps - with_rows,
            ..RowCounts::default()
        };
        ensure!(lengths == [steps] && counts == right, "{width}, {second}: {lengths:?} {counts:?}");
    }
    Ok(())
}

#[test]
fn steps_without_a_row_are_filled_as_the_column_says() -> Result<()> {
    let rows = [
        (1, 0., None),
        (1, 1., Some(10.)),
        (1, 4., Some(20.)),
        (2, 0., Some(30.)),
        (2, 2., None),
        (3, 0., None),
    ];
    for (impute, right) in [
        // 20 is the median, for a patient without any value, or where nothing is carried.
        ("both", [10., 10., 10., 10., 20., 30., 30., 30., 20.]),
        ("forward", [20., 10., 10., 10., 20., 30., 30., 30., 20.]),
        ("none", [20., 10., 20., 20., 20., 30., 20., 20., 20.]),
    ] {
        let (lengths, cells, counts) = filled(
            &schema("", &format!("impute = \"{impute}\"\nmissing_indicator = false"))?,
            &rows,
        )?;
        ensure!(lengths == [5, 3, 1], "{lengths:?}");
        ensure!(cells == right, "{impute}: {cells:?}");
        ensure!(counts == RowCounts { invented_steps: 3, ..RowCounts::default() }, "{counts:?}");
    }
    Ok(())
}

#[test]
fn exact_copies_of_rows_are_dropped_and_others_of_their_time_are_not() -> Result<()> {
    let rows = [
        (1, 0., Some(1.)),
        (1, 0., Some(2.)),
        (1, 0., Some(1.)),
        (1, 1., Some(0.)),
        (1, 1., Some(-0.)),
        (1, 1., None),
        (1, 1., None),
        (2, 1., Some(0.)),
    ];
    let (lengths, cells, counts) = filled(&schema("", "aggregate = \"sum\"")?, &rows)?;
    ensure!(lengths == [2, 1] && cells == [3., 0., 0.], "{lengths:?} {cells:?}");
    ensure!(
        counts == RowCounts { copies: 3, merged_rows: 2, ..RowCounts::default() },
        "{counts:?}"
    );
    Ok(())
}

#[test]
fn copies_are_dropped_where_all_rows_have_one_time() -> Result<()> {
    let rows = [(1, 0., Some(1.)), (1, 0., Some(1.)), (1, 0., Some(1.))];
    let (lengths, cells, counts) = filled(&schema("", "aggregate = \"sum\"")?, &rows)?;
    ensure!(lengths == [1] && cells == [1.] && counts.copies == 2, "{cells:?} {counts:?}");
    // −0 and 0 are one time, so that the last row in the table counts.
    let rows = [(1, 0., Some(1.)), (1, -0., Some(2.)), (1, 1., Some(3.))];
    ensure!(filled(&schema("", "")?, &rows)?.1 == [2., 3.]);
    Ok(())
}

#[test]
fn what_became_of_the_rows_of_several_parts_is_added() {
    let of = |factor: usize| RowCounts {
        dropped_patients: factor,
        copies: 2 * factor,
        merged_rows: 3 * factor,
        invented_steps: 4 * factor,
        unknown_codes: 5 * factor,
        lone_patients: 6 * factor,
    };
    let mut all = of(1);
    all += of(10);
    let right = of(11);
    assert_eq!(all, right);
}

#[test]
fn the_order_of_rows_does_not_matter_but_for_equal_times() -> Result<()> {
    let sorted = [
        (1, 0., Some(1.)),
        (1, 2., Some(2.)),
        (2, 0., Some(3.)),
        (2, 1., Some(4.)),
        (2, 2., Some(5.)),
    ];
    let schema = schema("", "")?;
    let right = filled(&schema, &sorted)?;
    ensure!(right.1 == [1., 1., 2., 3., 4., 5.], "{:?}", right.1);
    let orders = [[4, 3, 2, 1, 0], [2, 0, 3, 1, 4], [1, 0, 2, 3, 4], [0, 1, 4, 3, 2]];
    for order in orders {
        let shuffled = order.map(|row| sorted[row]);
        ensure!(filled(&schema, &shuffled)? == right, "{order:?}");
    }
    // The last of two rows at one time counts.
    let twice = [(1, 0., Some(1.)), (1, 1., Some(2.)), (1, 0., Some(3.))];
    ensure!(filled(&schema, &twice)?.1 == [3., 2.]);
    Ok(())
}

/// A patient with so many steps, of which x counts.
fn steps(id: i64, count: usize) -> Vec<Row> {
    (0..count).map(|step| (id, step as f64, Some((10 * id) as f64 + step as f64))).collect()
}

#[test]
fn long_patients_are_cut_or_windowed_and_short_ones_dropped_or_refused() -> Result<()> {
    let rows = [steps(1, 5), steps(2, 1), steps(3, 3)].concat();
    let cases: [(&str, &[usize], &[f64], usize); 5] = [
        ("max_length = 3", &[3, 1, 3], &[10., 11., 12., 20., 30., 31., 32.], 0),
        ("max_length = 5", &[5, 1, 3], &[10., 11., 12., 13., 14., 20., 30., 31., 32.], 0),
        (
            "min_length = 2\nshort_patients = \"drop\"",
            &[5, 3],
            &[10., 11., 12., 13., 14., 30., 31., 32.],
            1,
        ),
        ("window = 2", &[2, 2, 1, 1, 2, 1], &[10., 11., 12., 13., 14., 20., 30., 31., 32.], 0),
        (
            "window = 2\nmin_length = 2\nshort_patients = \"drop\"",
            &[2, 2, 2],
            &[10., 11., 12., 13., 30., 31.],
            1,
        ),
    ];
    for (sequence, lengths, cells, dropped) in cases {
        let found = filled(&schema(sequence, "")?, &rows)?;
        ensure!(found.0 == lengths && found.1 == cells, "{sequence}: {found:?}");
        ensure!(found.2.dropped_patients == dropped, "{sequence}: {:?}", found.2);
    }
    // Those who have so many steps exactly are long enough.
    let rows = [steps(1, 2), steps(2, 1), steps(3, 1)].concat();
    let message = refused(&schema("min_length = 2", "")?, &rows)?;
    ensure!(
        message
            == "table, patient `2`: has 1 of the 2 steps that sequence.min_length asks for\n\
                hint: lower it, or set sequence.short_patients = \"drop\"\n\
                table, patient `3`: has 1 of the 2 steps that sequence.min_length asks for\n\
                hint: lower it, or set sequence.short_patients = \"drop\"",
        "{message}"
    );
    Ok(())
}

#[test]
fn times_that_lie_too_far_apart_are_taken_for_slips() -> Result<()> {
    let rows = |last: f64| vec![(7, 0., Some(1.)), (7, last, Some(2.))];
    let usual = schema("", "")?;
    let message = refused(&usual, &rows(100_000.))?;
    ensure!(
        message.starts_with("table, patient `7`: spans 1e5 steps of the grid\nhint:"),
        "{message}"
    );
    let (lengths, _, counts) = filled(&usual, &rows(99_999.))?;
    ensure!(lengths == [100_000] && counts.invented_steps == 99_998, "{lengths:?} {counts:?}");
    // What is cut off does not count.
    let (lengths, cells, _) = filled(&schema("max_length = 4", "")?, &rows(1e9))?;
    ensure!(lengths == [1] && cells == [1.], "{lengths:?} {cells:?}");
    Ok(())
}
