import numpy as np
import pytest
import torch
from ase.build import molecule

from equipot.ase import EquipotCalculator
from equipot.errors import ConfigError
from equipot.graph import collate
from equipot_uncertainty import Committee, CommitteeCalculator


@pytest.fixture(scope="module")
def models(model, make_model):
    return [model, make_model(seed=2), make_model(seed=3)]


def test_mean_and_spread(models):
    atoms = molecule("H2O")
    atoms.calc = CommitteeCalculator(models, scale=2.0)
    singles = []
    for model in models:
        single = atoms.copy()
        single.calc = EquipotCalculator(model)
        singles.append((single.get_potential_energy(), single.get_forces()))
    energies, forces = (np.array(values) for values in zip(*singles, strict=True))
    assert atoms.get_potential_energy() == pytest.approx(energies.mean())
    np.testing.assert_allclose(atoms.get_forces(), forces.mean(0))
    assert atoms.calc.results["energy_std"] == pytest.approx(2.0 * energies.std(ddof=1))
    expected = 2.0 * np.sqrt(forces.var(0, ddof=1).mean(1))
    np.testing.assert_allclose(atoms.calc.results["forces_std"], expected)
    assert atoms.calc.results["atomic_energy_std"].shape == (3,)


def test_batches_give_what_the_calculator_gives(models, sets):
    found = Committee(models)(collate([sets["test"][0], sets["test"][1]]))
    atoms = molecule("H2O")
    atoms.positions = sets["test"][0]["positions"].numpy()
    atoms.calc = CommitteeCalculator(models)
    assert float(found["total_energy"][0]) == pytest.approx(atoms.get_potential_energy())
    assert float(found["energy_std"][0]) == pytest.approx(atoms.calc.results["energy_std"])
    torch.testing.assert_close(found["forces_std"][:3], torch.from_numpy(atoms.calc.results["forces_std"]))


def test_refusals(models, make_model):
    for kind in (Committee, CommitteeCalculator):
        with pytest.raises(ConfigError, match="models: must be at least two, got 1"):
            kind(models[:1])
    with pytest.raises(ConfigError, match="scale: must be greater than 0, got -1"):
        CommitteeCalculator(models, scale=-1.0)
    with pytest.raises(ConfigError, match="committee: r_max: must be 3.0 in all models, got 2.5"):
        Committee([models[0], make_model(r_max=2.5)])
