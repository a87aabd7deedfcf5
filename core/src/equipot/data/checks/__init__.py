"""Checks that judge data before anything is learnt from them.

``CHECKS`` describes all of them; ``judge`` makes them, and gives a ``Verdict`` with its findings. A reader of a plugin
adds a check with ``define`` and leaves notes under its code.
"""

from equipot.data.checks import _energy_checks as _energy_checks
from equipot.data.checks import _output_checks as _output_checks
from equipot.data.checks import _probe_checks as _probe_checks
from equipot.data.checks import _reading_checks as _reading_checks
from equipot.data.checks._catalogue import CHECKS as CHECKS
from equipot.data.checks._catalogue import Check as Check
from equipot.data.checks._catalogue import Finding as Finding
from equipot.data.checks._catalogue import define as define
from equipot.data.checks._judge import Verdict as Verdict
from equipot.data.checks._judge import judge as judge

__all__ = ["CHECKS", "Check", "Finding", "Verdict", "define", "judge"]
