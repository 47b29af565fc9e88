//! A real and a synthetic cohort, column by column and pair by pair.

use crate::statistics::{deviation, mean, mean_difference, shares, stride};
use crate::{
    Hierarchy, correlation_ratio, cramer, hierarchy, jensen_shannon, kendall, kolmogorov_smirnov,
    pearson, total_variation, wasserstein,
};
use hg_data::{Kind, Observed, Schema};
use rayon::prelude::*;
use serde::Serialize;

/// Rows whose associations are taken; of more, evenly spread ones are.
const ROWS: usize = 50_000;

/// How one column compares.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnComparison {
    /// The column.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Its levels; none for a numeric column.
    pub levels: Vec<String>,
    /// Observed real cells: values, or positions of levels.
    #[serde(skip)]
    pub real: Vec<f64>,
    /// Observed synthetic cells.
    #[serde(skip)]
    pub synthetic: Vec<f64>,
    /// Mean of the real cells (of positions for levels); `None` where there are none.
    pub real_mean: Option<f64>,
    /// Mean of the synthetic cells.
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
    /// shares (discrete): 0 is equal, 1 is disjoint, and so is a column that one side alone
    /// has values in. `None` where neither has.
    pub distance: Option<f64>,
    /// Wasserstein's distance of numbers, in the column's unit.
    pub wasserstein: Option<f64>,
    /// Jensen and Shannon's divergence of levels, in nats.
    pub jensen_shannon: Option<f64>,
    /// The classical tests; of levels the first alone, on their positions, means anything.
    pub hierarchy: Option<Hierarchy>,
}

/// How a synthetic cohort compares with the real one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// In schema order.
    pub columns: Vec<ColumnComparison>,
    /// Pearson correlation of every pair of columns of the real cohort.
    pub real_correlation: Vec<Vec<f64>>,
    /// The same of the synthetic cohort.
    pub synthetic_correlation: Vec<Vec<f64>>,
    /// How strongly every pair of columns of the real cohort goes together, whatever their
    /// kinds: Kendall's τ of two numbers, the correlation ratio of a number with levels, Cramér's V
    /// of two columns of levels.
    pub real_association: Vec<Vec<f64>>,
    /// The same of the synthetic cohort.
    pub synthetic_association: Vec<Vec<f64>>,
    /// Over all columns.
    #[serde(flatten)]
    pub distances: Distances,
    /// The same between the real patients that were held out of training and those that
    /// were not: what two draws from one population differ by.
    pub held_out: Option<Distances>,
}

/// How far two cohorts are from each other; `None` where there was nothing to compare.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distances {
    /// Mean absolute difference of the correlations over all pairs of columns.
    pub correlation_difference: Option<f64>,
    /// Mean absolute difference of the associations over all pairs of columns.
    pub association_difference: Option<f64>,
    /// Mean Kolmogorov–Smirnov statistic of the numeric columns.
    pub mean_ks: Option<f64>,
    /// Mean total variation of the discrete columns.
    pub mean_total_variation: Option<f64>,
}

impl Comparison {
    /// Compares two cohorts on one schema's grid.
    pub fn new(schema: &Schema, real: &Observed, synthetic: &Observed) -> Self {
        let columns: Vec<ColumnComparison> = schema
            .columns
            .iter()
            .zip(real.columns.iter().zip(&synthetic.columns))
            .map(|(column, (real, synthetic))| compare(column, real, synthetic))
            .collect();
        let [real_correlation, synthetic_correlation] =
            [real, synthetic].map(|cohort| correlations(&cohort.columns));
        let [real_association, synthetic_association] =
            [real, synthetic].map(|cohort| associations(schema, cohort));
        let correlation_difference = mean_difference(&real_correlation, &synthetic_correlation);
        let association_difference = mean_difference(&real_association, &synthetic_association);
        let distances = |numeric: bool| {
            let of_kind = columns.iter().filter(move |c| c.levels.is_empty() == numeric);
            mean(of_kind.filter_map(|column| column.distance))
        };
        let (mean_ks, mean_total_variation) = (distances(true), distances(false));
        // A constant column does not go together even with itself.
        let own = |cohort: &Observed, n: usize| {
            pearson(&cohort.columns[n], &cohort.columns[n]).unwrap_or(0.)
        };
        let count = columns.len();
        Self {
            real_correlation: matrix(count, &real_correlation, |n| own(real, n)),
            synthetic_correlation: matrix(count, &synthetic_correlation, |n| own(synthetic, n)),
            real_association: matrix(count, &real_association, |_| 1.),
            synthetic_association: matrix(count, &synthetic_association, |_| 1.),
            columns,
            distances: Distances {
                correlation_difference,
                association_difference,
                mean_ks,
                mean_total_variation,
            },
            held_out: None,
        }
    }
}

fn compare(
    column: &hg_data::Column,
    real: &[Option<f64>],
    synthetic: &[Option<f64>],
) -> ColumnComparison {
    let seen = |cells: &[Option<f64>]| -> Vec<f64> {
        cells.iter().flatten().copied().filter(|value| value.is_finite()).collect()
    };
    let missing = |cells: &[Option<f64>], seen: &[f64]| {
        (cells.len() - seen.len()) as f64 / cells.len().max(1) as f64
    };
    let (real_cells, synthetic_cells) = (real, synthetic);
    let (real, synthetic) = (seen(real), seen(synthetic));
    let real_missing = missing(real_cells, &real);
    let synthetic_missing = missing(synthetic_cells, &synthetic);
    let levels = if column.kind == Kind::Numeric { Vec::new() } else { column.level_names() };
    let hierarchy = hierarchy(&real, &synthetic, 0);
    let (distance, wasserstein, jensen_shannon) = if levels.is_empty() {
        (kolmogorov_smirnov(&real, &synthetic), wasserstein(&real, &synthetic), None)
    } else {
        let (p, q) = (shares(&real, levels.len()), shares(&synthetic, levels.len()));
        (total_variation(&p, &q), None, jensen_shannon(&p, &q))
    };
    // What one side alone has is as far from the other as can be.
    let one_alone = (real.is_empty() != synthetic.is_empty()).then_some(1.);
    let distance = distance.or(one_alone);
    ColumnComparison {
        name: column.name.clone(),
        unit: column.unit.clone(),
        levels,
        real_mean: mean(real.iter().copied()),
        synthetic_mean: mean(synthetic.iter().copied()),
        real_deviation: deviation(&real),
        synthetic_deviation: deviation(&synthetic),
        real,
        synthetic,
        real_missing,
        synthetic_missing,
        distance,
        wasserstein,
        jensen_shannon,
        hierarchy,
    }
}

/// Every pair of columns, each once.
fn pairs(columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..columns).flat_map(|i| (0..i).map(move |j| (i, j)))
}

/// Of each of the [`pairs`].
fn correlations(columns: &[Vec<Option<f64>>]) -> Vec<Option<f64>> {
    pairs(columns.len()).map(|(i, j)| pearson(&columns[i], &columns[j])).collect()
}

/// Of each of the [`pairs`]; `None` where a column is constant.
fn associations(schema: &Schema, cohort: &Observed) -> Vec<Option<f64>> {
    let columns = &schema.columns;
    let is_number = |n: usize| columns[n].kind == Kind::Numeric;
    let rows = cohort.columns.first().map_or(0, Vec::len);
    let every = stride(rows, ROWS);
    let of = |(i, j): (usize, usize)| {
        let both = cohort.columns[i].iter().zip(&cohort.columns[j]).step_by(every);
        let both = both.filter_map(|(a, b)| Some(((*a)?, (*b)?)));
        let both = both.filter(|(a, b)| a.is_finite() && b.is_finite());
        let (a, b): (Vec<f64>, Vec<f64>) = both.unzip();
        let levels = |values: &[f64]| values.iter().map(|&x| x as usize).collect::<Vec<usize>>();
        match (is_number(i), is_number(j)) {
            (true, true) => kendall(&a, &b),
            (true, false) => correlation_ratio(&levels(&b), &a),
            (false, true) => correlation_ratio(&levels(&a), &b),
            (false, false) => cramer(&levels(&a), &levels(&b)),
        }
    };
    let pairs: Vec<(usize, usize)> = pairs(columns.len()).collect();
    pairs.par_iter().map(|&pair| of(pair)).collect()
}

/// The whole matrix of what was found of the [`pairs`], with 0 where nothing was.
fn matrix(columns: usize, found: &[Option<f64>], own: impl Fn(usize) -> f64) -> Vec<Vec<f64>> {
    let mut all = vec![vec![0.; columns]; columns];
    for (n, row) in all.iter_mut().enumerate() {
        row[n] = own(n);
    }
    for ((i, j), value) in pairs(columns).zip(found) {
        let value = value.unwrap_or(0.);
        (all[i][j], all[j][i]) = (value, value);
    }
    all
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
        };
        let (some, none) = ([Some(0.), Some(1.)], [None; 2]);
        let real = cohort([some, some, none, some]);
        let found = Comparison::new(&schema, &real, &cohort([some, none, none, none]));
        let distances: Vec<Option<f64>> = found.columns.iter().map(|c| c.distance).collect();
        assert_eq!(distances, [Some(0.), Some(1.), None, Some(1.)]);
        let Distances { mean_ks, mean_total_variation, .. } = found.distances;
        assert_eq!((mean_ks, mean_total_variation), (Some(0.5), Some(1.)));
        let [a, _, c, d] = &found.columns[..] else { panic!("four columns") };
        assert_eq!((a.synthetic_mean, c.real_mean, d.synthetic_mean), (Some(0.5), None, None));
        // Nothing to compare is nothing, and no 0.
        let nothing = Comparison::new(&schema, &cohort([none; 4]), &cohort([none; 4])).distances;
        assert_eq!(nothing.correlation_difference.or(nothing.mean_ks), None);
        Ok(())
    }
}
