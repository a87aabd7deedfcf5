"""Build, show, verify and modify packages (.equipot.zip): a model in one safe file.

A package holds weights, config, manifest and golden frames; no pickle and no code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from equipot._cli.common import run_module


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = actions.add_parser("build", help="make a package from a checkpoint")
    build.add_argument("checkpoint", metavar="CKPT", help="checkpoint written by equipot train")
    build.add_argument("output", metavar="OUT.equipot.zip", help="file to write")
    build.add_argument(
        "--weights", choices=("ema", "raw"), default="ema", help="weights to take (default: ema, where present)"
    )
    build.add_argument(
        "--golden-from-data",
        metavar="FILE",
        help="store the first frames of FILE as golden frames, instead of random ones",
    )
    info = actions.add_parser("info", help="show what is in a package")
    info.add_argument("package", metavar="PACKAGE", help="the package")
    info.add_argument("--json", action="store_true", help="print the manifest as JSON")
    verify = actions.add_parser("verify", help="build the model and replay its golden frames")
    verify.add_argument("package", metavar="PACKAGE", help="the package")
    modify = actions.add_parser("modify", help="write another package with modifiers applied")
    modify.add_argument("package", metavar="IN", help="the package to start from")
    modify.add_argument("output", metavar="OUT.equipot.zip", help="file to write")
    modify.add_argument(
        "--modifiers",
        nargs="+",
        required=True,
        metavar="NAME[:key=value,…]",
        help="persistent modifiers, applied in this order",
    )


def run(args: argparse.Namespace) -> int:
    """Do the action."""
    return {"build": _build, "info": _info, "verify": _verify, "modify": _modify}[args.action](args)


def _build(args: argparse.Namespace) -> int:
    from equipot.artifacts._modify import package_checkpoint

    manifest = package_checkpoint(args.checkpoint, args.output, weights=args.weights, golden_data=args.golden_from_data)
    print(f"wrote {args.output} ({manifest.provenance['weights']} weights, fingerprint {manifest.fingerprint[:16]})")
    return 0


def _info(args: argparse.Namespace) -> int:
    from equipot.artifacts._package import read_manifest

    if args.json:
        print(read_manifest(args.package).to_json().decode())
        return 0
    from equipot._cli.inspect import show

    return show(args.package)


def _verify(args: argparse.Namespace) -> int:
    from equipot.artifacts._loading import verify

    worst = verify(args.package)
    shown = ", ".join(f"{key} {value:.1e}" for key, value in sorted(worst.items()))
    print(f"{args.package}: reproduces its golden frames; largest relative deviations: {shown}")
    return 0


def _modify(args: argparse.Namespace) -> int:
    from equipot._cli.modifiers import parse_modifier
    from equipot.artifacts._modify import modify_package

    steps = [parse_modifier(text) for text in args.modifiers]
    manifest = modify_package(args.package, args.output, steps)
    print(f"wrote {args.output} with {', '.join(name for name, _ in steps)}: {', '.join(manifest.model['outputs'])}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``equipot-package``; returns the exit code."""
    return run_module(sys.modules[__name__], "equipot-package", argv)


if __name__ == "__main__":
    sys.exit(main())
