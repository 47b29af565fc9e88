//! Ctrl-C.

use crate::error::{Error, Result};
use health_gym::CancelToken;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Signals within this time are one.
const AT_ONCE: Duration = Duration::from_millis(500);

/// The token of this process, once there is one.
static TOKEN: Mutex<Option<CancelToken>> = Mutex::new(None);

/// A token that Ctrl-C cancels; a second one ends the process. All calls give the same token.
pub(crate) fn cancelled_by_ctrl_c() -> Result<CancelToken> {
    let mut token = TOKEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(token) = &*token {
        return Ok(token.clone());
    }
    let cancel = CancelToken::default();
    let on_signal = cancel.clone();
    let mut first: Option<Instant> = None;
    let handler = move || {
        on_signal.cancel();
        // A second signal does not wait for the iteration's end; but what the terminal sends and what a
        // launcher sends at once is one.
        if first.get_or_insert_with(Instant::now).elapsed() > AT_ONCE {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler)
        .map_err(|e| Error::Other(format!("cannot catch Ctrl-C: {e}; is it caught already?")))?;
    Ok(token.insert(cancel).clone())
}
