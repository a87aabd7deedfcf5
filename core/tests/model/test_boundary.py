import pytest
import torch

from equipot.artifacts import random_frames
from equipot.errors import ConfigError, DataError
from equipot.graph import collate
from equipot.model import EnergyTermModule
from equipot.model._boundary import BOUNDARIES, check_boundary, limits_of
from equipot.model._context import ModelInfo
from equipot.model._inputs import check_batch
from equipot_testing.frames import batch_of, standard_structures
from equipot_testing.toy import ToyModel


class Term(EnergyTermModule):
    requires = ("atom_types",)

    def __init__(self, *boundary):
        super().__init__()
        self.boundary = boundary

    def forward(self, data):
        return torch.zeros(len(data["atom_types"]), dtype=torch.float64)


def limited(**terms):
    model = ToyModel(type_names=["H", "C"], r_max=4.0, model_dtype="float64").build().eval()
    return model.replace(energy_terms={name: Term(*boundary) for name, boundary in terms.items()})


def test_a_model_names_what_its_components_exclude():
    assert limited(any=BOUNDARIES).info.boundary == ()
    info = limited(any=BOUNDARIES, flat=("slab", "molecule")).info
    assert info.boundary == (("flat", ("molecule", "slab")),)
    assert ModelInfo.from_dict(info.to_dict()) == info
    assert "boundary" not in limited(any=BOUNDARIES).info.to_dict()


@pytest.mark.parametrize("name", ["bulk", "slab", "wire", "molecule"])
def test_frames_that_a_component_does_not_serve_are_refused_by_name(name):
    model, structures = limited(flat=("slab", "molecule")), standard_structures(2)
    batch = batch_of([structures["molecule"], structures[name]], model.info)
    if name in ("slab", "molecule"):
        model(batch)
        return
    expected = rf"the model: 'flat' is for molecule or slab only, but frame 1 has the pbc of a {name}, got \["
    with pytest.raises(DataError, match=expected):
        model(batch)
    with pytest.raises(DataError, match="here: 'flat' is for molecule or slab only"):
        check_batch(batch, model.info, "here")


def test_components_must_have_frames_in_common():
    with pytest.raises(ConfigError, match="no frames that all its components serve"):
        limited(one=("bulk", "slab"), two=("molecule",))
    with pytest.raises(ConfigError, match=r"model.one: has unknown boundary conditions \['layer'\]"):
        limits_of([("one", ("layer",))])


def test_a_model_without_limits_does_not_look_at_its_frames():
    check_boundary(torch.zeros(1, 3, dtype=torch.bool, device="meta"), (), "here")


@pytest.mark.parametrize("served", BOUNDARIES)
def test_random_frames_are_ones_that_the_model_serves(served):
    model = limited(only=(served,))
    frames = random_frames(model.info)
    assert list(frames) == ["triclinic", "molecule", "atom"]
    outputs = model(collate(list(frames.values())))
    assert torch.isfinite(outputs["total_energy"]).all()
    assert frames["atom"]["edge_index"].shape[1] == 0
