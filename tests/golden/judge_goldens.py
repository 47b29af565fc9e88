"""scikit-learn's areas under the curve of five pairs of cohorts, for the trees of hg-eval's judges.

python judge_goldens.py FOLDER   (needs numpy, scikit-learn, safetensors)

Each pair is a table [rows, 1 + features] in judges.safetensors: whether the row is synthetic, then
its features, NaN where missing. Row n is in fold n modulo 5. The area of scores from five-fold
cross-validation is the mean over three seeds, which only break ties.
"""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

rng = np.random.default_rng(7)
ROWS, FEATURES, FOLDS = 300, 8, 5


def draw():
    return rng.normal(size=(ROWS, FEATURES))


def same():
    return draw(), draw()


def shifted():
    real, synthetic = draw(), draw()
    synthetic[:, :3] += 0.8
    return real, synthetic


def spread():
    real, synthetic = draw(), draw()
    synthetic[:, :5] *= 1.6
    return real, synthetic


def together():
    """The same columns, but two of them have one sign."""
    real, synthetic = draw(), draw()
    synthetic[:, 1] = np.abs(synthetic[:, 1]) * np.sign(synthetic[:, 0])
    return real, synthetic


def gaps():
    """Levels and gaps; one level and the gaps of two columns are commoner."""
    real, synthetic = draw(), draw()
    for table in (real, synthetic):
        table[:, 4:] = np.clip(np.round(table[:, 4:]), -1, 1)
        table[rng.random(table.shape) < 0.1] = np.nan
    synthetic[:, 7] = np.where(rng.random(ROWS) < 0.3, 1, synthetic[:, 7])
    synthetic[:, :2][rng.random((ROWS, 2)) < 0.3] = np.nan
    return real, synthetic


tensors = {}
for make in (same, shifted, spread, together, gaps):
    rows = np.concatenate(make()).astype(np.float32)
    labels = np.repeat([0, 1], ROWS)
    folds = np.arange(2 * ROWS) % FOLDS
    areas = []
    for seed in range(3):
        scores = np.zeros(2 * ROWS)
        for fold in range(FOLDS):
            trees = HistGradientBoostingClassifier(early_stopping=False, random_state=seed)
            trees.fit(rows[folds != fold], labels[folds != fold])
            scores[folds == fold] = trees.decision_function(rows[folds == fold])
        areas.append(roc_auc_score(labels, scores))
    name = make.__name__
    tensors[f"{name}.rows"] = np.column_stack([labels, rows]).astype(np.float32)
    tensors[f"{name}.area"] = np.array([np.mean(areas)], dtype=np.float32)
    print(f"{name}: {np.mean(areas):.3f}")
save_file(tensors, Path(sys.argv[1]) / "judges.safetensors")
