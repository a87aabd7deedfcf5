"""Read ASE's databases (SQLite, JSON, LMDB): never written to, and nothing believed that the file does not hold.

ASE's own reading opens SQLite for writing (an empty file becomes a database), follows views without end, and makes
arrays of any stated shape; SQLite and the meaning of the columns are ASE's, the rest is here.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import urllib.parse
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equipot._progress import progress, track
from equipot.data._lmdb import LMDBReader
from equipot.data._streams import largest
from equipot.errors import DataError, problem

if TYPE_CHECKING:
    from ase import Atoms
    from ase.db.row import AtomsRow

Array = np.ndarray[Any, np.dtype[Any]]

_SQLITE = b"SQLite format 3\0"
_NUMBERS = "biufc"
_ARRAYS: dict[str, type] = {"numbers": np.int64, "tags": np.int64, "pbc": np.bool_} | dict.fromkeys(
    ("positions", "cell", "momenta", "masses", "initial_magmoms", "initial_charges"), np.float64
)
_NOT_ASE = "is not a database of ASE"


def array_of(shape: Any, dtype: str, values: Any) -> Any:
    """An array of the values that are there; text stays a list.

    Args:
        shape: As stated by the file.
        dtype: Name of the data type.
        values: The flat list; real and imaginary parts in turn for complex numbers.

    Raises:
        ValueError: If the shape does not hold as many values.
    """
    kind = np.dtype(dtype)
    if kind.kind not in _NUMBERS:
        return values
    if kind.kind == "c":
        return np.array(values, dtype=kind.type(0).real.dtype).view(kind).reshape(shape)
    return np.array(values, dtype=kind).reshape(shape)


def _object(found: dict[str, Any]) -> Any:
    """What ASE's JSON means by an object; only arrays and cells are made, others stay mappings."""
    if "__ndarray__" in found:
        return array_of(*found["__ndarray__"])
    if found.get("__ase_objtype__") == "cell":
        return np.asarray(found["array"], dtype=np.float64)
    return found


def decoded(text: str) -> Any:
    """Contents of ASE's JSON."""
    return json.loads(text, object_hook=_object)


def atoms_of(row: AtomsRow) -> Atoms:
    """The structure of a row with its key-value pairs and data, which ``ase.io`` leaves out.

    Constraints are left out: ASE would make objects of any of its classes with arguments from the file.
    """
    row._constraints = []  # noqa: SLF001 - the property would decode and make them
    return row.toatoms(add_additional_information=True)


def read_sqlite(file: Path) -> Iterator[Atoms]:
    """Rows of an SQLite database.

    Args:
        file: The file.

    Raises:
        DataError: If it is not an SQLite file, or has views, triggers or computed columns.
    """
    with file.open("rb") as stream:
        if stream.read(len(_SQLITE)) != _SQLITE:
            raise DataError(problem(str(file), f"{_NOT_ASE}: it is not an SQLite file"))
    for beside in (Path(f"{file}-wal"), Path(f"{file}-journal")):
        if beside.is_file() and beside.stat().st_size:
            hint = "wait for the other program to end, or open the file with it once more"
            raise DataError(problem(str(file), f"has changes that are not written yet, in {beside.name}", hint=hint))
    with contextlib.closing(_connected(file)) as connection:
        _check_schema(connection, str(file))
        database = _read_only_database(file, connection)
        (count,) = connection.execute("SELECT COUNT(*) FROM systems").fetchone()
        with progress(f"reading {file.name}", count) as update:
            for done, row in enumerate(database.select()):
                yield atoms_of(row)
                update(done + 1)


def _connected(file: Path) -> sqlite3.Connection:
    """A connection that can only read tables."""
    allowed = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ)
    # immutable: without it SQLite would make a journal or lock files in the folder
    address = f"file:{urllib.parse.quote(str(file.absolute()))}?mode=ro&immutable=1"
    connection = sqlite3.connect(address, uri=True)
    connection.execute("PRAGMA trusted_schema = OFF")
    columns = connection.execute("PRAGMA table_xinfo(systems)").fetchall()
    if any(column[-1] for column in columns):
        connection.close()
        raise DataError(problem(str(file), f"{_NOT_ASE}: it has computed columns"))

    def permitted(action: int, *about: str | None) -> int:
        harmless = action in allowed or (action == sqlite3.SQLITE_FUNCTION and about[1] == "count")
        return sqlite3.SQLITE_OK if harmless else sqlite3.SQLITE_DENY

    connection.set_authorizer(permitted)
    return connection


def _check_schema(connection: sqlite3.Connection, file: str) -> None:
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    tables = {name for kind, name, _ in rows if kind == "table"}
    if not {"systems", "information"} <= tables:
        raise DataError(problem(file, f"{_NOT_ASE}: it has no table of systems"))
    strange = [name for kind, name, sql in rows if kind not in ("table", "index") or "VIRTUAL" in str(sql).upper()]
    if strange:
        raise DataError(problem(file, f"{_NOT_ASE}: it has a view, a trigger or a virtual table", got=strange[0]))


def _read_only_database(file: Path, connection: sqlite3.Connection) -> Any:
    from ase.db.sqlite import SQLite3Database

    class ReadOnly(SQLite3Database):
        """ASE's database on a connection that is given, with our decoding."""

        def decode(self, txt: Any, lazy: bool = False) -> Any:  # noqa: FBT001, FBT002 - ASE's signature
            return _plain(txt)

        def _get_external_table_names(self, db_con: Any = None) -> list[str]:
            return []  # their names would become part of SQL

    database = ReadOnly(str(file), create_indices=False, use_lock_file=False, serial=True)
    database.connection, database.change_count = connection, 0
    return database


def _plain(value: Any) -> Any:
    """Contents of a column: JSON, or ASE's binary form with arrays behind each other and JSON at the end."""
    if not isinstance(value, bytes):
        found = decoded(value) if isinstance(value, str) else {}
    else:
        start = int.from_bytes(value[:8], "little")
        found = json.loads(value[start:], object_hook=lambda one: _stored_array(one, value))
    return found if isinstance(found, Mapping) else {}


def _stored_array(found: dict[str, Any], value: bytes) -> Any:
    if "__ndarray__" not in found:
        return _object(found)
    shape, name, offset = found["__ndarray__"]
    kind = np.dtype(name)
    if kind.kind not in _NUMBERS:
        return None
    count = int(np.prod([int(one) for one in shape], dtype=object))
    return np.frombuffer(value, kind.newbyteorder("<"), count, int(offset)).reshape(shape)


def read_json(text: str, file: str) -> Iterator[Atoms]:
    """Rows of a JSON database.

    Args:
        text: Contents of the file.
        file: Its name, for messages.

    Raises:
        DataError: If it is not a database.
    """
    from ase.db.row import AtomsRow

    whole = decoded(text)
    if not isinstance(whole, Mapping) or not ("ids" in whole or "1" in whole):
        raise DataError(problem(file, f"{_NOT_ASE} (JSON)", hint="other JSON files are not read"))
    ids = list(whole.get("ids", [1]))
    if len(set(ids)) < len(ids):
        raise DataError(problem(file, "is damaged: two rows have one number"))
    for number in ids:
        row = AtomsRow(_row(whole[str(int(number))]))
        row.id = number
        yield atoms_of(row)


def read_lmdb_rows(file: Path) -> Iterator[Atoms]:
    """Rows of an LMDB database (``.aselmdb``).

    Args:
        file: The file.

    Raises:
        DataError: If it is damaged, or a row expands to more than its size allows.
    """
    from ase.db.row import AtomsRow

    stored = LMDBReader(file)
    deleted = {int(number) for number in _unpacked(stored.get(b"deleted_ids") or zlib.compress(b"[]"), file)}
    end = min(int(_unpacked(stored.get(b"nextid") or b"", file)), len(stored) + len(deleted) + 1)
    for number in track(range(1, end), f"reading {file.name}"):
        if number in deleted:
            continue
        if (value := stored.get(str(number).encode())) is None:
            raise DataError(problem(str(file), f"is damaged: there is no row {number}"))
        yield atoms_of(AtomsRow(_row(_unpacked(value, file)) | {"id": number}))


def _unpacked(value: bytes, file: Path) -> Any:
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(value, largest(len(value)))
    if not unpacker.eof:
        what = "has a row that is cut off, or expands to more than labelled frames can"
        raise DataError(problem(str(file), what, hint="write the file again"))
    return decoded(text.decode())


def _row(found: Any) -> dict[str, Any]:
    """A row with arrays where some versions of ASE wrote lists, and without parameters of calculators."""
    from ase.calculators.calculator import all_properties

    def column(key: str, value: Any) -> Any:
        if not isinstance(value, list) or key not in (*_ARRAYS, *all_properties):
            return value
        return np.array(value, dtype=_ARRAYS.get(key, np.float64))

    return {key: column(key, value) for key, value in dict(found).items() if key != "calculator_parameters"}
