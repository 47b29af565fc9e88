//! Tables out: CSV, Parquet and Arrow IPC.

use crate::clock::Elapsed;
use crate::files::{Compression, Format, is_tsv, write_atomically};
use crate::source::Resolution;
use crate::{CellStyle, Error, Result, TableStyle};
use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use polars_core::prelude::*;
use polars_io::prelude::*;
use polars_parquet::arrow::write::schema_to_metadata_key;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Writes a table as CSV, Parquet or Arrow IPC, by the ending of its name, to a temporary
/// name first. A CSV is written in `style`, and compressed where its name ends in `.gz` or
/// `.zst`.
///
/// # Errors
/// [`Error::File`] when the file cannot be written; another when a cell does not fit the
/// encoding.
pub fn write_table(table: &mut DataFrame, path: &Path, style: &TableStyle) -> Result<()> {
    let (format, compression) = Format::of(path)?;
    if format == Format::Csv {
        style.check(path)?;
        let mut table = styled(table, style)?;
        let text = encoded(&mut table, path, style)?;
        return write_atomically(path, |file| {
            compressed(path, compression, file, |out| match &text {
                Some(bytes) => out.write_all(bytes).map_err(|e| unwritable(path, e)),
                None => {
                    csv_writer(out, path, style).finish(&mut table).map_err(|e| unwritable(path, e))
                }
            })
        });
    }
    write_atomically(path, |file| {
        let written = if format == Format::Parquet {
            let about = vec![arrow_schema(table.schema())];
            ParquetWriter::new(file)
                .with_key_value_metadata(Some(KeyValueMetadata::from_static(about)))
                .finish(table)
                .map(|_| ())
        } else {
            IpcWriter::new(file).finish(table)
        };
        written.map_err(|e| unwritable(path, e))
    })
}

/// What a Parquet file says of its types in Arrow: texts are plain strings, as pandas and pyarrow
/// write them, and not views of strings, which standards as MEDS do not allow.
fn arrow_schema(columns: &Schema) -> (String, String) {
    let plain = |dtype: ArrowDataType| {
        if dtype == ArrowDataType::Utf8View { ArrowDataType::Utf8 } else { dtype }
    };
    let mut schema = columns.to_arrow(CompatLevel::newest());
    for field in schema.iter_values_mut() {
        field.dtype = match std::mem::take(&mut field.dtype) {
            ArrowDataType::Dictionary(key, value, ordered) => {
                ArrowDataType::Dictionary(key, Box::new(plain(*value)), ordered)
            }
            dtype => plain(dtype),
        };
    }
    let entry = schema_to_metadata_key(&schema);
    (entry.key, entry.value.unwrap_or_default())
}

fn unwritable(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::file(path, format!("cannot write the table: {error}"))
}

/// Lets `write` write into a file, compressed where it is to be.
fn compressed(
    path: &Path,
    compression: Option<Compression>,
    file: &mut File,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    match compression {
        None => write(file),
        Some(Compression::Gzip) => {
            let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::default());
            write(&mut out)?;
            out.finish().map(|_| ()).map_err(|e| unwritable(path, e))
        }
        Some(Compression::Zstd) => {
            let mut out =
                zstd::stream::write::Encoder::new(file, 0).map_err(|e| unwritable(path, e))?;
            write(&mut out)?;
            out.finish().map(|_| ()).map_err(|e| unwritable(path, e))
        }
    }
}

/// polars' writer in a style. A `.tsv` has tabs unless the style has another separator than
/// the comma.
fn csv_writer<W: Write>(out: W, path: &Path, style: &TableStyle) -> CsvWriter<W> {
    let separator = match style.separator {
        ',' if is_tsv(path) => b'\t',
        separator => separator as u8,
    };
    let quotes = if style.quoted { QuoteStyle::Always } else { QuoteStyle::Necessary };
    CsvWriter::new(out)
        .with_separator(separator)
        .with_line_terminator(style.line_end.as_str().into())
        .with_quote_style(quotes)
        .include_bom(style.byte_order_mark && style.other_encoding().is_none())
}

/// The bytes of a table in another encoding than UTF-8.
fn encoded(table: &mut DataFrame, path: &Path, style: &TableStyle) -> Result<Option<Vec<u8>>> {
    let Some(encoding) = style.other_encoding() else { return Ok(None) };
    let mut text = Vec::new();
    csv_writer(&mut text, path, style).finish(table).map_err(|e| unwritable(path, e))?;
    let text = String::from_utf8(text).map_err(|e| unwritable(path, e))?;
    match encode(&text, encoding) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(character) => Err(unmappable(table, path, encoding, character)),
    }
}

/// A text in an encoding, UTF-16 with its mark; a character that it does not have is the
/// error.
fn encode(text: &str, encoding: &'static Encoding) -> std::result::Result<Vec<u8>, char> {
    let units = || std::iter::once(0xFEFF).chain(text.encode_utf16());
    if encoding == UTF_16LE {
        return Ok(units().flat_map(u16::to_le_bytes).collect());
    }
    if encoding == UTF_16BE {
        return Ok(units().flat_map(u16::to_be_bytes).collect());
    }
    let fits = |text: &str| !encoding.encode(text).2;
    let (bytes, _, failed) = encoding.encode(text);
    match text.chars().find(|c| failed && !fits(c.encode_utf8(&mut [0; 4]))) {
        Some(character) => Err(character),
        None => Ok(bytes.into_owned()),
    }
}

/// That a character has no place in the encoding, with the first cell that holds it.
fn unmappable(
    table: &DataFrame,
    path: &Path,
    encoding: &'static Encoding,
    character: char,
) -> Error {
    let problem = format!(
        "{} has no `{character}`\nhint: write the table as UTF-8, or put another text in its place",
        encoding.name()
    );
    let first = |column: &Column| {
        let cells = column.str().ok()?;
        cells.iter().position(|cell| cell.is_some_and(|text| text.contains(character)))
    };
    let rows = table.columns().iter().filter_map(|c| Some((first(c)?, c.name().as_str())));
    match (table.get_column_names().iter().find(|name| name.contains(character)), rows.min()) {
        (Some(name), _) => Error::column(path.display(), name, problem),
        (None, Some((row, column))) => Error::cell(path.display(), row + 1, column, problem),
        (None, None) => Error::file(path, problem),
    }
}

/// The table with those cells as texts that polars would write otherwise.
fn styled(table: &DataFrame, style: &TableStyle) -> Result<DataFrame> {
    let plain = CellStyle::default();
    let columns = table.columns().iter().map(|column| {
        let cell = style.columns.get(column.name().as_str()).unwrap_or(&plain);
        let Some(texts) = texts(column, style, cell)? else { return Ok(column.clone()) };
        let missing = Some(cell.missing.clone()).filter(|missing| !missing.is_empty());
        let cells = texts.into_iter().map(|text| text.or_else(|| missing.clone()));
        Ok(Column::new(column.name().clone(), cells.collect::<Vec<_>>()))
    });
    Ok(DataFrame::new(table.height(), columns.collect::<Result<Vec<_>>>()?)?)
}

/// A column's cells as texts; nothing where polars writes them as they are to be.
fn texts(
    column: &Column,
    style: &TableStyle,
    cell: &CellStyle,
) -> Result<Option<Vec<Option<String>>>> {
    let shows_missing = !cell.missing.is_empty() && column.null_count() > 0;
    let dtype = column.dtype();
    Ok(match dtype {
        DataType::Float32 if style.decimal != '.' || cell.changes_numbers() => {
            // Through its text, so that 0.1 does not become 0.10000000149011612.
            let wide = |x: f32| x.to_string().parse().unwrap_or(f64::from(x));
            let cells = column.f32()?.iter();
            Some(cells.map(|x| x.map(|x| style.number(wide(x), cell))).collect())
        }
        _ if dtype.is_float() && (style.decimal != '.' || cell.changes_numbers()) => {
            let numbers = column.cast(&DataType::Float64)?;
            Some(numbers.f64()?.iter().map(|x| x.map(|x| style.number(x, cell))).collect())
        }
        _ if dtype.is_integer() && cell.changes_integers() => {
            let numbers = column.cast(&DataType::Int128)?;
            Some(numbers.i128()?.iter().map(|x| x.map(|x| style.integer(x, cell))).collect())
        }
        DataType::String => {
            // An empty text is written as an empty cell, without quotes.
            let cells = column.str()?;
            let is_empty = |text: Option<&str>| text.is_some_and(str::is_empty);
            let has_empty = cells.iter().any(is_empty);
            let filled = |text: Option<&str>| text.filter(|t| !t.is_empty()).map(str::to_owned);
            (shows_missing || has_empty).then(|| cells.iter().map(filled).collect())
        }
        DataType::Duration(unit) => {
            // As pandas does; polars would refuse.
            let per_second = Resolution::of(*unit).per_second();
            let counted = column.to_physical_repr().cast(&DataType::Int64)?;
            let text = |count: i64| Elapsed::Days.write(count as f64 / per_second);
            Some(counted.i64()?.iter().map(|count| count.map(text)).collect())
        }
        _ if shows_missing => Some(as_polars_writes(column)?),
        _ => None,
    })
}

/// A column's cells as a CSV in this style shows them.
pub(crate) fn shown_texts(
    column: &Column,
    style: &TableStyle,
    cell: &CellStyle,
) -> Result<Vec<Option<String>>> {
    match texts(column, style, cell)? {
        Some(texts) => Ok(texts),
        None => as_polars_writes(column),
    }
}

/// The cells as polars' CSV has them.
fn as_polars_writes(column: &Column) -> Result<Vec<Option<String>>> {
    let is_text = column.dtype() == &DataType::String;
    if is_text || matches!(column.dtype(), DataType::Categorical(..) | DataType::Enum(..)) {
        let texts = column.cast(&DataType::String)?;
        return Ok(texts.str()?.iter().map(|text| text.map(str::to_owned)).collect());
    }
    let mut table = DataFrame::new(column.len(), vec![column.clone()])?;
    let mut text = Vec::new();
    CsvWriter::new(&mut text)
        .include_header(false)
        .with_quote_style(QuoteStyle::Never)
        .finish(&mut table)?;
    // Numbers, dates and the like have no line ends.
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().map(|cell| (!cell.is_empty()).then(|| cell.to_owned())).collect())
}

/// Writes a table that comes in parts, by the ending of its name, to a temporary
/// name first; a Parquet file is marked as simulated. At least one part must come.
///
/// # Errors
/// What a part reports, and [`Error::File`] when the file cannot be written.
pub fn write_simulated(
    parts: impl Iterator<Item = Result<DataFrame>>,
    path: &Path,
) -> Result<usize> {
    let (format, compression) = Format::of(path)?;
    let mut parts = parts.peekable();
    let columns = match parts.peek() {
        Some(Ok(first)) => first.schema().clone(),
        // The first part's error is reported below.
        _ => SchemaRef::default(),
    };
    let failed = |e: PolarsError| Error::file(path, format!("cannot write the table: {e}"));
    let mut rows = 0;
    let mut each = |write: &mut dyn FnMut(&DataFrame) -> PolarsResult<()>| -> Result<()> {
        for part in &mut parts {
            let part = part?;
            rows += part.height();
            write(&part).map_err(failed)?;
        }
        Ok(())
    };
    write_atomically(path, |file| -> Result<()> {
        match format {
            Format::Csv => {
                let style = TableStyle::default();
                compressed(path, compression, file, |out| {
                    let mut writer =
                        csv_writer(out, path, &style).batched(&columns).map_err(failed)?;
                    each(&mut |part| writer.write_batch(part))?;
                    writer.finish().map_err(failed)
                })
            }
            Format::Parquet => {
                let mark = ("simulated".to_owned(), "true".to_owned());
                let about = vec![arrow_schema(&columns), mark];
                let mut writer = ParquetWriter::new(file)
                    .with_key_value_metadata(Some(KeyValueMetadata::from_static(about)))
                    .batched(&columns)
                    .map_err(failed)?;
                each(&mut |part| writer.write_batch(part))?;
                writer.finish().map(|_| ()).map_err(failed)
            }
            Format::Ipc => {
                let problem = "simulated cohorts come part by part\nhint: name it .parquet or .csv";
                Err(Error::file(path, problem))
            }
        }
    })?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv::{Csv, Separator};
    use crate::table::read_table;
    use proptest::prelude::*;

    fn table() -> DataFrame {
        df!(
            "i" => [Some(1_i64), None, Some(-1_234_567)],
            "f" => [Some(37.), Some(1e-7), None],
            "g" => [Some(0.1_f32), Some(-0.), Some(1e20)],
            "s,\"" => [Some("a,b"), Some("say \"x\"\n"), None],
            "b" => [Some(true), None, Some(false)],
        )
        .expect("a table")
    }

    fn written(table: &DataFrame, name: &str, style: &TableStyle) -> Result<Vec<u8>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        write_table(&mut table.clone(), &path, style)?;
        Ok(std::fs::read(&path).expect("reads"))
    }

    #[test]
    fn the_default_style_is_that_of_polars_to_the_byte() {
        let mut polars = Vec::new();
        CsvWriter::new(&mut polars).finish(&mut table()).expect("writes");
        assert_eq!(written(&table(), "t.csv", &TableStyle::default()).expect("writes"), polars);
    }

    #[test]
    fn cells_are_written_in_the_style() {
        let cell = |missing: &str, decimals, thousands, suffix: &str| CellStyle {
            missing: missing.into(),
            decimals,
            thousands,
            suffix: suffix.into(),
        };
        let mut style = TableStyle {
            separator: ';',
            byte_order_mark: true,
            line_end: "\r\n".into(),
            decimal: ',',
            ..TableStyle::default()
        };
        style.columns.insert("i".into(), cell("NA", None, Some('.'), " bpm"));
        style.columns.insert("f".into(), cell("-", Some(2), None, ""));
        style.columns.insert("b".into(), cell("?;", None, None, ""));
        style.columns.insert("s,\"".into(), cell("none", None, None, ""));
        let right = "\u{feff}i;f;g;\"s,\"\"\";b\r\n1 bpm;37,00;0,1;a,b;true\r\n\
            NA;0,00;0;\"say \"\"x\"\"\n\";\"?;\"\r\n\
            -1.234.567 bpm;-;100000000000000000000;none;false\r\n";
        let text = written(&table(), "t.csv", &style).expect("writes");
        assert_eq!(String::from_utf8_lossy(&text), right);
        style.quoted = true;
        let text = written(&table(), "t.csv", &style).expect("writes");
        assert!(String::from_utf8_lossy(&text).contains("\"1 bpm\";\"37,00\";\"0,1\""));
    }

    #[test]
    fn dates_without_a_value_show_what_is_missing() {
        let days = Series::new("d".into(), [Some(18_000_i32), None]);
        let date = days.cast(&DataType::Date).expect("dates");
        let utc = Some(TimeZone::UTC);
        let time = date.cast(&DataType::Datetime(TimeUnit::Milliseconds, utc)).expect("times");
        let time = time.with_name("t".into());
        let table =
            DataFrame::new(2, vec![date.into_column(), time.into_column()]).expect("a table");
        let mut style = TableStyle::default();
        let plain = written(&table, "t.csv", &style).expect("writes");
        for name in ["d", "t"] {
            let cell = CellStyle { missing: "NA".into(), ..CellStyle::default() };
            style.columns.insert(name.into(), cell);
        }
        let text = written(&table, "t.csv", &style).expect("writes");
        assert_eq!(
            String::from_utf8_lossy(&text),
            String::from_utf8_lossy(&plain).replace("\n,\n", "\nNA,NA\n")
        );
        assert!(text.starts_with(b"d,t\n2019-04-14,2019-04-14T00:00:00.000+"));
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let of = |style: TableStyle| {
            let table = df!("a" => ["x", "ß"], "b" => ["żó", "x"]).expect("a table");
            written(&table, "t.csv", &style).expect_err("refused").to_string()
        };
        let encoding = |name: &str| Some(name.to_owned());
        let style = TableStyle { encoding: encoding("windows-1252"), ..TableStyle::default() };
        let problem = of(style);
        assert!(problem.contains("row 1, column `b`: windows-1252 has no `ż`"), "{problem}");
        let problem = of(TableStyle { encoding: encoding("latin-15"), ..TableStyle::default() });
        assert!(problem.contains("`latin-15` is unknown"), "{problem}");
        let problem = of(TableStyle { separator: '"', ..TableStyle::default() });
        assert!(problem.contains("is not one ASCII character"), "{problem}");
        let problem = of(TableStyle { line_end: "x".into(), ..TableStyle::default() });
        assert!(problem.contains("cannot end in \"x\""), "{problem}");
    }

    fn cells() -> impl Strategy<Value = Vec<Vec<Option<String>>>> {
        // Characters that windows-1252 has too, those with a role in CSV among them.
        let text = prop::collection::vec(
            prop::sample::select("a1é€ß #=,;\t|\"'\r\n.".chars().collect::<Vec<_>>()),
            1..6,
        );
        let text = text.prop_map(|characters| characters.into_iter().collect::<String>());
        (2..5usize).prop_flat_map(move |width| {
            let row = prop::collection::vec(prop::option::of(text.clone()), width);
            prop::collection::vec(row, 1..8)
        })
    }

    fn styles() -> impl Strategy<Value = (TableStyle, &'static str)> {
        let encodings =
            [None, Some("utf-8"), Some("windows-1252"), Some("utf-16le"), Some("utf-16be")];
        let names = ["t.csv", "t.csv.gz", "t.txt.zst"];
        let separators = prop::sample::select(vec![',', ';', '\t', '|']);
        let ends = prop::sample::select(vec!["\n", "\r\n", "\r"]);
        let encodings = prop::sample::select(encodings.to_vec());
        let names = prop::sample::select(names.to_vec());
        (separators, ends, encodings, any::<[bool; 2]>(), names).prop_map(
            |(separator, end, encoding, [byte_order_mark, quoted], name)| {
                let encoding = encoding.map(str::to_owned);
                let line_end = end.to_owned();
                let plain = TableStyle::default();
                let style =
                    TableStyle { separator, encoding, byte_order_mark, line_end, quoted, ..plain };
                (style, name)
            },
        )
    }

    proptest! {
        #[test]
        fn a_table_in_any_style_is_read_as_it_was(rows in cells(), (style, name) in styles()) {
            let names = (0..rows[0].len()).map(|n| format!("«{n}»{}", style.separator));
            let columns = names.enumerate().map(|(n, name)| {
                Column::new(name.into(), rows.iter().map(|row| row[n].clone()).collect::<Vec<_>>())
            });
            let table = DataFrame::new(rows.len(), columns.collect()).expect("a table");
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join(name);
            write_table(&mut table.clone(), &path, &style).expect("writes");
            let is_filled = |row: &&Vec<Option<String>>| {
                row.iter().flatten().any(|cell| !cell.trim_ascii().is_empty())
            };
            let filled: Vec<_> = rows.iter().filter(is_filled).cloned().collect();
            let separator = Separator::Given(style.separator as u8);
            let read = read_table(&path, style.other_encoding(), separator);
            if filled.is_empty() {
                prop_assert!(read.expect_err("refused").to_string().contains("has no rows"));
                return Ok(());
            }
            let read = read.expect("reads");
            prop_assert_eq!(read.get_column_names(), table.get_column_names());
            let cell = |row: usize, column: &Column| {
                column.str().expect("texts").get(row).map(str::to_owned)
            };
            for (row, right) in filled.iter().enumerate() {
                let got: Vec<_> = read.columns().iter().map(|column| cell(row, column)).collect();
                prop_assert_eq!(&got, right);
            }
        }

        #[test]
        fn any_bytes_get_an_answer(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            pieces in prop::collection::vec(prop::sample::select(vec![
                "a", ",", "\"", "\r", "\n", "#", "sep=;", ";", "\u{feff}", "\0", " ", "é", "1",
            ]), 0..40),
            name in prop::sample::select(vec!["t.csv", "t.csv.gz", "t.csv.zst"]),
        ) {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join(name);
            for bytes in [bytes, pieces.concat().into_bytes()] {
                std::fs::write(&path, &bytes).expect("writes");
                let said = [
                    crate::csv::read_any(&path).err(),
                    crate::csv::sniff(&path, None).err(),
                    read_table(&path, None, Separator::Guessed).err(),
                    read_table(&path, Some(encoding_rs::UTF_16LE), Separator::Usual).err(),
                    read_table(&path, Some(encoding_rs::SHIFT_JIS), Separator::Usual).err(),
                    Csv::open(&path, None, Separator::Given(b'a')).err(),
                ];
                for error in said.iter().flatten() {
                    prop_assert!(error.to_string().len() > 10);
                }
            }
        }
    }
}
