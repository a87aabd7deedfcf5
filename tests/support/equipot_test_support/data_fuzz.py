"""Read mutated data files until the time is up: ``python -m equipot_test_support.data_fuzz SEED SECONDS FOLDER``.

Each file either gives frames or a DataError; it starts no program, opens no connection, no file to write, and no file
but itself (or those beside it that belong to the same run); it takes less than ten seconds and half a gibibyte. The
last file stays in the folder, for a crash of the interpreter. Prints the number of files read, by format and outcome,
as JSON.
"""

import collections
import faulthandler
import functools
import gzip
import io
import json
import lzma
import os
import random
import re
import resource
import shutil
import sqlite3
import sys
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np

from equipot.data import collect_frames
from equipot.data._frames import label_contract
from equipot.data._regular import collect_files
from equipot.errors import DataError
from equipot_test_support import data_files

SECONDS_EACH = 10
MEMORY = 2**29
_FORBIDDEN = re.compile(
    r"subprocess|os\.(system|exec|fork|spawn|posix_spawn|remove|rename|rmdir|mkdir|link|symlink|chmod|trunc)"
    r"|socket|shutil|ctypes\.dlopen|pty|urllib|ftplib|smtplib|sqlite3\.(enable|load)|pickle"
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NUMBERS = [
    b"0",
    b"-1",
    b"1",
    b"7",
    b"1e9",
    b"1000000000",
    b"1000000000000",
    b"9" * 5000,
    b"nan",
    b"1e400",
    "²".encode(),
]
_TEXTS = [
    b"\0",
    b"\n",
    b"\n\n",
    b'"',
    b"[" * 3000,
    b"{",
    b"\xff\xfe",
    b"\xc3\xa9",
    b"\r",
    b"'",
    b"=",
    b":",
    b'{"__ndarray__":[[1000000000],"float64",[1]]}',
    b"Properties=species:S:1:pos:R:1000000000",
    b"_JSON [[1],[2,3]]",
    b" data=5 ",
]


class Watch:
    """Notes what reading must not do."""

    def __init__(self):
        self.file = None
        self.seen = []
        sys.addaudithook(self)

    def __call__(self, event, details):
        if self.file is None:
            return
        if event == "open" and isinstance(details[0], (str, bytes)):
            name, flags = os.fsdecode(details[0]), details[2] or 0
            own = self.file in (name, os.path.realpath(name)) or name.startswith(f"{self.file}{os.sep}")
            if flags & _WRITING or not (own or name.startswith((sys.prefix, sys.base_prefix, "/proc/self"))):
                self.seen.append(f"{event} {details}"[:200])
        elif _FORBIDDEN.match(event):
            self.seen.append(f"{event} {details}"[:200])


def mutated(content, chance):
    """The bytes with one to four changes."""
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 4])):
        chance.choice(_CHANGES)(data, chance)
    return bytes(data)


def _place(data, chance):
    return chance.randrange(len(data) + 1)


def _flip(data, chance):
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _cut(data, chance):
    del data[_place(data, chance) :]


def _remove(data, chance):
    start = _place(data, chance)
    del data[start : start + chance.choice([1, 4, 30, 400])]


def _repeat(data, chance):
    start, to = _place(data, chance), _place(data, chance)
    data[to:to] = data[start : start + chance.choice([1, 8, 60, 400])] * chance.choice([1, 2, 50])


def _overwrite(data, chance):
    start, to = _place(data, chance), _place(data, chance)
    piece = data[start : start + chance.choice([4, 16, 64])]
    data[to : to + len(piece)] = piece


def _insert(data, chance):
    to = _place(data, chance)
    data[to:to] = chance.choice(_TEXTS)


def _number(data, chance):
    found = list(re.finditer(rb"\d+", data))
    if found:
        start, end = chance.choice(found).span()
        data[start:end] = chance.choice(_NUMBERS)


def _integer(data, chance):
    width = chance.choice([1, 2, 4, 8])
    to = _place(data, chance) // width * width
    value = chance.choice(
        [0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1) - 1, 2 ** (4 * width), chance.getrandbits(8 * width)]
    )
    data[to : to + width] = value.to_bytes(width, "little")


def _lines(data, chance):
    lines = bytes(data).split(b"\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    if chance.random() < 0.5:
        del lines[one]
    else:
        lines[one], lines[other] = lines[other], lines[one]
    data[:] = b"\n".join(lines)


_CHANGES = [_flip, _flip, _cut, _remove, _repeat, _overwrite, _insert, _number, _number, _integer, _integer, _lines]


def originals(folder):
    """What is mutated: name, name of the file, the bytes to change, and how a file is made of the changed bytes."""
    for kind, make in {**data_files.CORE, **data_files.TOOLBOX}.items():
        if kind != "cp2k-trajectory":
            path = make(folder)
            yield kind, path.name, path.read_bytes(), bytes
    yield from _runs(folder.parent)
    plain = data_files.extxyz(folder).read_bytes()
    yield "gz inside", "a.extxyz.gz", plain, gzip.compress
    yield "xz inside", "a.xyz.xz", plain, lzma.compress
    yield from _inside_containers(folder)


def _runs(folder):
    """Each file of a run of CP2K, with the others beside it as they are."""
    for kind in ("trajectory", "frc-1.xyz", "1.cell", "out"):
        (folder / f"cp2k-{kind}").mkdir()
        read_with = data_files.cp2k_run(folder / f"cp2k-{kind}")
        path = read_with if kind == "trajectory" else next(read_with.parent.glob(f"run?{kind}"))
        yield f"cp2k-{kind}", f"cp2k-{kind}/{path.name}", path.read_bytes(), bytes


def _packed(array, content):
    """A packed archive in which the bytes of one array are others."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, one in data_files.packed_arrays().items():
            archive.writestr(f"{name}.npy", content if name == array else data_files.npy(one))
    return made.getvalue()


def _inside_containers(folder):
    for array in ("equipot_frames", "num_atoms", "positions", "frame/energy", "atoms/forces", "texts/units"):
        content = data_files.npy(data_files.packed_arrays()[array])
        yield f"packed {array}", "packed.npz", content, functools.partial(_packed, array)
    scratch = folder / "inside"
    scratch.mkdir()
    rows = json.loads(data_files.json_rows(scratch).read_text())
    row = json.dumps(rows["1"]).encode()
    yield (
        "aselmdb row",
        "a.aselmdb",
        row,
        lambda content: _stored(scratch, {b"1": zlib.compress(content), b"nextid": zlib.compress(b"2")}),
    )
    content = io.BytesIO()
    np.save(content, data_files.arrays()["R"])
    yield "npz array", "a.npz", content.getvalue(), _archive
    from safetensors.numpy import save

    record = save(
        {
            "positions": np.zeros((2, 3)),
            "atomic_numbers": np.ones(2, dtype=np.int64),
            "cell": np.eye(3),
            "pbc": np.ones(3, dtype=bool),
            "results/energy": np.zeros(1),
            "results/forces": np.zeros((2, 3)),
        }
    )
    header = json.dumps({"format": "equipot frames", "version": 1, "frames": 1}).encode()
    yield (
        "lmdb frame",
        "a.lmdb",
        record,
        lambda content: _stored(scratch, {b"format": header, b"000000000000": content}),
    )
    yield (
        "lmdb header",
        "a.lmdb",
        header,
        lambda content: _stored(scratch, {b"format": content, b"000000000000": record}),
    )
    database = data_files.sqlite(scratch)
    with sqlite3.connect(database) as connection:
        for column in ("numbers", "positions", "cell", "forces", "key_value_pairs", "data", "constraints"):
            (value,) = connection.execute(f"SELECT {column} FROM systems WHERE id = 1").fetchone()  # noqa: S608
            value = value.encode() if isinstance(value, str) else value or b"[]"
            yield f"db {column}", "a.db", value, lambda content, column=column: _column(database, column, content)
    connection.close()


def _stored(scratch, values):
    import lmdb

    path = scratch / "made.lmdb"
    path.unlink(missing_ok=True)
    with (
        lmdb.open(str(path), subdir=False, lock=False, sync=False, map_size=2**24) as made,
        made.begin(write=True) as writer,
    ):
        for key, value in values.items():
            writer.put(key, value)
    return path.read_bytes()


def _archive(content):
    arrays, made = data_files.arrays(), io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("R.npy", content)
        for name in ("z", "E", "F"):
            other = io.BytesIO()
            np.save(other, arrays[name])
            archive.writestr(f"{name}.npy", other.getvalue())
    return made.getvalue()


def _column(database, column, content):
    copy = database.with_name("copy.db")
    shutil.copy(database, copy)
    text = column in ("key_value_pairs", "constraints")
    connection = sqlite3.connect(copy)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = OFF")
    with connection:
        value = content.decode("utf-8", "replace") if text else content
        connection.execute(f"UPDATE systems SET {column} = ? WHERE id = 1", (value,))  # noqa: S608
    connection.close()
    return copy.read_bytes()


_READ_WITH = {"run-frc-1.xyz": "run-pos-1.xyz", "run-1.cell": "run-pos-1.xyz", "run.out": "run-pos-1.xyz"}
"""Which file is given to read another one."""


def allowed(path):
    """What may be opened to read a file: itself, or the folder of a run."""
    return str(path.parent if path.name in ("run-pos-1.xyz", *_READ_WITH) else path)


def read(path):
    """Read a file as training does."""
    path = path.with_name(_READ_WITH.get(path.name, path.name))
    suffix = path.suffix
    if suffix in (".npz", ".h5", ".lmdb") and not path.name.startswith("packed"):
        import equipot_toolbox as toolbox

        source = {".npz": toolbox.NPZDataset, ".h5": toolbox.HDF5Dataset, ".lmdb": toolbox.LMDBDataset}[suffix](
            str(path)
        )
        placed = ((source.place(index), source.atoms(index)) for index in range(len(source)))
        return collect_frames(placed, label_contract(None))
    return collect_files([str(path)], label_contract(None))


def run(seed, seconds, folder):
    """Mutate and read until the time is up.

    Returns:
        How many files gave frames and how many an error, by kind.
    """
    warnings.simplefilter("ignore")
    (folder / "originals").mkdir()
    kinds = list(originals(folder / "originals"))
    for kind, name, content, build in kinds:
        path = folder / name
        path.write_bytes(build(content))
        if kind != "db constraints":
            assert len(read(path).places), kind
    watch, counts, number = Watch(), collections.Counter(), 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    armed, end = 0.0, time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        kind, name, content, build = kinds[number % len(kinds)]
        path = folder / name
        path.write_bytes(build(mutated(content, random.Random(f"{seed} {number}"))))
        case = f"seed {seed}, file {number}: {kind}, {path}"
        if now > armed + 1:
            faulthandler.dump_traceback_later(SECONDS_EACH, exit=True)
            armed = now
        (folder / "case").write_text(case)
        watch.file = allowed(path)
        try:
            read(path)
            counts[f"{kind}: frames"] += 1
        except DataError:
            counts[f"{kind}: error"] += 1
        except BaseException as error:
            raise AssertionError(case) from error
        finally:
            watch.file = None
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert not watch.seen, f"{case}: {watch.seen}"
        assert grown * 1024 < MEMORY + 2 * path.stat().st_size, f"{case}: {grown} kB"
        number += 1
    return counts


if __name__ == "__main__":
    json.dump(run(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]).resolve()), sys.stdout)
