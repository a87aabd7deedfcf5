"""Secrets of the environment that a run could store, and arguments that readers of ASE would act upon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hostile.case import SECRET_NAME, TOUCH, Case
from hostile.families._configs import TRAIN, at, config_case
from hostile.families._values import dealt
from hostile.seeds import Seeds

_PLACES = (
    "note",
    "training_module.model.seed",
    "trainer.default_root_dir",
    "data.labels.forces",
    "data.ase_args.format",
    "hydra.job.name",
    "data.cache_dir",
)
_STORED = "the value itself is stored nowhere"

ASE_ARGS: dict[str, dict[str, Any]] = {
    "a command": {"format": "castep-cell", "calculator_args": {"castep_command": TOUCH}},
    "a database that is replaced": {"format": "db", "type": "db", "append": False},
    "a database": {"format": "db"},
    "a JSON database that is replaced": {"format": "json", "type": "json", "append": False},
    "another kind of database": {"format": "db", "type": "postgresql"},
    "a server": {"format": "postgresql"},
    "another server": {"format": "mysql"},
    "a file name": {"filename": "/etc/passwd"},
    "no format": {"format": None},
    "an unknown format": {"format": "nothing"},
    "a format of a list": {"format": ["extxyz"]},
    "a format of escapes": {"format": "\x1b[31m"},
    "a format of many letters": {"format": "x" * 100_000},
    "a path as a format": {"format": "../../x"},
    "a module as a format": {"format": "os"},
    "an index of a word": {"format": "extxyz", "index": "many"},
    "an index of a code": {"format": "extxyz", "index": "__import__('os').system('touch ../outside/CANARY')"},
    "an index beyond": {"format": "extxyz", "index": "1000000000:"},
    "a step of 0": {"format": "extxyz", "index": "::0"},
    "an index of a list": {"format": "extxyz", "index": [1, 2]},
    "an index of null": {"format": "extxyz", "index": None},
    "an index of a number": {"format": "extxyz", "index": 0},
    "an index of 5000 digits": {"format": "extxyz", "index": "9" * 5000 + ":"},
    "a query": {"format": "db", "index": "id>0"},
    "parallel": {"format": "extxyz", "parallel": "x"},
    "splitting": {"format": "extxyz", "do_not_split_by_at_sign": False},
    "a parser": {"format": "extxyz", "properties_parser": "os.system"},
    "an unknown argument": {"format": "extxyz", "nothing": 1},
    "a number": {"format": "extxyz", "5": 1},
    "a target": {"_target_": "os.system", "command": TOUCH},
    "a target inside": {"format": "extxyz", "index": {"_target_": "os.system", "command": TOUCH}},
    "a calculator": {"format": "gpaw-out", "calculator": "x"},
    "a list of formats": {"format": "extxyz,castep-cell"},
    "a magic of xml": {"format": "vasp-xml"},
    "a folder": {"format": "bundletrajectory"},
    "netcdf": {"format": "netcdftrajectory"},
    "a trajectory": {"format": "traj"},
    "a trajectory to be written": {"format": "traj", "mode": "w"},
    "a gpw": {"format": "gpw"},
    "octopus": {"format": "octopus-in", "get_kwargs": True},
    "lammps": {"format": "lammps-data", "style": "x"},
    "cif": {"format": "cif", "reader": "x"},
}
"""Arguments for the readers of ASE."""


def cases(seeds: Seeds) -> Iterator[Case]:
    """Environment and reader arguments."""
    config = seeds.config()
    spellings = (
        f"${{oc.env:{SECRET_NAME}}}",
        f"a${{oc.env:{SECRET_NAME}}}b",
        f"${{oc.decode:${{oc.env:{SECRET_NAME}}}}}",
        f"${{oc.env:NOT_SET_ANYWHERE,${{oc.env:{SECRET_NAME}}}}}",
    )
    for place, how in dealt(_PLACES, spellings, 2):
        changes = at(place, how)
        if place == "note":
            changes = {"note": {"secret": how, "epochs": 1}, "trainer": {"max_epochs": "${note.epochs}"}}
        yield config_case(f"{place} {how}", config, changes, harmless=_STORED)
    yield config_case("a key", config, {f"${{oc.env:{SECRET_NAME}}}": 1}, harmless=_STORED)
    for name, arguments in ASE_ARGS.items():
        why = "reads the frames" if name in ("no format", "an index of a number", "a trajectory") else ""
        yield config_case(f"ase_args: {name}", config, at("data.ase_args", arguments), commands=[TRAIN], harmless=why)
    for name in (
        "a database that is replaced",
        "a JSON database that is replaced",
        "a database",
        "a query",
        "a trajectory to be written",
    ):
        suffix = "traj" if "trajectory" in name else "json" if "JSON" in name else "db"
        changes = at(
            "data", {"ase_args": ASE_ARGS[name], "split_dataset": {"file_path": f"x.{suffix}", "train": 8, "val": 4}}
        )
        why = "reads the frames, and leaves the file as it is"
        files = {f"x.{suffix}": _written(seeds, suffix)}
        yield config_case(f"{name}, of its own format", config, changes, commands=[TRAIN], files=files, harmless=why)


def _written(seeds: Seeds, suffix: str) -> bytes:
    from ase.io import write

    path = seeds.folder / f"frames.{suffix}"
    if not path.exists():
        write(path, seeds.frames)
    return path.read_bytes()
