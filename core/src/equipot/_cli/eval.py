"""``equipot eval``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from equipot import files
from equipot._cli.common import Weights, print_table, say, weights_option
from equipot.commands import Command, SeveralValues
from equipot.errors import ConfigError, problem

if TYPE_CHECKING:
    from equipot.evaluate import Evaluation


@click.command(cls=Command)
@click.argument("model", type=click.Path())
@click.argument("data", type=click.Path())
@click.option("--out", type=click.Path(), metavar="DIR", help="Write metrics.json and parity.png into this folder.")
@click.option(
    "--labels",
    cls=SeveralValues,
    metavar="LABEL=KEY...",
    help="Keys of labels in the file, e.g. total_energy=REF_energy forces=REF_forces.",
)
@click.option("--batch-size", type=int, default=10, metavar="N", help="Frames evaluated at once (default: 10).")
@click.option("--device", default="cpu", help="Device to run on: cpu (default) or cuda.")
@weights_option
@click.option("--allow-native", is_flag=True, help="Also load a compiled file that you did not build yourself.")
def command(
    *,
    model: str,
    data: str,
    out: str | None,
    labels: tuple[str, ...],
    batch_size: int,
    device: str,
    weights: Weights,
    allow_native: bool,
) -> None:
    """Compare a model with labelled data: errors in meV and Å, and with --out also parity plots.

    MODEL is a checkpoint (.ckpt), package (.equipot.zip) or compiled file (.equipot.pt2). DATA is a file that
    ASE can read, with labels in the units of the model's training data.
    """
    if batch_size < 1:
        raise ConfigError(problem("--batch-size", "must be at least 1", got=batch_size))
    keys = _labels(labels)
    folder = None if out is None else _folder(out)

    from equipot.allocator import keep_memory
    from equipot.artifacts._loading import load
    from equipot.evaluate import evaluate, parity_plot

    keep_memory()
    loaded = load(model, device, weights=weights, allow_native=allow_native)
    found = evaluate(loaded, data, labels=keys, batch_size=batch_size, device=device, progress=_progress)
    _print(found)
    if folder is not None:
        names = {"model": Path(model).name, "data": Path(data).name}
        files.write_json(folder / "metrics.json", {**names, **found.to_dict()})
        parity_plot(found.compared, folder / "parity.png", f"{names['model']} on {names['data']}")
        say(f"wrote {folder / 'metrics.json'} and {folder / 'parity.png'}")


def _labels(items: Iterable[str]) -> dict[str, str] | None:
    labels = {}
    for item in items:
        label, equals, key = item.partition("=")
        if not equals or not key:
            hint = "for example total_energy=REF_energy"
            raise ConfigError(problem("--labels", "must be LABEL=KEY", got=item, hint=hint))
        labels[label] = key
    return labels or None


def _folder(name: str) -> Path:
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(problem("--out", f"cannot be made: {error.strerror}", got=name)) from None
    return folder


def _progress(starts: list[int]) -> Iterable[int]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(starts, description="evaluating", console=console, disable=not console.is_terminal)


def _print(found: Evaluation) -> None:
    print(f"{found.n_frames} frames")
    rows = []
    for one in found.compared:
        row = one.errors()
        errors = [f"{row[kind]:.4g}" for kind in ("rmse", "mae", "max")]
        rows.append((one.name, *errors, str(row["values"]), str(row["unit"])))
    numbers = ("RMSE", "MAE", "max", "values")
    print_table(rows, header=("quantity", *numbers, "unit"), numbers=numbers)
