//! Both directions of an LSTM with all gradients.
//!
//! The directions share nothing but the gradient of their input, to which each has its part. So a thread that
//! has nothing else to do takes one of them, and the bits are the same.

use super::export::Export;
use super::linear::{Linear, LinearGradient, Width, numbers, pad_rows};
use super::micro_batch::Directions;
use crate::{Parameters, Result};
use hg_lstm::kernel::{
    self, Buffer, Factors, GRADIENT_PARTS, Matrix, OutputGradient, PADDING, Panels, Real,
    RecurrentWeights, STATE_PARTS, Segment, SimdPath, Start, StepSchedule,
    add_transposed_product_of_rows, padded,
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
    /// The padded hidden width.
    wide: usize,
    path: SimdPath,
}

/// The weights of both directions.
#[derive(Debug)]
pub(super) struct BiLstm<S: Real> {
    directions: [Direction<S>; 2],
    hidden: usize,
}

/// What a pass through a [`BiLstm`] works on.
#[derive(Debug)]
pub(super) struct Workspace<S: Real>([DirectionWork<S>; 2]);

/// What a pass in one direction works on.
#[derive(Debug)]
struct DirectionWork<S: Real> {
    states: Buffer<S>,
    gradients: Buffer<S>,
    tangents: Buffer<S>,
    second: Buffer<S>,
    /// The direction's part of the gradient of the input, `[rows, input]`.
    on_input: Buffer<S>,
    scratch: Panels<S>,
    /// The padded hidden width.
    wide: usize,
}

/// The gradients of a [`BiLstm`].
#[derive(Clone, Debug)]
pub(super) struct BiGradient<S: Real> {
    directions: [DirectionGradient<S>; 2],
    hidden: usize,
}

/// The gradients of one direction.
#[derive(Clone, Debug)]
struct DirectionGradient<S: Real> {
    input: LinearGradient<S>,
    recurrent: Buffer<S>,
    /// The padded hidden width.
    wide: usize,
}

impl<S: Real> BiLstm<S> {
    pub(super) fn new(input: usize, hidden: usize, path: SimdPath) -> Self {
        let direction = || Direction {
            input: Linear::new(Width::one(input), Width { parts: 4, each: hidden }, path),
            recurrent: RecurrentWeights::new(padded(hidden), path),
            padded: Buffer::new(4 * padded(hidden), padded(hidden)),
            wide: padded(hidden),
            path,
        };
        Self { directions: [direction(), direction()], hidden }
    }

    /// Takes the factors of recurrent products so, from the next load on.
    pub(super) fn set_factors(&mut self, factors: Factors) {
        for Direction { recurrent, wide, path, .. } in &mut self.directions {
            *recurrent = RecurrentWeights::with_factors(*wide, *path, factors);
        }
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

    /// The passes of both directions.
    fn passes<'a>(
        &'a self,
        Directions(schedules): &'a Directions,
        work: &'a mut Workspace<S>,
        into: Option<&'a mut BiGradient<S>>,
    ) -> [Pass<'a, S>; 2] {
        let Self { directions: [first, second], .. } = self;
        let Workspace([on_first, on_second]) = work;
        let [into_first, into_second] = match into {
            Some(BiGradient { directions, .. }) => directions.each_mut().map(Some),
            None => [None, None],
        };
        let [along, back] = schedules;
        [
            Pass { direction: first, schedule: along, work: on_first, into: into_first },
            Pass { direction: second, schedule: back, work: on_second, into: into_second },
        ]
    }

    /// Runs both directions over `x` `[rows, input]`; states stay in `work`.
    pub(super) fn forward(
        &self,
        x: Matrix<'_, S>,
        directions: &Directions,
        work: &mut Workspace<S>,
    ) {
        let [mut first, mut second] = self.passes(directions, work, None);
        rayon::join(|| first.forward(x), || second.forward(x));
    }

    /// Runs both directions over `x` `[rows, input]`, forward and backward, for the
    /// gradient `arriving` of the hidden states; `grad_x` `[rows, input]` receives the gradient of
    /// `x`. Each direction finishes while its states are in the cache. States and gradients stay in
    /// `work`; the weights' gradients are added to `into`, and without it what the second order
    /// needs is kept.
    pub(super) fn forward_and_backward(
        &self,
        x: Matrix<'_, S>,
        directions: &Directions,
        [to_first, to_second]: [OutputGradient<'_, S>; 2],
        work: &mut Workspace<S>,
        grad_x: &mut Buffer<S>,
        into: Option<&mut BiGradient<S>>,
    ) {
        let [mut first, mut second] = self.passes(directions, work, into);
        rayon::join(
            || first.forward_and_backward(x, to_first),
            || second.forward_and_backward(x, to_second),
        );
        work.add_up_on_input(grad_x);
    }

    /// The backward pass of [`BiLstm::forward`] for the same `x`; the weights' gradients are added
    /// to `into`.
    pub(super) fn backward(
        &self,
        x: Matrix<'_, S>,
        directions: &Directions,
        [to_first, to_second]: [OutputGradient<'_, S>; 2],
        work: &mut Workspace<S>,
        into: &mut BiGradient<S>,
    ) {
        let [mut first, mut second] = self.passes(directions, work, Some(into));
        rayon::join(|| first.backward(x, to_first), || second.backward(x, to_second));
    }

    /// The second order after [`BiLstm::forward_and_backward`] of `x`, along `x_dot`
    /// `[rows, input]`: the JVP, whose ḣ stays in `work`, and the
    /// double backward pass, whose gradient of `x` goes to `grad_x` `[rows, input]`. The weights'
    /// gradients are added to `into`; without it all that they are made of is kept.
    pub(super) fn second_order(
        &self,
        x: [Matrix<'_, S>; 2],
        directions: &Directions,
        work: &mut Workspace<S>,
        grad_x: &mut Buffer<S>,
        into: Option<&mut BiGradient<S>>,
    ) {
        let [mut first, mut second] = self.passes(directions, work, into);
        rayon::join(|| first.second_order(x), || second.second_order(x));
        work.add_up_on_input(grad_x);
    }

    /// Adds what the passes of [`BiLstm::forward_and_backward`] over `x` bring to the weights'
    /// gradients at the rows of a segment in each direction.
    pub(super) fn add_first_of(
        &self,
        x: Matrix<'_, S>,
        segments: [Segment<'_>; 2],
        work: &mut Workspace<S>,
        into: &mut BiGradient<S>,
    ) {
        let all = work.0.iter_mut().zip(&mut into.directions).zip(segments);
        for (direction, ((work, into), segment)) in self.directions.iter().zip(all) {
            let gates = 4 * direction.wide;
            let (grad, states) = (work.gradients.columns(0, gates), work.states.view());
            into.add_first(direction.path, segment, [grad, x, states], &mut work.scratch);
        }
    }

    /// The same of the passes of [`BiLstm::second_order`] along `x_dot`.
    pub(super) fn add_second_of(
        &self,
        [x, x_dot]: [Matrix<'_, S>; 2],
        segments: [Segment<'_>; 2],
        work: &mut Workspace<S>,
        into: &mut BiGradient<S>,
    ) {
        let all = work.0.iter_mut().zip(&mut into.directions).zip(segments);
        for (direction, ((work, into), segment)) in self.directions.iter().zip(all) {
            let gates = 4 * direction.wide;
            let (second, states) = (work.second.columns(0, gates), work.states.view());
            into.add_first(direction.path, segment, [second, x, states], &mut work.scratch);
            let (grad, tangents) = (work.gradients.columns(0, gates), work.tangents.view());
            into.add_tangent(segment, [grad, x_dot, tangents], &mut work.scratch);
        }
    }
}

/// A pass in one direction.
struct Pass<'a, S: Real> {
    direction: &'a Direction<S>,
    schedule: &'a StepSchedule,
    work: &'a mut DirectionWork<S>,
    into: Option<&'a mut DirectionGradient<S>>,
}

impl<S: Real> Pass<'_, S> {
    fn forward(&mut self, x: Matrix<'_, S>) {
        let states = &mut self.work.states;
        states.set_rows(x.rows);
        let input = self.direction.input.as_input(x);
        kernel::forward_from(input, &self.direction.recurrent, self.schedule, states.view_mut());
    }

    fn forward_and_backward(&mut self, x: Matrix<'_, S>, arriving: OutputGradient<'_, S>) {
        self.forward(x);
        self.work.on_input.set_rows(x.rows);
        let parts = if self.into.is_none() { GRADIENT_PARTS } else { 4 };
        self.backward_parts(x, arriving, parts, |direction, rows, grad, on_input| {
            direction.input.backward_rows(rows, grad, Start::Zero, on_input.view_mut());
        });
    }

    fn backward(&mut self, x: Matrix<'_, S>, arriving: OutputGradient<'_, S>) {
        self.backward_parts(x, arriving, 4, |_, _, _, _| {});
    }

    /// The backward pass, of whose gradients so many parts are kept. Calls `done` with a few rows at a time
    /// and their gradients `[rows, 4H]`.
    fn backward_parts(
        &mut self,
        x: Matrix<'_, S>,
        arriving: OutputGradient<'_, S>,
        parts: usize,
        done: impl Fn(&Direction<S>, &[u32], Matrix<'_, S>, &mut Buffer<S>),
    ) {
        let Self { direction, schedule, work, into } = self;
        let DirectionWork { states, gradients, on_input, scratch, wide, .. } = &mut **work;
        let (states, gates) = (states.view(), 4 * *wide);
        gradients.set_rows(states.rows);
        let out = gradients.columns_mut(0, parts * *wide);
        let u = &direction.recurrent;
        kernel::backward_by_segments(u, schedule, states, arriving, out, |segment, out| {
            let grad = out.columns(0, gates);
            done(direction, segment.rows, grad, on_input);
            if let Some(into) = into {
                into.add_first(direction.path, segment, [grad, x, states], scratch);
            }
        });
    }

    fn second_order(&mut self, [x, x_dot]: [Matrix<'_, S>; 2]) {
        let Self { direction, schedule, work, into } = self;
        let DirectionWork { states, gradients, tangents, second, on_input, scratch, wide } =
            &mut **work;
        tangents.set_rows(x.rows);
        let (states, input) = (states.view(), direction.input.as_jvp_input(x_dot));
        kernel::jvp_from(input, &direction.recurrent, schedule, states, tangents.view_mut());

        let (tangents, gradients, gates) = (tangents.view(), gradients.view(), 4 * *wide);
        on_input.set_rows(x.rows);
        let add = |segment: Segment<'_>, second: Matrix<'_, S>| {
            let to = on_input.view_mut();
            direction.input.backward_rows(segment.rows, second, Start::Zero, to);
            let Some(into) = into else { return };
            into.add_first(direction.path, segment, [second, x, states], scratch);
            // The JVP's own backward pass has the δ of the first backward pass.
            let grad = gradients.columns(0, gates);
            into.add_tangent(segment, [grad, x_dot, tangents], scratch);
        };
        second.set_rows(x.rows);
        let (u, out) = (&direction.recurrent, second.columns_mut(0, gates));
        kernel::double_backward(u, schedule, states, gradients, tangents, out, add);
    }
}

impl<S: Real> Workspace<S> {
    pub(super) fn new(input: usize, hidden: usize, path: SimdPath) -> Self {
        let wide = padded(hidden);
        // Rows an odd number of cache lines apart, or the columns that a weight's gradient
        // goes down would share a few sets of the cache.
        let apart = |parts: usize| Buffer::new(0, parts * wide + PADDING);
        let direction = || DirectionWork {
            states: apart(STATE_PARTS),
            gradients: apart(GRADIENT_PARTS),
            tangents: apart(GRADIENT_PARTS),
            second: apart(4),
            on_input: Buffer::new(0, input),
            scratch: Panels::new(path),
            wide,
        };
        Self([direction(), direction()])
    }

    /// h of a direction at a row.
    pub(super) fn hidden(&self, direction: usize, row: usize) -> &[S] {
        let DirectionWork { states, wide, .. } = &self.0[direction];
        &states.row(row)[(STATE_PARTS - 1) * wide..][..*wide]
    }

    /// ḣ of a direction at a row.
    pub(super) fn hidden_dot(&self, direction: usize, row: usize) -> &[S] {
        let DirectionWork { tangents, wide, .. } = &self.0[direction];
        &tangents.row(row)[(GRADIENT_PARTS - 1) * wide..][..*wide]
    }

    /// Sets `grad_x` to the sum of the directions' parts.
    fn add_up_on_input(&self, grad_x: &mut Buffer<S>) {
        let [first, second] = &self.0;
        let (first, second) = (&first.on_input, &second.on_input);
        grad_x.set_rows(first.rows());
        let parts = first.as_slice().iter().zip(second.as_slice());
        grad_x.as_mut_slice().iter_mut().zip(parts).for_each(|(sum, (&a, &b))| *sum = a + b);
    }
}

impl<S: Real> DirectionGradient<S> {
    fn new(input: usize, hidden: usize) -> Self {
        let wide = padded(hidden);
        Self {
            input: LinearGradient::new(Width::one(input), Width { parts: 4, each: hidden }),
            recurrent: Buffer::new(4 * wide, wide),
            wide,
        }
    }

    /// Adds what δp or εp `[rows, 4H]` brings at the rows of a segment, for the input `x` and
    /// the states.
    fn add_first(
        &mut self,
        path: SimdPath,
        segment: Segment<'_>,
        [grad, x, states]: [Matrix<'_, S>; 3],
        scratch: &mut Panels<S>,
    ) {
        self.input.add_rows(path, segment.rows, grad, x, scratch);
        let hidden = states.columns((STATE_PARTS - 1) * self.wide, self.wide);
        self.add_recurrent(segment, grad, hidden, scratch);
    }

    /// Adds to the weights' gradients what δp brings with the tangents of the input and of the
    /// states.
    fn add_tangent(
        &mut self,
        segment: Segment<'_>,
        [grad, x_dot, tangents]: [Matrix<'_, S>; 3],
        scratch: &mut Panels<S>,
    ) {
        self.input.add_rows_to_weight(segment.rows, grad, x_dot, scratch);
        let hidden_dot = tangents.columns((GRADIENT_PARTS - 1) * self.wide, self.wide);
        self.add_recurrent(segment, grad, hidden_dot, scratch);
    }

    /// `dU += gradᵀ h₋`
    fn add_recurrent(
        &mut self,
        segment: Segment<'_>,
        grad: Matrix<'_, S>,
        hidden: Matrix<'_, S>,
        scratch: &mut Panels<S>,
    ) {
        let (later, before) = ((segment.later, grad), (segment.before, hidden));
        add_transposed_product_of_rows(later, before, self.recurrent.view_mut(), scratch);
    }

    fn buffers(&mut self) -> impl Iterator<Item = &mut Buffer<S>> {
        self.input.buffers().into_iter().chain([&mut self.recurrent])
    }
}

impl<S: Real> BiGradient<S> {
    pub(super) fn new(input: usize, hidden: usize) -> Self {
        let directions = [0, 1].map(|_| DirectionGradient::new(input, hidden));
        Self { directions, hidden }
    }

    pub(super) fn buffers(&mut self) -> impl Iterator<Item = &mut Buffer<S>> {
        self.directions.iter_mut().flat_map(DirectionGradient::buffers)
    }

    /// Adds the gradients over all micro-batches to `into`.
    pub(super) fn export<'a>(parts: &[&'a Self], into: &mut Export<'a, S>) {
        let hidden = parts[0].hidden;
        let gates = Width { parts: 4, each: hidden };
        for (n, name) in NAMES.iter().enumerate() {
            let parts = || parts.iter().map(|part| &part.directions[n]);
            let input: Vec<_> = parts().map(|part| &part.input).collect();
            LinearGradient::export(&input, &format!("{name}.i2h"), into);
            let recurrent = parts().map(|part| &part.recurrent).collect();
            let widths = [gates, Width::one(hidden)];
            into.sum(format!("{name}.h2h.weight"), &[4 * hidden, hidden], recurrent, widths);
            // Both biases are added to the same pre-activations.
            LinearGradient::export_bias(&input, format!("{name}.h2h.bias"), into);
        }
    }
}
