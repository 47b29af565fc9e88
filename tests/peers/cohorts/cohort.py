"""What the programs beside ours have in common: arguments, one thread, a budget, a form of tables.

Each of `par.py`, `argn.py`, `dgan.py`, `timevae.py` and `ours.py` is called as

    NAME.py --data TABLE.csv --meta META.json --minutes M --seed S --patients N --out COHORT.csv

with what `cut.py` writes. It trains on one thread for about M minutes of CPU time, writes a cohort of N
patients in the table's columns, and prints one line of JSON: `cpu_minutes` of training (preprocessing
included, sampling not) and `trained`, in words.
"""

import argparse
import json
import os
import random
import resource
import time
from pathlib import Path

# Before any library starts its threads.
for threads in ["OMP", "MKL", "OPENBLAS", "NUMEXPR"]:
    os.environ[f"{threads}_NUM_THREADS"] = "1"
os.environ["LOKY_MAX_CPU_COUNT"] = "1"

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

ROW_OF_PATIENT = "row of patient"
MISSING = "missing"


class Task:
    """What a program is asked for, and how it answers."""

    def __init__(self):
        parser = argparse.ArgumentParser()
        parser.add_argument("--data", type=Path, required=True)
        parser.add_argument("--meta", type=Path, required=True)
        parser.add_argument("--minutes", type=float, required=True)
        parser.add_argument("--seed", type=int, required=True)
        parser.add_argument("--patients", type=int, required=True)
        parser.add_argument("--out", type=Path, required=True)
        self.arguments, self.others = parser.parse_known_args()
        self.minutes, self.seed = self.arguments.minutes, self.arguments.seed
        self.patients = self.arguments.patients
        self.meta = json.loads(self.arguments.meta.read_text())
        self.patient, self.time = self.meta["patient"], self.meta["time"]
        self.static, self.levels = self.meta["static"], self.meta["levels"]
        self.varying = [name for name in self.meta["columns"] if name not in self.static]

    def table(self):
        """The table to train on, sorted: numbers, and levels as texts."""
        table = pd.read_csv(self.arguments.data, dtype={self.patient: str, **texts(self.meta)})
        return table.sort_values([self.patient, self.time], kind="stable").reset_index(drop=True)

    def write(self, cohort):
        """Writes the cohort: numbers with the decimals that the table has, times in order."""
        table = self.table()
        cohort = cohort[[self.patient, self.time, *self.meta["columns"]]].copy()
        cohort[self.patient] = pd.factorize(cohort[self.patient])[0] + 1
        for name in [self.time, *self.meta["columns"]]:
            if name not in self.levels:
                numbers = pd.to_numeric(cohort[name], errors="coerce").astype(float)
                cohort[name] = numbers.round(decimals(table[name]))
        cohort = cohort.sort_values([self.patient, self.time], kind="stable")
        cohort.to_csv(self.arguments.out, index=False)

    def done(self, seconds, trained):
        print(json.dumps({"cpu_minutes": seconds / 60, "trained": trained}))


def one_thread(seed):
    """PyTorch and everybody else on one thread, with a seed."""
    import torch

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def cpu_seconds():
    """Of this process and of those it has started and waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def timed(make):
    begun = cpu_seconds()
    return make(), cpu_seconds() - begun


def fit_within(minutes, fit):
    """`fit(epochs)` with as many epochs as the minutes of CPU time hold, and the seconds it took.

    What an epoch costs is measured first, with few of them; that time does not count.
    """
    budget = 60 * minutes
    fit(1)  # The first one pays for what is made once.
    _, one = timed(lambda: fit(1))
    more, several = 1, one
    while several - one < budget / 40 and several < budget:
        more *= 3
        _, several = timed(lambda: fit(more))
    each = (several - one) / (more - 1) if several > one else one
    epochs = max(1, int((budget - max(one - each, 0)) / each))
    model, seconds = timed(lambda: fit(epochs))
    return model, seconds, epochs


def texts(meta):
    return {name: str for name in meta["levels"]}


def plain(table, meta):
    """The table in the plain form: a censored text as its value, a level as the schema writes it."""
    table = table[[meta["patient"], meta["time"], *meta["columns"]]].copy()
    for name, censored in meta["censored"].items():
        table[name] = table[name].astype(str).replace(censored["text"], str(censored["value"]))
    for name in [meta["time"], *meta["columns"]]:
        if name in meta["levels"]:
            table[name] = table[name].map(lambda cell: level(cell, meta["levels"][name]))
        else:
            table[name] = pd.to_numeric(table[name], errors="coerce")
    return table


def like_table(cohort, meta):
    """A plain cohort in the table's own form: censored values as their text, levels typed."""
    cohort = cohort.copy()
    for name, censored in meta["censored"].items():
        at = cohort[name] >= censored["value"]
        cohort[name] = cohort[name].map(lambda n: f"{n:g}", na_action="ignore").mask(at, censored["text"])
    for name, levels in meta["levels"].items():
        if all(number(text) is not None for text in levels):
            cohort[name] = cohort[name].astype(float)
            if all("." not in text for text in levels):
                cohort[name] = cohort[name].astype("Int64")
    return cohort


def level(cell, levels):
    if pd.isna(cell) or str(cell) in levels:
        return cell if pd.isna(cell) else str(cell)
    value = number(cell)
    same = (text for text in levels if value is not None and number(text) == value)
    return next(same, str(cell))


def number(text):
    try:
        return float(text)
    except ValueError:
        return None


def decimals(numbers, most=6):
    """The least number of decimals that writes nearly all of these numbers."""
    numbers = numbers.dropna().to_numpy(float)
    exact = (n for n in range(most) if np.mean(np.abs(numbers - numbers.round(n)) < 1e-9) > 0.99)
    return next(exact, most)


class Filled:
    """A table without missing cells, for programs that take none, and the way back.

    A missing number is the patient's value before it, else the one after, else the column's median; a
    column of two levels beside it says where it was missing. A missing level is a level of its own. The
    time of a row is its distance from the row before, and that of the first row a static number.
    """

    def __init__(self, task, table):
        self.task = task
        table = table.copy()
        groups = table.groupby(task.patient, sort=False)
        table["first time"] = groups[task.time].transform("first")
        table["gap"] = groups[task.time].diff().fillna(0)
        self.static, self.varying = [*task.static, "first time"], [*task.varying, "gap"]
        self.levels = {name: list(levels) for name, levels in task.levels.items()}
        self.marks = {}
        for name in task.meta["columns"]:
            at = table[name].isna()
            if not at.any():
                continue
            if name in self.levels:
                self.levels[name].append(MISSING)
                table[name] = table[name].fillna(MISSING)
                continue
            near = table[name].groupby(table[task.patient])
            filled = near.ffill().fillna(near.bfill()).fillna(table[name].median())
            mark = self.marks[name] = f"{name} {MISSING}"
            self.levels[mark] = ["0", "1"]
            (self.static if name in self.static else self.varying).append(mark)
            table = table.assign(**{name: filled, mark: at.astype(int).astype(str)})
        self.table = table

    def back(self, cohort):
        """With the cells missing that are marked so, and the times of rows."""
        task = self.task
        cohort = cohort.copy()
        gaps = cohort["gap"].astype(float).clip(lower=0)
        gaps = gaps.where(cohort.duplicated(task.patient), 0)
        times = gaps.groupby(cohort[task.patient]).cumsum() + cohort["first time"].astype(float)
        cohort[task.time] = times
        for name, mark in self.marks.items():
            cohort.loc[cohort[mark].astype(str) == "1", name] = np.nan
        for name in task.levels:
            cohort[name] = cohort[name].astype(object).where(cohort[name].astype(str) != MISSING)
        return cohort
