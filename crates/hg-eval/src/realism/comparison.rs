//! A real and a synthetic cohort, column by column and pair by pair.

use crate::statistics::{deviation, mean, shares, stride};
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
    /// Mean of the real cells (of positions for levels).
    pub real_mean: f64,
    /// Mean of the synthetic cells.
    pub synthetic_mean: f64,
    /// Standard deviation of the real cells.
    pub real_deviation: f64,
    /// Standard deviation of the synthetic cells.
    pub synthetic_deviation: f64,
    /// Share of real cells that are missing.
    pub real_missing: f64,
    /// Share of synthetic cells that are missing.
    pub synthetic_missing: f64,
    /// Kolmogorov–Smirnov statistic (numeric) or total variation of the level
    /// shares (discrete): 0 is equal, 1 is disjoint.
    pub distance: f64,
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

/// How far two cohorts are from each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distances {
    /// Mean absolute difference of the correlations over all pairs of columns.
    pub correlation_difference: f64,
    /// Mean absolute difference of the associations over all pairs of columns.
    pub association_difference: f64,
    /// Mean Kolmogorov–Smirnov statistic of the numeric columns.
    pub mean_ks: f64,
    /// Mean total variation of the discrete columns.
    pub mean_total_variation: f64,
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
        let difference = |a: &[Vec<f64>], b: &[Vec<f64>]| {
            let pairs = (0..columns.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
            mean(pairs.map(|(i, j)| (a[i][j] - b[i][j]).abs()))
        };
        let correlation_difference = difference(&real_correlation, &synthetic_correlation);
        let association_difference = difference(&real_association, &synthetic_association);
        let distances = |numeric: bool| {
            let of_kind = columns.iter().filter(move |c| c.levels.is_empty() == numeric);
            mean(of_kind.map(|column| column.distance))
        };
        let (mean_ks, mean_total_variation) = (distances(true), distances(false));
        Self {
            columns,
            real_correlation,
            synthetic_correlation,
            real_association,
            synthetic_association,
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
    let missing = |cells: &[Option<f64>]| {
        cells.iter().filter(|cell| cell.is_none()).count() as f64 / cells.len().max(1) as f64
    };
    let (real_missing, synthetic_missing) = (missing(real), missing(synthetic));
    let real: Vec<f64> = real.iter().flatten().copied().collect();
    let synthetic: Vec<f64> = synthetic.iter().flatten().copied().collect();
    let levels = if column.kind == Kind::Numeric { Vec::new() } else { column.level_names() };
    let hierarchy = hierarchy(&real, &synthetic, 0);
    let (distance, wasserstein, jensen_shannon) = if levels.is_empty() {
        let distance = kolmogorov_smirnov(&real, &synthetic).unwrap_or(1.);
        (distance, wasserstein(&real, &synthetic), None)
    } else {
        let (p, q) = (shares(&real, levels.len()), shares(&synthetic, levels.len()));
        (total_variation(&p, &q), None, Some(jensen_shannon(&p, &q)))
    };
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

fn correlations(columns: &[Vec<Option<f64>>]) -> Vec<Vec<f64>> {
    columns.iter().map(|x| columns.iter().map(|y| pearson(x, y)).collect()).collect()
}

/// Of every pair; 0 where a column is constant.
fn associations(schema: &Schema, cohort: &Observed) -> Vec<Vec<f64>> {
    let columns = &schema.columns;
    let is_number = |n: usize| columns[n].kind == Kind::Numeric;
    let rows = cohort.columns.first().map_or(0, Vec::len);
    let every = stride(rows, ROWS);
    let of = |(i, j): (usize, usize)| {
        let both = cohort.columns[i].iter().zip(&cohort.columns[j]).step_by(every);
        let (a, b): (Vec<f64>, Vec<f64>) = both.filter_map(|(a, b)| Some(((*a)?, (*b)?))).unzip();
        let levels = |values: &[f64]| values.iter().map(|&x| x as usize).collect::<Vec<usize>>();
        let association = match (is_number(i), is_number(j)) {
            (true, true) => kendall(&a, &b),
            (true, false) => correlation_ratio(&levels(&b), &a),
            (false, true) => correlation_ratio(&levels(&a), &b),
            (false, false) => cramer(&levels(&a), &levels(&b)),
        };
        association.unwrap_or(0.)
    };
    let pairs: Vec<(usize, usize)> =
        (0..columns.len()).flat_map(|i| (0..i).map(move |j| (i, j))).collect();
    let found: Vec<f64> = pairs.par_iter().map(|&pair| of(pair)).collect();
    let mut all: Vec<Vec<f64>> = (0..columns.len())
        .map(|i| (0..columns.len()).map(|j| f64::from(u8::from(i == j))).collect())
        .collect();
    for ((i, j), association) in pairs.into_iter().zip(found) {
        (all[i][j], all[j][i]) = (association, association);
    }
    all
}
