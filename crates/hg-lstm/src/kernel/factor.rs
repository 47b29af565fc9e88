//! The right factor of recurrent products, as it is or with both factors rounded to bf16.
//!
//! ```text
//! C[r, n] (+)= Σ_k bf16(A[r, k]) · bf16(B[k, n])
//! ```
//!
//! Sums stay in f32, and of a weight's gradient both factors too. The product of two bf16 is exact in f32,
//! and `vdpbf16ps`, of AVX-512 BF16, rounds after each of the two products that it adds, the one of the upper
//! halves first. So it has the bits of fused multiply-adds over rounded factors in the order of k, and takes half
//! the time; a processor without it computes the latter. (Only sums below the least normal number differ, which
//! it makes 0.)

use super::matrix::{Buffer, Matrix};
use super::product::{Panels, Product, Rows, Start};
use super::simd::{Real, SimdPath, Vector};

/// What becomes of the factors of the recurrent products `U h` and `Uᵀ δp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Factors {
    /// They stay as they are.
    #[default]
    Full,
    /// They are rounded to bf16, 8 significant bits; sums are not.
    Bf16,
}

/// How a factor is held.
#[derive(Clone, Debug)]
enum Form<S: Real> {
    Full,
    Rounded,
    Paired(Pairs<S>),
}

/// The instructions for products of pairs: two rounded numbers in the place of one, the first in its upper
/// half.
#[derive(Clone, Debug)]
pub struct Pairs<S: Real> {
    /// Rounds numbers, a multiple of 16, and pairs them.
    pub(super) round: unsafe fn(&[S], &mut [S]),
    /// [`Product::add`] of paired factors.
    pub(super) add: unsafe fn(&Product<'_, S>, &Panels<S>, Start<'_, S>),
}

/// A packed right factor.
#[derive(Clone, Debug)]
pub(super) struct Factor<S: Real> {
    panels: Panels<S>,
    form: Form<S>,
}

impl<S: Real> Factor<S> {
    pub(super) fn new(path: SimdPath, factors: Factors) -> Self {
        let form = match (factors, S::pairs(path)) {
            (Factors::Full, _) => Form::Full,
            (Factors::Bf16, None) => Form::Rounded,
            (Factors::Bf16, Some(pairs)) => Form::Paired(pairs),
        };
        Self { panels: Panels::new(path), form }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.panels.is_empty()
    }

    /// B = `from` `[depth, columns]`.
    pub(super) fn pack(&mut self, from: Matrix<'_, S>) {
        if let Form::Full = self.form {
            return self.panels.pack(from);
        }
        let mut transposed = Buffer::new(from.width, from.rows);
        for k in 0..from.rows {
            for n in 0..from.width {
                transposed.row_mut(n)[k] = from.row(k)[n];
            }
        }
        self.pack_transposed(transposed.columns(0, from.rows));
    }

    /// B = `from`ᵀ, `from` being `[columns, depth]`.
    pub(super) fn pack_transposed(&mut self, from: Matrix<'_, S>) {
        let together = match self.form {
            Form::Full => return self.panels.pack_transposed(from),
            Form::Rounded => 1,
            Form::Paired(_) => 2,
        };
        let depth = from.width / together;
        let mut rounded = Buffer::new(from.rows, depth);
        for n in 0..from.rows {
            self.round(from.row(n), &mut rounded.row_mut(n)[..depth]);
        }
        self.panels.pack_transposed(rounded.columns(0, depth));
    }

    /// Rounds the numbers of a row, and pairs them.
    fn round(&self, from: &[S], into: &mut [S]) {
        match &self.form {
            // SAFETY: pairs are of this processor, as `Real::pairs` says.
            Form::Paired(Pairs { round, .. }) => unsafe { round(from, into) },
            _ => into.iter_mut().zip(from).for_each(|(into, from)| *into = from.to_bf16()),
        }
    }

    /// `C (+)= A B`, for an A of consecutive numbers; `rounded` is where its rows are rounded.
    ///
    /// # Safety
    /// As [`Product::add`].
    #[inline(always)]
    pub(super) unsafe fn add<V: Vector<Scalar = S>>(
        &self,
        product: &Product<'_, S>,
        start: Start<'_, S>,
        rounded: &mut Vec<S>,
    ) {
        let together = match self.form {
            // SAFETY: the caller's.
            Form::Full => return unsafe { product.add::<V>(&self.panels, start) },
            Form::Rounded => 1,
            Form::Paired(_) => 2,
        };
        let depth = self.panels.depth();
        rounded.resize(product.rows * depth, S::default());
        for (row, into) in rounded.chunks_exact_mut(depth).enumerate() {
            // SAFETY: the caller's: A has rows of `depth · together` numbers, and nothing writes to them.
            let from = unsafe {
                let from = product.a.add(product.a_rows.offset(row));
                std::slice::from_raw_parts(from, depth * together)
            };
            self.round(from, into);
        }
        let (a, a_rows) = (rounded.as_ptr(), Rows::Apart(depth));
        let product = Product { a, a_rows, ..*product };
        // SAFETY: the caller's; pairs are of this processor, as `Real::pairs` says.
        unsafe {
            match &self.form {
                Form::Paired(Pairs { add, .. }) => add(&product, &self.panels, start),
                _ => product.add::<V>(&self.panels, start),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::product::Steps;
    use super::super::simd::private::Vectors;
    use super::super::simd::{Kernel, dispatch};
    use super::*;
    use proptest::prelude::*;

    fn filled<S: Real>(rows: usize, width: usize, seed: usize) -> Buffer<S> {
        let mut buffer = Buffer::new(rows, width);
        for row in 0..rows {
            for (column, x) in buffer.row_mut(row)[..width].iter_mut().enumerate() {
                let n = (row * 7919 + column * 104_729 + seed * 1_299_709) % 1_000_003;
                *x = S::from_f64((n as f64 / 500_000. - 1.) * 3f64.powi(n as i32 % 7 - 3));
            }
        }
        buffer
    }

    struct Add<'a, S: Real> {
        a: &'a Buffer<S>,
        factor: &'a Factor<S>,
        depth: usize,
        c: &'a mut Buffer<S>,
    }

    impl<S: Real> Kernel<S> for Add<'_, S> {
        type Output = ();

        #[inline(always)]
        unsafe fn run<V: Vector<Scalar = S>>(self) {
            let Self { a, factor, depth, c } = self;
            assert!(a.stride() >= depth && a.rows() == c.rows());
            let product = Product {
                a: a.as_slice().as_ptr(),
                a_rows: Rows::Apart(a.stride()),
                a_steps: Steps::Next,
                c_rows: Rows::Apart(c.stride()),
                rows: a.rows(),
                c: c.as_mut_slice().as_mut_ptr(),
            };
            // SAFETY: `dispatch` looked for the instructions; the shapes fit.
            unsafe { factor.add::<V>(&product, Start::Keep, &mut Vec::new()) }
        }
    }

    /// `C + A B` on a path, B being packed as it is or as its transpose.
    fn add<S: Real>(
        (a, b, c): (&Buffer<S>, &Buffer<S>, &Buffer<S>),
        (path, factors): (SimdPath, Factors),
        transposed: bool,
    ) -> Buffer<S> {
        let (depth, mut c) = (b.rows(), c.clone());
        let mut factor = Factor::new(path, factors);
        if transposed {
            let mut bt = Buffer::new(b.stride(), depth);
            for k in 0..depth {
                for n in 0..b.stride() {
                    bt.row_mut(n)[k] = b.row(k)[n];
                }
            }
            factor.pack_transposed(bt.columns(0, depth));
        } else {
            factor.pack(b.view());
        }
        dispatch(path, Add { a, factor: &factor, depth, c: &mut c });
        c
    }

    fn rounded<S: Real>(buffer: &Buffer<S>) -> Buffer<S> {
        let mut buffer = buffer.clone();
        buffer.as_mut_slice().iter_mut().for_each(|x| *x = x.to_bf16());
        buffer
    }

    #[test]
    fn rounding_keeps_eight_bits_ties_to_even_and_drops_the_negligible() {
        let rounded = |x: f32| x.to_bf16();
        assert_eq!([1., -2.5, 0., 257.].map(rounded), [1., -2.5, 0., 256.]);
        assert_eq!([1. + 1. / 256., 1. + 3. / 256.].map(rounded), [1., 1. + 4. / 256.]);
        assert_eq!([1e-19, -1e-19, f32::INFINITY].map(rounded), [0., 0., f32::INFINITY]);
        assert!(rounded(f32::NAN).is_nan());
        assert_eq!([0.1f64, -3.3].map(|x| x.to_bf16()), [0.100_097_656_25, -3.296_875]);
    }

    proptest! {
        #[test]
        fn products_of_rounded_factors_have_the_bits_of_products_of_rounded_matrices(
            rows in 1usize..20, depth in 1usize..20, columns in 1usize..6, transposed: bool,
        ) {
            let (depth, columns) = (16 * depth, 16 * columns);
            let [a, b] = [filled::<f32>(rows, depth, 1), filled(depth, columns, 2)];
            let c = filled(rows, columns, 3);
            for path in SimdPath::available() {
                let ours = add((&a, &b, &c), (path, Factors::Bf16), transposed);
                let plain = (&rounded(&a), &rounded(&b), &c);
                let plain = add(plain, (path, Factors::Full), transposed);
                prop_assert!(ours.as_slice() == plain.as_slice(), "{path:?}");
                let full = add((&a, &b, &c), (path, Factors::Full), transposed);
                prop_assert!(ours.as_slice() != full.as_slice(), "{path:?}: nothing was rounded");
            }
        }
    }

    #[test]
    fn the_least_and_the_greatest_numbers_have_the_same_bits_in_pairs() {
        let values = [0., -0., 1e-19, 2e-18, -3e-18, 1e30, -1e30, 1., f32::INFINITY, -1.5];
        let [mut a, mut b] = [filled::<f32>(9, 32, 1), filled::<f32>(32, 16, 2)];
        for (n, x) in a.as_mut_slice().iter_mut().enumerate() {
            *x = values[(n * 7) % 8];
        }
        for (n, x) in b.as_mut_slice().iter_mut().enumerate() {
            *x = values[(n * 3) % 7 + n % 3];
        }
        let c = Buffer::new(9, 16);
        let fused = |path: &SimdPath| path.same_bits_as(SimdPath::Avx2);
        let results = SimdPath::available().filter(fused);
        let bits = |path| -> Vec<Option<u32>> {
            let sums = add((&a, &b, &c), (path, Factors::Bf16), false);
            sums.as_slice().iter().map(|x| (!x.is_nan()).then(|| x.to_bits())).collect()
        };
        let results: Vec<_> = results.map(bits).collect();
        assert!(results.iter().all(|bits| *bits == results[0]));
    }
}
