"""Episodes in d3rlpy and Minari, and the worked example."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

from health_gym import Schema, simulate_art_for_hiv
from health_gym.rl import ENVIRONMENT, Episode, Episodes, episodes

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made() -> Episodes:
    """20 patients, of whom the first dies."""
    cohort = episodes(simulate_art_for_hiv(20, 1), Schema.load(ROOT / "data-schemas/art-for-hiv.toml"))
    first = cohort[0]
    dies = Episode(
        first.observations,
        first.actions,
        first.rewards,
        terminations=first.truncations,
        truncations=first.terminations,
    )
    return Episodes(cohort.encoding, [dies, *cohort[1:]])


def test_d3rlpys_transitions_are_the_episodes_steps(made: Episodes) -> None:
    pytest.importorskip("d3rlpy")
    dataset = made.to_d3rlpy()
    assert dataset.dataset_info.action_size == len(made.encoding.combinations)
    assert len(dataset.episodes) == 20
    assert dataset.transition_count == 20 * 59
    for own, theirs in zip(made, dataset.episodes, strict=True):
        assert theirs.terminated == own.terminations.any()
        assert theirs.transition_count == len(own)
        for step in (0, 30, 58):
            transition = dataset.transition_picker(theirs, step)
            assert (transition.observation == own.observations[step]).all()
            assert (made.encoding.from_index(transition.action[0]) == own.actions[step]).all()
            assert transition.reward[0] == np.float32(own.rewards[step])
            is_end = bool(own.terminations[step])
            assert transition.terminal == is_end
            if not is_end:
                assert (transition.next_observation == own.observations[step + 1]).all()


def test_d3rlpy_learns_a_policy_that_the_environment_takes(made: Episodes, tmp_path: Path) -> None:
    d3rlpy = pytest.importorskip("d3rlpy")
    gym = pytest.importorskip("gymnasium")
    learner = d3rlpy.algos.DiscreteCQLConfig(batch_size=16).create()
    no_log = d3rlpy.logging.NoopAdapterFactory()
    losses = learner.fit(
        made.to_d3rlpy(), n_steps=20, n_steps_per_epoch=10, logger_adapter=no_log, show_progress=False
    )
    assert np.isfinite([loss["loss"] for _, loss in losses]).all()
    environment = gym.make(ENVIRONMENT, encoding=made.encoding)
    observation, _ = environment.reset(seed=0)
    for _ in range(5):
        action = made.encoding.from_index(learner.predict(observation[None])[0])
        observation, reward, *_ = environment.step(action)
        assert np.isfinite(reward)


def test_what_minari_loads_is_what_was_given(
    made: Episodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minari = pytest.importorskip("minari")
    pytest.importorskip("h5py")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    described = {"author": "nobody", "description": "simulated patients", "algorithm_name": "usual care"}
    made.to_minari("art-for-hiv/simulated-v0", **described)
    loaded = minari.load_dataset("art-for-hiv/simulated-v0")
    assert (loaded.total_episodes, loaded.total_steps) == (20, 20 * 59)
    assert loaded.action_space.nvec.tolist() == [6, 4, 4, 6, 2]
    assert loaded.observation_space.shape == (len(made.encoding.features),)
    for own, theirs in zip(made, loaded.iterate_episodes(), strict=True):
        assert theirs.observations.dtype == np.float32
        for part in ("observations", "actions", "rewards", "terminations", "truncations"):
            assert (getattr(theirs, part) == getattr(own, part)).all(), part


def test_a_cohort_without_a_step_becomes_no_data_set(made: Episodes) -> None:
    pytest.importorskip("d3rlpy")
    from health_gym import BadInputError

    with pytest.raises(BadInputError, match=r"no patient has two rows(?s:.*)hint"):
        made[:0].to_d3rlpy()


def test_the_worked_example_runs(tmp_path: Path) -> None:
    for library in ("d3rlpy", "gymnasium", "matplotlib"):
        pytest.importorskip(library)
    small = "--patients 30 --minutes 0.05 --steps 40 --seeds 2 --run-patients 10"
    command = [sys.executable, ROOT / "python/examples/offline_rl.py", *small.split(), "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "offline-rl.svg").stat().st_size > 1000
    found = json.loads((tmp_path / "offline-rl.json").read_text())
    assert list(found["returns"]) == [
        "usual care",
        "learnt from simulated patients",
        "learnt from synthetic patients",
    ]
    for of_policy in found["returns"].values():
        low, high = of_policy["interval"]
        assert low <= of_policy["mean"] <= high
    assert "learnt from synthetic patients" in done.stdout
