//! The run folder: everything about one training run.
//!
//! ```text
//! run.toml        settings, seed, fingerprints of table and schema, version
//! encoder.json    the fitted encoder: generating needs no private table
//! metrics.jsonl   one line an iteration
//! tensorboard/    the same for TensorBoard
//! checkpoints/    the newest three, and that with the best validation score
//! resampler.json  which of the generator's patients are taken
//! privacy.json    what of a privacy budget may have been spent, where there is one
//! synthetic.csv, synthetic.parquet; where there are several tables: synthetic/
//! report/
//! ```
//!
//! While several ranks train, `encoded.safetensors` holds the encoded cohort for them.

use crate::checkpoint::{self, Checkpoint};
use crate::config::grouped;
use crate::privacy::{PrivacyPlan, fit_private};
use crate::record::{self, Record};
use crate::resampling::Resampling;
use crate::store::{Spent, Store};
use crate::{Error, Result, Sampler, StepMetrics, TrainConfig, Trainer, layout_of};
use candle_core::Tensor;
use hg_data::{DataFrame, Encoded, Encoder, Schema, Subset, fill_then_rename, write_atomically};
use hg_lstm::kernel::SimdPath;
use hg_models::{COMPARED, CriticConfig, read_weights};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

const CHECKPOINTS: &str = "checkpoints";
const RESAMPLING: &str = "resampler.json";
const SPENT: &str = "privacy.json";
const COHORT: &str = "encoded.safetensors";

/// The contents of `run.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunManifest {
    /// The table's file; none where it was in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// Its SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_sha256: Option<String>,
    /// The schema's file; none where it was in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<PathBuf>,
    /// Its SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_sha256: Option<String>,
    /// The SHA-256 of `encoder.json`.
    pub encoder_sha256: String,
    /// The vector instructions that training used; others give other last bits.
    pub vectors: String,
    /// Every setting, resolved.
    pub train: TrainConfig,
    /// The guarantee that the run keeps, and how; none where it keeps none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<PrivacyPlan>,
    /// The program that made the run.
    pub program: Program,
}

impl RunManifest {
    /// Of a run that has no files yet.
    fn of(train: TrainConfig, program: Program) -> Result<Self> {
        Ok(Self {
            data: None,
            data_sha256: None,
            schema: None,
            schema_sha256: None,
            encoder_sha256: String::new(),
            vectors: format!("{:?}", vectors()?),
            train,
            privacy: None,
            program,
        })
    }

    /// Reads `run.toml`; settings may have the flat names of version 0.1. `path` is for messages.
    fn parse(text: &str, path: &Path) -> std::result::Result<Self, String> {
        let mut table: toml::Table = toml::from_str(text).map_err(|e| e.to_string())?;
        if let Some(toml::Value::Table(train)) = table.remove("train") {
            let mut train = grouped(train, &path.display().to_string());
            let model = train.entry("model").or_insert_with(|| toml::Table::new().into());
            if let Some(model) = model.as_table_mut() {
                // A run from before these settings did without.
                model.entry("patient_latent").or_insert(toml::Value::Float(0.));
                for key in ["critic_compares", "generator_carries", "calibration", "resampling"] {
                    model.entry(key).or_insert(toml::Value::Boolean(false));
                }
            }
            table.insert("train".into(), train.into());
        }
        table.try_into().map_err(|e: toml::de::Error| e.to_string())
    }
}

/// The vector instructions that this process computes with.
///
/// # Errors
/// When [`hg_lstm::kernel::VECTORS`] names none that the processor has.
pub fn vectors() -> Result<SimdPath> {
    SimdPath::chosen().map_err(|error| Error::Config(error.to_string()))
}

/// What a program says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Its version.
    pub version: String,
    /// The commit that it was built from.
    pub commit: String,
    /// Crates and versions that can change a result's bits.
    pub crates: Vec<String>,
    /// DeviceKind and system that it was built for.
    pub target: String,
    /// Features that it was built with.
    #[serde(default)]
    pub features: Vec<String>,
}

/// A run folder.
#[derive(Clone, Debug)]
pub struct Run {
    folder: PathBuf,
    /// What is in `run.toml`; [`Run::with_data`] puts another path in for the table.
    pub manifest: RunManifest,
    /// What is in `encoder.json`.
    pub encoder: Encoder,
}

impl Run {
    /// Reads table and schema, fits the encoder and makes the folder. Nothing
    /// is left behind when that fails. With a `budget`, the iterations become those that
    /// [fit into it](TrainConfig::iterations_within).
    ///
    /// # Errors
    /// When the folder exists or cannot be written, or the table does not fit
    /// the schema.
    pub fn create(
        folder: &Path,
        data: &Path,
        schema_path: &Path,
        mut train: TrainConfig,
        budget: Option<Duration>,
        program: Program,
    ) -> Result<(Self, Encoded)> {
        train.check()?;
        train.device.open()?;
        require_absent(folder)?;
        let schema = Schema::load(schema_path)?;
        train.refuse_weaker_than(&schema)?;
        let (encoder, encoded) = match train.privacy.is_on() {
            true => fit_private(&train, &schema, &schema.read(data)?)?,
            false => Encoder::fit_file(&schema, data, train.training_subset())?,
        };
        if let Some(time) = budget {
            train.iterations = train.iterations_within(time, &encoder, &encoded)?;
        }
        let manifest = RunManifest {
            data: Some(absolute(data)?),
            data_sha256: Some(hg_data::fingerprint(data)?),
            schema: Some(absolute(schema_path)?),
            schema_sha256: Some(hg_data::fingerprint(schema_path)?),
            privacy: PrivacyPlan::of(&train, encoded.lengths.len())?,
            ..RunManifest::of(train, program)?
        };
        Ok((Self::begin(folder, manifest, encoder)?, encoded))
    }

    /// Makes the folder of a run that was trained in memory.
    ///
    /// # Errors
    /// When the folder exists or cannot be written.
    pub fn of_memory(
        folder: &Path,
        encoder: Encoder,
        train: TrainConfig,
        program: Program,
    ) -> Result<Self> {
        require_absent(folder)?;
        Self::begin(folder, RunManifest::of(train, program)?, encoder)
    }

    /// Makes the folder, and the files that say what the run is.
    fn begin(folder: &Path, mut manifest: RunManifest, encoder: Encoder) -> Result<Self> {
        let json = encoder
            .to_json()
            .map_err(|e| Error::Config(format!("cannot write encoder.json: {e}")))?;
        manifest.encoder_sha256 = hg_data::fingerprint_of(json.as_bytes());
        let run = Self { folder: folder.to_owned(), manifest, encoder };
        for part in [run.checkpoints(), run.report()] {
            std::fs::create_dir_all(&part).map_err(|e| Error::Run {
                path: part.clone(),
                problem: format!("cannot make the run folder: {e}\nhint: choose another --out"),
            })?;
        }
        let toml = toml::to_string(&run.manifest)
            .map_err(|e| Error::Config(format!("cannot write run.toml: {e}")))?;
        run.write("encoder.json", &json)?;
        run.write("run.toml", &toml)?;
        Ok(run)
    }

    /// Makes a run around weights from elsewhere, in the original's names (`torch.save` of a
    /// state dict, or safetensors). It can be sampled from at once, and trained further; a
    /// critic that is not given begins anew. Nothing is left behind when the weights do not fit.
    ///
    /// # Errors
    /// As [`Run::create`], and when the weights do not fit table and settings.
    pub fn import(
        folder: &Path,
        [data, schema]: [&Path; 2],
        train: TrainConfig,
        program: Program,
        generator: &Path,
        critic: Option<&Path>,
    ) -> Result<Self> {
        let (run, encoded) = Self::create(folder, data, schema, train, None, program)?;
        let material = (&run.manifest.train, &run.encoder, &encoded);
        if let Err(error) = import_weights(material, (generator, critic), &mut run.store()) {
            // The error is reported; a folder that cannot be removed may stay.
            let _ = std::fs::remove_dir_all(folder);
            return Err(error);
        }
        Ok(run)
    }

    /// Writes the weights that sampling takes, and the critic beside them, to a new folder, in
    /// the original's names.
    ///
    /// # Errors
    /// When there is no checkpoint, or the folder exists or cannot be written.
    pub fn export(&self, folder: &Path) -> Result<()> {
        let checkpoint = self.selected()?;
        require_absent(folder)?;
        let failed = |path: &Path, source| Error::Write {
            path: path.to_owned(),
            what: "the weights",
            source,
        };
        std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
        for (from, to) in [
            (checkpoint::AVERAGED, checkpoint::GENERATOR),
            (checkpoint::CRITIC, checkpoint::CRITIC),
        ] {
            let to = folder.join(to);
            let written: Result<()> = fill_then_rename(&to, |temporary| {
                std::fs::write(temporary, checkpoint.file(from)).map_err(|e| failed(&to, e))
            });
            written?;
        }
        Ok(())
    }

    /// Makes a run with this one's table, schema and settings.
    ///
    /// # Errors
    /// As [`Run::create`], and when table or schema are not those of this run any more.
    pub fn again(&self, folder: &Path, program: Program) -> Result<(Self, Encoded)> {
        let data = self.check_data()?;
        let RunManifest { schema: Some(schema), schema_sha256, train, .. } = &self.manifest else {
            return Err(self.of_memory_alone());
        };
        if Some(hg_data::fingerprint(schema)?) != *schema_sha256 {
            let problem = "is not the schema of the run any more (its SHA-256 differs)";
            return Err(Error::Run { path: schema.clone(), problem: problem.into() });
        }
        Self::create(folder, data, schema, train.clone(), None, program)
    }

    /// Opens a run folder.
    ///
    /// # Errors
    /// When it is none.
    pub fn open(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|e| Error::Run {
                path,
                problem: format!("cannot be read: {e}\nhint: is this a run folder?"),
            })
        };
        let broken = |name: &str, problem: String| Error::Run { path: folder.join(name), problem };
        let text = read("run.toml")?;
        let manifest = RunManifest::parse(&text, &folder.join("run.toml"))
            .map_err(|problem| broken("run.toml", problem))?;
        let json = read("encoder.json")?;
        if hg_data::fingerprint_of(json.as_bytes()) != manifest.encoder_sha256 {
            let problem = "is damaged: its SHA-256 is not the one in run.toml";
            return Err(broken("encoder.json", problem.into()));
        }
        let encoder =
            Encoder::from_json(&json).map_err(|e| broken("encoder.json", e.to_string()))?;
        Ok(Self { folder: folder.to_owned(), manifest, encoder })
    }

    /// The run with its real table at `data`, where that is given: it may have moved since. The
    /// manifest changes in memory alone; `run.toml` stays as it was written, since a record of what
    /// was done is not edited by looking at it.
    ///
    /// # Errors
    /// When the path cannot be made absolute, or no such table is there, or another one.
    pub fn with_data(mut self, data: Option<&Path>) -> Result<Self> {
        if let Some(data) = data {
            self.manifest.data = Some(absolute(data)?);
            self.check_data()?;
        }
        Ok(self)
    }

    /// The path of the run's real table.
    ///
    /// # Errors
    /// When it is gone, its SHA-256 differs, or the run was trained on a table in memory.
    pub fn check_data(&self) -> Result<&Path> {
        let RunManifest { data: Some(data), data_sha256, .. } = &self.manifest else {
            return Err(self.of_memory_alone());
        };
        let refuse = |problem: String| {
            let hint = "hint: if the table has moved, say where it is now with --data TABLE";
            Err(Error::Run { path: data.clone(), problem: format!("{problem}\n{hint}") })
        };
        match hg_data::fingerprint(data) {
            Ok(found) if Some(&found) == data_sha256.as_ref() => Ok(data),
            Ok(_) => refuse("is not the table of the run any more (its SHA-256 differs)".into()),
            Err(hg_data::Error::File { path, problem }) if path == *data => {
                refuse(format!("the table of the run: {problem}"))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn of_memory_alone(&self) -> Error {
        let problem = "the run was trained on a table in memory, which is not recorded\nhint: \
                       `hg generate` works; compare two tables with `hg evaluate --real … \
                       --synthetic … --schema …`";
        Error::Run { path: self.folder.clone(), problem: problem.into() }
    }

    /// The real patients that the run was trained on, encoded again.
    ///
    /// # Errors
    /// When the table is gone, or no longer that of the run's fingerprint.
    pub fn real(&self) -> Result<Encoded> {
        self.encode_subset(self.manifest.train.training_subset())
    }

    /// A subset of the run's real table, encoded.
    ///
    /// # Errors
    /// When the table is gone, or no longer that of the run's fingerprint.
    pub fn encode_subset(&self, subset: Subset) -> Result<Encoded> {
        Ok(self.encoder.encode_file(self.check_data()?, subset)?)
    }

    /// Writes the patients that the run is trained on to the folder, for the other ranks.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn lay_out(&self, encoded: &Encoded) -> Result<()> {
        Ok(self.encoder.save_encoded(encoded, &self.folder.join(COHORT))?)
    }

    /// The patients that rank 0 has laid out, of whom only what this rank looks at is read.
    ///
    /// # Errors
    /// When they are not there.
    pub fn laid_out(&self) -> Result<Encoded> {
        Ok(Encoded::map(&self.folder.join(COHORT))?)
    }

    /// Removes what was laid out for other ranks.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn clear_away(&self) -> Result<()> {
        let path = self.folder.join(COHORT);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::Run { path, problem: format!("cannot be removed: {e}") })
            }
            _ => Ok(()),
        }
    }

    /// Where the synthetic cohort lies: a Parquet file, or a folder of several tables.
    pub fn synthetic(&self) -> PathBuf {
        self.folder.join(match self.encoder.tables.is_empty() {
            true => "synthetic.parquet",
            false => "synthetic",
        })
    }

    /// Writes a synthetic cohort to the folder: as Parquet and as CSV, or several tables in the
    /// form of the real ones.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_synthetic(&self, cohort: &DataFrame) -> Result<()> {
        if self.encoder.tables.is_empty() {
            self.encoder.write(cohort, &self.folder.join("synthetic.csv"))?;
        }
        Ok(self.encoder.write(cohort, &self.synthetic())?)
    }

    /// The critic that is trained.
    pub fn critic(&self) -> CriticConfig {
        self.manifest.train.critic(&layout_of(&self.encoder))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of the report.
    pub fn report(&self) -> PathBuf {
        self.folder.join("report")
    }

    fn checkpoints(&self) -> PathBuf {
        self.folder.join(CHECKPOINTS)
    }

    /// The checkpoint whose weights sampling takes.
    fn selected(&self) -> Result<Checkpoint> {
        let selected = self.store().selected(self.manifest.train.validation.select)?;
        selected.ok_or_else(|| self.has_no_checkpoint())
    }

    fn has_no_checkpoint(&self) -> Error {
        let problem = "holds no checkpoint\nhint: train the run first";
        Error::Run { path: self.checkpoints(), problem: problem.into() }
    }

    /// What makes cohorts with the run's averaged generator; it needs the run folder alone.
    ///
    /// # Errors
    /// When the run holds no checkpoint.
    pub fn sampler(&self) -> Result<Sampler> {
        let sampler = Sampler::of(self.encoder.clone(), &self.manifest.train, &self.store())?;
        sampler.ok_or_else(|| self.has_no_checkpoint())
    }

    /// The folder as the store of a session.
    pub fn store(&self) -> RunStore {
        RunStore { folder: self.folder.clone(), record: None }
    }

    /// Warns where this process has vector instructions that give other last bits than those that
    /// the run was trained with so far.
    ///
    /// # Errors
    /// When [`hg_lstm::kernel::VECTORS`] names none that the processor has.
    pub fn warn_of_other_vectors(&self) -> Result<()> {
        let (before, here) = (&self.manifest.vectors, vectors()?);
        if !SimdPath::named(before).is_some_and(|before| before.same_bits_as(here)) {
            tracing::warn!(
                "the run was trained with {before} vectors and goes on with {here:?}: the last \
                 bits differ; {}={} keeps them where the processor has those",
                hg_lstm::kernel::VECTORS,
                before.to_lowercase()
            );
        }
        Ok(())
    }

    /// The iterations that `metrics.jsonl` tells of.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn metrics(&self) -> Result<Vec<StepMetrics>> {
        record::read(&self.folder)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        write_atomically(&self.folder.join(name), |file| {
            file.write_all(text.as_bytes()).map_err(|e| self.failed(name, e))
        })
    }

    fn failed(&self, name: &str, source: std::io::Error) -> Error {
        Error::Write { path: self.folder.join(name), what: "the run's description", source }
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|e| Error::Run { path: path.to_owned(), problem: e.to_string() })
}

/// Puts weights from elsewhere, as [`Run::import`] takes them, into an empty store, as what a training with
/// these settings on these patients came to.
///
/// # Errors
/// When the weights cannot be read, or do not fit encoder and settings.
pub fn import_weights(
    (config, encoder, encoded): (&TrainConfig, &Encoder, &Encoded),
    (generator, critic): (&Path, Option<&Path>),
    store: &mut dyn Store,
) -> Result<()> {
    if config.privacy.is_on() {
        let problem = "weights from elsewhere come with no guarantee, and `privacy.epsilon` is finite\n\
                       hint: leave it out, or train from the beginning";
        return Err(Error::Config(problem.into()));
    }
    let mut trainer = Trainer::new(config, &layout_of(encoder), encoded)?;
    trainer.import(generator, critic)?;
    store.save(Checkpoint::of(&trainer)?)?;
    Resampling::learn(config, encoder, encoded, store)
}

/// `H` and `Z` of a generator's weights.
///
/// # Errors
/// When they are not those of a generator.
pub(crate) fn sizes_of(generator: &Path) -> Result<(usize, usize)> {
    let weights = read_weights(generator)?;
    let name = "rnn_f.i2h.weight";
    match weights.get(name).map(Tensor::dims) {
        Some(&[gates, latent]) if gates > 0 && gates % 4 == 0 => Ok((gates / 4, latent)),
        _ => Err(Error::Run {
            path: generator.to_owned(),
            problem: format!(
                "has no `{name}` [4 × hidden, latent]\nhint: is it Health Gym's generator?"
            ),
        }),
    }
}

/// Whether a critic's weights are those of one that compares rows.
///
/// # Errors
/// When the file holds no weights.
pub(crate) fn critic_compares(critic: &Path) -> Result<bool> {
    Ok(read_weights(critic)?.contains_key(COMPARED))
}

/// A run folder as the store of a session.
#[derive(Debug)]
pub struct RunStore {
    folder: PathBuf,
    record: Option<Record>,
}

impl RunStore {
    fn checkpoints(&self) -> PathBuf {
        self.folder.join(CHECKPOINTS)
    }

    /// What a JSON file of the folder holds; `None` where it is not there. `hint` is the way out where it
    /// cannot be used.
    fn read<T: DeserializeOwned>(&self, name: &str, hint: &str) -> Result<Option<T>> {
        let path = self.folder.join(name);
        let problem = |problem: String| Error::Run { path: path.clone(), problem };
        if !path.exists() {
            return Ok(None);
        }
        let json = std::fs::read(&path).map_err(|e| problem(format!("cannot be read: {e}")))?;
        let read = serde_json::from_slice(&json)
            .map_err(|e| problem(format!("cannot be used: {e}\nhint: {hint}")))?;
        Ok(Some(read))
    }
}

impl Store for RunStore {
    fn save(&mut self, checkpoint: Checkpoint) -> Result<()> {
        checkpoint::save(&checkpoint, &self.checkpoints())
    }

    fn save_best(&mut self, checkpoint: Checkpoint) -> Result<()> {
        checkpoint::save_best(&checkpoint, &self.checkpoints())
    }

    fn newest(&self) -> Result<Option<Checkpoint>> {
        checkpoint::newest(&self.checkpoints())
    }

    fn best(&self) -> Result<Option<Checkpoint>> {
        checkpoint::best(&self.checkpoints())
    }

    fn save_resampling(&mut self, resampling: Resampling) -> Result<()> {
        let path = self.folder.join(RESAMPLING);
        let failed = |source| {
            let what = "what chooses among patients";
            Error::Write { path: path.clone(), what, source }
        };
        let json = serde_json::to_vec(&resampling).map_err(|e| failed(e.into()))?;
        write_atomically(&path, |file| file.write_all(&json).map_err(failed))
    }

    fn resampling(&self) -> Result<Option<Resampling>> {
        self.read(RESAMPLING, "remove it, and `hg train --resume` learns it again")
    }

    fn charge(&mut self, spent: Spent) -> Result<()> {
        let path = self.folder.join(SPENT);
        let failed =
            |source| Error::Write { path: path.clone(), what: "the privacy budget", source };
        let json = serde_json::to_vec_pretty(&spent).map_err(|e| failed(e.into()))?;
        write_atomically(&path, |file| file.write_all(&json).map_err(failed))
    }

    fn charged(&self) -> Result<Option<Spent>> {
        self.read(SPENT, "without it nobody knows what was spent; the run cannot go on")
    }

    fn record_from(&mut self, iteration: u64) -> Result<()> {
        self.record = Some(Record::up_to(&self.folder, iteration)?);
        Ok(())
    }

    fn record(&mut self, step: &StepMetrics) -> Result<()> {
        self.record.as_mut().map_or(Ok(()), |record| record.add(step))
    }

    fn steps(&self) -> Result<Vec<StepMetrics>> {
        record::read(&self.folder)
    }
}

fn require_absent(folder: &Path) -> Result<()> {
    if folder.exists() {
        let problem = "already exists\nhint: choose another folder, or go on with a run by \
                       `hg train --resume`";
        return Err(Error::Run { path: folder.to_owned(), problem: problem.into() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_from_before_a_setting_does_without_it() {
        let train = "[train]\niterations = 7\n[train.model]\nhidden = 16\n";
        let head = "encoder_sha256 = \"\"\nvectors = \"Portable\"\n";
        let program = "[program]\nversion = \"0.2.0\"\ncommit = \"\"\ncrates = []\ntarget = \"\"\n";
        let text = format!("{head}{train}{program}");
        let old = RunManifest::parse(&text, Path::new("run.toml")).expect("a manifest");
        let model = &old.train.model;
        assert_eq!((model.patient_latent, model.calibration), (0., false));
        assert!(!model.critic_compares && !model.generator_carries && !model.resampling);
        assert_eq!(old.train.model.hidden, 16);
        // One of today says what it has.
        let today = RunManifest::of(TrainConfig::default(), Program::default()).expect("vectors");
        let text = toml::to_string(&today).expect("TOML");
        let read = RunManifest::parse(&text, Path::new("run.toml")).expect("a manifest");
        assert_eq!(read.train, TrainConfig::default());
    }
}
