"""The file that i-PI's ``<pes_path>`` names: i-PI reads the two names below from its text."""

from __future__ import annotations

from equipot_engines._ipi import IPIDriver

__DRIVER_NAME__ = "equipot"
__DRIVER_CLASS__ = "IPIDriver"

__all__ = ["IPIDriver"]
