"""Configs as YAML with a comment above what was chosen for a reason."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from equipot.errors import printable

WIDTH = 110
"""Columns of comments, and of mappings on one line."""

_OPEN = ("data", "trainer", "training_module")
"""Sections that have a line for each of their entries."""

_MOST_LINES = 3
"""Lines of a mapping in braces, in the compact form."""


def commented(config: Mapping[str, Any], reasons: Mapping[str, str], *, title: str = "", compact: bool = False) -> str:
    """A config as text; reading it gives the same config.

    Args:
        config: Plain containers.
        reasons: A sentence by dotted path; those of paths that the config lacks are left out.
        title: Lines above all.
        compact: Few lines: mappings are in braces, with the reasons for what is in them above.
    """
    lines = [f"# {line}" for line in title.splitlines()]
    return "\n".join([*lines, *_Writer(reasons, compact).mapping(config, "", 0)]) + "\n"


@dataclass(frozen=True)
class _Writer:
    reasons: Mapping[str, str]
    compact: bool

    def mapping(self, node: Mapping[str, Any], path: str, depth: int) -> Iterator[str]:
        for key, value in node.items():
            place = f"{path}.{key}" if path else str(key)
            pad = "  " * depth
            yield from self._comment(self.reasons.get(place, ""), pad)
            braced = self._braced(key, value, place, pad)
            if braced is None:
                yield f"{pad}{_flow(key)}:"
                yield from self.mapping(value, place, depth + 1)
                continue
            if isinstance(value, Mapping):
                for inner, reason in self._inside(value, place).items():
                    yield from self._comment(f"{inner}: {reason}", pad)
            yield from braced

    def _comment(self, text: str, pad: str) -> Iterator[str]:
        if text:
            first, others = f"{pad}# ", f"{pad}#   "
            yield from textwrap.wrap(printable(text), WIDTH, initial_indent=first, subsequent_indent=others)

    def _inside(self, value: Mapping[str, Any], place: str) -> dict[str, str]:
        """Reasons for what is in a mapping, by the path from there."""
        found: dict[str, str] = {}
        for key, one in value.items():
            path = f"{place}.{key}"
            found |= {key: self.reasons[path]} if path in self.reasons else {}
            if isinstance(one, Mapping):
                found |= {f"{key}.{inner}": reason for inner, reason in self._inside(one, path).items()}
        return found

    def _braced(self, key: Any, value: Any, place: str, pad: str) -> list[str] | None:
        """An entry with its value in one piece; None for a mapping that is better shown in lines."""
        if not isinstance(value, Mapping) or not value:
            return [f"{pad}{_flow(key)}: {_flow(value)}"]
        if self.compact:
            first, *others = _flow({key: value}, WIDTH - len(pad) - 4)[1:-1].split("\n")
            lines = [f"{pad}{first}", *(f"{pad}    {one.strip()}" for one in others)]
            return lines if len(lines) <= _MOST_LINES and place != _OPEN[-1] else None
        line = f"{pad}{_flow(key)}: {_flow(value)}"
        return [line] if len(line) <= WIDTH and place not in _OPEN and not self._inside(value, place) else None


def _flow(value: Any, width: int = 1_000_000) -> str:
    """A value in one piece."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=width)
    return text.removesuffix("\n").removesuffix("\n...")
