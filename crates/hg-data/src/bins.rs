//! Numeric values by bin.

use crate::quantile_table::{QuantileTable, quantile};
use crate::{Bins, DecodeBins};
use serde::{Deserialize, Serialize};

/// The bins of a numeric column, fitted to its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedBins {
    /// Inner edges, ascending.
    edges: Vec<f64>,
    /// The distribution within each bin; none where nothing was observed.
    within: Vec<Option<QuantileTable>>,
}

impl FittedBins {
    /// Fits to ascending values, at least one. Quantiles that coincide are one edge.
    pub fn fit(bins: &Bins, values: &[f64]) -> Self {
        let mut edges = match bins.quantiles {
            Some(count) => (1..count).map(|n| quantile(values, n as f64 / count as f64)).collect(),
            None => bins.edges.clone(),
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

    /// What is wrong with bins that were read, in words.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self { edges, within } = self;
        let ascend = edges.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascend || edges.iter().any(|edge| !edge.is_finite()) {
            return Some("the edges of bins must be finite and ascend".into());
        }
        if within.len() != edges.len() + 1 {
            let (edges, bins) = (edges.len(), within.len());
            return Some(format!("{edges} edges make {} bins, not {bins}", edges + 1));
        }
        within.iter().flatten().find_map(QuantileTable::problem)
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

impl Bins {
    /// Whether synthetic cells show labels.
    pub(crate) fn shows_labels(&self) -> bool {
        self.decode == DecodeBins::Label
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bins(edges: &[f64], quantiles: Option<usize>) -> Bins {
        Bins { edges: edges.to_vec(), quantiles, decode: DecodeBins::Draw, labels: Vec::new() }
    }

    #[test]
    fn a_drawn_value_lies_in_its_bin() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        for bins in [bins(&[10., 50., 200.], None), bins(&[], Some(10))] {
            let fitted = FittedBins::fit(&bins, &values);
            for bin in 0..fitted.count() {
                for position in [0., 0.3, 1.] {
                    assert_eq!(fitted.bin(fitted.value(bin, position)), bin, "{position}");
                }
            }
        }
    }

    #[test]
    fn deciles_share_the_values_equally() {
        let values: Vec<f64> = (0..1000).map(f64::from).collect();
        let fitted = FittedBins::fit(&bins(&[], Some(10)), &values);
        for bin in 0..10 {
            assert_eq!(values.iter().filter(|&&x| fitted.bin(x) == bin).count(), 100);
        }
    }
}
