"""Small valid files of every format that core and the toolbox read, made anew for each test."""

import gzip
import io
import json
import lzma
import zlib
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from ase.io.espresso import units
from ase.io.formats import ioformats
from ase.io.jsonio import encode
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import Bohr, GPa, Hartree, bar

from equipot.data import collect_frames
from equipot.data._frames import label_contract
from equipot.data._stored import Storage
from equipot.data._writers import write_packed
from equipot_test_support.water import random_labels


def frames(number=3):
    """Labelled water molecules in a cell."""
    return random_labels(number, cell=[5.0, 5.5, 6.0], stress=np.arange(6.0) / 100)


def extxyz(folder):
    """Extended XYZ, as ASE writes it."""
    return _written(folder / "a.extxyz", format="extxyz")


def traj(folder):
    """A trajectory of ASE."""
    return _written(folder / "a.traj")


def _written(path, **options):
    ase.io.write(path, frames(), **options)
    return path


def sqlite(folder):
    """An SQLite database of ASE with key-value pairs and data."""
    return _database(folder / "a.db")


def json_rows(folder):
    """A JSON database of ASE."""
    return _database(folder / "a.json")


def _database(path):
    with ase.db.connect(path, use_lock_file=False) as database:
        for atoms in frames():
            database.write(atoms, {"source": "made", "factor": 1.5}, data={"more": np.arange(3.0), "list": [1, [2]]})
    return path


def aselmdb(folder, change=lambda text: text):
    """An LMDB database in the layout of ase-db-backends."""
    import lmdb

    rows = json.loads(json_rows(folder).read_text())
    path = folder / "a.aselmdb"
    values = {str(number): rows[str(number)] for number in rows["ids"]} | {"nextid": rows["nextid"], "deleted_ids": []}
    with lmdb.open(str(path), subdir=False, lock=False, map_size=2**24) as stored, stored.begin(write=True) as writer:
        for key, value in values.items():
            writer.put(key.encode(), zlib.compress(change(encode(value).encode())))
    return path


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


def castep(folder):
    """A molecular dynamics file of CASTEP."""
    atoms = frames(1)[0]
    atoms.set_velocities(np.ones((3, 3)))
    atoms.calc = LennardJones()
    atoms.get_forces()
    atoms.get_stress()
    path = folder / "a.md"
    ase.io.write(path, atoms, format="castep-md")
    return path


def runner(folder):
    """Input data of RuNNer and n2p2."""
    if "runnerdata" not in ioformats:
        pytest.skip("needs a newer ASE")
    return _written(folder / "input.data", format="runnerdata")


def gz(folder):
    """Compressed extended XYZ."""
    return _compressed(extxyz(folder), ".gz", gzip.compress)


def xz(folder):
    """Compressed extended XYZ, the other way."""
    return _compressed(extxyz(folder), ".xz", lzma.compress)


def _compressed(path, suffix, compress):
    packed = Path(f"{path}{suffix}")
    packed.write_bytes(compress(path.read_bytes()))
    return packed


CORE = {
    "extxyz": extxyz, "traj": traj, "db": sqlite, "json": json_rows, "aselmdb": aselmdb, "vasp-out": outcar,
    "vasp-xml": vasprun, "espresso-out": espresso, "gaussian-out": gaussian, "orca-output": orca, "castep-md": castep,
    "runnerdata": runner, "gz": gz, "xz": xz, "cp2k-output": cp2k, "cp2k-trajectory": cp2k_run, "aims-output": aims,
}  # fmt: skip
"""Functions that write a file of a format into a folder and give its path."""


def npz(folder, change=lambda content: content, **options):
    """An NPZ archive as those of sGDML.

    Args:
        folder: Where to write.
        change: Applied to the bytes of each array.
        options: ``compression`` of ``zipfile.ZipFile``.
    """
    import zipfile

    path = folder / "a.npz"
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, array in arrays().items():
            archive.writestr(f"{name}.npy", change(npy(array)))
    return path


def packed_arrays():
    """The arrays of a packed archive as ``equipot data convert`` writes it, by name."""
    contract = label_contract(None)
    collection = collect_frames(((f"frame {index}", atoms) for index, atoms in enumerate(frames())), contract)
    made = io.BytesIO()
    write_packed(made, Storage.of(collection, "metal").frames(collection))
    made.seek(0)
    return dict(np.load(made))


def npy(array):
    """The bytes of an NPY file."""
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def arrays():
    """Frames of equal composition as arrays."""
    water = frames()
    return {
        "R": np.stack([atoms.positions for atoms in water]),
        "z": water[0].numbers,
        "E": np.array([atoms.calc.results["energy"] for atoms in water]),
        "F": np.stack([atoms.calc.results["forces"] for atoms in water]),
    }


def hdf5(folder, **options):
    """An HDF5 file with two groups.

    Args:
        folder: Where to write.
        options: Of the data sets, e.g. ``compression``.
    """
    import h5py

    path = folder / "a.h5"
    names = {"R": "pos", "z": "species", "E": "energies", "F": "forces"}
    with h5py.File(path, "w") as file:
        for group in ("first", "second"):
            for name, array in arrays().items():
                file.create_dataset(f"{group}/{names[name]}", data=array, **options)
    return path


def lmdb_frames(folder):
    """An LMDB file of the toolbox."""
    from equipot_toolbox import write_lmdb

    write_lmdb(folder / "a.lmdb", frames(8))
    return folder / "a.lmdb"


TOOLBOX = {"npz": npz, "hdf5": hdf5, "lmdb": lmdb_frames}
"""The same for the data sets of the toolbox."""


def deepmd(folder, *, periodic=True, mixed=False):
    """A folder of DeePMD-kit with two sets.

    Args:
        folder: Where to write.
        periodic: Whether there are cells and virials.
        mixed: Whether each frame has its own types, with an atom that only fills up.
    """
    root, water = folder / "system", frames()
    root.mkdir()
    (root / "type_map.raw").write_text("H\nO\n")
    types = np.array([["H", "O"].index(one) for one in water[0].symbols])
    extra = np.zeros((1, 3)) if mixed else np.zeros((0, 3))
    (root / "type.raw").write_text("\n".join("0" if mixed else str(one) for one in [*types, *extra[:, 0]]) + "\n")
    if not periodic:
        (root / "nopbc").touch()
    for name, some in (("set.000", water[:2]), ("set.001", water[2:])):
        (root / name).mkdir()
        results = [atoms.calc.results for atoms in some]
        arrays = {
            "coord": np.stack([np.vstack([atoms.positions, extra]) for atoms in some]).reshape(len(some), -1),
            "force": np.stack([np.vstack([one["forces"], extra]) for one in results]).reshape(len(some), -1),
            "energy": np.array([one["energy"] for one in results]),
        }
        if periodic:
            arrays["box"] = np.stack([atoms.cell.array.ravel() for atoms in some])
            arrays["virial"] = np.stack(
                [
                    -voigt_6_to_full_3x3_stress(atoms.calc.results["stress"]).ravel() * atoms.get_volume()
                    for atoms in some
                ]
            )
        if mixed:
            arrays["real_atom_types"] = np.array([[*types, -1]] * len(some))
        for key, array in arrays.items():
            np.save(root / name / f"{key}.npy", array)
    return root
