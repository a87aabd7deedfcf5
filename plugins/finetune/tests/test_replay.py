import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from equipot.errors import ConfigError, DataError
from equipot.graph import collate
from equipot.train import EnergyForceLoss
from equipot_finetune import ReplayDataModule
from equipot_testing.conformance import PartConformance


def frames(count, seed, distance, weight=None):
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        atoms = Atoms("OH2", positions=[[0, 0, 0], [distance, 0, 0], [0, distance, 0]])
        atoms.positions += random.normal(scale=0.05, size=(3, 3))
        atoms.calc = SinglePointCalculator(atoms, energy=random.normal(), forces=random.normal(size=(3, 3)))
        if weight is not None:
            atoms.info["config_weight"] = weight
        made.append(atoms)
    return made


@pytest.fixture
def files(tmp_path):
    """Four new frames, and ten old ones whose molecules are larger."""
    write(tmp_path / "new.extxyz", frames(4, 1, 0.9))
    write(tmp_path / "old.extxyz", frames(10, 2, 1.5))
    return tmp_path


def module(files, **options):
    given = {"train_file_path": str(files / "new.extxyz"), "replay_file_path": str(files / "old.extxyz"), **options}
    return ReplayDataModule(1, cache_dir=None, **given)


def train_set(data):
    """Frames of the train set: new ones and old ones."""
    every = [data.dataset()._frames[index] for index in range(len(data.dataset()))]
    is_old = [float((one["positions"][1] - one["positions"][0]).norm()) > 1.2 for one in every]
    return [one for one, old in zip(every, is_old, strict=True) if not old], [
        one for one, old in zip(every, is_old, strict=True) if old
    ]


def test_old_frames_take_part_with_their_weight(files):
    for weight in (1.0, 0.25):
        new, old = train_set(module(files, replay_weight=weight))
        assert (len(new), len(old)) == (4, 10)
        for key, rows in (("total_energy_weight", 1), ("forces_weight", 3)):
            assert all(one[key].shape == (rows,) for one in (*new, *old))
            sums = [sum(float(one[key].sum()) for one in part) for part in (new, old)]
            assert sums[1] / sums[0] == pytest.approx(weight)
            assert sum(sums) == pytest.approx(14 * rows)


def test_the_loss_is_the_sum_of_both_means(files):
    """For a batch of all frames, and up to the factor that makes the mean of the weights 1."""
    new, old = train_set(module(files, replay_weight=0.5))
    loss = EnergyForceLoss(coeffs={"total_energy": 1.0, "forces": 1.0})

    def of(part, *, weighted):
        chosen = [one if weighted else {k: v for k, v in one.items() if not k.endswith("_weight")} for one in part]
        batch = collate(chosen)
        outputs = {key: torch.zeros_like(batch[key]) for key in ("total_energy", "forces")}
        return float(loss(outputs, batch)["weighted_sum"])

    expected = (of(new, weighted=False) + 0.5 * of(old, weighted=False)) / 1.5
    assert of([*new, *old], weighted=True) == pytest.approx(expected)


def test_some_old_frames_by_the_seed(files):
    chosen = [train_set(module(files, replay_frames=3))[1] for _ in range(2)]
    assert len(chosen[0]) == 3
    assert all(torch.equal(a["positions"], b["positions"]) for a, b in zip(*chosen, strict=True))
    with pytest.raises(DataError, match="data.replay_frames: the files have only 10 frames, got 11"):
        module(files, replay_frames=11).setup()


def test_weights_of_the_files_count_too(files):
    write(files / "old.extxyz", [*frames(5, 2, 1.5, weight=1.0), *frames(5, 3, 1.5, weight=3.0)])
    _, old = train_set(module(files, weights={"frame": "config_weight"}))
    values = sorted({round(float(one["total_energy_weight"]), 9) for one in old})
    assert len(values) == 2
    assert values[1] == pytest.approx(3.0 * values[0])


def test_a_label_that_only_the_old_frames_have(files):
    given = frames(10, 2, 1.5)
    for atoms in given:
        del atoms.calc.results["forces"]
    write(files / "old.extxyz", given)
    new, old = train_set(module(files))
    batch = collate([*new, *old])
    assert bool(batch["forces_mask"][:12].all())
    assert not bool(batch["forces_mask"][12:].any())


def test_other_sets_and_records(files):
    write(files / "val.extxyz", frames(3, 4, 0.9))
    data = module(files, val_file_path=[str(files / "val.extxyz"), str(files / "old.extxyz")])
    assert data.set_names == ["train", "val0", "val1"]
    assert set(data.file_hashes()) == {str(files / f"{name}.extxyz") for name in ("new", "old", "val")}
    assert "total_energy_weight" not in data.dataset("val1")._frames[0]
    split = module(
        files, train_file_path=None, split_dataset={"file_path": str(files / "new.extxyz"), "train": 3, "val": 1}
    )
    assert [len(split.dataset(name)) for name in ("train", "val0")] == [13, 1]
    assert len(split.split_indices["train"]) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replay_weight": 0.0}, "ReplayDataModule.replay_weight: .*greater than 0"),
        ({"replay_file_path": []}, "ReplayDataModule.replay_file_path: is an empty list"),
        ({"replay_file_path": ""}, "ReplayDataModule.replay_file_path: must be a path or a list of paths, got ''"),
        ({"train_subset": {"frames": 2}}, "train_subset: cannot be given together with replay_file_path"),
    ],
)
def test_wrong_options(files, options, message):
    with pytest.raises(ConfigError, match=message):
        module(files, **options)


def test_without_a_train_set(files):
    data = module(files, train_file_path=None, test_file_path=str(files / "new.extxyz"))
    with pytest.raises(DataError, match="data: replay needs a train set"):
        data.setup()


class TestReplayDataModule(PartConformance):
    name = "equipot_finetune.ReplayDataModule"
