//! Do statics occur together as in the real cohort: shares of the joint cells of two and of three.
//!
//! ```text
//! p, q   shares of the cells among n real and m other patients,   r = (n p + m q) / (n + m)
//! TV   = ½ Σ |p − q|
//! by chance, of two draws from r:   ½ Σ min( √(2/π · r (1 − r) (1/n + 1/m)), 2 r )
//! beyond chance = max(0, TV − by chance)
//! ```

use crate::judge::within;
use crate::statistics::{mean, percentile};
use crate::{Answer, Cohort, Compared, Finding, Measure, ReportTable, Result, Subject, Topic};
use hg_data::{Column, Kind, Schema};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

/// Static columns that are put together; of more, the first ones are.
const MAX_COLUMNS: usize = 24;
/// Levels of a column that have a cell of their own, the commonest; the others share one.
const MAX_LEVELS: usize = 8;
/// So many patients a cell, on average, are enough for three columns.
const PATIENTS_PER_CELL: usize = 5;
/// A mean total variation beyond chance up to here passes: three of 100 patients in another cell.
const MAX_BEYOND_CHANCE: f64 = 0.03;
/// Rows of the table.
const SHOWN: usize = 10;

/// How the joint cells of some columns differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct JointCells {
    /// The columns: two or three.
    pub columns: Vec<String>,
    /// Total variation of the shares of the cells.
    pub total_variation: f64,
    /// What two draws of these sizes from one law differ by, on average.
    pub by_chance: f64,
}

impl JointCells {
    /// The total variation that is no chance.
    pub fn beyond_chance(&self) -> f64 {
        (self.total_variation - self.by_chance).max(0.)
    }
}

/// How the joint cells of static columns differ from the real cohort's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct JointStatics {
    /// Mean total variation beyond chance of pairs; `None` where there are none.
    pub pairs: Option<f64>,
    /// Mean total variation beyond chance of triples; `None` where no three have few enough cells.
    pub triples: Option<f64>,
    /// Pairs and triples, those that differ most first.
    pub cells: Vec<JointCells>,
}

pub(crate) struct JointCellsOfStatics;

impl Measure for JointCellsOfStatics {
    fn id(&self) -> &'static str {
        "joint-statics"
    }

    fn topic(&self) -> Topic {
        Topic::Realism
    }

    fn stage(&self) -> &'static str {
        "joint statics"
    }

    fn about(&self) -> &'static str {
        "Whether static columns occur together as in the real cohort, as sex × status × treatment: the \
         total variation, in [0, 1], between the shares of patients in the joint cells of every two, and \
         of every three that have five real patients or more a cell, of up to 24 columns. Numbers are cut \
         at the real cohort's quartiles; levels beyond the eight commonest share a cell, and missing is a \
         cell of its own. Of each total variation that is taken off which two draws of the same sizes \
         from one law (that of both cohorts together) differ by on average, by the normal approximation \
         of a cell's share: with 16 cells and 300 patients a side it is 0.13. The figures are the means \
         of what is beyond chance, 0 is equal. Up to 0.03 passes, or up to what held-out patients differ \
         by."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let statics = Statics::new(subject);
        let compared = Compared::new(subject, |cohort| Ok(Some(statics.compare(cohort))))?;
        let difference = |name, of: fn(&JointStatics) -> Option<f64>| compared.difference(name, of);
        let outcome = within(
            MAX_BEYOND_CHANCE,
            &subject.patients(),
            &[
                difference("beyond chance, pairs differ by", |found| found.pairs),
                difference("triples by", |found| found.triples),
            ],
            "there are no two static columns of which real patients have different values",
        );
        let figure = |name, of: fn(&JointStatics) -> Option<f64>| compared.figure(name, of);
        let mut finding = Finding::new()
            .with_answer(Answer::new(
                "joint statics",
                "Do statics occur together as in the real cohort?",
                outcome,
            ))
            .with_figures([
                figure("pairs of statics, mean total variation beyond chance", |f| f.pairs),
                figure("triples of statics, mean total variation beyond chance", |f| f.triples),
            ])
            .with_json("joint_statics", &compared.synthetic)?
            .with_json("held_out_joint_statics", &compared.held_out)?;
        let worst = compared.synthetic.as_ref().map_or(&[][..], |found| &found.cells);
        if !worst.is_empty() {
            finding = finding.with_table(table(worst));
        }
        Ok(finding.with_detail(compared))
    }
}

fn table(cells: &[JointCells]) -> ReportTable {
    let row = |joint: &JointCells| {
        let number = |x: f64| format!("{x:.3}");
        let [found, chance] = [joint.total_variation, joint.by_chance].map(number);
        vec![joint.columns.join(" × "), found, chance, number(joint.beyond_chance())]
    };
    ReportTable {
        title: "Statics together".into(),
        note: format!(
            "The joint cells of two and three static columns that differ most, {} of {}: the total \
             variation between the shares of real and synthetic patients in them.",
            cells.len().min(SHOWN),
            cells.len()
        ),
        header: ["columns", "total variation", "by chance", "beyond chance"]
            .map(String::from)
            .into(),
        rows: cells.iter().take(SHOWN).map(row).collect(),
    }
}

/// Static columns that vary in the real cohort, each with its cells.
struct Statics<'a> {
    schema: &'a Schema,
    /// Position of each column, and how it is cut.
    columns: Vec<(usize, Cut)>,
    /// `[columns, patients]`
    real: Vec<Vec<usize>>,
    /// How many cells each column has.
    widths: Vec<usize>,
}

/// Which cell a value is in; the last one is that of missing values.
enum Cut {
    /// Ascending; a value is in the cell after those that it is above.
    At(Vec<f64>),
    /// The levels that have cells of their own; the others share the next one.
    Levels(Vec<usize>),
}

impl Cut {
    fn new(column: &Column, values: &[Option<f64>]) -> Self {
        let mut seen: Vec<f64> = values.iter().flatten().copied().collect();
        if column.kind == Kind::Numeric {
            seen.sort_by(f64::total_cmp);
            let quartile = |share| percentile(&seen, share);
            let mut cuts: Vec<f64> = [0.25, 0.5, 0.75].into_iter().filter_map(quartile).collect();
            cuts.dedup();
            // Nothing lies above the greatest.
            cuts.retain(|cut| seen.last().is_some_and(|greatest| cut < greatest));
            return Self::At(cuts);
        }
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        seen.iter().for_each(|&level| *counts.entry(level as usize).or_default() += 1);
        let mut levels: Vec<(usize, usize)> = counts.into_iter().collect();
        levels.sort_by_key(|&(level, count)| (std::cmp::Reverse(count), level));
        Self::Levels(levels.into_iter().take(MAX_LEVELS).map(|(level, _)| level).collect())
    }

    fn cell(&self, value: Option<f64>) -> usize {
        match (self, value) {
            (Self::At(cuts), Some(x)) => cuts.partition_point(|cut| *cut < x),
            (Self::At(cuts), None) => cuts.len() + 1,
            (Self::Levels(levels), Some(x)) => {
                let level = x as usize;
                levels.iter().position(|known| *known == level).unwrap_or(levels.len())
            }
            (Self::Levels(levels), None) => levels.len() + 1,
        }
    }
}

impl<'a> Statics<'a> {
    fn new(subject: &Subject<'a>) -> Self {
        let schema = &subject.encoder.schema;
        let cut = |n: usize| {
            let values = first_values(subject.real, n);
            let cut = Cut::new(&schema.columns[n], &values);
            let cells: Vec<usize> = values.into_iter().map(|value| cut.cell(value)).collect();
            (n, cut, cells)
        };
        let varies = |(_, _, cells): &(usize, Cut, Vec<usize>)| {
            cells.iter().any(|cell| cells.first() != Some(cell))
        };
        let statics = (0..schema.columns.len()).filter(|&n| schema.columns[n].is_static);
        let chosen = statics.map(cut).filter(varies).take(MAX_COLUMNS);

        let mut found = Self { schema, columns: Vec::new(), real: Vec::new(), widths: Vec::new() };
        for (n, cut, cells) in chosen {
            let mut occurring = cells.clone();
            occurring.sort_unstable();
            occurring.dedup();
            found.widths.push(occurring.len());
            found.columns.push((n, cut));
            found.real.push(cells);
        }
        found
    }

    fn compare(&self, cohort: &Cohort) -> JointStatics {
        let cells = |(n, cut): &(usize, Cut)| -> Vec<usize> {
            first_values(cohort, *n).into_iter().map(|value| cut.cell(value)).collect()
        };
        let other: Vec<Vec<usize>> = self.columns.iter().map(cells).collect();
        let columns = self.columns.len();
        let pairs: Vec<Vec<usize>> =
            (0..columns).flat_map(|b| (0..b).map(move |a| vec![a, b])).collect();
        let patients = self.real.first().map_or(0, Vec::len);
        let is_wide_enough = |chosen: &Vec<usize>| {
            let width: usize = chosen.iter().map(|&n| self.widths[n]).product();
            width * PATIENTS_PER_CELL <= patients
        };
        let third = |pair: &Vec<usize>| {
            let [a, b] = [pair[0], pair[1]];
            (b + 1..columns).map(move |c| vec![a, b, c])
        };
        let triples: Vec<Vec<usize>> =
            pairs.iter().flat_map(third).filter(is_wide_enough).collect();

        let joint = |chosen: &Vec<usize>| self.joint(&other, chosen);
        let [pairs, triples] = [pairs, triples]
            .map(|chosen| -> Vec<JointCells> { chosen.par_iter().filter_map(joint).collect() });
        let excess = |found: &[JointCells]| mean(found.iter().map(JointCells::beyond_chance));
        let (of_pairs, of_triples) = (excess(&pairs), excess(&triples));
        let mut cells: Vec<JointCells> = pairs.into_iter().chain(triples).collect();
        cells.sort_by(|a, b| b.beyond_chance().total_cmp(&a.beyond_chance()));
        JointStatics { pairs: of_pairs, triples: of_triples, cells }
    }

    /// `None` where a side has no patient.
    fn joint(&self, other: &[Vec<usize>], chosen: &[usize]) -> Option<JointCells> {
        let (total_variation, by_chance) = differences(
            &chosen.iter().map(|&n| self.real[n].as_slice()).collect::<Vec<_>>(),
            &chosen.iter().map(|&n| other[n].as_slice()).collect::<Vec<_>>(),
        )?;
        let name = |&n: &usize| self.schema.columns[self.columns[n].0].name.clone();
        let columns = chosen.iter().map(name).collect();
        Some(JointCells { columns, total_variation, by_chance })
    }
}

/// What each patient with a row has in a static column: its first finite value.
fn first_values(cohort: &Cohort, column: usize) -> Vec<Option<f64>> {
    let cells = &cohort.observed.columns[column];
    let mut end = 0;
    let value = |&length: &usize| {
        let rows = end..end + length;
        end += length;
        cells[rows].iter().flatten().copied().find(|x| x.is_finite())
    };
    cohort.observed.lengths.iter().filter(|length| **length > 0).map(value).collect()
}

/// Total variation of the shares of joint cells, and what chance makes of it, of two sides of
/// columns `[columns][patients]`; `None` where a side has no patient.
fn differences(real: &[&[usize]], other: &[&[usize]]) -> Option<(f64, f64)> {
    let mut counts: BTreeMap<Vec<usize>, [f64; 2]> = BTreeMap::new();
    for (side, columns) in [real, other].into_iter().enumerate() {
        for patient in 0..columns.first()?.len() {
            let cell = columns.iter().map(|column| column[patient]).collect();
            counts.entry(cell).or_default()[side] += 1.;
        }
    }
    let [n, m] = [real, other].map(|side| side.first().map_or(0, |column| column.len()) as f64);
    if n == 0. || m == 0. {
        return None;
    }
    let of_cell = |[a, b]: &[f64; 2]| {
        let pooled = (a + b) / (n + m);
        let deviation = (pooled * (1. - pooled) * (1. / n + 1. / m)).sqrt();
        let expected = (2. / std::f64::consts::PI).sqrt() * deviation;
        ((a / n - b / m).abs(), expected.min(2. * pooled))
    };
    let sums = counts.values().map(of_cell).fold((0., 0.), |s, x| (s.0 + x.0, s.1 + x.1));
    Some((0.5 * sums.0, 0.5 * sums.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn cells_are_quartiles_of_numbers_the_commonest_levels_and_one_of_missing_values() {
        let number: Column = Column::numeric("x").into();
        let values: Vec<Option<f64>> = (0..9).map(|x| Some(f64::from(x))).collect();
        let cut = Cut::new(&number, &values);
        let cells = [-1., 2., 2.5, 4., 6., 7., 99.].map(|x| cut.cell(Some(x)));
        assert_eq!(cells, [0, 0, 1, 1, 2, 3, 3]);
        assert_eq!(cut.cell(None), 4);
        // Half of the values are 0, and none is below.
        let zeros: Vec<Option<f64>> = [0., 0., 0., 1., 2.].map(Some).into();
        let cut = Cut::new(&number, &zeros);
        assert_eq!([0., 0.5, 1., 2.].map(|x| cut.cell(Some(x))), [0, 1, 1, 2]);
        let constant = Cut::new(&number, &[Some(3.), Some(3.)]);
        assert_eq!([2., 3., 4.].map(|x| constant.cell(Some(x))), [0, 0, 0]);
        let nothing = Cut::new(&number, &[]);
        assert_ne!(nothing.cell(Some(1.)), nothing.cell(None));

        let levels: Column = Column::categorical("l").into();
        let mut values: Vec<Option<f64>> = (0..12).map(|x| Some(f64::from(x))).collect();
        values.push(Some(11.));
        let cut = Cut::new(&levels, &values);
        assert_eq!([11., 0., 6., 7., 10.].map(|x| cut.cell(Some(x))), [0, 1, 7, 8, 8]);
        assert_eq!(cut.cell(None), 9);
    }

    #[test]
    fn joint_cells_differ_where_columns_alone_do_not() {
        // Real: (0, 0) and (1, 1). Other: all four.
        let real: [&[usize]; 2] = [&[0, 0, 1, 1], &[0, 0, 1, 1]];
        let other: [&[usize]; 2] = [&[0, 0, 1, 1], &[0, 1, 0, 1]];
        let (found, chance) = differences(&real, &other).expect("patients");
        // Pooled shares are 3/8, 1/8, 1/8, 3/8.
        let deviation = |share: f64| (share * (1. - share) / 2.).sqrt();
        let expected = |share: f64| (2. / std::f64::consts::PI).sqrt() * deviation(share);
        assert_eq!(found, 0.5);
        assert!((chance - (expected(0.375) + expected(0.125))).abs() < 1e-12, "{chance}");
        assert_eq!(differences(&real, &real).map(|(found, _)| found), Some(0.));
        assert_eq!(differences(&real, &[&[], &[]]), None);
        assert_eq!(differences(&[], &[]), None);
    }

    #[test]
    fn what_chance_makes_of_total_variation_is_what_draws_show() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        // Sixteen cells, common and rare.
        let mut draw = |count: usize| -> Vec<usize> {
            (0..count).map(|_| (rng.random::<f64>().powi(2) * 16.) as usize).collect()
        };
        for (n, m) in [(300, 300), (250, 60), (60, 600)] {
            let draws = (0..200).filter_map(|_| differences(&[&draw(n)], &[&draw(m)]));
            let sum = draws.fold((0., 0.), |s, x| (s.0 + x.0, s.1 + x.1));
            let (found, chance) = (sum.0 / 200., sum.1 / 200.);
            assert!((found / chance - 1.).abs() < 0.05, "{n}, {m}: {found} and {chance}");
        }
    }
}
