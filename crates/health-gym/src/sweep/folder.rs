//! A sweep's folder: what it is, and how far each run is.

use super::file::{PlannedRun, Sweep};
use super::{refused, unwritable};
use crate::{Error, Result};
use hg_data::{Encoder, Schema, Subset, write_atomically};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

const RECORD: &str = "sweep.toml";
/// Locks, and notes of failures.
const STATE: &str = ".sweep";
/// What `hg train` writes last.
const LAST_OF_RUN: &str = "card.json";
const FIRST_OF_RUN: &str = "run.toml";

/// The folder of a sweep.
#[derive(Debug)]
pub struct SweepFolder {
    path: PathBuf,
    pub(super) record: Record,
    has_locks: bool,
}

/// What `sweep.toml` says: the sweep with every run by its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    data: PathBuf,
    data_sha256: String,
    schema: PathBuf,
    schema_sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preset: Option<String>,
    settings: Table,
    pub(super) runs: Vec<RecordedRun>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordedRun {
    pub(super) name: String,
    pub(super) combination: usize,
    pub(super) seed: u64,
    pub(super) settings: BTreeMap<String, Value>,
}

impl Record {
    fn of(sweep: &Sweep) -> Result<Self> {
        let Sweep { data, schema, preset, settings, .. } = sweep;
        let run = |run: &PlannedRun| RecordedRun {
            name: run.name.clone(),
            combination: run.combination,
            seed: run.seed,
            settings: run.settings.clone(),
        };
        Ok(Self {
            data: data.clone(),
            data_sha256: hg_data::fingerprint(data)?,
            schema: schema.clone(),
            schema_sha256: hg_data::fingerprint(schema)?,
            preset: preset.clone(),
            settings: settings.clone(),
            runs: sweep.runs.iter().map(run).collect(),
        })
    }

    /// What another sweep has otherwise. Table and schema may have moved.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        let differs = [
            ("another table", self.data_sha256 != other.data_sha256),
            ("another schema", self.schema_sha256 != other.schema_sha256),
            ("another preset", self.preset != other.preset),
            ("other settings", self.settings != other.settings),
            ("other runs", self.runs != other.runs),
        ];
        differs.into_iter().find(|(_, differs)| *differs).map(|(what, _)| what)
    }
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// Nothing has been done.
    Waiting,
    /// It is being trained, or was interrupted.
    Begun,
    /// Cohort, report and card are there.
    Done,
    /// It ended without.
    Failed(Failure),
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What it said.
    pub message: String,
    /// Whether it would fail again: training diverged.
    pub is_final: bool,
}

impl Failure {
    /// Of an error that ended a run.
    pub fn of(error: &Error) -> Self {
        let is_final = matches!(error, Error::Train(hg_train::Error::Diverged { .. }));
        Self { message: error.to_string(), is_final }
    }
}

/// What a worker finds of a run that it would do.
#[derive(Debug)]
pub enum Claim {
    /// It is done.
    Done,
    /// It failed before, and would again.
    Failed(Failure),
    /// Another process is at it, which says of itself who it is.
    Busy(String),
    /// It is the worker's, as long as it keeps the lock.
    Ours(RunLock),
}

/// The lock of a run; a process that ends, however it does, gives it back.
#[derive(Debug)]
pub struct RunLock(#[expect(dead_code, reason = "it locks until it is closed")] File);

impl SweepFolder {
    /// The folder of a sweep, made where it is not there.
    ///
    /// # Errors
    /// When it is the folder of another sweep or holds anything else, and when it cannot be written.
    pub fn of(path: &Path, sweep: &Sweep) -> Result<Self> {
        let record = Record::of(sweep)?;
        let refuse_others = || -> Result<()> {
            let mut entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            let is_sweep = path.join(RECORD).exists() || path.join(STATE).exists();
            match is_sweep || entries.next().is_none() {
                true => Ok(()),
                false => Err(refused(
                    path,
                    "is there, and is no sweep's folder\nhint: choose another --out",
                )),
            }
        };
        refuse_others()?;
        let state = path.join(STATE);
        std::fs::create_dir_all(&state).map_err(unwritable(&state))?;

        // One worker says what the sweep is; the others wait, and compare.
        let lock = state.join("sweep.lock");
        let lock_file = File::create(&lock).map_err(unwritable(&lock))?;
        let has_locks = lock_file.lock().is_ok();
        let file = path.join(RECORD);
        if !file.exists() {
            // A table that does not fit would fail every run.
            Encoder::fit_file(&Schema::load(&sweep.schema)?, &sweep.data, Subset::Whole)?;
            let text = toml::to_string(&record).map_err(|e| refused(&file, e.to_string()))?;
            let text =
                format!("# Written by `hg sweep`: what each run is. Do not change it.\n{text}");
            write_atomically(&file, |out| {
                out.write_all(text.as_bytes()).map_err(unwritable(&file))
            })?;
        }
        let folder = Self { has_locks, ..Self::open(path)? };
        if let Some(what) = folder.record.difference(&record) {
            let problem = format!(
                "is the folder of another sweep: it has {what}\nhint: choose another --out, or sweep.toml in \
                 it says what it is"
            );
            return Err(refused(path, problem));
        }
        Ok(folder)
    }

    /// The folder of a sweep that was begun.
    ///
    /// # Errors
    /// When it is none.
    pub fn open(path: &Path) -> Result<Self> {
        let file = path.join(RECORD);
        let text = std::fs::read_to_string(&file).map_err(|e| {
            refused(&file, format!("cannot be read: {e}\nhint: is this a sweep's folder?"))
        })?;
        let record =
            toml::from_str(&text).map_err(|e| refused(&file, format!("is damaged: {e}")))?;
        Ok(Self { path: path.to_owned(), record, has_locks: false })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a run that is claimed is locked: not every file system over a network can do that.
    pub fn has_locks(&self) -> bool {
        self.has_locks
    }

    /// The folder of a run.
    pub fn run(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// How far a run is.
    ///
    /// # Errors
    /// When a note of a failure cannot be read.
    pub fn state(&self, name: &str) -> Result<RunState> {
        let run = self.run(name);
        if run.join(LAST_OF_RUN).exists() {
            return Ok(RunState::Done);
        }
        let note = self.note(name);
        match std::fs::read(&note) {
            Ok(json) => Ok(RunState::Failed(
                serde_json::from_slice(&json).map_err(|e| refused(&note, e.to_string()))?,
            )),
            Err(e) if e.kind() != ErrorKind::NotFound => Err(refused(&note, e.to_string())),
            Err(_) if run.exists() => Ok(RunState::Begun),
            Err(_) => Ok(RunState::Waiting),
        }
    }

    /// Takes a run, where nobody else does it and there is something to do.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn claim(&self, name: &str) -> Result<Claim> {
        let path = self.path.join(STATE).join(format!("{name}.lock"));
        let opened = File::options().create(true).append(true).open(&path);
        let mut file = opened.map_err(unwritable(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let who = std::fs::read_to_string(&path).unwrap_or_default();
                return Ok(Claim::Busy(who.lines().last().unwrap_or("another process").to_owned()));
            }
            // Whoever has no locks was told so.
            Err(TryLockError::Error(_)) if !self.has_locks => {}
            Err(TryLockError::Error(e)) => return Err(unwritable(&path)(e)),
        }
        match self.state(name)? {
            RunState::Done => return Ok(Claim::Done),
            // Whoever removes its folder wants it done again.
            RunState::Failed(failure) if failure.is_final && self.run(name).exists() => {
                return Ok(Claim::Failed(failure));
            }
            _ => {}
        }
        let note = self.note(name);
        match std::fs::remove_file(&note) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(unwritable(&note)(e)),
            _ => {}
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = if host.is_empty() { "this machine or another" } else { host.trim() };
        file.set_len(0).map_err(unwritable(&path))?;
        writeln!(file, "process {} on {host}", std::process::id()).map_err(unwritable(&path))?;
        Ok(Claim::Ours(RunLock(file)))
    }

    /// Whether a run that is claimed was begun, so that it can go on; what is left of one that was
    /// stopped before that is removed.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn is_begun(&self, name: &str) -> Result<bool> {
        let run = self.run(name);
        if run.join(FIRST_OF_RUN).exists() {
            return Ok(true);
        }
        match std::fs::remove_dir_all(&run) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(unwritable(&run)(e)),
            _ => Ok(false),
        }
    }

    /// Notes that a run failed.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn note_failure(&self, name: &str, failure: &Failure) -> Result<()> {
        let path = self.note(name);
        let json = serde_json::to_vec_pretty(failure)?;
        write_atomically(&path, |file| file.write_all(&json).map_err(unwritable(&path)))
    }

    fn note(&self, name: &str) -> PathBuf {
        self.path.join(STATE).join(format!("{name}.failed.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sweep of two seeds on pbc, and its folder.
    fn sweep(folder: &Path, rest: &str) -> Sweep {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let of = |file: &str| format!("{:?}", root.join(file).display().to_string());
        let (data, schema) = (of("data/pbc/pbcseq.csv"), of("data-schemas/pbc.toml"));
        let path = folder.join("my.toml");
        std::fs::write(&path, format!("data = {data}\nschema = {schema}\n{rest}")).expect("writes");
        Sweep::load(&path).expect("a sweep")
    }

    #[test]
    fn a_folder_is_of_one_sweep() {
        let scratch = tempfile::tempdir().expect("a folder");
        let out = scratch.path().join("out");
        let two = sweep(scratch.path(), "seeds = [0, 1]\n");
        SweepFolder::of(&out, &two).expect("made");
        let written = std::fs::read(out.join(RECORD)).expect("reads");
        SweepFolder::of(&out, &two).expect("the same");
        for (rest, what) in [
            ("seeds = [0, 2]\n", "other runs"),
            ("preset = \"demo\"\nseeds = [0, 1]\n", "another preset"),
            ("seeds = [0, 1]\n[settings]\niterations = 3\n", "other settings"),
        ] {
            let other = SweepFolder::of(&out, &sweep(scratch.path(), rest));
            assert!(other.is_err_and(|e| e.to_string().contains(what)), "{rest}");
        }
        assert_eq!(std::fs::read(out.join(RECORD)).expect("reads"), written);
        let full = SweepFolder::of(scratch.path(), &two);
        assert!(full.is_err_and(|e| e.to_string().contains("is no sweep's folder")));
    }

    #[test]
    fn a_run_is_done_by_one_and_a_failure_that_is_final_stays() {
        let scratch = tempfile::tempdir().expect("a folder");
        let out = scratch.path().join("out");
        let plan = sweep(scratch.path(), "seeds = [0, 1]\n");
        let folder = SweepFolder::of(&out, &plan).expect("made");
        let name = plan.runs[0].name.as_str();

        let Ok(Claim::Ours(lock)) = folder.claim(name) else { panic!("nobody has it") };
        let own = format!("process {} on ", std::process::id());
        assert!(matches!(folder.claim(name), Ok(Claim::Busy(who)) if who.starts_with(&own)));
        drop(lock);

        // Stopped before there was a run.
        std::fs::create_dir_all(folder.run(name).join("checkpoints")).expect("makes");
        assert_eq!(folder.state(name).ok(), Some(RunState::Begun));
        assert_eq!(folder.is_begun(name).ok(), Some(false));
        assert_eq!(folder.state(name).ok(), Some(RunState::Waiting));

        std::fs::create_dir_all(folder.run(name)).expect("makes");
        for is_final in [false, true] {
            let failure = Failure { message: "no".into(), is_final };
            folder.note_failure(name, &failure).expect("notes");
            assert_eq!(folder.state(name).ok(), Some(RunState::Failed(failure)));
            let claim = folder.claim(name).expect("reads");
            assert_eq!(matches!(claim, Claim::Failed(_)), is_final, "{claim:?}");
        }
        std::fs::write(folder.run(name).join(LAST_OF_RUN), "{}").expect("writes");
        assert!(matches!(folder.claim(name), Ok(Claim::Done)));
    }
}
