"""Outputs of CP2K, and the files of its runs."""

import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import Bohr, GPa, Hartree, bar

from equipot_test_support.data_files._frames import frames


def cp2k(folder, *, failed=(), version=2024):
    """What CP2K prints in three single points, as far as it is read.

    Args:
        folder: Where to write.
        failed: Numbers of the points that do not converge.
        version: From 2025 on the tables begin with other words and the stress is in bar; up to 7 they have others.
    """
    lines = [" CP2K| version string:                                     CP2K version 2024.1"]
    new = version >= 2025
    for number, atoms in enumerate(frames()):
        results = atoms.calc.results
        for name, row in zip("abc", atoms.cell.array, strict=True):
            numbers = " ".join(f"{x:.9f}" for x in row)
            lines += [f" CELL| Vector {name} [angstrom]:   {numbers}   |{name}| =  {np.linalg.norm(row):.6f}"]
        lines += ["", f" MODULE QUICKSTEP: ATOMIC COORDINATES IN {'ANGSTROM' if new else 'angstrom'}", ""]
        lines += ["   Atom Kind Element         X             Y             Z       Z(eff)     Mass"]
        for n, (symbol, z, place) in enumerate(zip(atoms.symbols, atoms.numbers, atoms.positions, strict=True), 1):
            lines += [f"      {n}    1 {symbol}     {z} " + " ".join(f"{x:.6f}" for x in place) + "  6.0000  15.9994"]
        lines += ["", "", " SCF WAVEFUNCTION OPTIMIZATION", ""]
        lines += [
            "  *** SCF run NOT converged ***" if number in failed else "  *** SCF run converged in    12 steps ***"
        ]
        unit = "[hartree]" if new else "(a.u.):" if version <= 7 else "[a.u.]:"
        lines += [f" ENERGY| Total FORCE_EVAL ( QS ) energy {unit}       {results['energy'] / Hartree:.12f}", ""]
        forces = results["forces"] * Bohr / Hartree
        if new:
            lines += [" FORCES| Atomic forces [hartree/bohr]"]
            lines += [" FORCES|   Atom     x               y               z               |f|"]
            lines += [f" FORCES|   {n} {x:.9E} {y:.9E} {z:.9E}  9.0E+00" for n, (x, y, z) in enumerate(forces, 1)]
            lines += [" FORCES| Sum     0.0 0.0 0.0  0.0"]
        else:
            lines += [
                " ATOMIC FORCES in [a.u.]",
                "",
                " # Atom   Kind   Element          X              Y              Z",
            ]
            lines += [f"      {n}      1      O  {x:.9f} {y:.9f} {z:.9f}" for n, (x, y, z) in enumerate(forces, 1)]
            lines += [" SUM OF ATOMIC FORCES           0.0 0.0 0.0     0.0"]
        tensor = -voigt_6_to_full_3x3_stress(results["stress"]) / (bar if new else GPa)
        if version <= 7:
            lines += ["", " STRESS TENSOR [GPa]", "", "            X               Y               Z"]
            rows = zip("XYZ", tensor, strict=True)
            lines += [f"  {axis}  " + " ".join(f"{x:.8f}" for x in row) for axis, row in rows]
            continue
        lines += ["", " STRESS| Analytical stress tensor [bar]" if new else " STRESS| Analytical stress tensor [GPa]"]
        lines += [" STRESS|                        x                   y                   z"]
        lines += [
            f" STRESS|      {a} " + " ".join(f"{x:.11E}" for x in row) for a, row in zip("xyz", tensor, strict=True)
        ]
    path = folder / "cp2k.out"
    path.write_text("\n".join(lines) + "\n")
    return path


def cp2k_run(folder, *, failed=(), forces=True, cells=True, output=True, relaxation=False):
    """The files of molecular dynamics or of a relaxation with CP2K; gives that of the positions.

    Args:
        folder: Where to write.
        failed: Numbers of the steps that do not converge, which the main output says.
        forces: Whether there is a file of forces.
        cells: Whether there is a file of cells.
        output: Whether there is the main output.
        relaxation: Whether lines of comment are without time, as in relaxations.
    """
    parts = {"pos": [], "frc": [], "cell": ["#   Step   Time [fs]       Ax [Angstrom]  ...      Volume [Angstrom^3]"]}
    printed = [" CP2K| version string:      CP2K version 2024.1", " GLOBAL| Project name              run"]
    for name, row in zip("abc", frames()[0].cell.array, strict=True):
        components = " ".join(f"{x:.3f}" for x in row)
        printed += [f" CELL| Vector {name} [angstrom]:   {components}   |{name}| =  {np.linalg.norm(row):.6f}"]
    printed += [" CELL| Periodicity                                    XYZ"]
    for number, atoms in enumerate(frames()):
        results, step = atoms.calc.results, 5 * number
        energy = results["energy"] / Hartree
        time = "" if relaxation else f" time = {step / 2:12.3f},"
        title = [f"{len(atoms):8d}", f" i = {step:8d},{time} E = {energy:20.10f}"]
        for part, rows in (("pos", atoms.positions), ("frc", results["forces"] * Bohr / Hartree)):
            parts[part] += title
            parts[part] += [
                f"  {symbol} " + " ".join(f"{x:19.10f}" for x in row)
                for symbol, row in zip(atoms.symbols, rows, strict=True)
            ]
        row = [*atoms.cell.array.ravel(), atoms.get_volume()]
        parts["cell"] += [f"{step:8d} {step / 2:12.3f} " + " ".join(f"{x:.10f}" for x in row)]
        printed += ["  *** SCF run NOT converged ***"] if number in failed else []
        printed += [f" ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:       {energy:.15f}"]
    written = {"run-pos-1.xyz": parts["pos"]}
    written |= {"run-frc-1.xyz": parts["frc"]} if forces else {}
    written |= {"run-1.cell": parts["cell"]} if cells else {}
    written |= {"run.out": printed} if output else {}
    for name, lines in written.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder / "run-pos-1.xyz"
