"""Hostile HDF5 files."""

import zlib

import numpy as np

from equipot_test_support import data_files
from equipot_test_support.hostile_data._common import GIBIBYTE, HUGE, make_file


def hdf5_files(folder):
    """HDF5 files that lead elsewhere, go in circles, or state more than they store."""
    import h5py

    arrays = data_files.arrays()

    def made(name, change):
        path = folder / f"{name}.h5"
        with h5py.File(path, "w") as file:
            for key, what in (("R", "pos"), ("z", "species"), ("E", "energies"), ("F", "forces")):
                file[what] = arrays[key]
            change(file)
        return path

    def replaced(name, **options):
        def change(file):
            del file["pos"]
            file.create_dataset("pos", **options)

        return made(name, change)

    def chunk(file):
        del file["pos"]
        shape = (3, GIBIBYTE // 96, 3)
        item = file.create_dataset("pos", shape, "f8", chunks=shape, compression="gzip")
        item.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(2**20)) * 9)

    secret = make_file(folder, "secret", bytes(999))
    layout = h5py.VirtualLayout((3, 3, 3), "f8")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "pos", (3, 3, 3))
    for name, options in {
        "never written": {"shape": (HUGE, 3, 3), "dtype": "f8", "chunks": (1, 3, 3)},
        "not allocated": {"shape": (10**8, 3, 3), "dtype": "f8"},
        "no frames": {"shape": (0, 3, 3), "dtype": "f8"},
        "no atoms": {"shape": (3, 0, 3), "dtype": "f8"},
        "nothing": {"dtype": h5py.Empty("f8").dtype, "data": h5py.Empty("f8")},
        "scalar": {"data": 5.0},
        "text": {"data": "hello"},
        "flat": {"data": np.zeros(9)},
        "wide rows": {"shape": (1, 10**9, 3), "dtype": "f8", "chunks": (1, 1, 3)},
        "elsewhere": {"shape": (3, 3, 3), "dtype": "f8", "external": [(str(secret), 0, 999)]},
    }.items():
        yield name, replaced(name, **options)
    links = {
        "external link": lambda file: file.__setitem__("more", h5py.ExternalLink(str(secret), "/pos")),
        "soft link": lambda file: file.__setitem__("more", h5py.SoftLink("/pos")),
        "circle": _circle,
        "two circles": _two_circles,
        "chunk": chunk,
        "virtual": lambda file: file.create_virtual_dataset("more", layout),
        "dangling": lambda file: file.__setitem__("more", h5py.SoftLink("/nowhere")),
        "second name": lambda file: file.__setitem__("more", file["pos"]),
    }
    for name, change in links.items():
        yield name, made(name, change)
    yield (
        "foreign filter",
        made(
            "filter",
            lambda file: file.create_dataset(
                "x", (9,), "f8", chunks=(9,), compression=32001, allow_unknown_filter=True
            ),
        ),
    )
    whole = made("whole", lambda file: None).read_bytes()
    for name, content in {
        "cut": whole[: len(whole) // 2],
        "head": whole[:60],
        "text": b"hello",
        "zeros": whole[:96] + bytes(len(whole) - 96),
        "nothing": b"",
    }.items():
        yield name, make_file(folder, f"{name} of all.h5", content)


def _circle(file):
    file["again"] = file["/"]


def _two_circles(file):
    group = file.create_group("g")
    group["a"] = group["b"] = group
