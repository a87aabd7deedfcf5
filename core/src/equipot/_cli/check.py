"""``equipot check``."""

from __future__ import annotations

import click

from equipot._cli.config_arguments import PASS_UNKNOWN, config_arguments, split_arguments


@click.command(context_settings=PASS_UNKNOWN)
@config_arguments
@click.pass_context
def command(context: click.Context, *, arguments: tuple[str, ...], allow_target: tuple[str, ...]) -> None:
    """Check a config before any data are read, and list all of its problems with their places.

    Hydra's overrides (key=value) follow the config file.
    """
    from equipot._cli.common import say, show_plugin_warnings
    from equipot.config._load import composition, typed_texts

    file, overrides, _ = split_arguments(context, arguments)
    found = composition(file, overrides)
    show_plugin_warnings()

    from equipot.config._check import check_config
    from equipot.config._targets import AllowList

    allow = AllowList(allow_target, tuple(sorted(typed_texts(overrides))))
    checked = check_config(found.config, allow, found.hydra, found.filled)
    facts = [" ".join(checked.stages), type(checked.recipe).__name__]
    if found.filled:
        facts.append(f"{len(found.filled)} defaults, see equipot explain")
    say(f"{file}: ok ({'; '.join(facts)})")
