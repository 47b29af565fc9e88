"""Tables come back with the types they came with."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import fit_small, python, visits

from health_gym import BadInputError, HealthGym, HealthGymError, Schema
from health_gym._frames import _pandas_column

ROWS = 150
RANDOM = np.random.default_rng(1)
NUMBERS = RANDOM.integers(0, 100, ROWS)
TEXTS = RANDOM.choice(["a", "b", "c"], ROWS)
FLAGS = RANDOM.integers(0, 2, ROWS).astype(bool)
DAYS = np.datetime64("2020-01-01") + RANDOM.integers(0, 1000, ROWS)
HOURS = pd.to_timedelta(RANDOM.integers(0, 1000, ROWS), unit="h").to_numpy()
GAPS = RANDOM.random(ROWS) < 0.3

PANDAS_NUMBERS = [
    *(
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "float32",
        "float64",
    ),
    *("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64"),
    *("int8[pyarrow]", "uint16[pyarrow]", "int64[pyarrow]", "float[pyarrow]", "double[pyarrow]"),
]
PANDAS_TEXTS = [
    *("object", "str", "string", "string[python]", "string[pyarrow]", "category"),
    pd.CategoricalDtype(["c", "b", "a", "never"], ordered=True),
    pd.ArrowDtype(pa.large_string()),
    pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string())),
]
PANDAS_TIMES = [
    *(f"datetime64[{unit}]" for unit in ("s", "ms", "us", "ns")),
    *(
        f"datetime64[{unit}, {zone}]"
        for unit in ("s", "ns")
        for zone in ("UTC", "Europe/Berlin", "UTC+05:30")
    ),
    *(pd.ArrowDtype(kind) for kind in (pa.timestamp("ms", "UTC"), pa.date32(), pa.date64())),
]


def pandas_columns() -> dict[str, pd.Series]:
    """A column of each type that pandas has, and one with gaps where it has them."""
    times = pd.Series(DAYS).dt.tz_localize("UTC")
    columns = {str(kind): pd.Series(NUMBERS).astype(kind) for kind in PANDAS_NUMBERS}
    columns |= {f"text {kind!r}": pd.Series(TEXTS).astype(kind) for kind in PANDAS_TEXTS}
    columns |= {
        f"flag {kind}": pd.Series(FLAGS).astype(kind) for kind in ("bool", "boolean", "bool[pyarrow]")
    }
    for kind in PANDAS_TIMES:
        has_zone = "," in str(kind) or "tz" in str(kind)
        columns[str(kind)] = (times if has_zone else times.dt.tz_localize(None)).astype(kind)
    for unit in ("s", "ms", "us", "ns"):
        columns[f"timedelta {unit}"] = pd.Series(HOURS).astype(f"timedelta64[{unit}]")
    columns["duration"] = columns["timedelta s"].astype(pd.ArrowDtype(pa.duration("s")))
    columns["decimal objects"] = pd.Series([Decimal(int(number)) / 100 for number in NUMBERS])
    columns["decimal128"] = columns["decimal objects"].astype(pd.ArrowDtype(pa.decimal128(9, 2)))
    columns["date objects"] = pd.Series(DAYS.astype("datetime64[D]").astype(object))
    columns["bool objects"] = pd.Series(FLAGS).astype(object)
    columns["category of numbers"] = pd.Series(NUMBERS % 3).astype("category")
    columns["category of halves"] = pd.Series(NUMBERS % 3 / 2).astype("category")
    columns["category of flags"] = pd.Series(FLAGS).astype("category")
    columns["leading zeros"] = pd.Series([f"{number % 5:03d}" for number in NUMBERS])
    columns["one level"] = pd.Series(["x"] * ROWS)
    columns["nothing"] = pd.Series([None] * ROWS)
    with_gaps = {
        f"{name}, gaps": column.mask(GAPS)
        for name, column in columns.items()
        if column.mask(GAPS).dtype == column.dtype
    }
    return columns | with_gaps


PANDAS = pandas_columns()
KEYS = pd.DataFrame(visits())[["patient", "month", "pressure"]]


@pytest.mark.parametrize("name", PANDAS)
def test_a_pandas_column_keeps_its_type(name: str) -> None:
    real = KEYS.assign(value=PANDAS[name].reset_index(drop=True))
    synthetic = fit_small(real).sample(20)
    pd.testing.assert_series_equal(synthetic.dtypes, real.dtypes)
    kinds = {type(value) for value in synthetic["value"].dropna()}
    assert kinds <= {type(value) for value in real["value"].dropna()}


@pytest.mark.filterwarnings("ignore::health_gym.HealthGymWarning")
def test_a_pandas_frame_of_all_types_keeps_columns_and_order() -> None:
    real = KEYS.assign(**{name: column.reset_index(drop=True) for name, column in PANDAS.items()})
    synthetic = fit_small(real).sample(7)
    pd.testing.assert_series_equal(synthetic.dtypes, real.dtypes)
    assert len(synthetic) == 35


def test_texts_with_leading_zeros_stay_texts() -> None:
    real = KEYS.assign(value=PANDAS["leading zeros"])
    assert set(fit_small(real).sample(20)["value"]) <= {"000", "001", "002", "003", "004"}


def test_an_ordered_category_keeps_all_its_levels() -> None:
    kind = pd.CategoricalDtype(["c", "b", "a", "never"], ordered=True)
    made = fit_small(KEYS.assign(value=pd.Series(TEXTS).astype(kind))).sample(20)["value"]
    assert list(made.cat.categories) == ["c", "b", "a", "never"]
    assert made.notna().all()
    assert made.max() in {"a", "b", "c"}


def test_missing_cells_come_back_missing() -> None:
    """In each library's way."""
    real = KEYS.assign(value=pd.Series(["x", None, None, None, None] * 30))
    assert fit_small(real).sample(20)["value"].isna().any()
    assert fit_small(pl.from_pandas(real)).sample(20)["value"].null_count() > 0
    assert fit_small(pa.Table.from_pandas(real)).sample(20)["value"].null_count > 0


POLARS = {
    str(kind): pl.Series(NUMBERS).cast(kind)
    for kind in (
        *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64),
        *(pl.Float32, pl.Float64, pl.Decimal(9, 2), pl.Decimal(38, 0)),
    )
}
POLARS |= {
    str(kind): pl.Series(TEXTS).cast(kind)
    for kind in (pl.String, pl.Categorical, pl.Enum(["c", "b", "a", "never"]))
}
POLARS |= {
    "Boolean": pl.Series(FLAGS),
    "Date": pl.Series(DAYS).cast(pl.Date),
    "Null": pl.Series([None] * ROWS),
}
for _unit in ("ms", "us", "ns"):
    POLARS[f"Duration {_unit}"] = pl.Series(HOURS).cast(pl.Duration(_unit))
    POLARS[f"Datetime {_unit}"] = pl.Series(DAYS).cast(pl.Datetime(_unit))
    for _zone in ("UTC", "Europe/Berlin"):
        _times = pl.Series(DAYS).cast(pl.Datetime(_unit)).dt.replace_time_zone(_zone)
        POLARS[f"Datetime {_unit} {_zone}"] = _times
POLARS |= {
    f"{name}, gaps": pl.DataFrame({"v": column, "gap": GAPS}).select(pl.when(~pl.col("gap")).then("v"))["v"]
    for name, column in POLARS.items()
}


@pytest.mark.parametrize("name", POLARS)
def test_a_polars_column_keeps_its_type(name: str) -> None:
    real = pl.from_pandas(KEYS).with_columns(POLARS[name].alias("value"))
    synthetic = fit_small(real).sample(20)
    assert isinstance(synthetic, pl.DataFrame)
    assert synthetic.schema == real.schema


PYARROW_TYPES = [
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.float16(), pa.float32(), pa.float64(), pa.decimal128(25, 2)),
]
PYARROW = {str(kind): pa.array(NUMBERS).cast(kind) for kind in PYARROW_TYPES}
PYARROW |= {
    str(kind): pa.array(TEXTS.tolist(), kind)
    for kind in (
        *(pa.string(), pa.large_string(), pa.string_view()),
        *(pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.large_string())),
        pa.dictionary(pa.uint32(), pa.string(), ordered=True),
    )
}
PYARROW |= {
    str(kind): pa.array(DAYS.astype("datetime64[s]")).cast(kind)
    for kind in (
        *(pa.date32(), pa.date64(), *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns"))),
        *(pa.timestamp(unit, zone) for unit in ("s", "ns") for zone in ("UTC", "Europe/Berlin", "+02:00")),
    )
}
PYARROW |= {
    f"duration {unit}": pa.array(HOURS.astype(f"timedelta64[{unit}]")) for unit in ("s", "ms", "us", "ns")
}
PYARROW |= {
    "bool": pa.array(FLAGS),
    "null": pa.nulls(ROWS),
    "dictionary of numbers": pa.array(NUMBERS % 3).dictionary_encode(),
}


@pytest.mark.parametrize("name", PYARROW)
def test_a_pyarrow_column_keeps_its_type(name: str) -> None:
    real = pa.Table.from_pandas(KEYS, preserve_index=False).append_column("value", PYARROW[name])
    synthetic = fit_small(real).sample(20)
    assert isinstance(synthetic, pa.Table)
    assert synthetic.schema == real.schema


def test_a_column_that_cannot_be_missing_stays_so() -> None:
    """Of pyarrow."""
    real = pa.Table.from_pandas(KEYS, preserve_index=False)
    real = real.cast(pa.schema([field.with_nullable(False) for field in real.schema]))
    assert fit_small(real).sample(3).schema == real.schema


def test_chunks_of_different_lengths_are_the_same_table() -> None:
    whole = pa.Table.from_pandas(KEYS, preserve_index=False)
    parts = {
        name: pa.chunked_array([whole[name][:cut].combine_chunks(), whole[name][cut:].combine_chunks()])
        for name, cut in zip(whole.column_names, (10, 70, 149), strict=True)
    }
    schema = Schema.infer(whole)
    expected = fit_small(whole, schema=schema).sample(5)
    assert fit_small(pa.table(parts), schema=schema).sample(5) == expected
    batch = whole.combine_chunks().to_batches()[0]
    assert fit_small(batch, schema=schema).sample(5) == expected
    assert fit_small(whole.to_reader(), schema=schema).sample(5) == expected
    assert fit_small(whole.slice(5, 100), schema=schema).sample(2).num_rows > 0


def test_a_slice_is_the_rows_that_it_shows() -> None:
    """Arrow's offsets, also within bytes of flags and gaps."""
    real = KEYS.assign(flag=FLAGS, text=TEXTS, gaps=pd.Series(NUMBERS).astype("Int64").mask(GAPS))
    schema = Schema.infer(real)
    cut = real.iloc[35:].reset_index(drop=True)
    expected = fit_small(pa.Table.from_pandas(cut), schema=schema).sample(9)
    assert fit_small(pa.Table.from_pandas(real).slice(35), schema=schema).sample(9) == expected
    polars = fit_small(pl.from_pandas(real)[35:], schema=schema).sample(9)
    assert polars.equals(fit_small(pl.from_pandas(cut), schema=schema).sample(9))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([Decimal(1)] * ROWS, pa.decimal256(50, 2)),
        pa.array(pd.Series(DAYS).dt.to_period("M")),
        pa.array(pd.cut(NUMBERS, 3)),
        pa.array([(1, 2, 3)] * ROWS, pa.month_day_nano_interval()),
        pa.RunEndEncodedArray.from_arrays(pa.array([ROWS], pa.int32()), pa.array([1])),
    ],
    ids=lambda column: str(column.type),
)
def test_a_type_that_cannot_be_read_is_named_with_its_column(column: Any) -> None:
    real = pa.Table.from_pandas(KEYS).append_column("odd", column)
    with pytest.raises(BadInputError, match=r"^table, column `odd`: .* cannot be read\nhint: leave it out"):
        Schema.infer(real)
    with pytest.raises(BadInputError, match="\nhint: "):
        Schema.infer(Stream(real))


class Stream:
    """A table of a library that nobody knows."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def test_any_arrow_stream_is_a_table() -> None:
    table = pa.Table.from_pandas(KEYS)
    synthetic = fit_small(Stream(table)).sample(5, frame_type="pyarrow")
    assert synthetic == fit_small(table).sample(5)


def test_a_stream_may_require_to_be_told_a_schema() -> None:
    class OldStream(Stream):
        def __arrow_c_stream__(self, requested_schema: object) -> object:
            return super().__arrow_c_stream__(requested_schema)

    assert Schema.infer(OldStream(pa.Table.from_pandas(KEYS))).columns == ["pressure"]


def test_a_stream_that_breaks_off_is_an_error() -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pandas(KEYS)
        raise OSError("the disk is gone")

    schema = pa.RecordBatch.from_pandas(KEYS).schema
    with pytest.raises(HealthGymError, match="the disk is gone"):
        Schema.infer(pa.RecordBatchReader.from_batches(schema, batches()))


@pytest.mark.parametrize(
    "values",
    [[dt.time(3)] * ROWS, [b"x"] * ROWS, [[1]] * ROWS, [{"a": 1}] * ROWS],
    ids=["time", "bytes", "list", "dict"],
)
def test_columns_that_are_no_values_are_left_out_and_remarked(values: list[Any]) -> None:
    schema = Schema.infer(KEYS.assign(odd=values))
    assert any("left out" in remark and "`odd`" in remark for remark in schema.remarks)
    assert "odd" not in schema.columns


def test_the_ids_of_synthetic_patients_have_the_real_ones_type() -> None:
    """Texts stay texts, and numbers of eight bits stay so."""
    for ids in (
        KEYS.patient.astype(str).str.zfill(5),
        KEYS.patient.astype("uint8"),
        KEYS.patient.astype("category"),
    ):
        real = KEYS.assign(patient=ids)
        made = fit_small(real).sample(3)["patient"]
        assert made.nunique() == 3
        if ids.dtype != "category":
            assert made.dtype == ids.dtype


def test_times_that_are_dates_come_back_as_dates() -> None:
    months = pd.to_datetime("2020-01-01") + pd.to_timedelta(30 * KEYS.month + KEYS.patient, unit="D")
    for kind in ("datetime64[s]", "datetime64[ns]", "datetime64[us, UTC]"):
        times = months.dt.tz_localize("UTC") if "UTC" in kind else months
        real = KEYS.assign(month=times.astype(kind))
        synthetic = fit_small(real).sample(5)
        pd.testing.assert_series_equal(synthetic.dtypes, real.dtypes)
        assert synthetic.groupby("patient").month.is_monotonic_increasing.all()


def test_a_frame_type_that_is_asked_for_is_given(small_model: HealthGym) -> None:
    assert isinstance(small_model.sample(2, frame_type="polars"), pl.DataFrame)
    assert isinstance(small_model.sample(2, frame_type="pyarrow"), pa.Table)
    assert isinstance(small_model.sample(2, frame_type="pandas"), pd.DataFrame)
    assert isinstance(small_model.history(frame_type="polars"), pl.DataFrame)
    same = small_model.sample(2, frame_type="polars").to_pandas()
    pd.testing.assert_frame_equal(same, small_model.sample(2), check_dtype=False)


def test_large_whole_numbers_beside_gaps_stay_exact() -> None:
    """They would not as floats."""
    column = pa.chunked_array([[2**60 + 1, None]])
    given = _pandas_column(column, pd.Int64Dtype())
    pd.testing.assert_series_equal(given, pd.Series([2**60 + 1, None], dtype="Int64"))


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_one_library_is_enough(library: str) -> None:
    """Of the three: nothing else is imported."""
    others = {"pandas", "polars", "pyarrow"} - {library}
    code = f"""
import importlib.machinery, sys
class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.partition(".")[0] in {others | {"tqdm"}!r}
        return None if hidden else super().find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Finder
import {library}
from health_gym import HealthGym, Schema, evaluate, simulate_art_for_hiv
schema = Schema.load("data-schemas/pbc.toml")
settings = {{"model.hidden": 4, "model.calibration": False, "model.resampling": False}}
model = HealthGym(schema, iterations=1, settings=settings).fit("data/pbc/pbcseq.csv")
made = model.sample(9)
again = HealthGym(schema, iterations=1, settings=settings).fit(made).sample(5)
print(type(made).__module__.partition(".")[0], type(again) is type(made), len(simulate_art_for_hiv(2)))
try: model.sample(3, frame_type="pandas")
except ImportError as error: print(error)
"""
    said = python(code)
    assert said.stdout.splitlines() == [
        f"{library} True 120",
        f"pandas tables need {'pyarrow' if library == 'polars' else 'pandas'}, which is not installed",
        f"hint: pip install {'pyarrow' if library == 'polars' else 'pandas'}",
    ], said.stderr
