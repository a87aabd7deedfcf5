"""Statistics and neighbour lists of many frames stay within bounded memory."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from pathlib import Path

import torch

from equipot.data import CommonDataStatisticsManager
from equipot.data._dataset import FrameDataset
from equipot.data._collection import LazyFrames
from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform


def make(index):
    generator = torch.Generator().manual_seed(index)
    n = 60
    mask = torch.ones(n, dtype=torch.bool)
    return {
        "positions": 7.0 * torch.rand(n, 3, dtype=torch.float64, generator=generator),
        "cell": 7.0 * torch.eye(3, dtype=torch.float64)[None],
        "pbc": torch.ones(1, 3, dtype=torch.bool),
        "atomic_numbers": torch.tensor([1, 8]).repeat(n // 2),
        "batch": torch.zeros(n, dtype=torch.int64),
        "num_atoms": torch.tensor([n]),
        "total_energy": torch.tensor([float(index % 7)], dtype=torch.float64),
        "total_energy_mask": torch.ones(1, dtype=torch.bool),
        "forces": torch.randn(n, 3, dtype=torch.float64, generator=generator),
        "forces_mask": mask,
    }


def peak_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def work(count):
    transforms = [ChemicalSpeciesToAtomTypeMapper(["H", "O"]), NeighborListTransform(4.0)]
    dataset = FrameDataset(LazyFrames(make, range(count)), None, transforms, cache_bytes=2 * 1024**2)
    frames = (dataset[index] for index in range(count))
    found = CommonDataStatisticsManager().compute(frames, ["H", "O"])
    assert sum(1 for _ in dataset.num_edges()) == count
    dataset.content_hash()
    return found


work(300)
first = peak_mb()
statistics = work(2000)
print(first, peak_mb(), statistics["num_neighbors_mean"])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from Linux's /proc")
def test_peak_memory_does_not_grow_with_the_number_of_frames():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    few, many, neighbors = map(float, done.stdout.split())
    in_memory = 2000 * 60 * neighbors * (2 * 4 + 3 * 2) / 1024**2
    assert in_memory > 70, "what the lists of all frames would take, in their compact form"
    assert many - few < 25
