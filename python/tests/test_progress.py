"""The bar is shown where somebody sees it."""

import os
import pty
import subprocess
import sys
import termios
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT, SMALL, fit_small, python

from health_gym import HealthGym, Schema
from health_gym._progress import Progress

CODE = """
import sys; sys.path.insert(0, 'python/tests')
from conftest import *
small = pd.DataFrame(visits())
settings = SMALL | {'model.resampling': True, 'validation.every': 5}
model = HealthGym(Schema.infer(small), iterations=20, settings=settings)
model.fit(small, **eval(sys.argv[1]))
print('done')
"""


def on_terminal(code: str, *arguments: str) -> str:
    """What code shows on a terminal of its own."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 200))
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait(30) == 0, shown
    return shown.decode()


def test_a_terminal_shows_a_bar() -> None:
    shown = on_terminal(CODE, "{}")
    assert "20/20" in shown
    assert "100%" in shown
    assert "iterations" in shown
    for number in ("validation=", "wasserstein=", "gradient_penalty="):
        assert number in shown
    assert "done" in shown.splitlines()[-1]


def test_no_bar_where_none_is_wanted() -> None:
    assert on_terminal(CODE, "{'progress': False}") == "done\r\n"


def test_no_bar_where_nobody_looks() -> None:
    said = python(CODE, "{}")
    assert (said.stdout, said.stderr) == ("done\n", "")


def test_no_bar_without_tqdm() -> None:
    """And no error."""
    assert on_terminal("import sys; sys.modules['tqdm'] = None" + CODE, "{}") == "done\r\n"


class Bar:
    """Writes down what is shown."""

    made: "list[Bar]" = []  # noqa: RUF012

    def __init__(self, **how: Any) -> None:
        self.how, self.n, self.is_closed = how, how["initial"], False
        self.texts: list[str] = []
        self.numbers: dict[str, str] = {}
        Bar.made.append(self)

    def update(self, more: int) -> None:
        assert more >= 0
        self.n += more

    def set_description(self, text: str, refresh: bool) -> None:
        self.texts.append(text)

    def set_postfix(self, numbers: dict[str, str], refresh: bool) -> None:
        self.numbers = numbers

    def refresh(self) -> None: ...

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    monkeypatch.setattr(Bar, "made", [])
    monkeypatch.setattr("health_gym._progress._tqdm", lambda: Bar)
    return Bar.made


def test_the_bar_is_closed_at_the_end_and_after_errors(small: pd.DataFrame, bars: list[Bar]) -> None:
    model = HealthGym(Schema.infer(small), iterations=30, settings=SMALL)
    model.fit(small)
    assert [(bar.n, bar.how["total"], bar.is_closed) for bar in bars] == [(30, 30, True)]

    class Stopped(Exception):
        pass

    def stop(_: Bar, more: int) -> None:
        raise Stopped

    bars.clear()
    Bar.update, kept = stop, Bar.update  # type: ignore[method-assign]
    try:
        with pytest.raises(Stopped):
            model.fit(small)
    finally:
        Bar.update = kept  # type: ignore[method-assign]
    assert [bar.is_closed for bar in bars] == [True]


def test_a_notebook_shows_a_bar_though_it_is_no_terminal(
    small: pd.DataFrame, bars: list[Bar], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = HealthGym(Schema.infer(small), iterations=2, settings=SMALL)
    for shell, disable in [
        (None, None),
        (SimpleNamespace(kernel=None), None),
        (SimpleNamespace(kernel=1), False),
    ]:
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        model.fit(small)
        assert bars[-1].how["disable"] is disable


def test_a_fit_without_a_bar_makes_none(small: pd.DataFrame, bars: list[Bar]) -> None:
    fit_small(small)
    assert bars == []
    assert Progress(False).observer is None


def test_a_fit_that_goes_on_shows_what_is_done(bars: list[Bar]) -> None:
    with Progress(True) as progress:
        assert progress.observer is not None
        progress.observer(5, 20, {"validation": 0.12345, "other": 1.0}, False)
        progress.observer(9, 20, {"wasserstein": 2.0}, True)
    assert (bars[0].how["initial"], bars[0].n, bars[0].is_closed) == (5, 9, True)
    assert bars[0].numbers == {"wasserstein": "2.000"}
    assert bars[0].texts == ["learning which patients to take"]
