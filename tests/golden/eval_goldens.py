"""scipy's and scikit-learn's values of hg-eval's statistics.

python eval_goldens.py FOLDER   (needs numpy, scipy, scikit-learn)
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.stats.contingency import association
from sklearn.metrics import roc_auc_score

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
(Path(sys.argv[1]) / "eval.json").write_text(json.dumps(cases) + "\n")
