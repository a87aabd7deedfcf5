"""Where each value of a config comes from: a line of a file, the command line, or a default, and which."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from equipot.config._elements import AUTO, OF_TYPES
from equipot.config._load import Composition, parsed
from equipot.config._resolve import BAD, Statistic, resolve_phase1
from equipot.config._sections import ROOT_KEYS, is_within
from equipot.config._targets import AllowList, TargetError, find_declared, resolve_target
from equipot.containers import leaves
from equipot.describe import describe_options
from equipot.errors import EquipotError
from equipot.model._presets import presets_of

FILE, COMMAND_LINE, DEFAULT, CLASS, PRESET = "file", "command line", "default", "class", "preset"

_REFERENCE = re.compile(r"\$\{\s*(?:([\w.]+)\s*:\s*([^{}]*)|([\w.\[\]]+))\s*\}")


@dataclass(frozen=True)
class Explained:
    """A value and its source."""

    path: str
    """Dotted place in the config."""

    value: Any
    """The value, or what stands for one that only the training data tell."""

    source: str
    """``file``, ``command line``, ``default`` (of configs), ``class`` or ``preset``."""

    detail: str
    """File and line, the override, why it is the default, the class, or the preset."""

    follows: list[str] = field(default_factory=list)
    """Whatever the value is computed from: other keys, with their source; the training data; the environment."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def explain(found: Composition, allow: AllowList, *, every: bool = False) -> list[Explained]:
    """Every value of a config, in the order of its sections.

    Args:
        found: The composed config.
        allow: What the command line allows.
        every: With the options of classes that neither equipot nor a plugin brings, such as Lightning's trainer.
    """
    return _Explanation(found, allow, every=every).run()


class _Explanation:
    def __init__(self, found: Composition, allow: AllowList, *, every: bool) -> None:
        self.found, self.allow, self.every = found, allow, every
        self.lines: dict[str, str] = {}
        for file, package in found.files:
            self.lines.update(positions(file, package))
        folder = found.files[0][0].parent if found.files else Path()
        self.typed = {
            one.key_or_group: text
            for text, one in zip(found.typed, parsed(found.typed), strict=True)
            if not (folder / one.key_or_group).is_dir()  # a choice of a group, whose values have lines
        }
        self.resolved, _ = resolve_phase1(found.config)

    def run(self) -> list[Explained]:
        order = {name: index for index, name in enumerate(("run", "seed", *ROOT_KEYS))}
        whole = sorted(self.resolved.items(), key=lambda item: order.get(item[0], -1))
        return [one for key, value in whole for one in self._walk(value, key)]

    def _walk(self, value: Any, path: str) -> Iterator[Explained]:
        if isinstance(value, dict) and value:
            for key in sorted(value, key=lambda name: name != "_target_"):
                yield from self._walk(value[key], f"{path}.{key}")
            if isinstance(value.get("_target_"), str):
                yield from self._of_class(value, path)
        elif isinstance(value, list) and any(isinstance(one, (dict, list)) for one in value):
            for index, item in enumerate(value):
                yield from self._walk(item, f"{path}.{index}")
        else:
            source, detail = self._source(path)
            yield Explained(path, self._shown(value, path), source, detail, self._follows(path, value))

    def _source(self, path: str) -> tuple[str, str]:
        for key, text in reversed(self.typed.items()):
            if is_within(path, key):
                return COMMAND_LINE, text
        for place, one in self.found.filled.items():
            if is_within(path, place):
                return DEFAULT, one.reason
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        return FILE, self.lines.get(path, "")

    def _written(self, path: str) -> Any:
        node: Any = self.found.config
        for key in path.split("."):
            try:
                node = node._get_node(int(key) if key.isdigit() and not hasattr(node, "keys") else key)  # noqa: SLF001
            except Exception:  # noqa: BLE001 - below an interpolation
                return None
            if node is None:
                return None
        return node._value() if hasattr(node, "_value") else None  # noqa: SLF001 - as written, unresolved

    def _shown(self, value: Any, path: str) -> Any:
        if isinstance(value, Statistic):
            return value.raw
        if value is BAD:
            return self._written(path)
        return value

    def _follows(self, path: str, value: Any) -> list[str]:
        written = self._written(path)
        texts = [leaf for _, leaf in leaves([written]) if isinstance(leaf, str)]
        found: list[str] = []
        for text in texts:
            for resolver, argument, key in _REFERENCE.findall(text):
                if key:
                    found.append(f"{key} ({', '.join(filter(None, self._source(key)))})")
                elif resolver == "oc.env":
                    found.append(f"the environment's {argument}")
                elif resolver != "training_data_stats":
                    found.append(f"{resolver} of {argument}")
        if isinstance(value, Statistic):
            found.append("the training data")
        elif path.rpartition(".")[2] in OF_TYPES and value == AUTO:
            found.append("the elements of the data")
        return found

    def _of_class(self, node: Mapping[str, Any], path: str) -> Iterator[Explained]:
        """Options that are not given: the preset's, or the defaults of the class."""
        target = node["_target_"]
        try:
            if not self.every and find_declared(target) is None:
                return
            cls = resolve_target(target, path, self.allow)
            options = describe_options(cls)
        except (TargetError, EquipotError, TypeError, ValueError):
            return  # which the check reports
        name = str(node.get("preset", "")).upper()
        preset = presets_of(cls).get(name, {})
        for option in options:
            if option.name in node or not option.default:
                continue
            place = f"{path}.{option.name}"
            if option.name in preset:
                yield Explained(place, preset[option.name], PRESET, name)
            else:
                yield Explained(place, _value(option.default), CLASS, target.rpartition(".")[2])


def _value(text: str) -> Any:
    """A default in source code as a value, or the code itself."""
    import ast

    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def positions(file: Path, package: str) -> dict[str, str]:
    """File and line of each key in a file, by its place in the whole config.

    Args:
        file: A YAML file that was composed, and so was measured.
        package: Where its content is put.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    root = yaml.compose(file.read_text(encoding="utf-8"), Loader=loader)
    found: dict[str, str] = {}
    prefix = package.replace("_global_", "").replace("_group_", "").strip(".")
    if prefix:
        found[prefix] = f"{file.name}:1"
    _collect(root, prefix, file.name, found)
    return found


def _collect(node: Any, path: str, name: str, found: dict[str, str]) -> None:
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            found[f"{path}.{index}"] = f"{name}:{item.start_mark.line + 1}"
            _collect(item, f"{path}.{index}", name, found)
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in sorted(node.value, key=lambda pair: pair[0].value != "<<"):  # merged keys come first
        if key.value == "<<":
            merged: Sequence[Any] = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for one in reversed(merged):
                _collect(one, path, name, found)
            continue
        place = f"{path}.{key.value}" if path else str(key.value)
        found[place] = f"{name}:{key.start_mark.line + 1}"
        _collect(value, place, name, found)
