//! Ctrl-C.

use crate::error::{Error, Result};
use health_gym::CancelToken;
use std::time::{Duration, Instant};

/// Signals within this time are one.
const AT_ONCE: Duration = Duration::from_millis(500);

/// A token that Ctrl-C cancels; a second one ends the process.
pub(crate) fn cancelled_by_ctrl_c() -> Result<CancelToken> {
    let cancel = CancelToken::default();
    let on_signal = cancel.clone();
    let mut first: Option<Instant> = None;
    let handler = move || {
        let first = first.get_or_insert_with(Instant::now);
        // A second signal does not wait for the iteration's end; but what the terminal sends and what a
        // launcher sends at once is one.
        if on_signal.cancel() && first.elapsed() > AT_ONCE {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler)
        .map_err(|e| Error::Other(format!("cannot catch Ctrl-C: {e}; is it caught already?")))?;
    Ok(cancel)
}
