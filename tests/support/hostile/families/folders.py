"""Paths in configs that leave the folder of the run, or name what is no file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hostile import seeds as valid
from hostile.case import Case, folder, link_to, pipe
from hostile.families._configs import CHECK, at, config_case, laid_over
from hostile.families._values import dealt
from hostile.seeds import Seeds

AWAY = {
    "up": "../outside/x",
    "far up": "../" * 30 + "tmp/equipot-hostile-x",
    "absolute": "/tmp/equipot-hostile-x",
    "through a link": "away/x",
    "home": "~/x",
    "interpolated": "${oc.env:HOME}/x",
    "the victim": "../outside/victim.txt",
    "a device": "/dev/full",
    "of the system": "/proc/self/mem",
    "long": "a/" * 3000,
    "with a null": "a\x00b",
    "with escapes": "a\x1b[31m\nb",
}
"""Paths to write to."""

WRITERS: dict[str, dict[str, Any]] = {
    "checkpoint": {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": None},
    "checkpoint name": {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "filename": None},
    "xyz writer": {"_target_": "equipot_toolbox.ValTimeXYZFileWriter", "out_file": None},
    "device stats": {"_target_": "lightning.pytorch.callbacks.OnExceptionCheckpoint", "dirpath": None},
}
LOGGERS: dict[str, dict[str, Any]] = {
    "csv": {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": None},
    "csv name": {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": ".", "name": None},
    "csv version": {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": ".", "version": None},
    "tensorboard": {"_target_": "lightning.pytorch.loggers.TensorBoardLogger", "save_dir": None},
    "wandb": {"_target_": "lightning.pytorch.loggers.WandbLogger", "save_dir": None, "offline": True},
    "mlflow": {"_target_": "lightning.pytorch.loggers.MLFlowLogger", "tracking_uri": "http://127.0.0.1:9", "save_dir": None},
    "neptune": {"_target_": "lightning.pytorch.loggers.NeptuneLogger", "project": None},
    "comet": {"_target_": "lightning.pytorch.loggers.CometLogger", "offline_directory": None},
}  # fmt: skip
PROFILERS: dict[str, dict[str, Any]] = {
    "simple": {"_target_": "lightning.pytorch.profilers.SimpleProfiler", "dirpath": None, "filename": "p"},
    "pytorch": {"_target_": "lightning.pytorch.profilers.PyTorchProfiler", "dirpath": None, "filename": "p"},
    "advanced": {"_target_": "lightning.pytorch.profilers.AdvancedProfiler", "dirpath": ".", "filename": None},
}
INPUTS = {
    "a pipe": ("given", pipe),
    "a folder": ("given", folder),
    "a device": ("/dev/zero", None),
    "random numbers": ("/dev/urandom", None),
    "a link to a device": ("given", link_to("/dev/zero")),
    "a link to nothing": ("given", link_to("nothing")),
    "a link to itself": ("given", link_to("given")),
    "standard input": ("/dev/stdin", None),
    "memory": ("/proc/self/mem", None),
    "passwords": ("/etc/shadow", None),
    "a link up": ("given", link_to("../outside/victim.txt")),
    "an address": ("http://127.0.0.1:9/data.xyz", None),
    "a database": ("postgresql://127.0.0.1:9/x", None),
    "another database": ("mysql://a:b@127.0.0.1:9/x", None),
    "a file of files": ("file:///etc/passwd", None),
    "a null": ("a\x00b", None),
    "escapes": ("\x1b[31mred\n.xyz", None),
    "long": ("a" * 10_000, None),
    "empty": ("", None),
    "a query": ("data.xyz@:", None),
}
"""Paths to read."""


_PLACES: dict[str, tuple[str, dict[str, Any] | None, bool]] = {
    **{kind: ("trainer.callbacks", node, True) for kind, node in WRITERS.items()},
    **{f"logger {kind}": ("trainer.logger", node, False) for kind, node in LOGGERS.items()},
    **{f"profiler {kind}": ("trainer.profiler", node, False) for kind, node in PROFILERS.items()},
    "default_root_dir": ("trainer.default_root_dir", None, False),
    "cache": ("data.cache_dir", None, False),
}
"""Where a config can name a place to write to: the option, and the component that has it."""


def cases(seeds: Seeds) -> Iterator[Case]:
    """Places that are written, and places that are read."""
    config = seeds.config()
    files = {"away": link_to("../outside")}
    for name, kind in dealt(AWAY, tuple(_PLACES), 4):
        place, node, several = _PLACES[kind]
        filled = {key: AWAY[name] if value is None else value for key, value in node.items()} if node else AWAY[name]
        changes = at(place, [filled] if several else filled)
        yield config_case(f"{kind}: {name}", config, changes, files=files, harmless=_inside(name))
    for name, kind in dealt(INPUTS, ("data", "ModelFromPackage", "ModelFromCheckpoint"), 1):
        path, content = INPUTS[name]
        changed = laid_over(config, {})
        if kind == "data":
            changed["data"]["split_dataset"]["file_path"] = path
        else:
            option, suffix = ("package_path", ".equipot.zip") if "Package" in kind else ("checkpoint_path", ".ckpt")
            path = f"{path}{suffix}"
            changed["training_module"]["model"] = {"_target_": f"equipot.model.{kind}", option: path}
        yield config_case(f"{kind}: {name}", changed, files={} if content is None else {path: content})
    yield from _output_folders(config)


def _inside(name: str) -> str:
    return "the folder is made inside the run" if name in ("home", "long", "with escapes") else ""


def _output_folders(config: dict[str, Any]) -> Iterator[Case]:
    """The folder of the run itself is what somebody else left there."""
    left = {
        "a file": {"run": "x"},
        "a pipe": {"run": pipe},
        "a link to itself": {"run": link_to("run")},
        "a link to nothing": {"run": link_to("nothing/there")},
        "a lock that is a folder": {"run/run.lock": folder},
        "a log that is a pipe": {"run/train.log": pipe},
        "a checkpoint that is a pipe": {"run/last.ckpt": pipe, "run/best.ckpt": pipe},
    }
    for name, files in left.items():
        for how in ("--resume=auto", "--overwrite"):
            commands = (CHECK, ["train", valid.YAML, "--output", "run", how])
            why = "it runs without a lock, as on file systems that have none" if "lock" in name else ""
            yield config_case(f"output: {name} {how}", config, commands=commands, files=files, harmless=why)
