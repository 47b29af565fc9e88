//! Micro-batches over threads: the steps of training and generation.

mod private;

pub use private::Guard;

use super::correlation::{Alignment, Correlation, Moments};
use super::critic::{CriticGradient, CriticWeights, CriticWork, interpolate};
use super::generator::{GeneratorGradient, GeneratorWeights, GeneratorWork};
use super::micro_batch::PackedBatch;
use crate::{CriticConfig, Error, GeneratorConfig, Parameters, Ranks, Result};
use candle_core::Tensor;
use hg_lstm::Lengths;
use hg_lstm::kernel::{Buffer, Factors, Real, SimdPath, Start, multiply};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Sequences in a micro-batch. The last bits of a result depend on it.
const MICRO_BATCH_SIZE: usize = 8;

/// Gradients by parameter name.
pub type Gradients = BTreeMap<String, Tensor>;

/// What a critic step measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CriticMeasures {
    /// What is minimised.
    pub loss: f64,
    /// The Wasserstein estimate E[C(real)] − E[C(fake)].
    pub wasserstein: f64,
    /// The gradient penalty E[(‖∇C‖ − 1)²], without its weight.
    pub penalty: f64,
}

/// What a generator step measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeneratorMeasures {
    /// What is minimised.
    pub loss: f64,
    /// The correlation alignment mean|R(fake) − R(real)|, without its weight.
    pub alignment: f64,
}

/// A real batch, packed once for all steps that see it.
#[derive(Debug)]
pub struct RealBatch<S: Real> {
    /// Those that this rank has.
    micro_batches: Vec<(PackedBatch, Buffer<S>)>,
    /// Sequences and rows of all ranks.
    sequences: usize,
    rows: usize,
    correlation: Correlation,
}

impl<S: Real> RealBatch<S> {
    /// Sequences in the batch, on all ranks.
    pub fn sequences(&self) -> usize {
        self.sequences
    }

    /// Micro-batches on all ranks.
    fn count(&self) -> usize {
        self.sequences.div_ceil(MICRO_BATCH_SIZE)
    }
}

/// What is kept of a micro-batch between the phases of a step.
#[derive(Debug)]
struct MicroBatch<S: Real> {
    moments: Moments<S>,
    /// The generator's rows and their gradient, `[rows, D]`.
    out: Buffer<S>,
    grad_out: Buffer<S>,
    on_critic: CriticGradient<S>,
    on_generator: GeneratorGradient<S>,
}

/// The working buffers of a micro-batch in one phase; one for each thread that is at work.
#[derive(Debug)]
struct Work<S: Real> {
    generator: GeneratorWork<S>,
    /// Real rows, then synthetic ones.
    both: Buffer<S>,
    between: Buffer<S>,
    /// One patient's gradient, in a private step alone.
    of_patient: CriticGradient<S>,
}

impl<S: Real> Work<S> {
    /// Puts real rows into the first half of [`Work::both`].
    fn take_real(&mut self, packed: &PackedBatch, rows: &Buffer<S>) {
        self.both.set_rows(2 * packed.rows);
        let half = rows.as_slice().len();
        self.both.as_mut_slice()[..half].copy_from_slice(rows.as_slice());
    }

    /// Puts the generator's rows for some noise into its second half.
    fn take_fake(
        &mut self,
        weights: &GeneratorWeights<S>,
        packed: &PackedBatch,
        noise: Noise<'_, S>,
    ) {
        self.generator.forward(weights, packed, noise);
        let at = packed.rows * self.both.stride();
        self.both.as_mut_slice()[at..].copy_from_slice(self.generator.out.as_slice());
    }
}

/// Working buffers that are not in use. What they hold means nothing.
#[derive(Debug)]
struct Pool<S: Real> {
    generator: GeneratorConfig,
    critic: CriticConfig,
    path: SimdPath,
    works: Idle<Work<S>>,
    critics: Idle<CriticWork<S>>,
}

/// Buffers of one kind. Those that were given back last are taken first: they may still be in the cache.
#[derive(Debug)]
struct Idle<T>(Mutex<Vec<T>>);

impl<T> Default for Idle<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Idle<T> {
    fn take(&self, new: impl FnOnce() -> T) -> T {
        let idle = self.list().pop();
        idle.unwrap_or_else(new)
    }

    fn give_back(&self, buffers: T) {
        self.list().push(buffers);
    }

    fn list(&self) -> MutexGuard<'_, Vec<T>> {
        // A panic elsewhere leaves the list as sound as it was.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Real> Pool<S> {
    /// Lends buffers to `job`.
    fn with<T>(&self, job: impl FnOnce(&mut Work<S>) -> T) -> T {
        let width = self.critic.layout.width();
        let mut work = self.works.take(|| Work {
            generator: GeneratorWork::new(&self.generator, self.path),
            both: Buffer::new(0, width),
            between: Buffer::new(0, width),
            of_patient: CriticGradient::new(&self.critic),
        });
        let result = job(&mut work);
        self.works.give_back(work);
        result
    }

    /// The working buffers of a pass through the critic.
    fn critic(&self) -> CriticWork<S> {
        self.critics.take(|| CriticWork::new(&self.critic, self.path))
    }

    /// Lends them to `job`.
    fn with_critic<T>(&self, job: impl FnOnce(&mut CriticWork<S>) -> T) -> T {
        let mut critic = self.critic();
        let result = job(&mut critic);
        self.critics.give_back(critic);
        result
    }
}

/// Computes losses and gradients of a generator and a critic.
#[derive(Debug)]
pub struct Engine<S: Real> {
    generator_weights: GeneratorWeights<S>,
    critic_weights: CriticWeights<S>,
    ranks: Ranks,
    micro_batches: Vec<MicroBatch<S>>,
    pool: Pool<S>,
    on_generator: Total<GeneratorGradient<S>>,
    on_critic: Total<CriticGradient<S>>,
    /// The noise of a private step, in the form of a gradient; none before the first.
    gradient_noise: Option<CriticGradient<S>>,
}

/// The gradients of a network over all micro-batches: by name, and of all ranks in the engine's form.
#[derive(Debug)]
struct Total<G> {
    of_ranks: Option<G>,
    by_name: Gradients,
}

impl<G> Total<G> {
    fn new() -> Self {
        Self { of_ranks: None, by_name: Gradients::new() }
    }
}

/// Fills `[length · Z]` noise values for a sequence of the batch.
type Noise<'a, S> = &'a (dyn Fn(usize, &mut [S]) + Sync);

impl<S: Real> Engine<S> {
    /// An engine for networks of these sizes, on the SIMD path of [`SimdPath::widest`].
    pub fn new(generator: &GeneratorConfig, critic: &CriticConfig) -> Self {
        Self::on_path(generator, critic, SimdPath::widest())
    }

    /// An engine for networks of these sizes, on a SIMD path of the caller's choice.
    pub fn on_path(generator: &GeneratorConfig, critic: &CriticConfig, path: SimdPath) -> Self {
        Self {
            generator_weights: GeneratorWeights::new(generator, path),
            critic_weights: CriticWeights::new(critic, path),
            ranks: Ranks::default(),
            micro_batches: Vec::new(),
            pool: Pool {
                generator: generator.clone(),
                critic: critic.clone(),
                path,
                works: Idle::default(),
                critics: Idle::default(),
            },
            on_generator: Total::new(),
            on_critic: Total::new(),
            gradient_noise: None,
        }
    }

    /// The same, taking the factors of recurrent products so. What is rounded is no longer the derivative of
    /// what is computed; the difference is of the size of the rounding.
    #[must_use]
    pub fn with_factors(mut self, factors: Factors) -> Self {
        self.generator_weights.set_factors(factors);
        self.critic_weights.set_factors(factors);
        self
    }

    /// Shares the work of each batch with other ranks: every rank makes the same calls, packs its own
    /// sequences, and gets the same losses and gradients, those of a process alone, to the bit.
    pub fn share_with(&mut self, ranks: Ranks) {
        self.ranks = ranks;
    }

    /// The sequences of a batch of so many that this rank packs.
    pub fn share(&self, sequences: usize) -> Range<usize> {
        let share = self.ranks.share(sequences.div_ceil(MICRO_BATCH_SIZE));
        let end = |micro_batch: usize| (micro_batch * MICRO_BATCH_SIZE).min(sequences);
        end(share.start)..end(share.end)
    }

    /// Packs a real batch for all steps that see it: `rows` `[share, steps, D]` of the sequences that are
    /// this rank's [share](Self::share) of the batch, and the `lengths` of all.
    ///
    /// # Errors
    /// When `rows` does not fit `lengths` and the networks, or a rank is gone.
    pub fn pack(&mut self, rows: &Tensor, lengths: &Lengths) -> Result<RealBatch<S>> {
        let (batch, share) = (lengths.batch(), self.share(lengths.batch()));
        let expected = [share.len(), lengths.steps(), self.pool.critic.layout.width()];
        let got = rows.dims();
        if got != expected {
            let (expected, got) = (format!("{expected:?}"), got.to_vec());
            let what = "real rows";
            return Err(Error::Lstm(hg_lstm::Error::Shape { what, expected, got }));
        }
        let [_, steps, width] = expected;
        let values: Vec<S> = rows.flatten_all()?.to_vec1()?;
        let micro_batches = self.micro_batches_of(lengths.rows(), share.clone());
        let micro_batches: Vec<(PackedBatch, Buffer<S>)> = micro_batches
            .into_par_iter()
            .map(|packed| {
                let mut rows = Buffer::new(packed.rows, width);
                for (_, sequence, time, row) in packed.steps() {
                    let at = ((sequence - share.start) * steps + time) * width;
                    rows.row_mut(row)[..width].copy_from_slice(&values[at..][..width]);
                }
                (packed, rows)
            })
            .collect();
        let rows = lengths.rows().iter().sum();
        let moments = self.micro_batches.iter_mut().map(|micro_batch| &mut micro_batch.moments);
        let parts = moments.zip(micro_batches.iter().map(|(_, rows)| rows)).collect();
        let count = batch.div_ceil(MICRO_BATCH_SIZE);
        let correlation = Correlation::of(parts, (rows, width), (&self.ranks, count))?;
        Ok(RealBatch { micro_batches, sequences: batch, rows, correlation })
    }

    /// Cuts sequences of a batch into micro-batches and makes sure that each has buffers.
    fn micro_batches_of(&mut self, lengths: &[usize], share: Range<usize>) -> Vec<PackedBatch> {
        let packed_batches: Vec<PackedBatch> = share
            .clone()
            .step_by(MICRO_BATCH_SIZE)
            .map(|start| (start..(start + MICRO_BATCH_SIZE).min(share.end)).collect())
            .map(|sequences| PackedBatch::new(sequences, lengths))
            .collect();
        while self.micro_batches.len() < packed_batches.len() {
            self.micro_batches.push(MicroBatch::new(&self.pool));
        }
        packed_batches
    }

    /// The critic's loss on a real batch and the generator's rows for `noise`, and the gradients of
    /// the critic's parameters. `noise` fills `[length · Z]` values for a sequence of the batch;
    /// `alpha` holds one α for each sequence.
    ///
    /// Every step overwrites the tensors of the gradients: take a [`Tensor::copy`] to keep them.
    ///
    /// # Errors
    /// When parameters do not fit the sizes that the engine was built with.
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
        let fake = |work: &mut Work<S>, packed: &PackedBatch| {
            work.take_fake(weights, packed, noise);
        };
        self.critic_weights.load(critic)?;
        let into = (&self.ranks, &mut self.on_critic);
        let (weights, micro_batches) = (&self.critic_weights, &mut self.micro_batches);
        critic_step(weights, micro_batches, &self.pool, real, &fake, (alpha, penalty_weight), into)
    }

    /// The critic's loss on a real batch and given synthetic rows `fake` `[batch, steps, D]` (of all ranks), and the
    /// gradients of the critic's parameters. `alpha` holds one α for each sequence.
    ///
    /// Every step overwrites the tensors of the gradients: take a [`Tensor::copy`] to keep them.
    ///
    /// # Errors
    /// When parameters or rows do not fit the sizes that the engine was built with.
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
        let fake = |work: &mut Work<S>, packed: &PackedBatch| {
            for (_, sequence, time, row) in packed.steps() {
                let from = &values[(sequence * steps + time) * width..][..width];
                work.both.row_mut(packed.rows + row)[..width].copy_from_slice(from);
            }
        };
        self.critic_weights.load(critic)?;
        let into = (&self.ranks, &mut self.on_critic);
        let (weights, micro_batches) = (&self.critic_weights, &mut self.micro_batches);
        critic_step(weights, micro_batches, &self.pool, real, &fake, (alpha, penalty_weight), into)
    }

    /// The generator's loss against a real batch, and the gradients of the generator's parameters.
    /// `noise` fills `[length · Z]` values for a sequence of the batch.
    ///
    /// Every step overwrites the tensors of the gradients: take a [`Tensor::copy`] to keep them.
    ///
    /// # Errors
    /// When parameters do not fit the sizes that the engine was built with.
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
        let micro_batches = &mut self.micro_batches[..real.micro_batches.len()];
        let (pool, ranks, count) = (&self.pool, &self.ranks, real.count());

        // The critic's scores, and what they give to the generator's rows.
        let on_score = -1. / real.sequences as f64;
        let scores: Vec<[f64; 1]> = micro_batches
            .par_iter_mut()
            .zip(&real.micro_batches)
            .map(|(micro_batch, (packed, _))| {
                let MicroBatch { out, grad_out, .. } = micro_batch;
                pool.with(|Work { generator, .. }| {
                    generator.forward(weights, packed, noise);
                    out.copy_from(&generator.out);
                });
                pool.with_critic(|work| {
                    let on_scores = vec![S::from_f64(on_score); packed.sequences.len()];
                    let scores = work.forward_and_backward(critic, out, &on_scores, packed, None);
                    work.input_gradient(critic, packed);
                    grad_out.copy_from(&work.grad_input);
                    [scores.iter().sum()]
                })
            })
            .collect();
        let [score] = ranks.totals(count, &scores)?;
        let score = score / real.sequences as f64;

        // The alignment of correlations, which needs all rows.
        let parts = micro_batches.iter_mut().map(|part| (&mut part.moments, &part.out));
        let sizes = (real.rows, pool.critic.layout.width());
        let fake = Correlation::of(parts.collect(), sizes, (ranks, count))?;
        let alignment = fake.distance(&real.correlation, aligned);
        let map = fake.gradient_map(&real.correlation, aligned, pool.path);

        // The generator's forward pass once more, cheaper than to keep all that it computed, and
        // its backward pass.
        micro_batches.par_iter_mut().zip(&real.micro_batches).for_each(
            |(micro_batch, (packed, _))| {
                let MicroBatch { moments, grad_out, on_generator, .. } = micro_batch;
                multiply(moments.centred(), &map, Start::Keep, grad_out.view_mut());
                on_generator.clear();
                pool.with(|Work { generator, .. }| {
                    generator.forward(weights, packed, noise);
                    generator.add_gradient(weights, packed, grad_out, on_generator);
                });
            },
        );
        let Total { of_ranks, by_name } = &mut self.on_generator;
        if ranks.is_alone() {
            let parts: Vec<_> = micro_batches.iter().map(|part| &part.on_generator).collect();
            GeneratorGradient::export(&parts, by_name)?;
        } else {
            let sum = of_ranks.get_or_insert_with(|| GeneratorGradient::new(&pool.generator));
            let parts = micro_batches.iter_mut().map(|part| part.on_generator.buffers());
            total(ranks, count, parts, sum.buffers())?;
            GeneratorGradient::export(&[sum], by_name)?;
        }
        let loss = aligned.weight * alignment - score;
        Ok((GeneratorMeasures { loss, alignment }, by_name))
    }

    /// The generator's rows `[batch, steps, D]`, row-major, 0 beyond each length. `noise` fills
    /// `[length · Z]` values for a sequence of the batch.
    ///
    /// # Errors
    /// When parameters do not fit the sizes that the engine was built with.
    pub fn generate(
        &mut self,
        generator: &Parameters,
        lengths: &Lengths,
        noise: Noise<'_, S>,
    ) -> Result<Vec<S>> {
        self.generator_weights.load(generator)?;
        let packed_batches = self.micro_batches_of(lengths.rows(), 0..lengths.batch());
        let weights = &self.generator_weights;
        let (steps, width) = (lengths.steps(), self.pool.generator.layout.width());
        let mut all = vec![S::default(); lengths.batch() * steps * width];
        packed_batches
            .par_iter()
            .zip(all.par_chunks_mut(MICRO_BATCH_SIZE * steps * width))
            .for_each(|(packed, all)| {
                self.pool.with(|Work { generator, .. }| {
                    generator.forward(weights, packed, noise);
                    for (_, sequence, time, row) in packed.steps() {
                        let to = &mut all[(sequence % MICRO_BATCH_SIZE * steps + time) * width..]
                            [..width];
                        to.copy_from_slice(&generator.out.row(row)[..width]);
                    }
                });
            });
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

/// The critic's loss over all micro-batches, and its gradients in `into`; `fake` puts synthetic
/// rows into the second half of [`Work::both`].
fn critic_step<'a, S: Real>(
    weights: &CriticWeights<S>,
    micro_batches: &mut [MicroBatch<S>],
    pool: &Pool<S>,
    real: &RealBatch<S>,
    fake: &(dyn Fn(&mut Work<S>, &PackedBatch) + Sync),
    (alpha, penalty_weight): (&[S], f64),
    (ranks, into): (&Ranks, &'a mut Total<CriticGradient<S>>),
) -> Result<(CriticMeasures, &'a Gradients)> {
    let micro_batches = &mut micro_batches[..real.micro_batches.len()];
    let share = 1. / real.sequences as f64;
    let add_micro_batch = |work: &mut Work<S>,
                           into: &mut CriticGradient<S>,
                           packed: &PackedBatch,
                           rows: &Buffer<S>| {
        into.clear();

        // Real and synthetic sequences below one another, and what lies between them.
        work.take_real(packed, rows);
        fake(work, packed);
        let Work { both, between, .. } = work;
        interpolate(both, alpha, packed, between);

        // All scored in one pass; the gradient penalty's first passes, which another thread may take.
        let count = packed.sequences.len();
        let on_score = |n: usize| S::from_f64(if n < count { -share } else { share });
        let on_scores: Vec<S> = (0..2 * count).map(on_score).collect();
        let weight = share * penalty_weight;
        let (scores, (mut critic, penalty)) = rayon::join(
            || pool.with_critic(|work| work.add_first(weights, both, &on_scores, packed, into)),
            || {
                let mut critic = pool.critic();
                let penalty = critic.penalty(weights, between, packed, weight);
                (critic, penalty)
            },
        );

        // The penalty's gradients.
        critic.add_penalty_gradient(weights, packed, Some(into));
        pool.critics.give_back(critic);
        let (real, fake) = scores.split_at(count);
        [real.iter().sum::<f64>() - fake.iter().sum::<f64>(), penalty]
    };
    let sums: Vec<[f64; 2]> = micro_batches
        .par_iter_mut()
        .zip(&real.micro_batches)
        .map(|(micro_batch, (packed, rows))| {
            pool.with(|work| add_micro_batch(work, &mut micro_batch.on_critic, packed, rows))
        })
        .collect();

    let count = real.count();
    let [wasserstein, penalty] = ranks.totals(count, &sums)?.map(|sum| sum * share);
    let Total { of_ranks, by_name } = into;
    if ranks.is_alone() {
        let parts: Vec<_> = micro_batches.iter().map(|part| &part.on_critic).collect();
        CriticGradient::export(&parts, weights, by_name)?;
    } else {
        let sum = of_ranks.get_or_insert_with(|| CriticGradient::new(&pool.critic));
        let parts = micro_batches.iter_mut().map(|part| part.on_critic.buffers());
        total(ranks, count, parts, sum.buffers())?;
        CriticGradient::export(&[sum], weights, by_name)?;
    }
    let loss = penalty_weight * penalty - wasserstein;
    Ok((CriticMeasures { loss, wasserstein, penalty }, by_name))
}

/// Adds up the gradients of all ranks' micro-batches, of which `parts` are this rank's.
fn total<'a, S: Real>(
    ranks: &Ranks,
    count: usize,
    parts: impl Iterator<Item = impl Iterator<Item = &'a mut Buffer<S>>>,
    into: impl Iterator<Item = &'a mut Buffer<S>>,
) -> Result<()> {
    let parts: Vec<Vec<&[S]>> =
        parts.map(|buffers| buffers.map(|buffer| buffer.as_slice()).collect()).collect();
    ranks.add_up(count, &parts, into.map(Buffer::as_mut_slice).collect())
}
