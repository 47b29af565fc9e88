//! A run survives kills, damaged files and a full disk, to the same bits.

use hg_tests::{hg, repository};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const ITERATIONS: &str = "60";

/// `hg train` on pbc into `out`, ready to start.
fn train(out: &Path) -> Command {
    let mut command = Command::new(hg_tests::program());
    command.arg("train").arg("--data").arg(repository("data/pbc/pbcseq.csv"));
    command.arg("--schema").arg(repository("data-schemas/pbc.toml")).arg("--out").arg(out);
    command.args(["--iterations", ITERATIONS, "--checkpoint-every", "2", "--batch-size", "8"]);
    command.args(["--held-out", "0.1", "--set", "validation.every=3"]);
    command
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn resume(out: &Path) -> Output {
    hg(&["train".as_ref(), "--resume".as_ref(), out.as_os_str()])
}

/// What must not depend on what happened to a run.
fn results(out: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let newest = Path::new("checkpoints").join(format!("{:0>8}", ITERATIONS));
    let files = ["generator", "generator-averaged", "critic", "state"]
        .map(|name| newest.join(format!("{name}.safetensors")));
    let others = [
        "synthetic.csv",
        "synthetic.parquet",
        "metrics.jsonl",
        "tensorboard/events.out.tfevents.hg",
    ]
    .map(PathBuf::from);
    let read = |file: PathBuf| {
        let bytes = std::fs::read(out.join(&file)).expect("a result");
        (file, bytes)
    };
    files.into_iter().chain(others).map(read).collect()
}

fn same(ours: &Path, whole: &Path, what: &str) {
    for ((name, ours), (_, whole)) in results(ours).iter().zip(&results(whole)) {
        assert!(ours == whole, "{what}: {} differs", name.display());
    }
}

#[test]
fn a_run_killed_twenty_times_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    done(&train(&whole).output().expect("runs"));
    let mut command = train(&killed);
    let mut kills = 0;
    // Spread over the start, the steps and the writing of checkpoints.
    while kills < 20 {
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        std::thread::sleep(Duration::from_millis(60 + 37 * kills % 290));
        child.kill().expect("kills");
        child.wait().expect("ends");
        kills += 1;
        // Before the folder is made there is nothing to resume.
        if killed.join("run.toml").exists() {
            command = Command::new(hg_tests::program());
            command.arg("train").arg("--resume").arg(&killed);
        } else if killed.exists() {
            std::fs::remove_dir_all(&killed).expect("removes");
        }
    }
    done(&command.output().expect("runs"));
    same(&killed, &whole, "killed");
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, damaged) = (folder.path().join("whole"), folder.path().join("damaged"));
    done(&train(&whole).output().expect("runs"));
    done(&train(&damaged).output().expect("runs"));
    let newest = damaged.join("checkpoints").join(format!("{:0>8}", ITERATIONS));
    for file in ["generator.safetensors", "critic.safetensors", "state.safetensors", "SHA256SUMS"] {
        let path = newest.join(file);
        let mut bytes = std::fs::read(&path).expect("reads");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).expect("writes");
        let output = resume(&damaged);
        done(&output);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(&format!("{:0>8} is damaged", ITERATIONS)), "{file}: {said}");
        same(&damaged, &whole, file);
    }
    let truncated = newest.join("generator-averaged.safetensors");
    std::fs::File::options()
        .write(true)
        .open(&truncated)
        .expect("opens")
        .set_len(10)
        .expect("cuts");
    done(&resume(&damaged));
    same(&damaged, &whole, "truncated");
    for (file, says) in [("encoder.json", "encoder.json: is damaged"), ("run.toml", "run.toml")] {
        let path = damaged.join(file);
        let sound = std::fs::read(&path).expect("reads");
        std::fs::write(&path, &sound[..sound.len() / 2]).expect("writes");
        let output = resume(&damaged);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{file}: {said}");
        assert!(said.contains(says), "{file}: {said}");
        std::fs::write(&path, sound).expect("writes");
    }
}

/// A limit on a file's size stands for a full disk: writing fails there.
#[cfg(unix)]
#[test]
fn a_full_disk_is_an_error_and_the_run_goes_on_afterwards() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, full) = (folder.path().join("whole"), folder.path().join("full"));
    done(&train(&whole).output().expect("runs"));
    let hindered = |command: &Command| {
        let mut shell = Command::new("sh");
        // Blocks of 512 bytes: less than any network.
        shell.args(["-c", "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\""]);
        shell.arg(command.get_program()).args(command.get_args());
        shell.output().expect("runs")
    };
    let output = hindered(&train(&full));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("checkpoint") || said.contains("File too large"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    done(&resume(&full));
    same(&full, &whole, "full disk");
}

#[test]
fn one_two_and_four_threads_give_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |threads: &str| {
        let out = folder.path().join(threads);
        done(&train(&out).env("RAYON_NUM_THREADS", threads).output().expect("runs"));
        out
    };
    let one = run("1");
    for threads in ["2", "4"] {
        same(&run(threads), &one, threads);
    }
}
