//! Proposes a schema for several tables that belong together.

use super::cells::{Cells, Nature};
use super::describe::{Context, Entry, describe};
use super::groups::{Groups, without_copies};
use super::long::{self, long_table};
use super::numbers::decimal_sign;
use super::step::{self, Step};
use super::time::Clock;
use super::words::{patient_likeness, quoted, shown};
use super::{
    Proposal, is_often, roles, rows_at_equal_times, rules, write_clock, write_dialect,
    write_length, write_missing, write_start, write_step,
};
use crate::csv::Sniffed;
use crate::table::{any_header, read_any_files};
use crate::table_set::{Member, members, plain_code};
use crate::{Error, Result};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::path::Path;

/// Codes of one table that are proposed, at most: those that most patients have.
const MOST_CODES: usize = 40;
/// A code must be one of so many patients, …
const LEAST_PATIENTS: usize = 5;
/// … and of this share of them.
const LEAST_SHARE: f64 = 0.02;
/// What stands between the parts of a code, as in `GENDER//F`.
const PARTS: &str = "//";

/// Tables of common data models: how they are called, and their columns.
struct Layout {
    table: &'static str,
    patient: &'static str,
    code: &'static str,
    time: &'static str,
    value: Option<&'static str>,
    unit: Option<&'static str>,
}

/// MEDS, and the OMOP CDM.
const LAYOUTS: [Layout; 7] = [
    Layout { value: Some("numeric_value"), ..events("data", "subject_id", "code", "time") },
    Layout {
        value: Some("value_as_number"),
        unit: Some("unit_concept_id"),
        ..events("measurement", OMOP, "measurement_concept_id", "measurement_date")
    },
    Layout {
        value: Some("value_as_number"),
        ..events("observation", OMOP, "observation_concept_id", "observation_date")
    },
    events("condition_occurrence", OMOP, "condition_concept_id", "condition_start_date"),
    events("drug_exposure", OMOP, "drug_concept_id", "drug_exposure_start_date"),
    events("procedure_occurrence", OMOP, "procedure_concept_id", "procedure_date"),
    events("device_exposure", OMOP, "device_concept_id", "device_exposure_start_date"),
];
/// The patients' column in the OMOP CDM, and their table.
const OMOP: &str = "person_id";
const PERSON: &str = "person";

const fn events(
    table: &'static str,
    patient: &'static str,
    code: &'static str,
    time: &'static str,
) -> Layout {
    Layout { table, patient, code, time, value: None, unit: None }
}

/// The tables at a path, where they are several: a folder or a pattern of tables with different
/// columns, or a folder of folders.
pub(super) fn tables(path: &Path) -> Result<Option<BTreeMap<String, Member>>> {
    if path.is_file() {
        return Ok(None);
    }
    let Ok(mut found) = members(path) else { return Ok(None) };
    if found.contains_key("data") {
        // What MEDS says about its data.
        found.remove("metadata");
    }
    if found.values().any(|member| member.path.is_dir()) {
        return Ok(Some(found));
    }
    let mut headers = HashSet::new();
    for member in found.values() {
        if let Some(file) = member.files.first() {
            headers.insert(any_header(file)?);
        }
    }
    Ok((headers.len() > 1).then_some(found))
}

/// One of the tables.
struct One<'a> {
    name: &'a str,
    /// What messages call it.
    label: String,
    cells: Vec<Cells>,
    decimal: char,
    keep: Vec<bool>,
    rows: usize,
}

/// What a table turned out to be.
enum Role {
    Static,
    Visits(Timed),
    Events { timed: Timed, code: usize, value: Option<usize>, unit: Option<usize> },
}

struct Timed {
    time: usize,
    clock: Clock,
}

impl One<'_> {
    fn at(&self, name: &str) -> Option<usize> {
        self.cells.iter().position(|cells| cells.name == name)
    }

    /// Its columns, where it is a table of a common data model.
    fn layout(&self, patient: &str) -> Option<Role> {
        let layout = LAYOUTS.iter().find(|l| l.table == self.name && l.patient == patient)?;
        let (code, time) = (self.at(layout.code)?, self.at(layout.time)?);
        let clock = self.cells[time].clock(self.decimal)?;
        let filled = |name: Option<&str>| {
            name.and_then(|name| self.at(name)).filter(|&n| self.cells[n].present() > 0)
        };
        let value = filled(layout.value);
        let unit = filled(layout.unit).filter(|_| value.is_some());
        Some(Role::Events { timed: Timed { time, clock }, code, value, unit })
    }

    /// Its columns, by what they hold.
    fn role(&self, patient: usize, time: Option<&str>) -> Result<Role> {
        if let Some(role) = self.layout(&self.cells[patient].name) {
            return Ok(role);
        }
        let ids = &self.cells[patient];
        let kept = self.keep.iter().filter(|keeps| **keeps).count();
        if ids.values.len() == kept {
            return Ok(Role::Static);
        }
        let time = time.filter(|time| self.at(time).is_some());
        let name = Some(ids.name.as_str());
        let found = roles::choose(&self.label, &self.cells, &self.keep, self.decimal, name, time)?;
        let groups = Groups::new(ids, &self.keep);
        let long = long_table(&self.cells, patient, found.time, &groups, self.decimal);
        let timed = Timed { time: found.time, clock: found.clock };
        Ok(match long {
            None => Role::Visits(timed),
            Some(long) => {
                let is_unit = |cells: &Cells| long::names_a_unit(&cells.name);
                let unit = self.cells.iter().position(is_unit).filter(|_| long.value.is_some());
                Role::Events { timed, code: long.code, value: long.value, unit }
            }
        })
    }
}

/// A proposal for several tables.
pub(super) fn propose(
    path: &Path,
    found: &BTreeMap<String, Member>,
    patient: Option<&str>,
    time: Option<&str>,
) -> Result<Proposal> {
    let mut dialect: Option<Sniffed> = None;
    let mut all = Vec::new();
    for (name, member) in found {
        let (frame, of_table) = read_any_files(&member.files, &member.path)?;
        let cells = Cells::all(&frame, of_table.is_some())?;
        let separated = of_table.as_ref().is_some_and(|dialect| dialect.separator != b',');
        let decimal = decimal_sign(&cells, separated);
        dialect = dialect.or(of_table);
        let (keep, rows) = (without_copies(&cells), frame.height());
        let label = member.path.display().to_string();
        all.push(One { name, label, cells, decimal, keep, rows });
    }
    let patient = patient_of(&all, patient).ok_or_else(|| {
        let problem = "no column that several of the tables have is the patient\nhint: name it with --patient";
        Error::file(path, problem)
    })?;
    let mut set = Set { dialect, patient, tables: Vec::new(), out: Vec::new() };
    let has_layout = all.iter().any(|one| one.layout(&set.patient).is_some());
    for one in all {
        let Some(at) = one.at(&set.patient) else {
            let why = format!("`{}`: has no column `{}`", one.name, shown(&set.patient));
            set.out.push(why);
            continue;
        };
        // A common data model's other tables say the same in other words.
        let is_of_model = one.name == PERSON || one.layout(&set.patient).is_some();
        if has_layout && !is_of_model {
            set.out.push(format!("`{}`: none of the tables of events, nor of persons", one.name));
            continue;
        }
        match one.role(at, time) {
            Ok(role) => set.tables.push((one, at, role)),
            Err(error) => set.out.push(format!("`{}`: {error}", one.name)),
        }
    }
    set.require_times(path)?;
    let mut proposal = set.proposal(path)?;
    let schema = proposal.schema()?;
    rules::propose(&mut proposal, &schema.read_set(path)?);
    Ok(proposal)
}

/// The column of patients: that which most tables have, of those whose names are a patient's.
fn patient_of(all: &[One<'_>], named: Option<&str>) -> Option<String> {
    if let Some(named) = named {
        return all.iter().any(|one| one.at(named).is_some()).then(|| named.to_owned());
    }
    let names = all.iter().flat_map(|one| one.cells.iter()).map(|cells| cells.name.as_str());
    let score = |name: &str| {
        let tables = all.iter().filter(|one| one.at(name).is_some()).count();
        let complete = |one: &&One<'_>| one.at(name).is_some_and(|n| one.cells[n].is_complete());
        let is_complete = all.iter().filter(complete).count() == tables;
        let likeness = patient_likeness(name);
        (likeness >= 0.4 && is_complete).then_some(tables as f64 + 0.5 * likeness)
    };
    let scored = names.filter_map(|name| Some((score(name)?, name)));
    // The first of the best.
    let best = scored.fold(None, |best: Option<(f64, &str)>, (score, name)| match best {
        Some((before, _)) if before >= score => best,
        _ => Some((score, name)),
    });
    best.map(|(_, name)| name.to_owned())
}

/// The tables with their roles.
struct Set<'a> {
    dialect: Option<Sniffed>,
    patient: String,
    /// (table, its column of patients, role)
    tables: Vec<(One<'a>, usize, Role)>,
    /// Tables that are left out, and why.
    out: Vec<String>,
}

impl Role {
    fn timed(&self) -> Option<&Timed> {
        match self {
            Self::Static => None,
            Self::Visits(timed) | Self::Events { timed, .. } => Some(timed),
        }
    }
}

impl Set<'_> {
    fn timed(&self) -> impl Iterator<Item = (&One<'_>, usize, &Timed)> {
        self.tables.iter().filter_map(|(one, at, role)| Some((one, *at, role.timed()?)))
    }

    /// Refuses tables without times, and times that are written in several ways.
    fn require_times(&self, path: &Path) -> Result<()> {
        let Some((first, _, of_first)) = self.timed().next() else {
            let problem = format!(
                "none of the tables has rows of patients at several times; left out are {}\nhint: name the columns with --patient and --time",
                if self.out.is_empty() { "none".to_owned() } else { self.out.join("; ") }
            );
            return Err(Error::file(path, problem));
        };
        for (one, _, timed) in self.timed() {
            let (here, there) = (&timed.clock, &of_first.clock);
            if here.kind != there.kind || here.format != there.format {
                let name = &one.cells[timed.time].name;
                let problem = format!(
                    "is written in another way than the times of {}\nhint: write all times in one way",
                    first.label
                );
                return Err(Error::column(&one.label, name, problem));
            }
        }
        Ok(())
    }

    /// What a step is: from the times of all tables, each time once.
    fn step(&self) -> Option<(Step, String)> {
        let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (one, at, timed) in self.timed() {
            for row in 0..one.rows {
                if let (Some(id), Some(time)) = (one.cells[at].text(row), timed.clock.values[row]) {
                    times.entry(id).or_default().push(time);
                }
            }
        }
        let (one, _, timed) = self.timed().next()?;
        let name = one.cells[timed.time].name.clone();
        let times: Vec<Vec<f64>> = times
            .into_values()
            .map(|mut times| {
                times.sort_by(f64::total_cmp);
                times.dedup();
                times
            })
            .collect();
        Some((step::propose(&timed.clock, &times, &name), name))
    }

    fn proposal(&self, path: &Path) -> Result<Proposal> {
        let (step, time) =
            self.step().ok_or_else(|| Error::file(path, "none of the tables has times"))?;
        let mut toml = self.head(path);
        self.write_time(&mut toml, &step, &time);
        let mut entries = Entries::default();
        entries.names.extend([self.patient.clone(), time.clone()]);
        let mut remarks = vec![format!("patient `{}`, {}", shown(&self.patient), step.why)];
        for (one, at, role) in &self.tables {
            entries.uses = 0;
            entries.of_table(one, *at, role, self.timed().count() == 1);
            let what = match role {
                Role::Static => "a row a patient".to_owned(),
                Role::Visits(timed) => {
                    format!("a row a visit, time `{}`", shown(&one.cells[timed.time].name))
                }
                Role::Events { code, value, .. } => {
                    let of = value.map(|n| format!(", value `{}`", shown(&one.cells[n].name)));
                    let code = shown(&one.cells[*code].name);
                    format!("a row a code, `{code}`{}", of.unwrap_or_default())
                }
            };
            if entries.uses == 0 {
                remarks.push(format!(
                    "table `{}` is left out: no column of it can be modelled",
                    one.name
                ));
                continue;
            }
            remarks.push(format!("table `{}`: {what}", one.name));
            self.write_table(&mut toml, (one, *at, role), &time);
        }
        remarks.extend(self.out.iter().map(|why| format!("left out: table {why}")));
        remarks.extend(entries.remarks);
        toml += &entries.toml;
        Ok(Proposal { toml, remarks, warnings: entries.warnings })
    }

    fn head(&self, path: &Path) -> String {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = if name.is_empty() || name.contains('*') { "cohort".into() } else { name };
        // Writing to a String cannot fail.
        let mut toml = format!(
            "# Proposed by `hg schema infer` for {} tables in {}.\n\
             # Read it through: what is marked `guess` is one.\n\
             name = {}\n",
            self.tables.len(),
            shown(&path.display().to_string()),
            quoted(&name)
        );
        if let Some(dialect) = self.dialect {
            write_dialect(&mut toml, dialect);
        }
        let is_comma = |(one, ..): &(One<'_>, usize, Role)| one.decimal == ',';
        if self.tables.iter().any(is_comma) {
            toml += "decimal = \",\"\n";
        }
        let cells = self.tables.iter().flat_map(|(one, ..)| &one.cells);
        write_missing(&mut toml, cells);
        let _ = write!(toml, "\n[patient]\ncolumn = {}\n", quoted(&self.patient));
        toml
    }

    fn write_time(&self, toml: &mut String, step: &Step, name: &str) {
        let Some((_, _, timed)) = self.timed().next() else { return };
        write_clock(toml, name, &timed.clock);
        write_step(toml, step);
        let is_elsewhere = |timed: &Timed| timed.clock.values.iter().flatten().any(|t| *t != 0.);
        let starts_elsewhere = self.timed().any(|(_, _, timed)| is_elsewhere(timed));
        write_start(toml, &timed.clock, step, starts_elsewhere);
        write_length(toml, step);
    }

    fn write_table(&self, toml: &mut String, (one, _, role): (&One<'_>, usize, &Role), time: &str) {
        let name = |n: usize| quoted(&one.cells[n].name);
        let _ = write!(toml, "\n[[tables]]\nname = {}\n", quoted(one.name));
        let _ = match role {
            Role::Static => writeln!(toml, "role = \"static\" # a row a patient"),
            Role::Visits(_) => writeln!(toml, "role = \"visits\""),
            Role::Events { code, value, unit, .. } => {
                let mut text = format!("role = \"events\"\ncode = {}\n", name(*code));
                for (key, n) in [("value", value), ("unit", unit)] {
                    if let Some(n) = n {
                        let _ = writeln!(text, "{key} = {}", name(*n));
                    }
                }
                write!(toml, "{text}")
            }
        };
        if let Some(timed) = role.timed()
            && one.cells[timed.time].name != time
        {
            let _ = writeln!(toml, "time = {}", name(timed.time));
        }
    }
}

/// The entries of columns, as they are written.
#[derive(Default)]
struct Entries {
    toml: String,
    /// Names that are taken.
    names: HashSet<String>,
    /// Entries of the table at hand.
    uses: usize,
    remarks: Vec<String>,
    warnings: Vec<String>,
}

/// Where an entry comes from.
struct From<'a> {
    table: &'a str,
    source: &'a str,
    /// Whether `static = true` may be said.
    may_be_static: bool,
}

impl Entries {
    fn of_table(&mut self, one: &One<'_>, patient: usize, role: &Role, is_alone: bool) {
        match role {
            Role::Static => self.of_wide(one, patient, None, true),
            Role::Visits(timed) => self.of_wide(one, patient, Some(timed), is_alone),
            Role::Events { timed, code, value, .. } => {
                Codes { one, patient, timed, code: *code, value: *value }.write(self);
            }
        }
    }

    /// A name that no other entry has.
    fn unique(&mut self, name: &str, table: &str) -> String {
        let is_number = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let mut unique = if is_number { format!("{table} {name}") } else { name.to_owned() };
        while !self.names.insert(unique.clone()) {
            unique = format!("{table} {unique}");
        }
        unique
    }

    /// The columns of a table of a row a patient or a visit.
    fn of_wide(&mut self, one: &One<'_>, patient: usize, timed: Option<&Timed>, is_alone: bool) {
        let groups = Groups::new(&one.cells[patient], &one.keep);
        let averaged = timed.is_some_and(|timed| is_averaged(&groups, &timed.clock, one.rows));
        let context = Context { groups: &groups, decimal: one.decimal, averaged };
        for (n, cells) in one.cells.iter().enumerate() {
            if n == patient || timed.is_some_and(|timed| timed.time == n) {
                continue;
            }
            if let Some(why) = roles::identifies(cells, &groups, one.decimal) {
                self.add(Entry::left_out(&cells.name, &format!("an identifier: {why}")), None);
                continue;
            }
            let name = self.unique(&cells.name, one.name);
            let all: Vec<usize> = (0..one.rows).collect();
            let renamed = match name == cells.name || cells.seconds.is_some() {
                true => None,
                false => Some(cells.of_rows(&all, &name)),
            };
            let entry = describe(renamed.as_ref().unwrap_or(cells), &context);
            let may_be_static = is_alone && timed.is_some();
            let from = From { table: one.name, source: &cells.name, may_be_static };
            self.add(entry, Some(from));
        }
    }

    fn add(&mut self, entry: Entry, from: Option<From<'_>>) {
        let Some(From { table, source, may_be_static }) = from.filter(|_| !entry.is_left_out)
        else {
            self.toml += &entry.toml;
            return;
        };
        self.uses += 1;
        let mut lines: Vec<String> = entry.toml.lines().map(str::to_owned).collect();
        if !may_be_static {
            lines.retain(|line| line != "static = true");
        }
        let at = lines.iter().position(|line| line.starts_with("name = ")).map_or(0, |at| at + 1);
        let is_called_so =
            lines.get(at - 1).is_some_and(|l| *l == format!("name = {}", quoted(source)));
        if !is_called_so {
            lines.insert(at, format!("source = {}", quoted(source)));
        }
        lines.insert(at, format!("table = {}", quoted(table)));
        self.toml += &(lines.join("\n") + "\n");
        let doubts = entry.doubts.iter();
        self.warnings
            .extend(doubts.map(|doubt| format!("`{table}`, `{}`: {doubt}", shown(source))));
    }
}

/// Whether rows at the time of another are so frequent that numbers are averaged.
fn is_averaged(groups: &Groups, clock: &Clock, rows: usize) -> bool {
    is_often(rows_at_equal_times(&groups.times(clock)), rows)
}

/// A table of events.
struct Codes<'a> {
    one: &'a One<'a>,
    patient: usize,
    timed: &'a Timed,
    code: usize,
    value: Option<usize>,
}

/// The rows of a code, or of codes that fit a pattern.
#[derive(Default)]
struct OfCode {
    rows: Vec<usize>,
    patients: HashSet<u32>,
    has_times: bool,
    has_no_times: bool,
    has_values: bool,
}

impl OfCode {
    fn merge(&mut self, other: OfCode) {
        self.rows.extend(other.rows);
        self.rows.sort_unstable();
        self.patients.extend(other.patients);
        self.has_times |= other.has_times;
        self.has_no_times |= other.has_no_times;
        self.has_values |= other.has_values;
    }
}

impl Codes<'_> {
    fn write(&self, entries: &mut Entries) {
        let mut codes: BTreeMap<String, OfCode> = BTreeMap::new();
        for row in (0..self.one.rows).filter(|&row| self.one.keep[row]) {
            let (Some(id), Some(code)) =
                (self.one.cells[self.patient].rows[row], self.one.cells[self.code].text(row))
            else {
                continue;
            };
            let of_code = codes.entry(plain_code(code).to_owned()).or_default();
            of_code.rows.push(row);
            of_code.patients.insert(id);
            let is_timed = self.timed.clock.values[row].is_some();
            of_code.has_times |= is_timed;
            of_code.has_no_times |= !is_timed;
            let has_value = self.value.is_some_and(|n| self.one.cells[n].rows[row].is_some());
            of_code.has_values |= has_value;
        }
        let codes = self.with_patterns(codes);
        let everybody = self.one.cells[self.patient].values.len() as f64;
        let least = (LEAST_SHARE * everybody).max(LEAST_PATIENTS.min(everybody as usize) as f64);
        let mut kept: Vec<(&String, &OfCode)> = codes
            .iter()
            .filter(|(_, of)| {
                of.patients.len() as f64 >= least && !(of.has_times && of.has_no_times)
            })
            .collect();
        kept.sort_by_key(|(_, of)| std::cmp::Reverse(of.patients.len()));
        kept.truncate(MOST_CODES);
        let rest = codes.len() - kept.len();
        if rest > 0 {
            entries.remarks.push(format!(
                "table `{}`: {rest} of {} codes are left out, those of few patients, or of which only some rows have times",
                self.one.name,
                codes.len()
            ));
        }
        for (code, of_code) in kept {
            self.write_code(code, of_code, entries);
        }
    }

    /// Puts codes as `GENDER//F` and `GENDER//M` together, of which a patient has one at a time.
    fn with_patterns(&self, codes: BTreeMap<String, OfCode>) -> BTreeMap<String, OfCode> {
        let mut prefixes: HashMap<&str, Vec<&str>> = HashMap::new();
        for (code, _) in codes.iter().filter(|(_, of)| !of.has_values) {
            if let Some((before, _)) = code.rsplit_once(PARTS) {
                prefixes.entry(before).or_default().push(code);
            }
        }
        let goes_together = |members: &Vec<&str>| {
            let mut seen: HashMap<(u32, Option<u64>), &str> = HashMap::new();
            let (of_patients, times) = (&self.one.cells[self.patient], &self.timed.clock.values);
            let mut places = members
                .iter()
                .flat_map(|code| codes[*code].rows.iter().map(move |&row| (*code, row)));
            members.len() > 1
                && places.all(|(code, row)| {
                    let id = of_patients.rows[row].unwrap_or_default();
                    let time = times[row].map(f64::to_bits);
                    *seen.entry((id, time)).or_insert(code) == code
                })
        };
        let together: HashSet<String> = prefixes
            .iter()
            .filter(|(_, members)| goes_together(members))
            .map(|(before, _)| (*before).to_owned())
            .collect();
        let mut found: BTreeMap<String, OfCode> = BTreeMap::new();
        for (code, of_code) in codes {
            let before = code.rsplit_once(PARTS).map(|(before, _)| before);
            let is_one = !of_code.has_values && before.is_some_and(|b| together.contains(b));
            let key = match before.filter(|_| is_one) {
                Some(before) => format!("{before}{PARTS}*"),
                None => code.clone(),
            };
            found.entry(key).or_default().merge(of_code);
        }
        found
    }

    fn write_code(&self, code: &str, of_code: &OfCode, entries: &mut Entries) {
        let (one, patients) = (self.one, of_code.patients.len());
        let pattern = code.strip_suffix('*').filter(|before| before.ends_with(PARTS));
        let name = pattern.map_or(code, |before| before.trim_end_matches(PARTS));
        let name = entries.unique(name, one.name);
        let from = From { table: one.name, source: code, may_be_static: false };
        let is_static = of_code.has_no_times;
        let say_static = |entry: Entry| Entry {
            toml: entry.toml
                + if is_static { "static = true # its rows have no time\n" } else { "" },
            ..entry
        };
        if !of_code.has_values && pattern.is_none() {
            let toml = format!(
                "\n[[columns]]\nname = {}\nkind = \"binary\" # happened or not; {patients} patients\n",
                quoted(&name)
            );
            entries.add(
                say_static(Entry { toml, is_left_out: false, doubts: Vec::new() }),
                Some(from),
            );
            return;
        }
        let cells = match (pattern, self.value) {
            (Some(before), _) => {
                let codes = &one.cells[self.code];
                let mut cells = codes.of_rows(&of_code.rows, &name);
                cells.nature = Nature::Text;
                for value in &mut cells.values {
                    value.text = value.text.strip_prefix(before).unwrap_or(&value.text).to_owned();
                }
                cells
            }
            (None, Some(value)) => one.cells[value].of_rows(&of_code.rows, &name),
            (None, None) => return,
        };
        let ids = one.cells[self.patient].of_rows(&of_code.rows, "patient");
        let groups = Groups::new(&ids, &vec![true; of_code.rows.len()]);
        let times: Vec<Option<f64>> =
            of_code.rows.iter().map(|&row| self.timed.clock.values[row]).collect();
        let clock = Clock { values: times, ..self.timed.clock.clone() };
        let averaged = is_averaged(&groups, &clock, of_code.rows.len());
        let context = Context { groups: &groups, decimal: one.decimal, averaged };
        entries.add(say_static(describe(&cells, &context)), Some(from));
    }
}
