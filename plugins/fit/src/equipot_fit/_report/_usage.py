"""How to use the model, and how to train it again."""

from __future__ import annotations

import importlib.metadata
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot_fit._report._html import code, element, joined, paragraph
from equipot_fit._report._section import Data, Section

if TYPE_CHECKING:
    from equipot.model import ModelInfo
    from equipot_fit._report._run_folder import RunFolder
    from equipot_fit._report._subject import Subject


def data(subject: Subject) -> Data:
    """Lines of code and commands."""
    run, manifest = subject.run, subject.manifest
    model = run.model or Path()
    outputs = list(subject.stored_model.info.outputs)
    package = model if model.name.endswith(".zip") else Path("model.equipot.zip")
    commands = {} if package == model else {"package": f"equipot package build {quoted(model)} {quoted(package)}"}
    if run.compiled is None:
        commands["compile"] = f"equipot compile {quoted(model)} model.equipot.pt2"
    commands["evaluate"] = f"equipot eval {quoted(model)} DATA.extxyz"
    return {
        "file": model.name, "ase": ase_lines(str(run.compiled or model), outputs), "commands": commands,
        "lammps": lammps_lines(package, subject.stored_model.info),
        "train": training_command(run), "directory": None if run.directory is None else str(run.directory),
        "install": ["equipot", *sorted(manifest.plugins)],
    }  # fmt: skip


def quoted(path: str | Path) -> str:
    """A path for a shell."""
    return shlex.quote(str(path))


def ase_lines(path: str, outputs: list[str]) -> str:
    """A program that uses a model in ASE."""
    lines = [
        "from ase.io import read",
        "from equipot.ase import EquipotCalculator",
        "",
        "atoms = read('structure.xyz')",
        f"atoms.calc = EquipotCalculator({path!r})",
        "print(atoms.get_potential_energy())  # eV",
    ]
    if "forces" in outputs:
        lines.append("print(atoms.get_forces())  # eV/Å")
    if "stress" in outputs:
        lines.append("# of periodic frames: atoms.get_stress(), eV/Å³, positive under tension")
    return "\n".join(lines)


LAMMPS = "equipot-lammps"
"""The distribution that brings LAMMPS's pair style."""


def lammps_lines(package: Path, info: ModelInfo) -> str:
    """A command, and lines of an input for LAMMPS; empty without forces, or if the pair style is not installed.

    Args:
        package: The model.
        info: Of the model; the types of LAMMPS are in the same order as its own.
    """
    if "forces" not in info.outputs or not installed(LAMMPS):
        return ""
    lines = [
        f"equipot compile {quoted(package)} model.equipot.pt2 --target lammps",
        "",
        "# in the input of LAMMPS",
        f"units {info.units}",
        "pair_style equipot",
        f"pair_coeff * * model.equipot.pt2 {' '.join(info.type_names)}",
    ]
    return "\n".join(lines)


def installed(distribution: str) -> bool:
    """Whether a distribution is installed here."""
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def training_command(run: RunFolder) -> str:
    """The command that makes the run again; empty if its folder does not tell."""
    if (run.path / "plan.yaml").is_file():
        return f"equipot train {quoted(run.path / 'plan.yaml')} --output NEW_RUN"
    job, runtime = (run.hydra.get(key) for key in ("job", "runtime"))
    overrides = run.hydra.get("overrides")
    name = job.get("config_name") if isinstance(job, dict) else None
    sources: Any = runtime.get("config_sources") if isinstance(runtime, dict) else None
    folder = next(
        (one.get("path") for one in sources or [] if isinstance(one, dict) and one.get("provider") == "main"), None
    )
    if not isinstance(name, str) or not isinstance(folder, str):
        return ""
    path = Path(folder, name if name.endswith(".yaml") else f"{name}.yaml")
    if run.directory is not None and path.is_relative_to(run.directory):
        path = path.relative_to(run.directory)
    given = overrides.get("task") if isinstance(overrides, dict) else None
    texts = [shlex.quote(str(one)) for one in given] if isinstance(given, list) else []
    return " ".join(["equipot train", quoted(path), *texts, "--output NEW_RUN"])


def draw(data: Data) -> str:
    """Code to copy."""
    parts: list[object] = [element("h3", "In ASE"), code(data["ase"])]
    if data["lammps"]:
        parts += [element("h3", "In LAMMPS"), code(data["lammps"])]
    parts += [element("h3", "Files for others, and for speed"), code("\n".join(data["commands"].values()))]
    parts.append(paragraph(f"Needs: pip install {' '.join(map(shlex.quote, data['install']))}"))
    parts.append(element("h3", "Train it again"))
    if data["train"]:
        place = "" if data["directory"] is None else f"cd {quoted(data['directory'])}\n"
        parts.append(code(place + data["train"]))
        parts.append(
            paragraph("With the same data, versions and seeds; config.json in the folder of the run has every option.")
        )
    else:
        parts.append(paragraph("The folder does not say how the run was started; config.json has every option of it."))
    return joined(parts)


SECTION = Section("usage", "How to use it", data, draw)
