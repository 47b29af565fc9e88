"""What the columns of a table are."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from health_gym import _native
from health_gym._errors import BadInputError
from health_gym._frames import native

_Native = _native.Schema


class Schema:
    """What the columns of a table (or of several) are: the patient, the time, numbers, levels, rules.

    It is written in TOML; the guide, "Your own table", explains every key. Make one with
    :meth:`infer`, :meth:`from_toml` or :meth:`load`.
    """

    _native: _Native
    remarks: tuple[str, ...]
    """Of a proposed schema: how patient and time were chosen, and what was left out."""

    def __init__(self, toml: str) -> None:
        self._native = _native.Schema(toml, "schema")
        self.remarks = ()

    @classmethod
    def infer(cls, data: Any, *, patient: Hashable = None, time: Hashable = None) -> Schema:
        """Propose a schema for a table. Read it before you train on it: ``print(schema.to_toml())``.

        Parameters
        ----------
        data
            A pandas, polars or pyarrow table with a row for each patient and time; a dict of
            several tables by name; or the path of a file or folder.
        patient, time
            Columns, where the guess is wrong.

        Returns
        -------
        Schema
            With `remarks`. What is worth a look (probable slips, numbers that seem to mean
            "missing") comes as a :class:`HealthGymWarning`.

        Raises
        ------
        BadInputError
            When no column can be the patient or the time, or times are written in several ways.
        """
        chosen = (None if column is None else str(column) for column in (patient, time))
        proposed, remarks = _native.infer(native(data), *chosen)
        return cls._of(proposed, tuple(remarks))

    @classmethod
    def from_toml(cls, toml: str) -> Schema:
        """A schema from its text.

        Raises
        ------
        BadInputError
            With the line of everything that is wrong.
        """
        return cls(toml)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Schema:
        """A schema from a TOML file.

        Raises
        ------
        BadInputError
            With the line of everything that is wrong.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInputError(f"{path}: cannot read the schema: {error}") from error
        return cls._of(_native.Schema(text, os.fspath(path)))

    @classmethod
    def _of(cls, made: _Native, remarks: tuple[str, ...] = ()) -> Schema:
        schema = cls.__new__(cls)
        schema._native, schema.remarks = made, remarks
        return schema

    def to_toml(self) -> str:
        """The schema as TOML, with its comments."""
        return self._native.toml

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the schema to a TOML file."""
        Path(path).write_text(self.to_toml(), encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """The schema as nested dicts and lists, by the keys of its TOML."""
        return tomllib.loads(self.to_toml())

    @property
    def tables(self) -> list[str]:
        """The names of several tables; empty where there is one."""
        return self._native.names[0]

    @property
    def columns(self) -> list[str]:
        """The columns that are modelled, besides patient and time."""
        return self._native.names[1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<health_gym.Schema of {len(self.columns)} columns; print(schema.to_toml()) shows it>"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restored, (self.to_toml(), self.remarks))


def made_of(schema: Any) -> _native.Schema:
    """The compiled part of a schema."""
    if not isinstance(schema, Schema):
        raise TypeError(f"`schema` is a {type(schema).__name__}\nhint: make one with Schema.infer(table)")
    return schema._native


def _restored(toml: str, remarks: tuple[str, ...]) -> Schema:
    return Schema._of(_native.Schema(toml, "schema"), remarks)
