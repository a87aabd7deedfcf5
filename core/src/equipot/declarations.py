"""What plugins yield from their hooks: frozen facts, nothing that imports torch.

``target`` is a dotted path as a string; the host imports it on first use only.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Facts common to every declaration."""

    name: str
    """Python identifier that users write, unique per kind, e.g. ``ZBL``."""

    target: str
    """Dotted path of the class or function, e.g. ``equipot_zbl.potential.ZBL``."""

    summary: str
    """One line for listings."""

    def __post_init__(self) -> None:
        """Check what the host relies on.

        Raises:
            ValueError: If the name is no identifier or the target no dotted path.
        """
        if not self.name.isidentifier():
            raise ValueError(f"{type(self).__name__}.name: not a Python identifier, got {self.name!r}")
        if "." not in self.target or not all(part.isidentifier() for part in self.target.split(".")):
            raise ValueError(
                f"{type(self).__name__}.target: not a dotted path, got {self.target!r}; write 'package.module.Name'"
            )


@dataclass(frozen=True, kw_only=True)
class ModelBuilderEntry(Entry):
    """Declares a subclass of ``equipot.model.ModelBuilder``."""


@dataclass(frozen=True, kw_only=True)
class PairPotentialEntry(Entry):
    """Declares a subclass of ``equipot.model.PairPotential``."""


@dataclass(frozen=True, kw_only=True)
class StatsManagerEntry(Entry):
    """Declares a subclass of ``equipot.data.StatsManager``."""


@dataclass(frozen=True, kw_only=True)
class ModifierEntry(Entry):
    """Declares a function ``(model, *, option: type = default) -> model``."""

    persistent: bool
    """True: changes what the model is and is stored with it. False: a hint, skipped if missing."""

    provides: tuple[str, ...] = ()
    """Output fields the modified model gains, e.g. ``("forces", "stress", "virial")``."""

    devices: tuple[str, ...] = ()
    """Device types it works on, e.g. ``("cpu",)``; empty: all."""

    compile_modes: tuple[str, ...] = ()
    """Compile modes it works with, e.g. ``("aotinductor",)``; empty: all."""
