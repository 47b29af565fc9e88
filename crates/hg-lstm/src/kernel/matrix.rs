//! Row-major matrices whose rows the kernels read in whole vectors.

use super::simd::Real;
use aligned_vec::{AVec, ConstAlign};

/// Widths are rounded up to a multiple of this, so that no kernel meets a part
/// of a vector; the numbers in between stay 0.
pub const PADDING: usize = 16;

/// Rounds a width up to what kernels read.
pub const fn padded(width: usize) -> usize {
    width.next_multiple_of(PADDING)
}

/// An owned matrix `[rows, width]` with rows on cache lines.
#[derive(Clone, Debug)]
pub struct Buffer<S: Real> {
    values: AVec<S, ConstAlign<64>>,
    rows: usize,
    stride: usize,
}

impl<S: Real> Buffer<S> {
    /// Zeros, with the width rounded up to [`PADDING`].
    pub fn new(rows: usize, width: usize) -> Self {
        let mut buffer = Self { values: AVec::new(64), rows: 0, stride: 0 };
        buffer.reshape(rows, width);
        buffer
    }

    /// Changes the shape and sets all numbers to 0; memory is kept.
    pub fn reshape(&mut self, rows: usize, width: usize) {
        (self.rows, self.stride) = (rows, padded(width));
        self.values.clear();
        self.values.resize(rows * self.stride, S::default());
    }

    /// Changes the number of rows; they hold whatever was in memory.
    pub fn set_rows(&mut self, rows: usize) {
        if rows * self.stride > self.values.len() {
            self.values.resize(rows * self.stride, S::default());
        }
        self.rows = rows;
    }

    /// Copies the rows of another buffer of the same width.
    ///
    /// # Panics
    /// When the widths differ.
    pub fn copy_from(&mut self, other: &Self) {
        assert_eq!(self.stride, other.stride);
        self.set_rows(other.rows);
        self.as_mut_slice().copy_from_slice(other.as_slice());
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The padded width.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// One row, padding included.
    pub fn row(&self, row: usize) -> &[S] {
        &self.values[row * self.stride..][..self.stride]
    }

    /// One row to write to; its padding must stay 0.
    pub fn row_mut(&mut self, row: usize) -> &mut [S] {
        &mut self.values[row * self.stride..][..self.stride]
    }

    /// All numbers, row after row with padding.
    pub fn as_slice(&self) -> &[S] {
        &self.values[..self.rows * self.stride]
    }

    /// All numbers to write to; padding must stay 0.
    pub fn as_mut_slice(&mut self) -> &mut [S] {
        &mut self.values[..self.rows * self.stride]
    }

    /// The whole matrix.
    pub fn view(&self) -> Matrix<'_, S> {
        Matrix::new(self.as_slice(), self.rows, self.stride, self.stride)
    }

    /// The whole matrix, to write to.
    pub fn view_mut(&mut self) -> MatrixMut<'_, S> {
        let (rows, stride) = (self.rows, self.stride);
        MatrixMut::new(self.as_mut_slice(), rows, stride, stride)
    }

    /// `width` columns from `start` on.
    pub fn columns(&self, start: usize, width: usize) -> Matrix<'_, S> {
        Matrix::new(&self.as_slice()[start..], self.rows, width, self.stride)
    }

    /// `width` columns from `start` on, to write to.
    pub fn columns_mut(&mut self, start: usize, width: usize) -> MatrixMut<'_, S> {
        let (rows, stride) = (self.rows, self.stride);
        MatrixMut::new(&mut self.as_mut_slice()[start..], rows, width, stride)
    }
}

/// A borrowed matrix `[rows, width]`, whose rows lie `stride` apart.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, S> {
    pub(super) values: &'a [S],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub width: usize,
    /// Numbers from the start of one row to the start of the next.
    pub stride: usize,
}

/// A borrowed matrix to write to.
#[derive(Debug)]
pub struct MatrixMut<'a, S> {
    pub(super) values: &'a mut [S],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub width: usize,
    /// Numbers from the start of one row to the start of the next.
    pub stride: usize,
}

/// Numbers that a matrix of this shape must have.
fn extent(rows: usize, width: usize, stride: usize) -> usize {
    if rows == 0 { 0 } else { (rows - 1) * stride + width }
}

impl<'a, S> Matrix<'a, S> {
    /// A view of `values`.
    ///
    /// # Panics
    /// When `values` is too short, or rows overlap.
    pub fn new(values: &'a [S], rows: usize, width: usize, stride: usize) -> Self {
        assert!(width <= stride && extent(rows, width, stride) <= values.len());
        Self { values, rows, width, stride }
    }

    /// One row.
    pub(super) fn row(&self, row: usize) -> &'a [S] {
        &self.values[row * self.stride..][..self.width]
    }

    /// `width` columns from `start` on.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn columns(&self, start: usize, width: usize) -> Self {
        assert!(start + width <= self.width);
        let values = &self.values[start.min(self.values.len())..];
        Self::new(values, self.rows, width, self.stride)
    }
}

impl<'a, S> MatrixMut<'a, S> {
    /// A view of `values`.
    ///
    /// # Panics
    /// When `values` is too short, or rows overlap.
    pub fn new(values: &'a mut [S], rows: usize, width: usize, stride: usize) -> Self {
        assert!(width <= stride && extent(rows, width, stride) <= values.len());
        Self { values, rows, width, stride }
    }

    /// A read-only view of this matrix.
    pub fn as_ref(&self) -> Matrix<'_, S> {
        Matrix { values: self.values, rows: self.rows, width: self.width, stride: self.stride }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn rows_of_a_buffer_are_padded_aligned_and_apart() {
        assert_eq!([0, 1, 16, 17].map(padded), [0, 16, 16, 32]);
        let mut buffer = Buffer::<f32>::new(3, 17);
        assert_eq!((buffer.rows(), buffer.stride(), buffer.as_slice().len()), (3, 32, 96));
        assert!(buffer.as_slice().iter().all(|&x| x == 0.));
        buffer.row_mut(1)[2] = 5.;
        assert_eq!(
            (buffer.row(1)[2], buffer.as_slice()[34], buffer.as_mut_slice()[34]),
            (5., 5., 5.)
        );
        assert!(buffer.as_slice().as_ptr().addr().is_multiple_of(64));
        let view = buffer.view();
        assert_eq!((view.rows, view.width, view.stride, view.values.len()), (3, 32, 32, 96));
        let view = buffer.columns(2, 5);
        assert_eq!((view.rows, view.width, view.stride, view.values[32]), (3, 5, 32, 5.));
        assert_eq!(view.columns(0, 5).values[32], 5.);
        assert_eq!(view.columns(3, 2).values.len(), view.values.len() - 3);
        let view = buffer.columns_mut(2, 5);
        assert_eq!((view.rows, view.width, view.stride, view.values[32]), (3, 5, 32, 5.));
        let view = view.as_ref();
        assert_eq!((view.rows, view.width, view.stride, view.values[32]), (3, 5, 32, 5.));
        let view = buffer.view_mut();
        assert_eq!((view.rows, view.width, view.stride, view.values[34]), (3, 32, 32, 5.));
    }

    #[test]
    fn a_buffer_that_changes_its_shape_holds_zeros_and_with_its_rows_alone_what_it_held() {
        let mut buffer = Buffer::<f64>::new(2, 16);
        buffer.as_mut_slice().fill(1.);
        buffer.set_rows(1);
        assert_eq!(buffer.as_slice(), [1.; 16]);
        buffer.set_rows(3);
        assert_eq!((buffer.rows(), buffer.row(1)[0], buffer.row(2)[0]), (3, 1., 0.));
        let mut other = Buffer::new(0, 16);
        other.copy_from(&buffer);
        assert_eq!((other.rows(), other.as_slice() == buffer.as_slice()), (3, true));
        buffer.reshape(1, 20);
        assert_eq!((buffer.rows(), buffer.as_slice()), (1, &[0.; 32][..]));
        assert!(catch_unwind(move || other.copy_from(&buffer)).is_err(), "widths differ");
    }

    #[test]
    fn views_beyond_their_numbers_and_rows_that_overlap_are_refused() {
        let fits = |count: usize, rows: usize, width: usize, stride: usize| {
            let mut values = vec![0f32; count];
            let shared = catch_unwind(|| Matrix::new(&values, rows, width, stride).rows).is_ok();
            let unique = std::panic::AssertUnwindSafe(|| {
                MatrixMut::new(&mut values, rows, width, stride).rows
            });
            assert_eq!(catch_unwind(unique).is_ok(), shared);
            shared
        };
        assert!(fits(12, 3, 4, 4) && fits(10, 3, 2, 4) && fits(0, 0, 4, 4));
        assert!(!fits(11, 3, 4, 4) && !fits(9, 3, 2, 4) && !fits(99, 3, 5, 4));
        let values = [0f32; 12];
        let matrix = Matrix::new(&values, 3, 4, 4);
        assert!(catch_unwind(|| matrix.columns(2, 2)).is_ok());
        assert!(catch_unwind(|| matrix.columns(2, 3)).is_err());
    }
}
