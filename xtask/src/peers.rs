//! Cohorts of other programs beside ours: the same patients to train on, the same CPU time, the
//! same judges.

use crate::bench::processor;
use crate::quality::{mean_and_range, with_out};
use crate::tasks::{WORKSPACE, build_hg, execute, hg, target, venv};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The heading of the section in `docs/quality.md`.
pub(crate) const HEADING: &str = "\n## Beside other programs\n";
/// The share of patients that nobody trains on; which ones depends on the seed.
const HELD_OUT: &str = "0.2";
const SCRIPTS: &str = "tests/peers/cohorts";
const JUDGE_PACKAGES: [&str; 5] = [
    "sdmetrics==0.32.0",
    "pyarrow==26.0.1",
    "pandas==2.3.3",
    "scipy==1.17.1",
    "scikit-learn==1.9.1",
];
/// Where the figures of a cohort lie in its JSON, what the table calls them, and their decimals.
const FIGURES: [(&str, &str, usize); 10] = [
    ("/told_apart", "told apart, worst judge", 2),
    ("/outside/told_apart", "told apart, outside judge", 2),
    ("/hg/mean_ks", "KS", 3),
    ("/hg/mean_total_variation", "TV", 3),
    ("/outside/sd_within", "SD within", 2),
    ("/next_step", "next-step R², % of real", 0),
    ("/outside/gaps", "KS of gaps", 3),
    ("/hg/membership/area", "membership AUC", 2),
    ("/outside/quality", "SDMetrics quality", 3),
    ("/made/cpu_minutes", "CPU minutes", 1),
];

#[derive(Args)]
pub(crate) struct Peers {
    /// CPU minutes of training, on one thread.
    #[arg(long, default_value_t = 5., requires = "peers")]
    minutes: f64,
    /// Seeds; each also draws which patients are held out.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3", requires = "peers")]
    seeds: Vec<u64>,
    /// Tables, all if nothing is said.
    #[arg(long, value_delimiter = ',', requires = "peers")]
    tables: Vec<Table>,
    /// Programs, all if nothing is said.
    #[arg(long, value_delimiter = ',', requires = "peers")]
    methods: Vec<Method>,
    /// Make our cohorts anew and judge all anew, as after a change of `hg`.
    #[arg(long, requires = "peers")]
    again: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Table {
    Pbc,
    IcuNutrition,
    EicuDemo,
    Nafld,
    Hiv,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Method {
    Ours,
    Argn,
    Par,
    Dgan,
    Timevae,
}

/// Compares what is asked for, keeping what was measured before, and writes the section of
/// `docs/quality.md` with everything that has been measured for these minutes.
pub(crate) fn run(peers: &Peers) -> Result<()> {
    build_hg()?;
    let tables = if peers.tables.is_empty() { Table::value_variants() } else { &peers.tables };
    let methods = if peers.methods.is_empty() { Method::value_variants() } else { &peers.methods };
    let judge = venv(&folder().join("judge-venv"), &JUDGE_PACKAGES)?;
    let mut pythons = Vec::new();
    for method in methods {
        // One that cannot be installed leaves the others their turn.
        match method.python(&judge) {
            Ok(python) => pythons.push((*method, python)),
            Err(e) => eprintln!("── LEFT OUT, {} cannot be installed: {e:#}", method.title()),
        }
    }
    for seed in &peers.seeds {
        for table in tables {
            let split = Split::make(*table, *seed, peers, &judge)?;
            for (method, python) in &pythons {
                let cohort = Cohort { split: &split, method: *method };
                if let Err(e) = cohort.measure(python, &judge, peers) {
                    eprintln!("── NOT MEASURED, {} on {}: {e:#}", method.title(), table.name());
                }
            }
        }
    }
    write(&section(peers.minutes)?)
}

fn folder() -> PathBuf {
    target().join("peers")
}

fn results(minutes: f64, table: Table) -> PathBuf {
    folder().join("results").join(minutes.to_string()).join(table.name())
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Pbc => "pbc",
            Self::IcuNutrition => "icu-nutrition",
            Self::EicuDemo => "eicu-demo",
            Self::Nafld => "nafld",
            Self::Hiv => "hiv",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Pbc => "pbc: 312 patients of up to 16 visits",
            Self::IcuNutrition => "icu-nutrition: 2,000 patients of up to 12 days",
            Self::EicuDemo => "eicu-demo: 168 stays of up to 86 laboratory times",
            Self::Nafld => "nafld: 1,500 people of up to 194 days",
            Self::Hiv => "simulated HIV: 1,000 patients × 60 months",
        }
    }

    fn schema(self) -> PathBuf {
        Path::new(WORKSPACE).join(match self {
            Self::Pbc => "data-schemas/pbc.toml",
            Self::IcuNutrition => "tests/peers/cohorts/icu-nutrition.toml",
            Self::EicuDemo => "data-schemas/eicu-demo.toml",
            Self::Nafld => "tests/peers/cohorts/nafld.toml",
            Self::Hiv => "data-schemas/art-for-hiv.toml",
        })
    }

    /// The table, as one CSV.
    fn csv(self, judge: &Path) -> Result<PathBuf> {
        let made = folder().join(format!("{}.csv", self.name()));
        match self {
            Self::Pbc => return Ok(Path::new(WORKSPACE).join("data/pbc/pbcseq.csv")),
            Self::EicuDemo => return Ok(Path::new(WORKSPACE).join("data/eicu-demo/labs.csv")),
            _ if made.exists() => {}
            Self::Hiv => {
                let mut simulate = hg();
                simulate.args(["simulate", "art-for-hiv", "--patients", "1000", "--seed", "1"]);
                execute(with_out(simulate, &made))?;
            }
            Self::IcuNutrition | Self::Nafld => {
                execute(with_arguments(script(judge, "wide"), &[&self.name(), &made]))?;
            }
        }
        Ok(made)
    }
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Argn => "argn",
            Self::Par => "par",
            Self::Dgan => "dgan",
            Self::Timevae => "timevae",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Argn => "MostlyAI TabularARGN",
            Self::Par => "SDV PAR",
            Self::Dgan => "gretel DGAN",
            Self::Timevae => "synthcity TimeVAE",
        }
    }

    /// What pip installs, call by call. DGAN asks for releases of its dependencies that no longer
    /// go together.
    fn packages(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Ours => &[],
            Self::Argn => &[&["mostlyai[local]==6.2.0", "mostlyai-engine==2.7.3"]],
            Self::Par => &[&["sdv==2.0.0", "deepecho==0.8.1"]],
            Self::Dgan => &[
                &["--no-deps", "gretel-synthetics==0.22.20"],
                &["torch==2.13.0", "numpy==1.26.4", "pandas==2.2.3", "scipy==1.17.1"],
                &["scikit-learn==1.9.1", "category-encoders==2.11.2", "tqdm==4.70.1"],
            ],
            Self::Timevae => &[&["synthcity==0.2.12", "opacus<1.5"]],
        }
    }

    /// What is compared, with its version.
    fn program(self) -> Option<&'static str> {
        let mut packages = self.packages().iter().flat_map(|packages| packages.iter());
        packages.find(|package| !package.starts_with("--")).copied()
    }

    /// The Python that has it.
    fn python(self, judge: &Path) -> Result<PathBuf> {
        let mut python = judge.to_owned();
        for packages in self.packages() {
            python = venv(&folder().join(format!("{}-venv", self.name())), packages)?;
        }
        Ok(python)
    }
}

/// A table without the patients that a seed holds out.
struct Split {
    table: Table,
    seed: String,
    csv: PathBuf,
    folder: PathBuf,
    /// Patients of the whole table: so many are made.
    patients: String,
}

impl Split {
    fn make(table: Table, seed: u64, peers: &Peers, judge: &Path) -> Result<Self> {
        let (csv, seed) = (table.csv(judge)?, seed.to_string());
        let folder = results(peers.minutes, table).join(&seed);
        if !folder.join("meta.json").exists() {
            let mut cut = with_arguments(script(judge, "cut"), &[&csv, &table.schema()]);
            cut.args(["--held-out", HELD_OUT, "--seed", &seed]);
            execute(with_out(cut, &folder))?;
        }
        let meta = read(&folder.join("meta.json"))?;
        let patients = meta["patients"].to_string();
        let split = Self { table, seed, csv, folder, patients };
        split.frame(peers.again)?;
        Ok(split)
    }

    /// A run of one iteration, in which `hg evaluate` finds the table, the split and the encoder; a
    /// cohort to be judged takes the place of its own.
    fn frame(&self, again: bool) -> Result<PathBuf> {
        let frame = self.folder.join("frame");
        if again && frame.exists() {
            fs::remove_dir_all(&frame).context("cannot remove the frame")?;
        }
        if !frame.join("report").exists() {
            let mut train = with_arguments(hg(), &[&"train", &"--data", &self.csv, &"--schema"]);
            train.arg(self.table.schema()).args(["--held-out", HELD_OUT, "--seed", &self.seed]);
            train.args(["--iterations", "1", "--set", "model.resampling=false"]);
            train.args(["--set", "model.calibration=false", "--set", "validation.every=0"]);
            train.args(["--set", "validation.select=last"]);
            train.stdout(Stdio::null());
            execute(with_out(train, &frame))?;
        }
        Ok(frame)
    }
}

/// A cohort that a program makes.
struct Cohort<'a> {
    split: &'a Split,
    method: Method,
}

impl Cohort<'_> {
    /// Its file with this ending.
    fn file(&self, ending: &str) -> PathBuf {
        self.split.folder.join(format!("{}.{ending}", self.method.name()))
    }

    fn measure(&self, python: &Path, judge: &Path, peers: &Peers) -> Result<()> {
        let (made, figures) = (self.file("made.json"), self.file("json"));
        if peers.again && self.method == Method::Ours && made.exists() {
            fs::remove_file(&made).context("cannot remove the cohort")?;
        }
        if !made.exists() {
            let what = format!("{} on {}", self.method.title(), self.split.table.name());
            println!("{what}, seed {}", self.split.seed);
            save(&made, &self.make(python, peers.minutes)?)?;
        } else if figures.exists() && !peers.again {
            return Ok(());
        }
        save(&figures, &self.judge(judge)?)
    }

    /// Trains and makes the cohort; what the program says of it.
    fn make(&self, python: &Path, minutes: f64) -> Result<Value> {
        let Split { table, seed, csv, folder, patients } = self.split;
        let mut make = script(python, self.method.name());
        make.arg("--data")
            .arg(folder.join("train.csv"))
            .arg("--meta")
            .arg(folder.join("meta.json"));
        make.args(["--minutes", &minutes.to_string(), "--seed", seed, "--patients", patients]);
        if self.method == Method::Ours {
            let run = self.file("run");
            if run.exists() {
                fs::remove_dir_all(&run).context("cannot remove the run")?;
            }
            make.arg("--hg").arg(hg().get_program()).arg("--table").arg(csv).arg("--schema");
            make.arg(table.schema()).args(["--held-out", HELD_OUT]).arg("--run").arg(run);
        }
        last_line(with_out(make, &self.file("csv")), &self.file("log"))
    }

    /// All that the judges find.
    fn judge(&self, python: &Path) -> Result<Value> {
        let frame = self.split.frame(false)?;
        let mut figures = with_arguments(script(python, "figures"), &[&"--real", &self.split.csv]);
        figures.arg("--meta").arg(self.split.folder.join("meta.json"));
        figures.arg("--cohort").arg(self.file("csv"));
        figures.arg("--parquet").arg(frame.join("synthetic.parquet"));
        let outside = last_line(figures, &self.file("judge.log"))?;

        let evaluated = with_arguments(hg(), &[&"--json", &"evaluate", &frame])
            .stderr(Stdio::inherit())
            .output();
        let evaluated = evaluated.context("cannot run hg evaluate")?;
        let hg: Value = serde_json::from_slice(&evaluated.stdout).context("hg evaluate failed")?;
        let judges = hg["told_apart"].as_object().into_iter().flat_map(|judges| judges.values());
        let worst = judges.filter_map(|judge| judge["area"].as_f64()).fold(0., f64::max);
        let learnt = |from: &str| hg["predictive"][from].as_f64().unwrap_or(f64::NAN);
        let next_step = 100. * learnt("trained_on_synthetic") / learnt("trained_on_real");
        let made = read(&self.file("made.json"))?;
        Ok(json!({
            "made": made, "outside": outside, "told_apart": worst, "next_step": next_step, "hg": hg
        }))
    }
}

/// Runs a script whose last line is JSON; what it says beside goes to a log.
fn last_line(mut command: Command, log: &Path) -> Result<Value> {
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let output = command.stderr(file).output();
    let output = output.with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("it ended with {}; see {}", output.status, log.display());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().rfind(|line| line.starts_with('{'));
    Ok(serde_json::from_str(last.context("it said nothing")?)?)
}

/// Every figure that there is for these minutes, by table and program.
fn section(minutes: f64) -> Result<String> {
    let programs = Method::value_variants().iter().filter_map(|method| method.program());
    let programs: Vec<&str> = programs.chain([JUDGE_PACKAGES[0]]).collect();
    let mut text = format!(
        "{HEADING}\n\
         Made by `cargo xtask quality --peers --minutes {minutes}`: {minutes} minutes of CPU time on one thread \
         (a machine with {}).\n\
         A fifth of the patients is held out, the same for all at a seed; cohorts have as many patients as the \
         table. The mean, and the\nrange over seeds in brackets. The scripts in `tests/peers/cohorts/` say how \
         each program is set up. TabularARGN may end\nbefore the time is over, by its own early stopping. \
         Of ours the minutes are those of `hg train` as a whole, with its report;\nof the others those of \
         fitting.\n\n\
         The worst judge, KS, TV, next-step R² and membership are `hg evaluate`'s, beside the patients trained \
         on; the outside judge,\nthe SD within patients and gaps are those of `tests/peers/judge.py`, and the \
         quality of rows is SDMetrics', beside the whole table.\nBest are an area (AUC) of 0.5, KS and TV of \
         0, an SD of 1, 100 % and a quality of 1.\n\n{}\n",
        processor(),
        programs.join(", ")
    );
    for table in Table::value_variants() {
        let mut rows = String::new();
        for method in Method::value_variants() {
            let found = figures(&results(minutes, *table), *method)?;
            if !found.is_empty() {
                row(&mut rows, *method, &found)?;
            }
        }
        if !rows.is_empty() {
            let names: Vec<&str> = FIGURES.iter().map(|(_, name, _)| *name).collect();
            writeln!(text, "\n### {}\n\n| | seeds | {} |", table.title(), names.join(" | "))?;
            writeln!(text, "| --- |{}\n{}", " ---: |".repeat(1 + FIGURES.len()), rows.trim_end())?;
        }
    }
    Ok(text)
}

/// What was found with each seed.
fn figures(results: &Path, method: Method) -> Result<Vec<Value>> {
    let Ok(seeds) = fs::read_dir(results) else { return Ok(Vec::new()) };
    let files = seeds.flatten().map(|seed| seed.path().join(format!("{}.json", method.name())));
    let mut files: Vec<PathBuf> = files.filter(|file| file.exists()).collect();
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn row(text: &mut String, method: Method, found: &[Value]) -> Result<()> {
    write!(text, "| {} | {} |", method.title(), found.len())?;
    for (at, _, decimals) in FIGURES {
        let values: Vec<f64> =
            found.iter().filter_map(|found| found.pointer(at)?.as_f64()).collect();
        match values.is_empty() {
            true => write!(text, " – |")?,
            false => write!(text, " {} |", mean_and_range(&values, decimals))?,
        }
    }
    writeln!(text)?;
    Ok(())
}

/// Puts the section in the place of the last one, or before what is written by hand.
fn write(section: &str) -> Result<()> {
    let path = Path::new(WORKSPACE).join("docs/quality.md");
    let text = fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
    fs::write(&path, with_section(&text, section))
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

fn with_section(text: &str, section: &str) -> String {
    let (before, after) = match text.find(HEADING) {
        Some(at) => {
            let (before, old) = text.split_at(at);
            (before, old[1..].find("\n## ").map_or("", |next| &old[1 + next..]))
        }
        None => text.split_at(text.find(crate::quality::TRIALS).unwrap_or(text.len())),
    };
    format!("{before}{section}{after}")
}

fn script(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command.current_dir(WORKSPACE).arg(format!("{SCRIPTS}/{name}.py"));
    command
}

fn with_arguments(mut command: Command, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Command {
    arguments.iter().for_each(|argument| {
        command.arg(argument.as_ref());
    });
    command
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))
}

fn save(path: &Path, value: &Value) -> Result<()> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, serde_json::to_vec_pretty(value)?)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_takes_the_place_of_the_last_one_and_leaves_the_trials() {
        let text = "# Quality\n\n## pbc\n\n## Trials\n\nby hand\n";
        let once = with_section(text, &format!("{HEADING}\nold\n"));
        let twice = with_section(&once, &format!("{HEADING}\nnew\n"));
        let expected =
            "# Quality\n\n## pbc\n\n## Beside other programs\n\nnew\n\n## Trials\n\nby hand\n";
        assert_eq!(twice, expected);
    }
}
