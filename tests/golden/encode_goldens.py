"""The shipped cohorts' encoded rows by pandas, scipy and scikit-learn, for the tests of
hg-data: the first 40 patients of each, as f32.

python encode_goldens.py FOLDER   (needs pandas, scipy, scikit-learn, safetensors)
"""

import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save_file
from scipy.stats import boxcox
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder

root = Path(__file__).parents[2]
PATIENTS = 40


def encode(schema, table, step, max_length=10**9):
    schema = tomllib.loads((root / schema).read_text())
    raw = pd.read_csv(root / table, dtype=str, keep_default_na=False, na_values=[""])
    patient, time = schema["patient"]["column"], schema["time"]["column"]
    data = pd.DataFrame({"patient": raw[patient].astype(int), "time": raw[time].astype(float)})
    for column in schema["columns"]:
        name, cells = column["name"], raw[column["name"]]
        if column["kind"] == "numeric":
            if "censored" in column:
                cells = cells.replace(column["censored"]["text"], str(column["censored"]["value"]))
            data[name] = cells.astype(float)
        else:
            levels = column["levels"]
            as_level = str if isinstance(levels[0], str) else float
            places = {as_level(level): n for n, level in enumerate(levels)}
            data[name] = cells.map(lambda cell: places[as_level(cell)], na_action="ignore").astype(float)
    # A regular grid, whatever the schema's steps are: nearest step since the first row, the last value measured in each.
    data = data.sort_values(["patient", "time"], kind="stable")
    since = data["time"] - data.groupby("patient")["time"].transform("min")
    data["step"] = np.floor(since / step + 0.5).astype(int)
    data = data[data["step"] < max_length]
    grid = data.drop(columns="time").groupby(["patient", "step"]).last()
    lengths = grid.reset_index().groupby("patient")["step"].max() + 1
    index = [(p, step) for p, length in lengths.items() for step in range(length)]
    grid = grid.reindex(pd.MultiIndex.from_tuples(index, names=["patient", "step"]))
    filled = grid.groupby("patient").ffill().groupby("patient").bfill()

    numeric, discrete, flags = [], [], []
    for column in schema["columns"]:
        name = column["name"]
        observed = grid[name].dropna().to_numpy()
        if column["kind"] == "numeric":
            values = filled[name].fillna(np.median(observed)).to_numpy()
            transform = column.get("transform", "identity")
            if transform == "box-cox":
                shift = column.get("shift", 0.0)
                shown, lam = boxcox(observed + shift)
                values = boxcox(values + shift, lam)
            elif transform == "log1p":
                shown, values = np.log1p(observed), np.log1p(values)
            else:
                shown = observed
            scaler = MinMaxScaler().fit(shown[:, None])
            numeric.append(scaler.transform(values[:, None]))
        else:
            mode = np.bincount(observed.astype(int)).argmax()
            values = filled[name].fillna(mode).to_numpy()
            levels = list(range(len(column["levels"])))
            hot = OneHotEncoder(categories=[levels], sparse_output=False)
            discrete.append(hot.fit_transform(values[:, None]))
        if column.get("measured"):
            measured = grid[name].notna().to_numpy()
            flags.append(np.stack([~measured, measured], 1).astype(float))
    rows = np.concatenate(numeric + discrete + flags, 1)
    first = lengths.iloc[:PATIENTS]
    return rows[: first.sum()].astype(np.float32), first.to_numpy().astype(np.int64)


arrays = {}
for name, table in [("pbc", "data/pbc/pbcseq.csv"), ("eicu-demo", "data/eicu-demo/labs.csv")]:
    arrays[f"{name}.rows"], arrays[f"{name}.lengths"] = encode(f"data-schemas/{name}.toml", table)
save_file(arrays, Path(sys.argv[1], "encoded.safetensors"))
