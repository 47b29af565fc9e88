//! What a private run promises, and how it keeps it: fixed before anything is computed from the table.

use super::accountant::{PrivacyLoss, noise_multiplier};
use super::key::{Key, normal};
use crate::random::Purpose;
use crate::{Error, PrivacyConfig, Result, TrainConfig};
use hg_data::{Encoded, Encoder, ReleaseNoise, Schema, Table};
use hg_models::CriticConfig;
use serde::{Deserialize, Serialize};

/// From here on the noise of a step is called too much for anything to be learnt, …
const HOPELESS: f64 = 20.;
/// … and from here on for details.
const COARSE: f64 = 5.;

/// The promise of a private run: whoever sees everything that comes of it, but the real table and what is
/// compared with it, learns of one patient's whole sequence no more than (ε, δ) allow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacyPlan {
    /// ε of release and training together.
    pub epsilon: f64,
    /// δ.
    pub delta: f64,
    /// Patients that are trained on, N; the number is taken to be public.
    pub patients: usize,
    /// q: the probability of each to be in a batch, the batch size over N.
    pub sampling_rate: f64,
    /// Critic steps.
    pub steps: u64,
    /// Of the release, the standard deviation of the noise over the sensitivity.
    pub release_noise: f64,
    /// σ: of each critic step, the standard deviation of the noise over the clipping norm.
    pub gradient_noise: f64,
    /// C: the greatest norm of one patient's gradient.
    pub clip_norm: f64,
}

impl PrivacyConfig {
    /// Whether there is a guarantee.
    pub fn is_on(&self) -> bool {
        self.epsilon < f64::INFINITY
    }

    /// δ for so many patients.
    pub fn delta_for(&self, patients: usize) -> f64 {
        if self.delta > 0. { self.delta } else { 0.1 / patients.max(1) as f64 }
    }

    /// The noise of the release.
    fn release_noise(&self, patients: usize) -> Result<f64> {
        let share = self.release_share * self.epsilon;
        noise_multiplier(share, self.delta_for(patients), 1., 1, &PrivacyLoss::none())
    }
}

impl PrivacyPlan {
    /// The plan of a run on so many patients; `None` where the settings ask for no guarantee.
    ///
    /// # Errors
    /// [`Error::Config`] where no noise keeps the guarantee.
    pub fn of(config: &TrainConfig, patients: usize) -> Result<Option<Self>> {
        let privacy = &config.privacy;
        if !privacy.is_on() {
            return Ok(None);
        }
        let (epsilon, delta) = (privacy.epsilon, privacy.delta_for(patients));
        let batch = config.batching.batch_size.min(patients);
        let sampling_rate = batch as f64 / patients.max(1) as f64;
        let steps = config.iterations * config.optimiser.critic_steps as u64;
        let release_noise = privacy.release_noise(patients)?;
        let release = PrivacyLoss::none().and_gaussian(release_noise);
        let gradient_noise = noise_multiplier(epsilon, delta, sampling_rate, steps, &release)?;
        let clip_norm = privacy.clip_norm;
        Ok(Some(Self {
            epsilon,
            delta,
            patients,
            sampling_rate,
            steps,
            release_noise,
            gradient_noise,
            clip_norm,
        }))
    }

    /// The plan of a run that keeps a guarantee.
    pub(crate) fn required(config: &TrainConfig, patients: usize) -> Result<Self> {
        let none = || Error::Config("`privacy.epsilon` asks for no guarantee".into());
        Self::of(config, patients)?.ok_or_else(none)
    }

    /// The patients that a batch is expected to have.
    pub fn batch(&self) -> f64 {
        self.sampling_rate * self.patients as f64
    }

    /// What has been spent after so many critic steps.
    pub fn spent(&self) -> Spending {
        let release = PrivacyLoss::none().and_gaussian(self.release_noise);
        let none = PrivacyLoss::none();
        let step = none.and_sampled_gaussian(self.sampling_rate, self.gradient_noise, 1);
        Spending { release, step, delta: self.delta }
    }

    /// How much greater the noise of a critic step is than the greatest sum that it can stand beside: the
    /// norm of a noise of so many numbers over that of B patients' gradients that all agree.
    pub fn noise_to_signal(&self, parameters: usize) -> f64 {
        self.gradient_noise * (parameters as f64).sqrt() / self.batch()
    }

    /// What is to be expected, in a sentence for people.
    pub fn forecast(&self, critic: &CriticConfig) -> String {
        let ratio = self.noise_to_signal(critic.clipped_parameters());
        let Self { epsilon, delta, patients, .. } = self;
        let expect = match ratio {
            _ if ratio >= HOPELESS => {
                ": expect noise, and columns that know nothing of each other; more patients, a greater \
                 batch or a greater ε would help"
            }
            _ if ratio >= COARSE => ": expect columns to be right, and little that joins them",
            _ => "",
        };
        let digits = if ratio < 10. { 1 } else { 0 };
        format!(
            "with {patients} patients, ε = {epsilon} and δ = {delta:.1e} the noise is {ratio:.digits$} times the \
             signal{expect}"
        )
    }
}

/// The budget of a plan as it is spent.
#[derive(Clone, Debug)]
pub struct Spending {
    release: PrivacyLoss,
    step: PrivacyLoss,
    delta: f64,
}

impl Spending {
    /// ε after so many critic steps.
    pub fn epsilon_after(&self, steps: u64) -> f64 {
        self.release.clone().and(&self.step, steps).epsilon(self.delta)
    }
}

/// Fits an encoder to a table under the guarantee that the settings ask for, and encodes it.
///
/// # Errors
/// As [`Encoder::fit_private`], and where no noise keeps the guarantee.
pub fn fit_private(
    config: &TrainConfig,
    schema: &Schema,
    table: &Table,
) -> Result<(Encoder, Encoded)> {
    let mut rng = Key::new()?.stream(Purpose::Release, 0, 0);
    let mut draw = || normal(&mut rng);
    Encoder::fit_private(schema, table, config.training_subset(), |patients| {
        // Before anything is spent: whether the rest can be kept at all.
        let multiplier = PrivacyPlan::required(config, patients)?.release_noise;
        Ok::<_, Error>(ReleaseNoise { multiplier, draw: &mut draw })
    })
}

impl TrainConfig {
    /// Refuses a guarantee that is weaker than the one that a schema asks for.
    ///
    /// # Errors
    /// [`Error::Config`] with both.
    pub fn refuse_weaker_than(&self, schema: &Schema) -> Result<()> {
        let Some(asked) = schema.privacy else { return Ok(()) };
        let weaker = |name: &str, value: f64, asked: f64| {
            let problem = format!(
                "`privacy.{name}` is {value}, and the schema `{}` allows {asked} at most\nhint: lower it, \
                 or ask who wrote the schema",
                schema.name
            );
            Err(Error::Config(problem))
        };
        if self.privacy.epsilon.is_nan() || self.privacy.epsilon > asked.epsilon {
            return weaker("epsilon", self.privacy.epsilon, asked.epsilon);
        }
        match asked.delta {
            Some(delta) if self.privacy.delta > delta || self.privacy.delta == 0. => {
                weaker("delta", self.privacy.delta, delta)
            }
            _ => Ok(()),
        }
    }

    /// The settings under which a guarantee can be kept, each with the only value that it may have: what
    /// else they do looks at the private table.
    pub(crate) fn refuse_unprotected(&self) -> Result<()> {
        let PrivacyConfig { epsilon, delta, clip_norm, release_share } = self.privacy;
        let refuse = |name: &str, value: f64, range: &str| {
            Err(Error::Config(format!("`privacy.{name}` is {value}\nhint: it must be {range}")))
        };
        if epsilon.is_nan() || epsilon <= 0. {
            return refuse("epsilon", epsilon, "above 0; inf for no guarantee");
        }
        if !(0. ..1.).contains(&delta) {
            return refuse("delta", delta, "in [0, 1), 0 being 1 / (10 · patients)");
        }
        if !(clip_norm.is_finite() && clip_norm > 0.) {
            return refuse("clip_norm", clip_norm, "above 0");
        }
        if !(release_share > 0. && release_share < 1.) {
            return refuse("release_share", release_share, "between 0 and 1");
        }
        if !self.privacy.is_on() {
            return Ok(());
        }
        let only = [
            ("model.resampling", self.model.resampling, "false"),
            ("optimiser.correlation_weight", self.optimiser.correlation_weight != 0., "0"),
            ("batching.curriculum_epochs", self.batching.curriculum_epochs != 0, "0"),
            ("validation.every", self.validation.every != 0, "0"),
            ("validation.patience", self.validation.patience != 0, "0"),
            ("checkpoints.restarts", self.checkpoints.restarts != 0, "0"),
            ("device", self.device != crate::DeviceKind::Cpu, "cpu"),
        ];
        match only.iter().find(|(_, is_other, _)| *is_other) {
            Some((name, _, value)) => Err(Error::Config(format!(
                "`{name}` must be {value} where `privacy.epsilon` is finite: it looks at the private table \
                 beside the guarantee, or cannot keep it\nhint: leave it out, and it is"
            ))),
            None => Ok(()),
        }
    }
}
