"""A model of carbon, hydrogen and oxygen, the structures it is run on, and one that needs a charge."""

import numpy as np
import pytest
from ase.build import bulk, molecule

from equipot_test_support.terms import ChargeTerm


@pytest.fixture
def model(make_model):
    """With energies of a size that leaves digits for comparisons."""
    return make_model(per_type_energy_shifts={"C": -10.0, "H": -13.6, "O": -20.0})


@pytest.fixture
def charged_model(make_model):
    return make_model(energy_terms={"charge": ChargeTerm()}, pair_potential=None)


@pytest.fixture
def energy_model(make_model):
    """Without forces."""
    return make_model(do_derivatives=False)


@pytest.fixture
def crystals():
    """Periodic systems of several sizes, cells smaller than twice the cutoff among them."""

    def make(number):
        random, made = np.random.default_rng(4), []
        for index in range(number):
            atoms = bulk("CO", ("zincblende", "rocksalt")[index % 2], a=4.3 + 0.2 * random.random())
            atoms = atoms.repeat(((1, 1, 1), (2, 1, 1), (2, 2, 1))[index % 3])
            atoms.set_cell(atoms.cell.array + 0.15 * random.normal(size=(3, 3)), scale_atoms=True)
            atoms.rattle(0.06, seed=index)
            made.append(atoms)
        return made

    return make


@pytest.fixture
def molecules():
    """Molecules of several sizes, distorted."""

    def make(number):
        made = []
        for index in range(number):
            atoms = molecule(("H2O", "CH4", "CH3OH", "CO2", "CH3CH2OH", "H2CO")[index % 6])
            atoms.rattle(0.05, seed=index)
            made.append(atoms)
        return made

    return make
