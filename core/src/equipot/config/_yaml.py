"""What a YAML file may hold: it is measured before anything is built from it.

A few lines of YAML can stand for more than fits into memory, and a pipe never ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from equipot.errors import ArtifactError, ConfigError, problem
from equipot.files import open_regular

MAX_BYTES = 1_000_000
MAX_NODES = 12_000
MAX_DEPTH = 50
MAX_TEXT = 10_000
MAX_INTERPOLATION = 2_000
"""Largest size of a file, number of its keys, values and containers (what an alias stands for included), depth of its
containers, length of a text, and length of a text with ``${…}``."""

_NUMBER = re.compile(r"[-+]?\d[\w.:]*")
_LONG_NUMBER = 100


def check_yaml(file: Path) -> None:
    """Refuse what is not a regular file with text of a bearable size.

    Args:
        file: The YAML file.

    Raises:
        ConfigError: Saying where and what to do.
    """
    try:
        with open_regular(file) as stream:
            data = stream.read(MAX_BYTES + 1)
    except ArtifactError as error:
        raise ConfigError(str(error)) from None
    if len(data) > MAX_BYTES:
        hint = f"a config has at most {MAX_BYTES // 1_000_000} MB; data belong into files of their own"
        raise ConfigError(problem(file.name, "is too large for a config", hint=hint))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(problem(file.name, "is not text", hint="a config is a YAML file")) from None
    try:
        _Measure(file.name).run(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        raise ConfigError(invalid(file.name, error)) from None
    except RecursionError:  # of a parser without C, in brackets that are never closed
        raise ConfigError(_too_deep(file.name)) from None


def invalid(name: str, error: yaml.YAMLError) -> str:
    """The message about a syntax error, with its line.

    Args:
        name: Of the file.
        error: From the parser.
    """
    mark = getattr(error, "problem_mark", None)
    where = f"{name}:{mark.line + 1}" if mark is not None else name
    text = getattr(error, "problem", None) or str(error).splitlines()[0]
    return problem(where, f"not valid YAML: {text}")


class _Measure:
    """Counts what the events of a parser would build; an alias counts as what it stands for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.open: list[tuple[str | None, int, int]] = []  # anchor, nodes before, depth below
        self.nodes = 0
        self.anchors: dict[str, tuple[int, int]] = {}  # nodes, depth

    def run(self, events: Iterator[Any]) -> None:
        for event in events:
            where = f"{self.name}:{event.start_mark.line + 1}"
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event, where)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event, where)
            elif isinstance(event, yaml.CollectionStartEvent):
                self.open.append((event.anchor, self.nodes, 0))
                self._count(1, 0, where)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close()

    def _scalar(self, event: Any, where: str) -> None:
        limit = MAX_INTERPOLATION if "${" in event.value else MAX_TEXT
        if len(event.value) > limit:
            raise ConfigError(problem(where, f"a text has {len(event.value)} characters", hint=f"at most {limit}"))
        if not event.style and len(event.value) > _LONG_NUMBER and _NUMBER.fullmatch(event.value):
            hint = f"at most {_LONG_NUMBER}, or quote it if it is a text"
            raise ConfigError(problem(where, f"a number has {len(event.value)} digits", hint=hint))
        self._count(1, 0, where)
        if event.anchor is not None:
            self.anchors[event.anchor] = (1, 0)

    def _alias(self, event: Any, where: str) -> None:
        if any(anchor == event.anchor for anchor, _, _ in self.open):
            raise ConfigError(problem(where, "refers to itself", got=f"*{event.anchor}"))
        self._count(*self.anchors.get(event.anchor, (1, 0)), where)

    def _close(self) -> None:
        anchor, before, depth = self.open.pop()
        if anchor is not None:
            self.anchors[anchor] = (self.nodes - before, depth + 1)
        if self.open:
            name, start, below = self.open[-1]
            self.open[-1] = (name, start, max(below, depth + 1))

    def _count(self, nodes: int, depth: int, where: str) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            hint = f"at most {MAX_NODES}; data belong into files of their own"
            raise ConfigError(problem(where, "the config has too many entries", hint=hint))
        if len(self.open) + depth > MAX_DEPTH:
            raise ConfigError(_too_deep(where))
        if self.open:
            anchor, before, below = self.open[-1]
            self.open[-1] = (anchor, before, max(below, depth))


def _too_deep(where: str) -> str:
    return problem(where, "is nested too deeply", hint=f"at most {MAX_DEPTH} levels")
