//! Both directions of an LSTM with all gradients.

use super::export::Export;
use super::linear::{Linear, LinearGradient, Width, numbers, pad_rows};
use super::micro_batch::Directions;
use crate::{Parameters, Result};
use hg_lstm::kernel::{
    self, Buffer, GRADIENT_PARTS, Matrix, OutputGradient, PADDING, Panels, Real, RecurrentWeights,
    STATE_PARTS, Segment, SimdPath, Start, add_transposed_product_of_rows, padded,
};

/// The two directions' prefixes in the interchange names.
const NAMES: [&str; 2] = ["rnn_f", "rnn_r"];

/// The weights of one direction.
#[derive(Debug)]
struct Direction<S: Real> {
    input: Linear<S>,
    recurrent: RecurrentWeights<S>,
    /// `U` `[4H, H]` on its way into `recurrent`.
    padded: Buffer<S>,
}

/// The weights of both directions.
#[derive(Debug)]
pub(super) struct BiLstm<S: Real> {
    directions: [Direction<S>; 2],
    hidden: usize,
    path: SimdPath,
}

/// What a pass through a [`BiLstm`] works on, for each direction.
#[derive(Debug)]
pub(super) struct Workspace<S: Real> {
    pub(super) states: [Buffer<S>; 2],
    gradients: [Buffer<S>; 2],
    tangents: [Buffer<S>; 2],
    second: [Buffer<S>; 2],
    /// The padded hidden width.
    wide: usize,
}

/// The gradients of a [`BiLstm`].
#[derive(Clone, Debug)]
pub(super) struct BiGradient<S: Real> {
    input: [LinearGradient<S>; 2],
    recurrent: [Buffer<S>; 2],
    hidden: usize,
}

impl<S: Real> BiLstm<S> {
    pub(super) fn new(input: usize, hidden: usize, path: SimdPath) -> Self {
        let direction = || Direction {
            input: Linear::new(Width::one(input), Width { parts: 4, each: hidden }, path),
            recurrent: RecurrentWeights::new(padded(hidden), path),
            padded: Buffer::new(4 * padded(hidden), padded(hidden)),
        };
        Self { directions: [direction(), direction()], hidden, path }
    }

    pub(super) fn load(&mut self, parameters: &Parameters) -> Result<()> {
        let hidden = self.hidden;
        let load = |(name, direction): (&str, &mut Direction<S>)| -> Result<()> {
            let part = |part: &str| -> Result<_> {
                Ok(numbers(parameters.get(&format!("{name}.{part}"))?.as_tensor()))
            };
            let (i2h, h2h) = (part("i2h.weight")?, part("h2h.weight")?);
            let biases = [part("i2h.bias")?, part("h2h.bias")?];
            direction.input.load(i2h.get()?, &[biases[0].get()?, biases[1].get()?]);
            let gates = Width { parts: 4, each: hidden };
            let changed = pad_rows(h2h.get()?, gates, Width::one(hidden), &mut direction.padded);
            if changed || direction.recurrent.is_empty() {
                direction.recurrent.pack(direction.padded.view());
            }
            Ok(())
        };
        let [forwards, backwards] = &mut self.directions;
        let (first, second) =
            rayon::join(|| load((NAMES[0], forwards)), || load((NAMES[1], backwards)));
        first.and(second)
    }

    /// Runs both directions over `x` `[rows, input]`; states stay in `work`.
    pub(super) fn forward(
        &self,
        x: Matrix<'_, S>,
        directions: &Directions,
        work: &mut Workspace<S>,
    ) {
        for n in 0..2 {
            self.forward_direction(n, x, directions, work);
        }
    }

    /// Runs one direction after the other over `x` `[rows, input]`, forward and backward, for the
    /// gradient `arriving` of the hidden states; `grad_x` `[rows, input]` receives the gradient of
    /// `x`. Each direction finishes while its states are in the cache. States and gradients stay in
    /// `work`; the weights' gradients are added to `into`, and without it what the second order
    /// needs is kept.
    pub(super) fn forward_and_backward(
        &self,
        x: Matrix<'_, S>,
        directions: &Directions,
        arriving: [OutputGradient<'_, S>; 2],
        work: &mut Workspace<S>,
        grad_x: &mut Buffer<S>,
        mut into: Option<(&mut BiGradient<S>, &mut Panels<S>)>,
    ) {
        let keep = into.is_none();
        grad_x.set_rows(x.rows);
        for (n, arriving) in arriving.into_iter().enumerate() {
            self.forward_direction(n, x, directions, work);
            self.backward_direction(
                n,
                directions,
                arriving,
                keep,
                work,
                |segment, states, grad| {
                    self.backward_input(n, segment.rows, grad, grad_x);
                    if let Some((into, scratch)) = &mut into {
                        into.add_first(n, self.path, segment, [grad, x, states], scratch);
                    }
                },
            );
        }
    }

    /// The backward pass of [`BiLstm::forward`] for the same `x`; the weights' gradients are added
    /// to `into`.
    pub(super) fn backward(
        &self,
        x: Matrix<'_, S>,
        directions: &Directions,
        arriving: [OutputGradient<'_, S>; 2],
        work: &mut Workspace<S>,
        into: &mut BiGradient<S>,
        scratch: &mut Panels<S>,
    ) {
        for (n, arriving) in arriving.into_iter().enumerate() {
            let add = |segment: Segment<'_>, states: Matrix<'_, S>, grad: Matrix<'_, S>| {
                into.add_first(n, self.path, segment, [grad, x, states], scratch);
            };
            self.backward_direction(n, directions, arriving, false, work, add);
        }
    }

    /// The second order after [`BiLstm::forward_and_backward`] of `x`, along `x_dot`
    /// `[rows, input]`, one direction after the other: the JVP, whose ḣ stays in `work`, and the
    /// double backward pass, whose gradient of `x` goes to `grad_x` `[rows, input]`. The weights'
    /// gradients are added to `into`; without it all that they are made of is kept.
    pub(super) fn second_order(
        &self,
        [x, x_dot]: [Matrix<'_, S>; 2],
        Directions(schedule): &Directions,
        work: &mut Workspace<S>,
        grad_x: &mut Buffer<S>,
        mut into: Option<(&mut BiGradient<S>, &mut Panels<S>)>,
    ) {
        grad_x.set_rows(x.rows);
        for (n, schedule) in schedule.iter().enumerate() {
            let (direction, tangents) = (&self.directions[n], &mut work.tangents[n]);
            tangents.set_rows(x.rows);
            let (states, input) = (work.states[n].view(), direction.input.as_jvp_input(x_dot));
            kernel::jvp_from(input, &direction.recurrent, schedule, states, tangents.view_mut());

            let (tangents, gradients) = (tangents.view(), work.gradients[n].view());
            let gates = 4 * padded(self.hidden);
            let add = |segment: Segment<'_>, second: Matrix<'_, S>| {
                self.backward_input(n, segment.rows, second, grad_x);
                let Some((into, scratch)) = &mut into else { return };
                into.add_first(n, self.path, segment, [second, x, states], scratch);
                // The JVP's own backward pass has the δ of the first backward pass.
                let grad = gradients.columns(0, gates);
                into.add_tangent(n, segment, [grad, x_dot, tangents], scratch);
            };
            work.second[n].set_rows(x.rows);
            let (u, out) = (&direction.recurrent, work.second[n].columns_mut(0, gates));
            kernel::double_backward(u, schedule, states, gradients, tangents, out, add);
        }
    }

    /// Adds what the passes of [`BiLstm::forward_and_backward`] over `x` bring to the weights'
    /// gradients at the rows of a segment in each direction.
    pub(super) fn add_first_of(
        &self,
        x: Matrix<'_, S>,
        segments: [Segment<'_>; 2],
        work: &Workspace<S>,
        into: &mut BiGradient<S>,
        scratch: &mut Panels<S>,
    ) {
        for (n, segment) in segments.into_iter().enumerate() {
            let grad = work.gradients[n].columns(0, 4 * work.wide);
            into.add_first(n, self.path, segment, [grad, x, work.states[n].view()], scratch);
        }
    }

    /// The same of the passes of [`BiLstm::second_order`] along `x_dot`.
    pub(super) fn add_second_of(
        &self,
        [x, x_dot]: [Matrix<'_, S>; 2],
        segments: [Segment<'_>; 2],
        work: &Workspace<S>,
        into: &mut BiGradient<S>,
        scratch: &mut Panels<S>,
    ) {
        for (n, segment) in segments.into_iter().enumerate() {
            let second = work.second[n].columns(0, 4 * work.wide);
            into.add_first(n, self.path, segment, [second, x, work.states[n].view()], scratch);
            let grad = work.gradients[n].columns(0, 4 * work.wide);
            into.add_tangent(n, segment, [grad, x_dot, work.tangents[n].view()], scratch);
        }
    }

    fn forward_direction(
        &self,
        n: usize,
        x: Matrix<'_, S>,
        Directions(schedule): &Directions,
        work: &mut Workspace<S>,
    ) {
        let (direction, states) = (&self.directions[n], &mut work.states[n]);
        states.set_rows(x.rows);
        let input = direction.input.as_input(x);
        kernel::forward_from(input, &direction.recurrent, &schedule[n], states.view_mut());
    }

    /// The backward pass of direction `n`. Calls `done` with a few rows at a time, the states and
    /// the gradients `[rows, 4H]`.
    fn backward_direction(
        &self,
        n: usize,
        Directions(schedule): &Directions,
        arriving: OutputGradient<'_, S>,
        keep: bool,
        work: &mut Workspace<S>,
        mut done: impl FnMut(Segment<'_>, Matrix<'_, S>, Matrix<'_, S>),
    ) {
        let (states, gradients) = (work.states[n].view(), &mut work.gradients[n]);
        gradients.set_rows(states.rows);
        let wide = padded(self.hidden);
        let parts = if keep { GRADIENT_PARTS } else { 4 };
        let out = gradients.columns_mut(0, parts * wide);
        let u = &self.directions[n].recurrent;
        kernel::backward_by_segments(u, &schedule[n], states, arriving, out, |segment, out| {
            done(segment, states, out.columns(0, 4 * wide));
        });
    }

    /// The gradient of the input at these rows from direction `n`'s δp or εp: direction 0 sets it,
    /// the other adds to it.
    fn backward_input(&self, n: usize, rows: &[u32], grad: Matrix<'_, S>, grad_x: &mut Buffer<S>) {
        let start = if n == 0 { Start::Zero } else { Start::Keep };
        self.directions[n].input.backward_rows(rows, grad, start, grad_x.view_mut());
    }
}

impl<S: Real> Workspace<S> {
    pub(super) fn new(hidden: usize) -> Self {
        let wide = padded(hidden);
        // Rows an odd number of cache lines apart, or the columns that a weight's gradient
        // goes down would share a few sets of the cache.
        let pair = |parts: usize| [0, 1].map(|_| Buffer::new(0, parts * wide + PADDING));
        Self {
            states: pair(STATE_PARTS),
            gradients: pair(GRADIENT_PARTS),
            tangents: pair(GRADIENT_PARTS),
            second: pair(4),
            wide,
        }
    }

    /// h of a direction at a row.
    pub(super) fn hidden(&self, direction: usize, row: usize) -> &[S] {
        &self.states[direction].row(row)[(STATE_PARTS - 1) * self.wide..][..self.wide]
    }

    /// ḣ of a direction at a row.
    pub(super) fn hidden_dot(&self, direction: usize, row: usize) -> &[S] {
        &self.tangents[direction].row(row)[(GRADIENT_PARTS - 1) * self.wide..][..self.wide]
    }
}

impl<S: Real> BiGradient<S> {
    pub(super) fn new(input: usize, hidden: usize) -> Self {
        let linear = || LinearGradient::new(Width::one(input), Width { parts: 4, each: hidden });
        let recurrent = || Buffer::new(4 * padded(hidden), padded(hidden));
        Self { input: [linear(), linear()], recurrent: [recurrent(), recurrent()], hidden }
    }

    /// Adds what δp or εp `[rows, 4H]` brings at the rows of a segment, for the input `x` and
    /// the states.
    fn add_first(
        &mut self,
        n: usize,
        path: SimdPath,
        segment: Segment<'_>,
        [grad, x, states]: [Matrix<'_, S>; 3],
        scratch: &mut Panels<S>,
    ) {
        self.input[n].add_rows(path, segment.rows, grad, x, scratch);
        let wide = padded(self.hidden);
        let hidden = states.columns((STATE_PARTS - 1) * wide, wide);
        self.add_recurrent(n, segment, grad, hidden, scratch);
    }

    /// Adds to the weights' gradients what δp brings with the tangents of the input and of the
    /// states.
    fn add_tangent(
        &mut self,
        n: usize,
        segment: Segment<'_>,
        [grad, x_dot, tangents]: [Matrix<'_, S>; 3],
        scratch: &mut Panels<S>,
    ) {
        self.input[n].add_rows_to_weight(segment.rows, grad, x_dot, scratch);
        let wide = padded(self.hidden);
        let hidden_dot = tangents.columns((GRADIENT_PARTS - 1) * wide, wide);
        self.add_recurrent(n, segment, grad, hidden_dot, scratch);
    }

    /// `dU += gradᵀ h₋`
    fn add_recurrent(
        &mut self,
        n: usize,
        segment: Segment<'_>,
        grad: Matrix<'_, S>,
        hidden: Matrix<'_, S>,
        scratch: &mut Panels<S>,
    ) {
        let (later, before) = ((segment.later, grad), (segment.before, hidden));
        add_transposed_product_of_rows(later, before, self.recurrent[n].view_mut(), scratch);
    }

    pub(super) fn buffers(&mut self) -> impl Iterator<Item = &mut Buffer<S>> {
        self.input.iter_mut().flat_map(LinearGradient::buffers).chain(&mut self.recurrent)
    }

    /// Adds the gradients to `into`.
    pub(super) fn export<'a>(&'a self, into: &mut Export<'a, S>) {
        let hidden = self.hidden;
        let gates = Width { parts: 4, each: hidden };
        for (n, name) in NAMES.iter().enumerate() {
            let (input, recurrent) = (&self.input[n], &self.recurrent[n]);
            input.export(&format!("{name}.i2h"), into);
            let widths = [gates, Width::one(hidden)];
            into.buffer(format!("{name}.h2h.weight"), &[4 * hidden, hidden], recurrent, widths);
            // Both biases are added to the same pre-activations.
            input.export_bias(format!("{name}.h2h.bias"), into);
        }
    }
}
