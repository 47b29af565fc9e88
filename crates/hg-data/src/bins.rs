//! Numeric values by bin.

use crate::quantile_table::{QuantileTable, quantile};
use crate::{Bins, Cuts};
use serde::{Deserialize, Serialize};

/// The bins of a numeric column, fitted to its values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FittedBins {
    /// Inner edges, ascending.
    edges: Vec<f64>,
    /// The distribution within each bin; none where nothing was observed.
    within: Vec<Option<QuantileTable>>,
}

impl FittedBins {
    /// Fits to ascending values, at least one. Quantiles that coincide are one edge.
    pub fn fit(bins: &Bins, values: &[f64]) -> Self {
        let mut edges = match &bins.cuts {
            Cuts::Quantiles(count) => {
                (1..*count).map(|n| quantile(values, n as f64 / *count as f64)).collect()
            }
            Cuts::Edges(edges) => edges.clone(),
        };
        edges.dedup();
        let mut rest = values;
        let mut within = Vec::with_capacity(edges.len() + 1);
        for edge in edges.iter().copied().chain([f64::INFINITY]) {
            let (inside, after) = rest.split_at(rest.partition_point(|&x| x < edge));
            within.push((!inside.is_empty()).then(|| QuantileTable::of(inside)));
            rest = after;
        }
        Self { edges, within }
    }

    /// The inner edges.
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.within.len()
    }

    /// The bin that holds `x`.
    pub fn bin(&self, x: f64) -> usize {
        self.edges.partition_point(|&edge| edge <= x)
    }

    /// The value at `position` in [0, 1] of the real distribution within a bin;
    /// where nothing was observed, between its edges.
    pub fn value(&self, bin: usize, position: f64) -> f64 {
        if let Some(within) = &self.within[bin] {
            return within.value(position);
        }
        let low = bin.checked_sub(1).map(|n| self.edges[n]);
        match (low, self.edges.get(bin)) {
            (Some(low), Some(high)) => low + position * (high - low),
            (Some(only), None) | (None, Some(&only)) => only,
            (None, None) => 0.,
        }
    }

    /// The names of the bins: the schema's, or intervals.
    pub fn labels(&self, bins: &Bins) -> Vec<String> {
        if bins.labels.len() == self.count() {
            return bins.labels.clone();
        }
        let edge = |n: usize| self.edges[n];
        (0..self.count())
            .map(|bin| match (bin, self.edges.len()) {
                (_, 0) => "all".into(),
                (0, _) => format!("<{}", edge(0)),
                (bin, edges) if bin == edges => format!(">={}", edge(bin - 1)),
                _ => format!("[{}, {})", edge(bin - 1), edge(bin)),
            })
            .collect()
    }
}

/// Bins as JSON holds them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedBins {
    edges: Vec<f64>,
    within: Vec<Option<QuantileTable>>,
}

impl From<FittedBins> for SavedBins {
    fn from(fitted: FittedBins) -> Self {
        let FittedBins { edges, within } = fitted;
        Self { edges, within }
    }
}

impl TryFrom<SavedBins> for FittedBins {
    type Error = String;

    /// # Errors
    /// What is wrong with bins that were edited or damaged, in words.
    fn try_from(saved: SavedBins) -> Result<Self, String> {
        let SavedBins { edges, within } = saved;
        let ascend = edges.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascend || edges.iter().any(|edge| !edge.is_finite()) {
            return Err("the edges of bins must be finite and ascend".into());
        }
        if within.len() != edges.len() + 1 {
            let (edges, bins) = (edges.len(), within.len());
            return Err(format!("{edges} edges make {} bins, not {bins}", edges + 1));
        }
        let checked = within.into_iter().map(|table| table.map(QuantileTable::checked).transpose());
        Ok(Self { edges, within: checked.collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(edges: &[f64]) -> Bins {
        Cuts::Edges(edges.to_vec()).into()
    }

    #[test]
    fn a_drawn_value_lies_in_its_bin() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        for bins in [edges(&[10., 50., 200.]), Cuts::Quantiles(10).into()] {
            let fitted = FittedBins::fit(&bins, &values);
            for bin in 0..fitted.count() {
                for position in [0., 0.3, 1.] {
                    assert_eq!(fitted.bin(fitted.value(bin, position)), bin, "{position}");
                }
            }
        }
    }

    #[test]
    fn a_bin_without_values_gives_what_lies_between_its_edges() {
        let fitted = FittedBins::fit(&edges(&[10., 20., 40.]), &[25., 30.]);
        for (bin, position, value) in
            [(0, 0.5, 10.), (1, 0., 10.), (1, 0.25, 12.5), (1, 1., 20.), (3, 0.5, 40.)]
        {
            assert_eq!(fitted.value(bin, position), value, "bin {bin} at {position}");
        }
        assert_eq!(fitted.value(2, 0.5), 27.5);
    }

    #[test]
    fn bins_have_the_names_of_the_schema_or_of_their_edges() {
        let labels = |edges: &[f64], names: &[&str]| {
            let labels = names.iter().map(|&name| name.to_owned()).collect();
            let bins = Bins { labels, ..Cuts::Edges(edges.to_vec()).into() };
            FittedBins::fit(&bins, &[1.]).labels(&bins)
        };
        assert_eq!(labels(&[1.5, 4.], &["low", "mid", "high"]), ["low", "mid", "high"]);
        assert_eq!(labels(&[1.5, 4., 7.], &[]), ["<1.5", "[1.5, 4)", "[4, 7)", ">=7"]);
        // Quantiles that coincide leave fewer bins than names.
        assert_eq!(labels(&[1.5], &["low", "mid", "high"]), ["<1.5", ">=1.5"]);
        assert_eq!(labels(&[], &[]), ["all"]);
    }

    #[test]
    fn deciles_share_the_values_equally() {
        let values: Vec<f64> = (0..1000).map(f64::from).collect();
        let fitted = FittedBins::fit(&Cuts::Quantiles(10).into(), &values);
        for bin in 0..10 {
            assert_eq!(values.iter().filter(|&&x| fitted.bin(x) == bin).count(), 100);
        }
    }
}
