"""The kit's own tools: neighbour oracle, structures, comparisons, pytest plugin."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from ase.neighborlist import primitive_neighbor_list

from equipot.model import ModelInfo
from equipot_testing._equivariance import orthogonal_matrices
from equipot_testing.checks import check_close, check_equal, check_outputs_equal, check_that
from equipot_testing.conformance import ModifierConformance
from equipot_testing.finite_difference import fd_forces, fd_strain_gradient
from equipot_testing.frames import (
    CELL,
    CLOSEST,
    batch_of,
    bulk,
    cluster,
    lone_atom,
    molecule,
    random_structure,
    standard_structures,
)
from equipot_testing.neighbors import brute_force_neighbors

INFO = ModelInfo(type_names=("H", "C"), chemical_species=("H", "C"), r_max=4.0, cutoffs=None, model_dtype="float64")


# ------------------------------------------------------------------- the neighbour oracle


@pytest.mark.parametrize("pbc", [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)])
def test_brute_force_agrees_with_ase(pbc):
    generator = np.random.default_rng(sum(pbc))
    cell = np.array(CELL) + 0.3 * generator.standard_normal((3, 3))
    positions = generator.uniform(-6.0, 9.0, (5, 3))
    periodic = np.array(pbc, dtype=bool)
    for radius in (1.5, 6.5):
        found = brute_force_neighbors(positions, cell, periodic, radius)
        expected = primitive_neighbor_list("ijS", periodic, cell, positions, radius)
        as_set = [{(i, j, *shift) for i, j, shift in zip(*edges, strict=True)} for edges in (found, expected)]
        assert as_set[0] == as_set[1]
        assert len(found[0]) == len(expected[0])


def test_brute_force_with_one_radius_for_each_ordered_pair():
    positions = np.array([[0.0, 0, 0], [0, 0, 2.0]])
    radii = np.array([[9.0, 2.5], [1.5, 9.0]])
    centre, neighbour, shift = brute_force_neighbors(positions, np.zeros((3, 3)), np.zeros(3, dtype=bool), radii)
    assert (centre.tolist(), neighbour.tolist(), shift.tolist()) == ([0], [1], [[0, 0, 0]])


def test_brute_force_of_no_atom_and_of_one_with_its_images():
    none = brute_force_neighbors(np.zeros((0, 3)), np.eye(3), np.ones(3, dtype=bool), 4.0)
    assert [part.shape for part in none] == [(0,), (0,), (0, 3)]
    centre, _, shift = brute_force_neighbors(np.zeros((1, 3)), np.eye(3), np.ones(3, dtype=bool), 1.1)
    assert len(centre) == 6
    assert sorted(np.abs(shift).sum(1).tolist()) == [1] * 6


def test_edges_are_sorted_by_centre_neighbour_and_shift():
    graph = bulk(2).graph(INFO)
    rows = torch.cat([graph["edge_index"].T.double(), graph["edge_cell_shift"]], dim=1).tolist()
    assert rows == sorted(rows)


# ----------------------------------------------------------------------- structures


def test_structures_are_deterministic_and_keep_their_distance():
    for name, structure in standard_structures(3).items():
        again = standard_structures(3)[name]
        assert torch.equal(structure.positions, again.positions)
        assert torch.equal(structure.types, again.types)
        edges = brute_force_neighbors(
            structure.positions.numpy(), structure.cell.numpy(), np.array(structure.pbc), CLOSEST
        )
        assert len(edges[0]) == 0
    assert not torch.equal(bulk(2).positions, bulk(2, seed=1).positions)


def test_bulk_is_triclinic_and_smaller_than_the_cutoff_sphere():
    structure = bulk(3)
    assert set(structure.types.tolist()) == {0, 1, 2}
    gram = structure.cell @ structure.cell.T
    assert gram[[0, 0, 1], [1, 2, 2]].abs().min() > 1.0
    assert structure.cell.norm(dim=1).max() < 8.0


def test_molecules_and_lone_atoms_have_no_cell():
    for structure in (molecule(2), lone_atom(), cluster([[0, 0, 0]], [1])):
        assert not structure.cell.any()
        assert structure.pbc == (False, False, False)
        assert structure.volume == 0.0


def test_too_many_atoms_are_refused():
    with pytest.raises(ValueError, match="3 atoms do not fit"):
        random_structure(3, 2, seed=1, pbc=(True, True, True), cell=1.3 * torch.eye(3, dtype=torch.float64))


def test_supercell_has_the_same_surroundings():
    structure = bulk(2)
    big = structure.repeated((2, 1, 3))
    assert big.volume == pytest.approx(6 * structure.volume)
    count, total = (graph["edge_index"].shape[1] for graph in (structure.graph(INFO), big.graph(INFO)))
    assert total == 6 * count


def test_images_stay_in_their_lattice():
    structure = bulk(2).shifted_by_images(torch.full((7, 3), 2))
    assert structure.graph(INFO)["edge_index"].shape == bulk(2).graph(INFO)["edge_index"].shape
    flat = molecule(2)
    assert torch.equal(flat.shifted_by_images(torch.ones(5, 3)).positions, flat.positions)


# ------------------------------------------------------------- derivatives, comparisons


def spring(batch):
    """A spring between the first two atoms of each frame, E = |r|^4 / 4."""
    starts = batch["num_atoms"].cumsum(0) - batch["num_atoms"]
    vectors = batch["positions"][starts + 1] - batch["positions"][starts]
    return {"total_energy": vectors.square().sum(1).square() / 4}


def test_finite_differences_of_a_known_function():
    structure = cluster([[0, 0, 0], [1, 2, -2], [5, 5, 5]], [0, 1, 0])
    r = torch.tensor([1.0, 2.0, -2.0], dtype=torch.float64)
    force = 9.0 * r
    expected = torch.stack([force, -force, 0 * force])
    torch.testing.assert_close(fd_forces(spring, INFO, structure), expected, rtol=0, atol=1e-8)
    torch.testing.assert_close(fd_strain_gradient(spring, INFO, structure), 9.0 * torch.outer(r, r), rtol=0, atol=1e-8)


def test_orthogonal_matrices_are_orthogonal_and_of_both_hands():
    matrices = orthogonal_matrices()
    for matrix in matrices.values():
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(3, dtype=torch.float64))
    hands = {name: round(float(torch.linalg.det(matrix))) for name, matrix in matrices.items()}
    assert hands == {"rotation": 1, "inversion": -1, "reflection": -1, "rotation and inversion": -1}


def test_messages_say_which_law_and_by_how_much():
    one = torch.ones(2, dtype=torch.float64)
    with pytest.raises(AssertionError, match="^law: differs by 0.5, allowed 1e-06$"):
        check_close("law", one, one + torch.tensor([0.5, 0.0]), tolerance=1e-6 / 1.5)
    with pytest.raises(AssertionError, match=r"^law: shape \(1,\), expected \(2,\)$"):
        check_close("law", one[:1], one, tolerance=1.0)
    with pytest.raises(AssertionError, match="^law: values are not finite$"):
        check_close("law", one * float("nan"), one, tolerance=1.0)
    with pytest.raises(AssertionError, match="^law: must be equal bit for bit, differs by 1e-1"):
        check_equal("law", one + 1e-12, one)
    with pytest.raises(AssertionError, match="^law: torch.float32 "):
        check_equal("law", one.float(), one)
    with pytest.raises(AssertionError, match=r"^law: outputs \['a'\], expected \['b'\]$"):
        check_outputs_equal("law", {"a": one}, {"b": one})
    with pytest.raises(AssertionError, match="^law$"):
        check_that(False, "law")
    check_close("law", one + 1e-9, one, tolerance=1e-8)
    check_close("law", one[:0], one[:0], tolerance=0.0)


# -------------------------------------------------------------------- the pytest plugin


def test_fixtures_come_with_the_plugin(equipot_structures):
    assert set(equipot_structures(2)) == {"bulk", "slab", "wire", "molecule", "lone atom"}
    assert batch_of(equipot_structures(2).values(), INFO)["num_atoms"].tolist() == [7, 6, 5, 5, 1]


@pytest.mark.slow
def test_pytest_plugin_costs_nothing_when_unused(tmp_path):
    """A run of pytest with the plugin loaded, on a test that does not use it."""
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n", encoding="utf-8")
    code = (
        "import sys, pytest\n"
        "class Look:\n"
        "    def pytest_sessionfinish(self, session):\n"
        "        assert session.config.pluginmanager.hasplugin('equipot')\n"
        "        print('loaded:', sorted({'torch', 'numpy', 'ase', 'equipot.plugins'} & set(sys.modules)))\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', sys.argv[1]], plugins=[Look()]))"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert "loaded: []" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


@pytest.mark.slow
def test_a_third_party_needs_five_lines(tmp_path):
    (tmp_path / "test_conformance.py").write_text(
        "from equipot_testing.conformance import ModifierConformance\n\n\n"
        "class TestMine(ModifierConformance):\n"
        '    name = "disable_ForceStressOutput"\n'
        '    model_options = {"do_derivatives": True}\n'
        '    expected_failures = {"energies": "not so"}\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "[XPASS(strict)] not so" in done.stdout
    assert f"1 failed, {len(ModifierConformance.checks()) - 1} passed" in done.stdout
    done = subprocess.run(
        [*command, "-m", "slow", "--collect-only"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "::test_import_has_no_side_effects\n" in done.stdout
    assert f"1/{len(ModifierConformance.checks())} tests collected" in done.stdout
