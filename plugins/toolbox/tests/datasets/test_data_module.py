"""Sets made of several sources, their splits and options, and frames that did not converge."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from equipot.config._check import check_config
from equipot.config._load import compose
from equipot.data import read_atoms
from equipot.errors import ConfigError, DataError
from equipot_test_support import data_files
from equipot_test_support.datasets import RECIPE, labelled
from equipot_toolbox import ASEDataset, FrameDataModule, LMDBDataset, write_lmdb
from equipot_toolbox._frame_source import FrameSource, JoinedFrames


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
