//! Fused whole-sequence LSTM kernels for the CPU: the recurrence, its first
//! and its second derivative, written out by hand.
//!
//! Notation: `p_t` are the pre-activations `[4H]` in the gate order f, i, a, o,
//! `U` `[4H, H]` the recurrent weights, τ = tanh c.
//!
//! **F**, forwards in time, from h = c = 0 ([`forward`]):
//!
//! ```text
//! p_t = pre_t + U h_{t−1}
//! f = σ(p_f)   i = σ(p_i)   a = tanh(p_a)   o = σ(p_o)
//! c_t = f c_{t−1} + i a     τ_t = tanh c_t  h_t = o τ_t
//! ```
//!
//! **B**, backwards in time, for a gradient h̄ that arrives at h ([`adjoint`]):
//!
//! ```text
//! δh_t = h̄_t + Uᵀ δp_{t+1}
//! δc_t = δh_t o (1 − τ²) + δc_{t+1} f_{t+1}
//! δp_f = δc_t c_{t−1} f(1 − f)    δp_i = δc_t a i(1 − i)
//! δp_a = δc_t i (1 − a²)          δp_o = δh_t τ o(1 − o)
//! ```
//!
//! **B's derivative.** Let q be the gradient that arrives at δp. Because B is
//! linear in h̄, its adjoint is F's tangent along q, forwards in time
//! ([`tangent`]), with ṗ, ċ, ḣ the gradients for δp, δc, δh:
//!
//! ```text
//! ṗ_t = q_t + U ḣ_{t−1}
//! ċ_t = ṗ_f f(1 − f) c_{t−1} + ṗ_i i(1 − i) a + ṗ_a (1 − a²) i + f ċ_{t−1}
//! ḣ_t = ṗ_o o(1 − o) τ + o (1 − τ²) ċ_t
//! ```
//!
//! The gradient for h̄ is ḣ, that for `U` is Σ δp_{t+1} ḣ_tᵀ, and what F computed
//! receives ([`direct_gradients`]):
//!
//! ```text
//! D_f = ṗ_f δc c_{t−1}(1 − 2f) + ċ_{t−1} δc     D_i = ṗ_i δc a(1 − 2i) + ṗ_a δc (1 − a²)
//! D_a = ṗ_i δc i(1 − i) − 2 ṗ_a δc i a          D_o = ṗ_o δh τ(1 − 2o) + ċ_t δh (1 − τ²)
//! D_τ = ṗ_o δh o(1 − o) − 2 ċ_t δh o τ          D_c{t−1} = ṗ_f δc f(1 − f)
//! ```
//!
//! **F's adjoint with direct gradients** is B with D added where it belongs; one
//! definition serves all three ([`adjoint`], [`adjoint_with_direct`], [`second_adjoint`]):
//!
//! ```text
//! εh_t = D_h + Uᵀ εp_{t+1}
//! εc_t = (εh_t o + D_τ)(1 − τ²) + D_c + εc_{t+1} f_{t+1} + D_c{t} of step t + 1
//! εp_f = (εc_t c_{t−1} + D_f) f(1 − f)    εp_i = (εc_t a + D_i) i(1 − i)
//! εp_a = (εc_t i + D_a)(1 − a²)           εp_o = (εh_t τ + D_o) o(1 − o)
//! ```
//!
//! A gradient penalty so costs four sequential passes: F, B, the tangent and the
//! second adjoint. Rows are independent, so callers give each thread rows of its
//! own; within a row the order of every sum is fixed, so results do not depend
//! on the threads.

mod activation;
mod forward;
mod local_gradients;
mod matrix;
mod pointwise;
mod product;
mod pull_back;
mod simd;
mod step_schedule;
mod tangent;

pub use activation::{exp_of_negative_in_place, sigmoid_in_place};
pub use forward::{forward, forward_from};
pub use local_gradients::direct_gradients;
pub use matrix::{Buffer, Matrix, MatrixMut, PADDING, padded};
pub use pointwise::{
    add_column_sums, add_column_sums_of_rows, leaky_in_place, leaky_pull_back_in_place,
    scale_in_place, sum_of_squares,
};
pub use product::{
    Panels, Start, add_transposed_product, add_transposed_product_of_rows, multiply, multiply_rows,
};
pub use pull_back::{
    OutputGradient, adjoint, adjoint_by_segments, adjoint_with_direct, second_adjoint,
};
pub use simd::{Real, SimdPath, VECTORS};
pub use step_schedule::{Segment, StepSchedule};
pub use tangent::{tangent, tangent_from};

use product::{Product, Rows, Steps};

/// The parts of a row of states, each of the padded hidden width: the gates f, i,
/// a, o, then c, τ and h.
pub const STATE_PARTS: usize = 7;
/// The parts of a row of gradients with everything that the second order needs:
/// δp (four), δc and δh. A row of four parts holds δp alone. Tangents have the
/// same layout: ṗ, ċ, ḣ.
pub const GRADIENT_PARTS: usize = 6;

/// The recurrent weights `U` of one direction, packed for both ways.
#[derive(Clone, Debug)]
pub struct RecurrentWeights<S: Real> {
    hidden: usize,
    path: SimdPath,
    /// `U`ᵀ, for `U h` over rows.
    forwards: Panels<S>,
    /// `U`, for `Uᵀ δp` over rows.
    backwards: Panels<S>,
}

impl<S: Real> RecurrentWeights<S> {
    /// No weights yet, for `hidden` (padded) features.
    ///
    /// # Panics
    /// When `hidden` is no multiple of [`PADDING`].
    pub fn new(hidden: usize, path: SimdPath) -> Self {
        assert!(hidden.is_multiple_of(PADDING));
        Self { hidden, path, forwards: Panels::new(path), backwards: Panels::new(path) }
    }

    /// Whether no weights have been taken yet.
    pub fn is_empty(&self) -> bool {
        self.forwards.is_empty()
    }

    /// Takes `U` `[4H, H]`.
    ///
    /// # Panics
    /// When `u` has another shape.
    pub fn pack(&mut self, u: Matrix<'_, S>) {
        assert!(u.rows == 4 * self.hidden && u.width == self.hidden);
        self.forwards.pack_transposed(u);
        self.backwards.pack(u);
    }

    /// Adds `U h` to the pre-activations of the rows of `step`, h being part
    /// `hidden_part` of the rows one step earlier.
    ///
    /// # Safety
    /// `base` has the schedule' rows `stride` apart, with that part in each, and the
    /// processor has `V`'s instructions.
    #[inline(always)]
    unsafe fn carry_forwards<V: simd::Vector<Scalar = S>>(
        &self,
        schedule: &StepSchedule,
        step: usize,
        base: *mut S,
        stride: usize,
        hidden_part: usize,
    ) {
        let before = schedule.active_before(step);
        if before.is_empty() {
            return;
        }
        // SAFETY: the caller's; no two schedule share a row.
        unsafe {
            let product = Product {
                a: base.add(hidden_part * self.hidden),
                a_rows: Rows::At(before, stride),
                a_steps: Steps::Next,
                c: base,
                c_rows: Rows::At(schedule.active(step), stride),
                rows: before.len(),
            };
            product.add::<V>(&self.forwards, Start::Keep);
        }
    }
}

/// What a recurrence receives from below: `x Wᵀ` on top of a start, computed for a few steps
/// at a time, just before they need it, so that it never leaves the cache.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a, S: Real> {
    /// `[rows, depth]`, in the rows of the states.
    pub x: Matrix<'a, S>,
    /// `W`ᵀ `[depth, 4H]`.
    pub weights: &'a Panels<S>,
    /// The bias, for states; nothing, for tangents.
    pub start: Start<'a, S>,
}

/// Rows for which an [`Input`] is computed at a time: enough for full tiles.
const INPUT_ROWS: usize = 32;

impl<S: Real> Input<'_, S> {
    /// Computes the input of `step` and some steps after it, where that was not done before;
    /// `done` is the first step that still waits.
    ///
    /// # Safety
    /// `base` has the schedule' rows `stride` apart, with four parts in each, and the processor
    /// has `V`'s instructions.
    #[inline(always)]
    unsafe fn feed<V: simd::Vector<Scalar = S>>(
        &self,
        schedule: &StepSchedule,
        step: usize,
        done: &mut usize,
        base: *mut S,
        stride: usize,
    ) {
        if step < *done {
            return;
        }
        let (rows, until) = schedule.span(step, INPUT_ROWS);
        *done = until;
        let product = Product {
            a: self.x.values.as_ptr(),
            a_rows: Rows::At(rows, self.x.stride),
            a_steps: Steps::Next,
            c: base,
            c_rows: Rows::At(rows, stride),
            rows: rows.len(),
        };
        // SAFETY: the caller's; `check` compared the shapes.
        unsafe { product.add::<V>(self.weights, self.start) };
    }

    fn check(&self, u: &RecurrentWeights<S>, schedule: &StepSchedule) {
        check(self.x.rows, self.x.width, schedule, 1, self.weights.depth());
        assert!(self.weights.columns() == 4 * u.hidden && self.weights.path() == u.path);
        if let Start::Bias(bias) = self.start {
            assert!(bias.len() >= 4 * u.hidden);
        }
    }
}

/// Positions of the parts in a row of states.
mod part {
    use super::{Matrix, simd};

    /// Vector `at` of part `n` of a row.
    ///
    /// # Safety
    /// The row has that part, and the processor `V`'s instructions.
    #[inline(always)]
    pub(super) unsafe fn load<V: simd::Vector>(
        rows: Matrix<'_, V::Scalar>,
        hidden: usize,
        row: usize,
        n: usize,
        at: usize,
    ) -> V {
        // SAFETY: the caller's.
        unsafe { V::load(rows.values.as_ptr().add(row * rows.stride + n * hidden + at)) }
    }

    pub(super) const F: usize = 0;
    pub(super) const I: usize = 1;
    pub(super) const A: usize = 2;
    pub(super) const O: usize = 3;
    pub(super) const CELL: usize = 4;
    pub(super) const TANH: usize = 5;
    pub(super) const HIDDEN: usize = 6;
    /// In a row of gradients or tangents.
    pub(super) const GRAD_CELL: usize = 4;
    pub(super) const GRAD_HIDDEN: usize = 5;
}

/// Refuses rows that a matrix of `count` rows has not.
fn check_rows(rows: &[u32], count: usize) {
    assert!(rows.iter().all(|&row| (row as usize) < count), "a row that the matrix has not");
}

/// Refuses matrices that the schedule, or the kernels' parts, would leave.
fn check(rows: usize, width: usize, schedule: &StepSchedule, hidden: usize, parts: usize) {
    assert!(schedule.extent() <= rows, "the schedule visit rows that the matrix has not");
    assert!(width >= parts * hidden, "a row has less than {parts} parts of {hidden}");
}
