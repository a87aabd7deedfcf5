"""A folder with data and a config, and the commands run in it."""

import contextlib

import pytest
import yaml
from ase.io import read, write

from equipot_test_support import ROOT
from equipot_test_support.commands import equipot
from equipot_test_support.water import CONFIG


class RunFolder:
    """A folder with data and a config, and the commands run in it."""

    def __init__(self, path, capfd):
        self.path = path
        self._capfd = capfd

    def write(self, text=CONFIG, name="config.yaml"):
        """Write a config."""
        (self.path / name).write_text(text)

    def change_data(self, change):
        """Replace every frame of ``water.extxyz`` by what ``change`` makes of it."""
        file = self.path / "water.extxyz"
        write(file, [change(atoms) for atoms in read(file, ":")])

    def call(self, *arguments, command="train"):
        """Exit code, standard output and error of a command on the config, in this process."""
        from equipot._cli.main import main

        self._capfd.readouterr()
        code = main([command, "config.yaml", *arguments])
        output = self._capfd.readouterr()
        return code, output.out, output.err

    def errors(self, *arguments, command="check"):
        """The problems a command reports, without ``error: ``; it must exit with 2."""
        code, _, text = self.call(*arguments, command=command)
        assert code == 2, text
        lines = [line for line in text.splitlines() if line.startswith("error: ")]
        assert lines, text
        assert "Traceback" not in text
        return [line.removeprefix("error: ") for line in lines]


@contextlib.contextmanager
def current(path):
    """Make a folder the current one, with a cache of its own: for fixtures of module scope."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setenv("EQUIPOT_CACHE_DIR", str(path / "cache"))
        yield path


def write_data(path, name, number, new="", folder=ROOT / "examples" / "data"):
    """Copy the first frames of one of the examples' data sets into a folder, as ``new``."""
    write(path / (new or name), read(folder / name, f":{number}"))


def small_ethanol(example, **changes):
    """One of the examples' configs, cut down to two epochs on eight frames of ``ethanol.extxyz``.

    Args:
        example: Name of the config.
        changes: Entries at the top of the config to replace.
    """
    config = yaml.safe_load((ROOT / f"examples/{example}.yaml").read_text(encoding="utf-8"))
    config["data"]["split_dataset"] = {"file_path": "ethanol.extxyz", "train": 6, "val": 2}
    del config["data"]["test_dataloader"]
    config["data"]["train_dataloader"]["batch_size"] = 3
    config["data"]["val_dataloader"]["batch_size"] = 2
    config["trainer"] |= {"max_epochs": 2, "enable_progress_bar": False, "enable_model_summary": False}
    return config | changes


SMALL_ALLEGRO = {
    "model_dtype": "float64",
    "l_max": 1,
    "num_scalar_features": 4,
    "num_tensor_features": 2,
    "scalar_embed_mlp_hidden_layers_width": 6,
    "allegro_mlp_hidden_layers_width": 6,
    "readout_mlp_hidden_layers_width": 4,
}
"""Options of an Allegro-like model that trains in a second."""


def train_config(folder, name, config, *overrides):
    """Train with a config; gives the folder of the run, which is called like the config."""
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    equipot("train", f"{name}.yaml", "--output", name, *overrides)
    return folder / name
