"""The notebooks run from their first cell to their last."""

from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
if find_spec("ipykernel") is None:
    # Not imported: whoever has imported it is taken for a notebook.
    pytest.skip("there is no kernel", allow_module_level=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a reader runs it, with a short training."""
    if path.stem == "offline_rl":
        pytest.importorskip("d3rlpy")
    monkeypatch.setenv("HG_NOTEBOOK_ITERATIONS", "5")
    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=folder).execute()


def test_there_are_notebooks() -> None:
    """None is lost by a folder that moves."""
    assert [path.stem for path in NOTEBOOKS] == ["first_cohort", "offline_rl"]
