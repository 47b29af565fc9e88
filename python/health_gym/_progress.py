"""A bar for long work, where tqdm is installed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, cast

Observer = Callable[[int, int, dict[str, float], bool], None]
_SHOWN = ("validation", "wasserstein", "gradient_penalty")


class Progress:
    """Shows training as a bar; does nothing where it is not wanted or tqdm is not installed."""

    def __init__(self, wanted: bool) -> None:
        self._bar: Any = None
        self._make = _tqdm() if wanted else None

    @property
    def observer(self) -> Observer | None:
        return None if self._make is None else self._show

    def _show(self, done: int, iterations: int, numbers: dict[str, float], is_choosing: bool) -> None:
        if self._bar is None:
            assert self._make is not None
            # A notebook is no terminal, and shows bars all the same.
            disable = False if _is_notebook() else None
            self._bar = self._make(total=iterations, initial=done, unit=" iterations", disable=disable)
        shown = {name: f"{numbers[name]:.3f}" for name in _SHOWN if name in numbers}
        self._bar.set_postfix(shown, refresh=False)
        if is_choosing:
            self._bar.set_description("learning which patients to take", refresh=False)
        self._bar.update(done - self._bar.n)
        self._bar.refresh()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _is_notebook() -> bool:
    """Whether IPython's shell has a kernel behind it."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def _tqdm() -> Callable[..., Any] | None:
    try:
        tqdm = importlib.import_module("tqdm.auto" if _is_notebook() else "tqdm")
    except ImportError:
        return None
    return cast("Callable[..., Any]", tqdm.tqdm)
