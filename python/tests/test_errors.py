"""What is wrong is said with its place and a way out, and what is odd is warned of."""

import inspect
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import PBC_SCHEMA, ROOT, fit_small, python

import health_gym
from health_gym import (
    BadInputError,
    HealthGym,
    HealthGymError,
    HealthGymWarning,
    Report,
    Schema,
    evaluate,
    simulate_art_for_hiv,
)


def refused(message: str, kind: type[Exception] = BadInputError) -> Any:
    """Raises an error whose text begins so."""
    return pytest.raises(kind, match=f"^{message}")


def test_bad_input_is_a_value_error_and_an_error_of_the_package() -> None:
    assert issubclass(BadInputError, ValueError)
    assert issubclass(BadInputError, HealthGymError)
    assert issubclass(HealthGymWarning, UserWarning)


def test_all_faults_of_a_table_are_said_at_once(small: pd.DataFrame, small_model: HealthGym) -> None:
    small["pressure"] = small.pressure.astype(str)
    small.loc[3, "pressure"], small.loc[4, "stage"] = "high?", "lowest"
    with pytest.raises(BadInputError) as raised:
        fit_small(small, schema=small_model.schema)
    assert str(raised.value).splitlines() == [
        "table, row 4, column `pressure`: `high?` is not a number",
        "hint: correct the cell, or list `high?` under `missing` in the schema",
        "table, row 5, column `stage`: `lowest` is not among the levels high, low, middle",
        "hint: correct the cell or add the level to the schema",
    ]


def test_the_text_is_the_programs(small: pd.DataFrame, small_model: HealthGym, tmp_path: Path) -> None:
    small.assign(stage="lowest").to_csv(tmp_path / "bad.csv", index=False)
    small_model.schema.save(tmp_path / "schema.toml")
    with pytest.raises(BadInputError) as raised:
        fit_small(tmp_path / "bad.csv", schema=small_model.schema)
    data = ["--data", tmp_path / "bad.csv", "--schema", tmp_path / "schema.toml", "--out", tmp_path / "out"]
    command = [sys.executable, "-m", "health_gym", "train", *map(str, data)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert said.returncode == 2
    for line in str(raised.value).splitlines():
        assert line in said.stderr


def test_a_column_that_is_not_there_is_named(small: pd.DataFrame, small_model: HealthGym) -> None:
    with refused("table, column `stage`: the table has no such column; it has: patient, month, pressure"):
        fit_small(small.drop(columns="stage"), schema=small_model.schema)
    with refused("synthetic table, column `sex`: the table has no such column"):
        small_model.evaluate(small, small.drop(columns="sex"))
    with refused("real table, column `sex`: the table has no such column"):
        evaluate(small.drop(columns="sex"), small, small_model.schema)
    with refused("table, column `nix`: the table has no such column\nhint: correct `patient`"):
        Schema.infer(small, patient="nix")


def test_a_schema_that_is_wrong_is_told_by_line(tmp_path: Path) -> None:
    with refused("schema, line 1: invalid type: integer `3`, expected a string"):
        Schema.from_toml("name = 3")
    with refused("schema, line 2: "):
        Schema('name = "a"\nnonsense')
    (tmp_path / "bad.toml").write_text("\nname = 3")
    with refused(r".*bad\.toml, line 2: invalid type"):
        Schema.load(tmp_path / "bad.toml")
    with refused(r".*none\.toml: cannot read the schema: .*No such file"):
        Schema.load(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with refused(r".*binary\.toml: cannot read the schema"):
        Schema.load(tmp_path / "binary.toml")


def test_a_schema_is_asked_for_where_something_else_comes(small: pd.DataFrame) -> None:
    message = r"`schema` is a (str|NoneType|DataFrame)\nhint: make one with Schema.infer\(table\)"
    for odd in (str(PBC_SCHEMA), None, small):
        with refused(message, TypeError):
            HealthGym(odd)
        with refused(message, TypeError):
            evaluate(small, small, odd)
        with refused(message, TypeError):
            HealthGym.from_torch("generator.pt", small, odd)


def test_a_model_that_is_not_fitted_says_so(small: pd.DataFrame, tmp_path: Path) -> None:
    model = HealthGym(Schema.infer(small))
    acts: list[Callable[[], Any]] = [
        lambda: model.sample(3),
        lambda: model.write(tmp_path / "a.csv", 3),
        lambda: model.evaluate(small, small),
        lambda: model.save(tmp_path / "run"),
        model.state_dict,
        model.history,
        lambda: model.settings,
    ]
    for act in acts:
        with refused("the model is not fitted yet\nhint: call `fit` first$"):
            act()
    assert not list(tmp_path.iterdir())
    assert repr(model) == "<health_gym.HealthGym, not fitted>"
    assert model.schema == Schema.infer(small)


def test_a_fit_that_fails_leaves_the_model_as_it_was(small: pd.DataFrame) -> None:
    model = fit_small(small)
    before = model.sample(5)
    with pytest.raises(BadInputError):
        model.fit(small.drop(columns="sex"), progress=False)
    pd.testing.assert_frame_equal(model.sample(5), before)


@pytest.mark.parametrize(
    ("patients", "kind", "message"),
    [
        (0, BadInputError, "`patients` is 0\nhint: it must be at least 1"),
        (-1, BadInputError, "`patients` is -1\nhint: it must be at least 1"),
        (2**70, BadInputError, f"`patients` is {2**70}\nhint: it must be at most {2**63 - 1}"),
        (1.5, TypeError, "`patients` is 1.5\nhint: it is a whole number"),
        (3.0, TypeError, "`patients` is 3.0\nhint: it is a whole number"),
        (float("nan"), TypeError, "`patients` is nan\nhint: it is a whole number"),
        ("3", TypeError, "`patients` is '3'\nhint: it is a whole number"),
        (True, TypeError, "`patients` is True\nhint: it is a whole number"),
        (None, BadInputError, r"give either `patients` or `like`\nhint: as model.sample\(500\)"),
    ],
)
def test_a_number_of_patients_that_makes_no_sense_is_refused(
    small_model: HealthGym, tmp_path: Path, patients: Any, kind: type[Exception], message: str
) -> None:
    with refused(message, kind):
        small_model.sample(patients)
    with refused(message, kind):
        small_model.write(tmp_path / "a.csv", patients)
    if patients is not None:
        with refused(message, kind):
            simulate_art_for_hiv(patients)
    assert not list(tmp_path.iterdir())


def test_numbers_of_numpy_are_numbers(small_model: HealthGym, small: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(
        small_model.sample(np.int64(3), seed=np.uint8(2)), small_model.sample(3, seed=2)
    )
    settings = {
        "model.hidden": np.int32(8),
        "model.calibration": np.False_,
        "optimiser.beta1": np.float32(0.5),
    }
    model = fit_small(small, settings=settings, seed=np.int64(3), iterations=np.int16(2))
    assert model.settings["model"]["hidden"] == 8
    assert model.settings["model"]["calibration"] is False
    assert model.settings["optimiser"]["beta1"] == 0.5


@pytest.mark.parametrize("patients", [10**12, 2**62])
def test_more_patients_than_memory_holds_is_an_error(patients: int) -> None:
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))\n"
        "sys.path.insert(0, 'python/tests'); from conftest import *\n"
        "try: fit_small(pd.DataFrame(visits())).sample(int(sys.argv[1]))\n"
        "except (HealthGymError, MemoryError) as error: print('refused', error)\n"
    )
    said = python("from health_gym import HealthGymError\n" + code, patients)
    assert said.stdout.startswith("refused"), said.stderr


@pytest.mark.parametrize(
    ("seed", "kind", "message"),
    [
        (-1, BadInputError, "`seed` is -1\nhint: it must be at least 0"),
        (2**64, BadInputError, f"`seed` is {2**64}\nhint: it must be at most {{}}"),
        (1.5, TypeError, "`seed` is 1.5\nhint: it is a whole number"),
        ("1", TypeError, "`seed` is '1'\nhint: it is a whole number"),
    ],
)
def test_a_seed_that_is_none_is_refused(
    small: pd.DataFrame, small_model: HealthGym, seed: Any, kind: type[Exception], message: str
) -> None:
    with refused(message.format(2**63 - 1), kind):
        HealthGym(small_model.schema, seed=seed)
    with refused(message.format(2**64 - 1), kind):
        small_model.sample(3, seed=seed)
    with refused(message.format(2**64 - 1), kind):
        simulate_art_for_hiv(3, seed=seed)


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf"), 1e300])
def test_minutes_that_are_none_are_refused(small: pd.DataFrame, minutes: float) -> None:
    with refused("`minutes` is .*\nhint: it must be "):
        fit_small(small, iterations=None, minutes=minutes)


def test_minutes_and_iterations_exclude_each_other(small: pd.DataFrame, small_model: HealthGym) -> None:
    with refused("`minutes` and `iterations` are both given\nhint: give one of them"):
        HealthGym(small_model.schema, minutes=1, iterations=3)
    model = fit_small(small, iterations=None, minutes=1e-4)
    assert model.settings["iterations"] == len(model.history()) >= 1
    for odd in (0, -1):
        with refused(f"`iterations` is {odd}\nhint: it must be at least 1"):
            HealthGym(small_model.schema, iterations=odd)
    with refused("`iterations` is 1.5\nhint: it is a whole number", TypeError):
        HealthGym(small_model.schema, iterations=1.5)


@pytest.mark.parametrize("share", [1, -0.1, 2, float("nan")])
def test_a_share_held_out_lies_between_none_and_all(small: pd.DataFrame, share: float) -> None:
    with refused(r"`validation.held_out` is .*\nhint: it must be in \[0, 1\)"):
        fit_small(small, held_out=share)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        (
            {"model.hiden": 3},
            BadInputError,
            "settings: there is no setting `model.hiden`\nhint: there are",
        ),
        (
            {"model": {"hiden": 3}},
            BadInputError,
            "settings: there is no setting `model.hiden`\nhint: there are",
        ),
        ({"model.hidden": "a"}, BadInputError, 'settings: `model.hidden = "a"`: invalid type'),
        ({"model.hidden": -1}, BadInputError, "settings: `model.hidden = -1`: invalid value"),
        ({"model.hidden": 0}, BadInputError, "`model.hidden` is 0\nhint: it must be at least 1"),
        ({"model.hidden": None}, TypeError, "the setting `model.hidden` is a number, a text, true or false"),
        (
            {"optimiser.learning_rate": float("nan")},
            BadInputError,
            "`optimiser.learning_rate` is NaN\nhint: ",
        ),
        ({"model.hidden": 2**40}, BadInputError, f"`model.hidden` is {2**40}\nhint: "),
        ({"device": "tpu"}, BadInputError, 'settings: `device = "tpu"`: unknown variant'),
        ("model.hidden=3", TypeError, "`settings` is a str\nhint: as {'model.hidden': 64}"),
        ([("model.hidden", 3)], TypeError, "`settings` is a list\nhint: as {'model.hidden': 64}"),
    ],
)
def test_a_setting_that_is_wrong_is_named(
    small: pd.DataFrame, small_model: HealthGym, settings: Any, kind: type[Exception], message: str
) -> None:
    with refused(message, kind):
        HealthGym(small_model.schema, iterations=1, settings=settings).fit(small, progress=False)


def test_settings_may_be_nested(small: pd.DataFrame) -> None:
    flat = fit_small(small, settings={"model.hidden": 4})
    nested = HealthGym(flat.schema, settings=flat.settings).fit(small, progress=False)
    pd.testing.assert_frame_equal(nested.sample(5), flat.sample(5))
    assert nested.settings == flat.settings


def test_a_preset_is_known_or_refused(small: pd.DataFrame) -> None:
    with refused("there is no preset `nix`\nhint: there are hypotension, sepsis, art-for-hiv, demo"):
        fit_small(small, preset="nix")
    assert fit_small(small, preset="art-for-hiv").settings["batching"]["batch_size"] == 256


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"sex": "x"}, BadInputError, "condition `sex=x`: `sex` has no level `x`\nhint: its levels are f, m"),
        ({"sex": None}, BadInputError, "condition `sex=None`: `sex` has no level"),
        ({"nix": 1}, BadInputError, "condition `nix=1`: there is no column `nix`\nhint: static columns are"),
        ({"pressure": 120}, BadInputError, "condition `pressure=120`: `pressure` changes over a patient's"),
        ("sex", BadInputError, "condition `sex`: it compares nothing\nhint: write `column=level`"),
        ("", BadInputError, "condition ``: it compares nothing"),
        ([3], BadInputError, "condition `3`: it compares nothing"),
        (3, TypeError, "`given` is a int\nhint: as {'sex': 'f'} or "),
        (None, TypeError, "`given` is a NoneType\nhint: as {'sex': 'f'} or "),
    ],
)
def test_a_condition_that_makes_no_sense_is_named(
    small_model: HealthGym, given: Any, kind: type[Exception], message: str
) -> None:
    with refused(message, kind):
        small_model.sample(3, given=given)


@pytest.mark.parametrize(
    ("shares", "kind", "message"),
    [
        (
            {"sex=f": 1.5},
            BadInputError,
            "condition `sex=f:1.5`: `1.5` is no share\nhint: it is a number",
        ),
        ({"sex=f": float("nan")}, BadInputError, "condition `sex=f:nan`: `nan` is no share"),
        ({"sex": 0.5}, BadInputError, "condition `sex`: it compares nothing"),
        ([("sex=f", 0.5)], TypeError, "`shares` is a list\nhint: as {'sex=f': 0.5}"),
        ("sex=f:0.5", TypeError, "`shares` is a str\nhint: as {'sex=f': 0.5}"),
    ],
)
def test_a_share_that_makes_no_sense_is_named(
    small_model: HealthGym, shares: Any, kind: type[Exception], message: str
) -> None:
    with refused(message, kind):
        small_model.sample(3, shares=shares)


def test_a_condition_that_nobody_meets_says_how_many_do(fitted: HealthGym) -> None:
    with refused(r"of \d+ synthetic patients \d+ meet `age>=200`\nhint: ask for fewer"):
        fitted.sample(3, given="age>=200")


def test_conditions_are_met_by_all(fitted: HealthGym) -> None:
    for given in ({"sex": "f"}, "sex=f", ["sex=f"], (part for part in ["sex=f"])):
        assert set(fitted.sample(8, given=given)["sex"]) == {"f"}
    assert (fitted.sample(8, given=["sex=f", "age>=50"])["age"] >= 50).all()
    assert set(fitted.sample(8, given={"trt": np.int64(1)})["trt"]) == {1}


def test_shares_are_met_exactly(fitted: HealthGym) -> None:
    statics = fitted.sample(10, shares={"trt=1": 0.3}).groupby("id").first()
    assert (statics["trt"] == 1).sum() == 3


def test_a_condition_on_a_flag_is_pythons(small: pd.DataFrame) -> None:
    real = small.assign(smoker=small.sex == "f")
    model = fit_small(real)
    common = bool(model.sample(30)["smoker"].mode()[0])
    for flag in (common, np.bool_(common)):
        assert set(model.sample(3, given={"smoker": flag})["smoker"]) == {common}


def test_rows_of_statics_are_met_one_by_one(fitted: HealthGym, pbc: pd.DataFrame) -> None:
    statics = fitted.sample(6).groupby("id").first()[["sex", "trt"]]
    made = fitted.sample(like=statics, seed=2).groupby("id").first()
    assert made["sex"].tolist() == statics["sex"].tolist()
    assert made["trt"].tolist() == statics["trt"].tolist()


@pytest.mark.parametrize(
    ("like", "kind", "message"),
    [
        ({"sex": ["x"]}, BadInputError, "statics, row 1, column `sex`: `x` is not among the levels f, m"),
        ({"nix": [1]}, BadInputError, "statics, column `nix`: there is no column `nix`"),
        ({"sex": []}, BadInputError, "statics: has no rows\nhint: write a row for each patient"),
        ({"pressure": [1.0]}, BadInputError, "statics, column `pressure`: `pressure` changes over"),
    ],
)
def test_statics_that_make_no_sense_are_named(
    small_model: HealthGym, like: Any, kind: type[Exception], message: str
) -> None:
    with refused(message, kind):
        small_model.sample(like=pd.DataFrame(like))


def test_likes_exclude_other_wishes(small_model: HealthGym, small: pd.DataFrame) -> None:
    statics = small[["sex"]][:1]
    with refused("give either `patients` or `like`"):
        small_model.sample(3, like=statics)
    for also in ({"given": "sex=f"}, {"shares": {"sex=f": 0.5}}):
        with refused("`like` says all statics\nhint: leave `given` and `shares` out"):
            small_model.sample(like=statics, **also)
    with refused("`like` is one table of statics"):
        small_model.sample(like={"patients": statics})


def test_a_frame_type_that_is_none_is_refused(small_model: HealthGym) -> None:
    for act in (
        lambda: small_model.sample(3, frame_type="numpy"),
        lambda: small_model.history(frame_type="numpy"),
    ):
        with refused("`frame_type` is 'numpy'\nhint: it is one of pandas, polars, pyarrow"):
            act()
    with refused("`frame_type` is 'numpy'"):
        simulate_art_for_hiv(2, frame_type="numpy")


def test_a_file_that_cannot_be_written_is_named(small_model: HealthGym, tmp_path: Path) -> None:
    with refused(r".*/none/a\.csv: cannot write: No such file", HealthGymError):
        small_model.write(tmp_path / "none" / "a.csv", 3)
    with refused(r".*a\.xlsx: unknown kind of table\nhint: name it \.csv, \.parquet or \.arrow"):
        small_model.write(tmp_path / "a.xlsx", 3)
    with pytest.raises(TypeError, match="NoneType"):
        small_model.write(None, 3)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with refused(r".*run\.toml: cannot be read: No such file.*\nhint: is this a run folder\?"):
        HealthGym.load(tmp_path)
    with refused(r".*run\.toml: cannot be read"):
        HealthGym.load(tmp_path / "none")
    with pytest.raises(TypeError, match="int"):
        HealthGym.load(3)


def test_a_warning_is_of_the_line_that_called(small: pd.DataFrame) -> None:
    twin = small.assign(twin=small.pressure)
    with pytest.warns(HealthGymWarning, match="`pressure` and `twin` are equal in all 150 rows") as warned:
        line = inspect.currentframe().f_lineno + 1
        Schema.infer(twin)
    assert (warned[0].filename, warned[0].lineno) == (__file__, line)

    with pytest.warns(HealthGymWarning, match="`hidden` is now `model.hidden`") as warned:
        line = inspect.currentframe().f_lineno + 1
        HealthGym(Schema.infer(small), iterations=1, settings={"hidden": 4}).fit(small, progress=False)
    assert (warned[0].filename, warned[0].lineno) == (__file__, line)


def test_a_warning_can_be_made_an_error(small: pd.DataFrame) -> None:
    """And the next call is as if nothing had been."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(HealthGymWarning, match="are equal in all"):
            Schema.infer(small.assign(twin=small.pressure))
        Schema.infer(small)


def test_nothing_is_written_to_the_terminal(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, 'python/tests'); from conftest import *\n"
        "small = pd.DataFrame(visits()); model = fit_small(small)\n"
        "model.evaluate(small, model.sample(60)); model.save(sys.argv[1])\n"
        "try: model.sample(3, given='nix=1')\n"
        "except ValueError: pass\n"
    )
    said = python(code, tmp_path / "run")
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_training_that_diverges_is_an_error_of_the_package(small: pd.DataFrame) -> None:
    settings = {"optimiser.learning_rate": 1e30, "checkpoints.restarts": 0}
    with pytest.raises(HealthGymError, match="diverged") as raised:
        fit_small(small, iterations=50, settings=settings)
    assert not isinstance(raised.value, BadInputError)


def test_the_names_of_the_package_are_documented() -> None:
    for name in health_gym.__all__:
        if name != "__version__":
            assert inspect.getdoc(getattr(health_gym, name)), name
    for made in (HealthGym, Schema, Report):
        for name, member in inspect.getmembers(made, inspect.isfunction):
            assert name.startswith("_") or inspect.getdoc(member), f"{made.__name__}.{name}"
