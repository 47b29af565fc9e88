//! The program `hg`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: no thread has been started yet.
    ExitCode::from(unsafe { hg_cli::run(std::env::args_os()) })
}
