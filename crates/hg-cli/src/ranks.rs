//! A training that several ranks share.

use crate::arguments::TrainArguments;
use crate::built::program;
use crate::error::{Error, Result};
use health_gym::data::Encoded;
use health_gym::training::{Error as TrainingError, Program, Ranks, Store, vectors};
use health_gym::{CancelToken, Run};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How many processes Open MPI or MPICH started together.
const TOGETHER: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS"];

/// Refuses processes that were started to train together, in a program that cannot.
pub(crate) fn refuse_processes_together(ranks: &Ranks) -> Result<()> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let together = TOGETHER.into_iter().find_map(number).unwrap_or(1);
    if !ranks.is_alone() || together < 2 {
        return Ok(());
    }
    Err(bad_input(format!(
        "`mpiexec` started {together} processes, of which this one does not see the others, and it trains alone\n\
         hint: take `hg-mpi`, built with the MPI that this `mpiexec` is of: \
         cargo build --release --workspace --features hg-mpi/mpi"
    )))
}

fn bad_input(problem: String) -> Error {
    TrainingError::Config(problem).into()
}

/// What `open` gives on rank 0, and the same run with its patients on all others, which find them in the
/// run's folder.
pub(crate) fn open_shared(
    arguments: &TrainArguments,
    ranks: &Ranks,
    open: impl FnOnce(&TrainArguments) -> Result<(Run, Encoded)>,
) -> Result<(Run, Encoded)> {
    if ranks.is_alone() {
        return open(arguments);
    }
    refuse_other_bits(ranks)?;
    if arguments.minutes.is_some() {
        let problem = "`--minutes` knows the speed of one process, and there are several\nhint: say \
                       how many `--iterations`";
        return Err(bad_input(problem.into()));
    }
    if ranks.is_first() {
        let opened = open(arguments).and_then(|(run, encoded)| {
            run.lay_out(&encoded)?;
            Ok((
                std::path::absolute(run.folder()).map_err(|e| Error::Other(e.to_string()))?,
                run,
                encoded,
            ))
        });
        let folder = opened.as_ref().map(|(folder, ..)| folder.as_os_str().as_bytes());
        ranks.broadcast(folder.unwrap_or_default()).map_err(TrainingError::from)?;
        let (_, run, encoded) = opened?;
        refuse_unseen(&run, ranks)?;
        refuse_other_devices(&run, ranks)?;
        return Ok((run, encoded));
    }
    let folder = ranks.broadcast(&[]).map_err(TrainingError::from)?;
    if folder.is_empty() {
        return Err(Error::OnRank0);
    }
    let opened = Run::open(Path::new(OsStr::from_bytes(&folder)));
    let opened = opened.and_then(|run| run.laid_out().map(|encoded| (run, encoded)));
    let said = opened.as_ref().err().map(ToString::to_string).unwrap_or_default();
    let all = ranks.gather(said.as_bytes()).map_err(TrainingError::from)?;
    match opened {
        Ok(opened) if all.iter().all(Vec::is_empty) => {
            refuse_other_devices(&opened.0, ranks)?;
            Ok(opened)
        }
        _ => Err(Error::OnRank0),
    }
}

/// Refuses ranks whose GPU is not there, or is of another kind than rank 0's.
fn refuse_other_devices(run: &Run, ranks: &Ranks) -> Result<()> {
    let own = run.manifest.train.device.name();
    let said =
        own.as_ref().map_or_else(|e| format!("without one ({e})"), |own| format!("with {own}"));
    let unlike = unlike_rank_0(&said, ranks)?;
    own?;
    match unlike {
        None => Ok(()),
        Some((rank, [its, first])) => Err(bad_input(format!(
            "rank {rank} computes {its}, rank 0 {first}: the last bits of their sums differ\nhint: give every rank a \
             GPU of the same kind, or say `--device cpu`"
        ))),
    }
}

/// Rank 0 hears whether the others found the run.
fn refuse_unseen(run: &Run, ranks: &Ranks) -> Result<()> {
    let all = ranks.gather(&[]).map_err(TrainingError::from)?;
    match all.iter().enumerate().find(|(_, problem)| !problem.is_empty()) {
        None => Ok(()),
        Some((rank, problem)) => {
            run.clear_away()?;
            Err(bad_input(format!(
                "rank {rank} does not find the run: {}\nhint: `--out` must be a folder that all machines \
                 of the job share; go on with {}",
                String::from_utf8_lossy(problem),
                resume(run, "hg-mpi")
            )))
        }
    }
}

/// Refuses ranks whose sums would have other last bits than rank 0's.
fn refuse_other_bits(ranks: &Ranks) -> Result<()> {
    let Program { version, commit, .. } = program();
    let own = format!("hg-mpi {version} of commit {commit} with {:?} vectors", vectors()?);
    match unlike_rank_0(&own, ranks)? {
        None => Ok(()),
        Some((rank, [its, first])) => Err(bad_input(format!(
            "rank {rank} is {its}, rank 0 is {first}: the last bits of their sums differ\nhint: start the same \
             program everywhere; HG_VECTORS=avx2 holds all ranks to vectors that they all have"
        ))),
    }
}

/// The first rank that says of itself what rank 0 does not, with the words of both.
fn unlike_rank_0(own: &str, ranks: &Ranks) -> Result<Option<(usize, [String; 2])>> {
    let all = ranks.gather(own.as_bytes()).map_err(TrainingError::from)?;
    let text = |said: &[u8]| String::from_utf8_lossy(said).into_owned();
    let unlike = all.iter().enumerate().find(|(_, other)| **other != all[0]);
    Ok(unlike.map(|(rank, other)| (rank, [text(other), text(&all[0])])))
}

/// How long a rank that was asked to stop waits for an iteration's end before it says so.
const PATIENCE: Duration = Duration::from_millis(300);

/// A training that goes on until this is dropped.
pub(crate) struct Training(Arc<AtomicBool>);

impl Drop for Training {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Says on rank 0, once training was asked to stop and its iteration does not end at once, what is kept:
/// another rank may be gone, and `mpiexec` about to end all of them.
pub(crate) fn tell_of_a_stop(run: &Run, ranks: &Ranks, cancel: &CancelToken) -> Training {
    let has_ended = Arc::<AtomicBool>::default();
    let training = Training(has_ended.clone());
    if ranks.is_alone() || !ranks.is_first() {
        return training;
    }
    let (run, cancel) = (run.clone(), cancel.clone());
    std::thread::spawn(move || {
        while !cancel.is_cancelled() {
            std::thread::sleep(PATIENCE / 3);
        }
        std::thread::sleep(PATIENCE);
        if has_ended.load(Ordering::SeqCst) {
            return;
        }
        let newest = run.store().newest().ok().flatten();
        let kept = match newest.map(|newest| newest.iteration()) {
            Some(iteration) => format!("the newest checkpoint is of iteration {iteration}"),
            None => "there is no checkpoint yet".to_owned(),
        };
        eprintln!(
            "asked to stop; all ranks end their iteration first. If one of them is gone, {kept}\nhint: \
             {} goes on from there, with any number of ranks, or with `hg` alone",
            resume(&run, "hg-mpi")
        );
    });
    training
}

fn resume(run: &Run, program: &str) -> String {
    format!("`{program} train --resume {}`", run.folder().display())
}
