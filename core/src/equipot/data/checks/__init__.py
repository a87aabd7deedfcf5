"""Checks that judge data before anything is learnt from them."""

from equipot.data.checks import _probe_checks as _probe_checks
