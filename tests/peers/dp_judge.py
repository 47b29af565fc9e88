"""What a synthetic cohort keeps of a simulated HIV cohort, for privacy budgets side by side.

python dp_judge.py SYNTHETIC.csv --real REAL.csv --other OTHER.csv [--patients N]
(needs numpy, pandas, scipy, scikit-learn)

OTHER is a second real cohort, which no generator has seen. Prints a line of JSON; of the first N patients each:

- ks: mean Kolmogorov-Smirnov distance of the numeric columns
- tv: mean total variation of the level columns
- lag1: mean absolute difference, over VL and CD4 on the log scale, of the mean per-patient lag-1 autocorrelation
- auc: with which gradient boosting tells patients apart by their summaries, in two folds; 0.5 is chance
- r2: of the next step's log VL in OTHER, predicted from this step's row by what was learnt from SYNTHETIC
- r2_real: the same, learnt from REAL

A patient's values that do not vary have no autocorrelation, and are left out of it.
"""

import argparse
import json

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold

PATIENT, TIME = "PatientID", "Timestep"
NUMBERS = ["VL", "CD4", "Rel CD4"]
LOGARITHMIC = ["VL", "CD4"]
SEED = 0


def read(path, patients):
    """The first patients' rows in order of time, all columns as numbers."""
    table = pd.read_parquet(path) if path.endswith(".parquet") else pd.read_csv(path)
    table = table[table[PATIENT].isin(table[PATIENT].drop_duplicates().iloc[:patients])]
    table = table.apply(pd.to_numeric, errors="coerce")
    return table.sort_values([PATIENT, TIME], kind="stable", ignore_index=True)


def levels(table):
    return [name for name in table.columns if name not in [PATIENT, TIME, *NUMBERS]]


def logarithm(values):
    return np.log10(values.clip(lower=1e-3))


def total_variation(real, synthetic):
    shares = [column.value_counts(normalize=True, dropna=False) for column in (real, synthetic)]
    return shares[0].sub(shares[1], fill_value=0).abs().sum() / 2


def autocorrelation(table, name):
    """Mean over patients of the lag-1 autocorrelation of a column's logarithm."""
    values = logarithm(table[name])
    of = table[PATIENT]
    centred = values - values.groupby(of).transform("mean")
    products = (centred * centred.groupby(of).shift()).groupby(of).sum()
    squares = (centred**2).groupby(of).sum()
    varies = squares > 1e-12
    return (products[varies] / squares[varies]).mean()


def summaries(table, codes):
    """A row of numbers for each patient; `codes` are the levels to count, by column."""
    of = table[PATIENT]
    found = {"rows": table.groupby(PATIENT).size()}
    for name in NUMBERS:
        group = table[name].groupby(of)
        found |= {f"{name} {what}": getattr(group, what)() for what in ["mean", "std", "first", "last"]}
        found[f"{name} step"] = group.diff().abs().groupby(of).mean()
    for name, known in codes.items():
        column = table[name]
        found |= {f"{name} {code}": (column == code).groupby(of).mean() for code in known}
        before = column.groupby(of).shift()
        found[f"{name} changes"] = (before.notna() & (column != before)).groupby(of).sum()
    return pd.DataFrame(found)


def distinguished(real, synthetic):
    """Area under the curve of a classifier of patients, each scored by the fold that has not seen it."""
    codes = {name: sorted(real[name].dropna().unique()) for name in levels(real)}
    tables = [summaries(table, codes) for table in (real, synthetic)]
    rows = np.concatenate([table.to_numpy(float) for table in tables])
    which = np.repeat([0, 1], [len(table) for table in tables])
    scores = np.zeros(len(which))
    for train, test in StratifiedKFold(2, shuffle=True, random_state=SEED).split(rows, which):
        model = HistGradientBoostingClassifier(random_state=SEED).fit(rows[train], which[train])
        scores[test] = model.predict_proba(rows[test])[:, 1]
    return roc_auc_score(which, scores)


def next_step(table):
    """This step's row and the next step's log VL."""
    columns = [*NUMBERS, *sorted(levels(table))]
    following = logarithm(table["VL"]).groupby(table[PATIENT]).shift(-1)
    known = following.notna()
    rows = table.loc[known, columns].to_numpy(float)
    return rows, following[known].to_numpy()


def utility(table, other):
    model = HistGradientBoostingRegressor(random_state=SEED).fit(*next_step(table))
    rows, following = next_step(other)
    return r2_score(following, model.predict(rows))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("synthetic")
    arguments.add_argument("--real", required=True)
    arguments.add_argument("--other", required=True)
    arguments.add_argument("--patients", type=int, default=5000)
    arguments = arguments.parse_args()
    paths = [arguments.real, arguments.synthetic, arguments.other]
    real, synthetic, other = [read(path, arguments.patients) for path in paths]

    numbers = [ks_2samp(real[name], synthetic[name].dropna()).statistic for name in NUMBERS]
    shares = [total_variation(real[name], synthetic[name]) for name in levels(real)]
    lags = [abs(autocorrelation(real, name) - autocorrelation(synthetic, name)) for name in LOGARITHMIC]
    found = {
        "ks": np.mean(numbers),
        "tv": np.mean(shares),
        "lag1": np.mean(lags),
        "auc": distinguished(real, synthetic),
        "r2": utility(synthetic, other),
        "r2_real": utility(real, other),
    }
    found = {name: round(float(value), 4) for name, value in found.items()}
    print(json.dumps({"synthetic": arguments.synthetic} | found))


main()
