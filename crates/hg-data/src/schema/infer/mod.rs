//! Proposes a schema for a table.

mod cells;
mod describe;
mod groups;
mod long;
mod numbers;
mod roles;
mod rules;
mod set;
mod shape;
mod step;
mod time;
mod words;

use crate::clock::TimeKind;
use crate::csv::{Sniffed, other_encoding, sniff};
use crate::table::read_any_table;
use crate::{Error, Result, Schema, Table};
use cells::Cells;
use describe::{Context, Entry, describe};
use groups::{Groups, without_copies};
use roles::Roles;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use step::Step;
use time::Clock;
use words::{counted, quoted, shown, unit_of};

/// From this share of rows at equal times on, numbers are averaged.
const OFTEN_EQUAL: f64 = 0.05;

/// A proposed schema.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The schema in TOML, with comments that say why.
    pub toml: String,
    /// What a reader should know: how patient and time were chosen, and what is left out.
    pub remarks: Vec<String>,
    /// What a reader should look at: cells that are probably slips, numbers that seem to
    /// mean "missing", a grid that merges or invents many rows.
    pub warnings: Vec<String>,
}

impl Proposal {
    /// The schema that is proposed.
    ///
    /// # Errors
    /// [`Error::Schema`] where the proposal contradicts itself, which no table should lead to.
    pub fn schema(&self) -> Result<Schema> {
        Schema::parse(&self.toml, Path::new("proposed schema"))
    }
}

/// A proposal for the table at `path`, read as [`Schema::read`] does, or for the tables of a folder
/// that differ; `patient` and `time` name columns where the guess is wrong.
///
/// # Errors
/// When the table cannot be read, no column can be the patient or the time, times are written
/// in several ways, or the table has one row a measurement.
pub fn infer(path: &Path, patient: Option<&str>, time: Option<&str>) -> Result<Proposal> {
    if let Some(tables) = set::tables(path)? {
        return set::propose(path, &tables, patient, time);
    }
    let (frame, dialect) = read_any_table(path)?;
    propose(&Table::of_file(frame, path), dialect, patient, time)
}

/// A proposal for a table in memory, the types of whose columns are respected; `patient` and
/// `time` name columns where the guess is wrong.
///
/// # Errors
/// When no column can be the patient or the time, times are written in several ways, or the
/// table has one row a measurement.
pub fn infer_table(table: &Table, patient: Option<&str>, time: Option<&str>) -> Result<Proposal> {
    // How a CSV is written goes into its schema; the file may be gone by now.
    let csv = table.csv.as_deref();
    let dialect = csv.and_then(|csv| sniff(csv, other_encoding(csv).ok()?).ok());
    propose(table, dialect, patient, time)
}

impl Schema {
    /// A proposal for a table in memory (a [`Table`] or a `&DataFrame`), the types of whose
    /// columns are respected: texts are levels, not numbers. [`infer_table`] also takes the names of patient and time, and
    /// [`infer`] a file.
    ///
    /// ```
    /// use hg_data::{Schema, Table};
    /// use polars_core::df;
    ///
    /// let frame = df!(
    ///     "patient" => ["a", "a", "b", "b"], "day" => [0, 1, 0, 1], "crp" => [2.5, 3.5, 1.0, 0.5],
    /// )?;
    /// let proposal = Schema::infer(&frame)?;
    /// let schema = proposal.schema()?;
    /// assert_eq!(schema.patient.column, "patient");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When no column can be the patient or the time, times are written in several ways, or the
    /// table has one row a measurement.
    pub fn infer(table: impl Into<Table>) -> Result<Proposal> {
        infer_table(&table.into(), None, None)
    }
}

/// A proposal for a table, whose file is written in `dialect` where it is a CSV.
fn propose(
    table: &Table,
    dialect: Option<Sniffed>,
    patient: Option<&str>,
    time: Option<&str>,
) -> Result<Proposal> {
    let columns = Cells::all(&table.frame, table.is_untyped())?;
    let separated = dialect.is_some_and(|dialect| dialect.separator != b',');
    let decimal = numbers::decimal_sign(&columns, separated);
    let keep = without_copies(&columns);
    let roles = roles::choose(&table.name, &columns, &keep, decimal, patient, time)?;
    let groups = Groups::new(&columns[roles.patient], &keep);
    let long = long::long_table(&columns, roles.patient, roles.time, &groups, decimal);
    // Who names both columns knows better.
    let insists = patient.is_some() && time.is_some();
    if let Some(long) = long.as_ref().filter(|_| !insists) {
        return Err(Error::table(&table.name, long.message.as_str()));
    }
    let times = groups.times(&roles.clock);
    let step = step::propose(&roles.clock, &times, &columns[roles.time].name);
    let facts = TableFacts {
        table,
        dialect,
        columns: &columns,
        decimal,
        roles: &roles,
        groups: &groups,
        step: &step,
        copies: keep.iter().filter(|keeps| !**keeps).count(),
        equal: rows_at_equal_times(&times),
        starts_elsewhere: times.iter().any(|times| times.first().is_some_and(|time| *time != 0.)),
    };
    let mut proposal = facts.proposal();
    if !proposal.toml.contains("\n[[columns]]\n") {
        let problem = format!(
            "no column is left to model beside patient `{}` and time `{}`\nhint: name others with --patient and --time, or turn a column that was left out into numbers or texts: {}",
            shown(&columns[roles.patient].name),
            shown(&columns[roles.time].name),
            reasons(&proposal.toml)
        );
        return Err(Error::table(&table.name, problem));
    }
    proposal.warnings.extend(long.map(|long| long.message));
    rules::propose(&mut proposal, table);
    Ok(proposal)
}

/// Rows whose patient has another row at the same time.
fn rows_at_equal_times(times: &[Vec<f64>]) -> usize {
    let equal = |times: &Vec<f64>| times.windows(2).filter(|pair| pair[0] == pair[1]).count();
    times.iter().map(equal).sum()
}

/// All that the proposal is written from.
struct TableFacts<'a> {
    table: &'a Table,
    dialect: Option<Sniffed>,
    columns: &'a [Cells],
    decimal: char,
    roles: &'a Roles,
    groups: &'a Groups,
    step: &'a Step,
    /// Rows that are exact copies of one before.
    copies: usize,
    /// Rows at the time of another.
    equal: usize,
    /// Whether some patient's first time is not 0.
    starts_elsewhere: bool,
}

/// Writes what is unusual about how a CSV is written.
fn write_dialect(toml: &mut String, dialect: Sniffed) {
    if let Some(encoding) = dialect.encoding {
        let name = quoted(&encoding.name().to_lowercase());
        let why = match dialect.had_mark {
            true => "by the file's mark",
            false => "guess: the file is not UTF-8",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(toml, "encoding = {name} # {why}");
    }
    if dialect.separator != b',' {
        let separator = quoted(&char::from(dialect.separator).to_string());
        let _ = writeln!(toml, "separator = {separator}");
    }
}

/// Writes the texts that mean "missing" in some columns.
fn write_missing<'c>(toml: &mut String, columns: impl Iterator<Item = &'c Cells>) {
    let missing: BTreeSet<&str> = columns.flat_map(|cells| cells.missing.iter().copied()).collect();
    if !missing.is_empty() {
        let missing: Vec<String> = missing.into_iter().map(quoted).collect();
        let _ = writeln!(toml, "missing = [{}]", missing.join(", "));
    }
}

/// Writes what the column of times, which is called so, holds.
fn write_clock(toml: &mut String, name: &str, clock: &Clock) {
    let _ = write!(toml, "\n[time]\ncolumn = {}\n", quoted(name));
    if clock.kind == TimeKind::Numbers
        && let Some(unit) = unit_of(name)
    {
        let _ = writeln!(toml, "unit = {}", quoted(unit));
    }
    if let Some(format) = &clock.format {
        let first = if format.starts_with("%d") { "day" } else { "month" };
        let doubt = format!(" # guess: the {first} comes first");
        let doubt = if clock.doubt { doubt.as_str() } else { "" };
        let _ = writeln!(toml, "format = {}{doubt}", quoted(format));
    }
}

/// Writes what a step is.
fn write_step(toml: &mut String, step: &Step) {
    let _ = match &step.width {
        Some(width) => writeln!(toml, "step = {width} # {}", step.why),
        None => writeln!(toml, "model = \"visits\" # {}", step.why),
    };
}

/// Writes where synthetic times begin.
fn write_start(toml: &mut String, clock: &Clock, step: &Step, starts_elsewhere: bool) {
    if clock.kind == TimeKind::Dates {
        let _ = writeln!(toml, "# Synthetic dates start at 1 January 2000.");
    } else if starts_elsewhere && step.width.is_some() {
        let why = "as patients' first times are not all 0";
        let _ = writeln!(toml, "start = \"modelled\" # {why}");
    }
}

/// Writes where patients of very many steps are cut.
fn write_length(toml: &mut String, step: &Step) {
    let longest = if step.width.is_some() { step::LONGEST } else { step::LONGEST_OF_VISITS };
    if step.longest > longest as f64 {
        let _ = writeln!(
            toml,
            "\n[sequence]\nmax_length = {longest} # the longest patient has {} steps",
            step.longest
        );
    }
}

/// Whether so many of the rows, at the time of another, are so many that numbers are averaged.
fn is_often(equal: usize, rows: usize) -> bool {
    equal as f64 >= OFTEN_EQUAL * rows as f64 && equal > 0
}

/// Why columns are left out, from the comments of a proposal.
fn reasons(toml: &str) -> String {
    let reasons: Vec<&str> =
        toml.lines().filter_map(|line| line.strip_prefix("# Left out: ")).collect();
    reasons.join("; ")
}

impl TableFacts<'_> {
    fn proposal(&self) -> Proposal {
        let rows: usize = self.groups.rows.iter().map(Vec::len).sum();
        let averaged = is_often(self.equal, rows);
        let context = Context { groups: self.groups, decimal: self.decimal, averaged };
        let (mut bodies, mut warnings) = (String::new(), Vec::new());
        let mut identifiers: Vec<&str> = Vec::new();
        let mut left_out: Vec<&str> = Vec::new();
        for (n, cells) in self.columns.iter().enumerate() {
            if n == self.roles.patient || n == self.roles.time {
                continue;
            }
            let entry = match roles::identifies(cells, self.groups, self.decimal) {
                Some(why) if !cells.name.is_empty() => {
                    identifiers.push(&cells.name);
                    Entry::left_out(&cells.name, &format!("an identifier: {why}"))
                }
                _ => {
                    let entry = describe(cells, &context);
                    if entry.is_left_out {
                        left_out.push(&cells.name);
                    }
                    entry
                }
            };
            bodies += &entry.toml;
            let name = shown(&cells.name);
            warnings.extend(entry.doubts.iter().map(|doubt| format!("`{name}`: {doubt}")));
        }
        let mut toml = self.head();
        self.write_time(&mut toml, rows);
        toml += &bodies;
        let mut remarks = self.remarks(rows, &mut warnings);
        remarks.extend(roles::left_out(identifiers.into_iter()));
        if !left_out.is_empty() {
            remarks.push(format!(
                "left out, as the comments say why: {}",
                words::listed(left_out.into_iter())
            ));
        }
        Proposal { toml, remarks, warnings }
    }

    /// Everything before the time.
    fn head(&self) -> String {
        let file = Path::new(&self.table.name).file_name().unwrap_or_default().to_string_lossy();
        // Without any of its endings, as .csv.gz.
        let stem = match file.split_once('.') {
            Some((stem, _)) if !stem.is_empty() => stem,
            _ => &file,
        };
        // Writing to a String cannot fail.
        let mut toml = format!(
            "# Proposed by `hg schema infer` for {} ({} rows, {} patients).\n\
             # Read it through: what is marked `guess` is one.\n\
             name = {}\n",
            shown(&file),
            self.table.frame.height(),
            self.groups.rows.len(),
            quoted(stem)
        );
        if let Some(dialect) = self.dialect {
            write_dialect(&mut toml, dialect);
        }
        if self.decimal != '.' {
            let _ = writeln!(toml, "decimal = {}", quoted(&self.decimal.to_string()));
        }
        write_missing(&mut toml, self.columns.iter());
        let column = quoted(&self.columns[self.roles.patient].name);
        let _ = write!(toml, "\n[patient]\ncolumn = {column}\n");
        for why in &self.roles.why {
            let _ = writeln!(toml, "# {why}");
        }
        toml
    }

    fn write_time(&self, toml: &mut String, rows: usize) {
        let (clock, step) = (&self.roles.clock, self.step);
        let name = &self.columns[self.roles.time].name;
        write_clock(toml, name, clock);
        write_step(toml, step);
        if let Some(effect) = self.effect(rows) {
            let _ = writeln!(toml, "# {effect}");
        }
        if let Some(copies) = self.of_copies() {
            let _ = writeln!(toml, "# {copies}");
        }
        write_start(toml, clock, step, self.starts_elsewhere);
        write_length(toml, step);
    }

    /// What the grid does to the rows.
    fn effect(&self, rows: usize) -> Option<String> {
        let Step { merged, invented, .. } = self.step;
        let merges = (*merged > 0).then(|| {
            let of_equal = match self.equal {
                0 => String::new(),
                equal => format!(", {equal} of them at the very same time"),
            };
            format!(
                "merges {merged} of {rows} rows into steps that another row has{of_equal} (`aggregate` decides how)"
            )
        });
        let invents =
            (*invented > 0).then(|| format!("has {} without a row", counted(*invented, "step")));
        let both: Vec<String> = merges.into_iter().chain(invents).collect();
        let what = if self.step.width.is_some() { "This grid" } else { "A step a time" };
        (!both.is_empty()).then(|| format!("{what} {}", both.join(", and ")))
    }

    fn of_copies(&self) -> Option<String> {
        (self.copies > 0).then(|| {
            format!("Rows that are exact copies of another, and are dropped: {}", self.copies)
        })
    }

    /// What to say; what is grave goes to `warnings`.
    fn remarks(&self, rows: usize, warnings: &mut Vec<String>) -> Vec<String> {
        let name = |n: usize| shown(&self.columns[n].name);
        let mut remarks = vec![format!(
            "patient `{}`, time `{}`, {} ({})",
            name(self.roles.patient),
            name(self.roles.time),
            match &self.step.width {
                Some(width) => format!("step {}", width.trim_matches('"')),
                None => "a step a visit".to_owned(),
            },
            self.step.why
        )];
        remarks.extend(self.roles.why.iter().map(|why| format!("patient: {why}")));
        if let Some(effect) = self.effect(rows) {
            let changed = self.step.merged.saturating_add(self.step.invented);
            let grave = changed > rows / 2;
            if grave { warnings.push(effect) } else { remarks.push(effect) }
        }
        remarks.extend(self.of_copies());
        if self.roles.clock.doubt {
            warnings.push(format!(
                "`{}`: day and month may stand the other way round; the format is a guess",
                name(self.roles.time)
            ));
        }
        remarks
    }
}

#[cfg(test)]
mod tests;
