//! Matrix products, made for the shapes of this project: many rows, at most a
//! few hundred columns, and the same right factor again and again.
//!
//! ```text
//! C[r, n] (+)= Σ_k A[r, k] · B[k, n]
//! ```
//!
//! B is cut into panels of at most `Register::ACROSS` vectors and blocks of `DEPTH_BLOCK`
//! rows, so that one panel of one block stays in the L1 cache while all rows of A
//! pass over it; a tile of at most `Register::ROWS` rows of C stays in registers over
//! a block. Every entry of C is one chain of multiply-adds in the order of k,
//! whatever the tile: results do not depend on how rows and columns are grouped.

use super::check_rows;
use super::matrix::{Matrix, MatrixMut, PADDING};
use super::simd::{Kernel, Real, Register, SimdPath, Vector, dispatch};
use aligned_vec::{AVec, ConstAlign};

/// Rows of B in a block: with three AVX-512 vectors across, 24 KiB of f32.
const DEPTH_BLOCK: usize = 128;

/// Cuts `columns` into the fewest panels of nearly equal width: (first column,
/// vectors) of each.
fn panels<V: Register>(columns: usize) -> impl Iterator<Item = (usize, usize)> {
    let vectors = columns / V::LANES;
    let count = vectors.div_ceil(V::ACROSS);
    (0..count).map(move |n| {
        let (start, end) = (n * vectors / count, (n + 1) * vectors / count);
        (start * V::LANES, end - start)
    })
}

/// The right factor of products, packed for one [`SimdPath`].
#[derive(Clone, Debug)]
pub struct Panels<S: Real> {
    values: AVec<S, ConstAlign<64>>,
    depth: usize,
    columns: usize,
    path: SimdPath,
}

struct Pack<'a, S: Real> {
    from: &'a [S],
    rows: Rows<'a>,
    /// The first of them.
    first: usize,
    transposed: bool,
    into: &'a mut Panels<S>,
}

impl<S: Real> Kernel<S> for Pack<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = S>>(self) {
        let Self { from, rows: at_rows, first, transposed, into } = self;
        let mut at = 0;
        for block in (0..into.depth).step_by(DEPTH_BLOCK) {
            for (panel, vectors) in panels::<V>(into.columns) {
                let wide = vectors * V::LANES;
                let depth = DEPTH_BLOCK.min(into.depth - block);
                let rows = &mut into.values[at..at + depth * wide];
                at += rows.len();
                if transposed {
                    for n in 0..wide {
                        let column = &from[at_rows.offset(first + panel + n) + block..][..depth];
                        for (k, &value) in column.iter().enumerate() {
                            rows[k * wide + n] = value;
                        }
                    }
                } else {
                    for (k, row) in rows.chunks_exact_mut(wide).enumerate() {
                        row.copy_from_slice(
                            &from[at_rows.offset(first + block + k) + panel..][..wide],
                        );
                    }
                }
            }
        }
    }
}

impl<S: Real> Panels<S> {
    /// An empty factor; [`Panels::pack`] and [`Panels::pack_transposed`] fill it.
    pub fn new(path: SimdPath) -> Self {
        Self { values: AVec::new(64), depth: 0, columns: 0, path }
    }

    /// B = `from` `[depth, columns]`.
    ///
    /// # Panics
    /// When the columns are no multiple of [`PADDING`].
    pub fn pack(&mut self, from: Matrix<'_, S>) {
        let (rows, shape) = (Rows::Apart(from.stride), [from.rows, from.width]);
        self.fill(from.values, (rows, 0), shape, false);
    }

    /// B = `from`ᵀ, `from` being `[columns, depth]`: for `x Wᵀ`.
    ///
    /// # Panics
    /// When the columns are no multiple of [`PADDING`].
    pub fn pack_transposed(&mut self, from: Matrix<'_, S>) {
        let (rows, shape) = (Rows::Apart(from.stride), [from.width, from.rows]);
        self.fill(from.values, (rows, 0), shape, true);
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn path(&self) -> SimdPath {
        self.path
    }

    /// Whether no factor has been packed yet.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// B = rows of numbers from the `first` on.
    fn fill(
        &mut self,
        from: &[S],
        (rows, first): (Rows<'_>, usize),
        [depth, columns]: [usize; 2],
        transposed: bool,
    ) {
        assert!(columns.is_multiple_of(PADDING));
        (self.depth, self.columns) = (depth, columns);
        self.values.resize(depth * columns, S::default());
        dispatch(self.path, Pack { from, rows, first, transposed, into: self });
    }
}

/// What is in C before a product is added.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a, S> {
    /// Zeros.
    Zero,
    /// This row in every row.
    Bias(&'a [S]),
    /// What C holds already.
    Keep,
}

/// Where the rows of a factor or of a result are, in numbers from its base.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rows<'a> {
    /// This far apart.
    Apart(usize),
    /// At these multiples of the stride.
    At(&'a [u32], usize),
}

impl Rows<'_> {
    #[inline(always)]
    pub(super) fn offset(self, row: usize) -> usize {
        match self {
            Self::Apart(stride) => row * stride,
            Self::At(rows, stride) => rows[row] as usize * stride,
        }
    }

    /// Where `count` rows from `start` on are.
    fn offsets(self, start: usize, count: usize) -> [usize; DEPTH_BLOCK] {
        let mut offsets = [0; DEPTH_BLOCK];
        for (n, offset) in offsets[..count].iter_mut().enumerate() {
            *offset = self.offset(start + n);
        }
        offsets
    }

    /// Refuses rows that a matrix does not have.
    fn check(self, count: usize, rows: usize) {
        match self {
            Self::Apart(_) => assert!(count <= rows),
            Self::At(list, _) => {
                assert!(count == list.len());
                check_rows(list, rows);
            }
        }
    }
}

/// Where a row of A goes on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Steps<'a> {
    /// One number after the other.
    Next,
    /// At these offsets, of one block.
    At(&'a [usize; DEPTH_BLOCK]),
}

/// A product of raw parts. `a[r, k]` is at `a + a_rows(r) + a_steps(k)`.
pub(super) struct Product<'a, S> {
    pub(super) a: *const S,
    pub(super) a_rows: Rows<'a>,
    pub(super) a_steps: Steps<'a>,
    pub(super) c: *mut S,
    pub(super) c_rows: Rows<'a>,
    pub(super) rows: usize,
}

impl<S: Real> Product<'_, S> {
    /// `C (+)= A B`
    ///
    /// # Safety
    /// The processor has `V`'s instructions and `b` is packed for them, with one block where
    /// A's steps are offsets; every row of A has `b.depth` readable numbers and every row of
    /// C `b.columns` writable ones that no other thread touches; a bias has as many.
    #[inline(always)]
    pub(super) unsafe fn add<V: Register<Scalar = S>>(&self, b: &Panels<S>, start: Start<'_, S>) {
        let mut at = 0;
        for block in (0..b.depth).step_by(DEPTH_BLOCK) {
            let depth = DEPTH_BLOCK.min(b.depth - block);
            for (panel, vectors) in panels::<V>(b.columns) {
                let start = match start {
                    _ if block > 0 => Start::Keep,
                    Start::Bias(bias) => Start::Bias(&bias[panel..]),
                    other => other,
                };
                // SAFETY: the caller's; the panels hold `depth · columns` numbers.
                unsafe {
                    let panel = Panel {
                        a: self.a.add(block),
                        b: b.values.as_ptr().add(at),
                        c: self.c.add(panel),
                        depth,
                        product: self,
                        start,
                    };
                    panel.add::<V>(vectors);
                }
                at += depth * vectors * V::LANES;
            }
        }
    }
}

/// One panel of one block.
struct Panel<'a, S> {
    a: *const S,
    b: *const S,
    c: *mut S,
    depth: usize,
    product: &'a Product<'a, S>,
    start: Start<'a, S>,
}

impl<S: Real> Panel<'_, S> {
    /// # Safety
    /// As [`Product::add`].
    #[inline(always)]
    unsafe fn add<V: Register<Scalar = S>>(&self, vectors: usize) {
        // SAFETY: the caller's.
        unsafe {
            match vectors {
                1 => self.add_rows::<V, 1>(),
                2 => self.add_rows::<V, 2>(),
                3 => self.add_rows::<V, 3>(),
                _ => self.add_rows::<V, 4>(),
            }
        }
    }

    /// Cuts the rows into tiles of nearly equal height.
    ///
    /// # Safety
    /// As [`Product::add`].
    #[inline(always)]
    unsafe fn add_rows<V: Register<Scalar = S>, const N: usize>(&self) {
        if N > V::ACROSS {
            return; // Never reached; keeps such tiles from being compiled.
        }
        let rows = self.product.rows;
        let tiles = rows.div_ceil(V::ROWS);
        let mut row = 0;
        for tile in 0..tiles {
            let next = (tile + 1) * rows / tiles;
            // SAFETY: the caller's.
            unsafe {
                match next - row {
                    1 => self.add_tile::<V, 1, N>(row),
                    2 => self.add_tile::<V, 2, N>(row),
                    3 => self.add_tile::<V, 3, N>(row),
                    4 => self.add_tile::<V, 4, N>(row),
                    5 => self.add_tile::<V, 5, N>(row),
                    6 => self.add_tile::<V, 6, N>(row),
                    7 => self.add_tile::<V, 7, N>(row),
                    _ => self.add_tile::<V, 8, N>(row),
                }
            }
            row = next;
        }
    }

    /// # Safety
    /// As [`Product::add`].
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "plain counted loops unroll into registers")]
    unsafe fn add_tile<V: Register<Scalar = S>, const R: usize, const N: usize>(&self, row: usize) {
        if R > V::ROWS {
            return; // Never reached; keeps such tiles from being compiled.
        }
        let Product { a_rows, a_steps, c_rows, .. } = *self.product;
        // SAFETY: the caller's.
        unsafe {
            let mut a = [self.a; R];
            let mut c = [self.c; R];
            let mut sums = [[V::splat(S::default()); N]; R];
            for r in 0..R {
                a[r] = self.a.add(a_rows.offset(row + r));
                c[r] = self.c.add(c_rows.offset(row + r));
            }

            // What C starts from.
            match self.start {
                Start::Zero => {}
                Start::Keep => {
                    for r in 0..R {
                        for n in 0..N {
                            sums[r][n] = V::load(c[r].add(n * V::LANES));
                        }
                    }
                }
                Start::Bias(bias) => {
                    for n in 0..N {
                        let bias = V::load(bias.as_ptr().add(n * V::LANES));
                        for sum in &mut sums {
                            sum[n] = bias;
                        }
                    }
                }
            }

            // Σ_k A[r, k] B[k, n]
            let mut b = self.b;
            for k in 0..self.depth {
                let step = match a_steps {
                    Steps::Next => k,
                    Steps::At(offsets) => *offsets.get_unchecked(k),
                };
                let mut row_of_b = [V::splat(S::default()); N];
                for n in 0..N {
                    row_of_b[n] = V::load(b.add(n * V::LANES));
                }
                for r in 0..R {
                    let x = V::splat(*a[r].add(step));
                    for n in 0..N {
                        sums[r][n] = x.mul_add(row_of_b[n], sums[r][n]);
                    }
                }
                b = b.add(N * V::LANES);
            }

            for r in 0..R {
                for n in 0..N {
                    sums[r][n].store(c[r].add(n * V::LANES));
                }
            }
        }
    }
}

struct Multiply<'a, S: Real> {
    a: Matrix<'a, S>,
    b: &'a Panels<S>,
    start: Start<'a, S>,
    c: MatrixMut<'a, S>,
    /// The rows of A and C, where it is not all of them.
    at: Option<&'a [u32]>,
}

impl<'a, S: Real> Multiply<'a, S> {
    #[inline(always)]
    fn rows(&self, stride: usize) -> Rows<'a> {
        self.at.map_or(Rows::Apart(stride), |rows| Rows::At(rows, stride))
    }

    fn dispatch(self) {
        let Self { a, b, start, c, .. } = &self;
        assert!(a.rows == c.rows && a.width == b.depth && c.width == b.columns);
        if let Start::Bias(bias) = start {
            assert!(bias.len() >= b.columns);
        }
        if let Some(rows) = self.at {
            check_rows(rows, a.rows);
        }
        dispatch(b.path, self);
    }
}

impl<S: Real> Kernel<S> for Multiply<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = S>>(self) {
        let product = Product {
            a: self.a.values.as_ptr(),
            a_rows: self.rows(self.a.stride),
            a_steps: Steps::Next,
            c: self.c.values.as_mut_ptr(),
            c_rows: self.rows(self.c.stride),
            rows: self.at.map_or(self.a.rows, <[u32]>::len),
        };
        // SAFETY: the caller's; the shapes were compared before.
        unsafe { product.add::<V>(self.b, self.start) }
    }
}

/// `C = start + A B`, `A` `[rows, depth]`, `C` `[rows, columns]`.
///
/// # Panics
/// When the shapes do not fit.
pub fn multiply<S: Real>(
    a: Matrix<'_, S>,
    b: &Panels<S>,
    start: Start<'_, S>,
    c: MatrixMut<'_, S>,
) {
    Multiply { a, b, start, c, at: None }.dispatch();
}

/// `C = start + A B` for these rows of A and C alone, none of them twice; other rows of C stay as
/// they are.
///
/// # Panics
/// When the shapes do not fit or a row does not exist.
pub fn multiply_rows<S: Real>(
    rows: &[u32],
    a: Matrix<'_, S>,
    b: &Panels<S>,
    start: Start<'_, S>,
    c: MatrixMut<'_, S>,
) {
    Multiply { a, b, start, c, at: Some(rows) }.dispatch();
}

struct AddTransposed<'a, S: Real> {
    a: Matrix<'a, S>,
    b: Matrix<'a, S>,
    /// The rows of A and of B, and how many.
    rows: [Rows<'a>; 2],
    depth: usize,
    c: MatrixMut<'a, S>,
    scratch: &'a mut Panels<S>,
}

impl<S: Real> AddTransposed<'_, S> {
    fn dispatch(self) {
        let Self { a, b, rows, depth, c, .. } = &self;
        rows[0].check(*depth, a.rows);
        rows[1].check(*depth, b.rows);
        assert!(c.rows == a.width && c.width == b.width);
        dispatch(self.scratch.path, self);
    }
}

impl<S: Real> Kernel<S> for AddTransposed<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = S>>(self) {
        let Self { a, b, rows: [a_rows, b_rows], depth: all, c, scratch } = self;
        let c_start = c.values.as_mut_ptr();
        for block in (0..all).step_by(DEPTH_BLOCK) {
            let depth = DEPTH_BLOCK.min(all - block);
            scratch.fill(b.values, (b_rows, block), [depth, b.width], false);
            let product = Product {
                a: a.values.as_ptr(),
                a_rows: Rows::Apart(1),
                a_steps: Steps::At(&a_rows.offsets(block, depth)),
                c: c_start,
                c_rows: Rows::Apart(c.stride),
                rows: a.width,
            };
            // SAFETY: the caller's; the shapes were compared before.
            unsafe { product.add::<V>(scratch, Start::Keep) }
        }
    }
}

/// `C += Aᵀ B`, `A` `[rows, m]`, `B` `[rows, n]`, `C` `[m, n]`: the gradient of a
/// weight. `scratch` holds packed parts of B.
///
/// # Panics
/// When the shapes do not fit.
pub fn add_transposed_product<S: Real>(
    a: Matrix<'_, S>,
    b: Matrix<'_, S>,
    c: MatrixMut<'_, S>,
    scratch: &mut Panels<S>,
) {
    assert!(a.rows == b.rows);
    let rows = [Rows::Apart(a.stride), Rows::Apart(b.stride)];
    AddTransposed { a, b, rows, depth: a.rows, c, scratch }.dispatch();
}

/// `C += Σ_n A[a_rows[n]]ᵀ B[b_rows[n]]`: [`add_transposed_product`] over pairs of rows.
///
/// # Panics
/// When the shapes do not fit or a row does not exist.
pub fn add_transposed_product_of_rows<S: Real>(
    (a_rows, a): (&[u32], Matrix<'_, S>),
    (b_rows, b): (&[u32], Matrix<'_, S>),
    c: MatrixMut<'_, S>,
    scratch: &mut Panels<S>,
) {
    let rows = [Rows::At(a_rows, a.stride), Rows::At(b_rows, b.stride)];
    AddTransposed { a, b, rows, depth: a_rows.len(), c, scratch }.dispatch();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::matrix::Buffer;
    use proptest::prelude::*;

    fn filled(rows: usize, width: usize, seed: usize) -> Buffer<f64> {
        let mut buffer = Buffer::new(rows, width);
        for row in 0..rows {
            for column in 0..width {
                let x = (row * 37 + column * 101 + seed * 7919) % 1009;
                buffer.row_mut(row)[column] = x as f64 / 500. - 1.;
            }
        }
        buffer
    }

    fn close(c: &Buffer<f64>, expected: impl Fn(usize, usize) -> f64) -> bool {
        (0..c.rows()).all(|m| (0..c.stride()).all(|n| (c.row(m)[n] - expected(m, n)).abs() < 1e-12))
    }

    proptest! {
        #[test]
        fn products_equal_the_triple_loop_on_every_path(
            rows in 1usize..20, depth in 1usize..150, columns in 1usize..10,
        ) {
            let columns = columns * PADDING;
            let (a, b) = (filled(rows, depth, 1), filled(depth, columns, 2));
            let bias = filled(1, columns, 3);
            let entry = |m: usize, n: usize| {
                bias.row(0)[n] + (0..depth).map(|k| a.row(m)[k] * b.row(k)[n]).sum::<f64>()
            };
            for path in SimdPath::available() {
                let mut panels = Panels::new(path);
                panels.pack(b.view());
                let mut c = Buffer::new(rows, columns);
                let start = Start::Bias(bias.row(0));
                multiply(a.columns(0, depth), &panels, start, c.view_mut());
                prop_assert!(close(&c, entry));

                let transposed = {
                    let mut t = Buffer::new(columns, depth);
                    for k in 0..depth {
                        for n in 0..columns {
                            t.row_mut(n)[k] = b.row(k)[n];
                        }
                    }
                    t
                };
                panels.pack_transposed(transposed.columns(0, depth));
                multiply(a.columns(0, depth), &panels, start, c.view_mut());
                prop_assert!(close(&c, entry));
            }
        }

        #[test]
        fn weight_gradients_equal_the_triple_loop_on_every_path(
            rows in 1usize..300, m in 1usize..20, n in 1usize..6,
        ) {
            let (a, b) = (filled(rows, m, 1), filled(rows, n * PADDING, 2));
            for path in SimdPath::available() {
                let mut c = Buffer::new(m, n * PADDING);
                let mut scratch = Panels::new(path);
                add_transposed_product(a.columns(0, m), b.view(), c.view_mut(), &mut scratch);
                let sum = |i: usize, j: usize| -> f64 {
                    (0..rows).map(|k| a.row(k)[i] * b.row(k)[j]).sum()
                };
                prop_assert!(close(&c, sum));
            }
        }
    }
}
