"""Conformance kit for plugin authors: checks of the laws that a plugin must obey.

- ``conformance``: the classes that a plugin's tests subclass, one for each kind of plugin;
- ``run``: the same checks without pytest;
- ``frames``, ``neighbors``, ``finite_difference``, ``checks``: structures, an independent neighbour list,
  derivatives and comparisons, for tests of your own;
- ``toy``: a tiny equivariant model that needs no plugin;
- ``calculators.conformance``, ``calculators.potentials``: the laws of physics for any ASE calculator or
  torch-sim model.
"""

from __future__ import annotations

__all__ = ["KIT_VERSION"]

KIT_VERSION = "1.2"
"""Version of the set of checks: the minor number grows with each new check, the major number with each stricter one."""
