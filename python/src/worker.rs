//! Long work in a thread of its own, while Python's waits, listens for Ctrl-C and shows progress.

use crate::failure::{Failure, begin, warn};
use health_gym::CancelToken;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often signals are looked for, and progress is shown.
const TICK: Duration = Duration::from_millis(50);

/// Does `work` without the interpreter's lock. `tick` is called now and then, and at the end.
///
/// After Ctrl-C, work that listens to `cancel` ends at its next chance and is waited for, unless Ctrl-C
/// comes again; other work goes on unseen, and its result is dropped.
///
/// # Errors
/// What `work` reports, a signal's exception, what `tick` raises.
pub(crate) fn work<T: Send + 'static>(
    py: Python<'_>,
    cancel: Option<&CancelToken>,
    tick: &mut dyn FnMut(Python<'_>) -> PyResult<()>,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> PyResult<T> {
    let (send, receive) = channel();
    let worker = move || {
        // Nobody may be waiting any more.
        let _ = send.send(begin().and_then(|()| work()));
    };
    std::thread::Builder::new().name("health_gym".into()).spawn(worker)?;
    let receive = Mutex::new(receive);
    let mut interrupted = None;
    loop {
        match py.detach(|| wait(&receive)) {
            Ok(done) => {
                warn(py)?;
                tick(py)?;
                return match interrupted {
                    Some(interrupt) => Err(interrupt),
                    None => done.map_err(|failure| failure.raise(py)),
                };
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let text = "health_gym broke off: this is a fault of the program, please report it";
                return Err(PyRuntimeError::new_err(text));
            }
        }
        let signalled = py.check_signals().and_then(|()| warn(py)).and_then(|()| tick(py));
        if let Err(error) = signalled {
            match cancel {
                Some(cancel) if !cancel.cancel() => interrupted = Some(error),
                _ => return Err(error),
            }
        }
    }
}

fn wait<T>(receive: &Mutex<Receiver<T>>) -> Result<T, RecvTimeoutError> {
    receive.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(TICK)
}

/// [`work`] that neither listens nor has progress to show.
///
/// # Errors
/// What `job` reports, and a signal's exception.
pub(crate) fn in_background<T: Send + 'static>(
    py: Python<'_>,
    job: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> PyResult<T> {
    work(py, None, &mut |_| Ok(()), job)
}
