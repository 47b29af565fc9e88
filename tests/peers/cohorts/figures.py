"""What judges that are not ours say of a cohort (needs sdmetrics, pyarrow).

python figures.py --real TABLE.csv --meta META.json --cohort COHORT.csv --parquet COHORT.parquet

Prints one line of JSON: the figures of `judge.py`, and SDMetrics' quality of rows, which is the mean of
its column shapes and column pair trends. Also writes the cohort in the table's own form as Parquet, for
`hg evaluate`.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import pandas as pd
from cohort import like_table, plain
from sdmetrics.reports import SingleTableQualityReport

sys.path.append(str(Path(__file__).parents[1]))
from judge import Comparison  # noqa: E402

warnings.filterwarnings("ignore")


def quality(real, made, meta):
    names = [meta["time"], *meta["columns"]]
    kinds = {
        name: {"sdtype": "categorical" if name in meta["levels"] else "numerical"} for name in names
    }
    report = SingleTableQualityReport()
    report.generate(real[names], made[names], {"columns": kinds}, verbose=False)
    parts = report.get_properties().set_index("Property")["Score"]
    return {
        "quality": report.get_score(),
        "column_shapes": parts["Column Shapes"],
        "column_pair_trends": parts["Column Pair Trends"],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--real", required=True)
    parser.add_argument("--meta", type=Path, required=True)
    parser.add_argument("--cohort", required=True)
    parser.add_argument("--parquet", required=True)
    arguments = parser.parse_args()

    meta = json.loads(arguments.meta.read_text())
    real, made = (
        plain(pd.read_csv(path, dtype=str), meta) for path in (arguments.real, arguments.cohort)
    )
    like_table(made, meta).to_parquet(arguments.parquet, index=False)
    compared = Comparison(real, made, meta["patient"], meta["time"], meta["static"], meta["levels"])
    found = {**compared.figures(), **quality(real, made, meta)}
    print(json.dumps({name: float(value) for name, value in found.items()}))
