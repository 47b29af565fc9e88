"""Tables are not copied on their way in."""

import json
import os
import sys

import pytest
from conftest import python

MEGABYTE = 2**20
CODE = """
import json, os, sys
import numpy as np

def memory(field):
    with open('/proc/self/status') as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

library, megabytes = sys.argv[1], int(sys.argv[2])
values = 16
rows = megabytes * 2**20 // (8 * (values + 2)) // 100 * 100
if library == 'pandas': import pandas
if library == 'polars': import polars
import pyarrow
import health_gym
random = np.random.default_rng(1)
columns = {'patient': np.repeat(np.arange(rows // 100), 100), 'day': np.tile(np.arange(100), rows // 100)}
columns |= {f'v{n}': random.random(rows) for n in range(values)}
make = {'pandas': lambda: pandas.DataFrame(columns, copy=False), 'polars': lambda: polars.DataFrame(columns),
        'pyarrow': lambda: pyarrow.table(columns)}
frame = make[library]()
frame_bytes = sum(column.nbytes for column in columns.values())
del columns
toml = 'name = "large"\\n[patient]\\ncolumn = "patient"\\n'
toml += '[time]\\ncolumn = "day"\\nunit = "days"\\nstep = 1.0\\n'
toml += ''.join(f'[[columns]]\\nname = "v{n}"\\nkind = "numeric"\\n' for n in range(values))
settings = {'model.hidden': 4, 'model.latent_features': 2, 'model.calibration': False,
            'model.resampling': False, 'validation.every': 0, 'batching.batch_size': 8}
model = health_gym.HealthGym(health_gym.Schema(toml), iterations=1, settings=settings)
with open('/proc/self/clear_refs', 'w') as peak: peak.write('5')
before = memory('VmRSS')
model.fit(frame, progress=False)
print(json.dumps({'frame': frame_bytes, 'encoded': rows * values * 4, 'before': before,
                  'growth': memory('VmHWM') - before, 'after': memory('VmRSS') - before}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux'")
@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_large_table_is_not_copied(library: str) -> None:
    """Beside it: the encoded cohort, and a million values of each column, to fit by (128 MB)."""
    megabytes = int(os.environ.get("HEALTH_GYM_TEST_MEGABYTES", "600"))
    said = python(CODE, library, megabytes)
    assert said.returncode == 0, said.stderr
    measured = json.loads(said.stdout)
    print(library, {name: round(size / MEGABYTE) for name, size in measured.items()})
    assert measured["growth"] < measured["encoded"] + 200 * MEGABYTE
