"""``type_names: auto`` and energies of atoms from a file, from the check to what is stored."""

import itertools
import json

import pytest
import torch
from ase import Atoms
from ase.io import write

from equipot.config._check import check_config
from equipot.config._elements import automatic, sample_elements, with_elements
from equipot.config._load import compose
from equipot.config._resolve import resolve_phase1
from equipot.errors import ConfigError
from equipot_test_support.water import labelled, water_frames

SHIFTS = "training_module.model.per_type_energy_shifts"
AUTO = "chemical_symbols=auto"


def check(*overrides):
    config, hydra = compose("config.yaml", overrides)
    return check_config(config, None, hydra)


def places(*overrides):
    config = compose("config.yaml", overrides)[0]
    return automatic(config, resolve_phase1(config)[0])


def test_places(folder):
    assert places() == []
    assert places(AUTO) == ["chemical_symbols"], "the variable itself, so that all that use it follow"
    assert places("training_module.model.type_names=auto") == ["training_module.model.type_names"]
    species = "+training_module.model.chemical_species='${chemical_symbols}'"
    assert places(AUTO, species) == ["chemical_symbols"]
    assert places(AUTO, "+other=auto", "+training_module.model.num_channels='${other}'") == ["chemical_symbols"]


def test_elements_take_the_places(folder):
    config = compose("config.yaml", (AUTO,))[0]
    made = with_elements(config, ["chemical_symbols"], ["C", "N"])
    assert made.training_module.model.type_names == ["C", "N"]
    assert config.chemical_symbols == "auto", "the config itself is not changed"


def test_sample_elements(folder):
    assert sample_elements(compose("config.yaml", (AUTO,))[0]) == ["H"]
    mapping = f"{SHIFTS}={{O: -1, Fe: -2}}"
    assert sample_elements(compose("config.yaml", (AUTO, mapping))[0]) == ["Fe", "O"]


def test_the_check_accepts_auto_without_data(folder):
    (folder.path / "water.extxyz").unlink()
    checked = check(AUTO, f"{SHIFTS}={{O: -1, H: -2}}")
    assert checked.open_types is not None
    assert checked.recipe.type_names == ["H", "O"]
    assert check().open_types is None
    with pytest.raises(ConfigError, match="r_max: must be greater than 0"):
        check(AUTO, "cutoff_radius=-1")


def test_other_texts_are_no_types(folder):
    with pytest.raises(ConfigError, match="type_names"):
        check("chemical_symbols=all")


@pytest.mark.slow
def test_a_run_stores_the_elements(folder):
    frames = water_frames()
    frames += [
        labelled(Atoms(f"{symbol}H", [[0, 0, 0], [0, 0, 1.1]]), energy=-5.0, forces=[[0, 0, 0]] * 2) for symbol in "FN"
    ]
    write(folder.path / "water.extxyz", frames)
    code, output, errors = folder.call(AUTO, "trainer.max_epochs=1", "--output", "out")
    assert code == 0, errors
    assert "type_names: F H N O (auto: the 4 elements of the data)" in output
    config = json.loads((folder.path / "out" / "config.json").read_text())
    assert config["chemical_symbols"] == ["F", "H", "N", "O"]
    assert config["training_module"]["model"]["type_names"] == ["F", "H", "N", "O"]
    record = torch.load(folder.path / "out" / "last.ckpt", weights_only=True)["equipot"]
    assert record["training_config"] == config
    assert record["model"]["config"]["type_names"] == ["F", "H", "N", "O"]
    split = json.loads((folder.path / "out" / "splits.json").read_text())
    assert {20, 21} <= set(split["train"]), "the only frames with F and N"
    more = ["trainer.max_epochs=2", "--allow", "trainer.max_epochs", "--output", "again", "--resume", "out/last.ckpt"]
    code, _, errors = folder.call(AUTO, *more)
    assert code == 0, errors


def test_transforms_and_statistics_follow(folder):
    """The data were read with the sample elements; what is trained with has the true ones."""
    mapper = "equipot.data.transforms.ChemicalSpeciesToAtomTypeMapper"
    transforms = f"+data.transforms=[{{_target_: {mapper}, model_type_names: '${{chemical_symbols}}'}}]"
    manager = "+data.stats_manager.type_names='${chemical_symbols}'"
    code, output, errors = folder.call(AUTO, transforms, manager, "trainer.max_epochs=1", "--output", "out")
    assert code == 0, errors
    config = json.loads((folder.path / "out" / "config.json").read_text())
    assert config["data"]["transforms"][0]["model_type_names"] == ["H", "O"]
    assert config["data"]["stats_manager"]["type_names"] == ["H", "O"]
    assert "per_type_forces_rms: H 0.3" in output


def test_problems_that_only_the_elements_show(folder):
    code, _, errors = folder.call(AUTO, f"{SHIFTS}={{O: -1}}", "--output", "out")
    assert code == 2
    assert f"{SHIFTS}: no value for the types ['H']" in errors


@pytest.mark.slow
def test_eighty_five_elements(folder):
    from ase.data import chemical_symbols

    symbols = chemical_symbols[1:86]
    pairs = [Atoms(f"{one}{two}", [[0, 0, 0], [0, 0, 1.5]]) for one, two in itertools.pairwise(symbols)]
    frames = [labelled(one, energy=-float(sum(one.numbers)), forces=[[0.1, 0, 0], [-0.1, 0, 0]]) for one in pairs]
    write(folder.path / "water.extxyz", frames)
    shifts = f"{SHIFTS}='${{training_data_stats:per_type_energy_shifts_auto}}'"
    split = ["data.split_dataset.train=0.8", "data.split_dataset.val=0.1", "data.split_dataset.test=0.1"]
    code, output, errors = folder.call(AUTO, shifts, *split, "trainer.max_epochs=1", "--output", "out")
    assert code == 0, errors
    assert "the 85 elements of the data" in output
    config = json.loads((folder.path / "out" / "config.json").read_text())
    assert config["training_module"]["model"]["type_names"] == sorted(symbols)
    assert len(config["training_module"]["model"]["per_type_energy_shifts"]) == 85


class TestEnergies:
    @pytest.fixture(autouse=True)
    def _file(self, folder):
        (folder.path / "atoms.json").write_text('{"1": -1.5, "O": -2.0, "C": -9.0}')

    def test_the_model_gets_its_types(self, folder):
        assert check(f"{SHIFTS}=atoms.json").recipe.per_type_energy_shifts == {"H": -1.5, "O": -2.0}

    def test_a_path_may_be_a_variable(self, folder):
        overrides = ["+atoms=atoms.json", f"{SHIFTS}='${{atoms}}'"]
        assert check(*overrides).recipe.per_type_energy_shifts == {"H": -1.5, "O": -2.0}
        overrides = ["+place=.", f"{SHIFTS}='${{place}}/atoms.json'"]
        assert check(*overrides).recipe.per_type_energy_shifts == {"H": -1.5, "O": -2.0}

    def test_atomic_numbers_in_the_config(self, folder):
        assert check(f"{SHIFTS}={{1: -1.5, 8: -2}}").recipe.per_type_energy_shifts == {"H": -1.5, "O": -2.0}
        with pytest.raises(ConfigError, match=r"has no energy for \['O'\]"):
            check(f"{SHIFTS}={{1: -1.5}}")

    def test_one_error_for_all_missing_elements(self, folder):
        with pytest.raises(ConfigError) as caught:
            check(f"{SHIFTS}=atoms.json", "chemical_symbols=[H,N,Fe,O]")
        (text,) = caught.value.problems
        assert text == f"{SHIFTS}: has no energy for ['N', 'Fe']; it has those of ['C', 'H', 'O']"

    def test_a_missing_file_is_one_of_all_problems(self, folder):
        with pytest.raises(ConfigError) as caught:
            check(f"{SHIFTS}=other.json", "cutoff_radius=-1")
        assert len(caught.value.problems) == 2
        assert "other.json: there is no such file" in str(caught.value)

    def test_types_from_the_data(self, folder):
        assert check(AUTO, f"{SHIFTS}=atoms.json").open_types is not None
        code, _, errors = folder.call(AUTO, f"{SHIFTS}=atoms.json", "trainer.max_epochs=1", "--output", "out")
        assert code == 0, errors
        config = json.loads((folder.path / "out" / "config.json").read_text())
        assert config["training_module"]["model"]["per_type_energy_shifts"] == {"H": -1.5, "O": -2.0}, "not the path"
        record = torch.load(folder.path / "out" / "best.ckpt", weights_only=True)["equipot"]
        assert record["model"]["config"]["per_type_energy_shifts"] == {"H": -1.5, "O": -2.0}

    def test_resuming_with_other_energies_is_refused(self, folder):
        arguments = [f"{SHIFTS}=atoms.json", "run=[train]"]
        assert folder.call(*arguments, "trainer.max_epochs=1", "--output", "out")[0] == 0
        (folder.path / "atoms.json").write_text('{"H": -1.5, "O": -2.5}')
        more = [
            "trainer.max_epochs=2",
            "--allow",
            "trainer.max_epochs",
            "--output",
            "again",
            "--resume",
            "out/last.ckpt",
        ]
        code, _, errors = folder.call(*arguments, *more)
        assert code == 2
        assert f"{SHIFTS}.O: -2.0 in the checkpoint, -2.5 now" in errors
