"""Whether a synthetic cohort is real enough, private and useful."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path
from typing import Any, NamedTuple, cast

from health_gym import _native
from health_gym._frames import native
from health_gym._schema import Schema, made_of


class Answer(NamedTuple):
    """A short answer of the report."""

    question: str
    verdict: str
    because: str


class Report:
    """An evaluation with its report. It shows real patients: it is as private as the real table.

    In a notebook it is shown as a page.
    """

    def __init__(self, made: _native.Report) -> None:
        self._native = made

    @property
    def answers(self) -> list[Answer]:
        """The short answers, in the report's order."""
        return [Answer(*answer) for answer in self._native.answers]

    def to_dict(self) -> dict[str, Any]:
        """All figures and short answers, as ``comparison.json`` has them."""
        return cast("dict[str, Any]", json.loads(self._native.json))

    def to_markdown(self) -> str:
        """The report as Markdown."""
        return self._native.markdown

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``report.html``, ``report.md`` and ``comparison.json`` to a folder; give the page's path."""
        return self._native.save(os.fspath(folder))

    def _repr_html_(self) -> str:
        page = html.escape(self._native.html, quote=True)
        style = "width: 100%; height: 45em; border: 1px solid #ccc"
        return f'<iframe srcdoc="{page}" style="{style}" sandbox="allow-scripts"></iframe>'

    def __repr__(self) -> str:
        return "\n".join(f"{answer.verdict:8} {answer.question} {answer.because}" for answer in self.answers)


def evaluate(real: Any, synthetic: Any, schema: Schema) -> Report:
    """Compare a synthetic cohort with a real one.

    :meth:`HealthGym.evaluate` also knows which patients a model was trained on, and asks whether they
    can be told from those it was not.

    Parameters
    ----------
    real, synthetic
        pandas, polars or pyarrow tables, dicts of several tables, or paths. Of two files that are
        too large, whole patients are compared, chosen by a hash of the id.
    schema
        Describes both.

    Raises
    ------
    BadInputError
        Everything in a table that does not fit the schema, with its row and column.
    """
    return Report(_native.evaluate(native(real), native(synthetic), made_of(schema)))
