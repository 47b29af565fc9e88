"""What is a table, what is none, and what comes back."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import ROOT, fit_small, visits

from health_gym import BadInputError, HealthGym, Schema


def test_a_named_index_is_columns_and_comes_back_as_an_index(small: pd.DataFrame) -> None:
    for names in (["patient"], ["patient", "month"]):
        real = small.set_index(names)
        synthetic = fit_small(real).sample(4)
        assert synthetic.index.names == names
        assert synthetic.index.nlevels == len(names)
        pd.testing.assert_series_equal(synthetic.dtypes, real.dtypes)
        assert synthetic.index.get_level_values("patient").dtype == small.patient.dtype
    both = fit_small(small).sample(4).set_index(["patient", "month"])
    pd.testing.assert_frame_equal(synthetic, both)


@pytest.mark.parametrize(
    "index",
    [range(1000, 1150), [f"row {n}" for n in range(150)], [0] * 150],
    ids=["numbers", "texts", "equal"],
)
def test_an_index_without_a_name_is_none(small: pd.DataFrame, index: Any) -> None:
    expected = fit_small(small).sample(4)
    pd.testing.assert_frame_equal(fit_small(small.set_axis(index)).sample(4), expected)


def test_columns_named_by_numbers_keep_their_names(small: pd.DataFrame) -> None:
    real = small.set_axis(range(6), axis=1)
    schema = Schema.infer(real, patient=0, time=1)
    assert list(fit_small(real, schema=schema).sample(3).columns) == list(range(6))


def test_columns_of_two_levels_keep_their_names(small: pd.DataFrame) -> None:
    real = pd.concat({"visit": small}, axis=1)
    assert list(fit_small(real).sample(3).columns) == list(real.columns)


def test_a_subclass_of_a_frame_is_one(small: pd.DataFrame) -> None:
    class Cohort(pd.DataFrame):
        pass

    real = small.convert_dtypes().set_index("patient")
    pd.testing.assert_frame_equal(fit_small(Cohort(real)).sample(3), fit_small(real).sample(3))


def test_columns_with_one_name_are_refused(small: pd.DataFrame) -> None:
    message = r"^table, column `a`: two columns have this name\nhint: "
    with pytest.raises(BadInputError, match=message):
        Schema.infer(small.set_axis(["patient", "month", "a", "a", "b", "c"], axis=1))
    with pytest.raises(BadInputError, match="column `3`"):
        Schema.infer(small.set_axis(["patient", "month", 3, "3", "b", "c"], axis=1))


def test_a_column_of_mixed_objects_is_named(small: pd.DataFrame) -> None:
    with pytest.raises(BadInputError, match=r"(?s)^table: .*column stage.*\nhint: give each column one type"):
        Schema.infer(small.assign(stage=[1, "a", 2.5] * 50))
    numbers = small.assign(pressure=pd.Series([1, 2.5, None] * 50, dtype=object))
    assert fit_small(numbers).sample(3)["pressure"].dtype == object
    for odd in (pd.arrays.SparseArray([0, 1, 0] * 50), np.arange(150) * 1j):
        with pytest.raises(BadInputError, match=r"(?s)column.* odd.*\nhint: "):
            Schema.infer(small.assign(odd=odd))


def test_what_is_not_finite_is_named_by_its_row(small: pd.DataFrame, small_model: HealthGym) -> None:
    small.loc[[7, 9], "pressure"] = [np.inf, -np.inf]
    with pytest.raises(BadInputError) as raised:
        fit_small(small, schema=small_model.schema)
    for place, value in (("row 8", "inf"), ("row 10", "-inf")):
        assert f"table, {place}, column `pressure`: `{value}` is not finite\nhint: " in str(raised.value)


def test_nan_is_a_missing_cell(small: pd.DataFrame, small_model: HealthGym) -> None:
    small.loc[3::2, "pressure"] = np.nan
    as_nan = fit_small(small).sample(9)
    as_null = fit_small(small.convert_dtypes()).sample(9)
    pd.testing.assert_series_equal(as_nan.pressure, as_null.pressure.astype(float))
    nan = pl.DataFrame(visits()).with_columns(pl.Series("pressure", small.pressure.to_numpy()))
    assert fit_small(nan).sample(9)["patient"].len() == 45


@pytest.mark.parametrize("rows", [1, 5])
def test_one_patient_is_a_cohort(small: pd.DataFrame, rows: int) -> None:
    assert len(fit_small(small[:rows]).sample(3)) == 3 * rows


@pytest.mark.parametrize("library", [lambda frame: frame, pl.from_pandas, pa.Table.from_pandas])
def test_a_table_without_rows_is_refused(small: pd.DataFrame, small_model: HealthGym, library: Any) -> None:
    with pytest.raises(BadInputError, match=r"^table: .*no rows"):
        fit_small(library(small[:0]), schema=small_model.schema)


def test_a_table_without_rows_or_columns_has_no_schema(small: pd.DataFrame) -> None:
    for empty in (small[:0], pd.DataFrame(), pl.DataFrame(), pa.table({})):
        message = r"(?s)^table: no column looks like the (time|patient).*`(time|patient)`"
        with pytest.raises(BadInputError, match=message):
            Schema.infer(empty)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (pd.Series([1]), r"a Series is no table\nhint: make it one, as `series.to_frame\(\)`"),
        (pl.Series([1]), r"a Series is no table\nhint: make it one, as `series.to_frame\(\)`"),
        (pl.LazyFrame({"a": [1]}), r"a LazyFrame is no table\nhint: collect it, as `frame.collect\(\)`"),
        (None, r"a NoneType is no table\nhint: give a pandas, polars or pyarrow table, or the path"),
        (np.zeros((2, 2)), "a ndarray is no table\nhint: give"),
        ([{"a": 1}], "a list is no table\nhint: give"),
        (3, "a int is no table\nhint: give"),
        (b"a.csv", "a bytes is no table\nhint: give"),
        ({"a": [1, 2]}, "a list is no table\nhint: give"),
        (pa.array([1]), "a Int64Array is no table\nhint: give"),
    ],
    ids=lambda what: type(what).__module__.partition(".")[0] + type(what).__name__,
)
def test_what_is_no_table_is_refused_at_every_door(
    small: pd.DataFrame, small_model: HealthGym, what: Any, message: str
) -> None:
    schema = small_model.schema
    doors = [
        lambda: Schema.infer(what),
        lambda: HealthGym(schema).fit(what),
        lambda: small_model.evaluate(small, what),
        lambda: small_model.evaluate(what, small),
    ]
    if what is not None:
        doors.append(lambda: small_model.sample(like=what))
    for door in doors:
        with pytest.raises(TypeError, match=f"^{message}"):
            door()


def tables() -> dict[str, pd.DataFrame]:
    """Patients, long laboratory values and events."""
    random = np.random.default_rng(5)
    patients = pd.DataFrame(
        {
            "id": np.arange(40, dtype="int32"),
            "sex": pd.Categorical(random.choice(["f", "m"], 40)),
            "age": random.integers(30, 80, 40).astype("uint8"),
        }
    )
    labs = pd.DataFrame(
        {
            "id": np.repeat(np.arange(40, dtype="int32"), 8),
            "day": np.tile(np.repeat(np.arange(4), 2), 40) * 7,
            "test": ["glucose", "sodium"] * 160,
            "value": random.normal(100, 9, 320).round(1),
        }
    )
    return {"patients": patients, "labs": labs}


def test_several_tables_come_back_as_such_a_dict() -> None:
    real = tables()
    synthetic = fit_small(real).sample(9)
    assert list(synthetic) == list(real)
    for name, table in real.items():
        pd.testing.assert_series_equal(synthetic[name].dtypes, table.dtypes)
    assert set(synthetic["labs"].id) <= set(synthetic["patients"].id)
    assert synthetic["patients"].id.nunique() == 9

    made = fit_small({name: pl.from_pandas(table) for name, table in real.items()}).sample(9)
    assert all(isinstance(table, pl.DataFrame) for table in made.values())
    arrow = fit_small({name: pa.Table.from_pandas(table) for name, table in real.items()}).sample(9)
    assert arrow["labs"].schema == pa.Table.from_pandas(real["labs"]).schema


def test_tables_of_two_libraries_can_be_mixed() -> None:
    real = tables()
    mixed = real | {"labs": pl.from_pandas(real["labs"])}
    schema = Schema.infer(real)
    expected = fit_small(real, schema=schema).sample(5)
    synthetic = fit_small(mixed, schema=schema).sample(5)
    pd.testing.assert_frame_equal(synthetic["patients"], expected["patients"])
    pd.testing.assert_frame_equal(synthetic["labs"], expected["labs"], check_dtype=False)


def test_tables_called_by_numbers_keep_their_names() -> None:
    real = {2: tables()["patients"], 1: tables()["labs"].set_index("id")}
    synthetic = fit_small(real).sample(3)
    assert list(synthetic) == [2, 1]
    assert synthetic[1].index.names == ["id"]


def test_one_table_and_several_are_told_apart(small: pd.DataFrame, small_model: HealthGym) -> None:
    several = fit_small(tables())
    assert several.schema.tables == ["labs", "patients"]
    assert small_model.schema.tables == []
    with pytest.raises(BadInputError, match=r"several tables, labs, patients\nhint: give a dict"):
        several.evaluate(small, small)
    with pytest.raises(BadInputError, match="the schema has one table, and several came"):
        fit_small(tables(), schema=small_model.schema)
    with pytest.raises(BadInputError, match="labs"):
        fit_small({"patients": tables()["patients"]}, schema=several.schema)


def test_a_dict_of_one_table_is_taken_by_fit_as_by_infer(small: pd.DataFrame) -> None:
    synthetic = fit_small({"visits": small}).sample(3)
    assert list(synthetic) == ["visits"]


def test_several_tables_are_evaluated(tmp_path: Path) -> None:
    real = tables()
    model = fit_small(real)
    patients = model.evaluate(real, model.sample(60)).to_dict()["patients"]
    assert patients == {"real": 40, "held_out": None, "synthetic": 60}


def test_a_parquet_file_is_the_same_cohort_as_its_frame(small: pd.DataFrame, tmp_path: Path) -> None:
    small = small.astype({"treated": "int8", "stage": "category"})
    file = tmp_path / "visits.parquet"
    small.to_parquet(file)
    schema = Schema.infer(small)
    assert Schema.infer(file).columns == schema.columns
    expected = fit_small(small, schema=schema).sample(5)
    of_file = fit_small(str(file), schema=schema).sample(5)
    pd.testing.assert_frame_equal(of_file.astype(small.dtypes), expected)
    fit_small(file, schema=schema).write(tmp_path / "made.parquet", 5)
    made = pd.read_parquet(tmp_path / "made.parquet").astype({"stage": small.stage.dtype})
    pd.testing.assert_series_equal(made.dtypes, small.dtypes)


def test_a_folder_of_tables_is_the_same_cohort_as_their_dict(tmp_path: Path) -> None:
    real = tables()
    folder = tmp_path / "set"
    folder.mkdir()
    for name, table in real.items():
        table.to_parquet(folder / f"{name}.parquet")
    schema = Schema.infer(real)
    assert sorted(Schema.infer(folder).tables) == sorted(schema.tables)
    expected = fit_small(real, schema=schema).sample(5)
    model = fit_small(folder, schema=schema)
    synthetic = model.sample(5)
    assert isinstance(synthetic, dict)
    for name, table in expected.items():
        pd.testing.assert_frame_equal(synthetic[name].astype(table.dtypes), table)
    model.save(tmp_path / "run")
    assert sorted(HealthGym.load(tmp_path / "run").sample(5)) == sorted(real)
    model.write(tmp_path / "made", 5)
    assert sorted(file.stem for file in (tmp_path / "made").iterdir()) == sorted(real)


def test_a_pattern_of_files_is_their_rows_together(small: pd.DataFrame, tmp_path: Path) -> None:
    small[:75].to_csv(tmp_path / "part-1.csv", index=False)
    small[75:].to_csv(tmp_path / "part-2.csv", index=False)
    schema = Schema.infer(small)
    model = fit_small(tmp_path / "part-*.csv", schema=schema)
    pd.testing.assert_frame_equal(
        model.sample(5), fit_small(small, schema=schema).sample(5), check_dtype=False
    )


def test_a_path_that_is_none_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", str(tmp_path / "none.csv")):
        with pytest.raises(BadInputError, match=r"none\.csv: cannot open the table: No such file"):
            Schema.infer(path)
    with pytest.raises(BadInputError, match=r"holds no table\nhint: \.csv, \.parquet and \.arrow are tables"):
        Schema.infer(tmp_path)
    shutil.copy(ROOT / "README.md", tmp_path / "table.parquet")
    with pytest.raises(BadInputError, match=r"table\.parquet"):
        Schema.infer(tmp_path / "table.parquet")


def test_the_real_table_is_left_as_it_is(small: pd.DataFrame) -> None:
    before = small.copy(deep=True)
    model = fit_small(small)
    model.evaluate(small, model.sample(60))
    pd.testing.assert_frame_equal(small, before)


def test_the_sample_is_the_callers_own(small_model: HealthGym) -> None:
    """It can be written to, and lives longer than its model."""
    for library in ("pandas", "polars", "pyarrow"):
        model = fit_small(pd.DataFrame(visits()))
        frame = model.sample(4, frame_type=library)
        del model
        assert len(frame) == 20
    made = small_model.sample(4)
    made.loc[0, "pressure"] = -1.0
    made["more"] = 1
    assert small_model.sample(4).loc[0, "pressure"] != -1.0
