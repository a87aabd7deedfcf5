import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.data._frames import frame_from_atoms, keys_found, label_contract, suggest_keys
from equipot.data._readers import read_atoms
from equipot.errors import ConfigError, DataError

CELL = np.array([[4.0, 0.0, 0.0], [1.0, 3.5, 0.0], [0.2, 0.3, 3.0]])


def crystal(**results):
    atoms = Atoms("MgO", positions=[[0.0, 0, 0], [2.0, 0.1, 0]], cell=CELL, pbc=True)
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def read(atoms, labels=None, **options):
    return frame_from_atoms(atoms, label_contract(labels), "a.xyz, frame 7", **options)


def test_geometry():
    frame, _ = read(crystal())
    assert frame["positions"].dtype == frame["cell"].dtype == torch.float64
    assert torch.equal(frame["cell"][0], torch.from_numpy(CELL))
    assert frame["pbc"].tolist() == [[True, True, True]]
    assert frame["atomic_numbers"].tolist() == [12, 8]
    assert frame["num_atoms"].tolist() == [2]
    assert not {"total_energy", "forces", "stress"} & frame.keys()


def test_default_labels_are_those_of_ase():
    forces = np.arange(6.0).reshape(2, 3)
    stress = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    frame, reports = read(crystal(energy=-3.0, forces=forces, stress=stress))
    assert frame["total_energy"].tolist() == [-3.0]
    assert torch.equal(frame["forces"], torch.from_numpy(forces))
    assert frame["stress"].tolist() == [[[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]]], "Voigt: xx yy zz yz xz xy"
    assert frame["total_energy_mask"].tolist() == [True]
    assert frame["forces_mask"].tolist() == [True, True]
    assert reports["forces"].source == "results:forces"


@pytest.mark.parametrize("shape", [(9,), (3, 3)])
def test_full_tensors_keep_their_order(shape):
    values = np.arange(9.0).reshape(shape)
    frame, _ = read(crystal(stress=values), {"stress": "stress"})
    assert torch.equal(frame["stress"][0], torch.arange(9.0, dtype=torch.float64).reshape(3, 3))


def test_virial_becomes_stress_when_asked():
    atoms = crystal()
    atoms.info["virial"] = np.diag([1.0, 2.0, 3.0]).ravel()
    frame, _ = read(atoms, {"stress": {"key": "virial", "convention": "virial"}})
    expected = -np.diag([1.0, 2.0, 3.0]) / abs(np.linalg.det(CELL))
    assert np.allclose(frame["stress"][0].numpy(), expected, rtol=1e-14)
    frame, _ = read(atoms, {"stress": {"key": "virial", "convention": "negative_stress"}})
    assert frame["stress"][0].diagonal().tolist() == [-1.0, -2.0, -3.0]
    frame, _ = read(atoms, {"virial": "virial"})
    assert frame["virial"][0].diagonal().tolist() == [1.0, 2.0, 3.0]


def test_labels_by_key_in_info_and_arrays():
    atoms = crystal(energy=1.0)
    atoms.info["REF_energy"] = -5.0
    atoms.arrays["REF_forces"] = np.ones((2, 3))
    frame, reports = read(atoms, {"total_energy": "REF_energy", "forces": "REF_forces"})
    assert frame["total_energy"].tolist() == [-5.0]
    assert frame["forces"].sum() == 6
    assert reports["total_energy"].source == "info:REF_energy"
    assert reports["forces"].source == "arrays:REF_forces"


def test_one_key_in_two_places():
    atoms = crystal(energy=1.0)
    atoms.info["energy"] = 1.0
    assert read(atoms)[0]["total_energy"].tolist() == [1.0]
    atoms.info["energy"] = 2.0
    with pytest.raises(DataError, match=r"a.xyz, frame 7: 'energy' has different values in calc.results and info; say"):
        read(atoms)
    assert read(atoms, {"total_energy": "info:energy"})[0]["total_energy"].tolist() == [2.0]
    assert read(atoms, {"total_energy": "results:energy"})[0]["total_energy"].tolist() == [1.0]


def test_constraints_are_never_applied(tmp_path):
    path = tmp_path / "fixed.extxyz"  # old releases of ASE read move_mask, but do not write it
    path.write_text(
        "2\nLattice='4 0 0 0 4 0 0 0 4' pbc='T T T' energy=1.0 "
        "Properties=species:S:1:pos:R:3:move_mask:L:1:forces:R:3\n"
        "Mg 0 0 0 F 1 1 1\nO 2 2 2 T 1 1 1\n".replace("'", '"')
    )
    (again,) = read_atoms(path)
    assert again.constraints, "ASE restores the constraint from move_mask"
    assert np.abs(again.get_forces()[0]).max() == 0, "and its accessor then hides the force"
    assert read(again)[0]["forces"].tolist() == [[1.0, 1.0, 1.0]] * 2


def test_calculators_are_never_run():
    class Explosive(Calculator):
        implemented_properties = ("energy", "forces")

        def calculate(self, *args, **kwargs):
            raise AssertionError("a label must not be computed")

    atoms = crystal()
    atoms.calc = Explosive()
    assert "total_energy" not in read(atoms)[0]


@pytest.mark.parametrize(
    ("pbc", "cell", "reason"),
    [
        (False, np.eye(3) * 50.0, "not periodic"),
        (False, np.zeros((3, 3)), "not periodic"),
        ([True, True, False], np.diag([3.0, 3.0, 0.0]), "partly periodic without a cell volume"),
    ],
)
def test_stress_without_a_volume_is_ignored(pbc, cell, reason):
    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 1.0]], cell=cell, pbc=pbc)
    atoms.calc = SinglePointCalculator(atoms, stress=np.ones(6))
    frame, reports = read(atoms, {"stress": {"key": "stress", "convention": "virial"}})
    assert "stress" not in frame
    assert reports["stress"].ignored == reason


def test_slab_with_a_volume_has_a_stress():
    atoms = Atoms("H", cell=np.diag([2.0, 3.0, 10.0]), pbc=[True, True, False])
    atoms.calc = SinglePointCalculator(atoms, stress=np.ones(6))
    assert read(atoms)[0]["stress"].shape == (1, 3, 3)


def test_nan_is_reported_or_masked():
    forces = np.ones((2, 3))
    forces[1, 2] = np.nan
    frame, reports = read(crystal(energy=1.0, forces=forces))
    assert reports["forces"].non_finite == "nan"
    frame, reports = read(crystal(energy=np.nan, forces=forces), mask_nan=True)
    assert reports["forces"].non_finite is None
    assert frame["forces_mask"].tolist() == [True, False]
    assert frame["forces"].isfinite().all()
    assert frame["forces"][1].tolist() == [0.0, 0.0, 0.0]
    assert "total_energy" not in frame
    assert reports["total_energy"].ignored == "nan"


def test_inf_is_always_reported():
    for mask_nan in (False, True):
        frame, reports = read(crystal(energy=np.inf), mask_nan=mask_nan)
        assert reports["total_energy"].non_finite == "inf"
        assert frame["total_energy"].isfinite().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a: a.set_cell(np.zeros((3, 3))),
            r"frame 7: periodic \(\[True, True, True\]\) but the cell has no volume",
        ),
        (lambda a: a.positions.__setitem__(0, np.nan), "positions or cell contain NaN or inf"),
        (lambda a: a.__delitem__([0, 1]), "frame 7: has no atoms"),
        (
            lambda a: a.arrays.__setitem__("f", np.ones((2, 4))),
            r"frame 7, f: forces must have the shape \(2, 3\), got \(2, 4\)",
        ),
        (lambda a: a.info.__setitem__("e", "high"), r"frame 7, e: is not a number, as total_energy must be, got 'hi"),
        (lambda a: a.info.__setitem__("e", [1.0, 2.0]), r"total_energy must have the shape \(1,\), got \(2,\)"),
        (lambda a: a.info.__setitem__("s", [1.0, 2.0]), r"stress must have 6 \(Voigt\), 9 or 3x3 numbers, got \(2,\)"),
    ],
)
def test_unusable_frames(change, message):
    atoms = crystal()
    change(atoms)
    with pytest.raises(DataError, match=message):
        read(atoms, {"total_energy": "e", "forces": "f", "stress": "s"})


def test_inputs_of_models_must_be_in_every_frame():
    contract = {"total_energy": "energy", "total_charge": "charge", "spin_multiplicity": "spin"}
    atoms = crystal(energy=1.0)
    with pytest.raises(DataError, match="total_charge is in the label contract but 'charge' is not in the frame"):
        read(atoms, contract)
    atoms.info.update(charge=-1, spin=2)
    frame, _ = read(atoms, contract)
    assert frame["total_charge"].tolist() == [-1.0]
    assert frame["spin_multiplicity"].tolist() == [2]
    assert frame["spin_multiplicity"].dtype == torch.int64


def test_contract_problems_come_at_once():
    with pytest.raises(ConfigError) as caught:
        label_contract(
            {"force": "f", "forces": 3, "stress": {"key": "s", "convention": "bar"}, "total_energy": {"kee": "e"}}
        )
    assert caught.value.problems == [
        "data.labels.force: unknown label; did you mean 'forces'?",
        "data.labels.forces: must be a string or a mapping, got 3",
        "data.labels.stress.convention: must be 'stress', 'negative_stress' or 'virial', got 'bar'",
        "data.labels.total_energy.kee: unknown option; did you mean 'key'?",
    ]
    with pytest.raises(ConfigError, match="data.labels: names no label"):
        label_contract({})


def test_keys_found_and_suggested():
    atoms = crystal(energy=1.0)
    atoms.info.update(dft_energy=-1.0, name="x", stretched=True)
    atoms.arrays["my_force"] = np.ones((2, 3))
    found = keys_found(atoms)
    assert found == {"results:energy": (), "info:dft_energy": (), "arrays:my_force": (2, 3)}
    assert suggest_keys("total_energy", found) == ["energy", "dft_energy"]
    assert suggest_keys("forces", found) == ["my_force"]
    assert suggest_keys("stress", found) == []


def test_columns_of_an_ase_database(tmp_path, water):
    from ase.db import connect

    path = tmp_path / "frames.db"
    with connect(path) as database:
        database.write(water(1)[0], ref_energy=-7.0, data={"ref_forces": np.ones((3, 3))})
    (atoms,) = read_atoms(path)
    frame, _ = read(atoms, {"total_energy": "ref_energy", "forces": "ref_forces"})
    assert frame["total_energy"].tolist() == [-7.0]
    assert frame["forces"].sum() == 9


@pytest.mark.parametrize("numbers", [[1, 500], [-1, 8], [10**9, 1]])
def test_numbers_of_no_element(numbers):
    atoms = Atoms("HO", np.eye(3)[:2])
    atoms.arrays["numbers"] = np.array(numbers)
    with pytest.raises(DataError, match="a.xyz, frame 3: atomic numbers must be from 0 to 118, got"):
        frame_from_atoms(atoms, label_contract(None), "a.xyz, frame 3")


@pytest.mark.parametrize(
    "info", [{"data": 5}, {"key_value_pairs": [1]}, {"data": {"x": [[1], [2, 3]]}}, {"x": [[1], [2, 3]]}]
)
def test_anything_may_be_in_info(info):
    atoms = Atoms("H", info=info | {"energy": -1.0})
    assert frame_from_atoms(atoms, label_contract(None), "a")[0]["total_energy"].item() == -1.0
    assert "info:energy" in keys_found(atoms)
    assert "info:x" not in keys_found(atoms)


def test_a_label_that_is_anything():
    for value in ({"a": 1}, [[1], [2, 3]], "low", 10**400, np.zeros(3, dtype="M8[s]"), object()):
        with pytest.raises(DataError, match="a.xyz, frame 3"):
            frame_from_atoms(Atoms("H", info={"energy": value}), label_contract(None), "a.xyz, frame 3")
