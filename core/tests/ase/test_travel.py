import copy
import pickle
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from ase.build import molecule

from equipot.ase import EquipotCalculator
from equipot.ase._travel import ByValue
from equipot.errors import ConfigError


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        base = torch.arange(24, dtype=torch.float64).reshape(4, 6)
        self.weight = torch.nn.Parameter(base.t())
        self.frozen = torch.nn.Parameter(torch.randn(3, dtype=torch.float32), requires_grad=False)
        self.register_buffer("view", base[1:, 2:4])
        self.register_buffer("narrow", torch.randn(5).bfloat16())
        self.register_buffer("scalar", torch.tensor(3))
        self.register_buffer("empty", torch.zeros(0, 3), persistent=False)
        self.again = torch.nn.ParameterList([self.weight])


def test_tensors_arrive_as_they_were():
    model = Model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    sent = pickle.dumps(ByValue(model))
    assert b"torch" in sent
    arrived = pickle.loads(sent).model  # noqa: S301 - our own bytes
    for key, value in model.state_dict(keep_vars=True).items():
        other = arrived.state_dict(keep_vars=True)[key]
        assert torch.equal(other, value), key
        assert torch.equal(value, before[key]), key
        assert (other.stride(), other.dtype) == (value.stride(), value.dtype), key
        assert (other.requires_grad, type(other)) == (value.requires_grad, type(value)), key
    assert arrived.empty.shape == (0, 3)
    assert arrived.again[0] is arrived.weight
    with torch.no_grad():
        arrived.weight[2, 1] = -1.0
    assert arrived.view[0, 0] == -1.0  # both look into the same memory
    assert torch.equal(model.weight, before["weight"])


def test_nothing_is_lent_by_torch(make_model):
    assert b"rebuild_storage" in bytes(ForkingPickler.dumps(Model()))
    assert b"rebuild_storage" not in bytes(ForkingPickler.dumps(ByValue(Model())))
    atoms = molecule("CH3OH")
    atoms.calc = EquipotCalculator(make_model())
    atoms.get_forces()
    assert b"rebuild_storage" not in bytes(ForkingPickler.dumps(atoms))


def test_copies(make_model):
    model = make_model()
    held = ByValue(model)
    assert copy.copy(held).model is not model  # as in a pickle
    copied = copy.deepcopy(held).model
    assert copied is not model
    assert torch.equal(copied.energy.weights, model.energy.weights)
    calculator = EquipotCalculator(model)
    assert copy.copy(calculator).model is calculator.model
    assert copy.deepcopy(calculator).model is not calculator.model


def test_a_device_that_is_missing_is_an_error_at_the_first_calculation(make_model):
    """Not when it arrives: pools may wait for ever for a worker that cannot read its task."""
    calculator = EquipotCalculator(make_model())
    calculator.device = torch.device("cuda:99")
    arrived = pickle.loads(pickle.dumps(calculator))  # noqa: S301 - our own bytes
    with pytest.raises(ConfigError, match="device: cannot be used here"):
        arrived.get_potential_energy(molecule("CH3OH"))
