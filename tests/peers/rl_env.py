"""Months a second of `health_gym/ArtForHiv-v0` and of the same model in NumPy and SciPy.

    PYTHONPATH=python python tests/peers/rl_env.py [ROUNDS] [SECONDS]

Each of ROUNDS rounds runs every candidate for SECONDS, one after the other, so that what else the machine
does falls on all; medians are printed. All treat patients with the regimens that the usual policy begins
with, drawn at random for SciPy's, and solve to a relative error of 1e-5.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count

import gymnasium as gym
import health_gym.rl  # noqa: F401
import numpy as np
from hiv_scipy import Patients

ENVIRONMENT = "health_gym/ArtForHiv-v0"
TOGETHER = 256


def ours() -> Iterator[int]:
    environment = gym.make(ENVIRONMENT)
    for seed in count():
        _, info = environment.reset(seed=seed)
        is_over = False
        while not is_over:
            _, _, _, is_over, info = environment.step(info["usual_action"])
            yield 1


def ours_vectorised() -> Iterator[int]:
    environment = gym.make_vec(ENVIRONMENT, num_envs=TOGETHER)
    _, info = environment.reset(seed=0)
    while True:
        *_, info = environment.step(info["usual_action"])
        yield TOGETHER


def scipys(patients: int) -> Iterator[int]:
    regimens = first_regimens(patients)
    environment = Patients(patients)
    for seed in count():
        environment.reset(seed)
        is_over = False
        while not is_over:
            _, _, is_over = environment.step(regimens)
            yield patients


def first_regimens(patients: int) -> np.ndarray:
    environment = gym.make_vec(ENVIRONMENT, num_envs=patients)
    _, info = environment.reset(seed=0)
    return info["usual_action"]


CANDIDATES: dict[str, Callable[[], Iterator[int]]] = {
    "single, ours": ours,
    "single, SciPy (LSODA)": lambda: scipys(1),
    f"{TOGETHER} at once, ours": ours_vectorised,
    f"{TOGETHER} at once, SciPy (RK45 over all)": lambda: scipys(TOGETHER),
}


def main(rounds: int, seconds: float) -> None:
    running = {name: make() for name, make in CANDIDATES.items()}
    rates: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for steps in running.values():
        next(steps)
    for _ in range(rounds):
        for name, steps in running.items():
            begun, done = time.perf_counter(), 0
            while (taken := time.perf_counter() - begun) < seconds:
                done += next(steps)
            rates[name].append(done / taken)
    medians = {name: statistics.median(of) for name, of in rates.items()}
    for name, median in medians.items():
        low, high = min(rates[name]), max(rates[name])
        print(f"{name:36} {median:10,.0f} months/s   ({low:,.0f} to {high:,.0f})")
    single, single_scipy, vector, vector_scipy = medians.values()
    factors = {"single": single / single_scipy, "vectorised": vector / vector_scipy}
    print(json.dumps({"months_per_second": medians, "times_as_fast": factors}))


if __name__ == "__main__":
    given = sys.argv[1:]
    main(int(given[0]) if given else 5, float(given[1]) if len(given) > 1 else 2.0)
