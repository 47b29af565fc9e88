"""Temporal metrics of Perkonoja et al. (2026, arXiv:2602.10643) of a small cohort, term by term.

python trajectory_goldens.py FOLDER   (needs numpy)

They follow the authors' program, github.com/Katsk1/Temporal-preservation-metrics (commit 530a68a,
src/helpers.R), with a bandwidth of one point of the grid; hg-eval computes the same from sums.
"""

import json
import sys
from pathlib import Path

import numpy as np

rng = np.random.default_rng(20260211)
POINTS, PATIENTS = 13, 30
# Values beyond so many bandwidths have weights that vanish in rounding, and count in no quantile.
REACH = 6
PROBABILITIES = [0.1, 0.25, 0.5, 0.75, 0.9]


def kernel(distance):
    return np.exp(-np.square(distance) / 2)


# Patients with one to eight values at irregular times, two of which may be the same; the last grid
# point has one value with little beside it, so that its lowest quantiles are missing.
numbers, levels = [], []
for patient in range(PATIENTS):
    t = np.sort(rng.integers(0, POINTS - 3, rng.integers(1, 9)))
    x = (20 + rng.normal() + 0.3 * t + 0.5 * rng.normal(size=len(t)).cumsum()).round(1)
    numbers.append([[int(a), float(b)] for a, b in zip(t, x)])
    state = np.where(rng.random(len(t)) < 0.3, rng.integers(0, 3, len(t)), patient % 3)
    levels.append([[int(a), int(b)] for a, b in zip(t, state)])
numbers[0].append([POINTS - 1, 12.5])


def flat(patients):
    rows = [row for patient in patients for row in patient]
    return np.array([t for t, _ in rows]), np.array([x for _, x in rows])


def quantiles(t):
    order = np.argsort(values, kind="stable")
    order = order[np.abs(t - times[order]) <= REACH]
    weights = kernel(t - times)[order]
    cumulative = np.cumsum(weights / weights.sum())
    # R's approx: in a line between values, and nothing below the first one's weight.
    return [float(np.interp(p, cumulative, values[order])) for p in PROBABILITIES if p >= cumulative[0]]


times, values = flat(numbers)
mean, variance = [], []
for t in range(POINTS):
    w = kernel(t - times) / kernel(t - times).sum()
    mean.append((w * values).sum())
    variance.append((w * (values - mean[-1]) ** 2).sum())

lags, squares = [], []
for patient in numbers:
    residuals = [(t, x - mean[t]) for t, x in patient]
    for j in range(len(residuals)):
        for l in range(j):
            lags.append(abs(residuals[j][0] - residuals[l][0]))
            squares.append((residuals[j][1] - residuals[l][1]) ** 2)
lags, squares = np.array(lags), np.array(squares)
variogram = [0.5 * (kernel(u - lags) * squares).sum() / kernel(u - lags).sum() for u in range(POINTS)]

at = [quantiles(t) for t in range(POINTS)]
assert min(map(len, at)) < len(PROBABILITIES)
variability = []
for patient in numbers:
    ranks = [np.searchsorted([-np.inf, *at[t], np.inf], x, side="right") for t, x in patient]
    if len(ranks) > 1:
        variability.append(np.diff(ranks).mean() / 5)

level_times, states = flat(levels)
shares, transitions = [], []
for t in range(POINTS):
    w = kernel(t - level_times)
    shares += [w[states == l].sum() / w.sum() for l in range(3)]
    sums = np.zeros((3, 3))
    for patient in levels:
        for (a, l), (b, m) in zip(patient, patient[1:]):
            sums[l, m] += kernel(max(abs(t - a), abs(t - b)))
    transitions += (sums / sums.sum(1, keepdims=True)).ravel().tolist()

goldens = {
    "points": POINTS, "numbers": numbers, "levels": levels, "mean": mean, "variance": variance,
    "variogram": variogram, "pairs": np.bincount(lags, minlength=POINTS).tolist(), "quantiles": at,
    "rank_variability": variability, "shares": shares, "transitions": transitions,
}
(Path(sys.argv[1]) / "trajectories.json").write_text(json.dumps(goldens) + "\n")
