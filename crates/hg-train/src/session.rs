//! One training session: iterations, validation, checkpoints, and restarts where it diverges.

use crate::privacy::Budget;
use crate::resampling::Resampling;
use crate::store::Store;
use crate::validation::ValidationScore;
use crate::{Checkpoint, Error, Result, StepMetrics, TrainConfig, Trainer};
use hg_data::{Encoded, Encoder};
use hg_models::Ranks;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Synthetic patients that a validation compares.
const VALIDATION_PATIENTS: usize = 512;

/// What happens in training.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Training begins, or goes on.
    Begun {
        /// Iterations that are done already.
        done: u64,
        /// Iterations in all.
        iterations: u64,
    },
    /// An iteration was done.
    Step(StepMetrics),
    /// Training has ended; which of the generator's patients are taken is being learnt.
    Choosing,
    /// Training had diverged and went back.
    Restarted {
        /// The iteration at which it had.
        diverged_at: u64,
        /// What had gone wrong.
        problem: String,
        /// The iteration it goes on from.
        from: u64,
        /// The learning rate it goes on with.
        rate: f64,
    },
}

/// How training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All iterations are done.
    Done,
    /// The validation score did not improve for as long as the settings allow.
    NoBetter,
    /// It was cancelled, with a checkpoint; it can go on.
    Cancelled,
}

/// Asks a session to stop after its iteration, from any thread. Clones ask the same session.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Asks the session to stop. Whether that was asked before.
    pub fn cancel(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Says how good a synthetic cohort is, from the generator's own rows, which alone show how diverse
/// it is, and from these as they will be sampled.
pub type Validator<'a> = dyn Fn(&Encoded, &Encoded) -> ValidationScore + 'a;

/// One training session on an encoded cohort, which keeps its checkpoints in a [`Store`].
///
/// ```
/// use hg_train::{MemoryStore, Outcome, Session, Store, TrainConfig};
/// use std::ops::ControlFlow;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))?;
/// let schema = hg_data::Schema::load("data-schemas/pbc.toml".as_ref())?;
/// let table = "data/pbc/pbcseq.csv".as_ref();
/// let (encoder, encoded) = hg_data::Encoder::fit_file(&schema, table, hg_data::Subset::Whole)?;
/// let mut config = TrainConfig { iterations: 3, ..Default::default() };
/// config.model.hidden = 16;
/// let mut store = MemoryStore::default();
/// let mut session = Session::new(&config, &encoder, &encoded, &mut store)?;
/// let outcome = session.run(&mut |event| {
///     println!("{event:?}");
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(outcome, Outcome::Done);
/// assert_eq!(store.steps()?.len(), 3);
/// assert!(store.newest()?.is_some(), "it can be sampled from, or trained further");
/// # Ok(()) }
/// ```
pub struct Session<'a> {
    config: &'a TrainConfig,
    trainer: Trainer,
    encoder: &'a Encoder,
    encoded: &'a Encoded,
    store: &'a mut dyn Store,
    validator: Option<&'a Validator<'a>>,
    /// Of a run that keeps a guarantee.
    budget: Option<Budget>,
    /// Those that train the same model; by default this process alone.
    ranks: Ranks,
}

impl<'a> Session<'a> {
    /// A session at the store's newest checkpoint, or at the beginning where there is none.
    ///
    /// # Errors
    /// For a setting out of its range, and a damaged checkpoint.
    pub fn new(
        config: &'a TrainConfig,
        encoder: &'a Encoder,
        encoded: &'a Encoded,
        store: &'a mut dyn Store,
    ) -> Result<Self> {
        let mut trainer = Trainer::of(config, encoder, encoded)?;
        if let Some(newest) = store.newest()? {
            newest.restore(&mut trainer)?;
        }
        let critic_steps = config.optimiser.critic_steps as u64;
        let done = (trainer.iteration(), &*store);
        let plan = trainer.private.as_ref().map(|private| &private.plan);
        let budget = plan.map(|plan| Budget::of(plan, critic_steps, done)).transpose()?;
        let (validator, ranks) = (None, Ranks::default());
        Ok(Self { config, trainer, encoder, encoded, store, validator, budget, ranks })
    }

    /// Shares the work with other ranks, each of which makes this session with the same settings, encoder
    /// and patients, in the same order of calls. All go on from rank 0's checkpoint, by rank 0's validator,
    /// and rank 0 alone learns which patients sampling takes; a [`crate::MemoryStore`] does for the others.
    /// The model is that of a process alone, to the bit.
    ///
    /// # Errors
    /// For a guarantee or a GPU, which several ranks cannot have, and when a rank is gone.
    pub fn shared_with(mut self, ranks: Ranks) -> Result<Self> {
        self.trainer.share_with(&ranks)?;
        if !ranks.is_alone() {
            let here = ranks.is_first().then(|| Checkpoint::of(&self.trainer)).transpose()?;
            let first = Checkpoint::broadcast(here, &ranks)?;
            if !ranks.is_first() {
                first.restore(&mut self.trainer)?;
                self.store.save(first)?;
            }
        }
        self.ranks = ranks;
        Ok(self)
    }

    /// Validates as the settings say, by this score; without a validator nothing is validated.
    #[must_use]
    pub fn validated_by(mut self, validator: &'a Validator<'a>) -> Self {
        self.validator = Some(validator);
        self
    }

    /// Iterations done.
    pub fn iteration(&self) -> u64 {
        self.trainer.iteration()
    }

    /// Trains up to the settings' iterations, or until validation gets no better, and learns then which
    /// patients sampling takes; `observe` sees every event and may stop it.
    ///
    /// # Errors
    /// When training diverges and may not restart, or the store cannot be written.
    pub fn run(&mut self, observe: &mut dyn FnMut(&Event) -> ControlFlow<()>) -> Result<Outcome> {
        let checkpoints = &self.config.checkpoints;
        let iterations = self.last_iteration();
        self.store.record_from(self.trainer.iteration())?;
        if checkpoints.restarts > 0 && self.trainer.iteration() == 0 {
            self.store.save(Checkpoint::of(&self.trainer)?)?;
        }

        let begun = Event::Begun { done: self.trainer.iteration(), iterations };
        let mut goes_on = self.agree(observe(&begun))?;
        while goes_on && self.trainer.iteration() < iterations && !self.gives_up() {
            self.charge_ahead()?;
            let step = match self.advance() {
                Err(Error::Diverged { iteration, problem }) => {
                    let restarted = self.go_back(iteration, problem)?;
                    self.store.record_from(self.trainer.iteration())?;
                    goes_on = self.agree(observe(&restarted))?;
                    continue;
                }
                step => step?,
            };
            self.store.record(&step)?;
            let done = step.iteration;
            goes_on = self.agree(observe(&Event::Step(step)))?;
            let is_last = !goes_on || done == iterations || self.gives_up();
            if is_last || done.is_multiple_of(checkpoints.every) {
                self.store.save(Checkpoint::of(&self.trainer)?)?;
                self.charge(done)?;
            }
        }

        let outcome = if self.trainer.iteration() >= iterations {
            Outcome::Done
        } else if self.gives_up() {
            Outcome::NoBetter
        } else {
            return Ok(Outcome::Cancelled);
        };
        if self.config.model.resampling && self.ranks.is_first() {
            // It takes seconds, and is learnt anew where it is interrupted.
            let _ = observe(&Event::Choosing);
            Resampling::learn(self.config, self.encoder, self.encoded, self.store)?;
        }
        Ok(outcome)
    }

    /// Whether all ranks go on.
    fn agree(&self, here: ControlFlow<()>) -> Result<bool> {
        Ok(!self.ranks.any(here.is_break())?)
    }

    /// The iteration that is the last: that of the settings, less those that a crash lost after their
    /// budget was spent.
    fn last_iteration(&self) -> u64 {
        let lost = self.budget.as_ref().map_or(0, |budget| budget.lost);
        self.config.iterations.saturating_sub(lost)
    }

    /// Before the first iteration after a checkpoint: charges for all up to the next one.
    fn charge_ahead(&mut self) -> Result<()> {
        let (done, every) = (self.trainer.iteration(), self.config.checkpoints.every);
        match self.budget.as_ref().is_some_and(|budget| !budget.covers(done)) {
            true => self.charge(((done / every + 1) * every).min(self.last_iteration())),
            false => Ok(()),
        }
    }

    /// Writes down what is spent up to this iteration.
    fn charge(&mut self, iteration: u64) -> Result<()> {
        match &mut self.budget {
            Some(budget) => self.store.charge(budget.charge(iteration)),
            None => Ok(()),
        }
    }

    /// Whether validation has not improved for as long as is allowed.
    fn gives_up(&self) -> bool {
        let patience = self.config.validation.patience;
        patience > 0 && self.trainer.validation.since_best >= patience
    }

    /// An iteration, and its validation where that is due.
    fn advance(&mut self) -> Result<StepMetrics> {
        let (iterations, every) = (self.config.iterations, self.config.validation.every);
        let mut step = self.trainer.step()?;
        if let Some(budget) = &self.budget {
            step.scalars.push(("epsilon".into(), budget.epsilon_after(step.iteration)));
        }
        let is_due =
            every > 0 && (step.iteration.is_multiple_of(every) || step.iteration == iterations);
        if is_due && let Some(score) = self.validate()? {
            step.scalars.push(("validation".into(), score.score));
            if self.trainer.validation.judge(step.iteration, score)? {
                self.store.save_best(Checkpoint::of(&self.trainer)?)?;
            }
        }
        Ok(step)
    }

    /// What rank 0's validator says of the generator as it is; `None` where it has none.
    fn validate(&self) -> Result<Option<ValidationScore>> {
        let mut said = Vec::new();
        if let Some(validator) = self.validator.filter(|_| self.ranks.is_first()) {
            let made =
                self.trainer.validation_cohort(&self.encoder.lengths, VALIDATION_PATIENTS)?;
            let ValidationScore { score, diversity } = if self.config.model.calibration {
                let mut sampled = made.clone();
                self.encoder.calibration(&made).apply(&mut sampled);
                validator(&made, &sampled)
            } else {
                validator(&made, &made)
            };
            said = [score, diversity].into_iter().flat_map(f64::to_le_bytes).collect();
        }
        let said = self.ranks.broadcast(&said)?;
        let numbers: Vec<f64> =
            said.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
        Ok(match numbers[..] {
            [score, diversity] => Some(ValidationScore { score, diversity }),
            _ => None,
        })
    }

    /// Goes back to the newest checkpoint, and on with half the learning rate.
    fn go_back(&mut self, iteration: u64, problem: String) -> Result<Event> {
        let allowed = self.config.checkpoints.restarts;
        let restarts = self.trainer.validation.restarts + 1;
        let newest = self.store.newest()?;
        let Some(newest) = newest.filter(|_| restarts <= allowed) else {
            let kept = "what was saved before is kept, and can be sampled from";
            let hint = match allowed {
                0 => {
                    "lower `optimiser.learning_rate`, or set `checkpoints.restarts = 3` to go back \
                     and on with half of it"
                }
                _ => "lower `optimiser.learning_rate`; the restarts are used up",
            };
            let problem = format!("{problem}; {kept}\nhint: {hint}");
            return Err(Error::Diverged { iteration, problem });
        };
        newest.restore(&mut self.trainer)?;
        self.trainer.validation.restarts = restarts;
        Ok(Event::Restarted {
            diverged_at: iteration,
            problem,
            from: self.trainer.iteration(),
            rate: self.trainer.validation.rate() * self.config.optimiser.learning_rate,
        })
    }
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("iteration", &self.iteration()).finish_non_exhaustive()
    }
}
