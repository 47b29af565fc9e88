"""SDV's PAR: a sequence key, a sequence index, statics as context columns (needs sdv).

https://docs.sdv.dev/sdv/sequential-data/modeling/parsynthesizer
"""

import warnings

from cohort import Task, fit_within, one_thread

warnings.filterwarnings("ignore")

from sdv.metadata import Metadata  # noqa: E402
from sdv.sequential import PARSynthesizer  # noqa: E402

task = Task()
one_thread(task.seed)
table = task.table()
kinds = {
    name: {"sdtype": "categorical" if name in task.levels else "numerical"}
    for name in [task.time, *task.meta["columns"]]
}
kinds[task.patient] = {"sdtype": "id"}
metadata = Metadata.load_from_dict(
    {
        "METADATA_SPEC_VERSION": "V1",
        "tables": {
            "rows": {
                "columns": kinds,
                "sequence_key": task.patient,
                "sequence_index": task.time,
            }
        },
        "relationships": [],
    }
)


def fit(epochs):
    par = PARSynthesizer(
        metadata, context_columns=task.static, epochs=epochs, cuda=False, verbose=False
    )
    par.fit({"rows": table})
    return par


par, seconds, epochs = fit_within(task.minutes, fit)
task.write(par.sample_sequences(num_sequences=task.patients)["rows"])
task.done(seconds, f"{epochs} epochs")
