//! Tables out: CSV, Parquet and Arrow IPC.

use crate::files::{Format, Packing, is_tsv, write_atomically};
use crate::{CellStyle, Error, Result, TableStyle};
use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use polars::prelude::*;
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
    let (format, packing) = Format::of(path)?;
    if format == Format::Csv {
        style.check(path)?;
        let mut table = styled(table, style)?;
        let text = encoded(&mut table, path, style)?;
        return write_atomically(path, |file| {
            packed(path, packing, file, |out| match &text {
                Some(bytes) => out.write_all(bytes).map_err(|e| unwritable(path, e)),
                None => {
                    csv_writer(out, path, style).finish(&mut table).map_err(|e| unwritable(path, e))
                }
            })
        });
    }
    write_atomically(path, |file| {
        let written = if format == Format::Parquet {
            ParquetWriter::new(file).finish(table).map(|_| ())
        } else {
            IpcWriter::new(file).finish(table)
        };
        written.map_err(|e| unwritable(path, e))
    })
}

fn unwritable(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::file(path, format!("cannot write the table: {error}"))
}

/// Lets `write` write into a file, compressed where it is to be.
fn packed(
    path: &Path,
    packing: Option<Packing>,
    file: &mut File,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    match packing {
        None => write(file),
        Some(Packing::Gzip) => {
            let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::default());
            write(&mut out)?;
            out.finish().map(|_| ()).map_err(|e| unwritable(path, e))
        }
        Some(Packing::Zstd) => {
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
        "{} has no «{character}»; write the table as UTF-8, or put another text in its place",
        encoding.name()
    );
    let first = |column: &Column| {
        let cells = column.str().ok()?;
        cells.iter().position(|cell| cell.is_some_and(|text| text.contains(character)))
    };
    let rows = table.columns().iter().filter_map(|c| Some((first(c)?, c.name().as_str())));
    match (table.get_column_names().iter().find(|name| name.contains(character)), rows.min()) {
        (Some(name), _) => Error::column(path, name, problem),
        (None, Some((row, column))) => Error::cell(path, row + 1, column, problem),
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
            // Through its text, lest 0.1 become 0.10000000149011612.
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
        _ if shows_missing => Some(as_polars_writes(column)?),
        _ => None,
    })
}

/// The cells as polars' CSV has them.
fn as_polars_writes(column: &Column) -> Result<Vec<Option<String>>> {
    if matches!(column.dtype(), DataType::Categorical(..) | DataType::Enum(..)) {
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
    let (format, packing) = Format::of(path)?;
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
                packed(path, packing, file, |out| {
                    let mut writer =
                        csv_writer(out, path, &style).batched(&columns).map_err(failed)?;
                    each(&mut |part| writer.write_batch(part))?;
                    writer.finish().map_err(failed)
                })
            }
            Format::Parquet => {
                let mark = vec![("simulated".to_owned(), "true".to_owned())];
                let mut writer = ParquetWriter::new(file)
                    .with_key_value_metadata(Some(KeyValueMetadata::from_static(mark)))
                    .batched(&columns)
                    .map_err(failed)?;
                each(&mut |part| writer.write_batch(part))?;
                writer.finish().map(|_| ()).map_err(failed)
            }
            Format::Ipc => {
                let problem = "simulated cohorts come part by part; name it .parquet or .csv";
                Err(Error::file(path, problem))
            }
        }
    })?;
    Ok(rows)
}
