"""Outputs of Quantum ESPRESSO."""

from ase.io.espresso import units
from ase.stress import voigt_6_to_full_3x3_stress

from equipot_test_support.data_files._frames import frames


def espresso(folder, *, failed=(), exchange=False):
    """What pw.x prints, as far as it is read.

    Args:
        folder: Where to write.
        failed: Numbers of the steps that do not converge, but go on.
        exchange: Whether exact exchange follows a functional without it, so that there are several energies.
    """
    atoms = frames()[0]
    length = 5.0
    lines = ["     Program PWSCF v.7.2 starts", "     number of atoms/cell      =            3"]
    lines += [
        "     number of atomic types    =            2",
        f"     celldm(1)=   {length / units['Bohr']:.9f}  celldm(2)=   0.0",
    ]
    lines += ["     EXX-fraction              =        0.25"] if exchange else []
    lines += ["     crystal axes: (cart. coord. in units of alat)"]
    axes = enumerate(atoms.cell.array / length, 1)
    lines += [f"               a({n}) = (   {a:.6f}   {b:.6f}   {c:.6f} )" for n, (a, b, c) in axes]
    lines += ["     site n.     atom                  positions (alat units)"]
    for number, (symbol, place) in enumerate(zip(atoms.symbols, atoms.positions / length, strict=True), 1):
        lines += [
            f"         {number}           {symbol}   tau(   {number}) = (" + " ".join(f"{x:.7f}" for x in place) + "  )"
        ]
    for step, one in enumerate(frames()):
        results = one.calc.results
        if exchange:
            lines += ["!    total energy              =   -99.00000000 Ry", "     EXX: now go back to refine exchange"]
        energy = f"    total energy              =   {results['energy'] / units['Ry']:.8f} Ry"
        if step in failed:
            lines += ["     convergence NOT achieved after 100 iterations: stopping", f" {energy}"]
        else:
            lines += [f"!{energy}", "     convergence has been achieved in   9 iterations"]
        lines += ["", "!!" + energy[1:], "", "     EXX self-consistency reached"] if exchange else []
        lines += ["", "     Forces acting on atoms (cartesian axes, Ry/au):", ""]
        for number, force in enumerate(results["forces"] / (units["Ry"] / units["Bohr"]), 1):
            lines += [f"     atom    {number} type  1   force = " + " ".join(f"{x:.8f}" for x in force)]
        tensor = -voigt_6_to_full_3x3_stress(results["stress"]) / (units["Ry"] / units["Bohr"] ** 3)
        lines += ["", "     Computing stress (Cartesian axis) and pressure", ""]
        lines += ["          total   stress  (Ry/bohr**3)                   (kbar)     P=        0.0"]
        lines += [" ".join(f"{x:.12f}" for x in [*row, 0, 0, 0]) for row in tensor]
        lines += ["", "CELL_PARAMETERS (angstrom)"]
        moved = frames()[min(step + 1, 2)]
        lines += [" ".join(f"{x:.9f}" for x in row) for row in moved.cell.array]
        lines += ["", "ATOMIC_POSITIONS (angstrom)"]
        places = zip(moved.symbols, moved.positions, strict=True)
        lines += [f"{symbol} " + " ".join(f"{x:.9f}" for x in place) for symbol, place in places]
    path = folder / "a.pwo"
    path.write_text("\n".join(lines) + "\n")
    return path
