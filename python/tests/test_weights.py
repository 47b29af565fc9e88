"""Weights come from PyTorch and go to it, in the names of the original code."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, fit_small
from safetensors.numpy import save_file

from health_gym import BadInputError, HealthGym

HIDDEN, LATENT = 8, 6
NETWORKS = ("generator", "critic")


@pytest.fixture
def folder(small_model: HealthGym, tmp_path: Path) -> Path:
    """Of weights as safetensors."""
    for network in NETWORKS:
        tensors = {name: np.ascontiguousarray(value) for name, value in arrays(small_model, network).items()}
        save_file(tensors, tmp_path / f"{network}.safetensors")
    return tmp_path


def arrays(model: HealthGym, network: str = "generator") -> dict[str, np.ndarray]:
    """A state dict in NumPy's arrays, whether PyTorch is there or not."""
    return {name: np.asarray(value) for name, value in model.state_dict(network).items()}


def settings(model: HealthGym) -> dict[str, Any]:
    """Those that weights do not show."""
    names = ("generator_carries", "patient_latent", "latent", "reverse_alignment", "critic_compares")
    names += ("calibration", "resampling")
    return {f"model.{name}": model.settings["model"][name] for name in names}


def test_the_names_and_shapes_are_the_originals(small: pd.DataFrame) -> None:
    """With the settings of the published models the layers are theirs and no more."""
    model = fit_small(small, preset="art-for-hiv")
    width = 1 + 2 + 3 + 2
    lstm = {"i2h.weight": (4 * HIDDEN, LATENT), "i2h.bias": (4 * HIDDEN,)}
    lstm |= {"h2h.weight": (4 * HIDDEN, HIDDEN), "h2h.bias": (4 * HIDDEN,)}
    expected = {f"{rnn}.{name}": shape for rnn in ("rnn_f", "rnn_r") for name, shape in lstm.items()}
    expected |= {"linear1.weight": (HIDDEN, 2 * HIDDEN), "linear2.weight": (HIDDEN, HIDDEN)}
    expected |= {"linear3.weight": (width, HIDDEN), "linear3.bias": (width,)}
    expected |= {"linear1.bias": (HIDDEN,), "linear2.bias": (HIDDEN,)}
    assert {name: value.shape for name, value in arrays(model).items()} == expected
    critic = arrays(model, "critic")
    assert all(value.dtype == np.float32 for value in critic.values())
    assert critic["linear3.weight"].shape[0] == 1


def test_exported_weights_give_the_same_cohort(
    small: pd.DataFrame, small_model: HealthGym, folder: Path
) -> None:
    generator, critic = (folder / f"{network}.safetensors" for network in NETWORKS)
    for files in ({"critic": critic}, {}):
        again = HealthGym.from_torch(
            generator, small, small_model.schema, **files, settings=settings(small_model)
        )
        pd.testing.assert_frame_equal(again.sample(20), small_model.sample(20))
    for network in NETWORKS:
        again = HealthGym.from_torch(
            generator, small, small_model.schema, critic=critic, settings=settings(small_model)
        )
        ours, theirs = arrays(small_model, network), arrays(again, network)
        assert ours.keys() == theirs.keys()
        assert all((ours[name] == theirs[name]).all() for name in ours)


def test_imported_weights_can_be_saved_and_pickled(
    small: pd.DataFrame, small_model: HealthGym, folder: Path, tmp_path: Path
) -> None:
    again = HealthGym.from_torch(
        folder / "generator.safetensors", small, small_model.schema, settings=settings(small_model)
    )
    assert repr(again) == "<health_gym.HealthGym, fitted in 0 iterations>"
    again.save(tmp_path / "run")
    loaded = HealthGym.load(tmp_path / "run")
    pd.testing.assert_frame_equal(loaded.sample(20), small_model.sample(20), check_dtype=False)


def test_weights_that_do_not_fit_are_refused(
    small: pd.DataFrame, small_model: HealthGym, folder: Path
) -> None:
    schema = small_model.schema
    for file, message in (
        (ROOT / "tests/golden/generator.pt", "`linear3.bias` has shape"),
        (folder / "critic.safetensors", "`linear1.weight` has shape"),
    ):
        with pytest.raises(BadInputError, match=message):
            HealthGym.from_torch(file, small, schema)
    with pytest.raises(BadInputError, match=r"there is no setting `model\.hiden`"):
        HealthGym.from_torch(folder / "generator.safetensors", small, schema, settings={"model.hiden": 1})


@pytest.mark.parametrize("file", ["README.md", "none.pt"])
def test_a_file_that_holds_no_weights_is_refused(
    small: pd.DataFrame, small_model: HealthGym, file: str
) -> None:
    with pytest.raises(BadInputError, match=f"{file} is no file of weights that we read.*\nhint: give a saf"):
        HealthGym.from_torch(ROOT / file, small, small_model.schema)


def test_a_network_that_is_none_is_refused(small_model: HealthGym) -> None:
    with pytest.raises(BadInputError, match=r"no network 'encoder'\nhint: there are generator and critic"):
        small_model.state_dict("encoder")


def test_the_weights_are_the_callers_own(small_model: HealthGym) -> None:
    before = arrays(small_model)
    taken = arrays(small_model)
    taken["linear1.bias"][:] = 7
    assert all((arrays(small_model)[name] == before[name]).all() for name in before)


def test_what_torch_saved_is_loaded(small: pd.DataFrame, small_model: HealthGym, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = small_model.state_dict()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    torch.save(state, tmp_path / "generator.pt")
    torch.save(small_model.state_dict("critic"), tmp_path / "critic.pt")
    again = HealthGym.from_torch(
        tmp_path / "generator.pt",
        small,
        small_model.schema,
        critic=tmp_path / "critic.pt",
        settings=settings(small_model),
    )
    pd.testing.assert_frame_equal(again.sample(20), small_model.sample(20))


def test_the_original_generator_takes_our_state_dict(small: pd.DataFrame) -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Lstm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.i2h = nn.Linear(LATENT, 4 * HIDDEN)
            self.h2h = nn.Linear(HIDDEN, 4 * HIDDEN)

    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn_f, self.rnn_r = Lstm(), Lstm()
            self.linear1 = nn.Linear(2 * HIDDEN, HIDDEN)
            self.linear2 = nn.Linear(HIDDEN, HIDDEN)
            self.linear3 = nn.Linear(HIDDEN, 8)

    state = fit_small(small, preset="art-for-hiv").state_dict()
    Generator().load_state_dict(state)


def test_arrays_come_where_torch_is_not(small_model: HealthGym, monkeypatch: pytest.MonkeyPatch) -> None:
    if "torch" not in sys.modules:
        assert all(isinstance(value, np.ndarray) for value in small_model.state_dict().values())
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"state dicts need safetensors.*\nhint: pip install safetensors"):
        small_model.state_dict()
