"""What LAMMPS can serve, and what it must know."""

import pytest

from equipot.compile import ExportTarget
from equipot.model import ModelInfo
from equipot.nn.exchange import CalledExchange
from equipot.plugins import plugins
from equipot_lammps import LammpsTarget
from equipot_testing.toy import ToyMessages, ToyModel

INPUTS = ("positions", "cell", "pbc", "atom_types", "batch", "num_atoms", "edge_index", "edge_cell_shift")


def info(**changes):
    values = {"type_names": ("H", "O"), "chemical_species": ("H", "O"), "r_max": 4.0, "cutoffs": None}
    return ModelInfo(**{**values, "model_dtype": "float64", "inputs": INPUTS, **changes})


def test_the_target_is_declared():
    assert plugins().load("export_targets", "lammps") is LammpsTarget
    target = LammpsTarget()
    assert isinstance(target, ExportTarget)
    assert target.native
    assert "global" not in target.localities


def test_charges_and_spins_are_not_given():
    """Core then refuses models that need them, naming the component."""
    target = LammpsTarget()
    assert target.optional_inputs == ()
    assert target.units == ("metal", "real")
    assert target.refusals(info()) == []


def test_message_passing_exchanges_features():
    options = {"type_names": ["H", "C"], "r_max": 4.0, "model_dtype": "float64"}
    found = LammpsTarget().adapted(ToyMessages(**options).build().eval())
    assert any(isinstance(module, CalledExchange) for module in found.modules())
    model = ToyModel(**options).build().eval()
    assert LammpsTarget().adapted(model) is model


@pytest.mark.parametrize("name", ["NULL", "#1", "water O", "$x"])
def test_type_names_must_be_words_of_a_script(name):
    (problem,) = LammpsTarget().refusals(info(type_names=("H", name)))
    assert repr(name) in problem


def test_the_file_says_which_torch_it_needs():
    metadata = LammpsTarget().metadata(info())
    assert set(metadata) == {"lammps_torch"}
    assert metadata["lammps_torch"].replace(".", "").isdigit()
