//! The statistics that comparisons rest on.
//!
//! One rule holds for every statistic of this crate: it is taken over finite values alone. NaN
//! and ±∞ are left out, in pairs with their partners, and where too little is left on a side to
//! say anything there is `None`; never NaN, and never a 0 that nobody measured.

pub use hg_judge::pearson;
pub(crate) use hg_judge::{mean, stride};
use std::borrow::Cow;

/// Those that are finite.
pub(crate) fn finite(values: &[f64]) -> Cow<'_, [f64]> {
    if values.iter().all(|value| value.is_finite()) {
        return Cow::Borrowed(values);
    }
    values.iter().copied().filter(|value| value.is_finite()).collect()
}

/// Pairs of which both are finite.
pub(crate) fn finite_pairs<'v>(
    first: impl IntoIterator<Item = &'v f64>,
    second: impl IntoIterator<Item = &'v f64>,
) -> Vec<(f64, f64)> {
    let pairs = first.into_iter().zip(second).map(|(x, y)| (*x, *y));
    pairs.filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
}

/// Whether a row holds finite numbers alone: others are left out of what is made of rows.
pub(crate) fn is_finite(row: &[f32]) -> bool {
    row.iter().all(|value| value.is_finite())
}

/// The two-sample Kolmogorov–Smirnov statistic `sup |F₁ − F₂|` in [0, 1]
/// (Smirnov, 1948); `None` when a sample is empty.
///
/// ```
/// assert_eq!(hg_eval::kolmogorov_smirnov(&[1., 2.], &[1., 2.]), Some(0.));
/// assert_eq!(hg_eval::kolmogorov_smirnov(&[1., 2.], &[3.]), Some(1.));
/// assert_eq!(hg_eval::kolmogorov_smirnov(&[f64::NAN], &[3.]), None);
/// ```
pub fn kolmogorov_smirnov(first: &[f64], second: &[f64]) -> Option<f64> {
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values
    };
    kolmogorov_smirnov_sorted(&sorted(first), &sorted(second))
}

/// The two-sample Kolmogorov–Smirnov statistic of samples in the order of [`f64::total_cmp`].
pub(crate) fn kolmogorov_smirnov_sorted(first: &[f64], second: &[f64]) -> Option<f64> {
    let (first, second) = (finite_of_sorted(first), finite_of_sorted(second));
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let (mut i, mut j, mut greatest) = (0, 0, 0f64);
    while i < first.len() && j < second.len() {
        let x = first[i].min(second[j]);
        i += first[i..].iter().take_while(|&&value| value <= x).count();
        j += second[j..].iter().take_while(|&&value| value <= x).count();
        let gap = i as f64 / first.len() as f64 - j as f64 / second.len() as f64;
        greatest = greatest.max(gap.abs());
    }
    Some(greatest)
}

/// The finite values of ascending ones, at whose ends the others stand.
fn finite_of_sorted(values: &[f64]) -> &[f64] {
    let is_finite = |value: &f64| value.is_finite();
    let first = values.iter().position(is_finite).unwrap_or(values.len());
    let end = values.iter().rposition(is_finite).map_or(first, |last| last + 1);
    &values[first..end]
}

/// Total variation `½ Σ |p − q|` in [0, 1] of two lists of shares; `None` where a side has no
/// share above 0.
///
/// ```
/// assert_eq!(hg_eval::total_variation(&[1., 0.], &[0., 1.]), Some(1.));
/// assert_eq!(hg_eval::total_variation(&[1., 0.], &[0., 0.]), None);
/// ```
pub fn total_variation(first: &[f64], second: &[f64]) -> Option<f64> {
    let pairs = shares_of_both(first, second)?;
    Some(0.5 * pairs.iter().map(|(p, q)| (p - q).abs()).sum::<f64>())
}

/// Jensen and Shannon's divergence of two lists of shares, in nats: 0 is equal, ln 2 disjoint.
/// `None` where a side has no share above 0.
pub fn jensen_shannon(first: &[f64], second: &[f64]) -> Option<f64> {
    let part = |p: f64, q: f64| if p > 0. { p * (2. * p / (p + q)).ln() } else { 0. };
    let pairs = shares_of_both(first, second)?;
    Some(0.5 * pairs.iter().map(|&(p, q)| part(p, q) + part(q, p)).sum::<f64>())
}

/// The finite shares of two lists, where both have one above 0.
fn shares_of_both(first: &[f64], second: &[f64]) -> Option<Vec<(f64, f64)>> {
    let pairs = finite_pairs(first, second);
    let is_there = pairs.iter().any(|(p, _)| *p > 0.) && pairs.iter().any(|(_, q)| *q > 0.);
    is_there.then_some(pairs)
}

/// Wasserstein's distance of order 1 of two samples, `∫ |F₁ − F₂|`, in their unit; `None` when
/// one is empty.
pub fn wasserstein(first: &[f64], second: &[f64]) -> Option<f64> {
    let (first, second) = (finite(first), finite(second));
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let mut all: Vec<(f64, f64)> = Vec::with_capacity(first.len() + second.len());
    all.extend(first.iter().map(|&x| (x, 1. / first.len() as f64)));
    all.extend(second.iter().map(|&x| (x, -1. / second.len() as f64)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut gap = 0.;
    let areas = all.windows(2).map(|pair| {
        gap += pair[0].1;
        f64::abs(gap) * (pair[1].0 - pair[0].0)
    });
    Some(areas.sum::<f64>()).filter(|area| area.is_finite())
}

/// The share of each level among positions of levels; zeros where there is none.
pub(crate) fn shares(positions: &[f64], levels: usize) -> Vec<f64> {
    let positions = finite(positions);
    let mut shares = vec![0.; levels];
    for &position in positions.iter() {
        if let Some(share) = shares.get_mut(position as usize) {
            *share += 1. / positions.len() as f64;
        }
    }
    shares
}

/// The mean difference of what two cohorts have, place by place: what one of them lacks at a
/// place counts as 0 there. `None` where the first has nothing at all, and 1, the greatest
/// difference, where only the second has nothing.
pub(crate) fn mean_difference(first: &[Option<f64>], second: &[Option<f64>]) -> Option<f64> {
    if first.iter().all(Option::is_none) {
        return None;
    }
    if second.iter().all(Option::is_none) {
        return Some(1.);
    }
    let pairs = first.iter().zip(second);
    mean(pairs.map(|(a, b)| (a.unwrap_or(0.) - b.unwrap_or(0.)).abs()))
}

/// The value below which a share of ascending finite values lies, in a line between them; `None` where
/// there are none.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share * last as f64;
    let below = place.floor() as usize;
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    // Not low + part·(high − low), whose difference may be infinite.
    let part = place - below as f64;
    Some(low * (1. - part) + high * part)
}

/// The standard deviation.
pub(crate) fn deviation(values: &[f64]) -> Option<f64> {
    let values = finite(values);
    let centre = mean(values.iter().copied())?;
    mean(values.iter().map(|value| (value - centre).powi(2))).map(f64::sqrt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ks_counts_ties_once_and_knows_a_value() {
        // F₁ jumps to ½ at 1, F₂ to ¼: scipy.stats.ks_2samp gives 0.25.
        let ks = kolmogorov_smirnov(&[1., 1., 2., 3.], &[1., 2., 2., 3.]);
        assert_eq!(ks, Some(0.25));
        assert_eq!(kolmogorov_smirnov(&[], &[1.]), None);
    }

    #[test]
    fn pearson_skips_missing_pairs_and_is_none_for_constants() {
        let x = [Some(1.), Some(2.), None, Some(3.)];
        let y = [Some(-2.), Some(-4.), Some(9.), Some(-6.)];
        assert!(pearson(&x, &y).is_some_and(|r| (r + 1.).abs() < 1e-15));
        assert_eq!(pearson(&x, &[Some(5.); 4]), None);
        assert_eq!(pearson(&[None], &[Some(5.)]), None);
    }

    #[test]
    fn what_one_cohort_lacks_counts_as_0_and_nothing_at_all_as_1() {
        let some = [Some(0.5), None];
        assert_eq!(mean_difference(&some, &[Some(0.25), Some(0.25)]), Some(0.25));
        assert_eq!(mean_difference(&some, &[None; 2]), Some(1.));
        assert_eq!(mean_difference(&[None; 2], &some), None);
    }

    #[test]
    fn values_that_are_not_finite_are_left_out_with_their_partners() {
        let (nan, infinite) = (f64::NAN, f64::INFINITY);
        assert_eq!(*finite(&[1., nan, 2., infinite]), [1., 2.]);
        assert!(matches!(finite(&[1., 2.]), Cow::Borrowed(_)));
        assert_eq!(finite_pairs(&[1., nan, 3., 4.], &[5., 6., infinite, 8.]), [(1., 5.), (4., 8.)]);
        assert_eq!(finite_of_sorted(&[-infinite, 1., 2., infinite, nan]), [1., 2.]);
        assert_eq!(finite_of_sorted(&[1.]), [1.]);
        assert_eq!(finite_of_sorted(&[-infinite, nan]), [0.; 0]);
        assert!(is_finite(&[1., 2.]) && !is_finite(&[1., f32::NAN]) && is_finite(&[]));
    }

    #[test]
    fn shares_are_of_finite_positions_and_0_where_there_is_none() {
        assert_eq!(shares(&[0., 2., 2., f64::NAN, 2.], 3), [0.25, 0., 0.75]);
        assert_eq!(shares(&[0., 7.], 2), [0.5, 0.]);
        assert_eq!(shares(&[], 2), [0., 0.]);
    }

    #[test]
    fn distances_of_shares_take_two_sides_with_a_share() {
        assert_eq!(total_variation(&[0.5, 0.5], &[0.25, 0.75]), Some(0.25));
        let disjoint = jensen_shannon(&[1., 0.], &[0., 1.]).expect("shares");
        assert!((disjoint - 2f64.ln()).abs() < 1e-15, "{disjoint}");
        assert_eq!(jensen_shannon(&[0.5, 0.5], &[0.5, 0.5]), Some(0.));
        for distance in [total_variation, jensen_shannon] {
            assert_eq!(distance(&[0., 0.], &[1., 0.]), None);
            assert_eq!(distance(&[1., 0.], &[0., 0.]), None);
            assert_eq!(distance(&[], &[]), None);
        }
    }

    #[test]
    fn wassersteins_distance_is_in_the_values_unit() {
        assert_eq!(wasserstein(&[0., 1.], &[3., 4.]), Some(3.));
        // scipy.stats.wasserstein_distance([0, 1, 3], [5, 6, 8]) and of ([0, 4], [2])
        assert!(wasserstein(&[0., 1., 3.], &[5., 6., 8.]).is_some_and(|d| (d - 5.).abs() < 1e-12));
        assert_eq!(wasserstein(&[0., 4.], &[2.]), Some(2.));
        assert_eq!(wasserstein(&[1.], &[]), None);
        assert_eq!(wasserstein(&[-1.5e308], &[1.5e308]), None);
    }

    #[test]
    fn strides_spread_at_most_so_many() {
        for (count, most, every) in [(0, 5, 1), (5, 5, 1), (6, 5, 2), (10, 5, 2), (11, 5, 3)] {
            assert_eq!(stride(count, most), every, "{count}");
        }
    }

    #[test]
    fn mean_and_deviation_are_of_finite_values() {
        assert_eq!(mean([1., 3., f64::NAN]), Some(2.));
        assert_eq!(mean([]), None);
        assert_eq!(mean([f64::MAX, f64::MAX]), None);
        // numpy.std([1, 3, 8])
        let found = deviation(&[1., 3., 8., f64::INFINITY]).expect("values");
        assert!((found - 2.943_920_288_775_949).abs() < 1e-12, "{found}");
        assert_eq!(deviation(&[]), None);
    }

    #[test]
    fn pearson_knows_a_value_and_is_none_where_squares_overflow() {
        // scipy.stats.pearsonr([1, 2, 4], [3, 1, 5])
        let some = |values: [f64; 3]| values.map(Some);
        let r = pearson(&some([1., 2., 4.]), &some([3., 1., 5.])).expect("varies");
        assert!((r - 0.654_653_670_707_977_2).abs() < 1e-12, "{r}");
        let (x, nan) = ([1., f64::NAN, 2., 4.].map(Some), [3., 9., 1., 5.].map(Some));
        assert_eq!((pearson(&x, &nan), pearson(&nan, &x)), (Some(r), Some(r)));
        assert_eq!(pearson(&some([0., 1e200, 0.]), &some([1., 2., 3.])), None);
    }
}
