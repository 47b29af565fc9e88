"""An independent judge: scikit-learn and scipy on two tables, a row per patient and time.

python judge.py REAL.csv SYNTHETIC.csv --patient ID --time DAY [--static A,B] [--levels C,D] [--show]
(needs numpy, pandas, scipy, scikit-learn)

Prints the area under the curve with which gradient boosting on per-patient summaries tells the
patients apart (five folds; 0.5 is chance), the mean Kolmogorov-Smirnov distance of numbers and total
variation of levels, the median over columns of the within-patient SD and of the median step beside the
real ones, and the distance of the times between rows. With --show, the summaries that differ most.
"""

import argparse

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

parser = argparse.ArgumentParser()
parser.add_argument("real")
parser.add_argument("synthetic")
parser.add_argument("--patient", required=True)
parser.add_argument("--time", required=True)
parser.add_argument("--static", default="")
parser.add_argument("--levels", default="")
parser.add_argument("--show", action="store_true")
arguments = parser.parse_args()
patient, time = arguments.patient, arguments.time
static = [name for name in arguments.static.split(",") if name]
levels = [name for name in arguments.levels.split(",") if name]

real, synthetic = pd.read_csv(arguments.real), pd.read_csv(arguments.synthetic)
columns = [name for name in synthetic.columns if name in real.columns]
real, synthetic = real[columns], synthetic[columns]
known = {name: sorted(real[name].dropna().unique(), key=str) for name in levels}
numbers = [name for name in columns if name not in [patient, time, *static, *levels]]


def summaries(table):
    """A row of numbers for each patient."""
    table = table.sort_values([patient, time], kind="stable")
    of = table[patient]
    groups = table.groupby(patient, sort=False)
    gaps = groups[time].diff().groupby(of, sort=False)
    found = {"rows": groups.size(), "gap mean": gaps.mean(), "gap SD": gaps.std(),
             "first": groups[time].first(), "last": groups[time].last()}
    elapsed = table[time] - groups[time].transform("mean")
    for name in columns:
        if name in (patient, time):
            continue
        codes = {level: n for n, level in enumerate(known.get(name, []))}
        if name in static:
            first = groups[name].first()
            found[name] = first.map(codes).astype(float) if name in levels else first
            continue
        found[f"{name} missing"] = table[name].isna().groupby(of, sort=False).mean()
        if name in levels:
            for level in known[name]:
                found[f"{name}={level}"] = (table[name] == level).groupby(of, sort=False).mean()
            changed = table[name].map(codes).groupby(of, sort=False).diff().fillna(0) != 0
            found[f"{name} changes"] = changed.groupby(of, sort=False).mean()
            continue
        values = table[name].astype(float)
        by_patient = values.groupby(of, sort=False)
        around = values - by_patient.transform("mean")
        squares = (around**2).groupby(of, sort=False).sum().replace(0, np.nan)
        when = elapsed.where(values.notna())
        spread = (when**2).groupby(of, sort=False).sum().replace(0, np.nan)
        before = around.groupby(of, sort=False).shift()
        found[f"{name} mean"], found[f"{name} SD"] = by_patient.mean(), by_patient.std()
        found[f"{name} slope"] = (around * when).groupby(of, sort=False).sum() / spread
        found[f"{name} autocorrelation"] = (around * before).groupby(of, sort=False).sum() / squares
    return pd.DataFrame(found).replace([np.inf, -np.inf], np.nan)


sides = [summaries(real), summaries(synthetic)]
count = min(map(len, sides))
sides = [side.sample(count, random_state=0) if len(side) > count else side for side in sides]
rows = pd.concat(sides)
rows = rows.loc[:, rows.notna().any()]
labels = np.repeat([0, 1], count)
scores = np.zeros(len(labels))
for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(rows, labels):
    trees = HistGradientBoostingClassifier(random_state=0).fit(rows.iloc[train], labels[train])
    scores[test] = trees.predict_proba(rows.iloc[test])[:, 1]


def within(table):
    """By column: the SD within patients, and the median step."""
    groups = table.sort_values([patient, time], kind="stable").groupby(patient)
    steps = {name: groups[name].diff().abs() for name in numbers}
    steps = {name: step.median() or step.mean() for name, step in steps.items()}
    return {name: np.sqrt(groups[name].var().mean()) for name in numbers}, steps


def gap(table):
    return table.sort_values([patient, time]).groupby(patient)[time].diff().dropna()


def distance(a, b):
    return ks_2samp(a.dropna(), b.dropna()).statistic


def variation(name):
    shares = [table[name].value_counts(normalize=True) for table in (real, synthetic)]
    return shares[0].sub(shares[1], fill_value=0).abs().sum() / 2


(real_sd, real_step), (made_sd, made_step) = within(real), within(synthetic)
told = [name for name in columns if name not in [patient, time, *levels]]
print(f"told apart {roc_auc_score(labels, scores):.3f}"
      f"  KS {np.mean([distance(real[name], synthetic[name]) for name in told]):.3f}"
      f"  TV {np.mean([variation(name) for name in levels]) if levels else 0:.3f}"
      f"  SD within {np.median([made_sd[name] / real_sd[name] for name in numbers]):.2f}"
      f"  step {np.median([made_step[name] / real_step[name] for name in numbers]):.2f}"
      f"  gaps {distance(gap(real), gap(synthetic)):.3f}")
if arguments.show:
    apart = [(distance(sides[0][name], sides[1][name]), name) for name in rows
             if sides[0][name].notna().any() and sides[1][name].notna().any()]
    for statistic, name in sorted(apart, reverse=True)[:20]:
        means = [f"{side[name].mean():.4g}" for side in sides]
        print(f"  {name:24} KS {statistic:.3f}  means {means[0]} real, {means[1]} synthetic")
