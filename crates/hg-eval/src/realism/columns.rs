//! A real and a synthetic cohort, column by column.

use crate::judge::{Difference, within_limit};
use crate::statistics::{deviation, mean, shares};
use crate::{
    Answer, Figure, Finding, Hierarchy, Measure, Result, Subject, Topic, hierarchy, jensen_shannon,
    kolmogorov_smirnov, total_variation, wasserstein,
};
use hg_data::{Kind, Observed, Schema};
use serde::Serialize;

/// How one column compares.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ColumnComparison {
    /// The column's name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Its levels; none for a numeric column.
    pub levels: Vec<String>,
    /// Observed real cells: values, or positions of levels.
    #[serde(skip)]
    pub real: Vec<f64>,
    /// Observed synthetic cells: values, or positions of levels.
    #[serde(skip)]
    pub synthetic: Vec<f64>,
    /// Mean of the real cells (of positions for levels); `None` where there are none.
    pub real_mean: Option<f64>,
    /// Mean of the synthetic cells (of positions for levels); `None` where there are none.
    pub synthetic_mean: Option<f64>,
    /// Standard deviation of the real cells.
    pub real_deviation: Option<f64>,
    /// Standard deviation of the synthetic cells.
    pub synthetic_deviation: Option<f64>,
    /// Share of real cells that are missing.
    pub real_missing: f64,
    /// Share of synthetic cells that are missing.
    pub synthetic_missing: f64,
    /// Kolmogorov–Smirnov statistic (numeric) or total variation of the level
    /// shares (discrete): 0 is equal, 1 is disjoint, and so is a column in which one side alone
    /// has values. `None` where neither has.
    pub distance: Option<f64>,
    /// Wasserstein distance of order 1 of numbers, in the column's unit.
    pub wasserstein: Option<f64>,
    /// Jensen–Shannon divergence of level shares, in nats.
    pub jensen_shannon: Option<f64>,
    /// The classical tests; of levels the first alone, on their positions, means anything.
    pub hierarchy: Option<Hierarchy>,
}

/// How a synthetic cohort compares with the real one, column by column.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Columns {
    /// In schema order.
    pub columns: Vec<ColumnComparison>,
    /// Means of their distances.
    pub distances: ColumnMeans,
    /// Means of the distances between held-out patients and those trained on: what two draws
    /// from one population differ by.
    pub held_out: Option<ColumnMeans>,
}

/// Mean distances over columns; `None` where there was nothing to compare.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ColumnMeans {
    /// Mean Kolmogorov–Smirnov statistic of the numeric columns.
    pub mean_ks: Option<f64>,
    /// Mean total variation of the discrete columns.
    pub mean_total_variation: Option<f64>,
}

pub(crate) struct ColumnDistances;

impl Measure for ColumnDistances {
    fn id(&self) -> &'static str {
        "column-distances"
    }

    fn topic(&self) -> Topic {
        Topic::Realism
    }

    fn stage(&self) -> &'static str {
        "columns"
    }

    fn about(&self) -> &'static str {
        "How far each column's distribution is from the real one: the two-sample \
         Kolmogorov–Smirnov statistic of numbers (Smirnov 1948, \
         [doi:10.1214/aoms/1177730256](https://doi.org/10.1214/aoms/1177730256)), the total \
         variation of the level shares of others; both in [0, 1], 0 is equal, 1 is disjoint. A \
         mean over columns up to 0.1 passes. Beside them the Wasserstein distance of order 1 in \
         the column's unit (numbers), the Jensen–Shannon divergence in nats (levels), and the \
         tests of Kuo et al. 2022 \
         ([doi:10.1038/s41597-022-01784-7](https://doi.org/10.1038/s41597-022-01784-7)): on 100 \
         random draws of 200 values of either side the Kolmogorov–Smirnov test at 5 %, and of the \
         draws that it rejects the shares that pass Student's test of the means, Snedecor's test \
         of the variances, and the three-sigma rule (at least 8/9 of the synthetic values within \
         three standard deviations of the real mean)."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let Subject { encoder, real, synthetic, held_out, .. } = subject;
        let held_out = held_out.map(|cohort| &cohort.observed);
        let found = Columns::new(&encoder.schema, &real.observed, &synthetic.observed, held_out);

        let distance = mean(found.columns.iter().filter_map(|column| column.distance));
        let difference = Difference { name: "mean distance", synthetic: distance, held_out: None };
        let outcome = within_limit(&subject.patients(), &[difference], "no column has a value");
        let question = "Is each column distributed as in the real cohort?";
        let figure = |name, of: fn(&ColumnMeans) -> Option<f64>| {
            let figure = Figure::new(name, of(&found.distances));
            match &found.held_out {
                Some(held_out) => figure.held_out(of(held_out)),
                None => figure,
            }
        };
        let finding = Finding::new()
            .with_answer(Answer::new("columns", question, outcome))
            .with_figure(figure("Kolmogorov–Smirnov, mean of numeric columns", |d| d.mean_ks))
            .with_figure(figure("total variation, mean of discrete columns", |d| {
                d.mean_total_variation
            }))
            .with_json("columns", &found.columns)?
            .with_json("mean_ks", &found.distances.mean_ks)?
            .with_json("mean_total_variation", &found.distances.mean_total_variation)?
            .with_json("held_out", &found.held_out)?;
        Ok(finding.with_detail(found))
    }
}

impl Columns {
    /// Compares two cohorts on one schema's grid, and held-out patients with the first.
    pub(crate) fn new(
        schema: &Schema,
        real: &Observed,
        synthetic: &Observed,
        held_out: Option<&Observed>,
    ) -> Self {
        let cells = schema.columns.iter().zip(&real.columns);
        let columns: Vec<ColumnComparison> = cells
            .clone()
            .zip(&synthetic.columns)
            .map(|((column, real), synthetic)| compare(column, real, synthetic))
            .collect();
        let distances: Vec<Option<f64>> = columns.iter().map(|column| column.distance).collect();
        let held_out = held_out.map(|others| {
            let distances: Vec<Option<f64>> = cells
                .zip(&others.columns)
                .map(|((column, real), other)| distance(column, &seen(real), &seen(other)))
                .collect();
            ColumnMeans::new(schema, &distances)
        });
        Self { columns, distances: ColumnMeans::new(schema, &distances), held_out }
    }
}

impl ColumnMeans {
    /// Of each column's distance.
    fn new(schema: &Schema, distances: &[Option<f64>]) -> Self {
        let of_kind = |numeric: bool| {
            let columns = schema.columns.iter().zip(distances);
            let columns = columns.filter(|(c, _)| (c.kind == Kind::Numeric) == numeric);
            mean(columns.filter_map(|(_, distance)| *distance))
        };
        Self { mean_ks: of_kind(true), mean_total_variation: of_kind(false) }
    }
}

/// The values of cells that hold a finite one.
fn seen(cells: &[Option<f64>]) -> Vec<f64> {
    cells.iter().flatten().copied().filter(|value| value.is_finite()).collect()
}

/// The share of cells without a finite value; 0 where there are no cells.
pub(super) fn missing_share(cells: &[Option<f64>]) -> f64 {
    (cells.len() - seen(cells).len()) as f64 / cells.len().max(1) as f64
}

/// The levels of a column; none for a numeric one.
fn levels_of(column: &hg_data::Column) -> Vec<String> {
    if column.kind == Kind::Numeric { Vec::new() } else { column.level_names() }
}

/// Kolmogorov–Smirnov statistic or total variation of observed cells; 1 where one side alone
/// has any, `None` where neither has.
fn distance(column: &hg_data::Column, real: &[f64], other: &[f64]) -> Option<f64> {
    let distance = if column.kind == Kind::Numeric {
        kolmogorov_smirnov(real, other)
    } else {
        let levels = levels_of(column).len();
        total_variation(&shares(real, levels), &shares(other, levels))
    };
    distance.or((real.is_empty() != other.is_empty()).then_some(1.))
}

fn compare(
    column: &hg_data::Column,
    real_cells: &[Option<f64>],
    synthetic_cells: &[Option<f64>],
) -> ColumnComparison {
    let (real, synthetic) = (seen(real_cells), seen(synthetic_cells));
    let levels = levels_of(column);
    let (wasserstein, jensen_shannon) = if levels.is_empty() {
        (wasserstein(&real, &synthetic), None)
    } else {
        let [p, q] = [&real, &synthetic].map(|side| shares(side, levels.len()));
        (None, jensen_shannon(&p, &q))
    };
    ColumnComparison {
        name: column.name.clone(),
        unit: column.unit.clone(),
        levels,
        real_mean: mean(real.iter().copied()),
        synthetic_mean: mean(synthetic.iter().copied()),
        real_deviation: deviation(&real),
        synthetic_deviation: deviation(&synthetic),
        real_missing: missing_share(real_cells),
        synthetic_missing: missing_share(synthetic_cells),
        distance: distance(column, &real, &synthetic),
        wasserstein,
        jensen_shannon,
        hierarchy: hierarchy(&real, &synthetic, 0),
        real,
        synthetic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_column_that_nobody_has_is_left_out_of_means_and_one_that_one_side_has_is_far()
    -> hg_data::Result<()> {
        let head = "name = \"t\"\n[patient]\ncolumn = \"id\"\n[time]\ncolumn = \"t\"\nstep = 1.0\n";
        let column = |name: &str| format!("[[columns]]\nname = \"{name}\"\nkind = \"numeric\"\n");
        let levels = "[[columns]]\nname = \"d\"\nkind = \"binary\"\nlevels = [\"no\", \"yes\"]\n";
        let text = [head, &column("a"), &column("b"), &column("c"), levels].concat();
        let schema = Schema::parse(&text, Path::new("t.toml"))?;
        let cohort = |columns: [[Option<f64>; 2]; 4]| Observed {
            columns: columns.iter().map(|cells| cells.to_vec()).collect(),
            lengths: vec![2],
            out_of_domain: Vec::new(),
            violations: Vec::new(),
        };
        let (some, none) = ([Some(0.), Some(1.)], [None; 2]);
        let (real, other) = (cohort([some, some, none, some]), cohort([some, none, none, none]));
        let found = Columns::new(&schema, &real, &other, Some(&other));
        let distances: Vec<Option<f64>> = found.columns.iter().map(|c| c.distance).collect();
        assert_eq!(distances, [Some(0.), Some(1.), None, Some(1.)]);
        let means = ColumnMeans { mean_ks: Some(0.5), mean_total_variation: Some(1.) };
        assert_eq!((found.distances, found.held_out), (means, Some(means)));
        let [a, _, c, d] = &found.columns[..] else { panic!("four columns") };
        assert_eq!((a.synthetic_mean, c.real_mean, d.synthetic_mean), (Some(0.5), None, None));
        assert!(a.levels.is_empty() && a.wasserstein == Some(0.) && a.jensen_shannon.is_none());
        assert_eq!(
            (d.levels.as_slice(), d.wasserstein),
            (&["no", "yes"].map(String::from)[..], None)
        );
        let same = Columns::new(&schema, &real, &real, None);
        assert_eq!(same.columns[3].jensen_shannon, Some(0.));
        let missing = [a, c, d].map(|column| (column.real_missing, column.synthetic_missing));
        assert_eq!(missing, [(0., 0.), (1., 1.), (0., 1.)]);
        // Nothing to compare is nothing, and no 0.
        let nothing = Columns::new(&schema, &cohort([none; 4]), &cohort([none; 4]), None);
        assert_eq!(nothing.distances.mean_ks.or(nothing.distances.mean_total_variation), None);
        Ok(())
    }
}
