"""Cohorts as episodes for offline reinforcement learning, and simulated HIV patients as an environment.

:func:`episodes` turns a real or a synthetic cohort into episodes by the schema's ``[decision]``, for
d3rlpy and Minari. ``health_gym/ArtForHiv-v0`` is a Gymnasium environment of simulated HIV patients, in
which a policy that was learnt from a cohort can be run.

There is no environment of a model that was learnt from data. The generator is bidirectional: what it
makes of a month depends on the months after it, so that it cannot answer an action, and a policy that is
"run" in it would be judged by a course that knew what came later.

Needs NumPy; Gymnasium, d3rlpy and Minari only where they are used.

Examples
--------
>>> import gymnasium as gym
>>> from health_gym import Schema, simulate_art_for_hiv
>>> from health_gym.rl import episodes
>>> schema = Schema.load("data-schemas/art-for-hiv.toml")
>>> cohort = episodes(simulate_art_for_hiv(100), schema)
>>> cohort.to_d3rlpy()
>>> environment = gym.make("health_gym/ArtForHiv-v0", encoding=cohort.encoding)
"""

from health_gym.rl._encoding import Encoding
from health_gym.rl._episodes import Episode, Episodes, episodes
from health_gym.rl._registration import ENVIRONMENT, register
from health_gym.rl._reward import art_for_hiv_reward

__all__ = [
    "ENVIRONMENT",
    "Encoding",
    "Episode",
    "Episodes",
    "art_for_hiv_reward",
    "episodes",
    "register",
]

register()
