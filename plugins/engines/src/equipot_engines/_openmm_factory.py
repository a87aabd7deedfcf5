"""What the entry point of ``openmmml`` names.

``openmmml`` loads it at the end of its own import, which may have begun in the module of the potential. So this one
imports nothing of ``openmmml``, and the class does not derive from its factory, of which only ``createImpl`` is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from equipot.errors import ConfigError, problem

if TYPE_CHECKING:
    from equipot_engines._openmm import OpenMMPotential


class OpenMMPotentialFactory:
    """What ``openmmml.MLPotential("equipot", model=...)`` calls."""

    def createImpl(self, name: str, **options: Any) -> OpenMMPotential:  # noqa: N802 - OpenMM's name
        """Make a potential.

        Args:
            name: ``equipot``.
            **options: The arguments of ``OpenMMPotential``.

        Raises:
            ArtifactError: If the file cannot be used.
            ConfigError: If an argument is unknown or missing, or the model cannot be used.
        """
        from equipot_engines._openmm import OpenMMPotential

        if unknown := sorted(options.keys() - {"model", "device"}):
            hint = "model and device; other options are those of an EquipotCalculator that is given as the model"
            raise ConfigError(problem(f"MLPotential({name!r})", f"has no options {unknown}", hint=hint))
        if "model" not in options:
            hint = f"MLPotential({name!r}, model='water.equipot.zip')"
            raise ConfigError(problem(f"MLPotential({name!r})", "needs a model", hint=hint))
        return OpenMMPotential(**options)
