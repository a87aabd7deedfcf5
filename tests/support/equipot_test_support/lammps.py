"""Systems and scripts for pair_style equipot, and what LAMMPS printed."""

import dataclasses
import re

import ase.units
import numpy as np
from ase import Atoms

from equipot_lammps._static import Structure, header, write_data

TYPES = ["H", "O"]
MASSES = [1.008, 15.999]
TIME_STEP = 1e-4  # ps
EXACT = 1e-10
VERSION = "22Jul2025 update 4"


def grid(n, distance, *, cell=None, pbc=(True, True, True), types=None):
    """Atoms around the points of a grid, of random types."""
    random = np.random.default_rng(n)
    cell = np.eye(3) * n * distance if cell is None else np.array(cell)
    points = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 3) / n
    positions = points @ cell + random.normal(size=(n**3, 3)) * 0.12
    return Structure(positions, cell, pbc, list(random.integers(0, 2, n**3)) if types is None else types)


SYSTEMS = {
    "cubic": grid(4, 1.9),
    "triclinic": grid(3, 2.1, cell=[[6.4, 0.0, 0.0], [1.9, 6.1, 0.0], [-1.4, 2.2, 6.8]]),
    "slab": grid(3, 2.0, pbc=(True, True, False)),
    "wire": grid(3, 2.0, pbc=(True, False, False)),
    "cluster": grid(3, 2.0, pbc=(False, False, False)),
    # smaller than the cutoff: atoms see images of themselves
    "tiny": Structure(
        np.array([[0.1, 0, 0], [1.3, 1.2, 1.4]]),
        np.array([[2.7, 0, 0], [0.4, 2.5, 0], [0, 0.3, 2.9]]),
        (True,) * 3,
        [0, 1],
    ),
    "one element": grid(3, 2.1, types=[1] * 27),
    # all on one side of a long box: other ranks have no atoms
    "empty ranks": dataclasses.replace(grid(2, 2.0), cell=np.diag([4.0, 4.0, 60.0])),
    "lone atom": Structure(np.array([[1.0, 1.0, 1.0]]), np.eye(3) * 9.0, (True,) * 3, [1]),
    "far apart": Structure(np.array([[0.0, 0, 0], [9.0, 0, 0]]), np.eye(3), (False,) * 3, [1, 0]),
}


def word(name):
    return name.replace(" ", "_")


def start(name, model, units="metal", style="pair_style equipot"):
    """A script up to the forces."""
    system = SYSTEMS[name]
    alone = len(system.positions) == 1  # which has no temperature
    return f"""{header(system, units)}read_data {word(name)}.data
mass 1 {MASSES[0]}
mass 2 {MASSES[1]}
{style}
pair_coeff * * {model} {" ".join(TYPES)}
velocity all {"set 3.0 2.0 1.0" if alone else "create 300.0 7 loop all mom no"}
fix move all nve
timestep {TIME_STEP * (1000 if units == "real" else 1)}
"""


def output(name, first=0, every=50):
    return f"""thermo_style custom step etotal pe press
thermo 1
thermo_modify format float %.17g
dump d all custom {every} {word(name)}.{first}.dump id type xu yu zu vx vy vz fx fy fz
dump_modify d sort id format float %.17g
"""


def dumped(path):
    """Atoms and forces of each frame of a dump, by step."""
    frames, lines = {}, path.read_text().splitlines()
    heads = [index for index, line in enumerate(lines) if line == "ITEM: TIMESTEP"]
    for head in heads:
        n_atoms = int(lines[head + 3])
        rows = lines[head + 9 : head + 9 + n_atoms]
        frames[int(lines[head + 1])] = np.array([[float(value) for value in row.split()] for row in rows])
    return frames


def traces(printed):
    """Step, total energy, potential energy and pressure of every step, for each run that was printed."""
    blocks = re.findall(r"^ *Step .*\n((?: *\d+ .*\n)+)", printed, flags=re.MULTILINE)
    return [np.array([[float(value) for value in row.split()] for row in block.splitlines()]) for block in blocks]


def atoms_of(name, rows, calculator):
    """A frame of a dump in ASE, with velocities."""
    system = SYSTEMS[name]
    symbols = [TYPES[int(kind) - 1] for kind in rows[:, 1]]
    cell = np.array(system.cell) * np.array(system.pbc)[:, None] + np.diag([30.0] * 3) * ~np.array(system.pbc)[:, None]
    atoms = Atoms(symbols, positions=rows[:, 2:5], cell=cell, pbc=system.pbc)
    atoms.set_masses([MASSES[int(kind) - 1] for kind in rows[:, 1]])
    atoms.set_velocities(rows[:, 5:8] / (1000.0 * ase.units.fs))
    atoms.calc = calculator
    return atoms


def at_rest(name, calculator):
    """A periodic system in ASE."""
    system = SYSTEMS[name]
    symbols = [TYPES[kind] for kind in system.types]
    return Atoms(symbols, positions=system.positions, cell=system.cell, pbc=system.pbc, calculator=calculator)


def script_for(name, model, tmp_path, **options):
    write_data(tmp_path / f"{word(name)}.data", SYSTEMS[name], 2)
    return start(name, model, **options) + "run 20\n"
