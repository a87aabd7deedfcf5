"""Checks that judge data before anything is learnt from them."""

from __future__ import annotations

from equipot.data.checks import _output_checks as _output_checks
from equipot.data.checks import _reading_checks as _reading_checks
