"""Hostile data files for every reader: each must be refused, quickly and without much memory.

``python -m equipot_test_support.hostile_data FOLDER`` reads all of them under an audit hook and prints what happened to
each as JSON.
"""

import bz2
import faulthandler
import gzip
import json
import lzma
import os
import pickle
import re
import socket
import sqlite3
import struct
import sys
import time
import traceback
import zipfile
import zlib
from pathlib import Path

import numpy as np

from equipot.errors import DataError
from equipot_test_support import data_files
from equipot_test_support.data_fuzz import SECONDS_EACH, Watch, allowed, read

HUGE = 10**12
FRAME = "3\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-1.5{}\n" + "H 0 0 0 0 0 1\nO 0 0 1 0 0 1\nH 0 1 1 0 0 1\n"
GIBIBYTE = 2**30


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
        yield name, _file(folder, f"{name}.extxyz", text.encode())
    raw = {
        "latin": whole.replace("O", "\xd6").encode("latin-1"),
        "utf-16": whole.encode("utf-16"),
        "random": np.random.default_rng(0).bytes(9999),
    }
    for name, content in raw.items():
        yield name, _file(folder, f"{name}.xyz", content)


def _file(folder, name, content):
    path = folder / name.replace("/", " ")
    path.write_bytes(content)
    return path


def compressed(folder):
    """Bombs, and what is not compressed."""
    zeros = bytes(2**20)
    pressing = {"gz": zlib.compressobj(9, zlib.DEFLATED, 31), "bz2": bz2.BZ2Compressor(), "xz": lzma.LZMACompressor()}
    plain = FRAME.format("").encode()
    for suffix, press in pressing.items():
        bomb = b"".join([press.compress(zeros) for _ in range(GIBIBYTE // 2**20 // 4)]) + press.flush()
        for kind in ("xyz", "traj", "json", "xml", "pwo"):
            yield f"zeros {kind}.{suffix}", _file(folder, f"vasprun.{kind}.{suffix}", bomb)
        yield f"many {suffix}", _file(folder, f"many.xyz.{suffix}", bomb * 4)
        yield f"plain {suffix}", _file(folder, f"plain.xyz.{suffix}", plain)
        yield f"empty {suffix}", _file(folder, f"empty.xyz.{suffix}", b"")
    packed = {"gz": gzip.compress(plain * 999), "bz2": bz2.compress(plain * 999), "xz": lzma.compress(plain * 999)}
    for suffix, content in packed.items():
        yield f"cut {suffix}", _file(folder, f"cut.xyz.{suffix}", content[: len(content) // 2])
        yield f"checksum {suffix}", _file(folder, f"sum.xyz.{suffix}", content[:-6] + b"abcdef")
    yield "compressed database", _file(folder, "a.db.gz", gzip.compress(data_files.sqlite(folder).read_bytes()))


def trajectories(folder):
    """Trajectories whose header, index or arrays are not what they state."""
    whole = data_files.traj(folder).read_bytes()
    for place, name in ((24, "version"), (32, "frames"), (40, "index")):
        for value in (HUGE, -1, len(whole), 2**62):
            if (place, value) not in ((24, HUGE), (24, -1), (24, len(whole)), (24, 2**62)):
                yield (
                    f"{name} {value}",
                    _file(
                        folder, f"{name} {value}.traj", whole[:place] + struct.pack("<q", value) + whole[place + 8 :]
                    ),
                )
    shapes = {"rows": [10**9, 3], "negative": [-3, -3], "deep": [3] * 70, "none": [None], "text": ["3", "3"]}
    for name, shape in shapes.items():
        yield (
            f"shape {name}",
            _file(folder, f"shape {name}.traj", _trajectory([{"positions.": {"ndarray": [shape, "float64", 56]}}])),
        )
    for kind in ("object", "V1000000000", "U1000000000", "nonsense", "float64,float64"):
        yield (
            f"type {kind}",
            _file(folder, f"type {kind}.traj", _trajectory([{"positions.": {"ndarray": [[3, 3], kind, 56]}}])),
        )
    more = {"__ndarray__": [[10**9], "float64", [1.0]]}
    basis = {"version": 1, "pbc": [True] * 3, "cell": [[1, 0, 0]] * 3, "numbers.": {"ndarray": [[3], "int64", 56]}}
    place = {"positions.": {"ndarray": [[3, 3], "float64", 56]}}
    yield "array", _file(folder, "array.traj", _trajectory([{**basis, **place, "info": {"x": more}}]))
    yield "no positions", _file(folder, "none.traj", _trajectory([basis]))
    yield "not a mapping", _file(folder, "list.traj", _trajectory([[1, 2]]))
    yield "no pbc", _file(folder, "pbc.traj", _trajectory([place]))
    shared = {
        **basis,
        "numbers.": {"ndarray": [[10**5], "int64", 0]},
        "positions.": {"ndarray": [[10**5, 3], "float64", 0]},
    }
    yield "shared arrays", _file(folder, "shared.traj", _trajectory([shared] * 4000, bytes(3 * 10**6)))
    yield "shared items", _file(folder, "items.traj", _trajectory([{**basis, **place}], b"", 10**6))
    yield "cut", _file(folder, "cut.traj", whole[: len(whole) // 2])
    yield "empty", _file(folder, "empty.traj", b"")
    yield "gpaw", _file(folder, "gpaw.traj", b"- of UlmGPAW            " + whole[24:])
    yield "pickle", _file(folder, "pickle.traj", b"PickleTrajectory" + pickle.dumps(_Canary()))


def _trajectory(items, arrays=b"", repeated=1):
    """The bytes of a trajectory with these items, whose arrays start at byte 56."""
    body, places = bytearray(bytes(80) + arrays), []
    for item in items:
        places.append(48 + len(body))
        text = json.dumps(item).encode()
        body += struct.pack("<q", len(text)) + text
    index = np.array(places * repeated, "<i8")
    header = b"- of UlmASE-Trajectory  " + struct.pack("<qqq", 3, len(index), 48 + len(body))
    return header + bytes(body) + index.tobytes()


class _Canary:
    """Unpickling makes a file."""

    def __reduce__(self):
        return os.mkdir, ("canary",)


def databases(folder):
    """SQLite files that are not databases of ASE, or more than that."""
    statements = {
        "endless view": "DROP TABLE systems; CREATE VIEW systems AS "
        "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT * FROM n",
        "large view": "ALTER TABLE systems RENAME TO s; CREATE VIEW systems AS SELECT id, zeroblob(1000000000) FROM s",
        "joined view": "ALTER TABLE systems RENAME TO s; "
        "CREATE VIEW systems AS SELECT s.* FROM s, s AS a, species, species AS b, species AS c",
        "computed": "ALTER TABLE systems ADD COLUMN more BLOB GENERATED ALWAYS AS (zeroblob(1000000000)) VIRTUAL",
        "trigger": "CREATE TRIGGER t AFTER INSERT ON systems BEGIN DELETE FROM systems; END",
        "virtual": "CREATE VIRTUAL TABLE v USING fts5(x)",
        "no systems": "DROP TABLE systems",
        "version": "UPDATE information SET value = '99'",
        "old": "UPDATE information SET value = '1'",
        "words": "UPDATE information SET value = 'new'",
        "no version": "DELETE FROM information",
        "text": "UPDATE systems SET positions = 'text'",
        "number": "UPDATE systems SET positions = 5",
        "odd": "UPDATE systems SET positions = x'0102'",
        "none": "UPDATE systems SET numbers = NULL",
        "json": "UPDATE systems SET key_value_pairs = '{'",
        "huge": "UPDATE systems SET numbers = zeroblob(99999999)",
        "shape": """UPDATE systems SET key_value_pairs = '{"x": {"__ndarray__": [[1000000000], "float64", [1]]}}'""",
        "objects": "UPDATE systems SET key_value_pairs = "
        """'{"x": {"__ndarray__": [[9], "U100000000", ["a"]]}, "energy": {}}'""",
        "list": "UPDATE systems SET key_value_pairs = '[1]', energy = 'low'",
        "deep": f"UPDATE systems SET data = '{'[' * 99999}'",  # noqa: S608 - hostile on purpose
        "blob": "UPDATE systems SET data = x'ff'",
        "far": "UPDATE systems SET data = x'ffffffffffffff7f'",
        "elements": "UPDATE systems SET numbers = x'ffffffffffffffffffffffff'",
        "no frames": "DELETE FROM systems",
        "fewer columns": "ALTER TABLE systems DROP COLUMN charge",
        "rows of a default": "CREATE TABLE n AS SELECT 1; ALTER TABLE systems RENAME TO s",
    }
    for name, statement in statements.items():
        path = data_files.sqlite(folder).rename(folder / f"{name}.db")
        connection = sqlite3.connect(path)
        connection.executescript(statement)
        connection.commit()
        connection.close()
        yield name, path
    whole = data_files.sqlite(folder).read_bytes()
    yield "empty", _file(folder, "empty.db", b"")
    yield "not sqlite", _file(folder, "text.db", b"hello" * 99)
    yield "cut", _file(folder, "cut.db", whole[:5000])
    yield "pages", _file(folder, "pages.db", whole[:100] + bytes(len(whole) - 100))
    path = _file(folder, "busy.db", whole)
    _file(folder, "busy.db-wal", b"changes")
    yield "write-ahead log", path
    yield "amplified", _amplified(folder / "amplified.db")


def _amplified(path):
    """Many rows that share the default value of a column: 3 MB on disk, gigabytes in memory."""
    ase_columns = "id INTEGER PRIMARY KEY, unique_id, ctime, mtime, username, numbers BLOB"
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE systems ({ase_columns})")
    connection.execute("CREATE TABLE information (name, value)")
    connection.execute("INSERT INTO information VALUES ('version', '9')")
    numbers = np.ones(10**5, dtype=np.int32).tobytes()
    connection.executemany("INSERT INTO systems (id) VALUES (?)", ((number,) for number in range(1, 20_000)))
    connection.execute("UPDATE systems SET numbers = ?", (b"",))
    for name in ("positions", "cell", "pbc", *(f"c{number}" for number in range(24))):
        value = (bytes(24 * 10**5) if name == "positions" else bytes(72)).hex() if name != "pbc" else "00"
        connection.execute(f"ALTER TABLE systems ADD COLUMN {name} BLOB DEFAULT x'{value}'")
    connection.execute(f"ALTER TABLE systems ADD COLUMN late BLOB DEFAULT x'{numbers.hex()}'")
    connection.commit()
    connection.close()
    return path


def json_databases(folder):
    """JSON that is not a database of ASE, or states more than it holds."""
    rows = json.loads(data_files.json_rows(folder).read_text())
    row = rows["1"]
    array = {"__ndarray__": [[10**9, 3], "float64", [1.0]]}
    contents = {
        "list": [1],
        "number": 5,
        "no rows": {"ids": [1, 2]},
        "ids": {**rows, "ids": "abc"},
        "same ids": {**rows, "ids": [1] * 10**6},
        "text ids": {**rows, "ids": ["x"]},
        "array": {**rows, "1": {**row, "positions": array}},
        "energy": {**rows, "1": {**row, "energy": {"a": 1}}},
        "no numbers": {**rows, "1": {"positions": row["positions"]}},
        "objects": {**rows, "1": {**row, "numbers": {"__ndarray__": [[1], "object", [{}]]}}},
        "text": {**rows, "1": {**row, "numbers": ["H"]}},
        "row": {**rows, "1": [1, 2]},
        "wide text": {**rows, "1": {**row, "numbers": {"__ndarray__": [[2], "U1000000000", ["a", "b"]]}}},
        "keys": {**rows, "1": {**row, "key_value_pairs": [1]}},
        "cell": {**rows, "1": {**row, "cell": {"__ase_objtype__": "cell", "array": [1]}}},
        "kind": {**rows, "1": {**row, "cell": {"__ase_objtype__": "bandpath"}}},
        "many texts": {**rows, "1": {**row, "tags": ["x" * 10**6, *["y"] * 10**5]}},
        "no frames": {**rows, "ids": []},
        "positions": {**rows, "1": {**row, "positions": [[1, 2], [3]]}},
    }
    for name, content in contents.items():
        yield name, _file(folder, f"{name}.json", json.dumps(content).encode())
    for name, content in {
        "deep": b"[" * 10**6,
        "deep keys": b'{"a":' * 10**6,
        "digits": b"9" * 10**6,
        "nothing": b"",
        "cut": json.dumps(rows).encode()[:-9],
    }.items():
        yield name, _file(folder, f"{name}.json", content)


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
        yield f"cut at page {pages}", _file(folder, f"cut {pages}.lmdb", whole[: int(pages * 4096)])
        yield (
            f"zeros from page {pages}",
            _file(folder, f"zeros {pages}.lmdb", whole[: int(pages * 4096)].ljust(len(whole), b"\0")),
        )
        yield (
            f"ones from page {pages}",
            _file(folder, f"ones {pages}.lmdb", whole[: int(pages * 4096)].ljust(len(whole), b"\xff")),
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
        yield name, _file(folder, f"{name}.lmdb", bytes(content))
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
        "pickle": pickle.dumps(_Canary()),
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
    yield "pickles", stored("pickles.lmdb", {b"0": pickle.dumps(_Canary()), b"length": pickle.dumps(1)})
    bomb = zlib.compress(bytes(GIBIBYTE // 4))
    good = zlib.compress(b"2")
    rows = {
        "bomb": {b"1": bomb, b"nextid": good},
        "missing": {b"1": bomb, b"nextid": zlib.compress(b"99")},
        "next bomb": {b"nextid": bomb},
        "many": {b"nextid": zlib.compress(b"9" * 30)},
    }
    rows |= {
        "pickle": {b"1": pickle.dumps(_Canary()), b"nextid": good},
        "nothing": {},
        "words": {b"nextid": zlib.compress(b'"x"')},
        "row": {b"1": zlib.compress(b"[1]"), b"nextid": good},
    }
    for name, values in rows.items():
        yield f"rows {name}", stored(f"rows {name}.aselmdb", values)
    yield "text", _file(folder, "text.lmdb", b"text" * 5000)
    yield "text rows", _file(folder, "text.aselmdb", b"text" * 5000)


def _safetensors(shape, size, kind="F64"):
    head = json.dumps({"positions": {"dtype": kind, "shape": shape, "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(head)) + head + bytes(size)


def archives(folder):
    """NPZ archives that state more than they hold, or hold something else than numbers."""
    good = {name: _npy(array.shape, array.dtype.str, array.tobytes()) for name, array in data_files.arrays().items()}

    def archive(name, changes, **options):
        path = folder / f"{name}.npz"
        with zipfile.ZipFile(path, "w", **options) as made:
            for key, content in {**good, **changes}.items():
                made.writestr(f"{key}.npy", content)
        return path

    for name, shape in {
        "rows": (HUGE, 3, 3),
        "negative": (-1, 3, 3),
        "product": (2**32, 2**32, 3),
        "more": (3, 4, 3),
        "zero": (0, 3, 3),
        "flat": (9,),
        "no atoms": (3, 0, 3),
    }.items():
        yield (
            f"shape {name}",
            archive(
                f"shape {name}", {"R": _npy(shape, "<f8", bytes(0 if 0 in shape else 216 if name != "flat" else 72))}
            ),
        )
    for kind in ("|O", "<U9", "|V99999999", "<M8[s]", "<c16", "nonsense", "<f16"):
        yield f"type {kind}", archive(f"type {kind.replace('|', '')}", {"R": _npy((3, 3, 3), kind, bytes(216))})
    heads = {
        "words": b"hello",
        "deep": b"(" * 9000,
        "call": b"{'descr': __import__('os').mkdir('canary'), 'shape': (1,), 'fortran_order': 0}",
        "long": b" " * 60000,
    }
    for name, head in heads.items():
        yield (
            f"header {name}",
            archive(f"header {name}", {"R": b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head}),
        )
    yield "objects", archive("objects", {"R": _npy((1,), "|O", pickle.dumps(_Canary()))})
    yield "further objects", archive("further", {"theory": _npy((1,), "|O", pickle.dumps(_Canary()))})
    yield "version", archive("version", {"R": b"\x93NUMPY\x09\0" + bytes(99)})
    yield "no magic", archive("magic", {"R": b"hello"})
    yield (
        "bomb",
        archive(
            "bomb",
            {"R": _npy((GIBIBYTE // 288, 3, 3), "<f8", bytes(GIBIBYTE // 288 * 72))},
            compression=zipfile.ZIP_DEFLATED,
        ),
    )
    path = archive("members", {"theory": _npy((10**6,), "<f8", bytes(8 * 10**6))}, compression=zipfile.ZIP_DEFLATED)
    yield "overlapping members", _overlapping(path)
    whole = archive("whole", {}).read_bytes()
    for name, content in {
        "cut": whole[:-100],
        "start": whole[100:],
        "checksum": whole.replace(good["R"][-40:], b"x" * 40),
        "text": b"hello",
        "npy": good["R"],
        "empty": b"",
    }.items():
        yield name, _file(folder, f"{name} of all.npz", content)
    yield "missing", archive("missing", {"z": _npy((9,), "<i8", bytes(72))})
    yield "twice", archive("twice", {"energies": good["E"]})


def packed_archives(folder):
    """Packed NPZ archives whose arrays do not fit together, or whose header lies."""
    good = data_files.packed_arrays()

    def archive(name, changes):
        path = folder / f"packed {name.replace('/', ' ')}.npz"
        with zipfile.ZipFile(path, "w") as made:
            for key, content in {**good, **changes}.items():
                if content is not None:
                    raw = content if isinstance(content, bytes) else data_files.npy(content)
                    made.writestr(f"{key}.npy", raw)
        return path

    headers = {
        "version": b'{"version": 2, "texts": {}}',
        "words": b"hello",
        "list": b"[1]",
        "deep": b"[" * 10**5,
        "no texts": b'{"version": 1}',
        "fewer texts": b'{"version": 1, "texts": {"units": []}}',
        "other texts": b'{"version": 1, "texts": {"more": ["a"]}}',
        "number": b'{"version": 1, "texts": {"units": 5}}',
        "bytes": b"\xff\xfe",
        "nothing": b"",
    }
    changes = {f"header {name}": {"equipot_frames": np.frombuffer(one, np.uint8)} for name, one in headers.items()}
    counts = {
        "huge": [HUGE, 3, 3],
        "negative": [-3, 6, 6],
        "zero": [0, 3, 6],
        "other": [3, 3, 2],
        "wrapping": [2**62, 2**62, 2**62, 2**62, 9],
        "nan": [3.0, np.nan, 3.0],
        "table": [[3], [3], [3]],
        "none": [],
    }
    changes |= {f"counts {name}": {"num_atoms": np.array(one)} for name, one in counts.items()}
    wrong = {
        "positions": good["positions"][:-1],
        "cell": good["cell"][:, :2],
        "pbc": good["pbc"].astype(float),
        "atomic_numbers": np.full(9, 500),
        "frame/energy": good["frame/energy"][:2],
        "atoms/forces": good["atoms/forces"][:, :2],
        "texts/units": np.array([1, 99, -1]),
        "frame/stress": np.zeros((3, 10**5)),
        "atoms/numbers": np.full(9, 500),
        "atoms/positions": np.zeros((9, 3)),
    }
    changes |= {f"array {name}": {name: one} for name, one in wrong.items()}
    changes |= {f"no {name}": {name: None} for name in ("num_atoms", "positions", "texts/units")}
    changes |= {
        "scalar": {"frame/energy": np.array(1.0)},
        "scalars": {name: np.array(1.0) for name in ("positions", "num_atoms")},
        "present rows": {"present/atoms/forces": np.array([True])},
        "present numbers": {"present/atoms/forces": np.array([5, -1, 7])},
        "objects": {"frame/energy": _npy((3,), "|O", pickle.dumps(_Canary()))},
        "rows": {"atoms/forces": _npy((HUGE, 3), "<f8", bytes(216))},
    }
    for name, change in changes.items():
        yield name, archive(name, change)
    whole = archive("whole", {}).read_bytes()
    yield "cut", _file(folder, "packed cut.npz", whole[:-100])
    yield "checksum", _file(folder, "packed checksum.npz", whole.replace(good["positions"].tobytes(), bytes(216)))


def cp2k_runs(folder):
    """Runs of CP2K with a file beside the positions that is hostile, of another run, or no file."""
    secret = _file(folder, "secret", b"root:x:0:0\n" * 99)
    texts = {name: (data_files.cp2k_run(folder).with_name(name)).read_text() for name in CP2K_RUN}

    def made(name, file, change):
        (folder / name).mkdir()
        path = data_files.cp2k_run(folder / name)
        change(path.with_name(file))
        return name, path

    forces, cells, output = CP2K_RUN[1:]
    energy = next(line for line in texts[output].splitlines() if "ENERGY|" in line)
    lost = "  *** SCF run NOT converged ***\n"
    contents = {
        forces: {
            "count": texts[forces].replace("       3\n", f"{HUGE}\n"),
            "digits": texts[forces].replace("       3\n", "9" * 5000 + "\n"),
            "columns": texts[forces].replace("\n  H", "\n  H 1 2"),
            "elements": texts[forces].replace("  O ", "  C "),
            "energies": texts[forces].replace("E = ", "E = -1"),
            "rubbish": texts[forces] + "rubbish\n",
            "empty": "",
            "nan": re.sub(r"(  O\s+)\S+", r"\1nan", texts[forces]),
            "repeated": texts[forces] * 20_000,
        },
        cells: {
            "unit": texts[cells].replace("Angstrom", "bohr"),
            "twice": texts[cells] + texts[cells].replace(" 5.", " 6."),
            "step": texts[cells].replace("       5 ", "9" * 400),
            "nan": texts[cells].replace("5.0000000000", "nan"),
            "flat": texts[cells].replace("5.0000000000", "0.0000000000"),
            "empty": "",
            "many": texts[cells] + texts[cells].splitlines()[-1] * 100_000,
        },
        output: {
            "energies": texts[output] + f"{energy}\n" * 100_000,
            "words": texts[output] + lost + " ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]: low\n",
            "brackets": texts[output] + " ENERGY| Total FORCE_EVAL ( QS ) energy [" * 30_000 + "\n",
            "cycles": texts[output] + f"{lost}{energy}9\n" * 100_000,
        },
    }
    for file, changes in contents.items():
        for name, text in changes.items():
            yield made(f"{file} {name}", file, lambda path, text=text: path.write_text(text))
        yield made(f"{file} nul", file, lambda path: path.write_bytes(path.read_bytes().replace(b"1", b"\0")))
        yield made(f"{file} elsewhere", file, lambda path: _away(path).symlink_to(secret))
        yield made(f"{file} pipe", file, lambda path: os.mkfifo(_away(path)))
        yield made(f"{file} folder", file, lambda path: _away(path).mkdir())
    for file in (forces, cells):
        bomb = gzip.compress(bytes(GIBIBYTE // 16))
        packed = f"{file}.gz"
        yield made(f"{file} bomb", file, lambda path, to=packed, one=bomb: _away(path).with_name(to).write_bytes(one))
    long = folder / "long line"
    long.mkdir()
    path = data_files.cp2k_run(long)
    with (long / "another.log").open("wb") as file:
        file.truncate(GIBIBYTE)
    yield "long line", path
    yield _many_cycles(folder / "many cycles", texts)


def _many_cycles(folder, texts):
    """As many geometries as cycles that did not converge, each with an energy of its own."""
    folder.mkdir()
    path = data_files.cp2k_run(folder, cells=False)
    numbers = range(10_000)
    lines = [f"1\n i = {number}, E = -{number}.5\nH 0 0 0\n" for number in numbers]
    path.write_text("".join(lines))
    path.with_name(CP2K_RUN[1]).write_text("".join(lines))
    head = texts[CP2K_RUN[3]].partition(" ENERGY|")[0]
    lost = "  *** SCF run NOT converged ***\n ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:  -{}.5\n"
    path.with_name(CP2K_RUN[3]).write_text(head + "".join(lost.format(number) for number in numbers))
    return "many cycles", path


CP2K_RUN = ("run-pos-1.xyz", "run-frc-1.xyz", "run-1.cell", "run.out")
"""The files of a run."""


def _npy(shape, kind, content):
    head = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head + content


def _overlapping(path):
    """Name the last member a thousand times."""
    content = path.read_bytes()
    start = struct.unpack_from("<I", content, content.rindex(b"PK\x05\x06") + 16)[0]
    entries = content[start : content.rindex(b"PK\x05\x06")]
    last = entries[entries.rindex(b"PK\x01\x02") :]
    many = entries + b"".join(last.replace(b"theory", f"n{number:05}".encode()) for number in range(1000))
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1005, 1005, len(many), start, 0)
    path.write_bytes(content[:start] + many + end)
    return path


def _circle(file):
    file["again"] = file["/"]


def _two_circles(file):
    group = file.create_group("g")
    group["a"] = group["b"] = group


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

    secret = _file(folder, "secret", bytes(999))
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
        yield name, _file(folder, f"{name} of all.h5", content)


def outputs(folder):
    """Outputs of programs that are cut off or state large numbers."""
    changes = {
        "vasp-out": ("ions per type =               1   2", "ions per type =  1000000000  2"),
        "vasp-xml": ("<modeling>", '<!DOCTYPE m [<!ENTITY x SYSTEM "/etc/passwd">]><modeling>&x;'),
        "espresso-out": ("atoms/cell      =            3", f"atoms/cell      =  {HUGE}"),
        "orca-output": ("...      3", f"...      {HUGE}"),
        "gaussian-out": ("      1  8  0", "      1  -9999999999  0"),
        "cp2k-output": (" 8 ", f" {HUGE} "),
        "aims-output": ("Species O", f"Species {'O' * 10**6}"),
        "castep-md": ("0", "x"),
        "runnerdata": ("begin", "begin begin"),
    }
    for kind, (old, new) in changes.items():
        path = data_files.CORE[kind](folder)
        whole = path.read_bytes()
        place = folder / kind
        place.mkdir()
        cuts = {part: whole[: len(whole) * part // 9] for part in (1, 2)}
        for name, content in {
            **cuts,
            "stated": whole.replace(old.encode(), new.encode()),
            "words": whole.replace(b"1.", b"one"),
            "nul": whole.replace(b"O", b"\0"),
        }.items():
            (place / str(name)).mkdir()
            yield f"{kind} {name}", _file(place / str(name), path.name, content)
    entities = "".join(f'<!ENTITY x{n + 1} "{f"&x{n};" * 10}">' for n in range(12))
    laughs = f'<?xml version="1.0"?><!DOCTYPE m [<!ENTITY x0 "lol">{entities}]><modeling>&x12;</modeling>'
    yield "billion laughs", _file(folder, "vasprun laughs.xml", laughs.encode())
    yield "deep elements", _file(folder, "vasprun deep.xml", b"<a>" * 10**5)
    many = " ".join(["1000"] * 20000)
    lines = ["POTCAR: PAW_PBE O 1"] * 40000 + [f"ions per type = {many}", "NKPTS = 1 NBANDS = 1", "Iteration"]
    path = _file(folder, "OUTCAR sum", "\n".join(lines).encode())
    yield "sum of many counts", path
    yield from _endless_outputs(folder)


def _endless_outputs(folder):
    """Headings whose tables never end, brackets that never close, and one geometry for ever more energies."""
    water = data_files.cp2k(folder).read_text()
    geometry = water[: water.index(" SCF WAVE")]
    energy = " ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:      -17.1\n"
    texts = {
        "cp2k brackets.out": " CP2K| a\n" + " ENERGY| Total FORCE_EVAL ( QS ) energy [" * 30_000 + "\n",
        "cp2k energies.out": geometry + energy * 100_000,
        "cp2k forces.out": geometry + energy + " FORCES| Atomic forces [hartree/bohr]\n" + " FORCES|\n" * 300_000,
        "cp2k stress.out": geometry + energy + " STRESS| Analytical stress tensor [GPa]\n" * 100_000,
        "aims geometry.out": "Invoking FHI-aims\nInput geometry:\n" + "|    1: Species H 0 0\n" * 100_000,
        "aims structure.out": "Invoking FHI-aims\nUpdated atomic structure:\n" + "lattice_vector 1 0 0\n" * 300_000,
        "aims energies.out": "Invoking FHI-aims\n" + "Energy and forces in a compact form:\n|\n" * 100_000,
        "orca brackets.out": "* O   R   C   A *\nFINAL SINGLE POINT ENERGY" + "(" * 10**6 + "\n",
        "orca symbols.out": "* O   R   C   A *\nCARTESIAN COORDINATES (ANGSTROEM)\n-\n" + "H 0 0 0\n" * 100_000,
        "gaussian rows.log": "Input orientation:\n\n\n\n\n" + "1 1 0 0 0 0\n" * 100_000,
        "gaussian vectors.log": "Input orientation:\n\n\n\n\n" + "1 -2 0 0 0 0\n" * 100_000 + "-\nSCF Done: E=1\n",
        "OUTCAR iterations": "Iteration 1( 1)\n" + "Iteration 1(" + " " * 10**6 + "\n",
        "vasprun.xml": "<modeling>" + "<calculation></calculation>" * 10_000,
    }
    for name, text in texts.items():
        yield name, _file(folder, name, text.encode())


def deepmd_folders(folder):
    """Folders of DeePMD-kit whose arrays, types or names are not what they should be, or lie elsewhere."""
    secret = folder / "secret"
    secret.write_bytes(_npy((2,), "<f8", bytes(16)))

    def made(name, spoil):
        (folder / name).mkdir()
        root = data_files.deepmd(folder / name)
        spoil(root)
        return root

    for name in ("coord", "box", "energy", "force", "virial", "atom_ener", "real_atom_types"):
        yield f"{name} rows", made(f"{name} rows", _put(f"set.000/{name}.npy", _npy((HUGE, 9), "<f8", bytes(144))))
        yield (
            f"{name} objects",
            made(f"{name} objects", _put(f"set.000/{name}.npy", _npy((1,), "|O", pickle.dumps(_Canary())))),
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
    yield "nan", made("nan", _put("set.000/coord.npy", _npy((2, 9), "<f8", np.full(18, np.nan).tobytes())))
    yield "complex", made("complex", _put("set.000/coord.npy", _npy((2, 9), "<c16", bytes(288))))


def _put(name, content):
    return lambda root: (root / name).write_bytes(content)


def _away(path):
    if path.is_dir():
        path.rename(path.parent.parent / path.name)
    else:
        path.unlink()
    return path


def _linked(name, target):
    return lambda root: _away(root / name).symlink_to(target)


def _piped(name):
    return lambda root: os.mkfifo(_away(root / name))


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
        yield name, _file(folder, name, b"%BLOCK LATTICE_CART\n1 0 0\n")
    for content in (
        b"- of UlmGPAW            ",
        b"CDF\x01",
        b"*\n&system",
        b"  ___ ___ ___ _ _ _  \n",
        b"\n&SYSTEM\n",
        b"\x80\x04\x95" + pickle.dumps(_Canary()),
    ):
        yield f"contents {content[:12]!r}", _file(folder, f"contents {len(content)}", content)


FAMILIES = {
    "extxyz": extxyz,
    "compressed": compressed,
    "traj": trajectories,
    "db": databases,
    "json": json_databases,
    "lmdb": lmdb_files,
    "npz": archives,
    "packed npz": packed_archives,
    "cp2k runs": cp2k_runs,
    "hdf5": hdf5_files,
    "outputs": outputs,
    "deepmd": deepmd_folders,
    "paths": paths,
    "formats": formats,
}
"""Functions that write the files of a family into a folder, and give the name and path of each."""


def _peak():
    """Largest memory since the last call, in bytes."""
    status = Path("/proc/self/status").read_text()
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    Path("/proc/self/clear_refs").write_text("5")
    return peak * 1024


def main(folder):
    """Read all files and say what happened to each."""
    os.chdir(folder)
    cases = []
    for family, make in FAMILIES.items():
        (folder / family).mkdir()
        cases += [(family, name, path) for name, path in make(folder / family)]
    for make in {**data_files.CORE, **data_files.TOOLBOX}.values():
        read(make(folder))  # imports everything
    watch, found = Watch(), []
    for family, name, path in cases:
        print(f"{family}: {name}", file=sys.stderr, flush=True)  # noqa: T201 - says which file crashed the interpreter
        faulthandler.dump_traceback_later(2 * SECONDS_EACH, exit=True)
        _peak()
        before, start = _peak(), time.monotonic()
        watch.file, outcome = allowed(path), "frames"
        try:
            read(path)
        except DataError as error:
            outcome = f"refused: {error}"
        except BaseException:  # noqa: BLE001 - this is what is looked for
            outcome = traceback.format_exc()
        watch.file = None
        size = path.stat().st_size if path.is_file() else 0
        size += sum(one.stat().st_size for one in path.parent.iterdir()) if family == "cp2k runs" else 0
        found.append(
            {
                "family": family,
                "name": name,
                "outcome": outcome,
                "seconds": time.monotonic() - start,
                "size": size,
                "memory": _peak() - before,
                "seen": list(watch.seen),
            }
        )
        watch.seen.clear()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
