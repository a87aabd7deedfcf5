"""Files in ASE's own formats, in those it has a writer for, and compressed ones."""

import gzip
import json
import lzma
import zlib
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from ase.io.formats import ioformats
from ase.io.jsonio import encode

from equipot_test_support.data_files._frames import frames, write_frames


def extxyz(folder):
    """Extended XYZ, as ASE writes it."""
    return write_frames(folder / "a.extxyz", format="extxyz")


def traj(folder):
    """A trajectory of ASE."""
    return write_frames(folder / "a.traj")


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
    return write_frames(folder / "input.data", format="runnerdata")


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
