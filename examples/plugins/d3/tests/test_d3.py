import json
from pathlib import Path

import pytest
import torch
from ase import Atoms

from equipot.ase import EquipotCalculator
from equipot.energy_terms import D3Dispersion
from equipot.errors import ConfigError
from equipot.model import PaiNNModel

REFERENCE = json.loads((Path(__file__).parent / "reference.json").read_text(encoding="utf-8"))


def model(term, symbols, **options):
    return PaiNNModel(
        type_names=symbols, r_max=3.0, num_layers=1, num_features=2, num_bessels=2, model_dtype="float64",
        energy_terms={} if term is None else {"dispersion": term}, **options,
    ).build()  # fmt: skip


def difference(atoms, term, quantity):
    """What the term adds to a quantity of a model."""
    symbols = sorted(set(atoms.get_chemical_symbols()))
    values = [EquipotCalculator(model(one, symbols)).get_property(quantity, atoms.copy()) for one in (term, None)]
    return values[0] - values[1]


@pytest.mark.parametrize("name", REFERENCE["frames"])
def test_equals_simple_dftd3(name):
    frame = REFERENCE["frames"][name]
    atoms = Atoms(frame["numbers"], frame["positions"], cell=frame["cell"], pbc=frame["pbc"])
    term = D3Dispersion(functional=REFERENCE["functional"], r_max=frame["r_max"], switch_width=1e-3)
    assert difference(atoms, term, "energy") == pytest.approx(frame["energy"], rel=1e-6)
    forces = torch.tensor(frame["forces"], dtype=torch.float64)
    found = torch.from_numpy(difference(atoms, term, "forces"))
    torch.testing.assert_close(found, forces, rtol=0, atol=1e-5 * float(forces.abs().max()))
    if atoms.pbc.all():
        virial = torch.tensor(frame["virial"], dtype=torch.float64)
        stress = difference(atoms, term, "stress")
        voigt = [virial[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))]
        expected = -torch.stack(voigt) / atoms.get_volume()
        torch.testing.assert_close(torch.from_numpy(stress), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "functional: is needed, or all of s8, a1, a2, got []"),
        ({"s8": 1.0, "a1": 0.4}, "functional: is needed, or all of s8, a1, a2, got ['s8', 'a1']"),
        ({"functional": "pbe", "s8": 1.0}, "functional: also given: ['s8']; give the functional or the parameters"),
        ({"functional": "pbee"}, "functional: has no published D3(BJ) parameters, got 'pbee'; give s8, a1 and a2"),
        ({"functional": "pbe", "r_max": 1.0}, "switch_width: must be at most r_max = 1.0, got 2.0"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ConfigError) as error:
        D3Dispersion(**options)
    assert message in str(error.value)


def test_own_parameters_are_those_of_the_functional():
    published = D3Dispersion(functional="pbe").parameters()
    assert published == pytest.approx({"s6": 1.0, "s8": 0.7875, "a1": 0.4289, "a2": 4.4407})  # Grimme's table
    own = D3Dispersion(s8=0.7875, a1=0.4289, a2=4.4407)
    assert own.parameters() == pytest.approx(published)


def test_elements_it_does_not_know():
    with pytest.raises(ConfigError, match="has no parameters for the atomic numbers, got \\[118\\]"):
        model(D3Dispersion(functional="pbe"), ["Og"])
    with pytest.raises(ConfigError, match="needs the element of each type; give the model chemical_species"):
        model(D3Dispersion(functional="pbe"), ["CA"])
