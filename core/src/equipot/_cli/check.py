"""Check a config: every problem at once, each with its place, before any data are read."""

from __future__ import annotations

import argparse

PASS_UNKNOWN = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("config", metavar="CONFIG.yaml", help="the config file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="Hydra overrides")
    add_target_option(parser)


def add_target_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--allow-target``."""
    parser.add_argument(
        "--allow-target",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="let _target_ in the config name this package or object too (repeatable)",
    )


def run(args: argparse.Namespace) -> int:
    """Check the config; a message and 0 if it is fine."""
    from equipot._cli.common import hydra_arguments, show_plugin_warnings
    from equipot.config._check import check_config
    from equipot.config._load import compose
    from equipot.config._targets import AllowList

    overrides, _ = hydra_arguments([*args.overrides, *args.extra], ["--allow-target"])
    config, hydra = compose(args.config, overrides)
    show_plugin_warnings()
    checked = check_config(config, AllowList(tuple(args.allow_target)), hydra)
    print(f"{args.config}: ok ({' '.join(checked.stages)}; {type(checked.recipe).__name__})")
    return 0
