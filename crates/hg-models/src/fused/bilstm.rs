//! Both directions of an LSTM with all gradients.

use super::export::Export;
use super::linear::{Linear, LinearGradient, Width, numbers, pad_rows};
use super::unit::{Directions, copy_of_rows_before};
use crate::{Parameters, Result};
use hg_lstm::kernel::{
    self, Arriving, Buffer, Chains, GRADIENT_PARTS, Matrix, Panels, Real, RecurrentWeights,
    STATE_PARTS, SimdPath, Start, add_transposed_product, padded,
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
    before: Buffer<S>,
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

    /// Runs one direction after the other over `x` `[rows, input]`, forwards and back, for
    /// what arrives at the hidden states, and pulls that back to `grad_x` `[rows, input]`.
    /// Each direction so finishes while its states are in the cache. States and gradients
    /// stay in `work`, with what the second order needs if `keep`; the weights' gradients
    /// are added to `into`.
    pub(super) fn forward_and_adjoint(
        &self,
        x: Matrix<'_, S>,
        directions: &Directions,
        arriving: [Arriving<'_, S>; 2],
        keep: bool,
        work: &mut Workspace<S>,
        grad_x: &mut Buffer<S>,
        mut into: Option<(&mut BiGradient<S>, &mut Panels<S>)>,
    ) {
        grad_x.set_rows(x.rows);
        for (n, arriving) in arriving.into_iter().enumerate() {
            self.forward_direction(n, x, directions, work);
            self.adjoint_direction(n, directions, arriving, keep, work);
            self.pull_back(n, &work.gradients[n], grad_x);
            if let Some((into, scratch)) = &mut into {
                into.add_first_direction(n, self.path, x, directions, work, scratch);
            }
        }
    }

    /// The adjoint of [`BiLstm::forward`] for the same `x`; the weights' gradients are added
    /// to `into`.
    pub(super) fn adjoint(
        &self,
        x: Matrix<'_, S>,
        directions: &Directions,
        arriving: [Arriving<'_, S>; 2],
        work: &mut Workspace<S>,
        into: &mut BiGradient<S>,
        scratch: &mut Panels<S>,
    ) {
        for (n, arriving) in arriving.into_iter().enumerate() {
            self.adjoint_direction(n, directions, arriving, false, work);
            into.add_first_direction(n, self.path, x, directions, work, scratch);
        }
    }

    /// The second order after [`BiLstm::forward_and_adjoint`] of `x`, along `x_dot`
    /// `[rows, input]`, one direction after the other: the tangent, whose ḣ stays in `work`,
    /// and its adjoint, which is pulled back to `grad_x`.
    pub(super) fn second_order(
        &self,
        [x, x_dot]: [Matrix<'_, S>; 2],
        directions: &Directions,
        work: &mut Workspace<S>,
        grad_x: &mut Buffer<S>,
        into: &mut BiGradient<S>,
        scratch: &mut Panels<S>,
    ) {
        grad_x.set_rows(x.rows);
        for n in 0..2 {
            self.tangent_direction(n, x_dot, directions, work);
            self.second_adjoint_direction(n, directions, work);
            self.pull_back(n, &work.second[n], grad_x);
            into.add_second_direction(n, self.path, [x, x_dot], directions, work, scratch);
        }
    }

    fn forward_direction(
        &self,
        n: usize,
        x: Matrix<'_, S>,
        Directions(chains): &Directions,
        work: &mut Workspace<S>,
    ) {
        let (direction, states) = (&self.directions[n], &mut work.states[n]);
        states.set_rows(x.rows);
        let input = direction.input.as_input(x, false);
        kernel::forward_from(input, &direction.recurrent, &chains[n], states.view_mut());
    }

    fn adjoint_direction(
        &self,
        n: usize,
        Directions(chains): &Directions,
        arriving: Arriving<'_, S>,
        keep: bool,
        work: &mut Workspace<S>,
    ) {
        let (states, gradients) = (&work.states[n], &mut work.gradients[n]);
        gradients.set_rows(states.rows());
        let parts = if keep { GRADIENT_PARTS } else { 4 };
        kernel::adjoint(
            &self.directions[n].recurrent,
            &chains[n],
            states.view(),
            arriving,
            gradients.columns_mut(0, parts * padded(self.hidden)),
        );
    }

    /// Pulls direction `n`'s δp or εp back to the input `[rows, input]`: direction 0 sets it,
    /// the other adds to it.
    fn pull_back(&self, n: usize, from: &Buffer<S>, grad_x: &mut Buffer<S>) {
        let grad = from.columns(0, 4 * padded(self.hidden));
        let start = if n == 0 { Start::Zero } else { Start::Keep };
        self.directions[n].input.pull_back(grad, start, grad_x.view_mut());
    }

    fn tangent_direction(
        &self,
        n: usize,
        x_dot: Matrix<'_, S>,
        Directions(chains): &Directions,
        work: &mut Workspace<S>,
    ) {
        let (direction, tangents) = (&self.directions[n], &mut work.tangents[n]);
        tangents.set_rows(x_dot.rows);
        let input = direction.input.as_input(x_dot, true);
        let (states, into) = (work.states[n].view(), tangents.view_mut());
        kernel::tangent_from(input, &direction.recurrent, &chains[n], states, into);
    }

    fn second_adjoint_direction(
        &self,
        n: usize,
        Directions(chains): &Directions,
        work: &mut Workspace<S>,
    ) {
        let second = &mut work.second[n];
        second.set_rows(work.states[n].rows());
        kernel::second_adjoint(
            &self.directions[n].recurrent,
            &chains[n],
            work.states[n].view(),
            work.gradients[n].view(),
            work.tangents[n].view(),
            second.view_mut(),
        );
    }
}

impl<S: Real> Workspace<S> {
    pub(super) fn new(hidden: usize) -> Self {
        let wide = padded(hidden);
        let pair = |parts: usize| [Buffer::new(0, parts * wide), Buffer::new(0, parts * wide)];
        Self {
            states: pair(STATE_PARTS),
            gradients: pair(GRADIENT_PARTS),
            tangents: pair(GRADIENT_PARTS),
            second: pair(4),
            before: Buffer::new(0, wide),
        }
    }

    /// h of a direction at a row.
    pub(super) fn hidden(&self, direction: usize, row: usize) -> &[S] {
        let states = &self.states[direction];
        &states.row(row)[states.stride() / STATE_PARTS * (STATE_PARTS - 1)..]
    }

    /// ḣ of a direction at a row.
    pub(super) fn hidden_dot(&self, direction: usize, row: usize) -> &[S] {
        let tangents = &self.tangents[direction];
        &tangents.row(row)[tangents.stride() / GRADIENT_PARTS * (GRADIENT_PARTS - 1)..]
    }
}

impl<S: Real> BiGradient<S> {
    pub(super) fn new(input: usize, hidden: usize) -> Self {
        let linear = || LinearGradient::new(Width::one(input), Width { parts: 4, each: hidden });
        let recurrent = || Buffer::new(4 * padded(hidden), padded(hidden));
        Self { input: [linear(), linear()], recurrent: [recurrent(), recurrent()], hidden }
    }

    /// Adds direction `n`'s first order for the input `x`.
    fn add_first_direction(
        &mut self,
        n: usize,
        path: SimdPath,
        x: Matrix<'_, S>,
        Directions(chains): &Directions,
        work: &mut Workspace<S>,
        scratch: &mut Panels<S>,
    ) {
        let grad = work.gradients[n].columns(0, 4 * padded(self.hidden));
        self.input[n].add(path, grad, x, scratch);
        let (states, before) = (&work.states[n], &mut work.before);
        self.add_recurrent(n, &chains[n], grad, states, before, scratch);
    }

    /// Adds direction `n`'s second order: what the tangent and its adjoint left, for the
    /// input `x` and its tangent.
    fn add_second_direction(
        &mut self,
        n: usize,
        path: SimdPath,
        [x, x_dot]: [Matrix<'_, S>; 2],
        Directions(chains): &Directions,
        work: &mut Workspace<S>,
        scratch: &mut Panels<S>,
    ) {
        let second = work.second[n].view();
        let grad = work.gradients[n].columns(0, 4 * padded(self.hidden));
        self.input[n].add(path, second, x, scratch);
        self.input[n].add_to_weight(grad, x_dot, scratch);
        let (states, tangents, before) = (&work.states[n], &work.tangents[n], &mut work.before);
        self.add_recurrent(n, &chains[n], second, states, before, scratch);
        self.add_recurrent(n, &chains[n], grad, tangents, before, scratch);
    }

    /// `dU += gradᵀ h₋`, h being the last part of `from`'s rows.
    fn add_recurrent(
        &mut self,
        n: usize,
        chains: &Chains,
        grad: Matrix<'_, S>,
        from: &Buffer<S>,
        before: &mut Buffer<S>,
        scratch: &mut Panels<S>,
    ) {
        copy_of_rows_before(chains, from, from.stride() - before.stride(), before);
        add_transposed_product(grad, before.view(), self.recurrent[n].view_mut(), scratch);
    }

    pub(super) fn buffers(&mut self) -> impl Iterator<Item = &mut Buffer<S>> {
        self.input.iter_mut().flat_map(LinearGradient::buffers).chain(&mut self.recurrent)
    }

    /// The gradients over all units.
    pub(super) fn export<'a>(parts: &[&'a Self], into: &mut Export<'a, S>) {
        let hidden = parts[0].hidden;
        let gates = Width { parts: 4, each: hidden };
        for (n, name) in NAMES.iter().enumerate() {
            let input: Vec<_> = parts.iter().map(|part| &part.input[n]).collect();
            LinearGradient::export(&input, &format!("{name}.i2h"), into);
            let recurrent = parts.iter().map(|part| &part.recurrent[n]).collect();
            let widths = [gates, Width::one(hidden)];
            into.sum(format!("{name}.h2h.weight"), &[4 * hidden, hidden], recurrent, widths);
            // Both biases are added to the same pre-activations.
            LinearGradient::export_bias(&input, format!("{name}.h2h.bias"), into);
        }
    }
}
