//! Which column is the patient and which the time: by how the table is built first, by the
//! names second.

use super::cells::{Cells, Nature};
use super::groups::Groups;
use super::long;
use super::numbers::Number;
use super::step;
use super::time::Clock;
use super::words::{counted, is_identifier, listed, patient_likeness, shown, time_likeness};
use crate::clock::TimeKind;
use crate::{Error, Result};
use std::collections::{HashMap, HashSet};

/// Rows that are looked at to tell patient and time.
const LOOKED_AT: usize = 50_000;
/// Gaps that are looked at to tell how regular a time is.
const LOOKED_AT_GAPS: usize = 2_000;
/// Patient and time must tell at least this share of the rows apart.
const LEAST_UNIQUE: f64 = 0.05;
/// A coarser identifier is the patient if its grid merges and invents no more than so many more,
/// as a share of the rows.
const MORE_OF_COARSER: f64 = 0.25;

/// The chosen columns.
pub(super) struct Roles {
    pub(super) patient: usize,
    pub(super) time: usize,
    pub(super) clock: Clock,
    /// Why, in words.
    pub(super) why: Vec<String>,
}

/// How well two columns are patient and time.
#[derive(Clone, Copy, Debug)]
struct Fit {
    patient: usize,
    time: usize,
    /// The share of the rows that the two tell apart.
    unique: f64,
    /// The shares of the patients' successive rows with later, and with earlier, times.
    rises: f64,
    falls: f64,
    /// Whether a patient has several rows.
    several: bool,
    /// Patients a block of rows of one patient; 1 where each has one block.
    contiguous: f64,
    /// Whether there are several patients.
    patients: bool,
    /// Whether some other column is constant within each patient.
    explains: bool,
    score: f64,
}

impl Fit {
    /// Whether the rows come in groups, whatever the names are: block by block, or with times
    /// that hardly ever fall.
    fn is_grouped(&self) -> bool {
        let by_time = self.explains && self.falls <= 0.02;
        self.several && self.patients && (self.contiguous >= 0.9 || by_time)
    }
}

/// How a time goes on within the rows of each patient.
#[derive(Default)]
struct Walk {
    rows: usize,
    /// Different (patient, time).
    pairs: usize,
    patients: usize,
    /// Blocks of rows of one patient.
    runs: usize,
    rises: usize,
    falls: usize,
    equals: usize,
    commonest_gap: usize,
    /// Whether the time rises from each row to the next, of whichever patient.
    rises_throughout: bool,
}

/// The table as the search sees it.
struct Search<'a> {
    columns: &'a [Cells],
    /// Each column as times.
    clocks: Vec<Option<Clock>>,
    /// Rows that are looked at.
    rows: Vec<usize>,
}

/// Chooses patient and time, of which the caller may have named either; `table` is the table's
/// name.
pub(super) fn choose(
    table: &str,
    columns: &[Cells],
    keep: &[bool],
    decimal: char,
    patient: Option<&str>,
    time: Option<&str>,
) -> Result<Roles> {
    let named = |name: Option<&str>, option: &str| match name {
        None => Ok(None),
        Some(name) => {
            columns.iter().position(|cells| cells.name == name).map(Some).ok_or_else(|| {
                let problem = format!("the table has no such column\nhint: correct {option}");
                Error::column(table, name, problem)
            })
        }
    };
    let (patient, time) = (named(patient, "--patient")?, named(time, "--time")?);
    let clocks: Vec<Option<Clock>> = columns.iter().map(|cells| cells.clock(decimal)).collect();
    if let Some(time) = time.filter(|&time| clocks[time].is_none()) {
        let cells = &columns[time];
        let problem = cells.mixed_dates().unwrap_or_else(|| {
            "holds neither numbers nor dates in a form that is known\nhint: name another with --time"
                .into()
        });
        return Err(Error::column(table, &cells.name, problem));
    }
    let rows = (0..keep.len()).filter(|&row| keep[row]).take(LOOKED_AT).collect();
    let mut search = Search { columns, clocks, rows };
    let best = search.best(patient, time);
    let mixed = search.mixed(time);
    let best = match (best, mixed) {
        (Some(best), None) => best,
        (Some(best), Some(_)) if search.is_time_by_name(best.time) => best,
        (_, Some((at, problem))) => {
            let problem =
                format!("{problem}\nhint: write all in one way, or name another with --time");
            return Err(Error::column(table, &columns[at].name, problem));
        }
        (None, None) => return Err(search.nothing(table, patient, time)),
    };
    let (chosen, mut why) = match patient {
        Some(patient) => (patient, Vec::new()),
        None => search.among_ids(best, keep),
    };
    if search.clocks[best.time].is_none() {
        return Err(search.nothing(table, patient, time));
    }
    why.extend(search.why(chosen, best));
    // Invariant: the best time has a clock.
    let clock =
        search.clocks[best.time].take().ok_or_else(|| search.nothing(table, patient, time))?;
    Ok(Roles { patient: chosen, time: best.time, clock, why })
}

impl Search<'_> {
    fn best(&self, patient: Option<usize>, time: Option<usize>) -> Option<Fit> {
        let all = || 0..self.columns.len();
        let patients: Vec<usize> = match patient {
            Some(patient) => vec![patient],
            None => all().filter(|&n| self.may_be_patient(n)).collect(),
        };
        let times: Vec<usize> = match time {
            Some(time) => vec![time],
            None => all()
                .filter(|&n| self.clocks[n].is_some() && self.columns[n].is_complete())
                .filter(|&n| !self.is_id_by_name(n))
                .collect(),
        };
        let mut best: Option<Fit> = None;
        for &p in &patients {
            let ids = &self.columns[p];
            let explains = self.explains_others(p);
            for &t in times.iter().filter(|&&t| t != p) {
                let Some(fit) = self.fit(p, t, explains) else { continue };
                let is_given = patient.is_some() || patient_likeness(&ids.name) >= 0.4;
                let is_patient = is_given || fit.is_grouped();
                let is_time = time.is_some() || self.is_time(&fit);
                if is_patient && is_time && best.is_none_or(|best| fit.score > best.score + 1e-9) {
                    best = Some(fit);
                }
            }
        }
        best
    }

    fn may_be_patient(&self, n: usize) -> bool {
        let cells = &self.columns[n];
        // What says which measurement a row is, or in which unit, is no patient.
        let of_long = long::names_a_code(&cells.name) || long::names_a_unit(&cells.name);
        if of_long && self.columns.iter().any(|c| long::names_a_value(&c.name)) {
            return false;
        }
        let is_number = matches!(cells.nature, Nature::Real | Nature::Integer)
            || self.clocks[n].as_ref().is_some_and(|clock| clock.kind == TimeKind::Numbers);
        let is_date = self.clocks[n].as_ref().is_some_and(|clock| clock.kind != TimeKind::Numbers);
        cells.is_complete()
            && !matches!(cells.nature, Nature::Boolean | Nature::Time(_))
            && !cells.name.is_empty()
            && !is_date
            && (!is_number || cells.is_whole())
    }

    /// Whether another column is constant for each value of this one, but not altogether.
    fn explains_others(&self, n: usize) -> bool {
        let ids = &self.columns[n];
        let mut sizes = vec![0u32; ids.values.len()];
        self.rows.iter().filter_map(|&row| ids.rows[row]).for_each(|id| sizes[id as usize] += 1);
        if sizes.iter().all(|&size| size < 2) {
            return false;
        }
        self.columns.iter().enumerate().any(|(other, cells)| {
            if other == n || cells.values.len() < 2 || cells.values.len() > ids.values.len() {
                return false;
            }
            let mut first: Vec<Option<u32>> = vec![None; ids.values.len()];
            self.rows.iter().all(|&row| {
                let (Some(id), Some(cell)) = (ids.rows[row], cells.rows[row]) else { return true };
                *first[id as usize].get_or_insert(cell) == cell
            })
        })
    }

    fn is_id_by_name(&self, n: usize) -> bool {
        let name = &self.columns[n].name;
        patient_likeness(name) >= 0.8 && time_likeness(name) < 0.7
    }

    fn is_time_by_name(&self, n: usize) -> bool {
        let is_date = self.clocks[n].as_ref().is_some_and(|clock| clock.kind != TimeKind::Numbers);
        is_date || time_likeness(&self.columns[n].name) >= 0.7
    }

    /// Whether a column can be the time of some patient at all.
    fn is_time(&self, fit: &Fit) -> bool {
        let name = time_likeness(&self.columns[fit.time].name);
        let is_date =
            self.clocks[fit.time].as_ref().is_some_and(|clock| clock.kind != TimeKind::Numbers);
        if !fit.several {
            return name >= 0.9 || is_date;
        }
        name >= 0.7 || is_date || (fit.rises >= 0.5 && fit.falls <= 0.1)
    }

    /// `None` where the two are not patient and time.
    fn fit(&self, patient: usize, time: usize, explains: bool) -> Option<Fit> {
        let walk = self.walk(patient, time)?;
        let (ids, times) = (&self.columns[patient].name, &self.columns[time].name);
        let is_number = self.clocks[time].as_ref()?.kind == TimeKind::Numbers;
        let several = walk.patients < walk.rows;
        let steps = (walk.rises + walk.falls + walk.equals) as f64;
        let share = |n: usize| if steps > 0. { n as f64 / steps } else { 0. };
        let unique = walk.pairs as f64 / walk.rows.max(1) as f64;
        // A number that rises through the whole table counts its rows.
        let counts_rows = is_number
            && walk.rises_throughout
            && walk.patients > 1
            && walk.runs == walk.patients
            && time_likeness(times) < 0.7;
        let constant = several && share(walk.equals) == 1.;
        if walk.rows == 0 || unique < LEAST_UNIQUE || constant || counts_rows {
            return None;
        }
        let regular = walk.commonest_gap as f64 / walk.rises.clamp(1, LOOKED_AT_GAPS) as f64;
        // Tables may also be sorted the latest first.
        let (rises, falls) = (share(walk.rises), share(walk.falls));
        let order = if several { rises.max(falls) + 0.9 * share(walk.equals) } else { 0.75 };
        let contiguous = walk.patients as f64 / walk.runs.max(1) as f64;
        let if_so = |so: bool, weight: f64| if so { weight } else { 0. };
        let score = 30. * unique
            // By chance, half of the times rise.
            + 40. * (order - 0.5).max(0.)
            + 14. * contiguous
            + 16. * patient_likeness(ids)
            + 14. * time_likeness(times)
            + if_so(!is_number, 6.)
            + 4. * regular
            + if_so(explains, 16.)
            - if_so(!several, 8.);
        let patients = walk.patients > 1;
        Some(Fit {
            patient,
            time,
            unique,
            rises,
            falls,
            several,
            contiguous,
            patients,
            explains,
            score,
        })
    }

    /// Counts how a time goes on within the rows of each patient.
    fn walk(&self, patient: usize, time: usize) -> Option<Walk> {
        let (ids, cells) = (&self.columns[patient], &self.columns[time]);
        let clock = self.clocks[time].as_ref()?;
        let mut walk = Walk { rises_throughout: true, ..Walk::default() };
        let mut last: Vec<Option<f64>> = vec![None; ids.values.len()];
        let mut pairs: HashSet<(u32, u32)> = HashSet::with_capacity(self.rows.len());
        let mut gaps: HashMap<u64, usize> = HashMap::new();
        let (mut id_before, mut time_before) = (None, f64::NEG_INFINITY);
        for &row in &self.rows {
            let (id, at) = (ids.rows[row], cells.rows[row]);
            let (Some(id), Some(at), Some(time)) = (id, at, clock.values[row]) else { continue };
            walk.rows += 1;
            pairs.insert((id, at));
            walk.runs += usize::from(id_before != Some(id));
            walk.rises_throughout &= time > time_before;
            (id_before, time_before) = (Some(id), time);
            match last[id as usize].replace(time) {
                None => walk.patients += 1,
                Some(earlier) if time > earlier => {
                    walk.rises += 1;
                    if walk.rises <= LOOKED_AT_GAPS {
                        *gaps.entry((time - earlier).to_bits()).or_insert(0) += 1;
                    }
                }
                Some(earlier) if time < earlier => walk.falls += 1,
                Some(_) => walk.equals += 1,
            }
        }
        walk.pairs = pairs.len();
        walk.commonest_gap = gaps.values().copied().max().unwrap_or(0);
        Some(walk)
    }

    /// The patient among the identifiers that all would do, and what to say about the others:
    /// the coarsest, unless its grid is much longer.
    fn among_ids(&self, best: Fit, keep: &[bool]) -> (usize, Vec<String>) {
        let Some(clock) = &self.clocks[best.time] else { return (best.patient, Vec::new()) };
        let others = (0..self.columns.len()).filter(|&n| {
            n != best.time
                && self.may_be_patient(n)
                && patient_likeness(&self.columns[n].name) >= 0.8
        });
        let (mut doing, mut why) = (vec![best], Vec::new());
        for n in others.filter(|&n| n != best.patient) {
            let name = shown(&self.columns[n].name);
            match self.fit(n, best.time, false) {
                Some(fit) if !fit.several && best.several => {
                    why.push(format!("not `{name}`, which differs from row to row"));
                }
                Some(fit) if fit.unique >= best.unique - 1e-9 && fit.falls <= best.falls + 1e-9 => {
                    doing.push(fit);
                }
                Some(fit) if fit.unique > 0.5 => why.push(format!(
                    "not `{name}`, whose rows are not in the order of the times, or share them"
                )),
                _ => {}
            }
        }
        if doing.len() == 1 {
            return (best.patient, why);
        }
        let cost = |n: usize| {
            let groups = Groups::new(&self.columns[n], keep);
            let times = groups.times(clock);
            step::cost_of_grid(clock, &times, &self.columns[best.time].name) as f64
        };
        let mut all: Vec<(usize, usize, f64)> = doing
            .iter()
            .map(|fit| (fit.patient, self.columns[fit.patient].values.len(), cost(fit.patient)))
            .collect();
        let least = all.iter().map(|(.., cost)| *cost).fold(f64::INFINITY, f64::min);
        let most = least + MORE_OF_COARSER * keep.len() as f64;
        // The coarsest first; of equal ones the best, then the first in the table.
        all.sort_by_key(|&(n, count, _)| (count, n != best.patient, n));
        let chosen = all.iter().find(|(.., cost)| *cost <= most);
        let chosen = chosen.map_or(best.patient, |(n, ..)| *n);
        let count = self.columns[chosen].values.len();
        for (n, others, _) in all.iter().filter(|(n, ..)| *n != chosen) {
            let name = shown(&self.columns[*n].name);
            why.push(match others.cmp(&count) {
                std::cmp::Ordering::Equal => format!("`{name}` tells the same rows apart"),
                std::cmp::Ordering::Greater => {
                    format!("not `{name}`, which splits a patient's rows ({others} values)")
                }
                std::cmp::Ordering::Less => {
                    format!(
                        "not `{name}`, whose rows lie so far apart that a grid would merge or invent many; several of these patients may be one `{name}`"
                    )
                }
            });
        }
        (chosen, why)
    }

    /// Why these two, in words.
    fn why(&self, patient: usize, best: Fit) -> Option<String> {
        let (ids, times) = (&self.columns[patient].name, &self.columns[best.time].name);
        let by_name = patient_likeness(ids) >= 0.4 && self.is_time_by_name(best.time);
        (!by_name).then(|| {
            format!(
                "guess, by how the table is built: `{}` and `{}` tell {:.0} % of the rows apart, and times rise in {:.0} % of a patient's successive rows",
                shown(ids),
                shown(times),
                100. * best.unique,
                100. * best.rises
            )
        })
    }

    /// A column that would be the time, had it one format.
    fn mixed(&self, time: Option<usize>) -> Option<(usize, String)> {
        let all = 0..self.columns.len();
        let columns = all.filter(|n| time.is_none() && self.clocks[*n].is_none());
        columns.into_iter().find_map(|n| {
            let cells = &self.columns[n];
            let may_be = cells.is_complete() && time_likeness(&cells.name) >= 0.7;
            Some((n, cells.mixed_dates().filter(|_| may_be)?))
        })
    }

    /// Why no patient or no time was found.
    fn nothing(&self, table: &str, patient: Option<usize>, time: Option<usize>) -> Error {
        let gap = |n: usize, role: &str, option: &str| {
            let cells = &self.columns[n];
            let empty = cells.rows.iter().filter(|cell| cell.is_none()).count();
            let row = cells.rows.iter().position(Option::is_none)?;
            let problem = format!(
                "looks like the {role}, but has no value in {} (the first is row {})\nhint: fill them or remove the rows, or name another column with {option}",
                counted(empty, "row"),
                row + 1
            );
            (empty < cells.rows.len()).then(|| Error::column(table, &cells.name, problem))
        };
        let all = || 0..self.columns.len();
        let has_patient = patient.is_some()
            || all()
                .any(|n| self.may_be_patient(n) && patient_likeness(&self.columns[n].name) >= 0.4);
        if !has_patient {
            let like = |n: &usize| patient_likeness(&self.columns[*n].name) >= 0.8;
            let found = all().filter(like).find_map(|n| gap(n, "patient", "--patient"));
            return found.unwrap_or_else(|| {
                Error::table(table, "no column looks like the patient, by its name or with a time that orders its rows\nhint: name it with --patient, and the time with --time")
            });
        }
        if time.is_none() {
            let like = |n: &usize| self.clocks[*n].is_some() && self.is_time_by_name(*n);
            if let Some(found) = all().filter(like).find_map(|n| gap(n, "time", "--time")) {
                return found;
            }
        }
        let once = all().find(|&n| {
            self.may_be_patient(n)
                && self.columns[n].values.len() == self.columns[n].rows.len()
                && patient_likeness(&self.columns[n].name) >= 0.4
        });
        let problem = match once.filter(|_| time.is_none()) {
            Some(n) => format!(
                "no column looks like the time, and `{}` has one row each\nhint: where a patient has but one row, add a column `visit` of zeros, or name the time with --time",
                shown(&self.columns[n].name)
            ),
            None => "no column looks like the time of the patient's rows\nhint: name them with --patient and --time".into(),
        };
        Error::table(table, problem)
    }
}

/// Numbers of identifiers are at least so big, where the name does not tell them.
const BIG: i128 = 100_000;
/// Patients from which a column that tells each of them apart is told by that alone.
const ENOUGH_PATIENTS: usize = 8;
/// A column with an identifier's name and at most so many values is a group of patients.
const FEW_GROUPS: usize = 30;
/// Rows from which a row number is told.
const ENOUGH_ROWS: usize = 20;

/// Why a column beside patient and time is an identifier; `None` where it is not.
pub(super) fn identifies(cells: &Cells, groups: &Groups, decimal: char) -> Option<String> {
    if matches!(cells.nature, Nature::Other(_) | Nature::Boolean | Nature::Time(_)) {
        return None;
    }
    let (count, patients) = (cells.values.len(), groups.rows.len());
    if count == 0 || cells.dates().is_some() {
        return None;
    }
    let whole = cells.is_whole();
    let is_text = !whole && Number::read(cells, decimal).is_err();
    if !whole && !is_text {
        return None;
    }
    if whole && counts_rows(cells) {
        return Some("the number of the row".into());
    }
    let named = is_identifier(&cells.name);
    let of_patients =
        patient_likeness(&cells.name) >= 0.8 && count > 2 && groups.holds_constant(&cells.rows);
    let many = count > FEW_GROUPS || (count * 2 >= patients && (count > 1 || patients == 1));
    if named && (many || of_patients) {
        return Some(format!("by its name and {count} different values for {patients} patients"));
    }
    let tells_all = patients >= ENOUGH_PATIENTS && count * 10 >= patients * 9;
    if !tells_all || !belongs_to_one_patient(cells, groups) {
        return None;
    }
    let big = || {
        let is_big = |text: &str| {
            let text = text.strip_suffix(".0").unwrap_or(text);
            text.parse::<i128>().is_ok_and(|x| x.abs() >= BIG)
        };
        groups.holds_constant(&cells.rows) && cells.values.iter().all(|value| is_big(&value.text))
    };
    (is_text || big()).then(|| format!("{count} different values, each of one patient alone"))
}

/// Whether the cells are 0, 1, 2, … or 1, 2, 3, … down the whole table.
fn counts_rows(cells: &Cells) -> bool {
    let number =
        |row: usize| cells.text(row)?.strip_suffix(".0").or(cells.text(row))?.parse::<i64>().ok();
    let Some(first) = number(0).filter(|first| matches!(first, 0 | 1)) else { return false };
    let rows = cells.rows.len();
    rows >= ENOUGH_ROWS
        && cells.values.len() == rows
        && (0..rows).all(|row| number(row) == Some(first + row as i64))
}

/// Whether each value stands in one patient's rows only.
fn belongs_to_one_patient(cells: &Cells, groups: &Groups) -> bool {
    let mut owner: Vec<Option<usize>> = vec![None; cells.values.len()];
    groups.rows.iter().enumerate().all(|(patient, rows)| {
        rows.iter()
            .filter_map(|&row| cells.rows[row])
            .all(|at| *owner[at as usize].get_or_insert(patient) == patient)
    })
}

/// A remark on the identifiers that are left out.
pub(super) fn left_out<'n>(names: impl Iterator<Item = &'n str>) -> Option<String> {
    let names = listed(names);
    (!names.is_empty()).then(|| format!("identifiers are left out: {names}"))
}
