//! Adam (Kingma & Ba, 2015) over named variables, with moments that can be
//! saved. candle_nn's AdamW keeps its moments to itself.
//!
//! ```text
//! m ← β₁ m + (1 − β₁) g      v ← β₂ v + (1 − β₂) g²
//! θ ← θ − lr · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)
//! ```
//!
//! Clipping puts min(1, c/‖g‖) g for g, ‖g‖ being the norm over all variables.

use crate::in_place::{Ema, Move, sum_of_squares};
use crate::{Error, Result};
use candle_core::{Tensor, Var};
use hg_models::{Gradients, Parameters};
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};

const EPSILON: f64 = 1e-8;

/// Adam's settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// lr
    pub learning_rate: f64,
    /// β₁
    pub beta1: f64,
    /// β₂
    pub beta2: f64,
}

/// What may change from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepScale {
    /// The share of the learning rate that is taken.
    pub rate: f64,
    /// What the gradient is multiplied by: min(1, c/‖g‖) where it is clipped.
    pub shrink: f64,
}

impl Default for StepScale {
    fn default() -> Self {
        Self { rate: 1., shrink: 1. }
    }
}

/// Adam's state for the variables of one network.
#[derive(Debug)]
pub struct Adam {
    config: AdamConfig,
    steps: u64,
    moments: BTreeMap<String, [Var; 2]>,
}

impl Adam {
    /// Zero moments for every variable.
    ///
    /// # Errors
    /// Only what candle reports.
    pub fn new(config: AdamConfig, parameters: &Parameters) -> Result<Self> {
        let moments = parameters.iter().map(|(name, var)| {
            let zeros = || Var::zeros(var.shape(), var.dtype(), var.device());
            Ok((name.to_owned(), [zeros()?, zeros()?]))
        });
        Ok(Self { config, steps: 0, moments: moments.collect::<Result<_>>()? })
    }

    /// Moves every variable one step against its gradient.
    ///
    /// # Errors
    /// When a variable has no gradient: the loss does not depend on it.
    pub fn step(
        &mut self,
        parameters: &Parameters,
        gradients: &Gradients,
        StepScale { rate, shrink }: StepScale,
    ) -> Result<()> {
        self.steps += 1;
        let AdamConfig { learning_rate, beta1, beta2 } = self.config;
        let correction = |beta: f64| 1. - beta.powf(self.steps as f64);
        let change = Move {
            rate: rate * learning_rate / correction(beta1),
            second: 1. / correction(beta2),
            epsilon: EPSILON,
        };
        let first = Ema { keep: beta1, add: (1. - beta1) * shrink, square: false };
        let second = Ema { keep: beta2, add: (1. - beta2) * shrink * shrink, square: true };
        let all: Vec<_> = parameters.iter().collect();
        all.into_par_iter().try_for_each(|(name, var)| {
            let missing = || Error::Config(format!("the loss does not depend on `{name}`"));
            let gradient = gradients.get(name).ok_or_else(missing)?;
            let [m, v] = self.moments.get(name).ok_or_else(missing)?;
            first.apply(m, gradient)?;
            second.apply(v, gradient)?;
            change.apply(var, m, v)?;
            Ok(())
        })
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Its moments by name, each with `prefix`.
    pub(crate) fn export(&self, prefix: &str, into: &mut HashMap<String, Tensor>) {
        for (name, [m, v]) in &self.moments {
            into.insert(format!("{prefix}.m.{name}"), m.as_tensor().clone());
            into.insert(format!("{prefix}.v.{name}"), v.as_tensor().clone());
        }
    }

    /// Takes back what [`Adam::export`] gave.
    pub(crate) fn import(
        &mut self,
        prefix: &str,
        steps: u64,
        from: &HashMap<String, Tensor>,
    ) -> Result<()> {
        for (name, moments) in &self.moments {
            for (moment, kind) in moments.iter().zip(["m", "v"]) {
                let key = format!("{prefix}.{kind}.{name}");
                let saved = from.get(&key).filter(|saved| saved.dims() == moment.dims());
                let missing = || Error::Config(format!("the checkpoint has no fitting `{key}`"));
                moment.set(&saved.ok_or_else(missing)?.to_device(moment.device())?)?;
            }
        }
        self.steps = steps;
        Ok(())
    }
}

/// ‖g‖ over all variables: a scalar in f64, on their device.
pub(crate) fn norm(gradients: &Gradients) -> Result<Tensor> {
    let all: Vec<&Tensor> = gradients.values().collect();
    let all: Vec<Tensor> =
        all.into_par_iter().map(sum_of_squares).collect::<candle_core::Result<_>>()?;
    let mut squares: Option<Tensor> = None;
    for square in all {
        squares = Some(match squares {
            Some(squares) => (squares + square)?,
            None => square,
        });
    }
    let none = || Error::Config("a network without variables has no gradient".into());
    Ok(squares.ok_or_else(none)?.sqrt()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use hg_models::{Critic, CriticConfig, RowLayout};
    use rand::SeedableRng;

    const CONFIG: AdamConfig = AdamConfig { learning_rate: 0.1, beta1: 0.9, beta2: 0.99 };

    fn critic(dtype: DType) -> Result<Critic> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let layout = RowLayout::new(3, Vec::new());
        let config = CriticConfig { layout, hidden: 4, compares: false };
        Ok(Critic::init(config, &mut rng, dtype, &Device::Cpu)?)
    }

    /// The same gradient for every weight.
    fn all(parameters: &Parameters, gradient: f64) -> Result<Gradients> {
        let of = |var: &Var| var.ones_like()? * gradient;
        parameters.iter().map(|(name, var)| Ok((name.to_owned(), of(var)?))).collect()
    }

    fn values(parameters: &Parameters) -> Result<Vec<f64>> {
        let values = |var: &Var| -> Result<_> {
            Ok(var.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?)
        };
        Ok(parameters.iter().map(|(_, var)| values(var)).collect::<Result<Vec<_>>>()?.concat())
    }

    #[test]
    fn steps_are_those_of_the_formula() -> Result<()> {
        let AdamConfig { learning_rate, beta1, beta2 } = CONFIG;
        let pace = StepScale { rate: 0.5, shrink: 0.25 };
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            let critic = critic(dtype)?;
            let parameters = critic.parameters();
            let before = values(parameters)?;
            assert!(before.len() > 100);
            let mut adam = Adam::new(CONFIG, parameters)?;
            let (mut m, mut v, mut moved) = (0., 0., 0.);
            for (t, gradient) in (1..).zip([3., -1., 0.5, 20.]) {
                adam.step(parameters, &all(parameters, gradient)?, pace)?;
                let g = pace.shrink * gradient;
                m = beta1 * m + (1. - beta1) * g;
                v = beta2 * v + (1. - beta2) * g * g;
                let (mean, square) = (m / (1. - beta1.powi(t)), v / (1. - beta2.powi(t)));
                moved -= pace.rate * learning_rate * mean / (square.sqrt() + 1e-8);
                let now = values(parameters)?;
                let mut off = before.iter().zip(&now).map(|(a, b)| (b - a - moved).abs());
                assert!(off.all(|off| off < tolerance), "{dtype:?}, step {t}");
            }
            assert_eq!(adam.steps(), 4);
        }
        Ok(())
    }

    #[test]
    fn a_gradient_of_1e_minus_8_moves_half_as_far() -> Result<()> {
        let critic = critic(DType::F64)?;
        let before = values(critic.parameters())?;
        let gradients = all(critic.parameters(), EPSILON)?;
        Adam::new(CONFIG, critic.parameters())?.step(
            critic.parameters(),
            &gradients,
            StepScale::default(),
        )?;
        let now = values(critic.parameters())?;
        let half = 0.5 * CONFIG.learning_rate;
        assert!(before.iter().zip(&now).all(|(a, b)| (a - b - half).abs() < 1e-9));
        Ok(())
    }

    #[test]
    fn a_clipped_gradient_moves_like_the_shorter_one() -> Result<()> {
        let moved = |length: f64, pace: StepScale| -> Result<Vec<f64>> {
            let critic = critic(DType::F64)?;
            let gradients = all(critic.parameters(), length)?;
            let mut adam = Adam::new(CONFIG, critic.parameters())?;
            for _ in 0..3 {
                adam.step(critic.parameters(), &gradients, pace)?;
            }
            values(critic.parameters())
        };
        let ours = moved(8., StepScale { rate: 0.5, shrink: 0.25 })?;
        let exact = moved(2., StepScale { rate: 0.5, shrink: 1. })?;
        assert!(ours.iter().zip(&exact).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(moved(2., StepScale::default())? != exact);
        Ok(())
    }

    #[test]
    fn a_variable_without_a_gradient_is_named() -> Result<()> {
        let critic = critic(DType::F64)?;
        let mut gradients = all(critic.parameters(), 1.)?;
        gradients.remove("linear1.weight").expect("a weight of the critic");
        let mut adam = Adam::new(CONFIG, critic.parameters())?;
        let error =
            adam.step(critic.parameters(), &gradients, StepScale::default()).expect_err("refused");
        assert_eq!(error.to_string(), "the loss does not depend on `linear1.weight`");
        Ok(())
    }

    #[test]
    fn with_its_moments_taken_back_adam_goes_on_to_the_same_bits() -> Result<()> {
        let (critic, resumed) = (critic(DType::F64)?, critic(DType::F64)?);
        let mut adam = Adam::new(CONFIG, critic.parameters())?;
        for gradient in [3., -1.] {
            let gradients = all(critic.parameters(), gradient)?;
            adam.step(critic.parameters(), &gradients, StepScale::default())?;
        }
        let mut saved = HashMap::new();
        adam.export("critic", &mut saved);
        assert_eq!(saved.len(), 2 * critic.parameters().iter().count());
        for (name, var) in critic.parameters().iter() {
            resumed.parameters().get(name)?.set(&var.copy()?)?;
        }
        // A step of the first changes nothing of what is taken back.
        for moment in saved.values_mut() {
            *moment = moment.copy()?;
        }
        let gradients = all(critic.parameters(), 0.5)?;
        adam.step(critic.parameters(), &gradients, StepScale::default())?;

        let mut taken_back = Adam::new(CONFIG, resumed.parameters())?;
        taken_back.import("critic", 2, &saved)?;
        taken_back.step(resumed.parameters(), &gradients, StepScale::default())?;

        assert_eq!(taken_back.steps(), 3);
        assert_eq!(values(resumed.parameters())?, values(critic.parameters())?);
        Ok(())
    }

    #[test]
    fn moments_of_another_network_are_refused() -> Result<()> {
        let critic = critic(DType::F64)?;
        let mut adam = Adam::new(CONFIG, critic.parameters())?;
        let mut saved = HashMap::new();
        Adam::new(CONFIG, critic.parameters())?.export("critic", &mut saved);
        let key = "critic.v.linear1.weight".to_owned();
        let fitting = saved.insert(key.clone(), Tensor::zeros(2, DType::F64, &Device::Cpu)?);
        assert!(fitting.is_some());
        let problem = format!("the checkpoint has no fitting `{key}`");
        assert_eq!(adam.import("critic", 2, &saved).expect_err("refused").to_string(), problem);
        saved.remove(&key);
        assert_eq!(adam.import("critic", 2, &saved).expect_err("refused").to_string(), problem);
        assert_eq!(adam.steps(), 0);
        Ok(())
    }

    #[test]
    fn the_norm_goes_over_all_variables() -> Result<()> {
        let named = |(name, values): (&str, &[f64])| -> Result<_> {
            Ok((name.to_owned(), Tensor::new(values, &Device::Cpu)?))
        };
        let parts: [(&str, &[f64]); 3] = [("a", &[3., 0.]), ("b", &[-4.]), ("c", &[0., 12., 0.])];
        let gradients = parts.into_iter().map(named).collect::<Result<Gradients>>()?;
        assert_eq!(norm(&gradients)?.to_scalar::<f64>()?, 13.);
        assert!(norm(&Gradients::new()).is_err());
        Ok(())
    }
}
