"""synthcity's TimeVAE: static data, a frame of rows for each patient and their times
(needs synthcity, opacus < 1.5).

https://synthcity.readthedocs.io/en/latest/ ("TimeVAE"). It knows no missing cells: it gets `Filled`, with
levels as codes, which it encodes as it finds them. It wants an outcome of each sequence: that is the last
static column. Its observation times are the rows' numbers, and gaps of time a feature: times themselves came
back as next to 0 on pbc, in no order.

Where lengths differ it would mask every feature by a feature of its own, and drop each row that it makes
of which one is masked: next to none remained of pbc. So sequences are filled up with their last row to the
longest, and one more feature says which rows are there.
"""

import logging
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from cohort import Filled, Task, fit_within, one_thread

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from synthcity.plugins import Plugins  # noqa: E402
from synthcity.plugins.core.dataloader import TimeSeriesDataLoader  # noqa: E402
from synthcity.utils.reproducibility import enable_reproducible_results  # noqa: E402

logging.disable(logging.WARNING)
task = Task()
one_thread(task.seed)
enable_reproducible_results(task.seed)
filled = Filled(task, task.table())
static = sorted(filled.static, key=lambda name: name == task.static[-1])
varying = list(filled.varying)

codes = filled.table.copy()
for name, levels in filled.levels.items():
    codes[name] = codes[name].map({level: n for n, level in enumerate(levels)}).astype(float)
THERE = "row is there"
lengths = codes[task.patient].value_counts()


def filled_up(rows):
    """With the last row again and again."""
    more = lengths.max() - len(rows)
    last = rows.iloc[[-1] * more].assign(**{THERE: 0.0})
    return pd.concat([rows.assign(**{THERE: 1.0}), last], ignore_index=True)


patients = [filled_up(rows) for _, rows in codes.groupby(task.patient, sort=False)]
if lengths.nunique() > 1:
    varying.append(THERE)
subjects = pd.DataFrame([rows.loc[0, static].astype(float) for rows in patients])
subjects = subjects.reset_index(drop=True)
loader = TimeSeriesDataLoader(
    temporal_data=[rows[varying].astype(float) for rows in patients],
    observation_times=[list(range(len(rows))) for rows in patients],
    static_data=subjects[static[:-1]],
    outcome=subjects[static[-1:]],
)


def fit(epochs):
    with TemporaryDirectory() as workspace:
        model = Plugins(categories=["time_series"]).get(
            "timevae",
            n_iter=epochs,
            random_state=task.seed,
            device="cpu",
            workspace=Path(workspace),
        )
        # Else it draws anew until every row lies within the ranges of the table, and seldom ends.
        model.strict = False
        model.fit(loader)
    return model


model, seconds, epochs = fit_within(task.minutes, fit)
made = model.generate(count=task.patients)
made_static, made_rows, _, made_outcome = made.unpack()
made_static = made_static.join(made_outcome)
parts = []
for n, rows in enumerate(made_rows):
    rows = rows.reset_index(drop=True)
    rows = rows.assign(**{name: made_static.iloc[n][name] for name in static}, **{task.patient: n})
    if THERE in varying:
        there = (rows[THERE] > 0.5).cumprod().astype(bool)
        there.iloc[0] = True
        rows = rows[there]
    parts.append(rows)
cohort = pd.concat(parts, ignore_index=True)
for name, levels in filled.levels.items():
    at = cohort[name].astype(float).round().clip(0, len(levels) - 1)
    cohort[name] = np.array(levels, dtype=object)[at.fillna(0).astype(int)]
task.write(filled.back(cohort))
task.done(seconds, f"{epochs} epochs")
