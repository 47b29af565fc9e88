"""Simulated HIV patients as Gymnasium environments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from health_gym import _native
from health_gym._errors import BadInputError
from health_gym._frames import require
from health_gym.rl._encoding import Encoding

if TYPE_CHECKING:
    import gymnasium as gym
    import numpy as np
    import numpy.typing as npt
else:
    np = require("numpy", "environments")
    gym = require("gymnasium", "environments")

MONTHS, OBSERVED, REGIMEN, CODES, DETECTION_LIMIT = _native.VectorTrial.about()
"""Months of an episode; what is observed; the columns of a regimen; how many codes each has; copies/ml."""

# Least and greatest of `OBSERVED`: bounds that no simulated patient comes near, and codes.
_LEAST = [DETECTION_LIMIT, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]
_GREATEST = [1e9, 1e6, 100.0, 2.0, 4.0, 1.0, 1.0, 1.0]


class _Patients:
    """Simulated patients at `places`, as arrays."""

    def __init__(self, places: int, encoding: Encoding | None) -> None:
        if encoding is not None:
            _check(encoding)
        self.encoding = encoding
        self._rows = None if encoding is None else encoding._native.of_simulation()
        self._trial = _native.VectorTrial(places)
        self._shown = np.full((places, len(OBSERVED)), np.nan)
        self._usual = np.zeros((places, len(REGIMEN)), np.int64)
        self._rewards = np.zeros(places)
        # Of each place: the seed, and the number of the patient.
        self.seeds = [0] * places
        self.numbers = [-1] * places
        self.months = np.zeros(places, np.int64)

    @property
    def observation_space(self) -> gym.spaces.Box:
        """Of one patient."""
        if self.encoding is not None:
            least, greatest = self.encoding.bounds
            return gym.spaces.Box(least, greatest, dtype=np.float32)
        return gym.spaces.Box(np.array(_LEAST), np.array(_GREATEST), dtype=np.float64)

    @property
    def action_space(self) -> gym.spaces.MultiDiscrete:
        """Of one patient."""
        return gym.spaces.MultiDiscrete(CODES)

    def begin(self, place: int, seed: int | None, number: int | None) -> None:
        """Let a patient begin: with a seed the first of its cohort, else the next; or this one."""
        if seed is not None:
            self.seeds[place], self.numbers[place] = seed, -1
        self.numbers[place] = self.numbers[place] + 1 if number is None else number
        self._trial.begin(place, self.seeds[place], self.numbers[place])
        self.months[place] = 0

    def show(self) -> None:
        """Look at every patient."""
        self._trial.show(self._shown, self._usual, self._rewards)

    def treat(self, actions: Any, acts: npt.NDArray[Any]) -> None:
        """Give the patients who act their regimens, and let a month pass for them."""
        actions = np.asarray(actions)
        if actions.dtype.kind not in "iu" or actions.shape[-1:] != (len(CODES),):
            text = f"an action is {actions.tolist()!r}"
            hint = f"it is {len(CODES)} whole numbers, codes of {', '.join(REGIMEN)}"
            raise BadInputError(f"{text}\nhint: {hint}")
        self._trial.treat(np.ascontiguousarray(actions, np.int64), acts.view(np.uint8))
        self.months += acts

    @property
    def observations(self) -> npt.NDArray[Any]:
        """What is seen, ``[places, F]``."""
        if self._rows is None:
            return self._shown.copy()
        observations = np.empty((len(self._shown), *self.observation_space.shape), np.float32)
        self._rows.encode(self._shown, observations)
        return observations

    @property
    def usual(self) -> npt.NDArray[Any]:
        """What the usual policy would give, ``[places, 5]``."""
        return self._usual.copy()

    @property
    def rewards(self) -> npt.NDArray[Any]:
        """The rewards of what is seen, ``[places]``."""
        return self._rewards.copy()


def _check(encoding: Encoding) -> None:
    """Refuse an encoding in which actions are others than the environment's."""
    codes = [[str(code) for code in range(count)] for count in CODES]
    if encoding.action_names != REGIMEN or encoding.action_levels != codes:
        text = f"the encoding decides {', '.join(encoding.action_names)}"
        hint = f"the environment's actions are {', '.join(REGIMEN)}, each with its codes in order, as in"
        raise BadInputError(f"{text}\nhint: {hint} data-schemas/art-for-hiv.toml")


def _number(options: dict[str, Any] | None) -> int | None:
    """The patient that is asked for."""
    unknown = set(options or {}) - {"patient"}
    if unknown:
        raise BadInputError(f"there is no option {', '.join(sorted(unknown))}\nhint: `patient` is the one")
    number = (options or {}).get("patient")
    if number is not None and (not isinstance(number, (int, np.integer)) or number < 0):
        raise BadInputError(f"`patient` is {number!r}\nhint: it is a number from 0")
    return None if number is None else int(number)


class ArtForHiv(gym.Env[Any, Any]):
    """A simulated HIV patient, whose antiretroviral therapy is chosen each month for 60 months.

    ``gymnasium.make("health_gym/ArtForHiv-v0")``. The disease is the six-state model of Adams et al.
    (Math. Biosci. Eng. 1(2), 2004) with every patient's own parameters, the patients are those of
    :func:`health_gym.simulate_art_for_hiv`. It says nothing about real therapies: what a regimen does is
    invented (``crates/hg-data/models/art-for-hiv.model.toml``).

    **Observations** are what the table shows besides the regimen, ``[8]`` float64: viral load
    (copies/ml), CD4 (cells/µl), relative CD4 (%), sex (1 male, 2 female), ethnicity (1 to 4), and whether
    viral load, CD4 and drugs were recorded this month (a value that was not is the last one). With an
    `encoding` they are its observations, ``[F]`` float32.

    **Actions** are the codes of the table's five columns of a regimen, ``MultiDiscrete([6, 4, 4, 6, 2])``:
    base drug combination, INI, NNRTI, PI and pharmacokinetic enhancer.

    **Reward** of a step is that of the month after it, by :func:`art_for_hiv_reward`.

    **Episodes** end after 60 months in a truncation; the model has no deaths. ``reset(seed=s)`` begins
    with the first patient of the cohort with seed s, each ``reset()`` after it with the next, and
    ``reset(options={"patient": n})`` with the n-th from 0. The same seeds and actions give the same
    numbers, to the bit.

    **Usual care**: ``info["usual_action"]`` ``[5]`` is what the simulated physicians would do now. Whoever
    always does that gets the table: episode n after ``reset(seed=s)`` has the first 60 observations and
    actions of patient n + 1 of ``simulate_art_for_hiv(patients, s)``; but that ``Drug (M)`` is 0 in the
    few months in which the table has a change of drugs without a visit, which is not known before the
    action. ``info["patient"]`` is n.

    Parameters
    ----------
    encoding
        Of a cohort in the columns of the simulation; a policy that was learnt from that cohort can then
        be run here.

    Raises
    ------
    BadInputError
        For an action that is none, and an encoding of other columns.

    Examples
    --------
    >>> environment = gymnasium.make("health_gym/ArtForHiv-v0")
    >>> observation, info = environment.reset(seed=1)
    >>> observation, reward, terminated, truncated, info = environment.step(info["usual_action"])
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, encoding: Encoding | None = None, render_mode: None = None) -> None:
        self.render_mode = render_mode
        self._patients = _Patients(1, encoding)
        self._acts = np.ones(1, bool)
        self.observation_space = self._patients.observation_space
        self.action_space = self._patients.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[Any], dict[str, Any]]:
        """Begin with a patient; see the class."""
        super().reset(seed=seed)
        number = _number(options)
        if seed is None and self._patients.numbers[0] < 0:
            seed = int(self.np_random.integers(2**63))
        self._patients.begin(0, seed, number)
        self._patients.show()
        return self._patients.observations[0], self._info()

    def step(self, action: Any) -> tuple[npt.NDArray[Any], float, bool, bool, dict[str, Any]]:
        """Give a regimen for a month: (observation, reward, terminated, truncated, info)."""
        patients = self._patients
        patients.treat(np.asarray(action)[None], self._acts)
        patients.show()
        is_over = bool(patients.months[0] >= MONTHS)
        return patients.observations[0], float(patients.rewards[0]), False, is_over, self._info()

    def _info(self) -> dict[str, Any]:
        return {"usual_action": self._patients.usual[0], "patient": self._patients.numbers[0]}


class ArtForHivVector(gym.vector.VectorEnv[Any, Any, Any]):
    """Many simulated HIV patients at once, on all cores: ``gymnasium.make_vec("health_gym/ArtForHiv-v0")``.

    What comes is to the bit what a ``gymnasium.vector.SyncVectorEnv`` of :class:`ArtForHiv` gives:
    ``reset(seed=s)`` gives sub-environment i the seed s + i, and a sub-environment whose episode is over
    begins with its next patient at the step after, with reward 0 (autoreset mode "next step").

    Parameters
    ----------
    num_envs
        ``N``, the number of patients at once.
    encoding
        As for :class:`ArtForHiv`.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, num_envs: int = 1, encoding: Encoding | None = None, render_mode: None = None) -> None:
        if num_envs < 1:
            raise BadInputError(f"`num_envs` is {num_envs}\nhint: it is at least 1")
        self.num_envs, self.render_mode = num_envs, render_mode
        if hasattr(gym.vector, "AutoresetMode"):
            self.metadata = self.metadata | {"autoreset_mode": gym.vector.AutoresetMode.NEXT_STEP}
        self._patients = _Patients(num_envs, encoding)
        self._is_over = np.zeros(num_envs, bool)
        self.single_observation_space = self._patients.observation_space
        self.single_action_space = self._patients.action_space
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[Any], dict[str, Any]]:
        """Begin with a patient in each sub-environment; see the class.

        Parameters
        ----------
        seed
            Sub-environment i gets seed + i; or a list, one for each.
        options
            ``{"patient": n}`` for all.

        Returns
        -------
        observations, infos
            ``[N, F]``; ``"usual_action"`` ``[N, 5]`` and ``"patient"`` ``[N]``.
        """
        super().reset(seed=seed if isinstance(seed, int) else None)
        number = _number(options)
        if seed is None or isinstance(seed, (int, np.integer)):
            places = range(self.num_envs)
            seeds: list[int | None] = [None if seed is None else int(seed) + place for place in places]
        else:
            seeds = list(seed)
        if len(seeds) != self.num_envs:
            text = f"{len(seeds)} seeds came for {self.num_envs} environments"
            raise BadInputError(f"{text}\nhint: give one each")
        for place, own in enumerate(seeds):
            if own is None and self._patients.numbers[place] < 0:
                own = int(self.np_random.integers(2**63))
            self._patients.begin(place, own, number)
        self._is_over = np.zeros(self.num_envs, bool)
        self._patients.show()
        return self._patients.observations, self._infos()

    def step(
        self, actions: Any
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
        """Give regimens ``[N, 5]`` for a month.

        Returns
        -------
        observations, rewards, terminations, truncations, infos
            ``[N, F]``, and ``[N]`` each.
        """
        patients, acts = self._patients, ~self._is_over
        patients.treat(actions, acts)
        for place in np.flatnonzero(self._is_over):
            patients.begin(int(place), None, None)
        patients.show()
        rewards = np.where(acts, patients.rewards, 0.0)
        self._is_over = patients.months >= MONTHS
        never = np.zeros(self.num_envs, bool)
        return patients.observations, rewards, never, self._is_over.copy(), self._infos()

    def _infos(self) -> dict[str, Any]:
        all_of_them = np.ones(self.num_envs, bool)
        return {
            "usual_action": self._patients.usual,
            "_usual_action": all_of_them,
            "patient": np.array(self._patients.numbers, np.int64),
            "_patient": all_of_them.copy(),
        }
