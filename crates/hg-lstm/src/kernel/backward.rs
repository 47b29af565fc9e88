//! The backward pass, from the last step to the first: of the hidden states, of all states, and
//! of the backward pass itself (double backward). One cell serves all three.

use super::local_gradients::{
    FromTangents, Given, LocalGradients, LocalSource, NoLocalGradients, State, one_minus_square,
    sigmoid_slope,
};
use super::matrix::{Matrix, MatrixMut};
use super::product::{Product, Rows, Start, Steps};
use super::simd::{Kernel, Real, Vector, dispatch};
use super::{GRADIENT_PARTS, RecurrentWeights, STATE_PARTS, Segment, StepSchedule, check, part};

/// The gradient h̄ of the hidden states that a backward pass starts from.
#[derive(Clone, Copy, Debug)]
pub enum OutputGradient<'a, S> {
    /// One at every step: `[rows, H]`, row by row with the states.
    Every(Matrix<'a, S>),
    /// One at each sequence's last step alone: `[sequences, H]`.
    Last(Matrix<'a, S>),
    /// None; the local gradients are all there is.
    Nowhere,
}

struct Backward<'a, S: Real, D, F> {
    u: &'a RecurrentWeights<S>,
    schedule: &'a StepSchedule,
    states: Matrix<'a, S>,
    arriving: OutputGradient<'a, S>,
    local: D,
    out: MatrixMut<'a, S>,
    done: F,
}

/// Rows of which a segment is made, at least.
const SEGMENT_ROWS: usize = 128;

impl<S: Real, D: LocalSource<S>, F: FnMut(Segment<'_>, Matrix<'_, S>)> Kernel<S>
    for Backward<'_, S, D, F>
{
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = S>>(self) {
        let Self { u, schedule, states, arriving, local, out, mut done } = self;
        let (hidden, stride) = (u.hidden, out.stride);
        let (rows, width, extent) = (out.rows, out.width, out.values.len());
        let base = out.values.as_mut_ptr();
        let cell = Cell { states, local, hidden, keeps_all: out.width >= GRADIENT_PARTS * hidden };
        // Uᵀ δp_{t+1}, and what c of the step after gives to c.
        let mut grad_hidden = vec![S::default(); schedule.count() * hidden];
        let mut carried = vec![S::default(); schedule.count() * hidden];
        let (mut until, mut rounded) = (schedule.steps(), Vec::new());
        for step in (0..schedule.steps()).rev() {
            let after = schedule.active_at_next(step);
            // SAFETY: `check` compared the schedule with the rows; no two sequences
            // share a row, and a step reads rows of the step after alone.
            unsafe {
                if !after.is_empty() {
                    let product = Product {
                        a: base.cast_const(),
                        a_rows: Rows::At(after, stride),
                        a_steps: Steps::Next,
                        c: grad_hidden.as_mut_ptr(),
                        c_rows: Rows::Apart(hidden),
                        rows: after.len(),
                    };
                    u.backwards.add::<V>(&product, Start::Zero, &mut rounded);
                }
                for (position, (row, before)) in schedule.visits(step).enumerate() {
                    let arrives = match arriving {
                        OutputGradient::Every(rows) => {
                            Some(rows.values.as_ptr().add(row * rows.stride))
                        }
                        OutputGradient::Last(rows) if position >= after.len() => {
                            let sequence = schedule.order()[position];
                            Some(rows.values.as_ptr().add(sequence * rows.stride))
                        }
                        _ => None,
                    };
                    let from_next = grad_hidden.as_ptr().add(position * hidden);
                    let carried = carried.as_mut_ptr().add(position * hidden);
                    let to = base.add(row * stride);
                    cell.compute::<V>((row, before), arrives, from_next, carried, to);
                }

                // Hand out finished rows while they are in the cache.
                let segment = schedule.segment(step, until);
                if segment.rows.len() >= SEGMENT_ROWS || step == 0 {
                    until = step;
                    let values = std::slice::from_raw_parts(base.cast_const(), extent);
                    done(segment, Matrix { values, rows, width, stride });
                }
            }
        }
    }
}

/// What the cells of a backward pass share.
struct Cell<'a, S, D> {
    states: Matrix<'a, S>,
    local: D,
    hidden: usize,
    /// Whether δc and δh are written beside δp.
    keeps_all: bool,
}

impl<S: Real, D: LocalSource<S>> Cell<'_, S, D> {
    /// The backward pass of one step of one sequence, at (row, row of the step before).
    ///
    /// # Safety
    /// The rows exist; each pointer is good for the hidden width, and `to` for all parts of a row
    /// of gradients; the processor has `V`'s instructions.
    #[inline(always)]
    unsafe fn compute<V: Vector<Scalar = S>>(
        &self,
        (row, before): (usize, Option<usize>),
        arrives: Option<*const S>,
        from_next: *const S,
        carried: *mut S,
        to: *mut S,
    ) {
        let hidden = self.hidden;
        for at in (0..hidden).step_by(V::LANES) {
            // SAFETY: the caller's.
            unsafe {
                let one = V::splat(S::SMALL[1]);
                let state = State::load(self.states, hidden, row, before, at);
                let local: LocalGradients<V> = self.local.at(row, before, at, &state);
                let State { f, i, a, o, tanh_c, cell_before } = state;

                // δh and δc
                let carried = carried.add(at);
                let mut grad_h = V::load(from_next.add(at)).flush_to_zero().add(local.hidden);
                if let Some(arrives) = arrives {
                    grad_h = grad_h.add(V::load(arrives.add(at)));
                }
                let grad_tanh = grad_h.mul_add(o, local.tanh);
                let grad_c = grad_tanh.mul_add(
                    one_minus_square(tanh_c, one),
                    V::load(carried).flush_to_zero().add(local.cell),
                );

                // δp of f, i, a, o
                let [on_f, on_i, on_a, on_o] = local.gates;
                let pre = [
                    grad_c.mul_add(cell_before, on_f).mul(sigmoid_slope(f)),
                    grad_c.mul_add(a, on_i).mul(sigmoid_slope(i)),
                    grad_c.mul_add(i, on_a).mul(one_minus_square(a, one)),
                    grad_h.mul_add(tanh_c, on_o).mul(sigmoid_slope(o)),
                ];
                for (n, value) in pre.into_iter().enumerate() {
                    value.store(to.add(n * hidden + at));
                }
                if self.keeps_all {
                    grad_c.store(to.add(part::GRAD_CELL * hidden + at));
                    grad_h.store(to.add(part::GRAD_HIDDEN * hidden + at));
                }
                grad_c.mul_add(f, local.previous_cell).store(carried);
            }
        }
    }
}

impl<S: Real, D, F> Backward<'_, S, D, F>
where
    D: LocalSource<S>,
    F: FnMut(Segment<'_>, Matrix<'_, S>),
{
    fn dispatch(self) {
        let hidden = self.u.hidden;
        check(self.states.rows, self.states.width, self.schedule, hidden, STATE_PARTS);
        check(self.out.rows, self.out.width, self.schedule, hidden, 4);
        match self.arriving {
            OutputGradient::Every(rows) => check(rows.rows, rows.width, self.schedule, hidden, 1),
            OutputGradient::Last(rows) => {
                assert!(rows.rows >= self.schedule.count() && rows.width >= hidden);
            }
            OutputGradient::Nowhere => {}
        }
        dispatch(self.u.path, self);
    }
}

/// The backward pass of [`super::forward`]: from `states` `[rows, 7H]` and a gradient of the
/// hidden states to δp in the first `4H` columns of `out`, and δc and δh beside them where the
/// rows of `out` have six parts `[rows, 6H]`.
///
/// # Panics
/// When the schedule leaves a matrix or rows are too short.
pub fn backward<S: Real>(
    u: &RecurrentWeights<S>,
    schedule: &StepSchedule,
    states: Matrix<'_, S>,
    arriving: OutputGradient<'_, S>,
    out: MatrixMut<'_, S>,
) {
    backward_by_segments(u, schedule, states, arriving, out, |_, _| {});
}

/// [`backward`] that calls `done` with a few rows at a time and with `out`, last steps first, as
/// soon as those rows are complete: while they are in the cache.
///
/// # Panics
/// When the schedule leaves a matrix or rows are too short.
pub fn backward_by_segments<S: Real>(
    u: &RecurrentWeights<S>,
    schedule: &StepSchedule,
    states: Matrix<'_, S>,
    arriving: OutputGradient<'_, S>,
    out: MatrixMut<'_, S>,
    done: impl FnMut(Segment<'_>, Matrix<'_, S>),
) {
    Backward { u, schedule, states, arriving, local: NoLocalGradients, out, done }.dispatch();
}

/// The backward pass of [`super::forward`] for gradients of all states: `local` has the layout of
/// states `[rows, 7H]`, and `out` `[rows, 4H]` receives the gradient of the pre-activations.
///
/// # Panics
/// When the schedule leaves a matrix or rows are too short.
pub fn backward_with_local_gradients<S: Real>(
    u: &RecurrentWeights<S>,
    schedule: &StepSchedule,
    states: Matrix<'_, S>,
    local: Matrix<'_, S>,
    out: MatrixMut<'_, S>,
) {
    check(local.rows, local.width, schedule, u.hidden, STATE_PARTS);
    let local = Given { local, hidden: u.hidden };
    let (arriving, done) = (OutputGradient::Nowhere, |_: Segment<'_>, _: Matrix<'_, S>| {});
    Backward { u, schedule, states, arriving, local, out, done }.dispatch();
}

/// The last pass of the second order: the gradient εp `[rows, 4H]` of the pre-activations, in
/// `out`, of what depends on the result of [`backward`]. `gradients` is that result and
/// `tangents` the one of [`super::jvp`], both `[rows, 6H]`; `done` is called with a few complete
/// rows at a time, last steps first, as by [`backward_by_segments`].
///
/// # Panics
/// When the schedule leaves a matrix or rows are too short.
pub fn double_backward<S: Real>(
    u: &RecurrentWeights<S>,
    schedule: &StepSchedule,
    states: Matrix<'_, S>,
    gradients: Matrix<'_, S>,
    tangents: Matrix<'_, S>,
    out: MatrixMut<'_, S>,
    done: impl FnMut(Segment<'_>, Matrix<'_, S>),
) {
    check(gradients.rows, gradients.width, schedule, u.hidden, GRADIENT_PARTS);
    check(tangents.rows, tangents.width, schedule, u.hidden, GRADIENT_PARTS);
    let local = FromTangents { gradients, tangents, hidden: u.hidden };
    Backward { u, schedule, states, arriving: OutputGradient::Nowhere, local, out, done }
        .dispatch();
}
