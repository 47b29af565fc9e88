"""MostlyAI's TabularARGN: a table of subjects, and a sequential table with it as context
(needs mostlyai[local]).

https://mostly-ai.github.io/mostlyai-engine/ ("TabularARGN for Sequential Data"). Times are dates, encoded
relative to the row before, as its documentation says for sequences in time. Its own time limit and early
stopping end the training: a fifth of the budget at most is the subjects', the rest the sequences'. The
limit is told CPU time in place of the wall's.
"""

import time
import types
import warnings

from cohort import Task, cpu_seconds, one_thread

warnings.filterwarnings("ignore")

import mostlyai.engine._tabular.training as training  # noqa: E402
import pandas as pd  # noqa: E402
from mostlyai.engine import TabularARGN  # noqa: E402

UNITS = {"seconds": "s", "minutes": "min", "hours": "h", "days": "D"}

task = Task()
one_thread(task.seed)
training.time = types.SimpleNamespace(**{**vars(time), "time": time.process_time})
table = task.table()
# What has no length in seconds, as months, goes by days.
ORIGIN, UNIT = pd.Timestamp("2000-01-01"), pd.Timedelta(1, UNITS.get(task.meta["unit"], "D"))

ENCODINGS = {True: "TABULAR_CATEGORICAL", False: "TABULAR_NUMERIC_AUTO"}
statics = table.groupby(task.patient, sort=False)[task.static].first().reset_index()
rows = table[[task.patient, task.time, *task.varying]].copy()
rows[task.time] = ORIGIN + rows[task.time] * UNIT
of_subjects = {name: ENCODINGS[name in task.levels] for name in task.static}
of_rows = {name: ENCODINGS[name in task.levels] for name in task.varying}
of_rows[task.time] = "TABULAR_DATETIME_RELATIVE"

begun = cpu_seconds()
common = {"device": "cpu", "random_state": task.seed}
subjects = TabularARGN(
    tgt_primary_key=task.patient,
    tgt_encoding_types=of_subjects,
    max_training_time=task.minutes / 5,
    **common,
)
subjects.fit(statics)
sequences = TabularARGN(
    tgt_context_key=task.patient,
    ctx_primary_key=task.patient,
    ctx_data=statics,
    tgt_encoding_types=of_rows,
    ctx_encoding_types=of_subjects,
    max_training_time=max(task.minutes - (cpu_seconds() - begun) / 60, 0.1),
    **common,
)
sequences.fit(rows)
seconds = cpu_seconds() - begun

made = subjects.sample(n_samples=task.patients, rare_category_replacement_method="SAMPLE")
made[task.patient] = [f"made-{n}" for n in range(len(made))]
cohort = sequences.sample(ctx_data=made, rare_category_replacement_method="SAMPLE")
cohort = cohort.merge(made, on=task.patient, suffixes=("", " of subject"))
cohort[task.time] = (pd.to_datetime(cohort[task.time]) - ORIGIN) / UNIT
task.write(cohort)
within = "to its early stop" if seconds < 55 * task.minutes else "to the time limit"
task.done(seconds, within)
