"""Make the example data with real reference engines; independent of equipot.

Needs only ``pip install pyscf tblite ase numpy`` (preferably in an environment of its own)::

    export OMP_NUM_THREADS=1
    python make_data.py ethanol --frames 180
    python make_data.py water --frames 140
    python make_data.py ethanol-dipoles
    python make_data.py isolated-atoms
    python make_data.py ethanol --extend 100   # 100 more frames, after those there are

``ethanol``
    One molecule; PBE/def2-SVP energies and forces (PySCF) of frames from GFN2-xTB molecular dynamics.
``water``
    A small periodic box; GFN1-xTB energies, forces and stress (tblite), molecular dynamics with the same method.
``ethanol-dipoles``
    GFN2-xTB energies, forces and dipole moments (tblite) of the frames of ``ethanol``, whose file must exist.
``isolated-atoms``
    The atoms of each of these, at its level of theory: H, C and O, or H and O.

Frames come in independent blocks of 20, whose random numbers depend only on the seed and the number of the block.
The file is replaced atomically after every frame: a stopped run goes on when the same command is given again. At its
end a run shuffles the frames it made.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import iread, write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

HERE = Path(__file__).resolve().parent
BLOCK = 20
MULTIPLICITIES = {"H": 2, "C": 3, "O": 3}
ELEMENTS = {"ethanol": "HCO", "water": "HO"}

PBE = "PBE/def2-SVP RI-J"
GRID_LEVELS = (1, 3)  # of PySCF; the first only gives the second a starting density
SCF_TOLERANCES = (1e-8, 1e-10)  # of the energy, Hartree
ETHANOL_STAGES = ((500.0, 16), (800.0, 4))  # temperature in K and frames of a block

GFN1, GFN2 = "GFN1-xTB", "GFN2-xTB"
XTB_ACCURACY = 0.1  # a factor on the thresholds of tblite, smaller is tighter
WATER_GRID = (3, 2, 2)  # molecules along each cell vector
WATER_TEMPERATURE = 350.0
WATER_DENSITY = 1.0  # g/cm³, before the cell is strained
BLOCK_STRAIN, FRAME_STRAIN = 0.03, 0.01  # largest component, of the trajectory's cell and of each frame

HYDROGEN_MASS = 4.0  # in MD only: allows longer steps, and the distribution of positions does not depend on masses
FRICTION = 0.02 / units.fs


# ---------------------------------------------------------------- levels of theory
def pbe_scf(atoms: Atoms, multiplicity: int = 1) -> Any:
    """Solve the Kohn–Sham equations, PBE/def2-SVP with density fitting.

    Args:
        atoms: A molecule or an atom.
        multiplicity: 2 S + 1; unrestricted unless it is 1.

    Returns:
        The mean-field object of PySCF. It has converged, else RuntimeError is raised.
    """
    from pyscf import dft, gto

    geometry = list(zip(atoms.get_chemical_symbols(), atoms.positions, strict=True))
    mol = gto.M(atom=geometry, basis="def2-svp", spin=multiplicity - 1, verbose=0)
    density = None
    for level, tolerance in zip(GRID_LEVELS, SCF_TOLERANCES, strict=True):
        mean_field = (dft.RKS if multiplicity == 1 else dft.UKS)(mol, xc="pbe").density_fit()
        mean_field.grids.level = level
        mean_field.conv_tol = tolerance
        mean_field.kernel(dm0=density)
        density = mean_field.make_rdm1()
    if not mean_field.converged:
        raise RuntimeError(f"SCF of {atoms.get_chemical_formula()} did not converge")
    return mean_field


def pbe(atoms: Atoms) -> dict[str, Any]:
    """Energy, forces and dipole moment of a closed-shell molecule, PBE/def2-SVP.

    The forces contain the response of the integration grid: they are the exact derivative of the energy.
    """
    mean_field = pbe_scf(atoms)
    gradient = mean_field.nuc_grad_method()
    gradient.grid_response = True
    forces = -gradient.kernel() * (units.Hartree / units.Bohr)
    dipole = mean_field.dip_moment(unit="AU", verbose=0) * units.Bohr
    return {"energy": float(mean_field.e_tot) * units.Hartree, "forces": forces, "dipole": dipole}


def xtb(method: str, **options: Any) -> Any:
    """Return an ASE calculator of tblite."""
    from tblite.ase import TBLite

    return TBLite(method=method, verbosity=0, **options)


def gfn1(atoms: Atoms) -> dict[str, Any]:
    """Energy, forces and stress of a periodic system, GFN1-xTB (Γ point)."""
    copy = atoms.copy()
    copy.calc = xtb(GFN1, accuracy=XTB_ACCURACY)
    return {"energy": copy.get_potential_energy(), "forces": copy.get_forces(), "stress": copy.get_stress()}


def gfn2(atoms: Atoms) -> dict[str, Any]:
    """Energy, forces and dipole moment of a molecule, GFN2-xTB."""
    copy = atoms.copy()
    copy.calc = xtb(GFN2, accuracy=XTB_ACCURACY)
    energy, forces = copy.get_potential_energy(), copy.get_forces()
    return {"energy": energy, "forces": forces, "dipole": copy.get_dipole_moment()}


# ---------------------------------------------------------------- geometries
def langevin_frames(
    atoms: Atoms, temperature: float, schedule: tuple[int, int, int], timestep: float, rng: np.random.Generator
) -> list[Atoms]:
    """Sample geometries by Langevin dynamics.

    Args:
        atoms: Start, with a calculator; moved.
        temperature: In K.
        schedule: Steps before the first frame, steps between frames, number of frames.
        timestep: In fs.
        rng: Random numbers.

    Returns:
        The frames, without calculator and velocities.
    """
    atoms.set_masses(np.where(atoms.numbers == 1, HYDROGEN_MASS, atoms.get_masses()))
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=rng)
    dynamics = Langevin(atoms, timestep * units.fs, temperature_K=temperature, friction=FRICTION, fixcm=False, rng=rng)
    equilibration, interval, count = schedule
    dynamics.run(equilibration)
    frames = []
    for _ in range(count):
        dynamics.run(interval)
        frames.append(Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc))
    return frames


def ethanol_block(seed: int, block: int) -> list[Atoms]:
    """Sample one block of ethanol geometries by GFN2-xTB dynamics at two temperatures."""
    rng = np.random.default_rng([seed, block])
    frames = []
    for temperature, count in ETHANOL_STAGES:
        atoms = molecule("CH3CH2OH")
        atoms.calc = xtb(GFN2)
        for frame in langevin_frames(atoms, temperature, (500, 80, count), 1.0, rng):
            frame.positions -= frame.get_center_of_mass()
            frame.info["config_type"] = f"md_{temperature:.0f}K"
            frames.append(frame)
    return frames


def ethanol_again(seed: int, block: int) -> list[Atoms]:
    """Take a block of the geometries in the file of ``ethanol``; the seed is that of the file."""
    del seed
    frames = load(DATA_SETS["ethanol"].path)[block * BLOCK : (block + 1) * BLOCK]
    return [Atoms(one.numbers, one.positions, info={"config_type": one.info["config_type"]}) for one in frames]


def random_strain(size: float, rng: np.random.Generator, *, shear: bool) -> np.ndarray:
    """Return a symmetric deformation gradient, 1 + strain, with components of the strain up to `size`."""
    strain = rng.uniform(-size, size, (3, 3))
    strain = np.triu(strain) + np.triu(strain, 1).T
    return np.eye(3) + (strain if shear else np.diag(np.diag(strain)))


def water_start(rng: np.random.Generator) -> Atoms:
    """Put randomly turned molecules on a grid in a cubic box."""
    count = int(np.prod(WATER_GRID))
    mass = count * molecule("H2O").get_masses().sum()
    edge = (mass / (units.mol * WATER_DENSITY) * 1e24) ** (1 / 3)
    box = Atoms(cell=[edge] * 3, pbc=True)
    for site in np.ndindex(*WATER_GRID):
        water = molecule("H2O")
        water.positions -= water.get_center_of_mass()
        water.euler_rotate(*rng.uniform(0, 360, 3))
        water.positions += (np.array(site) + 0.5) / WATER_GRID * edge
        box += water
    return box


def water_block(seed: int, block: int) -> list[Atoms]:
    """Sample one block of water boxes by GFN1-xTB dynamics in a strained cell, triclinic in odd blocks."""
    rng, shear = np.random.default_rng([seed, block]), block % 2 == 1
    box = water_start(rng)
    box.set_cell(box.cell @ random_strain(BLOCK_STRAIN, rng, shear=shear), scale_atoms=True)
    box.calc = xtb(GFN1)
    frames = langevin_frames(box, WATER_TEMPERATURE, (120, 15, BLOCK), 1.5, rng)
    for frame in frames:
        frame.set_cell(frame.cell @ random_strain(FRAME_STRAIN, rng, shear=shear), scale_atoms=True)
    return frames


# ---------------------------------------------------------------- data sets
@dataclass(frozen=True)
class DataSet:
    """A file and how to make it.

    Attributes:
        path: The file.
        level: Level of theory, written to each frame.
        block: Gives the geometries of a block from seed and number.
        label: Gives energy, forces and maybe stress.
        frames: How many by default.
    """

    path: Path
    level: str
    block: Callable[[int, int], list[Atoms]]
    label: Callable[[Atoms], dict[str, Any]]
    frames: int


DATA_SETS = {
    "ethanol": DataSet(HERE / "ethanol_pbe.extxyz", PBE, ethanol_block, pbe, 180),
    "ethanol-dipoles": DataSet(HERE / "ethanol_gfn2.extxyz", GFN2, ethanol_again, gfn2, 180),
    "water": DataSet(HERE / "water_gfn1.extxyz", GFN1, water_block, gfn1, 140),
}


def load(path: Path) -> list[Atoms]:
    """Read a file of frames, none if it does not exist."""
    return list(iread(path, ":")) if path.exists() else []


def save(path: Path, frames: list[Atoms]) -> None:
    """Replace a file of frames, atomically."""
    temporary = path.with_name(f".{path.name}.tmp")
    write(temporary, frames, format="extxyz")
    temporary.replace(path)


def labelled(atoms: Atoms, level: str, **results: Any) -> Atoms:
    """Attach results and the name of their level of theory to a geometry."""
    atoms.calc = SinglePointCalculator(atoms, **results)
    atoms.info["level_of_theory"] = level
    return atoms


def make(data_set: DataSet, path: Path, seed: int, total: int, keep: int) -> None:
    """Add frames to a file until it has enough, then shuffle the new ones.

    Args:
        data_set: What to make.
        path: The file, new or begun.
        seed: Of the random numbers.
        total: Number of frames to reach.
        keep: Number of first frames not to shuffle.
    """
    frames = load(path)
    if len(frames) >= total:
        print(f"{path}: has {len(frames)} frames already")
        return
    while len(frames) < total:
        block, done = divmod(len(frames), BLOCK)
        for atoms in data_set.block(seed, block)[done : done + total - len(frames)]:
            start = time.perf_counter()
            frames.append(labelled(atoms, data_set.level, **data_set.label(atoms)))
            save(path, frames)
            print(f"{path.name}: frame {len(frames)} of {total}, {time.perf_counter() - start:.2f} s", flush=True)
    order = np.random.default_rng([seed, total]).permutation(np.arange(keep, total))
    save(path, frames[:keep] + [frames[i] for i in order])


def make_isolated_atoms(folder: Path) -> None:
    """Write the energies of the single atoms of each data set, at its level of theory."""
    for name, elements in ELEMENTS.items():
        data_set, frames = DATA_SETS[name], []
        for symbol in elements:
            multiplicity = MULTIPLICITIES[symbol]
            atoms = Atoms(symbol, info={"config_type": "IsolatedAtom"})
            if name == "ethanol":
                energy = float(pbe_scf(atoms, multiplicity).e_tot) * units.Hartree
            else:
                copy = atoms.copy()
                copy.calc = xtb(GFN1, accuracy=XTB_ACCURACY, multiplicity=multiplicity)
                energy = float(copy.get_potential_energy())
            print(f"{data_set.level} {symbol}: {energy:.6f} eV")
            frames.append(labelled(atoms, data_set.level, energy=energy, forces=np.zeros((1, 3))))
        save(folder / f"{data_set.path.stem}_isolated_atoms.extxyz", frames)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", choices=[*DATA_SETS, "isolated-atoms"])
    number = parser.add_mutually_exclusive_group()
    number.add_argument("--frames", type=int, help="frames the file shall have (default: 180 of ethanol, 140 of water)")
    number.add_argument("--extend", type=int, metavar="N", help="add N frames to the file, keeping those there are")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=HERE, help="where the files are (default: next to the script)")
    arguments = parser.parse_args()
    if arguments.system == "isolated-atoms":
        make_isolated_atoms(arguments.folder)
        return
    data_set = DATA_SETS[arguments.system]
    path = arguments.folder / data_set.path.name
    keep = len(load(path)) if arguments.extend else 0
    added = arguments.extend or arguments.frames or data_set.frames
    make(data_set, path, arguments.seed, keep + added, keep)


if __name__ == "__main__":
    main()
