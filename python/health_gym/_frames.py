"""Tables in and out: what comes as a pandas, polars or pyarrow table goes as one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from health_gym._errors import BadInputError, refuse_fork

if TYPE_CHECKING:
    import pyarrow as pa

    from health_gym import _native

Kind = Literal["pandas", "polars", "pyarrow"]
KINDS: tuple[Kind, ...] = ("pandas", "polars", "pyarrow")


def native(data: Any) -> Any:
    """Data as the compiled part takes it: a path, an Arrow stream, or a dict of streams."""
    refuse_fork()
    if isinstance(data, (str, os.PathLike)):
        return os.fspath(data)
    if isinstance(data, Mapping):
        return {str(name): _stream(table, str(name)) for name, table in data.items()}
    return _stream(data, "table")


_NO_TABLES = {
    "LazyFrame": "collect it, as `frame.collect()`",
    "Series": "make it one, as `series.to_frame()`",
}
"""What looks like a table, and the way out."""


def _stream(table: Any, name: str) -> Any:
    class_name = type(table).__name__
    if _library(table) in KINDS and class_name in _NO_TABLES:
        raise TypeError(f"a {class_name} is no table\nhint: {_NO_TABLES[class_name]}")
    if _library(table) == "pandas":
        table = _of_pandas(table, name)
    if _library(table) == "pyarrow":
        _refuse_types(table, name)
    return table


def _library(table: Any) -> str | None:
    """Where its class comes from, or one that this is made from."""
    roots = (kind.__module__.partition(".")[0] for kind in type(table).__mro__)
    return next((root for root in roots if root in KINDS), None)


def _of_pandas(frame: Any, name: str) -> pa.Table:
    """An index with names is columns; one without is none."""
    pyarrow = require("pyarrow", "pandas tables")
    if any(level is not None for level in frame.index.names):
        frame = frame.reset_index()
    names = [str(column) for column in frame.columns]
    if len(set(names)) < len(names):
        twice = next(column for column in names if names.count(column) > 1)
        hint = "give each column a name of its own"
        raise BadInputError(f"{name}, column `{twice}`: two columns have this name\nhint: {hint}")
    try:
        return pyarrow.Table.from_pandas(frame, preserve_index=False)
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        hint = "give each column one type, as `frame[column].astype(str)`"
        raise BadInputError(f"{name}: {'; '.join(map(str, error.args))}\nhint: {hint}") from error


def _refuse_types(table: Any, name: str) -> None:
    """Refuse what the reader of the stream does not know."""
    for column in getattr(table, "schema", ()):
        if (kind := _unreadable(column.type)) is not None:
            hint = "leave it out, or make it numbers or texts"
            raise BadInputError(f"{name}, column `{column.name}`: {kind} cannot be read\nhint: {hint}")


def _unreadable(kind: pa.DataType) -> pa.DataType | None:
    """The type itself, or one within it."""
    from pyarrow import BaseExtensionType, month_day_nano_interval, types

    is_unknown = isinstance(kind, BaseExtensionType) or kind == month_day_nano_interval()
    if is_unknown or types.is_decimal256(kind) or types.is_run_end_encoded(kind) or types.is_union(kind):
        return kind
    inner = [kind.value_type] if types.is_dictionary(kind) else []
    inner += [kind.field(n).type for n in range(kind.num_fields)]
    return next((found for part in inner if (found := _unreadable(part)) is not None), None)


def require(library: str, what: str) -> Any:
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
    names: dict[str, Any] = field(default_factory=dict)
    """Of several tables: what they were called by, in the order that they came."""
    types: dict[str, Any] = field(default_factory=dict)
    """For each table by name: pandas' types, or pyarrow's schema."""
    indices: dict[str, list[Any]] = field(default_factory=dict)
    """For each pandas table by name: the names of its index, where it has some."""

    @classmethod
    def of(cls, data: Any) -> Form:
        if isinstance(data, (str, os.PathLike)):
            return cls()
        is_several = isinstance(data, Mapping)
        tables: Mapping[str, Any] = data if is_several else {"": data}
        libraries = {_library(table) for table in tables.values()}
        kind = next((kind for kind in KINDS if kind in libraries), None)
        types: dict[str, Any] = {}
        indices = {}
        for name, table in tables.items():
            if _library(table) == "pandas":
                names = [level for level in table.index.names if level is not None]
                index = {level: table.index.get_level_values(level).dtype for level in names}
                types[str(name)] = index | dict(table.dtypes.items())
                indices[str(name)] = names
            elif _library(table) == "pyarrow" and hasattr(table, "schema"):
                types[str(name)] = table.schema
        return cls(kind, is_several, {str(name): name for name in tables}, types, indices)

    def give(self, frames: list[tuple[str, _native.Frame]], frame_type: Kind | None) -> Any:
        """Tables as they came; of several a dict."""
        if frame_type is not None and frame_type not in KINDS:
            raise BadInputError(f"`frame_type` is {frame_type!r}\nhint: it is one of {', '.join(KINDS)}")
        kind = frame_type or self.kind or _installed()
        if len(frames) == 1 and not self.is_several:
            return self._give("", frames[0][1], kind)
        made = {name: self._give(name, frame, kind) for name, frame in frames}
        return {real: made.pop(name) for name, real in self.names.items() if name in made} | made

    def _give(self, name: str, frame: _native.Frame, kind: Kind) -> Any:
        if kind == "polars":
            return require("polars", "polars tables").DataFrame(frame)
        table = require("pyarrow", f"{kind} tables").table(frame)
        types = self.types.get(name)
        if kind == "pyarrow":
            return _cast(table, types)
        require("pandas", "pandas tables")
        given = _to_pandas(table, types if isinstance(types, dict) else {})
        index = [level for level in self.indices.get(name, ()) if level in given.columns]
        return given.set_index(index) if index else given


def _installed() -> Kind:
    from importlib.util import find_spec

    if find_spec("pandas") and find_spec("pyarrow"):
        return "pandas"
    return "polars" if find_spec("polars") else "pyarrow"


def _cast(table: pa.Table, schema: Any) -> pa.Table:
    """With the types that the real table has."""
    import pyarrow

    if not isinstance(schema, pyarrow.Schema):
        return table
    wanted = {field.name: field for field in schema}
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        field = wanted.get(name, table.schema.field(name))
        if pyarrow.types.is_dictionary(field.type) and not pyarrow.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        columns[field.with_nullable(field.nullable or column.null_count > 0)] = column.cast(field.type)
    return pyarrow.Table.from_arrays(list(columns.values()), schema=pyarrow.schema(list(columns)))


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
    plain = _signed(column).to_pandas()
    if dtype is None or plain.dtype == dtype:
        return plain
    try:
        return plain.astype(dtype)
    except (TypeError, ValueError):
        return plain


def _signed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Levels with signed positions: older versions of pyarrow turn no others into categories."""
    import pyarrow

    if not pyarrow.types.is_dictionary(column.type):
        return column
    chunks = [
        pyarrow.DictionaryArray.from_arrays(
            chunk.indices.cast("int32"), chunk.dictionary, ordered=column.type.ordered
        )
        for chunk in column.chunks
    ]
    kind = pyarrow.dictionary(pyarrow.int32(), column.type.value_type, column.type.ordered)
    return pyarrow.chunked_array(chunks, kind)
