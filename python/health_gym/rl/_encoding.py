"""How cohorts, and the environment, are seen: as observations and actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from health_gym import _native
from health_gym._errors import BadInputError
from health_gym._frames import native, require
from health_gym._schema import Schema

if TYPE_CHECKING:
    import numpy.typing as npt

    from health_gym._native import Steps
    from health_gym.rl._episodes import Episodes

Reward = Callable[[Mapping[str, Any]], Any]
"""From numeric columns ``[rows]``, in their own units, to the rewards of reaching these rows ``[rows]``."""


class Encoding:
    """Fitted once to a cohort, it gives others, and the environment, the same observations and actions.

    An observation is what a row shows besides the actions: numbers transformed and scaled as the schema
    says, [0, 1] being the range of the cohort that the encoding was fitted to, and a feature of 0 or 1
    for each level. An action is a level of each column that the schema's ``[decision]`` names; a number
    without bins has its doses for levels: the least, and the quartiles of the rest.

    Parameters
    ----------
    data
        The cohort that it is fitted to: a table, a dict of tables, or a path.
    schema
        With a ``[decision]``.
    death
        A column and its level that mean that the patient has died, as ``{"status": "dead"}``. The column
        is no part of observations. See :func:`episodes`.
    reward
        In place of the schema's: from numeric columns by name, each ``[rows]`` in its own unit, to the
        rewards ``[rows]`` of reaching these rows; as :func:`art_for_hiv_reward`. Numbers beyond the range
        of the cohort that the encoding was fitted to come as its ends.

    Raises
    ------
    BadInputError
        For a schema without ``[decision]``, a `death` that is no column with that level, and everything
        in the table that does not fit the schema.

    Examples
    --------
    >>> encoding = Encoding(real, schema)
    >>> real_episodes, synthetic_episodes = encoding.episodes(real), encoding.episodes(synthetic)
    """

    _native: _native.Encoding
    reward: Reward | None
    combinations: npt.NDArray[Any]
    """``[A, K]``, int64: the combinations of levels that the cohort has, in order. Where an action is one
    number, as for :meth:`Episodes.to_d3rlpy`, it is the row's number in this table."""
    _counts: npt.NDArray[Any]

    def __init__(
        self,
        data: Any,
        schema: Schema,
        *,
        death: Mapping[str, Any] | None = None,
        reward: Reward | None = None,
    ) -> None:
        self._fit(data, schema, death, reward)

    def _fit(
        self, data: Any, schema: Schema, death: Mapping[str, Any] | None, reward: Reward | None
    ) -> Episodes:
        np = require("numpy", "episodes")
        self._native, steps = _native.fit_encoding(schema._native, native(data), _death(death))
        self.reward = reward
        made = self._episodes(steps)
        actions = [episode.actions for episode in made] or [np.zeros((1, len(self.action_names)), np.int64)]
        self.combinations, self._counts = np.unique(np.concatenate(actions), axis=0, return_counts=True)
        return made

    def episodes(self, data: Any) -> Episodes:
        """The episodes of a cohort; see :func:`episodes`.

        Parameters
        ----------
        data
            A table, a dict of tables, or a path, of the same schema.

        Raises
        ------
        BadInputError
            Everything in the table that does not fit the schema.
        """
        return self._episodes(self._native.encode(native(data)))

    def _episodes(self, steps: Steps) -> Episodes:
        from health_gym.rl._episodes import Episodes

        np = require("numpy", "episodes")
        lengths = np.array(steps.lengths, np.int64)
        rows = int(lengths.sum())
        observations = np.empty((rows, len(self.features)), np.float32)
        actions = np.empty((rows, len(self.action_names)), np.int64)
        rewards, died = np.empty(rows), np.empty(rows, np.uint8)
        steps.read(observations, actions, rewards)
        steps.deaths(died)
        if self.reward is not None:
            rewards = self._own_rewards(self.reward, steps, rows)
        return Episodes._of_rows(self, lengths, (observations, actions, rewards, died.astype(bool)))

    def _own_rewards(self, reward: Reward, steps: Steps, rows: int) -> npt.NDArray[Any]:
        np = require("numpy", "episodes")
        numbers = {name: np.empty(rows) for name in self._native.numbers}
        for name, column in numbers.items():
            steps.numbers(name, column)
        rewards: npt.NDArray[Any] = np.asarray(reward(numbers), np.float64)
        if rewards.shape != (rows,):
            text = f"`reward` gave an array of shape {rewards.shape} for {rows} rows"
            raise BadInputError(f"{text}\nhint: it takes columns [rows] and gives rewards [rows]")
        return rewards

    @property
    def features(self) -> list[str]:
        """The names of an observation's features, ``F`` of them."""
        return self._native.features[0]

    @property
    def bounds(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The least and the greatest value that each feature can have, both ``[F]``, float32."""
        np = require("numpy", "episodes")
        _, least, greatest = self._native.features
        return np.array(least, np.float32), np.array(greatest, np.float32)

    @property
    def action_names(self) -> list[str]:
        """The columns that are decided, ``K`` of them."""
        return [name for name, _ in self._native.actions]

    @property
    def action_levels(self) -> list[list[str]]:
        """The levels of each of them; an action has the positions of levels."""
        return [levels for _, levels in self._native.actions]

    @property
    def discount(self) -> float:
        """What a reward one step later is worth, by the schema."""
        discount = self._native.discount
        assert discount is not None
        return discount

    def to_index(self, actions: Any) -> npt.NDArray[Any]:
        """Actions as numbers of :attr:`combinations`.

        Parameters
        ----------
        actions
            ``[..., K]``, positions of levels.

        Returns
        -------
        index
            ``[...]``, int64. A combination that the cohort does not have becomes the one that differs in
            the fewest columns, of several the commonest.
        """
        np = require("numpy", "episodes")
        actions = np.asarray(actions, np.int64)
        wanted, back = np.unique(actions.reshape(-1, actions.shape[-1]), axis=0, return_inverse=True)
        differing = (wanted[:, None, :] != self.combinations[None, :, :]).sum(axis=2)
        # Rarer than the commonest, but by less than a column.
        rarity = 1 - self._counts / (self._counts.sum() + 1)
        nearest = np.argmin(differing + 0.5 * rarity, axis=1)
        index: npt.NDArray[Any] = nearest[back.reshape(-1)].reshape(actions.shape[:-1])
        return index

    def from_index(self, index: Any) -> npt.NDArray[Any]:
        """Numbers of :attr:`combinations` ``[...]`` as actions ``[..., K]``, int64."""
        actions: npt.NDArray[Any] = self.combinations[index]
        return actions

    def __repr__(self) -> str:
        sizes = "×".join(str(len(levels)) for levels in self.action_levels)
        return f"<health_gym.rl.Encoding: {len(self.features)} features, {sizes} actions>"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_native": self._native.to_json()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _native=_native.Encoding.from_json(state["_native"]))


def _death(death: Mapping[str, Any] | None) -> tuple[str, str] | None:
    if death is None:
        return None
    if not isinstance(death, Mapping) or len(death) != 1:
        text = f"`death` is {death!r}"
        raise BadInputError(f'{text}\nhint: it is a column with its level, as {{"status": "dead"}}')
    ((column, level),) = death.items()
    return str(column), str(level).lower() if isinstance(level, bool) else str(level)
