"""Training under a privacy guarantee."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from health_gym import BadInputError, HealthGym, Schema, simulate_art_for_hiv

SCHEMA = """
name = "art-for-hiv"
[patient]
column = "PatientID"
[time]
column = "Timestep"
step = 1.0
[sequence]
max_length = 60
[[columns]]
name = "CD4"
kind = "numeric"
range = [0.0, 10000.0]
decimals = 1
[[columns]]
name = "Gender"
kind = "binary"
levels = [1, 2]
static = true
"""

SMALL = {"model.hidden": 8, "batching.batch_size": 16}


@pytest.fixture(scope="module")
def real() -> pd.DataFrame:
    cohort = simulate_art_for_hiv(80, seed=1)
    assert isinstance(cohort, pd.DataFrame)
    return cohort


def spent(model: HealthGym, folder: Path) -> dict[str, Any]:
    model.save(folder)
    ledger = json.loads((folder / "privacy.json").read_text())
    assert isinstance(ledger, dict)
    return ledger


def test_a_guarantee_is_kept_and_what_it_spent_is_saved(real: pd.DataFrame, tmp_path: Path) -> None:
    model = HealthGym(Schema.from_toml(SCHEMA), epsilon=2.0, delta=1e-4, iterations=4, settings=SMALL).fit(
        real, progress=False
    )
    ledger = spent(model, tmp_path / "run")
    assert ledger["iterations"] == 4
    assert 1.9 < ledger["epsilon"] <= 2.0
    assert ledger["delta"] == 1e-4
    assert "wasserstein" not in (tmp_path / "run" / "metrics.jsonl").read_text()
    synthetic = model.sample(20)
    assert (synthetic["CD4"].round(1) == synthetic["CD4"]).all()
    assert synthetic["CD4"].between(0, 10000).all()


def test_what_the_schema_leaves_to_the_table_is_refused(real: pd.DataFrame) -> None:
    schema = Schema.from_toml(SCHEMA.replace("range = [0.0, 10000.0]", ""))
    with pytest.raises(BadInputError, match="column `CD4`: no range"):
        HealthGym(schema, epsilon=2.0, iterations=4, settings=SMALL).fit(real, progress=False)


def test_a_schema_that_asks_for_a_guarantee_gets_none_weaker(real: pd.DataFrame, tmp_path: Path) -> None:
    schema = Schema.from_toml(SCHEMA.replace("[patient]", "[privacy]\nepsilon = 1.0\n[patient]"))
    with pytest.raises(BadInputError, match="allows 1 at most"):
        HealthGym(schema, epsilon=2.0, iterations=4, settings=SMALL).fit(real, progress=False)
    model = HealthGym(schema, iterations=4, settings=SMALL).fit(real, progress=False)
    assert spent(model, tmp_path / "run")["epsilon"] <= 1.0
