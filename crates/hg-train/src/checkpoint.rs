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
use hg_data::fingerprint;
use hg_models::{Parameters, read_weights};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub(crate) const AVERAGED: &str = "generator-averaged.safetensors";
pub(crate) const GENERATOR: &str = "generator.safetensors";
pub(crate) const CRITIC: &str = "critic.safetensors";
const STATE: &str = "state.safetensors";
const SUMS: &str = "SHA256SUMS";
const SUMMED: [&str; 4] = [GENERATOR, AVERAGED, CRITIC, STATE];
/// Checkpoints that are kept.
const KEPT: usize = 3;
const BEST: &str = "best-";

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::Run { path: path.to_owned(), problem: format!("cannot write the checkpoint: {error}") }
}

/// Writes a checkpoint, then removes the oldest beyond three.
pub(crate) fn save(trainer: &Trainer, folder: &Path) -> Result<()> {
    write(trainer, folder, &format!("{:08}", trainer.iteration))?;
    let all = list(folder, "")?;
    remove(&all[..all.len().saturating_sub(KEPT)])
}

/// Writes the checkpoint with the best score so far, then removes the one before it.
pub(crate) fn save_best(trainer: &Trainer, folder: &Path) -> Result<()> {
    let path = write(trainer, folder, &format!("{BEST}{:08}", trainer.iteration))?;
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

/// Writes a checkpoint under a temporary name and renames it when all of it is on disk.
fn write(trainer: &Trainer, folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    let temporary = path.with_extension("tmp");
    if temporary.exists() {
        std::fs::remove_dir_all(&temporary).map_err(|e| failed(&temporary, e))?;
    }
    std::fs::create_dir_all(&temporary).map_err(|e| failed(&temporary, e))?;
    trainer.generator.parameters().save(&temporary.join(GENERATOR))?;
    trainer.averaged.parameters().save(&temporary.join(AVERAGED))?;
    trainer.critic.parameters().save(&temporary.join(CRITIC))?;
    let mut state = HashMap::new();
    trainer.generator_adam.export("generator", &mut state);
    trainer.critic_adam.export("critic", &mut state);
    let counters = [
        trainer.iteration as i64,
        trainer.generator_adam.steps() as i64,
        trainer.critic_adam.steps() as i64,
    ];
    state.insert("counters".to_owned(), Tensor::new(&counters, &Device::Cpu)?);
    let standing = Tensor::new(&trainer.standing.to_numbers(), &Device::Cpu)?;
    state.insert("standing".to_owned(), standing);
    candle_core::safetensors::save(&state, temporary.join(STATE))?;
    std::fs::write(temporary.join(SUMS), sums(&temporary)?).map_err(|e| failed(&temporary, e))?;
    for file in SUMMED.into_iter().chain([SUMS]) {
        let file = temporary.join(file);
        let synced = std::fs::File::open(&file).and_then(|opened| opened.sync_all());
        synced.map_err(|e| failed(&file, e))?;
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

/// A line of hash and name for each file of a checkpoint.
fn sums(checkpoint: &Path) -> Result<String> {
    let line = |name: &str| Ok(format!("{}  {name}\n", fingerprint(&checkpoint.join(name))?));
    SUMMED.into_iter().map(line).collect()
}

/// The newest checkpoint whose files are what was written; damaged ones are passed over,
/// and a warning names them. `None` where there is none at all.
///
/// # Errors
/// When all are damaged.
pub(crate) fn newest(folder: &Path) -> Result<Option<PathBuf>> {
    let all = list(folder, "")?;
    for checkpoint in all.iter().rev() {
        if is_sound(checkpoint) {
            return Ok(Some(checkpoint.clone()));
        }
        tracing::warn!("{} is damaged; taking the checkpoint before it", checkpoint.display());
    }
    if all.is_empty() {
        return Ok(None);
    }
    let problem = "holds damaged checkpoints alone; remove them to begin anew";
    Err(Error::Run { path: folder.to_owned(), problem: problem.into() })
}

/// Whether the files of a checkpoint are what was written.
fn is_sound(checkpoint: &Path) -> bool {
    let written = std::fs::read_to_string(checkpoint.join(SUMS)).ok();
    written.is_some() && written == sums(checkpoint).ok()
}

/// The checkpoint with the best validation score; `None` where there is none, or it is damaged,
/// which a warning says.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn best(folder: &Path) -> Result<Option<PathBuf>> {
    let mut found: Option<(f64, PathBuf)> = None;
    // A kill between writing a better one and removing the one before leaves both.
    for checkpoint in list(folder, BEST)? {
        if !is_sound(&checkpoint) {
            tracing::warn!("{} is damaged; taking the newest weights", checkpoint.display());
            continue;
        }
        let (_, standing) = state(&checkpoint)?;
        if found.as_ref().is_none_or(|(score, _)| standing.best < *score) {
            found = Some((standing.best, checkpoint));
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

/// Puts a trainer where the checkpoint was taken.
pub(crate) fn restore(trainer: &mut Trainer, checkpoint: &Path) -> Result<()> {
    fill(trainer.generator.parameters(), &checkpoint.join(GENERATOR))?;
    fill(trainer.averaged.parameters(), &checkpoint.join(AVERAGED))?;
    fill(trainer.critic.parameters(), &checkpoint.join(CRITIC))?;
    let (state, standing) = state(checkpoint)?;
    let counters = match state.get("counters") {
        Some(counters) => counters.to_vec1::<i64>()?,
        None => Vec::new(),
    };
    let &[iteration, generator_steps, critic_steps] = counters.as_slice() else {
        return Err(damaged(checkpoint, "counters"));
    };
    trainer.generator_adam.import("generator", generator_steps as u64, &state)?;
    trainer.critic_adam.import("critic", critic_steps as u64, &state)?;
    trainer.iteration = iteration as u64;
    trainer.standing = standing;
    Ok(())
}

/// What a checkpoint holds besides weights.
fn state(checkpoint: &Path) -> Result<(HashMap<String, Tensor>, ValidationState)> {
    let state = candle_core::safetensors::load(checkpoint.join(STATE), &Device::Cpu)?;
    let numbers = match state.get("standing") {
        Some(standing) => standing.to_vec1::<f64>()?,
        None => Vec::new(),
    };
    let standing =
        ValidationState::from_numbers(&numbers).ok_or_else(|| damaged(checkpoint, "standing"))?;
    Ok((state, standing))
}

fn damaged(checkpoint: &Path, what: &str) -> Error {
    let problem = format!("has no {what}; it is damaged, or of another version");
    Error::Run { path: checkpoint.join(STATE), problem }
}

/// Gives variables the values of a file's tensors.
pub(crate) fn fill(parameters: &Parameters, path: &Path) -> Result<()> {
    let tensors = read_weights(path)?;
    let fault = |problem: String| Error::Run { path: path.to_owned(), problem };
    for (name, var) in parameters.iter() {
        let tensor = tensors.get(name).ok_or_else(|| fault(format!("has no «{name}»")))?;
        if tensor.dims() != var.dims() {
            return Err(fault(format!(
                "«{name}» has shape {:?}, schema and settings make it {:?}",
                tensor.dims(),
                var.dims()
            )));
        }
        var.set(&tensor.to_dtype(parameters.dtype())?.to_device(parameters.device())?)?;
    }
    let known = |name: &&String| parameters.get(name).is_ok();
    if let Some(name) = tensors.keys().filter(|name| !known(name)).min() {
        return Err(fault(format!("has «{name}», which the network has not")));
    }
    Ok(())
}
