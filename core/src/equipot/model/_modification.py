"""The recipe ``equipot.model.modify``: another recipe's model with modifiers applied."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from equipot.errors import PluginError, problem
from equipot.model._context import ModelInfo
from equipot.model._graph_model import GraphModel
from equipot.model._modifiers import apply_modifiers
from equipot.model._recipe import ModelRecipe
from equipot.options import Options
from equipot.plugins import plugins
from equipot.units import Units
from equipot.validation import check_options

MODIFIER = "modifier"
"""Key of the modifier's name in each item of ``modifiers``."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class modify(Options, ModelRecipe):  # noqa: N801 - the field's spelling
    """A model with modifiers applied in order.

    Each item of ``modifiers`` is ``{modifier: NAME, option: value, …}``.
    """

    model: ModelRecipe
    """Recipe of the model to modify."""

    modifiers: list[dict[str, Any]]
    """Modifiers to apply, in order."""

    def problems(self) -> Iterable[str]:
        """Missing or unknown names of modifiers, and unknown or wrong options."""
        yield from super().problems()
        for index, item in enumerate(self.modifiers):
            where = f"modifiers.{index}"
            name = item.get(MODIFIER)
            if not isinstance(name, str):
                yield problem(f"{where}.{MODIFIER}", "required option is missing", hint="name an installed modifier")
                continue
            try:
                function = plugins().load("modifiers", name)
            except PluginError as error:
                yield f"{where}.{MODIFIER}: {error}"
                continue
            problems = check_options(function, {"model": None, **_options(item)}, where)[1]
            yield from (text for text in problems if not text.startswith(f"{where}.model:"))

    def info(self, units: Units = "metal") -> ModelInfo:
        """Types, cutoffs and units of the inner model."""
        return self.model.info(units)

    def build(self, units: Units = "metal") -> GraphModel:
        """Build the inner model and apply the modifiers."""
        steps = [(item[MODIFIER], _options(item)) for item in self.modifiers]
        return apply_modifiers(self.model.build(units), steps)


def _options(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != MODIFIER}
