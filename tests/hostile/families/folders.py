"""Paths in configs that leave the folder of the run, or name what is no file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hostile import seeds as valid
from hostile.case import Case, folder, link_to, pipe
from hostile.families._configs import BOTH, CHECK, at, config_case, laid_over
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


def cases(seeds: Seeds) -> Iterator[Case]:
    """Places that are written, and places that are read."""
    config = seeds.config()
    files = {"away": link_to("../outside")}
    for name, path in AWAY.items():
        for kind, node in WRITERS.items():
            changes = at("trainer.callbacks", [{key: path if value is None else value for key, value in node.items()}])
            yield config_case(f"{kind}: {name}", config, changes, files=files, harmless=_inside(name))
        for kind, node in LOGGERS.items():
            if name in ("up", "absolute", "through a link") or kind == "csv":
                changes = at("trainer.logger", {key: path if value is None else value for key, value in node.items()})
                yield config_case(f"logger {kind}: {name}", config, changes, files=files, harmless=_inside(name))
        for kind, node in PROFILERS.items():
            if name in ("up", "absolute"):
                changes = at("trainer.profiler", {key: path if value is None else value for key, value in node.items()})
                yield config_case(f"profiler {kind}: {name}", config, changes, files=files)
        yield config_case(f"default_root_dir: {name}", config, at("trainer.default_root_dir", path), files=files, harmless=_inside(name))
        yield config_case(f"cache: {name}", config, at("data.cache_dir", path), files=files)
    places = ("data.split_dataset.file_path", "data.ase_args.filename", "training_module.model.package_path")
    for name, (path, content) in INPUTS.items():
        files = {} if content is None else {path: content}
        yield config_case(f"data: {name}", config, at(places[0], path), files=files)
        for kind, option in (("ModelFromPackage", "package_path"), ("ModelFromCheckpoint", "checkpoint_path")):
            for suffix in ("", ".equipot.zip" if "Package" in kind else ".ckpt"):
                own = {f"{path}{suffix}": content} if content is not None else {}
                model = {"_target_": f"equipot.model.{kind}", option: f"{path}{suffix}"}
                changed = laid_over(config, {})
                changed["training_module"]["model"] = model
                yield config_case(f"{kind}{suffix}: {name}", changed, files=own)
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
        "a lock that is a folder": {"run/.lock": folder, "run/lock": folder},
        "a log that is a pipe": {"run/train.log": pipe},
        "a checkpoint that is a pipe": {"run/last.ckpt": pipe, "run/best.ckpt": pipe},
    }
    for name, files in left.items():
        for how, more in (("", []), (" resumed", ["--resume", "auto"]), (" overwritten", ["--overwrite"])):
            commands = (CHECK, ["train", valid.YAML, "--output", "run", *more])
            why = "a new file takes its place" if "pipe" in name and "checkpoint" in name else ""
            yield config_case(f"output: {name}{how}", config, commands=commands, files=files, harmless=why)
    _ = BOTH
