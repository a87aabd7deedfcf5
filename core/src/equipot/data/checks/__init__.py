"""Checks that judge data before anything is learnt from them."""

from equipot.data.checks import _output_checks as _output_checks
