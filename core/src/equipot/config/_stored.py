"""Objects of a config that a run has stored, for programs that look at the run later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from equipot.config._instantiate import ConfigObjects
from equipot.config._resolve import resolve_phase1
from equipot.config._resolvers import register_resolvers
from equipot.containers import plain
from equipot.errors import ConfigError, problem


def stored_data(config: Mapping[str, Any]) -> Any:
    """The data section of a config that was stored, as ``config.json`` or in a checkpoint; nothing is read yet.

    Only what configs may name is made, as in training without ``--allow-target``; what was taken from the environment
    is taken from it again.

    Args:
        config: The whole config in plain containers.

    Returns:
        The data module, which is not bound to a model.

    Raises:
        ConfigError: If there is no data section, or it cannot be made here.
    """
    if not isinstance(config.get("data"), Mapping) or "_target_" not in config["data"]:
        raise ConfigError(problem("data", "is missing in the stored config", hint="the run has no data section"))
    register_resolvers()
    resolved, problems = resolve_phase1(OmegaConf.create(plain({"data": config["data"]})))
    objects = ConfigObjects(final=True)
    made = objects.make(resolved["data"], "data")
    if found := [*problems, *objects.problems]:
        raise ConfigError(found)
    return made
