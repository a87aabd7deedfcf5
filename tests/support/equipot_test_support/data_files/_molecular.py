"""Outputs of Gaussian and ORCA."""

from ase.units import Bohr, Hartree

from equipot_test_support.data_files._frames import frames


def gaussian(folder, *, failed=(), orientation="Input"):
    """What Gaussian prints, as far as it is read.

    Args:
        folder: Where to write.
        failed: Numbers of the steps that do not converge.
        orientation: ``Input`` or ``Standard``.
    """
    lines = [" Entering Gaussian System, Link 0=g16"]
    for step, atoms in enumerate(frames()):
        rows = list(zip(atoms.numbers, atoms.positions, atoms.calc.results["forces"] * Bohr / Hartree, strict=True))
        lines += [f"                         {orientation} orientation:", "-", "-", "-", "-"]
        lines += [f"      {n}  {z}  0  " + " ".join(f"{x:.6f}" for x in p) for n, (z, p, _) in enumerate(rows, 1)]
        lines += ["-", *([" >>>>>>>>>> Convergence criterion not met."] if step in failed else [])]
        lines += [f" SCF Done:  E(RPBE) =  {atoms.calc.results['energy'] / Hartree:.9f}     A.U. after 9 cycles"]
        lines += [
            " Center     Atomic                   Forces (Hartrees/Bohr)",
            " Number     Number      X    Y    Z",
            "-",
        ]
        lines += [f"      {n}  {z}   " + " ".join(f"{x:.9f}" for x in f) for n, (z, _, f) in enumerate(rows, 1)]
        lines += ["-"]
    path = folder / "a.log"
    path.write_text("\n".join([*lines, " Normal termination of Gaussian 16"]) + "\n")
    return path


def orca(folder, *, failed=()):
    """What ORCA prints in a relaxation, as far as it is read.

    Args:
        folder: Where to write.
        failed: Numbers of the steps that do not converge, but go on.
    """
    lines = ["                 * O   R   C   A *"]
    for number, atoms in enumerate(frames()):
        lines += ["CARTESIAN COORDINATES (ANGSTROEM)", "-"]
        pairs = zip(atoms.symbols, atoms.positions, strict=True)
        lines += [f"  {s} " + " ".join(f"{x:.6f}" for x in p) for s, p in pairs]
        lines += ["", "Number of atoms                             ...      3"]
        note = "  (Wavefunction not fully converged!)" if number in failed else ""
        lines += [f"FINAL SINGLE POINT ENERGY     {atoms.calc.results['energy'] / Hartree:.9f}{note}"]
        lines += ["------------------", "CARTESIAN GRADIENT", "------------------", ""]
        gradient = -atoms.calc.results["forces"] * Bohr / Hartree
        lines += [
            f"   {n}   {s}   :  " + " ".join(f"{x:.9f}" for x in g)
            for n, (s, g) in enumerate(zip("OHH", gradient, strict=True), 1)
        ]
        lines += ["", "ORCA GEOMETRY RELAXATION STEP" if number < 2 else ""]
    lines += ["                 ****ORCA TERMINATED NORMALLY****"]
    path = folder / "orca.out"
    path.write_text("\n".join(lines) + "\n")
    return path
