"""gretel's DGAN (DoppelGANger): attributes and features in the long form (needs gretel-synthetics, torch).

https://synthetics.docs.gretel.ai/en/stable/models/timeseries_dgan.html. It knows neither missing cells nor
times: it gets `Filled`, with the gap to the row before as a feature. The length of one LSTM cell is such
that at most 50 cells make the longest sequence, as its authors advise; batches of 100, as in their paper
(Lin et al. 2020, doi:10.1145/3419394.3423643).
"""

import logging
import math
import warnings

from cohort import Filled, Task, fit_within, one_thread

warnings.filterwarnings("ignore")

from gretel_synthetics.timeseries_dgan.config import DfStyle, DGANConfig  # noqa: E402
from gretel_synthetics.timeseries_dgan.dgan import DGAN  # noqa: E402

logging.disable(logging.WARNING)
task = Task()
one_thread(task.seed)
filled = Filled(task, task.table())
table = filled.table[[task.patient, *filled.static, *filled.varying]]
patients = table[task.patient].nunique()
longest = int(table[task.patient].value_counts().max())
cell = math.ceil(longest / 50)
config = {
    "max_sequence_len": cell * math.ceil(longest / cell),
    "sample_len": cell,
    "batch_size": min(100, patients),
    "cuda": False,
}


def fit(epochs):
    dgan = DGAN(DGANConfig(epochs=epochs, **config))
    dgan.train_dataframe(
        table,
        attribute_columns=filled.static,
        feature_columns=filled.varying,
        example_id_column=task.patient,
        discrete_columns=list(filled.levels),
        df_style=DfStyle.LONG,
    )
    return dgan


dgan, seconds, epochs = fit_within(task.minutes, fit)
task.write(filled.back(dgan.generate_dataframe(task.patients)))
task.done(seconds, f"{epochs} epochs")
