"""Hostile trajectories of ASE."""

import json
import pickle
import struct

import numpy as np

from equipot_test_support import data_files
from equipot_test_support.hostile_data._common import HUGE, Canary, make_file


def trajectories(folder):
    """Trajectories whose header, index or arrays are not what they state."""
    whole = data_files.traj(folder).read_bytes()
    for place, name in ((24, "version"), (32, "frames"), (40, "index")):
        for value in (HUGE, -1, len(whole), 2**62):
            if (place, value) not in ((24, HUGE), (24, -1), (24, len(whole)), (24, 2**62)):
                yield (
                    f"{name} {value}",
                    make_file(
                        folder, f"{name} {value}.traj", whole[:place] + struct.pack("<q", value) + whole[place + 8 :]
                    ),
                )
    shapes = {"rows": [10**9, 3], "negative": [-3, -3], "deep": [3] * 70, "none": [None], "text": ["3", "3"]}
    for name, shape in shapes.items():
        yield (
            f"shape {name}",
            make_file(folder, f"shape {name}.traj", _trajectory([{"positions.": {"ndarray": [shape, "float64", 56]}}])),
        )
    for kind in ("object", "V1000000000", "U1000000000", "nonsense", "float64,float64"):
        yield (
            f"type {kind}",
            make_file(folder, f"type {kind}.traj", _trajectory([{"positions.": {"ndarray": [[3, 3], kind, 56]}}])),
        )
    more = {"__ndarray__": [[10**9], "float64", [1.0]]}
    basis = {"version": 1, "pbc": [True] * 3, "cell": [[1, 0, 0]] * 3, "numbers.": {"ndarray": [[3], "int64", 56]}}
    place = {"positions.": {"ndarray": [[3, 3], "float64", 56]}}
    yield "array", make_file(folder, "array.traj", _trajectory([{**basis, **place, "info": {"x": more}}]))
    yield "no positions", make_file(folder, "none.traj", _trajectory([basis]))
    yield "not a mapping", make_file(folder, "list.traj", _trajectory([[1, 2]]))
    yield "no pbc", make_file(folder, "pbc.traj", _trajectory([place]))
    shared = {
        **basis,
        "numbers.": {"ndarray": [[10**5], "int64", 0]},
        "positions.": {"ndarray": [[10**5, 3], "float64", 0]},
    }
    yield "shared arrays", make_file(folder, "shared.traj", _trajectory([shared] * 4000, bytes(3 * 10**6)))
    yield "shared items", make_file(folder, "items.traj", _trajectory([{**basis, **place}], b"", 10**6))
    yield "cut", make_file(folder, "cut.traj", whole[: len(whole) // 2])
    yield "empty", make_file(folder, "empty.traj", b"")
    yield "gpaw", make_file(folder, "gpaw.traj", b"- of UlmGPAW            " + whole[24:])
    yield "pickle", make_file(folder, "pickle.traj", b"PickleTrajectory" + pickle.dumps(Canary()))


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
