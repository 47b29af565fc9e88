//! Units over threads: the steps of training and generation.

use super::correlation::{Alignment, Correlation, Moments};
use super::critic::{CriticGradient, CriticWeights, CriticWork, interpolate};
use super::generator::{GeneratorGradient, GeneratorWeights, GeneratorWork};
use super::micro_batch::PackedBatch;
use crate::{CriticConfig, Error, GeneratorConfig, Parameters, Result};
use candle_core::Tensor;
use hg_lstm::Lengths;
use hg_lstm::kernel::{Buffer, Panels, Real, SimdPath, Start, multiply, padded};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Sequences in a unit. Part of what determines the last bits of a result.
const UNIT: usize = 8;

/// Gradients by parameter name.
pub type Gradients = BTreeMap<String, Tensor>;

/// What a critic step measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CriticMeasures {
    /// What is minimised.
    pub loss: f64,
    /// E[C(real)] − E[C(fake)].
    pub wasserstein: f64,
    /// E[(‖∇C‖ − 1)²], without its weight.
    pub penalty: f64,
}

/// What a generator step measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeneratorMeasures {
    /// What is minimised.
    pub loss: f64,
    /// mean|R(fake) − R(real)|.
    pub alignment: f64,
}

/// A real batch, packed once for all steps that see it.
#[derive(Debug)]
pub struct RealBatch<S: Real> {
    units: Vec<(PackedBatch, Buffer<S>)>,
    sequences: usize,
    rows: usize,
    correlation: Correlation,
}

impl<S: Real> RealBatch<S> {
    /// Sequences in the batch.
    pub fn sequences(&self) -> usize {
        self.sequences
    }
}

/// What is kept of a unit between the phases of a step.
#[derive(Debug)]
struct MicroBatch<S: Real> {
    moments: Moments<S>,
    /// The generator's rows, and the gradient that arrives at them, `[rows, D]`.
    out: Buffer<S>,
    grad_out: Buffer<S>,
    on_critic: CriticGradient<S>,
    on_generator: GeneratorGradient<S>,
}

/// What a unit works on in one phase; one for each thread that is at work.
#[derive(Debug)]
struct Work<S: Real> {
    generator: GeneratorWork<S>,
    critic: CriticWork<S>,
    /// Real rows, then synthetic ones.
    both: Buffer<S>,
    between: Buffer<S>,
}

/// Working buffers that wait for a unit. What they hold means nothing.
#[derive(Debug)]
struct Pool<S: Real> {
    generator: GeneratorConfig,
    critic: CriticConfig,
    path: SimdPath,
    waiting: Mutex<Vec<Work<S>>>,
}

impl<S: Real> Pool<S> {
    /// Lends buffers to `job`.
    fn with<T>(&self, job: impl FnOnce(&mut Work<S>) -> T) -> T {
        // A panic elsewhere leaves the list of idle buffers as sound as it was.
        let waiting = || self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = waiting().pop();
        let mut work = idle.unwrap_or_else(|| {
            let width = self.critic.layout.width();
            Work {
                generator: GeneratorWork::new(&self.generator, self.path),
                critic: CriticWork::new(&self.critic, self.path),
                both: Buffer::new(0, width),
                between: Buffer::new(0, width),
            }
        });
        let result = job(&mut work);
        waiting().push(work);
        result
    }
}

/// Computes losses and gradients of a generator and a critic.
#[derive(Debug)]
pub struct Engine<S: Real> {
    generator_weights: GeneratorWeights<S>,
    critic_weights: CriticWeights<S>,
    units: Vec<MicroBatch<S>>,
    pool: Pool<S>,
    on_generator: Gradients,
    on_critic: Gradients,
}

/// Fills `[length · Z]` noise values for a sequence of the batch.
type Noise<'a, S> = &'a (dyn Fn(usize, &mut [S]) + Sync);

impl<S: Real> Engine<S> {
    /// An engine for networks of these sizes.
    pub fn new(generator: &GeneratorConfig, critic: &CriticConfig) -> Self {
        Self::on_path(generator, critic, SimdPath::widest())
    }

    /// The same with vectors of a certain width.
    pub fn on_path(generator: &GeneratorConfig, critic: &CriticConfig, path: SimdPath) -> Self {
        Self {
            generator_weights: GeneratorWeights::new(generator, path),
            critic_weights: CriticWeights::new(critic, path),
            units: Vec::new(),
            pool: Pool {
                generator: generator.clone(),
                critic: critic.clone(),
                path,
                waiting: Mutex::default(),
            },
            on_generator: Gradients::new(),
            on_critic: Gradients::new(),
        }
    }

    /// Packs a real batch `[batch, steps, D]`.
    ///
    /// # Errors
    /// When `rows` does not fit `lengths` and the networks.
    pub fn pack(&mut self, rows: &Tensor, lengths: &Lengths) -> Result<RealBatch<S>> {
        let (batch, steps, width) = rows.dims3()?;
        if (batch, steps, width)
            != (lengths.batch(), lengths.steps(), self.pool.critic.layout.width())
        {
            return Err(Error::Lstm(hg_lstm::Error::Shape {
                what: "real rows",
                expected: format!(
                    "[{}, {}, {}]",
                    lengths.batch(),
                    lengths.steps(),
                    self.pool.critic.layout.width()
                ),
                got: vec![batch, steps, width],
            }));
        }
        let values: Vec<S> = rows.flatten_all()?.to_vec1()?;
        let units = self.units_of(lengths.rows());
        let units: Vec<(PackedBatch, Buffer<S>)> = units
            .into_par_iter()
            .map(|packing| {
                let mut rows = Buffer::new(packing.rows, width);
                for (_, sequence, time, row) in packing.steps() {
                    let from = &values[(sequence * steps + time) * width..][..width];
                    rows.row_mut(row)[..width].copy_from_slice(from);
                }
                (packing, rows)
            })
            .collect();
        let rows = units.iter().map(|(packing, _)| packing.rows).sum();
        let moments = self.units.iter_mut().map(|unit| &mut unit.moments);
        let parts = moments.zip(units.iter().map(|(_, rows)| rows)).collect();
        let correlation = Correlation::of(parts, rows);
        Ok(RealBatch { units, sequences: batch, rows, correlation })
    }

    /// Cuts a batch into units and makes sure that each has buffers.
    fn units_of(&mut self, lengths: &[usize]) -> Vec<PackedBatch> {
        let starts = (0..lengths.len()).step_by(UNIT);
        let packings: Vec<PackedBatch> = starts
            .map(|start| (start..(start + UNIT).min(lengths.len())).collect())
            .map(|sequences| PackedBatch::new(sequences, lengths))
            .collect();
        while self.units.len() < packings.len() {
            self.units.push(MicroBatch::new(&self.pool));
        }
        packings
    }

    /// The critic's loss on a real batch and the generator's rows for `noise`,
    /// and its gradients. `alpha` holds one α a sequence. The tensors are written anew in
    /// every step: who keeps them longer takes a [`Tensor::copy`].
    ///
    /// # Errors
    /// When parameters do not fit.
    pub fn critic_gradient(
        &mut self,
        generator: &Parameters,
        critic: &Parameters,
        real: &RealBatch<S>,
        noise: Noise<'_, S>,
        alpha: &[S],
        penalty_weight: f64,
    ) -> Result<(CriticMeasures, &Gradients)> {
        self.generator_weights.load(generator)?;
        let weights = &self.generator_weights;
        let fake = |work: &mut Work<S>, packing: &PackedBatch| {
            work.generator.forward(weights, packing, noise);
            let at = packing.rows * work.both.stride();
            work.both.as_mut_slice()[at..].copy_from_slice(work.generator.out.as_slice());
        };
        self.critic_weights.load(critic)?;
        let weights = &self.critic_weights;
        let (units, into) = (&mut self.units, &mut self.on_critic);
        critic_step(weights, units, &self.pool, real, &fake, (alpha, penalty_weight), into)
    }

    /// The same for given synthetic rows `[batch, steps, D]`.
    ///
    /// # Errors
    /// When parameters or rows do not fit.
    pub fn critic_gradient_for(
        &mut self,
        critic: &Parameters,
        real: &RealBatch<S>,
        fake: &Tensor,
        alpha: &[S],
        penalty_weight: f64,
    ) -> Result<(CriticMeasures, &Gradients)> {
        let (_, steps, width) = fake.dims3()?;
        let values: Vec<S> = fake.flatten_all()?.to_vec1()?;
        let fake = |work: &mut Work<S>, packing: &PackedBatch| {
            for (_, sequence, time, row) in packing.steps() {
                let from = &values[(sequence * steps + time) * width..][..width];
                work.both.row_mut(packing.rows + row)[..width].copy_from_slice(from);
            }
        };
        self.critic_weights.load(critic)?;
        let weights = &self.critic_weights;
        let (units, into) = (&mut self.units, &mut self.on_critic);
        critic_step(weights, units, &self.pool, real, &fake, (alpha, penalty_weight), into)
    }

    /// The generator's loss against a real batch, and its gradients, in tensors that are
    /// written anew in every step.
    ///
    /// # Errors
    /// When parameters do not fit.
    pub fn generator_gradient(
        &mut self,
        generator: &Parameters,
        critic: &Parameters,
        real: &RealBatch<S>,
        noise: Noise<'_, S>,
        aligned: Alignment<'_>,
    ) -> Result<(GeneratorMeasures, &Gradients)> {
        self.generator_weights.load(generator)?;
        self.critic_weights.load(critic)?;
        let (weights, critic) = (&self.generator_weights, &self.critic_weights);
        let units = &mut self.units[..real.units.len()];
        let width = self.pool.critic.layout.width();
        let on_score = -1. / real.sequences as f64;
        let pool = &self.pool;
        let scores: Vec<f64> = units
            .par_iter_mut()
            .zip(&real.units)
            .map(|(unit, (packing, _))| {
                pool.with(|Work { generator, critic: work, .. }| {
                    generator.forward(weights, packing, noise);
                    unit.out.copy_from(&generator.out);
                    let on_scores = vec![S::from_f64(on_score); packing.sequences.len()];
                    let (x, once) = (&generator.out, &packing.once);
                    let scores = work.forward_and_adjoint(critic, x, &on_scores, once, None);
                    work.input_gradient(critic);
                    unit.grad_out.copy_from(&work.grad_input);
                    scores.iter().sum()
                })
            })
            .collect();
        let score = scores.iter().sum::<f64>() / real.sequences as f64;

        let parts = units.iter_mut().map(|unit| (&mut unit.moments, &unit.out));
        let fake = Correlation::of(parts.collect(), real.rows);
        let alignment = fake.distance(&real.correlation, aligned);
        let mut map = Buffer::new(padded(width), width);
        fake.gradient_map(&real.correlation, aligned, &mut map);
        let mut panels = Panels::new(pool.path);
        panels.pack(map.view());

        // The forward pass once more: cheaper than to keep all that it computed.
        units.par_iter_mut().zip(&real.units).for_each(|(unit, (packing, _))| {
            let MicroBatch { moments, grad_out, on_generator, .. } = unit;
            multiply(moments.centred(), &panels, Start::Keep, grad_out.view_mut());
            on_generator.buffers().for_each(|buffer| buffer.as_mut_slice().fill(S::default()));
            pool.with(|Work { generator, .. }| {
                generator.forward(weights, packing, noise);
                generator.add_gradient(weights, packing, grad_out, on_generator);
            });
        });
        let parts: Vec<_> = units.iter().map(|unit| &unit.on_generator).collect();
        GeneratorGradient::export(&parts, &mut self.on_generator)?;
        let loss = aligned.weight * alignment - score;
        Ok((GeneratorMeasures { loss, alignment }, &self.on_generator))
    }

    /// The generator's rows `[batch, steps, D]`, row-major, 0 beyond each length.
    ///
    /// # Errors
    /// When parameters do not fit.
    pub fn generate(
        &mut self,
        generator: &Parameters,
        lengths: &Lengths,
        noise: Noise<'_, S>,
    ) -> Result<Vec<S>> {
        self.generator_weights.load(generator)?;
        let packings = self.units_of(lengths.rows());
        let weights = &self.generator_weights;
        let (steps, width) = (lengths.steps(), self.pool.generator.layout.width());
        let mut all = vec![S::default(); lengths.batch() * steps * width];
        packings.par_iter().zip(all.par_chunks_mut(UNIT * steps * width)).for_each(
            |(packing, all)| {
                self.pool.with(|Work { generator, .. }| {
                    generator.forward(weights, packing, noise);
                    for (_, sequence, time, row) in packing.steps() {
                        let to = &mut all[(sequence % UNIT * steps + time) * width..][..width];
                        to.copy_from_slice(&generator.out.row(row)[..width]);
                    }
                });
            },
        );
        Ok(all)
    }
}

impl<S: Real> MicroBatch<S> {
    fn new(Pool { generator, critic, path, .. }: &Pool<S>) -> Self {
        let width = critic.layout.width();
        Self {
            moments: Moments::new(width, *path),
            out: Buffer::new(0, width),
            grad_out: Buffer::new(0, width),
            on_critic: CriticGradient::new(critic),
            on_generator: GeneratorGradient::new(generator),
        }
    }
}

/// One critic step over all units.
fn critic_step<'a, S: Real>(
    weights: &CriticWeights<S>,
    units: &mut [MicroBatch<S>],
    pool: &Pool<S>,
    real: &RealBatch<S>,
    fake: &(dyn Fn(&mut Work<S>, &PackedBatch) + Sync),
    (alpha, penalty_weight): (&[S], f64),
    into: &'a mut Gradients,
) -> Result<(CriticMeasures, &'a Gradients)> {
    let units = &mut units[..real.units.len()];
    let share = 1. / real.sequences as f64;
    let of_unit =
        |work: &mut Work<S>, unit: &mut MicroBatch<S>, packing: &PackedBatch, rows: &Buffer<S>| {
            work.both.set_rows(2 * packing.rows);
            let half = rows.as_slice().len();
            work.both.as_mut_slice()[..half].copy_from_slice(rows.as_slice());
            fake(work, packing);
            let Work { critic, both, between, .. } = work;
            let into = &mut unit.on_critic;
            into.buffers().for_each(|buffer| buffer.as_mut_slice().fill(S::default()));

            let count = packing.sequences.len();
            let on_score = |n: usize| S::from_f64(if n < count { -share } else { share });
            let on_scores: Vec<S> = (0..2 * count).map(on_score).collect();
            let scores = critic.add_first(weights, both, &on_scores, &packing.twice, into);

            interpolate(both, alpha, packing, between);
            let penalty =
                critic.add_penalty(weights, between, packing, share * penalty_weight, into);
            let (real, fake) = scores.split_at(count);
            [real.iter().sum::<f64>() - fake.iter().sum::<f64>(), penalty]
        };
    let sums: Vec<[f64; 2]> = units
        .par_iter_mut()
        .zip(&real.units)
        .map(|(unit, (packing, rows))| pool.with(|work| of_unit(work, unit, packing, rows)))
        .collect();
    let total = |n: usize| sums.iter().map(|sums| sums[n]).sum::<f64>() * share;
    let (wasserstein, penalty) = (total(0), total(1));
    let parts: Vec<_> = units.iter().map(|unit| &unit.on_critic).collect();
    CriticGradient::export(&parts, weights, into)?;
    let loss = penalty_weight * penalty - wasserstein;
    Ok((CriticMeasures { loss, wasserstein, penalty }, into))
}
