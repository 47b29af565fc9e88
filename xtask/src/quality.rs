//! How good synthetic cohorts are for a budget of iterations, beside PyTorch's.

use crate::peers::{self, Peers};
use crate::tasks::{WORKSPACE, build_hg, execute, hg, target, venv};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const PEER_PACKAGES: [&str; 3] = ["torch==2.15.0", "numpy==2.4.6", "safetensors==0.8.0"];
const SEEDS: [&str; 3] = ["1", "2", "3"];
/// What `hg evaluate --json` calls the measures, and what the table does.
const MEASURES: [(&str, &str); 4] = [
    ("/mean_ks", "mean KS, numeric"),
    ("/mean_total_variation", "mean TV, discrete"),
    ("/correlation_difference", "correlation difference"),
    ("/discriminative/area", "discriminative AUC"),
];
/// What follows from here on in `docs/quality.md` is written by hand.
pub(crate) const TRIALS: &str = "\n## Trials";
/// The networks and losses as published, without what this project adds.
const PLAIN: [&str; 10] = [
    "optimiser.weight_averaging=0",
    "optimiser.critic_steps=5",
    "model.patient_latent=0",
    "model.critic_compares=false",
    "model.generator_carries=false",
    "batching.windows=[]",
    "model.calibration=false",
    "model.resampling=false",
    "validation.select=last",
    "validation.every=0",
];

#[derive(Args)]
pub(crate) struct Quality {
    /// Folder of PyTorch's Python environment.
    #[arg(long, default_value = "target/quality-venv", conflicts_with = "peers")]
    venv: PathBuf,
    /// Compare with SDV PAR, MostlyAI TabularARGN, gretel DGAN and synthcity TimeVAE instead, by CPU
    /// time; writes the section "Beside other programs". Their environments take 20 GB in
    /// target/peers. What was measured is kept there, so that a run that was cut goes on.
    #[arg(long)]
    peers: bool,
    #[command(flatten)]
    beside: Peers,
}

/// A cohort and the budget of iterations on it.
struct Trial {
    name: &'static str,
    title: &'static str,
    table: PathBuf,
    schema: &'static str,
    iterations: &'static str,
    /// Other patients of the same population.
    fresh: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Quality) -> Result<()> {
    if arguments.peers {
        return peers::run(&arguments.beside);
    }
    build_hg()?;
    let python = venv(&arguments.venv, &PEER_PACKAGES)?;
    let folder = target().join("quality");
    std::fs::create_dir_all(&folder).context("cannot make the folder")?;
    let simulated = |seed: &str| -> Result<PathBuf> {
        let path = folder.join(format!("hiv-{seed}.parquet"));
        if !path.exists() {
            let mut simulate = hg();
            simulate.args(["simulate", "art-for-hiv", "--patients", "4000", "--seed", seed]);
            execute(with_out(simulate, &path))?;
        }
        Ok(path)
    };
    let trials = [
        Trial {
            name: "pbc",
            title: "pbc: 312 patients of up to 16 visits; 1,000 iterations, batch 32",
            table: "data/pbc/pbcseq.csv".into(),
            schema: "data-schemas/pbc.toml",
            iterations: "1000",
            fresh: None,
        },
        Trial {
            name: "hiv",
            title: "Simulated ART for HIV: 4,000 patients × 60 months; 400 iterations, batch 32",
            table: simulated("1")?,
            schema: "data-schemas/art-for-hiv.toml",
            iterations: "400",
            fresh: Some(simulated("2")?),
        },
    ];
    let mut text = String::from(
        "# Quality\n\n\
         Synthetic cohorts after a fixed budget of iterations, three seeds each: the mean, and the\n\
         range in brackets. Made by `cargo xtask quality`. \"PyTorch\" is the method of Kuo et al. 2022,\n\
         as in their PyTorch code (`tests/peers/torch_train.py`: its networks, losses and batches, on the\n\
         same encoding, decoded and measured by the same program). \"Ours, as published\" is without\n\
         averaging and selection; \"ours\" is the default with a tenth of the patients held out\n\
         (`--held-out 0.1`), which selects the averaged weights with the best validation score. All\n\
         measures compare with the whole table: 0 is best, but for the AUC of a classifier that tells\n\
         synthetic from real patients, of which 0.5 is best.\n\n\
         `cargo xtask quality --peers` compares with other programs by CPU time (\"Beside other programs\"\n\
         below); `--tables pbc,hiv`, `--methods ours,argn`, `--seeds 1` and `--minutes 5` say what is measured.\n\
         It installs each program in an environment of its own in `target/peers` and keeps there what was\n\
         measured; `--again` makes our cohorts anew and judges all anew, as after a change.\n",
    );
    for trial in &trials {
        report(trial, &python, &folder.join(trial.name), &mut text)?;
    }
    let path = Path::new(WORKSPACE).join("docs/quality.md");
    // What people wrote stays, and the comparison with peers.
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some(at) = before.find(peers::HEADING).or_else(|| before.find(TRIALS)) {
        text.push_str(&before[at..]);
    }
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

fn report(trial: &Trial, python: &Path, folder: &Path, text: &mut String) -> Result<()> {
    std::fs::create_dir_all(folder).context("cannot make the folder")?;
    let mut tables = [Vec::new(), Vec::new(), Vec::new()];
    for seed in SEEDS {
        tables[0].push(trial.torch(python, folder, seed)?);
        tables[1].push(trial.ours(folder, "plain", seed, &PLAIN)?);
        tables[2].push(trial.ours(folder, "ours", seed, &["validation.held_out=0.1"])?);
    }
    let names = ["PyTorch", "ours, as published", "ours"];
    writeln!(text, "\n## {}\n", trial.title)?;
    heading(text)?;
    for (name, tables) in names.iter().zip(&tables) {
        row(text, name, &trial.measure(&trial.table, tables)?)?;
    }
    if let Some(fresh) = &trial.fresh {
        writeln!(text, "\nBeside 4,000 fresh patients from the simulator, which is the truth:\n")?;
        heading(text)?;
        let table = std::slice::from_ref(&trial.table);
        row(text, "the table trained on", &trial.measure(fresh, table)?)?;
        for (name, tables) in names.iter().zip(&tables) {
            row(text, name, &trial.measure(fresh, tables)?)?;
        }
    }
    Ok(())
}

impl Trial {
    /// The cohort that PyTorch makes, as a table.
    fn torch(&self, python: &Path, folder: &Path, seed: &str) -> Result<PathBuf> {
        let encoded = folder.join("encoded");
        if !encoded.exists() {
            let mut encode = hg();
            encode.arg("encode").arg(&self.table).args(["--schema", self.schema]);
            execute(with_out(encode, &encoded))?;
        }
        let made = folder.join(format!("torch-{seed}.safetensors"));
        if !made.exists() {
            let mut train = Command::new(python);
            train.current_dir(WORKSPACE).arg("tests/peers/torch_train.py");
            train.arg(encoded.join("encoded.safetensors")).arg(&made);
            train.args(["--iterations", self.iterations, "--batch-size", "32", "--seed", seed]);
            execute(train)?;
        }
        let table = made.with_extension("parquet");
        if !table.exists() {
            let mut decode = hg();
            decode.arg("decode").arg(&made).arg("--encoder").arg(encoded.join("encoder.json"));
            execute(with_out(decode, &table))?;
        }
        Ok(table)
    }

    /// The cohort that we make.
    fn ours(&self, folder: &Path, name: &str, seed: &str, set: &[&str]) -> Result<PathBuf> {
        let run = folder.join(format!("{name}-{seed}"));
        let table = run.join("synthetic.parquet");
        if !table.exists() {
            let mut train = hg();
            train.arg("train").arg("--data").arg(&self.table).args(["--schema", self.schema]);
            train.args(["--iterations", self.iterations, "--batch-size", "32", "--seed", seed]);
            set.iter().for_each(|set| {
                train.args(["--set", set]);
            });
            execute(with_out(train, &run))?;
        }
        Ok(table)
    }

    /// Each measure of each table, against a real one.
    fn measure(&self, real: &Path, tables: &[PathBuf]) -> Result<[Vec<f64>; MEASURES.len()]> {
        let mut all = [const { Vec::new() }; MEASURES.len()];
        for table in tables {
            let mut evaluate = hg();
            evaluate.args(["--json", "evaluate", "--schema", self.schema]);
            evaluate.arg("--real").arg(real).arg("--synthetic").arg(table);
            let out = evaluate.output().context("cannot run hg evaluate")?;
            let measured: Value = serde_json::from_slice(&out.stdout)
                .with_context(|| String::from_utf8_lossy(&out.stderr).into_owned())?;
            for (values, (key, _)) in all.iter_mut().zip(MEASURES) {
                let value = measured.pointer(key).and_then(Value::as_f64);
                values.push(value.with_context(|| format!("no {key}"))?);
            }
        }
        Ok(all)
    }
}

fn heading(text: &mut String) -> Result<()> {
    let names: Vec<&str> = MEASURES.iter().map(|(_, name)| *name).collect();
    writeln!(text, "| | {} |\n| --- |{}", names.join(" | "), " ---: |".repeat(MEASURES.len()))?;
    Ok(())
}

fn row(text: &mut String, name: &str, measures: &[Vec<f64>]) -> Result<()> {
    write!(text, "| {name} |")?;
    for values in measures {
        write!(text, " {} |", mean_and_range(values, 3))?;
    }
    writeln!(text)?;
    Ok(())
}

/// The mean, and the range in brackets where there are several.
pub(crate) fn mean_and_range(values: &[f64], decimals: usize) -> String {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match values.len() {
        1 => format!("{mean:.decimals$}"),
        _ => format!("{mean:.decimals$} ({least:.decimals$}–{most:.decimals$})"),
    }
}

pub(crate) fn with_out(mut command: Command, out: &Path) -> Command {
    command.arg("--out").arg(out);
    command
}
