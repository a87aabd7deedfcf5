import dataclasses

import pytest
import torch

from equipot.errors import ConfigError
from equipot.graph import edge_set_key
from equipot.model import atomic_virials, with_edge_forces
from equipot_test_support.terms import FarTerm, Trap
from equipot_testing.frames import batch_of, bulk, molecule, standard_structures
from equipot_testing.toy import ToyEnergy, ToyModel


def toy(**options):
    return ToyModel(type_names=["H", "C"], r_max=4.0, model_dtype="float64", **options).build().eval()


@pytest.fixture
def far():
    return toy(energy_terms={"far": FarTerm()})


def test_forces_and_virial_are_made_of_them(far):
    batch = batch_of(standard_structures(2).values(), far.info)
    outputs, plain = with_edge_forces(far)(batch), far(batch)
    assert outputs.keys() - plain.keys() == {"edge_forces", "edge_forces:far"}
    for key, value in plain.items():
        assert torch.equal(outputs[key], value), key
    forces = torch.zeros_like(plain["forces"])
    for name in ("", "far"):
        (centre, neighbour), gradient = (
            batch[edge_set_key("edge_index", name)],
            outputs[f"edge_forces:{name}".strip(":")],
        )
        assert gradient.shape == (len(centre), 3)
        forces = forces.index_add(0, centre, gradient).index_add(0, neighbour, -gradient)
    torch.testing.assert_close(forces, plain["forces"], rtol=1e-12, atol=1e-12)
    shares = atomic_virials(batch, outputs)
    assert torch.equal(shares, shares.transpose(1, 2))
    sums = torch.zeros_like(plain["virial"]).index_add(0, batch["batch"], shares)
    torch.testing.assert_close(sums, plain["virial"], rtol=1e-12, atol=1e-12)


def test_each_is_the_slope_of_the_energy_along_its_edge(far):
    """A frame whose edges are moved one at a time, through the cell shift of a fictitious cell."""
    frame = molecule(2).graph(far.info)
    frame["cell"] = torch.eye(3, dtype=torch.float64).unsqueeze(0)
    made = with_edge_forces(far)
    slopes = made(frame)["edge_forces"]
    step, (edge, axis) = 1e-5, (3, 1)
    energies = []
    for sign in (1.0, -1.0):
        shift = frame["edge_cell_shift"].clone()
        shift[edge, axis] += sign * step
        energies.append(float(made({**frame, "edge_cell_shift": shift})["total_energy"]))
    assert abs(float(slopes[edge, axis])) > 1e-3
    assert (energies[0] - energies[1]) / (2 * step) == pytest.approx(float(slopes[edge, axis]), abs=1e-8)


def test_ghost_atoms_have_none(far):
    frame = molecule(2).graph(far.info)
    frame["owned"] = torch.arange(len(frame["atom_types"])) % 2 == 0
    outputs = with_edge_forces(far)(frame)
    owned = frame["owned"][frame["edge_index"][0]]
    assert outputs["edge_forces"][owned].abs().min() > 0
    assert not outputs["edge_forces"][~owned].any()


def strained(structure, row, column, size):
    strain = torch.eye(3, dtype=torch.float64)
    strain[row, column] += size
    return structure.mapped(strain)


def test_the_share_of_an_atom_is_the_strain_derivative_of_its_energy_where_atoms_are_equivalent():
    model = toy()
    crystal = dataclasses.replace(bulk(1), positions=torch.zeros(1, 3, dtype=torch.float64), types=torch.tensor([1]))
    crystal = crystal.repeated((2, 1, 1)).mapped(0.6 * torch.eye(3, dtype=torch.float64))
    frame = crystal.graph(model.info)
    share = atomic_virials(frame, with_edge_forces(model)(frame))[0]
    step = 1e-5
    for row, column in ((0, 0), (1, 2), (2, 2)):
        energies = [
            float(model(strained(crystal, row, column, sign * step).graph(model.info))["atomic_energy"][0])
            for sign in (1.0, -1.0)
        ]
        assert (energies[0] - energies[1]) / (2 * step) == pytest.approx(-float(share[row, column]), abs=1e-8)
    assert share.abs().max() > 1e-2


def test_the_model_shares_its_tensors(far):
    made = with_edge_forces(far)
    assert made.energy is far.energy
    assert made.info.outputs == (*far.info.outputs, "edge_forces", "edge_forces:far")
    assert made.state_dict().keys() == far.state_dict().keys()
    assert with_edge_forces(made) is made
    assert "edge_forces" not in far.info.outputs


def test_they_can_be_trained_on():
    model = with_edge_forces(toy()).train()
    outputs = model(batch_of([bulk(2)], model.info))
    outputs["edge_forces"].square().sum().backward()
    assert model.energy.weights.grad.abs().max() > 0


def test_models_that_have_none_are_refused_by_name():
    with pytest.raises(ConfigError, match="the model has no forces, got .*enable_ForceStressOutput"):
        with_edge_forces(toy(do_derivatives=False))
    with pytest.raises(ConfigError, match=r"component 'trap' \(Confined\) reads positions, so that its forces are not"):
        with_edge_forces(toy(energy_terms={"trap": Trap()}))


def test_a_model_without_them_has_no_atomic_virials():
    model = toy()
    frame = molecule(2).graph(model.info)
    with pytest.raises(ConfigError, match="atomic_virials: needs the output edge_forces, got .*with_edge_forces"):
        atomic_virials(frame, model(frame))


def test_localities_name_the_component():
    model = toy(energy_terms={"trap": Trap(), "far": FarTerm()})
    assert [name for name, _ in model.components()] == ["energy", "trap", "far"]
    assert model.localities() == ["strict", "global", "strict"]
    assert model.info.locality == "global"
    assert isinstance(model.energy, ToyEnergy)
