"""HDF5 files: the same frames as from LMDB, and what is refused."""

import pickle

import h5py
import numpy as np
import pytest
import torch
from ase.build import bulk

from equipot.errors import DataError
from equipot_test_support.datasets import arrays_of, assert_same, labelled, module, write_hdf5
from equipot_toolbox import HDF5Dataset, LMDBDataset, write_lmdb


def test_hdf5_groups_are_read_frame_by_frame(tmp_path, frames):
    ordered = write_hdf5(tmp_path / "a.h5", frames)
    write_lmdb(tmp_path / "a.lmdb", ordered)
    data = module(HDF5Dataset(str(tmp_path / "a.h5")))
    assert_same(data.dataset(), module(LMDBDataset(str(tmp_path / "a.lmdb"))).dataset(), 12)
    assert data.dataset().places[3].endswith("a.h5:CO2, frame 0")
    restored = pickle.loads(pickle.dumps(data.dataset()))  # noqa: S301 - as loaders do for their processes
    assert torch.equal(restored.raw(5)["positions"], data.dataset().raw(5)["positions"])


def test_hdf5_of_three_atoms_keeps_stress_per_frame(tmp_path):
    cell = bulk("Cu", "fcc", a=3.6) * (3, 1, 1)
    ordered = write_hdf5(tmp_path / "a.h5", [labelled(cell, np.random.default_rng(0)) for _ in range(2)])
    frame = module(HDF5Dataset(str(tmp_path / "a.h5"))).dataset()[1]
    np.testing.assert_array_equal(frame["stress"][0].numpy(), ordered[1].get_stress(voigt=False))


def test_hdf5_never_leaves_its_file(tmp_path, molecules):
    write_hdf5(tmp_path / "a.h5", molecules)
    (tmp_path / "secret").write_bytes(bytes(8 * 90))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["linked"] = h5py.ExternalLink("a.h5", "/CH4")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.create_dataset("pos", (6, 5, 3), "f8", external=[(str(tmp_path / "secret"), 0, h5py.h5f.UNLIMITED)])
    layout = h5py.VirtualLayout((6, 5, 3), "f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "a.h5"), "CH4/pos", (6, 5, 3))
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_virtual_dataset("pos", layout)
    for name, what in (("b.h5:linked", "is a link"), ("c.h5:pos", "is stored"), ("d.h5:pos", "is stored")):
        with pytest.raises(DataError, match=f"{name}: {what}"):
            len(HDF5Dataset(str(tmp_path / name.split(":")[0])))


@pytest.mark.parametrize(
    "options", [{"compression": "gzip"}, {"compression": "lzf", "shuffle": True}, {"chunks": True, "fletcher32": True}]
)
def test_hdf5_may_be_compressed(tmp_path, molecules, options):
    repeated = molecules * 200
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, array in {**arrays_of(repeated), "z": np.tile(molecules[0].numbers, (1200, 1))}.items():
            file.create_dataset({"R": "pos", "z": "species"}.get(name, name), data=array, **options)
    dataset = HDF5Dataset(str(tmp_path / "a.h5"))
    assert len(dataset) == 1200
    np.testing.assert_array_equal(dataset.atoms(601).positions, molecules[1].positions)


def test_hdf5_that_states_more_than_it_stores(tmp_path, molecules):
    for name, options in {"a.h5": {"chunks": (1, 5, 3)}, "b.h5": {}}.items():
        with h5py.File(tmp_path / name, "w") as file:
            file["species"] = molecules[0].numbers
            file.create_dataset("pos", (10**9, 5, 3), "f8", **options)
        with pytest.raises(DataError, match=rf"{name}:pos: states the shape \(1000000000, 5, 3\) but stores 0 bytes"):
            len(HDF5Dataset(str(tmp_path / name)))


def test_hdf5_groups_in_a_circle(tmp_path, molecules):
    write_hdf5(tmp_path / "a.h5", molecules)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["CH4/again"] = file["CH4"]
    with pytest.raises(DataError, match=r"a.h5:CH4:again: is in the file under another name too"):
        len(HDF5Dataset(str(tmp_path / "a.h5")))


def test_weights_of_frames_that_are_read_on_each_access(tmp_path, molecules):
    write_hdf5(tmp_path / "a.h5", molecules)
    frame_weights, atom_weights = np.arange(1.0, 7.0), np.random.default_rng(1).uniform(0.5, 2.0, size=(6, 5))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        (group,) = file.values()
        group["config_weight"], group["trust"] = frame_weights, atom_weights
    data = module(HDF5Dataset(str(tmp_path / "a.h5")), weights={"frame": "config_weight", "forces": "trust"})
    expected = frame_weights[:, None] * atom_weights
    expected /= expected.mean()
    restored = pickle.loads(pickle.dumps(data.dataset()))  # noqa: S301 - as loaders do for their processes
    for index in range(6):
        assert data.dataset()[index]["total_energy_weight"].item() == pytest.approx(frame_weights[index] / 3.5)
        assert restored.raw(index)["forces_weight"].tolist() == pytest.approx(expected[index])
