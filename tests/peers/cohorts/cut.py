"""The table that every program trains on, and what it has to know of it.

python cut.py TABLE.csv SCHEMA.toml --held-out 0.2 --seed S --out FOLDER     (needs pandas)

Writes FOLDER/train.csv, which is the table without the patients that `hg train --held-out SHARE --seed S`
holds out (hg-data's `Split`: the first 64 bits of the SHA-256 of seed and id), and FOLDER/meta.json:
patient, time, columns in order, static and categorical ones, and what `plain` needs. Both are in the
plain form: numbers are numbers, levels are the schema's texts.
"""

import argparse
import hashlib
import json
import tomllib
from pathlib import Path

import pandas as pd
from cohort import plain


def is_held_out(patient, share, seed):
    digest = hashlib.sha256(seed.to_bytes(8, "little") + patient.encode()).digest()
    return int.from_bytes(digest[:8], "little") < share * 2**64


def meta_of(schema, table):
    columns = [column for column in schema["columns"] if column["name"] in table]
    levels = {}
    for column in columns:
        if column["kind"] != "numeric":
            found = sorted(table[column["name"]].dropna().unique())
            levels[column["name"]] = [str(level) for level in column.get("levels", found)]
    return {
        "patient": schema["patient"]["column"],
        "time": schema["time"]["column"],
        "unit": schema["time"].get("unit"),
        "columns": [column["name"] for column in columns],
        "static": [column["name"] for column in columns if column.get("static")],
        "levels": levels,
        "censored": {c["name"]: c["censored"] for c in columns if "censored" in c},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("table")
    parser.add_argument("schema")
    parser.add_argument("--held-out", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    table = pd.read_csv(arguments.table, dtype=str)
    meta = meta_of(tomllib.loads(Path(arguments.schema).read_text()), table)
    patients = table[meta["patient"]]
    held_out = {id for id in patients.unique() if is_held_out(id, arguments.held_out, arguments.seed)}
    meta["patients"] = int(patients.nunique())
    meta["trained_on"] = meta["patients"] - len(held_out)
    arguments.out.mkdir(parents=True, exist_ok=True)
    plain(table[~patients.isin(held_out)], meta).to_csv(arguments.out / "train.csv", index=False)
    (arguments.out / "meta.json").write_text(json.dumps(meta, indent=1))
