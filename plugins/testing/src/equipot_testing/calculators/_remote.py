"""Check a calculator in this Python, or in that of another environment where equipot is not installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import equipot
import equipot_testing
from equipot.errors import ConfigError, problem
from equipot_testing.calculators._worker import check_calculator
from equipot_testing.calculators.conformance import CalculatorConformance
from equipot_testing.run import Outcome

_START = """\
import json, sys, types
for name, path in zip(("equipot", "equipot_testing"), json.loads(sys.argv[1])):
    package = types.ModuleType(name)
    package.__path__ = [path]
    sys.modules[name] = package
from equipot_testing.calculators._worker import main
sys.exit(main(*sys.argv[2:]))
"""
"""Makes both packages importable there without their dependencies; the worker only needs numpy and ASE."""


def outcomes_of(calculator: str, *, elements: list[str], dtype: str = "auto", python: str = "") -> list[Outcome]:
    """Run all checks of a calculator.

    Args:
        calculator: ``module:factory``; the factory takes no arguments and returns an ASE calculator
            or a torch-sim model.
        elements: Chemical symbols that it supports.
        dtype: ``float32``, ``float64``, or ``auto`` to measure it.
        python: Interpreter of the calculator's environment; empty means this one.

    Returns:
        One outcome for each check.

    Raises:
        ConfigError: If an element, the factory or the interpreter does not exist, or the process fails.
    """
    request = {"calculator": calculator, "elements": _checked_elements(elements), "dtype": dtype}
    return _in_other_python(request, python) if python else check_calculator(request)


def _checked_elements(elements: list[str]) -> list[str]:
    from ase.data import chemical_symbols

    unknown = [element for element in elements if element not in chemical_symbols[1:]]
    if unknown or not elements:
        raise ConfigError(problem("--elements", "must be chemical symbols", got=elements, hint="write H,C,O"))
    return elements


def _in_other_python(request: dict[str, Any], python: str) -> list[Outcome]:
    interpreter = shutil.which(python)
    if interpreter is None:
        raise ConfigError(problem("--python", "is not a program", got=python, hint="give the environment's bin/python"))
    packages = json.dumps([str(Path(file).resolve().parent) for file in (equipot.__file__, equipot_testing.__file__)])
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "outcomes.json"
        command = [interpreter, "-c", _START, packages, json.dumps(request), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - asked for by the user
        if not target.is_file():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ConfigError(
                problem("--calculator", f"fails in {python}: {last}", hint="it needs numpy and ase there")
            )
        said = json.loads(target.read_text(encoding="utf-8"))
    if "error" in said:
        raise ConfigError(said["error"])
    checks = {check.name: check for check in CalculatorConformance.checks()}
    return [Outcome(checks[name], state, message, seconds) for name, state, message, seconds in said["outcomes"]]
