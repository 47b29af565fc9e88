//! Do levels that few rows have occur in the synthetic cohort?

use super::courses::Courses;
use crate::finding::short;
use crate::judge::{MAX_DISTANCE, MIN_PATIENTS};
use crate::{
    Answer, Cohort, Compared, FigureValue, Finding, Measure, Outcome, PatientCounts, ReportTable,
    Result, Subject, Topic,
};
use hg_data::{Column, Kind, Observed, Schema};
use serde::Serialize;

/// A level of a share below this is rare.
const RARE: f64 = 0.05;
/// So many real patients must have a level, and so many of the other cohort's be expected to, for it
/// to count: of five that are expected, none occurs by chance in e⁻⁵ = 0.7 % of cohorts, and a level
/// of fewer may point at a person.
const MIN_PATIENTS_OF_LEVEL: f64 = 5.;
/// A share is far off where it is less than the real one by this factor, or more.
const FAR_OFF: f64 = 3.;
/// Rows of the table.
const SHOWN: usize = 30;

/// A level that few rows of the real cohort have.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RareLevel {
    /// Its column.
    pub column: String,
    /// The level; of a number, the exact value.
    pub level: String,
    /// Its share of the column's observed cells in the real cohort.
    pub real: f64,
    /// Its share in the other cohort.
    pub other: f64,
    /// Real patients who have it at some row.
    pub patients: usize,
}

impl RareLevel {
    fn is_missing(&self) -> bool {
        self.other == 0.
    }

    /// It occurs, far too rarely or too often.
    fn is_far_off(&self) -> bool {
        let ratio = self.other / self.real;
        !self.is_missing() && !(1. / FAR_OFF..=FAR_OFF).contains(&ratio)
    }
}

/// The rare levels of the real cohort that enough patients have, in another.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RareLevels {
    /// By column.
    pub levels: Vec<RareLevel>,
    /// How many do not occur.
    pub missing: usize,
    /// How many occur less than a third as often, or more than three times.
    pub far_off: usize,
}

pub(crate) struct RareLevelsOccur;

impl Measure for RareLevelsOccur {
    fn id(&self) -> &'static str {
        "rare-levels"
    }

    fn topic(&self) -> Topic {
        Topic::Realism
    }

    fn stage(&self) -> &'static str {
        "rare levels"
    }

    fn about(&self) -> &'static str {
        "Whether levels that are rare in the real cohort occur in the synthetic one (a generator drops \
         them easily): those with less than 5 % of their column's observed cells, and exact values that \
         the schema names as `spikes` of a number with as little. Only those count that five real \
         patients or more have at some row, and that five synthetic patients or more would have at the \
         same rate: chance leaves out one of 150 of them, and a level of fewer may point at a person. \
         The figures are how many occur, and how many occur less than a third as often as in the real \
         cohort or more than three times; the table names them. Up to one in ten may be missing, or as \
         many as among held-out patients."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let schema = &subject.encoder.schema;
        let real = counts(schema, &subject.real.observed);
        let compared = Compared::new(subject, |cohort: &Cohort| {
            let other = counts(schema, &cohort.observed);
            Ok(Some(RareLevels::new(schema, &real, &other)))
        })?;

        let outcome = judge(&subject.patients(), &compared);
        let count = |of: fn(&RareLevels) -> usize| {
            move |found: &RareLevels| FigureValue::Count {
                count: of(found),
                of: found.levels.len(),
            }
        };
        let mut finding = Finding::new()
            .with_answer(Answer::new(
                "rare levels",
                "Do levels that are rare in the real cohort occur?",
                outcome,
            ))
            .with_figures([
                compared.figure("rare levels that occur", count(|f| f.levels.len() - f.missing)),
                compared.figure("rare levels whose share is off by a factor of three", {
                    count(|found| found.far_off)
                }),
            ])
            .with_json("rare_levels", &compared.synthetic)?
            .with_json("held_out_rare_levels", &compared.held_out)?;
        if let Some(table) = compared.synthetic.as_ref().and_then(table) {
            finding = finding.with_table(table);
        }
        Ok(finding.with_detail(compared))
    }
}

fn judge(counts: &PatientCounts, compared: &Compared<RareLevels>) -> Outcome {
    counts.at_least(MIN_PATIENTS)?;
    let (found, share) = compared
        .synthetic
        .as_ref()
        .and_then(|found| Some((found, found.share_missing()?)))
        .ok_or("no level is rare that would be expected in five patients or more")?;
    let held_out = compared.held_out.as_ref().filter(|_| counts.has_yardstick());
    let limit = held_out.and_then(RareLevels::share_missing).unwrap_or(0.).max(MAX_DISTANCE);

    let far_off = match found.far_off {
        0 => String::new(),
        count => format!(", {count} with a share off by a factor of three or more"),
    };
    let (count, occurring) = (found.levels.len(), found.levels.len() - found.missing);
    let said =
        format!("{occurring} of {count} occur{far_off}; {:.0} % may be missing", 100. * limit);
    Ok((share <= limit, said))
}

/// Rare levels that are missing or far off; `None` where there are none.
fn table(found: &RareLevels) -> Option<ReportTable> {
    let mut wrong: Vec<&RareLevel> =
        found.levels.iter().filter(|level| level.is_missing() || level.is_far_off()).collect();
    // The commonest of the missing ones first.
    wrong.sort_by(|a, b| b.is_missing().cmp(&a.is_missing()).then(b.real.total_cmp(&a.real)));
    let percent = |share: f64| format!("{:.2} %", 100. * share);
    let row = |level: &&RareLevel| {
        let other = if level.is_missing() { "missing".into() } else { percent(level.other) };
        vec![
            level.column.clone(),
            level.level.clone(),
            percent(level.real),
            other,
            level.patients.to_string(),
        ]
    };
    let note = match wrong.len() {
        0 => return None,
        count if count > SHOWN => format!(" {SHOWN} of {count} are shown."),
        _ => String::new(),
    };
    Some(ReportTable {
        title: "Rare levels".into(),
        note: format!(
            "Levels with less than 5 % of the real cells that do not occur in the synthetic cohort, or \
             less than a third as often, or more than three times.{note}"
        ),
        header: ["column", "level", "real", "synthetic", "real patients who have it"]
            .map(String::from)
            .into(),
        rows: wrong.iter().take(SHOWN).map(row).collect(),
    })
}

/// How often a cohort has each level.
struct Counts {
    patients: usize,
    /// By column.
    columns: Vec<ColumnCounts>,
}

#[derive(Default)]
struct ColumnCounts {
    /// Observed cells.
    cells: usize,
    /// By level: its cells, and the patients who have it.
    levels: Vec<(usize, usize)>,
}

/// The names of a column's levels; of a number, its exact values.
fn names(column: &Column) -> Vec<String> {
    match column.numbers() {
        Some(numbers) if column.kind == Kind::Numeric => {
            numbers.spikes.iter().map(|&spike| short(spike)).collect()
        }
        _ => column.level_names(),
    }
}

/// Which of the levels a finite cell has.
fn position(column: &Column, levels: usize, x: f64) -> Option<usize> {
    match column.numbers() {
        Some(numbers) if column.kind == Kind::Numeric => {
            // Tables of four bytes hold a spike as it is rounded there.
            numbers.spikes.iter().position(|&spike| x == spike || x as f32 == spike as f32)
        }
        _ => Some(x as usize).filter(|position| *position < levels),
    }
}

fn counts(schema: &Schema, cohort: &Observed) -> Counts {
    let courses = Courses::new(schema, cohort);
    let of_column = |(n, column): (usize, &Column)| {
        let mut counts = ColumnCounts { cells: 0, levels: vec![(0, 0); names(column).len()] };
        if counts.levels.is_empty() {
            return counts;
        }
        // The last patient who had it.
        let mut last: Vec<Option<usize>> = vec![None; counts.levels.len()];
        for (patient, course) in courses.observed(n).enumerate() {
            for (_, x) in course {
                counts.cells += 1;
                let Some(level) = position(column, last.len(), x) else { continue };
                counts.levels[level].0 += 1;
                if last[level].replace(patient) != Some(patient) {
                    counts.levels[level].1 += 1;
                }
            }
        }
        counts
    };
    Counts {
        patients: courses.patients().len(),
        columns: schema.columns.iter().enumerate().map(of_column).collect(),
    }
}

impl RareLevels {
    fn new(schema: &Schema, real: &Counts, other: &Counts) -> Self {
        let expected_per_patient = other.patients as f64 / real.patients.max(1) as f64;
        let mut levels = Vec::new();
        for (column, (of_real, of_other)) in
            schema.columns.iter().zip(real.columns.iter().zip(&other.columns))
        {
            let counts = of_real.levels.iter().zip(&of_other.levels);
            for (name, (&(cells, patients), &(other_cells, _))) in
                names(column).into_iter().zip(counts)
            {
                let share = cells as f64 / of_real.cells.max(1) as f64;
                let enough =
                    patients as f64 * expected_per_patient.min(1.) >= MIN_PATIENTS_OF_LEVEL;
                if share < RARE && enough {
                    levels.push(RareLevel {
                        column: column.name.clone(),
                        level: name,
                        real: share,
                        other: other_cells as f64 / of_other.cells.max(1) as f64,
                        patients,
                    });
                }
            }
        }
        let count = |is: fn(&RareLevel) -> bool| levels.iter().filter(|level| is(level)).count();
        let (missing, far_off) = (count(RareLevel::is_missing), count(RareLevel::is_far_off));
        Self { levels, missing, far_off }
    }

    fn share_missing(&self) -> Option<f64> {
        let count = self.levels.len();
        (count > 0).then(|| self.missing as f64 / count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn schema() -> Schema {
        let text = "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\nstep = 1.0\n\
                    [[columns]]\nname = \"unit\"\nkind = \"categorical\"\nlevels = [\"a\", \"b\", \"c\"]\n\
                    [[columns]]\nname = \"dose\"\nkind = \"numeric\"\nspikes = [0.0, 0.1]\n";
        Schema::parse(text, Path::new("t.toml")).expect("a schema")
    }

    /// 100 patients of two rows: `b` in the second row of some patients, `c` in that of others, and a
    /// dose of 0 in the first of as many as have `b`.
    fn cohort(b: usize, c: usize) -> Observed {
        let level = |patient: usize| match patient {
            p if p < b => 1.,
            p if p < b + c => 2.,
            _ => 0.,
        };
        let cells = |of: &dyn Fn(usize, usize) -> f64| {
            (0..200).map(|row| Some(of(row / 2, row % 2))).collect()
        };
        Observed {
            columns: vec![
                cells(&|patient, step| if step == 1 { level(patient) } else { 0. }),
                cells(&|patient, step| if step == 0 && patient < b { 0. } else { 1.5 }),
            ],
            lengths: vec![2; 100],
            out_of_domain: Vec::new(),
            violations: Vec::new(),
        }
    }

    fn compare(real: &Observed, other: &Observed) -> RareLevels {
        let schema = schema();
        RareLevels::new(&schema, &counts(&schema, real), &counts(&schema, other))
    }

    #[test]
    fn rare_levels_of_enough_patients_are_missing_where_they_do_not_occur() {
        // b in 6 of 200 cells, c in 4, too few patients; the spike 0 in 6, 0.1 in none.
        let real = cohort(6, 4);
        let same = compare(&real, &real);
        let names: Vec<&str> = same.levels.iter().map(|level| level.level.as_str()).collect();
        assert_eq!((names.as_slice(), same.missing, same.far_off), (&["b", "0"][..], 0, 0));
        assert_eq!((same.levels[0].real, same.levels[0].patients), (0.03, 6));
        assert!(table(&same).is_none());

        let without = compare(&real, &cohort(0, 10));
        assert_eq!((without.missing, without.share_missing()), (2, Some(1.)));
        let rows = table(&without).expect("missing levels").rows;
        assert_eq!(rows[0], ["unit", "b", "3.00 %", "missing", "6"]);
        // 1 of 6 is less than a third, 2 is a third, 18 three times, 19 more.
        for (count, far_off) in [(1, 2), (2, 0), (18, 0), (19, 2)] {
            let found = compare(&real, &cohort(count, 0));
            assert_eq!((found.missing, found.far_off), (0, far_off), "{count}");
        }
    }

    #[test]
    fn one_in_ten_may_be_missing_or_as_many_as_among_those_held_out() {
        let level = |other| RareLevel {
            column: "unit".into(),
            level: "b".into(),
            real: 0.03,
            other,
            patients: 6,
        };
        let found = |missing: usize| {
            let levels = (0..10).map(|n| level(if n < missing { 0. } else { 0.03 })).collect();
            Some(RareLevels { levels, missing, far_off: 0 })
        };
        let judge = |missing, held_out: Option<usize>, patients| {
            let counts =
                PatientCounts { real: 10, held_out: held_out.map(|_| 10), synthetic: patients };
            let compared =
                Compared { synthetic: found(missing), held_out: held_out.and_then(found) };
            super::judge(&counts, &compared).map(|(passed, _)| passed)
        };
        assert_eq!((judge(1, None, 10), judge(2, None, 10)), (Ok(true), Ok(false)));
        assert_eq!((judge(2, Some(2), 10), judge(3, Some(2), 10)), (Ok(true), Ok(false)));
        assert!(judge(0, None, 9).is_err());
        let counts = PatientCounts { real: 10, held_out: None, synthetic: 10 };
        let none = RareLevels { levels: Vec::new(), missing: 0, far_off: 0 };
        let nothing = Compared { synthetic: Some(none), held_out: None };
        assert!(super::judge(&counts, &nothing).is_err());
    }

    #[test]
    fn common_levels_small_cohorts_and_nothing_at_all_say_nothing() {
        // 10 of 200 cells are 5 %.
        assert!(compare(&cohort(10, 0), &cohort(0, 0)).levels.is_empty());
        // Of 50 patients 3 would have b.
        let mut small = cohort(0, 0);
        small.lengths.truncate(50);
        small.columns.iter_mut().for_each(|cells| cells.truncate(100));
        assert!(compare(&cohort(6, 0), &small).levels.is_empty());
        let nobody = Observed { columns: vec![Vec::new(); 2], lengths: vec![], ..cohort(0, 0) };
        assert_eq!(compare(&nobody, &cohort(6, 0)).share_missing(), None);
        assert_eq!(compare(&cohort(6, 0), &nobody).share_missing(), None);
        let mut missing = cohort(6, 0);
        missing.columns.iter_mut().flatten().for_each(|cell| *cell = cell.map(|_| f64::NAN));
        assert_eq!(compare(&cohort(6, 0), &missing).share_missing(), Some(1.));
        assert_eq!(compare(&missing, &cohort(6, 0)).share_missing(), None);
    }
}
