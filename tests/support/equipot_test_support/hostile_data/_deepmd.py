"""Hostile folders of DeePMD-kit."""

import os
import pickle

import numpy as np

from equipot_test_support import data_files
from equipot_test_support.hostile_data._common import HUGE, Canary, away, npy


def deepmd_folders(folder):
    """Folders of DeePMD-kit whose arrays, types or names are not what they should be, or lie elsewhere."""
    secret = folder / "secret"
    secret.write_bytes(npy((2,), "<f8", bytes(16)))

    def made(name, spoil):
        (folder / name).mkdir()
        root = data_files.deepmd(folder / name)
        spoil(root)
        return root

    for name in ("coord", "box", "energy", "force", "virial", "atom_ener", "real_atom_types"):
        yield f"{name} rows", made(f"{name} rows", _put(f"set.000/{name}.npy", npy((HUGE, 9), "<f8", bytes(144))))
        yield (
            f"{name} objects",
            made(f"{name} objects", _put(f"set.000/{name}.npy", npy((1,), "|O", pickle.dumps(Canary())))),
        )
    for name, path in {
        "energy": "set.000/energy.npy",
        "types": "type.raw",
        "set": "set.000",
        "map": "type_map.raw",
    }.items():
        yield f"{name} elsewhere", made(f"{name} elsewhere", _linked(path, secret))
        yield f"{name} pipe", made(f"{name} pipe", _piped(path))
    for name, content in {"bytes": b"\xff\xfe", "many": b"9" * 5000, "huge": str(HUGE).encode(), "nul": b"\0"}.items():
        yield f"types {name}", made(f"types {name}", _put("type.raw", content))
        yield f"names {name}", made(f"names {name}", _put("type_map.raw", content))
    yield "nan", made("nan", _put("set.000/coord.npy", npy((2, 9), "<f8", np.full(18, np.nan).tobytes())))
    yield "complex", made("complex", _put("set.000/coord.npy", npy((2, 9), "<c16", bytes(288))))


def _put(name, content):
    return lambda root: (root / name).write_bytes(content)


def _linked(name, target):
    return lambda root: away(root / name).symlink_to(target)


def _piped(name):
    return lambda root: os.mkfifo(away(root / name))
