//! Membership by a ratio of densities (van Breugel et al., DOMIAS, AISTATS 2023):
//!
//! ```text
//! score(x) = ln p_synthetic(x) − ln p_real(x)
//! ```
//!
//! A place that is dense among synthetic patients because it is dense among real ones says nothing; one
//! that is denser than that says that somebody was learnt there.
//!
//! What we settled on: patients are the points of [`Space`]. Both densities are means of Gaussian kernels
//! of one width, that under which real patients are likeliest, each by the others, so that both are
//! smoothed alike. p_real is that of all *other* real patients, trained on and held out: whoever is
//! attacked is never in the reference. So a score depends on who was trained on through the synthetic
//! patients alone, and where these are drawn without regard to the real ones, the scores of both groups
//! have one law and the area's mean is ½. Half of the held-out patients as the reference, as an attacker
//! might have it, has the same law and a fifth of the patients to estimate a density from; with all
//! others the attacker knows everything but the one bit that is asked for.

use super::area::AreaAttack;
use super::space::{Point, Space, apart, spread};
use crate::{Auc, Finding, Measure, Result, Subject, Topic, auc};
use rayon::prelude::*;

/// Real patients by whom the kernel's width is chosen.
const MAX_FITTED: usize = 1000;
/// Widths that are tried, from the greatest on, each √2 of the next.
const WIDTHS: i32 = 16;

pub(crate) struct DensityRatio;

impl Measure for DensityRatio {
    fn id(&self) -> &'static str {
        "density-ratio"
    }

    fn topic(&self) -> Topic {
        Topic::Privacy
    }

    fn stage(&self) -> &'static str {
        "density ratio attack"
    }

    fn about(&self) -> &'static str {
        "Membership by local overfitting (van Breugel et al., DOMIAS, AISTATS 2023, \
         [doi:10.48550/arXiv.2302.12580](https://doi.org/10.48550/arXiv.2302.12580)): the score of a \
         patient is the log density of synthetic patients at their place less that of the other real \
         patients, so that a place counts where it is denser than the population is. Patients are points: \
         normal scores of the summaries that `told apart` takes too, along the first principal \
         components (90 % of the variance, ten at most). Both densities are means of Gaussian kernels of \
         one width, by which real patients are likeliest. Whoever is attacked is never in the reference. \
         At most 1,000 patients of a side are attacked (all with `--attacks thorough`). The figure is the \
         area under the ROC curve between patients trained on and held-out ones, with its 95 % interval \
         (DeLong et al. 1988, [doi:10.2307/2531595](https://doi.org/10.2307/2531595)): 0.5 is not at \
         all, 1 is always. It passes where 0.5 is inside the interval or above it. It takes held-out \
         patients."
    }

    fn compute(&self, subject: &Subject<'_>) -> Result<Finding> {
        let attack = AreaAttack {
            about: "density",
            question: "Are synthetic patients no denser around those trained on?",
            figure: "density ratio attack, area under the curve",
            key: "density_ratio",
            attacker: "an attacker who knows how dense real patients are",
            nothing: "patients do not differ in what can be compared",
        };
        attack.finding(subject, density_ratio(subject))
    }
}

fn density_ratio(subject: &Subject<'_>) -> Option<Auc> {
    let schema = &subject.encoder.schema;
    let others = subject.held_out?;
    let most = subject.max_attacked();
    let real = [&subject.real.observed, &others.observed];
    let space = Space::new(schema, &real, most)?;
    let [of_real, of_others, synthetic] =
        [real[0], real[1], &subject.synthetic.observed].map(|cohort| {
            let points = space.points(schema, cohort, &spread(cohort, most));
            points.into_iter().flatten().collect::<Vec<Point>>()
        });
    let members = of_real.len();
    let all: Vec<Point> = of_real.into_iter().chain(of_others).collect();
    let kernel = Kernel::fitted(&all)?;
    if synthetic.is_empty() {
        return None;
    }
    let scores: Vec<f64> = (0..all.len())
        .into_par_iter()
        .map(|n| {
            kernel.log_density(&all[n], &synthetic, None)
                - kernel.log_density(&all[n], &all, Some(n))
        })
        .collect();
    let (of_members, of_others) = scores.split_at(members);
    auc(of_members, of_others)
}

/// A Gaussian kernel.
pub(crate) struct Kernel {
    /// −1 / 2h²
    factor: f64,
}

impl Kernel {
    /// With the width under which points are likeliest, each by the others; `None` where all points are
    /// one, or there are fewer than two.
    pub(crate) fn fitted(points: &[Point]) -> Option<Self> {
        let every = hg_judge::stride(points.len(), MAX_FITTED);
        let fitted: Vec<&Point> = points.iter().step_by(every).collect();
        let dimensions = fitted.first()?.len() as f64;
        let squares: Vec<Vec<f64>> = (0..fitted.len())
            .into_par_iter()
            .map(|n| {
                let others = (0..fitted.len()).filter(|&m| m != n);
                others.map(|m| apart(fitted[n], fitted[m])).collect()
            })
            .collect();
        let count = squares.iter().map(Vec::len).sum::<usize>() as f64;
        let mean = squares.iter().flatten().sum::<f64>() / count;
        if !(mean > 0. && mean.is_finite()) {
            return None;
        }
        let likelihoods: Vec<(f64, f64)> = (0..WIDTHS)
            .map(|n| {
                let variance = mean / 2f64.powi(n);
                let of_point = |squares: &Vec<f64>| {
                    let exponents = squares.iter().map(|square| -square / (2. * variance));
                    log_mean_exp(&exponents.collect::<Vec<_>>()) - dimensions / 2. * variance.ln()
                };
                (squares.iter().map(of_point).sum(), variance)
            })
            .collect();
        let likeliest = likelihoods.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
        likeliest.map(|(_, variance)| Self { factor: -1. / (2. * variance) })
    }

    /// The log of the density of points at a place, less what does not depend on either; the point
    /// `without` is left out.
    pub(crate) fn log_density(&self, at: &[f64], points: &[Point], without: Option<usize>) -> f64 {
        let taken = points.iter().enumerate().filter(|(n, _)| Some(*n) != without);
        let exponents = taken.map(|(_, point)| self.factor * apart(at, point));
        log_mean_exp(&exponents.collect::<Vec<_>>())
    }
}

/// ln (1/n Σ exp x); −∞ of nothing.
fn log_mean_exp(values: &[f64]) -> f64 {
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if greatest == f64::NEG_INFINITY {
        return greatest;
    }
    let sum: f64 = values.iter().map(|value| (value - greatest).exp()).sum();
    greatest + (sum / values.len() as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_width_is_the_likeliest_of_those_tried() {
        // Two tight pairs, far apart: the likeliest width is about that of a pair.
        let points: Vec<Point> = [0., 0.1, 10., 10.1].map(|x| vec![x]).into();
        let kernel = Kernel::fitted(&points).expect("they differ");
        let width = (-0.5 / kernel.factor).sqrt();
        assert!((0.05..0.2).contains(&width), "{width}");
        assert!(Kernel::fitted(&[vec![1.], vec![1.]]).is_none());
        assert!(Kernel::fitted(&[vec![1.]]).is_none() && Kernel::fitted(&[]).is_none());
    }

    #[test]
    fn a_density_far_away_is_small_and_not_lost() {
        let kernel = Kernel { factor: -0.5 };
        let points = [vec![0.], vec![100.]];
        assert!((kernel.log_density(&[0.], &points, None) - 0.5f64.ln()).abs() < 1e-12);
        assert_eq!(kernel.log_density(&[0.], &points, Some(0)), -5000.);
        assert_eq!(log_mean_exp(&[]), f64::NEG_INFINITY);
    }
}
