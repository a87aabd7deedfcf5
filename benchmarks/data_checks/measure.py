"""Plant every fault in every clean set, judge, and store what was found, missed and falsely reported.

    python benchmarks/data_checks/make_sets.py FOLDER
    EQUIPOT_EXTRA_DATA=... python benchmarks/data_checks/measure.py FOLDER [--sets NAME ...] [--faults WORD ...]

Writes ``benchmarks/results/data_checks.json`` after each set. Sets marked ``tuned`` were used when the first
thresholds were chosen.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read

from equipot.data._collection import FrameCollection, collect_frames
from equipot.data._frames import label_contract
from equipot.data.checks import judge

sys.path.insert(0, str(Path(__file__).parent))
from faults import Planted, plant

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks" / "results" / "data_checks.json"
CONTRACT = label_contract(None)
MADE = ("alloy_emt", "argon_lj", "carbonyls_pbe", "molecules_gfn2", "quartz_gfn1", "rock_salt_gfn1")
HELD_OUT = ("sulphur_gfn2", "zinc_blende_gfn1", "rutile_gfn1", "diamond_gfn1")
KINDS = ("named", "found", "other", "missed")
TUNED = ("acac", "ethanol_methanol", "silicon", "lithium", "magnesia", "carbonates", "water")


def _spread(frames: list[Atoms], count: int, seed: int) -> list[Atoms]:
    chosen = np.sort(np.random.default_rng(seed).permutation(len(frames))[:count])
    return [frames[index] for index in chosen]


def public_sets(folder: Path) -> dict[str, Callable[[], list[Atoms]]]:
    """Sets of other people, by the loaders beside them."""
    spec = importlib.util.spec_from_file_location("extra_loaders", folder / "loaders.py")
    if spec is None or spec.loader is None:
        sys.exit(f"measure: {folder} has no loaders.py")
    load: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(load)
    liquid = lambda: [a for a in load.ecemc() if len(a) > 1]  # noqa: E731
    return {
        "acac": lambda: load.xyz("acac/train_300K.xyz")[:160],
        "ethanol_methanol": lambda: _spread(load.xyz("ethanol_botnet/train_eth_meth.xyz"), 200, 0),
        "silicon": lambda: load.mlearn("Si", "training"),
        "lithium": lambda: load.mlearn("Li", "training"),
        "magnesia": lambda: _spread(load.mgo("train"), 160, 0),
        "carbonates": lambda: liquid()[:80],
        "water": lambda: load.water()[:60],
        "acac_600K": lambda: load.xyz("acac/test_MD_600K.xyz")[:200],
        "ethanol_botnet": lambda: load.xyz("ethanol_botnet/test_MD.xyz")[:200],
        "silicon_test": lambda: load.mlearn("Si", "test"),
        "lithium_test": lambda: load.mlearn("Li", "test"),
        "magnesia_test": lambda: load.mgo("test"),
        "carbonates_rest": lambda: liquid()[100:],
        "water_rest": lambda: load.water()[200:280],
        "mptrj": lambda: load.xyz("mattersim_dev/mptrj-random-1k.xyz"),
        "graphite": lambda: _graphite(load.xyz("small_mixed/carbon_reduced_100.xyz")),
        **{
            f"rmd17_{name}": lambda name=name: load.rmd17(name, "train")[:200]
            for name in ("ethanol", "aspirin", "benzene")
        },
    }


def _graphite(frames: list[Atoms]) -> list[Atoms]:
    """Frames with their labels under the usual names."""
    for atoms in frames:
        stress = -np.reshape(atoms.info["virial"], (3, 3)) / atoms.get_volume()
        energy = atoms.calc.results["energy"] if atoms.calc else atoms.info["energy"]
        labels = {"energy": energy, "forces": atoms.arrays["force"], "stress": stress.ravel()[[0, 4, 8, 5, 2, 1]]}
        atoms.calc = SinglePointCalculator(atoms, **labels)
    return frames


def own_sets(folder: Path) -> dict[str, Callable[[], list[Atoms]]]:
    """Sets that the project made: examples, and what ``make_sets.py`` wrote."""
    examples = {"ethanol_pbe": "ethanol_pbe.extxyz", "water_gfn1": "water_gfn1.extxyz"}
    files = {name: ROOT / "examples" / "data" / path for name, path in examples.items()}
    files |= {name: folder / f"{name}.xyz" for name in (*MADE, *HELD_OUT)}
    return {name: lambda path=path: read(path, ":") for name, path in files.items()}


def _collection(frames: list[Atoms]) -> FrameCollection:
    return collect_frames(((f"frame {index}", atoms) for index, atoms in enumerate(frames)), CONTRACT)


def _judge(frames: list[Atoms]) -> tuple[list[Any], dict[str, str], float]:
    collection = _collection(frames)
    start = time.process_time()
    verdict = judge({"train": collection}, CONTRACT)
    return list(verdict.findings), dict(verdict.not_applicable), time.process_time() - start


def _frame(place: str) -> str:
    """A place without the atom."""
    return place.partition(", atom ")[0]


def _verdict(planted: Planted, findings: list[Any]) -> str:
    """``named``: right frames and right hint; ``found``: the right code; ``other``: another warning; ``missed``."""
    warnings = [one for one in findings if one.severity == "warning"]
    right = [one for one in warnings if one.code in planted.codes]
    wrong = {f"frame {index}" for index in planted.indices}
    if planted.indices:
        right = [one for one in right if wrong & set(map(_frame, one.places))]
    if not right:
        return "other" if warnings else "missed"
    hinted = any(planted.hint in one.message for one in right)
    first = not planted.indices or any(_frame(one.example) in wrong for one in right)
    return "named" if hinted and first else "found"


def measure(frames: list[Atoms], name: str, words: list[str]) -> dict[str, Any]:
    """What is said of one set as it is, and with each fault."""
    findings, reasons, cost = _judge(frames)
    row: dict[str, Any] = {
        "frames": len(frames),
        "tuned": name in TUNED,
        "cpu_s": round(cost, 1),
        "held_out": name in HELD_OUT,
        "clean": {one.code: one.message for one in findings if one.severity != "note" or one.code == "energy-residual"},
        "not_applicable": sorted(set(reasons.values())),
        "faults": {},
    }
    for fault, planted in plant(frames, np.random.default_rng(zlib.crc32(name.encode()))).items():
        if words and not any(word in fault for word in words):
            continue
        said, _, _ = _judge(planted.frames)
        verdict = _verdict(planted, said)
        row["faults"][fault] = verdict
        if verdict != "named":
            print(f"  {name}: {fault}: {verdict} {[(one.code, one.count, one.message) for one in said]}", flush=True)
    return row


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="where make_sets.py wrote its files")
    parser.add_argument("--sets", nargs="+", default=[])
    parser.add_argument("--faults", nargs="+", default=[])
    parser.add_argument(
        "--table",
        action="store_true",
        help="print the stored results, those of the held-out sets last",
    )
    given = parser.parse_args()
    if given.table:
        rows = json.loads(RESULT.read_text(encoding="utf-8"))
        for held_out in (False, True):
            print(table({name: row for name, row in rows.items() if row["held_out"] is held_out}), end="\n\n")
        return
    if given.folder is None:
        parser.error("name the folder where make_sets.py wrote its files")
    extra = os.environ.get("EQUIPOT_EXTRA_DATA")
    sets = {**(public_sets(Path(extra)) if extra else {}), **own_sets(given.folder)}
    for name in given.sets or sets:
        row = measure(sets[name](), name, given.faults)
        verdicts = list(row["faults"].values())
        counts = {kind: verdicts.count(kind) for kind in KINDS}
        print(f"{name}: clean {row['clean']} {counts} {row['cpu_s']} s", flush=True)
        if not given.faults:
            store(name, row)


def store(name: str, row: dict[str, Any]) -> None:
    """Put the row of a set into the file of results."""
    rows = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    rows[name] = row
    RESULT.write_text(json.dumps(rows, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def table(rows: dict[str, Any]) -> str:
    """Faults by the number of sets in which each was planted, named, found, and the sets in which it was not found."""
    faults = list(dict.fromkeys(fault for row in rows.values() for fault in row["faults"]))
    planted, found_in, named_in = (
        sum(one in kinds for row in rows.values() for one in row["faults"].values())
        for kinds in (KINDS, KINDS[:2], KINDS[:1])
    )
    lines = [f"{len(rows)} sets: {found_in} of {planted} faults found, {named_in} of them named", ""]
    lines += ["| fault | planted in | found | also named | not found in |", "|---|---|---|---|---|"]
    for fault in faults:
        verdicts = {name: row["faults"][fault] for name, row in rows.items() if fault in row["faults"]}
        found = [name for name, one in verdicts.items() if one in ("named", "found")]
        named = [name for name, one in verdicts.items() if one == "named"]
        missed = ", ".join(name for name in verdicts if name not in found)
        lines.append(f"| {fault} | {len(verdicts)} | {len(found)} | {len(named)} | {missed} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
