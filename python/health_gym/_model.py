"""A model of a cohort."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from health_gym import _native
from health_gym._errors import BadInputError, refuse_fork, whole
from health_gym._frames import Form, Kind, native, require
from health_gym._progress import Progress
from health_gym._report import Report
from health_gym._schema import Schema, made_of

Path_ = str | os.PathLike[str]


class HealthGym:
    """A model of a cohort: fitted to a table, sampled from, saved and loaded.

    Parameters
    ----------
    schema
        What the columns are.
    seed
        The same seed, data and version give the same model and the same cohorts, whatever the
        number of threads, and those of ``hg train`` (0 by default).
    minutes
        Train for about so long. How many iterations fit is measured on this machine: for bits that
        come again, give `iterations`.
    iterations
        Train for so many (4,000 by default).
    held_out
        Keep this share of the patients out of training, as the yardstick of :meth:`evaluate`.
    epsilon
        Keep a privacy guarantee: nothing that the model makes is more than e^epsilon times as
        probable with a patient as without. The schema must say what is otherwise read off the
        table, and the same seed then gives another model.
    delta
        But for this probability (1 / (10 · patients) by default).
    preset
        Settings of the published cohorts: "hypotension", "sepsis", "art-for-hiv"; "demo" is a
        minute's run.
    settings
        Any other setting, as ``{"model.hidden": 64}``; ``hg train --print-config`` lists them.

    Examples
    --------
    >>> model = HealthGym(schema, seed=1, minutes=5).fit(real)
    >>> synthetic = model.sample(500)
    >>> women = model.sample(100, given={"sex": "f"})
    """

    def __init__(
        self,
        schema: Schema,
        *,
        seed: int | None = None,
        minutes: float | None = None,
        iterations: int | None = None,
        held_out: float | None = None,
        epsilon: float | None = None,
        delta: float | None = None,
        preset: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        made_of(schema)
        if minutes is not None and iterations is not None:
            raise BadInputError("`minutes` and `iterations` are both given\nhint: give one of them")
        self._schema = schema
        self._minutes, self._preset = minutes, preset
        named = {
            "seed": seed,
            "iterations": iterations,
            "validation.held_out": held_out,
            "privacy.epsilon": epsilon,
            "privacy.delta": delta,
        }
        given = {name: value for name, value in named.items() if value is not None}
        for name, least in (("seed", 0), ("iterations", 1)):
            if name in given:
                given[name] = whole(name, given[name], least, 2**63 - 1)
        self._given = {"seed": 0} | _plain(settings) | given
        self._model: _native.Model | None = None
        self._paused = _native.Paused()
        self._form = Form()

    def fit(self, data: Any, *, progress: bool = True) -> HealthGym:
        """Train on a table.

        Parameters
        ----------
        data
            A pandas, polars or pyarrow table with a row for each patient and time; a dict of
            several tables by name; or the path of a file, a folder or a pattern. Tables are not
            copied: what is kept is the encoded cohort. A pandas index with names is columns too.
        progress
            Show a bar, where tqdm is installed and there is a terminal or a notebook.

        Returns
        -------
        HealthGym
            Itself.

        Raises
        ------
        BadInputError
            Everything in the table that does not fit the schema, with its row and column.
        HealthGymError
            When training diverges.
        KeyboardInterrupt
            After Ctrl-C, with the iterations done kept: a further call with the same data goes on
            from there, to the same bits as without the interruption.
        """
        with Progress(progress) as bar:
            self._model = _native.fit(
                self._schema._native,
                native(data),
                (self._preset, self._given, self._minutes),
                self._paused,
                bar.observer,
            )
        self._form = Form.of(data)
        return self

    def sample(
        self,
        patients: int | None = None,
        *,
        seed: int = 0,
        given: str | Iterable[str] | Mapping[str, Any] = (),
        shares: Mapping[str, float] | None = None,
        like: Any = None,
        frame_type: Kind | None = None,
    ) -> Any:
        """Make synthetic patients.

        Parameters
        ----------
        patients
            How many. With `like` there are as many as rows.
        seed
            The same seed gives the same patients.
        given
            Conditions on static columns that all patients meet, as ``{"sex": "f"}``,
            ``["sex=f", "age>=70"]`` or ``"age>=70"``.
        shares
            Shares of the patients that meet conditions, exactly, as ``{"sex=f": 0.5}``.
        like
            A table with some or all static columns: patient n has those of row n.
        frame_type
            "pandas", "polars" or "pyarrow"; by default what `fit` was given.

        Returns
        -------
        table
            In the form of the real one: columns, types, order, an index with names; a dict of several
            tables where the real ones are.

        Raises
        ------
        BadInputError
            Where no patient, or too few, can be so.
        """
        frames = self._fitted().sample(_asked(patients, seed, given, shares, like))
        return self._form.give(frames, frame_type)

    def write(
        self,
        path: Path_,
        patients: int | None = None,
        *,
        seed: int = 0,
        given: str | Iterable[str] | Mapping[str, Any] = (),
        shares: Mapping[str, float] | None = None,
        like: Any = None,
    ) -> None:
        """Write synthetic patients to a file (several tables to a folder), as ``hg generate`` does.

        A CSV has the separators, quotes and line ends of the real one, where the model was fitted to
        a file. The parameters are those of :meth:`sample`.
        """
        self._fitted().write(os.fspath(path), _asked(patients, seed, given, shares, like))

    def evaluate(self, real: Any, synthetic: Any) -> Report:
        """Compare a synthetic cohort with the real one that this model was fitted to.

        The patients that it was trained on are the real ones; those held out, where some were, are
        the yardstick, and attacks ask who was trained on.

        Parameters
        ----------
        real
            What :meth:`fit` was given.
        synthetic
            What :meth:`sample` gave.
        """
        return Report(self._fitted().evaluate(native(real), native(synthetic)))

    def save(self, folder: Path_) -> None:
        """Write a run folder, with which ``hg generate`` and ``hg watch`` work too.

        It holds no row of the real table, but what was fitted to it, and is as private as that.

        Raises
        ------
        BadInputError
            When the folder exists.
        """
        self._fitted().save(os.fspath(folder))

    @classmethod
    def load(cls, folder: Path_) -> HealthGym:
        """Load what :meth:`save` or ``hg train`` wrote.

        Raises
        ------
        BadInputError
            When it is no run folder, or holds no checkpoint.
        """
        refuse_fork()
        return cls._of(_native.Model.load(os.fspath(folder)), Form())

    @classmethod
    def from_torch(
        cls,
        generator: Path_,
        data: Any,
        schema: Schema,
        *,
        critic: Path_ | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> HealthGym:
        """A model around weights of the original PyTorch code.

        Parameters
        ----------
        generator, critic
            ``torch.save`` of state dicts (or safetensors), in the original's names.
        data
            The table that they were trained on: what the values mean comes from it.
        schema
            What its columns are, in the order of the weights' features.
        settings
            What the weights do not show.

        Raises
        ------
        BadInputError
            When the weights do not fit the table.
        """
        weights = (os.fspath(generator), None if critic is None else os.fspath(critic))
        model = _native.import_weights(*weights, made_of(schema), native(data), _plain(settings))
        return cls._of(model, Form.of(data))

    def state_dict(self, network: str = "generator") -> dict[str, Any]:
        """Weights as a PyTorch state dict in the original code's names; NumPy arrays without PyTorch.

        Parameters
        ----------
        network
            "generator" (the averaged one, which sampling takes) or "critic".
        """
        names = ("generator", "critic")
        if network not in names:
            raise BadInputError(f"there is no network {network!r}\nhint: there are {' and '.join(names)}")
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "weights"
            self._fitted().export(os.fspath(folder))
            return _weights(folder / f"{network}.safetensors")

    @property
    def schema(self) -> Schema:
        """The schema; of a fitted model with the levels and edges that were found."""
        return self._schema if self._model is None else Schema._of(self._model.schema)

    @property
    def settings(self) -> dict[str, Any]:
        """All settings that a fitted model was trained with."""
        return cast("dict[str, Any]", json.loads(self._fitted().settings))

    def history(self, *, frame_type: Kind | None = None) -> Any:
        """What each iteration measured, as a table."""
        return Form(self._form.kind).give([("", self._fitted().history)], frame_type)

    @classmethod
    def _of(cls, model: _native.Model, form: Form) -> HealthGym:
        made = cls(Schema._of(model.schema))
        made._model, made._form = model, form
        made._given = json.loads(model.settings)
        return made

    def _fitted(self) -> _native.Model:
        if self._model is None:
            raise BadInputError("the model is not fitted yet\nhint: call `fit` first")
        refuse_fork()
        return self._model

    def __repr__(self) -> str:
        if self._model is None:
            return "<health_gym.HealthGym, not fitted>"
        return f"<health_gym.HealthGym, fitted in {self._model.history.shape[0]} iterations>"

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_paused"]
        if self._model is not None:
            with tempfile.TemporaryDirectory() as scratch:
                run = Path(scratch) / "run"
                self._model.save(os.fspath(run))
                files = [file for file in run.rglob("*") if file.is_file()]
                state["_model"] = {os.fspath(f.relative_to(run)): f.read_bytes() for f in files}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        files = state.pop("_model")
        self.__dict__.update(state, _model=None, _paused=_native.Paused())
        if files is not None:
            refuse_fork()
            with tempfile.TemporaryDirectory() as scratch:
                for name, content in files.items():
                    file = Path(scratch) / "run" / name
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(content)
                self._model = _native.Model.load(os.fspath(Path(scratch) / "run"))


def _asked(
    patients: int | None,
    seed: int,
    given: str | Iterable[str] | Mapping[str, Any],
    shares: Mapping[str, float] | None,
    like: Any,
) -> _native.Asked:
    """What is asked for, as the compiled part takes it."""
    if (patients is None) == (like is None):
        raise BadInputError("give either `patients` or `like`\nhint: as model.sample(500)")
    if patients is not None:
        patients = whole("patients", patients, 1, 2**63 - 1)
    if shares is not None and not isinstance(shares, Mapping):
        raise TypeError(f"`shares` is a {type(shares).__name__}\nhint: as {{'sex=f': 0.5}}")
    if isinstance(given, str):
        conditions = [given]
    elif isinstance(given, Mapping):
        conditions = [f"{name}={_level(level)}" for name, level in given.items()]
    elif isinstance(given, Iterable):
        conditions = [str(condition) for condition in given]
    else:
        raise TypeError(f"`given` is a {type(given).__name__}\nhint: as {{'sex': 'f'}} or ['age>=70']")
    if like is not None and (conditions or shares):
        raise BadInputError("`like` says all statics\nhint: leave `given` and `shares` out")
    parts = [f"{condition}:{share}" for condition, share in (shares or {}).items()]
    seed = whole("seed", seed, 0, 2**64 - 1)
    return patients or 0, seed, conditions, parts, None if like is None else native(like)


def _plain(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Settings with NumPy's numbers as Python's."""
    if settings is None:
        return {}
    if not isinstance(settings, Mapping):
        raise TypeError(f"`settings` is a {type(settings).__name__}\nhint: as {{'model.hidden': 64}}")
    return {
        name: _plain(value) if isinstance(value, Mapping) else getattr(value, "tolist", lambda v=value: v)()
        for name, value in settings.items()
    }


def _level(level: Any) -> str:
    """A level as conditions write it."""
    plain = getattr(level, "item", lambda: level)()
    return str(plain).lower() if isinstance(plain, bool) else str(level)


def _weights(file: Path) -> dict[str, Any]:
    has_torch = importlib.util.find_spec("torch") is not None
    require("safetensors", "state dicts")
    reader = importlib.import_module("safetensors.torch" if has_torch else "safetensors.numpy")
    return cast("dict[str, Any]", reader.load_file(file))
