//! Which files a table is made of, what they are by their names, and files that are written
//! whole or not at all.

use crate::table_set::files_below;
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Format {
    Csv,
    Parquet,
    Ipc,
}

/// How a CSV is compressed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
}

/// The ending of a name in small letters, and the name without it.
fn ending(path: &Path) -> (String, PathBuf) {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    (extension.to_ascii_lowercase(), path.with_extension(""))
}

impl Format {
    /// What a file is by its name, and how it is compressed.
    pub(crate) fn of(path: &Path) -> Result<(Self, Option<Compression>)> {
        let unknown =
            || Error::file(path, "unknown kind of table\nhint: name it .csv, .parquet or .arrow");
        let (last, stem) = ending(path);
        let compression = match last.as_str() {
            "gz" => Some(Compression::Gzip),
            "zst" => Some(Compression::Zstd),
            _ => None,
        };
        let kind = if compression.is_some() { ending(&stem).0 } else { last };
        match (kind.as_str(), compression) {
            ("csv" | "tsv" | "txt", compression) => Ok((Self::Csv, compression)),
            ("parquet" | "pq", None) => Ok((Self::Parquet, None)),
            ("arrow" | "ipc" | "feather", None) => Ok((Self::Ipc, None)),
            _ => Err(unknown()),
        }
    }
}

/// Whether the name says that tabs stand between the cells.
pub(crate) fn is_tsv(path: &Path) -> bool {
    let (last, stem) = ending(path);
    last == "tsv" || (["gz", "zst"].contains(&last.as_str()) && ending(&stem).0 == "tsv")
}

pub(crate) fn is_txt(path: &Path) -> bool {
    let (last, stem) = ending(path);
    last == "txt" || (["gz", "zst"].contains(&last.as_str()) && ending(&stem).0 == "txt")
}

/// The first file of the table at `path`, where that is a CSV: its texts may mean anything.
pub(crate) fn first_csv(path: &Path) -> Option<PathBuf> {
    let first = files(path).ok()?.into_iter().next()?;
    is_csv(&first).ok()?.then_some(first)
}

/// Whether the file is a CSV by its name.
pub(crate) fn is_csv(path: &Path) -> Result<bool> {
    Ok(Format::of(path)?.0 == Format::Csv)
}

/// The files at `path`: itself, those of a folder, or those of a pattern. A `.txt` beside
/// other tables of a folder is taken for a note.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let text = path.to_string_lossy();
    let mut files: Vec<PathBuf> = if path.is_dir() {
        let entries = std::fs::read_dir(path)
            .map_err(|e| Error::file(path, format!("cannot list the folder: {e}")))?;
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut files: Vec<PathBuf> = files.filter(|file| Format::of(file).is_ok()).collect();
        if !files.iter().all(|file| is_txt(file)) {
            files.retain(|file| !is_txt(file));
        }
        files
    } else if !path.exists() && text.contains(['*', '?', '[']) {
        let found = glob::glob(&text)
            .map_err(|e| Error::file(path, format!("is no pattern of files: {e}")))?;
        found.filter_map(std::result::Result::ok).collect()
    } else {
        return Ok(vec![path.to_owned()]);
    };
    files.sort();
    if files.is_empty() {
        return Err(Error::file(
            path,
            "holds no table\nhint: .csv, .parquet and .arrow are tables",
        ));
    }
    Ok(files)
}

pub(crate) fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| Error::file(path, format!("cannot open the table: {e}")))
}

/// The bytes of a file, decompressed where its name says that it is compressed.
pub(crate) fn decompressed(path: &Path) -> Result<Box<dyn Read + Send>> {
    let file = open(path)?;
    Ok(match Format::of(path)?.1 {
        None => Box::new(file),
        Some(Compression::Gzip) => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Some(Compression::Zstd) => {
            Box::new(zstd::stream::read::Decoder::new(file).map_err(|e| unreadable(path, e))?)
        }
    })
}

/// That a file cannot be read, or decompressed.
pub(crate) fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let what = match Format::of(path).ok().and_then(|(_, compression)| compression) {
        None => return Error::file(path, format!("cannot read the table: {error}")),
        Some(Compression::Gzip) => "gzip",
        Some(Compression::Zstd) => "zstd",
    };
    let problem = format!(
        "is cut off or no {what} archive ({error})\nhint: fetch or pack it again, or correct its ending"
    );
    Error::file(path, problem)
}

/// Whether the files at `path`, and below it where it is a folder, hold at least `limit` bytes, once
/// decompressed.
pub(crate) fn reach(path: &Path, limit: u64) -> Result<bool> {
    let mut left = limit;
    let files = if path.is_dir() { files_below(path)? } else { files(path)? };
    for file in files {
        let failed = |e| Error::file(&file, format!("cannot open the table: {e}"));
        let size = std::fs::metadata(&file).map_err(failed)?.len();
        let size = match Format::of(&file)?.1 {
            Some(_) if size < left => {
                let mut start = decompressed(&file)?.take(left);
                std::io::copy(&mut start, &mut std::io::sink()).map_err(|e| unreadable(&file, e))?
            }
            _ => size,
        };
        left = left.saturating_sub(size);
        if left == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Lets `write` fill a temporary file beside `path` and renames it when it is
/// complete and on disk, so that `path` is never half-written.
///
/// # Errors
/// What `write` reports, and [`Error::File`] when the file cannot be written.
pub fn write_atomically<E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    fill_then_rename(path, |temporary| {
        let failed = |e: std::io::Error| E::from(Error::file(path, format!("cannot write: {e}")));
        let mut file = File::create(temporary).map_err(failed)?;
        write(&mut file)?;
        file.flush().map_err(failed)
    })
}

/// Lets `write` fill the file of a temporary name beside `path` and renames it when it is
/// complete and on disk, so that `path` is never half-written.
///
/// # Errors
/// As [`write_atomically`].
pub fn fill_then_rename<E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&Path) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary: PathBuf = path.with_file_name(name);
    let failed = |e: std::io::Error| E::from(Error::file(path, format!("cannot write: {e}")));
    let result = (|| {
        write(&temporary)?;
        File::open(&temporary).and_then(|file| file.sync_all()).map_err(failed)?;
        std::fs::rename(&temporary, path).map_err(failed)
    })();
    if result.is_err() {
        // The error is reported; what is left of the temporary file may stay.
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// SHA-256 of the tables' files at `path`, and below it where it is a folder, one after the other,
/// in hexadecimal.
///
/// # Errors
/// [`Error::File`] when it cannot be read.
pub fn fingerprint(path: &Path) -> Result<String> {
    let mut digest = Sha256::new();
    let files = if path.is_dir() { files_below(path)? } else { files(path)? };
    for file in files {
        std::io::copy(&mut open(&file)?, &mut HashWriter(&mut digest))
            .map_err(|e| Error::file(&file, format!("cannot read: {e}")))?;
    }
    Ok(hexadecimal(digest))
}

/// SHA-256 of bytes, in hexadecimal.
pub fn fingerprint_of(bytes: &[u8]) -> String {
    hexadecimal(Sha256::new_with_prefix(bytes))
}

fn hexadecimal(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
