"""Outputs of FHI-aims."""

from ase.stress import voigt_6_to_full_3x3_stress

from equipot_test_support.data_files._frames import frames


def aims(folder, *, failed=(), dynamics=False):
    """What FHI-aims prints in a relaxation or in molecular dynamics, as far as it is read.

    Args:
        folder: Where to write.
        failed: Numbers of the steps that do not converge, but go on.
        dynamics: Whether the geometry of a step is printed after its results.
    """
    water = frames()
    lines = ["          Invoking FHI-aims ...", "  Input geometry:", "  | Unit cell:"]
    lines += ["  |  " + " ".join(f"{x:.8f}" for x in row) for row in water[0].cell.array]
    lines += ["  | Atomic structure:", "  |       Atom                x [A]            y [A]            z [A]"]
    for n, (symbol, place) in enumerate(zip(water[0].symbols, water[0].positions, strict=True), 1):
        lines += [f"  |    {n}: Species {symbol}     " + " ".join(f"{x:.8f}" for x in place)]
    lines += ["", "  Begin self-consistency loop: Initialization.", ""]
    for number, atoms in enumerate(water):
        structure = ["                         x [A]             y [A]             z [A]"]
        structure += ["  lattice_vector  " + " ".join(f"{x:.8f}" for x in row) for row in atoms.cell.array] + [""]
        for symbol, place in zip(atoms.symbols, atoms.positions, strict=True):
            structure += ["            atom " + " ".join(f"{x:.8f}" for x in place) + f"   {symbol}"]
            structure += ["        velocity  0.0 0.0 0.0"] if dynamics else []
        if number and not dynamics:
            lines += ["  Updated atomic structure:", *structure, ""]
        results = atoms.calc.results
        lines += ["  | Electronic free energy  :  -1.0 Ha   -27.2 eV"]
        lines += [
            "  ** WARNING! SELF-CONSISTENCY CYCLE DID NOT CONVERGE"
            if number in failed
            else "  Self-consistency cycle converged."
        ]
        lines += ["", "  Energy and forces in a compact form:"]
        for name, energy in (("Total energy uncorrected", -7.0), ("Total energy corrected", -8.0)):
            lines += [f"  | {name}      :  {energy:.15E} eV"]
        lines += [f"  | Electronic free energy        :  {results['energy']:.15E} eV", ""]
        lines += ["  Total atomic forces (unitary forces cleaned) [eV/Ang]:"]
        lines += [f"  |    {n}  " + " ".join(f"{x:.15E}" for x in row) for n, row in enumerate(results["forces"], 1)]
        lines += ["  +----+", "  |              Analytical stress tensor - Symmetrized               |"]
        lines += ["  |                  Cartesian components [eV/A**3]                   |", "  +----+"]
        lines += ["  |                x                y                z                |", "  |          |"]
        tensor = voigt_6_to_full_3x3_stress(results["stress"])
        lines += [f"  |  {a} " + " ".join(f"{x:.8f}" for x in row) + " |" for a, row in zip("xyz", tensor, strict=True)]
        if dynamics:
            lines += ["  Atomic structure (and velocities) as used in the preceding time step:", *structure, ""]
        lines += ["  Begin self-consistency loop: Re-initialization."]
    path = folder / "aims.out"
    path.write_text("\n".join([*lines, "          Have a nice day."]) + "\n")
    return path
