//! A model of a cohort: fitted to a table, sampled from, saved and loaded.

use crate::evaluation::{Evaluated, evaluate_model};
use crate::session::{Material, Training, train};
use crate::{Error, Result};
use hg_data::{DataFrame, Encoded, Encoder, Schema, Subset, Table, TableStyle};
use hg_train::{
    CancelToken, Event, MemoryStore, Outcome, Program, Ranks, Run, Sampler, StepMetrics, Store,
    TrainConfig, fit_private, import_weights,
};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::Duration;

/// A trained model of a cohort, which makes synthetic cohorts like it.
///
/// ```
/// use health_gym::{Schema, Synthesizer, TrainConfig};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))?;
/// let schema = Schema::load("data-schemas/pbc.toml".as_ref())?;
/// let mut settings = TrainConfig { iterations: 3, ..Default::default() };
/// settings.model.hidden = 16;
/// let synthesizer =
///     Synthesizer::builder(schema).settings(settings).fit_file("data/pbc/pbcseq.csv")?;
/// let cohort = synthesizer.sample(10, 1)?;
/// assert!(cohort.equals_missing(&synthesizer.sample(10, 1)?), "a seed gives a cohort");
/// # Ok(()) }
/// ```
pub struct Synthesizer {
    config: TrainConfig,
    sampler: Sampler,
    store: MemoryStore,
}

impl Synthesizer {
    /// A builder for tables that `schema` describes.
    pub fn builder<'a>(schema: Schema) -> SynthesizerBuilder<'a> {
        SynthesizerBuilder {
            schema,
            settings: TrainConfig::default(),
            budget: None,
            cancel: CancelToken::default(),
            interrupted: None,
            on_progress: Box::new(|_| {}),
        }
    }

    /// Around a store with a checkpoint.
    fn of(encoder: Encoder, config: TrainConfig, store: MemoryStore) -> Result<Self> {
        let sampler = Sampler::of(encoder, &config, &store)?;
        // A training that was not cancelled has a checkpoint.
        let sampler = sampler.ok_or(Error::Cancelled { iteration: 0 })?;
        Ok(Self { config, sampler, store })
    }

    /// A cohort of so many patients, with the real table's columns, types and order (of several
    /// tables, the one that they were put together into); the same seed gives the same cohort.
    ///
    /// # Errors
    /// When `patients` is 0.
    pub fn sample(&self, patients: usize, seed: u64) -> Result<DataFrame> {
        Ok(self.sampler.sample(patients, seed)?)
    }

    /// A cohort of so many patients who meet all of some conditions on static columns, as `sex=f` and
    /// `age>=70`: patients are sampled until as many do.
    ///
    /// # Errors
    /// Where a condition is none, where too few synthetic patients meet them, and when `patients` is
    /// 0.
    pub fn sample_given<T: AsRef<str>>(
        &self,
        patients: usize,
        seed: u64,
        conditions: &[T],
    ) -> Result<DataFrame> {
        let given = self.sampler.encoder().given(conditions)?;
        Ok(self.sampler.sample_given(patients, seed, &given, &mut |_| {})?.0)
    }

    /// A cohort of so many patients who meet all of some conditions, and of whom exactly such shares
    /// (rounded to patients) meet others, as `sex=f:0.5`; who meets several stays as the model has it.
    ///
    /// # Errors
    /// Where a share is none, where the shares contradict each other or too few synthetic patients meet
    /// a condition, and when `patients` is 0.
    pub fn sample_shares<T: AsRef<str>>(
        &self,
        patients: usize,
        seed: u64,
        conditions: &[T],
        shares: &[T],
    ) -> Result<DataFrame> {
        let encoder = self.sampler.encoder();
        let asked = (&encoder.given(conditions)?, &encoder.shares(shares)?);
        Ok(self.sampler.sample_shares(patients, seed, asked, &mut |_| {})?.0)
    }

    /// A cohort with the statics of a table, which has some or all of the static columns: patient n has
    /// those of row n, exactly. A missing cell stands for any value.
    ///
    /// # Errors
    /// Everything in the table that no synthetic patient can have, with its row and column; rows that
    /// no synthetic patient was found for.
    pub fn sample_like(&self, statics: impl Into<Table>, seed: u64) -> Result<DataFrame> {
        let wanted = self.sampler.encoder().wanted_statics(&statics.into())?;
        Ok(self.sampler.sample_like(&wanted, seed, &mut |_| {})?.0)
    }

    /// A cohort of so many patients as several tables, by their names, in the form of the real
    /// ones; as one table, where the schema has one.
    ///
    /// # Errors
    /// When `patients` is 0.
    pub fn sample_tables(&self, patients: usize, seed: u64) -> Result<Vec<(String, DataFrame)>> {
        self.take_apart(&self.sample(patients, seed)?)
    }

    /// A synthetic cohort as several tables, by their names, in the form of the real ones; as one, where
    /// the schema has one.
    ///
    /// # Errors
    /// When the cohort is none of this model.
    pub fn take_apart(&self, cohort: &DataFrame) -> Result<Vec<(String, DataFrame)>> {
        Ok(self.sampler.encoder().take_apart(cohort)?)
    }

    /// Writes a synthetic cohort as the real table is written: as one file, or as several tables into
    /// a folder.
    ///
    /// # Errors
    /// When the path cannot be written.
    pub fn write(&self, cohort: &DataFrame, path: impl AsRef<Path>) -> Result<()> {
        Ok(self.sampler.encoder().write(cohort, path.as_ref())?)
    }

    /// Compares a synthetic table with the real one that the model was fitted to: the patients that it was
    /// trained on are the real ones, and those held out, where some were, the yardstick.
    ///
    /// # Errors
    /// When a table does not fit the schema.
    pub fn evaluate(
        &self,
        real: impl Into<Table>,
        synthetic: impl Into<Table>,
    ) -> Result<Evaluated> {
        let subsets = (self.config.training_subset(), self.config.held_out_subset());
        let tables = (real.into(), synthetic.into());
        evaluate_model(self.sampler.encoder(), tables, subsets, &self.store)
    }

    /// Writes a run folder, with which `hg generate` works too. It holds no row of the real table,
    /// but what was fitted to it (`encoder.json`), and is as private as that.
    ///
    /// # Errors
    /// When the folder exists or cannot be written; nothing is left behind.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        let encoder = self.sampler.encoder().clone();
        let program = Program { version: env!("CARGO_PKG_VERSION").into(), ..Default::default() };
        let run = Run::of_memory(folder, encoder, self.config.clone(), program)?;
        let copied = copy(&self.store, &mut run.store());
        if copied.is_err() {
            // The error is reported; a folder that cannot be removed may stay.
            let _ = std::fs::remove_dir_all(folder);
        }
        copied
    }

    /// Loads what [`Synthesizer::save`] or `hg train` wrote. The folder is not needed afterwards.
    ///
    /// # Errors
    /// When it is no run folder, or holds no checkpoint.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self> {
        let run = Run::open(folder.as_ref())?;
        let sampler = run.sampler()?;
        let mut store = MemoryStore::default();
        copy(&run.store(), &mut store)?;
        Ok(Self { config: run.manifest.train, sampler, store })
    }

    /// Writes the weights that sampling takes (`generator.safetensors`), and the critic's, in PyTorch's
    /// names and layouts to a new folder.
    ///
    /// # Errors
    /// When the folder exists or cannot be written.
    pub fn export(&self, folder: impl AsRef<Path>) -> Result<()> {
        let scratch = tempfile::tempdir();
        let scratch =
            scratch.map_err(|source| Error::Write { path: std::env::temp_dir(), source })?;
        let run = scratch.path().join("run");
        self.save(&run)?;
        Ok(Run::open(&run)?.export(folder.as_ref())?)
    }

    /// What each iteration of the training measured.
    ///
    /// # Errors
    /// None: it is in memory.
    pub fn metrics(&self) -> Result<Vec<StepMetrics>> {
        Ok(self.store.steps()?)
    }

    /// The settings that it was trained with.
    pub fn settings(&self) -> &TrainConfig {
        &self.config
    }

    /// How the real table is written, where it was a CSV: separators, quotes, line ends.
    pub fn style(&self) -> &TableStyle {
        &self.sampler.encoder().style
    }

    /// The schema, with the levels and edges that were found in the real table.
    pub fn schema(&self) -> &Schema {
        &self.sampler.encoder().schema
    }
}

impl std::fmt::Debug for Synthesizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Synthesizer").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Puts the checkpoints and the record of a store into an empty one.
fn copy(from: &dyn Store, to: &mut dyn Store) -> Result<()> {
    to.record_from(0)?;
    from.steps()?.iter().try_for_each(|step| to.record(step))?;
    if let Some(best) = from.best()? {
        to.save_best(best)?;
    }
    if let Some(newest) = from.newest()? {
        to.save(newest)?;
    }
    if let Some(resampling) = from.resampling()? {
        to.save_resampling(resampling)?;
    }
    if let Some(spent) = from.charged()? {
        to.charge(spent)?;
    }
    Ok(())
}

/// What a [`Synthesizer`] is fitted with.
pub struct SynthesizerBuilder<'a> {
    schema: Schema,
    settings: TrainConfig,
    budget: Option<Duration>,
    cancel: CancelToken,
    interrupted: Option<&'a mut Option<Interrupted>>,
    on_progress: Box<dyn FnMut(&Event) + 'a>,
}

impl<'a> SynthesizerBuilder<'a> {
    /// Trains with these settings in place of the defaults.
    #[must_use]
    pub fn settings(mut self, settings: TrainConfig) -> Self {
        self.settings = settings;
        self
    }

    /// Trains for about this time: the iterations become those that
    /// [fit into it](TrainConfig::iterations_within).
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.budget = Some(time);
        self
    }

    /// Goes on from the training that is kept here, where that had the same table and settings, to the
    /// same bits as without the interruption; keeps the training here where it is cancelled.
    #[must_use]
    pub fn resuming(mut self, interrupted: &'a mut Option<Interrupted>) -> Self {
        self.interrupted = Some(interrupted);
        self
    }

    /// Tells `observer` of every iteration, and when training goes back after it diverged.
    #[must_use]
    pub fn on_progress(mut self, observer: impl FnMut(&Event) + 'a) -> Self {
        self.on_progress = Box::new(observer);
        self
    }

    /// Stops with [`Error::Cancelled`] after the iteration in which `token` is cancelled.
    #[must_use]
    pub fn cancel_with(mut self, token: CancelToken) -> Self {
        self.cancel = token;
        self
    }

    /// Fits to a table in memory (a [`Table`] or a `&DataFrame`): one row for each patient and time.
    /// Several tables are put together before, by [`Schema::put_together`].
    ///
    /// # Errors
    /// Everything in the table that does not fit the schema, with its place; a setting out of its
    /// range; training that diverges.
    pub fn fit(self, table: impl Into<Table>) -> Result<Synthesizer> {
        self.settings.check()?;
        self.settings.refuse_weaker_than(&self.schema)?;
        let table = table.into();
        if self.settings.privacy.is_on() {
            return self.fit_under_guarantee(&table);
        }
        let subset = self.settings.training_subset();
        let (encoder, encoded) = Encoder::fit(&self.schema, &table, subset)?;
        let held_out = self.held_out(|subset| Ok(encoder.encode(&table, subset)?))?;
        self.train(encoder, &encoded, held_out.as_ref())
    }

    /// Fits to a table in files: CSV, Parquet or Arrow IPC, a folder of such files, or a pattern; or
    /// to several tables in a folder.
    /// Large tables are read in parts.
    ///
    /// # Errors
    /// As [`SynthesizerBuilder::fit`], and when the files cannot be read.
    pub fn fit_file(self, path: impl AsRef<Path>) -> Result<Synthesizer> {
        self.settings.check()?;
        self.settings.refuse_weaker_than(&self.schema)?;
        let path = path.as_ref();
        if self.settings.privacy.is_on() {
            let table = self.schema.read(path)?;
            return self.fit_under_guarantee(&table);
        }
        let subset = self.settings.training_subset();
        let (encoder, encoded) = Encoder::fit_file(&self.schema, path, subset)?;
        let held_out = self.held_out(|subset| Ok(encoder.encode_file(path, subset)?))?;
        self.train(encoder, &encoded, held_out.as_ref())
    }

    /// As [`SynthesizerBuilder::fit`], where a guarantee is asked for. An encoder costs a share of it, so that
    /// a training that goes on takes its own.
    fn fit_under_guarantee(self, table: &Table) -> Result<Synthesizer> {
        let kept = self.interrupted.as_ref().and_then(|kept| kept.as_ref());
        let is_ours = |kept: &&Interrupted| {
            kept.schema == self.schema && kept.config.privacy == self.settings.privacy
        };
        let kept = kept.filter(is_ours);
        let (encoder, encoded) = match kept {
            Some(kept) => {
                let encoder = kept.encoder.clone();
                let encoded = encoder.encode(table, self.settings.training_subset())?;
                (encoder, encoded)
            }
            None => fit_private(&self.settings, &self.schema, table)?,
        };
        self.train(encoder, &encoded, None)
    }

    /// A model around weights that another program trained on a table in memory: the generator's and the
    /// critic's (safetensors, or `torch.save` of a state dict, in the original's names). A critic that
    /// is not given begins anew. [`Settings::of_weights`](hg_train::Settings::of_weights) are their settings.
    ///
    /// # Errors
    /// When the weights cannot be read or do not fit the settings, or the table does not fit the schema.
    pub fn import(
        self,
        table: impl Into<Table>,
        weights: (&Path, Option<&Path>),
    ) -> Result<Synthesizer> {
        let (encoder, encoded) =
            Encoder::fit(&self.schema, &table.into(), self.settings.training_subset())?;
        self.imported(encoder, &encoded, weights)
    }

    /// As [`SynthesizerBuilder::import`], with a table in files.
    ///
    /// # Errors
    /// As [`SynthesizerBuilder::import`], and when the files cannot be read.
    pub fn import_file(
        self,
        path: impl AsRef<Path>,
        weights: (&Path, Option<&Path>),
    ) -> Result<Synthesizer> {
        let subset = self.settings.training_subset();
        let (encoder, encoded) = Encoder::fit_file(&self.schema, path.as_ref(), subset)?;
        self.imported(encoder, &encoded, weights)
    }

    fn imported(
        self,
        encoder: Encoder,
        encoded: &Encoded,
        weights: (&Path, Option<&Path>),
    ) -> Result<Synthesizer> {
        self.settings.check()?;
        let mut store = MemoryStore::default();
        import_weights((&self.settings, &encoder, encoded), weights, &mut store)?;
        Synthesizer::of(encoder, self.settings, store)
    }

    /// The patients that are held out, where validation compares with them.
    fn held_out(&self, encode: impl Fn(Subset) -> Result<Encoded>) -> Result<Option<Encoded>> {
        let subset = self.settings.held_out_subset();
        subset.filter(|_| self.settings.validation.every > 0).map(encode).transpose()
    }

    fn train(
        mut self,
        encoder: Encoder,
        encoded: &Encoded,
        held_out: Option<&Encoded>,
    ) -> Result<Synthesizer> {
        let kept = self.interrupted.as_mut().and_then(|kept| kept.take());
        let cohort = self.interrupted.as_ref().map_or(0, |_| hash_of(encoded));
        let kept = kept.filter(|kept| kept.is_of((&encoder, cohort), &self.settings, self.budget));
        let mut config = self.settings;
        let mut store = match (kept, self.budget) {
            (Some(kept), _) => {
                config = kept.config;
                kept.store
            }
            (None, Some(time)) => {
                config.iterations = config.iterations_within(time, &encoder, encoded)?;
                MemoryStore::default()
            }
            (None, None) => MemoryStore::default(),
        };
        let material = Material { config: &config, encoder: &encoder, encoded, held_out };
        let Training { outcome, iteration } =
            train(&material, &Ranks::default(), &mut store, &self.cancel, &mut self.on_progress)?;
        if outcome == Outcome::Cancelled {
            if let Some(kept) = self.interrupted {
                let (schema, budget) = (self.schema, self.budget);
                *kept = Some(Interrupted { schema, encoder, cohort, config, budget, store });
            }
            return Err(Error::Cancelled { iteration });
        }
        Synthesizer::of(encoder, config, store)
    }
}

/// A training that was cancelled, which [`SynthesizerBuilder::resuming`] goes on with. It is as private as
/// the table.
pub struct Interrupted {
    schema: Schema,
    encoder: Encoder,
    /// [`hash_of`] the encoded cohort.
    cohort: u64,
    config: TrainConfig,
    budget: Option<Duration>,
    store: MemoryStore,
}

impl Interrupted {
    /// Whether it is the training of what was fitted to a table, and encoded, with these settings.
    fn is_of(
        &self,
        (encoder, cohort): (&Encoder, u64),
        settings: &TrainConfig,
        budget: Option<Duration>,
    ) -> bool {
        let mut settings = settings.clone();
        if budget.is_some() {
            settings.iterations = self.config.iterations;
        }
        let is_same = self.encoder == *encoder && self.cohort == cohort;
        is_same && self.config == settings && self.budget == budget
    }
}

/// Whether two cohorts are one, but for chance.
fn hash_of(encoded: &Encoded) -> u64 {
    let mut hasher = DefaultHasher::new();
    encoded.lengths.hash(&mut hasher);
    encoded.values.iter().for_each(|value| hasher.write_u32(value.to_bits()));
    hasher.finish()
}

impl std::fmt::Debug for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interrupted").field("config", &self.config).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SynthesizerBuilder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SynthesizerBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
