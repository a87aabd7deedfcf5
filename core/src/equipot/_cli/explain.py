"""``equipot explain``."""

from __future__ import annotations

import json
import shutil
import textwrap
from typing import TYPE_CHECKING, Any

import click

from equipot._cli.config_arguments import PASS_UNKNOWN, config_arguments, split_arguments

if TYPE_CHECKING:
    from equipot.config._explain import Explained


@click.command(context_settings=PASS_UNKNOWN)
@config_arguments
@click.option("--all", "every", is_flag=True, help="With options of classes of Lightning, torch and other packages.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with nothing shortened.")
@click.pass_context
def command(
    context: click.Context, *, arguments: tuple[str, ...], allow_target: tuple[str, ...], every: bool, as_json: bool
) -> None:
    """Show every value of a config and where it comes from, without reading data.

    Sources are a line of a file, an override, a default of configs, a preset, a default of a class. Hydra's overrides
    (key=value) follow the config file.
    """
    from equipot._cli.common import say, show_plugin_warnings
    from equipot.config._explain import explain
    from equipot.config._load import composition, typed_texts
    from equipot.config._targets import AllowList
    from equipot.containers import plain

    file, overrides, _ = split_arguments(context, arguments)
    found = composition(file, overrides)
    show_plugin_warnings()
    allow = AllowList(allow_target, tuple(sorted(typed_texts(overrides))))
    explained = explain(found, allow, every=every)
    if as_json:
        values = [plain(one.to_dict()) for one in explained]
        print(json.dumps({"config": file, "values": values}, indent=2, ensure_ascii=False))
        return
    for line in lines(explained, max(80, min(shutil.get_terminal_size().columns, 120))):
        say(line)


def lines(explained: list[Explained], width: int) -> list[str]:
    """A tree of keys and values with the source of each, and below it why defaults are what they are.

    Args:
        explained: In the order of the config.
        width: Columns.
    """
    column = width * 5 // 8
    made: list[str] = []
    above: list[str] = []
    for one in explained:
        *outer, key = one.path.split(".")
        common = 0
        while common < min(len(outer), len(above)) and outer[common] == above[common]:
            common += 1
        made += [f"{'  ' * depth}{outer[depth]}:" for depth in range(common, len(outer))]
        above = outer
        left = f"{'  ' * len(outer)}{key}: "
        left += _shortened(_text(one.value), column - 2 - len(left))
        made.append(f"{left:<{column}}{_shortened(_origin(one), width - max(len(left), column))}".rstrip())
    reasons = _reasons(explained)
    if reasons:
        made += ["", "Why the defaults:"]
        made += [line for text in reasons for line in textwrap.wrap(text, width, subsequent_indent="    ")]
    return made


def _reasons(explained: list[Explained]) -> list[str]:
    """Why each default is the default; those of neighbours with the same reason together."""
    places: dict[tuple[str, str], list[str]] = {}
    for one in explained:
        if one.source == "default":
            places.setdefault((one.path.rpartition(".")[0], one.detail), []).append(one.path)
    return [f"{found[0] if len(found) == 1 else parent}: {text}" for (parent, text), found in places.items()]


def _origin(one: Explained) -> str:
    """The source in a few words; what a value is computed from says more than where it is written."""
    texts = {"file": one.detail, "preset": f"preset {one.detail}", "class": "its class"}
    source = texts.get(one.source, one.source)
    if not one.follows:
        return source
    return f"{source}: {', '.join(text.removeprefix('the ') for text in one.follows)}"


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return " ".join(str(value).split()).replace("${training_data_stats:", "${…:")


def _shortened(text: str, room: int) -> str:
    room = max(room, 8)
    return text if len(text) <= room else f"{text[: room - 1]}…"
