"""Writes privacy.json: ε of Poisson-sampled Gaussian mechanisms by Google's dp-accounting.

    pip install dp-accounting==0.6.0
    python tests/golden/privacy_goldens.py
"""

import itertools
import json
import pathlib

from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
from dp_accounting.rdp import RdpAccountant

NOISES = [0.5, 0.7, 1, 1.5, 2.5, 4, 9, 30]
RATES = [1e-4, 1e-3, 0.01, 0.0327, 0.1, 0.5, 1]
STEPS = [1, 100, 5000, 50000]
DELTAS = [1e-5, 1e-6, 3.2e-4]


def epsilon(release, rate, noise, steps, delta):
    accountant = RdpAccountant()
    if release is not None:
        accountant.compose(GaussianDpEvent(release))
    accountant.compose(PoissonSampledDpEvent(rate, GaussianDpEvent(noise)), steps)
    return accountant.get_epsilon(delta)


def main():
    rows = []
    grid = [(None, *row) for row in itertools.product(RATES, NOISES, STEPS, DELTAS)]
    grid += [(release, rate, 2.5, 5000, 1e-6) for release in (2, 12.8, 50) for rate in RATES]
    for release, rate, noise, steps, delta in grid:
        value = epsilon(release, rate, noise, steps, delta)
        row = {"release": release, "rate": rate, "noise": noise, "steps": steps, "delta": delta}
        rows.append(row | {"epsilon": float(value)})
    lines = ",\n".join(json.dumps(row) for row in rows)
    pathlib.Path(__file__).with_name("privacy.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
