//! A real and a synthetic cohort, column by column and pair by pair.

use crate::statistics::mean;
use crate::{
    Hierarchy, hierarchy, jensen_shannon, kolmogorov_smirnov, pearson, total_variation, wasserstein,
};
use hg_data::{Kind, Observed, Schema};
use serde::Serialize;

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
    /// The classical tests of numbers.
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
        let real_correlation = correlations(&real.columns);
        let synthetic_correlation = correlations(&synthetic.columns);
        let pairs = (0..columns.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        let correlation_difference =
            mean(pairs.map(|(i, j)| (real_correlation[i][j] - synthetic_correlation[i][j]).abs()));
        let distances = |numeric: bool| {
            let of_kind = columns.iter().filter(move |c| c.levels.is_empty() == numeric);
            mean(of_kind.map(|column| column.distance))
        };
        let (mean_ks, mean_total_variation) = (distances(true), distances(false));
        Self {
            columns,
            real_correlation,
            synthetic_correlation,
            distances: Distances { correlation_difference, mean_ks, mean_total_variation },
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
    let (distance, wasserstein, jensen_shannon, hierarchy) = if levels.is_empty() {
        let distance = kolmogorov_smirnov(&real, &synthetic).unwrap_or(1.);
        (distance, wasserstein(&real, &synthetic), None, hierarchy(&real, &synthetic, 0))
    } else {
        let (p, q) = (shares(&real, levels.len()), shares(&synthetic, levels.len()));
        (total_variation(&p, &q), None, Some(jensen_shannon(&p, &q)), None)
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

/// The share of each level among positions of levels.
pub(crate) fn shares(positions: &[f64], levels: usize) -> Vec<f64> {
    let mut shares = vec![0.; levels];
    for &position in positions {
        shares[position as usize] += 1. / positions.len() as f64;
    }
    shares
}

fn correlations(columns: &[Vec<Option<f64>>]) -> Vec<Vec<f64>> {
    columns.iter().map(|x| columns.iter().map(|y| pearson(x, y)).collect()).collect()
}

fn deviation(values: &[f64]) -> f64 {
    let centre = mean(values.iter().copied());
    mean(values.iter().map(|value| (value - centre).powi(2))).sqrt()
}
