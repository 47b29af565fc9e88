"""What can go wrong, and what is warned of."""

import operator
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
