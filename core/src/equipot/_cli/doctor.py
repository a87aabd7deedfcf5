"""``equipot doctor``."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

import click

from equipot._cli._doctor_facts import Findings, Section, examine, one_line
from equipot._cli.common import say
from equipot._cli.plugins import checked, listing

WIDTH = 80


@click.command(epilog="\b\nequipot doctor\nequipot doctor --json > doctor.json")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, to attach to a report of a bug.")
def command(*, as_json: bool) -> int:
    """Examine this installation: what it consists of, which kernels it uses, what is broken and how to mend it.

    Values of environment variables are shown only for a fixed list of names, and the home folder as ~. The exit code
    is 1 if something is broken.
    """
    found = examine(_plugins)
    if as_json:
        say(json.dumps({**found.sections, "broken": found.broken}, indent=2, ensure_ascii=False))
    else:
        for line in _text(found):
            say(line)
    return 1 if found.broken else 0


def _plugins(found: Findings) -> Section:
    """What each plugin declares, its state and what its import cost."""
    from equipot.plugins import plugins

    host = checked(plugins())
    facts: Section = {}
    for record, listed in zip(host.records, listing(host), strict=True):
        if record.error:
            advice = f"mend or uninstall {record.distribution}" if record.state in ("failed", "faulty") else "see there"
            found.broken.append(f"plugin {record.label} is {record.state}: {one_line(record.error)}; {advice}")
        facts[record.id] = {**listed, "milliseconds": round(1000 * record.seconds, 1)}
    for name, items in host.ambiguous().items():
        owners = " and ".join(f"{item.distribution} {item.version}" for item in items)
        found.broken.append(f"{name} is declared by {owners}: uninstall one, or write the full path")
    return facts


def _text(found: Findings) -> Iterator[str]:
    for title, facts in found.sections.items():
        yield title
        for name, value in facts.items():
            yield from _plugin(name, value) if title == "plugins" else _fact(name, value)
        yield ""
    if not found.broken:
        yield "nothing is broken"
    for text in found.broken:
        yield from _wrapped(f"broken: {one_line(text)}", "")


def _fact(name: str, value: Any) -> Iterator[str]:
    shown = ", ".join(map(str, value)) if isinstance(value, list) else {True: "yes", False: "no"}.get(value, value)
    yield from _wrapped(f"{name}: {shown}", "  ")


def _plugin(name: str, facts: dict[str, Any]) -> Iterator[str]:
    distribution = f"{facts['distribution']} {facts['version']}"
    yield f"  {name:<16.16} {distribution:<36.36} {facts['state']:<10} {facts['milliseconds']:>8.1f} ms"
    for note in facts["notes"]:
        yield from _wrapped(note, "    ")


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False)
