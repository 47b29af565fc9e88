"""The package and the program ``hg`` are one engine: the same seed gives the same bytes."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from conftest import PBC, PBC_SCHEMA, ROOT, fit_small, hg
from safetensors.numpy import load_file

import health_gym
from health_gym import HealthGym, Schema, evaluate, simulate_art_for_hiv


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the program makes of the shipped cohort."""
    out = tmp_path_factory.mktemp("program") / "run"
    data = ("--data", PBC, "--schema", PBC_SCHEMA, "--out", out)
    hg("train", *data, "--iterations", 3, "--set", "model.hidden=16", "--seed", 1)
    return out


def test_the_cohort_has_the_bytes_of_the_programs(run: Path, of_file: HealthGym, tmp_path: Path) -> None:
    of_file.write(tmp_path / "made.csv", 312, seed=1)
    assert (tmp_path / "made.csv").read_bytes() == (run / "synthetic.csv").read_bytes()


def test_generate_gives_the_bytes_of_write(run: Path, of_file: HealthGym, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs.csv", tmp_path / "ours.csv"
    for asked, also in (
        (["--patients", 20, "--seed", 5], {"patients": 20, "seed": 5}),
        (["--patients", 9], {"patients": 9}),
        (["--patients", 7, "--given", "age>=50"], {"patients": 7, "given": "age>=50"}),
    ):
        hg("generate", run, *asked, "--out", theirs)
        of_file.write(ours, **also)
        assert ours.read_bytes() == theirs.read_bytes()


def test_the_weights_are_the_programs(
    run: Path, of_file: HealthGym, fitted: HealthGym, tmp_path: Path
) -> None:
    """Whether the table came as a file or as a frame."""
    hg("export", run, "--out", tmp_path / "weights")
    for network in ("generator", "critic"):
        theirs = load_file(tmp_path / "weights" / f"{network}.safetensors")
        for model in (of_file, fitted):
            ours = model.state_dict(network)
            assert ours.keys() == theirs.keys()
            assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_the_checkpoint_has_the_bytes_of_the_programs(run: Path, of_file: HealthGym, tmp_path: Path) -> None:
    of_file.save(tmp_path / "ours")
    theirs = {file.relative_to(run) for file in run.rglob("*.safetensors")}
    assert theirs
    for file in theirs:
        assert (tmp_path / "ours" / file).read_bytes() == (run / file).read_bytes(), file


def test_what_the_program_trained_is_loaded(run: Path, of_file: HealthGym) -> None:
    loaded = HealthGym.load(run)
    pd.testing.assert_frame_equal(loaded.sample(20), of_file.sample(20))
    assert loaded.settings == of_file.settings
    assert len(loaded.history()) == 3
    pd.testing.assert_frame_equal(loaded.history(), of_file.history(), check_exact=True)


def test_frames_give_the_patients_of_the_program(
    run: Path, pbc: pd.DataFrame, pbc_schema: Schema, fitted: HealthGym
) -> None:
    """A whole number in a column with gaps is a float in pandas, and the same number."""
    settings = {"model.hidden": 16}
    of_polars = HealthGym(pbc_schema, seed=1, iterations=3, settings=settings)
    of_polars.fit(pl.read_csv(PBC, null_values=["NA", ""], infer_schema_length=None), progress=False)
    made = pd.read_csv(run / "synthetic.csv")
    for model in (fitted, of_polars):
        synthetic = model.sample(312, seed=1, frame_type="pandas")
        pd.testing.assert_frame_equal(synthetic, made, check_dtype=False, check_exact=True)


def test_the_schema_that_is_proposed_is_the_programs(tmp_path: Path) -> None:
    hg("schema", "infer", PBC, "--out", tmp_path / "theirs.toml")
    assert Schema.infer(PBC).to_toml() == (tmp_path / "theirs.toml").read_text()
    assert Schema.infer(pd.read_csv(PBC)).to_dict()["columns"] == Schema.infer(PBC).to_dict()["columns"]


def test_the_figures_of_evaluate_are_the_programs(run: Path, pbc: pd.DataFrame, tmp_path: Path) -> None:
    """Of files and of frames."""
    pbc[pbc.id <= 60].to_csv(tmp_path / "real.csv", index=False)
    made = pd.read_csv(run / "synthetic.csv")
    made[made.id <= 55].to_csv(tmp_path / "made.csv", index=False)
    real, made = tmp_path / "real.csv", tmp_path / "made.csv"
    schema = Schema.load(PBC_SCHEMA)
    theirs = json.loads(hg("--json", "evaluate", "--real", real, "--synthetic", made, "--schema", PBC_SCHEMA))
    for tables in ((real, made), (pd.read_csv(real), pd.read_csv(made))):
        ours = evaluate(*tables, schema).to_dict()
        assert {"mean_ks", "nearness", "predictive"} <= ours.keys() & theirs.keys()
        for figure in ours.keys() & theirs.keys():
            assert ours[figure] == theirs[figure], figure


def test_the_simulated_cohort_is_the_programs(tmp_path: Path) -> None:
    hg("simulate", "art-for-hiv", "--patients", 5, "--seed", 3, "--out", tmp_path / "hiv.csv")
    theirs = pd.read_csv(tmp_path / "hiv.csv")
    ours = simulate_art_for_hiv(5, seed=3)
    pd.testing.assert_frame_equal(ours, theirs, check_dtype=False, rtol=1e-12)
    assert ours.shape == (300, 15)
    assert not ours.equals(simulate_art_for_hiv(5, seed=4))


def test_a_run_of_ours_is_one_of_the_programs(of_file: HealthGym, tmp_path: Path) -> None:
    of_file.save(tmp_path / "ours")
    hg("generate", tmp_path / "ours", "--patients", 9, "--out", tmp_path / "a.csv")
    of_file.write(tmp_path / "b.csv", 9)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_the_program_says_its_version_and_exits_with_its_code(tmp_path: Path) -> None:
    assert health_gym.__version__ in hg("--version")
    command = [sys.executable, "-m", "health_gym", "train", "--data", "none.csv"]
    command += ["--schema", str(PBC_SCHEMA), "--out", str(tmp_path / "run")]
    failed = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert failed.returncode == 2
    assert "error" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_the_same_seed_gives_the_same_cohort_whatever_the_threads(of_file: HealthGym) -> None:
    code = (
        "import sys, hashlib; from health_gym import HealthGym, Schema\n"
        "model = HealthGym(Schema.load(sys.argv[1]), seed=1, iterations=3, settings={'model.hidden': 16})\n"
        "table = model.fit(sys.argv[2], progress=False).sample(50, frame_type='pandas')\n"
        "print(hashlib.sha256(table.to_csv().encode()).hexdigest())\n"
    )
    expected = hashlib.sha256(of_file.sample(50).to_csv().encode()).hexdigest()
    command = [sys.executable, "-c", code, str(PBC_SCHEMA), str(PBC)]
    one = os.environ | {"RAYON_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    said = subprocess.run(command, env=one, capture_output=True, text=True, cwd=ROOT, timeout=100)
    assert said.stdout.strip() == expected, said.stderr


def test_other_seeds_give_other_patients(of_file: HealthGym) -> None:
    assert not of_file.sample(9).equals(of_file.sample(9, seed=1))
    assert of_file.sample(9, seed=2**64 - 1).shape[1] == 19


def test_the_seed_of_the_model_may_stand_in_its_settings(small: pd.DataFrame) -> None:
    named = fit_small(small, seed=7)
    pd.testing.assert_frame_equal(fit_small(small, settings={"seed": 7}).sample(3), named.sample(3))
    assert fit_small(small).settings["seed"] == 0
    assert fit_small(small, seed=7, settings={"seed": 8}).settings["seed"] == 7
