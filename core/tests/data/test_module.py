"""Data modules of files: sets, labels, batches and options."""

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.data import ASEDataModule, CommonDataStatisticsManager, EnergyOnlyDataStatisticsManager
from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
from equipot.errors import ConfigError, DataError
from equipot_test_support.water import isolated_atom


def halves(path):
    return {"file_path": path, "train": 0.5, "val": 0.5}


def test_the_whole_way(module, write, water):
    path = write("a.extxyz", water(10))
    one = module(
        split_dataset={"file_path": path, "train": 0.6, "val": 0.2, "test": 0.2},
        train_dataloader={"batch_size": 2},
        val_dataloader={"batch_size": 1},
        stats_manager=CommonDataStatisticsManager(),
    )
    one.setup("fit")
    assert one.set_names == ["train", "val0", "test0"]
    assert [len(one.dataset(name)) for name in one.set_names] == [6, 2, 2]
    batches = list(one.train_dataloader())
    assert len(batches) == 3
    assert batches[0]["edge_index"].shape == (2, 12)
    assert batches[0]["atom_types"].tolist() == [0, 1, 1] * 2
    assert batches[0]["forces_mask"].all()
    assert [len(list(loader)) for loader in one.val_dataloader()] == [2]
    assert [len(list(loader)) for loader in one.test_dataloader()] == [1]
    assert one.statistics(["num_neighbors_mean"]) == {"num_neighbors_mean": 2.0}
    assert set(one.statistics()) == {
        name for name in one.options.stats_manager.names() if "shifts" not in name and "isolated" not in name
    }
    assert "train: 6 frames, 18 atoms" in str(one.census())
    assert list(one.file_hashes()) == [path]
    assert sorted(one.split_indices["train"] + one.split_indices["val"] + one.split_indices["test"]) == list(range(10))


def test_sets_from_files_of_their_own(module, write, water):
    first, second, third = (write(f"{name}.extxyz", water(2, seed)) for name, seed in (("a", 1), ("b", 2), ("c", 3)))
    one = module(train_file_path=[first, second], val_file_path=[second, [third, first]], test_file_path=third)
    assert one.set_names == ["train", "val0", "val1", "test0"]
    assert [len(one.dataset(name)) for name in one.set_names] == [4, 2, 4, 2]
    assert len(one.val_dataloader()) == 2
    assert one.dataset("train").places[3] == f"{second}, frame 1"


def test_split_sets_follow_those_with_files(module, write, water):
    first, second = write("a.extxyz", water(2)), write("b.extxyz", water(4))
    one = module(
        train_file_path=first, val_file_path=first, split_dataset={"file_path": second, "val": 0.5, "test": 0.5}
    )
    assert one.set_names == ["train", "val0", "val1", "test0"]


def test_without_a_model_explicit_transforms_are_enough(write, water):
    one = ASEDataModule(
        1,
        train_file_path=write("a.extxyz", water(2)),
        transforms=[ChemicalSpeciesToAtomTypeMapper(["H", "O"]), NeighborListTransform(3.0)],
        stats_manager=EnergyOnlyDataStatisticsManager(),
        cache_dir=None,
    )
    assert next(iter(one.train_dataloader()))["atom_types"].tolist() == [1, 0, 0]
    assert one.statistics(["num_neighbors_mean"]) == {"num_neighbors_mean": 2.0}


def test_without_model_and_transforms_it_says_what_to_do(write, water):
    one = ASEDataModule(1, train_file_path=write("a.extxyz", water(2)))
    one.setup()
    assert one.census().sets["train"].frames == 2
    with pytest.raises(ConfigError, match=r"data.transforms: types and edges are not known; call bind\(model.info\)"):
        one.train_dataloader()


def test_binding_after_reading(write, water, make_info):
    one = ASEDataModule(1, train_file_path=write("a.extxyz", water(2)))
    one.setup()
    with pytest.raises(
        DataError, match=r"elements without a type: H \(first in .*a.extxyz, frame 0\); supported: \['O'\]"
    ):
        one.bind(make_info("O"))
    assert one.info is None, "a refused model is not kept"
    one.bind(make_info("H", "O"))
    assert len(one.train_dataloader()) == 2


def test_problems_of_options_come_at_once():
    with pytest.raises(ConfigError) as caught:
        ASEDataModule(
            1,
            split_dataset={"file_path": "a", "train": 1.5},
            train_file_path="b",
            labels={"energy": "e"},
            train_dataloader={"batch": 3},
            val_dataloader={"batch_size": -3},
        )
    assert caught.value.problems == [
        "ASEDataModule.split_dataset.train: a fraction is at most 1.0, got 1.5; give a number of frames as an integer",
        "ASEDataModule.split_dataset.train: train_file_path is given too; give one of them",
        "ASEDataModule.labels.energy: unknown label; did you mean 'total_energy'?",
        "ASEDataModule.train_dataloader.batch: unknown option; did you mean 'batch_size'?",
        "ASEDataModule.val_dataloader.batch_size: must be greater than 0, got -3",
    ]
    with pytest.raises(ConfigError, match="split_dataset: no data are given; give split_dataset or"):
        ASEDataModule(1)
    with pytest.raises(ConfigError, match="ASEDataModule.units: must be 'metal' or 'real', got 'si'"):
        ASEDataModule(1, train_file_path="a", units="si")


def test_units_and_types_must_be_the_model_s(make_info):
    one = ASEDataModule(
        1, train_file_path="a", units="real", stats_manager=CommonDataStatisticsManager(type_names=["O"])
    )
    with pytest.raises(ConfigError, match="data.units: differ from the model's 'metal', got 'real'"):
        one.bind(make_info("H"))
    with pytest.raises(ConfigError, match=r"stats_manager.type_names: differ from the model's \['H'\], got \['O'\]"):
        one.bind(make_info("H", units="real"))


def test_empty_split_and_too_large_batches(module, write, water):
    path = write("a.extxyz", water(4))
    with pytest.raises(ConfigError, match="data.split_dataset.val: gives an empty set out of 4 frames"):
        module(split_dataset={"file_path": path, "train": 0.9, "val": 0.1}).setup()
    with pytest.raises(ConfigError) as caught:
        module(split_dataset=halves(path), train_dataloader={"batch_size": 3}, val_dataloader={"batch_size": 9}).setup()
    assert caught.value.problems == [
        "data.train_dataloader.batch_size: is larger than the train set of 2 frames, got 3; make it smaller"
    ]
    module(split_dataset=halves(path), train_dataloader={"batch_size": 2}, val_dataloader={"batch_size": 9}).setup()


def test_a_failed_setup_is_not_taken_for_a_finished_one(module, write, water):
    one = module(split_dataset=halves(write("a.extxyz", water(4))), train_dataloader={"batch_size": 3})
    for _ in range(2):
        with pytest.raises(ConfigError, match="is larger than the train set"):
            one.setup()


def test_elements_outside_the_model_are_all_listed(module, write, water):
    frames = [*water(2), Atoms("NaCl", positions=[[0, 0, 0], [2, 0, 0]]), Atoms("Cl")]
    frames[2].calc = SinglePointCalculator(frames[2], energy=1.0)
    with pytest.raises(DataError) as caught:
        module(train_file_path=(path := write("a.extxyz", frames))).setup()
    assert str(caught.value) == (
        f"model.type_names: the data contain elements without a type: Na (first in {path}, frame 2), "
        f"Cl (first in {path}, frame 2); supported: ['O', 'H']"
    )


def test_labels_under_other_keys_are_suggested(module, write, water):
    frames = water(2)
    for frame in frames:
        frame.info["REF_energy"] = frame.calc.results["energy"]
        frame.arrays["REF_forces"] = frame.calc.results["forces"]
        frame.calc = None
    path = write("a.extxyz", frames)
    with pytest.raises(DataError) as caught:
        module(train_file_path=path).setup()
    assert str(caught.value) == (
        f"data.labels.total_energy: no frame of {path} has the key 'energy'; "
        "write labels: {total_energy: REF_energy, forces: REF_forces}; keys found: REF_energy, REF_forces"
    )
    one = module(train_file_path=path, labels={"total_energy": "REF_energy", "forces": "REF_forces"})
    assert one.dataset()[0]["forces"].abs().sum() > 0
    with pytest.raises(
        DataError,
        match=r"data.labels.forces: no frame of .* has the key 'F'; write labels: {total_energy: REF_energy, forces:",
    ):
        module(train_file_path=path, labels={"total_energy": "REF_energy", "forces": "F"}).setup()


def test_nan_labels_stop_the_run_or_are_masked(module, write, water):
    frames = water(3)
    frames[1].calc.results["forces"][2] = np.nan
    path = write("a.extxyz", frames)
    with pytest.raises(
        DataError, match=r"data.labels: forces is NaN or inf in .*a.extxyz, frame 1 \(nan\); correct the data"
    ):
        module(train_file_path=path).setup()
    one = module(train_file_path=path, mask_nan_labels=True, train_dataloader={"batch_size": 3})
    (batch,) = one.train_dataloader()
    assert int((~batch["forces_mask"]).sum()) == 1
    assert batch["forces"].isfinite().all()


def test_unreadable_frames_are_listed_together(module, write, water):
    frames = water(8)
    for frame in frames[:7]:
        frame.set_pbc(True)
    path = write("a.extxyz", water(1))
    ase.io.write(path, frames, format="extxyz")
    with pytest.raises(DataError) as caught:
        module(train_file_path=path).setup()
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{path}, frame 0: periodic ([True, True, True]) but the cell has no volume there")
    assert lines[5] == "and 2 more frames"


def test_mixed_labels_give_the_same_keys_everywhere(module, write, water):
    frames = water(6)
    for frame in frames[:4]:
        del frame.calc.results["forces"]
    one = module(train_file_path=write("a.extxyz", frames[:4]), val_file_path=write("b.extxyz", frames[4:]))
    for batch in one.train_dataloader():
        assert not batch["forces_mask"].any()
        assert batch["total_energy_mask"].all()
        assert "stress" not in batch, "absent everywhere: absent key"
    assert all(batch["forces_mask"].all() for batch in one.val_dataloader()[0])


def test_molecules_in_a_large_box_are_not_periodic(module, write, water):
    frames = water(1)
    frames[0].set_cell(np.eye(3) * 50.0)
    frames[0].positions[1] = [49.9, 0, 0]
    frames[0].positions[0] = [0.1, 0, 0]
    one = module(train_file_path=write("a.extxyz", frames))
    assert not one.dataset()[0]["pbc"].any()
    assert one.dataset()[0]["edge_index"].shape[1] == 2, "0.2 Å apart across the boundary is 49.8 Å apart"


@pytest.mark.parametrize(("option", "limit"), [("max_atoms", 7), ("max_edges", 13)])
def test_batches_with_a_limit(module, write, water, option, limit):
    one = module(train_file_path=write("a.extxyz", water(9)), train_dataloader={option: limit})
    loader = one.train_dataloader()
    batches = list(loader)
    assert len(batches) == len(loader) == 5
    key = "positions" if option == "max_atoms" else "edge_cell_shift"
    assert max(batch[key].shape[0] for batch in batches) <= limit
    assert sum(int(batch["num_atoms"].shape[0]) for batch in batches) == 9
    small = module(train_file_path=write("b.extxyz", water(2)), train_dataloader={option: 2})
    with pytest.raises(
        DataError,
        match=rf"data.train_dataloader.{option}: 2 frames are larger than a batch may be: .*b.extxyz, frame 0",
    ):
        small.train_dataloader()


def test_coincident_atoms_are_found_with_file_and_frame(module, write, water):
    frames = water(2)
    frames[1].positions[2] = frames[1].positions[1]
    one = module(train_file_path=write("a.extxyz", frames))
    with pytest.raises(DataError, match=r"a.extxyz, frame 1: positions: atoms at the same place: 1 and 2"):
        list(one.train_dataloader())


def test_workers_give_the_same_batches(module, write, water):
    path = write("a.extxyz", water(6))
    plain = list(module(train_file_path=path, train_dataloader={"batch_size": 2}).train_dataloader())
    options = {"batch_size": 2, "num_workers": 2, "persistent_workers": True}
    with_workers = list(module(train_file_path=path, train_dataloader=options).train_dataloader())
    for one, other in zip(plain, with_workers, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_elements_need_no_model(write, water):
    one = ASEDataModule(1, train_file_path=write("a.extxyz", [*water(2), isolated_atom("Cl", -1.0)]), cache_dir=None)
    assert one.elements() == ["Cl", "H", "O"]
