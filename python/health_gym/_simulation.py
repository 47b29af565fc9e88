"""Simulated patients, who are nobody's data."""

from __future__ import annotations

from typing import Any

from health_gym import _native
from health_gym._errors import refuse_fork, whole
from health_gym._frames import Form, Kind


def simulate_art_for_hiv(patients: int, seed: int = 0, *, frame_type: Kind | None = None) -> Any:
    """Simulate HIV patients under antiretroviral therapy, in the columns of the Health Gym's table.

    Six equations of T-cells, virus and immune response (Adams et al., Math. Biosci. Eng. 1(2), 2004),
    60 months for each patient, treated as guidelines say. They are the patients of
    ``hg simulate art-for-hiv``.

    Parameters
    ----------
    patients
        How many.
    seed
        The same seed gives the same patients.
    frame_type
        "pandas", "polars" or "pyarrow"; by default the first that is installed.

    Returns
    -------
    table
        60 × `patients` rows, 15 columns.
    """
    patients, seed = whole("patients", patients, 1, 2**63 - 1), whole("seed", seed, 0, 2**64 - 1)
    refuse_fork()
    return Form().give([("", _native.simulate_art_for_hiv(patients, seed))], frame_type)
