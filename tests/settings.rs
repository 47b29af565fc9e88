//! A run's settings: defaults, a preset, a file, the environment, flags; later ones win.

use std::process::Command;

#[test]
fn later_layers_win_and_every_origin_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("my.toml");
    std::fs::write(
        &file,
        "[model]\nhidden = 64\n[batching]\nbatch_size = 16\n[optimiser]\nbeta1 = 0.1\n",
    )
    .expect("writes");
    let output = Command::new(hg_tests::program())
        .args([
            "train",
            "--print-config",
            "--preset",
            "hypotension",
            "--set",
            "optimiser.beta1=0.3",
        ])
        .args(["--iterations", "7", "--config"])
        .arg(&file)
        .env("HG_TRAIN_BATCHING__BATCH_SIZE", "8")
        .env("HG_TRAIN_MODEL__LATENT", "uniform")
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let squeezed: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "iterations = 7 # flag",
        "optimiser.beta1 = 0.3 # flag",
        "batching.batch_size = 8 # HG_TRAIN_BATCHING__BATCH_SIZE",
        "model.latent = \"uniform\" # HG_TRAIN_MODEL__LATENT",
        "optimiser.correlation_weight = 1.0 # preset hypotension",
        "optimiser.beta2 = 0.99 # default",
        &format!("model.hidden = 64 # {}", file.display()),
    ] {
        assert!(squeezed.iter().any(|ours| ours == line), "no `{line}` in:\n{text}");
    }
}

#[test]
fn flat_names_of_version_0_1_work_and_their_new_names_are_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("old.toml");
    std::fs::write(&file, "hidden = 64\nvalidate_every = 7\n").expect("writes");
    let output = Command::new(hg_tests::program())
        .args(["train", "--print-config", "--set", "beta1=0.3", "--config"])
        .arg(&file)
        .env("HG_TRAIN_BATCH_SIZE", "8")
        .output()
        .expect("runs");
    let (shown, said) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for (old, new) in [
        ("hidden", "model.hidden = 64"),
        ("validate_every", "validation.every = 7"),
        ("beta1", "optimiser.beta1 = 0.3"),
        ("batch_size", "batching.batch_size = 8"),
    ] {
        assert!(shown.contains(new), "no `{new}` in:\n{shown}");
        let name = new.split(' ').next().unwrap_or_default();
        assert!(said.contains(&format!("`{old}` is now `{name}`")), "{said}");
    }
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_stops_nothing() {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"HG_TRAIN_\xff");
    let output = Command::new(hg_tests::program())
        .args(["train", "--print-config"])
        .env(name, "1")
        .env("ELSEWHERE", std::ffi::OsStr::from_bytes(b"\xff\xfe"))
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("optimiser.beta1 = 0.9"));
}

#[test]
fn a_bad_setting_is_refused_with_its_origin() {
    let train = ["train", "--data", "t.csv", "--schema", "s.toml", "--out", "run", "--set"];
    for (set, says) in [
        ("hiden=64", "flag: there is no setting `hiden`\nhint: there are "),
        ("model.hidden=\"many\"", "flag: `model.hidden = \"many\"`: invalid type"),
        ("model.hidden=0", "`model.hidden` is 0\nhint: it must be at least 1"),
        ("device=abacus", "flag: `device = \"abacus\"`: unknown variant"),
        ("tf32=true", "`tf32` is true, and the cpu has none\nhint: "),
        ("bf16=1", "flag: `bf16 = 1`: invalid type"),
        ("hidden", "--set hidden\nhint: write it as KEY=VALUE"),
        ("validation.held_out=1.5", "`validation.held_out` is 1.5\nhint: it must be in [0, 1)"),
    ] {
        let mut command = Command::new(hg_tests::program());
        let output = command.args(train).arg(set).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{set}: {said}");
        assert!(said.contains(says), "{set}: {said}");
    }
}

#[test]
#[cfg_attr(feature = "cuda", ignore = "this program was built for one")]
fn a_gpu_that_the_program_was_not_built_for_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run").display().to_string();
    let [data, schema] = ["data/pbc/pbcseq.csv", "data-schemas/pbc.toml"]
        .map(|path| hg_tests::repository(path).display().to_string());
    let arguments = ["train", "--device", "cuda", "--data", &data, "--schema", &schema, "--out"];
    let output = hg_tests::hg(&[&arguments[..], &[out.as_str()]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("--features cuda"), "{stderr}");
    assert!(!std::path::Path::new(&out).exists());
}

#[test]
fn vectors_are_chosen_by_name_and_going_on_with_others_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run").display().to_string();
    let [data, schema] = ["data/pbc/pbcseq.csv", "data-schemas/pbc.toml"]
        .map(|path| hg_tests::repository(path).display().to_string());
    let run = |vectors: &str, arguments: &[&str]| {
        let mut command = Command::new(hg_tests::program());
        let output = command.args(arguments).env("HG_VECTORS", vectors).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let train = ["train", "--data", &data, "--schema", &schema, "--out", &out];
    let train = [&train[..], &["--iterations", "1", "--batch-size", "8"]].concat();
    let (code, said) = run("abacus", &train);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("HG_VECTORS is `abacus`"), "{said}");
    assert!(said.contains("hint: use one of portable"), "{said}");

    let (code, said) = run("portable", &train);
    assert_eq!(code, Some(0), "{said}");
    let manifest = std::fs::read_to_string(folder.path().join("run/run.toml")).expect("reads");
    assert!(manifest.contains("vectors = \"Portable\""), "{manifest}");
    let (code, said) = run("portable", &["train", "--resume", &out]);
    assert!(code == Some(0) && !said.contains("HG_VECTORS"), "{said}");
    let others = if cfg!(target_arch = "aarch64") { "neon" } else { "avx2" };
    #[cfg(target_arch = "x86_64")]
    if !is_x86_feature_detected!("avx2") {
        return;
    }
    let (code, said) = run(others, &["train", "--resume", &out]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("HG_VECTORS=portable keeps them"), "{said}");
}

/// The instruction for products of bf16 is a faster way to the same numbers.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_run_in_bf16_has_the_same_bytes_with_and_without_the_instruction_and_others_than_one_in_full() {
    if !is_x86_feature_detected!("avx2") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let [data, schema] = ["data/pbc/pbcseq.csv", "data-schemas/pbc.toml"]
        .map(|path| hg_tests::repository(path).display().to_string());
    let cohort = |vectors: Option<&str>, set: &str| {
        let out = folder.path().join(format!("{set}-{vectors:?}"));
        let mut command = Command::new(hg_tests::program());
        command.args(["train", "--data", &data, "--schema", &schema, "--iterations", "3"]);
        command.args(["--set", set, "--set", "model.resampling=false", "--out"]).arg(&out);
        vectors.map(|vectors| command.env("HG_VECTORS", vectors));
        let output = command.output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(out.join("synthetic.csv")).expect("a cohort")
    };
    let widest = cohort(None, "bf16=true");
    assert!(widest == cohort(Some("avx2"), "bf16=true"));
    assert!(widest != cohort(None, "bf16=false"));
}
