//! The rows of a CSV, read strictly: RFC 4180, with any separator and any line ends.

use crate::error::SHOWN;
use crate::files::is_tsv;
use crate::text::{Lines, Text};
use crate::{Error, Result};
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use polars_core::prelude::*;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Bytes of the longest row that is read.
const LONGEST: usize = 64 << 20;
/// Rows that are looked at for the dialect.
const SNIFFED: usize = 1000;

/// Where a cell stands in the text.
#[derive(Clone, Copy)]
struct Cell {
    start: usize,
    end: usize,
    quoted: bool,
    /// Whether it holds quotes, each written twice.
    doubled: bool,
}

impl Cell {
    fn text(self, buffer: &str) -> std::borrow::Cow<'_, str> {
        let text = &buffer[self.start..self.end];
        if self.doubled { text.replace("\"\"", "\"").into() } else { text.into() }
    }
}

/// What a scan comes to.
enum Scan {
    /// A row; where the next begins.
    Row(usize),
    /// The text ends within a row, and there is more text.
    More,
    /// A quote in this cell, after so many line ends, is never closed.
    Open(usize, usize),
    /// Text follows the quote that closes this cell, which opened after so many line ends.
    Beyond(usize, usize),
}

/// Cuts rows into cells.
struct Scanner {
    separator: u8,
    /// The bytes that may end a cell without quotes.
    stops: [bool; 256],
    cells: Vec<Cell>,
    /// Line ends in the row, its own among them.
    lines: Lines,
}

impl Scanner {
    fn new(separator: u8) -> Self {
        let mut stops = [false; 256];
        [separator, b'\n', b'\r'].iter().for_each(|&byte| stops[usize::from(byte)] = true);
        Self { separator, stops, cells: Vec::new(), lines: Lines::default() }
    }

    /// Cuts the row that begins at `at`; `whole` says that no text follows `bytes`.
    fn scan(&mut self, bytes: &[u8], mut at: usize, whole: bool) -> Scan {
        self.cells.clear();
        self.lines = Lines::default();
        loop {
            if bytes.get(at) == Some(&b'"') {
                match self.quoted(bytes, at, whole) {
                    Scan::Row(end) => at = end,
                    other => return other,
                }
            } else {
                let start = at;
                let stop = bytes[at..].iter().position(|&byte| self.stops[usize::from(byte)]);
                at = stop.map_or(bytes.len(), |stop| at + stop);
                self.cells.push(Cell { start, end: at, quoted: false, doubled: false });
            }
            let end = match bytes.get(at) {
                Some(&byte) if byte == self.separator => {
                    at += 1;
                    continue;
                }
                Some(b'\r') if at + 1 == bytes.len() && !whole => return Scan::More,
                Some(b'\r') if bytes.get(at + 1) == Some(&b'\n') => at + 2,
                Some(_) => at + 1,
                None if whole => at,
                None => return Scan::More,
            };
            if end > at {
                self.lines.count(b"\n");
            }
            return Scan::Row(end);
        }
    }

    /// Takes the quoted cell that begins at `open`; where it ends.
    fn quoted(&mut self, bytes: &[u8], open: usize, whole: bool) -> Scan {
        let (start, mut at, mut doubled) = (open + 1, open + 1, false);
        let end = loop {
            let Some(quote) = bytes[at..].iter().position(|&byte| byte == b'"') else {
                let open = Scan::Open(self.cells.len(), self.lines.at(b"") - 1);
                return if whole { open } else { Scan::More };
            };
            let quote = at + quote;
            match bytes.get(quote + 1) {
                Some(b'"') => (doubled, at) = (true, quote + 2),
                None if !whole => return Scan::More,
                _ => break quote,
            }
        };
        let blanks = bytes[end + 1..].iter().take_while(|&&byte| byte == b' ').count();
        let next = end + 1 + blanks;
        if bytes.get(next).is_some_and(|&byte| !self.stops[usize::from(byte)]) {
            return Scan::Beyond(self.cells.len(), self.lines.at(b"") - 1);
        }
        self.lines.count(&bytes[start..end]);
        // A CR within a cell and a line end after it are two.
        self.lines.count(b" ");
        self.cells.push(Cell { start, end, quoted: true, doubled });
        Scan::Row(next)
    }
}

/// How the separator is found.
#[derive(Clone, Copy)]
pub(crate) enum Separator {
    /// This one.
    Given(u8),
    /// That of a `sep=` line; without one the tab in a `.tsv`, and else a comma.
    Usual,
    /// That of a `sep=` line; without one, what the header holds most of.
    Guessed,
}

/// A CSV that is read.
pub(crate) struct Csv {
    path: PathBuf,
    /// Bytes of the file.
    size: u64,
    text: Text,
    /// Text that was read; the rows before `at` are done.
    buffer: String,
    at: usize,
    more: bool,
    /// The line, from 1, that `at` stands in.
    line: usize,
    scanner: Scanner,
    /// The line that the last row began in.
    row_line: usize,
    /// Rows so far, without the empty ones.
    rows: usize,
    empty_rows: usize,
    /// Whether a row counts that has all its cells, if all of them empty.
    keeps_empty_rows: bool,
    pub(crate) header: Vec<String>,
    /// The columns that are wanted.
    wanted: Vec<bool>,
    /// The line end of the header.
    line_end: &'static str,
    /// Whether every cell of the header and of the first rows stands in quotes.
    all_quoted: bool,
}

impl Csv {
    /// Opens a CSV and reads its header. A byte-order mark decides the encoding, else
    /// `encoding`; UTF-8 if none is given.
    pub(crate) fn open(
        path: &Path,
        encoding: Option<&'static Encoding>,
        separator: Separator,
    ) -> Result<Self> {
        let text = Text::open(path, encoding)?;
        let mut csv = Self {
            path: path.to_owned(),
            // Only for a guess.
            size: std::fs::metadata(path).map_or(0, |about| about.len()),
            text,
            buffer: String::new(),
            at: 0,
            more: true,
            line: 1,
            scanner: Scanner::new(b','),
            row_line: 1,
            rows: 0,
            empty_rows: 0,
            keeps_empty_rows: false,
            header: Vec::new(),
            wanted: Vec::new(),
            line_end: "\n",
            all_quoted: true,
        };
        csv.preamble(separator)?;
        csv.read_header()?;
        Ok(csv)
    }

    /// Leaves out the other columns.
    pub(crate) fn want(&mut self, is_wanted: impl Fn(&str) -> bool) {
        self.wanted = self.header.iter().map(|name| is_wanted(name)).collect();
    }

    /// Keeps rows whose cells are all empty, but for lines without anything.
    pub(crate) fn keep_empty_rows(mut self) -> Self {
        self.keeps_empty_rows = true;
        self
    }

    /// More text, in front of which the rows that are done go.
    fn grow(&mut self) -> Result<()> {
        self.buffer.drain(..self.at);
        self.at = 0;
        if self.buffer.len() > LONGEST {
            let problem = format!(
                "the row that begins in line {} is longer than {} MiB\nhint: close its quote, if one opens there",
                self.line,
                LONGEST >> 20
            );
            return Err(Error::file(&self.path, problem));
        }
        // Twice the text at least, so that a long row is not scanned too often.
        let goal = 2 * self.buffer.len();
        while self.more {
            self.more = self.text.fill(&mut self.buffer)?;
            if self.buffer.len() >= goal.max(1) {
                break;
            }
        }
        Ok(())
    }

    /// The end of the line that begins at `from` and the start of the next; only before the
    /// first row is taken.
    fn line_at(&mut self, from: usize) -> Result<Option<(usize, usize)>> {
        loop {
            let bytes = &self.buffer.as_bytes()[from..];
            let length = bytes.iter().position(|&byte| byte == b'\n' || byte == b'\r');
            let end = from + length.unwrap_or(bytes.len());
            match self.buffer.as_bytes()[end..] {
                [b'\r', b'\n', ..] => return Ok(Some((end, end + 2))),
                [b'\r'] if self.more => {}
                [_, ..] => return Ok(Some((end, end + 1))),
                [] if self.more => {}
                [] => return Ok((end > from).then_some((end, end))),
            }
            self.grow()?;
        }
    }

    /// Takes a `sep=` line and comment lines, and sets the separator.
    fn preamble(&mut self, separator: Separator) -> Result<()> {
        let (mut from, mut said) = (0, None);
        if let Some((end, next)) = self.line_at(0)? {
            said = said_separator(&self.buffer[..end]);
            from = if said.is_some() { next } else { 0 };
        }
        let (first, mut comment) = (from, None);
        let header = loop {
            let Some((end, next)) = self.line_at(from)? else { break None };
            let line = &self.buffer[from..end];
            if line.starts_with('#') {
                comment = Some(from);
            } else if !line.trim().is_empty() {
                break Some(end);
            }
            from = next;
        };
        if header.is_none() {
            // Nothing but lines with a #: the first is the header.
            (from, comment) = (first, None);
        }
        let separator = match (separator, said) {
            (Separator::Given(separator), _) | (_, Some(separator)) => separator,
            (Separator::Usual, None) if is_tsv(&self.path) => b'\t',
            (Separator::Usual, None) => b',',
            (Separator::Guessed, None) => {
                let end = self.line_at(from)?.map_or(from, |(end, _)| end);
                guessed_separator(&self.buffer[from..end])
            }
        };
        self.scanner = Scanner::new(separator);
        if let Some(comment) = comment
            && self.is_header(comment, from)?
        {
            from = comment;
        }
        self.line = Lines::default().at(&self.buffer.as_bytes()[..from]);
        self.at = from;
        Ok(())
    }

    /// Whether the line at `comment`, which begins with a #, is the header of the rows from
    /// `from` on: it has as many cells, and no header of words stands below it.
    fn is_header(&mut self, comment: usize, from: usize) -> Result<bool> {
        let (names, next) = self.peek(comment)?;
        let (below, next) = if next > from { (Vec::new(), next) } else { self.peek(from)? };
        let (after, _) = self.peek(next)?;
        let numbers = |cells: &[String]| {
            cells.iter().any(|cell| cell.trim().replace(',', ".").parse::<f64>().is_ok())
        };
        let is_named_below = !numbers(&below) && numbers(&after);
        Ok(names.len() > 1 && names.len() == below.len() && !is_named_below)
    }

    /// The cells of the line at `from`, none if a cell goes on beyond it, and the start of
    /// the next line.
    fn peek(&mut self, from: usize) -> Result<(Vec<String>, usize)> {
        let Some((end, next)) = self.line_at(from)? else { return Ok((Vec::new(), from)) };
        let line = &self.buffer[from..end];
        let cells = match self.scanner.scan(line.as_bytes(), 0, true) {
            Scan::Row(_) => self.scanner.cells.iter().map(|c| c.text(line).into_owned()).collect(),
            _ => Vec::new(),
        };
        Ok((cells, next))
    }

    fn read_header(&mut self) -> Result<()> {
        if !self.next_row()? {
            let problem = "is empty\nhint: a CSV needs a header line and rows";
            return Err(Error::file(&self.path, problem));
        }
        self.rows = 0;
        self.line_end = line_end_before(&self.buffer.as_bytes()[..self.at]);
        let cells = self.scanner.cells.iter();
        self.header = cells.map(|cell| cell.text(&self.buffer).into_owned()).collect();
        let mut names = HashSet::new();
        if let Some(twice) = self.header.iter().find(|name| !names.insert(name.trim())) {
            let problem = "the header names it twice\nhint: rename one";
            return Err(Error::column(self.path.display(), twice.trim(), problem));
        }
        self.wanted = vec![true; self.header.len()];
        Ok(())
    }

    /// Cuts the next row that is not empty into the scanner's cells; whether there is one.
    fn next_row(&mut self) -> Result<bool> {
        loop {
            if self.at == self.buffer.len() && !self.more {
                return Ok(false);
            }
            match self.scanner.scan(self.buffer.as_bytes(), self.at, !self.more) {
                Scan::Row(next) => {
                    self.at = next;
                    self.row_line = self.line;
                    self.line += self.scanner.lines.at(b"") - 1;
                    if !self.is_empty_row() {
                        self.rows += 1;
                        if self.all_quoted && self.rows <= SNIFFED {
                            self.all_quoted = self.scanner.cells.iter().all(|cell| cell.quoted);
                        }
                        return Ok(true);
                    }
                    self.empty_rows += 1;
                }
                Scan::More => self.grow()?,
                Scan::Open(cell, lines) => {
                    return Err(self.stray(cell, lines, "and is never closed"));
                }
                Scan::Beyond(cell, lines) => {
                    return Err(self.stray(cell, lines, "and text follows where it closes"));
                }
            }
        }
    }

    fn is_empty_row(&self) -> bool {
        let (bytes, count) = (self.buffer.as_bytes(), self.scanner.cells.len());
        if self.keeps_empty_rows && count > 1 && count == self.header.len() {
            return false;
        }
        self.scanner.cells.iter().all(|c| bytes[c.start..c.end].trim_ascii().is_empty())
    }

    fn stray(&self, cell: usize, lines: usize, what: &str) -> Error {
        let problem = format!(
            "a quote opens in line {} {what}\nhint: close it, or write it twice where it belongs to the text",
            self.line + lines
        );
        match self.header.get(cell) {
            Some(name) => Error::column(self.path.display(), name.trim(), problem),
            None => Error::file(&self.path, problem),
        }
    }

    /// The next rows, `most` at most, as columns of texts with nulls for empty cells; `None`
    /// after the last.
    pub(crate) fn batch(&mut self, most: usize) -> Result<Option<DataFrame>> {
        let capacity = self.expected_rows().min(most);
        let columns = self.header.iter().zip(&self.wanted);
        let mut columns: Vec<Option<StringChunkedBuilder>> = columns
            .map(|(name, wanted)| {
                wanted.then(|| StringChunkedBuilder::new(name.as_str().into(), capacity))
            })
            .collect();
        let (mut rows, mut problems, mut more_problems) = (0, Vec::new(), 0);
        while rows < most && self.next_row()? {
            let cells = &self.scanner.cells;
            rows += 1;
            if cells.len() != columns.len() {
                if problems.len() < SHOWN {
                    problems.push(self.wrong_length());
                } else {
                    more_problems += 1;
                }
                continue;
            }
            for (column, cell) in columns.iter_mut().zip(cells) {
                match column {
                    None => {}
                    Some(column) if cell.start == cell.end => column.append_null(),
                    Some(column) if cell.doubled => column.append_value(cell.text(&self.buffer)),
                    Some(column) => column.append_value(&self.buffer[cell.start..cell.end]),
                }
            }
        }
        Error::of(problems, more_problems)?;
        if rows < most && self.empty_rows > 0 {
            let (path, rows) = (self.path.display(), self.empty_rows);
            tracing::info!(%path, rows, "left out rows without any filled cell");
            self.empty_rows = 0;
        }
        if rows == 0 {
            return Ok(None);
        }
        let columns = columns.into_iter().flatten();
        let columns = columns.map(|column| column.finish().into_series().into_column());
        Ok(Some(DataFrame::new(rows, columns.collect())?))
    }

    /// About the rows that the file holds, by the lines of the text that is there.
    fn expected_rows(&self) -> usize {
        let lines = self.buffer.bytes().filter(|&byte| byte == b'\n').count();
        let share = (lines + 1) as f64 / (self.buffer.len() + 1) as f64;
        // No more than it has room for.
        let most = self.size as f64 / self.header.len() as f64;
        (1.02 * share * self.size as f64).min(most) as usize
    }

    fn wrong_length(&self) -> Error {
        let line = if self.row_line == self.rows + 1 {
            String::new()
        } else {
            format!(" (line {})", self.row_line)
        };
        let hint = match self.header.as_slice() {
            [only] if let Some(other) = other_separator(only, self.scanner.separator) => other,
            _ => {
                let separator = char::from(self.scanner.separator);
                format!("correct it (quote cells that hold a `{separator}`)")
            }
        };
        let problem = format!(
            "row {}{line} has {} cells, the header has {}\nhint: {hint}",
            self.rows,
            self.scanner.cells.len(),
            self.header.len(),
        );
        Error::file(&self.path, problem)
    }
}

/// The separator of a line as `sep=;`.
fn said_separator(line: &str) -> Option<u8> {
    match line.as_bytes() {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', separator]
            if separator.is_ascii() && *separator != b'"' =>
        {
            Some(*separator)
        }
        _ => None,
    }
}

/// The separator that the header line holds most of; a comma if it holds none.
fn guessed_separator(header: &str) -> u8 {
    let count = |separator: &u8| {
        let mut quoted = false;
        let outside = header.bytes().filter(|byte| {
            quoted ^= *byte == b'"';
            !quoted && byte == separator
        });
        outside.count()
    };
    let candidates = [b'|', b'\t', b';', b','];
    candidates.into_iter().max_by_key(count).unwrap_or(b',')
}

/// What to do about a header that is one cell, and holds what separates cells elsewhere.
pub(crate) fn other_separator(header: &str, separator: u8) -> Option<String> {
    let held = [';', ',', '\t', '|']
        .into_iter()
        .find(|&c| header.contains(c) && c != char::from(separator))?;
    let quoted = toml::Value::String(held.into()).to_string();
    Some(format!(
        "the header holds `{}`: set separator = {quoted} in the schema",
        held.escape_default()
    ))
}

/// How a CSV is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sniffed {
    /// `None` for UTF-8; windows-1252 where neither a mark nor the bytes say otherwise.
    pub(crate) encoding: Option<&'static Encoding>,
    /// Whether it begins with a byte-order mark.
    pub(crate) had_mark: bool,
    pub(crate) separator: u8,
    /// The line end of the header.
    pub(crate) line_end: &'static str,
    /// Whether every cell of the first rows stands in quotes.
    pub(crate) all_quoted: bool,
}

/// Reads a whole CSV in whatever dialect it is written, and says which.
pub(crate) fn read_any(path: &Path) -> Result<(Option<DataFrame>, Sniffed)> {
    let read = |encoding| {
        let mut csv = Csv::open(path, encoding, Separator::Guessed)?;
        let table = csv.batch(usize::MAX)?;
        Ok((table, csv.dialect()))
    };
    // Most are UTF-8, or have a mark, so that they need not be read before.
    read(None).or_else(|problem| match other_encoding(path)? {
        None => Err(problem),
        other => read(other),
    })
}

/// The dialect of a CSV, of which no more than the first rows are read where it is in this
/// encoding.
pub(crate) fn sniff(path: &Path, encoding: Option<&'static Encoding>) -> Result<Sniffed> {
    let mut csv = Csv::open(path, encoding, Separator::Guessed)?;
    while csv.all_quoted && csv.rows < SNIFFED && csv.next_row()? {}
    Ok(csv.dialect())
}

impl Csv {
    /// How it is written, as far as it was read.
    fn dialect(&self) -> Sniffed {
        let encoding = Some(self.text.encoding).filter(|encoding| *encoding != UTF_8);
        let (had_mark, separator) = (self.text.has_mark, self.scanner.separator);
        let (line_end, all_quoted) = (self.line_end, self.all_quoted);
        Sniffed { encoding, had_mark, separator, line_end, all_quoted }
    }
}

fn line_end_before(bytes: &[u8]) -> &'static str {
    match bytes {
        [.., b'\r', b'\n'] => "\r\n",
        [.., b'\r'] => "\r",
        _ => "\n",
    }
}

/// The encoding that is to be given where it is not UTF-8 and no mark says so.
pub(crate) fn other_encoding(path: &Path) -> Result<Option<&'static Encoding>> {
    let read_all = |encoding| {
        let mut text = Text::open(path, encoding)?;
        let mut block = String::new();
        while text.fill(&mut block)? {
            block.clear();
        }
        Ok::<_, Error>(())
    };
    if read_all(None).is_ok() {
        return Ok(None);
    }
    // Any bytes are windows-1252; a NUL is refused again.
    let encoding = Text::open(path, None)?.looks_like().unwrap_or(WINDOWS_1252);
    read_all(Some(encoding))?;
    Ok(Some(encoding))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Header and rows, cells joined by "|" and empty ones as "·", or the message.
    fn read(name: &str, bytes: &[u8], separator: Separator) -> std::result::Result<String, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("writes");
        let whole = cells(&path, separator, usize::MAX);
        for rows in [1, 2, 3] {
            assert_eq!(cells(&path, separator, rows), whole, "by {rows} rows");
        }
        whole
    }

    fn cells(
        path: &Path,
        separator: Separator,
        rows: usize,
    ) -> std::result::Result<String, String> {
        let shown = |e: Error| e.to_string().replace(&path.display().to_string(), "T");
        let mut csv = Csv::open(path, None, separator).map_err(shown)?;
        let mut lines = vec![csv.header.join("|")];
        while let Some(batch) = csv.batch(rows).map_err(shown)? {
            let columns: Vec<_> = batch.columns().iter().map(|c| c.str().expect("texts")).collect();
            for row in 0..batch.height() {
                let cells: Vec<_> = columns.iter().map(|c| c.get(row).unwrap_or("·")).collect();
                lines.push(cells.join("|"));
            }
        }
        Ok(lines.join("/"))
    }

    #[test]
    fn every_shape_of_text_is_read_or_named() {
        let cases: [(&str, &str); 34] = [
            ("a,b\n1,2\n3,4\n", "a|b/1|2/3|4"),
            ("a,b\n1,2\n3,4", "a|b/1|2/3|4"),
            ("a,b\r\n1,2\r\n", "a|b/1|2"),
            ("a,b\r1,2\r3,4", "a|b/1|2/3|4"),
            ("a,b\r1,2\n3,4\r\n5,6\n\r7,8", "a|b/1|2/3|4/5|6/7|8"),
            ("a,b\n1,\n,2\n", "a|b/1|·/·|2"),
            ("a,b\n1,2\n\n,\n \t, \n\"\",\n3,4\n,,,,\n", "a|b/1|2/3|4"),
            ("\n \n,\na,b\n1,2", "a|b/1|2"),
            ("a,b\n\"1,\n2\",\"x \"\"y\"\"\"\n", "a|b/1,\n2|x \"y\""),
            ("\"say \"\"x\"\"\",b\n1,2", "say \"x\"|b/1|2"),
            ("a,b\n5'11\",\"\"\n", "a|b/5'11\"|·"),
            ("a,b\n\"x\" ,2\n", "a|b/x|2"),
            ("a, b \n1, 2 ", "a| b /1| 2 "),
            ("a,,c\n1,2,3", "a||c/1|2|3"),
            ("\u{feff}a,b\n1,2", "a|b/1|2"),
            ("sep=;\na;b\n1,5;2", "a|b/1,5|2"),
            ("SEP=|\r\na|b\r\n1|2", "a|b/1|2"),
            ("# from ward 7\n#\n\na,b\n1,2\n#3,4", "a|b/1|2/#3|4"),
            ("sep=;\n# from ward 7; 2024\n\"a\";b;c\n1;2;3", "a|b|c/1|2|3"),
            ("#a,b\n1,2", "#a|b/1|2"),
            ("# note\n#a,b\n1,2", "#a|b/1|2"),
            ("#a,b\nx,y\nz,w", "#a|b/x|y/z|w"),
            ("# exported 2024, ward 7\na,b\n1,2", "a|b/1|2"),
            ("#a,b\n#1,2\n#3,4", "#a|b/#1|2/#3|4"),
            ("a\n1\n2", "a/1/2"),
            ("", "T: is empty\nhint: a CSV needs a header line and rows"),
            ("\n \r\n", "T: is empty\nhint: a CSV needs a header line and rows"),
            ("a, a\n1,2", "T, column `a`: the header names it twice\nhint: rename one"),
            (
                "a,b\n1,2\n3,4,5\n",
                "T: row 2 has 3 cells, the header has 2\nhint: correct it (quote cells that hold a `,`)",
            ),
            (
                "# x\na,b\n\n\"1\n\",2\n3\n",
                "T: row 2 (line 6) has 1 cells, the header has 2\nhint: correct it (quote cells that hold a `,`)",
            ),
            (
                "a,b\r\"1\r\n1\",\"2\n3,4\n",
                "T, column `b`: a quote opens in line 3 and is never closed\nhint: close it, or write it twice where it belongs to the text",
            ),
            (
                "a,b\n1,\"2\n3,4\n5,\"6\n",
                "T, column `b`: a quote opens in line 2 and text follows where it closes\nhint: close it, or write it twice where it belongs to the text",
            ),
            (
                "\"a,b\n1,2\n",
                "T: a quote opens in line 1 and is never closed\nhint: close it, or write it twice where it belongs to the text",
            ),
            ("a,b\n1,2\n\0,3", "T: is no CSV: line 3 holds a NUL byte"),
        ];
        for (text, right) in cases {
            // What is wrong in a later batch is said after the batches before it.
            let got = read("t.csv", text.as_bytes(), Separator::Usual);
            assert_eq!(got.unwrap_or_else(|e| e), right, "{text:?}");
        }
    }

    #[test]
    fn the_name_and_the_header_say_the_separator() {
        let of = |name, text: &str, s| read(name, text.as_bytes(), s).expect("reads");
        assert_eq!(of("t.tsv", "a\tb\n1\t2", Separator::Usual), "a|b/1|2");
        assert_eq!(of("t.txt", "a,b\n1,2", Separator::Usual), "a|b/1|2");
        assert_eq!(of("t.csv", "a;b\n1,5;2", Separator::Guessed), "a|b/1,5|2");
        assert_eq!(of("t.csv", "\"a,,c\";b\n1;2", Separator::Guessed), "a,,c|b/1|2");
        assert_eq!(of("t.csv", "sep=,\na;b\n1;2", Separator::Given(b';')), "a|b/1|2");
    }

    fn utf16(text: &str, mark: bool) -> Vec<u8> {
        let mark = mark.then_some(0xFEFF).into_iter();
        mark.chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn marks_and_labels_say_the_encoding() {
        let read = |bytes: &[u8]| read("t.csv", bytes, Separator::Usual).unwrap_or_else(|e| e);
        assert_eq!(read(&utf16("é,b\r\n1,2", true)), "é|b/1|2");
        let big: Vec<u8> = utf16("é,b\n1,𝄞", true).chunks(2).flat_map(|u| [u[1], u[0]]).collect();
        assert_eq!(read(&big), "é|b/1|𝄞");
        let problem = read(&utf16("a,b\n1,2", false));
        assert!(problem.ends_with("if it is UTF-16LE, set encoding = \"utf-16le\" in the schema"));
        let mut odd = utf16("a,b\n1,2", true);
        odd.push(b'x');
        assert_eq!(
            read(&odd),
            "T: line 2 is not UTF-16LE\nhint: correct `encoding` in the schema, or the file"
        );
        let problem = read(b"a,b\n1,2\n3,\xff\n");
        assert!(problem.starts_with("T: line 3 is not UTF-8\nhint: save"), "{problem}");
        let problem = read(&[0x1f, 0x8b, 8, 0, 0]);
        assert_eq!(problem, "T: is no text but a gzip archive\nhint: name it .csv.gz");
    }

    #[test]
    fn archives_are_read_and_broken_ones_named() {
        let text: String = (0..20_000).map(|n| format!("{n},é{n}\n")).collect();
        let text = format!("a,b\n{text}");
        let whole = read("t.csv", text.as_bytes(), Separator::Usual);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, text.as_bytes()).expect("packs");
        let gzip = gzip.finish().expect("packs");
        let zstd = zstd::encode_all(text.as_bytes(), 1).expect("packs");
        for (name, bytes) in [("t.csv.gz", &gzip), ("T.CSV.ZST", &zstd)] {
            assert!(read(name, bytes, Separator::Usual) == whole, "{name}");
            for broken in [&bytes[..bytes.len() / 2], text.as_bytes()] {
                let problem = read(name, broken, Separator::Usual).expect_err("refused");
                assert!(problem.starts_with("T: is cut off or no "), "{name}: {problem}");
            }
        }
    }

    #[test]
    fn a_dialect_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.csv");
        let sniffed = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("writes");
            let encoding = other_encoding(&path).expect("reads");
            let s = sniff(&path, encoding).expect("sniffs");
            assert_eq!(read_any(&path).expect("reads").1, s);
            let encoding = s.encoding.map_or("-", Encoding::name);
            (encoding, s.had_mark, char::from(s.separator), s.line_end, s.all_quoted)
        };
        assert_eq!(sniffed(b"a,b\n1,2"), ("-", false, ',', "\n", false));
        assert_eq!(sniffed(b"\xef\xbb\xbfa;b\r\n1;2"), ("-", true, ';', "\r\n", false));
        assert_eq!(sniffed(b"a\tb\r1\t\xe9"), ("windows-1252", false, '\t', "\r", false));
        assert_eq!(sniffed(b"\"a\"|\"b\"\n\"1\"|\"\""), ("-", false, '|', "\n", true));
        assert_eq!(sniffed(b"\"a\"|\"b\"\n\"1\"|2"), ("-", false, '|', "\n", false));
        assert_eq!(sniffed(b"sep=;\n#note\na;b,c,d\n1;2"), ("-", false, ';', "\n", false));
        assert_eq!(sniffed(&utf16("a;b\r\n1;2", true)), ("UTF-16LE", true, ';', "\r\n", false));
        assert_eq!(sniffed(&utf16("a;b\r\n1;2", false)), ("UTF-16LE", false, ';', "\r\n", false));
    }

    #[test]
    #[ignore = "a measurement"]
    fn speed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.csv");
        let rows = 0..1_500_000;
        let text: String = rows.map(|n| format!("{n},{},82,37.2,m,\"{n}\"\n", n % 97)).collect();
        std::fs::write(&path, format!("patient,hour,hr,temp,sex,age\n{text}")).expect("writes");
        let spent = || -> f64 {
            // Nanoseconds of this thread on a processor.
            let spent = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
            spent.split(' ').next().and_then(|x| x.parse().ok()).expect("a number")
        };
        let rate = |start: f64| text.len() as f64 / 1e6 / ((spent() - start) / 1e9);
        let start = spent();
        let mut csv = Csv::open(&path, None, Separator::Usual).expect("reads");
        while csv.next_row().expect("a row") {}
        eprintln!("{:.0} MB/s to cut", rate(start));
        let start = spent();
        let table = Csv::open(&path, None, Separator::Usual).and_then(|mut c| c.batch(usize::MAX));
        eprintln!("{:.0} MB/s to read", rate(start));
        assert_eq!(table.expect("reads").expect("rows").height(), 1_500_000);
    }
}
