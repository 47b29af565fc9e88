//! Classical tests of whether two samples come from one law, in the hierarchy of Kuo et al.
//! (Scientific Data 9:693, 2022): Kolmogorov and Smirnov's first; where it rejects, Student's
//! of the means, Snedecor's of the variances, and the three-sigma rule.
//!
//! All numbers equal scipy's (`tests/golden/eval_goldens.py`).

use crate::statistics::{finite, kolmogorov_smirnov, mean};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, FisherSnedecor, StudentsT};

/// Below this p-value a test rejects.
pub const LEVEL: f64 = 0.05;
/// Random draws of a column.
const DRAWS: usize = 100;
/// Values of a draw, from each side.
const DRAWN: usize = 200;
/// A sample passes the three-sigma rule with this share of its values inside: what Chebyshev's
/// inequality promises for three standard deviations of any law, 1 − 1/9.
const INSIDE: f64 = 8. / 9.;

/// A test's result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tested {
    /// The statistic.
    pub statistic: f64,
    /// The chance of one as far off where both samples come from one law.
    pub p_value: f64,
}

/// Kolmogorov and Smirnov's two-sample test of samples of one size, two-sided and exact:
///
/// ```text
/// P(D ≥ h/n) = 2 Σₖ₌₁ (−1)ᵏ⁻¹ C(2n, n − kh) / C(2n, n)
/// ```
///
/// (Hodges, *Ark. Mat.* 3, 1958). `None` for empty samples, or of different sizes.
pub fn kolmogorov_smirnov_test(first: &[f64], second: &[f64]) -> Option<Tested> {
    let (first, second) = (finite(first), finite(second));
    let n = first.len();
    let statistic = kolmogorov_smirnov(&first, &second).filter(|_| n == second.len())?;
    let h = (statistic * n as f64).round() as usize;
    if h == 0 {
        return Some(Tested { statistic, p_value: 1. });
    }
    // Horner's scheme from the last term, so that nothing large cancels.
    let p = (0..=n / h).rev().fold(0., |p, k| {
        let ratio = (0..h).fold(1., |ratio, j| {
            (n as f64 - (k * h + j) as f64) * ratio / (n + k * h + j + 1) as f64
        });
        ratio * (1. - p)
    });
    Some(Tested { statistic, p_value: (2. * p).clamp(0., 1.) })
}

/// Student's two-sample test of equal means, the variances being equal, two-sided. `None` for
/// fewer than two values on a side, or no spread at all.
pub fn student_test(first: &[f64], second: &[f64]) -> Option<Tested> {
    let (first, second) = (finite(first), finite(second));
    let (n, m) = (first.len() as f64, second.len() as f64);
    let (a, b) = (variance(&first)?, variance(&second)?);
    let freedom = n + m - 2.;
    let pooled = ((n - 1.) * a + (m - 1.) * b) / freedom;
    if pooled <= 0. || !pooled.is_finite() {
        return None;
    }
    let apart = mean(first.iter().copied())? - mean(second.iter().copied())?;
    let statistic = apart / (pooled * (1. / n + 1. / m)).sqrt();
    let law = StudentsT::new(0., 1., freedom).ok()?;
    Some(Tested { statistic, p_value: (2. * law.cdf(-statistic.abs())).min(1.) })
}

/// Snedecor's test of equal variances, two-sided. `None` for fewer than two values on a side,
/// or no spread on one.
pub fn snedecor_test(first: &[f64], second: &[f64]) -> Option<Tested> {
    let (first, second) = (finite(first), finite(second));
    let (a, b) = (variance(&first)?, variance(&second)?);
    if a <= 0. || b <= 0. || !(a / b).is_finite() {
        return None;
    }
    let law = FisherSnedecor::new(first.len() as f64 - 1., second.len() as f64 - 1.).ok()?;
    let statistic = a / b;
    let below = law.cdf(statistic);
    let above = law.sf(statistic);
    Some(Tested { statistic, p_value: (2. * below.min(above)).min(1.) })
}

/// The share of `values` within three standard deviations of the mean of `real`; `None` for no
/// values, or fewer than two real ones.
pub fn three_sigma(real: &[f64], values: &[f64]) -> Option<f64> {
    let (real, values) = (finite(real), finite(values));
    let (centre, sigma) = (mean(real.iter().copied())?, variance(&real)?.sqrt());
    let inside = |value: &f64| f64::from(u8::from((value - centre).abs() <= 3. * sigma));
    mean(values.iter().map(inside))
}

/// The unbiased variance of finite values.
fn variance(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let centre = mean(values.iter().copied())?;
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    Some(squares / (values.len() - 1) as f64)
}

/// How a column does in 100 random draws of 200 values from either side: shares of draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Hierarchy {
    /// That Kolmogorov and Smirnov's test passes.
    pub kolmogorov_smirnov: f64,
    /// Of the others, that Student's passes.
    pub student: f64,
    /// Of the others, that Snedecor's passes.
    pub snedecor: f64,
    /// Of the others, that at least 8/9 of the synthetic values lie within three sigma.
    pub three_sigma: f64,
}

/// Tests a column in random draws; `None` where a side has fewer than two values.
pub fn hierarchy(real: &[f64], synthetic: &[f64], seed: u64) -> Option<Hierarchy> {
    let (real, synthetic) = (finite(real), finite(synthetic));
    if real.len().min(synthetic.len()) < 2 {
        return None;
    }
    let verdicts: Vec<[bool; 4]> = (0..DRAWS as u64)
        .into_par_iter()
        .map(|draw| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(draw);
            let mut sample = |values: &[f64]| -> Vec<f64> {
                (0..DRAWN).map(|_| values[rng.random_range(0..values.len())]).collect()
            };
            let (real, synthetic) = (sample(&real), sample(&synthetic));
            let passes = |test: Option<Tested>| test.is_none_or(|test| test.p_value >= LEVEL);
            [
                passes(kolmogorov_smirnov_test(&real, &synthetic)),
                passes(student_test(&real, &synthetic)),
                passes(snedecor_test(&real, &synthetic)),
                three_sigma(&real, &synthetic).is_some_and(|share| share >= INSIDE),
            ]
        })
        .collect();
    let rejected: Vec<&[bool; 4]> = verdicts.iter().filter(|verdict| !verdict[0]).collect();
    let share = |n: usize| match rejected.len() {
        0 => 1.,
        count => rejected.iter().filter(|verdict| verdict[n]).count() as f64 / count as f64,
    };
    Some(Hierarchy {
        kolmogorov_smirnov: 1. - rejected.len() as f64 / DRAWS as f64,
        student: share(1),
        snedecor: share(2),
        three_sigma: share(3),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many evenly spread quantiles of the standard normal law.
    fn normal(count: usize) -> Vec<f64> {
        let law = statrs::distribution::Normal::standard();
        (0..count).map(|n| law.inverse_cdf((n as f64 + 0.5) / count as f64)).collect()
    }

    fn of(change: impl Fn(f64) -> f64) -> Hierarchy {
        let real = normal(500);
        let other: Vec<f64> = real.iter().map(|&x| change(x)).collect();
        hierarchy(&real, &other, 7).expect("values")
    }

    #[test]
    fn each_test_of_the_hierarchy_sees_what_it_is_for() {
        let same = of(|x| x);
        // A test at 5 % rejects about so many of what is equal (fewer by Kolmogorov and Smirnov).
        assert!(same.kolmogorov_smirnov >= 0.9, "{same:?}");

        let shifted = of(|x| x + 1.);
        assert_eq!(shifted.kolmogorov_smirnov, 0., "{shifted:?}");
        assert!(shifted.student == 0. && shifted.snedecor > 0.85, "{shifted:?}");
        assert_eq!(shifted.three_sigma, 1., "{shifted:?}");

        let far = of(|x| x + 10.);
        assert_eq!((far.three_sigma, far.student), (0., 0.), "{far:?}");

        let wide = of(|x| 4. * x);
        assert!(wide.student > 0.85 && wide.snedecor == 0., "{wide:?}");
        assert_eq!((wide.kolmogorov_smirnov, wide.three_sigma), (0., 0.), "{wide:?}");

        // The sign alone has the same mean and variance.
        let sign = of(f64::signum);
        assert_eq!(sign.kolmogorov_smirnov, 0., "{sign:?}");
        assert!(sign.student > 0.85 && sign.snedecor > 0.85 && sign.three_sigma == 1., "{sign:?}");

        let equal = hierarchy(&[2., 2.], &[2., 2.], 0).expect("values");
        let all = [equal.kolmogorov_smirnov, equal.student, equal.snedecor, equal.three_sigma];
        assert_eq!(all, [1.; 4]);
        assert_eq!(hierarchy(&[1.], &[1., 2.], 0), None);
    }

    #[test]
    fn the_same_seed_draws_the_same_and_another_does_not() {
        let (real, other) = (normal(100), normal(300).iter().map(|x| x + 0.2).collect::<Vec<_>>());
        let draw = |seed| hierarchy(&real, &other, seed);
        assert_eq!(draw(1), draw(1));
        let passes: Vec<f64> =
            (0..5).filter_map(|seed| Some(draw(seed)?.kolmogorov_smirnov)).collect();
        assert!(passes.iter().any(|share| *share != passes[0]), "{passes:?}");
        assert!(passes.iter().all(|share| *share > 0.2 && *share < 0.9), "{passes:?}");
    }

    #[test]
    fn samples_without_spread_or_of_one_value_have_no_test() {
        let (pair, constant) = ([1., 2.], [3., 3.]);
        assert_eq!(student_test(&constant, &constant), None);
        assert_eq!(student_test(&[1.], &pair), None);
        assert!(student_test(&constant, &pair).is_some());
        assert_eq!(snedecor_test(&pair, &constant), None);
        assert_eq!(snedecor_test(&constant, &pair), None);
        assert_eq!(snedecor_test(&[1.], &pair), None);
        // Variances whose ratio is not finite.
        assert_eq!(snedecor_test(&[-1e150, 1e150], &[-1e-150, 1e-150]), None);
        assert_eq!(kolmogorov_smirnov_test(&[], &[]), None);
        // Two steps of four apart, by Hodges: 2 (C(8, 2) − C(8, 0)) / C(8, 4).
        let apart = kolmogorov_smirnov_test(&[1., 2., 3., 4.], &[2.5, 3.5, 4.5, 5.5]);
        let Tested { statistic, p_value } = apart.expect("a test");
        assert!(statistic == 0.5 && (p_value - 54. / 70.).abs() < 1e-12, "{p_value}");
        let equal = kolmogorov_smirnov_test(&pair, &pair);
        assert_eq!(equal, Some(Tested { statistic: 0., p_value: 1. }));
    }

    #[test]
    fn three_sigma_counts_the_values_up_to_three_deviations_off() {
        // Mean 0, deviation √2.
        let real = [-1., 1.];
        let edge = 3. * 2f64.sqrt();
        assert_eq!(three_sigma(&real, &[0., edge, -edge, edge + 1e-9, -5.]), Some(0.6));
        assert_eq!(three_sigma(&[1.], &[1.]), None);
        assert_eq!(three_sigma(&real, &[]), None);
    }
}
