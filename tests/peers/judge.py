"""An independent judge: scikit-learn and scipy on two tables, a row per patient and time.

python judge.py REAL.csv SYNTHETIC.csv --patient ID --time DAY [--static A,B] [--levels C,D] [--show]
(needs numpy, pandas, scipy, scikit-learn)

Prints the area under the curve with which gradient boosting on per-patient summaries tells the
patients apart (five folds; 0.5 is chance), the mean Kolmogorov-Smirnov distance of numbers and total
variation of levels, the median over columns of the within-patient SD and of the median step beside the
real ones, and the distance of the times between rows. With --show, the summaries that differ most.

`Comparison` has the same for other programs.
"""

import argparse

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold


class Comparison:
    """A synthetic table beside a real one, both with numbers as numbers.

    `patient` and `time` are columns; `static` are those that do not change within a patient, `levels` those
    that are no numbers.
    """

    def __init__(self, real, synthetic, patient, time, static, levels):
        self.patient, self.time, self.static, self.levels = patient, time, static, levels
        self.columns = [name for name in synthetic.columns if name in real.columns]
        self.real, self.synthetic = real[self.columns], synthetic[self.columns]
        self.known = {name: sorted(real[name].dropna().unique(), key=str) for name in levels}
        self.numbers = [
            name for name in self.columns if name not in [patient, time, *static, *levels]
        ]

    def summaries(self, table):
        """A row of numbers for each patient."""
        patient, time, known = self.patient, self.time, self.known
        table = table.sort_values([patient, time], kind="stable")
        of = table[patient]
        groups = table.groupby(patient, sort=False)
        gaps = groups[time].diff().groupby(of, sort=False)
        found = {"rows": groups.size(), "gap mean": gaps.mean(), "gap SD": gaps.std(),
                 "first": groups[time].first(), "last": groups[time].last()}
        elapsed = table[time] - groups[time].transform("mean")
        for name in self.columns:
            if name in (patient, time):
                continue
            codes = {level: n for n, level in enumerate(known.get(name, []))}
            if name in self.static:
                first = groups[name].first()
                found[name] = first.map(codes).astype(float) if name in self.levels else first
                continue
            found[f"{name} missing"] = table[name].isna().groupby(of, sort=False).mean()
            if name in self.levels:
                for level in known[name]:
                    is_level = table[name] == level
                    found[f"{name}={level}"] = is_level.groupby(of, sort=False).mean()
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
            found[f"{name} autocorrelation"] = (
                (around * before).groupby(of, sort=False).sum() / squares
            )
        return pd.DataFrame(found).replace([np.inf, -np.inf], np.nan)

    def sides(self):
        """Summaries of as many real patients as synthetic ones."""
        sides = [self.summaries(self.real), self.summaries(self.synthetic)]
        count = min(map(len, sides))
        return [side.sample(count, random_state=0) if len(side) > count else side for side in sides]

    def told_apart(self, sides):
        """The area under the curve of boosted trees on summaries, over five folds."""
        rows = pd.concat(sides)
        rows = rows.loc[:, rows.notna().any()]
        labels = np.repeat([0, 1], len(sides[0]))
        scores = np.zeros(len(labels))
        for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(rows, labels):
            trees = HistGradientBoostingClassifier(random_state=0)
            trees.fit(rows.iloc[train], labels[train])
            scores[test] = trees.predict_proba(rows.iloc[test])[:, 1]
        return roc_auc_score(labels, scores)

    def within(self, table):
        """By column: the SD within patients, and the median step."""
        groups = table.sort_values([self.patient, self.time], kind="stable").groupby(self.patient)
        steps = {name: groups[name].diff().abs() for name in self.numbers}
        steps = {name: step.median() or step.mean() for name, step in steps.items()}
        return {name: np.sqrt(groups[name].var().mean()) for name in self.numbers}, steps

    def gap(self, table):
        rows = table.sort_values([self.patient, self.time])
        return rows.groupby(self.patient)[self.time].diff().dropna()

    def variation(self, name):
        shares = [table[name].value_counts(normalize=True) for table in (self.real, self.synthetic)]
        return shares[0].sub(shares[1], fill_value=0).abs().sum() / 2

    def figures(self):
        (real_sd, real_step), (made_sd, made_step) = map(self.within, (self.real, self.synthetic))
        told = [name for name in self.columns if name not in [self.patient, self.time, *self.levels]]
        distances = [distance(self.real[name], self.synthetic[name]) for name in told]
        variations = [self.variation(name) for name in self.levels]
        return {
            "told_apart": self.told_apart(self.sides()),
            "ks": np.mean(distances),
            "tv": np.mean(variations) if variations else 0.0,
            "sd_within": np.median([made_sd[name] / real_sd[name] for name in self.numbers]),
            "step": np.median([made_step[name] / real_step[name] for name in self.numbers]),
            "gaps": distance(self.gap(self.real), self.gap(self.synthetic)),
        }


def distance(a, b):
    return ks_2samp(a.dropna(), b.dropna()).statistic


def names(text):
    return [name for name in text.split(",") if name]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("real")
    parser.add_argument("synthetic")
    parser.add_argument("--patient", required=True)
    parser.add_argument("--time", required=True)
    parser.add_argument("--static", type=names, default=[])
    parser.add_argument("--levels", type=names, default=[])
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()

    compared = Comparison(
        pd.read_csv(arguments.real), pd.read_csv(arguments.synthetic),
        arguments.patient, arguments.time, arguments.static, arguments.levels,
    )
    found = compared.figures()
    print(f"told apart {found['told_apart']:.3f}  KS {found['ks']:.3f}  TV {found['tv']:.3f}"
          f"  SD within {found['sd_within']:.2f}  step {found['step']:.2f}  gaps {found['gaps']:.3f}")
    if arguments.show:
        real, synthetic = sides = compared.sides()
        apart = [(distance(real[name], synthetic[name]), name) for name in real
                 if real[name].notna().any() and synthetic[name].notna().any()]
        for statistic, name in sorted(apart, reverse=True)[:20]:
            means = [f"{side[name].mean():.4g}" for side in sides]
            print(f"  {name:24} KS {statistic:.3f}  means {means[0]} real, {means[1]} synthetic")


if __name__ == "__main__":
    main()
