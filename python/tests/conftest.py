"""What the tests share: the shipped cohort, a made-up one, and small models of them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from health_gym import HealthGym, Schema

ROOT = Path(__file__).resolve().parents[2]
PBC = ROOT / "data/pbc/pbcseq.csv"
PBC_SCHEMA = ROOT / "data-schemas/pbc.toml"
SMALL = {"model.hidden": 8, "model.latent_features": 6, "model.calibration": False, "model.resampling": False}


@pytest.fixture(scope="session")
def pbc() -> pd.DataFrame:
    """Visits of 312 patients."""
    return pd.read_csv(PBC)


@pytest.fixture(scope="session")
def pbc_schema() -> Schema:
    return Schema.load(PBC_SCHEMA)


@pytest.fixture(scope="session")
def fitted(pbc: pd.DataFrame, pbc_schema: Schema) -> HealthGym:
    """A model of them after three iterations: nothing may change it."""
    settings = {"model.hidden": 16}
    return HealthGym(pbc_schema, seed=1, iterations=3, settings=settings).fit(pbc, progress=False)


@pytest.fixture(scope="session")
def of_file(pbc_schema: Schema) -> HealthGym:
    """The same model, fitted to the file."""
    settings = {"model.hidden": 16}
    return HealthGym(pbc_schema, seed=1, iterations=3, settings=settings).fit(PBC, progress=False)


def visits(patients: int = 30) -> dict[str, np.ndarray]:
    """A made-up cohort: five monthly rows for each patient."""
    random = np.random.default_rng(7)
    rows = 5 * patients
    return {
        "patient": np.repeat(np.arange(1, patients + 1), 5),
        "month": np.tile(np.arange(5), patients),
        "pressure": random.normal(120, 15, rows).round(1),
        "treated": random.integers(0, 2, rows),
        "stage": random.choice(["low", "middle", "high"], rows),
        "sex": np.repeat(random.choice(["f", "m"], patients), 5),
    }


@pytest.fixture
def small() -> pd.DataFrame:
    """A made-up cohort."""
    return pd.DataFrame(visits())


@pytest.fixture(scope="session")
def small_model() -> HealthGym:
    """A model of it after an iteration: nothing may change it."""
    return fit_small(pd.DataFrame(visits()))


def fit_small(data: Any, **also: Any) -> HealthGym:
    """A model of any table after an iteration, by the schema that is proposed."""
    schema = also.pop("schema", None) or Schema.infer(data)
    settings = SMALL | also.pop("settings", {})
    return HealthGym(schema, **{"iterations": 1} | also, settings=settings).fit(data, progress=False)


def python(code: str, *arguments: object, **also: Any) -> subprocess.CompletedProcess[str]:
    """Runs code in a Python of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, **also)


def hg(*arguments: object) -> str:
    """Runs the program; what it says on stdout."""
    command = [sys.executable, "-m", "health_gym", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout
