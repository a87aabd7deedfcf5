"""Errors of a model on labelled data: a table in meV and Å, parity plots with --out.

MODEL is a checkpoint, package or compiled file; DATA anything ASE reads, with labels in the units of
the model's training data.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from equipot._cli.common import run_module

if TYPE_CHECKING:
    from equipot.evaluate import Evaluation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", metavar="MODEL", help=".ckpt, .equipot.zip or .equipot.pt2")
    parser.add_argument("data", metavar="DATA", help="labelled frames, e.g. test.extxyz")
    parser.add_argument("--out", metavar="DIR", help="folder for metrics.json and parity.png")
    parser.add_argument(
        "--labels",
        nargs="+",
        default=[],
        metavar="LABEL=KEY",
        help="where labels are, e.g. total_energy=REF_energy forces=REF_forces",
    )
    parser.add_argument(
        "--batch-size", type=int, default=10, metavar="N", help="frames evaluated at once (default: 10)"
    )
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument(
        "--weights", choices=("ema", "raw"), default="ema", help="weights of a checkpoint (default: ema, where present)"
    )
    parser.add_argument(
        "--allow-native", action="store_true", help="also load a compiled file that was not built on this machine"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate."""
    from equipot.errors import ConfigError, problem

    if args.batch_size < 1:
        raise ConfigError(problem("--batch-size", "must be at least 1", got=args.batch_size))
    labels = _labels(args.labels)
    out = None if args.out is None else _folder(args.out)

    from equipot.allocator import keep_memory
    from equipot.artifacts._loading import load
    from equipot.evaluate import evaluate, parity_plot

    keep_memory()
    model = load(args.model, args.device, weights=args.weights, allow_native=args.allow_native)
    found = evaluate(
        model, args.data, labels=labels, batch_size=args.batch_size, device=args.device, progress=_progress
    )
    _print_table(found)
    if out is not None:
        record = {"model": Path(args.model).name, "data": Path(args.data).name, **found.to_dict()}
        (out / "metrics.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        parity_plot(found.compared, out / "parity.png", f"{Path(args.model).name} on {Path(args.data).name}")
        print(f"wrote {out / 'metrics.json'} and {out / 'parity.png'}")
    return 0


def _labels(items: list[str]) -> dict[str, str] | None:
    from equipot.errors import ConfigError, problem

    labels = {}
    for item in items:
        label, equals, key = item.partition("=")
        if not equals or not key:
            raise ConfigError(
                problem("--labels", f"{item!r} is no label", hint="write LABEL=KEY, e.g. total_energy=REF_energy")
            )
        labels[label] = key
    return labels or None


def _folder(name: str) -> Path:
    from equipot.errors import ArtifactError, problem

    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(problem("--out", f"cannot be made: {error.strerror}", got=name)) from None
    return folder


def _progress(starts: list[int]) -> Iterable[int]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(starts, description="evaluating", console=console, disable=not console.is_terminal)


def _print_table(found: Evaluation) -> None:
    print(f"{found.n_frames} frames")
    print(f"{'quantity':<16} {'RMSE':>10} {'MAE':>10} {'max':>10} {'values':>8}  unit")
    for one in found.compared:
        row = one.errors()
        numbers = " ".join(f"{row[kind]:>10.4g}" for kind in ("rmse", "mae", "max"))
        print(f"{one.name:<16} {numbers} {row['values']:>8}  {row['unit']}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``equipot eval``; returns the exit code."""
    return run_module(sys.modules[__name__], "equipot eval", argv)


if __name__ == "__main__":
    sys.exit(main())
