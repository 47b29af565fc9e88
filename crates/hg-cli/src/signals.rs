//! Ctrl-C.

use crate::error::{Error, Result};
use health_gym::CancelToken;

/// A token that Ctrl-C cancels; a second one ends the process.
pub(crate) fn cancelled_by_ctrl_c() -> Result<CancelToken> {
    let cancel = CancelToken::default();
    let on_signal = cancel.clone();
    let handler = move || {
        // The second signal does not wait for the iteration's end.
        if on_signal.cancel() {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler)
        .map_err(|e| Error::Other(format!("cannot catch Ctrl-C: {e}; is it caught already?")))?;
    Ok(cancel)
}
