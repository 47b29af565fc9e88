//! Whole runs by `mpiexec`, against `hg` alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const HG_MPI: &str = env!("CARGO_BIN_EXE_hg-mpi");
/// Seconds that no job takes.
const LIMIT: &str = "240";

/// The program `hg`, or another that is built with `hg-mpi`.
fn beside(name: &str) -> PathBuf {
    let program = Path::new(HG_MPI).with_file_name(name);
    assert!(program.is_file(), "hint: cargo build --release --workspace --features hg-mpi/mpi");
    program
}

/// `program` on so many ranks of this machine, which has fewer cores.
fn on_ranks(count: usize, program: &Path) -> Command {
    let mut command = mpiexec();
    command.args(["-n", &count.to_string()]).arg(program);
    command
}

fn mpiexec() -> Command {
    // Ranks that wait for each other would wait for ever.
    let mut command = Command::new("timeout");
    command.args([LIMIT, "mpiexec", "--oversubscribe"]);
    allow_root(&mut command);
    command
}

/// CI is root. What Open MPI says of it is said once more where several ranks say the same.
fn allow_root(command: &mut Command) {
    for name in ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] {
        command.env(name, "1");
    }
}

/// A small part of the shipped cohort, and a folder for runs on it.
struct Cohort {
    folder: TempDir,
}

impl Cohort {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let table = std::fs::read_to_string(root.join("data/pbc/pbcseq.csv")).expect("the table");
        let some: Vec<&str> = table.lines().take(400).collect();
        std::fs::write(folder.path().join("table.csv"), some.join("\n") + "\n").expect("writes");
        std::fs::copy(root.join("data-schemas/pbc.toml"), folder.path().join("schema.toml"))
            .expect("copies");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The arguments of a training.
    fn train(&self, out: &str, iterations: u64) -> Vec<String> {
        let path = |name: &str| self.path(name).display().to_string();
        let (data, schema, out) = (path("table.csv"), path("schema.toml"), path(out));
        let mut arguments = vec!["train".to_owned()];
        for (name, value) in [("--data", data), ("--schema", schema), ("--out", out)] {
            arguments.extend([name.to_owned(), value]);
        }
        let numbers =
            [("--iterations", iterations), ("--batch-size", 24), ("--checkpoint-every", 2)];
        arguments.extend(numbers.iter().flat_map(|(name, n)| [(*name).to_owned(), n.to_string()]));
        let settings = ["model.hidden=16", "validation.every=3", "validation.held_out=0.2"];
        arguments.extend(settings.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
        arguments
    }

    /// What a run made, by name, but for what names the program's commit: cargo may have built one of the two
    /// programs at another than the other.
    fn made(&self, run: &str) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let root = self.path(run);
        let mut open = vec![root.clone()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).expect("lists") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    open.push(path);
                    continue;
                }
                let name = path.strip_prefix(&root).expect("within").display().to_string();
                if !["run.toml", "card.json", "card.md"].contains(&name.as_str()) {
                    found.insert(name, std::fs::read(&path).expect("reads"));
                }
            }
        }
        assert!(found.contains_key("synthetic.csv"), "{:?}", found.keys());
        found
    }
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("it starts")
}

fn succeed(command: &mut Command) -> Output {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    output
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

/// That two runs made the same files.
fn assert_same(one: &BTreeMap<String, Vec<u8>>, other: &BTreeMap<String, Vec<u8>>, what: &str) {
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>(), "{what}");
    let differ: Vec<_> = one.iter().filter(|(name, bytes)| other[*name] != **bytes).collect();
    let names: Vec<_> = differ.into_iter().map(|(name, _)| name).collect();
    assert!(names.is_empty(), "{what}: {names:?} differ");
}

#[test]
fn any_number_of_ranks_writes_the_bytes_of_hg_alone() {
    let cohort = Cohort::new();
    succeed(Command::new(beside("hg")).args(cohort.train("alone", 6)));
    let alone = cohort.made("alone");
    for count in 1..=4 {
        let out = format!("of-{count}");
        let output = succeed(on_ranks(count, HG_MPI.as_ref()).args(cohort.train(&out, 6)));
        assert_same(&cohort.made(&out), &alone, &out);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = cohort.path(&out).display().to_string();
        assert_eq!(
            stdout.matches(&format!("{last}\n")).count(),
            1,
            "rank 0 alone speaks: {stdout}"
        );
    }

    // The control: the same by `MPI_Allreduce`.
    let program = Path::new(HG_MPI).with_file_name("examples").join("all_reduce");
    succeed(on_ranks(2, &program).args(cohort.train("control", 6)));
    let control = cohort.made("control");
    assert_ne!(control["synthetic.csv"], alone["synthetic.csv"]);
    assert_eq!(control.len(), alone.len());
}

/// Two network namespaces that are joined by a cable, each with the name of a machine.
struct Network {
    names: [String; 2],
}

impl Network {
    /// `None` where this process may not make one.
    fn new() -> Option<Self> {
        let id = std::process::id();
        let names = ["a", "b"].map(|end| format!("hg{id}{end}"));
        let network = Self { names };
        let [a, b] = &network.names;
        let cable = ["a", "b"].map(|end| format!("hgv{id}{end}"));
        let mut all = vec![
            format!("netns add {a}"),
            format!("netns add {b}"),
            format!("link add {} netns {a} type veth peer name {} netns {b}", cable[0], cable[1]),
        ];
        for (n, (name, cable)) in network.names.iter().zip(&cable).enumerate() {
            all.push(format!("-n {name} addr add 10.77.0.{}/24 dev {cable}", n + 1));
            all.push(format!("-n {name} link set {cable} up"));
            all.push(format!("-n {name} link set lo up"));
        }
        let works = |line: &String| {
            let made = Command::new("ip").args(line.split(' ')).output();
            made.is_ok_and(|made| made.status.success())
        };
        all.iter().all(works).then_some(network)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

#[test]
fn ranks_on_two_machines_write_the_bytes_of_hg_alone() {
    let Some(network) = Network::new() else {
        eprintln!("NOT RUN: network namespaces take root and iproute2");
        return;
    };
    let cohort = Cohort::new();
    succeed(Command::new(beside("hg")).args(cohort.train("alone", 4)));

    // What stands for ssh: it is given a host and a command.
    let [a, b] = &network.names;
    let agent = cohort.path("in-place-of-ssh");
    let script = format!(
        "#!/bin/sh\nshift\nexec ip netns exec {b} unshare --uts sh -c \"hostname {b}; $*\"\n"
    );
    std::fs::write(&agent, script).expect("writes");
    succeed(Command::new("chmod").arg("+x").arg(&agent));
    let mut command = Command::new("ip");
    allow_root(&mut command);
    command.args(["netns", "exec", a, "unshare", "--uts", "sh", "-c"]);
    command.arg("hostname $0; exec \"$@\"").arg(a).args(["timeout", LIMIT, "mpiexec"]);
    command.args(["--oversubscribe", "--mca", "btl", "tcp,self", "--mca", "plm_rsh_agent"]);
    command.arg(&agent).args(["-H", "10.77.0.1:2,10.77.0.2:1", "-n", "3", HG_MPI]);
    succeed(command.args(cohort.train("together", 4)));
    assert_same(&cohort.made("together"), &cohort.made("alone"), "two machines");

    let mut sent = Command::new("ip");
    sent.args(["netns", "exec", a, "cat"])
        .arg(format!("/sys/class/net/hgv{}a/statistics/tx_bytes", std::process::id()));
    let sent: u64 = said(&succeed(&mut sent)).trim().parse().expect("a number");
    assert!(sent > 1 << 20, "{sent} bytes went through the cable");
}

/// The process of a rank of the job that writes to `out`.
fn process_of(rank: usize, out: &Path) -> Option<u32> {
    let is_it = |process: &Path| {
        let read = |name| std::fs::read(process.join(name)).ok();
        let (command, environment) = (read("cmdline")?, read("environ")?);
        let has = |bytes: &[u8], what: &str| {
            bytes.split(|&byte| byte == 0).any(|part| part == what.as_bytes())
        };
        let found = command.starts_with(HG_MPI.as_bytes())
            && has(&command, &out.display().to_string())
            && has(&environment, &format!("OMPI_COMM_WORLD_RANK={rank}"));
        found.then_some(())
    };
    let processes = std::fs::read_dir("/proc").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found = processes.filter(|process| is_it(process).is_some());
    found.next()?.file_name()?.to_str()?.parse().ok()
}

#[test]
fn a_job_whose_rank_is_killed_goes_on_with_another_number_of_ranks_to_the_same_bytes() {
    let cohort = Cohort::new();
    let iterations = 40;
    succeed(Command::new(beside("hg")).args(cohort.train("alone", iterations)));

    let out = cohort.path("killed");
    let mut command = on_ranks(3, HG_MPI.as_ref());
    command.args(cohort.train("killed", iterations)).stderr(Stdio::piped()).stdout(Stdio::null());
    let running = command.spawn().expect("it starts");
    let began = Instant::now();
    while !out.join("checkpoints/00000004").exists() {
        assert!(began.elapsed() < Duration::from_secs(120), "it trains");
        std::thread::sleep(Duration::from_millis(2));
    }
    let process = process_of(1, &out).expect("rank 1 runs");
    succeed(Command::new("kill").args(["-KILL", &process.to_string()]));
    let ended = running.wait_with_output().expect("the job ends");
    assert!(!ended.status.success(), "{}", said(&ended));
    assert!(said(&ended).contains("rank 1"), "it says who is gone: {}", said(&ended));
    assert!(!out.join("synthetic.csv").exists());

    let mut resume = on_ranks(2, HG_MPI.as_ref());
    succeed(resume.args(["train", "--resume"]).arg(&out));
    assert_same(&cohort.made("killed"), &cohort.made("alone"), "resumed");
}

#[test]
fn ranks_that_cannot_train_together_are_refused() {
    let cohort = Cohort::new();
    let arguments = cohort.train("refused", 4);
    let mut other = mpiexec();
    other.args(["-n", "1", "-x", "HG_VECTORS=portable", HG_MPI]).args(&arguments);
    other.args([":", "-n", "1", "-x", "HG_VECTORS=avx2", HG_MPI]).args(&arguments);
    let output = run(&mut other);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert_eq!(text.matches("error: rank 1 is hg-mpi").count(), 1, "{text}");
    assert!(text.contains("hint: start the same program everywhere"), "{text}");

    // Bad input is said once.
    let mut bad = cohort.train("refused", 4);
    bad.extend(["--set", "model.hidden=0"].map(str::to_owned));
    let output = run(on_ranks(2, HG_MPI.as_ref()).args(bad));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert_eq!(said(&output).matches("error:").count(), 1, "{}", said(&output));

    let output = run(on_ranks(2, &beside("hg")).args(&arguments));
    assert!(said(&output).contains("`mpiexec` started 2 processes"), "{}", said(&output));
    let output = run(on_ranks(2, HG_MPI.as_ref()).args([
        "generate",
        "run",
        "--out",
        "x",
        "--patients",
        "1",
    ]));
    assert!(said(&output).contains("can only train together"), "{}", said(&output));
    assert!(!cohort.path("refused").exists());
}
