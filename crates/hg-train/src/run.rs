//! The run folder: everything about one training run.
//!
//! ```text
//! run.toml        settings, seed, fingerprints of table and schema, version
//! encoder.json    the fitted encoder: generating needs no private table
//! metrics.jsonl   one line an iteration
//! tensorboard/    the same for TensorBoard
//! checkpoints/    the newest three, and that with the best validation score
//! synthetic.csv, synthetic.parquet
//! report/
//! ```

use crate::checkpoint;
use crate::random::Purpose;
use crate::record::{self, Record};
use crate::synthesis::{Source, draw_lengths, rows};
use crate::{
    CheckpointSelection, Error, Result, StepMetrics, TrainConfig, Trainer, ValidationScore,
    layout_of,
};
use candle_core::{DType, Device, Tensor};
use hg_data::{DataFrame, Encoded, Encoder, Schema, Subset, fill_then_rename, write_atomically};
use hg_lstm::kernel::SimdPath;
use hg_models::{Generator, read_weights};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Synthetic patients that a validation judges.
const VALIDATION_PATIENTS: usize = 512;

/// What happens in training.
#[derive(Clone, Debug)]
pub enum Event {
    /// An iteration was done.
    Step(StepMetrics),
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
    /// Validation got no better.
    NoBetter,
    /// The observer stopped it; it can go on.
    Stopped,
}

/// The contents of `run.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunManifest {
    /// The table.
    pub data: PathBuf,
    /// Its SHA-256.
    pub data_sha256: String,
    /// The schema.
    pub schema: PathBuf,
    /// Its SHA-256.
    pub schema_sha256: String,
    /// The SHA-256 of `encoder.json`.
    pub encoder_sha256: String,
    /// The vector instructions that training used; others give other last bits.
    pub vectors: String,
    /// Every setting, resolved.
    pub train: TrainConfig,
    /// The program that made the run.
    pub program: Program,
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
    /// is left behind when that fails.
    ///
    /// # Errors
    /// When the folder exists or cannot be written, or the table does not fit
    /// the schema.
    pub fn create(
        folder: &Path,
        data: &Path,
        schema_path: &Path,
        train: TrainConfig,
        program: Program,
    ) -> Result<(Self, Encoded)> {
        train.check()?;
        train.device.open()?;
        if folder.exists() {
            let problem = "already exists; choose another --out, or go on with --resume";
            return Err(Error::Run { path: folder.to_owned(), problem: problem.into() });
        }
        let schema = Schema::load(schema_path)?;
        let (encoder, encoded) = Encoder::fit_file(&schema, data, train.training_subset())?;
        let json = encoder
            .to_json()
            .map_err(|e| Error::Config(format!("cannot write encoder.json: {e}")))?;
        let manifest = RunManifest {
            data: absolute(data)?,
            data_sha256: hg_data::fingerprint(data)?,
            schema: absolute(schema_path)?,
            schema_sha256: hg_data::fingerprint(schema_path)?,
            encoder_sha256: hg_data::fingerprint_of(json.as_bytes()),
            train,
            program,
            vectors: format!("{:?}", vectors()?),
        };
        let run = Self { folder: folder.to_owned(), manifest, encoder };
        for part in [run.checkpoints(), run.report()] {
            std::fs::create_dir_all(&part).map_err(|e| Error::Run {
                path: part.clone(),
                problem: format!("cannot make the run folder: {e}; choose another --out"),
            })?;
        }
        let toml = toml::to_string(&run.manifest)
            .map_err(|e| Error::Config(format!("cannot write run.toml: {e}")))?;
        run.write("encoder.json", &json)?;
        run.write("run.toml", &toml)?;
        Ok((run, encoded))
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
        let (run, encoded) = Self::create(folder, data, schema, train, program)?;
        let filled = (|| {
            let mut trainer = run.trainer(&encoded)?;
            trainer.import(generator, critic)?;
            checkpoint::save(&trainer, &run.checkpoints())
        })();
        if let Err(error) = filled {
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
        let weights = self.weights()?;
        if folder.exists() {
            let problem = "already exists; choose another --out";
            return Err(Error::Run { path: folder.to_owned(), problem: problem.into() });
        }
        let failed = |path: &Path, e| Error::Run {
            path: path.to_owned(),
            problem: format!("cannot write: {e}"),
        };
        std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
        for (from, to) in [
            (checkpoint::AVERAGED, checkpoint::GENERATOR),
            (checkpoint::CRITIC, checkpoint::CRITIC),
        ] {
            let to = folder.join(to);
            let copied: Result<()> = fill_then_rename(&to, |temporary| {
                std::fs::copy(weights.join(from), temporary).map_err(|e| failed(&to, e))?;
                Ok(())
            });
            copied?;
        }
        Ok(())
    }

    /// Makes a run with this one's table, schema and settings.
    ///
    /// # Errors
    /// As [`Run::create`], and when table or schema are not those of this run any more.
    pub fn again(&self, folder: &Path, program: Program) -> Result<(Self, Encoded)> {
        let RunManifest { data, schema, schema_sha256, train, .. } = &self.manifest;
        self.check_data()?;
        if hg_data::fingerprint(schema)? != *schema_sha256 {
            let problem = "is not the schema of the run any more (its SHA-256 differs)";
            return Err(Error::Run { path: schema.clone(), problem: problem.into() });
        }
        Self::create(folder, data, schema, train.clone(), program)
    }

    /// Opens a run folder.
    ///
    /// # Errors
    /// When it is none.
    pub fn open(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path)
                .map_err(|e| Error::Run { path, problem: format!("is this a run folder? {e}") })
        };
        let broken = |name: &str, problem: String| Error::Run { path: folder.join(name), problem };
        let manifest: RunManifest =
            toml::from_str(&read("run.toml")?).map_err(|e| broken("run.toml", e.to_string()))?;
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
            self.manifest.data = absolute(data)?;
            self.check_data()?;
        }
        Ok(self)
    }

    /// Refuses a real table that is not the run's any more.
    ///
    /// # Errors
    /// When it is gone or its SHA-256 differs.
    pub fn check_data(&self) -> Result<()> {
        let RunManifest { data, data_sha256, .. } = &self.manifest;
        let refuse = |problem: String| {
            let hint = "hint: if the table has moved, say where it is now with --data TABLE";
            Err(Error::Run { path: data.clone(), problem: format!("{problem}\n{hint}") })
        };
        match hg_data::fingerprint(data) {
            Ok(found) if found == *data_sha256 => Ok(()),
            Ok(_) => refuse("is not the table of the run any more (its SHA-256 differs)".into()),
            Err(hg_data::Error::File { path, problem }) if path == *data => {
                refuse(format!("the table of the run: {problem}"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The real patients that the run was trained on, encoded again.
    ///
    /// # Errors
    /// When it is gone, or no longer the table of the run's fingerprint.
    pub fn real(&self) -> Result<Encoded> {
        self.check_data()?;
        self.encode_subset(self.manifest.train.training_subset())
    }

    /// One side of the run's real table, encoded.
    ///
    /// # Errors
    /// When it is gone, or does not fit any more.
    pub fn encode_subset(&self, side: Subset) -> Result<Encoded> {
        Ok(self.encoder.encode_file(&self.manifest.data, side)?)
    }

    /// The synthetic cohort as CSV.
    pub fn synthetic_csv(&self) -> PathBuf {
        self.folder.join("synthetic.csv")
    }

    /// The synthetic cohort as Parquet.
    pub fn synthetic_parquet(&self) -> PathBuf {
        self.folder.join("synthetic.parquet")
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
        self.folder.join("checkpoints")
    }

    /// The checkpoint whose weights sampling takes.
    ///
    /// # Errors
    /// When there is none.
    fn weights(&self) -> Result<PathBuf> {
        let folder = self.checkpoints();
        let best = match self.manifest.train.select {
            CheckpointSelection::Best => checkpoint::best(&folder)?,
            CheckpointSelection::Last => None,
        };
        let chosen = match best {
            Some(best) => Some(best),
            None => checkpoint::newest(&folder)?,
        };
        let problem = "holds no checkpoint; train the run first";
        chosen.ok_or_else(|| Error::Run { path: folder, problem: problem.into() })
    }

    /// A trainer at the newest checkpoint, or at the beginning if there is none.
    ///
    /// # Errors
    /// When the checkpoint is damaged.
    pub fn trainer(&self, encoded: &Encoded) -> Result<Trainer> {
        let mut trainer = Trainer::new(&self.manifest.train, &layout_of(&self.encoder), encoded)?;
        if let Some(newest) = checkpoint::newest(&self.checkpoints())? {
            let (before, here) = (&self.manifest.vectors, vectors()?);
            if !SimdPath::named(before).is_some_and(|before| before.same_bits_as(here)) {
                tracing::warn!(
                    "the run was trained with {before} vectors and goes on with {here:?}: the last bits differ; \
                     {}={} keeps them where the processor has those",
                    hg_lstm::kernel::VECTORS,
                    before.to_lowercase()
                );
            }
            checkpoint::restore(&mut trainer, &newest)?;
        }
        Ok(trainer)
    }

    /// The iterations that `metrics.jsonl` tells of.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn metrics(&self) -> Result<Vec<StepMetrics>> {
        record::read(&self.folder)
    }

    /// Trains up to the manifest's iterations, or until validation gets no better. `judge`
    /// says how good a synthetic cohort is, without it nothing is validated; `observe`
    /// sees every event and may stop.
    ///
    /// # Errors
    /// When training diverges and may not restart, or a file cannot be written.
    pub fn train(
        &self,
        trainer: &mut Trainer,
        judge: Option<&dyn Fn(&Encoded) -> ValidationScore>,
        mut observe: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<Outcome> {
        let TrainConfig { iterations, checkpoint_every, patience, restarts, .. } =
            self.manifest.train;
        let folder = self.checkpoints();
        let mut record = Record::up_to(&self.folder, trainer.iteration())?;
        if restarts > 0 && trainer.iteration() == 0 {
            checkpoint::save(trainer, &folder)?;
        }
        let mut goes_on = true;
        let gives_up = |trainer: &Trainer| patience > 0 && trainer.standing.since_best >= patience;
        while goes_on && trainer.iteration() < iterations && !gives_up(trainer) {
            let step = match self.advance(trainer, judge) {
                Err(Error::Diverged { iteration, problem }) => {
                    let restart = self.back(trainer, iteration, problem)?;
                    record = Record::up_to(&self.folder, trainer.iteration())?;
                    goes_on = observe(&restart).is_continue();
                    continue;
                }
                step => step?,
            };
            record.add(&step)?;
            goes_on = observe(&Event::Step(step)).is_continue();
            let last = !goes_on || step.iteration == iterations || gives_up(trainer);
            if last || step.iteration.is_multiple_of(checkpoint_every) {
                checkpoint::save(trainer, &folder)?;
            }
        }
        Ok(if trainer.iteration() == iterations {
            Outcome::Done
        } else if gives_up(trainer) {
            Outcome::NoBetter
        } else {
            Outcome::Stopped
        })
    }

    /// An iteration, and its validation where that is due.
    fn advance(
        &self,
        trainer: &mut Trainer,
        judge: Option<&dyn Fn(&Encoded) -> ValidationScore>,
    ) -> Result<StepMetrics> {
        let TrainConfig { iterations, validate_every, .. } = self.manifest.train;
        let mut step = trainer.step()?;
        let due = validate_every > 0
            && (step.iteration.is_multiple_of(validate_every) || step.iteration == iterations);
        if let Some(judge) = judge.filter(|_| due) {
            let judgement = judge(&trainer.trial(&self.encoder.lengths, VALIDATION_PATIENTS)?);
            step.validation = Some(judgement.score);
            if trainer.standing.judge(step.iteration, judgement)? {
                checkpoint::save_best(trainer, &self.checkpoints())?;
            }
        }
        Ok(step)
    }

    /// Puts a trainer that diverged where the newest checkpoint is, with half the learning
    /// rate.
    fn back(&self, trainer: &mut Trainer, iteration: u64, problem: String) -> Result<Event> {
        let allowed = self.manifest.train.restarts;
        let restarts = trainer.standing.restarts + 1;
        let newest = checkpoint::newest(&self.checkpoints())?;
        let Some(newest) = newest.filter(|_| restarts <= allowed) else {
            let kept = "what was saved before is kept, and `hg generate` works with it";
            let mend = match allowed {
                0 => "lower learning_rate, or set restarts = 3 to go back and on with half of it",
                _ => "lower learning_rate; restarts are used up",
            };
            return Err(Error::Diverged {
                iteration,
                problem: format!("{problem}; {kept}; {mend}"),
            });
        };
        checkpoint::restore(trainer, &newest)?;
        trainer.standing.restarts = restarts;
        Ok(Event::Restarted {
            diverged_at: iteration,
            problem,
            from: trainer.iteration(),
            rate: trainer.standing.rate() * self.manifest.train.learning_rate,
        })
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        write_atomically(&self.folder.join(name), |file| {
            file.write_all(text.as_bytes()).map_err(|e| self.failed(name, e))
        })
    }

    fn failed(&self, name: &str, error: std::io::Error) -> Error {
        Error::Run { path: self.folder.join(name), problem: format!("cannot write: {error}") }
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|e| Error::Run { path: path.to_owned(), problem: e.to_string() })
}

/// `H` and `Z` of a generator's weights.
///
/// # Errors
/// When they are not those of a generator.
pub fn sizes_of(generator: &Path) -> Result<(usize, usize)> {
    let weights = read_weights(generator)?;
    let name = "rnn_f.i2h.weight";
    match weights.get(name).map(Tensor::dims) {
        Some(&[gates, latent]) if gates > 0 && gates % 4 == 0 => Ok((gates / 4, latent)),
        _ => Err(Error::Run {
            path: generator.to_owned(),
            problem: format!("has no «{name}» [4 × hidden, latent]; is it Health Gym's generator?"),
        }),
    }
}

/// Generates a cohort with a run's averaged generator; it needs the run folder
/// alone. Lengths are drawn with the real cohort's frequencies.
///
/// # Errors
/// When the run holds no checkpoint, or `patients` is 0.
pub fn generate(run: &Run, patients: usize, seed: u64) -> Result<DataFrame> {
    if patients == 0 {
        return Err(Error::Config("patients is 0, it must be at least 1".into()));
    }
    let encoder = &run.encoder;
    let weights = run.weights()?.join(checkpoint::AVERAGED);
    let train = &run.manifest.train;
    let config = train.generator(&layout_of(encoder));
    let generator = Generator::load(config, &weights, DType::F32, &Device::Cpu)?;
    let source = Source { seed, noise: Purpose::Generation, lengths: Purpose::Lengths };
    let lengths = draw_lengths(&encoder.lengths, patients, source);
    let values = rows(&generator, train, &lengths, source)?;
    let steps = lengths.iter().copied().max().unwrap_or(1);
    Ok(encoder.decode(&values, &lengths, steps, seed)?)
}
