//! The text of a file as UTF-8, block by block, whatever its encoding and compression.

use crate::files::{decompressed, unreadable};
use crate::{Error, Result};
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes that are read at once.
const BLOCK: usize = 1 << 18;

/// A text that is read.
pub(crate) struct Text {
    path: PathBuf,
    source: Box<dyn Read + Send>,
    /// The encoding that the file's mark, or else the caller, names.
    pub(crate) encoding: &'static Encoding,
    /// Whether the file begins with a byte-order mark.
    pub(crate) has_mark: bool,
    decoder: Decoder,
    /// Bytes that wait to be decoded.
    raw: Vec<u8>,
    ended: bool,
    /// The first bytes of the file.
    start: Vec<u8>,
    /// Those of the text so far.
    lines: Lines,
}

impl Text {
    /// Opens a file. A byte-order mark decides its encoding, else `encoding`; UTF-8 if none
    /// is given.
    pub(crate) fn open(path: &Path, encoding: Option<&'static Encoding>) -> Result<Self> {
        let mut source = decompressed(path)?;
        let mut raw = Vec::new();
        let ended = read_block(&mut source, &mut raw).map_err(|e| unreadable(path, e))?;
        let start = raw[..raw.len().min(4)].to_vec();
        let mark = Encoding::for_bom(&raw);
        raw.drain(..mark.map_or(0, |(_, length)| length));
        let encoding = mark.map(|(encoding, _)| encoding).or(encoding).unwrap_or(UTF_8);
        Ok(Self {
            path: path.to_owned(),
            source,
            encoding,
            has_mark: mark.is_some(),
            decoder: encoding.new_decoder_without_bom_handling(),
            raw,
            ended,
            start,
            lines: Lines::default(),
        })
    }

    /// UTF-16, where a file without a byte-order mark looks like it.
    pub(crate) fn looks_like(&self) -> Option<&'static Encoding> {
        if self.has_mark { None } else { unmarked_utf16(&self.start) }
    }

    /// Appends the next block to `text`; whether there may be more. Not to be called after
    /// it said that there is none.
    pub(crate) fn fill(&mut self, text: &mut String) -> Result<bool> {
        if self.raw.is_empty() && !self.ended {
            self.ended = read_block(&mut self.source, &mut self.raw)
                .map_err(|e| unreadable(&self.path, e))?;
        }
        let from = text.len();
        if self.encoding == UTF_8 { self.append_utf8(text) } else { self.decode(text) }?;
        let new = &text.as_bytes()[from..];
        // `contains` is faster than `position`.
        if new.contains(&0) {
            let at = new.iter().position(|&byte| byte == 0).unwrap_or(0);
            return Err(self.holds_nul(&new[..at]));
        }
        self.lines.count(new);
        Ok(!self.ended || !self.raw.is_empty())
    }

    fn append_utf8(&mut self, text: &mut String) -> Result<()> {
        match std::str::from_utf8(&self.raw) {
            Ok(valid) => {
                text.push_str(valid);
                self.raw.clear();
            }
            Err(error) => {
                let (valid, rest) = self.raw.split_at(error.valid_up_to());
                // Looked for here too, since a file with NULs is no text at all.
                if let Some(at) = self.raw.iter().position(|&byte| byte == 0) {
                    return Err(self.holds_nul(&self.raw[..at]));
                }
                if error.error_len().is_some() || self.ended {
                    return Err(self.is_not_utf8(valid));
                }
                text.push_str(std::str::from_utf8(valid).unwrap_or_default());
                let mut rest = rest.to_vec();
                self.ended = read_block(&mut self.source, &mut rest)
                    .map_err(|e| unreadable(&self.path, e))?;
                self.raw = rest;
            }
        }
        Ok(())
    }

    fn decode(&mut self, text: &mut String) -> Result<()> {
        let room = self.decoder.max_utf8_buffer_length_without_replacement(self.raw.len());
        text.reserve(room.unwrap_or(4 * BLOCK));
        let from = text.len();
        let (result, read) =
            self.decoder.decode_to_string_without_replacement(&self.raw, text, self.ended);
        if let DecoderResult::Malformed(..) = result {
            let line = self.lines.at(&text.as_bytes()[from..]);
            let problem = format!(
                "line {line} is not {}\nhint: correct `encoding` in the schema, or the file",
                self.encoding.name()
            );
            return Err(Error::file(&self.path, problem));
        }
        self.raw.drain(..read);
        Ok(())
    }

    fn is_not_utf8(&self, before: &[u8]) -> Error {
        let line = self.lines.at(before);
        let problem = match looks_compressed(&self.start) {
            Some(compression) => format!("is no text but {compression}"),
            None => format!(
                "line {line} is not UTF-8\nhint: save the file as UTF-8, or set encoding = \"windows-1252\" in the schema"
            ),
        };
        Error::file(&self.path, problem)
    }

    fn holds_nul(&self, before: &[u8]) -> Error {
        let mut problem = format!("is no CSV: line {} holds a NUL byte", self.lines.at(before));
        if let Some(compression) = looks_compressed(&self.start) {
            problem = format!("is no text but {compression}");
        } else if let Some(encoding) = unmarked_utf16(&self.start) {
            let label = encoding.name().to_lowercase();
            problem += &format!(
                "\nhint: if it is {}, set encoding = \"{label}\" in the schema",
                encoding.name()
            );
        }
        Error::file(&self.path, problem)
    }
}

/// Reads until `raw` has grown by a block; whether the source has ended.
fn read_block(source: &mut dyn Read, raw: &mut Vec<u8>) -> std::io::Result<bool> {
    let read = source.take(BLOCK as u64).read_to_end(raw)?;
    Ok(read < BLOCK)
}

/// What an archive is that its name does not give away, and what to do.
fn looks_compressed(start: &[u8]) -> Option<&'static str> {
    match start {
        [0x1f, 0x8b, ..] => Some("a gzip archive\nhint: name it .csv.gz"),
        [0x28, 0xb5, 0x2f, 0xfd] => Some("a zstd archive\nhint: name it .csv.zst"),
        b"PK\x03\x04" => Some("a zip archive or a spreadsheet\nhint: save it as CSV"),
        _ => None,
    }
}

/// UTF-16 without a byte-order mark, as it looks where the text begins with ASCII.
fn unmarked_utf16(start: &[u8]) -> Option<&'static Encoding> {
    match *start {
        [a, 0, b, 0] if a != 0 && b != 0 => Some(UTF_16LE),
        [0, a, 0, b] if a != 0 && b != 0 => Some(UTF_16BE),
        _ => None,
    }
}

/// Counts lines that end in LF, CRLF or CR.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lines {
    ends: usize,
    /// Whether the last byte was a CR, whose LF may follow.
    after_cr: bool,
}

impl Lines {
    pub(crate) fn count(&mut self, bytes: &[u8]) {
        if !self.after_cr && !bytes.contains(&b'\r') {
            self.ends += bytes.iter().filter(|&&byte| byte == b'\n').count();
            return;
        }
        let mut last = if self.after_cr { b'\r' } else { 0 };
        for &byte in bytes {
            let ends = byte == b'\r' || (byte == b'\n' && last != b'\r');
            self.ends += usize::from(ends);
            last = byte;
        }
        self.after_cr = last == b'\r';
    }

    /// The line, from 1, that follows these bytes.
    pub(crate) fn at(mut self, before: &[u8]) -> usize {
        self.count(before);
        self.ends + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_lf_crlf_and_cr_also_across_blocks() {
        let mut lines = Lines::default();
        ["a\r", "\nb\n", "\n", "c\r\r", "d"].iter().for_each(|part| lines.count(part.as_bytes()));
        assert_eq!(lines.at(b""), 6);
    }
}
