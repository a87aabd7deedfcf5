"""Checks that judge data before anything is learnt from them."""

from __future__ import annotations

from equipot.data.checks import _reading_checks as _reading_checks
