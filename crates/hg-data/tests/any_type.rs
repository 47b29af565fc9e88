//! A table of any types, written as any file, goes from `infer` to a decoded table that equals
//! itself: the same cells, gaps and types.

use anyhow::{Context, Result, ensure};
use hg_data::{CellStyle, DataFrame, Encoder, Schema, Subset, TableStyle, infer, write_table};
use polars_core::prelude::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// What a random column holds.
#[derive(Clone, Debug)]
enum Sort {
    /// Numbers of a type, with so many decimals.
    Number(DataType, u32),
    /// Texts of levels.
    Levels(DataType, [&'static str; 3]),
    Truth,
    /// Dates, or time that has elapsed.
    Time(DataType),
    /// What cannot be modelled: it is left out.
    Other(DataType),
    Nothing,
}

fn sorts() -> Vec<Sort> {
    let number = |dtype, decimals| Sort::Number(dtype, decimals);
    let words = ["low", "mid", "high"];
    vec![
        number(DataType::Int8, 0),
        number(DataType::Int16, 0),
        number(DataType::Int32, 0),
        number(DataType::Int64, 0),
        number(DataType::Int128, 0),
        number(DataType::UInt8, 0),
        number(DataType::UInt16, 0),
        number(DataType::UInt32, 0),
        number(DataType::UInt64, 0),
        number(DataType::UInt128, 0),
        number(DataType::Float32, 1),
        number(DataType::Float64, 2),
        number(DataType::Decimal(9, 2), 2),
        Sort::Levels(DataType::String, words),
        Sort::Levels(DataType::String, ["0417", "417", "038.9"]),
        Sort::Levels(DataType::from_categories(Categories::global()), words),
        Sort::Truth,
        Sort::Time(DataType::Date),
        Sort::Time(DataType::Datetime(TimeUnit::Microseconds, None)),
        Sort::Time(DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC))),
        Sort::Time(DataType::Datetime(TimeUnit::Nanoseconds, None)),
        Sort::Time(DataType::Duration(TimeUnit::Milliseconds)),
        Sort::Time(DataType::Duration(TimeUnit::Microseconds)),
        Sort::Other(DataType::Time),
        Sort::Other(DataType::Binary),
        Sort::Other(DataType::List(Box::new(DataType::Int64))),
        Sort::Nothing,
    ]
}

impl Sort {
    /// A column of cells from numbers in [0, 1); `None` stays empty.
    fn series(&self, name: &str, draws: &[Option<f64>]) -> PolarsResult<Series> {
        let name: PlSmallStr = name.into();
        let whole = |x: f64| (x * 90.) as i64;
        Ok(match self {
            Self::Number(dtype, 0) => {
                let cells: Vec<Option<i64>> = draws.iter().map(|x| x.map(whole)).collect();
                Series::new(name, cells).strict_cast(dtype)?
            }
            Self::Number(dtype, decimals) => {
                let scale = 10f64.powi(*decimals as i32);
                let cells = draws.iter().map(|x| x.map(|x| (x * 90. * scale).round() / scale));
                Series::new(name, cells.collect::<Vec<_>>()).strict_cast(dtype)?
            }
            Self::Levels(dtype, levels) => {
                let cells = draws.iter().map(|x| x.map(|x| levels[(x * 3.) as usize]));
                Series::new(name, cells.collect::<Vec<_>>()).strict_cast(dtype)?
            }
            Self::Truth => {
                let cells = draws.iter().map(|x| x.map(|x| x < 0.5));
                Series::new(name, cells.collect::<Vec<_>>())
            }
            Self::Other(DataType::Binary) => {
                let cells: Vec<Option<String>> =
                    draws.iter().map(|x| x.map(|x| x.to_string())).collect();
                Series::new(name, cells).cast(&DataType::Binary)?
            }
            Self::Other(DataType::List(_)) => {
                let lists: Vec<Series> = draws
                    .iter()
                    .map(|x| Series::new("".into(), vec![x.map_or(0, whole)]))
                    .collect();
                Series::new(name, lists)
            }
            Self::Other(dtype) => {
                let cells: Vec<Option<i64>> = draws.iter().map(|x| x.map(whole)).collect();
                let cells = Series::new(name, cells);
                cells.cast(dtype)?
            }
            Self::Time(dtype) => {
                // Whole days, or multiples of a minute and a half.
                let each = match dtype {
                    DataType::Datetime(unit, _) | DataType::Duration(unit) => match unit {
                        TimeUnit::Nanoseconds => 90_000_000_000,
                        TimeUnit::Microseconds => 90_000_000,
                        TimeUnit::Milliseconds => 90_000,
                    },
                    _ => 1,
                };
                let cells = draws.iter().map(|x| x.map(|x| (whole(x) + 11_000) * each));
                let cells = Series::new(name, cells.collect::<Vec<Option<i64>>>());
                match dtype {
                    DataType::Date => cells.cast(&DataType::Int32)?.cast(dtype)?,
                    _ => cells.cast(dtype)?,
                }
            }
            Self::Nothing => Series::full_null(name, draws.len(), &DataType::Float64),
        })
    }

    /// Whether there is anything to model.
    fn has_values(&self) -> bool {
        self.is_modelled() && !matches!(self, Self::Nothing)
    }

    fn is_modelled(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

/// How a table is written.
#[derive(Clone, Debug)]
enum Form {
    Parquet,
    Ipc,
    Csv(TableStyle, &'static str),
}

fn forms() -> impl Strategy<Value = Form> {
    let styles = (
        prop::sample::select(vec![',', ';', '\t', '|']),
        prop::sample::select(vec![None, Some("windows-1252"), Some("utf-16le"), Some("utf-16be")]),
        any::<bool>(),
        prop::sample::select(vec!["\n", "\r\n", "\r"]),
        any::<bool>(),
        prop::sample::select(vec!["csv", "csv.gz", "csv.zst"]),
    );
    let csv = styles.prop_map(|(separator, encoding, mark, line_end, comma, end)| {
        let style = TableStyle {
            separator,
            encoding: encoding.map(str::to_owned),
            byte_order_mark: mark && encoding != Some("windows-1252"),
            line_end: line_end.into(),
            decimal: if comma && separator != ',' { ',' } else { '.' },
            ..TableStyle::default()
        };
        Form::Csv(style, end)
    });
    prop_oneof![Just(Form::Parquet), Just(Form::Ipc), csv]
}

#[derive(Clone, Debug)]
struct Case {
    sorts: Vec<(Sort, bool)>,
    lengths: Vec<usize>,
    cells: Vec<Vec<(f64, bool)>>,
    form: Form,
}

prop_compose! {
    fn cases()(
        sorts in prop::collection::vec((prop::sample::select(sorts()), any::<bool>()), 1..6),
        lengths in prop::collection::vec(2usize..7, 6..12),
        form in forms(),
    )(
        cells in prop::collection::vec(
            prop::collection::vec(
                (0f64..1., prop::bool::weighted(0.2)),
                lengths.iter().sum::<usize>(),
            ),
            sorts.len(),
        ),
        sorts in Just(sorts),
        lengths in Just(lengths),
        form in Just(form),
    ) -> Case {
        Case { sorts, lengths, cells, form }
    }
}

impl Case {
    fn table(&self) -> Result<DataFrame> {
        let lengths = self.lengths.iter().enumerate();
        let rows: Vec<(i64, i32)> = lengths
            .flat_map(|(n, &length)| (0..length).map(move |step| (n as i64 + 1, step as i32)))
            .collect();
        let ids: Vec<i64> = rows.iter().map(|row| row.0).collect();
        let times: Vec<i32> = rows.iter().map(|row| row.1).collect();
        let mut columns = vec![
            Series::new("patient_id".into(), ids).into_column(),
            Series::new("day".into(), times).into_column(),
        ];
        for (n, ((sort, gaps), cells)) in self.sorts.iter().zip(&self.cells).enumerate() {
            let draws: Vec<Option<f64>> =
                // The first cell is there, so that no column is empty by chance.
                cells.iter().enumerate().map(|(row, (x, gap))| (row == 0 || !(gap & gaps)).then_some(*x)).collect();
            columns.push(sort.series(&format!("col{n}"), &draws)?.into_column());
        }
        Ok(DataFrame::new(rows.len(), columns)?)
    }

    /// A CSV has no lists and no bytes.
    fn can_be_written(&self) -> bool {
        let is_csv = matches!(self.form, Form::Csv(..));
        let is_nested =
            |sort: &Sort| matches!(sort, Sort::Other(DataType::Binary | DataType::List(_)));
        !is_csv || !self.sorts.iter().any(|(sort, _)| is_nested(sort))
    }
}

fn comes_back(case: &Case) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut table = case.table()?;
    let (end, style) = match &case.form {
        Form::Parquet => ("parquet", TableStyle::default()),
        Form::Ipc => ("arrow", TableStyle::default()),
        Form::Csv(style, end) => (*end, style.clone()),
    };
    let path = folder.path().join(format!("table.{end}"));
    write_table(&mut table, &path, &style)?;

    let proposal = infer(&path, Some("patient_id"), Some("day"))?;
    let toml = proposal.toml;
    let schema = Schema::parse(&toml, Path::new("proposed.toml"))
        .with_context(|| format!("the proposal:\n{toml}"))?;
    let fitted = Encoder::fit_file(&schema, &path, Subset::Whole);
    let (encoder, encoded) = fitted.with_context(|| format!("the proposal:\n{toml}"))?;
    ensure!(Encoder::from_json(&encoder.to_json()?)? == encoder, "saved and read");
    let mut back = encoder.decode(&encoded.values, &encoded.lengths, encoded.steps, 7)?;

    for (n, (sort, _)) in case.sorts.iter().enumerate() {
        let name = format!("col{n}");
        let is_back = back.column(&name).is_ok();
        ensure!(is_back || !sort.is_modelled(), "{name} ({sort:?}) was left out:\n{toml}");
    }
    // What was written and is written again is the same, cell by cell.
    let again = folder.path().join(format!("again.{end}"));
    write_table(&mut back, &again, &encoder.style)?;
    let (was, is) = (schema.read(&path)?.frame, schema.read(&again)?.frame);
    for column in is.columns() {
        same(was.column(column.name())?, column)
            .with_context(|| format!("{} in {:?}\n{toml}", column.name(), encoder.style))?;
    }
    Ok(())
}

/// Whether two columns have the same type, gaps and cells, numbers up to what an f32 holds.
fn same(was: &Column, is: &Column) -> Result<()> {
    ensure!(was.dtype() == is.dtype(), "{:?} became {:?}", was.dtype(), is.dtype());
    let gaps = |column: &Column| column.is_null().into_series();
    ensure!(gaps(was).equals(&gaps(is)), "gaps differ: {was:?} {is:?}");
    if was.dtype().is_temporal() {
        // polars has no texts of durations.
        let counts = |column: &Column| column.to_physical_repr().cast(&DataType::Int64);
        ensure!(counts(was)?.equals_missing(&counts(is)?), "{was:?} {is:?}");
        return Ok(());
    }
    if !was.dtype().is_float() {
        let texts = |column: &Column| -> Result<Vec<Option<String>>> {
            let texts = column.cast(&DataType::String)?;
            Ok(texts.str()?.iter().map(|cell| cell.map(str::to_owned)).collect())
        };
        let (was, is) = (texts(was)?, texts(is)?);
        let differ = was.iter().zip(&is).find(|(was, is)| was != is);
        ensure!(differ.is_none(), "{differ:?}");
        return Ok(());
    }
    let (was, is) = (was.cast(&DataType::Float64)?, is.cast(&DataType::Float64)?);
    for (was, is) in was.f64()?.iter().zip(is.f64()?.iter()) {
        ensure!((was.unwrap_or(0.) - is.unwrap_or(0.)).abs() < 1e-4, "{was:?} {is:?}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_table_of_any_types_in_any_form_comes_back_from_what_infer_proposes(case in cases()) {
        prop_assume!(case.can_be_written());
        prop_assume!(case.sorts.iter().any(|(sort, _)| sort.has_values()));
        if let Err(error) = comes_back(&case) {
            prop_assert!(false, "{error:?}");
        }
    }
}

#[test]
fn cells_in_every_notation_come_back_as_they_were_written() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("table.csv");
    let mut text = String::from("patient;day;dose;temp;code;crp\r\n");
    for patient in 1..=9 {
        for day in 0..5 {
            let n = patient * 5 + day;
            let crp = match n % 4 {
                0 => "<0,05".to_owned(),
                1 => "<0,08".to_owned(),
                2 => ">2,5".to_owned(),
                _ => format!("0,{:02}", 10 + n),
            };
            let dose = if n % 7 == 0 { "k.A.".to_owned() } else { format!("1.{:03},5", 3 * n) };
            let temp = format!("{},{}°C", 36 + n % 3, n % 10);
            text += &format!("{patient:03};{day};{dose};{temp};0{};{crp}\r\n", n % 3);
        }
    }
    std::fs::write(&path, &text)?;
    let toml = "name = \"t\"\nseparator = \";\"\ndecimal = \",\"\n[patient]\ncolumn = \"patient\"\n\
        [time]\ncolumn = \"day\"\nstep = 1\n\
        [[columns]]\nname = \"dose\"\nkind = \"numeric\"\nthousands = \".\"\nmissing = [\"k.A.\"]\n\
        missing_indicator = true\n\
        [[columns]]\nname = \"temp\"\nkind = \"numeric\"\nsuffix = \"°C\"\n\
        [[columns]]\nname = \"code\"\nkind = \"categorical\"\n\
        [[columns]]\nname = \"crp\"\nkind = \"numeric\"\ncensored = [\n\
        { text = \"<0,05\", value = 0.045 }, { text = \"<0,08\", value = 0.075 },\n\
        { text = \">2,5\", value = 2.505 } ]\n";
    let schema = Schema::parse(toml, Path::new("t.toml"))?;
    let (encoder, encoded) = Encoder::fit_file(&schema, &path, Subset::Whole)?;
    let mut back = encoder.decode(&encoded.values, &encoded.lengths, encoded.steps, 7)?;
    let again = folder.path().join("again.csv");
    write_table(&mut back, &again, &encoder.style)?;
    assert_eq!(std::fs::read_to_string(&again)?, text);
    let plain: BTreeMap<String, CellStyle> = BTreeMap::new();
    ensure!(encoder.style.columns != plain);
    Ok(())
}
