//! A private run spends what it says, whatever becomes of it.

use anyhow::{Result, ensure};
use hg_data::simulate::Simulation;
use hg_data::{Encoded, Encoder, Schema, Table};
use hg_train::{
    Checkpoint, Error, MemoryStore, Outcome, PrivacyPlan, Resampling, Session, Settings, Spent,
    StepMetrics, Store, TrainConfig, Trainer, fit_private, layout_of,
};
use std::ops::ControlFlow;

const SCHEMA: &str = r#"
    name = "art-for-hiv"
    sequence = { max_length = 60 }
    [patient]
    column = "PatientID"
    [time]
    column = "Timestep"
    step = 1.0
    [[columns]]
    name = "VL"
    kind = "numeric"
    transform = "log1p"
    range = [0.0, 1e8]
    [[columns]]
    name = "CD4"
    kind = "numeric"
    range = [0.0, 10000.0]
    [[columns]]
    name = "Gender"
    kind = "binary"
    levels = [1, 2]
    static = true
"#;

/// A small cohort and settings for it, with checkpoints after every fourth iteration.
struct Case {
    schema: Schema,
    table: Table,
    config: TrainConfig,
}

impl Case {
    fn new() -> Result<Self> {
        let schema = Schema::parse(SCHEMA, "hiv.toml".as_ref())?;
        let simulation = Simulation::shipped()?;
        let part = simulation.cohort(60, 1).next().expect("a part")?;
        let table: Table = part.into();
        let mut settings = Settings::defaults()?;
        for (name, value) in [("iterations", 10), ("model.hidden", 8), ("batching.batch_size", 12)]
        {
            settings.set(name, value, "test")?;
        }
        settings.set("checkpoints.every", 4, "test")?;
        settings.set("privacy.epsilon", 2.5, "test")?;
        Ok(Self { schema, table, config: settings.resolve()? })
    }

    fn fit(&self) -> Result<(Encoder, Encoded)> {
        Ok(fit_private(&self.config, &self.schema, &self.table)?)
    }
}

/// Runs a session until `stop` says so; the iterations that it measured.
fn run(
    case: &Case,
    (encoder, encoded): (&Encoder, &Encoded),
    store: &mut dyn Store,
    stop: u64,
) -> Result<(Outcome, Vec<StepMetrics>), Error> {
    let mut steps = Vec::new();
    let mut session = Session::new(&case.config, encoder, encoded, store)?;
    let outcome = session.run(&mut |event| {
        if let hg_train::Event::Step(step) = event {
            steps.push(step.clone());
            if step.iteration == stop {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok((outcome, steps))
}

/// A store whose disk is full when the `n`-th checkpoint is to be written.
struct Failing(MemoryStore, u32);

impl Store for Failing {
    fn save(&mut self, checkpoint: Checkpoint) -> Result<(), Error> {
        self.1 -= 1;
        match self.1 {
            0 => Err(Error::Config("no space left".into())),
            _ => self.0.save(checkpoint),
        }
    }

    fn save_best(&mut self, checkpoint: Checkpoint) -> Result<(), Error> {
        self.0.save_best(checkpoint)
    }

    fn newest(&self) -> Result<Option<Checkpoint>, Error> {
        self.0.newest()
    }

    fn best(&self) -> Result<Option<Checkpoint>, Error> {
        self.0.best()
    }

    fn save_resampling(&mut self, resampling: Resampling) -> Result<(), Error> {
        self.0.save_resampling(resampling)
    }

    fn resampling(&self) -> Result<Option<Resampling>, Error> {
        self.0.resampling()
    }

    fn charge(&mut self, spent: Spent) -> Result<(), Error> {
        self.0.charge(spent)
    }

    fn charged(&self) -> Result<Option<Spent>, Error> {
        self.0.charged()
    }

    fn record_from(&mut self, iteration: u64) -> Result<(), Error> {
        self.0.record_from(iteration)
    }

    fn record(&mut self, step: &StepMetrics) -> Result<(), Error> {
        self.0.record(step)
    }

    fn steps(&self) -> Result<Vec<StepMetrics>, Error> {
        self.0.steps()
    }
}

#[test]
fn a_run_that_is_stopped_and_resumed_spends_its_budget_once() -> Result<()> {
    let case = Case::new()?;
    let (encoder, encoded) = case.fit()?;
    let mut store = MemoryStore::default();
    let (outcome, steps) = run(&case, (&encoder, &encoded), &mut store, 6)?;
    ensure!(outcome == Outcome::Cancelled && steps.len() == 6);
    let after = store.charged()?.expect("spent");
    ensure!(after.iterations == 6, "what was charged ahead is given back: {after:?}");
    let (outcome, rest) = run(&case, (&encoder, &encoded), &mut store, 99)?;
    ensure!(outcome == Outcome::Done && rest.len() == 4);
    let spent = store.charged()?.expect("spent");
    ensure!(spent.iterations == 10);
    ensure!(spent.epsilon > after.epsilon && spent.epsilon <= 2.5, "{spent:?}");
    // All of it is used, but for the digits of the noise.
    ensure!(spent.epsilon > 2.49, "{spent:?}");
    Ok(())
}

/// Noise was drawn, and what it hid may have been seen, when writing the checkpoint fails.
#[test]
fn iterations_that_a_crash_loses_are_paid_for_and_not_computed_again() -> Result<()> {
    let case = Case::new()?;
    let (encoder, encoded) = case.fit()?;
    let mut store = Failing(MemoryStore::default(), 2);
    let crash = run(&case, (&encoder, &encoded), &mut store, 99);
    ensure!(crash.is_err_and(|e| e.to_string().contains("no space left")));
    ensure!(store.charged()?.expect("spent").iterations == 8);
    ensure!(store.newest()?.expect("a checkpoint").iteration() == 4);
    let Failing(mut store, _) = store;
    let (outcome, rest) = run(&case, (&encoder, &encoded), &mut store, 99)?;
    ensure!(outcome == Outcome::Done && rest.len() == 2, "4 of 10 were lost: {}", rest.len());
    let spent = store.charged()?.expect("spent");
    ensure!(spent.iterations == 10 && spent.epsilon <= 2.5, "{spent:?}");
    Ok(())
}

#[test]
fn a_run_whose_ledger_is_gone_does_not_go_on() -> Result<()> {
    let case = Case::new()?;
    let (encoder, encoded) = case.fit()?;
    let mut store = MemoryStore::default();
    run(&case, (&encoder, &encoded), &mut store, 6)?;
    let mut robbed = MemoryStore::default();
    robbed.save(store.newest()?.expect("a checkpoint"))?;
    let refused = run(&case, (&encoder, &encoded), &mut robbed, 99);
    ensure!(refused.is_err_and(|e| e.to_string().contains("privacy.json")));
    Ok(())
}

/// Losses of the critic are computed from real patients without noise.
#[test]
fn nothing_unprotected_is_measured() -> Result<()> {
    let case = Case::new()?;
    let (encoder, encoded) = case.fit()?;
    let mut store = MemoryStore::default();
    run(&case, (&encoder, &encoded), &mut store, 99)?;
    let names = StepMetrics::names(&store.steps()?);
    ensure!(names == ["generator_loss", "critic_norm", "generator_norm", "epsilon"], "{names:?}");
    ensure!(store.best()?.is_none() && store.resampling()?.is_none());
    Ok(())
}

/// The seed is known: noise that followed from it could be taken off again.
#[test]
fn two_runs_of_one_seed_draw_other_patients_and_other_noise() -> Result<()> {
    let case = Case::new()?;
    let (encoder, encoded) = case.fit()?;
    let norms = || -> Result<Vec<Option<f64>>> {
        let mut trainer = Trainer::of(&case.config, &encoder, &encoded)?;
        (0..3).map(|_| Ok(trainer.step()?.get("critic_norm"))).collect()
    };
    ensure!(norms()? != norms()?);
    let (other, _) = case.fit()?;
    ensure!(other != encoder, "so is what is released");
    Ok(())
}

#[test]
fn a_trainer_without_a_guarantee_refuses_settings_that_ask_for_one() -> Result<()> {
    let case = Case::new()?;
    let (encoder, encoded) = case.fit()?;
    ensure!(Trainer::new(&case.config, &layout_of(&encoder), &encoded).is_err());
    Ok(())
}

#[test]
fn what_looks_at_the_table_beside_the_guarantee_is_refused() -> Result<()> {
    type Change = fn(&mut TrainConfig);
    let changes: [(&str, Change); 6] = [
        ("model.resampling", |c| c.model.resampling = true),
        ("optimiser.correlation_weight", |c| c.optimiser.correlation_weight = 1.),
        ("validation.every", |c| c.validation.every = 10),
        ("batching.curriculum_epochs", |c| c.batching.curriculum_epochs = 1),
        ("checkpoints.restarts", |c| c.checkpoints.restarts = 3),
        ("privacy.epsilon", |c| c.privacy.epsilon = f64::NAN),
    ];
    for (name, change) in changes {
        let mut config = Case::new()?.config;
        change(&mut config);
        let refused = config.check().map_err(|e| e.to_string());
        ensure!(refused.as_ref().is_err_and(|e| e.contains(&format!("`{name}`"))), "{refused:?}");
    }
    Ok(())
}

#[test]
fn a_schema_that_asks_for_a_guarantee_gets_none_weaker() -> Result<()> {
    let asking = SCHEMA.replace("[patient]", "[privacy]\nepsilon = 2.0\n[patient]");
    let schema = Schema::parse(&asking, "hiv.toml".as_ref())?;
    ensure!(TrainConfig::default().refuse_weaker_than(&schema).is_err());
    let mut settings = Settings::defaults()?;
    settings.ask_as(&schema)?;
    let config = settings.resolve()?;
    ensure!(config.privacy.epsilon == 2. && !config.model.resampling);
    config.refuse_weaker_than(&schema)?;
    let mut weaker = Settings::defaults()?;
    weaker.set("privacy.epsilon", 3, "flag")?;
    weaker.ask_as(&schema)?;
    let refused = weaker.resolve()?.refuse_weaker_than(&schema).map_err(|e| e.to_string());
    ensure!(refused.is_err_and(|e| e.contains("allows 2 at most")));
    Ok(())
}

#[test]
fn a_plan_says_what_is_to_be_expected() -> Result<()> {
    let mut config = Case::new()?.config;
    config.privacy.epsilon = 3.;
    config.iterations = 1000;
    config.optimiser.critic_steps = 5;
    config.batching.batch_size = 32;
    config.model.hidden = 128;
    let plan = PrivacyPlan::of(&config, 312)?.expect("a plan");
    ensure!((plan.delta - 1. / 3120.).abs() < 1e-12 && plan.steps == 5000);
    // 9.0 without the share of the release.
    ensure!((9. ..10.).contains(&plan.gradient_noise), "{plan:?}");
    let critic =
        config.critic(&hg_models::RowLayout::new(35, vec![2, 2, 2, 13, 10, 10, 10, 10, 10]));
    let forecast = plan.forecast(&critic);
    ensure!(forecast.contains("with 312 patients, ε = 3"), "{forecast}");
    ensure!(forecast.contains("times the signal: expect noise"), "{forecast}");
    Ok(())
}
