"""Outputs of VASP."""

import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import GPa

from equipot_test_support.data_files._frames import frames


def outcar(folder, *, failed=(), version=6, smearing=0.0, spin=False):
    """What VASP prints, as far as it is read.

    Args:
        folder: Where to write.
        failed: Numbers of the steps that do not converge.
        version: 5 only leaves out that the loop converged, 6 says that it did not.
        smearing: What the extrapolated energy is above the free one, in eV.
        spin: Whether there are magnetic moments.
    """
    elements, atoms = "OH", frames()[0]
    lines = [f" POTCAR:    PAW_PBE {one} 02Aug2007" for one in elements * 2]
    lines += ["   ions per type =               1   2", f"   ISPIN  =      {1 + spin}    spin polarized calculation?"]
    lines += ["   NELM   =      4;   NELMIN=  2; NELMDL= -5     # of ELM steps"]
    reached = "aborting loop because EDIFF is reached"
    lost = {5: "", 6: "aborting loop EDIFF was not reached (unconverged)"}[version]
    for number, atoms in enumerate(frames()):
        forces, stress = atoms.calc.results["forces"], atoms.calc.results["stress"][[0, 1, 2, 5, 3, 4]]
        table = np.hstack([atoms.positions, forces])
        cycles = 4 if number in failed else 3
        lines += [f"--------- Iteration      {number + 1}( {one:3d})  ---------" for one in range(1, cycles + 1)]
        lines += [f"-------- {lost if number in failed else reached} --------"]
        if spin:
            lines += [" magnetization (x)", "", "# of ion       s       p       d       tot", "-" * 42]
            lines += [f"    {n}        0.1  0.2  0.0  {0.5 * n:.3f}" for n in (1, 2, 3)]
        lines += ["  in kB " + " ".join(f"{-one / GPa * 10:.5f}" for one in stress)]
        lines += ["      direct lattice vectors                 reciprocal lattice vectors"]
        lines += [" ".join(f"{one:.9f}" for one in [*row, 0, 0, 0]) for row in atoms.cell.array]
        lines += [" POSITION                                       TOTAL-FORCE (eV/Angst)", " ---"]
        lines += [" ".join(f"{one:.6f}" for one in row) for row in table]
        lines += ["  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)", " ---"]
        energy = atoms.calc.results["energy"]
        lines += [f"  free  energy   TOTEN  =  {energy - smearing:.8f} eV", ""]
        lines += [f"  energy  without entropy=  {energy:.8f}  energy(sigma->0) =  {energy:.8f}"]
    path = folder / "OUTCAR"
    path.write_text("\n".join(lines) + "\n")
    return path


def vasprun(folder, *, failed=(), last_step=(), smearing=0.0, pressure=0.0):
    """VASP's XML, as far as it is read; e_0_energy of whole steps is wrong, as in some versions.

    Args:
        folder: Where to write.
        failed: Numbers of the steps that do not converge.
        last_step: Numbers of the steps that converge with the last electronic step that is allowed.
        smearing: What the extrapolated energy is above the free one, in eV.
        pressure: PSTRESS in kbar.
    """
    atoms = frames()[0]

    def rows(values):
        return "".join("<v>" + " ".join(f"{one:.8f}" for one in row) + "</v>" for row in values)

    def structure(atoms, name=""):
        cell = f'<crystal><varray name="basis">{rows(atoms.cell.array)}</varray></crystal>'
        places = f'<varray name="positions">{rows(atoms.get_scaled_positions(wrap=False))}</varray>'
        return f"<structure{name}>{cell}{places}</structure>"

    def energies(free, extrapolated):
        return f'<energy><i name="e_fr_energy">{free:.8f}</i><i name="e_0_energy">{extrapolated:.8f}</i></energy>'

    species = "".join(f"<rc><c>{one}</c><c>1</c></rc>" for one in atoms.symbols)
    steps = ""
    for number, one in enumerate(frames()):
        results, outer = one.calc.results, pressure * GPa / 10 * one.get_volume()
        changes = [0.3, 0.02] + ([0.001, 0.0] if number in failed else [0.00005, 0.0] if number in last_step else [0.0])
        cycles = "".join(
            f"<scstep>{energies(results['energy'] - smearing + change, results['energy'] + change)}</scstep>"
            for change in changes
        )
        forces = f'<varray name="forces">{rows(results["forces"])}</varray>'
        stress = f'<varray name="stress">{rows(-voigt_6_to_full_3x3_stress(results["stress"]) / GPa * 10)}</varray>'
        whole = energies(results["energy"] - smearing + outer, 0.0)
        steps += f"<calculation>{cycles}{structure(one)}{forces}{stress}{whole}</calculation>\n"
    points = '<varray name="kpointlist"><v>0 0 0</v></varray><varray name="weights"><v>1</v></varray>'
    path = folder / "vasprun.xml"
    path.write_text(
        f'<?xml version="1.0"?><modeling><kpoints>{points}</kpoints><parameters><i name="ENCUT">400</i>'
        f'<separator name="electronic"><i type="int" name="NELM">4</i>'
        '<i name="EDIFF">      0.00010000</i></separator>'
        f'<i name="PSTRESS">{pressure}</i></parameters>'
        f'<atominfo><array name="atoms"><set>{species}</set></array></atominfo>'
        + structure(atoms, ' name="initialpos"')
        + "\n"
        + steps
        + "</modeling>"
    )
    return path
