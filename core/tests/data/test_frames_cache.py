"""Frames of large files are kept and mapped, and nothing else than what was read comes back."""

import json
import logging
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from equipot import caches
from equipot.data import ASEDataModule, _frames_cache
from equipot.data._collection import FrameCollection
from equipot.errors import DataError


@pytest.fixture(autouse=True)
def _small_files_too(monkeypatch):
    monkeypatch.setattr(_frames_cache, "FROM_BYTES", 1)
    caches._say.cache_clear()


@pytest.fixture
def file(tmp_path):
    rng, frames = np.random.default_rng(0), []
    for index in range(12):
        atoms = Atoms(rng.choice(["H", "O"], 3), rng.normal(size=(3, 3)) * 3, cell=[8.0] * 3, pbc=index % 2 == 0)
        results = {"energy": rng.normal(), "forces": rng.normal(size=(3, 3))}
        if index % 2 == 0:
            results["stress"] = rng.normal(size=6)
        atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.info["config_type"] = f"kind {index % 3}"
        frames.append(atoms)
    frames.append(Atoms("H", info={"config_type": "IsolatedAtom"}))
    frames[-1].calc = SinglePointCalculator(frames[-1], energy=-13.6)
    write(tmp_path / "data.extxyz", frames)
    return tmp_path / "data.extxyz"


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Read files with a cache: the collection, and whether the files were read."""

    def make(*files, **options):
        module, calls = (
            ASEDataModule(
                1, train_file_path=list(map(str, files)), **{"cache_dir": str(tmp_path / "cache"), **options}
            ),
            [],
        )
        original = ASEDataModule._read_files
        monkeypatch.setattr(
            ASEDataModule, "_read_files", lambda self, sources: calls.append(1) or original(self, sources)
        )
        found = module.read(list(map(str, files)))
        monkeypatch.setattr(ASEDataModule, "_read_files", original)
        return found, bool(calls)

    return make


def assert_same(one, other):
    for name in ("reports", "places", "keys", "isolated", "notes", "groups"):
        assert getattr(one, name) == getattr(other, name), name
    for first, second in zip(one.frames, other.frames, strict=True):
        assert first.keys() == second.keys()
        for key, value in first.items():
            assert value.dtype == second[key].dtype
            assert torch.equal(value, second[key])


def is_mapped(tensor):
    """Whether the numbers of a tensor are in a mapped file."""
    mapped = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if ".bin" in line]
    ranges = [[int(end, 16) for end in words[0].split("-")] for words in mapped]
    return any(start <= tensor.data_ptr() < end for start, end in ranges)


def entries(tmp_path):
    return sorted((tmp_path / "cache" / "frames").glob("*"))


def test_the_second_run_maps_what_the_first_one_read(file, read, tmp_path):
    (first, was_read), (second, again) = read(file), read(file)
    assert (was_read, again) == (True, False)
    assert_same(first, second)
    assert is_mapped(second.frames.fields["positions"])
    assert not is_mapped(first.frames.fields["positions"])
    assert [stat.S_IMODE(path.stat().st_mode) for path in entries(tmp_path)] == [0o600, 0o600]


def test_a_mapped_set_trains_as_the_one_that_was_read(file, tmp_path, make_info):
    batches, hashes = [], []
    for _ in range(2):
        module = ASEDataModule(
            1, train_file_path=str(file), cache_dir=str(tmp_path / "cache"), train_dataloader={"batch_size": 4}
        )
        module.bind(make_info("H", "O", r_max=4.0))
        batches.append(list(module.train_dataloader()))
        hashes.append(module.dataset().content_hash())
        assert module.census().sets["train"].labels["stress"].present == 6
    assert hashes[0] == hashes[1]
    for one, other in zip(*batches, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_other_contents_labels_or_options_are_read(file, read):
    read(file)
    assert read(file, labels={"total_energy": "energy"})[1]
    assert read(file, mask_nan_labels=True)[1]
    assert read(file, ase_args={"index": ":3"})[1]
    assert not read(file, train_dataloader={"batch_size": 3})[1]
    file.write_text(file.read_text().replace("-13.6", "-13.5"))
    found, was_read = read(file)
    assert was_read
    assert float(found.frames[-1]["total_energy"][0]) == -13.5


def test_other_code_reads_again(file, read, monkeypatch):
    read(file)
    monkeypatch.setattr(_frames_cache, "_code", lambda: ["other"])
    assert read(file)[1]


def test_a_file_that_was_moved_has_the_new_places(file, read, tmp_path):
    read(file)
    moved = tmp_path / "moved.extxyz"
    file.rename(moved)
    found, was_read = read(moved)
    assert not was_read
    assert found.places[3] == f"{moved}, frame 3"


@pytest.mark.parametrize("suffix", [".bin", ".json"])
def test_a_damaged_entry_is_read_again_and_replaced(file, read, tmp_path, caplog, suffix):
    first, _ = read(file)
    path = next(one for one in entries(tmp_path) if one.suffix == suffix)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        found, was_read = read(file)
    assert was_read
    assert f"{path} is not believed: it is damaged or was edited" in caplog.text
    assert_same(first, found)
    assert not read(file)[1]


def test_an_entry_that_others_can_write_is_not_believed(file, read, tmp_path, caplog):
    read(file)
    next(one for one in entries(tmp_path) if one.suffix == ".bin").chmod(0o666)
    assert read(file)[1]
    assert "other users can write to it" in caplog.text


def test_a_cut_off_entry_is_not_mapped(file, read, tmp_path):
    read(file)
    path = next(one for one in entries(tmp_path) if one.suffix == ".bin")
    os.truncate(path, path.stat().st_size - 8)
    assert read(file)[1]


def test_a_link_is_not_followed(file, read, tmp_path):
    read(file)
    path = next(one for one in entries(tmp_path) if one.suffix == ".bin")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert read(file)[1]


def test_a_file_that_changes_while_it_is_read_is_not_kept(file, tmp_path):
    def reads():
        file.write_text(file.read_text() + " ")
        return FrameCollection()

    _frames_cache.cached_collection(tmp_path / "cache", [str(file)], {}, reads)
    assert entries(tmp_path) == []


def test_small_files_and_no_cache(file, read, tmp_path, monkeypatch):
    assert read(file, cache_dir=None)[1]
    assert read(file, cache_dir=None)[1]
    monkeypatch.setattr(_frames_cache, "FROM_BYTES", file.stat().st_size + 1)
    assert read(file)[1]
    assert read(file)[1]
    assert not (tmp_path / "cache").exists()


def test_all_parts_of_a_collection_are_kept():
    """A part that is added to collections has to be kept too; until then nothing is."""
    import dataclasses

    parts = {one.name for one in dataclasses.fields(FrameCollection)}
    assert parts == {*_frames_cache._KEPT, *_frames_cache._FOLLOWS}


def test_the_index_is_plain_and_small(file, read, tmp_path):
    read(file)
    path = next(one for one in entries(tmp_path) if one.suffix == ".json")
    content = json.loads(path.read_text())["content"]
    assert content["tables"]["groups"] == ["kind 0", "kind 1", "kind 2", "IsolatedAtom"]
    assert len(content["tables"]["reports"]) == 3


def test_a_path_that_no_file_can_have(tmp_path):
    module = ASEDataModule(1, train_file_path="a\0b", cache_dir=str(tmp_path))
    with pytest.raises(DataError, match="no such file"):
        module.setup()


def test_another_split_reads_nothing_again(file, tmp_path, monkeypatch):
    made, calls = {"cache_dir": str(tmp_path / "cache")}, []
    original = ASEDataModule._read_files
    monkeypatch.setattr(ASEDataModule, "_read_files", lambda self, one: calls.append(1) or original(self, one))
    for sizes in ({"train": 1.0}, {"train": 0.5, "val": 0.5}, {"train": 6, "val": 4, "by": "composition"}):
        ASEDataModule(1, split_dataset={"file_path": str(file), **sizes}, **made).read([str(file)])
    assert len(calls) == 1
    ASEDataModule(1, split_dataset={"file_path": str(file), "train": 1.0, "by": "group:kind"}, **made).read([str(file)])
    assert len(calls) == 2, "the values of the key are read with the frames"


def test_energies_that_belong_to_forces_are_kept_apart_from_others(tmp_path):
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0.7]])
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, free_energy=-2.0, forces=np.zeros((2, 3)))
    write(tmp_path / "a.extxyz", [atoms] * 3)

    def energy(*used):
        module = ASEDataModule(1, train_file_path=str(tmp_path / "a.extxyz"), cache_dir=str(tmp_path / "cache"))
        module.use_labels(used)
        return float(module.read([str(tmp_path / "a.extxyz")]).frames[0]["total_energy"][0])

    assert (energy("forces"), energy(), energy("forces")) == (-2.0, -1.0, -2.0)
