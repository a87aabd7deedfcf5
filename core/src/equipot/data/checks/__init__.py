"""Checks that judge data before anything is learnt from them."""

from equipot.data.checks import _energy_checks as _energy_checks
