//! The statistics that comparisons rest on.

/// The two-sample Kolmogorov–Smirnov statistic `sup |F₁ − F₂|` in [0, 1]
/// (Smirnov, 1948); `None` when a sample is empty.
///
/// ```
/// assert_eq!(hg_eval::kolmogorov_smirnov(&[1., 2.], &[1., 2.]), Some(0.));
/// assert_eq!(hg_eval::kolmogorov_smirnov(&[1., 2.], &[3.]), Some(1.));
/// ```
pub fn kolmogorov_smirnov(first: &[f64], second: &[f64]) -> Option<f64> {
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values
    };
    kolmogorov_smirnov_sorted(&sorted(first), &sorted(second))
}

/// The same of ascending samples.
pub(crate) fn kolmogorov_smirnov_sorted(first: &[f64], second: &[f64]) -> Option<f64> {
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

/// Total variation `½ Σ |p − q|` in [0, 1] of two lists of shares.
pub fn total_variation(first: &[f64], second: &[f64]) -> f64 {
    0.5 * first.iter().zip(second).map(|(p, q)| (p - q).abs()).sum::<f64>()
}

/// Jensen and Shannon's divergence of two lists of shares, in nats: 0 is equal, ln 2 disjoint.
pub fn jensen_shannon(first: &[f64], second: &[f64]) -> f64 {
    let part = |p: f64, q: f64| if p > 0. { p * (2. * p / (p + q)).ln() } else { 0. };
    0.5 * first.iter().zip(second).map(|(&p, &q)| part(p, q) + part(q, p)).sum::<f64>()
}

/// Wasserstein's distance of order 1 of two samples, `∫ |F₁ − F₂|`, in their unit; `None` when
/// one is empty.
pub fn wasserstein(first: &[f64], second: &[f64]) -> Option<f64> {
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
    Some(areas.sum())
}

/// Pearson's correlation over the rows where both are observed; 0 when either
/// is constant there.
pub fn pearson(first: &[Option<f64>], second: &[Option<f64>]) -> f64 {
    let both: Vec<(f64, f64)> =
        first.iter().zip(second).filter_map(|(x, y)| Some(((*x)?, (*y)?))).collect();
    let n = both.len() as f64;
    let mean_x = both.iter().map(|(x, _)| x).sum::<f64>() / n;
    let mean_y = both.iter().map(|(_, y)| y).sum::<f64>() / n;
    let (mut xx, mut yy, mut xy) = (0., 0., 0.);
    for (x, y) in both {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    let scale = (xx * yy).sqrt();
    if scale > 0. { xy / scale } else { 0. }
}

/// The share of each level among positions of levels.
pub(crate) fn shares(positions: &[f64], levels: usize) -> Vec<f64> {
    let mut shares = vec![0.; levels];
    for &position in positions {
        shares[position as usize] += 1. / positions.len() as f64;
    }
    shares
}

/// Every how many of `count` are taken, so that evenly spread ones and `most` at most are.
pub(crate) fn stride(count: usize, most: usize) -> usize {
    count.div_ceil(most).max(1)
}

/// The standard deviation, 0 for nothing.
pub(crate) fn deviation(values: &[f64]) -> f64 {
    let centre = mean(values.iter().copied());
    mean(values.iter().map(|value| (value - centre).powi(2))).sqrt()
}

/// The mean, 0 for nothing.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0., 0usize), |(sum, n), value| (sum + value, n + 1));
    sum / count.max(1) as f64
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
    fn pearson_skips_missing_pairs_and_is_zero_for_constants() {
        let x = [Some(1.), Some(2.), None, Some(3.)];
        let y = [Some(-2.), Some(-4.), Some(9.), Some(-6.)];
        assert!((pearson(&x, &y) + 1.).abs() < 1e-15);
        assert_eq!(pearson(&x, &[Some(5.); 4]), 0.);
        assert_eq!(pearson(&[None], &[Some(5.)]), 0.);
    }

    #[test]
    fn total_variation_of_disjoint_shares_is_one() {
        assert_eq!(total_variation(&[1., 0.], &[0., 1.]), 1.);
    }
}
