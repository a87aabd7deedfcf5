"""Archives of arrays for the data sets of the toolbox: NPZ, HDF5 and LMDB."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hostile.case import CANARY, Case, Content, folder, link_to, pipe, sparse
from hostile.families._bytes import damaged, noise
from hostile.families._configs import TRAIN, config_case
from hostile.seeds import Seeds

_ODD = "frames with odd numbers, which are reported or computed"


class _Payload:
    """Writes the canary when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (CANARY, "w")


def cases(seeds: Seeds) -> Iterator[Case]:
    """All three kinds."""
    yield from _npz(seeds)
    yield from _hdf5(seeds)
    yield from _lmdb(seeds)


def _case(seeds: Seeds, kind: str, name: str, content: Content | None, *, files: Any = None, harmless: str = "") -> Case:
    """A case of a data set that the validation reads."""
    path = f"x.{kind.lower()}"
    source = {"_target_": f"equipot_toolbox.{kind}Dataset", "file_path": path}
    config = seeds.config()
    config["run"] = ["val"]
    config["data"] = {
        "_target_": "equipot_toolbox.FrameDataModule", "seed": 1, "val_dataset": source, "val_dataloader": {"batch_size": 4},
    }  # fmt: skip
    for option in ("avg_num_neighbors", "per_type_energy_shifts", "per_type_energy_scales"):
        config["training_module"]["model"][option] = 1.0 if option == "avg_num_neighbors" else None
    own = {path: content} if files is None else files
    return config_case(f"{kind} {name}", config, commands=[TRAIN], files=own, harmless=harmless)


def _kinds(seeds: Seeds, kind: str) -> Iterator[Case]:
    made: dict[str, Content] = {
        "a pipe": pipe, "a folder": folder, "a device": link_to("/dev/zero"), "a link to nothing": link_to("nothing"),
        "a link to itself": link_to(f"x.{kind.lower()}"), "10 GB of nothing": sparse(10 * 1024**3),
    }  # fmt: skip
    for name, content in made.items():
        yield _case(seeds, kind, name, content)
    yield _case(seeds, kind, "missing", None, files={})


# ---------------------------------------------------------------------------------------- NPZ


def _good_arrays(seeds: Seeds) -> dict[str, Any]:
    return {
        "R": np.array([one.positions for one in seeds.frames]),
        "z": seeds.frames[0].numbers.astype(np.int64),
        "E": np.array([one.calc.results["energy"] for one in seeds.frames]),
        "F": np.array([one.calc.results["forces"] for one in seeds.frames]),
        "stress": np.array([one.get_stress(voigt=False) for one in seeds.frames]),
        "cell": np.array([one.cell.array for one in seeds.frames]),
        "pbc": np.array([True, True, True]),
    }


def _member(array: Any, *, pickled: bool = False) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asarray(array), allow_pickle=pickled)
    return out.getvalue()


def _archive(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, raw in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), raw, compress_type=method)
    return out.getvalue()


def _header(text: str, data: bytes = b"", version: tuple[int, int] = (1, 0), length: int | None = None) -> bytes:
    raw = text.encode("latin-1", "replace")
    size = len(raw) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", size) + raw + data


HEADERS: dict[str, bytes] = {
    "a shape of many": _header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 6, 3)}\n", bytes(100)),
    "a shape beyond numbers": _header("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999999, 3)}\n"),
    "a product that overflows": _header("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296, 3)}\n"),
    "a negative shape": _header("{'descr': '<f8', 'fortran_order': False, 'shape': (-12, 6, 3)}\n", bytes(2000)),
    "a shape of words": _header("{'descr': '<f8', 'fortran_order': False, 'shape': ('a',)}\n"),
    "a shape of true": _header("{'descr': '<f8', 'fortran_order': False, 'shape': (True, 6, 3)}\n", bytes(2000)),
    "objects": _header("{'descr': '|O', 'fortran_order': False, 'shape': (12,)}\n", b"cposix\nsystem\n(S'touch ../outside/CANARY'\ntR."),
    "a structure": _header("{'descr': [('a', '<f8'), ('b', '|O')], 'fortran_order': False, 'shape': (2,)}\n", bytes(64)),
    "texts of a billion letters": _header("{'descr': '<U1000000000', 'fortran_order': False, 'shape': (12,)}\n"),
    "voids": _header("{'descr': '|V1000000000', 'fortran_order': False, 'shape': (12,)}\n"),
    "voids of nothing": _header("{'descr': '|V0', 'fortran_order': False, 'shape': (1000000000000,)}\n"),
    "an unknown type": _header("{'descr': '<q99', 'fortran_order': False, 'shape': (12,)}\n"),
    "a type of types": _header("{'descr': " + "[" * 500 + "]" * 500 + ", 'fortran_order': False, 'shape': (1,)}\n"),
    "deep brackets": _header("(" * 9000 + ")" * 9000),
    "a call": _header("__import__('os').system('touch ../outside/CANARY')"),
    "a long header": _header("{" + " " * 60_000 + "}", version=(2, 0)),
    "a header of 4 GB": _header("{", version=(2, 0), length=2**32 - 1),
    "version 9": _header("{}", version=(9, 0)),
    "no keys": _header("{}"),
    "more keys": _header("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'x': 1}\n", bytes(8)),
    "too little": _header("{'descr': '<f8', 'fortran_order': False, 'shape': (12, 6, 3)}\n", bytes(80)),
    "no magic": b"x" * 200,
    "nothing": b"",
}  # fmt: skip
"""Raw members instead of the positions."""


def _npz(seeds: Seeds) -> Iterator[Case]:
    arrays = _good_arrays(seeds)
    raw = {f"{name}.npy": _member(value) for name, value in arrays.items()}
    good = _archive(raw)
    yield _case(seeds, "NPZ", "valid", good, harmless="valid")
    yield from _kinds(seeds, "NPZ")
    for name, content in damaged(good):
        why = _ODD if name in ("twice", "after noise", "before noise") or "flipped" in name else ""
        yield _case(seeds, "NPZ", name, content, harmless=why)
    for name, member in HEADERS.items():
        yield _case(seeds, "NPZ", f"with {name}", _archive({**raw, "R.npy": member}))
    for name, changes in _array_lies(arrays).items():
        left = {key: value for key, value in {**arrays, **changes}.items() if value is not None}
        members = {f"{key}.npy": _member(value) for key, value in left.items()}
        yield _case(seeds, "NPZ", f"with {name}", _archive(members), harmless=_LIES_OK.get(name, ""))
    pickled = _member(np.array([_Payload()], dtype=object), pickled=True)
    for name in ("R", "E", "extra"):
        yield _case(seeds, "NPZ", f"pickled {name}", _archive({**raw, f"{name}.npy": pickled}))
    many = {f"x{index}.npy": raw["pbc.npy"] for index in range(20_000)}
    unusual: dict[str, Content] = {
        "bomb": _bomb(raw, "R.npy", "'<f8'", (12, 4_000_000, 3)),
        "bomb of another array": _bomb(raw, "x.npy", "'|b1'", (1_200_000_000,)),
        "many members": _archive({**raw, **many}),
        "a path": _archive({"../outside/R.npy": raw["R.npy"], **raw}),
        "an absolute path": _archive({"/tmp/R.npy": raw["R.npy"], **raw}),
        "escapes": _archive({"\x1b[31mR\n.npy": raw["R.npy"]}),
        "no arrays": _archive({}),
        "texts": _archive({"a.txt": b"x"}),
        "an array alone": raw["R.npy"],
        "a pickle alone": b"cposix\nsystem\n(S'touch ../outside/CANARY'\ntR.",
    }  # fmt: skip
    may = ("many members", "a path", "an absolute path")
    for name, content in unusual.items():
        yield _case(seeds, "NPZ", name, content, harmless="nothing is unpacked to a path" if name in may else "")


def _bomb(raw: Mapping[str, bytes], name: str, kind: str, shape: tuple[int, ...]) -> Content:
    """An archive with an array of zeros that is much larger than the file."""
    size = int(np.prod(shape)) * np.dtype(kind.strip("'")).itemsize

    def made(path: Path) -> None:
        head = _header(f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}}}\n")
        path.write_bytes(_archive(raw))
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for key, value in {**raw, name: head}.items():
                with archive.open(zipfile.ZipInfo(key), "w", force_zip64=True) as file:
                    file.write(value)
                    if key == name:
                        for _ in range(size // 2**20):
                            file.write(bytes(2**20))
                        file.write(bytes(size % 2**20))

    return made


_LIES_OK = {
    "atoms in one place": _ODD, "other byte order": "the same numbers", "single precision": "the same numbers",
    "an energy of nan": _ODD, "huge forces": _ODD, "columns": "the same numbers", "half precision": "the same numbers",
    "more arrays": "are not used",
}  # fmt: skip


def _array_lies(arrays: dict[str, Any]) -> dict[str, dict[str, Any]]:
    positions, numbers, energies = arrays["R"], arrays["z"], arrays["E"]
    return {
        "no positions": {"R": None},
        "no elements": {"z": None},
        "no energies": {"E": None},
        "no frames": {"R": positions[:0], "E": energies[:0], "F": positions[:0], "cell": None, "stress": None},
        "no atoms": {"R": positions[:, :0], "z": numbers[:0], "F": positions[:, :0]},
        "two directions": {"R": positions[..., :2]},
        "flat positions": {"R": positions.reshape(12, 18)},
        "a number as positions": {"R": np.float64(1.0)},
        "fewer energies": {"E": energies[:5]},
        "more energies": {"E": np.concatenate([energies, energies])},
        "energies of two columns": {"E": np.stack([energies, energies], 1)},
        "fewer forces": {"F": arrays["F"][:, :2]},
        "forces of other frames": {"F": arrays["F"][:3]},
        "fewer elements": {"z": numbers[:2]},
        "element 0": {"z": numbers * 0},
        "element -5": {"z": numbers * 0 - 5},
        "element 500": {"z": numbers * 0 + 500},
        "element of many digits": {"z": numbers.astype(np.uint64) * 0 + 2**63},
        "half elements": {"z": numbers + 0.5},
        "elements of nan": {"z": numbers * np.nan},
        "complex positions": {"R": positions + 1j},
        "positions of texts": {"R": positions.astype("U8")},
        "positions of dates": {"R": positions.astype("M8[s]")},
        "positions of nan": {"R": positions * np.nan},
        "infinite positions": {"R": positions * np.inf},
        "far positions": {"R": positions * 1e300},
        "true positions": {"R": positions > 0},
        "atoms in one place": {"R": positions * 0},
        "other byte order": {"R": positions.astype(">f8")},
        "single precision": {"R": positions.astype("f4")},
        "half precision": {"R": positions.astype("f2")},
        "long precision": {"R": positions.astype(np.longdouble)},
        "columns": {"R": np.asfortranarray(positions)},
        "a cell of nan": {"cell": arrays["cell"] * np.nan},
        "a cell of two vectors": {"cell": arrays["cell"][:, :2]},
        "a flat cell": {"cell": arrays["cell"] * 0},
        "a huge cell": {"cell": arrays["cell"] * 1e300},
        "a small cell": {"cell": arrays["cell"] * 1e-4},
        "a cell of texts": {"cell": arrays["cell"].astype("U8")},
        "pbc of five": {"pbc": np.array([True] * 5)},
        "pbc of numbers": {"pbc": np.array([7.5, np.nan, -1])},
        "an energy of nan": {"E": energies * np.nan},
        "infinite energies": {"E": energies * np.inf},
        "huge forces": {"F": arrays["F"] * 1e300},
        "positions twice": {"coords": positions},
        "more arrays": {f"x{index}": energies for index in range(500)},
        "a stress of two": {"stress": arrays["stress"][:, :2, 0]},
    }


# --------------------------------------------------------------------------------------- HDF5


def _hdf5(seeds: Seeds) -> Iterator[Case]:
    arrays = _good_arrays(seeds)
    arrays = {"positions": arrays["R"], "atomic_numbers": arrays["z"], "energy": arrays["E"], "forces": arrays["F"],
              "stress": arrays["stress"], "cell": arrays["cell"], "pbc": arrays["pbc"]}  # fmt: skip
    good = _hdf5_bytes(seeds.folder / "good.hdf5", lambda file: _fill(file, arrays))
    yield _case(seeds, "HDF5", "valid", good, harmless="valid")
    yield from _kinds(seeds, "HDF5")
    for name, content in damaged(good):
        why = _ODD if name in ("twice", "before noise") or "flipped" in name else ""
        yield _case(seeds, "HDF5", name, content, harmless=why)
    for name, content in damaged(good[:4096]):
        if "flipped" in name:
            yield _case(seeds, "HDF5", f"head with {name}", content + good[4096:], harmless=_ODD)
    renamed = {"R": "positions", "z": "atomic_numbers", "E": "energy", "F": "forces"}
    for name, changes in _array_lies(_good_arrays(seeds)).items():
        if name in ("positions of dates", "positions of texts", "a cell of texts", "long precision", "columns"):
            continue
        left = {**arrays, **{renamed.get(key, key): value for key, value in changes.items()}}
        kept = {key: value for key, value in left.items() if value is not None}
        content = _hdf5_bytes(seeds.folder / "lie.hdf5", lambda file, kept=kept: _fill(file, kept))
        yield _case(seeds, "HDF5", f"with {name}", content, harmless=_LIES_OK.get(name, ""))
    for name, build in _structures(arrays).items():
        content = _hdf5_bytes(seeds.folder / "lie.hdf5", build)
        yield _case(seeds, "HDF5", name, content, harmless=_STRUCTURES_OK.get(name, ""))


_STRUCTURES_OK = {
    "1000 groups": "every group has valid frames", "attributes": "are not read", "chunks": "the same numbers",
    "a soft link inside": "", "a group of texts": "texts are not read", "compressed": "the same numbers",
}  # fmt: skip


def _fill(group: Any, arrays: Mapping[str, Any]) -> None:
    for name, value in arrays.items():
        group.create_dataset(name, data=value)


def _hdf5_bytes(path: Path, build: Callable[[Any], object]) -> bytes:
    import h5py

    with h5py.File(path, "w") as file:
        build(file)
    return path.read_bytes()


def _structures(arrays: dict[str, Any]) -> dict[str, Callable[[Any], object]]:
    """Files that are valid HDF5 and hold something else than frames."""
    import h5py

    def with_frames(build: Callable[[Any], object]) -> Callable[[Any], object]:
        return lambda file: (_fill(file, arrays), build(file))

    def without(name: str, build: Callable[[Any], object]) -> Callable[[Any], object]:
        return lambda file: (_fill(file, {key: value for key, value in arrays.items() if key != name}), build(file))

    def deep(file: Any) -> None:
        for _ in range(3000):
            file = file.create_group("g")
        _fill(file, arrays)

    def many(file: Any) -> None:
        for index in range(1000):
            _fill(file.create_group(f"g{index}"), {key: arrays[key] for key in ("positions", "atomic_numbers", "energy", "forces", "stress", "cell", "pbc")})

    def circle(file: Any) -> None:
        group = file.create_group("a").create_group("b")
        group["again"] = file["a"]

    def virtual(file: Any) -> None:
        layout = h5py.VirtualLayout((12, 6, 3), "f8")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", (12, 6, 3))
        file.create_virtual_dataset("positions", layout)

    def laughs(file: Any) -> None:
        below = file.create_group("end")
        for index in range(24):
            above = file.create_group(f"level{index}")
            above["left"] = below
            above["right"] = below
            below = above

    big = dict(shape=(10**9, 6, 3), dtype="f8", chunks=(1, 6, 3))
    return {
        "a circle": with_frames(circle),
        "groups that double at each level": with_frames(laughs),
        "the root in itself": with_frames(lambda file: file.__setitem__("root", file["/"])),
        "deep groups": deep,
        "1000 groups": many,
        "a soft link inside": without("positions", lambda file: (file.create_dataset("p", data=arrays["positions"]), file.__setitem__("positions", h5py.SoftLink("/p")))),
        "a soft link to nothing": with_frames(lambda file: file.__setitem__("x", h5py.SoftLink("/nothing"))),
        "a soft link to itself": with_frames(lambda file: file.__setitem__("x", h5py.SoftLink("/x"))),
        "a link to another file": with_frames(lambda file: file.__setitem__("x", h5py.ExternalLink("/etc/passwd", "/"))),
        "data in another file": without("energy", lambda file: file.create_dataset("energy", (12,), "f8", external=[("/etc/passwd", 0, 96)])),
        "data of a device": without("energy", lambda file: file.create_dataset("energy", (12,), "f8", external=[("/dev/zero", 0, 96)])),
        "virtual data": without("positions", virtual),
        "a billion frames without data": without("positions", lambda file: file.create_dataset("positions", **big)),
        "a billion energies without data": without("energy", lambda file: file.create_dataset("energy", (10**9,), "f8", chunks=(1,))),
        "a billion atoms": lambda file: (file.create_dataset("positions", (1, 10**9, 3), "f8", chunks=(1, 1000, 3)), file.create_dataset("atomic_numbers", (10**9,), "i8", chunks=(1000,)), file.create_dataset("energy", data=[1.0])),
        "a chunk of many": without("positions", lambda file: file.create_dataset("positions", (12, 6, 3), "f8", maxshape=(None, None, None), chunks=(5000, 500, 50))),
        "a bomb": without("positions", lambda file: file.create_dataset("positions", data=np.zeros((12, 1_000_000, 3)), compression="gzip", chunks=(12, 1_000_000, 3))),
        "compressed": lambda file: [file.create_dataset(name, data=value, compression="gzip" if np.ndim(value) else None) for name, value in arrays.items()],
        "chunks": lambda file: [file.create_dataset(name, data=value, chunks=True) for name, value in arrays.items()],
        "texts as positions": without("positions", lambda file: file.create_dataset("positions", data=[["a"]])),
        "a group of texts": with_frames(lambda file: file.create_group("notes").create_dataset("x", data=["a"])),
        "compound positions": without("positions", lambda file: file.create_dataset("positions", (12,), np.dtype([("x", "f8"), ("y", "f8")]))),
        "rows of any length": without("energy", lambda file: file.create_dataset("energy", (12,), h5py.vlen_dtype("f8"))),
        "references": without("energy", lambda file: file.create_dataset("energy", (12,), h5py.ref_dtype)),
        "an array type": without("energy", lambda file: file.create_dataset("energy", (12,), np.dtype(("f8", (1000, 1000))))),
        "an enumeration": without("atomic_numbers", lambda file: file.create_dataset("atomic_numbers", (6,), h5py.enum_dtype({"H": 1}))),
        "a named type": with_frames(lambda file: file.__setitem__("type", np.dtype("f8"))),
        "attributes": with_frames(lambda file: file.attrs.__setitem__("\x1b[31m", "x" * 10_000)),
        "no data": lambda file: None,
        "an empty data set": without("energy", lambda file: file.create_dataset("energy", data=h5py.Empty("f8"))),
        "a group as positions": without("positions", lambda file: file.create_group("positions")),
        "names with escapes": with_frames(lambda file: file.create_dataset("\x1b[31mred\nx", data=[1.0])),
        "opaque numbers": without("energy", lambda file: file.create_dataset("energy", (12,), "V8")),
        "100 dimensions": with_frames(lambda file: file.create_dataset("x", (1,) * 32, "f8")),
    }  # fmt: skip


# --------------------------------------------------------------------------------------- LMDB


def _lmdb(seeds: Seeds) -> Iterator[Case]:
    good = _lmdb_file(seeds, seeds.folder / "good.lmdb", {})
    yield _case(seeds, "LMDB", "valid", good, harmless="valid")
    yield from _kinds(seeds, "LMDB")
    for name, content in damaged(good):
        why = _ODD if name in ("twice", "before noise", "with line ends of another system") or "flipped" in name else ""
        yield _case(seeds, "LMDB", name, content, harmless=why)
    for index in range(12):
        content = bytearray(good)
        content[index * 8 + 8 : index * 8 + 16] = b"\xff" * 8
        yield _case(seeds, "LMDB", f"head damaged at {index}", bytes(content), harmless=_ODD)
        content[4096 + index * 8 + 8 : 4096 + index * 8 + 16] = b"\xff" * 8
        yield _case(seeds, "LMDB", f"both heads damaged at {index}", bytes(content), harmless=_ODD)
    for page in range(2, 10):
        content = bytearray(good)
        content[page * 4096 : page * 4096 + 64] = noise(64, page)
        yield _case(seeds, "LMDB", f"page {page} damaged", bytes(content), harmless=_ODD)
    for name, entries in _lmdb_lies(seeds).items():
        yield _case(seeds, "LMDB", name, _lmdb_file(seeds, seeds.folder / "lie.lmdb", entries), harmless=_LMDB_OK.get(name, ""))


_LMDB_OK = {"fewer frames than there are": "the first frames are valid", "other keys": "are not read"}


def _lmdb_file(seeds: Seeds, path: Path, entries: Mapping[bytes, bytes | None]) -> bytes:
    import lmdb
    from equipot_toolbox import write_lmdb

    path.unlink(missing_ok=True)
    write_lmdb(path, seeds.frames)
    if entries:
        with lmdb.open(str(path), subdir=False, map_size=2**28, lock=False) as environment, environment.begin(write=True) as open_:
            for key, value in entries.items():
                open_.delete(key) if value is None else open_.put(key, value)
    return path.read_bytes()


def _lmdb_lies(seeds: Seeds) -> dict[str, dict[bytes, bytes | None]]:
    from hostile.families._tensors import HEADERS as TENSOR_HEADERS

    def header(**changes: Any) -> bytes:
        return json.dumps({"format": "equipot frames", "version": 1, "frames": 12, **changes}).encode()

    made: dict[str, dict[bytes, bytes | None]] = {
        "no head": {b"format": None},
        "a head of noise": {b"format": noise(100)},
        "deep head": {b"format": b"[" * 100_000},
        "a head of a list": {b"format": b"[]"},
        "a head of a pickle": {b"format": b"cposix\nsystem\n(S'touch ../outside/CANARY'\ntR."},
        "a trillion frames": {b"format": header(frames=10**12)},
        "minus five frames": {b"format": header(frames=-5)},
        "no frames": {b"format": header(frames=0)},
        "infinite frames": {b"format": header(frames=float("inf"))},
        "frames of nan": {b"format": header(frames=float("nan"))},
        "frames of a word": {b"format": header(frames="many")},
        "frames of 5000 digits": {b"format": header(frames=1).replace(b'"frames": 1', b'"frames": ' + b"9" * 5000)},
        "frames of true": {b"format": header(frames=True)},
        "version of a list": {b"format": header(version=[1])},
        "version 2": {b"format": header(version=2)},
        "another format": {b"format": header(format="\x1b[31mx\n")},
        "one more frame than there are": {b"format": header(frames=13)},
        "fewer frames than there are": {b"format": header(frames=3)},
        "a missing frame": {b"000000000003": None},
        "a frame of nothing": {b"000000000003": b""},
        "a pickled frame": {b"000000000003": b"cposix\nsystem\n(S'touch ../outside/CANARY'\ntR."},
        "other keys": {b"other": noise(100)},
    }
    for name, raw in TENSOR_HEADERS.items():
        made[f"a frame with {name}"] = {b"000000000003": raw}
    from safetensors.numpy import save

    arrays = _good_arrays(seeds)
    plain = {"positions": arrays["R"][0], "atomic_numbers": arrays["z"], "cell": arrays["cell"][0], "pbc": arrays["pbc"], "results/energy": arrays["E"][:1], "results/forces": arrays["F"][0]}
    lies: dict[str, dict[str, Any]] = {
        "positions of two columns": {"positions": arrays["R"][0][:, :2]}, "fewer positions": {"positions": arrays["R"][0][:2]},
        "positions of a number": {"positions": np.zeros(1)}, "elements of fractions": {"atomic_numbers": np.full(6, 0.5)},
        "element 500": {"atomic_numbers": np.full(6, 500)}, "element -3": {"atomic_numbers": np.full(6, -3)},
        "no atoms": {"positions": np.zeros((0, 3)), "atomic_numbers": np.zeros(0, dtype=np.int64)}, "a cell of two": {"cell": np.zeros((2, 2))},
        "pbc of five": {"pbc": np.ones(5, dtype=bool)}, "forces of two": {"results/forces": arrays["F"][0][:2]},
        "an energy of five": {"results/energy": np.zeros(5)}, "an array of other atoms": {"arrays/x": np.zeros(3)},
        "numbers as an array": {"arrays/numbers": np.zeros(3)}, "odd names": {"arrays/../../x": np.zeros(6), "/": np.zeros(1)},
        "a type of noise": {"config_type": np.full(5, 255, dtype=np.uint8)}, "positions of nan": {"positions": arrays["R"][0] * np.nan},
        "a stress of two": {"results/stress": np.zeros(2)}, "positions of halves": {"positions": arrays["R"][0].astype("f2")},
    }  # fmt: skip
    for name, changes in lies.items():
        made[f"a frame with {name}"] = {b"000000000003": save({**plain, **changes})}
    return made
