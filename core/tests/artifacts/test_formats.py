"""Files of every format ever released still load and give the numbers they were stored with."""

from pathlib import Path

import pytest
import torch

from equipot.artifacts import _golden as golden
from equipot.artifacts import load_model, verify
from equipot.artifacts._inspect import inspect_file
from equipot.artifacts._manifest import FORMAT_VERSION

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_files_of_every_format_load(version):
    package, checkpoint = DATA / f"format_{version}.equipot.zip", DATA / f"format_{version}.ckpt"
    assert max(verify(package).values()) < 1e-12
    assert inspect_file(package).verdict == inspect_file(checkpoint).verdict == "safe"
    models = [load_model(package), load_model(checkpoint)]
    batch = golden.random_frames(models[0].info)["molecule"]
    energies = [model(batch)["total_energy"] for model in models]
    assert torch.equal(*energies)
