//! How much privacy is lost, by Rényi divergences (Mironov 2017, doi:10.1109/CSF.2017.11).
//!
//! A mechanism is (α, ρ)-Rényi private where D_α of its results with and without a patient is at most ρ; over
//! several mechanisms ρ adds up. The Gaussian mechanism of sensitivity 1 and deviation σ has ρ = α/(2σ²).
//! Where it sees each patient with probability q (Mironov, Talwar & Zhang 2019, arXiv:1908.10530, section
//! 3.3), ρ = log A_α / (α − 1) with
//!
//! ```text
//! whole α   A = Σᵢ C(α, i) (1 − q)^(α−i) qⁱ exp((i² − i) / 2σ²)                        i = 0 … α
//! else      A = Σᵢ C(α, i) [(1 − q)ʲ qⁱ exp((i² − i) / 2σ²) ½ erfc((i − z) / √2 σ)     i = 0, 1, …
//!                         + (1 − q)ⁱ qʲ exp((j² − j) / 2σ²) ½ erfc((z − j) / √2 σ)]    j = α − i
//!                                                          z = σ² log(1/q − 1) + ½
//! ```
//!
//! the terms of the second taken without their signs, so that rounding cannot make A too small. From all
//! orders follows (Canonne, Kamath & Steinke 2020, arXiv:2004.00010, proposition 12)
//!
//! ```text
//! ε = min_α ρ + log(1 − 1/α) − log(δ α) / (α − 1)
//! ```

use crate::{Error, Result};

/// Terms of a sum, at most.
const MOST_TERMS: usize = 1000;
/// A term so many times smaller than the sum, as a logarithm, ends it.
const NEGLIGIBLE: f64 = 30.;
/// Noise beyond this leaves nothing.
const GREATEST_NOISE: f64 = 1e6;

/// The orders α: 1.1, 1.2, … 10.9, 11, 12, … 63, 128, 256, 512, 1024, as in Google's dp-accounting.
fn orders() -> impl Iterator<Item = f64> {
    let fine = (1..100).map(|tenth| 1. + f64::from(tenth) / 10.);
    fine.chain((11..64).map(f64::from)).chain([128., 256., 512., 1024.])
}

/// The Rényi privacy loss, at each order, of everything that was computed from a private table.
///
/// ```
/// use hg_train::PrivacyLoss;
///
/// // 1,000 steps that each see a patient with probability 1 %.
/// let loss = PrivacyLoss::none().and_sampled_gaussian(0.01, 1.0, 1000);
/// assert!((loss.epsilon(1e-5) - 2.08).abs() < 0.05);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PrivacyLoss(Vec<f64>);

impl PrivacyLoss {
    /// Nothing was computed.
    pub fn none() -> Self {
        Self(orders().map(|_| 0.).collect())
    }

    /// And what another loss stands for, so many times.
    #[must_use]
    pub fn and(mut self, other: &Self, times: u64) -> Self {
        if times > 0 {
            for (loss, other) in self.0.iter_mut().zip(&other.0) {
                *loss += times as f64 * other;
            }
        }
        self
    }

    /// And one result of the Gaussian mechanism: a noise of so many times the sensitivity.
    #[must_use]
    pub fn and_gaussian(self, noise_multiplier: f64) -> Self {
        self.and_sampled_gaussian(1., noise_multiplier, 1)
    }

    /// And `steps` results of it that each see every patient with probability `rate`. What is no
    /// probability, or no noise, loses everything.
    #[must_use]
    pub fn and_sampled_gaussian(self, rate: f64, noise_multiplier: f64, steps: u64) -> Self {
        let loss = |order: f64| -> f64 {
            match () {
                () if !(0. ..=1.).contains(&rate) => f64::INFINITY,
                () if rate == 0. => 0.,
                () if noise_multiplier.is_nan() || noise_multiplier <= 0. => f64::INFINITY,
                () if noise_multiplier.is_infinite() => 0.,
                () if rate == 1. => order / (2. * noise_multiplier * noise_multiplier),
                () if order.fract() == 0. => {
                    log_a_whole(rate, noise_multiplier, order) / (order - 1.)
                }
                () => log_a(rate, noise_multiplier, order) / (order - 1.),
            }
        };
        // Rounding can lead a little below 0; what is no number bounds nothing.
        let sound = |loss: f64| if loss.is_nan() { f64::INFINITY } else { loss.max(0.) };
        let step = Self(orders().map(|order| sound(loss(order))).collect());
        self.and(&step, steps)
    }

    /// ε at a δ; infinite where there is none.
    pub fn epsilon(&self, delta: f64) -> f64 {
        if self.0.iter().all(|&loss| loss == 0.) {
            return 0.;
        }
        if delta.is_nan() || delta <= 0. {
            return f64::INFINITY;
        }
        let at = |(&loss, order): (&f64, f64)| -> f64 {
            // By the total variation, which is at most √(1 − exp(−ρ)).
            if delta * delta + (-loss).exp_m1() > 0. {
                return 0.;
            }
            loss + (-1. / order).ln_1p() - (delta * order).ln() / (order - 1.)
        };
        self.0.iter().zip(orders()).map(at).fold(f64::INFINITY, f64::min).max(0.)
    }
}

/// The least noise multiplier, of four digits, with which `steps` steps that see every patient with
/// probability `rate`, after what was lost `before`, stay within ε and δ.
///
/// # Errors
/// [`Error::Config`] where none does.
pub fn noise_multiplier(
    epsilon: f64,
    delta: f64,
    rate: f64,
    steps: u64,
    before: &PrivacyLoss,
) -> Result<f64> {
    let keeps = |noise: f64| {
        before.clone().and_sampled_gaussian(rate, noise, steps).epsilon(delta) <= epsilon
    };
    if !keeps(GREATEST_NOISE) {
        let problem = format!(
            "no noise keeps ε = {epsilon} at δ = {delta}\nhint: raise `privacy.epsilon`, or take fewer iterations"
        );
        return Err(Error::Config(problem));
    }
    let (mut low, mut high) = (1e-2, GREATEST_NOISE);
    while high / low > 1. + 1e-5 {
        let noise = (low * high).sqrt();
        match keeps(noise) {
            true => high = noise,
            false => low = noise,
        }
    }
    let exponent = high.log10().floor() as i32 - 3;
    let unit = 10f64.powi(exponent);
    // As a decimal says it: 35.8, not 35.800000000000004.
    let decimal = |digits: f64| -> f64 {
        format!("{:.*}", (-exponent).max(0) as usize, digits * unit)
            .parse()
            .unwrap_or(digits * unit)
    };
    let digits = (high / unit).ceil();
    // What is rounded up keeps it; the last bit of the decimals may not.
    let rounded = decimal(digits);
    Ok(if keeps(rounded) { rounded } else { decimal(digits + 1.) })
}

/// log A of a whole order.
fn log_a_whole(rate: f64, noise: f64, order: f64) -> f64 {
    let (log_rate, log_rest) = (rate.ln(), (-rate).ln_1p());
    let term = |n: usize| {
        let i = n as f64;
        let log_share = log_binomial(order, i) + i * log_rate + (order - i) * log_rest;
        log_share + (i * i - i) / (2. * noise * noise)
    };
    (0..=order as usize).map(term).fold(f64::NEG_INFINITY, log_add)
}

/// log A of any order; infinite where the sum does not come to an end.
fn log_a(rate: f64, noise: f64, order: f64) -> f64 {
    let (log_rate, log_rest) = (rate.ln(), (-rate).ln_1p());
    let z = noise * noise * (1. / rate - 1.).ln() + 0.5;
    let scale = std::f64::consts::SQRT_2 * noise;
    let log_half = 0.5f64.ln();
    let mut sum = f64::NEG_INFINITY;
    let mut before = [f64::NEG_INFINITY; 2];
    for n in 0..MOST_TERMS {
        let i = n as f64;
        let j = order - i;
        let log_ways = log_binomial(order, i) + log_half;
        let growth = |k: f64| (k * k - k) / (2. * noise * noise);
        let terms = [
            log_ways + i * log_rate + j * log_rest + growth(i) + log_erfc((i - z) / scale),
            log_ways + j * log_rate + i * log_rest + growth(j) + log_erfc((z - j) / scale),
        ];
        sum = terms.into_iter().fold(sum, log_add);
        let falls = terms.iter().zip(&before).all(|(term, before)| term < before);
        if falls && terms.iter().all(|term| *term < sum - NEGLIGIBLE) {
            return sum;
        }
        before = terms;
    }
    f64::INFINITY
}

/// log |C(n, k)|, n being any number.
fn log_binomial(n: f64, k: f64) -> f64 {
    libm::lgamma(n + 1.) - libm::lgamma(k + 1.) - libm::lgamma(n - k + 1.)
}

/// log(eᵃ + eᵇ)
fn log_add(a: f64, b: f64) -> f64 {
    let (less, more) = if a < b { (a, b) } else { (b, a) };
    if less == f64::NEG_INFINITY { more } else { more + (less - more).exp().ln_1p() }
}

/// log erfc(x); for great x by its asymptotic series.
fn log_erfc(x: f64) -> f64 {
    if x < 20. {
        return libm::erfc(x).ln();
    }
    let y = 1. / (2. * x * x);
    let series = -y * (1. - y * (3. - y * (15. - 105. * y)));
    -x * x - (x * std::f64::consts::PI.sqrt()).ln() + series.ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    /// As `tests/golden/privacy_goldens.py` writes it.
    #[derive(Deserialize)]
    struct Golden {
        release: Option<f64>,
        rate: f64,
        noise: f64,
        steps: u64,
        delta: f64,
        epsilon: f64,
    }

    #[test]
    fn losses_are_those_of_dp_accounting() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/privacy.json");
        let text = std::fs::read_to_string(path).expect("goldens");
        let goldens: Vec<Golden> = serde_json::from_str(&text).expect("goldens");
        assert!(goldens.len() > 500);
        for Golden { release, rate, noise, steps, delta, epsilon } in goldens {
            let before = release
                .map_or_else(PrivacyLoss::none, |noise| PrivacyLoss::none().and_gaussian(noise));
            let ours = before.and_sampled_gaussian(rate, noise, steps).epsilon(delta);
            let off = (ours - epsilon).abs() / epsilon.max(1e-3);
            assert!(off < 1e-6, "q {rate}, σ {noise}, {steps} steps: {ours}, not {epsilon}");
        }
    }

    #[test]
    fn the_least_noise_is_found_and_keeps_the_budget() -> Result<()> {
        for (patients, batch, expected) in
            [(312., 32., 9.0), (15_666., 512., 3.6), (50_000., 1024., 2.5)]
        {
            let (delta, rate) = (0.1 / patients, batch / patients);
            let noise = noise_multiplier(3., delta, rate, 5000, &PrivacyLoss::none())?;
            assert!((noise / expected - 1.).abs() < 0.03, "{patients} patients: {noise}");
            assert!(noise.to_string().len() <= 5, "{noise} has more than four digits");
            let loss = |noise| PrivacyLoss::none().and_sampled_gaussian(rate, noise, 5000);
            assert!(loss(noise).epsilon(delta) <= 3.);
            assert!(loss(0.998 * noise).epsilon(delta) > 3., "{noise} is more than is needed");
        }
        let spent = PrivacyLoss::none().and_gaussian(1.);
        let refused = noise_multiplier(0.5, 1e-5, 0.01, 10, &spent).map_err(|e| e.to_string());
        assert!(refused.is_err_and(|e| e.contains("no noise keeps ε = 0.5")));
        Ok(())
    }

    #[test]
    fn what_makes_no_sense_loses_everything() {
        let loses = |rate, noise, delta| {
            PrivacyLoss::none().and_sampled_gaussian(rate, noise, 1).epsilon(delta)
        };
        for (rate, noise, delta) in [
            (f64::NAN, 1., 1e-5),
            (1.5, 1., 1e-5),
            (-0.1, 1., 1e-5),
            (0.1, f64::NAN, 1e-5),
            (0.1, 0., 1e-5),
            (0.1, -1., 1e-5),
            (0.1, 1., 0.),
            (0.1, 1., f64::NAN),
        ] {
            assert_eq!(loses(rate, noise, delta), f64::INFINITY, "{rate} {noise} {delta}");
        }
        assert_eq!(loses(0., 0., 1e-5), 0., "nobody is looked at");
        assert_eq!(loses(0.1, f64::INFINITY, 1e-5), 0.);
        let nothing = PrivacyLoss::none().and_sampled_gaussian(0.1, 0., 0);
        assert_eq!(nothing.epsilon(1e-5), 0., "no steps");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn more_noise_loses_less_and_more_steps_and_patients_more(
            // Beyond, dropped signs make fractional orders loose: safe, and no longer monotone.
            rate in 1e-4f64..0.1,
            noise in 0.4f64..20.,
            steps in 1u64..10_000,
            more in 1.01f64..2.,
        ) {
            let epsilon = |rate: f64, noise: f64, steps: u64| {
                PrivacyLoss::none().and_sampled_gaussian(rate, noise, steps).epsilon(1e-5)
            };
            let here = epsilon(rate, noise, steps);
            let slack = 1e-9 * (1. + here);
            prop_assert!(epsilon(rate, noise * more, steps) <= here + slack);
            prop_assert!(epsilon(rate, noise, steps * 2) >= here - slack);
            prop_assert!(epsilon(rate * more, noise, steps) >= here - slack);
            let loss = PrivacyLoss::none().and_sampled_gaussian(rate, noise, steps);
            prop_assert!(loss.epsilon(1e-7) >= loss.epsilon(1e-5));
        }
    }
}
