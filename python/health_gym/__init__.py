"""Synthetic clinical cohorts from private ones.

A :class:`Schema` says what the columns of a table are, a :class:`HealthGym` is fitted to the table and
makes synthetic patients, and :func:`evaluate` says whether these are real enough, private and useful.
:mod:`health_gym.rl` turns cohorts into episodes, and simulated HIV patients into an environment.

The method is that of Kuo et al. (*The Health Gym*, Scientific Data 9:693, 2022,
https://doi.org/10.1038/s41597-022-01784-7): a Wasserstein GAN with gradient penalty whose networks are
bidirectional LSTMs.

Examples
--------
>>> import pandas as pd
>>> from health_gym import HealthGym, Schema, evaluate
>>> real = pd.read_csv("data/pbc/pbcseq.csv")
>>> schema = Schema.infer(real)
>>> model = HealthGym(schema, seed=1, minutes=5).fit(real)
>>> synthetic = model.sample(312)
>>> evaluate(real, synthetic, schema).save("report")
"""

import os

# polars knows time zones by name; with this it keeps those that are an offset, as +05:30.
os.environ.setdefault("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1")

from health_gym._errors import BadInputError, HealthGymError, HealthGymWarning
from health_gym._model import HealthGym
from health_gym._native import __version__
from health_gym._report import Answer, Report, evaluate
from health_gym._schema import Schema
from health_gym._simulation import simulate_art_for_hiv

__all__ = [
    "Answer",
    "BadInputError",
    "HealthGym",
    "HealthGymError",
    "HealthGymWarning",
    "Report",
    "Schema",
    "__version__",
    "evaluate",
    "simulate_art_for_hiv",
]
