"""The conformance class of ASE calculators and torch-sim models."""

from __future__ import annotations

from equipot_testing.calculators._calls import CalculatorCallChecks


class CalculatorConformance(CalculatorCallChecks):
    """The laws of physics for every interatomic potential.

    Example:
        >>> class TestMyCalculator(CalculatorConformance):
        ...     elements = ("Cu", "Au")
        ...
        ...     def calculator(self):
        ...         from my_package import MyCalculator
        ...
        ...         return MyCalculator("model.pt")

    Steps of finite differences and tolerances follow from the rounding errors of its energies, which are
    measured, so that a calculator in float32 is not expected to be as precise as one in float64.
    """
