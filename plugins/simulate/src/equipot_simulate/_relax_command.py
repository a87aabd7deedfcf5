"""``equipot relax``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equipot.commands import Command
from equipot_simulate._many_options import many_of, many_options
from equipot_simulate._setup import checked, frame_options, frames_of, model_of, model_options, origin, output_of, say

if TYPE_CHECKING:
    from ase import Atoms

    from equipot_simulate._relax import Relaxation, RelaxOptions
    from equipot_simulate._setup import ModelOptions

_STATE = "state.json"


@click.command(
    cls=Command,
    epilog="\b\nequipot relax model.equipot.zip cu.extxyz --cell free --fmax 0.001\n"
    "equipot relax model.equipot.zip structures.extxyz --workers 4 --output relaxed --resume",
)
@model_options
@frame_options
@click.option("--fmax", type=float, default=0.01, metavar="EV_PER_A", help="Largest force at the end (default: 0.01).")
@click.option("--steps", type=int, default=500, metavar="N", help="At most (default: 500).")
@click.option(
    "--cell",
    type=click.Choice(["fixed", "free", "isotropic", "constant-volume"]),
    default="fixed",
    help="What changes of the cell: nothing (default), all, its volume, its shape.",
)
@click.option("--pressure", type=float, default=0.0, metavar="GPA", help="GPa (default: 0).")
@click.option("--keep-symmetry", is_flag=True, help="Keep the space group of the structure.")
@click.option("--symprec", type=float, default=0.01, metavar="A", help="Å within which it is symmetric (0.01).")
@click.option("--optimizer", type=click.Choice(["lbfgs", "bfgs", "fire"]), default="lbfgs", help="Default: lbfgs.")
@click.option("--resume", is_flag=True, help="Go on with the folder in --output, if it holds a relaxation.")
@many_options
def command(**given: Any) -> int:
    """Relax positions, and the cell if asked for.

    MODEL is a checkpoint (.ckpt), package (.equipot.zip) or compiled file (.equipot.pt2); STRUCTURE a file of any
    format that training reads. The folder (default: STRUCTURE_relax) gets results.json, relaxed.extxyz, the steps and
    relax.png. The exit code is 1 if it did not converge.

    A file with several frames is relaxed frame by frame on --workers processes.
    """
    from equipot_simulate._folder import result_folder

    model = model_of(given)
    structure, frame, repeat = given.pop("structure"), given.pop("frame"), given.pop("repeat")
    folder, many = output_of(given, structure, "relax"), many_of(given)
    resume, overwrite = given.pop("resume"), given.pop("overwrite")
    frames = frames_of(structure, frame, repeat)
    from equipot_simulate._relax import RelaxOptions

    options = checked(RelaxOptions, given)
    with result_folder(folder, resume=resume, overwrite=overwrite):
        if len(frames) > 1:
            from equipot_simulate._many import run_many
            from equipot_simulate._tasks import RelaxTask

            source = origin(model.model, structure)
            return run_many(RelaxTask(asdict(options)), frames, model, options.needed, folder, source, many)
        return _relax_one(model, frames[0], options, folder, structure)


def _relax_one(model: ModelOptions, atoms: Atoms, options: RelaxOptions, folder: Path, structure: str) -> int:
    from equipot.files import write_json
    from equipot_simulate._folder import RESULTS
    from equipot_simulate._pacing import Pace
    from equipot_simulate._relax import Relaxation, space_group
    from equipot_simulate._stopping import stopping
    from equipot_simulate._tasks import plain_structure
    from equipot_simulate._trajectory import ExtxyzFile, with_results

    source, before = origin(model.model, structure, atoms), space_group(atoms, options.symprec)
    atoms.calc = model.calculator(*options.needed)
    _go_on(atoms, folder)
    relaxation, frames = Relaxation(atoms, options), ExtxyzFile(folder / "trajectory.extxyz")
    pace = Pace("relax: step", options.steps)

    def each() -> None:
        frames.frame(with_results(atoms))
        write_json(folder / _STATE, plain_structure(atoms))
        pace.update(len(relaxation.history) - 1, lambda: f"{relaxation.history[-1]['largest_force_ev_per_a']:.4g} eV/Å")

    with stopping() as stop:
        found = relaxation.run(stop, each)
    ExtxyzFile(folder / "relaxed.extxyz").cut(0)
    ExtxyzFile(folder / "relaxed.extxyz").frame(with_results(atoms))
    _draw(relaxation, folder / "relax.png", atoms.get_chemical_formula())
    status = "converged" if found["converged"] else "interrupted" if stop.number else "not converged"
    groups = {"space_group_before": before, "space_group": space_group(atoms, options.symprec)} if before else {}
    write_json(
        folder / RESULTS,
        {"command": "relax", "status": status, **source, "options": asdict(options), **found, **groups,
         "history": relaxation.history},
    )  # fmt: skip
    say(f"{status} after {found['steps']} steps: {found['energy_ev']:.6f} eV, largest force "
        f"{found['largest_force_ev_per_a']:.4g} eV/Å; see {folder}")  # fmt: skip
    if not found["converged"]:
        say("to go on from the last structure: --resume")
    return stop.exit_code or (0 if found["converged"] else 1)


def _go_on(atoms: Atoms, folder: Path) -> None:
    """Move the atoms to where an earlier relaxation in the folder ended; the optimizer itself forgets its steps."""
    from equipot.errors import ArtifactError, problem

    path = folder / _STATE
    if not path.exists():
        return
    state = json.loads(path.read_text(encoding="utf-8"))
    if state["numbers"] != atoms.numbers.tolist():
        raise ArtifactError(problem(str(path), "is the state of another structure", hint="--overwrite starts again"))
    atoms.set_cell(state["cell"])
    atoms.positions = state["positions"]


def _draw(relaxation: Relaxation, path: Path, title: str) -> None:
    from equipot_simulate._figures import BLUE, ORANGE, panels, save

    figure, axes = panels(2)
    energies = [1000.0 * one["energy_ev"] / len(relaxation.atoms) for one in relaxation.history]
    forces = [max(one["largest_force_ev_per_a"], 1e-12) for one in relaxation.history]
    axes[0].plot([one - energies[-1] for one in energies], color=BLUE, marker=".")
    axes[0].set_ylabel("energy above the last, meV/atom")
    axes[1].semilogy(forces, color=BLUE, marker=".")
    axes[1].axhline(relaxation.options.fmax, color=ORANGE, linestyle="--", label="to reach")
    axes[1].set_ylabel("largest force on an atom, eV/Å")
    axes[1].legend()
    for one in axes:
        one.set_xlabel("step")
    figure.suptitle(title)
    save(figure, path)
