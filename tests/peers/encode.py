"""The encoding of benches/scale.rs by pandas and scikit-learn.

python encode.py FILE.parquet [PATIENTS]   (needs pandas, pyarrow, scikit-learn)
"""

import resource
import sys
import time

import numpy as np
import pandas as pd
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, PowerTransformer

start = time.perf_counter()
filters = [("id", "<", int(sys.argv[2]))] if len(sys.argv) > 2 else None
table = pd.read_parquet(sys.argv[1], filters=filters)
read = time.perf_counter() - start
rows = len(table)
table = table.sort_values(["id", "hour"])
numbers = [name for name in table if name.startswith("x")]
filled = table.groupby("id")[numbers].ffill().groupby(table["id"]).bfill()
filled = filled.fillna(filled.median())
parts = []
for n, name in enumerate(numbers):
    values = filled[[name]].to_numpy()
    if n % 3 == 1:
        values = np.log1p(values)
    elif n % 3 == 2:
        values = PowerTransformer("box-cox", standardize=False).fit_transform(values + 1)
    parts.append(MinMaxScaler().fit_transform(values).astype(np.float32))
for name in table.columns.difference(["id", "hour", *numbers], sort=False):
    parts.append(OneHotEncoder(sparse_output=False, dtype=np.float32).fit_transform(table[[name]]))
encoded = np.concatenate(parts, 1).reshape(table["id"].nunique(), -1, sum(p.shape[1] for p in parts))
took = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
print(f"{rows} rows: read {read:.1f} s, in all {took:.1f} s, {rows / took / 1e6:.2f} million rows/s, peak {peak:.1f} GB")
