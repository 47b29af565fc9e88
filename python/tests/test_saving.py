"""Models are saved, loaded, pickled and copied, and stay the same."""

import copy
import multiprocessing
import pickle
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from conftest import PBC, fit_small, visits

from health_gym import BadInputError, HealthGym, Schema


def sampled(model: HealthGym, seed: int) -> pd.DataFrame:
    """In another process."""
    return model.sample(5, seed=seed)


def fitted_there(model: HealthGym) -> HealthGym:
    """In another process."""
    return model.fit(pd.DataFrame(visits()), progress=False)


def test_a_pickled_model_is_the_same(small: pd.DataFrame) -> None:
    real = small.astype({"treated": "Int8", "stage": "category"}).set_index("patient")
    model = fit_small(real)
    again = pickle.loads(pickle.dumps(model))
    pd.testing.assert_frame_equal(again.sample(9), model.sample(9))
    pd.testing.assert_frame_equal(again.history(), model.history())
    assert again.settings == model.settings
    assert again.schema == model.schema
    assert (
        model.evaluate(real, again.sample(60)).to_dict() == again.evaluate(real, again.sample(60)).to_dict()
    )
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert repr(pickle.loads(pickle.dumps(model, protocol))) == repr(model)


def test_a_pickled_model_can_be_fitted_again(small: pd.DataFrame) -> None:
    """Of one that was fitted and of one that was not."""
    for model in (fit_small(small), HealthGym(Schema.infer(small), iterations=1, seed=3)):
        again = pickle.loads(pickle.dumps(model)).fit(small, progress=False)
        pd.testing.assert_frame_equal(again.sample(5), model.fit(small, progress=False).sample(5))


def test_pickling_leaves_the_model_as_it_was(small: pd.DataFrame) -> None:
    model = fit_small(small)
    before = model.sample(5)
    pickle.dumps(model)
    pd.testing.assert_frame_equal(model.sample(5), before)


def test_a_copy_is_the_same_and_apart(small: pd.DataFrame) -> None:
    for copied in (copy.copy, copy.deepcopy):
        model = fit_small(small)
        again = copied(model)
        expected = model.sample(5)
        model.fit(small.assign(pressure=small.pressure + 50), progress=False)
        pd.testing.assert_frame_equal(again.sample(5), expected)
        assert not model.sample(5).equals(expected)


def test_a_schema_is_pickled_and_copied() -> None:
    schema = Schema.infer(PBC)
    for again in (pickle.loads(pickle.dumps(schema)), copy.deepcopy(schema), copy.copy(schema)):
        assert again == schema
        assert again.to_toml() == schema.to_toml()
        assert again.remarks == schema.remarks != ()


def test_models_go_to_other_processes(small_model: HealthGym, small: pd.DataFrame) -> None:
    """And come back."""
    unfitted = HealthGym(Schema.infer(small), iterations=1, settings=small_model.settings)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        made = pool.starmap(sampled, [(small_model, seed) for seed in range(3)])
        fitted = pool.apply(fitted_there, (unfitted,))
    for seed, table in enumerate(made):
        pd.testing.assert_frame_equal(table, small_model.sample(5, seed=seed))
    pd.testing.assert_frame_equal(fitted.sample(5), small_model.sample(5))


def test_a_saved_model_is_loaded_as_the_same(fitted: HealthGym, tmp_path: Path) -> None:
    fitted.save(tmp_path / "run")
    loaded = HealthGym.load(str(tmp_path / "run"))
    assert loaded.settings == fitted.settings
    assert loaded.schema == fitted.schema
    assert repr(loaded) == repr(fitted) == "<health_gym.HealthGym, fitted in 3 iterations>"
    theirs, ours = loaded.state_dict(), fitted.state_dict()
    assert all((theirs[name] == ours[name]).all() for name in ours)
    pd.testing.assert_frame_equal(loaded.sample(20), fitted.sample(20), check_dtype=False)
    loaded.save(tmp_path / "again")
    first, second = ((tmp_path / name / "run.toml").read_bytes() for name in ("run", "again"))
    assert first == second


def test_a_loaded_model_keeps_the_types_of_columns(small: pd.DataFrame, tmp_path: Path) -> None:
    """What pandas alone knows, nullable integers, is lost: the run is of any library."""
    real = small.astype({"treated": "int8", "pressure": "float32", "stage": "category", "month": "uint16"})
    fit_small(real).save(tmp_path / "run")
    synthetic = HealthGym.load(tmp_path / "run").sample(5)
    assert {name: str(kind) for name, kind in synthetic.dtypes.items()} == {
        name: str(kind) for name, kind in real.dtypes.items()
    }
    polars = pl.from_pandas(real)
    assert HealthGym.load(tmp_path / "run").sample(5, frame_type="polars").schema == polars.schema


def test_a_loaded_model_can_be_fitted_again(small: pd.DataFrame, tmp_path: Path) -> None:
    model = fit_small(small)
    model.save(tmp_path / "run")
    again = HealthGym.load(tmp_path / "run").fit(small, progress=False)
    pd.testing.assert_frame_equal(again.sample(5), model.sample(5))


def test_a_folder_that_is_there_is_left_alone(small_model: HealthGym, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(BadInputError, match=r"run: already exists\nhint: choose another folder"):
        small_model.save(tmp_path / "run")
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_no_temporary_files_stay(
    small_model: HealthGym, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    pickle.loads(pickle.dumps(small_model)).sample(3)
    small_model.state_dict()
    Schema.infer({"patients": small_model.sample(9), "others": small_model.sample(8)})
    assert not list(tmp_path.iterdir())


def test_a_model_fitted_twice_is_of_the_second_table(small: pd.DataFrame) -> None:
    other = pl.from_pandas(small.assign(pressure=small.pressure + 1000))
    model = fit_small(small)
    assert model.fit(other, progress=False) is model
    synthetic = model.sample(5)
    assert isinstance(synthetic, pl.DataFrame)
    assert synthetic["pressure"].min() > 1000


def test_a_schema_is_saved_with_its_comments(tmp_path: Path) -> None:
    schema = Schema.infer(PBC)
    schema.save(tmp_path / "pbc.toml")
    again = Schema.load(tmp_path / "pbc.toml")
    assert again.to_toml() == schema.to_toml() == (tmp_path / "pbc.toml").read_text(encoding="utf-8")
    assert again == schema == Schema.from_toml(schema.to_toml()) == Schema(schema.to_toml())
    assert "# " in schema.to_toml()
    assert again.remarks == ()


def test_schemas_differ_where_what_they_say_differs() -> None:
    schema = Schema.infer(PBC)
    other = Schema(schema.to_toml().replace('unit = "days"', 'unit = "weeks"', 1))
    assert schema != other
    assert schema != schema.to_toml()
    assert Schema(schema.to_toml() + "\n# a comment") == schema
    with pytest.raises(TypeError, match="unhashable"):
        hash(schema)


def test_a_schema_shows_its_columns(fitted: HealthGym) -> None:
    schema = fitted.schema
    assert schema.columns[:2] == ["futime", "status"]
    assert "id" not in schema.columns
    assert schema.to_dict()["patient"]["column"] == "id"
    assert repr(schema) == "<health_gym.Schema of 17 columns; print(schema.to_toml()) shows it>"
