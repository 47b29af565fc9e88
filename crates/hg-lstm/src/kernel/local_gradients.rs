//! Local gradients D: what the values of the forward pass receive when the result of the backward
//! pass is differentiated.

use super::matrix::{Matrix, MatrixMut};
use super::simd::{Kernel, Real, SimdPath, Vector, dispatch};
use super::{GRADIENT_PARTS, STATE_PARTS, StepSchedule, check, part};

/// Gradients that reach the values of one step other than through the recurrence.
pub(super) struct LocalGradients<V> {
    /// For f, i, a, o.
    pub(super) gates: [V; 4],
    pub(super) cell: V,
    pub(super) tanh: V,
    pub(super) hidden: V,
    /// For c of the step before.
    pub(super) previous_cell: V,
}

/// Where local gradients come from. The first step of a sequence has no row before it.
pub(super) trait LocalSource<S: Real>: Copy {
    /// The gradients at vector `at` of `row`, given the row's own states and
    /// c of the step before (0 at the first).
    ///
    /// # Safety
    /// The rows exist, and the processor has `V`'s instructions.
    unsafe fn at<V: Vector<Scalar = S>>(
        self,
        row: usize,
        before: Option<usize>,
        at: usize,
        state: &State<V>,
    ) -> LocalGradients<V>;
}

/// The values of one step, a vector of each.
pub(super) struct State<V> {
    pub(super) f: V,
    pub(super) i: V,
    pub(super) a: V,
    pub(super) o: V,
    pub(super) tanh_c: V,
    pub(super) cell_before: V,
}

/// `1 − x²`
#[inline(always)]
pub(super) fn one_minus_square<V: Vector>(x: V, one: V) -> V {
    x.neg_mul_add(x, one)
}

/// `s (1 − s)`
#[inline(always)]
pub(super) fn sigmoid_slope<V: Vector>(s: V) -> V {
    s.neg_mul_add(s, s)
}

/// None: the plain backward pass.
#[derive(Clone, Copy)]
pub(super) struct NoLocalGradients;

impl<S: Real> LocalSource<S> for NoLocalGradients {
    #[inline(always)]
    unsafe fn at<V: Vector<Scalar = S>>(
        self,
        _row: usize,
        _before: Option<usize>,
        _at: usize,
        _state: &State<V>,
    ) -> LocalGradients<V> {
        // SAFETY: the caller's.
        let zero = unsafe { V::splat(S::default()) };
        LocalGradients {
            gates: [zero; 4],
            cell: zero,
            tanh: zero,
            hidden: zero,
            previous_cell: zero,
        }
    }
}

/// Gradients in the layout of states, as autograd brings them.
#[derive(Clone, Copy)]
pub(super) struct Given<'a, S> {
    pub(super) local: Matrix<'a, S>,
    pub(super) hidden: usize,
}

impl<S: Real> LocalSource<S> for Given<'_, S> {
    #[inline(always)]
    unsafe fn at<V: Vector<Scalar = S>>(
        self,
        row: usize,
        _before: Option<usize>,
        at: usize,
        _state: &State<V>,
    ) -> LocalGradients<V> {
        // SAFETY: the caller's.
        unsafe {
            let of = |n: usize| part::load(self.local, self.hidden, row, n, at);
            LocalGradients {
                gates: [of(part::F), of(part::I), of(part::A), of(part::O)],
                cell: of(part::CELL),
                tanh: of(part::TANH),
                hidden: of(part::HIDDEN),
                previous_cell: V::splat(S::default()),
            }
        }
    }
}

/// Those of the double backward pass, from the backward pass's values (δp, δc, δh) and the
/// tangents (ṗ, ċ, ḣ).
#[derive(Clone, Copy)]
pub(super) struct FromTangents<'a, S> {
    pub(super) gradients: Matrix<'a, S>,
    pub(super) tangents: Matrix<'a, S>,
    pub(super) hidden: usize,
}

impl<S: Real> LocalSource<S> for FromTangents<'_, S> {
    #[inline(always)]
    unsafe fn at<V: Vector<Scalar = S>>(
        self,
        row: usize,
        before: Option<usize>,
        at: usize,
        state: &State<V>,
    ) -> LocalGradients<V> {
        let hidden = self.hidden;
        // SAFETY: the caller's.
        unsafe {
            let zero = V::splat(S::default());
            let one = V::splat(S::SMALL[1]);
            let gradient = |n: usize| -> V { part::load(self.gradients, hidden, row, n, at) };
            let dot = |row: usize, n: usize| -> V { part::load(self.tangents, hidden, row, n, at) };
            let grad_cell = gradient(part::GRAD_CELL);
            let grad_hidden = gradient(part::GRAD_HIDDEN);
            let cell_dot = dot(row, part::GRAD_CELL);
            let cell_dot_before = before.map_or(zero, |before| dot(before, part::GRAD_CELL));
            let State { f, i, a, o, tanh_c, cell_before } = *state;
            let on_f = dot(row, part::F).mul(grad_cell);
            let on_i = dot(row, part::I).mul(grad_cell);
            let on_a = dot(row, part::A).mul(grad_cell);
            let on_o = dot(row, part::O).mul(grad_hidden);
            let on_cell = cell_dot.mul(grad_hidden);
            // 1 − 2s
            let turn = |s: V| one.sub(s.add(s));
            let tanh_slope = one_minus_square(tanh_c, one);
            let twice = |x: V| x.add(x);
            LocalGradients {
                gates: [
                    on_f.mul(cell_before).mul_add(turn(f), cell_dot_before.mul(grad_cell)),
                    on_i.mul(a).mul_add(turn(i), on_a.mul(one_minus_square(a, one))),
                    twice(on_a.mul(i)).neg_mul_add(a, on_i.mul(sigmoid_slope(i))),
                    on_o.mul(tanh_c).mul_add(turn(o), on_cell.mul(tanh_slope)),
                ],
                cell: zero,
                tanh: twice(on_cell.mul(o)).neg_mul_add(tanh_c, on_o.mul(sigmoid_slope(o))),
                hidden: zero,
                previous_cell: on_f.mul(sigmoid_slope(f)),
            }
        }
    }
}

struct Write<'a, S: Real> {
    schedule: &'a StepSchedule,
    states: Matrix<'a, S>,
    gradients: Matrix<'a, S>,
    tangents: Matrix<'a, S>,
    hidden: usize,
    out: MatrixMut<'a, S>,
}

impl<S: Real> Kernel<S> for Write<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = S>>(self) {
        let Self { schedule, states, gradients, tangents, hidden, out } = self;
        let source = FromTangents { gradients, tangents, hidden };
        let base = out.values.as_mut_ptr();
        for step in 0..schedule.steps() {
            for (row, before) in schedule.visits(step) {
                for at in (0..hidden).step_by(V::LANES) {
                    // SAFETY: `local_gradients` compared the schedule with the rows.
                    unsafe {
                        let state = State::load(states, hidden, row, before, at);
                        let local: LocalGradients<V> = source.at(row, before, at, &state);
                        let to = base.add(row * out.stride + at);
                        for (n, gate) in local.gates.into_iter().enumerate() {
                            gate.store(to.add(n * hidden));
                        }
                        local.tanh.store(to.add(part::TANH * hidden));
                        if let Some(before) = before {
                            let to = base.add(before * out.stride + part::CELL * hidden + at);
                            local.previous_cell.store(to);
                        }
                    }
                }
            }
        }
    }
}

impl<V: Vector> State<V> {
    /// Reads the states of a row.
    ///
    /// # Safety
    /// The rows exist, and the processor has `V`'s instructions.
    #[inline(always)]
    pub(super) unsafe fn load(
        states: Matrix<'_, V::Scalar>,
        hidden: usize,
        row: usize,
        before: Option<usize>,
        at: usize,
    ) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let at_part = |row: usize, n: usize| part::load(states, hidden, row, n, at);
            Self {
                f: at_part(row, part::F),
                i: at_part(row, part::I),
                a: at_part(row, part::A),
                o: at_part(row, part::O),
                tanh_c: at_part(row, part::TANH),
                cell_before: match before {
                    Some(before) => at_part(before, part::CELL),
                    None => V::splat(<V::Scalar as super::simd::private::Vectors>::SMALL[0]),
                },
            }
        }
    }
}

/// Writes the local gradients of the double backward pass to `out`, in the layout of states
/// `[rows, 7H]`: of `states` `[rows, 7H]`, given the result `gradients` `[rows, 6H]` of
/// [`super::backward`] and the `tangents` `[rows, 6H]` of [`super::jvp`]. The part of c holds what
/// the step after adds to it. The part of h, that of c at a sequence's last step, and rows that
/// the schedule does not visit are left as they are.
///
/// # Panics
/// When the schedule leaves a matrix or rows are too short.
pub fn local_gradients<S: Real>(
    path: SimdPath,
    hidden: usize,
    schedule: &StepSchedule,
    states: Matrix<'_, S>,
    gradients: Matrix<'_, S>,
    tangents: Matrix<'_, S>,
    out: MatrixMut<'_, S>,
) {
    check(states.rows, states.width, schedule, hidden, STATE_PARTS);
    check(gradients.rows, gradients.width, schedule, hidden, GRADIENT_PARTS);
    check(tangents.rows, tangents.width, schedule, hidden, GRADIENT_PARTS);
    check(out.rows, out.width, schedule, hidden, STATE_PARTS);
    dispatch(path, Write { schedule, states, gradients, tangents, hidden, out });
}
