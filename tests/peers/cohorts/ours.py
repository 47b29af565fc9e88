"""Health Gym in Rust by the interface of the others (needs pandas).

ours.py … --hg HG --table TABLE.csv --schema SCHEMA.toml --held-out SHARE --run RUN

`hg train` splits the whole table itself, as `cut.py` does, so it is given that. The CPU minutes are those
of `hg train`, with the cohort and the report that it ends with.
"""

import argparse
import os
import subprocess

import pandas as pd
from cohort import Task, cpu_seconds, plain

task = Task()
parser = argparse.ArgumentParser()
for name in ["hg", "table", "schema", "held-out", "run"]:
    parser.add_argument(f"--{name}", required=True)
ours = parser.parse_args(task.others)
environment = {**os.environ, "RAYON_NUM_THREADS": "1"}


def hg(*arguments):
    subprocess.run([ours.hg, *map(str, arguments)], env=environment, check=True, stdout=2)


begun = cpu_seconds()
hg("train", "--data", ours.table, "--schema", ours.schema, "--held-out", ours.held_out,
   "--seed", task.seed, "--minutes", task.minutes, "--out", ours.run)
seconds = cpu_seconds() - begun
made = task.arguments.out.with_suffix(".made.csv")
hg("generate", ours.run, "--patients", task.patients, "--seed", task.seed, "--out", made)
task.write(plain(pd.read_csv(made, dtype=str), task.meta))
with open(f"{ours.run}/metrics.jsonl") as lines:
    iterations = sum(1 for _ in lines)
task.done(seconds, f"{iterations:,} iterations")
