import numpy as np
import pytest
from ase import units
from ase.build import molecule
from ase.calculators.calculator import Calculator
from ase.io import read
from ase.md.verlet import VelocityVerlet

from equipot.ase import EquipotCalculator
from equipot.errors import ConfigError
from equipot_uncertainty import StopWhenUncertain, UncertainError
from equipot_uncertainty._fit import FitOptions, add_uncertainty


class Rising(Calculator):
    """Free atoms, whose uncertainty rises with each calculation."""

    implemented_properties = ("energy", "forces", "energy_std", "forces_std")
    calls = 0

    def calculate(self, atoms=None, properties=(), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        stds = np.array([0.1, 0.2, 0.3]) * self.calls
        self.results = {"energy": 0.0, "forces": np.zeros((3, 3)), "energy_std": 3.0 * self.calls, "forces_std": stds}


def moving():
    atoms = molecule("H2O")
    atoms.calc = Rising()
    atoms.set_momenta(np.ones((3, 3)))
    return atoms, VelocityVerlet(atoms, 0.5 * units.fs)


@pytest.mark.parametrize(
    ("quantity", "threshold"), [("energy_std", 12.0), ("energy_std_per_atom", 4.0), ("forces_std", 1.2)]
)
def test_a_run_ends_and_the_frame_is_saved(tmp_path, quantity, threshold):
    atoms, dynamics = moving()
    path = tmp_path / "uncertain.extxyz"
    dynamics.attach(StopWhenUncertain(atoms, quantity, threshold, path))
    expected = f"StopWhenUncertain: {quantity} is above {threshold:g}, got .*; the frame is in .*: calculate it"
    with pytest.raises(UncertainError, match=expected):
        dynamics.run(20)
    assert dynamics.nsteps == 4  # the fifth calculation
    (frame,) = read(path, ":")
    np.testing.assert_allclose(frame.positions, atoms.positions, atol=1e-7)
    assert frame.info[quantity] == pytest.approx(threshold * 5 / 4)
    assert frame.calc is None


def test_a_run_may_go_on(tmp_path):
    atoms, dynamics = moving()
    watch = StopWhenUncertain(atoms, "energy_std", 12.0, tmp_path / "uncertain.extxyz", stop=False)
    dynamics.attach(watch, interval=2)
    dynamics.run(8)
    assert watch.saved == 3  # after 4, 6 and 8 steps
    assert len(read(tmp_path / "uncertain.extxyz", ":")) == 3


def test_a_model_with_uncertainties_is_watched(tmp_path, model, sets):
    made, _ = add_uncertainty(model, sets["train"], sets["val"], FitOptions(force_directions=2, force_frames=5))
    atoms = molecule("H2O")
    atoms.calc = EquipotCalculator(made)
    assert atoms.calc.get_property("energy_std", atoms) > 0.0
    watch = StopWhenUncertain(atoms, "atomic_energy_std", 1e6, tmp_path / "a.extxyz")
    watch()
    assert watch.value() == pytest.approx(atoms.calc.results["atomic_energy_std"].max())
    atoms.positions[1] += 0.6  # far from anything in the training set
    assert watch.value() > 0.0
    assert watch.saved == 0


def test_refusals(model):
    atoms = molecule("H2O")
    atoms.calc = EquipotCalculator(model)
    with pytest.raises(ConfigError, match="quantity: the calculator has no energy_std; add uncertainties"):
        StopWhenUncertain(atoms, "energy_std_per_atom", 1.0)
    with pytest.raises(ConfigError, match="threshold: must be greater than 0, got 0"):
        StopWhenUncertain(atoms, "energy_std", 0.0)
