//! What the critic is shown beside each row.
//!
//! ```text
//! x̃ₜ = [xₜ, xₜ − xₜ₋₁, xₜ − x̄]      x̄ the sequence's mean; x₀ has no change
//! ```
//!
//! Linear in x, so that its JVP is itself, and its transpose takes a gradient back:
//!
//! ```text
//! gₜ = aₜ + bₜ − bₜ₊₁ + cₜ − c̄        of g̃ₜ = [aₜ, bₜ, cₜ], with b₀ = 0 and b of the end 0
//! ```

use super::linear::Width;
use super::micro_batch::PackedBatch;
use crate::CriticConfig;
use hg_lstm::kernel::{Buffer, Real};

/// The width of what is shown.
pub(super) fn shown_width(config: &CriticConfig) -> Width {
    let parts = if config.compares { 3 } else { 1 };
    Width { parts, each: config.layout.width() }
}

/// From rows `x`, one or more copies of a micro-batch's, to what is `shown` of them.
pub(super) fn show<S: Real>(x: &Buffer<S>, packed: &PackedBatch, shown: &mut Buffer<S>) {
    shown.set_rows(x.rows());
    let width = x.stride();
    for row in 0..x.rows() {
        shown.row_mut(row)[..width].copy_from_slice(x.row(row));
    }
    if shown.stride() == width {
        return;
    }
    let mut mean = vec![S::default(); width];
    for rows in sequences(packed, x.rows()) {
        set_to_mean(&mut mean, &rows, |row| x.row(row));
        for (time, &row) in rows.iter().enumerate() {
            let (change, distance) = shown.row_mut(row)[width..].split_at_mut(width);
            match time {
                0 => change.fill(S::default()),
                _ => set_to_difference(change, x.row(row), x.row(rows[time - 1])),
            }
            set_to_difference(distance, x.row(row), &mean);
        }
    }
}

/// The transpose of [`show`]: from the gradient of what is shown to that of the rows, `grad`.
pub(super) fn show_transposed<S: Real>(
    shown: &Buffer<S>,
    packed: &PackedBatch,
    grad: &mut Buffer<S>,
) {
    grad.set_rows(shown.rows());
    let width = grad.stride();
    for row in 0..shown.rows() {
        grad.row_mut(row).copy_from_slice(&shown.row(row)[..width]);
    }
    if shown.stride() == width {
        return;
    }
    let mut mean = vec![S::default(); width];
    for rows in sequences(packed, shown.rows()) {
        set_to_mean(&mut mean, &rows, |row| &shown.row(row)[2 * width..]);
        for (time, &row) in rows.iter().enumerate() {
            let (change, distance) = shown.row(row)[width..].split_at(width);
            for (to, (&c, &mean)) in grad.row_mut(row).iter_mut().zip(distance.iter().zip(&mean)) {
                *to += c - mean;
            }
            if time > 0 {
                grad.row_mut(row).iter_mut().zip(change).for_each(|(to, &b)| *to += b);
                let before = grad.row_mut(rows[time - 1]);
                before.iter_mut().zip(change).for_each(|(to, &b)| *to -= b);
            }
        }
    }
}

/// The rows of each sequence, in time, of all copies of a micro-batch that make up `rows`.
fn sequences(packed: &PackedBatch, rows: usize) -> impl Iterator<Item = Vec<usize>> {
    let copies = (0..rows).step_by(packed.rows.max(1));
    copies.flat_map(move |first| {
        let sequences = packed.lengths.iter().enumerate();
        sequences
            .map(move |(n, &length)| (0..length).map(|time| first + packed.row(n, time)).collect())
    })
}

fn set_to_mean<'a, S: Real>(mean: &mut [S], rows: &[usize], of: impl Fn(usize) -> &'a [S]) {
    mean.fill(S::default());
    let share = S::from_f64(1. / rows.len() as f64);
    for &row in rows {
        mean.iter_mut().zip(of(row)).for_each(|(mean, &x)| *mean += share * x);
    }
}

fn set_to_difference<S: Real>(to: &mut [S], a: &[S], b: &[S]) {
    for (to, (&a, &b)) in to.iter_mut().zip(a.iter().zip(b)) {
        *to = a - b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_begin_after_the_first_row_and_distances_are_from_the_sequences_mean() {
        // Two sequences, [1, 2, 6] and [5], below their copy times ten.
        let packed = PackedBatch::new(vec![0, 1], &[3, 1]);
        let mut x = Buffer::<f64>::new(8, 1);
        for (row, value) in [1., 5., 2., 6., 10., 50., 20., 60.].into_iter().enumerate() {
            x.row_mut(row)[0] = value;
        }
        let width = x.stride();
        let mut shown = Buffer::new(0, 3 * width);
        show(&x, &packed, &mut shown);
        let row = |n: usize| [0, 1, 2].map(|part: usize| shown.row(n)[part * width]);
        assert_eq!([0, 2, 3].map(row), [[1., 0., -2.], [2., 1., -1.], [6., 4., 3.]]);
        assert_eq!(row(1), [5., 0., 0.]);
        assert_eq!([4, 6, 7].map(row), [[10., 0., -20.], [20., 10., -10.], [60., 40., 30.]]);
    }
}
