"""Data sets in NPZ, HDF5 and LMDB files: the same frames as from extxyz, and what is refused."""

import os
import pickle
import zipfile
from pathlib import Path

import h5py
import lmdb
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from equipot.config._check import check_config
from equipot.config._load import compose
from equipot.data import ASEDataModule, LMDBReader, read_atoms
from equipot.errors import ConfigError, DataError
from equipot.graph import collate
from equipot_test_support import data_files
from equipot_testing.toy import ToyModel
from equipot_toolbox import ASEDataset, FrameDataModule, HDF5Dataset, LMDBDataset, NPZDataset, write_lmdb
from equipot_toolbox._frame_source import FrameSource, JoinedFrames
from equipot_toolbox.convert import main as convert

RECIPE = ToyModel(type_names=["C", "H", "O", "Cu"], r_max=3.0)


def labelled(atoms, random):
    """A copy, shaken, with EMT's labels."""
    atoms = atoms.copy()
    atoms.rattle(0.05, rng=random)
    atoms.calc = EMT()
    names = ["energy", "forces", *(["stress"] if atoms.pbc.any() else [])]
    results = {name: atoms.calc.get_property(name, atoms) for name in names}
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


@pytest.fixture
def frames():
    """Molecules of three kinds and a periodic cell, so that labels and sizes differ."""
    random = np.random.default_rng(0)
    kinds = [molecule("CH4"), molecule("H2O"), molecule("CO2"), bulk("Cu", "fcc", a=3.6, cubic=True)]
    return [labelled(kinds[index % 4], random) for index in range(12)]


@pytest.fixture
def molecules():
    """Six frames of methane."""
    random = np.random.default_rng(0)
    return [labelled(molecule("CH4"), random) for _ in range(6)]


def module(dataset, **options):
    made = FrameDataModule(1, train_dataset=dataset, cache_dir=None, **options)
    made.bind(RECIPE.info())
    return made


def assert_same(one, other, number):
    """The same fields with the same values, to the bit."""
    for index in range(number):
        ours, theirs = one[index], other[index]
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            assert torch.equal(value, theirs[key]), key


def test_lmdb_gives_the_frames_that_were_written(tmp_path, frames, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames[1].info["config_type"] = "bent"
    write("some.extxyz", frames[:7])
    write("more.extxyz", frames[7:])
    assert convert(["some.extxyz", "more.extxyz", "all.lmdb"]) == 0
    assert sorted(path.name for path in Path().iterdir()) == ["all.lmdb", "more.extxyz", "some.extxyz"]
    dataset = LMDBDataset("all.lmdb")
    assert len(dataset) == 12
    assert dataset.atoms(1).info["config_type"] == "bent"
    reference = ASEDataModule(1, train_file_path=["some.extxyz", "more.extxyz"], cache_dir=None)
    reference.bind(RECIPE.info())
    assert_same(module(dataset).dataset(), reference.dataset(), 12)


def test_lmdb_is_read_by_other_processes(tmp_path, molecules):
    write_lmdb(tmp_path / "a.lmdb", molecules)
    data = module(LMDBDataset(str(tmp_path / "a.lmdb")), train_dataloader={"batch_size": 2, "num_workers": 1})
    batches = list(data.train_dataloader())
    assert [batch["num_atoms"].tolist() for batch in batches] == [[5, 5]] * 3
    assert torch.equal(collate([data.dataset()[0]])["positions"], torch.from_numpy(molecules[0].positions))


def test_a_broken_conversion_leaves_nothing(tmp_path, frames):
    def broken():
        yield frames[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_lmdb(tmp_path / "a.lmdb", broken())
    assert list(tmp_path.iterdir()) == []


def put(path, key, value):
    options = {"subdir": False, "map_size": 2**20, "lock": False}
    with lmdb.open(str(path), **options) as environment, environment.begin(write=True) as transaction:
        transaction.put(key, value)


def test_lmdb_with_pickles_is_refused_unread(tmp_path, capsys):
    class Canary:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "canary",))

    path = tmp_path / "other.lmdb"
    put(path, b"0", pickle.dumps(Canary()))
    with pytest.raises(
        DataError, match="does not contain equipot frames; make one with: python -m equipot_toolbox.convert"
    ):
        len(LMDBDataset(str(path)))
    write_lmdb(tmp_path / "ours.lmdb", [Atoms("H")])
    put(tmp_path / "ours.lmdb", b"000000000000", pickle.dumps(Canary()))
    with pytest.raises(DataError, match=r"ours.lmdb, frame 0: cannot be read: SafetensorError"):
        LMDBDataset(str(tmp_path / "ours.lmdb")).atoms(0)
    assert not (tmp_path / "canary").exists()


def arrays_of(molecules):
    return {
        "R": np.stack([atoms.positions for atoms in molecules]),
        "z": molecules[0].numbers,
        "E": np.array([[atoms.get_potential_energy()] for atoms in molecules]),
        "F": np.stack([atoms.get_forces() for atoms in molecules]),
    }


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


def write_hdf5(path, frames):
    """A group for each composition."""
    groups = {}
    for atoms in frames:
        groups.setdefault(str(atoms.symbols), []).append(atoms)
    with h5py.File(path, "w") as file:
        for name, members in groups.items():
            group = file.create_group(name)
            group["atomic_numbers"] = members[0].numbers
            group["pos"] = np.stack([atoms.positions for atoms in members])
            group["cell"] = np.stack([atoms.cell.array for atoms in members])
            group["pbc"] = members[0].pbc
            group["energy"] = [atoms.get_potential_energy() for atoms in members]
            group["forces"] = np.stack([atoms.get_forces() for atoms in members])
            if members[0].pbc.any():
                group["stress"] = np.stack([atoms.get_stress(voigt=False) for atoms in members])
    return [atoms for _, members in sorted(groups.items()) for atoms in members]


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


def test_lmdb_that_is_cut_off_or_becomes_so(tmp_path, molecules):
    path = tmp_path / "a.lmdb"
    write_lmdb(path, molecules * 20)
    whole = path.read_bytes()
    opened = LMDBDataset(str(path))
    assert len(opened) == 120
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="a.lmdb: cannot be read: it is cut off; copy the file again"):
        [opened.atoms(index) for index in range(120)]
    with pytest.raises(DataError, match=rf"a.lmdb: is cut off: \d+ of {len(whole)} bytes; copy the file again"):
        len(LMDBDataset(str(path)))


def test_lmdb_with_a_damaged_page(tmp_path, molecules):
    path = tmp_path / "a.lmdb"
    write_lmdb(path, molecules * 20)
    whole = path.read_bytes()
    for page in range(2, len(whole) // 4096):
        path.write_bytes(whole[: page * 4096] + b"\xff" * 4096 + whole[(page + 1) * 4096 :])
        dataset = LMDBDataset(str(path))
        with pytest.raises(DataError, match=r"a.lmdb.*(is damaged|cannot be read)"):
            [dataset.atoms(index) for index in range(len(dataset))]


def test_lmdb_of_the_library_is_read_the_same(tmp_path):
    random = np.random.default_rng(0)
    sizes = [0, 10, 1500, 2100, 5000, 20000]
    values = {str(number).encode(): random.bytes(sizes[number % 6]) for number in random.permutation(500)}
    with lmdb.open(str(tmp_path / "a.mdb"), subdir=False, lock=False, map_size=2**26, sync=False) as environment:
        for number, (key, value) in enumerate(values.items()):
            with environment.begin(write=True) as transaction:  # many transactions leave free pages behind
                transaction.put(key, value)
                if number % 5 == 4:
                    transaction.delete(list(values)[number - 3])
        with environment.begin() as transaction:
            stored = dict(transaction.cursor())
    reader = LMDBReader(tmp_path / "a.mdb")
    assert dict(reader.items()) == stored
    assert len(reader) == len(stored) == 400
    assert [reader.get(key) for key in values] == [stored.get(key) for key in values]
    assert pickle.loads(pickle.dumps(reader)).get(next(iter(stored))) == next(iter(stored.values()))  # noqa: S301


@pytest.mark.parametrize("kind", [NPZDataset, HDF5Dataset, LMDBDataset])
def test_pipes_and_folders_are_not_waited_for(tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(DataError, match="is not a regular file"):
            len(kind(str(path)))


def test_arguments_of_ase_are_checked():
    with pytest.raises(ConfigError, match=r"ase_args.format: is not a format that is read, got 'db2'"):
        ASEDataset("a.xyz", {"format": "db2"})


@pytest.mark.parametrize("kind", [NPZDataset, HDF5Dataset, LMDBDataset])
def test_files_that_are_missing_or_something_else(tmp_path, kind):
    made = kind(str(tmp_path / "a"))
    with pytest.raises(DataError, match="a: no such file; relative paths start from"):
        len(made)
    (tmp_path / "a").write_bytes(b"text")
    with pytest.raises(DataError, match="a: cannot be read"):
        len(made)


def test_sets_of_several_sources_and_a_split(tmp_path, frames, molecules):
    write(tmp_path / "a.extxyz", frames)
    write_lmdb(tmp_path / "b.lmdb", molecules)
    sources = [ASEDataset(str(tmp_path / "a.extxyz")), LMDBDataset(str(tmp_path / "b.lmdb"))]
    data = FrameDataModule(
        3,
        split_dataset={"dataset": sources, "train": 10, "val": 4},
        val_dataset=sources[1],
        test_dataset=sources,
        cache_dir=None,
    )
    data.bind(RECIPE.info())
    assert {name: len(data.dataset(name)) for name in data.set_names} == {
        "train": 10, "val0": 6, "val1": 4, "test0": 12, "test1": 6,
    }  # fmt: skip
    assert data.expected_sets() == data.set_names
    assert data.split_source == [str(tmp_path / "a.extxyz"), str(tmp_path / "b.lmdb")]
    assert sorted(data.source_files()) == data.split_source
    whole = JoinedFrames(sources)
    for position, index in enumerate(data.split_indices["train"]):
        place = data.dataset().places[position]
        assert place == whole.place(index)
        np.testing.assert_array_equal(data.dataset().raw(position)["positions"], whole.atoms(index).positions)
    assert data.dataset("val1")[0]["stress_mask"].dtype == torch.bool, "labels that only some frames have"


def test_a_check_knows_the_validation_sets(folder):
    source = "{_target_: equipot_toolbox.ASEDataset, file_path: water.extxyz}"
    data = f"train_dataset: {source}, val_dataset: [{source}, {source}], train_dataloader: {{batch_size: 4}}"
    stats = "stats_manager: {_target_: equipot.data.CommonDataStatisticsManager}"
    text = (folder.path / "config.yaml").read_text()
    section = f"data: {{_target_: equipot_toolbox.FrameDataModule, seed: 1, {data}, {stats}}}\n"
    folder.write(text[: text.index("data:")] + section + text[text.index("trainer:") :])

    def checked(*overrides):
        config, hydra = compose("config.yaml", ["run=[train,val]", *overrides])
        return check_config(config, None, hydra)

    assert checked("training_module.lr_scheduler.monitor=val1_epoch/weighted_sum").data.expected_sets() == [
        "train", "val0", "val1",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="monitor: unknown metric, got 'val2_epoch/weighted_sum'"):
        checked("training_module.lr_scheduler.monitor=val2_epoch/weighted_sum")


def test_groups_blocks_and_elements_of_a_split(tmp_path):
    random = np.random.default_rng(4)
    many = [labelled(molecule(name), random) for name in ("H2O", "CH4", "CH3OH") * 6]
    many.append(labelled(molecule("CH3OH"), random))
    many[-1].symbols[0] = "Cu"
    many.append(Atoms("O", calculator=SinglePointCalculator(Atoms("O"), energy=-1.0, forces=np.zeros((1, 3)))))
    for index, atoms in enumerate(many):
        atoms.info["parent"] = f"p{index % 6}"
    write_lmdb(tmp_path / "a.lmdb", many)
    write(tmp_path / "a.extxyz", many)

    def split(source, by):
        given = {"dataset": source, "train": 0.5, "val": 0.5, "by": by}
        data = FrameDataModule(1, split_dataset=given, cache_dir=None)
        data.bind(RECIPE.info())
        data.setup()
        assert {18, 19} <= set(data.split_indices["train"]), "the only copper, and the isolated atom"
        return [set(data.split_indices[part]) for part in ("train", "val")]

    train, val = split(ASEDataset(str(tmp_path / "a.extxyz")), "group:parent")
    assert not {index % 6 for index in train - {19}} & {index % 6 for index in val}
    for source in (ASEDataset(str(tmp_path / "a.extxyz")), LMDBDataset(str(tmp_path / "a.lmdb"))):
        train, val = split(source, "block:3")
        assert not {index // 3 for index in train - {19}} & {index // 3 for index in val}
        train, val = split(source, "composition")
        assert [sum(index % 3 == 0 for index in part - {18, 19}) for part in (train, val)] == [3, 3]
        assert split(source, "random")


def test_problems_of_options_come_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        FrameDataModule(
            1, train_dataset="a.npz", split_dataset={"train": 0.5, "part": 1}, train_dataloader={"batch_size": 0}
        )
    first, *others = caught.value.problems
    assert first.startswith(
        "FrameDataModule.train_dataset: must be a data set or a list of them, got 'a.npz'; for example {_target"
    )
    assert others == [
        "FrameDataModule.split_dataset.part: unknown option; options: dataset, train, val, test, by",
        "FrameDataModule.split_dataset.dataset: required option is missing",
        "FrameDataModule.split_dataset.train: train_dataset is given too; give one of them",
        "FrameDataModule.train_dataloader.batch_size: must be greater than 0, got 0",
    ]
    with pytest.raises(ConfigError, match="give split_dataset or train_dataset"):
        FrameDataModule(1)


def test_converter_and_frames_that_did_not_converge(tmp_path, capsys):
    path, out = data_files.outcar(tmp_path, failed=[1], smearing=0.02), tmp_path / "a.lmdb"
    assert convert([str(path), str(out)]) == 2
    assert "error: --unconverged: 1 of 3 frames did not converge" in capsys.readouterr().err
    assert not out.exists()
    assert convert([str(path), str(out), "--unconverged", "drop"]) == 0
    stored = LMDBDataset(str(out))
    assert len(stored) == 2
    assert stored.atoms(1).calc.results["free_energy"] == pytest.approx(
        data_files.frames()[2].calc.results["energy"] - 0.02, abs=1e-7
    )


class ReadAgain(FrameSource):
    """Frames that do not stay in memory, of which one did not converge."""

    in_memory = False

    def __init__(self, path):
        self.frames = read_atoms(path)

    def paths(self):
        return []

    def __len__(self):
        return len(self.frames)

    def atoms(self, index):
        return self.frames[index]

    def place(self, index):
        return f"frame {index}"


@pytest.mark.parametrize("source", [ReadAgain, lambda path: ASEDataset(str(path))])
def test_frames_that_did_not_converge_are_dropped(tmp_path, source):
    path = data_files.outcar(tmp_path, failed=[1])
    options = {"train_dataset": source(path), "train_dataloader": {"batch_size": 1}}
    with pytest.raises(DataError, match="1 of 3 frames did not converge"):
        FrameDataModule(1, **options).setup()
    kept = FrameDataModule(1, unconverged="drop", **options).dataset("train")
    energies = [float(kept.raw(index)["total_energy"]) for index in range(len(kept))]
    expected = [data_files.frames()[index].calc.results["energy"] for index in (0, 2)]
    assert energies == pytest.approx(expected, abs=1e-7)


def test_converter_says_what_is_wrong(tmp_path, capsys):
    assert convert([str(tmp_path / "none.extxyz"), str(tmp_path / "a.lmdb")]) == 2
    assert "none.extxyz: no such file" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        convert(["a.extxyz", "a.db"])
    assert "ends in .lmdb" in capsys.readouterr().err


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


def test_converter_with_names_of_atoms(tmp_path, capsys):
    path, out = tmp_path / "a.xyz", tmp_path / "a.lmdb"
    path.write_text("1\nProperties=species:S:1:pos:R:3 energy=-1\nOW 0 0 0\n" * 3)
    assert convert([str(path), str(out)]) == 2
    assert "for example --species OW=O" in capsys.readouterr().err
    assert convert([str(path), str(out), "--species", "OW=O", "--ase-args", "index=:2"]) == 0
    assert [atoms.get_chemical_formula() for atoms in map(LMDBDataset(str(out)).atoms, range(2))] == ["O", "O"]
    assert convert([str(path), str(out), "--ase-args", "frames=0"]) == 2
    assert "error: --ase-args.frames: unknown argument" in capsys.readouterr().err


def test_names_of_atoms_in_a_data_set(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text("1\nProperties=species:S:1:pos:R:3 energy=-1\nOW 0 0 0\n")
    assert ASEDataset(str(path), species={"OW": "O"}).atoms(0).get_chemical_symbols() == ["O"]
    with pytest.raises(DataError, match=r"for example species: {OW: O}"):
        ASEDataset(str(path)).atoms(0)
