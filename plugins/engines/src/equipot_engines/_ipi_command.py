"""``equipot ipi``."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equipot.commands import Command, SeveralValues, named_values
from equipot.errors import ConfigError, UnavailableError, problem

if TYPE_CHECKING:
    from ase.calculators.socketio import SocketClient

_RETRY = 0.2
"""Seconds between attempts to connect."""


def _print_driver_path(context: click.Context, _parameter: click.Parameter, given: bool) -> None:  # noqa: FBT001
    if given and not context.resilient_parsing:
        click.echo(Path(__file__).with_name("ipi_driver.py"))
        context.exit()


@click.command(cls=Command)
@click.argument("model", type=click.Path())
@click.argument("structure", type=click.Path())
@click.option("--unix", metavar="NAME", help="Name of i-PI's Unix socket, as in its <address>.")
@click.option("--host", metavar="HOST", help="Host of i-PI's internet socket (default: localhost).")
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="Its port (default: 31415).")
@click.option(
    "--wait", type=click.FloatRange(min=0.0), default=60.0, metavar="SECONDS", help="For a server (default: 60)."
)
@click.option("--device", default="cpu", help="Device to run on: cpu (default) or cuda.")
@click.option(
    "--weights", type=click.Choice(["ema", "raw"]), default="ema", help="Weights of a checkpoint (default: ema)."
)
@click.option(
    "--types", cls=SeveralValues, metavar="SYMBOL=TYPE...", help="Types of elements, if types are not elements."
)
@click.option("--allow-native", is_flag=True, help="Also load a compiled file that you did not build yourself.")
@click.option(
    "--driver-path",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_driver_path,
    help="Print the path of the driver file for i-PI's <ffdirect>, and end.",
)
def command(**given: Any) -> None:
    """Serve i-PI, or another program with its protocol, with energies, forces and virials over a socket.

    MODEL is a checkpoint (.ckpt), package (.equipot.zip) or compiled file (.equipot.pt2). STRUCTURE is a file with the
    atoms in the server's order; its periodic boundary conditions hold. The command ends when the server does. Results
    that are not finite or beyond the limits of the ASE calculator end it with an error.
    """
    if given["unix"] is not None and (given["host"] is not None or given["port"] is not None):
        raise ConfigError(problem("--unix", "cannot be given together with --host or --port"))
    types = named_values(given["types"], "--types", "--types H=H1 O=OW") or None
    from equipot.ase import EquipotCalculator
    from equipot_engines._calculators import check_usable
    from equipot_engines._ipi import read_template

    atoms = read_template(given["structure"], "STRUCTURE")
    options = {name: given[name] for name in ("weights", "allow_native")}
    atoms.calc = EquipotCalculator(given["model"], given["device"], types=types, **options)
    check_usable("equipot ipi", atoms.calc.info)
    with_stress = "stress" in atoms.calc.info.outputs and bool(atoms.pbc.any())
    client = connected(given["unix"], given["host"], given["port"], given["wait"])
    click.echo("connected")
    number = sum(1 for _ in client.irun(atoms, use_stress=with_stress))
    click.echo(f"the server has ended, after {number} calculations")


def connected(unix: str | None, host: str | None, port: int | None, wait: float) -> SocketClient:
    """A client of a server, which may still have to start.

    Args:
        unix: Name of a Unix socket, or None.
        host: Of an internet socket.
        port: Of an internet socket.
        wait: Seconds until it is given up.

    Raises:
        UnavailableError: If there is no server.
    """
    end = time.monotonic() + wait
    while isinstance(found := _attempt(unix, host, port), str):
        if time.monotonic() >= end:
            place = f"--unix {unix}" if unix is not None else f"{host or 'localhost'}:{port or 31415}"
            hint = "start i-PI first, or raise --wait"
            raise UnavailableError(problem(place, f"no server answers ({found})", hint=hint))
        time.sleep(_RETRY)
    return found


def _attempt(unix: str | None, host: str | None, port: int | None) -> SocketClient | str:
    """A client, or why there is none."""
    from ase.calculators.socketio import SocketClient

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # ASE leaves a socket open that could not connect
        try:
            return SocketClient(host=host or "localhost", port=port, unixsocket=unix)
        except OSError as error:
            return error.strerror or str(error)
