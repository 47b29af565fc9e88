//! Percentiles of the numeric columns.

use super::courses::name_and_unit;
use crate::statistics::percentile;
use crate::{Finding, Measure, ReportTable, Result, Subject, Topic};
use hg_data::{Kind, Observed};
use serde::Serialize;

/// The percentiles that are shown.
const SHOWN: [u32; 7] = [1, 5, 25, 50, 75, 95, 99];

/// Percentiles of a numeric column's observed values; `None` where a cohort has none.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct ColumnPercentiles {
    column: String,
    unit: String,
    real: Option<[f64; SHOWN.len()]>,
    synthetic: Option<[f64; SHOWN.len()]>,
    held_out: Option<[f64; SHOWN.len()]>,
}

pub(crate) struct Percentiles;

impl Measure for Percentiles {
    fn id(&self) -> &'static str {
        "percentiles"
    }

    fn topic(&self) -> Topic {
        Topic::Realism
    }

    fn stage(&self) -> &'static str {
        "percentiles"
    }

    fn about(&self) -> &'static str {
        "The 1st, 5th, 25th, 50th, 75th, 95th and 99th percentile of each numeric column's observed \
         values in the real, the synthetic and the held-out cohort, in the column's unit, by \
         linear interpolation between order statistics (definition 7 of Hyndman & Fan 1996, \
         [doi:10.1080/00031305.1996.10473566](https://doi.org/10.1080/00031305.1996.10473566)). \
         They show in which part of a distribution a distance lies; there is no verdict."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let columns = subject.encoder.schema.columns.iter().enumerate();
        let numeric = columns.filter(|(_, column)| column.kind == Kind::Numeric);
        let found: Vec<ColumnPercentiles> = numeric
            .map(|(n, column)| {
                let of = |cohort: &Observed| percentiles(&cohort.columns[n]);
                ColumnPercentiles {
                    column: column.name.clone(),
                    unit: column.unit.clone(),
                    real: of(&subject.real.observed),
                    synthetic: of(&subject.synthetic.observed),
                    held_out: subject.held_out.and_then(|cohort| of(&cohort.observed)),
                }
            })
            .collect();
        let finding = Finding::new().with_json("percentiles", &found)?;
        let rows: Vec<Vec<String>> =
            found.iter().flat_map(|column| rows(column, subject.held_out.is_some())).collect();
        if rows.is_empty() {
            return Ok(finding);
        }
        let percentiles = SHOWN.iter().map(|percent| format!("{percent} %"));
        Ok(finding.with_table(ReportTable {
            title: "Percentiles".into(),
            note: "So many per cent of a column's observed values lie below.".into(),
            header: ["column", "cohort"].map(String::from).into_iter().chain(percentiles).collect(),
            rows,
        }))
    }
}

/// The percentiles of the finite values of some cells; `None` where there are none.
fn percentiles(cells: &[Option<f64>]) -> Option<[f64; SHOWN.len()]> {
    let seen = cells.iter().flatten().copied().filter(|value| value.is_finite());
    let mut values: Vec<f64> = seen.collect();
    values.sort_by(f64::total_cmp);
    let mut found = [0.; SHOWN.len()];
    for (value, percent) in found.iter_mut().zip(SHOWN) {
        *value = percentile(&values, f64::from(percent) / 100.)?;
    }
    Some(found)
}

/// A column's rows of the table, one for each cohort.
fn rows(found: &ColumnPercentiles, has_held_out: bool) -> Vec<Vec<String>> {
    let name = name_and_unit(&found.column, &found.unit);
    let cohorts = [("real", found.real), ("synthetic", found.synthetic)];
    let held_out = has_held_out.then_some(("held out", found.held_out));
    let row = |(cohort, percentiles): (&str, Option<[f64; SHOWN.len()]>)| {
        let cells: Vec<String> = match percentiles {
            Some(percentiles) => percentiles.iter().map(|value| format!("{value:.2}")).collect(),
            None => vec!["–".into(); SHOWN.len()],
        };
        [name.clone(), cohort.into()].into_iter().chain(cells).collect()
    };
    cohorts.into_iter().chain(held_out).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_numpys_and_of_finite_values_alone() {
        // np.percentile([3, 1, 4, 1.5, 9, 2.6], [1, 5, 25, 50, 75, 95, 99])
        let values = [3., 1., f64::NAN, 4., 1.5, f64::INFINITY, 9., 2.6];
        let mut cells: Vec<Option<f64>> = values.map(Some).into();
        cells.push(None);
        let found = percentiles(&cells).expect("values");
        let numpys = [1.025, 1.125, 1.775, 2.8, 3.75, 7.75, 8.75];
        for (ours, exact) in found.iter().zip(numpys) {
            assert!((ours - exact).abs() < 1e-12, "{found:?}");
        }
        assert_eq!(percentiles(&[Some(2.)]), Some([2.; SHOWN.len()]));
        assert_eq!(percentiles(&[None, Some(f64::NAN)]), None);
    }

    #[test]
    fn a_column_has_a_row_for_each_cohort() {
        let found = ColumnPercentiles {
            column: "bili".into(),
            unit: "mg/dL".into(),
            real: Some([1., 2., 3., 4., 5., 6., 7.126]),
            synthetic: None,
            held_out: None,
        };
        let rows = rows(&found, true);
        let first: Vec<&str> = rows.iter().map(|row| row[1].as_str()).collect();
        assert_eq!(first, ["real", "synthetic", "held out"]);
        assert_eq!((rows[0][0].as_str(), rows[0][8].as_str()), ("bili mg/dL", "7.13"));
        assert!(rows[1][2..].iter().all(|cell| cell == "–"));
        assert_eq!(super::rows(&found, false).len(), 2);
    }
}
