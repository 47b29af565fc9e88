"""What is good for a patient with HIV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from health_gym import _native
from health_gym._frames import require

if TYPE_CHECKING:
    import numpy.typing as npt


def art_for_hiv_reward(columns: Mapping[str, Any]) -> npt.NDArray[Any]:
    """The reward of months with these viral loads and CD4 counts, as the environment gives it.

    With V the viral load in copies/ml and T the CD4 count in cells/µl::

        r = −0.7 log₁₀ V + 0.6 log₁₀ T   where V is above the detection limit of 20 copies/ml
            5 + 0.6 log₁₀ T              where it is not

    after Parbhoo et al. (*Combining kernel and model based learning for HIV therapy selection*, AMIA Jt.
    Summits Transl. Sci. Proc. 2017: 239–248), without its term for mutations, as Kuo et al. (Sci. Data
    9:693, 2022, https://doi.org/10.1038/s41597-022-01784-7) have it. Numbers below 0.01 count as that.

    Parameters
    ----------
    columns
        ``"VL"`` and ``"CD4"``, each ``[rows]``: a dict of arrays, or a table.

    Returns
    -------
    rewards
        ``[rows]``, float64.

    Examples
    --------
    >>> episodes(cohort, schema, reward=art_for_hiv_reward)
    """
    np = require("numpy", "rewards")
    virus, cells = (np.ascontiguousarray(columns[name], np.float64) for name in ("VL", "CD4"))
    rewards: npt.NDArray[Any] = np.empty(virus.shape)
    _native.art_for_hiv_reward(virus, cells, rewards)
    return rewards
