//! The Jacobian-vector product of the forward pass, forward in time. It is the transpose of the
//! backward pass, which is linear in the gradient that it starts from.

use super::local_gradients::{State, one_minus_square, sigmoid_slope};
use super::matrix::{Matrix, MatrixMut};
use super::simd::{Kernel, Real, Vector, dispatch};
use super::{GRADIENT_PARTS, Input, RecurrentWeights, STATE_PARTS, StepSchedule, check, part};

struct Jvp<'a, S: Real> {
    input: Option<Input<'a, S>>,
    u: &'a RecurrentWeights<S>,
    schedule: &'a StepSchedule,
    states: Matrix<'a, S>,
    tangents: MatrixMut<'a, S>,
}

impl<S: Real> Kernel<S> for Jvp<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = S>>(self) {
        let Self { input, u, schedule, states, tangents } = self;
        let (hidden, stride) = (u.hidden, tangents.stride);
        let base = tangents.values.as_mut_ptr();
        let (mut fed, mut rounded) = (0, Vec::new());
        for step in 0..schedule.steps() {
            // SAFETY: `check` compared the schedule with the rows; no two sequences
            // share a row, and a step reads rows of the step before alone.
            unsafe {
                if let Some(input) = &input {
                    input.feed::<V>(schedule, step, &mut fed, base, stride);
                }
                let (rows, part) = ((base, stride), part::GRAD_HIDDEN);
                u.add_recurrent_product::<V>(schedule, step, rows, part, &mut rounded);
                for (row, before) in schedule.visits(step) {
                    let cell_dot_before = before
                        .map(|row| base.add(row * stride + part::GRAD_CELL * hidden).cast_const());
                    let to = base.add(row * stride);
                    cell::<S, V>(states, hidden, (row, before), cell_dot_before, to);
                }
            }
        }
    }
}

/// ċ and ḣ of one row, whose first parts hold ṗ.
///
/// # Safety
/// The rows exist in `states`, `to` has all parts of a row of tangents and `cell_dot_before` one
/// of them; the processor has `V`'s instructions.
#[inline(always)]
unsafe fn cell<S: Real, V: Vector<Scalar = S>>(
    states: Matrix<'_, S>,
    hidden: usize,
    (row, before): (usize, Option<usize>),
    cell_dot_before: Option<*const S>,
    to: *mut S,
) {
    for at in (0..hidden).step_by(V::LANES) {
        // SAFETY: the caller's.
        unsafe {
            let one = V::splat(S::SMALL[1]);
            let State { f, i, a, o, tanh_c, cell_before } =
                State::load(states, hidden, row, before, at);
            let cell_dot_before = match cell_dot_before {
                Some(before) => V::load(before.add(at)),
                None => V::splat(S::default()),
            };
            let dot = |n: usize| V::load(to.add(n * hidden + at));
            let from_f = dot(part::F).mul(sigmoid_slope(f));
            let from_i = dot(part::I).mul(sigmoid_slope(i));
            let from_a = dot(part::A).mul(one_minus_square(a, one));
            let from_o = dot(part::O).mul(sigmoid_slope(o));

            let kept = f.mul(cell_dot_before);
            let cell_dot = from_f.mul_add(cell_before, from_i.mul_add(a, from_a.mul_add(i, kept)));
            let shown = o.mul(one_minus_square(tanh_c, one));
            let hidden_dot = from_o.mul_add(tanh_c, shown.mul(cell_dot));
            let (cell_dot, hidden_dot) = (cell_dot.flush_to_zero(), hidden_dot.flush_to_zero());
            cell_dot.store(to.add(part::GRAD_CELL * hidden + at));
            hidden_dot.store(to.add(part::GRAD_HIDDEN * hidden + at));
        }
    }
}

/// The Jacobian-vector product of [`super::forward`] at `states` `[rows, 7H]` along q: the first
/// `4H` columns of `tangents` `[rows, 6H]` hold q and become ṗ; ċ and ḣ are written beside them.
///
/// # Panics
/// When the schedule leaves a matrix or rows are too short.
pub fn jvp<S: Real>(
    u: &RecurrentWeights<S>,
    schedule: &StepSchedule,
    states: Matrix<'_, S>,
    tangents: MatrixMut<'_, S>,
) {
    check(states.rows, states.width, schedule, u.hidden, STATE_PARTS);
    check(tangents.rows, tangents.width, schedule, u.hidden, GRADIENT_PARTS);
    dispatch(u.path, Jvp { input: None, u, schedule, states, tangents });
}

/// [`jvp`] with q computed from `input`, whatever `tangents` held before.
///
/// # Panics
/// When the schedule leaves a matrix or rows are too short, or the weights do not fit.
pub fn jvp_from<S: Real>(
    input: Input<'_, S>,
    u: &RecurrentWeights<S>,
    schedule: &StepSchedule,
    states: Matrix<'_, S>,
    tangents: MatrixMut<'_, S>,
) {
    input.check(u, schedule);
    check(states.rows, states.width, schedule, u.hidden, STATE_PARTS);
    check(tangents.rows, tangents.width, schedule, u.hidden, GRADIENT_PARTS);
    dispatch(u.path, Jvp { input: Some(input), u, schedule, states, tangents });
}

#[cfg(test)]
mod tests {
    use super::super::matrix::Buffer;
    use super::super::simd::SimdPath;
    use super::super::{OutputGradient, backward, forward};
    use super::*;

    const HIDDEN: usize = 16;

    fn filled(rows: usize, width: usize, size: f32) -> Buffer<f32> {
        let mut buffer = Buffer::new(rows, width);
        for (n, x) in buffer.as_mut_slice().iter_mut().enumerate() {
            *x = ((n * 7919 % 1009) as f32 / 1009. - 0.5) * size;
        }
        buffer
    }

    /// Numbers below the least normal one cost a hundred times as much.
    #[test]
    fn what_fades_over_hundreds_of_steps_ends_at_zero_on_every_path() {
        let steps = 1000;
        for path in SimdPath::available() {
            let mut u = RecurrentWeights::new(HIDDEN, path);
            u.pack(filled(4 * HIDDEN, HIDDEN, 0.2).view());
            let schedule = StepSchedule::new(&[steps], |_, step| step);
            let mut states = filled(steps, STATE_PARTS * HIDDEN, 1.);
            forward(&u, &schedule, states.view_mut());

            let mut gradients = Buffer::new(steps, GRADIENT_PARTS * HIDDEN);
            let arriving = filled(1, HIDDEN, 1.);
            let last = OutputGradient::Last(arriving.view());
            backward(&u, &schedule, states.view(), last, gradients.view_mut());

            let mut tangents = Buffer::new(steps, GRADIENT_PARTS * HIDDEN);
            tangents.row_mut(0)[..4 * HIDDEN].copy_from_slice(filled(1, 4 * HIDDEN, 1.).row(0));
            jvp(&u, &schedule, states.view(), tangents.view_mut());

            let none = [0.; HIDDEN];
            for (fading, begin, end) in [(&gradients, steps - 1, 0), (&tangents, 0, steps - 1)] {
                let last_parts = 4 * HIDDEN..5 * HIDDEN;
                assert_ne!(fading.row(begin)[last_parts.clone()], none, "{path:?}");
                assert_eq!(fading.row(end)[last_parts], none, "{path:?}");
                assert!(fading.as_slice().iter().all(|x| !x.is_subnormal()), "{path:?}");
            }
        }
    }
}
