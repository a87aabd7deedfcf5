"""Data files of every reader that are hostile, damaged or not files at all: refused with one line, nothing executed."""

import json
import os
import subprocess
import sys
import time

import pytest

from equipot_test_support import ROOT, data_files, hostile_data
from equipot_test_support.data_fuzz import MEMORY, SECONDS_EACH

RUN, NO_FILE = ("run-frc-1.xyz", "run-1.cell", "run.out"), ("pipe", "folder")
HARMLESS = {
    ("extxyz", "comment quote"): "a quote that is not closed ends with the line",
    ("extxyz", "comment numbers"): "the energy is infinite, which the check of the labels reports",
    ("db", "none"): "atoms without elements, which no model has as a type",
    ("db", "objects"): "columns take precedence over key-value pairs",
    ("db", "fewer columns"): "the column is not read",
    ("outputs", "gaussian-out stated"): "an element that no model has as a type",
    ("outputs", "gaussian-out nul"): "the text is not read there",
    ("cp2k runs", "run-frc-1.xyz empty"): "frames without forces, which is said",
    ("cp2k runs", "run-frc-1.xyz nan"): "the forces are NaN, which the check of the labels reports",
    ("cp2k runs", "run-frc-1.xyz repeated"): "what follows the last step is not read",
    ("cp2k runs", "run-1.cell many"): "the line ends with the same cell",
    ("cp2k runs", "run.out energies"): "cycles that converged are not remembered",
    **{("cp2k runs", f"{name} {kind}"): "no file, so that it is not read" for name in RUN for kind in NO_FILE},
    ("cp2k runs", "run.out elsewhere"): "no output of this run",
    ("cp2k runs", "long line"): "no output of this run",
}
"""Files that give frames, and why that is right."""


def run(module, *arguments, timeout):
    """The output of a module of the test support in another process."""
    path = os.pathsep.join([str(ROOT / "tests/support"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", f"equipot_test_support.{module}", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What happened to each hostile file."""
    return run("hostile_data", tmp_path_factory.mktemp("hostile"), timeout=600)


@pytest.mark.slow
@pytest.mark.parametrize("family", hostile_data.FAMILIES)
def test_hostile_files_are_refused(results, family, capsys):
    mine = [result for result in results if result["family"] == family]
    refused = [result for result in mine if result["outcome"].startswith("refused: ")]
    with capsys.disabled():
        print(f"\n{family}: {len(refused)} of {len(mine)} files refused", end=" ")  # noqa: T201 - a figure of the report
    assert len(mine) >= 20
    for result in mine:
        name = f"{family}, {result['name']}"
        if result not in refused:
            assert (family, result["name"]) in HARMLESS, f"{name}: {result['outcome']}"
            assert result["outcome"] == "frames", f"{name}: {result['outcome']}"
        assert result["seconds"] < SECONDS_EACH, name
        assert result["memory"] < MEMORY + 2 * result["size"], name
        assert not result["seen"], name


@pytest.mark.nightly
@pytest.mark.slow
def test_mutated_files_give_frames_or_one_line(tmp_path, capsys):
    fuzz(tmp_path, capsys, 120)


@pytest.mark.nightly
def test_mutated_files_for_longer(tmp_path, capsys):
    fuzz(tmp_path, capsys, 1200)


def fuzz(folder, capsys, seconds):
    """Read mutated files; the seed is another one on each day, and part of the message."""
    seed = int(os.environ.get("EQUIPOT_FUZZ_SEED") or time.time() // 86400)
    counts = run("data_fuzz", seed, seconds, folder, timeout=seconds + 300)
    with capsys.disabled():
        errors = sum(count for kind, count in counts.items() if kind.endswith("error"))
        print(f"\nseed {seed}: {sum(counts.values())} files read, {errors} refused", end=" ")  # noqa: T201 - the same
    kinds = {kind.rpartition(":")[0] for kind in counts}
    assert kinds >= {*data_files.CORE, *data_files.TOOLBOX}
    assert sum(counts.values()) > 10 * len(kinds)
