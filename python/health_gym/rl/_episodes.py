"""Cohorts as episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from health_gym._errors import BadInputError
from health_gym._frames import require
from health_gym._schema import Schema
from health_gym.rl._encoding import Encoding, Reward

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class Episode:
    """A patient's ``T`` steps.

    After step t, in which action ``actions[t]`` is taken under observation ``observations[t]``, comes
    observation ``observations[t + 1]``, and with it reward ``rewards[t]``.
    """

    observations: npt.NDArray[Any]
    """``[T + 1, F]``, float32."""
    actions: npt.NDArray[Any]
    """``[T, K]``, int64: positions of levels."""
    rewards: npt.NDArray[Any]
    """``[T]``, float64."""
    terminations: npt.NDArray[Any]
    """``[T]``, bool: true at the last step where the patient died."""
    truncations: npt.NDArray[Any]
    """``[T]``, bool: true at the last step where follow-up ended, and the patient lives on."""

    def __len__(self) -> int:
        return len(self.rewards)


class Episodes(Sequence[Episode]):
    """The episodes of a cohort, one for each patient with at least two rows; see :func:`episodes`."""

    encoding: Encoding
    """How the rows are seen."""

    def __init__(self, encoding: Encoding, episodes: Sequence[Episode]) -> None:
        self.encoding = encoding
        self._episodes = list(episodes)

    @classmethod
    def _of_rows(
        cls,
        encoding: Encoding,
        lengths: npt.NDArray[Any],
        rows: tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]],
    ) -> Episodes:
        """`rows` are observations, actions, rewards of reaching, and deaths, patient after patient."""
        np = require("numpy", "episodes")
        observations, actions, rewards, died = rows
        made, first = [], 0
        for length in lengths:
            end = first + int(length)
            deaths = np.flatnonzero(died[first:end])
            is_death = len(deaths) > 0
            last = first + int(deaths[0]) if is_death else end - 1
            if last > first:
                ends = np.zeros(last - first, bool)
                ends[-1] = True
                made.append(
                    Episode(
                        observations=observations[first : last + 1],
                        actions=actions[first:last],
                        rewards=rewards[first + 1 : last + 1],
                        terminations=ends & is_death,
                        truncations=ends & (not is_death),
                    )
                )
            first = end
        return cls(encoding, made)

    def __len__(self) -> int:
        return len(self._episodes)

    @overload
    def __getitem__(self, index: int) -> Episode: ...
    @overload
    def __getitem__(self, index: slice) -> Episodes: ...
    def __getitem__(self, index: int | slice) -> Episode | Episodes:
        if isinstance(index, slice):
            return Episodes(self.encoding, self._episodes[index])
        return self._episodes[index]

    def __repr__(self) -> str:
        steps = sum(map(len, self._episodes))
        return f"<health_gym.rl.Episodes: {len(self)} patients, {steps} steps>"

    def to_d3rlpy(self) -> Any:
        """The episodes as a ``d3rlpy.dataset.MDPDataset`` of discrete actions.

        An action is its number in :attr:`Encoding.combinations`; :meth:`Encoding.from_index` leads back.
        A truncated episode has a row more, for the observation after its last step, as d3rlpy wants it.

        Returns
        -------
        d3rlpy.dataset.MDPDataset
            Observations ``[F]`` float32, ``A`` actions.

        Raises
        ------
        ImportError
            Where d3rlpy is not installed.
        """
        np = require("numpy", "episodes")
        dataset = require("d3rlpy.dataset", "d3rlpy data sets")
        constants = require("d3rlpy.constants", "d3rlpy data sets")
        self._refuse_none()
        rows = [_rows_for_d3rlpy(np, episode) for episode in self._episodes]
        observations, actions, rewards, terminals, timeouts = (
            np.concatenate([of_episode[part] for of_episode in rows]) for part in range(5)
        )
        return dataset.MDPDataset(
            observations=observations,
            actions=self.encoding.to_index(actions)[:, None],
            rewards=rewards.astype(np.float32)[:, None],
            terminals=terminals.astype(np.float32),
            timeouts=timeouts.astype(np.float32),
            action_space=constants.ActionSpace.DISCRETE,
            action_size=len(self.encoding.combinations),
        )

    def to_minari(self, dataset_id: str, **described: Any) -> Any:
        """Write the episodes as a Minari data set, to the local folder of Minari's.

        Parameters
        ----------
        dataset_id
            As ``"art-for-hiv/synthetic-v0"``.
        described
            What ``minari.create_dataset_from_buffers`` takes besides: `author`, `description`,
            `algorithm_name`, …

        Returns
        -------
        minari.MinariDataset
            Observations in ``Box [F]`` float32, actions in ``MultiDiscrete [K]``.

        Raises
        ------
        ImportError
            Where Minari is not installed.
        """
        np = require("numpy", "episodes")
        minari = require("minari", "Minari data sets")
        spaces = require("gymnasium.spaces", "Minari data sets")
        buffers = require("minari.data_collector.episode_buffer", "Minari data sets")
        self._refuse_none()
        least, greatest = self.encoding.bounds
        made = [
            buffers.EpisodeBuffer(
                id=number,
                observations=episode.observations,
                actions=episode.actions,
                rewards=episode.rewards.tolist(),
                terminations=episode.terminations.tolist(),
                truncations=episode.truncations.tolist(),
                infos={},
            )
            for number, episode in enumerate(self._episodes)
        ]
        return minari.create_dataset_from_buffers(
            dataset_id,
            made,
            observation_space=spaces.Box(least, greatest, dtype=np.float32),
            action_space=spaces.MultiDiscrete([len(levels) for levels in self.encoding.action_levels]),
            **described,
        )

    def _refuse_none(self) -> None:
        if not self._episodes:
            text = "no patient has two rows, so there is no step"
            raise BadInputError(f"{text}\nhint: check the patient column")


def _rows_for_d3rlpy(np: Any, episode: Episode) -> tuple[Any, ...]:
    """(observations, actions, rewards, terminals, timeouts); d3rlpy's episodes have as many observations
    as actions, and the last of a truncated one is seen but not acted on.
    """
    columns = (episode.actions, episode.rewards, episode.terminations, episode.truncations)
    if episode.terminations[-1]:
        return episode.observations[:-1], *columns
    actions, rewards, terminals, timeouts = columns
    return (
        episode.observations,
        np.concatenate([actions, actions[-1:]]),
        np.append(rewards, 0.0),
        np.append(terminals, False),
        np.append(np.zeros_like(timeouts), True),
    )


def episodes(
    data: Any,
    schema: Schema,
    *,
    death: Mapping[str, Any] | None = None,
    reward: Reward | None = None,
) -> Episodes:
    """A cohort as episodes, by the schema's ``[decision]``.

    An observation is what a row shows besides the actions, an action a level of each column that is
    decided, and a step's reward the weighted sum of encoded columns of the row after it. The end of
    follow-up is a truncation: what the patient would still have got is to be estimated. A death is a
    termination: nothing comes after it. Patients with one row have no step and are left out.

    The encoding is fitted to this cohort. For a second one, as the synthetic beside the real, take
    ``.encoding.episodes(second)``, so that both have the same observations and actions.

    Parameters
    ----------
    data
        A pandas, polars or pyarrow table, a dict of several, or a path.
    schema
        With a ``[decision]``.
    death
        A column and its level that mean that the patient has died, as ``{"status": "dead"}``. Of a static
        column it is the last row that the patient dies at; of another the first that shows the level, and
        rows after it are left out. Without `death` every episode ends in a truncation. The column is no
        part of observations: it would tell how it ends.
    reward
        In place of the schema's: from numeric columns by name, each ``[rows]`` in its own unit, to the
        rewards ``[rows]`` of reaching these rows; as :func:`art_for_hiv_reward`.

    Returns
    -------
    Episodes
        A sequence of :class:`Episode`, with ``.to_d3rlpy()``, ``.to_minari()`` and ``.encoding``.

    Raises
    ------
    BadInputError
        For a schema without ``[decision]``, a `death` that is no column with that level, and everything
        in the table that does not fit the schema.

    Examples
    --------
    >>> schema = Schema.load("data-schemas/art-for-hiv.toml")
    >>> real = episodes(simulate_art_for_hiv(100), schema)
    >>> real[0].observations.shape, real[0].actions.shape
    ((60, 15), (59, 5))
    """
    encoding = Encoding.__new__(Encoding)
    return encoding._fit(data, schema, death, reward)
