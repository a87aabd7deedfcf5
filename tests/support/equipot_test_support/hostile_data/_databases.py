"""Hostile databases of ASE, in SQLite and JSON."""

import json
import sqlite3

import numpy as np

from equipot_test_support import data_files
from equipot_test_support.hostile_data._common import make_file


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
    yield "empty", make_file(folder, "empty.db", b"")
    yield "not sqlite", make_file(folder, "text.db", b"hello" * 99)
    yield "cut", make_file(folder, "cut.db", whole[:5000])
    yield "pages", make_file(folder, "pages.db", whole[:100] + bytes(len(whole) - 100))
    path = make_file(folder, "busy.db", whole)
    make_file(folder, "busy.db-wal", b"changes")
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
        yield name, make_file(folder, f"{name}.json", json.dumps(content).encode())
    for name, content in {
        "deep": b"[" * 10**6,
        "deep keys": b'{"a":' * 10**6,
        "digits": b"9" * 10**6,
        "nothing": b"",
        "cut": json.dumps(rows).encode()[:-9],
    }.items():
        yield name, make_file(folder, f"{name}.json", content)
