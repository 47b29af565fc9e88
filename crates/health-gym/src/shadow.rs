//! Shadow runs: models that are trained as a run was, each on a random half of its real patients, so that
//! it is known whom their cohorts are made from. `shadow-membership` of `hg-eval` attacks by them.

use crate::Progress;
use crate::session::{Material, Training, train};
use crate::{Error, Result};
use hg_data::{Encoder, Origin, Schema, Split, Subset, Table};
use hg_eval::{Cohort, Shadow, Subject};
use hg_train::{
    CancelToken, CheckpointSelection, Event, MemoryStore, Outcome, Ranks, Sampler, TrainConfig,
    ValidationConfig,
};

/// Ways in which all real patients are halved; each half has a run, so that every patient is in one run of
/// two.
const HALVINGS: u64 = 4;
/// Iterations of a shadow run, where the run itself has as many.
const ITERATIONS: u64 = 400;

/// Attacks that may take minutes.
pub(crate) struct Thorough<'a> {
    /// How the run was trained.
    pub(crate) config: &'a TrainConfig,
    pub(crate) cancel: &'a CancelToken,
}

impl Thorough<'_> {
    /// The shadows of what is attacked; `subsets` of the real table are the patients of the subject, those
    /// trained on and those held out.
    pub(crate) fn shadows(
        &self,
        subject: &Subject<'_>,
        (real, subsets): (&Table, Vec<Subset>),
        observe: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Shadow>> {
        let mut patients = Vec::new();
        for subset in subsets {
            patients.extend(subject.encoder.ids(real, subset)?);
        }
        // What is fitted to a shadow run's patients is fitted anew.
        let mut schema = subject.encoder.schema.clone();
        schema.columns.retain(|column| !column.is_derived());

        let iterations = self.config.iterations.min(ITERATIONS);
        let all = 2 * HALVINGS * iterations;
        let mut shadows = Vec::new();
        for halving in 1..=HALVINGS {
            let split = Split { share: 0.5, seed: self.config.seed.wrapping_add(halving) };
            for half in [Subset::Training(split), Subset::HeldOut(split)] {
                let before = shadows.len() as u64 * iterations;
                let config = self.config_of(split.seed, iterations);
                let mut on_step = |done| observe(Progress::Shadows { done: before + done, all });
                let synthetic =
                    self.cohort(&config, subject, (&schema, real, half), &mut on_step)?;
                let trained_on = patients.iter().map(|patient| half.takes(patient)).collect();
                shadows.push(Shadow { synthetic, trained_on });
            }
        }
        Ok(shadows)
    }

    /// The run's settings, with fewer iterations and nothing that is judged on the way.
    fn config_of(&self, seed: u64, iterations: u64) -> TrainConfig {
        let select = CheckpointSelection::Last;
        let validation = ValidationConfig { held_out: 0., every: 0, patience: 0, select };
        TrainConfig { iterations, seed, validation, ..self.config.clone() }
    }

    /// The cohort of a run on these patients, as many as the subject has synthetic ones.
    fn cohort(
        &self,
        config: &TrainConfig,
        subject: &Subject<'_>,
        (schema, real, half): (&Schema, &Table, Subset),
        on_step: &mut dyn FnMut(u64),
    ) -> Result<Cohort> {
        let (encoder, encoded) = Encoder::fit(schema, real, half)?;
        let mut store = MemoryStore::default();
        let material = Material { config, encoder: &encoder, encoded: &encoded, held_out: None };
        let trained = train(&material, &Ranks::default(), &mut store, self.cancel, &mut |event| {
            if let Event::Step(step) = event {
                on_step(step.iteration);
            }
        })?;
        let Training { outcome, iteration } = trained;
        // Between iterations, and while it is learnt which patients to take.
        if outcome == Outcome::Cancelled || self.cancel.is_cancelled() {
            return Err(Error::Cancelled { iteration });
        }
        let sampler = Sampler::of(encoder, config, &store)?;
        let sampler = sampler.ok_or(Error::Cancelled { iteration })?;
        let cohort = sampler.sample(subject.patients().synthetic, config.seed)?;
        let cohort = Table::new(cohort, "shadow cohort");
        let (observed, encoded) =
            subject.encoder.observe(&cohort, Subset::Whole, Origin::Synthetic)?;
        Ok(Cohort { observed, encoded })
    }
}
