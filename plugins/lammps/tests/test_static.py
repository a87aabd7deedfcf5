"""Structures as LAMMPS wants them, and results as the structure has them."""

import numpy as np
import pytest

from equipot_lammps._static import Structure, _place, _result, _turned, header, write_data

CELLS = {
    "turned": [[3.0, 0.4, -0.3], [0.5, 3.2, 0.7], [-0.6, 0.2, 2.8]],
    "left-handed": [[3.0, 0.0, 0.0], [0.0, 0.0, 3.1], [0.0, 2.9, 0.4]],
}


def structure(cell, pbc=(True, True, True)):
    positions = np.random.default_rng(0).normal(size=(5, 3)) * 4.0
    return Structure(positions, np.array(cell), pbc, [0, 1, 0, 1, 1])


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_a_cell_is_turned_with_its_atoms(cell):
    one = structure(cell)
    placed = _place(one)
    np.testing.assert_allclose(placed.cell, np.tril(placed.cell), atol=1e-12)
    assert (np.diag(placed.cell) > 0).all()
    np.testing.assert_allclose(placed.cell @ placed.cell.T, one.cell @ one.cell.T, atol=1e-12)
    np.testing.assert_allclose(placed.rotation @ placed.rotation.T, np.eye(3), atol=1e-12)
    shifts = (placed.positions - one.positions @ placed.rotation) @ np.linalg.inv(placed.cell)
    np.testing.assert_allclose(shifts, np.round(shifts), atol=1e-12)
    inside = placed.positions @ np.linalg.inv(placed.cell)
    assert ((inside > -1e-12) & (inside < 1 + 1e-12)).all()


@pytest.mark.parametrize("pbc", [(False, False, False), (True, True, False)])
def test_boxes_that_are_not_periodic_hold_all_atoms(pbc):
    placed = _place(structure(np.diag([9.0, 9.0, 0.1]) + 0.01, pbc))
    high = placed.low + np.diag(placed.cell)
    free = ~np.array(pbc)
    assert (placed.positions[:, free] - placed.low[free] >= 7.9).all()
    assert (high[free] - placed.positions[:, free] >= 7.9).all()
    assert "boundary " + " ".join("f" if axis else "p" for axis in free) in header(structure(np.eye(3), pbc), "metal")


def test_tensors_are_turned_back():
    rotation = _place(structure(CELLS["turned"])).rotation
    tensor = np.array([[1.0, 0.2, 0.3], [0.2, 2.0, 0.4], [0.3, 0.4, 3.0]])
    in_lammps = rotation.T @ tensor @ rotation
    voigt = [in_lammps[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(_turned(np.array([voigt]), rotation)[0], tensor, atol=1e-12)


def test_a_data_file_has_all_digits(tmp_path):
    one = structure(CELLS["turned"])
    write_data(tmp_path / "a.data", one, 2)
    lines = (tmp_path / "a.data").read_text().splitlines()
    atoms = np.array([line.split() for line in lines[lines.index("Atoms # atomic") + 2 :]], float)
    np.testing.assert_array_equal(atoms[:, 2:], _place(one).positions)
    np.testing.assert_array_equal(atoms[:, 1], [1, 2, 1, 2, 2])


def test_results_are_in_the_order_of_the_atoms(tmp_path):
    head = "ITEM: TIMESTEP\n0\nITEM: ATOMS id ...\n"
    rows = ["2 1 0 0 0 4 5 6 -1 2 2 2 0 0 0", "1 1 0 0 0 1 2 3 -2 4 4 4 0 0 0"]
    (tmp_path / "a.dump").write_text(head + "\n".join(rows) + "\n")
    found = _result(tmp_path / "a.dump", [-3.0, 6.0, 6.0, 6.0, 0.0, 0.0, 0.0], np.eye(3), 2.0)
    np.testing.assert_array_equal(found.energies, [-2.0, -1.0])
    np.testing.assert_array_equal(found.forces, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(found.virial, 3.0 * np.eye(3))
    np.testing.assert_array_equal(found.virials, [-2.0 * np.eye(3), -1.0 * np.eye(3)])
