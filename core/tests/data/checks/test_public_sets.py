"""No check warns of public data sets that nobody has touched."""

import importlib.util

import pytest
from ase.io import read

from equipot.data._frames import label_contract
from equipot.data.checks import judge
from equipot_test_support.faults import collection

pytestmark = pytest.mark.slow

DFT = {"total_energy": "dft_energy", "forces": "dft_forces", "stress": "dft_stress"}
GAP = {"total_energy": "energy", "forces": "force", "stress": {"key": "virial", "convention": "virial"}}
FILES = {
    "acac": ["train_300K", "train_600K", "test_MD_300K", "test_MD_600K", "test_dihedral", "test_H_transfer"],
    "ethanol_botnet": [
        *("train", "train_eth_meth", "test_MD", "test_eth_meth", "test_dimers"),
        *("test_H_removal", "test_norm_mode_3005", "test_norm_mode_874"),
    ],
    "mattersim_dev": ["mptrj-random-1k", "high_level_water"],
    "small_mixed": [
        *("janus_mlip_train", "janus_mlip_valid", "janus_mlip_test"),
        *("carbon_reduced_100", "ethanol_reduced_100", "qm9_reduced_100"),
    ],
}
LABELS = {"janus": DFT, "carbon": GAP, "qm9": {"total_energy": {"key": "U0", "unit": "Hartree"}}}
"""By the beginning of a file's name; ASE's own for all others."""

CALLS = [("mlearn", element, part) for element in ("Si", "Li") for part in ("training", "test")]
CALLS += [("rmd17", molecule, part) for molecule in ("ethanol", "aspirin", "benzene") for part in ("train", "test")]
CALLS += [("mgo", "test"), ("ecemc",), ("water",)]
NIGHTLY = pytest.param(("mgo", "train"), marks=pytest.mark.nightly)  # its archive takes minutes to read


def warnings_of(frames, labels=None, units="metal"):
    found = judge({"data": collection(frames, labels=labels)}, label_contract(labels), units=units)
    return [f"{one.code}: {one.message}" for one in found.findings if one.severity != "note"]


@pytest.mark.parametrize("path", [f"{folder}/{name}.xyz" for folder, names in FILES.items() for name in names])
def test_files(extra_data, path):
    name = path.rpartition("/")[2]
    labels = next((own for start, own in LABELS.items() if name.startswith(start)), None)
    units = "real" if name.startswith("ethanol_reduced") else "metal"  # kcal/mol
    assert warnings_of(read(extra_data / path, ":"), labels, units) == []


@pytest.mark.parametrize("folder", ["acac", "ethanol_botnet"])
def test_isolated_atoms_with_their_set(extra_data, folder):
    name = "train_300K" if folder == "acac" else "train_eth_meth"
    atoms = read(extra_data / folder / "isolated_atoms.xyz", ":")
    assert warnings_of([*read(extra_data / folder / f"{name}.xyz", ":200"), *atoms]) == []


def test_energies_per_atom_times_the_number_of_atoms(extra_data):
    frames = read(extra_data / "energy_only_qm9_985/small_molecules-1000.xyz", ":")
    key = "dft_formation_energy_per_atom_in_eV"
    for atoms in frames:
        atoms.info["energy_of_frame"] = atoms.info.pop(key) * len(atoms)
    assert warnings_of(frames, {"total_energy": "energy_of_frame"}) == []


@pytest.mark.parametrize("number", ["1_1", "1_5", "2_10"])
def test_outputs_of_vasp(extra_data, number):
    assert warnings_of([read(extra_data / f"small_mixed/OUTCAR_{number}")]) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")  # open files
@pytest.mark.parametrize("call", [*CALLS, NIGHTLY], ids="-".join)
def test_other_formats(extra_data, call):
    spec = importlib.util.spec_from_file_location("loaders", extra_data / "loaders.py")
    loaders = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaders)
    name, *arguments = call
    assert warnings_of(getattr(loaders, name)(*arguments)) == []
