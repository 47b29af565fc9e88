//! Encoding and decoding undo each other, on tables and schemas of any kind.

use anyhow::{Context, Result, ensure};
use hg_data::{DataFrame, Encoded, Encoder, Schema, Subset, Table, Transform};
use polars_core::prelude::*;
use proptest::prelude::*;
use std::path::{Path, PathBuf};

/// A column of a random schema, and how its cells are drawn.
#[derive(Clone, Copy, Debug)]
enum Sort {
    Whole,
    Transformed(Transform),
    Spiked,
    Bins,
    Deciles,
    Levels,
    FoundLevels,
    Truth,
}

fn sorts() -> Vec<Sort> {
    let others = [
        Sort::Whole,
        Sort::Spiked,
        Sort::Bins,
        Sort::Deciles,
        Sort::Levels,
        Sort::FoundLevels,
        Sort::Truth,
    ];
    Transform::ALL.map(Sort::Transformed).into_iter().chain(others).collect()
}

impl Sort {
    fn entry(self) -> String {
        let entry = match self {
            Self::Whole => "kind = \"numeric\"",
            Self::Transformed(transform) => {
                let shift = match transform {
                    Transform::BoxCox { shift } => format!("shift = {shift:?}\nmargin = 0.1"),
                    _ => String::new(),
                };
                return format!("kind = \"numeric\"\ntransform = \"{transform}\"\n{shift}");
            }
            Self::Spiked => "kind = \"numeric\"\ntransform = \"box-cox\"\nspikes = [0.0, -2.5]",
            Self::Bins => "kind = \"numeric\"\nbins = { edges = [10.0, 25.0, 60.0] }",
            Self::Deciles => "kind = \"numeric\"\nbins = { quantiles = 10 }",
            Self::Levels => "kind = \"categorical\"\nlevels = [\"low\", \"mid\", \"high\"]",
            Self::FoundLevels => "kind = \"categorical\"",
            Self::Truth => "kind = \"binary\"\nlevels = [false, true]",
        };
        entry.to_owned()
    }

    /// A series of cells, from numbers in [0, 1); `None` stays empty.
    fn series(self, name: &str, draws: &[Option<f64>]) -> Series {
        let name: PlSmallStr = name.into();
        let of = |x: &Option<f64>| *x;
        match self {
            Self::Whole => {
                let cells = draws.iter().map(|x| of(x).map(|x| (x * 1000.) as i64));
                Series::new(name, cells.collect::<Vec<_>>())
            }
            Self::Spiked => {
                let cell = |x: f64| match (x * 10.) as i64 {
                    0..3 => 0.,
                    3 => -2.5,
                    _ => (x * 1e3).round() / 10.,
                };
                let cells = draws.iter().map(|x| of(x).map(cell));
                Series::new(name, cells.collect::<Vec<_>>())
            }
            Self::Levels => {
                let names = ["low", "mid", "high"];
                let cells = draws.iter().map(|x| of(x).map(|x| names[(x * 3.) as usize]));
                Series::new(name, cells.collect::<Vec<_>>())
            }
            Self::FoundLevels => {
                let cells = draws.iter().map(|x| of(x).map(|x| (x * 4.) as i64));
                Series::new(name, cells.collect::<Vec<_>>())
            }
            Self::Truth => {
                let cells = draws.iter().map(|x| of(x).map(|x| x < 0.5));
                Series::new(name, cells.collect::<Vec<_>>())
            }
            _ => {
                let cells = draws.iter().map(|x| of(x).map(|x| (x * 1e4).round() / 100.));
                Series::new(name, cells.collect::<Vec<_>>())
            }
        }
    }

    /// Whether a value comes back, and not only its bin.
    fn is_exact(self) -> bool {
        !matches!(self, Self::Bins | Self::Deciles)
    }
}

#[derive(Clone, Debug)]
struct Case {
    /// With whether measuring is modelled.
    sorts: Vec<(Sort, bool)>,
    lengths: Vec<usize>,
    cells: Vec<Vec<Option<f64>>>,
}

prop_compose! {
    fn cases()(
        sorts in prop::collection::vec((prop::sample::select(sorts()), any::<bool>()), 1..6),
        lengths in prop::collection::vec(1usize..6, 1..8),
    )(
        cells in prop::collection::vec(
            prop::collection::vec(
                (0f64..1., prop::bool::weighted(0.3)),
                lengths.iter().sum::<usize>(),
            ),
            sorts.len(),
        ),
        sorts in Just(sorts),
        lengths in Just(lengths),
    ) -> Case {
        let cells = cells.into_iter().zip(&sorts).map(|(cells, (_, measured))| {
            let cells = cells.into_iter().enumerate();
            // The first cell is there, so that no column is empty; only columns whose
            // measuring is modelled have gaps that can come back.
            cells.map(|(n, (x, gap))| (n == 0 || !measured || !gap).then_some(x)).collect()
        }).collect();
        Case { sorts, lengths, cells }
    }
}

impl Case {
    fn schema(&self) -> Result<Schema> {
        let mut toml = String::from(
            "name = \"any\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\nstep = 2.0\n",
        );
        for (n, (sort, measured)) in self.sorts.iter().enumerate() {
            let entry = sort.entry();
            toml += &format!("[[columns]]\nname = \"c{n}\"\nmeasured = {measured}\n{entry}\n");
        }
        Ok(Schema::parse(&toml, Path::new("any.toml"))?)
    }

    fn table(&self) -> Result<Table> {
        let lengths = self.lengths.iter().enumerate();
        let rows: Vec<(i64, i64)> = lengths
            .flat_map(|(n, &length)| (0..length).map(move |step| (n as i64 + 1, 2 * step as i64)))
            .collect();
        let mut columns = vec![
            Series::new("id".into(), rows.iter().map(|row| row.0).collect::<Vec<_>>())
                .into_column(),
            Series::new("t".into(), rows.iter().map(|row| row.1).collect::<Vec<_>>()).into_column(),
        ];
        for (n, ((sort, _), cells)) in self.sorts.iter().zip(&self.cells).enumerate() {
            columns.push(sort.series(&format!("c{n}"), cells).into_column());
        }
        Ok(Table::new(DataFrame::new(rows.len(), columns)?, "any"))
    }
}

fn decoded(encoder: &Encoder, encoded: &Encoded) -> Result<DataFrame> {
    Ok(encoder.decode(&encoded.values, &encoded.lengths, encoded.steps, 7)?)
}

fn close(ours: &Encoded, theirs: &Encoded, tolerance: f32) -> Result<()> {
    ensure!(ours.lengths == theirs.lengths && ours.values.len() == theirs.values.len());
    for (n, (ours, theirs)) in ours.values.iter().zip(theirs.values.iter()).enumerate() {
        ensure!((ours - theirs).abs() <= tolerance, "value {n}: {ours} {theirs}");
    }
    Ok(())
}

fn comes_back(case: &Case) -> Result<()> {
    let table = case.table()?;
    let (encoder, encoded) = Encoder::fit(&case.schema()?, &table, Subset::Whole)?;
    let back = decoded(&encoder, &encoded)?;
    ensure!(
        back.schema() == table.frame.schema(),
        "{:?} {:?}",
        back.schema(),
        table.frame.schema()
    );
    for (n, (sort, _)) in case.sorts.iter().enumerate() {
        let name = format!("c{n}");
        let (was, is) = (table.frame.column(&name)?, back.column(&name)?);
        ensure!(was.null_count() == is.null_count(), "{name}");
        if !sort.is_exact() {
            continue;
        }
        if was.dtype() != &DataType::Float64 {
            ensure!(was.equals_missing(is), "{name}: {was:?} {is:?}");
            continue;
        }
        for (was, is) in was.f64()?.iter().zip(is.f64()?.iter()) {
            let off = was.unwrap_or(0.) - is.unwrap_or(0.);
            ensure!(was.is_some() == is.is_some() && off.abs() < 1e-5, "{name}: {was:?} {is:?}");
        }
    }
    ensure!(Encoder::from_json(&encoder.to_json()?)? == encoder, "saved and read");
    close(&encoder.encode(&back.into(), Subset::Whole)?, &encoded, 1e-6)
}

fn ignores_order_and_chunks(case: &Case, turn: usize) -> Result<()> {
    let table = case.table()?;
    let (encoder, encoded) = Encoder::fit(&case.schema()?, &table, Subset::Whole)?;
    let frame = table.frame;
    let at = turn % frame.height();
    // The rest first, in two chunks; then all upside down.
    let mut turned = frame.slice(at as i64, frame.height() - at);
    turned.vstack_mut(&frame.slice(0, at))?;
    for other in [turned.reverse(), turned] {
        let (again, values) = Encoder::fit(&case.schema()?, &other.into(), Subset::Whole)?;
        ensure!(again == encoder && values == encoded);
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_table_comes_back_from_its_encoding(case in cases()) {
        if let Err(error) = comes_back(&case) {
            prop_assert!(false, "{error:?}");
        }
    }

    #[test]
    fn encoding_ignores_the_order_of_rows_and_the_chunks_they_come_in(
        case in cases(),
        turn in 0usize..40,
    ) {
        if let Err(error) = ignores_order_and_chunks(&case, turn) {
            prop_assert!(false, "{error:?}");
        }
    }
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[test]
fn the_shipped_cohorts_come_back_from_their_encoding() -> Result<()> {
    for (schema, table) in [
        ("data-schemas/pbc.toml", "data/pbc/pbcseq.csv"),
        ("data-schemas/eicu-demo.toml", "data/eicu-demo/labs.csv"),
    ] {
        let (schema, path) = (Schema::load(&repository(schema))?, repository(table));
        let (encoder, encoded) = Encoder::fit(&schema, &schema.read(&path)?, Subset::Whole)?;
        let back = decoded(&encoder, &encoded)?;
        close(&encoder.encode(&back.into(), Subset::Whole)?, &encoded, 1e-6)
            .with_context(|| table)?;
    }
    Ok(())
}

/// Written by tests/golden/encode_goldens.py with pandas, scipy and scikit-learn.
#[test]
fn the_shipped_cohorts_are_encoded_as_scikit_learn_does() -> Result<()> {
    let bytes = std::fs::read(repository("tests/golden/encoded.safetensors"))?;
    let golden = safetensors::SafeTensors::deserialize(&bytes)?;
    for (name, table, step, max_length) in [
        ("pbc", "data/pbc/pbcseq.csv", 365., None),
        ("eicu-demo", "data/eicu-demo/labs.csv", 720., Some(14)),
    ] {
        let mut schema = Schema::load(&repository(&format!("data-schemas/{name}.toml")))?;
        // The goldens are on a regular grid, without what rules put in place of a column.
        schema.time.model = step.into();
        schema.sequence.max_length = max_length;
        schema.rules.clear();
        let path = repository(table);
        let (_, encoded) = Encoder::fit(&schema, &schema.read(&path)?, Subset::Whole)?;
        let lengths = golden.tensor(&format!("{name}.lengths"))?;
        let lengths: Vec<usize> = lengths
            .data()
            .chunks_exact(8)
            .map(|bytes| Ok(i64::from_le_bytes(bytes.try_into()?) as usize))
            .collect::<Result<_>>()?;
        ensure!(encoded.lengths.starts_with(&lengths), "{name}");
        let rows = golden.tensor(&format!("{name}.rows"))?;
        ensure!(rows.shape() == [lengths.iter().sum(), encoded.features], "{name}");
        let mut exact = rows.data().chunks_exact(4);
        for (patient, &length) in lengths.iter().enumerate() {
            for step in 0..length {
                let row = (patient * encoded.steps + step) * encoded.features;
                for feature in 0..encoded.features {
                    let bytes = exact.next().context("a value")?.try_into()?;
                    let (ours, exact) = (encoded.values[row + feature], f32::from_le_bytes(bytes));
                    let off = (ours - exact).abs();
                    ensure!(
                        off < 1e-6,
                        "{name}, patient {patient}, {step}, {feature}: {ours} {exact}"
                    );
                }
            }
        }
    }
    Ok(())
}

#[test]
fn rare_levels_are_pooled_and_a_new_one_joins_them() -> Result<()> {
    let schema = "name = \"x\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\nstep = 1.0\n\
        [[columns]]\nname = \"ward\"\nkind = \"categorical\"\n\
        rare = { below = 0.2, into = \"Other\" }\n";
    let schema = Schema::parse(schema, Path::new("x.toml"))?;
    let table = |wards: [&str; 6]| {
        let ids = [1i64, 1, 1, 2, 2, 2];
        let times = [0i64, 1, 2, 0, 1, 2];
        df!("id" => ids, "t" => times, "ward" => wards).map(Table::from)
    };
    let wards = ["a", "a", "b", "b", "c", "d"];
    let (encoder, _) = Encoder::fit(&schema, &table(wards)?, Subset::Whole)?;
    ensure!(encoder.schema.columns[0].level_names() == ["a", "b", "Other"]);
    let other = encoder.encode(&table(["a", "new", "new", "new", "new", "b"])?, Subset::Whole)?;
    ensure!(other.values[..6] == [1., 0., 0., 0., 0., 1.]);
    Ok(())
}

#[test]
fn windows_cut_patients_and_drop_a_short_rest() -> Result<()> {
    let schema = "name = \"x\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\nstep = 1.0\n\
        [sequence]\nwindow = 3\nmin_length = 2\n[[columns]]\nname = \"x\"\nkind = \"numeric\"\n";
    let schema = Schema::parse(schema, Path::new("x.toml"))?;
    let times: Vec<i64> = (0..7).collect();
    let values: Vec<f64> = (0..7).map(f64::from).collect();
    let table = df!("id" => vec![1i64; 7], "t" => times, "x" => values)?;
    let (_, encoded) = Encoder::fit(&schema, &table.into(), Subset::Whole)?;
    ensure!(encoded.lengths == [3, 3], "{:?}", encoded.lengths);
    Ok(())
}

#[test]
fn the_json_schema_beside_the_schemas_is_current() -> Result<()> {
    let path = repository("data-schemas/schema.json");
    let is_current = std::fs::read_to_string(&path)? == hg_data::json_schema();
    ensure!(is_current, "write it anew: hg schema json > data-schemas/schema.json");
    Ok(())
}
