//! Features that repeat the row before as far as the row says ([`crate::Carried`]).
//!
//! ```text
//! yₜ = xₜ + kₜ (yₜ₋₁ − xₜ)      y₀ = x₀; kₜ = xₜ at `by`, which is not carried itself
//! ```
//!
//! Backward, from the gradient g of y to that of x, with s what arrives at yₜ in all:
//!
//! ```text
//! sₜ = gₜ + kₜ₊₁ sₜ₊₁,   ∂xₜ = (1 − kₜ) sₜ,   ∂kₜ += Σ sₜ (yₜ₋₁ − xₜ)      ∂x₀ = s₀
//! ```

use super::micro_batch::PackedBatch;
use crate::Carried;
use hg_lstm::kernel::{Buffer, Real};

/// From rows `x` to `y`.
pub(super) fn carry<S: Real>(
    carried: &[Carried],
    packed: &PackedBatch,
    x: &Buffer<S>,
    y: &mut Buffer<S>,
) {
    y.copy_from(x);
    for (n, _, time, row) in packed.steps().filter(|(_, _, time, _)| *time > 0) {
        let before = packed.row(n, time - 1);
        for Carried { by, features } in carried {
            let k = x.row(row)[*by];
            for feature in features.clone() {
                let (x, before) = (x.row(row)[feature], y.row(before)[feature]);
                y.row_mut(row)[feature] = x + k * (before - x);
            }
        }
    }
}

/// From the gradient of `y` to that of `x`, in `grad`.
pub(super) fn carry_backward<S: Real>(
    carried: &[Carried],
    packed: &PackedBatch,
    x: &Buffer<S>,
    y: &Buffer<S>,
    grad: &mut Buffer<S>,
) {
    for (n, &length) in packed.lengths.iter().enumerate() {
        for time in (1..length).rev() {
            let (row, before) = (packed.row(n, time), packed.row(n, time - 1));
            for Carried { by, features } in carried {
                let k = x.row(row)[*by];
                let mut on_k = S::default();
                for feature in features.clone() {
                    let s = grad.row(row)[feature];
                    on_k += s * (y.row(before)[feature] - x.row(row)[feature]);
                    grad.row_mut(row)[feature] = s - k * s;
                    grad.row_mut(before)[feature] += k * s;
                }
                grad.row_mut(row)[*by] += on_k;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_repeats_the_one_before_as_far_as_its_probability_says() {
        // Feature 0 is carried by feature 1; two sequences, of three rows and of one.
        let carried = [Carried { by: 1, features: 0..1 }];
        let packed = PackedBatch::new(vec![0, 1], &[3, 1]);
        let mut x = Buffer::<f64>::new(4, 2);
        for (row, values) in [[8., 1.], [5., 1.], [4., 1.], [0., 0.25]].into_iter().enumerate() {
            x.row_mut(row)[..2].copy_from_slice(&values);
        }
        let mut y = Buffer::new(0, 2);
        carry(&carried, &packed, &x, &mut y);
        // The first rows are as they were; then one that repeats, then three quarters of 0.
        assert_eq!([0, 1, 2, 3].map(|row| y.row(row)[0]), [8., 5., 8., 2.]);
        assert_eq!([0, 1, 2, 3].map(|row| y.row(row)[1]), [1., 1., 1., 0.25]);

        let mut grad = Buffer::new(4, 2);
        grad.row_mut(3)[0] = 1.;
        carry_backward(&carried, &packed, &x, &y, &mut grad);
        assert_eq!([0, 1, 2, 3].map(|row| grad.row(row)[0]), [0.25, 0., 0., 0.75]);
        assert_eq!([0, 1, 2, 3].map(|row| grad.row(row)[1]), [0., 0., 1., 8.]);
    }

    #[test]
    fn the_gradient_is_that_of_central_differences() {
        // Features 0, 1 and 3 are carried by either level of the block of 2 and 4.
        let carried = [Carried { by: 2, features: 0..2 }, Carried { by: 4, features: 3..4 }];
        let packed = PackedBatch::new(vec![0, 1, 2], &[5, 1, 3]);
        let mut x = Buffer::<f64>::new(packed.rows, 5);
        let mut grad = Buffer::<f64>::new(packed.rows, 5);
        for n in 0..packed.rows * 5 {
            x.row_mut(n / 5)[n % 5] = 0.5 + 0.4 * (n as f64 * 1.7).sin();
            grad.row_mut(n / 5)[n % 5] = (n as f64 * 0.9).cos();
        }
        let mut y = Buffer::new(0, 5);
        let weights = grad.clone();
        // Σ weights ⊙ y
        let mut total = |x: &Buffer<f64>| -> f64 {
            carry(&carried, &packed, x, &mut y);
            y.as_slice().iter().zip(weights.as_slice()).map(|(y, w)| y * w).sum()
        };
        let mut differences = Vec::new();
        for n in 0..packed.rows * 5 {
            let [above, below] = [1e-6, -1e-6].map(|by| {
                let mut x = x.clone();
                x.row_mut(n / 5)[n % 5] += by;
                total(&x)
            });
            differences.push((above - below) / 2e-6);
        }
        total(&x);
        carry_backward(&carried, &packed, &x, &y, &mut grad);
        for (n, exact) in differences.into_iter().enumerate() {
            let ours = grad.row(n / 5)[n % 5];
            assert!((ours - exact).abs() < 1e-8, "{n}: {ours} for {exact}");
        }
        assert!(grad.as_slice() != weights.as_slice());
    }
}
