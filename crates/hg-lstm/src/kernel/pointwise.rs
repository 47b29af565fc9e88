//! Leaky ReLU and sums over rows, for the dense layers around a recurrence.

use super::check_rows;
use super::matrix::{Matrix, MatrixMut};
use super::product::Rows;
use super::simd::{Kernel, Real, SimdPath, Vector, dispatch};

/// `x` above 0, `leak · x` elsewhere.
struct LeakyRelu<'a, S> {
    values: &'a mut [S],
    leak: S,
}

impl<S: Real> Kernel<S> for LeakyRelu<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = S>>(self) {
        for chunk in self.values.chunks_exact_mut(V::LANES) {
            // SAFETY: the caller's; a chunk holds `LANES` numbers.
            unsafe {
                let x = V::load(chunk.as_ptr());
                let zero = V::splat(S::default());
                x.if_above(zero, x, x.mul(V::splat(self.leak))).store(chunk.as_mut_ptr());
            }
        }
    }
}

/// Leaky ReLU in place: `x` above 0, `leak · x` elsewhere.
///
/// # Panics
/// When the length is no multiple of [`super::PADDING`].
pub fn leaky_relu_in_place<S: Real>(path: SimdPath, leak: S, values: &mut [S]) {
    assert!(values.len().is_multiple_of(super::PADDING));
    dispatch(path, LeakyRelu { values, leak });
}

struct LeakyReluBackward<'a, S> {
    gradients: &'a mut [S],
    activated: &'a [S],
    leak: S,
}

impl<S: Real> Kernel<S> for LeakyReluBackward<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = S>>(self) {
        let pairs =
            self.gradients.chunks_exact_mut(V::LANES).zip(self.activated.chunks_exact(V::LANES));
        for (gradient, activated) in pairs {
            // SAFETY: the caller's; a chunk holds `LANES` numbers.
            unsafe {
                let g = V::load(gradient.as_ptr());
                let zero = V::splat(S::default());
                let leaked = g.mul(V::splat(self.leak));
                V::load(activated.as_ptr()).if_above(zero, g, leaked).store(gradient.as_mut_ptr());
            }
        }
    }
}

/// The derivative of leaky ReLU in place: multiplies `gradients` (or tangents) by its slope, 1 where
/// its result `activated` is above 0 and `leak` elsewhere.
///
/// # Panics
/// When the lengths differ or are no multiple of [`super::PADDING`].
pub fn leaky_relu_backward_in_place<S: Real>(
    path: SimdPath,
    leak: S,
    gradients: &mut [S],
    activated: &[S],
) {
    assert!(gradients.len() == activated.len());
    assert!(gradients.len().is_multiple_of(super::PADDING));
    dispatch(path, LeakyReluBackward { gradients, activated, leak });
}

struct Scale<'a, S> {
    values: &'a mut [S],
    factor: S,
}

impl<S: Real> Kernel<S> for Scale<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = S>>(self) {
        for chunk in self.values.chunks_exact_mut(V::LANES) {
            // SAFETY: the caller's; a chunk holds `LANES` numbers.
            unsafe {
                let scaled = V::load(chunk.as_ptr()).mul(V::splat(self.factor));
                scaled.flush_to_zero().store(chunk.as_mut_ptr());
            }
        }
    }
}

/// Multiplies `values` by `factor` in place; results too small to matter become 0, as in the
/// recurrences.
///
/// # Panics
/// When the length is no multiple of [`super::PADDING`].
pub fn scale_in_place<S: Real>(path: SimdPath, factor: S, values: &mut [S]) {
    assert!(values.len().is_multiple_of(super::PADDING));
    dispatch(path, Scale { values, factor });
}

struct ColumnSums<'a, S> {
    x: Matrix<'a, S>,
    /// Its rows, and how many.
    rows: Rows<'a>,
    count: usize,
    sums: MatrixMut<'a, S>,
}

impl<S: Real> Kernel<S> for ColumnSums<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = S>>(self) {
        let Self { x, rows, count, sums } = self;
        for at in (0..x.width).step_by(V::LANES) {
            // SAFETY: the caller's; the shapes were compared before.
            unsafe {
                let to = sums.values.as_mut_ptr().add(at);
                let mut sum = V::load(to);
                for row in 0..count {
                    sum = sum.add(V::load(x.values.as_ptr().add(rows.offset(row) + at)));
                }
                sum.store(to);
            }
        }
    }
}

impl<S: Real> ColumnSums<'_, S> {
    fn dispatch(self, path: SimdPath) {
        assert!(self.x.width == self.sums.width && self.sums.rows == 1);
        assert!(self.x.width.is_multiple_of(super::PADDING));
        dispatch(path, self);
    }
}

/// Adds the sum of all rows of `x` `[rows, n]` to the one row of `sums` `[1, n]`: the gradient of a
/// bias.
///
/// # Panics
/// When the widths differ or are no multiple of [`super::PADDING`].
pub fn add_column_sums<S: Real>(path: SimdPath, x: Matrix<'_, S>, sums: MatrixMut<'_, S>) {
    ColumnSums { rows: Rows::Apart(x.stride), count: x.rows, x, sums }.dispatch(path);
}

/// Adds the sum of these rows of `x` `[rows, n]` to the one row of `sums` `[1, n]`.
///
/// # Panics
/// When the widths differ or are no multiple of [`super::PADDING`], or a row does not exist.
pub fn add_column_sums_of_rows<S: Real>(
    path: SimdPath,
    rows: &[u32],
    x: Matrix<'_, S>,
    sums: MatrixMut<'_, S>,
) {
    check_rows(rows, x.rows);
    ColumnSums { rows: Rows::At(rows, x.stride), count: rows.len(), x, sums }.dispatch(path);
}

/// Σ x² in f64, over eight partial sums so that it runs in vectors.
pub fn sum_of_squares<S: Real>(x: &[S]) -> f64 {
    let mut sums = [0f64; 8];
    for chunk in x.chunks(8) {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value.to_f64() * value.to_f64();
        }
    }
    sums.iter().sum()
}
