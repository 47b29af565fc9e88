"""One wide table of several shipped ones, for programs that take one: a row per patient and time.

python wide.py icu-nutrition|nafld OUT.csv     (needs pandas)

`icu-nutrition` is `daily.csv` with each patient's statics. `nafld` has a row for each day on which a
person has a result or a diagnosis: a column a test (the mean, where a test was repeated that day) and a
column a diagnosis (1 on the day it was made, else 0), with each person's statics.
"""

import sys
from pathlib import Path

import pandas as pd

DATA = Path(__file__).parents[3] / "data"


def icu_nutrition():
    patients, daily = (read("icu-nutrition", name) for name in ["patients", "daily"])
    return daily.merge(patients, on="CombinedID", validate="m:1")


def nafld():
    patients, labs, events = (read("nafld", name) for name in ["patients", "labs", "events"])
    labs["value"] = labs["value"].astype(float)
    labs = labs.groupby(["id", "days", "test"])["value"].mean().unstack()
    events = events.groupby(["id", "days", "event"]).size().clip(upper=1).unstack()
    rows = labs.join(events, how="outer")
    rows[events.columns] = rows[events.columns].fillna(0).astype(int)
    rows = rows.reset_index().astype({"days": int})
    rows = rows.merge(patients.drop(columns="case.id"), on="id", validate="m:1")
    return rows.sort_values(["id", "days"], key=lambda column: column.astype(int))


def read(folder, name):
    return pd.read_csv(DATA / folder / f"{name}.csv", dtype=str)


if __name__ == "__main__":
    make = {"icu-nutrition": icu_nutrition, "nafld": nafld}[sys.argv[1]]
    make().to_csv(sys.argv[2], index=False)
