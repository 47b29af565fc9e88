//! The ranks of an MPI job.

use hg_models::{Communicator, Error, Ranks, Result};
use mpi::datatype::{Partition, PartitionMut};
use mpi::traits::{Communicator as _, CommunicatorCollectives};
use mpi::{Count, Threading};
use std::fmt::Display;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A rank that failed waits so long for the others to fail too, then ends all of them.
const GRACE: Duration = Duration::from_secs(5);
/// How often a rank that has nothing more to do looks whether the others are done.
const IDLE: Duration = Duration::from_millis(20);

/// Runs `hg` with the process's arguments as one rank of the job that `mpiexec` started it for, which speaks
/// to the others through what `communicator` makes of it.
///
/// # Safety
/// As [`hg_cli::run`].
pub unsafe fn run<C: Communicator + 'static>(communicator: impl FnOnce(Job) -> C) -> ExitCode {
    let job = match Job::join() {
        Ok(job) => job,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ranks = Ranks::of(Arc::new(communicator(job.clone())));
    // SAFETY: besides the caller's thread there is that of the job alone, which reads no environment once it
    // has joined.
    let code = unsafe { hg_cli::run_on_ranks(std::env::args_os(), &ranks) };
    job.end(code)
}

/// What the thread that speaks MPI is asked for.
enum Call {
    Exchange { send: Bytes, sizes: Vec<usize>, receive: Vec<usize> },
    Gather { own: Bytes, sizes: Vec<usize> },
    End,
}

/// A job, as one of its ranks sees it. One thread makes all calls of MPI, and blocks in them.
#[derive(Clone, Debug)]
pub struct Job {
    rank: usize,
    ranks: usize,
    line: Arc<Mutex<Line>>,
}

#[derive(Debug)]
struct Line {
    calls: Sender<Call>,
    answers: Receiver<Result<Vec<u8>>>,
}

impl Job {
    /// Joins the job that `mpiexec` started this process for.
    ///
    /// # Errors
    /// When MPI has been begun in this process before.
    pub fn join() -> Result<Self> {
        let (calls, to_do) = channel();
        let (to_tell, answers) = channel();
        let (to_introduce, introduced) = channel();
        std::thread::spawn(move || {
            let Some((universe, _)) = mpi::initialize_with_threading(Threading::Serialized) else {
                return;
            };
            let world = universe.world();
            let who = (world.rank() as usize, world.size() as usize);
            if to_introduce.send(who).is_err() {
                return;
            }
            // Once the job is gone nobody asks any more.
            for call in to_do {
                let answer = match call {
                    Call::Exchange { send, sizes, receive } => {
                        exchange(&world, &send, &sizes, &receive)
                    }
                    Call::Gather { own, sizes } => gather(&world, &own, &sizes),
                    Call::End => {
                        wait_for_all(&world);
                        break;
                    }
                };
                if to_tell.send(answer).is_err() {
                    return;
                }
            }
            // MPI ends with its universe, before the process may.
            drop(universe);
            drop(to_tell);
        });
        let (rank, ranks) = introduced.recv().map_err(|_| failed("it cannot be begun"))?;
        Ok(Self { rank, ranks, line: Arc::new(Mutex::new(Line { calls, answers })) })
    }

    /// Ends this rank with an exit code, after all others. One that failed alone ends them too.
    pub fn end(self, code: u8) -> ExitCode {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        // The line is cut when MPI has ended here, or had before.
        let _ = line.calls.send(Call::End);
        let patience = if code == 0 { Duration::MAX } else { GRACE };
        if let Err(RecvTimeoutError::Timeout) = line.answers.recv_timeout(patience) {
            // `mpiexec` ends the others, which wait for this one and cannot be spoken to.
            std::process::exit(i32::from(code));
        }
        ExitCode::from(code)
    }

    fn call(&self, call: Call) -> Result<Vec<u8>> {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.calls.send(call).map_err(failed)?;
        line.answers.recv().map_err(failed)?
    }
}

fn failed(problem: impl Display) -> Error {
    Error::Ranks(format!("MPI: {problem}"))
}

fn exchange(
    world: &impl CommunicatorCollectives,
    send: &Bytes,
    sizes: &[usize],
    receive: &[usize],
) -> Result<Vec<u8>> {
    let (sizes, receive) = (places(sizes)?, places(receive)?);
    let mut received = Bytes::zeros(receive.total);
    let send = Partition::new(send.get(), sizes.counts, sizes.starts);
    let mut into = PartitionMut::new(received.get_mut(), receive.counts, receive.starts);
    world.all_to_all_varcount_into(&send, &mut into);
    Ok(received.into_vec())
}

fn gather(world: &impl CommunicatorCollectives, own: &Bytes, sizes: &[usize]) -> Result<Vec<u8>> {
    let sizes = places(sizes)?;
    let mut received = Bytes::zeros(sizes.total);
    let mut into = PartitionMut::new(received.get_mut(), sizes.counts, sizes.starts);
    world.all_gather_varcount_into(own.get(), &mut into);
    Ok(received.into_vec())
}

/// Waits for all ranks, without work for the processor.
fn wait_for_all(world: &impl CommunicatorCollectives) {
    let mut waiting = world.immediate_barrier();
    while let Err(still) = waiting.test() {
        waiting = still;
        std::thread::sleep(IDLE);
    }
}

/// Bytes for MPI, with one more behind them: an empty vector lies nowhere, which in Rust is the address 1,
/// and in Open MPI that is `MPI_IN_PLACE`.
struct Bytes(Vec<u8>);

impl Bytes {
    fn of(bytes: &[u8]) -> Self {
        Self([bytes, &[0]].concat())
    }

    fn zeros(count: usize) -> Self {
        Self(vec![0; count + 1])
    }

    fn get(&self) -> &[u8] {
        &self.0[..self.0.len() - 1]
    }

    fn get_mut(&mut self) -> &mut [u8] {
        let count = self.0.len() - 1;
        &mut self.0[..count]
    }

    fn into_vec(mut self) -> Vec<u8> {
        self.0.pop();
        self.0
    }
}

/// Where parts that follow each other lie, in MPI's numbers.
struct Places {
    counts: Vec<Count>,
    starts: Vec<Count>,
    total: usize,
}

fn places(sizes: &[usize]) -> Result<Places> {
    let (mut counts, mut starts, mut total) = (Vec::new(), Vec::new(), 0);
    for &size in sizes {
        starts.push(Count::try_from(total).map_err(failed)?);
        counts.push(Count::try_from(size).map_err(failed)?);
        total += size;
    }
    Ok(Places { counts, starts, total })
}

impl Communicator for Job {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn exchange(&self, send: &[u8], sizes: &[usize], receive: &[usize]) -> Result<Vec<u8>> {
        let (sizes, receive) = (sizes.to_vec(), receive.to_vec());
        self.call(Call::Exchange { send: Bytes::of(send), sizes, receive })
    }

    fn gather(&self, own: &[u8], sizes: &[usize]) -> Result<Vec<u8>> {
        self.call(Call::Gather { own: Bytes::of(own), sizes: sizes.to_vec() })
    }
}
