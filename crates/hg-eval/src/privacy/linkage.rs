//! Linkage: do synthetic patients stand where one real patient stands alone, in the quasi-identifiers or
//! by a rare combination of levels?
//!
//! k of a class is the number of patients trained on who have the same quasi-identifiers (Samarati, *IEEE
//! Trans. Knowl. Data Eng.* 13, 2001); its people are as many times more as the population is larger
//! (k-map: El Emam & Dankar, *J. Am. Med. Inform. Assoc.* 15, 2008). A person drawn anew stands in a class of
//! k = 1 with some probability, however well the model generalises, and a held-out patient does with
//! the same; a cohort that repeats patients does as often as those who were trained on.
//!
//! Combinations of two levels that fewer than [`RARE`] patients have are counted and named, without a
//! verdict: with Nₖ combinations that k of n patients have, a copy has Σ k Nₖ / n of them on average and a
//! person drawn anew Σ (k + 1) Nₖ₊₁ / n (Good, *Biometrika* 40, 1953), which for k = 1 to 4 differ by
//! (N₁ − 5 N₅) / n alone. Copies do not show in so little.

use super::classes::{Class, Classes, sizes};
use super::patients::Patients;
use super::risk::{Risk, judge};
use crate::{Answer, Figure, FigureValue, Finding, Measure, ReportTable, Result, Subject, Topic};
use hg_data::Schema;
use serde::Serialize;
use std::collections::HashMap;

/// Fewer patients than this are few: the threshold of small cells in health statistics.
const RARE: usize = 5;
/// Combinations that the report names.
const MAX_NAMED: usize = 20;
/// Where the sizes of classes in the report begin.
const SIZES: [usize; 5] = [0, 1, 2, RARE, 10];

/// How synthetic patients stand to classes and combinations of few real ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Linkage {
    /// The names of the quasi-identifiers.
    pub known: Vec<String>,
    /// Patients by the size of their class.
    pub classes: Vec<ClassRow>,
    /// Synthetic patients in a class of 1 to 4 people of the population, by its estimate.
    pub synthetic_of_few_people: usize,
    /// Held-out patients there.
    pub held_out_of_few_people: Option<usize>,
    /// How much more often synthetic patients stand in a class of one than held-out ones do.
    pub unique: Option<Risk>,
    /// Combinations of two columns' levels that 1 to 4 patients trained on have.
    pub rare_combinations: usize,
    /// Of these, how many synthetic patients have.
    pub synthetic_rare: usize,
    /// Of these, how many held-out patients have.
    pub held_out_rare: Option<usize>,
    /// Synthetic patients who have one.
    pub synthetic_with_rare: usize,
    /// Held-out patients who have one.
    pub held_out_with_rare: Option<usize>,
}

/// Patients whose class has a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClassRow {
    /// Patients trained on in the class: so many at least,
    pub from: usize,
    /// and at most; `None` for any number.
    pub to: Option<usize>,
    /// Patients trained on.
    pub trained_on: usize,
    /// Synthetic patients.
    pub synthetic: usize,
    /// Held-out patients; `None` where there are none.
    pub held_out: Option<usize>,
}

pub(crate) struct Linkages;

impl Measure for Linkages {
    fn id(&self) -> &'static str {
        "linkage"
    }

    fn topic(&self) -> Topic {
        Topic::Privacy
    }

    fn stage(&self) -> &'static str {
        "linkage"
    }

    fn about(&self) -> &'static str {
        "Whether synthetic patients stand where few real ones stand. k of a class is how many patients \
         trained on have the same quasi-identifiers (numbers in the same tenth), as in k-anonymity \
         (Samarati 2001, [doi:10.1109/69.971193](https://doi.org/10.1109/69.971193)); the table counts \
         patients by the k of their class, 0 being a class of nobody. k-map (El Emam & Dankar 2008, \
         [doi:10.1197/jamia.M2716](https://doi.org/10.1197/jamia.M2716)) counts the people of the \
         population in place of patients, by the schema's `patient.population`, people beyond the table \
         being like those in it. Rare combinations are pairs of levels of two columns (static, or a \
         patient's commonest) that one to four patients trained on have. Anybody drawn anew has such ones \
         now and then; held-out patients say how often, and there is no verdict. That on classes is by the \
         risk (a − c) / (1 − c), a and c being the shares of synthetic and of held-out patients in a class \
         of k = 1 (Giomi et al. 2023, \
         [doi:10.56553/popets-2023-0055](https://doi.org/10.56553/popets-2023-0055)), with a 95 % interval \
         (Wilson 1927, Newcombe 1998). It passes where 0 is inside the interval or above it. It takes \
         held-out patients."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let sides = Sides::new(subject);
        let (found, table) = linkage(subject, &sides);
        let counts = subject.patients();
        let question = "Do synthetic patients stand for single real ones no more than others do?";
        let no_identifier = "the schema has no static column and none in `patient.quasi_identifiers`, \
                             or there are no values of them, or all \
                             held-out patients stand for a single one";
        let unique = judge(&counts, OF, &[(SINGLE, found.unique)], no_identifier);
        let finding = Finding::new()
            .with_answer(Answer::new("linked", question, unique))
            .with_figures(figures(&found, &counts))
            .with_table(class_table(&found));
        let finding = if table.rows.is_empty() { finding } else { finding.with_table(table) };
        Ok(finding.with_json("linkage", &found)?.with_detail(found))
    }
}

/// Who is beside held-out patients here.
const OF: &str = "synthetic patients";
const SINGLE: &str = "in a class of one real patient";

/// The patients of each side.
struct Sides {
    real: Patients,
    synthetic: Patients,
    held_out: Option<Patients>,
}

impl Sides {
    fn new(subject: &Subject<'_>) -> Self {
        let schema = &subject.encoder.schema;
        let of = |cohort: &crate::Cohort| Patients::new(schema, &cohort.observed);
        let held_out = subject.held_out.map(of);
        Self { real: of(subject.real), synthetic: of(subject.synthetic), held_out }
    }
}

fn linkage(subject: &Subject<'_>, sides: &Sides) -> (Linkage, ReportTable) {
    let schema = &subject.encoder.schema;
    let Sides { real, synthetic, held_out } = sides;

    // By the size of their class.
    let known = schema.quasi_identifiers();
    let classes = Classes::new(schema, &known, real);
    let of_real = classes.of(real);
    let sizes = sizes(&of_real);
    let size = |class: &Class| sizes.get(class).copied().unwrap_or(0);
    let sizes_of = |side: &Patients| -> Vec<usize> { classes.of(side).iter().map(size).collect() };
    let [of_real, of_synthetic] = [real, synthetic].map(sizes_of);
    let of_others = held_out.as_ref().map(sizes_of);
    let single = |sizes: &[usize]| shares(sizes.iter().map(|&size| size == 1));
    let has_values =
        |side: &Patients| known.iter().any(|&n| side.columns[n].iter().any(Option::is_some));
    let unique = of_others.as_ref().filter(|_| has_values(real) && has_values(synthetic));
    let unique = unique.and_then(|others| Risk::new(&single(&of_synthetic), &single(others)));

    // In the population.
    let (sample, others) = (real.count, held_out.as_ref().map_or(0, |others| others.count));
    let table = (sample + others) as f64;
    let population = schema.patient.population.map_or(table, |people| (people as f64).max(table));
    let people = population / sample.max(1) as f64;
    let is_few = |&&size: &&usize| size > 0 && (size as f64 * people) < RARE as f64;
    let of_few = |sizes: &Vec<usize>| sizes.iter().filter(is_few).count();

    // By combinations of levels.
    let rare = RareCombinations::new(schema, real);
    let in_synthetic = rare.of(synthetic);
    let in_others = held_out.as_ref().map(|others| rare.of(others));
    let found = Linkage {
        known: known.iter().map(|&n| schema.columns[n].name.clone()).collect(),
        classes: class_rows(&of_real, &of_synthetic, of_others.as_deref()),
        synthetic_of_few_people: of_few(&of_synthetic),
        held_out_of_few_people: of_others.as_ref().map(of_few),
        unique,
        rare_combinations: rare.counts.len(),
        synthetic_rare: in_synthetic.counts.len(),
        held_out_rare: in_others.as_ref().map(|found| found.counts.len()),
        synthetic_with_rare: in_synthetic.patients,
        held_out_with_rare: in_others.as_ref().map(|found| found.patients),
    };
    (found, rare.table(schema, &in_synthetic, in_others.as_ref()))
}

fn shares(successes: impl Iterator<Item = bool>) -> Vec<f64> {
    successes.map(|success| f64::from(u8::from(success))).collect()
}

fn class_rows(real: &[usize], synthetic: &[usize], held_out: Option<&[usize]>) -> Vec<ClassRow> {
    let ends = SIZES.iter().skip(1).map(|next| Some(next - 1)).chain([None]);
    let rows = SIZES.iter().zip(ends).map(|(&from, to)| {
        let is_here = |&&size: &&usize| size >= from && to.is_none_or(|to| size <= to);
        let count = |sizes: &[usize]| sizes.iter().filter(is_here).count();
        ClassRow {
            from,
            to,
            trained_on: count(real),
            synthetic: count(synthetic),
            held_out: held_out.map(count),
        }
    });
    rows.collect()
}

fn class_table(found: &Linkage) -> ReportTable {
    let [real, synthetic, others] = [
        |row: &ClassRow| Some(row.trained_on),
        |row: &ClassRow| Some(row.synthetic),
        |row: &ClassRow| row.held_out,
    ]
    .map(|count: fn(&ClassRow) -> Option<usize>| {
        let all: usize = found.classes.iter().filter_map(count).sum();
        move |row: &ClassRow| match count(row) {
            Some(count) => format!("{count} ({:.1} %)", 100. * count as f64 / all.max(1) as f64),
            None => String::new(),
        }
    });
    let rows = found.classes.iter().map(|row| {
        let size = match (row.from, row.to) {
            (from, Some(to)) if from == to => from.to_string(),
            (from, Some(to)) => format!("{from} to {to}"),
            (from, None) => format!("{from} or more"),
        };
        vec![size, real(row), synthetic(row), others(row)]
    });
    ReportTable {
        title: "Patients who share their quasi-identifiers".into(),
        note: format!(
            "Known: {}. k is how many patients trained on have the same (numbers in the same tenth). Where \
             synthetic patients were drawn from the same people, they are spread as those held out are; \
             copies are spread as those trained on are.",
            if found.known.is_empty() { "nothing".into() } else { found.known.join(", ") }
        ),
        header: ["k", "trained on", "synthetic", "held out"].map(str::to_owned).into(),
        rows: rows.collect(),
    }
}

fn figures(found: &Linkage, counts: &crate::PatientCounts) -> Vec<Figure> {
    let count = |name: &'static str, synthetic: (usize, usize), others: Option<(usize, usize)>| {
        let value = |(count, of)| FigureValue::Count { count, of };
        Figure { name: name.into(), synthetic: Some(value(synthetic)), held_out: others.map(value) }
    };
    let pair = |count: Option<usize>, of: Option<usize>| count.zip(of);
    let few = (found.synthetic_of_few_people, counts.synthetic);
    let rare = (found.synthetic_rare, found.rare_combinations);
    let others_rare = found.held_out_rare.map(|count| (count, found.rare_combinations));
    let mut figures = vec![count(
        "patients with the quasi-identifiers of one to four people (k-map)",
        few,
        pair(found.held_out_of_few_people, counts.held_out),
    )];
    figures.extend(
        found
            .unique
            .iter()
            .flat_map(|risk| risk.figures("patients in a class of one real patient")),
    );
    figures.push(count("rare combinations of levels that occur", rare, others_rare));
    figures.push(count(
        "patients with a rare combination of levels",
        (found.synthetic_with_rare, counts.synthetic),
        pair(found.held_out_with_rare, counts.held_out),
    ));
    figures
}

/// Two columns, and the position of a level of each.
type Combination = ([usize; 2], [i64; 2]);

/// The combinations that few patients trained on have, and how many.
struct RareCombinations {
    columns: Vec<usize>,
    counts: HashMap<Combination, usize>,
}

/// What some patients have of rare combinations.
struct Found {
    counts: HashMap<Combination, usize>,
    /// How many of the patients have one.
    patients: usize,
}

impl RareCombinations {
    fn new(schema: &Schema, real: &Patients) -> Self {
        let columns = schema.columns.iter().enumerate();
        let columns = columns.filter(|(_, column)| !column.is_numeric() && !column.is_derived());
        let columns: Vec<usize> = columns.map(|(n, _)| n).collect();
        let mut counts: HashMap<Combination, usize> = HashMap::new();
        for patient in 0..real.count {
            combinations(&columns, real, patient, |combination| {
                *counts.entry(combination).or_default() += 1;
            });
        }
        counts.retain(|_, count| *count < RARE);
        Self { columns, counts }
    }

    fn of(&self, side: &Patients) -> Found {
        let mut counts: HashMap<Combination, usize> = HashMap::new();
        let has_one = |patient: &usize| {
            let mut has_one = false;
            combinations(&self.columns, side, *patient, |combination| {
                if self.counts.contains_key(&combination) {
                    has_one = true;
                    *counts.entry(combination).or_default() += 1;
                }
            });
            has_one
        };
        let patients = (0..side.count).filter(has_one).count();
        Found { counts, patients }
    }

    /// Those that most synthetic patients have.
    fn table(&self, schema: &Schema, synthetic: &Found, others: Option<&Found>) -> ReportTable {
        let mut named: Vec<(&Combination, usize)> =
            synthetic.counts.iter().map(|(combination, count)| (combination, *count)).collect();
        named.sort_by_key(|(combination, count)| (std::cmp::Reverse(*count), **combination));
        let rows = named.iter().take(MAX_NAMED).map(|(combination, count)| {
            let (columns, levels) = combination;
            let level = |n: usize| {
                let column = &schema.columns[columns[n]];
                let names = column.level_names();
                let name = usize::try_from(levels[n]).ok().and_then(|level| names.get(level));
                format!("{} {}", column.name, name.map_or(String::new(), ToString::to_string))
            };
            let others = others.map(|found| found.counts.get(combination).copied().unwrap_or(0));
            vec![
                format!("{}, {}", level(0), level(1)),
                self.counts[*combination].to_string(),
                count.to_string(),
                others.map_or(String::new(), |count| count.to_string()),
            ]
        });
        ReportTable {
            title: "Rare combinations that synthetic patients have".into(),
            note: format!(
                "Of two columns' levels (static, or a patient's commonest), which one to four patients \
                 trained on have: how many patients of each kind do. {} occur, and at most {MAX_NAMED} \
                 are named.",
                named.len()
            ),
            header: ["combination", "trained on", "synthetic", "held out"]
                .map(str::to_owned)
                .into(),
            rows: rows.collect(),
        }
    }
}

/// Tells of every pair of levels that a patient has.
fn combinations(
    columns: &[usize],
    side: &Patients,
    patient: usize,
    mut tell: impl FnMut(Combination),
) {
    let level = |column: usize| side.columns[column][patient].map(|level| level as i64);
    for (n, &second) in columns.iter().enumerate() {
        let Some(b) = level(second) else { continue };
        for &first in &columns[..n] {
            if let Some(a) = level(first) {
                tell(([first, second], [a, b]));
            }
        }
    }
}
