//! Adam (Kingma & Ba, 2015) over named variables, with moments that can be
//! saved. candle_nn's AdamW keeps its moments to itself.
//!
//! ```text
//! m ← β₁ m + (1 − β₁) g      v ← β₂ v + (1 − β₂) g²
//! θ ← θ − lr · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)
//! ```

use crate::{Error, Result};
use candle_core::Tensor;
use candle_core::backprop::GradStore;
use hg_models::Parameters;
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
    pub fn step(&mut self, parameters: &Parameters, grads: &GradStore) -> Result<()> {
        self.steps += 1;
        let AdamConfig { learning_rate, beta1, beta2 } = self.config;
        let correction = |beta: f64| 1. - beta.powf(self.steps as f64);
        let (correction1, correction2) = (correction(beta1), correction(beta2));
        for (name, var) in parameters.iter() {
            let missing = || Error::Config(format!("the loss does not depend on «{name}»"));
            let grad = grads.get(var).ok_or_else(missing)?.detach();
            let [m, v] = self.moments.get_mut(name).ok_or_else(missing)?;
            *m = ((m.affine(beta1, 0.))? + grad.affine(1. - beta1, 0.)?)?;
            *v = ((v.affine(beta2, 0.))? + grad.sqr()?.affine(1. - beta2, 0.)?)?;
            let scale = v.affine(1. / correction2, 0.)?.sqrt()?.affine(1., EPSILON)?;
            let change = (m.affine(learning_rate / correction1, 0.)? / scale)?;
            var.set(&(var.as_tensor().detach() - change)?)?;
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
                    .clone();
            }
        }
        self.steps = steps;
        Ok(())
    }
}
