"""Elastic constants of a crystal by matcalc, and moduli of polycrystals."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from equipot.errors import EquipotError
from equipot.options import Options
from equipot_simulate._ensembles import Positive
from equipot_simulate._eos import EosOptions, equation_of_state
from equipot_simulate._figures import panels, save
from equipot_simulate._setup import needs

if TYPE_CHECKING:
    from ase import Atoms

    Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True)
class ElasticOptions(Options):
    """Which strains, and what is relaxed."""

    strain: Annotated[float, Field(gt=0, lt=0.1)] = 0.01
    """Largest strain; the others are half of it, and both with the other sign."""

    ions: Literal["relaxed", "clamped"] = "relaxed"
    """Whether positions are relaxed in the strained cells."""

    relax: Literal["none", "positions", "cell"] = "cell"
    """What is relaxed before."""

    fmax: Positive = 0.001
    """Largest force of all relaxations, eV/Å."""


def stiffness(atoms: Atoms, options: ElasticOptions) -> Array:
    """The elastic constants in GPa, shape [6, 6], in Voigt's order xx yy zz yz xz xy, as fitted: not symmetric exactly.

    Args:
        atoms: With a calculator.
        options: Strains.

    Raises:
        ConfigError: If matcalc is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of packages that matcalc imports
            from matcalc import ElasticityCalc
    except ImportError:
        raise needs("matcalc", "elastic", "equipot elastic") from None
    strains = [-options.strain, -options.strain / 2.0, options.strain / 2.0, options.strain]
    calculation = ElasticityCalc(
        atoms.calc,
        norm_strains=strains,
        shear_strains=strains,
        fmax=options.fmax,
        relax_structure=False,
        relax_deformed_structures=options.ions == "relaxed",
        units_GPa=True,
    )
    copied = atoms.copy()
    copied.calc = atoms.calc
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = calculation.calc(copied)
    return np.array(found["elastic_tensor"].voigt, dtype=np.float64)


def moduli(constants: Array) -> dict[str, Any]:
    """Moduli of a polycrystal after Voigt, Reuss and Hill, and whether the crystal is stable.

    Voigt's average takes the strain, Reuss's the stress as the same in all grains; Hill's is their mean (Hill, Proc.
    Phys. Soc. A 65, 349 (1952), doi:10.1088/0370-1298/65/5/307).

    Args:
        constants: GPa, symmetric, shape [6, 6].

    Returns:
        ``bulk_modulus_gpa`` and ``shear_modulus_gpa`` by average, and Young's modulus, Poisson's ratio, eigenvalues.
    """
    eigenvalues = np.linalg.eigvalsh(constants)
    compliance: Array = np.linalg.pinv(constants).astype(np.float64)
    voigt = _averages(constants, shear=1.0)
    inverse = _averages(compliance, shear=0.25)
    reuss = (1.0 / (9.0 * inverse[0]), 1.0 / (4.0 * inverse[1]))
    hill = tuple((one + other) / 2.0 for one, other in zip(voigt, reuss, strict=True))
    bulk, shear = hill
    return {
        "bulk_modulus_gpa": {"voigt": voigt[0], "reuss": reuss[0], "hill": bulk},
        "shear_modulus_gpa": {"voigt": voigt[1], "reuss": reuss[1], "hill": shear},
        "youngs_modulus_gpa": 9.0 * bulk * shear / (3.0 * bulk + shear),
        "poissons_ratio": (3.0 * bulk - 2.0 * shear) / (2.0 * (3.0 * bulk + shear)),
        "eigenvalues_gpa": eigenvalues.tolist(),
        "stable": bool(eigenvalues[0] > 0.0),
    }


def _averages(tensor: Array, *, shear: float) -> tuple[float, float]:
    """Bulk and shear part of an isotropic average; ``shear``: what a compliance divides its shear entries by."""
    straight, across = float(np.trace(tensor[:3, :3])), float(tensor[0, 1] + tensor[0, 2] + tensor[1, 2])
    sheared = float(np.trace(tensor[3:, 3:])) * shear
    return (straight + 2.0 * across) / 9.0, (straight - across + 3.0 * sheared) / 15.0


def cross_check(atoms: Atoms, options: ElasticOptions, voigt: float) -> dict[str, Any]:
    """The bulk modulus by energies of scaled cells, which Voigt's average of the constants must equal.

    Args:
        atoms: The relaxed crystal, with a calculator.
        options: Of the elastic constants.
        voigt: Voigt's average, GPa.

    Returns:
        The bulk modulus in GPa and the relative difference; or the reason why there is none.
    """
    try:
        found = equation_of_state(atoms, EosOptions(points=7, width=0.03, relax="none", fmax=options.fmax))
    except EquipotError as error:
        return {"bulk_modulus_gpa": None, "reason": str(error)}
    bulk = found.record(len(atoms))["bulk_modulus_gpa"]
    return {"bulk_modulus_gpa": bulk, "relative_difference": (voigt - bulk) / bulk}


def draw(constants: Array, path: Path, title: str) -> None:
    """The constants as a table of shades.

    Args:
        constants: GPa, shape [6, 6].
        path: PNG to write.
        title: Of the figure.
    """
    figure, (axes,) = panels(1, width=5.0, height=4.2)
    largest = float(np.abs(constants).max())
    axes.imshow(constants, cmap="RdBu_r", vmin=-largest, vmax=largest)
    axes.grid(visible=False)
    for row in range(6):
        for column in range(6):
            shade = "white" if abs(constants[row, column]) > 0.6 * largest else "black"
            axes.text(column, row, f"{constants[row, column]:.1f}", ha="center", va="center", color=shade)
    names = ["xx", "yy", "zz", "yz", "xz", "xy"]
    axes.set_xticks(range(6), names)
    axes.set_yticks(range(6), names)
    axes.set_title(title)
    save(figure, path)
