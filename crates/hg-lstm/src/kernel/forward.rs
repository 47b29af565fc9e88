//! The forward pass of the recurrence.

use super::activation::{sigmoid, tanh};
use super::matrix::MatrixMut;
use super::simd::{Kernel, Real, Vector, dispatch};
use super::{Input, RecurrentWeights, STATE_PARTS, StepSchedule, check, part};

struct Forward<'a, S: Real> {
    input: Option<Input<'a, S>>,
    u: &'a RecurrentWeights<S>,
    schedule: &'a StepSchedule,
    states: MatrixMut<'a, S>,
}

impl<S: Real> Kernel<S> for Forward<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = S>>(self) {
        let Self { input, u, schedule, states } = self;
        let (hidden, stride) = (u.hidden, states.stride);
        let base = states.values.as_mut_ptr();
        let nothing = vec![S::default(); hidden];
        let (mut fed, mut rounded) = (0, Vec::new());
        for step in 0..schedule.steps() {
            // SAFETY: `check` compared the schedule with the rows; no two sequences
            // share a row, and a step reads rows of the step before alone.
            unsafe {
                if let Some(input) = &input {
                    input.feed::<V>(schedule, step, &mut fed, base, stride);
                }
                let (rows, part) = ((base, stride), part::HIDDEN);
                u.add_recurrent_product::<V>(schedule, step, rows, part, &mut rounded);
                for (row, before) in schedule.visits(step) {
                    let row = base.add(row * stride);
                    let cell_before = match before {
                        Some(before) => {
                            base.add(before * stride + part::CELL * hidden).cast_const()
                        }
                        None => nothing.as_ptr(),
                    };
                    cell::<S, V>(row, cell_before, hidden);
                }
            }
        }
    }
}

/// Turns the pre-activations of one row into gates, c, τ and h.
///
/// # Safety
/// `row` has all parts, `cell_before` one of them; the processor has `V`'s
/// instructions.
#[inline(always)]
unsafe fn cell<S: Real, V: Vector<Scalar = S>>(row: *mut S, cell_before: *const S, hidden: usize) {
    for at in (0..hidden).step_by(V::LANES) {
        // SAFETY: the caller's.
        unsafe {
            let f = sigmoid(V::load(row.add(part::F * hidden + at)));
            let i = sigmoid(V::load(row.add(part::I * hidden + at)));
            let a = tanh(V::load(row.add(part::A * hidden + at)));
            let o = sigmoid(V::load(row.add(part::O * hidden + at)));
            let c = f.mul_add(V::load(cell_before.add(at)), i.mul(a));
            let tanh_c = tanh(c);
            let values = [f, i, a, o, c, tanh_c, o.mul(tanh_c)];
            for (n, value) in values.into_iter().enumerate() {
                value.store(row.add(n * hidden + at));
            }
        }
    }
}

/// The forward pass over `states` `[rows, 7H]`, whose first `4H` columns hold the pre-activations
/// `pre` and become the gates f, i, a, o; c, tanh c and h are written beside them.
///
/// # Panics
/// When the schedule leaves the matrix or its rows are too short.
pub fn forward<S: Real>(
    u: &RecurrentWeights<S>,
    schedule: &StepSchedule,
    states: MatrixMut<'_, S>,
) {
    check(states.rows, states.width, schedule, u.hidden, STATE_PARTS);
    dispatch(u.path, Forward { input: None, u, schedule, states });
}

/// [`forward`] with the pre-activations computed from `input`, whatever `states` held before.
///
/// # Panics
/// When the schedule leaves a matrix or its rows are too short, or the weights do not fit.
pub fn forward_from<S: Real>(
    input: Input<'_, S>,
    u: &RecurrentWeights<S>,
    schedule: &StepSchedule,
    states: MatrixMut<'_, S>,
) {
    input.check(u, schedule);
    check(states.rows, states.width, schedule, u.hidden, STATE_PARTS);
    dispatch(u.path, Forward { input: Some(input), u, schedule, states });
}
