"""``equipot compile``."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equipot._cli.common import Weights, automatic_option, run, say, weights_option
from equipot._host.attribution import faults_named
from equipot.commands import Command, SeveralValues, complete_names
from equipot.errors import ConfigError, PluginError, problem
from equipot.plugins import plugins

if TYPE_CHECKING:
    from equipot.model._graph_model import GraphModel

DEVICES = ("cpu", "cuda")
MODES = ("aotinductor",)


@click.command(cls=Command)
@click.argument("model", type=click.Path())
@click.argument("output", metavar="OUT.equipot.pt2", type=click.Path())
@click.option("--compile-mode", "--mode", "mode", default="aotinductor", help="Compiler: aotinductor (default).")
@click.option("--device", default="cpu", help="Device that the compiled model runs on: cpu (default) or cuda.")
@click.option(
    "--target",
    default="ase",
    metavar="NAME",
    shell_complete=complete_names("export_targets"),
    help="Engine that runs the compiled model: ase (default), or one of a plugin ('equipot plugins' lists them).",
)
@weights_option
@click.option(
    "--modifiers",
    cls=SeveralValues,
    metavar="NAME[:key=value,…]...",
    shell_complete=complete_names("modifiers"),
    help="Modifiers to apply before compiling, in this order.",
)
@automatic_option
@click.option("--portable", is_flag=True, help="Use AVX2 instructions only, to run on other x86-64 machines.")
def command(  # noqa: PLR0913 - click passes each option by name
    *,
    model: str,
    output: str,
    mode: str,
    device: str,
    target: str,
    weights: Weights,
    modifiers: tuple[str, ...],
    automatic_modifiers: bool,
    portable: bool,
) -> None:
    """Compile a model for one type of device and one engine, to a file that runs without its Python code.

    MODEL is a checkpoint (.ckpt) or package (.equipot.zip). The compiled model must reproduce the
    original on golden frames; if they differ by more than rounding, nothing is written.
    """
    from equipot._cli.modifiers import parse_modifier
    from equipot.artifacts import _compiled_file as compiled_file
    from equipot.artifacts import _package as package

    steps = [parse_modifier(text) for text in modifiers]
    package.checked_path(output, compiled_file.SUFFIX)
    if problems := _problems(mode, target, device, [name for name, _ in steps]):
        raise ConfigError(problems)

    from equipot.artifacts._loading import read
    from equipot.artifacts._origins import source_of
    from equipot.compile import compile_model
    from equipot.model._automatic import apply_automatic
    from equipot.model._modifiers import apply_modifiers

    start = time.monotonic()
    stored = read(model, weights)
    with faults_named(f"compiling {model}"):
        built: GraphModel = apply_modifiers(stored.build(), steps).eval()
        built, automatic = apply_automatic(built, device, compile_mode=mode, enabled=automatic_modifiers)
    if automatic.line:
        say(automatic.line, error=True)
    say(f"compiling {model} with {mode} for {device} …", error=True)
    origin = {**stored.manifest.provenance, **source_of(model), "source_fingerprint": stored.manifest.fingerprint}
    manifest = compile_model(
        built, output, device=device, target=target, portable=portable, provenance=origin, data=stored.manifest.data
    )
    size = Path(output).stat().st_size / 1024**2
    say(f"wrote {output} ({size:.1f} MB, {time.monotonic() - start:.0f} s): {', '.join(manifest.model['outputs'])}")
    print("its outputs equal those of the eager model on golden frames and batches of other sizes")


def _problems(mode: str, target: str, device: str, modifiers: Sequence[str]) -> list[str]:
    """Problems of the arguments that can be found before torch is imported."""
    kind = device.partition(":")[0]
    choices = (("--compile-mode", mode, MODES), ("--device", kind, DEVICES))
    problems = [
        problem(name, f"must be one of {list(known)}", got=value)
        for name, value, known in choices
        if value not in known
    ]
    try:
        plugins().lookup("export_targets", target)
    except PluginError as error:
        problems.append(f"--target: {error}")
    for name in modifiers:
        entry: Any = plugins().lookup("modifiers", name).entry
        for known, value, link in ((entry.compile_modes, mode, "with"), (entry.devices, kind, "on")):
            if known and value not in known:
                what, hint = f"{name} does not work {link} {value}", f"it works {link} {list(known)}"
                problems.append(problem("--modifiers", what, hint=hint))
    return problems


main = functools.partial(run, command, "equipot-compile")
"""The script ``equipot-compile``."""
