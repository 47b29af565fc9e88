//! The command line.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use health_gym::training::{Preset, Shard};
use std::path::PathBuf;

/// Turn a private clinical cohort into a synthetic one that can be shared.
///
/// Start with `hg schema check SCHEMA TABLE`, then `hg train`. Results go to
/// stdout, messages and progress to stderr. Exit codes: 0 done, 1 failed,
/// 2 bad input, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "hg", version)]
pub(crate) struct Arguments {
    /// Print one JSON object instead of tables for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train on a table, then write a synthetic cohort and the report.
    ///
    /// Ctrl-C writes a checkpoint and stops; `hg train --resume RUN` goes on as
    /// if nothing had happened. The last line on stdout is the run folder.
    #[command(after_help = "Example:\n  hg train --data data/pbc/pbcseq.csv \
        --schema data-schemas/pbc.toml --out runs/pbc")]
    Train(TrainArguments),
    /// Generate a cohort from a trained run; the private table is not needed.
    #[command(after_help = "Example:\n  hg generate runs/pbc --patients 1000 --out cohort.csv\n  \
        hg generate runs/pbc --patients 500 --given sex=f --given 'age>=70' --out cohort.csv\n  \
        hg generate runs/pbc --patients 500 --share sex=m:0.5 --share 'age>=60:0.3' --out cohort.csv\n  \
        hg generate runs/pbc --like statics.csv --out cohort.csv\n  \
        hg generate runs/pbc --patients 100000 --shard 2/8 --out part2.csv")]
    Generate(GenerateArguments),
    /// Train many runs on one table: a grid or a list of settings, each with several seeds.
    ///
    /// Each run is what `hg train` makes, in a folder of its own. Several processes may share the work: those
    /// with one --task do its runs together, and a task of a Slurm array needs no --task. What was
    /// interrupted goes on with the same command. `hg sweep rank OUT` says which runs are best.
    #[command(after_help = "Example:\n  hg sweep sweep.toml --out sweep --jobs 4\n  \
        hg sweep sweep.toml --out sweep --task 2/8\n  hg sweep rank sweep\n\nsweep.toml:\n  \
        data = \"data/pbc/pbcseq.csv\"\n  schema = \"data-schemas/pbc.toml\"\n  seeds = [0, 1, 2]\n  \
        [settings]\n  iterations = 2000\n  [grid]\n  model.hidden = [64, 128]\n  \
        optimiser.learning_rate = [1e-3, 5e-4]")]
    Sweep(SweepArguments),
    /// Compare a run's synthetic cohort with the real one, or any two tables.
    #[command(after_help = "Example:\n  hg evaluate runs/pbc\n  \
        hg evaluate runs/pbc --attacks thorough\n  hg evaluate --real a.csv \
        --synthetic b.csv --schema s.toml")]
    Evaluate(EvaluateArguments),
    /// Write what of a run may leave the house to a folder: the synthetic tables, their data card and
    /// the verdicts; nothing that was fitted to the private table.
    #[command(after_help = "Example:\n  hg release runs/pbc --license CC-BY-4.0 --out release")]
    Release(ReleaseArguments),
    /// Make a run of weights that the original PyTorch code saved (a state dict, .pt or
    /// .safetensors); then `hg generate` works, and `hg train --resume` trains further.
    #[command(after_help = "Example:\n  hg import --generator g.pt --data t.csv --schema s.toml \
        --out runs/imported")]
    Import(ImportArguments),
    /// Write a run's weights in the original PyTorch code's names, as safetensors.
    Export {
        /// The run folder.
        run: PathBuf,
        /// The folder to make; it must not exist.
        #[arg(long)]
        out: PathBuf,
    },
    /// Watch a run's curves in the terminal while it trains; q ends the watching alone.
    Watch {
        /// The run folder.
        run: PathBuf,
    },
    /// Encode a table as a tensor for other programs; writes OUT/encoded.safetensors
    /// (`values` [patients, steps, features], `lengths`) and OUT/encoder.json.
    #[command(after_help = "Example:\n  hg encode visits.csv --schema my.toml --out encoded")]
    Encode {
        /// The table, .csv, .parquet or .arrow: one row per patient and time; or the folder of
        /// several tables.
        table: PathBuf,
        /// The TOML that describes its columns.
        #[arg(long)]
        schema: PathBuf,
        /// The folder to make; it must not exist.
        #[arg(long)]
        out: PathBuf,
    },
    /// Decode such a tensor, made by any program, to a table with the original columns.
    #[command(
        after_help = "Example:\n  hg decode made.safetensors --encoder encoded/encoder.json \
        --out made.csv"
    )]
    Decode {
        /// The safetensors file with `values` and `lengths`.
        encoded: PathBuf,
        /// The encoder.json of an encoded table or of a run.
        #[arg(long)]
        encoder: PathBuf,
        /// The file to write, .csv, .parquet or .arrow; the folder where there are several tables.
        #[arg(long)]
        out: PathBuf,
        /// Drives the draws within bins.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Simulate a cohort from a published model: no person's data, any size.
    #[command(subcommand)]
    Simulate(SimulateCommand),
    /// Work with schemas.
    #[command(subcommand)]
    Schema(SchemaCommand),
}

/// What a run that repeats or resumes another takes from that one. (`--data` says where its
/// table lies now.)
const FRESH: [&str; 13] = [
    "schema",
    "iterations",
    "minutes",
    "seed",
    "batch_size",
    "device",
    "held_out",
    "epsilon",
    "delta",
    "checkpoint_every",
    "preset",
    "config",
    "set",
];

#[derive(Debug, Args)]
pub(crate) struct TrainArguments {
    /// The table, .csv, .parquet or .arrow: one row per patient and time; or the folder of several
    /// tables. With --resume or --like, where the run's table lies now, if it has moved.
    #[arg(long, required_unless_present_any = ["resume", "like", "print_config"])]
    pub(crate) data: Option<PathBuf>,
    /// The TOML that describes the table's columns.
    #[arg(long, required_unless_present_any = ["resume", "like", "print_config"])]
    pub(crate) schema: Option<PathBuf>,
    /// The run folder to make; it must not exist.
    #[arg(long, required_unless_present_any = ["resume", "print_config"])]
    pub(crate) out: Option<PathBuf>,
    /// Generator steps (each after two critic steps, or as many as `optimiser.critic_steps` says).
    #[arg(long)]
    pub(crate) iterations: Option<u64>,
    /// Train for about so many minutes, in place of a number of iterations: as many as fit, by the
    /// speed of this machine, are written to run.toml. The cohort and the report come after.
    #[arg(long, conflicts_with = "iterations")]
    pub(crate) minutes: Option<f64>,
    /// Drives every random draw: the same seed gives the same bytes.
    #[arg(long, value_parser = value_parser!(u64).range(..=i64::MAX as u64))]
    pub(crate) seed: Option<u64>,
    /// Patients in a batch.
    #[arg(long)]
    pub(crate) batch_size: Option<usize>,
    /// Where to train: cpu, or cuda for the first NVIDIA GPU (in a program built with it).
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Keep about this share of the patients out of training, as 0.2; the report then
    /// says how far they are from the others, as a yardstick for the synthetic ones.
    #[arg(long, value_name = "SHARE")]
    pub(crate) held_out: Option<f64>,
    /// Keep a privacy guarantee: nothing that the run makes is more than e^EPSILON times as probable with a
    /// patient as without. The schema must say what is otherwise read off the table.
    #[arg(long)]
    pub(crate) epsilon: Option<f64>,
    /// The guarantee's δ; 1 / (10 · patients) if not given.
    #[arg(long)]
    pub(crate) delta: Option<f64>,
    /// Iterations between checkpoints.
    #[arg(long, value_name = "ITERATIONS")]
    pub(crate) checkpoint_every: Option<u64>,
    /// Published settings to start from.
    #[arg(long, value_parser = presets())]
    pub(crate) preset: Option<Preset>,
    /// A TOML file of settings, as `optimiser.learning_rate = 5e-4`; it goes over the preset.
    /// Then come HG_TRAIN_OPTIMISER__LEARNING_RATE and the like from the environment, then
    /// flags.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Any setting, as `--set model.hidden=64`; may be given often.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print every setting with its origin, and stop.
    #[arg(long)]
    pub(crate) print_config: bool,
    /// Train again as RUN was trained: the same table, schema, settings and seed.
    #[arg(long, value_name = "RUN",
        conflicts_with_all = FRESH)]
    pub(crate) like: Option<PathBuf>,
    /// Go on with an interrupted run from its newest checkpoint.
    #[arg(long, value_name = "RUN",
        conflicts_with_all = FRESH, conflicts_with_all = ["out", "like"])]
    pub(crate) resume: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct SweepArguments {
    #[command(subcommand)]
    pub(crate) command: Option<SweepCommand>,
    /// The TOML that says what the runs are.
    #[arg(required = true)]
    pub(crate) sweep: Option<PathBuf>,
    /// The folder of the sweep; it is made where it is not there.
    #[arg(long, required = true)]
    pub(crate) out: Option<PathBuf>,
    /// Do one of several shares of the runs alone, as `2/8`, from `1/8` to `8/8`. Without it a task of a Slurm
    /// array does its share, and anything else all runs.
    #[arg(long, value_name = "I/N")]
    pub(crate) task: Option<Shard>,
    /// So many runs at once on this machine, which share its cores.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u64).range(1..=1024))]
    pub(crate) jobs: u64,
    /// Stop when stdin ends; what `--jobs` starts does so.
    #[arg(long, hide = true)]
    pub(crate) worker: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SweepCommand {
    /// Rank the runs that are done, and the settings over their seeds; write OUT/ranking.json, and link
    /// OUT/best to the best run.
    #[command(after_help = "Example:\n  hg sweep rank sweep")]
    Rank {
        /// The sweep's folder.
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The generator's weights.
    #[arg(long)]
    pub(crate) generator: PathBuf,
    /// The critic's weights; without them, further training begins with a fresh critic.
    #[arg(long)]
    pub(crate) critic: Option<PathBuf>,
    /// The table that they were trained on.
    #[arg(long)]
    pub(crate) data: PathBuf,
    /// The TOML that describes its columns, in the order that the weights have.
    #[arg(long)]
    pub(crate) schema: PathBuf,
    /// The run folder to make; it must not exist.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Any setting. `reverse_alignment=health-gym` and `latent=uniform`, as in the original
    /// code, are taken if nothing is said.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArguments {
    /// The run folder.
    pub(crate) run: PathBuf,
    /// How many patients.
    #[arg(long, required_unless_present = "like")]
    pub(crate) patients: Option<usize>,
    /// A condition on a static column that every patient shall meet, as `sex=f` or `"age>=70"`; may
    /// be given often.
    #[arg(long, value_name = "CONDITION")]
    pub(crate) given: Vec<String>,
    /// The share of the patients who shall meet a condition, the others not, as `sex=f:0.5`; exact, but
    /// for whole patients. May be given often: how conditions go together stays as the model has it.
    #[arg(long, value_name = "CONDITION:SHARE")]
    pub(crate) share: Vec<String>,
    /// A table of statics, .csv, .parquet or .arrow, with a row for each patient and some or all of the
    /// static columns: patient n has the statics of row n. An empty cell stands for any.
    #[arg(long, value_name = "TABLE", conflicts_with_all = ["patients", "given", "share"])]
    pub(crate) like: Option<PathBuf>,
    /// Make one of several parts of the cohort alone, as `2/8`, from `1/8` to `8/8`: the rows of all
    /// parts, one after the other, are those of the whole cohort.
    #[arg(long, value_name = "I/N", default_value_t = Shard::WHOLE, hide_default_value = true)]
    pub(crate) shard: Shard,
    /// The file to write, .csv, .parquet or .arrow; the folder where there are several tables.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Drives every random draw.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct EvaluateArguments {
    /// The run folder.
    #[arg(required_unless_present_all = ["real", "synthetic", "schema"])]
    pub(crate) run: Option<PathBuf>,
    /// Where the run's real table lies now, if it has moved.
    #[arg(long, requires = "run", conflicts_with_all = ["real", "synthetic", "schema"])]
    pub(crate) data: Option<PathBuf>,
    /// A real table, .csv, .parquet or .arrow, or the folder of several.
    #[arg(long, conflicts_with = "run", requires_all = ["synthetic", "schema"])]
    pub(crate) real: Option<PathBuf>,
    /// A table, or a folder of tables, to compare with it.
    #[arg(long, conflicts_with = "run")]
    pub(crate) synthetic: Option<PathBuf>,
    /// The TOML that describes both.
    #[arg(long, conflicts_with = "run")]
    pub(crate) schema: Option<PathBuf>,
    /// How much work attacks on privacy may take: seconds, or minutes, in which every patient is
    /// attacked and models are trained to attack by.
    #[arg(long, requires = "run", conflicts_with_all = ["real", "synthetic", "schema"],
        value_enum, default_value_t = Attacks::Usual)]
    pub(crate) attacks: Attacks,
    /// A folder for the report; that of a run is in its own folder.
    #[arg(long, conflicts_with = "run")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseArguments {
    /// The run folder.
    pub(crate) run: PathBuf,
    /// The folder to make; it must not exist.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// The licence of the synthetic tables, as `CC-BY-4.0` (SPDX) or in words.
    #[arg(long)]
    pub(crate) license: Option<String>,
    /// Release a cohort that failed a question of privacy, or that was not evaluated; the card says so.
    #[arg(long)]
    pub(crate) despite_privacy: bool,
}

/// How much work attacks may take.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Attacks {
    /// Seconds: of many patients some are attacked.
    Usual,
    /// Minutes: every patient is attacked, and eight models are trained to attack by.
    Thorough,
}

impl From<Attacks> for health_gym::Attacks {
    fn from(attacks: Attacks) -> Self {
        match attacks {
            Attacks::Usual => Self::Usual,
            Attacks::Thorough => Self::Thorough,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum SchemaCommand {
    /// Say everything that is wrong with a schema, and whether a table fits it.
    Check {
        /// The TOML file.
        schema: PathBuf,
        /// The table, .csv, .parquet or .arrow, or the folder of several tables.
        table: Option<PathBuf>,
    },
    /// Propose a schema for a table, or for a folder of tables: a commented TOML to read through and edit.
    #[command(after_help = "Example:\n  hg schema infer data/pbc/pbcseq.csv --out pbc.toml")]
    Infer(InferArguments),
    /// Print the JSON Schema of the TOML, for editors.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct InferArguments {
    /// The table, .csv, .parquet or .arrow: one row per patient and time; or a folder of tables.
    pub(crate) table: PathBuf,
    /// The TOML file to write; it must not exist.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// The column that tells patients apart, where the guess is wrong.
    #[arg(long)]
    pub(crate) patient: Option<String>,
    /// The column that orders a patient's rows, where the guess is wrong.
    #[arg(long)]
    pub(crate) time: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SimulateCommand {
    /// HIV patients under therapy over 60 months, in the columns of Health Gym's table.
    ///
    /// The six-state model of Adams et al. (2004), with patients that vary, regimens that
    /// are switched, noise and missed visits. The table fits data-schemas/art-for-hiv.toml.
    #[command(after_help = "Example:\n  hg simulate art-for-hiv --patients 1000 --out hiv.parquet")]
    ArtForHiv(SimulateArguments),
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArguments {
    /// How many patients.
    #[arg(long)]
    pub(crate) patients: usize,
    /// The file to write, .parquet or .csv.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Drives every random draw: the same seed gives the same bytes.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

/// The presets by their names, each with what it is for.
fn presets() -> impl TypedValueParser<Value = Preset> {
    let value = |preset: Preset| PossibleValue::new(preset.name()).help(preset.description());
    PossibleValuesParser::new(Preset::ALL.map(value)).try_map(|name| name.parse::<Preset>())
}
