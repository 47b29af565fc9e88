"""What can go wrong, and what is warned of."""

import operator
import os
import sys
import warnings
from pathlib import Path
from typing import Any

_PACKAGE = str(Path(__file__).parent)


class HealthGymError(Exception):
    """Something went wrong: training diverged, a file cannot be written."""


class BadInputError(HealthGymError, ValueError):
    """The input is at fault: a table, a schema, a setting. The message says where, and what to do."""


class HealthGymWarning(UserWarning):
    """Something in the input that is worth a look."""


_worked_in: int | None = None
"""The process whose threads have worked."""


def refuse_fork() -> None:
    """Refuse to work in a process that was forked from one that worked: its threads are not there."""
    global _worked_in
    process = os.getpid()
    if _worked_in not in (None, process):
        problem = "this process was forked from one that has worked, whose threads it has not"
        raise HealthGymError(f'{problem}\nhint: start it by `multiprocessing.get_context("spawn")`')
    _worked_in = process


def whole(name: str, value: Any, least: int, most: int) -> int:
    """A whole number between others."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"`{name}` is {value!r}\nhint: it is a whole number")
    if number < least:
        raise BadInputError(f"`{name}` is {number}\nhint: it must be at least {least}")
    if number > most:
        raise BadInputError(f"`{name}` is {number}\nhint: it must be at most {most}")
    return number


def warn(text: str) -> None:
    """Warn of the line that called the package."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, HealthGymWarning, stacklevel=level)
