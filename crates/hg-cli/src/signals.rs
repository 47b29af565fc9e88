//! Ctrl-C.

use crate::error::{Error, Result};
use health_gym::CancelToken;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

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
    let is_second = AtomicBool::new(false);
    let handler = move || {
        on_signal.cancel();
        // The second signal does not wait for the iteration's end.
        if is_second.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler)
        .map_err(|e| Error::Other(format!("cannot catch Ctrl-C: {e}; is it caught already?")))?;
    Ok(token.insert(cancel).clone())
}
