"""Conversion: every number of a frame is the same to the last bit in every format, and nothing is replaced unasked."""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.data import _convert
from equipot.data._collection import collect_frames
from equipot.data._convert import check_output, write_collection
from equipot.data._label_contract import label_contract
from equipot.data._npz import read_npz
from equipot.data._packed import SameButNumbers
from equipot.data._readers import read_placed
from equipot.data._regular import RegularFrames, collect_files, read_regular
from equipot.data._stored import Storage
from equipot.errors import ConfigError, DataError

FORMATS = ("extxyz", "db", "npz")


def structures(n=12, *, symmetric=True, seed=0):
    """Frames of several sizes and kinds, with numbers of all digits."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(n):
        size = int(rng.integers(1, 7))
        periodic = index % 3 != 1
        atoms = Atoms(rng.choice(["H", "C", "Si", "X"], size), rng.normal(size=(size, 3)) * 3)
        if periodic:
            atoms.cell, atoms.pbc = np.diag(rng.random(3) + 9) + rng.normal(size=(3, 3)) * 0.1, True
        results = {"energy": -1e3 * rng.random(), "forces": rng.normal(size=(size, 3)) * 10.0 ** rng.integers(-9, 3)}
        if periodic and index % 2 == 0:
            stress = rng.normal(size=(3, 3)) / 7
            atoms.info["tensor"] = stress + stress.T if symmetric else stress
        if index == 4:
            del results["forces"]
        if index % 4:
            atoms.info["config_type"] = str(rng.choice(["bulk", "slab 2", "12"]))
        atoms.info |= {"q": index - 3, "m": index % 3 + 1, "w": float(index), "unused": 1.5}
        atoms.arrays["fw"] = rng.random(size) + 0.1
        atoms.calc = SinglePointCalculator(atoms, **results)
        found.append(atoms)
    return found


LABELS = {"total_energy": "energy", "forces": "forces", "stress": "info:tensor"}
INPUTS = {"total_charge": "q", "spin_multiplicity": "m"}


def collected(frames, labels=None, weights=None, units="metal", **options):
    contract = label_contract(labels or LABELS, weights=weights, units=units)
    return collect_frames([(f"a, frame {i}", one) for i, one in enumerate(frames)], contract, **options)


def assert_same(one, other):
    assert len(one.places) == len(other.places)
    assert (one.groups, one.isolated) == (other.groups, other.isolated)
    for first, second in zip(one.frames, other.frames, strict=True):
        assert first.keys() == second.keys()
        for key, value in first.items():
            assert value.dtype == second[key].dtype
            assert value.numpy().tobytes() == second[key].numpy().tobytes(), key


def read_again(path, storage):
    """What an independent reading gives: through ``Atoms``, without the short way."""
    return collect_frames(read_placed([str(path)]), storage.contract(), mask_nan=True)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("labels", "weights", "symmetric"),
    [
        (LABELS, None, True),
        (LABELS, None, False),
        (LABELS | INPUTS, {"frame": "w", "forces": "fw"}, True),
        ({"forces": "forces", "virial": "tensor"}, None, False),
        (
            {"total_energy": "energy", "stress": {"key": "tensor", "convention": "virial", "unit": "kcal/mol"}},
            None,
            True,
        ),
    ],
)
def test_every_number_comes_back(tmp_path, suffix, labels, weights, symmetric):
    collection = collected(structures(symmetric=symmetric), labels, weights)
    path = tmp_path / f"out.{suffix}"
    written = write_collection(str(path), collection, "metal")
    storage = Storage.of(collection, "metal")
    assert written.n_frames == 12
    again = read_again(path, storage)
    assert_same(collection, again)
    assert_same(collection, collect_files([str(path)], storage.contract(), mask_nan=True))
    assert ("stress_tensor" in written.config) == (not symmetric and "stress" in labels)
    assert ("weights: {" in written.config) == (weights is not None)


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_usual_labels_need_no_words_and_others_read_them_too(tmp_path, suffix):
    collection = collected(structures())
    path = tmp_path / f"out.{suffix}"
    assert write_collection(str(path), collection, "metal").config == ""
    default = collect_frames(read_placed([str(path)]), label_contract(None))
    assert_same(collection, default)
    if suffix != "npz":
        for atoms, frame in zip(ase.io.read(path, ":"), collection.frames, strict=True):
            assert atoms.get_potential_energy() == float(frame["total_energy"])


@pytest.mark.parametrize("suffix", FORMATS)
def test_units_are_recorded(tmp_path, suffix):
    collection = collected(structures(), units="real")
    path = tmp_path / f"out.{suffix}"
    assert write_collection(str(path), collection, "real").config == "units: real"
    assert_same(collection, collect_files([str(path)], label_contract(None, units="real")))
    with pytest.raises(DataError, match=r"units says kcal/mol, but total_energy would be read as eV"):
        collect_files([str(path)], label_contract(None))


@pytest.mark.parametrize("suffix", FORMATS)
def test_labels_that_are_partly_missing_stay_so(tmp_path, suffix):
    frames = structures()
    frames[0].calc.results["forces"][0, 1] = np.nan
    frames[5].calc.results["energy"] = np.nan
    collection = collected(frames, mask_nan=True)
    path = tmp_path / f"out.{suffix}"
    write_collection(str(path), collection, "metal")
    assert_same(collection, read_again(path, Storage.of(collection, "metal")))


def test_infinite_labels_are_refused(tmp_path):
    frames = structures()
    frames[6].calc.results["forces"][0, 1] = np.inf
    with pytest.raises(DataError, match="a, frame 6, forces: is infinite"):
        write_collection(str(tmp_path / "a.npz"), collected(frames), "metal")


def test_frames_of_a_packed_archive_are_read_the_short_way(tmp_path):
    path = str(tmp_path / "a.npz")
    collection = collected([one for one in structures(60) if len(one) > 1], LABELS | INPUTS, {"frame": "w"})
    write_collection(path, collection, "metal")
    contract = Storage.of(collection, "metal").contract()
    regular, short = RegularFrames(contract), []

    def watched():
        for place, atoms in read_regular([path], None, regular):
            short.append(isinstance(atoms, SameButNumbers))
            yield place, atoms

    found = collect_frames(watched(), contract, mask_nan=True, learn=regular.learn)
    assert_same(collection, found)
    slow = collect_frames(read_placed([path]), contract, mask_nan=True)
    assert (found.reports, found.keys, found.notes) == (slow.reports, slow.keys, slow.notes)
    assert sum(short) > len(short) // 2


@pytest.mark.parametrize("name", ["positions", "num_atoms", "cell", "frame/energy", "atomic_numbers", "texts/units"])
def test_archives_whose_arrays_do_not_fit_are_refused(tmp_path, name):
    path = str(tmp_path / "a.npz")
    write_collection(path, collected(structures()), "metal")
    arrays = dict(read_npz(path))
    arrays[name] = arrays[name][:-1] if name != "atomic_numbers" else arrays[name] + 200
    np.savez(path, **arrays)
    with pytest.raises(
        DataError, match=r"a\.npz: (has arrays that do not fit together|cannot be read): .*convert the data again"
    ):
        collect_files([path], label_contract(None))


def test_text_that_a_format_cannot_hold_is_refused(tmp_path):
    frames = structures()
    frames[1].info["config_type"] = 'a "quoted" one'
    collection = collected(frames)
    with pytest.raises(DataError, match=r"cannot be written as extended XYZ, got .*; write .npz or .db"):
        write_collection(str(tmp_path / "a.extxyz"), collection, "metal")
    assert not list(tmp_path.iterdir())
    write_collection(str(tmp_path / "a.npz"), collection, "metal")
    assert read_again(tmp_path / "a.npz", Storage.of(collection, "metal")).groups == collection.groups


def test_a_name_that_others_would_read_as_a_number_or_truth_is_refused(tmp_path):
    frames = structures()
    frames[1].info["config_type"] = "T"
    with pytest.raises(DataError, match=r"config_type of a, frame 1 cannot be kept exactly in this format; write .npz"):
        write_collection(str(tmp_path / "a.extxyz"), collected(frames), "metal")


def test_a_file_that_is_not_exact_gets_no_name(tmp_path, monkeypatch):
    """What is compared is what a reader gives, not what was meant to be written."""

    def rounded(path, frames):
        with path.open("w") as file:
            for frame in frames:
                for line in _lines(frame):
                    file.write(line.replace("energy=-", "energy=-1"))

    from equipot.data._writers import _extxyz_lines as _lines

    monkeypatch.setitem(_convert.WRITERS, ".extxyz", rounded)
    (tmp_path / "a.extxyz").write_text("old")
    with pytest.raises(DataError, match="total_energy of a, frame 0 cannot be kept exactly in this format"):
        write_collection(str(tmp_path / "a.extxyz"), collected(structures()), "metal")
    assert [one.name for one in tmp_path.iterdir()] == ["a.extxyz"]
    assert (tmp_path / "a.extxyz").read_text() == "old"


def test_outputs_are_checked_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.npz").write_text("old")
    with pytest.raises(ConfigError, match=r"a.npz: exists already; choose another name, or give --force"):
        check_output("a.npz", ["b.xyz"], force=False)
    check_output("a.npz", ["b.xyz"], force=True)
    with pytest.raises(ConfigError, match="is read and would be written"):
        check_output("a.npz", ["./a.npz"], force=True)
    with pytest.raises(ConfigError, match=r"has no suffix of a format that is written, got '.traj'; formats"):
        check_output("a.traj", ["b.xyz"], force=False)
