//! Many runs by many processes: the bytes of `hg train`, whatever happens to the processes.

use hg_tests::{few_patients, hg, program, repository, train};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// A folder with a few of pbc's patients, by whom a run takes a second.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("few.csv"), few_patients(24)).expect("writes");
        std::fs::copy(repository("data-schemas/pbc.toml"), folder.path().join("pbc.toml"))
            .expect("copies");
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a sweep's file; gives its path.
    fn sweep(&self, name: &str, rest: &str) -> PathBuf {
        let path = self.path(name);
        let text = format!(
            "data = \"few.csv\"\nschema = \"pbc.toml\"\n{rest}\n[settings]\niterations = 12\n\
             batching.batch_size = 8\ncheckpoints.every = 2\n"
        );
        std::fs::write(&path, text).expect("writes");
        path
    }

    /// `hg sweep`, ready to start.
    fn command(&self, file: &Path, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.arg("sweep").arg(file).arg("--out").arg(self.path(out)).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in ["ID", "COUNT", "MIN", "MAX"] {
            command.env_remove(format!("SLURM_ARRAY_TASK_{name}"));
        }
        command
    }

    fn run(&self, file: &Path, out: &str, more: &[&str]) -> Output {
        self.command(file, out, more).output().expect("runs")
    }
}

const GRID: &str = "seeds = [0, 1, 2]\ngrid.model.hidden = [8, 12]\n\
                    grid.optimiser.critic_steps = [1, 2]\n";

/// A sweep of 12 runs that nothing interrupted, two at once.
static WHOLE: LazyLock<Scratch> = LazyLock::new(|| {
    let scratch = Scratch::new();
    let file = scratch.sweep("sweep.toml", GRID);
    done(&scratch.run(&file, "whole", &["--jobs", "2"]));
    scratch
});

fn done(output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until a file is there.
fn wait_for(path: impl Fn() -> bool, what: &str) {
    let began = Instant::now();
    while !path() {
        assert!(began.elapsed() < Duration::from_secs(120), "{what} does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The runs' folders, in order.
fn runs(sweep: &Path) -> Vec<PathBuf> {
    // Before a sweep has begun there are none.
    let entries = std::fs::read_dir(sweep).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut runs: Vec<PathBuf> = paths.filter(|path| path.join("run.toml").exists()).collect();
    runs.retain(|path| path.file_name().is_some_and(|name| name != "best"));
    runs.sort();
    runs
}

fn is_number(run: &Path, number: &str) -> bool {
    run.file_name().is_some_and(|name| name.to_string_lossy().starts_with(number))
}

/// Asserts that two runs have the same bytes in all that must not depend on how they came about.
fn assert_same(ours: &Path, other: &Path) {
    let newest = "checkpoints/00000012";
    let weights = ["generator", "generator-averaged", "critic", "state"]
        .map(|name| format!("{newest}/{name}.safetensors"));
    let others = [
        "synthetic.csv",
        "synthetic.parquet",
        "resampler.json",
        "metrics.jsonl",
        "run.toml",
        "card.md",
    ];
    let of_report = ["report/comparison.json", "report/report.md"];
    let names = weights.into_iter().chain(others.into_iter().chain(of_report).map(str::to_owned));
    for name in names {
        let read = |run: &Path| std::fs::read(run.join(&name)).expect("a result");
        assert!(read(ours) == read(other), "{}: {name} differs", ours.display());
    }
}

fn assert_same_sweeps(ours: &Path, other: &Path, count: usize) {
    let (ours, other) = (runs(ours), runs(other));
    assert_eq!((ours.len(), other.len()), (count, count));
    for (ours, other) in ours.iter().zip(&other) {
        assert_eq!(ours.file_name(), other.file_name());
        assert_same(ours, other);
    }
}

#[test]
fn twelve_runs_by_two_workers_one_of_them_killed_have_the_bytes_of_hg_train() {
    let scratch = &*WHOLE;
    let (file, out) = (scratch.path("sweep.toml"), scratch.path("shared"));
    let start = |task: &str| -> Child {
        scratch.command(&file, "shared", &["--task", task]).spawn().expect("starts")
    };
    let mut first = start("1/2");
    let mut second = start("2/2");
    // In the middle of its second run.
    let of_second = || runs(&out).into_iter().find(|run| is_number(run, "004"));
    let has_checkpoint = |run: PathBuf| run.join("checkpoints/00000004").exists();
    wait_for(|| of_second().is_some_and(has_checkpoint), "a checkpoint of the fourth run");
    second.kill().expect("kills");
    second.wait().expect("ends");
    assert!(of_second().is_some_and(|run| !run.join("card.json").exists()), "it was done already");
    let begun = |run: PathBuf| std::fs::metadata(run.join("run.toml")).and_then(|m| m.modified());
    let first_begun = of_second().map(begun);
    done(&start("2/2").wait_with_output().expect("ends"));
    let is_same = of_second().map(begun).zip(first_begun).is_some_and(|(a, b)| a.ok() == b.ok());
    assert!(is_same, "the run that was killed did not go on, but began anew");
    assert!(first.wait().expect("ends").success());
    assert_same_sweeps(&out, &scratch.path("whole"), 12);

    for (run, hidden, steps, seed) in [("002", "8", "1", "1"), ("012", "12", "2", "2")] {
        let alone = scratch.path(&format!("alone{run}"));
        let [data, schema] = ["few.csv", "pbc.toml"].map(|name| scratch.path(name));
        let numbers = ["--iterations", "12", "--batch-size", "8", "--checkpoint-every", "2"];
        let [hidden, steps] =
            [format!("model.hidden={hidden}"), format!("optimiser.critic_steps={steps}")];
        let own = ["--seed", seed, "--set", &hidden, "--set", &steps];
        done(&train([&data, &schema, &alone], &[numbers, own].concat()));
        let shared = runs(&out);
        assert_same(shared.iter().find(|path| is_number(path, run)).expect("a run"), &alone);
    }
}

#[test]
fn a_sweep_that_is_done_is_done_at_once() {
    let scratch = &*WHOLE;
    let written =
        |run: &PathBuf| std::fs::metadata(run.join("card.json")).and_then(|m| m.modified()).ok();
    let before: Vec<_> = runs(&scratch.path("whole")).iter().map(written).collect();
    let output = scratch.run(&scratch.path("sweep.toml"), "whole", &["--json"]);
    done(&output);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&said["done"], &said["left_to_others"]), (&12.into(), &0.into()));
    let after: Vec<_> = runs(&scratch.path("whole")).iter().map(written).collect();
    assert_eq!(before, after);
}

#[test]
fn the_ranking_orders_runs_and_settings_and_links_the_best() {
    let scratch = &*WHOLE;
    // A copy, of which a run is taken away.
    let folder = scratch.path("ranked");
    done(
        &Command::new("cp")
            .arg("-r")
            .arg(scratch.path("whole"))
            .arg(&folder)
            .output()
            .expect("copies"),
    );
    let missing = runs(&folder)[6].clone();
    std::fs::remove_file(missing.join("card.json")).expect("removes");

    let rank = |json: bool| {
        let folder = folder.display().to_string();
        let output =
            hg(&[&["sweep", "rank", &folder][..], if json { &["--json"] } else { &[] }].concat());
        done(&output);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = rank(false);
    let ranking: serde_json::Value = serde_json::from_str(&rank(true)).expect("JSON");
    let written = std::fs::read(folder.join("ranking.json")).expect("reads");
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&written).expect("JSON"), ranking);

    let runs_of = ranking["runs"].as_array().expect("runs");
    assert_eq!((runs_of.len(), ranking["settings"].as_array().map(Vec::len)), (11, Some(4)));
    assert_eq!(ranking["unfinished"][0]["state"], "begun");
    let name = missing.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(said.contains(&format!("{name} is begun")), "{said}");

    let fails = |run: &serde_json::Value| {
        run["privacy"]["failed"].as_array().is_some_and(|all| !all.is_empty())
    };
    let order = |run: &serde_json::Value| {
        (fails(run), run["figure"].as_f64().map(|figure| figure.max(0.5)))
    };
    assert!(runs_of.windows(2).all(|pair| order(&pair[0]) <= order(&pair[1])), "{said}");
    let best = std::fs::read_link(folder.join("best")).ok();
    let first = runs_of[0]["name"].as_str().filter(|_| !fails(&runs_of[0]));
    assert_eq!(best.as_deref(), first.map(Path::new));
    assert_eq!(ranking["best"].as_str(), first);
}

#[test]
fn a_task_of_a_slurm_array_does_its_share() {
    let scratch = Scratch::new();
    let file = scratch.sweep("sweep.toml", "seeds = [0, 1, 2]");
    let slurm = |[id, count, least, greatest]: [&str; 4]| {
        let mut command = scratch.command(&file, "out", &[]);
        for (name, value) in [("ID", id), ("COUNT", count), ("MIN", least), ("MAX", greatest)] {
            command.env(format!("SLURM_ARRAY_TASK_{name}"), value);
        }
        command.output().expect("runs")
    };
    let names = || -> Vec<String> {
        let name = |run: &PathBuf| run.file_name().expect("a name").to_string_lossy().into_owned();
        runs(&scratch.path("out")).iter().map(name).collect()
    };
    done(&slurm(["2", "3", "1", "3"]));
    assert_eq!(names(), ["002-seed=1"]);
    done(&slurm(["2", "3", "0", "2"]));
    assert_eq!(names(), ["002-seed=1", "003-seed=2"]);
    let strided = slurm(["1", "2", "1", "3"]);
    assert_eq!(strided.status.code(), Some(2), "{}", stderr(&strided));
    assert!(stderr(&strided).contains("leaves numbers out: 2 tasks from 1 to 3\nhint: "));
    // What is said on the command line counts.
    let mut said = scratch.command(&file, "out", &["--task", "1/3"]);
    done(&said.env("SLURM_ARRAY_TASK_ID", "9").output().expect("runs"));
    assert_eq!(names().len(), 3);
}

#[test]
fn what_is_wrong_is_said_before_a_run_begins() {
    let scratch = Scratch::new();
    let good = scratch.sweep("good.toml", "seeds = [0, 1]");
    let refused = |file: &Path, out: &str, more: &[&str], says: &str| {
        let output = scratch.run(file, out, more);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    };
    let bad = |rest: &str, says: &str| {
        refused(&scratch.sweep("bad.toml", rest), "none", &[], says);
        assert!(!scratch.path("none").exists());
    };
    bad("[grid]\nmodel.hiden = [1]", "bad.toml: [grid]: there is no setting `model.hiden`\nhint: ");
    bad("[grid]\nmodel.hidden = [8, 0]", "bad.toml: run 2: ");
    bad("[[runs]]\nseed = \"x\"", "bad.toml: [[runs]] 1: `seed = \"x\"`: ");
    refused(&scratch.path("no.toml"), "none", &[], "no.toml: cannot read the sweep");
    refused(&good, "none", &["--task", "3/2"], "`3/2` is no share of the work\nhint: ");

    // The folder of another sweep, and one that is none.
    std::fs::create_dir(scratch.path("out")).expect("makes");
    done(&scratch.run(&good, "out", &["--task", "9/9"]));
    let other = scratch.sweep("other.toml", "seeds = [0, 2]");
    refused(&other, "out", &[], "is the folder of another sweep: it has other runs\nhint: ");
    refused(&good, "", &[], "is there, and is no sweep's folder\nhint: ");
    let output = hg(&["sweep", "rank", &scratch.path("").display().to_string()]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    // A table that does not fit fails before anything is said of the sweep.
    let table = std::fs::read_to_string(scratch.path("few.csv")).expect("reads");
    std::fs::write(scratch.path("odd.csv"), table.replacen(",f,", ",x,", 1)).expect("writes");
    let odd = scratch.path("odd.toml");
    let text = std::fs::read_to_string(&good).expect("reads").replace("few.csv", "odd.csv");
    std::fs::write(&odd, text).expect("writes");
    refused(&odd, "odd", &[], "odd.csv, row 1, column `sex`");
    assert!(!scratch.path("odd/sweep.toml").exists());
    // Another table at the same place.
    let table = scratch.path("few.csv");
    let text = std::fs::read_to_string(&table).expect("reads");
    let less = text.trim_end().rsplit_once('\n').expect("rows").0;
    std::fs::write(&table, less).expect("writes");
    refused(&good, "out", &[], "it has another table\nhint: ");
}

#[test]
fn a_run_that_diverges_is_noted_and_the_others_go_on() {
    let scratch = Scratch::new();
    let rest = "checkpoints.restarts = 0\n[grid]\noptimiser.learning_rate = [30.0, 1e-3]";
    let path = scratch.path("sweep.toml");
    let text = format!(
        "data = \"few.csv\"\nschema = \"pbc.toml\"\n[settings]\niterations = 40\ncheckpoints.every = 1\nbatching.batch_size = 8\n{rest}\n"
    );
    std::fs::write(&path, text).expect("writes");
    for _ in 0..2 {
        let output = scratch.run(&path, "out", &[]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains("of 2 runs 1 failed: 001-"), "{}", stderr(&output));
        assert!(stderr(&output).contains("diverged at iteration"), "{}", stderr(&output));
    }
    let output = hg(&["sweep", "rank", &scratch.path("out").display().to_string()]);
    done(&output);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("is failed: training diverged at iteration"), "{said}");
}

#[test]
fn a_run_is_left_to_the_process_that_is_at_it() {
    let scratch = Scratch::new();
    let file = scratch.sweep("sweep.toml", "seeds = [0]");
    let first = scratch.command(&file, "out", &[]).spawn().expect("starts");
    wait_for(|| scratch.path("out/001/run.toml").exists(), "the run");
    let second = scratch.run(&file, "out", &[]);
    done(&second);
    let at_it = format!("001: process {} on ", first.id());
    assert!(stderr(&second).contains(&at_it), "{}", stderr(&second));
    done(&first.wait_with_output().expect("ends"));
    assert!(scratch.path("out/001/card.json").exists());
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_with_a_checkpoint_and_the_same_command_goes_on() {
    let scratch = Scratch::new();
    let file = scratch.sweep("sweep.toml", "seeds = [0, 1]");
    done(&scratch.run(&file, "whole", &[]));
    for (out, jobs, signal) in [("one", "1", "-INT"), ("two", "2", "-INT"), ("dead", "2", "-KILL")]
    {
        let sweep = scratch.command(&file, out, &["--jobs", jobs]).spawn().expect("starts");
        let begun = scratch.path(&format!("{out}/001-seed=0/checkpoints/00000002"));
        wait_for(|| begun.exists(), "a checkpoint");
        // To the process alone: those that it started are told by it, or see that it is no more.
        let kill = Command::new("kill").args([signal, &sweep.id().to_string()]).status();
        assert!(kill.expect("kills").success());
        let output = sweep.wait_with_output().expect("ends");
        if signal == "-INT" {
            assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
            let says = "the same command goes on";
            assert!(stderr(&output).contains(says), "{}", stderr(&output));
        }
        assert!(runs(&scratch.path(out)).iter().any(|run| !run.join("card.json").exists()));
        done(&scratch.run(&file, out, &["--jobs", jobs]));
        assert_same_sweeps(&scratch.path(out), &scratch.path("whole"), 2);
    }
}
