//! F's adjoint, backwards in time: B, and both adjoints of the second order.

use super::local_gradients::{
    DirectSource, FromTangent, Given, LocalGradients, Nothing, State, one_minus_square,
    sigmoid_slope,
};
use super::matrix::{Matrix, MatrixMut};
use super::product::{Product, Rows, Start, Steps};
use super::simd::{Kernel, Real, Vector, dispatch};
use super::{GRADIENT_PARTS, RecurrentWeights, STATE_PARTS, Segment, StepSchedule, check, part};

/// The gradient h̄ that arrives at the hidden states.
#[derive(Clone, Copy, Debug)]
pub enum OutputGradient<'a, S> {
    /// At every step: `[rows, H]` in the rows of the states.
    Every(Matrix<'a, S>),
    /// At each sequence's last step alone: `[sequences, H]`.
    Last(Matrix<'a, S>),
    /// Nowhere.
    Nowhere,
}

struct PullBack<'a, S: Real, D, F> {
    u: &'a RecurrentWeights<S>,
    schedule: &'a StepSchedule,
    states: Matrix<'a, S>,
    arriving: OutputGradient<'a, S>,
    direct: D,
    out: MatrixMut<'a, S>,
    done: F,
}

/// Rows of which a segment is made, at least.
const SEGMENT_ROWS: usize = 128;

impl<S: Real, D: DirectSource<S>, F: FnMut(Segment<'_>, Matrix<'_, S>)> Kernel<S>
    for PullBack<'_, S, D, F>
{
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = S>>(self) {
        let Self { u, schedule, states, arriving, direct, out, mut done } = self;
        let (hidden, stride) = (u.hidden, out.stride);
        let (rows, width, extent) = (out.rows, out.width, out.values.len());
        let keeps_all = out.width >= GRADIENT_PARTS * hidden;
        let base = out.values.as_mut_ptr();
        // Uᵀ δp_{t+1}, and what c of the step after gives to c.
        let mut grad_hidden = vec![S::default(); schedule.count() * hidden];
        let mut carried = vec![S::default(); schedule.count() * hidden];
        let mut until = schedule.steps();
        for step in (0..schedule.steps()).rev() {
            let after = schedule.active_at_next(step);
            // SAFETY: `check` compared the schedule with the rows; no two schedule
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
                    product.add::<V>(&u.backwards, Start::Zero);
                }
                for (chain, (row, before)) in schedule.visits(step).enumerate() {
                    let arrives = match arriving {
                        OutputGradient::Every(rows) => {
                            Some(rows.values.as_ptr().add(row * rows.stride))
                        }
                        OutputGradient::Last(rows) if chain >= after.len() => {
                            Some(rows.values.as_ptr().add(schedule.order()[chain] * rows.stride))
                        }
                        _ => None,
                    };
                    let to = base.add(row * stride);
                    for at in (0..hidden).step_by(V::LANES) {
                        let one = V::splat(S::SMALL[1]);
                        let state = State::load(states, hidden, row, before, at);
                        let given: LocalGradients<V> = direct.at(row, before, at, &state);
                        let State { f, i, a, o, tanh_c, cell_before } = state;
                        let carried = carried.as_mut_ptr().add(chain * hidden + at);
                        let from_next = V::load(grad_hidden.as_ptr().add(chain * hidden + at));
                        let mut grad_h = from_next.flush_to_zero().add(given.hidden);
                        if let Some(arrives) = arrives {
                            grad_h = grad_h.add(V::load(arrives.add(at)));
                        }
                        let grad_tanh = grad_h.mul_add(o, given.tanh);
                        let grad_c = grad_tanh.mul_add(
                            one_minus_square(tanh_c, one),
                            V::load(carried).flush_to_zero().add(given.cell),
                        );
                        let [on_f, on_i, on_a, on_o] = given.gates;
                        let pre = [
                            grad_c.mul_add(cell_before, on_f).mul(sigmoid_slope(f)),
                            grad_c.mul_add(a, on_i).mul(sigmoid_slope(i)),
                            grad_c.mul_add(i, on_a).mul(one_minus_square(a, one)),
                            grad_h.mul_add(tanh_c, on_o).mul(sigmoid_slope(o)),
                        ];
                        for (n, value) in pre.into_iter().enumerate() {
                            value.store(to.add(n * hidden + at));
                        }
                        if keeps_all {
                            grad_c.store(to.add(part::GRAD_CELL * hidden + at));
                            grad_h.store(to.add(part::GRAD_HIDDEN * hidden + at));
                        }
                        grad_c.mul_add(f, given.previous_cell).store(carried);
                    }
                }
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

impl<S: Real, D, F> PullBack<'_, S, D, F>
where
    D: DirectSource<S>,
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

/// B: `out` receives δp, and δc and δh too where its rows have six parts.
///
/// # Panics
/// When the schedule leave a matrix or rows are too short.
pub fn adjoint<S: Real>(
    u: &RecurrentWeights<S>,
    schedule: &StepSchedule,
    states: Matrix<'_, S>,
    arriving: OutputGradient<'_, S>,
    out: MatrixMut<'_, S>,
) {
    adjoint_by_segments(u, schedule, states, arriving, out, |_, _| {});
}

/// [`adjoint`] that calls `done` with some rows at a time and with `out`, last steps first, as
/// soon as they are complete: while they are in the cache.
///
/// # Panics
/// As [`adjoint`].
pub fn adjoint_by_segments<S: Real>(
    u: &RecurrentWeights<S>,
    schedule: &StepSchedule,
    states: Matrix<'_, S>,
    arriving: OutputGradient<'_, S>,
    out: MatrixMut<'_, S>,
    done: impl FnMut(Segment<'_>, Matrix<'_, S>),
) {
    PullBack { u, schedule, states, arriving, direct: Nothing, out, done }.dispatch();
}

/// F's adjoint for gradients that reach all of its values: `direct` has the
/// layout of states `[rows, 7H]`.
///
/// # Panics
/// When the schedule leave a matrix or rows are too short.
pub fn adjoint_with_direct<S: Real>(
    u: &RecurrentWeights<S>,
    schedule: &StepSchedule,
    states: Matrix<'_, S>,
    direct: Matrix<'_, S>,
    out: MatrixMut<'_, S>,
) {
    check(direct.rows, direct.width, schedule, u.hidden, STATE_PARTS);
    let direct = Given { direct, hidden: u.hidden };
    let (arriving, done) = (OutputGradient::Nowhere, |_: Segment<'_>, _: Matrix<'_, S>| {});
    PullBack { u, schedule, states, arriving, direct, out, done }.dispatch();
}

/// F's adjoint for D: the last pass of the second order. `gradients` is B's
/// result and `tangents` that of [`super::tangent`], both `[rows, 6H]`; `out`
/// receives εp, and `done` is called as in [`adjoint_by_segments`].
///
/// # Panics
/// When the schedule leave a matrix or rows are too short.
pub fn second_adjoint<S: Real>(
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
    let direct = FromTangent { gradients, tangents, hidden: u.hidden };
    PullBack { u, schedule, states, arriving: OutputGradient::Nowhere, direct, out, done }
        .dispatch();
}
