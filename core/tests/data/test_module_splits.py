"""Splits of the files of a data module: the seed, rare elements, groups, blocks, isolated atoms."""

import logging

import pytest
import torch

from equipot.data import ASEDataModule, CommonDataStatisticsManager
from equipot.errors import ConfigError, DataError
from equipot_test_support.water import isolated_atom


def halves(path):
    return {"file_path": path, "train": 0.5, "val": 0.5}


def test_same_seed_same_split_and_batches(module, write, water):
    path = write("a.extxyz", water(12))

    def energies(seed):
        one = ASEDataModule(seed, split_dataset=halves(path), cache_dir=None, train_dataloader={"batch_size": 2})
        one.bind(module(train_file_path=path).info)
        return torch.cat([batch["total_energy"] for batch in one.train_dataloader()]).tolist()

    assert energies(3) == energies(3)
    assert energies(3) != energies(4)


def test_isolated_atoms_stay_in_the_train_set(module, write, water):
    path = write("a.extxyz", [isolated_atom("H", -13.6), *water(10), isolated_atom("O", -2041.0)])
    one = module(split_dataset=halves(path), stats_manager=CommonDataStatisticsManager())
    assert [len(one.dataset(name)) for name in ("train", "val0")] == [7, 5]
    assert one.statistics(["isolated_atom_energies"]) == {"isolated_atom_energies": {"O": -2041.0, "H": -13.6}}
    wrong = water(1)
    wrong[0].info["config_type"] = "IsolatedAtom"
    with pytest.raises(DataError, match="config_type is IsolatedAtom but the frame has 3 atoms"):
        module(train_file_path=write("b.extxyz", wrong)).setup()


class TestSplits:
    """Splits of files: rare elements, groups, blocks, isolated atoms."""

    def names(self, one, part):
        return ["".join(one.dataset(part).places[index].split("frame ")[1:]) for index in range(len(one.dataset(part)))]

    def test_a_rare_element_is_in_train(self, module, write, water, make_info):
        frames = water(40)
        for frame in frames[:2]:
            frame.symbols[1] = "F"
        path = write("a.extxyz", frames)
        for seed in range(6):
            one = ASEDataModule(seed, split_dataset={"file_path": path, "train": 4, "val": 20}, cache_dir=None)
            one.bind(make_info("O", "H", "F"))
            numbers = {n for index in range(4) for n in one.dataset().raw(index)["atomic_numbers"].tolist()}
            assert numbers == {1, 8, 9}

    def test_the_split_of_old_runs_stays(self, module, write, water):
        """Indices as runs before this rule wrote them for this seed, size and number of frames."""
        one = module(split_dataset={"file_path": write("a.extxyz", water(10)), "train": 6, "val": 2, "test": 2})
        one.setup()
        assert one.split_indices == {"train": [5, 6, 1, 2, 0, 8], "val": [9, 3], "test": [7, 4]}
        assert one.split_by == "random"

    def test_blocks_end_with_their_file(self, module, write, water):
        files = [write(f"{name}.extxyz", water(7, seed)) for seed, name in enumerate("abc")]
        one = module(split_dataset={"file_path": files, "train": 0.6, "val": 0.4, "by": "block:4"})
        one.setup()
        blocks = {
            part: {(place.split(",")[0], int(place.rpartition(" ")[2]) // 4) for place in one.dataset(part).places}
            for part in one.set_names
        }
        assert not blocks["train"] & blocks["val0"]
        assert len(blocks["train"] | blocks["val0"]) == 6
        assert one.split_by == "block:4"

    def test_groups(self, module, write, water):
        frames = water(20)
        for index, frame in enumerate(frames):
            frame.info["molecule"] = index % 5
        path = write("a.extxyz", frames)
        one = module(split_dataset={"file_path": path, "train": 0.6, "val": 0.2, "test": 0.2, "by": "group:molecule"})
        one.setup()
        of = {part: {index % 5 for index in indices} for part, indices in one.split_indices.items()}
        assert [len(one.split_indices[part]) for part in of] == [12, 4, 4]
        assert sum(map(len, of.values())) == 5
        with pytest.raises(DataError, match=r"by: 20 of 20 frames have no 'mol' in info, the first is .*, frame 0"):
            module(split_dataset={"file_path": path, "train": 0.6, "val": 0.4, "by": "group:mol"}).setup()

    def test_composition_and_config_type(self, module, write, water):
        frames = water(40)
        for index, frame in enumerate(frames):
            frame.info["config_type"] = "hot" if index % 4 == 0 else "cold"
        path = write("a.extxyz", frames)
        one = module(split_dataset={"file_path": path, "train": 0.5, "val": 0.5, "by": "composition"})
        one.setup()
        hot = [sum(index % 4 == 0 for index in indices) for indices in one.split_indices.values()]
        assert hot == [5, 5]

    def test_unmarked_isolated_atoms_go_to_train(self, module, write, water):
        frames = [isolated_atom("H", -13.6), isolated_atom("O", -2041.0), *water(8)]
        for frame in frames[:2]:
            del frame.info["config_type"]
        frames[1].set_cell([12.0] * 3)
        frames[1].pbc = True
        crystal = isolated_atom("O", -2040.0)
        del crystal.info["config_type"]
        crystal.set_cell([2.0] * 3)
        crystal.pbc = True
        path = write("a.extxyz", [*frames, *[crystal] * 4])
        one = module(split_dataset={"file_path": path, "train": 0.5, "val": 0.5})
        one.setup()
        assert set(one.split_indices["train"]) >= {0, 1}
        assert len(one.split_indices["train"]) == 8
        assert one.dataset().isolated_atoms().count(True) == 2, "a crystal with one atom in its cell is none"

    def test_wrong_rules_are_found_before_reading(self):
        with pytest.raises(ConfigError) as caught:
            ASEDataModule(1, split_dataset={"file_path": "a", "train": 0.5, "by": "molecule", "bye": 1})
        assert caught.value.problems == [
            "ASEDataModule.split_dataset.bye: unknown option; did you mean 'by'?",
            (
                "ASEDataModule.split_dataset.by: is not a rule for a split, got 'molecule'; write random, composition, "
                "group:KEY (a key of info) or block:N (a number of frames)"
            ),
        ]


def test_exchanged_frames_and_missing_elements_are_said(module, write, water, make_info, caplog):
    frames = water(40)
    for frame, symbol in zip(frames, ("F", "Cl", "N", "S"), strict=False):
        frame.symbols[1] = symbol
    path = write("a.extxyz", frames)
    info = make_info("O", "H", "F", "Cl", "N", "S")
    with caplog.at_level(logging.INFO):
        module(info=info, split_dataset={"file_path": path, "train": 6, "val": 20}).setup()
    assert "changed places, so that train has all elements" in caplog.text
    assert "too small" not in caplog.text
    module(info=info, split_dataset={"file_path": path, "train": 2, "val": 20}).setup()
    assert "train is too small to have all elements, it lacks " in caplog.text


def test_the_key_of_the_groups_of_a_split_is_no_unused_label(module, write, water):
    frames = water(10)
    for index, atoms in enumerate(frames):
        atoms.info["energy_bin"] = index // 2
    split = {"file_path": write("a.extxyz", frames), "train": 0.6, "val": 0.4}
    unused = [
        one.example
        for by in ("random", "group:energy_bin")
        for one in module(split_dataset={**split, "by": by}).verdict().findings
        if one.code == "keys-unused"
    ]
    assert len(unused) == 1, "said only where it is not read"
