"""Check the example data: counts, ranges, duplicates and, with --differences, forces and stress.

It needs the same packages as ``make_data.py``. ``python check_data.py --differences`` computes labels for displaced
and strained copies of one frame of each set and compares differences of energy with forces and stress in the file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms
from make_data import DATA_SETS, HERE, DataSet, load

DISPLACEMENT = 5e-4  # Å
STRAIN = 1e-3


def distances(atoms: Atoms) -> np.ndarray:
    """Return the distances of all pairs, of the nearest images in a periodic system."""
    pairs = np.triu_indices(len(atoms), 1)
    return np.asarray(atoms.get_all_distances(mic=bool(atoms.pbc.any()))[pairs])


def check_finite_and_unique(frames: list[Atoms]) -> None:
    """Raise ValueError if a value is not finite or two frames are the same."""
    for atoms in frames:
        for name, values in atoms.calc.results.items():
            if not np.isfinite(values).all():
                raise ValueError(f"{name} is not finite")
    energies = np.sort([atoms.get_potential_energy() for atoms in frames])
    fingerprints = {(str(atoms.symbols), np.sort(distances(atoms)).round(4).tobytes()) for atoms in frames}
    if len(fingerprints) < len(frames) or (np.diff(energies) == 0).any():
        raise ValueError("a frame is there twice")


def summarize(path: Path) -> None:
    """Print what is in a file."""
    frames = load(path)
    check_finite_and_unique(frames)
    sizes = sorted({len(atoms) for atoms in frames})
    energies = np.array([atoms.get_potential_energy() / len(atoms) for atoms in frames])
    forces = [atoms.get_forces() for atoms in frames]
    rms = [float(np.sqrt((f**2).mean())) for f in forces]
    print(f"{path.name}: {len(frames)} frames of {sizes} atoms, {path.stat().st_size / 1000:.0f} kB")
    print(f"  energy per atom {energies.min():.4f} to {energies.max():.4f} eV, standard deviation {energies.std():.4f}")
    print(
        f"  rms force component {np.mean(np.square(rms)) ** 0.5:.3f}, of a frame {min(rms):.3f} to {max(rms):.3f} eV/Å"
    )
    print(f"  largest force component {max(abs(f).max() for f in forces):.2f} eV/Å")
    print(f"  largest net force {max(abs(f.sum(axis=0)).max() for f in forces):.1e} eV/Å")
    if sizes[-1] > 1:
        all_distances = [distances(atoms) for atoms in frames]
        print(f"  distances {min(d.min() for d in all_distances):.3f} to {max(d.max() for d in all_distances):.3f} Å")
    if frames[0].pbc.all():
        summarize_cells(frames)


def summarize_cells(frames: list[Atoms]) -> None:
    """Print the ranges of cells and stress."""
    stress = np.array([atoms.get_stress() for atoms in frames])
    volumes = np.array([atoms.get_volume() for atoms in frames])
    lengths, angles = np.split(np.array([atoms.cell.cellpar() for atoms in frames]), 2, axis=1)
    heights = 1 / np.linalg.norm([atoms.cell.reciprocal() for atoms in frames], axis=2)
    triclinic = int((abs(angles - 90) > 1e-6).any(axis=1).sum())
    print(f"  volume {volumes.min():.1f} to {volumes.max():.1f} Å³")
    print(f"  cell vectors {lengths.min():.3f} to {lengths.max():.3f} Å")
    print(f"  least distance of opposite faces {heights.min():.3f} Å")
    print(f"  angles {angles.min():.2f} to {angles.max():.2f}°, {triclinic} frames triclinic")
    print(f"  normal stress {stress[:, :3].min():.4f} to {stress[:, :3].max():.4f} eV/Å³", end=", ")
    print(f"shear {stress[:, 3:].min():.4f} to {stress[:, 3:].max():.4f}, rms of all {np.sqrt((stress**2).mean()):.4f}")


def difference(data_set: DataSet, plus: Atoms, minus: Atoms) -> float:
    """Return the energy of one geometry less that of another."""
    return float(data_set.label(plus)["energy"] - data_set.label(minus)["energy"])


def compare_forces(data_set: DataSet, frame: Atoms, count: int, rng: np.random.Generator) -> None:
    """Compare some force components with central differences of the energy."""
    errors = []
    for index in rng.permutation(3 * len(frame))[:count]:
        copies = [frame.copy(), frame.copy()]
        for copy, sign in zip(copies, (1, -1), strict=True):
            copy.positions.flat[index] += sign * DISPLACEMENT
        numerical = -difference(data_set, *copies) / (2 * DISPLACEMENT)
        stored = frame.get_forces().flat[index]
        errors.append(abs(stored - numerical))
        print(f"  force, atom {index // 3} {'xyz'[index % 3]}: stored {stored:+.6f}, numerical {numerical:+.6f} eV/Å")
    print(f"  largest deviation {max(errors):.1e} eV/Å")


def compare_stress(data_set: DataSet, frame: Atoms) -> None:
    """Compare the stress with central differences of the energy."""
    errors = []
    for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        copies = [frame.copy(), frame.copy()]
        for copy, sign in zip(copies, (1, -1), strict=True):
            strain = np.zeros((3, 3))
            strain[i, j] += sign * STRAIN / 2
            strain[j, i] += sign * STRAIN / 2
            copy.set_cell(copy.cell @ (np.eye(3) + strain), scale_atoms=True)
        numerical = difference(data_set, *copies) / (2 * STRAIN * frame.get_volume())
        stored = frame.get_stress(voigt=False)[i, j]
        errors.append(abs(stored - numerical))
        print(f"  stress {'xyz'[i]}{'xyz'[j]}: stored {stored:+.7f}, numerical {numerical:+.7f} eV/Å³")
    print(f"  largest deviation {max(errors):.1e} eV/Å³")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--differences", action="store_true", help="compare with finite differences, takes minutes")
    parser.add_argument("--components", type=int, default=6, help="force components to compare (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=HERE, help="where the files are (default: next to the script)")
    arguments = parser.parse_args()
    for path in sorted(arguments.folder.glob("*.extxyz")):
        summarize(path)
    for name, data_set in DATA_SETS.items():
        path = arguments.folder / data_set.path.name
        if arguments.differences and path.exists():
            frame = load(path)[0]
            print(f"{name}, first frame against central differences")
            compare_forces(data_set, frame, arguments.components, np.random.default_rng(0))
            if frame.pbc.all():
                compare_stress(data_set, frame)


if __name__ == "__main__":
    main()
