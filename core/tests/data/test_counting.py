"""Neighbours counted in several processes: the same statistics to the last bit, and no process is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.data import ASEDataModule, CommonDataStatisticsManager, _dataset
from equipot.data._collection import collect_frames
from equipot.data._dataset import FrameDataset, complete_labels
from equipot.data._label_contract import label_contract
from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper, ModelEdges
from equipot.errors import ConfigError, DataError

TYPES = ["H", "C"]
NAMES = ["num_neighbors_mean", "per_type_num_neighbors_mean", "per_atom_energy_mean", "forces_rms"]


def structures(n, *, close=()):
    rng = np.random.default_rng(0)
    for index in range(n):
        size = int(rng.integers(1, 9))
        atoms = Atoms(rng.choice(TYPES, size), rng.random((size, 3)) * 7 + 1)
        if index in close:
            atoms = Atoms("HH", np.zeros((2, 3)))
        if index % 2:
            atoms.cell, atoms.pbc = np.eye(3) * 8, True
        atoms.calc = SinglePointCalculator(atoms, energy=rng.normal(), forces=rng.normal(size=(len(atoms), 3)))
        yield f"a, frame {index}", atoms


def dataset(n=150, **options):
    found = collect_frames(structures(n, **options), label_contract(None))
    transforms = [ChemicalSpeciesToAtomTypeMapper(TYPES), ModelEdges(3.0, None, ())]
    return FrameDataset(complete_labels(found.frames, ["total_energy", "forces"]), found.places, transforms)


def statistics(frames, workers):
    manager = CommonDataStatisticsManager()
    batches, isolated = frames.for_statistics(manager.fields_read(NAMES, TYPES), workers)
    return manager.compute(batches, TYPES, NAMES, isolated=isolated)


@pytest.fixture
def _small_blocks(monkeypatch):
    monkeypatch.setattr(_dataset, "_FRAMES_AT_ONCE", 16)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize(
    "method", ["fork", *(pytest.param(one, marks=pytest.mark.slow) for one in ("forkserver", "spawn"))]
)
def test_statistics_do_not_depend_on_the_number_of_processes(monkeypatch, method):
    before = torch.multiprocessing.get_start_method(allow_none=True)
    others = torch.multiprocessing.active_children()  # of other tests, such as a cluster for all of them
    frames = dataset()
    expected = statistics(frames, 1)
    torch.multiprocessing.set_start_method(method, force=True)
    try:
        assert statistics(frames, 2) == expected
        assert torch.multiprocessing.active_children() == others
    finally:
        torch.multiprocessing.set_start_method(before, force=True)


@pytest.mark.usefixtures("_small_blocks")
def test_atoms_that_coincide_are_the_same_error():
    errors, others = [], torch.multiprocessing.active_children()
    for workers in (1, 2):
        with pytest.raises(DataError) as caught:
            statistics(dataset(close=(100,)), workers)
        errors.append(str(caught.value))
    assert errors[0] == errors[1]
    assert "\n" not in errors[0]
    assert torch.multiprocessing.active_children() == others


def test_the_option_of_the_data_section(monkeypatch):
    asked = []
    module = ASEDataModule(
        1, train_file_path="a.xyz", cache_dir=None, statistics_workers=3, stats_manager=CommonDataStatisticsManager()
    )
    frames = dataset()
    original = frames.for_statistics
    monkeypatch.setattr(frames, "for_statistics", lambda fields, workers: asked.append(workers) or original(fields, 1))
    monkeypatch.setattr(module, "_ready", lambda _: frames)
    monkeypatch.setattr(module, "_transforms", frames.transforms)
    monkeypatch.setattr(module, "_sets", {"train": frames})
    module.statistics(["num_neighbors_mean"])
    assert asked == [3]
    with pytest.raises(ConfigError, match="statistics_workers"):
        ASEDataModule(1, train_file_path="a.xyz", statistics_workers=0)


SCRIPT = """
import sys, time
sys.path.insert(0, sys.argv[1])
import test_counting
from equipot import _interrupts
from equipot.data import _counting, _dataset

_dataset._FRAMES_AT_ONCE = 4
original = _counting.count_neighbors
_counting.count_neighbors = lambda *given: time.sleep(0.5) or original(*given)
frames = test_counting.dataset()
print("ready", flush=True)
try:
    with _interrupts.handled():
        test_counting.statistics(frames, 2)
except _interrupts.Interrupted as interrupted:
    sys.exit(interrupted.exit_code)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_after_a_signal(number):
    """The group of the processes is empty a few seconds after the signal, which a terminal sends to all of them."""
    words = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent)]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, start_new_session=True, **piped) as process:
        assert process.stdout.readline() == "ready\n"
        until = time.monotonic() + 60
        while len(members(process.pid)) < 3:
            assert time.monotonic() < until
            time.sleep(0.1)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        assert process.wait(60) == (-9 if number == signal.SIGKILL else 128 + number)
        while members(process.pid):
            assert time.monotonic() < until, "processes are left"
            time.sleep(0.2)
        assert "Traceback" not in process.stderr.read()


def members(group):
    """Processes of a group that are not over."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(stat.parent.name)
    return found
