"""The command equipot template: how many neighbours an atom has."""

import math

import click


def template_number(radius: float, density: float) -> float:
    """Number of atoms in a sphere.

    Args:
        radius: In Å.
        density: Atoms per Å³.

    Returns:
        The mean number of atoms.
    """
    return 4 / 3 * math.pi * radius**3 * density


@click.command
@click.argument("model", type=click.Path())
@click.option("--density", type=click.FloatRange(min=0), default=0.1, help="Atoms per Å³ (default: 0.1).")
def command(*, model: str, density: float) -> None:
    """Show how many neighbours an atom has within a model's radius.

    MODEL is a checkpoint, package or compiled file. Nothing in it is executed.
    """
    from equipot.artifacts import inspect_file  # here, so that help and completion stay fast
    from equipot.errors import ArtifactError, problem

    manifest = inspect_file(model).manifest
    if manifest is None:
        raise ArtifactError(problem(model, "says nothing about its model", hint="give another file"))
    radius = float(manifest.model["r_max"])
    print(f"{template_number(radius, density):.1f} neighbours within {radius:g} Å")
