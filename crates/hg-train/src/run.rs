//! The run folder: everything about one training run.
//!
//! ```text
//! run.toml        settings, seed, fingerprints of table and schema, version
//! encoder.json    the fitted encoder: generating needs no private table
//! metrics.jsonl   one line an iteration
//! checkpoints/    the newest three
//! synthetic.csv, synthetic.parquet
//! report/
//! ```

use crate::checkpoint;
use crate::random::{Purpose, noise_of, stream};
use crate::{Error, Result, StepMetrics, TrainConfig, Trainer, layout_of};
use candle_core::{DType, Device};
use hg_data::{DataFrame, Encoded, Encoder, Schema, write_atomically};
use hg_lstm::Lengths;
use hg_models::{Engine, Generator};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

/// Patients generated at once.
const GENERATED_TOGETHER: usize = 256;

/// The contents of `run.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunManifest {
    /// Version of Health Gym.
    pub version: String,
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
    /// Every setting, resolved.
    pub train: TrainConfig,
}

/// A run folder.
#[derive(Clone, Debug)]
pub struct Run {
    folder: PathBuf,
    /// What is in `run.toml`.
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
    ) -> Result<(Self, Encoded)> {
        train.check()?;
        if folder.exists() {
            let problem = "already exists; choose another --out, or go on with --resume";
            return Err(Error::Run { path: folder.to_owned(), problem: problem.into() });
        }
        let schema = Schema::load(schema_path)?;
        let (encoder, encoded) = Encoder::fit_file(&schema, data, train.training_side())?;
        let json = serde_json::to_string_pretty(&encoder)
            .map_err(|e| Error::Config(format!("cannot write encoder.json: {e}")))?;
        let manifest = RunManifest {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            data: absolute(data)?,
            data_sha256: hg_data::fingerprint(data)?,
            schema: absolute(schema_path)?,
            schema_sha256: hg_data::fingerprint(schema_path)?,
            encoder_sha256: hg_data::fingerprint_of(json.as_bytes()),
            train,
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

    /// Makes a run with this one's table, schema and settings.
    ///
    /// # Errors
    /// As [`Run::create`], and when table or schema are not those of this run any more.
    pub fn again(&self, folder: &Path) -> Result<(Self, Encoded)> {
        let RunManifest { data, schema, schema_sha256, train, .. } = &self.manifest;
        self.check_data()?;
        if hg_data::fingerprint(schema)? != *schema_sha256 {
            let problem = "is not the schema of the run any more (its SHA-256 differs)";
            return Err(Error::Run { path: schema.clone(), problem: problem.into() });
        }
        Self::create(folder, data, schema, train.clone())
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
            serde_json::from_str(&json).map_err(|e| broken("encoder.json", e.to_string()))?;
        Ok(Self { folder: folder.to_owned(), manifest, encoder })
    }

    /// Refuses a real table that is not the run's any more.
    ///
    /// # Errors
    /// When it is gone or its SHA-256 differs.
    pub fn check_data(&self) -> Result<()> {
        let RunManifest { data, data_sha256, .. } = &self.manifest;
        if hg_data::fingerprint(data)? != *data_sha256 {
            let problem = "is not the table of the run any more (its SHA-256 differs)";
            return Err(Error::Run { path: data.clone(), problem: problem.into() });
        }
        Ok(())
    }

    /// The real patients that the run was trained on, encoded again.
    ///
    /// # Errors
    /// When it is gone, or no longer the table of the run's fingerprint.
    pub fn real(&self) -> Result<Encoded> {
        self.check_data()?;
        let data = &self.manifest.data;
        Ok(self.encoder.encode_file(data, self.manifest.train.training_side())?)
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

    /// A trainer at the newest checkpoint, or at the beginning if there is none.
    ///
    /// # Errors
    /// When the checkpoint is damaged.
    pub fn trainer(&self, encoded: &Encoded) -> Result<Trainer> {
        let mut trainer = Trainer::new(&self.manifest.train, &layout_of(&self.encoder), encoded)?;
        if let Some(newest) = checkpoint::newest(&self.checkpoints())? {
            checkpoint::restore(&mut trainer, &newest)?;
        }
        Ok(trainer)
    }

    /// Trains up to the manifest's iterations with a checkpoint now and then;
    /// `observe` sees every iteration and may stop by returning `false`.
    ///
    /// # Errors
    /// When training diverges or a file cannot be written.
    pub fn train(
        &self,
        trainer: &mut Trainer,
        mut observe: impl FnMut(&StepMetrics) -> bool,
    ) -> Result<bool> {
        let TrainConfig { iterations, checkpoint_every, .. } = self.manifest.train;
        let mut metrics = self.metrics_up_to(trainer.iteration())?;
        let mut goes_on = true;
        while goes_on && trainer.iteration() < iterations {
            let step = trainer.step()?;
            let line = serde_json::to_string(&step)
                .map_err(|e| Error::Config(format!("cannot write metrics: {e}")))?;
            writeln!(metrics, "{line}").map_err(|e| self.failed("metrics.jsonl", e))?;
            goes_on = observe(&step);
            let last = !goes_on || step.iteration == iterations;
            if last || step.iteration.is_multiple_of(checkpoint_every) {
                metrics.flush().map_err(|e| self.failed("metrics.jsonl", e))?;
                checkpoint::save(trainer, &self.checkpoints())?;
            }
        }
        Ok(trainer.iteration() == iterations)
    }

    /// `metrics.jsonl`, cut after an iteration and open for more.
    fn metrics_up_to(&self, iteration: u64) -> Result<std::io::BufWriter<std::fs::File>> {
        let name = "metrics.jsonl";
        let path = self.folder.join(name);
        let kept: Vec<String> = match std::fs::File::open(&path) {
            Ok(file) => std::io::BufReader::new(file)
                .lines()
                .map_while(std::result::Result::ok)
                .take(iteration as usize)
                .collect(),
            Err(_) => Vec::new(),
        };
        let text: String = kept.into_iter().map(|line| line + "\n").collect();
        self.write(name, &text)?;
        let file = std::fs::File::options().append(true).open(&path);
        Ok(std::io::BufWriter::new(file.map_err(|e| self.failed(name, e))?))
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

/// Generates a cohort with a run's averaged generator; it needs the run folder
/// alone. Lengths are drawn with the real cohort's frequencies.
///
/// # Errors
/// When the run holds no checkpoint, or `patients` is 0.
pub fn generate(run: &Run, patients: usize, seed: u64) -> Result<DataFrame> {
    if patients == 0 {
        return Err(Error::Config("patients is 0, it must be at least 1".into()));
    }
    let TrainConfig { latent, .. } = run.manifest.train;
    let encoder = &run.encoder;
    let newest = checkpoint::newest(&run.checkpoints())?.ok_or_else(|| Error::Run {
        path: run.checkpoints(),
        problem: "holds no checkpoint; train the run first".into(),
    })?;
    let weights = newest.join(checkpoint::AVERAGED);
    let layout = layout_of(encoder);
    let config = run.manifest.train.generator(&layout);
    let generator = Generator::load(config, &weights, DType::F32, &Device::Cpu)?;

    let mut rng = stream(seed, Purpose::Lengths, 0);
    let all: usize = encoder.lengths.iter().sum();
    let mut draw_length = || {
        let mut position = rng.random_range(0..all.max(1));
        let found = encoder.lengths.iter().position(|&count| {
            let here = position < count;
            position = position.saturating_sub(count);
            here
        });
        found.unwrap_or(1)
    };
    let lengths: Vec<usize> = (0..patients).map(|_| draw_length()).collect();
    let steps = lengths.iter().copied().max().unwrap_or(1);
    let mut values = Vec::with_capacity(patients * steps * encoder.features());
    let mut engine = Engine::<f32>::new(generator.config(), &run.manifest.train.critic(&layout));
    for (batch, lengths) in lengths.chunks(GENERATED_TOGETHER).enumerate() {
        let noise = |sequence: usize, values: &mut [f32]| {
            let patient = batch * GENERATED_TOGETHER + sequence;
            noise_of(latent, seed, Purpose::Generation, 0, patient, values);
        };
        let lengths = Lengths::new(lengths.to_vec(), steps)?;
        let rows = engine.generate(generator.parameters(), &lengths, &noise)?;
        values.extend(rows);
    }
    Ok(encoder.decode(&values, &lengths, steps, seed)?)
}
