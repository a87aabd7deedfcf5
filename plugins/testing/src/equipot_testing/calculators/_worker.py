"""Run the checks of a calculator in the Python of its environment; request and outcomes are JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from equipot.errors import EquipotError
from equipot_testing.calculators.conformance import CalculatorConformance
from equipot_testing.calculators.potentials import load_factory
from equipot_testing.run import Outcome, run_checks


def check_calculator(request: dict[str, Any]) -> list[Outcome]:
    """Run all checks.

    Args:
        request: ``calculator`` (module:factory), ``elements`` and ``dtype``.

    Raises:
        ConfigError: If there is no such factory.
    """
    attributes = {
        "name": request["calculator"],
        "target": staticmethod(load_factory(request["calculator"])),
        "elements": tuple(request["elements"]),
        "dtype": request["dtype"],
    }
    return run_checks(type("CheckCalculator", (CalculatorConformance,), attributes))


def main(request: str, target: str) -> int:
    """Run the checks and write their outcomes.

    Args:
        request: The request as JSON.
        target: File for the outcomes, or for an error message for the user.

    Returns:
        The exit code.
    """
    try:
        outcomes = check_calculator(json.loads(request))
    except EquipotError as error:
        Path(target).write_text(json.dumps({"error": str(error)}), encoding="utf-8")
        return 2
    plain = [[one.check.name, one.state, one.message, one.seconds] for one in outcomes]
    Path(target).write_text(json.dumps({"outcomes": plain}), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
