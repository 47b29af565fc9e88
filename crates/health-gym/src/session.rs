//! A training session with its validation.

use crate::Result;
use hg_data::{Encoded, Encoder};
use hg_eval::{Quick, QuickTrees};
use hg_train::{
    CancelToken, Event, MemoryStore, Outcome, Ranks, Run, Session, Store, TrainConfig,
    ValidationScore,
};
use std::ops::ControlFlow;

/// What a session is trained on.
pub(crate) struct Material<'a> {
    pub(crate) config: &'a TrainConfig,
    pub(crate) encoder: &'a Encoder,
    /// The patients that are trained on.
    pub(crate) encoded: &'a Encoded,
    /// Those that are not, where some are held out.
    pub(crate) held_out: Option<&'a Encoded>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Training {
    /// Why it ended.
    pub outcome: Outcome,
    /// Iterations that are done.
    pub iteration: u64,
}

/// Trains from the store's newest checkpoint on. `observe` sees every event.
pub(crate) fn train(
    material: &Material<'_>,
    ranks: &Ranks,
    store: &mut dyn Store,
    cancel: &CancelToken,
    observe: &mut dyn FnMut(&Event),
) -> Result<Training> {
    let Material { config, encoder, encoded, held_out } = *material;
    // Where no patients are held out, those trained on are the yardstick.
    let yardstick = held_out.unwrap_or(encoded);
    let (numeric, blocks) = (encoder.numeric_features(), encoder.blocks());
    let quick = Quick::new(yardstick, numeric, &blocks);
    let trees = QuickTrees::new(encoder, encoded, held_out);
    let validator = |made: &Encoded, sampled: &Encoded| ValidationScore {
        score: (quick.score(sampled).total() + trees.told_apart(sampled)) / 2.,
        diversity: quick.diversity(made),
    };
    let session = Session::new(config, encoder, encoded, store)?.validated_by(&validator);
    run_session(session.shared_with(ranks.clone())?, cancel, observe)
}

fn run_session(
    mut session: Session<'_>,
    cancel: &CancelToken,
    observe: &mut dyn FnMut(&Event),
) -> Result<Training> {
    let outcome = session.run(&mut |event| {
        observe(event);
        match cancel.is_cancelled() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    Ok(Training { outcome, iteration: session.iteration() })
}

/// Trains a run from its newest checkpoint on, and keeps checkpoints in its folder; `encoded`
/// are the patients that it is trained on. `observe` sees every event; after `cancel` the run can
/// go on with another call.
///
/// # Errors
/// When the held-out patients cannot be read, training diverges, or the folder cannot be
/// written.
pub fn train_run(
    run: &Run,
    encoded: &Encoded,
    cancel: &CancelToken,
    observe: &mut dyn FnMut(&Event),
) -> Result<Training> {
    train_run_shared(run, encoded, &Ranks::default(), cancel, observe)
}

/// As [`train_run`], by several ranks, each of which makes this call with the same run. Rank 0 alone writes
/// to the run's folder and validates.
///
/// # Errors
/// As [`train_run`], and when a rank is gone.
pub fn train_run_shared(
    run: &Run,
    encoded: &Encoded,
    ranks: &Ranks,
    cancel: &CancelToken,
    observe: &mut dyn FnMut(&Event),
) -> Result<Training> {
    let config = &run.manifest.train;
    if !ranks.is_first() {
        let mut store = MemoryStore::default();
        let session = Session::new(config, &run.encoder, encoded, &mut store)?;
        return run_session(session.shared_with(ranks.clone())?, cancel, observe);
    }
    let held_out = match config.held_out_subset() {
        Some(subset) if config.validation.every > 0 => Some(run.encode_subset(subset)?),
        _ => None,
    };
    let held_out = held_out.as_ref();
    let material = Material { config, encoder: &run.encoder, encoded, held_out };
    train(&material, ranks, &mut run.store(), cancel, observe)
}
