"""Paths that are no files, and files that no reader may open."""

import os
import pickle
import socket

from equipot_test_support.hostile_data._common import Canary, make_file


def paths(folder):
    """What is no file, or must not be waited for."""
    for suffix in ("extxyz", "db", "json", "aselmdb", "traj", "npz", "h5", "lmdb"):
        pipe, directory, loop = (folder / f"{name}.{suffix}" for name in ("pipe", "directory", "loop"))
        os.mkfifo(pipe)
        directory.mkdir()
        loop.symlink_to(loop)
        (device := folder / f"device.{suffix}").symlink_to("/dev/zero")
        (linked := folder / f"linked.{suffix}").symlink_to(pipe)
        for name, path in (
            ("pipe", pipe),
            ("folder", directory),
            ("loop", loop),
            ("device", device),
            ("linked", linked),
            ("missing", folder / f"no.{suffix}"),
        ):
            yield f"{name} {suffix}", path
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(folder / "s.xyz"))
    yield "socket", folder / "s.xyz"


def formats(folder):
    """Formats whose readers start programs, unpickle or connect, and files that ASE would take for them."""
    for name in (
        "a.cell",
        "a.gpw",
        "a.py",
        "a.nc",
        "a.param",
        "a.vti",
        "a.cif",
        "a.in",
        "POSCAR",
        "postgres",
        "a.nomad-json",
        "a.bundle",
        "GEOMETRY.OUT",
        "input.xml",
        "a.mp4",
    ):
        yield name, make_file(folder, name, b"%BLOCK LATTICE_CART\n1 0 0\n")
    for content in (
        b"- of UlmGPAW            ",
        b"CDF\x01",
        b"*\n&system",
        b"  ___ ___ ___ _ _ _  \n",
        b"\n&SYSTEM\n",
        b"\x80\x04\x95" + pickle.dumps(Canary()),
    ):
        yield f"contents {content[:12]!r}", make_file(folder, f"contents {len(content)}", content)
