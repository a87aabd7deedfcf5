"""Examine models with the physicality tests of ML-PEG, an independent program, and hold its tables against limits.

    python tests/ml_peg/physicality.py --python .cache/ml_peg/bin/python --out docs/results/ml_peg/physicality.json

``make ml-peg`` makes that Python first. The laws hold for any weights, so the models are not trained: random weights,
in float64, with the elements that the tests need. ML-PEG ends without an error when a calculation fails and leaves NaN
in its table, so only the tables count. It writes them into its own package: one run at a time.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from equipot.artifacts import write_package
from equipot.files import write_json
from equipot.model import AllegroModel, NequIPGNNModel
from equipot_allegro import TwoBodyBesselScalarEmbed

Table = dict[str, dict[str, float]]
"""Model to metric to value."""

_SYMMETRY = {"Mean ΔE": 1e-8, "Max ΔE": 1e-8, "Mean ΔF": 2e-5, "Max ΔF": 2e-5}
LIMITS = {
    "extensivity": {"ΔE": 2e-5},
    "locality": {"Ghost atoms max ΔF": 2e-5, "Random hydrogen mean ΔF": 2e-5, "Random hydrogen std ΔF": 2e-5},
    "rotational_symmetry": _SYMMETRY,
    "translational_symmetry": {
        f"{metric} ({shift} Å)": limit for shift in (1, 40, 1000) for metric, limit in _SYMMETRY.items()
    },
    "jacobian_symmetry": {"mean lambda": 5e-5, "max lambda": 5e-5},
}
"""Largest value of each metric of each test, in the metric's unit: some roundings of an energy in float64, or of the
forces in the files that ML-PEG compares. Lambda is not exact: ML-PEG takes differences at steps of 1e-3 Å, whose error
falls with the square of the step."""

SHIFTS = {"H": -13.6, "C": -1030.0, "N": -1485.0, "O": -2042.0, "Ne": -3500.0, "Al": -6590.0, "S": -1.1e4, "Ni": -4.1e4}
"""Energies of isolated atoms, eV: as large as those of all-electron calculations, so that rounding shows."""

_CATEGORY = "physicality"
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "EQUIPOT_AUTOMATIC_MODIFIERS": "1"}
_WITHOUT = "PYTHONPATH"


def write_models(folder: Path) -> dict[str, dict[str, Any]]:
    """Write a package of each family, and give the entries of ML-PEG's file of models: with and without kernels."""
    shared: dict[str, Any] = {
        "seed": 1,
        "model_dtype": "float64",
        "type_names": list(SHIFTS),
        "r_max": 4.0,
        "l_max": 2,
        "num_layers": 2,
        "avg_num_neighbors": 12.0,
        "per_type_energy_shifts": SHIFTS,
        "per_type_energy_scales": 5.0,  # forces of 1 to 5 eV/Å, as models have that were trained
    }
    recipes = {
        "nequip": NequIPGNNModel(**shared, num_features=8, radial_mlp_width=16),
        "allegro": AllegroModel(
            **shared,
            num_scalar_features=16,
            num_tensor_features=4,
            radial_chemical_embed=TwoBodyBesselScalarEmbed(num_bessels=8),
        ),
    }
    entries = {}
    for name, recipe in recipes.items():
        path = folder / f"{name}.equipot.zip"
        write_package(recipe.build().eval(), path)
        for suffix, automatic in (("", False), (", kernels", True)):
            entries[f"{name}{suffix}"] = {
                "module": "equipot.ase",
                "class_name": "EquipotCalculator",
                "device": "cpu",
                "trained_on_dispersion": False,
                "kwargs": {"model": str(path), "automatic_modifiers": automatic},
            }
    return entries


class MlPeg:
    """An installation of ML-PEG.

    Args:
        python: Its interpreter.
        models: File of models.
    """

    def __init__(self, python: Path, models: Path) -> None:
        self.python, self.models = python, models
        self.root = Path(self._ask("import ml_peg; print(ml_peg.__path__[0])"))
        self.version = self._ask("from importlib.metadata import version; print(version('ml-peg'))")

    def _run(self, command: Sequence[str | Path]) -> str:
        environment = {name: value for name, value in os.environ.items() if name != _WITHOUT} | _ENVIRONMENT
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            sys.exit(
                f"{' '.join(map(str, command))}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}"
            )
        return done.stdout

    def _ask(self, code: str) -> str:
        return self._run([self.python, "-c", code]).splitlines()[-1]

    def modifiers(self, package: str) -> str:
        """What is applied to a model by itself there."""
        return self._ask(
            f"from equipot.ase import EquipotCalculator; print(*EquipotCalculator({package!r}).automatic.applied)"
        )

    def table(self, test: str) -> Path:
        """Run a test and its analysis; the table that this run wrote, which is not there if it could not."""
        results = self.root / "app" / "data" / _CATEGORY / test
        for old in (results, self.root / "calcs" / _CATEGORY / test / "outputs"):
            shutil.rmtree(old, ignore_errors=True)
        for action in ("calc", "analyse"):
            which: list[str | Path] = ["--models-file", self.models, "--category", _CATEGORY, "--test", test]
            self._run([self.python.with_name("ml_peg"), action, *which])
        return results / f"{test}_metrics_table.json"


def read_table(path: Path) -> tuple[Table, dict[str, str]]:
    """Values of a table of metrics, NaN where ML-PEG has none, and the unit of each metric ('' if it has none)."""
    content = json.loads(path.read_text(encoding="utf-8"))
    units = {metric: facts["unit"] or "" for metric, facts in content["thresholds"].items()}
    values = {row["MLIP"]: {metric: _number(row.get(metric)) for metric in units} for row in content["data"]}
    return values, units


def _number(cell: object) -> float:
    return float(cell) if isinstance(cell, (int, float)) else math.nan


def faults(test: str, table: Table, models: Sequence[str], limits: Mapping[str, float]) -> list[str]:
    """What is wrong with a table, a line each: a missing model, another metric, no number, or one above its limit.

    Args:
        test: Name of the test, for the lines.
        table: What was measured.
        models: Which must be in it.
        limits: Largest value of each metric.
    """
    found = [f"{test}: no row of {name}" for name in models if name not in table]
    found += [] if table else [f"{test}: no row"]
    for name, row in table.items():
        found += [f"{test}, {name}: {metric} has no limit here" for metric in row if metric not in limits]
        found += [
            f"{test}, {name}: {metric} must be at most {limit}, got {row.get(metric, math.nan)}"
            for metric, limit in limits.items()
            if not abs(row.get(metric, math.nan)) <= limit  # NaN is at most nothing
        ]
    return found


def result(tables: Mapping[str, tuple[Table, dict[str, str]]], models: Sequence[str], version: str) -> dict[str, Any]:
    """The table of the documentation."""
    rows = [
        [test, metric, unit, f"{LIMITS[test][metric]:.0e}", *(f"{table[name][metric]:.1e}" for name in models)]
        for test, (table, units) in tables.items()
        for metric, unit in units.items()
    ]
    versions = {"equipot": importlib.metadata.version("equipot"), "ML-PEG": version}
    return {
        "title": f"ML-PEG's physicality tests of models with random weights, float64, {', '.join(SHIFTS)}",
        "description": "Each number must be at most its limit. Forces that differ by less than 1e-5 meV/Å are equal in "
        "the files that ML-PEG compares.",
        "columns": ["test", "metric", "unit", "limit", *models],
        "rows": rows,
        "command": "make ml-peg",
        "machine": f"{platform.machine()}, no GPU",
        "versions": {**versions, "torch": importlib.metadata.version("torch")},
    }


def examine(python: Path, out: Path | None, tests: Sequence[str]) -> list[str]:
    """Run tests; what is wrong, a line each.

    Args:
        python: Interpreter that has ML-PEG.
        out: File for the table of the documentation.
        tests: Names of tests.
    """
    with tempfile.TemporaryDirectory() as folder:
        models = write_models(Path(folder))
        file = Path(folder, "models.yml")
        file.write_text(yaml.safe_dump(models), encoding="utf-8")
        peg = MlPeg(python.absolute(), file)
        wrong = [
            f"{name}: no compiled kernels in {python}"
            for name, entry in models.items()
            if entry["kwargs"]["automatic_modifiers"] and not peg.modifiers(entry["kwargs"]["model"])
        ]
        tables = {}
        for test in tests:
            path = peg.table(test)
            if not path.is_file():
                wrong.append(f"{test}: ML-PEG wrote no table")
                continue
            tables[test] = read_table(path)
            found = faults(test, tables[test][0], list(models), LIMITS[test])
            sys.stderr.write(f"{test}: {f'{len(found)} faults' if found else 'as it must be'}\n")
            wrong += found
    if out is not None and not wrong:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, result(tables, list(models), peg.version))
    return wrong


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", nargs="*", metavar="TEST", help=f"of {', '.join(LIMITS)} (default: all)")
    parser.add_argument("--python", type=Path, required=True, metavar="FILE", help="interpreter that has ML-PEG")
    parser.add_argument("--out", type=Path, metavar="FILE", help="file for the table, if nothing is wrong")
    given = parser.parse_args()
    if unknown := [name for name in given.tests if name not in LIMITS]:
        parser.error(f"no test {', '.join(unknown)}; there are {', '.join(LIMITS)}")
    if wrong := examine(given.python, given.out, given.tests or list(LIMITS)):
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
