//! Adam (Kingma & Ba, 2015) over named variables, with moments that can be
//! saved. candle_nn's AdamW keeps its moments to itself.
//!
//! ```text
//! m ← β₁ m + (1 − β₁) g      v ← β₂ v + (1 − β₂) g²
//! θ ← θ − lr · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)
//! ```

use crate::in_place::{Blend, Move};
use crate::{Error, Result};
use candle_core::Tensor;
use hg_models::{Gradients, Parameters};
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

/// Adam's state for the variables of one network.
#[derive(Debug)]
pub struct Adam {
    config: AdamConfig,
    steps: u64,
    moments: BTreeMap<String, [Tensor; 2]>,
}

impl Adam {
    /// Zero moments for every variable.
    ///
    /// # Errors
    /// Only what candle reports.
    pub fn new(config: AdamConfig, parameters: &Parameters) -> Result<Self> {
        let moments = parameters.iter().map(|(name, var)| {
            Ok((name.to_owned(), [var.zeros_like()?.detach(), var.zeros_like()?.detach()]))
        });
        Ok(Self { config, steps: 0, moments: moments.collect::<Result<_>>()? })
    }

    /// Moves every variable one step against its gradient.
    ///
    /// # Errors
    /// When a variable has no gradient: the loss does not depend on it.
    pub fn step(&mut self, parameters: &Parameters, gradients: &Gradients) -> Result<()> {
        self.steps += 1;
        let AdamConfig { learning_rate, beta1, beta2 } = self.config;
        let correction = |beta: f64| 1. - beta.powf(self.steps as f64);
        let change = Move {
            rate: learning_rate / correction(beta1),
            second: 1. / correction(beta2),
            epsilon: EPSILON,
        };
        let first = Blend { keep: beta1, add: 1. - beta1, square: false };
        let second = Blend { keep: beta2, add: 1. - beta2, square: true };
        for (name, var) in parameters.iter() {
            let missing = || Error::Config(format!("the loss does not depend on «{name}»"));
            let gradient = gradients.get(name).ok_or_else(missing)?;
            let [m, v] = self.moments.get(name).ok_or_else(missing)?;
            m.inplace_op2(gradient, &first)?;
            v.inplace_op2(gradient, &second)?;
            var.as_tensor().inplace_op3(m, v, &change)?;
        }
        Ok(())
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Its moments by name, each with `prefix`.
    pub(crate) fn export(&self, prefix: &str, into: &mut HashMap<String, Tensor>) {
        for (name, [m, v]) in &self.moments {
            into.insert(format!("{prefix}.m.{name}"), m.clone());
            into.insert(format!("{prefix}.v.{name}"), v.clone());
        }
    }

    /// Takes back what [`Adam::export`] gave.
    pub(crate) fn import(
        &mut self,
        prefix: &str,
        steps: u64,
        from: &HashMap<String, Tensor>,
    ) -> Result<()> {
        for (name, moments) in &mut self.moments {
            for (moment, kind) in moments.iter_mut().zip(["m", "v"]) {
                let key = format!("{prefix}.{kind}.{name}");
                let saved = from.get(&key).filter(|saved| saved.dims() == moment.dims());
                *moment = saved
                    .ok_or_else(|| Error::Config(format!("the checkpoint has no fitting «{key}»")))?
                    .copy()?;
            }
        }
        self.steps = steps;
        Ok(())
    }
}
