import copy
import dataclasses

import numpy as np
import pytest
import torch
import torch_sim
from ase import Atoms
from torch_sim.models.interface import validate_model_outputs

from equipot.ase import EquipotCalculator
from equipot.errors import ConfigError, DataError
from equipot.model import apply_modifier
from equipot.units import KCAL_PER_MOL_IN_EV
from equipot_engines import TorchSimModel

METAL = torch_sim.units.MetalUnits


def state_of(frames, dtype=torch.float64):
    return torch_sim.initialize_state(frames, torch.device("cpu"), dtype)


def one_by_one(model, frames, **options):
    """Energies, forces and stresses of the ASE calculator."""
    calculator = EquipotCalculator(model, skin=0.0, **options)
    stress = [calculator.get_stress(one) if one.pbc.all() else np.zeros(6) for one in frames]
    return (
        np.array([calculator.get_potential_energy(one) for one in frames]),
        np.concatenate([calculator.get_forces(one) for one in frames]),
        np.array(stress),
    )


def deviations(outputs, expected):
    stress = outputs["stress"].numpy()
    found = stress[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    pairs = zip((outputs["energy"].numpy(), outputs["forces"].numpy(), found), expected, strict=True)
    return [float(np.abs(a - b).max()) for a, b in pairs]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["crystals", "molecules"])
def test_batches_give_what_ase_gives(model, kind, request):
    frames = request.getfixturevalue(kind)(9)
    outputs = TorchSimModel(model)(state_of(frames))
    assert max(deviations(outputs, one_by_one(model, frames))) < 1e-10
    assert not any(value.requires_grad for value in outputs.values())
    assert (float(outputs["stress"].abs().max()) > 0.0) == (kind == "crystals")


def test_lists_are_kept_along_a_trajectory_and_change_nothing(model, crystals):
    frames, torch_model = crystals(8), TorchSimModel(EquipotCalculator(model, skin=0.6))
    random = np.random.default_rng(0)
    for _ in range(6):
        outputs = torch_model(state_of(frames))
        assert max(deviations(outputs, one_by_one(model, frames))) < 1e-10
        for one in frames:
            one.positions += 0.03 * random.normal(size=one.positions.shape)
            one.set_cell(one.cell.array * (1.0 + 0.002 * random.normal()), scale_atoms=True)
    assert 8 <= torch_model.neighbor_list_builds < 24


def test_systems_may_leave_the_batch(model, crystals):
    frames, torch_model = crystals(6), TorchSimModel(model)
    state = state_of(frames)
    torch_model(state)
    state.pop([1, 4])
    kept = [frames[index] for index in (0, 2, 3, 5)]
    assert max(deviations(torch_model(state), one_by_one(model, kept))) < 1e-10
    assert torch_model.neighbor_list_builds == 6


@pytest.mark.parametrize(("model_dtype", "dtype"), [("float32", torch.float32), ("float64", torch.float32)])
def test_precision_of_results(make_model, crystals, model_dtype, dtype):
    model = make_model(model_dtype=model_dtype, per_type_energy_shifts=None)
    frames = crystals(4)
    outputs = TorchSimModel(model, dtype=dtype)(state_of(frames, dtype))
    assert {value.dtype for value in outputs.values()} == {dtype}
    assert max(deviations(outputs, one_by_one(model, frames))) < 1e-3


def test_other_units_become_ev(model, crystals):
    calculator, state = EquipotCalculator(model), state_of(crystals(2))
    expected = TorchSimModel(calculator)(state)
    calculator.info = dataclasses.replace(calculator.info, units="real")
    found = TorchSimModel(calculator)(state)
    assert all(torch.allclose(found[key], value * KCAL_PER_MOL_IN_EV, rtol=1e-14) for key, value in expected.items())


@pytest.mark.usefixtures("heads_plugin")
def test_heads_predict_what_they_predict_in_ase(model, crystals):
    frames = crystals(3)
    with_head = apply_modifier(model, "add_Uncertainty").eval()
    calculator = EquipotCalculator(with_head, skin=0.0)
    found = TorchSimModel(with_head)(state_of(frames))
    expected = [calculator.get_property("energy_std", one) for one in frames]
    assert set(found) == {"energy", "forces", "stress", "energy_std"}
    assert found["energy_std"].numpy() == pytest.approx(expected, rel=1e-12)
    calculator.info = dataclasses.replace(calculator.info, units="real")
    other = TorchSimModel(calculator)(state_of(frames))
    torch.testing.assert_close(other["energy_std"], found["energy_std"] * KCAL_PER_MOL_IN_EV)


def test_a_dict_is_a_state(model, crystals):
    state, torch_model = state_of(crystals(3)), TorchSimModel(model)
    names = ("positions", "cell", "pbc", "atomic_numbers", "system_idx")
    found = torch_model({name: getattr(state, name) for name in names})
    assert torch.equal(found["energy"], torch_model(state)["energy"])


def test_stresses_and_forces_can_be_left_out(model, crystals):
    torch_model = TorchSimModel(model, compute_stress=False)
    assert set(torch_model(state_of(crystals(1)))) == {"energy", "forces"}
    torch_model.compute_stress, torch_model.compute_forces = True, False
    assert set(torch_model(state_of(crystals(1)))) == {"energy", "stress"}


def test_its_own_validator(make_model):
    model = make_model(type_names=["Si", "Fe"], per_edge_type_cutoff=None, per_type_energy_shifts=None)
    torch_model = TorchSimModel(model)
    validate_model_outputs(torch_model, torch.device("cpu"), torch.float64)
    assert isinstance(torch_model, torch.nn.Module)
    assert torch_model.memory_scales_with == "n_atoms_x_density"


def test_the_input_is_not_changed(model, crystals):
    state = state_of(crystals(3))
    before = copy.deepcopy(vars(state))
    TorchSimModel(model)(state)
    assert all(torch.equal(torch.as_tensor(vars(state)[key]), torch.as_tensor(before[key])) for key in before)


# ------------------------------------------------------------------ what is refused


def test_models_that_it_cannot_serve(energy_model, charged_model):
    with pytest.raises(ConfigError, match=r"TorchSimModel.model: has no forces.*enable_ForceStressOutput"):
        TorchSimModel(energy_model)
    with pytest.raises(ConfigError, match=r"TorchSimModel.model: reads total_charge, which this engine does not give"):
        TorchSimModel(charged_model)


def test_options(model):
    with pytest.raises(ConfigError, match=r"TorchSimModel.device: must not be given with a calculator, got 'cpu'"):
        TorchSimModel(EquipotCalculator(model), "cpu")
    with pytest.raises(ConfigError, match=r"TorchSimModel.dtype: is not one of states, got 'torch.int64'"):
        TorchSimModel(model, dtype=torch.int64)


def test_unknown_elements_are_named(model):
    with pytest.raises(DataError, match=r"no atom type for \['Ne'\]; supported: \['C', 'H', 'O'\]"):
        TorchSimModel(model)(state_of([Atoms("Ne"), Atoms("H")]))


def test_coordinates_that_are_not_finite(model, crystals):
    state, torch_model = state_of(crystals(3)), TorchSimModel(model)
    torch_model(state)
    state.positions[5, 1] = float("nan")
    with pytest.raises(DataError, match="coordinates must be finite"):
        torch_model(state)


def test_systems_must_follow_one_another(model, crystals):
    state = state_of(crystals(2))
    state.system_idx = state.system_idx.flip(0)
    with pytest.raises(DataError, match="must hold the systems one after the other"):
        TorchSimModel(model)(state)


def test_results_that_are_not_finite_stop(model, crystals):
    with torch.no_grad():
        model.scale_shift.shifts[1] = float("nan")
    frames = [*crystals(2), Atoms("OH", positions=[[0, 0, 0], [0, 0, 1.0]], cell=[9, 9, 9], pbc=True)]
    with pytest.raises(DataError, match=r"calculation 1, frame 2: .*non-finite .*the first is atom 1 \(H\)"):
        TorchSimModel(model)(state_of(frames))


def test_forces_beyond_the_limit_stop(model, crystals):
    close = Atoms("CO", positions=[[0, 0, 0], [0, 0, 0.05]], cell=[9, 9, 9], pbc=True)
    torch_model = TorchSimModel(EquipotCalculator(model, max_force=1e3))
    with pytest.raises(DataError, match=r"frame 1: atom 0 \(C\) at .* has a force of .* more than max_force=1000"):
        torch_model(state_of([crystals(1)[0], close]))
    TorchSimModel(EquipotCalculator(model, max_force=None))(state_of([close]))


def test_runaway_dynamics_stop(model, crystals):
    init, step = torch_sim.nve(
        TorchSimModel(EquipotCalculator(model, max_temperature=2e4)), dt=0.001 * METAL.time, kT=300 * METAL.temperature
    )
    state = init(state_of(crystals(3)), 300 * METAL.temperature, seed=1)
    state = step(state)
    state.momenta[7] *= 40.0
    with pytest.raises(DataError, match=r"frame 2: atom \d .* moves with a kinetic energy of .* max_temperature=20000"):
        step(state)
