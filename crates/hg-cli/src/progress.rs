//! The bar of long work.

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// A bar with its rate and the time that is left, on stderr, and only where that is a terminal.
pub(crate) fn progress_bar(steps: u64) -> ProgressBar {
    let template = "{bar:24} {pos}/{len} · {rate} · ETA {eta} · {wide_msg}";
    let rate = |state: &ProgressState, to: &mut dyn std::fmt::Write| {
        // The bar shows what could be written.
        let _ = write!(to, "{:.1}/s", state.per_sec());
    };
    let style = ProgressStyle::with_template(template).map(|style| style.with_key("rate", rate));
    ProgressBar::new(steps).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
