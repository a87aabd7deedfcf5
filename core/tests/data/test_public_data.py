"""Other people's files: odd keys, missing labels, boxes without periodicity, isolated atoms."""

import ase.io
import numpy as np
import pytest
import yaml

from equipot.data import (
    ASEDataModule,
    CommonDataStatisticsManager,
    EnergyOnlyDataStatisticsManager,
    collect_frames,
    read_atoms,
    read_placed,
)
from equipot.data._collection import notes_of
from equipot.data._frames import keys_found
from equipot.data._label_contract import label_contract
from equipot.data._label_hints import labels_line
from equipot.errors import DataError


@pytest.fixture
def module(extra_data, make_info):
    def make(path, *types, r_max=4.0, units="metal", **options):
        given = {"train_file_path": str(extra_data / path), "units": units, "cache_dir": None, **options}
        one = ASEDataModule(1, **given)
        one.bind(make_info(*types, r_max=r_max, units=units))
        return one

    return make


DFT = {"total_energy": "dft_energy", "forces": "dft_forces", "stress": "dft_stress"}


def test_mixed_labels_of_one_file(module, extra_data):
    path = "small_mixed/janus_mlip_train.xyz"
    one = module(path, "C", "H", "O", "Zr", labels=DFT, train_dataloader={"batch_size": 11})
    atoms = ase.io.read(extra_data / path, ":")
    rows = one.census().sets["train"].labels
    stressed = sum("dft_stress" in frame.info for frame in atoms)
    assert 0 < stressed < len(atoms) == 22
    assert (rows["stress"].present, rows["stress"].missing) == (stressed, 22 - stressed)
    assert rows["total_energy"].present == 22
    for batch in one.train_dataloader():
        assert batch["stress_mask"].shape == (11,)
        assert (batch["stress"][~batch["stress_mask"]] == 0).all()
    frame = one.dataset()[0]
    assert np.array_equal(frame["forces"].numpy(), atoms[0].arrays["dft_forces"])
    assert frame["stress"][0, 1, 2] == atoms[0].info["dft_stress"][3], "Voigt yz"


def test_odd_keys_are_suggested(module):
    with pytest.raises(DataError) as caught:
        module("small_mixed/janus_mlip_train.xyz", "C", "H", "O", "Zr").setup()
    assert "write labels: {total_energy: dft_energy, forces: dft_forces, stress: dft_stress}; keys found: " in str(
        caught.value
    )
    one = module("small_mixed/carbon_reduced_100.xyz", "C")
    (message,) = one.census().problems({"forces": "loss.coeffs.forces"})
    assert (
        "write labels: {total_energy: energy, forces: force, stress: {key: virial, convention: virial}}; keys"
        in message
    )


def test_virial_of_quip(module, extra_data):
    path = "small_mixed/carbon_reduced_100.xyz"
    labels = {"total_energy": "energy", "forces": "force", "stress": {"key": "virial", "convention": "virial"}}
    frame = module(path, "C", labels=labels).dataset()[0]
    atoms = ase.io.read(extra_data / path, 0)
    expected = -np.array(atoms.info["virial"]).reshape(3, 3) / atoms.get_volume()
    assert np.allclose(frame["stress"][0].numpy(), expected, rtol=1e-14, atol=0)
    assert np.array_equal(frame["forces"].numpy(), atoms.arrays["force"])


def test_energy_only_set(module):
    one = module(
        "small_mixed/qm9_reduced_100.xyz",
        *("C", "H", "O", "N", "F"),
        labels={"total_energy": "U0"},
        stats_manager=EnergyOnlyDataStatisticsManager(),
    )
    assert not any(key.startswith("forces") for key in one.dataset()[0])
    with pytest.raises(DataError, match="per_type_num_neighbors_mean: .* for the types .'F'."):
        one.statistics(["per_type_num_neighbors_mean"])
    assert one.statistics(["total_energy_std"])["total_energy_std"] > 0


def test_one_stoichiometry_in_kcal(module):
    one = module(
        "small_mixed/ethanol_reduced_100.xyz",
        *("C", "H", "O"),
        units="real",
        stats_manager=CommonDataStatisticsManager(),
    )
    assert "kcal/mol/Å" in str(one.census())
    with pytest.raises(DataError, match="rank deficient: they determine 1 of 3 per-type energies"):
        one.statistics(["per_type_energy_shifts_lstsq"])


def test_box_without_periodicity(module):
    """A 50 Å lattice with pbc F F F: pairs across the box are not neighbours."""
    one = module("ethanol_botnet/test_H_removal.xyz", "C", "H", "O", r_max=45.0)
    for index in range(0, len(one.dataset()), 5):
        frame = one.dataset()[index]
        n = frame["positions"].shape[0]
        assert frame["cell"][0].diagonal().tolist() == pytest.approx([50.0] * 3)
        assert not frame["pbc"].any()
        assert not frame["edge_cell_shift"].any()
        assert frame["edge_index"].shape[1] == n * (n - 1), "each pair once in each direction"


def test_isolated_atoms_and_molecules(module, extra_data):
    files = [str(extra_data / "acac" / name) for name in ("isolated_atoms.xyz", "train_300K.xyz")]
    options = {"train_file_path": files, "ase_args": {"index": ":40"}}
    one = module("", "C", "H", "O", stats_manager=CommonDataStatisticsManager(), **options)
    values = one.statistics(["isolated_atom_energies", "per_atom_energy_mean", "per_type_energy_shifts_min_norm"])
    frames = [frame for file in files for frame in ase.io.read(file, ":40")]
    energies = np.array([frame.calc.results["energy"] for frame in frames])
    atoms = {frame.symbols[0]: energy for frame, energy in zip(frames, energies, strict=True) if len(frame) == 1}
    assert values["isolated_atom_energies"] == atoms
    assert one.energy_references().choose().rule == "isolated atoms"
    sizes = np.array([len(frame) for frame in frames])
    mean = (energies / sizes)[sizes > 1].mean()
    assert values["per_atom_energy_mean"] == pytest.approx(mean, rel=1e-13), "of molecules alone"
    assert list(values["per_type_energy_shifts_min_norm"].values()) == pytest.approx([mean] * 3, rel=1e-9)


class TestStatisticsOfALiquidWithIsolatedAtoms:
    """Two frames of 160 atoms and three isolated ones in a periodic box, against plain numpy."""

    R_MAX = 4.5
    TYPES = ("H", "C", "O")

    @pytest.fixture
    def atoms(self, extra_data):
        frames = ase.io.read(extra_data / "ecemc" / "ECEMC.xyz", ":5")
        assert [len(frame) for frame in frames] == [1, 1, 1, 160, 160]
        return frames

    @pytest.fixture
    def module(self, module):
        options = {"ase_args": {"index": ":5"}, "r_max": self.R_MAX}
        return lambda manager: module("ecemc/ECEMC.xyz", *self.TYPES, stats_manager=manager, **options)

    def neighbors(self, frame):
        """Number of neighbours of each atom: all pairs in all images up to two cells away."""
        shifts = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3), -1).reshape(-1, 3) @ frame.cell.array
        wrapped = frame.get_positions(wrap=True)
        counts = np.zeros(len(frame), int)
        for shift in shifts:
            distance = np.linalg.norm(wrapped[None] + shift - wrapped[:, None], axis=2)
            counts += ((distance < self.R_MAX) & (distance > 0)).sum(axis=1)
        return counts

    def test_common(self, module, atoms):
        lone, atoms = atoms[:3], atoms[3:]
        symbols = np.concatenate([frame.get_chemical_symbols() for frame in atoms])
        counts = np.concatenate([self.neighbors(frame) for frame in atoms])
        forces = np.concatenate([frame.calc.results["forces"] for frame in atoms])
        values = module(CommonDataStatisticsManager()).statistics()
        expected = {
            "num_neighbors_mean": counts.mean(),
            "per_type_num_neighbors_mean": {name: counts[symbols == name].mean() for name in self.TYPES},
            "per_atom_energy_mean": np.mean([frame.calc.results["energy"] / len(frame) for frame in atoms]),
            "forces_rms": np.sqrt((forces**2).mean()),
            "per_type_forces_rms": {name: np.sqrt((forces[symbols == name] ** 2).mean()) for name in self.TYPES},
        }
        assert values.keys() == expected.keys()
        for name, value in expected.items():
            assert values[name] == pytest.approx(value, rel=1e-12), name
        assert not any(self.neighbors(frame).any() for frame in lone), "isolated atoms are part of no mean"

    def test_energy_only(self, module, atoms):
        energies = np.array([frame.calc.results["energy"] for frame in atoms[3:]])
        per_atom = energies / [len(frame) for frame in atoms[3:]]
        values = module(EnergyOnlyDataStatisticsManager()).statistics()
        assert values["per_atom_energy_mean"] == pytest.approx(per_atom.mean(), rel=1e-13)
        assert values["per_atom_energy_std"] == pytest.approx(per_atom.std(ddof=1), rel=1e-13)
        assert values["total_energy_std"] == pytest.approx(energies.std(ddof=1), rel=1e-13)

    def test_isolated_atoms_in_a_periodic_box(self, module):
        values = module(CommonDataStatisticsManager()).statistics(["isolated_atom_energies"])
        stated = {"H": -12.353708076955, "C": -148.1794822322, "O": -431.46315818255}  # README of the data
        assert values["isolated_atom_energies"] == pytest.approx(stated, rel=1e-14)


def test_many_elements_and_sizes_in_batches_by_atoms(module, extra_data):
    frames = ase.io.read(extra_data / "mattersim_dev" / "mptrj-random-1k.xyz", ":50")
    types = sorted({symbol for frame in frames for symbol in frame.get_chemical_symbols()})
    one = module(
        "mattersim_dev/mptrj-random-1k.xyz", *types, ase_args={"index": ":50"}, train_dataloader={"max_atoms": 200}
    )
    batches = list(one.train_dataloader())
    assert max(batch["positions"].shape[0] for batch in batches) <= 200
    assert sum(batch["num_atoms"].shape[0] for batch in batches) == 50
    assert sorted(np.concatenate([batch["num_atoms"].numpy() for batch in batches])) == sorted(map(len, frames))
    with pytest.raises(DataError, match=r"elements without a type: .* \(first in .*mptrj-random-1k.xyz, frame \d+\)"):
        module("mattersim_dev/mptrj-random-1k.xyz", *types[1:], ase_args={"index": ":50"}).setup()


def test_vasp_outcar(module):
    frame = module("small_mixed/OUTCAR_1_5", "Hf", "O").dataset()[0]
    assert frame["stress_mask"].all()
    assert frame["forces_mask"].all()


SETS = [
    "acac/train_300K.xyz",
    "ecemc/ECEMC.xyz",
    "ethanol_botnet/train_eth_meth.xyz",
    "mattersim_dev/high_level_water.xyz",
    "small_mixed/carbon_reduced_100.xyz",
    "small_mixed/janus_mlip_train.xyz",
    "small_mixed/qm9_reduced_100.xyz",
]


@pytest.mark.slow
@pytest.mark.parametrize("path", SETS)
def test_sound_files_leave_no_notes(extra_data, path):
    """Units, keys, names of atoms and ends of files of others, with labels as the hint names them."""
    file = str(extra_data / path)
    keys = {key for _, atoms in read_placed([file]) for key in keys_found(atoms)}
    labels = yaml.safe_load(labels_line(keys))["labels"]
    found = collect_frames(read_placed([file]), label_contract(labels))
    assert set(labels) == found.labels
    assert set(found.notes) == {()}


def test_units_of_a_public_file(extra_data):
    """It states energy in eV, forces in eV/A and stress in eV/A^3, which are understood."""
    placed = read_placed([str(extra_data / "mattersim_dev/mptrj-random-1k.xyz")], {"index": ":5"})
    found = collect_frames(placed, label_contract(None))
    assert set(found.notes) == {()}
    other = {"forces": {"key": "forces", "unit": "Hartree/Bohr"}}
    placed = read_placed([str(extra_data / "mattersim_dev/mptrj-random-1k.xyz")], {"index": ":1"})
    with pytest.raises(
        DataError, match=r"forces_unit says eV/A, but forces would be read as Hartree/Bohr: a factor of"
    ):
        collect_frames(placed, label_contract(other))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ethanol", "aspirin", "benzene"])
def test_archives_of_rmd17_are_read_exactly(extra_data, name):
    path = extra_data / f"rmd17_dev/rmd17_{name}_train_01.npz"
    frames, arrays = read_atoms(path), np.load(path)
    assert len(frames) == len(arrays["energies"]) == 1000
    for index, atoms in enumerate(frames):
        assert atoms.info["energy"] == arrays["energies"][index]
        assert np.array_equal(atoms.arrays["forces"], arrays["forces"][index])
        assert np.array_equal(atoms.positions, arrays["coords"][index])
        assert np.array_equal(atoms.numbers, arrays["nuclear_charges"])


@pytest.mark.parametrize("name", ["data_0", "data_1", "data_2", "data_3", "dplr_virial_data"])
def test_folders_of_deepmd_are_read_exactly(extra_data, name):
    folder = extra_data / "water_deepmd" / name
    frames, start = read_atoms(folder), 0
    for one in sorted(folder.glob("set.*")):
        stored = {path.stem: np.load(path).astype(float) for path in one.glob("*.npy")}
        for index, atoms in enumerate(frames[start : start + len(stored["coord"])]):
            assert np.array_equal(atoms.positions.ravel(), stored["coord"][index].ravel())
            assert np.array_equal(atoms.cell.array.ravel(), stored["box"][index].ravel())
            assert np.array_equal(atoms.calc.results["forces"].ravel(), stored["force"][index].ravel())
            assert atoms.calc.results["energy"] == stored["energy"].ravel()[index]
            if "virial" in stored:
                virial = stored["virial"][index].reshape(3, 3)
                assert np.trace(virial) == pytest.approx(
                    -atoms.calc.results["stress"][:3].sum() * atoms.get_volume(), rel=1e-12
                )
        start += len(stored["coord"])
    assert start == len(frames)
    assert set(frames[0].symbols) == {"O", "H"}


@pytest.mark.parametrize("name", ["OUTCAR_1_1", "OUTCAR_1_5", "OUTCAR_2_10"])
def test_outcars_are_read_as_ase_reads_them(extra_data, tmp_path, name):
    path = extra_data / "small_mixed" / name
    (tmp_path / "OUTCAR").write_bytes(path.read_bytes())  # in a folder without further files of VASP
    for ours, theirs in zip(read_atoms(path), ase.io.read(tmp_path / "OUTCAR", ":"), strict=True):
        assert notes_of(ours) == ()
        for key in ("energy", "free_energy", "forces", "stress"):
            assert np.array_equal(ours.calc.results[key], theirs.calc.results[key]), key
