"""What ``equipot lammps info`` shows."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

from equipot.artifacts import inspect_file
from equipot.errors import problem
from equipot_lammps._build import is_complete
from equipot_lammps._errors import LammpsError
from equipot_lammps._wheels import build_folder


def lines(path: Path | None) -> list[str]:
    """The state of the pair style, and how a file is used.

    Args:
        path: A file compiled for LAMMPS; None to show the state only.

    Raises:
        LammpsError: If LAMMPS is not installed, or the file is for another engine.
        ArtifactError: If the file cannot be read.
    """
    shown = [f"{name}: {fact}" for name, fact in _state().items()]
    return shown if path is None else [*shown, "", *_of_file(path)]


def diagnosis() -> tuple[dict[str, str], list[str]]:
    """Whether the pair style is built; nothing counts as broken, since everything else works without it."""
    try:
        return _state(), []
    except LammpsError as error:
        return {"wheels": str(error)}, []


def _state() -> dict[str, str]:
    folder = build_folder()
    ready = is_complete(folder)
    facts = {
        "wheels": ", ".join(f"{name} {metadata.version(name)}" for name in ("lammps", "torch")),
        "pair_style equipot": f"ready in {folder}"
        if ready
        else "not built for these versions; run: equipot lammps build",
    }
    if ready:
        kernels = sorted(one.stem.removeprefix("libequipot_ops_") for one in folder.glob("libequipot_ops_*.so"))
        facts["libraries of kernels"] = ", ".join(kernels) or "none"
    return facts


def _of_file(path: Path) -> list[str]:
    manifest = inspect_file(path).manifest
    target = None if manifest is None else manifest.compiled.get("target")
    if manifest is None or target != "lammps":
        hint = "compile it with: equipot compile MODEL OUT.equipot.pt2 --target lammps"
        raise LammpsError(problem(str(path), "is not compiled for LAMMPS", got=target, hint=hint))
    model: dict[str, Any] = manifest.model
    types = " ".join(model["type_names"])
    return [
        f"units {model['units']}",
        "pair_style equipot",
        f"pair_coeff * * {path} {types}",
        "",
        f"# the words after the file: the model's types ({types}), one for each of LAMMPS' atom types, in their order",
        f"# {_locality(model, manifest.compiled['metadata'])}",
    ]


def _locality(model: dict[str, Any], metadata: dict[str, str]) -> str:
    radii = [model["r_max"], *(radius for _, radius in model["edge_sets"])]
    reach = max(radii)
    if model["locality"] == "strict":
        return f"strictly local within {reach:g} Å: any number of MPI processes"
    hops = int(model["locality"][5:-1])
    walks = [[int(word) for word in walk.split(":")] for walk in metadata["equipot_hops"].split()]
    shell = f"ghost shells of {max(walk[0] * radii[place] for walk in walks for place in walk[1:]):g} Å"
    if metadata["equipot_exchanges"]:
        shell += f", or of {reach:g} Å with features exchanged between layers,"
    return f"{hops} message layers: no ghost atoms on one MPI process, {shell} on several"
