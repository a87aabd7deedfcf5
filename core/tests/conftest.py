"""Small stored models for the tests of artifacts, compilation and the calculator."""

import copy

import pytest
import torch


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """No test sees or changes the user's record of compiled files."""
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def make_model():
    """A small model of C, H and O with shifts, ZBL and asymmetric cutoffs: ``make_model(model_dtype="float32")``."""

    def make(**options):
        from equipot.model import InvariantModel
        from equipot.pair_potentials import ZBL

        values = {
            "type_names": ["C", "H", "O"],
            "r_max": 4.0,
            "model_dtype": "float64",
            "avg_num_neighbors": 12.0,
            "per_type_energy_shifts": {"C": -1027.6, "H": -13.6, "O": -2041.8},
            "per_type_energy_scales": 1.7,
            "per_edge_type_cutoff": {"H": 3.0, "C": {"H": 3.4}},
            "pair_potential": ZBL(units="metal"),
            **options,
        }
        return InvariantModel(**values).build().eval()

    return make


@pytest.fixture
def package_file(tmp_path, make_model):
    """A package of that model."""
    from equipot.artifacts import write_package

    path = tmp_path / "model.equipot.zip"
    write_package(make_model(), path)
    return path


@pytest.fixture
def make_checkpoint(tmp_path):
    """A checkpoint as training writes it, its averaged weights 1 % larger: ``make_checkpoint(model)``."""

    def make(model, /, *, ema=True, **changes):
        from equipot.train.record import checkpoint_record

        record = {**checkpoint_record(model, "ema" if ema else "raw", {"run": ["train"]}, {}), **changes}
        state = {f"model.{key}": value.clone() for key, value in model.state_dict().items()}
        if ema:
            averaged = copy.deepcopy(model.energy).requires_grad_(requires_grad=False)
            for parameter in averaged.parameters():
                parameter.mul_(1.01)
            state |= {f"ema.{key}": value.clone() for key, value in model.state_dict().items()}
            state |= {f"ema.energy.{key}": value for key, value in averaged.state_dict().items()}
        path = tmp_path / "model.ckpt"
        torch.save({"epoch": 3, "global_step": 40, "state_dict": state, "equipot": record}, path)
        return path

    return make
