"""Tables in and out: what comes as a pandas, polars or pyarrow table goes as one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from health_gym._errors import BadInputError

if TYPE_CHECKING:
    import pyarrow as pa

    from health_gym import _native

Kind = Literal["pandas", "polars", "pyarrow"]
KINDS: tuple[Kind, ...] = ("pandas", "polars", "pyarrow")


def native(data: Any) -> Any:
    """Data as the compiled part takes it: a path, an Arrow stream, or a dict of streams."""
    if isinstance(data, (str, os.PathLike)):
        return os.fspath(data)
    if isinstance(data, Mapping):
        return {str(name): _stream(table, str(name)) for name, table in data.items()}
    return _stream(data, "table")


def _stream(table: Any, name: str) -> Any:
    return _of_pandas(table, name) if _library(table) == "pandas" else table


def _library(table: Any) -> str:
    return type(table).__module__.partition(".")[0]


def _of_pandas(frame: Any, name: str) -> pa.Table:
    """An index with names is columns; one without is none."""
    pyarrow = _import("pyarrow", "pandas tables")
    if any(level is not None for level in frame.index.names):
        frame = frame.reset_index()
    try:
        return pyarrow.Table.from_pandas(frame, preserve_index=False)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, TypeError, ValueError) as error:
        hint = "give each column one type, as `frame[column].astype(str)`"
        raise BadInputError(f"{name}: {'; '.join(map(str, error.args))}\nhint: {hint}") from error


def _import(library: str, what: str) -> Any:
    import importlib

    try:
        return importlib.import_module(library)
    except ImportError as error:
        text = f"{what} need {library}, which is not installed\nhint: pip install {library}"
        raise ImportError(text) from error


@dataclass
class Form:
    """What real tables look like, so that synthetic ones look the same."""

    kind: Kind | None = None
    """The library of the tables; ``None`` where they were files."""
    is_several: bool = False
    types: dict[str, Any] = field(default_factory=dict)
    """For each table by name: pandas' types, or pyarrow's schema."""

    @classmethod
    def of(cls, data: Any) -> Form:
        if isinstance(data, (str, os.PathLike)):
            return cls()
        is_several = isinstance(data, Mapping)
        tables: Mapping[str, Any] = data if is_several else {"": data}
        libraries = {_library(table) for table in tables.values()}
        kind = next((kind for kind in KINDS if kind in libraries), None)
        types = {}
        for name, table in tables.items():
            if _library(table) == "pandas":
                index = {level: table.index.get_level_values(level).dtype
                         for level in table.index.names if level is not None}
                types[str(name)] = index | dict(table.dtypes.items())
            elif _library(table) == "pyarrow" and hasattr(table, "schema"):
                types[str(name)] = table.schema
        return cls(kind, is_several, types)

    def give(self, frames: list[tuple[str, _native.Frame]], frame_type: Kind | None) -> Any:
        """Tables as they came; of several a dict."""
        if frame_type is not None and frame_type not in KINDS:
            raise BadInputError(f"`frame_type` is {frame_type!r}\nhint: it is one of {', '.join(KINDS)}")
        kind = frame_type or self.kind or _installed()
        if len(frames) == 1 and not self.is_several:
            (_, frame), types = frames[0], self.types.get("")
            return _give(frame, kind, types)
        return {name: _give(frame, kind, self.types.get(name)) for name, frame in frames}


def _installed() -> Kind:
    from importlib.util import find_spec

    if find_spec("pandas") and find_spec("pyarrow"):
        return "pandas"
    return "polars" if find_spec("polars") else "pyarrow"


def _give(frame: _native.Frame, kind: Kind, types: Any) -> Any:
    if kind == "polars":
        return _import("polars", "polars tables").DataFrame(frame)
    table = _import("pyarrow", f"{kind} tables").table(frame)
    if kind == "pyarrow":
        return _cast(table, types)
    return _to_pandas(table, types if isinstance(types, dict) else {})


def _cast(table: pa.Table, schema: Any) -> pa.Table:
    """With the types that the real table has."""
    import pyarrow

    if not isinstance(schema, pyarrow.Schema):
        return table
    wanted = {field.name: field.type for field in schema}
    fields = [field.with_type(wanted.get(field.name, field.type)) for field in table.schema]
    return table.cast(pyarrow.schema(fields))


def _to_pandas(table: pa.Table, types: dict[Any, Any]) -> Any:
    import pandas

    wanted = {str(name): (name, dtype) for name, dtype in types.items()}
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        real_name, dtype = wanted.get(name, (name, None))
        columns[real_name] = _pandas_column(column, dtype)
    return pandas.DataFrame(columns)


def _pandas_column(column: pa.ChunkedArray, dtype: Any) -> Any:
    """With the real column's type, where that can hold what is missing."""
    import pandas

    if hasattr(dtype, "__from_arrow__"):
        return pandas.Series(dtype.__from_arrow__(column))
    plain = column.to_pandas()
    if dtype is None or plain.dtype == dtype:
        return plain
    try:
        return plain.astype(dtype)
    except (TypeError, ValueError):
        return plain
