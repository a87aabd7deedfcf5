"""Hostile LMDB files."""

import json
import pickle
import struct
import zlib

from equipot_test_support import data_files
from equipot_test_support.hostile_data._common import GIBIBYTE, HUGE, Canary, make_file


def lmdb_files(folder):
    """LMDB files that are cut off or damaged, and values that are not frames."""
    import lmdb

    def stored(name, values):
        path = folder / name
        with (
            lmdb.open(str(path), subdir=False, lock=False, sync=False, map_size=2**26) as made,
            made.begin(write=True) as writer,
        ):
            for key, value in values.items():
                writer.put(key, value)
        return path

    whole = data_files.lmdb_frames(folder).read_bytes()
    for pages in (0.3, 1, 1.5, 2, 2.5, 3, len(whole) / 4096 - 1, len(whole) / 4096 - 0.5):
        yield f"cut at page {pages}", make_file(folder, f"cut {pages}.lmdb", whole[: int(pages * 4096)])
        yield (
            f"zeros from page {pages}",
            make_file(folder, f"zeros {pages}.lmdb", whole[: int(pages * 4096)].ljust(len(whole), b"\0")),
        )
        yield (
            f"ones from page {pages}",
            make_file(folder, f"ones {pages}.lmdb", whole[: int(pages * 4096)].ljust(len(whole), b"\xff")),
        )
    for name, place, value in (
        ("root", 128, 2**40),
        ("root of itself", 128, 0),
        ("last page", 136, 2**50),
        ("size of a page", 40, 3),
        ("entries", 120, HUGE),
    ):
        content = bytearray(whole)
        for start in (0, 4096):
            content[start + place : start + place + 8] = struct.pack("<Q", value)
        yield name, make_file(folder, f"{name}.lmdb", bytes(content))
    header = {"format": "equipot frames", "version": 1, "frames": 1}
    first = b"000000000000"
    headers = {
        "many": {**header, "frames": HUGE},
        "negative": {**header, "frames": -1},
        "half": {**header, "frames": 1.0},
        "new": {**header, "version": 2},
        "list": [1],
    }
    for name, changed in headers.items():
        yield f"{name} frames", stored(f"{name}.lmdb", {b"format": json.dumps(changed).encode(), first: b""})
    lies = {
        "pickle": pickle.dumps(Canary()),
        "nothing": b"",
        "length": struct.pack("<Q", HUGE),
        "shape": _safetensors([10**9, 3], 72),
        "negative": _safetensors([-3, 3], 72),
        "type": _safetensors([3, 3], 72, "F7"),
        "text": b"\x05\0\0\0\0\0\0\0hello",
        "deep": struct.pack("<Q", 99999) + b"[" * 99999,
        "half": _safetensors([18, 2], 72, "BF16"),
    }
    for name, value in lies.items():
        yield f"value {name}", stored(f"value {name}.lmdb", {b"format": json.dumps(header).encode(), first: value})
    yield "pickles", stored("pickles.lmdb", {b"0": pickle.dumps(Canary()), b"length": pickle.dumps(1)})
    bomb = zlib.compress(bytes(GIBIBYTE // 4))
    good = zlib.compress(b"2")
    rows = {
        "bomb": {b"1": bomb, b"nextid": good},
        "missing": {b"1": bomb, b"nextid": zlib.compress(b"99")},
        "next bomb": {b"nextid": bomb},
        "many": {b"nextid": zlib.compress(b"9" * 30)},
    }
    rows |= {
        "pickle": {b"1": pickle.dumps(Canary()), b"nextid": good},
        "nothing": {},
        "words": {b"nextid": zlib.compress(b'"x"')},
        "row": {b"1": zlib.compress(b"[1]"), b"nextid": good},
    }
    for name, values in rows.items():
        yield f"rows {name}", stored(f"rows {name}.aselmdb", values)
    yield "text", make_file(folder, "text.lmdb", b"text" * 5000)
    yield "text rows", make_file(folder, "text.aselmdb", b"text" * 5000)


def _safetensors(shape, size, kind="F64"):
    head = json.dumps({"positions": {"dtype": kind, "shape": shape, "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(head)) + head + bytes(size)
