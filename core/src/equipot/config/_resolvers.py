"""Resolvers of configs, ``${name:…}``: those of core, and those of other programs that plugins declare."""

from __future__ import annotations

import functools
from typing import Any

from omegaconf import OmegaConf
from omegaconf.basecontainer import BaseContainer

from equipot._importing import load_object
from equipot.config._aliases import aliases
from equipot.declarations import TargetAliasEntry

STATISTICS = "training_data_stats"
"""The resolver of statistics, whose values are known only after data are read."""


def _int_div(a: int, b: int) -> int:
    if b == 0 or a % b:
        raise ValueError(f"int_div: {a} is not a multiple of {b}")
    return a // b


def _concat_lists(*lists: list[Any]) -> list[Any]:
    return [item for part in lists for item in part]


CORE: dict[str, Any] = {
    "int_div": _int_div,
    "int_mul": lambda a, b: int(a) * int(b),
    "concat_lists": _concat_lists,
    "list_to_identity_dict": lambda names: {name: name for name in names},
    "list_to_constant_dict": dict.fromkeys,
}
"""Resolvers of core, except for statistics."""


def register_resolvers() -> None:
    """Register all resolvers with OmegaConf."""
    for name, function in {**_declared(), **CORE}.items():
        OmegaConf.register_new_resolver(name, function, replace=True)
    if not OmegaConf.has_resolver(STATISTICS):  # Hydra resolves values that an override removes
        OmegaConf.register_new_resolver(STATISTICS, lambda *_: "a statistic", use_cache=False)


def resolver_names() -> list[str]:
    """Names of all resolvers, those of OmegaConf and Hydra included."""
    return sorted(BaseContainer._resolvers)  # noqa: SLF001 - OmegaConf has no public list


def _declared() -> dict[str, Any]:
    """Resolvers of other programs; their functions are imported on first use."""

    def call(entry: TargetAliasEntry, *arguments: Any) -> Any:
        if not entry.target:
            raise ValueError(f"has no counterpart; {entry.instead}")
        return load_object(entry.target)(*arguments)

    return {name: functools.partial(call, entry) for name, entry in aliases("resolver").items()}
