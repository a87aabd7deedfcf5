"""Hostile extended XYZ, plain and compressed."""

import bz2
import gzip
import lzma
import zlib

import numpy as np

from equipot_test_support import data_files
from equipot_test_support.hostile_data._common import GIBIBYTE, HUGE, make_file

FRAME = "3\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-1.5{}\n" + "H 0 0 0 0 0 1\nO 0 0 1 0 0 1\nH 0 1 1 0 0 1\n"


def extxyz(folder):
    """Texts that are almost extended XYZ."""
    whole = FRAME.format("")
    texts = {
        f"count {number[:12]}": number + whole[1:]
        for number in (str(HUGE), "9" * 5000, "²", "-1", "1e9", "\uff13", "1_0", "0")
    }
    for columns in ("1000000000", "-3", "0", "x", "9" * 5000, "1.5", "²"):
        texts[f"columns {columns[:12]}"] = whole.replace("pos:R:3", f"pos:R:{columns}")
    comments = {
        "lattice": 'Lattice="1 2 3"',
        "text as lattice": "Lattice=x",
        "pbc": 'pbc="maybe"',
        "deep": 'x="_JSON ' + "[" * 100_000 + '"',
        "json": 'x="_JSON {"',
        "digits": 'energy="_JSON ' + "9" * 5000 + '"',
        "quote": 'x="',
        "key": "=5 = =",
        "stress": "stress=5",
        "text": "energy=low",
        "dipole": "dipole=x forces=5",
        "virial": 'virial="1 2"',
        "type": "Properties=species",
        "kind": "Properties=species:Q:1",
        "numbers": "energy=" + "9" * 400 + " energy=1e999",
        "config": "config_type=IsolatedAtom",
    }
    texts |= {f"comment {name}": FRAME.format(f" {comment}") for name, comment in comments.items()}
    texts |= {
        "empty": "",
        "blank": "\n\n\n",
        "words": "hello\nworld\n",
        "only a count": "3",
        "no atoms": "3\n\n",
        "nul": whole.replace("O", "\0"),
        "element": whole.replace("O", "Xx"),
        "element name": whole.replace("O", "O" * 10**6),
        "cut": whole[:-20],
        "nan": whole.replace("0 1 1", "nan 1 1"),
        "inf": whole.replace("0 1 1", "inf 1 1"),
        "rubbish": whole + "rubbish\n",
        "vectors": whole + "VEC1 1 0 0\nVEC7 x\n",
        "vector": whole + "VEC\n",
        "after a blank": f"{whole}\n{whole}",
        "fewer columns": whole.replace(" 0 0 1\n", " 0\n"),
        "returns": whole.replace("\n", "\r\r"),
        "number": "3\nProperties=Z:I:1:pos:R:3 energy=1\n500 0 0 0\n-7 0 0 0\n1 0 0 0\n",
        "big number": f"1\nProperties=Z:I:1:pos:R:3\n{HUGE} 0 0 0\n",
        "forces for one": whole.replace("forces:R:3", "forces:R:2:x:R:1"),
        "million columns": f"1\nProperties=species:S:1:pos:R:1000000\nH {'1 ' * 10**6}\n",
    }
    for name, text in texts.items():
        yield name, make_file(folder, f"{name}.extxyz", text.encode())
    raw = {
        "latin": whole.replace("O", "\xd6").encode("latin-1"),
        "utf-16": whole.encode("utf-16"),
        "random": np.random.default_rng(0).bytes(9999),
    }
    for name, content in raw.items():
        yield name, make_file(folder, f"{name}.xyz", content)


def compressed(folder):
    """Bombs, and what is not compressed."""
    zeros = bytes(2**20)
    pressing = {"gz": zlib.compressobj(9, zlib.DEFLATED, 31), "bz2": bz2.BZ2Compressor(), "xz": lzma.LZMACompressor()}
    plain = FRAME.format("").encode()
    for suffix, press in pressing.items():
        bomb = b"".join([press.compress(zeros) for _ in range(GIBIBYTE // 2**20 // 4)]) + press.flush()
        for kind in ("xyz", "traj", "json", "xml", "pwo"):
            yield f"zeros {kind}.{suffix}", make_file(folder, f"vasprun.{kind}.{suffix}", bomb)
        yield f"many {suffix}", make_file(folder, f"many.xyz.{suffix}", bomb * 4)
        yield f"plain {suffix}", make_file(folder, f"plain.xyz.{suffix}", plain)
        yield f"empty {suffix}", make_file(folder, f"empty.xyz.{suffix}", b"")
    packed = {"gz": gzip.compress(plain * 999), "bz2": bz2.compress(plain * 999), "xz": lzma.compress(plain * 999)}
    for suffix, content in packed.items():
        yield f"cut {suffix}", make_file(folder, f"cut.xyz.{suffix}", content[: len(content) // 2])
        yield f"checksum {suffix}", make_file(folder, f"sum.xyz.{suffix}", content[:-6] + b"abcdef")
    yield "compressed database", make_file(folder, "a.db.gz", gzip.compress(data_files.sqlite(folder).read_bytes()))
