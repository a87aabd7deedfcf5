"""Modifiers that are applied without being asked for, because they keep every result up to rounding."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from equipot._host.declaration import Declaration
from equipot.errors import ConfigError, UnavailableError, problem
from equipot.model._graph_model import GraphModel
from equipot.model._modifiers import modified
from equipot.plugins import plugins

logger = logging.getLogger(__name__)

SWITCH = "EQUIPOT_AUTOMATIC_MODIFIERS"
"""Environment variable that switches them off everywhere with ``0``, as the option ``automatic_modifiers`` does."""


@dataclass(frozen=True)
class AutomaticModifiers:
    """What was chosen for a model."""

    applied: Mapping[str, str] = field(default_factory=dict)
    """Name to distribution and version of those that the model has now, also of those it was given before."""

    unavailable: Mapping[str, str] = field(default_factory=dict)
    """Name to the reason why one cannot be used here."""

    @property
    def line(self) -> str:
        """One line for users; empty if there was nothing to choose."""
        parts = [f"{name} ({version})" for name, version in self.applied.items()]
        parts += [f"not {name}: {_one_line(reason)}" for name, reason in self.unavailable.items()]
        return f"automatic modifiers: {'; '.join(parts)}" if parts else ""

    def to_dict(self) -> dict[str, str]:
        """For records: name to distribution and version of those that were applied."""
        return dict(self.applied)

    def change(self, before: Mapping[str, str]) -> str:
        """One line about what differs from the record of an earlier part of a run; empty if nothing does.

        Args:
            before: As ``to_dict`` gave it.
        """
        if dict(before) == dict(self.applied):
            return ""
        was, now = (", ".join(f"{name} ({one})" for name, one in held.items()) for held in (before, self.applied))
        return f"automatic modifiers were {was or 'none'}, now {now or 'none'}: results may differ by rounding"


def apply_automatic(
    model: GraphModel, device: str | torch.device = "cpu", *, compile_mode: str = "", enabled: bool = True
) -> tuple[GraphModel, AutomaticModifiers]:
    """Apply all automatic modifiers of the installed plugins that fit a model and a device.

    A model that has one already is left alone. Whatever fails leaves the model as it is and never raises an error.

    Args:
        model: An eager model, before any optimiser, EMA copy, DDP or compiler uses it.
        device: Where it will run.
        compile_mode: How it will be compiled, if it will be.
        enabled: The option ``automatic_modifiers``; the environment variable ``EQUIPOT_AUTOMATIC_MODIFIERS=0`` wins.

    Returns:
        The model, which shares all tensors with the argument, and what was chosen.

    Raises:
        ConfigError: If the environment variable is neither 0 nor 1.
    """
    applied: dict[str, str] = {}
    unavailable: dict[str, str] = {}
    for declared in fitting(torch.device(device).type, compile_mode) if switched_on() and enabled else []:
        name = declared.entry.name
        version = f"{declared.distribution} {declared.version}"
        if any(hint.name == name for hint in model.hints):
            applied[name] = version
            continue
        try:
            result = _checked(model, modified(model, name))
        except ConfigError as error:
            logger.debug("automatic modifier %s: %s", name, error)
            continue
        except UnavailableError as error:
            unavailable[name] = str(error)
            continue
        except Exception as error:
            logger.debug("automatic modifier %s", name, exc_info=True)
            unavailable[name] = f"it failed ({type(error).__name__}: {error})"
            continue
        if result is not model:
            applied[name] = version
        model = result
    return model, AutomaticModifiers(applied, unavailable)


def fitting(device: str, compile_mode: str) -> list[Declaration]:
    """Automatic modifiers that fit, sorted by name, so that the choice does not depend on the order of plugins."""
    found: list[Declaration] = []
    for declared in plugins().available("modifiers"):
        entry: Any = declared.entry
        fits = not entry.devices or device in entry.devices
        compiles = not compile_mode or not entry.compile_modes or compile_mode in entry.compile_modes
        if entry.automatic and fits and compiles:
            found.append(declared)
    return found


def switched_on() -> bool:
    """Whether the environment variable lets automatic modifiers be applied."""
    value = os.environ.get(SWITCH, "1")
    if value not in ("0", "1", ""):
        raise ConfigError(problem(SWITCH, "must be 0 or 1", got=value))
    return value != "0"


def _checked(model: GraphModel, result: GraphModel) -> GraphModel:
    """The result, whose weights must be those of the model: files and optimizers do not know of the modifier."""
    if result.modifiers != model.modifiers or result.state_dict().keys() != model.state_dict().keys():
        raise ValueError("it changes what is stored of the model")
    return result


def _one_line(text: str) -> str:
    return " ".join(text.split())
