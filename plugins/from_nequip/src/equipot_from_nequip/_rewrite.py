"""Rewrite a YAML config of nequip as one of equipot, changing only the lines that must change.

The text is edited at the positions that the YAML parser reports, so comments and layout are kept. Lines that are
not needed are turned into comments.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from equipot.config import translate_container
from equipot.errors import ConfigError, problem
from equipot.files import write_text

REMOVED = "# nequip only: "
"""Marks a line that was removed."""


def rewrite(source: str | Path, output: str | Path) -> int:
    """Write a config of equipot.

    Args:
        source: YAML file of nequip.
        output: YAML file to write.

    Returns:
        Number of places that changed.

    Raises:
        ConfigError: If the file is not a YAML mapping, or with a list of everything that has no counterpart.
    """
    text = Path(source).read_text(encoding="utf-8")
    translated, changes = rewrite_text(text, str(source))
    write_text(output, translated)
    return changes


def rewrite_text(text: str, where: str) -> tuple[str, int]:
    """Rewrite the text of a config.

    Args:
        text: YAML.
        where: Name of the file, for messages.

    Returns:
        The new text, and the number of places that changed.
    """
    try:
        root, old = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(problem(where, f"not valid YAML: {' '.join(str(error).split())}")) from None
    if not isinstance(root, MappingNode) or not isinstance(old, dict):
        raise ConfigError(problem(where, "must be a mapping", hint="give a config of nequip"))
    new, problems = translate_container(old)
    if problems:
        raise ConfigError(problems)
    editor = _Editor(text)
    editor.mapping(root, old, new)
    result = editor.result()
    if _loaded(result) != new:
        hint = "write mappings and lists over several lines, without anchors"
        raise ConfigError(problem(where, "its layout cannot be kept", hint=hint))
    return result, len(editor.edits)


def _loaded(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


@dataclass(frozen=True)
class _Edit:
    """Replace the text between two positions."""

    start: int
    stop: int
    text: str


class _Editor:
    """Collects edits of a YAML text that turn its old value into the new one."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.edits: dict[_Edit, None] = {}

    def result(self) -> str:
        """The text with all edits."""
        text = self.text
        for edit in sorted(self.edits, key=lambda one: (one.start, one.stop), reverse=True):
            text = text[: edit.start] + edit.text + text[edit.stop :]
        return text

    def mapping(self, node: MappingNode, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Edit a mapping. It is replaced as a whole if it is in braces or its first line cannot be removed alone."""
        if old == new:
            return
        first = node.value[0][0]
        on_dash = bool(self.text[self._line_start(first.start_mark.index) : first.start_mark.index].strip())
        if node.flow_style or (on_dash and first.value not in new):
            self._replace(node, new)
            return
        for key_node, value_node in node.value:
            if key_node.value in new:
                self._value(value_node, old[key_node.value], new[key_node.value])
            else:
                self._comment_out(key_node, value_node)
        if added := {key: new[key] for key in new if key not in old}:
            self._insert(node, added)

    def _value(self, node: Node, old: Any, new: Any) -> None:
        if old == new and type(old) is type(new):
            return
        if isinstance(node, MappingNode) and isinstance(new, dict):
            self.mapping(node, old, new)
        elif isinstance(node, SequenceNode) and isinstance(new, list) and len(old) == len(new) and not node.flow_style:
            for item, before, after in zip(node.value, old, new, strict=True):
                self._value(item, before, after)
        else:
            self._replace(node, new)

    def _edit(self, start: int, stop: int, text: str) -> None:
        self.edits[_Edit(start, stop, text)] = None

    def _replace(self, node: Node, new: Any) -> None:
        """Write a value on one line; an old value of several lines is kept below it as comments."""
        start, stop = node.start_mark.index, _end(node)
        old = self.text[start:stop]
        kept = ""
        if "\n" in old:
            indent = " " * node.start_mark.column
            kept = "".join(f"\n{indent}{_as_comment(line.strip())}" for line in old.splitlines())
        self._edit(start, stop, _flow(new) + kept)

    def _comment_out(self, key: Node, value: Node) -> None:
        start = self._line_start(key.start_mark.index)
        stop = self._line_end(max(_end(value), key.end_mark.index))
        width = key.start_mark.column
        lines = self.text[start:stop].splitlines(keepends=True)
        self._edit(start, stop, "".join(line[:width] + _as_comment(line[width:]) for line in lines))

    def _insert(self, node: MappingNode, added: dict[str, Any]) -> None:
        """Write additional keys, each on its own line, below the target or above the first key."""
        first = node.value[0][0]
        target = next((key for key, _ in node.value if key.value == "_target_"), None)
        indent = " " * first.start_mark.column
        place = self._line_start(first.start_mark.index)
        if target is not None:
            place = self._line_end(target.start_mark.index)
        before = "\n" if place and self.text[place - 1] != "\n" else ""
        lines = "".join(f"{indent}{key}: {_flow(value)}\n" for key, value in added.items())
        self._edit(place, place, before + lines)

    def _line_start(self, index: int) -> int:
        return self.text.rfind("\n", 0, index) + 1

    def _line_end(self, index: int) -> int:
        found = self.text.find("\n", index)
        return len(self.text) if found < 0 else found + 1


def _end(node: Node) -> int:
    """Where a node's text ends, without the blank lines and comments that a parser counts to blocks."""
    if isinstance(node, (MappingNode, SequenceNode)) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(node, MappingNode) else last)
    return int(node.end_mark.index)


def _as_comment(line: str) -> str:
    """A line that was taken out."""
    return line if not line.strip() or line.startswith("#") else f"{REMOVED}{line}"


def _flow(value: Any) -> str:
    """A value on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**9, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
