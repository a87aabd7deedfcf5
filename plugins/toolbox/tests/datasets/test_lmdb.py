"""LMDB files: the frames that were written, and what is refused."""

import pickle
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import write

from equipot.data import ASEDataModule, LMDBReader
from equipot.errors import DataError
from equipot.graph import collate
from equipot_test_support.datasets import RECIPE, assert_same, module
from equipot_toolbox import LMDBDataset, write_lmdb
from equipot_toolbox.convert import main as convert


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
