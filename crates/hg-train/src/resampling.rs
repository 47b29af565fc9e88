//! Which of a generator's patients are taken: learnt when training has ended, and kept beside the weights
//! in `resampler.json`.

use crate::checkpoint::{AVERAGED, Checkpoint};
use crate::synthesis::Sampler;
use crate::{Result, Store, TrainConfig};
use hg_data::{Encoded, Encoder, fingerprint_of};
use hg_judge::{Resampler, summaries_of_encoded};
use serde::{Deserialize, Serialize};

/// Real patients that are learnt from; of more, evenly spread ones are.
const MAX_REAL: usize = 2000;

/// What chooses among the patients of one generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resampling {
    /// The SHA-256 of the weights whose patients it chooses among.
    generator_sha256: String,
    /// None where there were too few patients to learn from, or all were told apart: then all are taken.
    pub(crate) resampler: Option<Resampler>,
}

impl Resampling {
    /// Learns from the patients that were trained on and from the generator that sampling takes, and
    /// keeps what it learnt in the store; nothing where the settings say so, or there are no weights.
    ///
    /// # Errors
    /// When the weights do not fit the settings, or the store cannot be read or written.
    pub(crate) fn learn(
        config: &TrainConfig,
        encoder: &Encoder,
        encoded: &Encoded,
        store: &mut dyn Store,
    ) -> Result<()> {
        if !config.model.resampling {
            return Ok(());
        }
        let Some(checkpoint) = store.selected(config.validation.select)? else { return Ok(()) };
        let generator_sha256 = sha256(&checkpoint);
        let sampler = Sampler::new(encoder.clone(), config, &checkpoint)?;
        let real = summaries_of_encoded(encoder, encoded, MAX_REAL);
        let resampler = sampler.learn_resampler(&real)?;
        if resampler.is_none() {
            tracing::info!(
                "every patient of the generator is taken: there are too few to learn from, or \
                 trees tell nearly all of them from real ones"
            );
        }
        store.save_resampling(Self { generator_sha256, resampler })
    }

    /// Whether it has learnt from this checkpoint's patients, which this encoder decodes.
    pub(crate) fn is_for(&self, checkpoint: &Checkpoint, encoder: &Encoder) -> bool {
        let is_for = |resampler: &Resampler| resampler.is_for(&encoder.schema);
        self.generator_sha256 == sha256(checkpoint) && self.resampler.as_ref().is_none_or(is_for)
    }
}

fn sha256(checkpoint: &Checkpoint) -> String {
    fingerprint_of(checkpoint.file(AVERAGED))
}
