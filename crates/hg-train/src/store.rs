//! Where a session keeps its checkpoints and what it measured: in a run folder, or in memory.

use crate::{Checkpoint, CheckpointSelection, Resampling, Result, StepMetrics};
use serde::{Deserialize, Serialize};

/// Where a [`crate::Session`] keeps what it needs to go on, and what it measured.
pub trait Store {
    /// Keeps a checkpoint as the newest.
    ///
    /// # Errors
    /// When it cannot be written.
    fn save(&mut self, checkpoint: Checkpoint) -> Result<()>;

    /// Keeps a checkpoint as the one with the best validation score.
    ///
    /// # Errors
    /// When it cannot be written.
    fn save_best(&mut self, checkpoint: Checkpoint) -> Result<()>;

    /// The newest checkpoint that is sound.
    ///
    /// # Errors
    /// When there are checkpoints, and all are damaged.
    fn newest(&self) -> Result<Option<Checkpoint>>;

    /// The checkpoint with the best validation score.
    ///
    /// # Errors
    /// When it cannot be read.
    fn best(&self) -> Result<Option<Checkpoint>>;

    /// Keeps what chooses among the patients of the generator that sampling takes.
    ///
    /// # Errors
    /// When it cannot be written.
    fn save_resampling(&mut self, resampling: Resampling) -> Result<()>;

    /// What chooses among patients, where that was learnt.
    ///
    /// # Errors
    /// When it cannot be read.
    fn resampling(&self) -> Result<Option<Resampling>>;

    /// Writes down what of a privacy budget may have been spent, before it is.
    ///
    /// # Errors
    /// When it cannot be written.
    fn charge(&mut self, spent: Spent) -> Result<()>;

    /// What of a privacy budget may have been spent; `None` where nothing was.
    ///
    /// # Errors
    /// When it cannot be read.
    fn charged(&self) -> Result<Option<Spent>>;

    /// Forgets what was measured after an iteration, and prepares to record more.
    ///
    /// # Errors
    /// When it cannot be written.
    fn record_from(&mut self, iteration: u64) -> Result<()>;

    /// Records what an iteration measured.
    ///
    /// # Errors
    /// When it cannot be written.
    fn record(&mut self, step: &StepMetrics) -> Result<()>;

    /// What was measured so far.
    ///
    /// # Errors
    /// When it cannot be read.
    fn steps(&self) -> Result<Vec<StepMetrics>>;

    /// The checkpoint that sampling takes: the best where that is asked for and there is one, else
    /// the newest.
    ///
    /// # Errors
    /// As [`Store::newest`] and [`Store::best`].
    fn selected(&self, selection: CheckpointSelection) -> Result<Option<Checkpoint>> {
        let best = match selection {
            CheckpointSelection::Best => self.best()?,
            CheckpointSelection::Last => None,
        };
        match best {
            Some(best) => Ok(Some(best)),
            None => self.newest(),
        }
    }
}

/// What of a privacy budget may have been spent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    /// Iterations that were done, or begun: those that a crash lost count too.
    pub iterations: u64,
    /// ε of these, and of what was released before.
    pub epsilon: f64,
    /// For this δ.
    pub delta: f64,
}

/// Keeps the newest checkpoint and the best one in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    newest: Option<Checkpoint>,
    best: Option<Checkpoint>,
    resampling: Option<Resampling>,
    spent: Option<Spent>,
    steps: Vec<StepMetrics>,
}

impl Store for MemoryStore {
    fn save(&mut self, checkpoint: Checkpoint) -> Result<()> {
        self.newest = Some(checkpoint);
        Ok(())
    }

    fn save_best(&mut self, checkpoint: Checkpoint) -> Result<()> {
        self.best = Some(checkpoint);
        Ok(())
    }

    fn newest(&self) -> Result<Option<Checkpoint>> {
        Ok(self.newest.clone())
    }

    fn best(&self) -> Result<Option<Checkpoint>> {
        Ok(self.best.clone())
    }

    fn save_resampling(&mut self, resampling: Resampling) -> Result<()> {
        self.resampling = Some(resampling);
        Ok(())
    }

    fn resampling(&self) -> Result<Option<Resampling>> {
        Ok(self.resampling.clone())
    }

    fn charge(&mut self, spent: Spent) -> Result<()> {
        self.spent = Some(spent);
        Ok(())
    }

    fn charged(&self) -> Result<Option<Spent>> {
        Ok(self.spent)
    }

    fn record_from(&mut self, iteration: u64) -> Result<()> {
        self.steps.retain(|step| step.iteration <= iteration);
        Ok(())
    }

    fn record(&mut self, step: &StepMetrics) -> Result<()> {
        self.steps.push(step.clone());
        Ok(())
    }

    fn steps(&self) -> Result<Vec<StepMetrics>> {
        Ok(self.steps.clone())
    }
}
