"""The options of the term, and how they become its module."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from tad_dftd3.defaults import MAX_ELEMENT
from tad_dftd3.param import get_functional_params

from equipot.errors import ConfigError, problem
from equipot.model import BuildContext, EnergyTerm, EnergyTermModule
from equipot_d3._module import D3Module


@dataclasses.dataclass(frozen=True, kw_only=True)
class D3Dispersion(EnergyTerm):
    """D3(BJ) dispersion energy, two-body, with its own cutoff radius.

    Give the functional of the data, or s8, a1 and a2. The three-body term is not there. The energy and the
    coordination numbers are switched off smoothly before ``r_max``, which leaves out the
    dispersion beyond; see the README for how much that is.

    Source: Grimme, Ehrlich, Goerigk (2011), doi:10.1002/jcc.21759.
    """

    functional: str | None = None
    """Name of the density functional, such as pbe, for its published parameters."""

    s6: float = 1.0
    """Factor of the term in r^-6."""

    s8: float | None = None
    """Factor of the term in r^-8; with a1 and a2 instead of a functional."""

    a1: float | None = None
    """First parameter of the damping."""

    a2: Annotated[float, Field(ge=0)] | None = None
    """Second parameter of the damping, Bohr."""

    r_max: Annotated[float, Field(gt=0)] = 12.0
    """Cutoff radius in Å, of this term only."""

    switch_width: Annotated[float, Field(gt=0)] = 2.0
    """Width in Å before ``r_max`` over which the term is switched off."""

    def problems(self) -> Iterable[str]:
        """Contradicting or missing parameters."""
        yield from super().problems()
        given = [name for name in ("s8", "a1", "a2") if getattr(self, name) is not None]
        if self.functional is not None and given:
            yield problem("functional", f"also given: {given}", hint="give the functional or the parameters")
        elif self.functional is None and len(given) < 3:
            yield problem("functional", "is needed, or all of s8, a1, a2", got=given)
        elif self.functional is not None:
            yield from _unknown_functional(self.functional)
        if self.switch_width > self.r_max:
            yield problem("switch_width", f"must be at most r_max = {self.r_max}", got=self.switch_width)

    def own_r_max(self) -> float | None:
        """The term's own radius, Å."""
        return self.r_max

    def parameters(self) -> dict[str, float]:
        """Values of s6, s8, a1 and a2."""
        if self.functional is not None:
            published = get_functional_params(self.functional, "bj", dtype=torch.float64)
            return {
                "s6": 1.0,
                **{name: float(published[name]) for name in ("s6", "s8", "a1", "a2") if name in published},
            }
        return {"s6": self.s6, "s8": self.s8 or 0.0, "a1": self.a1 or 0.0, "a2": self.a2 or 0.0}

    def build(self, context: BuildContext) -> EnergyTermModule:
        """Make the module.

        Raises:
            ConfigError: If the elements of the types are unknown, or have no D3 parameters.
        """
        numbers = context.atomic_numbers
        if numbers is None:
            raise ConfigError(
                problem("D3Dispersion", "needs the element of each type", hint="give the model chemical_species")
            )
        if heavy := [number for number in numbers if number >= MAX_ELEMENT]:
            raise ConfigError(problem("D3Dispersion", "has no parameters for the atomic numbers", got=heavy))
        return D3Module(numbers, self.parameters(), self.r_max, self.switch_width, context.units)


def _unknown_functional(name: str) -> Iterable[str]:
    try:
        get_functional_params(name, "bj")
    except (KeyError, ValueError):
        hint = "give s8, a1 and a2, or a name that tad_dftd3.param.get_functional_params knows, such as pbe"
        yield problem("functional", "has no published D3(BJ) parameters", got=name, hint=hint)
