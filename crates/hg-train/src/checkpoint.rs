//! Checkpoints: everything that training needs to go on to the same bits.
//!
//! `checkpoints/00000100/` holds `generator.safetensors`, `critic.safetensors`
//! and `generator-averaged.safetensors` in the interchange names, and
//! `state.safetensors` with Adam's moments and the counters, and `SHA256SUMS` of
//! these (`sha256sum -c` reads it). Random streams and the order of batches follow
//! from the iteration alone. `checkpoints/best-00000100/` is the same for the weights with the
//! best validation score.

use crate::validation::ValidationState;
use crate::{Error, Result, Trainer};
use candle_core::{Device, Tensor};
use hg_data::fingerprint_of;
use hg_models::{Parameters, Ranks};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

pub(crate) const AVERAGED: &str = "generator-averaged.safetensors";
pub(crate) const GENERATOR: &str = "generator.safetensors";
pub(crate) const CRITIC: &str = "critic.safetensors";
const STATE: &str = "state.safetensors";
const SUMS: &str = "SHA256SUMS";
/// The files of a checkpoint, in the order of its sums.
const FILES: [&str; 4] = [GENERATOR, AVERAGED, CRITIC, STATE];
/// Checkpoints that are kept.
const KEPT: usize = 3;
const BEST: &str = "best-";

/// Everything that training needs to go on to the same bits, as the bytes of its files.
#[derive(Clone)]
pub struct Checkpoint {
    iteration: u64,
    /// Of [`FILES`], in their order.
    files: [Vec<u8>; 4],
    /// What it is called in messages.
    place: PathBuf,
}

impl Checkpoint {
    /// The state of a trainer.
    pub(crate) fn of(trainer: &Trainer) -> Result<Self> {
        let mut state = HashMap::new();
        trainer.generator_adam.export("generator", &mut state);
        trainer.critic_adam.export("critic", &mut state);
        let counters = [
            trainer.iteration as i64,
            trainer.generator_adam.steps() as i64,
            trainer.critic_adam.steps() as i64,
        ];
        state.insert("counters".to_owned(), Tensor::new(&counters, &Device::Cpu)?);
        let validation = Tensor::new(&trainer.validation.to_numbers(), &Device::Cpu)?;
        state.insert("standing".to_owned(), validation);

        let of_network = |parameters: &Parameters| bytes_of(&parameters.tensors());
        Ok(Self {
            iteration: trainer.iteration,
            files: [
                of_network(trainer.generator.parameters())?,
                of_network(trainer.averaged.parameters())?,
                of_network(trainer.critic.parameters())?,
                bytes_of(&state)?,
            ],
            place: "the checkpoint".into(),
        })
    }

    /// Iterations that were done.
    pub fn iteration(&self) -> u64 {
        self.iteration
    }

    /// Rank 0's on all ranks; `here` is what rank 0 has.
    pub(crate) fn broadcast(here: Option<Self>, ranks: &Ranks) -> Result<Self> {
        let (mut files, mut iteration) = ([const { Vec::new() }; 4], 0);
        if let Some(here) = here {
            (files, iteration) = (here.files, here.iteration);
        }
        for file in &mut files {
            *file = ranks.broadcast(file)?;
        }
        let iteration = ranks.broadcast(&iteration.to_le_bytes())?;
        // INVARIANT: rank 0 sends eight bytes.
        let iteration = u64::from_le_bytes(iteration.try_into().unwrap_or_default());
        Ok(Self { iteration, files, place: "the checkpoint of rank 0".into() })
    }

    /// The bytes of its files: the generator, its running mean, the critic, and Adam's moments with the
    /// counters.
    pub fn files(&self) -> &[Vec<u8>; 4] {
        &self.files
    }

    /// The bytes of a file.
    pub(crate) fn file(&self, name: &str) -> &[u8] {
        let position = FILES.iter().position(|file| *file == name);
        position.map_or(&[], |position| self.files[position].as_slice())
    }

    /// The weights that sampling takes, by name.
    pub(crate) fn averaged(&self) -> Result<HashMap<String, Tensor>> {
        self.tensors(AVERAGED)
    }

    fn tensors(&self, name: &str) -> Result<HashMap<String, Tensor>> {
        candle_core::safetensors::load_buffer(self.file(name), &Device::Cpu).map_err(|e| {
            let problem = format!("cannot be read: {e}");
            Error::Run { path: self.place.join(name), problem }
        })
    }

    /// Puts a trainer where the checkpoint was taken.
    pub(crate) fn restore(&self, trainer: &mut Trainer) -> Result<()> {
        for (parameters, name) in [
            (trainer.generator.parameters(), GENERATOR),
            (trainer.averaged.parameters(), AVERAGED),
            (trainer.critic.parameters(), CRITIC),
        ] {
            fill(parameters, &self.tensors(name)?, &self.place.join(name))?;
        }
        let (state, validation) = self.state()?;
        let counters = match state.get("counters") {
            Some(counters) => counters.to_vec1::<i64>()?,
            None => Vec::new(),
        };
        let &[iteration, generator_steps, critic_steps] = counters.as_slice() else {
            return Err(self.damaged("counters"));
        };
        trainer.generator_adam.import("generator", generator_steps as u64, &state)?;
        trainer.critic_adam.import("critic", critic_steps as u64, &state)?;
        trainer.iteration = iteration as u64;
        trainer.validation = validation;
        Ok(())
    }

    /// What it holds besides weights.
    fn state(&self) -> Result<(HashMap<String, Tensor>, ValidationState)> {
        let state = self.tensors(STATE)?;
        let numbers = match state.get("standing") {
            Some(validation) => validation.to_vec1::<f64>()?,
            None => Vec::new(),
        };
        let validation =
            ValidationState::from_numbers(&numbers).ok_or_else(|| self.damaged("standing"))?;
        Ok((state, validation))
    }

    fn damaged(&self, what: &str) -> Error {
        let problem = format!(
            "has no {what}\nhint: it is damaged, or of another version; remove the checkpoint"
        );
        Error::Run { path: self.place.join(STATE), problem }
    }

    /// A line of hash and name for each file.
    fn sums(&self) -> String {
        let lines = FILES.iter().zip(&self.files);
        lines.map(|(name, bytes)| format!("{}  {name}\n", fingerprint_of(bytes))).collect()
    }

    /// Reads a checkpoint; `None` where its files are not what was written.
    fn read(place: &Path) -> Option<Self> {
        let name = place.file_name()?.to_str()?;
        let iteration = name.strip_prefix(BEST).unwrap_or(name).parse().ok()?;
        let [generator, averaged, critic, state] =
            FILES.map(|file| std::fs::read(place.join(file)).ok());
        let files = [generator?, averaged?, critic?, state?];
        let checkpoint = Self { iteration, files, place: place.to_owned() };
        let written = std::fs::read_to_string(place.join(SUMS)).ok()?;
        (written == checkpoint.sums()).then_some(checkpoint)
    }

    /// Writes it under a temporary name and renames that when all of it is on disk.
    fn write(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        let path = folder.join(name);
        let temporary = path.with_extension("tmp");
        if temporary.exists() {
            std::fs::remove_dir_all(&temporary).map_err(|e| failed(&temporary, e))?;
        }
        std::fs::create_dir_all(&temporary).map_err(|e| failed(&temporary, e))?;
        let sums = self.sums();
        let files = FILES.iter().zip(&self.files).map(|(name, bytes)| (*name, bytes.as_slice()));
        for (name, bytes) in files.chain([(SUMS, sums.as_bytes())]) {
            let file = temporary.join(name);
            let written = std::fs::File::create(&file).and_then(|mut opened| {
                opened.write_all(bytes)?;
                opened.sync_all()
            });
            written.map_err(|e| failed(&file, e))?;
        }
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(|e| failed(&path, e))?;
        }
        std::fs::rename(&temporary, &path).map_err(|e| failed(&path, e))?;
        // The new name is on disk before an old checkpoint goes.
        let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|e| failed(folder, e))?;
        Ok(path)
    }
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoint").field("iteration", &self.iteration).finish_non_exhaustive()
    }
}

/// Tensors as a safetensors file.
fn bytes_of(tensors: &HashMap<String, Tensor>) -> Result<Vec<u8>> {
    safetensors::serialize(tensors, None).map_err(|e| Error::Candle(e.into()))
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::Write { path: path.to_owned(), what: "the checkpoint", source }
}

/// Writes a checkpoint, then removes the oldest beyond three.
pub(crate) fn save(checkpoint: &Checkpoint, folder: &Path) -> Result<()> {
    checkpoint.write(folder, &format!("{:08}", checkpoint.iteration))?;
    let all = list(folder, "")?;
    remove(&all[..all.len().saturating_sub(KEPT)])
}

/// Writes the checkpoint with the best score so far, then removes the one before it.
pub(crate) fn save_best(checkpoint: &Checkpoint, folder: &Path) -> Result<()> {
    let path = checkpoint.write(folder, &format!("{BEST}{:08}", checkpoint.iteration))?;
    let others: Vec<PathBuf> =
        list(folder, BEST)?.into_iter().filter(|other| *other != path).collect();
    remove(&others)
}

fn remove(checkpoints: &[PathBuf]) -> Result<()> {
    for old in checkpoints {
        std::fs::remove_dir_all(old).map_err(|e| failed(old, e))?;
    }
    Ok(())
}

/// The newest checkpoint whose files are what was written; damaged ones are passed over,
/// and a warning names them. `None` where there is none at all.
///
/// # Errors
/// When all are damaged.
pub(crate) fn newest(folder: &Path) -> Result<Option<Checkpoint>> {
    let all = list(folder, "")?;
    for place in all.iter().rev() {
        match Checkpoint::read(place) {
            Some(checkpoint) => return Ok(Some(checkpoint)),
            None => {
                tracing::warn!("{} is damaged; taking the checkpoint before it", place.display());
            }
        }
    }
    if all.is_empty() {
        return Ok(None);
    }
    let problem = "holds damaged checkpoints alone\nhint: remove them to begin anew";
    Err(Error::Run { path: folder.to_owned(), problem: problem.into() })
}

/// The checkpoint with the best validation score; `None` where there is none, or it is damaged,
/// which a warning says.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn best(folder: &Path) -> Result<Option<Checkpoint>> {
    let mut found: Option<(f64, Checkpoint)> = None;
    // A kill between writing a better one and removing the one before leaves both.
    for place in list(folder, BEST)? {
        let Some(checkpoint) = Checkpoint::read(&place) else {
            tracing::warn!("{} is damaged; taking the newest weights", place.display());
            continue;
        };
        let (_, validation) = checkpoint.state()?;
        if found.as_ref().is_none_or(|(score, _)| validation.best < *score) {
            found = Some((validation.best, checkpoint));
        }
    }
    Ok(found.map(|(_, checkpoint)| checkpoint))
}

/// Complete checkpoints whose names begin so, oldest first.
fn list(folder: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::Run {
        path: folder.to_owned(),
        problem: format!("cannot list checkpoints: {e}"),
    })?;
    let is_checkpoint = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_prefix(prefix));
        number.is_some_and(|number| number.parse::<u64>().is_ok())
    };
    let mut found: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_checkpoint).collect();
    found.sort();
    Ok(found)
}

/// Gives variables the values of tensors by name; `place` is for messages.
pub(crate) fn fill(
    parameters: &Parameters,
    tensors: &HashMap<String, Tensor>,
    place: &Path,
) -> Result<()> {
    let fault = |problem: String| Error::Run { path: place.to_owned(), problem };
    for (name, var) in parameters.iter() {
        let tensor = tensors.get(name).ok_or_else(|| fault(format!("has no `{name}`")))?;
        if tensor.dims() != var.dims() {
            return Err(fault(format!(
                "`{name}` has shape {:?}, schema and settings make it {:?}",
                tensor.dims(),
                var.dims()
            )));
        }
        var.set(&tensor.to_dtype(parameters.dtype())?.to_device(parameters.device())?)?;
    }
    let is_known = |name: &&String| parameters.get(name).is_ok();
    if let Some(name) = tensors.keys().filter(|name| !is_known(name)).min() {
        return Err(fault(format!("has `{name}`, which the network has not")));
    }
    Ok(())
}
