"""Hostile NPZ archives, those of other programs and packed ones."""

import pickle
import struct
import zipfile

import numpy as np

from equipot_test_support import data_files
from equipot_test_support.hostile_data._common import GIBIBYTE, HUGE, Canary, make_file, npy


def archives(folder):
    """NPZ archives that state more than they hold, or hold something else than numbers."""
    good = {name: npy(array.shape, array.dtype.str, array.tobytes()) for name, array in data_files.arrays().items()}

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
                f"shape {name}", {"R": npy(shape, "<f8", bytes(0 if 0 in shape else 216 if name != "flat" else 72))}
            ),
        )
    for kind in ("|O", "<U9", "|V99999999", "<M8[s]", "<c16", "nonsense", "<f16"):
        yield f"type {kind}", archive(f"type {kind.replace('|', '')}", {"R": npy((3, 3, 3), kind, bytes(216))})
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
    yield "objects", archive("objects", {"R": npy((1,), "|O", pickle.dumps(Canary()))})
    yield "further objects", archive("further", {"theory": npy((1,), "|O", pickle.dumps(Canary()))})
    yield "version", archive("version", {"R": b"\x93NUMPY\x09\0" + bytes(99)})
    yield "no magic", archive("magic", {"R": b"hello"})
    yield (
        "bomb",
        archive(
            "bomb",
            {"R": npy((GIBIBYTE // 288, 3, 3), "<f8", bytes(GIBIBYTE // 288 * 72))},
            compression=zipfile.ZIP_DEFLATED,
        ),
    )
    path = archive("members", {"theory": npy((10**6,), "<f8", bytes(8 * 10**6))}, compression=zipfile.ZIP_DEFLATED)
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
        yield name, make_file(folder, f"{name} of all.npz", content)
    yield "missing", archive("missing", {"z": npy((9,), "<i8", bytes(72))})
    yield "twice", archive("twice", {"energies": good["E"]})


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
        "objects": {"frame/energy": npy((3,), "|O", pickle.dumps(Canary()))},
        "rows": {"atoms/forces": npy((HUGE, 3), "<f8", bytes(216))},
    }
    for name, change in changes.items():
        yield name, archive(name, change)
    whole = archive("whole", {}).read_bytes()
    yield "cut", make_file(folder, "packed cut.npz", whole[:-100])
    yield "checksum", make_file(folder, "packed checksum.npz", whole.replace(good["positions"].tobytes(), bytes(216)))
