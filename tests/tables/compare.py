"""Whether synthetic tables open in pandas as the real ones do, and synthetic MEDS is MEDS.

python compare.py REAL SYNTHETIC TABLE ...   (needs requirements.txt)

REAL and SYNTHETIC are folders, TABLE the names of the tables that must be in SYNTHETIC, and no others. Each has the
real one's kind of file, and columns of the real one, in its order and with its types. Standard error says what differs.
"""

import sys
from collections import defaultdict
from pathlib import Path

import meds
import pandas as pd
import pyarrow.parquet as pq

KINDS = {".csv": pd.read_csv, ".parquet": pd.read_parquet}


def tables(folder: Path) -> dict[str, list[Path]]:
    """A table's files by its name: `labs.csv`, or the parts below the folder `labs`."""
    found = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix in KINDS:
            found[path.relative_to(folder).parts[0].removesuffix(path.suffix)].append(path)
    return found


def opened(parts: list[Path]) -> pd.DataFrame:
    return pd.concat([KINDS[part.suffix](part) for part in parts])


def differences(name: str, real: list[Path], synthetic: list[Path]):
    if {part.suffix for part in real} != {part.suffix for part in synthetic}:
        yield f"{name}: {real[0].name} is synthesised as {synthetic[0].name}"
    suffix = real[0].suffix
    real, synthetic = opened(real), opened(synthetic)
    if synthetic.empty:
        yield f"{name}: no rows"
    order = [column for column in real.columns if column in synthetic.columns]
    if list(synthetic.columns) != order:
        yield f"{name}: columns {list(synthetic.columns)} of {list(real.columns)}"
    for column in order:
        types = real[column].dtype, synthetic[column].dtype
        if synthetic[column].isna().all() and KINDS[suffix] is pd.read_csv:
            # Nothing says what a CSV's empty column holds; the few iterations of a test may lead to one.
            continue
        # An object may be a date or a text.
        kinds = [{type(cell) for cell in table[column].dropna()} for table in (real, synthetic)]
        if types[0] != types[1] or (types[0] == object and not kinds[1] <= kinds[0]):
            yield f"{name}: `{column}` is {types[0]} {kinds[0]}, synthetic {types[1]} {kinds[1]}"


def is_meds(parts: list[Path]):
    """What of the standard the shards do not keep."""
    for part in parts:
        table = pq.read_table(part)
        meds.DataSchema.validate(table)
        events = table.to_pandas()
        runs = events["subject_id"].ne(events["subject_id"].shift()).sum()
        if runs != events["subject_id"].nunique():
            yield f"{part.name}: a subject's rows do not stand together"
        for subject, times in events.groupby("subject_id")["time"]:
            known = times.dropna()
            if not known.is_monotonic_increasing or times.iloc[len(times) - len(known) :].isna().any():
                yield f"{part.name}: the rows of subject {subject} are not in order"


if __name__ == "__main__":
    real, synthetic = tables(Path(sys.argv[1])), tables(Path(sys.argv[2]))
    expected = sorted(sys.argv[3:])
    found = [f"tables {sorted(synthetic)}, expected {expected}"] * (sorted(synthetic) != expected)
    for name in expected:
        if name in synthetic:
            found += differences(name, real[name], synthetic[name])
    if "data" in expected:
        found += is_meds(synthetic["data"])
    sys.exit("\n".join(found) or None)
