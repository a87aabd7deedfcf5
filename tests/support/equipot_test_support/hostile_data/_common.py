"""What families of hostile files are made of."""

import os
import struct

HUGE = 10**12
GIBIBYTE = 2**30


def make_file(folder, name, content):
    """Write these bytes, and give the path."""
    path = folder / name.replace("/", " ")
    path.write_bytes(content)
    return path


def npy(shape, kind, content):
    """The bytes of an NPY file whose header may state what its content is not."""
    head = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head + content


class Canary:
    """Unpickling makes a file."""

    def __reduce__(self):
        return os.mkdir, ("canary",)


def away(path):
    """Remove a file, or move a folder aside, so that something else can have its name."""
    if path.is_dir():
        path.rename(path.parent.parent / path.name)
    else:
        path.unlink()
    return path
