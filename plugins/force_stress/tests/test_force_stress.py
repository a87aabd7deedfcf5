"""Forces, virial and stress against finite differences, and what the modifiers leave alone."""

import dataclasses
from unittest import mock

import pytest
import torch

from equipot.model import EnergyTerm, EnergyTermModule, apply_modifier
from equipot.nn.cutoff import polynomial_cutoff
from equipot_force_stress._derivatives import ForceStress, stress_of_frames
from equipot_testing.finite_difference import fd_forces, fd_strain_gradient
from equipot_testing.frames import (
    Structure,
    batch_of,
    bulk,
    cluster,
    lone_atom,
    molecule,
    slab,
    standard_structures,
    wire,
)
from equipot_testing.toy import ToyModel

CLOSE = {"rtol": 2e-6, "atol": 2e-6}


def toy(**options):
    base = {"type_names": ["H", "C", "O"], "r_max": 4.0, "model_dtype": "float64"}
    return ToyModel(**{**base, **options}).build().eval()


def check_against_finite_differences(model, structures):
    output = model(batch_of(structures, model.info))
    forces = torch.cat([fd_forces(model, model.info, structure) for structure in structures])
    torch.testing.assert_close(output["forces"], forces, **CLOSE)
    for index, structure in enumerate(structures):
        gradient = fd_strain_gradient(model, model.info, structure)
        torch.testing.assert_close(output["virial"][index], -gradient, **CLOSE)
        if output["stress_mask"][index]:
            torch.testing.assert_close(output["stress"][index], gradient / structure.volume, **CLOSE)
        else:
            assert not output["stress"][index].any()
    return output


# ------------------------------------------------------------------ the numbers


def test_bulk_slab_wire_molecule_and_lone_atom_in_one_batch():
    output = check_against_finite_differences(toy(), list(standard_structures(3).values()))
    assert output["stress_mask"].tolist() == [True, True, True, False, False]
    assert output["stress"][0].abs().max() > 1e-3
    torch.testing.assert_close(output["stress"], output["stress"].transpose(1, 2))


def test_virial_is_minus_stress_times_volume():
    structure = bulk(3)
    model = toy()
    output = model(structure.graph(model.info))
    torch.testing.assert_close(output["virial"], -output["stress"] * structure.volume)


def test_stress_is_positive_under_tension():
    """Pulled apart beyond its minimum, a crystal with attraction wants to shrink."""

    def energy(scale):
        structure = bulk(3).mapped(scale * torch.eye(3, dtype=torch.float64))
        output = model(structure.graph(model.info))
        return float(output["total_energy"]), float(torch.trace(output["stress"][0]))

    model = toy()
    for scale in (0.95, 1.0, 1.05, 1.1):
        slope = energy(scale + 1e-4)[0] - energy(scale - 1e-4)[0]
        assert (energy(scale)[1] > 0) == (slope > 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LongRange(EnergyTerm):
    """A pair term with a radius of its own."""

    radius: float = 5.5
    """Å."""

    def own_r_max(self):
        return self.radius

    def build(self, context):
        return LongRangeModule(self.radius)


class LongRangeModule(EnergyTermModule):
    requires = ("edge_lengths", "normalized_edge_lengths", "edge_index", "atom_types")

    def __init__(self, radius):
        super().__init__()
        self.r_max = radius

    def forward(self, data):
        i, j = data["edge_index"]
        types = data["atom_types"].to(torch.float64)
        pair = (
            (1 + types[i])
            * (2 + types[j])
            / data["edge_lengths"]
            * polynomial_cutoff(data["normalized_edge_lengths"], 6)
        )
        return torch.zeros_like(types).index_add(0, i, pair)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trap(EnergyTerm):
    """An external field: reads positions."""

    def build(self, context):
        return TrapModule()


class TrapModule(EnergyTermModule):
    requires = ("positions",)
    locality = "global"

    def forward(self, data):
        x, y, z = data["positions"].T
        return 0.05 * x**2 + 0.1 * x * y - 0.3 * torch.cos(z)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid(EnergyTerm):
    """A field that moves with the cell, and one of its volume: reads positions and cell."""

    def build(self, context):
        return GridModule()


class GridModule(EnergyTermModule):
    requires = ("positions", "cell", "batch")
    locality = "global"

    def forward(self, data):
        cell = data["cell"][data["batch"]]
        fractional = torch.linalg.solve(cell.transpose(1, 2), data["positions"])
        wave = torch.cos(2 * torch.pi * fractional @ torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64))
        return 0.4 * wave + 0.2 * torch.log(torch.linalg.det(cell).abs()) + 0.01 * cell[:, 0, 1] * cell[:, 2, 2]


def test_term_with_edges_of_its_own():
    model = toy(energy_terms={"long_range": LongRange()})
    assert model.info.edge_sets == (("long_range", 5.5),)
    graph = bulk(3).graph(model.info)
    assert graph["edge_index:long_range"].shape[1] > graph["edge_index"].shape[1]
    check_against_finite_differences(model, list(standard_structures(3).values()))


def test_lengths_of_further_edges_are_relative_to_their_own_radius():
    model = toy(energy_terms={"long_range": LongRange()})
    dimer = cluster([[0.0, 0.0, 0.0], [0.0, 4.8, 0.0]], [0, 1])
    pair = 1 * 3 / 4.8 * polynomial_cutoff(torch.tensor(4.8 / 5.5, dtype=torch.float64), 6)
    assert pair > 1e-3
    expected = torch.stack([pair, 2 * 2 / 3 * pair])
    torch.testing.assert_close(model(dimer.graph(model.info))["atomic_energy"], expected)


def test_recipe_tells_the_data_layer_of_further_edges():
    recipe = ToyModel(type_names=["H"], r_max=4.0, energy_terms={"far": LongRange(radius=6.0)})
    assert recipe.info().edge_sets == (("far", 6.0),)


def test_term_that_reads_positions():
    check_against_finite_differences(toy(energy_terms={"trap": Trap()}), [bulk(3), slab(3), wire(3), molecule(3)])


def test_terms_that_read_positions_and_cell_next_to_one_with_its_own_edges():
    model = toy(energy_terms={"grid": Grid(), "trap": Trap(), "long_range": LongRange()})
    check_against_finite_differences(model, [bulk(3), slab(3), bulk(3, seed=17, n_atoms=4)])


def test_ghost_atoms_have_no_energy_but_pull_on_the_owned():
    model = toy()
    structure = molecule(3)
    graph = structure.graph(model.info)
    graph["owned"] = torch.tensor([True, True, False, True, False])
    output = model(graph)
    assert not output["atomic_energy"][~graph["owned"]].any()
    positions = graph["positions"].clone().requires_grad_()
    energy_only = apply_modifier(model, "disable_ForceStressOutput").train()
    (gradient,) = torch.autograd.grad(energy_only({**graph, "positions": positions})["total_energy"].sum(), positions)
    torch.testing.assert_close(output["forces"], -gradient)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_forces_under_any_gradient_mode(context):
    model = toy()
    graph = bulk(3).graph(model.info)
    expected = model(graph)["forces"]
    with context():
        assert torch.equal(model(bulk(3).graph(model.info))["forces"], expected)


def test_loss_on_stress_reaches_the_weights():
    model = toy().train()
    (gradient,) = torch.autograd.grad(model(bulk(3).graph(model.info))["stress"].square().sum(), [model.energy.weights])
    assert gradient.abs().max() > 0


# ------------------------------------------------------- which frames have a stress


def frame_of(cell, pbc):
    strain = torch.ones(1, 3, 3, dtype=torch.float64)
    stress, mask = stress_of_frames(strain, torch.tensor([cell], dtype=torch.float64), torch.tensor([pbc]))
    assert torch.isfinite(stress).all()
    return stress[0, 0, 0].item() if mask[0] else None


@pytest.mark.parametrize(
    ("cell", "pbc", "expected"),
    [
        ([[2, 0, 0], [0, 2, 0], [0, 0, 4]], [True, True, True], 1 / 16),
        ([[0, 2, 0], [2, 0, 0], [0, 0, 4]], [True, True, True], 1 / 16),  # left-handed
        ([[2, 0, 0], [0, 2, 0], [0, 0, 4]], [True, False, True], 1 / 16),
        ([[2, 0, 0], [0, 2, 0], [0, 0, 4]], [False, False, False], None),  # the cell does not matter
        ([[2, 0, 0], [0, 2, 0], [0, 0, 0]], [True, True, False], None),
        ([[2, 0, 0], [4, 0, 0], [0, 0, 3]], [True, True, True], None),
        ([[0, 0, 0], [0, 0, 0], [0, 0, 0]], [False, False, False], None),
        ([[1e-3, 0, 0], [0, 1e-3, 0], [0, 0, 1e-3]], [True, True, True], 1e9),
    ],
)
def test_volume_decides_only_where_a_direction_is_periodic(cell, pbc, expected):
    found = frame_of([[float(x) for x in row] for row in cell], pbc)
    assert found == (None if expected is None else pytest.approx(expected))


def test_padding_box_of_a_molecule_changes_nothing():
    model = toy()
    inside = molecule(3)
    boxes = [dataclasses.replace(inside, cell=size * torch.eye(3, dtype=torch.float64)) for size in (0.0, 20.0, 90.0)]
    outputs = [model(box.graph(model.info)) for box in boxes]
    for output in outputs[1:]:
        for key, value in outputs[0].items():
            assert torch.equal(output[key], value)


# ---------------------------------------------------------------------- the modifiers


def test_energy_only_model_never_differentiates():
    model = toy(do_derivatives=False)
    batch = batch_of(standard_structures(3).values(), model.info)
    with mock.patch("torch.autograd.grad", side_effect=AssertionError("called")):
        for training in (False, True):
            assert set(model.train(training)(batch)) == {"atomic_energy", "total_energy"}
        with pytest.raises(AssertionError, match="called"):
            apply_modifier(model, "enable_ForceStressOutput")(batch)


def test_enable_after_disable_gives_the_same_numbers():
    model = toy()
    again = apply_modifier(apply_modifier(model, "disable_ForceStressOutput"), "enable_ForceStressOutput")
    graph = bulk(3).graph(model.info)
    for key, value in model(graph).items():
        assert torch.equal(again(graph)[key], value)
    assert [applied.name for applied in again.modifiers] == [
        "enable_ForceStressOutput", "disable_ForceStressOutput", "enable_ForceStressOutput",
    ]  # fmt: skip


def test_applying_what_is_there_already_is_logged(caplog):
    model = toy()
    with caplog.at_level("INFO", logger="equipot.model._modifiers"):
        assert apply_modifier(model, "enable_ForceStressOutput") is model
    assert "enable_ForceStressOutput: nothing to change" in caplog.text


def test_slot_holds_the_module_without_parameters():
    model = toy()
    assert isinstance(model.derivatives, ForceStress)
    assert not [key for key in model.state_dict() if key.startswith("derivatives")]


def test_lone_atom_alone():
    model = toy(per_type_energy_shifts={"H": -13.6, "C": 0.0, "O": 0.0})
    output = model(lone_atom().graph(model.info))
    assert output["total_energy"].tolist() == [-13.6]
    assert not output["forces"].any()


def test_periodic_lone_atom_feels_its_images_in_the_stress_only():
    model = toy()
    alone = Structure(
        torch.zeros(1, 3, dtype=torch.float64), torch.tensor([1]), 3.0 * torch.eye(3, dtype=torch.float64), (True,) * 3
    )
    output = check_against_finite_differences(model, [alone])
    assert output["forces"].abs().max() < 1e-12
    assert output["stress"].abs().max() > 1e-4
