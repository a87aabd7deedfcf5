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


def _int_mul(a: int, b: int) -> int:
    made = int(a) * int(b)
    if abs(made) >= 2**63:
        raise ValueError("int_mul: the product is too large")
    return made


CORE: dict[str, Any] = {
    "int_div": _int_div,
    "int_mul": _int_mul,
    "concat_lists": lambda *lists: [item for part in lists for item in part],
    "list_to_identity_dict": lambda names: {name: name for name in names},
    "list_to_constant_dict": dict.fromkeys,
}
"""Resolvers of core, except for statistics."""


def register_resolvers() -> None:
    """Register all resolvers with OmegaConf."""
    declared = {name: functools.partial(_call, entry) for name, entry in aliases("resolver").items()}
    for name, function in {**declared, **CORE}.items():
        OmegaConf.register_new_resolver(name, function, replace=True)
    if not OmegaConf.has_resolver(STATISTICS):  # Hydra resolves values that an override removes
        OmegaConf.register_new_resolver(STATISTICS, lambda *_: "a statistic", use_cache=False)


def resolver_names() -> list[str]:
    """Names of all resolvers, those of OmegaConf and Hydra included."""
    return sorted(BaseContainer._resolvers)  # noqa: SLF001 - OmegaConf has no public list


def _call(entry: TargetAliasEntry, *arguments: Any) -> Any:
    """Call a resolver of another program, whose function is imported on first use."""
    if not entry.target:
        raise ValueError(f"has no counterpart; {entry.instead}")
    return load_object(entry.target)(*arguments)
