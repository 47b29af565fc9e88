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

    #[test]
    fn a_clipped_gradient_moves_like_the_shorter_one() -> Result<()> {
        let config = AdamConfig { learning_rate: 0.1, beta1: 0.9, beta2: 0.99 };
        let layout = RowLayout::new(3, Vec::new());
        let moved = |length: f64, pace: StepScale| -> Result<Vec<Vec<f64>>> {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
            let layout = layout.clone();
            let config_of_critic = CriticConfig { layout, hidden: 4, compares: false };
            let critic = Critic::init(config_of_critic, &mut rng, DType::F64, &Device::Cpu)?;
            let gradients: Gradients = critic
                .parameters()
                .iter()
                .map(|(name, var)| Ok((name.to_owned(), (var.ones_like()? * length)?)))
                .collect::<Result<_>>()?;
            let mut adam = Adam::new(config, critic.parameters())?;
            for _ in 0..3 {
                adam.step(critic.parameters(), &gradients, pace)?;
            }
            let values = |var: &candle_core::Var| Ok(var.flatten_all()?.to_vec1::<f64>()?);
            critic.parameters().iter().map(|(_, var)| values(var)).collect()
        };
        let ours = moved(8., StepScale { rate: 0.5, shrink: 0.25 })?;
        let exact = moved(2., StepScale { rate: 0.5, shrink: 1. })?;
        let pairs = ours.iter().flatten().zip(exact.iter().flatten());
        assert!(pairs.clone().count() > 100);
        assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(moved(2., StepScale::default())? != exact);
        Ok(())
    }
}
