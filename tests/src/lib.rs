//! The harness of the end-to-end tests: runs the real program.
//!
//! The tests lie beside this package's manifest, one file for each thing that a user relies on.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
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
pub fn hg<S: AsRef<OsStr>>(arguments: &[S]) -> Output {
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

/// Runs `hg train` on a table, with more arguments.
///
/// # Panics
/// As [`hg`].
pub fn train([data, schema, out]: [&Path; 3], more: &[&str]) -> Output {
    let of_run: [&OsStr; 7] = [
        "train".as_ref(),
        "--data".as_ref(),
        data.as_ref(),
        "--schema".as_ref(),
        schema.as_ref(),
        "--out".as_ref(),
        out.as_ref(),
    ];
    hg(&of_run.into_iter().chain(more.iter().map(OsStr::new)).collect::<Vec<_>>())
}

/// The first patients of the shipped cohort, who are evaluated in a second, as a CSV.
///
/// # Panics
/// Where the cohort cannot be read.
pub fn few_patients(count: usize) -> String {
    let table = std::fs::read_to_string(repository("data/pbc/pbcseq.csv")).expect("reads");
    // The header's is no number.
    let id = |line: &str| line.split(',').next().and_then(|id| id.parse::<usize>().ok());
    let few = table.lines().filter(|line| id(line).is_none_or(|id| id <= count));
    few.map(|line| format!("{line}\n")).collect()
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
