"""``equipot package``."""

from __future__ import annotations

import functools

import click

from equipot._cli.common import Weights, run, say, weights_option
from equipot.commands import Command, SeveralValues, complete_names


@click.group(no_args_is_help=False)
def command() -> None:
    """Build, show, verify and modify packages (.equipot.zip).

    A package is one safe file with weights, config, manifest and golden frames, without pickle or code.
    """


@command.command
@click.argument("checkpoint", type=click.Path())
@click.argument("output", metavar="OUT.equipot.zip", type=click.Path())
@weights_option
@click.option(
    "--golden-from-data",
    metavar="FILE",
    type=click.Path(),
    help="Use the first frames of FILE as golden frames instead of random ones.",
)
def build(*, checkpoint: str, output: str, weights: Weights, golden_from_data: str | None) -> None:
    """Make a package from a checkpoint that equipot train wrote."""
    from equipot.artifacts._modify import package_checkpoint

    manifest = package_checkpoint(checkpoint, output, weights=weights, golden_data=golden_from_data)
    say(f"wrote {output} ({manifest.provenance['weights']} weights, fingerprint {manifest.fingerprint[:16]})")


@command.command
@click.argument("package", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
@click.pass_context
def info(context: click.Context, *, package: str, as_json: bool) -> None:
    """Show what is in a package."""
    from equipot._cli import inspect
    from equipot.artifacts._package import read_manifest

    if as_json:
        print(read_manifest(package).to_json().decode())
    else:
        context.invoke(inspect.command, file=package, as_json=False)


@command.command
@click.argument("package", type=click.Path())
def verify(package: str) -> None:
    """Build the model and check that it reproduces its golden frames."""
    from equipot.artifacts._loading import verify as replay

    worst = replay(package)
    shown = ", ".join(f"{key} {value:.1e}" for key, value in sorted(worst.items()))
    say(f"{package}: reproduces its golden frames; largest relative deviations: {shown}")


@command.command(cls=Command)
@click.argument("package", metavar="IN", type=click.Path())
@click.argument("output", metavar="OUT.equipot.zip", type=click.Path())
@click.option(
    "--modifiers",
    cls=SeveralValues,
    required=True,
    metavar="NAME[:key=value,…]...",
    shell_complete=complete_names("modifiers"),
    help="Persistent modifiers, applied in this order.",
)
def modify(*, package: str, output: str, modifiers: tuple[str, ...]) -> None:
    """Apply modifiers and write the result to another package."""
    from equipot._cli.modifiers import parse_modifier
    from equipot.artifacts._modify import modify_package

    steps = [parse_modifier(text) for text in modifiers]
    manifest = modify_package(package, output, steps)
    say(f"wrote {output} with {', '.join(name for name, _ in steps)}: {', '.join(manifest.model['outputs'])}")


main = functools.partial(run, command, "equipot-package")
"""The script ``equipot-package``."""
