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
from ase.calculators.lj import LennardJones
from ase.io.jsonio import encode
from ase.units import Bohr, GPa, Hartree, Rydberg

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


def outcar(folder):
    """What VASP prints, as far as it is read."""
    elements, atoms = "OH", frames()[0]
    lines = [f" POTCAR:    PAW_PBE {one} 02Aug2007" for one in elements * 2]
    lines += ["   ions per type =               1   2", "   ISPIN  =      1    spin polarized calculation?"]
    for number, atoms in enumerate(frames()):
        forces, stress = atoms.calc.results["forces"], atoms.calc.results["stress"][[0, 1, 2, 5, 3, 4]]
        table = np.hstack([atoms.positions, forces])
        lines += [f"--------- Iteration      {number + 1}(   1)  ---------"]
        lines += ["  in kB " + " ".join(f"{-one / GPa * 10:.5f}" for one in stress)]
        lines += ["      direct lattice vectors                 reciprocal lattice vectors"]
        lines += [" ".join(f"{one:.9f}" for one in [*row, 0, 0, 0]) for row in atoms.cell.array]
        lines += [" POSITION                                       TOTAL-FORCE (eV/Angst)", " ---"]
        lines += [" ".join(f"{one:.6f}" for one in row) for row in table]
        lines += ["  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)", " ---"]
        energy = atoms.calc.results["energy"]
        lines += [f"  free  energy   TOTEN  =  {energy:.8f} eV", ""]
        lines += [f"  energy  without entropy=  {energy:.8f}  energy(sigma->0) =  {energy:.8f}"]
    path = folder / "OUTCAR"
    path.write_text("\n".join(lines) + "\n")
    return path


def vasprun(folder):
    """VASP's XML, as far as it is read."""
    atoms = frames()[0]

    def rows(values):
        return "".join("<v>" + " ".join(f"{one:.8f}" for one in row) + "</v>" for row in values)

    def structure(atoms, name=""):
        cell = f'<crystal><varray name="basis">{rows(atoms.cell.array)}</varray></crystal>'
        places = f'<varray name="positions">{rows(atoms.get_scaled_positions())}</varray>'
        return f"<structure{name}>{cell}{places}</structure>"

    species = "".join(f"<rc><c>{one}</c><c>1</c></rc>" for one in atoms.symbols)
    steps = ""
    for one in frames():
        energies = [f'<i name="{name}">{one.calc.results["energy"]:.8f}</i>' for name in ("e_fr_energy", "e_0_energy")]
        energy = f"<energy>{''.join(energies)}</energy>"
        forces = f'<varray name="forces">{rows(one.calc.results["forces"])}</varray>'
        steps += f"<calculation><scstep>{energy}</scstep>{structure(one)}{forces}{energy}</calculation>"
    points = '<varray name="kpointlist"><v>0 0 0</v></varray><varray name="weights"><v>1</v></varray>'
    path = folder / "vasprun.xml"
    path.write_text(
        f'<?xml version="1.0"?><modeling><kpoints>{points}</kpoints><parameters><i name="ENCUT">400</i></parameters>'
        f'<atominfo><array name="atoms"><set>{species}</set></array></atominfo>'
        + structure(atoms, ' name="initialpos"')
        + steps
        + "</modeling>"
    )
    return path


def espresso(folder):
    """What pw.x prints, as far as it is read."""
    atoms = frames()[0]
    length = 5.0
    lines = ["     Program PWSCF v.7.2 starts", "     number of atoms/cell      =            3"]
    lines += [
        "     number of atomic types    =            2",
        f"     celldm(1)=   {length / Bohr:.6f}  celldm(2)=   0.0",
    ]
    lines += ["     crystal axes: (cart. coord. in units of alat)"]
    axes = enumerate(atoms.cell.array / length, 1)
    lines += [f"               a({n}) = (   {a:.6f}   {b:.6f}   {c:.6f} )" for n, (a, b, c) in axes]
    lines += ["     site n.     atom                  positions (alat units)"]
    for number, (symbol, place) in enumerate(zip(atoms.symbols, atoms.positions / length, strict=True), 1):
        lines += [
            f"         {number}           {symbol}   tau(   {number}) = (" + " ".join(f"{x:.7f}" for x in place) + "  )"
        ]
    for one in frames():
        results = one.calc.results
        lines += [f"!    total energy              =   {results['energy'] / Rydberg:.8f} Ry"]
        lines += ["", "     Forces acting on atoms (cartesian axes, Ry/au):", ""]
        for number, force in enumerate(results["forces"] / (Rydberg / Bohr), 1):
            lines += [f"     atom    {number} type  1   force = " + " ".join(f"{x:.8f}" for x in force)]
        lines += ["", "CELL_PARAMETERS (angstrom)"]
        lines += [" ".join(f"{x:.9f}" for x in row) for row in one.cell.array]
        lines += ["", "ATOMIC_POSITIONS (angstrom)"]
        lines += [
            f"{s} " + " ".join(f"{x:.9f}" for x in place) for s, place in zip(one.symbols, one.positions, strict=True)
        ]
    path = folder / "a.pwo"
    path.write_text("\n".join(lines) + "\n")
    return path


def gaussian(folder):
    """What Gaussian prints, as far as it is read."""
    lines = [" Entering Gaussian System, Link 0=g16"]
    for atoms in frames():
        rows = list(zip(atoms.numbers, atoms.positions, atoms.calc.results["forces"] * Bohr / Hartree, strict=True))
        lines += ["                         Input orientation:", "-", "-", "-", "-"]
        lines += [f"      {n}  {z}  0  " + " ".join(f"{x:.6f}" for x in p) for n, (z, p, _) in enumerate(rows, 1)]
        lines += ["-", f" SCF Done:  E(RPBE) =  {atoms.calc.results['energy'] / Hartree:.9f}     A.U. after 9 cycles"]
        lines += [" Center     Atomic                   Forces (Hartrees/Bohr)", "-", "-"]
        lines += [f"      {n}  {z}   " + " ".join(f"{x:.9f}" for x in f) for n, (z, _, f) in enumerate(rows, 1)]
        lines += ["-"]
    path = folder / "a.log"
    path.write_text("\n".join(lines) + "\n")
    return path


def orca(folder):
    """What ORCA prints, as far as it is read."""
    atoms = frames()[0]
    lines = ["                 * O   R   C   A *", "CARTESIAN COORDINATES (ANGSTROEM)", "-"]
    lines += [f"  {s} " + " ".join(f"{x:.6f}" for x in p) for s, p in zip(atoms.symbols, atoms.positions, strict=True)]
    lines += ["", "Number of atoms                             ...      3", "CARTESIAN GRADIENT", "-", ""]
    gradient = -atoms.calc.results["forces"] * Bohr / Hartree
    lines += [
        f"   {n}   {s}   :  " + " ".join(f"{x:.9f}" for x in g)
        for n, (s, g) in enumerate(zip("OHH", gradient, strict=True), 1)
    ]
    lines += [f"FINAL SINGLE POINT ENERGY     {atoms.calc.results['energy'] / Hartree:.9f}"]
    lines += ["                 ****ORCA TERMINATED NORMALLY****"]
    path = folder / "orca.out"
    path.write_text("\n".join(lines) + "\n")
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
    "runnerdata": runner, "gz": gz, "xz": xz,
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
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(f"{name}.npy", change(content.getvalue()))
    return path


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
