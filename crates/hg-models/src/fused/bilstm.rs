//! Both directions of an LSTM with all gradients.

use super::linear::{Linear, LinearGradient, Width, numbers, pad_rows, unpad_rows};
use super::unit::{Directions, copy_of_rows_before};
use crate::{Parameters, Result};
use candle_core::{Device, Tensor};
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
        Self { directions: [direction(), direction()], hidden }
    }

    pub(super) fn load(&mut self, parameters: &Parameters) -> Result<()> {
        let hidden = self.hidden;
        let load = |(name, direction): (&str, &mut Direction<S>)| -> Result<()> {
            let part = |part: &str| numbers::<S>(parameters.get(&format!("{name}.{part}"))?);
            let (i2h, h2h) = (part("i2h.weight")?, part("h2h.weight")?);
            direction.input.load(&i2h, &[&part("i2h.bias")?, &part("h2h.bias")?]);
            let gates = Width { parts: 4, each: hidden };
            pad_rows(&h2h, gates, Width::one(hidden), &mut direction.padded);
            direction.recurrent.pack(direction.padded.view());
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
        Directions(chains): &Directions,
        work: &mut Workspace<S>,
    ) {
        let gates = 4 * padded(self.hidden);
        for ((direction, chains), states) in
            self.directions.iter().zip(chains).zip(&mut work.states)
        {
            states.set_rows(x.rows);
            direction.input.forward(x, states.columns_mut(0, gates));
            kernel::forward(&direction.recurrent, chains, states.view_mut());
        }
    }

    /// The adjoint of [`BiLstm::forward`]; gradients stay in `work`, with what
    /// the second order needs if `keep`.
    pub(super) fn adjoint(
        &self,
        Directions(chains): &Directions,
        arriving: [Arriving<'_, S>; 2],
        keep: bool,
        work: &mut Workspace<S>,
    ) {
        let wide = padded(self.hidden);
        let rows = work.states[0].rows();
        for (n, direction) in self.directions.iter().enumerate() {
            let gradients = &mut work.gradients[n];
            gradients.set_rows(rows);
            let parts = if keep { GRADIENT_PARTS } else { 4 };
            kernel::adjoint(
                &direction.recurrent,
                &chains[n],
                work.states[n].view(),
                arriving[n],
                gradients.columns_mut(0, parts * wide),
            );
        }
    }

    /// Pulls what [`BiLstm::adjoint`] left back to the input `[rows, input]`.
    pub(super) fn pull_back(&self, work: &Workspace<S>, grad_x: &mut Buffer<S>) {
        self.pull_back_from(&work.gradients, grad_x);
    }

    /// The same for what [`BiLstm::second_adjoint`] left.
    pub(super) fn pull_back_second(&self, work: &Workspace<S>, grad_x: &mut Buffer<S>) {
        self.pull_back_from(&work.second, grad_x);
    }

    fn pull_back_from(&self, from: &[Buffer<S>; 2], grad_x: &mut Buffer<S>) {
        grad_x.set_rows(from[0].rows());
        for (n, direction) in self.directions.iter().enumerate() {
            let grad = from[n].columns(0, 4 * padded(self.hidden));
            let start = if n == 0 { Start::Zero } else { Start::Keep };
            direction.input.pull_back(grad, start, grad_x.view_mut());
        }
    }

    /// The tangent along `x_dot` `[rows, input]`; ḣ stays in `work`.
    pub(super) fn tangent(
        &self,
        x_dot: Matrix<'_, S>,
        Directions(chains): &Directions,
        work: &mut Workspace<S>,
    ) {
        let gates = 4 * padded(self.hidden);
        for (n, direction) in self.directions.iter().enumerate() {
            let tangents = &mut work.tangents[n];
            tangents.set_rows(x_dot.rows);
            direction.input.tangent(x_dot, tangents.columns_mut(0, gates));
            let states = work.states[n].view();
            kernel::tangent(&direction.recurrent, &chains[n], states, tangents.view_mut());
        }
    }

    /// The last pass of the second order; εp stays in `work`.
    pub(super) fn second_adjoint(&self, Directions(chains): &Directions, work: &mut Workspace<S>) {
        for (n, direction) in self.directions.iter().enumerate() {
            let second = &mut work.second[n];
            second.set_rows(work.states[n].rows());
            kernel::second_adjoint(
                &direction.recurrent,
                &chains[n],
                work.states[n].view(),
                work.gradients[n].view(),
                work.tangents[n].view(),
                second.view_mut(),
            );
        }
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

    /// Adds the first order: what [`BiLstm::adjoint`] left, for the input `x`.
    pub(super) fn add_first(
        &mut self,
        path: SimdPath,
        x: Matrix<'_, S>,
        Directions(chains): &Directions,
        work: &mut Workspace<S>,
        scratch: &mut Panels<S>,
    ) {
        for (n, chains) in chains.iter().enumerate() {
            let grad = work.gradients[n].columns(0, 4 * padded(self.hidden));
            self.input[n].add(path, grad, x, scratch);
            let (from, before) = (&work.states[n], &mut work.before);
            self.add_recurrent(n, chains, grad, from, before, scratch);
        }
    }

    /// Adds the second order: what the tangent and the second adjoint left, for
    /// the input `x` and its tangent.
    pub(super) fn add_second(
        &mut self,
        path: SimdPath,
        x: Matrix<'_, S>,
        x_dot: Matrix<'_, S>,
        Directions(chains): &Directions,
        work: &mut Workspace<S>,
        scratch: &mut Panels<S>,
    ) {
        for (n, chains) in chains.iter().enumerate() {
            let second = work.second[n].view();
            let grad = work.gradients[n].columns(0, 4 * padded(self.hidden));
            self.input[n].add(path, second, x, scratch);
            self.input[n].add_to_weight(grad, x_dot, scratch);
            let (states, tangents, before) = (&work.states[n], &work.tangents[n], &mut work.before);
            self.add_recurrent(n, chains, second, states, before, scratch);
            self.add_recurrent(n, chains, grad, tangents, before, scratch);
        }
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

    /// The gradients by name.
    pub(super) fn export(&self, into: &mut super::Gradients) -> Result<()> {
        let gates = Width { parts: 4, each: self.hidden };
        for (n, name) in NAMES.iter().enumerate() {
            let bias = self.input[n].bias()?;
            let recurrent = unpad_rows(&self.recurrent[n], gates, Width::one(self.hidden));
            let shape = (4 * self.hidden, self.hidden);
            let recurrent = Tensor::from_vec(recurrent, shape, &Device::Cpu)?;
            into.insert(format!("{name}.i2h.weight"), self.input[n].weight()?);
            into.insert(format!("{name}.i2h.bias"), bias.clone());
            into.insert(format!("{name}.h2h.weight"), recurrent);
            into.insert(format!("{name}.h2h.bias"), bias);
        }
        Ok(())
    }
}
