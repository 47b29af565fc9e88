//! Several ranks train the model that one process alone trains.

use anyhow::{Result, anyhow, ensure};
use hg_data::{Encoded, Encoder, Schema, Subset};
use hg_train::{
    Event, MemoryStore, Outcome, Ranks, Session, Settings, StepMetrics, Store, TrainConfig,
    ValidationScore,
};
use std::ops::ControlFlow;
use std::path::Path;

/// The shipped cohort, and settings for batches of 43: five micro-batches and a part of one.
struct Case {
    config: TrainConfig,
    encoder: Encoder,
    encoded: Encoded,
    /// Whether rank 0 judges by a score that gets worse and worse.
    is_judged: bool,
    /// The iteration after which the last rank asks to stop.
    stop: u64,
}

impl Case {
    fn new() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let schema = Schema::load(&root.join("data-schemas/pbc.toml"))?;
        let table = root.join("data/pbc/pbcseq.csv");
        let (encoder, encoded) = Encoder::fit_file(&schema, &table, Subset::Whole)?;
        let mut config = TrainConfig { iterations: 5, ..TrainConfig::default() };
        config.model.hidden = 12;
        config.batching.batch_size = 43;
        config.checkpoints.every = 2;
        Ok(Self { config, encoder, encoded, is_judged: false, stop: u64::MAX })
    }

    /// Trains on one rank; what it came to.
    fn train(&self, ranks: &Ranks, store: &mut MemoryStore) -> Result<Outcome> {
        let validator = |made: &Encoded, _: &Encoded| ValidationScore {
            score: made.values.iter().map(|&x| f64::from(x.abs())).sum(),
            diversity: 1.,
        };
        let mut session = Session::new(&self.config, &self.encoder, &self.encoded, store)?;
        if self.is_judged && ranks.is_first() {
            session = session.validated_by(&validator);
        }
        let mut session = session.shared_with(ranks.clone())?;
        // One rank alone is the first and the last.
        let stops = ranks.is_alone() || !ranks.is_first();
        Ok(session.run(&mut |event| match event {
            Event::Step(step) if stops && step.iteration == self.stop => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })?)
    }

    /// Trains on all ranks of a job, each with its store; how it ended, and rank 0's store.
    fn on_ranks(&self, count: usize, store: &MemoryStore) -> Result<(Outcome, MemoryStore)> {
        let ended: Vec<Result<(Outcome, MemoryStore)>> = std::thread::scope(|scope| {
            let running: Vec<_> = Ranks::threads(count)
                .into_iter()
                .map(|ranks| {
                    scope.spawn(move || {
                        // Only rank 0 has what was before.
                        let mut store =
                            if ranks.is_first() { store.clone() } else { MemoryStore::default() };
                        Ok((self.train(&ranks, &mut store)?, store))
                    })
                })
                .collect();
            let ended = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join();
            running
                .into_iter()
                .map(|t| ended(t).unwrap_or_else(|_| Err(anyhow!("panic"))))
                .collect()
        });
        let mut ended = ended.into_iter().collect::<Result<Vec<_>>>()?;
        for (outcome, store) in &ended[1..] {
            ensure!(*outcome == ended[0].0, "all ranks end alike");
            // Rank 0 remembers what was measured before, too.
            ensure!(steps(&ended[0].1)?.ends_with(&steps(store)?), "all ranks measure the same");
            ensure!(state(store)? == state(&ended[0].1)?, "all ranks have the same state");
        }
        Ok(ended.swap_remove(0))
    }
}

/// An iteration and its numbers by name, as bits.
type Measured = (u64, Vec<(String, u64)>);

/// What iterations measured.
fn steps(store: &MemoryStore) -> Result<Vec<Measured>> {
    let bits = |step: StepMetrics| {
        let of = |(name, x): &(std::borrow::Cow<'_, str>, f64)| (name.to_string(), x.to_bits());
        (step.iteration, step.scalars.iter().map(of).collect())
    };
    Ok(store.steps()?.into_iter().map(bits).collect())
}

/// Weights and Adam's moments, to the bit.
fn state(store: &MemoryStore) -> Result<Vec<Vec<u8>>> {
    let newest = store.newest()?.ok_or_else(|| anyhow!("no checkpoint"))?;
    Ok(newest.files().to_vec())
}

#[test]
fn any_number_of_ranks_trains_to_the_same_bits() -> Result<()> {
    let mut case = Case::new()?;
    case.config.validation.every = 2;
    case.is_judged = true;
    let (_, alone) = case.on_ranks(1, &MemoryStore::default())?;
    assert!(steps(&alone)?[3].1.iter().any(|(name, _)| name == "validation"));
    // Seven have more ranks than micro-batches.
    for count in [2, 3, 4, 7] {
        let (outcome, together) = case.on_ranks(count, &MemoryStore::default())?;
        assert_eq!(outcome, Outcome::Done);
        assert_eq!(steps(&together)?, steps(&alone)?, "{count} ranks");
        assert_eq!(state(&together)?, state(&alone)?, "{count} ranks");
        assert_eq!(
            together.best()?.map(|best| best.iteration()),
            alone.best()?.map(|b| b.iteration())
        );
    }
    Ok(())
}

#[test]
fn one_rank_that_is_asked_to_stop_stops_all_and_another_number_goes_on_to_the_same_bits()
-> Result<()> {
    let mut case = Case::new()?;
    let (_, whole) = case.on_ranks(1, &MemoryStore::default())?;
    case.stop = 3;
    let (outcome, stopped) = case.on_ranks(3, &MemoryStore::default())?;
    assert_eq!((outcome, steps(&stopped)?.len()), (Outcome::Cancelled, 3));
    case.stop = u64::MAX;
    for count in [1, 2, 4] {
        let (outcome, resumed) = case.on_ranks(count, &stopped)?;
        assert_eq!(outcome, Outcome::Done);
        assert_eq!(state(&resumed)?, state(&whole)?, "{count} ranks");
    }
    Ok(())
}

#[test]
fn all_ranks_stop_when_rank_0_sees_no_improvement() -> Result<()> {
    let mut case = Case::new()?;
    case.config.iterations = 40;
    case.config.validation.every = 1;
    case.config.validation.patience = 2;
    case.is_judged = true;
    let (alone, of_one) = case.on_ranks(1, &MemoryStore::default())?;
    assert_eq!(alone, Outcome::NoBetter);
    let (together, of_three) = case.on_ranks(3, &MemoryStore::default())?;
    assert_eq!(together, Outcome::NoBetter);
    assert_eq!(steps(&of_three)?, steps(&of_one)?);
    Ok(())
}

#[test]
fn all_ranks_go_back_together_when_training_diverges() -> Result<()> {
    let mut case = Case::new()?;
    case.config.iterations = 40;
    case.config.optimiser.learning_rate = 30.;
    case.config.checkpoints.every = 40;
    case.config.checkpoints.restarts = 1;
    let alone = case.on_ranks(1, &MemoryStore::default()).map(|_| ()).expect_err("diverges");
    let together = case.on_ranks(3, &MemoryStore::default()).map(|_| ()).expect_err("diverges");
    assert_eq!(together.to_string(), alone.to_string());
    assert!(alone.to_string().contains("the restarts are used up"), "{alone}");
    Ok(())
}

#[test]
fn a_guarantee_is_kept_by_a_process_alone() -> Result<()> {
    let mut case = Case::new()?;
    let mut settings = Settings::defaults()?;
    settings.set("privacy.epsilon", 3., "test")?;
    case.config = settings.resolve()?;
    let error = case.on_ranks(2, &MemoryStore::default()).map(|_| ()).expect_err("refused");
    assert!(error.to_string().contains("a guarantee is kept by a process alone"), "{error}");
    Ok(())
}
