import threading

import numpy as np
import pytest
from ase.build import molecule

from equipot.ase import EquipotCalculator
from equipot.ase._turns import Turns
from equipot.errors import ConfigError


def elsewhere(work):
    """Run in another thread and return the result, or raise its error."""
    done = []

    def run():
        try:
            done.append((work(), None))
        except Exception as error:  # noqa: BLE001 - whatever it is
            done.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    result, error = done[0]
    if error:
        raise error
    return result


@pytest.fixture
def calculator(make_model):
    return EquipotCalculator(make_model())


def test_what_another_thread_replaced_is_refused():
    turns = Turns()

    def leave():
        with turns.one():
            turns.leave_something()

    turns.require_own("here")
    elsewhere(leave)
    turns.require_own("here")  # this thread has left nothing that it could take it for
    leave()
    turns.require_own("here")
    elsewhere(leave)
    with pytest.raises(ConfigError, match="here: another thread has used this calculator since this one last did; ask"):
        turns.require_own("here")
    with turns.about_a_frame():
        turns.require_own("here")
    turns.require_own("here")


def test_a_failure_about_a_frame_makes_nothing_ones_own():
    turns = Turns()
    for thread in (lambda work: work(), elsewhere):
        thread(turns.leave_something)
    with pytest.raises(KeyError), turns.about_a_frame():
        raise KeyError
    with pytest.raises(ConfigError):
        turns.require_own("here")


def test_results_of_another_frame_are_never_shown(calculator):
    mine, other = molecule("CH3OH"), molecule("H2O")
    energy = calculator.get_potential_energy(mine)
    assert calculator.results["energy"] == energy
    another = elsewhere(lambda: calculator.get_potential_energy(other))
    assert another != energy
    for ask in (
        lambda: calculator.results,
        lambda: calculator.atoms,
        calculator.get_atoms,
        calculator.export_properties,
        calculator.get_potential_energy,
        calculator.calculate,
    ):
        with pytest.raises(ConfigError, match="another thread has used this calculator"):
            ask()
    with pytest.raises(NotImplementedError):
        calculator.get_dipole_moment(mine)
    assert calculator.calculation_required(mine, ["energy"])
    assert not calculator.calculation_required(other, ["energy"])
    assert calculator.get_property("stress", mine, allow_calculation=False) is None
    with pytest.raises(ConfigError, match="another thread has used this calculator"):
        assert calculator.results
    assert calculator.get_potential_energy(mine) == energy
    assert np.array_equal(calculator.atoms.positions, mine.positions)
    assert calculator.results["energy"] == energy


def test_what_another_thread_calculated_of_the_same_frame_is_ones_own(calculator):
    atoms = molecule("CH3OH")
    calculator.get_potential_energy(molecule("H2O"))
    energy = elsewhere(lambda: calculator.get_potential_energy(atoms))
    assert calculator.get_property("energy", atoms, allow_calculation=False) == energy
    assert calculator.results["energy"] == energy
    calculator.reset()
    assert calculator.results == {}
    assert calculator.atoms is None


def test_properties_of_a_frame_come_together(calculator):
    atoms = molecule("CH3OH")
    atoms.calc = calculator
    found = atoms.get_properties(["energy", "forces"])
    assert found["energy"] == atoms.get_potential_energy()
    assert np.array_equal(found["forces"], atoms.get_forces())
