//! Ranks that are threads of one process.

use super::{Communicator, Ranks};
use crate::{Error, Result};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// One of the threads: what it sends goes to a channel for each of the others, and for itself.
#[derive(Debug)]
struct Thread {
    rank: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Mutex<Receiver<Vec<u8>>>>,
}

impl Ranks {
    /// The ranks of a job whose processes are threads of this one, each to be moved to its own: as tests
    /// have them, with nothing installed.
    pub fn threads(count: usize) -> Vec<Self> {
        let mut to: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        let mut from: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        for sender in &mut to {
            for receiver in &mut from {
                let (send, receive) = channel();
                sender.push(send);
                receiver.push(Mutex::new(receive));
            }
        }
        let both = to.into_iter().zip(from).enumerate();
        both.map(|(rank, (to, from))| Self(Arc::new(Thread { rank, to, from }))).collect()
    }
}

impl Thread {
    fn send(&self, to: usize, part: &[u8]) -> Result<()> {
        self.to[to].send(part.to_vec()).map_err(|_| is_gone(to))
    }

    fn receive(&self, sizes: &[usize]) -> Result<Vec<u8>> {
        let mut all = Vec::with_capacity(sizes.iter().sum());
        for (rank, (from, &size)) in self.from.iter().zip(sizes).enumerate() {
            // A rank that panicked has left nothing half done.
            let from = from.lock().unwrap_or_else(PoisonError::into_inner);
            let part = from.recv().map_err(|_| is_gone(rank))?;
            if part.len() != size {
                let problem = format!("rank {rank} sent {} bytes, not {size}", part.len());
                return Err(Error::Ranks(problem));
            }
            all.extend(part);
        }
        Ok(all)
    }
}

fn is_gone(rank: usize) -> Error {
    Error::Ranks(format!("rank {rank} is gone"))
}

impl Communicator for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.to.len()
    }

    fn exchange(&self, send: &[u8], sizes: &[usize], receive: &[usize]) -> Result<Vec<u8>> {
        let mut rest = send;
        for (to, &size) in sizes.iter().enumerate() {
            let (part, after) = rest.split_at_checked(size).unwrap_or((rest, &[]));
            self.send(to, part)?;
            rest = after;
        }
        self.receive(receive)
    }

    fn gather(&self, own: &[u8], sizes: &[usize]) -> Result<Vec<u8>> {
        (0..self.to.len()).try_for_each(|to| self.send(to, own))?;
        self.receive(sizes)
    }
}
