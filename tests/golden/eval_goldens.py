"""scipy's and scikit-learn's values of hg-eval's statistics.

python eval_goldens.py FOLDER   (needs numpy, scipy, scikit-learn)
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.stats.contingency import association
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

rng = np.random.default_rng(20221109)
cases = []
for n, shift, scale, decimals in [
    (5, 0, 1, 1), (20, 0.3, 1, 6), (20, 2, 1, 2), (60, 0, 2.5, 6), (200, 0.1, 1.1, 1), (200, 0.02, 1, 6),
    (333, 1, 3, 0),
]:
    x = rng.normal(size=n).round(decimals)
    y = (rng.normal(size=n) * scale + shift + 0.4 * x).round(decimals)
    a, b = rng.integers(0, 3, n), rng.integers(0, 4, n)
    b = np.where(rng.random(n) < 0.4, a, b)
    shares = lambda codes: np.bincount(codes, minlength=4) / n
    ks = stats.ks_2samp(x, y, method="exact")
    t = stats.ttest_ind(x, y)
    f = x.var(ddof=1) / y.var(ddof=1)
    p_f = 2 * min(stats.f.cdf(f, n - 1, n - 1), stats.f.sf(f, n - 1, n - 1))
    groups = [y[a == level] for level in range(3) if (a == level).any()]
    between = sum(len(g) * (g.mean() - y.mean()) ** 2 for g in groups)
    table = np.array([[np.sum((a == i) & (b == j)) for j in range(4)] for i in range(3)])
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    cases.append({
        "x": x.tolist(), "y": y.tolist(), "a": a.tolist(), "b": b.tolist(),
        "kolmogorov_smirnov": [ks.statistic, ks.pvalue],
        "student": [t.statistic, t.pvalue],
        "snedecor": [f, min(p_f, 1)],
        "three_sigma": float(np.mean(np.abs(y - x.mean()) <= 3 * x.std(ddof=1))),
        "wasserstein": stats.wasserstein_distance(x, y),
        "jensen_shannon": float(
            stats.entropy(shares(a), (shares(a) + shares(b)) / 2) / 2
            + stats.entropy(shares(b), (shares(a) + shares(b)) / 2) / 2),
        "kendall": stats.kendalltau(x, y).statistic,
        "pearson": stats.pearsonr(x, y).statistic,
        "cramer": association(table, method="cramer"),
        "correlation_ratio": float(np.sqrt(between / ((y - y.mean()) ** 2).sum())),
        "auc": roc_auc_score(np.r_[np.ones(n), np.zeros(n)], np.r_[x, y]),
    })


def quantile(values, share):
    """The value at or below it."""
    return np.sort(values)[int(share * (len(values) - 1))]


def sequences(count, steps, features):
    """Random walks, in numbers that f32 holds."""
    walks = rng.normal(size=(count, steps, features)).cumsum(1) @ rng.normal(size=(features, features))
    return (walks * 64).round() / 64


# Records, and the nearest of them (equal ones among them).
real, made = sequences(40, 5, 4), sequences(30, 5, 4)
made[3] = real[7]
rows = lambda x: x.reshape(-1, x.shape[-1])
distances, _ = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(rows(real)).kneighbors(rows(made))
# The square of a difference is exact, that of a product is not.
exact = np.sqrt(np.sort(((rows(made)[:, None] - rows(real)[None]) ** 2).sum(-1), 1)[:, :2])
assert np.allclose(distances, exact, atol=1e-6)
ratios = exact[:, 0] / exact[:, 1]
nearest = {
    "least": exact[:, 0].min(), "low": quantile(exact[:, 0], 0.05), "median": quantile(exact[:, 0], 0.5),
    "ratio_low": quantile(ratios, 0.05), "ratio_median": quantile(ratios, 0.5),
    "copies": int((exact[:, 0] == 0).sum()),
}


# The next row from the present one and the one before, by scikit-learn's ridge on all of x, the 1 included.
def pairs(x):
    before = np.concatenate([x[:, :1], x[:, :-2]], 1)
    inputs = np.concatenate([np.ones((*before.shape[:2], 1)), before, x[:, :-1]], -1)
    return rows(inputs), rows(x[:, 1:])


def explained(train, test):
    inputs, outputs = pairs(train)
    ridge = Ridge(alpha=1e-4 * len(inputs), fit_intercept=False, solver="cholesky").fit(inputs, outputs)
    inputs, outputs = pairs(test)
    left = ((outputs - ridge.predict(inputs)) ** 2).sum()
    return 1 - left / ((outputs - outputs.mean(0)) ** 2).sum()


predictive = [explained(made, real[1::2]), explained(real[::2], real[1::2])]
goldens = {"cases": cases, "real": real.tolist(), "made": made.tolist(), "nearest": nearest, "predictive": predictive}
(Path(sys.argv[1]) / "eval.json").write_text(json.dumps(goldens) + "\n")
