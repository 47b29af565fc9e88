//! `hg sweep`.

use crate::arguments::{SweepArguments, SweepCommand};
use crate::built::program;
use crate::error::{Error, Result};
use crate::signals::cancelled_by_ctrl_c;
use crate::train;
use comfy_table::{Table, presets};
use health_gym::sweep::{
    Claim, Failure, PlannedRun, Ranking, RunState, Sweep, SweepFolder, Verdicts, slurm_task,
};
use health_gym::{CancelToken, Run};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) fn run(arguments: &SweepArguments, json: bool) -> Result<()> {
    if let Some(SweepCommand::Rank { folder }) = &arguments.command {
        return rank(folder, json);
    }
    let (Some(file), Some(out)) = (&arguments.sweep, &arguments.out) else {
        return Err(Error::Other("SWEEP.toml and --out belong together".into()));
    };
    let task = match arguments.task {
        Some(task) => task,
        None => slurm_task(|name| std::env::var(name).ok())?.unwrap_or_default(),
    };
    let sweep = Sweep::load(file)?;
    let folder = SweepFolder::of(out, &sweep)?;
    if !folder.has_locks() {
        refuse_or_warn(&folder, arguments.jobs)?;
    }
    let cancel = cancelled_by_ctrl_c()?;
    if arguments.worker {
        cancel_with_stdin(&cancel);
    }

    let runs: Vec<&PlannedRun> = sweep.runs_of(task).collect();
    let jobs = arguments.jobs.min(runs.len() as u64);
    if jobs > 1 {
        let arguments: [&OsStr; 7] = [
            "sweep".as_ref(),
            file.as_ref(),
            "--out".as_ref(),
            out.as_ref(),
            "--worker".as_ref(),
            "--task".as_ref(),
            &OsString::from(task.to_string()),
        ];
        start(jobs, &arguments, json, &cancel)?;
    } else {
        for run in &runs {
            work((&folder, &sweep), run, (arguments.worker, json))?;
            if cancel.is_cancelled() {
                return Err(Error::SweepStopped);
            }
        }
    }
    match arguments.worker {
        // Who started it tells what came of it.
        true => Ok(()),
        false => conclude(&folder, &runs, json),
    }
}

/// Without locks, nothing keeps two processes from one run.
fn refuse_or_warn(folder: &SweepFolder, jobs: u64) -> Result<()> {
    let said = format!("{}: its file system has no locks", folder.path().display());
    if jobs > 1 {
        let hint = "hint: in place of `--jobs 2`, start `--task 1/2` and `--task 2/2`";
        return Err(Error::Other(format!("{said}, which `--jobs` takes\n{hint}")));
    }
    tracing::warn!("{said}: see to it that no two processes have the same task");
    Ok(())
}

/// Does a run, where it is not done and nobody else is at it.
fn work(
    (folder, sweep): (&SweepFolder, &Sweep),
    planned: &PlannedRun,
    (is_worker, json): (bool, bool),
) -> Result<()> {
    let name = planned.name.as_str();
    let lock = match folder.claim(name)? {
        Claim::Ours(lock) => lock,
        Claim::Busy(_) if is_worker => return Ok(()),
        Claim::Busy(who) => {
            tracing::info!("{name}: {who} is at it, or one that it started; left to that one");
            return Ok(());
        }
        Claim::Done | Claim::Failed(_) => return Ok(()),
    };
    tracing::info!("{name}: begins");
    match make((folder, sweep), planned) {
        Ok(()) if json => {}
        Ok(()) => println!("{}", folder.run(name).display()),
        Err(Error::Interrupted { iteration, .. }) => {
            tracing::info!("{name}: stopped after iteration {iteration}");
            return Err(Error::SweepStopped);
        }
        Err(Error::HealthGym(error)) => {
            tracing::error!("{name}: {error}");
            folder.note_failure(name, &Failure::of(&error))?;
        }
        Err(error) => return Err(error),
    }
    drop(lock);
    Ok(())
}

/// What `hg train` does, from where it was interrupted.
fn make((folder, sweep): (&SweepFolder, &Sweep), planned: &PlannedRun) -> Result<()> {
    let path = folder.run(&planned.name);
    let (run, encoded) = match folder.is_begun(&planned.name)? {
        true => {
            // The table may have moved since the run began.
            let run = Run::open(&path)?.with_data(Some(&sweep.data))?;
            run.warn_of_other_vectors()?;
            let encoded = run.real()?;
            (run, encoded)
        }
        false => {
            let Sweep { data, schema, .. } = sweep;
            Run::create(&path, data, schema, planned.config.clone(), None, program())?
        }
    };
    train::make(&run, &encoded)
}

/// Says what came of a task's runs.
fn conclude(folder: &SweepFolder, runs: &[&PlannedRun], json: bool) -> Result<()> {
    let (mut done, mut failed, mut others) = (0, Vec::new(), 0);
    for run in runs {
        match folder.state(&run.name)? {
            RunState::Done => done += 1,
            RunState::Failed(failure) => {
                let message = failure.message.lines().next().unwrap_or_default();
                tracing::error!("{} failed: {message}", run.name);
                failed.push(run.name.clone());
            }
            RunState::Begun | RunState::Waiting => others += 1,
        }
    }
    if others > 0 {
        tracing::info!("{others} runs are left to the processes that are at them");
    }
    if json {
        let summary = serde_json::json!({
            "folder": folder.path(), "done": done, "failed": failed, "left_to_others": others,
        });
        println!("{summary}");
    } else {
        let path = folder.path().display();
        tracing::info!(
            "{done} of {} runs are done; rank them with: hg sweep rank {path}",
            runs.len()
        );
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Error::RunsFailed { failed, of: runs.len() }),
    }
}

/// Cancels when stdin ends: then the process that started this one wants it to stop, or is no more.
fn cancel_with_stdin(cancel: &CancelToken) {
    let cancel = cancel.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        cancel.cancel();
    });
}

/// How often it is asked whether processes have ended.
const PAUSE: Duration = Duration::from_millis(100);

/// Lets so many processes do a task's runs together, each with its share of the cores.
fn start(jobs: u64, arguments: &[&OsStr], json: bool, cancel: &CancelToken) -> Result<()> {
    let failed = |e: std::io::Error| Error::Other(format!("cannot start another `hg`: {e}"));
    let cores = std::env::var("RAYON_NUM_THREADS").ok().and_then(|cores| cores.parse().ok());
    let here = || std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let cores: u64 = cores.filter(|&cores| cores > 0).unwrap_or_else(here);
    // In Python's package the program is a script, which comes before the command.
    let before = std::env::args_os().skip(1).take_while(|argument| argument != "sweep");
    let before: Vec<OsString> = before.filter(|argument| argument != "--json").collect();

    let (mut children, mut said): (Vec<Child>, Vec<JoinHandle<()>>) = Default::default();
    for job in 0..jobs {
        let share = (cores / jobs + u64::from(job < cores % jobs)).max(1).to_string();
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(&before).args(arguments).stdin(Stdio::piped()).stderr(Stdio::piped());
        command.stdout(if json { Stdio::null() } else { Stdio::inherit() });
        command.env("RAYON_NUM_THREADS", &share).env("POLARS_MAX_THREADS", &share);
        let mut child = command.spawn().map_err(failed)?;
        // Through here, so that bars of several do not draw over one another.
        said.extend(child.stderr.take().map(|stderr| std::thread::spawn(|| pass_on(stderr))));
        children.push(child);
    }

    let mut worst = 0;
    while !children.is_empty() {
        if cancel.is_cancelled() {
            children.iter_mut().for_each(|child| drop(child.stdin.take()));
        }
        let mut running = Vec::with_capacity(children.len());
        for mut child in children {
            match child.try_wait().map_err(failed)? {
                Some(status) => worst = worst.max(status.code().unwrap_or(1)),
                None => running.push(child),
            }
        }
        children = running;
        std::thread::sleep(PAUSE);
    }
    // A thread that could not go on has nothing more to say.
    said.into_iter().for_each(|thread| drop(thread.join()));
    match worst {
        0 => Ok(()),
        _ if cancel.is_cancelled() => Err(Error::SweepStopped),
        code => Err(Error::Other(format!("a process ended with exit code {code}"))),
    }
}

/// Writes what a process says to stderr, line by line.
fn pass_on(stderr: ChildStderr) {
    for line in BufReader::new(stderr).lines().map_while(|line| line.ok()) {
        eprintln!("{line}");
    }
}

fn rank(folder: &Path, json: bool) -> Result<()> {
    let folder = SweepFolder::open(folder)?;
    let ranking = folder.rank()?;
    folder.save(&ranking)?;
    if json {
        let text = serde_json::to_string(&ranking).map_err(health_gym::Error::from)?;
        println!("{text}");
    } else {
        print(&ranking);
        match &ranking.best {
            Some(best) => println!("{}", folder.run(best).display()),
            None => println!("no run that is done passes the questions of privacy"),
        }
    }
    Ok(())
}

fn print(ranking: &Ranking) {
    println!("ordered by {}, after those that fail privacy\n", ranking.ordered_by);
    println!("{}\n", of_settings(ranking));
    println!("{}", of_runs(ranking));
    for run in &ranking.unfinished {
        let message = run.message.as_ref().and_then(|message| message.lines().next());
        let message = message.map_or(String::new(), |message| format!(": {message}"));
        println!("{} is {}{message}", run.name, run.state);
    }
}

fn of_settings(ranking: &Ranking) -> Table {
    let mut table = table(["settings", "mean", "range", "seeds", "failing privacy"]);
    for settings in &ranking.settings {
        let range = settings.range.map(|[least, most]| format!("{least:.3} to {most:.3}"));
        table.add_row([
            said(&settings.settings),
            figure(settings.mean),
            range.unwrap_or_else(|| NOTHING.into()),
            format!("{} of {}", settings.done, settings.of),
            settings.failing_privacy.to_string(),
        ]);
    }
    table
}

fn of_runs(ranking: &Ranking) -> Table {
    let mut table = table(["run", "judge", "columns", "privacy", "the rest"]);
    for run in &ranking.runs {
        table.add_row([
            run.name.clone(),
            figure(run.figure),
            figure(run.columns),
            verdicts(&run.privacy, true),
            verdicts(&run.quality, false),
        ]);
    }
    table
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(header);
    table
}

fn verdicts(verdicts: &Verdicts, names_failed: bool) -> String {
    let Verdicts { passed, open, failed } = verdicts;
    let names = match names_failed && !failed.is_empty() {
        true => format!(" ({})", failed.join(", ")),
        false => String::new(),
    };
    format!("{passed} passed, {} failed{names}, {open} open", failed.len())
}

fn said(settings: &BTreeMap<String, String>) -> String {
    let said: Vec<String> =
        settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if said.is_empty() { "those of all runs".into() } else { said.join(" ") }
}

/// What is shown where there is no figure.
const NOTHING: &str = "–";

fn figure(figure: Option<f64>) -> String {
    figure.map_or(NOTHING.into(), |figure| format!("{figure:.3}"))
}
