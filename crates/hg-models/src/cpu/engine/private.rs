//! The critic step of training under a privacy guarantee: clipped by patient, with noise.

use super::{CriticGradient, CriticWork, Engine, Gradients, Noise, PackedBatch, RealBatch, Work};
use crate::cpu::critic::{CriticWeights, SequenceRows, interpolate};
use crate::{Parameters, Result};
use hg_lstm::kernel::Real;
use rayon::prelude::*;

/// What keeps a critic step from showing a patient (docs/method.md, "A privacy guarantee").
#[derive(Clone, Copy)]
pub struct Guard<'a, S: Real> {
    /// C: the greatest norm that the gradient of one patient keeps.
    pub clip_norm: f64,
    /// B: the patients that a batch is expected to have, by which the sum over those that it has is
    /// divided.
    pub batch: f64,
    /// Fills the `n`-th part of the gradient with noise, on the scale of the sum.
    pub noise: &'a (dyn Fn(usize, &mut [S]) + Sync),
}

impl<S: Real> std::fmt::Debug for Guard<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { clip_norm, batch, .. } = self;
        f.debug_struct("Guard").field("clip_norm", clip_norm).field("batch", batch).finish()
    }
}

impl<S: Real> Engine<S> {
    /// The gradients of the critic's parameters on a real batch, `None` for one without patients, and the
    /// generator's rows for `noise`: as [`Engine::critic_gradient`], but every patient's own gradient is
    /// clipped before they are added up, and noise is added to the sum. Nothing else leaves the step. It is
    /// the step of a process alone.
    ///
    /// With `M` the map of embeddings and first linear layer in one, clipping and noise are of the gradient
    /// with respect to `M` and all other weights; the two biases of a recurrent layer, which are added to
    /// each other, count once.
    ///
    /// Every step overwrites the tensors of the gradients: take a [`candle_core::Tensor::copy`] to keep
    /// them.
    ///
    /// # Errors
    /// When parameters do not fit the sizes that the engine was built with.
    pub fn private_critic_gradient(
        &mut self,
        [generator, critic]: [&Parameters; 2],
        real: Option<&RealBatch<S>>,
        noise: Noise<'_, S>,
        alpha: &[S],
        penalty_weight: f64,
        guard: &Guard<'_, S>,
    ) -> Result<&Gradients> {
        self.generator_weights.load(generator)?;
        self.critic_weights.load(critic)?;
        let share = 1. / guard.batch;
        let of_noise =
            self.gradient_noise.get_or_insert_with(|| CriticGradient::new(&self.pool.critic));
        of_noise.set_to_noise(guard.noise, share);

        let real = real.map_or(&[][..], |real| &real.micro_batches);
        let (generator, critic) = (&self.generator_weights, &self.critic_weights);
        let micro_batches = &mut self.micro_batches[..real.len()];
        micro_batches.par_iter_mut().zip(real).for_each(|(micro_batch, (packed, rows))| {
            let (mut first, mut penalty) = (self.pool.critic(), self.pool.critic());
            self.pool.with(|work| {
                work.take_real(packed, rows);
                work.take_fake(generator, packed, noise);
                work.add_patients(
                    (critic, [&mut first, &mut penalty]),
                    packed,
                    (alpha, penalty_weight),
                    (guard.clip_norm, share),
                    &mut micro_batch.on_critic,
                );
            });
            [first, penalty].into_iter().for_each(|work| self.pool.critics.give_back(work));
        });

        let of_patients = micro_batches.iter().map(|micro_batch| &micro_batch.on_critic);
        let parts: Vec<_> = std::iter::once(&*of_noise).chain(of_patients).collect();
        CriticGradient::export(&parts, critic, &mut self.on_critic.by_name)?;
        Ok(&self.on_critic.by_name)
    }
}

impl<S: Real> Work<S> {
    /// Sets `into` to the sum of the clipped gradients of the patients in [`Work::both`], times `share`.
    fn add_patients(
        &mut self,
        (weights, [critic, penalty]): (&CriticWeights<S>, [&mut CriticWork<S>; 2]),
        packed: &PackedBatch,
        (alpha, penalty_weight): (&[S], f64),
        (clip_norm, share): (f64, f64),
        into: &mut CriticGradient<S>,
    ) {
        let Self { both, between, of_patient, .. } = self;
        let count = packed.sequences.len();
        let on_score = [-1., 1.].map(S::from_f64);
        let on_scores: Vec<S> = (0..2 * count).map(|n| on_score[n / count]).collect();
        critic.forward_and_backward(weights, both, &on_scores, packed, None);
        interpolate(both, alpha, packed, between);
        penalty.penalty(weights, between, packed, penalty_weight);
        penalty.add_penalty_gradient(weights, packed, None);

        into.clear();
        for n in 0..count {
            of_patient.clear();
            let [once, twice] = [1, 2].map(|copies| SequenceRows::new(packed, n, copies));
            critic.add_first_of(weights, &twice, &on_score, of_patient);
            penalty.add_penalty_of(weights, &once, of_patient);
            into.add_clipped(of_patient, clip_norm, share);
        }
    }
}
