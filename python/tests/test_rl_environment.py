"""health_gym/ArtForHiv-v0, single and vectorised."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
gym = pytest.importorskip("gymnasium")
pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

import health_gym.rl
from health_gym import BadInputError, Schema, simulate_art_for_hiv
from health_gym.rl import ENVIRONMENT, Encoding, art_for_hiv_reward

ROOT = Path(__file__).parents[2]
SHOWN = ["VL", "CD4", "Rel CD4", "Gender", "Ethnic", "VL (M)", "CD4 (M)", "Drug (M)"]
REGIMEN = ["Base Drug Combo", "Comp. INI", "Comp. NNRTI", "Extra PI", "Extra pk-En"]
BEST = np.array([2, 0, 3, 5, 0])


@pytest.fixture(scope="module")
def encoding() -> Encoding:
    schema = Schema.load(ROOT / "data-schemas/art-for-hiv.toml")
    return Encoding(simulate_art_for_hiv(50, 9), schema)


@pytest.mark.parametrize("is_encoded", [False, True])
def test_gymnasiums_checker_has_nothing_to_say(encoding: Encoding, is_encoded: bool) -> None:
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        environment = gym.make(ENVIRONMENT, encoding=encoding if is_encoded else None)
        check_env(environment.unwrapped)


def usual_course(environment: Any, **reset: Any) -> tuple[Any, Any, Any]:
    """(observations [61, F], actions [60, 5], rewards [60]) of a patient who is treated as usual."""
    observation, info = environment.reset(**reset)
    observations, actions, rewards = [observation], [], []
    is_over = False
    while not is_over:
        actions.append(info["usual_action"])
        observation, reward, terminated, is_over, info = environment.step(actions[-1])
        assert not terminated, "the model has no deaths"
        observations.append(observation)
        rewards.append(reward)
    return np.array(observations), np.array(actions), np.array(rewards)


def test_usual_care_gives_the_simulated_table() -> None:
    table = simulate_art_for_hiv(3, 11)
    environment = gym.make(ENVIRONMENT)
    for patient in range(3):
        rows = table[table["PatientID"] == patient + 1]
        observations, actions, _ = usual_course(environment, **({"seed": 11} if patient == 0 else {}))
        assert len(actions) == 60, "60 months, then a truncation"
        assert (observations[:60, :7] == rows[SHOWN[:7]].to_numpy()).all()
        assert (actions == rows[REGIMEN].to_numpy()).all()
        # The table records a change without a visit too, which is not known before the action.
        changes = np.append(False, (actions[1:] != actions[:-1]).any(axis=1))
        recorded = rows["Drug (M)"].to_numpy()
        assert (observations[:60, 7] <= recorded).all()
        assert (observations[:60, 7] == recorded)[~changes].mean() > 0.99


def test_the_reward_is_that_of_the_month_after(encoding: Encoding) -> None:
    observations, _, rewards = usual_course(gym.make(ENVIRONMENT), seed=3)
    expected = art_for_hiv_reward({"VL": observations[1:, 0], "CD4": observations[1:, 1]})
    assert (rewards == expected).all()
    virus, cells = observations[1:, 0], observations[1:, 1]
    by_hand = np.where(virus > 20, -0.7 * np.log10(virus), 5) + 0.6 * np.log10(cells)
    np.testing.assert_allclose(rewards, by_hand, rtol=1e-12)
    assert (usual_course(gym.make(ENVIRONMENT, encoding=encoding), seed=3)[2] == rewards).all()


def test_the_same_seed_and_actions_give_the_same_bits() -> None:
    environment = gym.make(ENVIRONMENT)
    environment.action_space.seed(0)
    actions = [environment.action_space.sample() for _ in range(60)]

    def course(seed: int) -> bytes:
        parts = [environment.reset(seed=seed)[0].tobytes()]
        for action in actions:
            observation, reward, *_ = environment.step(action)
            parts += [observation.tobytes(), np.float64(reward).tobytes()]
        return b"".join(parts)

    assert course(5) == course(5)
    assert course(5) != course(6)


def test_without_a_seed_patients_come_at_random_and_then_in_order() -> None:
    first, second = (gym.make(ENVIRONMENT).reset() for _ in range(2))
    assert (first[0] != second[0]).any()
    environment = gym.make(ENVIRONMENT)
    came = [environment.reset(**own) for own in ({"seed": 1}, {}, {})]
    assert [info["patient"] for _, info in came] == [0, 1, 2]
    asked, info = gym.make(ENVIRONMENT).reset(seed=1, options={"patient": 2})
    assert info["patient"] == 2 and (asked == came[2][0]).all()
    again, info = environment.reset(seed=1)
    assert info["patient"] == 0 and (again == came[0][0]).all()


def test_what_is_observed_lies_in_its_space(encoding: Encoding) -> None:
    for wanted in (None, encoding):
        environment = gym.make(ENVIRONMENT, encoding=wanted)
        observations, *_ = usual_course(environment, seed=2)
        assert all(observation in environment.observation_space for observation in observations)


def test_an_encoding_sees_what_it_sees_of_the_table(encoding: Encoding) -> None:
    (of_table,) = encoding.episodes(simulate_art_for_hiv(1, 21))
    observations, actions, _ = usual_course(gym.make(ENVIRONMENT, encoding=encoding), seed=21)
    # "Drug (M)" apart.
    names = [n for n, name in enumerate(encoding.features) if not name.startswith("Drug (M)")]
    assert observations.dtype == np.float32
    assert (observations[:60, names] == of_table.observations[:, names]).all()
    assert (actions[:59] == of_table.actions).all()


def test_better_drugs_leave_less_virus() -> None:
    environment = gym.make_vec(ENVIRONMENT, num_envs=30)

    def last_load(action: Any) -> float:
        environment.reset(seed=1)
        for _ in range(12):
            observations, *_ = environment.step(np.tile(action, (30, 1)))
        return float(np.log10(observations[:, 0]).mean())

    assert last_load(BEST) < last_load([5, 3, 3, 5, 0]) - 0.3


@pytest.mark.parametrize("is_encoded", [False, True])
def test_vectorised_patients_are_those_of_single_environments(encoding: Encoding, is_encoded: bool) -> None:
    own = {"encoding": encoding} if is_encoded else {}
    ours = gym.make_vec(ENVIRONMENT, num_envs=5, **own)
    theirs = gym.vector.SyncVectorEnv([lambda: gym.make(ENVIRONMENT, **own)] * 5)
    assert type(ours.unwrapped).__name__ == "ArtForHivVector"
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    ours.action_space.seed(0)

    def are_same(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
        for a, b in zip(one[:-1], other[:-1], strict=True):
            assert (a == b).all() and a.dtype == b.dtype and a.shape == b.shape
        assert set(one[-1]) == set(other[-1])
        assert all((one[-1][key] == other[-1][key]).all() for key in one[-1])

    are_same(ours.reset(seed=7), theirs.reset(seed=7))
    for month in range(130):
        actions = ours.action_space.sample()
        step = ours.step(actions)
        are_same(step, theirs.step(actions))
        assert step[3].all() == (month % 61 == 59), "truncated after 60 months, begun anew in the next"
    are_same(ours.reset(), theirs.reset())
    are_same(ours.reset(seed=[3, 1, 4, 1, 5]), theirs.reset(seed=[3, 1, 4, 1, 5]))


def test_seeds_for_another_number_of_patients_are_refused() -> None:
    with pytest.raises(BadInputError, match="2 seeds came for 3 environments\nhint"):
        gym.make_vec(ENVIRONMENT, num_envs=3).reset(seed=[1, 2])
    with pytest.raises(BadInputError, match="`num_envs` is 0\nhint"):
        gym.make_vec(ENVIRONMENT, num_envs=0)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ([6, 0, 0, 0, 0], "column `Base Drug Combo`: patient 0 would get 6\nhint: its codes are 0 to 5"),
        ([0, 0, 0, 0, -1], "column `Extra pk-En`: patient 0 would get -1\nhint: its codes are 0 to 1"),
        ([0, 0, 0], "an action is .*hint: it is 5 whole numbers, codes of Base Drug Combo"),
        ([0.5, 0, 0, 0, 0], "an action is .*hint: it is 5 whole numbers"),
    ],
)
def test_an_action_that_is_none_is_refused_and_nothing_happens(action: list[Any], message: str) -> None:
    environment = gym.make(ENVIRONMENT).unwrapped
    expected, _ = environment.reset(seed=1)
    expected = environment.step(BEST)[0]
    environment.reset(seed=1)
    with pytest.raises(BadInputError, match=f"(?s){message}"):
        environment.step(np.array(action))
    assert (environment.step(BEST)[0] == expected).all()


def test_options_that_are_none_are_refused() -> None:
    environment = gym.make(ENVIRONMENT)
    with pytest.raises(BadInputError, match="no option number\nhint: `patient`"):
        environment.reset(options={"number": 1})
    with pytest.raises(BadInputError, match="`patient` is -1\nhint"):
        environment.reset(options={"patient": -1})


def test_an_encoding_of_other_columns_is_refused(encoding: Encoding) -> None:
    text = (ROOT / "data-schemas/art-for-hiv.toml").read_text()
    one_action = text.replace(', "Comp. INI", "Comp. NNRTI", "Extra PI", "Extra pk-En"]', "]", 1)
    other = Encoding(simulate_art_for_hiv(10), Schema.from_toml(one_action))
    with pytest.raises(BadInputError, match=r"decides Base Drug Combo\nhint: .*art-for-hiv"):
        gym.make(ENVIRONMENT, encoding=other)


def test_a_month_is_scipys() -> None:
    pytest.importorskip("scipy")
    sys.path.insert(0, str(ROOT / "tests/peers"))
    try:
        from hiv_scipy import month
    finally:
        sys.path.pop(0)
    environment = gym.make(ENVIRONMENT)
    for patient in range(5):
        _, info = environment.reset(seed=8, options={"patient": patient})
        trial = environment.unwrapped._patients._trial
        for _ in range(12):
            parameters, state, (e1, e2) = trial.state(0)
            _, _, _, _, info = environment.step(info["usual_action"])
            exact = month(state, json.loads(parameters), e1, e2, tolerance=1e-11)
            # The environment solves each step to a relative error of 1e-5.
            np.testing.assert_allclose(trial.state(0)[1], exact, rtol=2e-3)


def test_gymnasium_finds_the_environment_by_its_module_alone() -> None:
    """`gym.make("module:name")` imports the module first."""
    code = "import gymnasium; print(gymnasium.make('health_gym.rl:health_gym/ArtForHiv-v0').spec.id)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ENVIRONMENT


def test_registering_twice_changes_nothing() -> None:
    before = gym.spec(ENVIRONMENT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        health_gym.rl.register()
    assert gym.spec(ENVIRONMENT) == before


def test_the_module_works_where_gymnasium_d3rlpy_and_minari_are_missing() -> None:
    code = """
import sys
for library in ("gymnasium", "d3rlpy", "minari"):
    sys.modules[library] = None
from health_gym import Schema, simulate_art_for_hiv
from health_gym.rl import episodes
made = episodes(simulate_art_for_hiv(5), Schema.load(sys.argv[1]))
for convert in (made.to_d3rlpy, lambda: made.to_minari("a/b-v0")):
    try:
        convert()
    except ImportError as error:
        print(error)
"""
    schema = str(ROOT / "data-schemas/art-for-hiv.toml")
    done = subprocess.run([sys.executable, "-c", code, schema], capture_output=True, text=True, check=True)
    assert "hint: pip install d3rlpy" in done.stdout and "hint: pip install minari" in done.stdout
