"""Compile a model to a file that runs without its Python code, for one kind of device and engine.

MODEL is a checkpoint (.ckpt) or package (.equipot.zip). The compiled model is compared with the
original on golden frames; any difference beyond rounding is an error and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot._cli.common import run_module

if TYPE_CHECKING:
    from equipot.model._graph_model import GraphModel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", metavar="MODEL", help="checkpoint (.ckpt) or package (.equipot.zip)")
    parser.add_argument("output", metavar="OUT.equipot.pt2", help="file to write")
    parser.add_argument(
        "--compile-mode", "--mode", dest="mode", default="aotinductor", help="compiler: aotinductor (default)"
    )
    parser.add_argument("--device", default="cpu", help="device it will run on: cpu (default) or cuda")
    parser.add_argument("--target", default="ase", help="engine it is for: ase (default)")
    parser.add_argument(
        "--weights", choices=("ema", "raw"), default="ema", help="weights of a checkpoint (default: ema, where present)"
    )
    parser.add_argument(
        "--modifiers",
        nargs="+",
        default=[],
        metavar="NAME[:key=value,…]",
        help="modifiers to apply before, in this order",
    )
    parser.add_argument(
        "--portable", action="store_true", help="use AVX2 instructions only, to run on other x86-64 machines"
    )


def run(args: argparse.Namespace) -> int:
    """Compile."""
    import time

    from equipot._cli.modifiers import parse_modifier
    from equipot.artifacts import _compiled_file as compiled_file
    from equipot.artifacts import _package as package
    from equipot.errors import ConfigError

    steps = [parse_modifier(text) for text in args.modifiers]
    package.checked_path(args.output, compiled_file.SUFFIX)
    if problems := _problems(args, [name for name, _ in steps]):
        raise ConfigError(problems)

    from equipot.artifacts._loading import read
    from equipot.artifacts._origins import source_of
    from equipot.compile import compile_model
    from equipot.model._modifiers import apply_modifiers

    start = time.monotonic()
    stored = read(args.model, args.weights)
    model: GraphModel = apply_modifiers(stored.build(), steps).eval()
    print(f"compiling {args.model} with {args.mode} for {args.device} …", file=sys.stderr)
    manifest = compile_model(
        model,
        args.output,
        device=args.device,
        target=args.target,
        portable=args.portable,
        provenance={
            **stored.manifest.provenance,
            **source_of(args.model),
            "source_fingerprint": stored.manifest.fingerprint,
        },
        data=stored.manifest.data,
    )
    size = Path(args.output).stat().st_size / 1024**2
    print(
        f"wrote {args.output} ({size:.1f} MB, {time.monotonic() - start:.0f} s): {', '.join(manifest.model['outputs'])}"
    )
    print("its outputs equal those of the eager model on golden frames and batches of other sizes")
    return 0


def _problems(args: argparse.Namespace, modifiers: list[str]) -> list[str]:
    """What is wrong with the arguments, found before torch is imported."""
    from equipot.errors import problem
    from equipot.plugins import plugins

    problems = []
    for name, value, known in (("--compile-mode", args.mode, ("aotinductor",)), ("--target", args.target, ("ase",))):
        if value not in known:
            problems.append(problem(name, f"must be one of {list(known)}", got=value))
    device = args.device.split(":")[0]
    if device not in ("cpu", "cuda"):
        problems.append(problem("--device", "must be cpu or cuda", got=args.device))
    for name in modifiers:
        entry: Any = plugins().lookup("modifiers", name).entry
        if entry.compile_modes and args.mode not in entry.compile_modes:
            problems.append(
                problem(
                    "--modifiers",
                    f"{name} does not work with {args.mode}",
                    hint=f"it works with {list(entry.compile_modes)}",
                )
            )
        if entry.devices and device not in entry.devices:
            problems.append(
                problem("--modifiers", f"{name} does not work on {device}", hint=f"it works on {list(entry.devices)}")
            )
    return problems


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``equipot-compile``; returns the exit code."""
    return run_module(sys.modules[__name__], "equipot-compile", argv)


if __name__ == "__main__":
    sys.exit(main())
