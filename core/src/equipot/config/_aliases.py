"""Translate configs of other programs, with the names that plugins declare by ``equipot_target_aliases``.

The composed, unresolved config is translated first, so that checks, training and checkpoints only see names
of equipot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from equipot._importing import load_object
from equipot.config._sections import ROOT_KEYS, used_root_keys
from equipot.containers import rewritten
from equipot.declarations import TargetAliasEntry
from equipot.errors import ConfigError, PluginError, did_you_mean, problem
from equipot.plugins import plugins

KIND = "target_aliases"


def aliases(form: str = "target") -> dict[str, TargetAliasEntry]:
    """Unambiguous aliases of a form (``target``, ``resolver`` or ``section``), by name."""
    entries: list[Any] = [declaration.entry for declaration in plugins().available(KIND)]
    return {entry.name: entry for entry in entries if entry.form == form}


def translate(config: DictConfig) -> tuple[DictConfig, list[str]]:
    """A config with every declared name of another program replaced, and the problems.

    The config itself is not changed, and returned if it has no such name.
    """
    container: Any = OmegaConf.to_container(config, resolve=False)
    translated, problems = translate_container(container)
    if translated == container:
        return config, problems
    return OmegaConf.create(translated), problems


def translate_container(container: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Translate plain containers, e.g. from a YAML file.

    Args:
        container: The whole config.

    Returns:
        The translated config, and the problems.
    """
    translator = _Translator()
    sections = aliases("section")
    kept = {}
    for key, value in container.items():
        if key in sections:
            translator.section(sections[key], value)
        else:
            kept[key] = rewritten(value, str(key), enter=translator.node)
    return _without_unused(kept) if kept != container else kept, translator.problems


def _without_unused(container: dict[str, Any]) -> dict[str, Any]:
    """Remove unused variables: other programs accept them, and translation may have removed their only use."""
    while True:
        used = {*ROOT_KEYS, *used_root_keys(container)}
        kept = {
            key: value
            for key, value in container.items()
            if key in used or (isinstance(value, dict) and "_target_" in value)
        }
        if len(kept) == len(container):
            return kept
        container = kept  # removing one variable may leave another unused


def advice(path: str) -> str:
    """What to do about a target of another program that was not translated, or an empty string."""
    root = path.split(".", maxsplit=1)[0]
    known = {name: entry for name, entry in aliases().items() if name.split(".")[0] == root}
    if path in known:  # it came from an interpolation and was not translated
        return known[path].instead or f"write {known[path].target or 'its options alone'}"
    if known:
        return did_you_mean(path, known) or f"no counterpart of this part of {root} is known"
    return plugins().install_hint("target_roots", root)


class _Translator:
    """Translates one config and collects its problems."""

    def __init__(self) -> None:
        self.known = aliases()
        self.ambiguous = {
            name.removeprefix(f"{KIND}."): owners
            for name, owners in plugins().ambiguous().items()
            if name.startswith(f"{KIND}.")
        }
        self.problems: list[str] = []

    def node(self, node: Any, path: str) -> Any:
        """Translate a mapping with a foreign target; return anything else unchanged."""
        target = node.get("_target_") if isinstance(node, dict) else None
        if not isinstance(target, str):
            return node
        if target in self.ambiguous:
            names = " and ".join(one.distribution for one in self.ambiguous[target])
            self.problems.append(problem(f"{path}._target_", f"is translated by {names}", got=target, hint="keep one"))
        entry = self.known.get(target)
        if entry is None:
            return node
        if entry.instead:
            self.problems.append(problem(f"{path}._target_", "has no counterpart", got=target, hint=entry.instead))
            return {key: value for key, value in node.items() if key != "_target_"}
        translated = self.options(entry, node, path)
        if not entry.target:
            return {key: value for key, value in translated.items() if key != "_target_"}
        if translated.get("_target_", target) == target:
            return {**translated, "_target_": entry.target}
        return self.node(translated, path)  # the function has put in another target, which may be foreign too

    def section(self, entry: TargetAliasEntry, value: Any) -> None:
        """Check a root key that is removed."""
        if entry.instead:
            self.problems.append(problem(entry.name, "has no counterpart", got=value, hint=entry.instead))
        elif isinstance(value, dict):
            self.options(entry, value, entry.name)

    def options(self, entry: TargetAliasEntry, node: dict[str, Any], path: str) -> dict[str, Any]:
        """Translate the options of a node or section; empty after a problem."""
        try:
            translated: dict[str, Any] = load_object(entry.options)(dict(node)) if entry.options else node
        except ConfigError as error:
            self.problems.extend(f"{path}.{text}" for text in error.problems)
        except PluginError as error:
            self.problems.append(f"{path}: {error}")
        except Exception as error:  # noqa: BLE001 - a plugin's function may fail in any way
            what = f"cannot be translated ({entry.options}: {type(error).__name__}: {error})"
            self.problems.append(problem(path, what, hint=f"write it with names of equipot instead of {entry.name}"))
        else:
            return translated
        return {}
