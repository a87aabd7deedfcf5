"""The state of a molecular dynamics run, from which it goes on exactly.

It holds positions, momenta and cell, the variables of thermostat and barostat, and the state of the random numbers.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from equipot.errors import ArtifactError, problem
from equipot.files import atomic

_PARTS = ("", "_thermostat", "_barostat")
"""The integrator itself, and what it holds of ASE's own."""

_ATOMS = ("positions", "momenta", "cell")
_FIXED = ("masses", "_masses")
_META = "record"


def write_state(path: Path, dynamics: Any, rng: np.random.Generator, record: dict[str, Any]) -> None:
    """Write the state between two steps, atomically.

    Args:
        path: The file.
        dynamics: Of ASE.
        rng: Random numbers of the run.
        record: What else is stored, as plain containers.
    """
    atoms = dynamics.atoms
    arrays = {"positions": atoms.positions, "momenta": atoms.get_momenta(), "cell": atoms.cell.array}
    arrays |= {f"dynamics:{name}": np.asarray(value) for name, value in _variables(dynamics).items()}
    text = json.dumps({"rng": rng.bit_generator.state, **record})
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays, **_as_array(text))


def _as_array(text: str) -> dict[str, Any]:
    return {_META: np.frombuffer(text.encode(), np.uint8)}


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """The record and the arrays of a state.

    Raises:
        ArtifactError: If it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return json.loads(arrays.pop(_META).tobytes()), arrays
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ArtifactError(problem(str(path), f"is not the state of a run: {error}")) from None


def restore_atoms(atoms: Any, arrays: dict[str, np.ndarray[Any, Any]], path: Path) -> None:
    """Give a structure the positions, momenta and cell of a state.

    Raises:
        ArtifactError: If it has another number of atoms.
    """
    if arrays["positions"].shape != atoms.positions.shape:
        raise ArtifactError(problem(str(path), f"is the state of {len(arrays['positions'])} atoms", got=len(atoms)))
    atoms.set_cell(arrays["cell"])
    atoms.positions = arrays["positions"]
    atoms.set_momenta(arrays["momenta"], apply_constraint=False)


def restore_dynamics(
    dynamics: Any,
    rng: np.random.Generator,
    record: dict[str, Any],
    arrays: dict[str, np.ndarray[Any, Any]],
) -> None:
    """Give an integrator and its random numbers the rest of a state.

    Args:
        dynamics: Made for the restored structure.
        rng: Changed.
        record: Of ``read_state``.
        arrays: Of ``read_state``.
    """
    rng.bit_generator.state = record["rng"]
    for name, value in arrays.items():
        if not name.startswith("dynamics:"):
            continue
        part, _, variable = name.removeprefix("dynamics:").rpartition(".")
        owner = getattr(dynamics, part) if part else dynamics
        setattr(owner, variable, value.copy() if value.ndim else float(value))


def _variables(dynamics: Any) -> dict[str, Any]:
    """Numbers and arrays of numbers that an integrator holds, by name."""
    found = {}
    for part in _PARTS:
        owner = getattr(dynamics, part, None) if part else dynamics
        for name, value in {} if owner is None else vars(owner).items():
            is_array = isinstance(value, np.ndarray) and value.dtype == np.float64
            if name not in _FIXED and (is_array or isinstance(value, float)):
                found[f"{part}.{name}" if part else name] = value
    return found
