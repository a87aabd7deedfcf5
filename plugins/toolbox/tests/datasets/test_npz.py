"""NPZ archives: the same frames as from extxyz, and what is refused."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.io import write

from equipot.errors import ConfigError, DataError
from equipot_test_support.datasets import arrays_of, module
from equipot_toolbox import ASEDataset, FrameDataModule, NPZDataset

RMD17 = {"R": "coords", "z": "nuclear_charges", "E": "energies", "F": "forces"}


@pytest.mark.parametrize("names", [{}, RMD17])
def test_npz_in_the_layouts_of_sgdml_and_rmd17(tmp_path, molecules, names):
    arrays = {names.get(key, key): value for key, value in arrays_of(molecules).items()}
    np.savez(tmp_path / "a.npz", **arrays, theory="EMT", old_indices=np.arange(6))
    write(tmp_path / "a.extxyz", molecules)
    data = module(NPZDataset(str(tmp_path / "a.npz")))
    reference = module(ASEDataset(str(tmp_path / "a.extxyz")))
    for index in range(6):
        for key in ("positions", "atom_types", "total_energy", "forces", "edge_index"):
            torch.testing.assert_close(data.dataset()[index][key], reference.dataset()[index][key], rtol=0, atol=1e-7)
    with pytest.raises(ConfigError, match="differ"):
        module(NPZDataset(str(tmp_path / "a.npz")), units="real")


def test_npz_with_objects_is_refused(tmp_path, molecules):
    np.savez(tmp_path / "a.npz", **arrays_of(molecules), extra=np.array([{}, {}], dtype=object))
    with pytest.raises(DataError, match=r"a.npz:extra.npy: cannot be read: it has Python objects"):
        len(NPZDataset(str(tmp_path / "a.npz")))


def test_npz_names_that_are_missing_or_double(tmp_path, molecules):
    arrays = arrays_of(molecules)
    np.savez(tmp_path / "a.npz", **{"xyz" if key == "R" else key: value for key, value in arrays.items()})
    with pytest.raises(
        DataError,
        match=r"no array is the positions; give key_mapping to a data set of the toolbox; arrays: xyz, z, E, F",
    ):
        len(NPZDataset(str(tmp_path / "a.npz")))
    assert len(NPZDataset(str(tmp_path / "a.npz"), {"xyz": "pos", "E": "total_energy"})) == 6
    np.savez(tmp_path / "b.npz", **arrays, energies=arrays["E"])
    with pytest.raises(DataError, match="more than one array is the energy"):
        len(NPZDataset(str(tmp_path / "b.npz")))


def test_npz_that_states_more_than_it_holds(tmp_path, molecules):
    head = repr({"descr": "<f8", "fortran_order": False, "shape": (10**12, 5, 3)}).encode()
    np.savez(tmp_path / "a.npz", **arrays_of(molecules))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("more.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
    with pytest.raises(DataError, match=r"a.npz:more.npy: states an array of shape \(1000000000000, 5, 3\)"):
        len(NPZDataset(str(tmp_path / "a.npz")))
    np.savez_compressed(tmp_path / "b.npz", **arrays_of(molecules), more=np.zeros(10**7))
    with pytest.raises(DataError, match=r"b.npz: states 8\d+ bytes of arrays in a file of"):
        len(NPZDataset(str(tmp_path / "b.npz")))


def test_npz_may_be_compressed(tmp_path, molecules):
    np.savez_compressed(tmp_path / "a.npz", **arrays_of(molecules))
    assert len(NPZDataset(str(tmp_path / "a.npz"))) == 6


@pytest.mark.extra_data
def test_rmd17_as_it_is_distributed():
    folder = os.environ.get("EQUIPOT_EXTRA_DATA", "")
    if not folder:
        pytest.skip("needs EQUIPOT_EXTRA_DATA")
    path = Path(folder) / "rmd17_dev" / "rmd17_ethanol_train_01.npz"
    data = FrameDataModule(1, units="real", train_dataset=NPZDataset(str(path)), cache_dir=None)
    census = data.census().sets["train"]
    assert (census.frames, census.elements) == (1000, {"C": 2000, "H": 6000, "O": 1000})
    with np.load(path) as arrays:
        assert data.dataset().raw(7)["total_energy"].item() == arrays["energies"][7]
        np.testing.assert_array_equal(data.dataset().raw(7)["forces"], arrays["forces"][7])
