"""``equipot report``."""

# ruff: noqa: T201 (a command prints)

from __future__ import annotations

import click

from equipot.errors import ConfigError, problem


@click.command(epilog="\b\nequipot report outputs/my_run\nequipot report outputs/my_run --output my_run.html")
@click.argument("run", type=click.Path())
@click.option("--output", type=click.Path(), metavar="FILE", help="The page (default: RUN/report.html).")
@click.option(
    "--max-frames",
    type=int,
    default=500,
    metavar="N",
    help="Frames of a set that are evaluated; of a larger one, a sample (default: 500).",
)
@click.option(
    "--model",
    type=click.Path(),
    metavar="FILE",
    help="A package or checkpoint to look at instead of the run's own, e.g. with uncertainties added.",
)
def command(*, run: str, output: str | None, max_frames: int, model: str | None) -> None:
    """Write a report about a run: one HTML file that needs no network, and a JSON file with its numbers.

    RUN is a folder of equipot train or equipot fit, also one that was interrupted. Its files are read, never changed.
    """
    if max_frames < 1:
        raise ConfigError(problem("--max-frames", "must be at least 1", got=max_frames))
    from equipot.allocator import keep_memory
    from equipot_fit._report import write_report

    keep_memory()
    path = write_report(run, output, max_frames=max_frames, model=model)
    print(f"wrote {path} and {path.with_suffix('.json').name}")
