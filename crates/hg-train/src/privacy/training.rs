//! Iterations under a privacy guarantee (docs/method.md, "A privacy guarantee").

use super::key::{Key, fill_normal};
use super::plan::PrivacyPlan;
use crate::random::{Purpose, stream};
use crate::steps::{Draws, GENERATOR_MEASURES, Steps};
use crate::synthesis::draw_lengths;
use crate::trainer::Descent;
use crate::{Batch, Error, Result, StepMetrics, TrainConfig, Trainer, layout_of};
use candle_core::Tensor;
use hg_data::{Encoded, Encoder};
use hg_lstm::Lengths;
use hg_models::{Guard, RowLayout};
use std::time::Instant;

/// What a trainer needs to keep a guarantee.
#[derive(Debug)]
pub(crate) struct Private {
    pub(crate) plan: PrivacyPlan,
    key: Key,
    /// `[n]`: how many sequences had `n` steps, as it was released.
    lengths: Vec<usize>,
}

impl Trainer {
    /// A trainer under the guarantee that the settings ask for, where they do.
    ///
    /// # Errors
    /// As [`Trainer::new`], and where no noise keeps the guarantee.
    pub fn of(config: &TrainConfig, encoder: &Encoder, encoded: &Encoded) -> Result<Self> {
        let layout = layout_of(encoder);
        match config.privacy.is_on() {
            true => Self::private(config, &layout, encoded, encoder.lengths.clone()),
            false => Self::new(config, &layout, encoded),
        }
    }

    /// A trainer that keeps the guarantee that the settings ask for: `lengths[n]` sequences had `n` steps,
    /// as it was released.
    ///
    /// # Errors
    /// As [`Trainer::new`], and where no noise keeps the guarantee.
    pub fn private(
        config: &TrainConfig,
        layout: &RowLayout,
        encoded: &Encoded,
        lengths: Vec<usize>,
    ) -> Result<Self> {
        let mut trainer = Self::unguarded(config, layout, encoded)?;
        let plan = PrivacyPlan::required(config, encoded.lengths.len())?;
        // How long the longest sequence is was released; the cohort's own is not to be looked at.
        let longest = lengths.len().saturating_sub(1);
        trainer.batches.set_windows(config.batching.windows.lengths(longest));
        trainer.private = Some(Private { plan, key: Key::new()?, lengths });
        Ok(trainer)
    }

    /// An iteration whose critic steps see each a Poisson sample of the patients, clip the gradient of
    /// every one of these and add noise. The generator's step sees the critic alone, and lengths as they
    /// were released.
    pub(crate) fn private_step(&mut self) -> Result<StepMetrics> {
        let (Some(Private { plan, key, lengths }), Steps::Single(fused)) =
            (&self.private, &mut self.steps)
        else {
            return Err(Error::Config("a guarantee is kept on the CPU alone".into()));
        };
        let start = Instant::now();
        let critic_steps = self.config.optimiser.critic_steps as u64;
        let networks = (&self.generator, &self.critic);
        let done = self.iteration as f64 / self.config.iterations as f64;
        let rate = self.config.optimiser.schedule.share(done);
        let descent =
            Descent { rate, clip_norm: self.config.optimiser.clip_norm, is_measured: true };
        let window = self.batches.window(self.iteration);

        let mut critic_norm = None;
        for step in self.iteration * critic_steps..(self.iteration + 1) * critic_steps {
            let mut rng = key.stream(Purpose::Sampling, step, 0);
            let batch = self.batches.sampled(plan.sampling_rate, window, &mut rng)?;
            let deviation = plan.gradient_noise * plan.clip_norm;
            let noise = |part: usize, values: &mut [f32]| {
                let mut rng = key.stream(Purpose::GradientNoise, step, part as u64);
                fill_normal(&mut rng, deviation, values);
            };
            let guard = Guard { clip_norm: plan.clip_norm, batch: plan.batch(), noise: &noise };
            let draws = Draws { config: &self.config, step, key: Some(key) };
            let gradients = fused.private_critic(networks, batch.as_ref(), draws, &guard)?;
            critic_norm =
                descent.step(&mut self.critic_adam, self.critic.parameters(), gradients)?;
        }
        self.times.critic = start.elapsed();

        let start = Instant::now();
        let rng = stream(self.config.seed, Purpose::StepLengths, self.iteration);
        let drawn = draw_lengths(lengths, self.config.batching.batch_size, rng);
        let lengths: Vec<usize> = drawn.into_iter().map(|length| length.min(window)).collect();
        let batch = without_values(lengths, self.critic.config().layout.width())?;
        self.steps.see(&batch)?;
        let draws = Draws { config: &self.config, step: self.iteration, key: None };
        let (measures, gradients) = self.steps.generator(networks, &batch, draws)?;
        let (adam, parameters) = (&mut self.generator_adam, self.generator.parameters());
        let generator_norm = descent.step(adam, parameters, &gradients)?;

        let measures = measures.to_vec1::<f64>()?;
        let norm = |norm: Option<Tensor>| -> Result<f64> {
            Ok(norm.map_or(Ok(f64::NAN), |norm| norm.squeeze(0)?.to_scalar())?)
        };
        let scalars = [
            (GENERATOR_MEASURES[0], measures[0]),
            ("critic_norm", norm(critic_norm)?),
            ("generator_norm", norm(generator_norm)?),
        ];
        if let Some((name, value)) = scalars.iter().find(|(_, value)| !value.is_finite()) {
            let problem = format!("{} is {value}", name.replace('_', " "));
            return Err(Error::Diverged { iteration: self.iteration + 1, problem });
        }
        self.average_weights()?;
        self.times.generator = start.elapsed();
        self.iteration += 1;
        // The mean number of times that each patient was looked at, which the settings say.
        let passes = (self.iteration * critic_steps) as f64 * plan.sampling_rate;
        let scalars = scalars.map(|(name, value)| (name.into(), value)).to_vec();
        Ok(StepMetrics { iteration: self.iteration, epoch: passes as u64, scalars })
    }
}

/// A batch of lengths alone: a generator step that aligns no correlations looks at no real row.
fn without_values(lengths: Vec<usize>, width: usize) -> Result<Batch> {
    let steps = lengths.iter().copied().max().unwrap_or(1);
    let shape = (lengths.len(), steps, width);
    let rows = Tensor::zeros(shape, candle_core::DType::F32, &candle_core::Device::Cpu)?;
    Ok(Batch { rows, lengths: Lengths::new(lengths, steps)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hg_data::Encoded;

    #[test]
    fn windows_follow_from_the_lengths_that_were_released_and_not_from_the_cohorts() -> Result<()> {
        let mut config = TrainConfig { iterations: 2, ..Default::default() };
        config.privacy.epsilon = 3.;
        config.model.hidden = 4;
        config.model.resampling = false;
        config.optimiser.correlation_weight = 0.;
        config.batching.curriculum_epochs = 0;
        config.validation.every = 0;
        let (values, lengths) = (vec![0.5; 12].into(), vec![3, 2, 3, 1]);
        let counts = Default::default();
        let encoded = Encoded { values, lengths, steps: 3, features: 1, counts };
        let mut released = vec![0; 10];
        released[9] = 4;
        let layout = RowLayout::new(1, Vec::new());
        let mut trainer = Trainer::private(&config, &layout, &encoded, released)?;
        let windows: Vec<usize> = (0..5).map(|n| trainer.batches.window(n)).collect();
        assert_eq!(windows, [2, 4, 8, 9, 2]);
        // Windows beyond the cohort's longest sequence are no problem.
        trainer.iteration = 3;
        assert!(trainer.step()?.get("generator_loss").is_some_and(f64::is_finite));
        Ok(())
    }
}
