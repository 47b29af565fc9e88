"""Cohorts as episodes, by the schema's [decision]."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

from health_gym import BadInputError, Schema, simulate_art_for_hiv
from health_gym.rl import Encoding, art_for_hiv_reward, episodes

ROOT = Path(__file__).parents[2]
REGIMEN = ["Base Drug Combo", "Comp. INI", "Comp. NNRTI", "Extra PI", "Extra pk-En"]

WARD = """
name = "ward"
[patient]
column = "id"
[time]
column = "day"
step = 1.0
[decision]
actions = ["drug", "dose"]
reward = { x = 2.0 }
discount = 0.9
[[columns]]
name = "x"
kind = "numeric"
[[columns]]
name = "drug"
kind = "categorical"
levels = ["a", "b", "c"]
[[columns]]
name = "dose"
kind = "numeric"
[[columns]]
name = "outcome"
kind = "categorical"
levels = ["alive", "dead"]
static = true
[[columns]]
name = "state"
kind = "categorical"
levels = ["ward", "icu", "died"]
"""


@pytest.fixture
def ward() -> Schema:
    return Schema.from_toml(WARD)


@pytest.fixture
def patients() -> pd.DataFrame:
    """Patient 1 lives, patient 2 dies at their third row, patient 3 has one row."""
    return pd.DataFrame(
        {
            "id": [1, 1, 1, 2, 2, 2, 3],
            "day": [0, 1, 2, 0, 1, 2, 0],
            "x": [0.0, 1.0, 4.0, 2.0, 3.0, 1.0, 2.0],
            "drug": ["a", "b", "a", "c", "c", "a", "b"],
            "dose": [0.0, 10.0, 20.0, 30.0, 40.0, 0.0, 10.0],
            "outcome": ["alive"] * 3 + ["dead"] * 3 + ["alive"],
            "state": ["ward", "icu", "ward", "icu", "icu", "died", "ward"],
        }
    )


@pytest.fixture(scope="module")
def art() -> Schema:
    return Schema.load(ROOT / "data-schemas/art-for-hiv.toml")


def test_a_step_has_the_reward_of_the_row_after_it(ward: Schema, patients: pd.DataFrame) -> None:
    made = episodes(patients, ward)
    first = made[0]
    assert len(made) == 2, "a patient with one row has no step"
    assert first.observations.shape == (3, 6) and first.observations.dtype == np.float32
    assert first.actions.shape == (2, 2) and first.actions.dtype == np.int64
    # x is scaled from 0 … 4 to 0 … 1, and has weight 2; there is a margin at neither end.
    np.testing.assert_allclose(first.rewards, [2 * 0.25, 2 * 1.0], atol=1e-6)
    np.testing.assert_allclose(first.observations[:, 0], [0, 0.25, 1], atol=1e-6)
    # Drugs a and b; the least dose, and the quartiles of the others: from 10, 20 and 30 on.
    assert first.actions.tolist() == [[0, 0], [1, 1]]
    assert made.encoding.action_levels == [["a", "b", "c"], [f"dose {n}" for n in range(4)]]
    assert made.encoding.discount == 0.9


def test_the_end_of_follow_up_is_a_truncation(ward: Schema, patients: pd.DataFrame) -> None:
    for episode in episodes(patients, ward):
        assert episode.truncations.tolist() == [False, True]
        assert not episode.terminations.any()


@pytest.mark.parametrize("death", [{"outcome": "dead"}, {"state": "died"}])
def test_a_death_is_a_termination(ward: Schema, patients: pd.DataFrame, death: dict[str, str]) -> None:
    alive, dead = episodes(patients, ward, death=death)
    assert alive.truncations.tolist() == [False, True] and not alive.terminations.any()
    assert dead.terminations.tolist() == [False, True] and not dead.truncations.any()


def test_nothing_comes_after_a_death_that_a_row_shows(ward: Schema, patients: pd.DataFrame) -> None:
    patients.loc[4, "state"] = "died"
    alive, dead = episodes(patients, ward, death={"state": "died"})
    assert (len(alive), len(dead)) == (2, 1)
    assert dead.terminations.tolist() == [True] and dead.observations.shape[0] == 2


def test_observations_do_not_tell_who_dies(ward: Schema, patients: pd.DataFrame) -> None:
    names = episodes(patients, ward, death={"outcome": "dead"}).encoding.features
    assert names == ["x", "state = ward", "state = icu", "state = died"]


@pytest.mark.parametrize(
    ("death", "message"),
    [
        ({"fate": "dead"}, "death, column `fate`: the schema has no such column\nhint: .*`outcome`, `state`"),
        ({"outcome": "gone"}, "it has no level `gone`\nhint: it has alive, dead"),
        ({"x": 1}, "it is no column of levels that is observed"),
        ({"drug": "a"}, "it is no column of levels that is observed"),
        ({}, '`death` is {}\nhint: .*"status": "dead"'),
    ],
)
def test_a_death_that_no_row_can_show_is_refused(
    ward: Schema, patients: pd.DataFrame, death: dict[str, str], message: str
) -> None:
    with pytest.raises(BadInputError, match=f"(?s){message}"):
        episodes(patients, ward, death=death)


def test_a_schema_without_a_decision_is_refused_with_a_hint(patients: pd.DataFrame) -> None:
    start, end = WARD.index("[decision]"), WARD.index("[[columns]]")
    schema = Schema.from_toml(WARD[:start] + WARD[end:])
    with pytest.raises(BadInputError, match=r"no \[decision\](?s:.*)\nhint: add \[decision\]"):
        episodes(patients, schema)


def test_a_table_that_does_not_fit_is_refused_with_its_row(ward: Schema, patients: pd.DataFrame) -> None:
    fitted = episodes(patients, ward).encoding
    patients.loc[3, "drug"] = "z"
    with pytest.raises(BadInputError, match="row 4, column `drug`"):
        fitted.episodes(patients)


def test_two_cohorts_get_the_same_observations_and_actions(art: Schema) -> None:
    first, second = simulate_art_for_hiv(30, 1), simulate_art_for_hiv(30, 2)
    encoding = Encoding(first, art)
    of_second = encoding.episodes(second)
    assert of_second.encoding is encoding
    # The lower the viral load, the lower its encoding, whichever cohort it is in.
    both = [*encoding.episodes(first), *of_second]
    encoded = np.concatenate([episode.observations[:, 0] for episode in both])
    loads = np.concatenate([first["VL"], second["VL"]])
    order = np.argsort(loads, kind="stable")
    assert (np.diff(encoded[order]) >= 0).all()
    codes = second[REGIMEN].to_numpy().reshape(30, 60, 5)
    for episode, expected in zip(of_second, codes, strict=True):
        assert (episode.actions == expected[:-1]).all()


def test_an_action_that_the_cohort_does_not_have_becomes_the_nearest_of_it(art: Schema) -> None:
    encoding = Encoding(simulate_art_for_hiv(30, 1), art)
    known = encoding.combinations
    assert (encoding.to_index(known) == np.arange(len(known))).all()
    assert (encoding.from_index(encoding.to_index(known[3:5])) == known[3:5]).all()
    every = np.stack(np.meshgrid(*[np.arange(n) for n in (6, 4, 4, 6, 2)], indexing="ij"), -1)
    index = encoding.to_index(every)
    assert index.shape == (6, 4, 4, 6, 2)
    differing = (every[..., None, :] != known).sum(-1)
    assert (np.take_along_axis(differing, index[..., None], -1)[..., 0] == differing.min(-1)).all()


def test_another_reward_is_of_numbers_in_their_own_units(art: Schema) -> None:
    cohort = simulate_art_for_hiv(20, 4)
    made = episodes(cohort, art, reward=art_for_hiv_reward)
    virus, cells = (cohort[name].to_numpy().reshape(20, 60) for name in ("VL", "CD4"))
    expected = np.where(virus > 20, -0.7 * np.log10(virus), 5) + 0.6 * np.log10(cells)
    for episode, of_patient in zip(made, expected, strict=True):
        np.testing.assert_allclose(episode.rewards, of_patient[1:], atol=1e-3)
    with pytest.raises(BadInputError, match=r"shape \(2,\) for 1200 rows\nhint"):
        episodes(cohort, art, reward=lambda columns: np.zeros(2))


def test_an_encoding_survives_pickling(art: Schema) -> None:
    cohort = simulate_art_for_hiv(10, 1)
    before = Encoding(cohort, art)
    after = pickle.loads(pickle.dumps(before))
    assert after.features == before.features and (after.combinations == before.combinations).all()
    for one, other in zip(before.episodes(cohort), after.episodes(cohort), strict=True):
        assert (one.observations == other.observations).all() and (one.rewards == other.rewards).all()


def test_a_slice_of_episodes_is_episodes(art: Schema) -> None:
    made = episodes(simulate_art_for_hiv(10, 1), art)
    assert len(made[2:5]) == 3 and made[2:5].encoding is made.encoding
    assert (made[2:5][0].observations == made[2].observations).all()
    assert repr(made[2:5]) == "<health_gym.rl.Episodes: 3 patients, 177 steps>"
