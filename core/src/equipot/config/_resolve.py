"""Resolve interpolations twice: before the statistics are known (phase 1) and with their values (phase 2).

In phase 1 ``${training_data_stats:NAME}`` becomes a ``Statistic`` marker, so that the config can be checked
before data are read. Phase 2 resolves the same config with the values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from equipot.config._resolvers import STATISTICS, resolver_names
from equipot.config._sections import key_paths
from equipot.errors import ConfigError, did_you_mean, problem, unknown


class Statistic(str):
    """Marker of a statistic in a config of phase 1."""

    __slots__ = ()

    @classmethod
    def named(cls, name: str) -> Statistic:
        """The marker of a statistic."""
        return cls(f"{STATISTICS}\x00{name}\x00")

    @property
    def name(self) -> str:
        """Name of the statistic."""
        return self.split("\x00")[1]

    @property
    def raw(self) -> str:
        """The statistic as configs write it."""
        return f"${{{STATISTICS}:{self.name}}}"


class _Bad:
    """Class of ``BAD``."""

    def __repr__(self) -> str:
        return "BAD"


BAD: Any = _Bad()
"""Replaces a value whose problem is already reported."""


def resolve_phase1(config: DictConfig) -> tuple[dict[str, Any], list[str]]:
    """Plain containers with markers for statistics, and the problems, whose places hold ``BAD``."""
    _register(lambda *names: Statistic.named(names[0] if len(names) == 1 else ""))
    problems: list[str] = []
    resolved = _plain(config, "", problems, key_paths(OmegaConf.to_container(config, resolve=False)))
    return resolved, problems


def resolve_phase2(config: DictConfig, statistics: Mapping[str, Any]) -> dict[str, Any]:
    """Plain containers with the values of statistics: numbers, or mappings from type name to number."""
    _register(lambda name: statistics[name])
    problems: list[str] = []
    resolved = _plain(config, "", problems, [])
    if problems:
        raise ConfigError(problems)
    return resolved


def _register(function: Callable[..., Any]) -> None:
    OmegaConf.register_new_resolver(STATISTICS, function, replace=True, use_cache=False)


def _plain(node: Any, path: str, problems: list[str], known: list[str]) -> Any:
    if isinstance(node, DictConfig):
        return {str(key): _entry(node, key, f"{path}{key!s}", problems, known) for key in node}
    if isinstance(node, ListConfig):
        return [_entry(node, index, f"{path}{index}", problems, known) for index in range(len(node))]
    return node


def _entry(parent: Any, key: Any, path: str, problems: list[str], known: list[str]) -> Any:
    try:
        value = parent[key]
    except Exception as error:  # noqa: BLE001 - a resolver may raise anything
        problems.append(_unresolved(error, path, _raw(parent, key), known))
        return BAD
    if isinstance(value, str) and not isinstance(value, Statistic) and f"{STATISTICS}\x00" in value:
        hint = "write ${training_data_stats:NAME} alone"
        problems.append(problem(path, "a statistic cannot be part of a longer text", got=_raw(parent, key), hint=hint))
        return BAD
    return _plain(value, f"{path}.", problems, known)


def _raw(parent: Any, key: Any) -> object:
    raw: Any = OmegaConf.to_container(parent, resolve=False)
    return raw[key]


def _unresolved(error: Exception, path: str, raw: object, known: list[str]) -> str:
    """The message about an entry whose value cannot be resolved."""
    if isinstance(error, MissingMandatoryValue):
        return problem(path, "needs a value", got=raw)
    if isinstance(error, RecursionError):
        return problem(path, "refers to itself", got=raw)
    if not isinstance(error, OmegaConfBaseException):
        return problem(path, f"cannot be resolved: {error}", got=raw)
    first = str(error).splitlines()[0]
    if match := re.search(r"Interpolation key '(.*?)' not found", first):
        hint = did_you_mean(match.group(1), known) or "define it in the config"
        return problem(path, "unknown interpolation", got=raw, hint=hint)
    if match := re.search(r"Unsupported interpolation type ([\w.]+)", first):
        return unknown(path, match.group(1), resolver_names(), "resolver")
    return problem(path, first, got=raw)
