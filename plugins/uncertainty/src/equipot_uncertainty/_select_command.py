"""``equipot select``."""

# ruff: noqa: T201 (a command prints)

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from equipot.commands import Command, SeveralValues, option_names
from equipot.errors import ConfigError, DataError, problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from equipot.graph import Graph
    from equipot.model import GraphModel
    from equipot_uncertainty._select import Array


@click.command(
    cls=Command,
    epilog="\b\nequipot select pool.extxyz with_std.equipot.zip --n 100 --output to_label.extxyz\n"
    "equipot select pool.extxyz model.equipot.zip --n 100 --by distance --known train.extxyz --output to_label.extxyz",
)
@click.argument("pool", type=click.Path())
@click.argument("model", type=click.Path())
@click.option("--n", "number", type=click.IntRange(min=1), required=True, metavar="N", help="Frames to choose.")
@click.option(
    "--by",
    type=click.Choice(["both", "uncertainty", "distance"]),
    default="both",
    help="uncertainty: the largest per atom; distance: far from each other (farthest points of mean features); both "
    "(default): far from each other, among the five times as many most uncertain ones.",
)
@click.option(
    "--known", cls=SeveralValues, type=click.Path(), metavar="FILE...", help="Frames that are labelled already."
)
@click.option("--output", type=click.Path(), default="selected.extxyz", help="The frames (default: selected.extxyz).")
def command(**given: Any) -> None:
    """Choose the frames of a pool that are worth a calculation, and write them.

    POOL is a file of any format that training reads, and needs no labels. MODEL is the folder of a run, a checkpoint or
    a package. The frames come in the order in which they were chosen, so that a smaller N gives the first of them.
    """
    from equipot.allocator import keep_memory
    from equipot.data import read_atoms
    from equipot_uncertainty._data import load_stored, model_file
    from equipot_uncertainty._head import feature_kind
    from equipot_uncertainty._rows import Prober
    from equipot_uncertainty._select import choose, standardized

    keep_memory()
    out = Path(given["output"])
    if out.suffix not in (".extxyz", ".xyz"):
        raise ConfigError(problem("--output", "must end in .extxyz or .xyz", got=str(out)))
    if out.resolve() in {Path(one).resolve() for one in (given["pool"], *given["known"])}:
        raise ConfigError(problem("--output", "would overwrite an input", got=str(out), hint="choose another name"))
    model, _ = load_stored(model_file(given["model"]))
    with option_names({}):
        read = [(read_atoms(path), path) for path in (given["pool"], *given["known"])]
    pool = read[0][0]
    if given["number"] > len(pool):
        raise ConfigError(problem("--n", f"the pool has only {len(pool)} frames", got=given["number"]))
    prober = Prober(model, feature_kind(model))
    parts = [_features(prober, model, frames, path) for frames, path in read]
    features, *known = standardized(parts)
    stds = None
    if "energy_std" in model.info.outputs and given["by"] != "distance":
        stds = _stds(model, pool, given["pool"])
    chosen = choose(given["number"], given["by"], stds, features, np.concatenate(known) if known else None)
    _write(out, [_marked(pool[index], index, stds) for index in chosen])
    print(f"wrote {out}: {len(chosen)} of {len(pool)} frames")
    if stds is not None:
        picked, ev = stds[chosen], _ev(model)
        print(
            f"energy_std per atom: {1e3 * ev * picked.mean():.3g} meV in the mean of these, "
            f"{1e3 * ev * stds.mean():.3g} meV in that of the pool"
        )


def _write(path: Path, frames: list[Atoms]) -> None:
    """Write the frames, all or none."""
    from ase.io import write

    from equipot.files import atomic

    with atomic(path) as temporary:
        write(temporary, frames, format="extxyz")


def _ev(model: GraphModel) -> float:
    from equipot.units import UNIT_SYSTEMS

    return UNIT_SYSTEMS[model.info.units].energy_in_ev


def _frames(model: GraphModel, pool: Sequence[Atoms], path: str) -> Any:
    from equipot.data import FrameDataset, frame_from_atoms
    from equipot.data.transforms import default_transforms

    places = [f"{path}, frame {index}" for index in range(len(pool))]
    frames = [frame_from_atoms(atoms, {}, place)[0] for atoms, place in zip(pool, places, strict=True)]
    return FrameDataset(frames, places, default_transforms(model.info), cache_bytes=0)


def _features(prober: Any, model: GraphModel, pool: Sequence[Atoms], path: str) -> Array:
    """Mean features of the atoms of each frame."""
    from equipot_uncertainty._rows import in_batches

    found = [prober.mean_features(batch) for batch in in_batches(_frames(model, pool, path))]
    return np.concatenate([one.numpy() for one in found])


def _stds(model: GraphModel, pool: Sequence[Atoms], path: str) -> Array:
    """Uncertainty of the energy of each frame per atom; those that differ in size are alike in it."""
    from equipot_uncertainty._rows import in_batches

    def values(batch: Graph) -> Array:
        found: Array = (model(batch)["energy_std"] / batch["num_atoms"]).numpy()
        return found

    found = np.concatenate([values(batch) for batch in in_batches(_frames(model, pool, path))])
    if not np.isfinite(found).all():
        raise DataError(problem(path, "the model gives uncertainties that are not finite"))
    return found


def _marked(atoms: Atoms, index: int, stds: Array | None) -> Atoms:
    """A copy without results of calculators, with its place in the pool."""
    made = atoms.copy()
    made.info["pool_index"] = index
    if stds is not None:
        made.info["energy_std_per_atom"] = float(stds[index])
    return made
