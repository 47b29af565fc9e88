//! How columns go together: Kendall's τ, Cramér's V and the correlation ratio.

use crate::statistics::finite_pairs;

/// Kendall's τ_b of two columns without gaps, in O(n log n) (Knight, *J. Am. Stat. Assoc.* 61,
/// 1966): pairs in order less pairs against it, over those that are not tied. `None` where a
/// column is constant or shorter than two.
pub fn kendall(x: &[f64], y: &[f64]) -> Option<f64> {
    // Adding 0 makes −0 the 0 that it equals, for the order too.
    let (x, y): (Vec<f64>, Vec<f64>) =
        finite_pairs(x, y).into_iter().map(|(x, y)| (x + 0., y)).unzip();
    let n = x.len();
    if n < 2 {
        return None;
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]).then(y[a].total_cmp(&y[b])));
    let pairs = |equal: usize| (equal * equal.saturating_sub(1) / 2) as f64;
    let tied = |same: &dyn Fn(usize, usize) -> bool, order: &[usize]| -> f64 {
        order.chunk_by(|&a, &b| same(a, b)).map(|run| pairs(run.len())).sum()
    };
    let tied_x = tied(&|a, b| x[a] == x[b], &order);
    let tied_both = tied(&|a, b| x[a] == x[b] && y[a] == y[b], &order);
    let mut sorted: Vec<f64> = order.iter().map(|&n| y[n]).collect();
    let swaps = sort_and_count(&mut sorted) as f64;
    let tied_y: f64 = sorted.chunk_by(|a, b| a == b).map(|run| pairs(run.len())).sum();
    let all = pairs(n);
    let scale = ((all - tied_x) * (all - tied_y)).sqrt();
    (scale > 0.).then(|| (all - tied_x - tied_y + tied_both - 2. * swaps) / scale)
}

/// Sorts by merging; how many neighbours had to change places.
fn sort_and_count(values: &mut [f64]) -> usize {
    if values.len() < 2 {
        return 0;
    }
    let (left, right) = values.split_at_mut(values.len() / 2);
    let mut swaps = sort_and_count(left) + sort_and_count(right);
    let (mut i, mut j, mut merged) = (0, 0, Vec::with_capacity(left.len() + right.len()));
    while i < left.len() || j < right.len() {
        if j == right.len() || (i < left.len() && left[i] <= right[j]) {
            merged.push(left[i]);
            i += 1;
        } else {
            swaps += left.len() - i;
            merged.push(right[j]);
            j += 1;
        }
    }
    values.copy_from_slice(&merged);
    swaps
}

/// Cramér's V of two columns of level positions, without correction: 0 is independent, 1 is
/// determined. `None` where a column has one level alone.
pub fn cramer(x: &[usize], y: &[usize]) -> Option<f64> {
    let levels = |column: &[usize]| column.iter().max().map_or(0, |&most| most + 1);
    let (rows, columns, n) = (levels(x), levels(y), x.len().min(y.len()) as f64);
    let mut counts = vec![vec![0f64; columns]; rows];
    x.iter().zip(y).for_each(|(&i, &j)| counts[i][j] += 1.);
    let of_rows: Vec<f64> = counts.iter().map(|row| row.iter().sum()).collect();
    let of_columns: Vec<f64> =
        (0..columns).map(|j| counts.iter().map(|row| row[j]).sum()).collect();
    let present = |totals: &[f64]| totals.iter().filter(|&&total| total > 0.).count();
    let least = present(&of_rows).min(present(&of_columns));
    if least < 2 {
        return None;
    }
    let mut chi_square = 0.;
    for (row, of_row) in counts.iter().zip(&of_rows) {
        for (count, of_column) in row.iter().zip(&of_columns) {
            let expected = of_row * of_column / n;
            if expected > 0. {
                chi_square += (count - expected).powi(2) / expected;
            }
        }
    }
    Some((chi_square / (n * (least - 1) as f64)).sqrt())
}

/// The correlation ratio η of numbers with levels: the share of their spread, as a root, that
/// lies between the levels' means. `None` where the numbers are constant.
pub fn correlation_ratio(levels: &[usize], values: &[f64]) -> Option<f64> {
    let pairs = levels.iter().copied().zip(values.iter().copied());
    let pairs: Vec<(usize, f64)> = pairs.filter(|(_, value)| value.is_finite()).collect();
    let count = pairs.iter().map(|(level, _)| level + 1).max().unwrap_or(0);
    let mut sums = vec![(0f64, 0f64); count];
    for &(level, value) in &pairs {
        sums[level].0 += value;
        sums[level].1 += 1.;
    }
    let n: f64 = sums.iter().map(|(_, count)| count).sum();
    let centre = sums.iter().map(|(sum, _)| sum).sum::<f64>() / n;
    let total: f64 = pairs.iter().map(|(_, value)| (value - centre).powi(2)).sum();
    let between: f64 = sums
        .iter()
        .filter(|(_, count)| *count > 0.)
        .map(|(sum, count)| count * (sum / count - centre).powi(2))
        .sum();
    (total > 0. && total.is_finite()).then(|| (between / total).sqrt().min(1.))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: Option<f64>, expected: f64) -> bool {
        found.is_some_and(|found| (found - expected).abs() < 1e-12)
    }

    #[test]
    fn kendalls_tau_takes_minus_0_for_0() {
        // scipy.stats.kendalltau([0, -0.0, 1], [1, 2, 3]) is 2 / √6, and of ([1, 2, 3], [0, -0.0, 1])
        // as well.
        let (zeros, rising) = ([0., -0., 1.], [1., 2., 3.]);
        assert!(near(kendall(&zeros, &rising), 2. / 6f64.sqrt()));
        assert!(near(kendall(&rising, &zeros), 2. / 6f64.sqrt()));
        assert!(near(kendall(&rising, &[3., 2., 1.]), -1.));
        assert_eq!(kendall(&[1.], &[1.]), None);
        assert!(near(kendall(&[1., 2.], &[4., 3.]), -1.));
    }

    #[test]
    fn merging_counts_the_neighbours_that_change_places() {
        for (values, swaps) in [
            (vec![1., 2., 3.], 0),
            (vec![3., 2., 1.], 3),
            (vec![2., 2., 1., 1., 3.], 4),
            (vec![], 0),
        ] {
            let mut sorted = values.clone();
            assert_eq!(sort_and_count(&mut sorted), swaps, "{values:?}");
            assert!(sorted.is_sorted(), "{sorted:?}");
        }
    }

    #[test]
    fn levels_that_nobody_has_change_nothing() {
        assert!(near(cramer(&[0, 0, 2, 2], &[3, 3, 1, 1]), 1.));
        // scipy.stats.contingency.association([[2, 1], [1, 2]], "cramer")
        assert!(near(cramer(&[0, 0, 0, 2, 2, 2], &[1, 1, 4, 1, 4, 4]), 1. / 3.));
        assert_eq!(cramer(&[0, 1], &[2, 2]), None);
        assert_eq!(cramer(&[], &[]), None);
        // Between 4/2 of 6: means 1 and 3 of values around 2.
        let ratio = correlation_ratio(&[1, 1, 5, 5], &[0., 2., 2., 4.]);
        assert!(near(ratio, 0.5f64.sqrt()), "{ratio:?}");
        assert_eq!(correlation_ratio(&[0, 1], &[3., 3.]), None);
        assert!(near(correlation_ratio(&[0, 1], &[3., 4.]), 1.));
        // Squares that overflow.
        assert_eq!(correlation_ratio(&[0, 1], &[1e200, -1e200]), None);
    }
}
