//! Benches: kernels, iterations, growth with the sizes, and the peers.

use crate::tasks::{WORKSPACE, cargo, execute, target, venv};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What the peers run on.
const PEER_PACKAGES: [&str; 3] = ["torch==2.15.0", "jax==0.10.2", "numpy==2.4.6"];
/// The same with a GPU.
const GPU_PACKAGES: [&str; 3] = ["torch==2.15.0", "jax[cuda13]==0.10.2", "numpy==2.4.6"];
/// (batch, steps)
const SHAPES: [(usize, usize); 3] = [(32, 20), (128, 48), (256, 60)];
/// Multiply-adds of an iteration per row and step, counted as two operations each
/// (the formula is in crates/hg-train/benches/iteration.rs).
const MFLOP_PER_ROW: f64 = 41.4;

/// Operations, in millions, of the product that sgemm.py times.
const SGEMM_MFLOP: f64 = 2. * 1024. * 1024. * 1024. / 1e6;

/// A kind of vectors, and what holds everyone to it: Health Gym, and the libraries under
/// PyTorch (MKL, oneDNN, its own kernels) and JAX.
struct Vectors {
    name: &'static str,
    limits: &'static [(&'static str, &'static str)],
}

const AVX2: Vectors = Vectors {
    name: "AVX2",
    limits: &[
        ("HG_VECTORS", "avx2"),
        ("MKL_ENABLE_INSTRUCTIONS", "AVX2"),
        ("ONEDNN_MAX_CPU_ISA", "AVX2"),
        ("ATEN_CPU_CAPABILITY", "avx2"),
        ("XLA_FLAGS", "--xla_cpu_max_isa=AVX2"),
    ],
};
const AVX512: Vectors = Vectors { name: "AVX-512", limits: &[] };
const WIDEST: Vectors = Vectors { name: "the widest vectors", limits: &[] };

/// The kinds that this processor has and that are worth comparing.
fn vectors() -> Vec<Vectors> {
    #[cfg(target_arch = "x86_64")]
    {
        let wide = is_x86_feature_detected!("avx512f").then_some(AVX512);
        let narrow = is_x86_feature_detected!("avx2").then_some(AVX2);
        let both: Vec<_> = wide.into_iter().chain(narrow).collect();
        if !both.is_empty() {
            return both;
        }
    }
    vec![WIDEST]
}

/// Without arguments: the kernels alone, on every kind of vectors that the processor has.
#[derive(Args)]
pub(crate) struct Bench {
    /// Whole iterations against PyTorch and JAX, taking turns; writes
    /// docs/benchmarks.md.
    #[arg(long)]
    peers: bool,
    /// All on the first NVIDIA GPU; writes docs/benchmarks-gpu.md. It takes a toolkit to link with.
    #[arg(long, requires = "peers")]
    cuda: bool,
    /// Folder of the peers' Python environment.
    #[arg(long, default_value = "target/peers-venv", requires = "peers")]
    venv: PathBuf,
    /// Turns of each peer.
    #[arg(long, default_value_t = 7, requires = "peers")]
    turns: usize,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// Iterations of one shape: --batch B --steps T [--hidden H] [--json].
    Iteration {
        /// Passed on; see `cargo xtask bench iteration -- --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// How an iteration's time grows with batch, steps, hidden and columns.
    Growth,
    /// Fitting and encoding a large Parquet table, beside polars reading it.
    Scale {
        /// Patients of 48 steps.
        #[arg(long, default_value_t = 100_000)]
        patients: usize,
        /// How often both take turns.
        #[arg(long, default_value_t = 5)]
        pairs: usize,
    },
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let programs = Programs::build(bench.cuda)?;
    match &bench.what {
        Some(What::Iteration { arguments }) => {
            let mut iteration = programs.command("iteration")?;
            iteration.args(arguments.iter().filter(|argument| *argument != "--"));
            execute(iteration)
        }
        Some(What::Growth) => growth(&programs),
        Some(What::Scale { patients, pairs }) => scale(&programs, *patients, *pairs),
        None if bench.peers => peers(bench, &programs),
        None => {
            let mut kernels = programs.command("kernels")?;
            kernels.arg("--bench");
            execute(kernels)
        }
    }
}

/// The benches of the crates, built; cargo alone knows where they lie.
struct Programs(HashMap<String, PathBuf>);

impl Programs {
    fn build(cuda: bool) -> Result<Self> {
        let mut build = cargo();
        build.args(["bench", "--no-run", "--workspace", "--message-format", "json"]);
        build.args(["--bench", "iteration", "--bench", "kernels", "--bench", "scale"]);
        if cuda {
            build.args(["--features", "cuda"]);
        }
        let output = build.stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("cannot start {build:?}"))?;
        if !output.status.success() {
            bail!("{build:?} ended with {}", output.status);
        }
        let messages = output.stdout.split(|byte| *byte == b'\n');
        let messages = messages.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        let programs = messages.filter_map(|message| {
            let name = message["target"]["name"].as_str()?.to_owned();
            Some((name, PathBuf::from(message["executable"].as_str()?)))
        });
        Ok(Self(programs.collect()))
    }

    fn command(&self, name: &str) -> Result<Command> {
        let program = self.0.get(name).with_context(|| format!("cargo built no bench {name}"))?;
        Ok(Command::new(program))
    }
}

fn growth(programs: &Programs) -> Result<()> {
    let base = [("batch", 32), ("steps", 20), ("hidden", 128), ("numeric", 35)];
    println!("{:>8} {:>6} {:>12} {:>10}", "", "", "iteration ms", "GFLOP/s");
    for (name, values) in [
        ("batch", [8, 32, 128, 512]),
        ("steps", [5, 20, 80, 320]),
        ("hidden", [32, 64, 128, 256]),
        ("numeric", [0, 35, 100, 400]),
    ] {
        for value in values {
            let mut iteration = programs.command("iteration")?;
            iteration.args(["--json", "--repeat", "5"]);
            for (other, default) in base {
                let value = if other == name { value } else { default };
                iteration.arg(format!("--{other}")).arg(value.to_string());
            }
            let out = iteration.output().context("cannot run the iteration bench")?;
            let measured: Value = serde_json::from_slice(&out.stdout)?;
            let [ms, gflops] = ["iteration_ms", "gflops"].map(|key| measured[key].as_f64());
            let (ms, gflops) = (ms.context("no time")?, gflops.context("no rate")?);
            println!("{name:>8} {value:>6} {ms:>12.1} {gflops:>10.0}");
        }
    }
    Ok(())
}

fn scale(programs: &Programs, patients: usize, pairs: usize) -> Result<()> {
    let file = target().join("scale.parquet");
    let mut make = programs.command("scale")?;
    make.arg("make").arg(&file).args(["--patients", &patients.to_string()]);
    execute(make)?;
    let mut measure = programs.command("scale")?;
    measure.arg("measure").arg(&file).args(["--pairs", &pairs.to_string()]);
    execute(measure)
}

/// A program that runs one iteration for each line it is sent.
struct Peer {
    name: String,
    first_step: f64,
    times: Vec<f64>,
    peak: f64,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Peer {
    fn start(mut command: Command) -> Result<Self> {
        let what = format!("{command:?}");
        command.current_dir(WORKSPACE).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {what}"))?;
        let to = child.stdin.take().context("a piped stdin")?;
        let from = BufReader::new(child.stdout.take().context("a piped stdout")?);
        let (name, times) = (String::new(), Vec::new());
        let mut peer = Self { name, first_step: 0., times, peak: 0., child, to, from };
        let ready = peer.answer().with_context(|| format!("{what} did not get ready"))?;
        peer.name = ready["name"].as_str().unwrap_or(&what).to_owned();
        peer.first_step = ready["first_step_ms"].as_f64().context("no first step")?;
        Ok(peer)
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    fn turn(&mut self) -> Result<()> {
        // The threads of whoever had the last turn may go on spinning for a while.
        std::thread::sleep(std::time::Duration::from_millis(300));
        writeln!(self.to)?;
        let answer = self.answer()?;
        self.times.push(answer["ms"].as_f64().context("no time")?);
        self.peak = answer["peak_rss_mb"].as_f64().context("no memory")?;
        Ok(())
    }

    fn median(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn peers(Bench { venv: folder, turns, cuda, .. }: &Bench, programs: &Programs) -> Result<()> {
    if *turns == 0 {
        bail!("--turns is 0, it must be at least 1");
    }
    let packages = if *cuda { &GPU_PACKAGES } else { &PEER_PACKAGES };
    let python = venv(folder, packages)?;
    let on_device = |mut command: Command, limits: &[(&str, &str)]| {
        command.env("HG_PEER_DEVICE", if *cuda { "cuda" } else { "cpu" });
        command.envs(limits.iter().copied());
        command
    };
    let vectors = if *cuda { vec![WIDEST] } else { vectors() };
    let mut table = String::new();
    for shape in SHAPES {
        let sizes = [shape.0, shape.1].map(|n| n.to_string());
        for Vectors { name, limits } in &vectors {
            let script = |name: &str, kind: &[&str]| {
                let mut command = Command::new(&python);
                command.arg(format!("tests/peers/{name}")).args(&sizes).args(kind);
                on_device(command, limits)
            };
            let mut ours = programs.command("iteration")?;
            ours.args(["--serve", "--batch", &sizes[0], "--steps", &sizes[1]]);
            ours.args(cuda.then_some("--cuda"));
            let mut commands = vec![
                on_device(ours, limits),
                script("torch_wgan.py", &["published"]),
                script("torch_wgan.py", &["builtin"]),
                script("jax_wgan.py", &[]),
            ];
            if *cuda {
                commands.push(script("torch_lstm.py", &[]));
            }
            let mut peers: Vec<Peer> =
                commands.into_iter().map(Peer::start).collect::<Result<_>>()?;
            let mut sgemm = Peer::start(script("sgemm.py", &[]))?;
            for _ in 0..*turns {
                peers.iter_mut().chain([&mut sgemm]).try_for_each(Peer::turn)?;
            }
            if *cuda {
                write_gpu_times(&mut table, shape, &peers)?;
            } else {
                write_times(&mut table, shape, name, &peers, &sgemm)?;
            }
        }
    }
    println!("{table}");
    if *cuda {
        let path = PathBuf::from(WORKSPACE).join("docs/benchmarks-gpu.md");
        let text = format!("{}{table}", gpu_introduction(*turns)?);
        return std::fs::write(&path, text)
            .with_context(|| format!("cannot write {}", path.display()));
    }
    let path = PathBuf::from(WORKSPACE).join("docs/benchmarks.md");
    // What other benches measured stands below.
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let below = before.find("\n## ").map_or("", |at| &before[at..]);
    let text = format!("{}{table}{below}", introduction(*turns)?);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// A table of one shape on one kind of vectors.
fn write_times(
    table: &mut String,
    (batch, steps): (usize, usize),
    vectors: &str,
    peers: &[Peer],
    sgemm: &Peer,
) -> Result<()> {
    let rate = SGEMM_MFLOP / sgemm.median();
    let limit = batch as f64 * steps as f64 * MFLOP_PER_ROW / rate;
    writeln!(
        table,
        "\n**{batch} × {steps}, {vectors}** · SGEMM {rate:.0} GFLOP/s, which allows {limit:.0} ms\n\n\
         | | median ms | of our time | share of the SGEMM limit | peak MB | first step s |\n\
         | --- | ---: | ---: | ---: | ---: | ---: |"
    )?;
    let our_time = peers[0].median();
    for peer in peers {
        let time = peer.median();
        let (share, first) = (100. * limit / time, peer.first_step / 1e3);
        writeln!(
            table,
            "| {} | {time:.0} | {:.2} | {share:.0} % | {:.0} | {first:.2} |",
            peer.name,
            time / our_time,
            peer.peak
        )?;
    }
    Ok(())
}

fn write_gpu_times(
    table: &mut String,
    (batch, steps): (usize, usize),
    peers: &[Peer],
) -> Result<()> {
    let our_time = peers[0].median();
    writeln!(
        table,
        "\n**{batch} × {steps}**\n\n| | median ms | of our time |\n| --- | ---: | ---: |"
    )?;
    for peer in peers {
        let time = peer.median();
        writeln!(table, "| {} | {time:.2} | {:.2} |", peer.name, time / our_time)?;
    }
    Ok(())
}

fn gpu_introduction(turns: usize) -> Result<String> {
    let mut ask = Command::new("nvidia-smi");
    ask.args(["--query-gpu=name,driver_version", "--format=csv,noheader"]);
    let answer = ask.output().context("cannot run nvidia-smi")?;
    let device = String::from_utf8_lossy(&answer.stdout);
    let (device, packages) = (device.trim(), GPU_PACKAGES.join(", "));
    Ok(format!(
        "# Benchmarks on a GPU\n\n\
         One training iteration at the sepsis shape, as in [benchmarks.md](benchmarks.md), all on one\n\
         GPU. Made by `cargo xtask bench --peers --cuda`; all programs take turns, {turns} each.\n\
         The last row is no iteration: it is cuDNN's LSTM, forward and backward once.\n\n\
         {device} · {packages}\n"
    ))
}

/// The processor's name, as Linux has it.
pub(crate) fn processor() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    model.unwrap_or("an unknown processor").trim().to_owned()
}

fn introduction(turns: usize) -> Result<String> {
    let model = processor();
    let cores = std::thread::available_parallelism()?;
    let rustc = Command::new("rustc").arg("--version").output().context("cannot run rustc")?;
    let rustc = String::from_utf8(rustc.stdout)?;
    let (rustc, packages) = (rustc.trim(), PEER_PACKAGES.join(", "));
    Ok(format!(
        "# Benchmarks\n\n\
         One training iteration (5 critic steps with gradient penalty, 1 generator step) at the\n\
         sepsis shape: D = 104 (35 numeric, 3 binary, 6 categorical columns), H = Z = 128, f32.\n\
         Made by `cargo xtask bench --peers`: all programs stay loaded and take turns, {turns}\n\
         each; the medians are compared. The peers are in `tests/peers/`, on two threads. Where the\n\
         processor has AVX-512, all are measured a second time held to AVX2, by `HG_VECTORS`,\n\
         `MKL_ENABLE_INSTRUCTIONS`, `ONEDNN_MAX_CPU_ISA`, `ATEN_CPU_CAPABILITY` and `XLA_FLAGS`.\n\n\
         {model}, {cores} cores · {rustc} · {packages}\n\n\
         \"SGEMM\" is PyTorch's product of 1024 × 1024 matrices, which takes turns too. The limit is the\n\
         iteration's floating-point operations ({MFLOP_PER_ROW} million for a row and step) at\n\
         that rate; a share above 100 % means that our own products run faster than that library's.\n"
    ))
}
