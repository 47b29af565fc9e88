//! The harness of the end-to-end tests: runs the real program.
//!
//! The tests lie beside this package's manifest, one file for each thing that a user relies on.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A path within the repository.
pub fn repository(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

/// The program `hg`, which `cargo test --workspace` builds beside the tests: the test of the
/// package `hg-cli` has it built.
///
/// # Panics
/// Where it is not there.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.ancestors().nth(2).expect("tests lie in target/release/deps");
    let program = folder.join(format!("hg{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.is_file(),
        "{} is not there\nhint: cargo build --release --workspace --bin hg",
        program.display()
    );
    program
}

/// Nothing that the tests ask for takes so long: what does is an endless loop.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs `hg` to its end.
///
/// # Panics
/// When it cannot be started, or does not end.
pub fn hg<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Output {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().expect("hg starts");
    // Threads empty the pipes, so that a full one does not stop the program.
    let (stdout, stderr) = (drain(running.stdout.take()), drain(running.stderr.take()));
    let began = Instant::now();
    let status = loop {
        match running.try_wait().expect("hg can be waited for") {
            Some(status) => break status,
            None if began.elapsed() > LIMIT => {
                let _ = running.kill();
                let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
                panic!("hg {arguments:?} does not end");
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let all = |pipe: JoinHandle<Vec<u8>>| pipe.join().expect("the pipe is read");
    Output { status, stdout: all(stdout), stderr: all(stderr) }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).expect("the pipe is read");
        }
        bytes
    })
}
