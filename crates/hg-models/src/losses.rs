//! The losses of WGAN-GP with correlation alignment (`docs/method.md`, "Losses").
//!
//! ```text
//! critic    = E[C(fake)] − E[C(real)] + λ_gp E[(‖∇_x̂ C(x̂)‖₂ − 1)²],   x̂ = α x + (1 − α) x̃
//! generator = −E[C(fake)] + λ_corr · mean|R(fake) − R(real)|, each r up to its limit where
//!             there are limits: sign(r) · min(u, |r|)
//! ```

use crate::{Alignment, Critic, Result};
use candle_core::{D, Tensor};
use hg_lstm::Lengths;

/// Under the root of the gradient's norm.
const NORM_FLOOR: f64 = 1e-12;
/// The least norm of a centred column in the correlation.
const COLUMN_NORM_FLOOR: f64 = 1e-8;

/// The parts of the critic's loss, scalars.
#[derive(Clone, Debug)]
pub struct CriticLoss {
    /// What is minimised.
    pub total: Tensor,
    /// The Wasserstein estimate E[C(real)] − E[C(fake)].
    pub wasserstein: Tensor,
    /// The gradient penalty E[(‖∇C‖ − 1)²], without its weight.
    pub penalty: Tensor,
}

/// Interpolates `α real + (1 − α) fake` of sequences `[batch, steps, D]`, with one α of `alpha`
/// `[batch]` for each sequence.
///
/// # Errors
/// When the shapes differ.
pub fn interpolate(real: &Tensor, fake: &Tensor, alpha: &Tensor) -> Result<Tensor> {
    let alpha = alpha.reshape((alpha.elem_count(), 1, 1))?;
    Ok((fake + (real - fake)?.broadcast_mul(&alpha)?)?)
}

/// The critic's loss on real and synthetic sequences `[batch, steps, D]`; `fake` is taken as a
/// constant. `alpha` `[batch]` places the interpolates on which the gradient penalty, with weight
/// `penalty_weight`, is measured.
///
/// # Errors
/// When the shapes differ.
pub fn critic_loss(
    critic: &Critic,
    real: &Tensor,
    fake: &Tensor,
    alpha: &Tensor,
    lengths: &Lengths,
    penalty_weight: f64,
) -> Result<CriticLoss> {
    let fake = fake.detach();
    let batch = lengths.batch();
    // One pass of the critic for both ends of the Wasserstein distance.
    let both = critic.forward(&Tensor::cat(&[real, &fake], 0)?, &lengths.repeat(2))?;
    let mean = |start| both.scores().narrow(0, start, batch)?.mean_all();
    let wasserstein = (mean(0)? - mean(batch)?)?;

    let between = critic.forward(&interpolate(real, &fake, alpha)?, lengths)?;
    let norm = (between.input_gradient()?.sqr()?.sum((1, 2))? + NORM_FLOOR)?.sqrt()?;
    let penalty = (norm - 1.)?.sqr()?.mean_all()?;
    let total = (penalty.affine(penalty_weight, 0.)? - &wasserstein)?;
    Ok(CriticLoss { total, wasserstein, penalty })
}

/// The generator's loss on its sequences `fake` `[batch, steps, D]`, and the correlation alignment
/// in it (without its weight), both scalars; `real` is the batch whose correlations `fake` should
/// have.
///
/// # Errors
/// When the shapes differ.
pub fn generator_loss(
    critic: &Critic,
    real: &Tensor,
    fake: &Tensor,
    lengths: &Lengths,
    aligned: Alignment<'_>,
) -> Result<(Tensor, Tensor)> {
    let score = critic.forward(fake, lengths)?.scores().mean_all()?;
    let alignment = correlation_loss(real, fake, lengths, aligned.limits)?;
    let total = (alignment.affine(aligned.weight, 0.)? - score)?;
    Ok((total, alignment))
}

/// `mean|R(fake) − R(real)|` over all entries of the correlation matrices of sequences
/// `[batch, steps, D]`, each entry compared up to its limit in `limits` `[D · D]`, a scalar.
///
/// # Errors
/// When the shapes differ.
pub fn correlation_loss(
    real: &Tensor,
    fake: &Tensor,
    lengths: &Lengths,
    limits: Option<&[f64]>,
) -> Result<Tensor> {
    alignment_of(&correlation(fake, lengths)?, &correlation(real, lengths)?, limits)
}

/// The alignment of two correlation matrices `[D, D]`, each entry compared up to its limit, a scalar.
pub(crate) fn alignment_of(fake: &Tensor, real: &Tensor, limits: Option<&[f64]>) -> Result<Tensor> {
    let clipped = |r: &Tensor| -> Result<Tensor> {
        let Some(limits) = limits else { return Ok(r.clone()) };
        let limits = Tensor::from_slice(limits, r.shape(), r.device())?.to_dtype(r.dtype())?;
        Ok(r.minimum(&limits)?.maximum(&limits.neg()?)?)
    };
    Ok((clipped(fake)? - clipped(real)?)?.abs()?.mean_all()?)
}

/// The correlation `[D, D]` of columns whose centred products `[D, D]` are these.
pub(crate) fn correlation_of_products(products: &Tensor) -> Result<Tensor> {
    let width = products.dim(0)?;
    let identity = Tensor::eye(width, products.dtype(), products.device())?;
    let squares = (products * identity)?.sum(0)?;
    let norms = squares.sqrt_with_floor(COLUMN_NORM_FLOOR)?;
    let both = norms.reshape((width, 1))?.matmul(&norms.reshape((1, width))?)?;
    Ok((products / both)?)
}

/// `R` `[D, D]`: Pearson correlation of the features of `x` `[batch, steps, D]`
/// over all steps that exist.
///
/// # Errors
/// When `x` does not fit `lengths`.
pub fn correlation(x: &Tensor, lengths: &Lengths) -> Result<Tensor> {
    let rows = x.flatten(0, 1)?.index_select(&lengths.valid_rows(x.device())?, 0)?;
    let centred = rows.broadcast_sub(&rows.mean_keepdim(0)?)?;
    let norm = centred.sqr()?.sum_keepdim(0)?.sqrt_with_floor(COLUMN_NORM_FLOOR)?;
    let normalised = centred.broadcast_div(&norm)?;
    Ok(normalised.transpose(D::Minus2, D::Minus1)?.matmul(&normalised)?)
}

trait SqrtWithFloor: Sized {
    fn sqrt_with_floor(&self, floor: f64) -> candle_core::Result<Self>;
}

impl SqrtWithFloor for Tensor {
    /// `max(√x, floor)` with a finite derivative at 0, where √ has none.
    fn sqrt_with_floor(&self, floor: f64) -> candle_core::Result<Self> {
        self.maximum(
            &Tensor::full(floor * floor, self.shape(), self.device())?.to_dtype(self.dtype())?,
        )?
        .sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn correlation_ignores_padding_and_survives_constant_columns() -> anyhow::Result<()> {
        // Rows (1, 2, 5), (2, 4, 5), (3, 7, 5); one padded step of nonsense.
        let x = Tensor::new(
            &[[[1f64, 2., 5.], [2., 4., 5.]], [[3., 7., 5.], [99., -99., 99.]]],
            &Device::Cpu,
        )?;
        let x = Var::from_tensor(&x)?;
        let r = correlation(&x, &Lengths::new(vec![2, 1], 2)?)?;
        let expected = 5. / (2f64 * (114. / 9.)).sqrt();
        let r_values = r.to_vec2::<f64>()?;
        assert!((r_values[0][1] - expected).abs() < 1e-12, "{r_values:?} {expected}");
        assert_eq!(r_values[2], [0., 0., 0.]);
        let grads = r.sum_all()?.backward()?;
        let grad = grads.get(&x).expect("x matters").flatten_all()?.to_vec1::<f64>()?;
        assert!(grad.iter().all(|g| g.is_finite()), "{grad:?}");
        assert_eq!(grad[9..], [0., 0., 0.]);
        Ok(())
    }
}
