//! The correlation alignment λ · mean|R(fake) − R(real)| and its gradient.
//!
//! With z the centred columns divided by their norms, `R = zᵀz`. For
//! `Q = ∂L/∂R` (symmetric) the gradient for the rows is one product:
//!
//! ```text
//! ∂L/∂x = (x − μ) K,   K = N⁻¹ (2Q − diag(2RQ)) N⁻¹,   N = diag(norms)
//! ```
//!
//! Under limits u the loss is mean|R̂(fake) − R̂(real)|, r̂ = sign(r) · min(u, |r|): entries
//! beyond their limit have no gradient. Health Gym's later code draws each u from U(0, 1) in
//! every step, so that weak correlations, which are many, count as much as strong ones.
//!
//! Columns whose norm lies below its floor are divided by the floor, a constant,
//! so that for them the diagonal term is absent.

use crate::{Ranks, Result};
use hg_lstm::kernel::{Buffer, Matrix, Panels, Real, SimdPath, add_transposed_product, padded};
use rayon::prelude::*;

/// The least norm of a centred column.
const NORM_FLOOR: f64 = 1e-8;

/// The correlation of the features of many rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Correlation {
    /// `R` `[D, D]`
    matrix: Vec<f64>,
    norms: Vec<f64>,
}

/// How much the alignment of correlations counts in the generator's loss, and up to what limits.
#[derive(Clone, Copy, Debug)]
pub struct Alignment<'a> {
    /// λ, the weight in the generator's loss.
    pub weight: f64,
    /// u `[D · D]`, row-major: correlations are compared up to these limits, where there are any.
    pub limits: Option<&'a [f64]>,
}

impl Alignment<'_> {
    fn clipped(&self, entry: usize, r: f64) -> f64 {
        self.limits.map_or(r, |limits| r.clamp(-limits[entry], limits[entry]))
    }

    fn is_clipped(&self, entry: usize, r: f64) -> bool {
        self.limits.is_some_and(|limits| r.abs() > limits[entry])
    }
}

/// A micro-batch's share of the sums that a correlation is made of.
#[derive(Debug)]
pub(super) struct Moments<S: Real> {
    sums: Vec<f64>,
    centred: Buffer<S>,
    products: Buffer<S>,
    scratch: Panels<S>,
}

impl<S: Real> Moments<S> {
    pub(super) fn new(width: usize, path: SimdPath) -> Self {
        Self {
            sums: vec![0.; width],
            centred: Buffer::new(0, width),
            products: Buffer::new(padded(width), width),
            scratch: Panels::new(path),
        }
    }

    /// The micro-batch's rows less the batch's means.
    pub(super) fn centred(&self) -> Matrix<'_, S> {
        self.centred.view()
    }

    fn add_up_columns(&mut self, x: &Buffer<S>) {
        self.sums.fill(0.);
        for row in 0..x.rows() {
            for (sum, value) in self.sums.iter_mut().zip(x.row(row)) {
                *sum += value.to_f64();
            }
        }
    }

    fn centre(&mut self, x: &Buffer<S>, means: &[f64]) {
        self.centred.set_rows(x.rows());
        for row in 0..x.rows() {
            let to = self.centred.row_mut(row).iter_mut();
            for ((to, &x), &mean) in to.zip(x.row(row)).zip(means) {
                *to = S::from_f64(x.to_f64() - mean);
            }
        }
        self.products.as_mut_slice().fill(S::default());
        let (x, into) = (self.centred.view(), self.products.view_mut());
        add_transposed_product(x, x, into, &mut self.scratch);
    }

    /// The micro-batch's share of Σ (x − μ)(x − μ)ᵀ, `[width, width]`.
    fn products_of(&self, width: usize) -> Vec<f64> {
        let rows = (0..width).map(|row| &self.products.row(row)[..width]);
        rows.flatten().map(|&product| product.to_f64()).collect()
    }
}

impl Correlation {
    /// The correlation of `rows` rows of `width` features, a part of them in each of `count` micro-batches:
    /// this rank's are in `parts`, whose moments keep its centred rows.
    pub(super) fn of<S: Real>(
        mut parts: Vec<(&mut Moments<S>, &Buffer<S>)>,
        (rows, width): (usize, usize),
        (ranks, count): (&Ranks, usize),
    ) -> Result<Self> {
        parts.par_iter_mut().for_each(|(moments, x)| moments.add_up_columns(x));
        let sums: Vec<_> = parts.iter().map(|(moments, _)| vec![&moments.sums[..]]).collect();
        let mut means = vec![0.; width];
        ranks.add_up(count, &sums, vec![&mut means])?;
        means.iter_mut().for_each(|mean| *mean /= rows as f64);
        parts.par_iter_mut().for_each(|(moments, x)| moments.centre(x, &means));
        let products: Vec<Vec<f64>> =
            parts.par_iter().map(|(moments, _)| moments.products_of(width)).collect();
        let products: Vec<_> = products.iter().map(|of| vec![of.as_slice()]).collect();
        let mut totals = vec![0.; width * width];
        ranks.add_up(count, &products, vec![&mut totals])?;
        let total = |i: usize, j: usize| totals[i * width + j];
        let norms: Vec<f64> =
            (0..width).map(|n| total(n, n).max(NORM_FLOOR * NORM_FLOOR).sqrt()).collect();
        let matrix = (0..width)
            .flat_map(|i| (0..width).map(move |j| (i, j)))
            .map(|(i, j)| total(i, j) / (norms[i] * norms[j]))
            .collect();
        Ok(Self { matrix, norms })
    }

    /// mean|R − target|, under the limits.
    pub(super) fn distance(&self, target: &Self, alignment: Alignment<'_>) -> f64 {
        let pairs = self.matrix.iter().zip(&target.matrix).enumerate();
        let apart = |(n, (&r, &t)): (usize, (&f64, &f64))| {
            (alignment.clipped(n, r) - alignment.clipped(n, t)).abs()
        };
        pairs.map(apart).sum::<f64>() / self.matrix.len() as f64
    }

    /// `K` `[D, D]` for `λ · distance(target)`, with padding, packed for products.
    pub(super) fn gradient_map<S: Real>(
        &self,
        target: &Self,
        alignment: Alignment<'_>,
        path: SimdPath,
    ) -> Panels<S> {
        let width = self.norms.len();
        let mut map = Buffer::new(padded(width), width);
        let scale = alignment.weight / self.matrix.len() as f64;
        let slope = |entry: usize| {
            let (r, t) = (self.matrix[entry], target.matrix[entry]);
            let apart = alignment.clipped(entry, r) - alignment.clipped(entry, t);
            let flat = apart == 0. || alignment.is_clipped(entry, r);
            if flat { 0. } else { scale * apart.signum() }
        };
        // R is symmetric, so what one entry gains both may share.
        let q: Vec<f64> = (0..width)
            .flat_map(|i| (0..width).map(move |j| (i, j)))
            .map(|(i, j)| (slope(i * width + j) + slope(j * width + i)) / 2.)
            .collect();
        for j in 0..width {
            let floored = self.norms[j] <= NORM_FLOOR;
            let twice_rq: f64 =
                (0..width).map(|k| 2. * self.matrix[k * width + j] * q[k * width + j]).sum();
            for i in 0..width {
                let diagonal = if i == j && !floored { twice_rq } else { 0. };
                let entry = (2. * q[i * width + j] - diagonal) / (self.norms[i] * self.norms[j]);
                map.row_mut(i)[j] = S::from_f64(entry);
            }
        }
        let mut panels = Panels::new(path);
        panels.pack(map.view());
        panels
    }
}
