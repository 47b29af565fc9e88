//! Whole-sequence LSTM kernels for the CPU: the recurrence, its first and its second derivative,
//! written out by hand.
//!
//! Notation: `p_t` are the pre-activations `[4H]` in the gate order f, i, a, o, `U` `[4H, H]` the
//! recurrent weights, τ = tanh c.
//!
//! **Forward**, from h = c = 0 ([`forward`]):
//!
//! ```text
//! p_t = pre_t + U h_{t−1}
//! f = σ(p_f)   i = σ(p_i)   a = tanh(p_a)   o = σ(p_o)
//! c_t = f c_{t−1} + i a     τ_t = tanh c_t  h_t = o τ_t
//! ```
//!
//! **Backward**, from the last step to the first, for a gradient h̄ of the hidden states
//! ([`backward`]):
//!
//! ```text
//! δh_t = h̄_t + Uᵀ δp_{t+1}
//! δc_t = δh_t o (1 − τ²) + δc_{t+1} f_{t+1}
//! δp_f = δc_t c_{t−1} f(1 − f)    δp_i = δc_t a i(1 − i)
//! δp_a = δc_t i (1 − a²)          δp_o = δh_t τ o(1 − o)
//! ```
//!
//! **Double backward** differentiates the backward pass. Let q be the gradient of δp. The backward
//! pass is linear in h̄, so its transpose is the Jacobian-vector product of the forward pass along
//! q ([`jvp`]), which runs forward in time; ṗ, ċ, ḣ are the gradients of δp, δc, δh:
//!
//! ```text
//! ṗ_t = q_t + U ḣ_{t−1}
//! ċ_t = ṗ_f f(1 − f) c_{t−1} + ṗ_i i(1 − i) a + ṗ_a (1 − a²) i + f ċ_{t−1}
//! ḣ_t = ṗ_o o(1 − o) τ + o (1 − τ²) ċ_t
//! ```
//!
//! The gradient of h̄ is ḣ, that of `U` is Σ δp_{t+1} ḣ_tᵀ, and the values of the forward pass
//! receive local gradients D ([`local_gradients`]):
//!
//! ```text
//! D_f = ṗ_f δc c_{t−1}(1 − 2f) + ċ_{t−1} δc     D_i = ṗ_i δc a(1 − 2i) + ṗ_a δc (1 − a²)
//! D_a = ṗ_i δc i(1 − i) − 2 ṗ_a δc i a          D_o = ṗ_o δh τ(1 − 2o) + ċ_t δh (1 − τ²)
//! D_τ = ṗ_o δh o(1 − o) − 2 ċ_t δh o τ          D_c{t−1} = ṗ_f δc f(1 − f)
//! ```
//!
//! **Backward with local gradients** is the backward pass with D added where it belongs. One
//! definition serves all three functions ([`backward`], [`backward_with_local_gradients`],
//! [`double_backward`]):
//!
//! ```text
//! εh_t = D_h + Uᵀ εp_{t+1}
//! εc_t = (εh_t o + D_τ)(1 − τ²) + D_c + εc_{t+1} f_{t+1} + D_c{t} of step t + 1
//! εp_f = (εc_t c_{t−1} + D_f) f(1 − f)    εp_i = (εc_t a + D_i) i(1 − i)
//! εp_a = (εc_t i + D_a)(1 − a²)           εp_o = (εh_t τ + D_o) o(1 − o)
//! ```
//!
//! A gradient penalty costs four sequential passes: forward, backward, JVP and double backward.
//! Rows are independent, so callers give each thread rows of its own; within a row the order of
//! every sum is fixed, so results do not depend on the number of threads.

mod activation;
mod backward;
mod factor;
mod forward;
mod jvp;
mod local_gradients;
mod matrix;
mod pointwise;
mod product;
mod simd;
mod step_schedule;

pub use activation::{exp_of_negative_in_place, sigmoid_in_place};
pub use backward::{
    OutputGradient, backward, backward_by_segments, backward_with_local_gradients, double_backward,
};
pub use factor::Factors;
pub use forward::{forward, forward_from};
pub use jvp::{jvp, jvp_from};
pub use local_gradients::local_gradients;
pub use matrix::{Buffer, Matrix, MatrixMut, PADDING, padded};
pub use pointwise::{
    add_column_sums, add_column_sums_of_rows, leaky_relu_backward_in_place, leaky_relu_in_place,
    scale_in_place, sum_of_squares,
};
pub use product::{
    Panels, Start, add_transposed_product, add_transposed_product_of_rows, multiply, multiply_rows,
};
pub use simd::{Real, SimdPath, VECTORS};
pub use step_schedule::{Segment, StepSchedule};

use factor::Factor;
use product::{Product, Rows, Steps};

/// The parts of a row of states `[7H]`, each of the padded hidden width: the gates f, i, a, o,
/// then the cell state c, tanh c and the hidden state h.
pub const STATE_PARTS: usize = 7;
/// The parts of a row of gradients `[6H]`, each of the padded hidden width: δp of the four gates,
/// δc and δh. The double backward pass needs all six; a row of four parts holds δp alone.
/// Tangents have the same layout: ṗ, ċ, ḣ.
pub const GRADIENT_PARTS: usize = 6;

/// The recurrent weights `U` of one direction, packed for products forward and backward in time.
#[derive(Clone, Debug)]
pub struct RecurrentWeights<S: Real> {
    hidden: usize,
    path: SimdPath,
    /// `U`ᵀ, for `U h` over rows.
    forwards: Factor<S>,
    /// `U`, for `Uᵀ δp` over rows.
    backwards: Factor<S>,
}

impl<S: Real> RecurrentWeights<S> {
    /// An empty set of weights for `hidden` (padded) features; [`RecurrentWeights::pack`] fills
    /// it.
    ///
    /// # Panics
    /// When `hidden` is no multiple of [`PADDING`].
    pub fn new(hidden: usize, path: SimdPath) -> Self {
        Self::with_factors(hidden, path, Factors::Full)
    }

    /// [`RecurrentWeights::new`], for products whose factors are rounded, or not.
    ///
    /// # Panics
    /// When `hidden` is no multiple of [`PADDING`].
    pub fn with_factors(hidden: usize, path: SimdPath, factors: Factors) -> Self {
        assert!(hidden.is_multiple_of(PADDING));
        let [forwards, backwards] = [(); 2].map(|()| Factor::new(path, factors));
        Self { hidden, path, forwards, backwards }
    }

    /// Whether no weights have been packed yet.
    pub fn is_empty(&self) -> bool {
        self.forwards.is_empty()
    }

    /// Packs `U` `[4H, H]`, the gates one below the other in the order f, i, a, o.
    ///
    /// # Panics
    /// When `u` has another shape.
    pub fn pack(&mut self, u: Matrix<'_, S>) {
        assert!(u.rows == 4 * self.hidden && u.width == self.hidden);
        self.forwards.pack_transposed(u);
        self.backwards.pack(u);
    }

    /// Adds `U h` to the pre-activations of the rows of `step`, h being part
    /// `hidden_part` of the rows one step earlier; `rounded` is where h is rounded.
    ///
    /// # Safety
    /// `base` has the schedule's rows `stride` apart, with that part in each, and the
    /// processor has `V`'s instructions.
    #[inline(always)]
    unsafe fn add_recurrent_product<V: simd::Vector<Scalar = S>>(
        &self,
        schedule: &StepSchedule,
        step: usize,
        (base, stride): (*mut S, usize),
        hidden_part: usize,
        rounded: &mut Vec<S>,
    ) {
        let before = schedule.active_before(step);
        if before.is_empty() {
            return;
        }
        // SAFETY: the caller's; no two sequences share a row.
        unsafe {
            let product = Product {
                a: base.add(hidden_part * self.hidden),
                a_rows: Rows::At(before, stride),
                a_steps: Steps::Next,
                c: base,
                c_rows: Rows::At(schedule.active(step), stride),
                rows: before.len(),
            };
            self.forwards.add::<V>(&product, Start::Keep, rounded);
        }
    }
}

/// The input of a recurrence, `x Wᵀ` on top of a start, computed for a few steps at a time just
/// before the recurrence needs them, so that it never leaves the cache.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a, S: Real> {
    /// `x` `[rows, depth]`, row by row with the states.
    pub x: Matrix<'a, S>,
    /// `W`ᵀ `[depth, 4H]`.
    pub weights: &'a Panels<S>,
    /// The bias for states, [`Start::Zero`] for tangents.
    pub start: Start<'a, S>,
}

/// Rows for which an [`Input`] is computed at a time: enough for full tiles.
const INPUT_ROWS: usize = 32;

impl<S: Real> Input<'_, S> {
    /// Computes the input of `step` and of some steps after it, unless that was done before;
    /// `done` is the first step whose input is still missing.
    ///
    /// # Safety
    /// `base` has the schedule's rows `stride` apart, with four parts in each, and the processor
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

/// Refuses rows beyond the `count` rows of a matrix.
fn check_rows(rows: &[u32], count: usize) {
    assert!(rows.iter().all(|&row| (row as usize) < count), "a row that the matrix does not have");
}

/// Refuses matrices that are too small for the schedule or for the parts of a row.
fn check(rows: usize, width: usize, schedule: &StepSchedule, hidden: usize, parts: usize) {
    assert!(schedule.extent() <= rows, "the schedule visits rows that the matrix does not have");
    assert!(width >= parts * hidden, "a row has fewer than {parts} parts of {hidden}");
}
