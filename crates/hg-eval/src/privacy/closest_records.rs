//! Distance of synthetic records to the closest real one (DCR) and the nearest-neighbour
//! distance ratio (NNDR).
//!
//! Kuo et al. 2022 ask that the least Euclidean distance in encoded space between any real and
//! any synthetic record exceed 0. A record is one step of one patient; one with a value that is
//! not finite is left out. Distances alone prove no privacy; what they can show is copying. Real
//! patients that were held out give the yardstick: records of people whom the training never saw
//! are this near to those whom it saw.

use crate::judge::{MIN_PATIENTS, patients};
use crate::statistics::{is_finite, stride};
use crate::{
    Answer, Compared, FigureValue, Finding, Measure, Outcome, PatientCounts, Result, Subject, Topic,
};
use hg_data::Encoded;
use rayon::prelude::*;
use serde::Serialize;

/// Records of a side that are compared; of more, evenly spread ones are.
const MAX_RECORDS: usize = 10_000;

/// Distances from records to the closest record that was trained on, in encoded space.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DistanceToClosestRecord {
    /// The least distance.
    #[serde(rename = "least")]
    pub min: f64,
    /// The distances' 5 % quantile.
    #[serde(rename = "low")]
    pub percentile_5: f64,
    /// The distances' median.
    pub median: f64,
    /// The 5 % quantile of the nearest-neighbour distance ratio, which divides the distance to
    /// the closest record by that to the second closest: 1 is as near to two as to one, 0 is a
    /// copy of one, and a low ratio points to one.
    #[serde(rename = "ratio_low")]
    pub nndr_percentile_5: f64,
    /// The median of the nearest-neighbour distance ratio.
    #[serde(rename = "ratio_median")]
    pub nndr_median: f64,
    /// Records that equal one that was trained on.
    pub copies: usize,
    /// Records that were compared.
    pub records: usize,
}

pub(crate) struct ClosestRecords;

impl Measure for ClosestRecords {
    fn id(&self) -> &'static str {
        "closest-records"
    }

    fn topic(&self) -> Topic {
        Topic::Privacy
    }

    fn stage(&self) -> &'static str {
        "closest records"
    }

    fn about(&self) -> &'static str {
        "The distance to the closest record (DCR): the Euclidean distance in encoded space from \
         each synthetic record (one step of one patient) to the closest record that was trained \
         on, at least 0, which is a copy (Kuo et al. 2022, \
         [doi:10.1038/s41597-022-01784-7](https://doi.org/10.1038/s41597-022-01784-7)). The \
         nearest-neighbour distance ratio (NNDR) divides it by the distance to the second closest \
         (Zhao et al. 2021, \
         [doi:10.48550/arXiv.2102.08369](https://doi.org/10.48550/arXiv.2102.08369)), in [0, 1]: \
         a low ratio points to one record. At most 10,000 records of a side are compared. No \
         larger share of copies passes than held-out patients have; without those, none. \
         Distances show copying; they prove no privacy."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let compared = Compared::new(subject, |cohort| {
            Ok(distance_to_closest_record(&cohort.encoded, &subject.real.encoded))
        })?;
        let number = |name, of: fn(&DistanceToClosestRecord) -> f64| compared.figure(name, of);
        let copies = compared.figure("records that equal one trained on", |found| {
            FigureValue::Count { count: found.copies, of: found.records }
        });
        let finding = Finding::new()
            .with_answer(Answer::new(
                "copies",
                "Are real records not copied?",
                judge(&subject.patients(), &compared),
            ))
            .with_figure(copies)
            .with_figures([
                number("distance to the nearest, least", |found| found.min),
                number("distance to the nearest, median", |found| found.median),
                number("its ratio to that of the second nearest, 5 % below", |found| {
                    found.nndr_percentile_5
                }),
                number("the ratio's median", |found| found.nndr_median),
            ])
            .with_json("nearness", &compared.synthetic)?
            .with_json("held_out_nearness", &compared.held_out)?;
        Ok(finding.with_detail(compared))
    }
}

/// One copy is enough to fail, of however few patients; that there is none takes some to say.
fn judge(counts: &PatientCounts, compared: &Compared<DistanceToClosestRecord>) -> Outcome {
    let found = compared.synthetic.as_ref().ok_or("there are no records to compare")?;
    let share = |found: &DistanceToClosestRecord| found.copies as f64 / found.records as f64;
    let usual = compared.held_out.as_ref().filter(|_| counts.has_yardstick()).map(share);
    let yardstick = match (usual, counts.held_out) {
        (Some(usual), _) => format!("{:.1} % of held-out ones do", 100. * usual),
        (None, Some(few)) => {
            format!("{} held out are too few to say how many would", patients(few, ""))
        }
        (None, None) => "nobody was held out to say how many would".into(),
    };
    let DistanceToClosestRecord { copies, records, .. } = found;
    let said = format!("{copies} of {records} records equal one that was trained on ({yardstick})");
    if share(found) > usual.unwrap_or(0.) {
        return Ok((false, said));
    }
    match counts.at_least(MIN_PATIENTS) {
        Ok(()) => Ok((true, said)),
        Err(few) => Err(format!("{said}; {few}")),
    }
}

/// Distances of each record of `from` to its closest of `to`; `None` when either side is
/// empty or they are encoded differently.
pub fn distance_to_closest_record(from: &Encoded, to: &Encoded) -> Option<DistanceToClosestRecord> {
    let (from_rows, to_rows) = (spread_rows(from), spread_rows(to));
    if from_rows.is_empty() || to_rows.is_empty() || from.features != to.features {
        return None;
    }
    let records = Records::new(&to_rows);
    let closest: Vec<[f64; 2]> = from_rows.par_iter().map(|row| records.closest_two(row)).collect();
    let sorted = |of: fn(&[f64; 2]) -> f64| -> Vec<f64> {
        let mut values: Vec<f64> = closest.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let distances = sorted(|[closest, _]| *closest);
    // A record that is equal to two points to neither.
    let ratios = sorted(|[closest, second]| if *second > 0. { closest / second } else { 1. });
    let at = |values: &[f64], share: f64| values[(share * (values.len() - 1) as f64) as usize];
    Some(DistanceToClosestRecord {
        min: distances[0],
        percentile_5: at(&distances, 0.05),
        median: at(&distances, 0.5),
        nndr_percentile_5: at(&ratios, 0.05),
        nndr_median: at(&ratios, 0.5),
        copies: distances.iter().take_while(|distance| **distance == 0.).count(),
        records: distances.len(),
    })
}

/// At most [`MAX_RECORDS`] evenly spread records `[features]` whose values are finite.
pub(super) fn spread_rows(encoded: &Encoded) -> Vec<&[f32]> {
    let spread = encoded.rows().step_by(stride(encoded.lengths.iter().sum(), MAX_RECORDS));
    spread.filter(|row| is_finite(row)).collect()
}

/// Records that are compared with one at once.
const BLOCK: usize = 64;

/// Records `[features]` in blocks, feature by feature, so that distances to a block add up side by side.
pub(super) struct Records {
    /// `[blocks][features]` of as many values as a block has records; what is left of the last
    /// block is infinitely far.
    blocks: Vec<Vec<[f64; BLOCK]>>,
}

impl Records {
    pub(super) fn new(rows: &[&[f32]]) -> Self {
        let features = rows.first().map_or(0, |row| row.len());
        let block = |rows: &[&[f32]]| {
            let at = |feature: usize, n: usize| {
                rows.get(n).map_or(f64::INFINITY, |row| f64::from(row[feature]))
            };
            (0..features).map(|feature| std::array::from_fn(|n| at(feature, n))).collect()
        };
        Self { blocks: rows.chunks(BLOCK).map(block).collect() }
    }

    /// The distances of a record to the closest of these and to the second closest.
    pub(super) fn closest_two(&self, row: &[f32]) -> [f64; 2] {
        let (mut closest, mut second) = ([f64::INFINITY; BLOCK], [f64::INFINITY; BLOCK]);
        for block in &self.blocks {
            let mut squares = [0f64; BLOCK];
            for (&value, column) in row.iter().zip(block) {
                for (square, other) in squares.iter_mut().zip(column) {
                    let apart = f64::from(value) - other;
                    *square += apart * apart;
                }
            }
            for ((square, closest), second) in squares.iter().zip(&mut closest).zip(&mut second) {
                *second = second.min(square.max(*closest));
                *closest = closest.min(*square);
            }
        }
        let mut least = [f64::INFINITY; 2];
        for square in closest.into_iter().chain(second) {
            least = [least[0].min(square), least[1].min(square.max(least[0]))];
        }
        least.map(f64::sqrt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohort(rows: &[[f32; 2]]) -> Encoded {
        let values = rows.concat().into();
        Encoded {
            values,
            lengths: vec![rows.len()],
            steps: rows.len(),
            features: 2,
            counts: Default::default(),
        }
    }

    #[test]
    fn a_copy_is_counted_and_the_rest_has_its_distance() {
        let real = cohort(&[[0., 0.], [1., 1.]]);
        let near =
            distance_to_closest_record(&cohort(&[[1., 1.], [0.6, 0.]]), &real).expect("rows");
        assert_eq!((near.copies, near.records, near.min), (1, 2, 0.));
        let far = distance_to_closest_record(&cohort(&[[0.6, 0.]]), &real).expect("rows");
        assert!((far.median - 0.6).abs() < 1e-6 && far.copies == 0, "{far:?}");
        assert_eq!(distance_to_closest_record(&cohort(&[]), &real), None);
    }

    #[test]
    fn the_second_nearest_is_of_any_block() {
        let mut rows: Vec<[f32; 2]> = (0..200).map(|n| [10. + n as f32, 0.]).collect();
        (rows[3], rows[130]) = ([1., 0.], [3., 0.]);
        let near = distance_to_closest_record(&cohort(&[[0., 0.]]), &cohort(&rows)).expect("rows");
        assert!((near.nndr_median - 1. / 3.).abs() < 1e-6, "{near:?}");
        // In one block and one lane: the second is kept where a nearer one comes later.
        (rows[2], rows[66]) = ([0.5, 0.], [0.25, 0.]);
        let near = distance_to_closest_record(&cohort(&[[0., 0.]]), &cohort(&rows)).expect("rows");
        assert!((near.nndr_median - 0.5).abs() < 1e-6, "{near:?}");
    }

    #[test]
    fn quantiles_are_those_at_or_below_the_share() {
        // Distances 0, 1, …, 40 to the record at 0; the second record is at −1.
        let from: Vec<[f32; 2]> = (0..41).rev().map(|n| [n as f32, 0.]).collect();
        let found = distance_to_closest_record(&cohort(&from), &cohort(&[[0., 0.], [-1., 0.]]));
        let found = found.expect("rows");
        assert_eq!((found.min, found.percentile_5, found.median), (0., 2., 20.));
        assert!((found.nndr_percentile_5 - 2. / 3.).abs() < 1e-12, "{found:?}");
        assert!((found.nndr_median - 20. / 21.).abs() < 1e-12, "{found:?}");
        assert_eq!((found.copies, found.records), (1, 41));
    }

    #[test]
    fn a_record_equal_to_two_points_to_neither() {
        let real = cohort(&[[1., 1.], [1., 1.], [5., 5.]]);
        let found = distance_to_closest_record(&cohort(&[[1., 1.]]), &real).expect("rows");
        assert_eq!((found.nndr_median, found.copies), (1., 1));
    }

    #[test]
    fn many_records_are_spread_and_those_not_finite_left_out() {
        let mut rows: Vec<[f32; 2]> = (0..MAX_RECORDS + 1).map(|n| [n as f32, 0.]).collect();
        let spread = cohort(&rows);
        let spread = spread_rows(&spread);
        assert_eq!((spread.len(), spread[1][0]), (MAX_RECORDS / 2 + 1, 2.));
        rows.truncate(3);
        rows[1][1] = f32::NAN;
        assert_eq!(spread_rows(&cohort(&rows)).len(), 2);
        let other = Encoded { features: 1, ..cohort(&rows) };
        assert_eq!(distance_to_closest_record(&cohort(&rows), &other), None);
        assert_eq!(distance_to_closest_record(&cohort(&rows), &cohort(&[])), None);
    }

    #[test]
    fn copies_pass_up_to_the_share_that_enough_held_out_patients_have() {
        let found = |copies, records| DistanceToClosestRecord {
            min: 0.,
            percentile_5: 0.,
            median: 0.,
            nndr_percentile_5: 0.,
            nndr_median: 0.,
            copies,
            records,
        };
        let outcome = |patients, synthetic, held_out: Option<(usize, usize)>| {
            let counts = PatientCounts {
                real: patients,
                held_out: held_out.map(|_| patients),
                synthetic: patients,
            };
            let held_out = held_out.map(|(copies, records)| found(copies, records));
            let (copies, records) = synthetic;
            judge(&counts, &Compared { synthetic: Some(found(copies, records)), held_out })
        };
        // One in ten, where two in ten held-out records are copies, and the other way round.
        let passed = outcome(10, (10, 100), Some((2, 10)));
        assert!(passed.as_ref().is_ok_and(|(passed, _)| *passed), "{passed:?}");
        assert!(passed.is_ok_and(|(_, said)| said.contains("20.0 % of held-out ones do")));
        assert!(outcome(10, (2, 10), Some((10, 100))).is_ok_and(|(passed, _)| !passed));
        assert!(outcome(10, (2, 10), Some((20, 100))).is_ok_and(|(passed, _)| passed));
        // Nobody to compare with: no copy is usual, and few patients say nothing but of copies.
        assert!(outcome(10, (0, 10), None).is_ok_and(|(passed, _)| passed));
        assert!(outcome(10, (1, 10), None).is_ok_and(|(passed, _)| !passed));
        assert!(outcome(9, (1, 10), Some((9, 10))).is_ok_and(|(passed, _)| !passed));
        let few = outcome(9, (0, 10), None).expect_err("few patients");
        assert!(few.contains("0 of 10 records") && few.contains("it takes 10"), "{few}");
    }
}
