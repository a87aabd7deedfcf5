"""Errors of this package."""

from __future__ import annotations

from equipot.errors import EquipotError


class KernelError(EquipotError):
    """A kernel cannot be built, loaded or found."""
