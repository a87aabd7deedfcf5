"""Files of every format ever released still load and give the numbers they were stored with."""

from pathlib import Path

import pytest
import torch

from equipot.artifacts import _checkpoint as checkpoint
from equipot.artifacts import _golden as golden
from equipot.artifacts import _manifest as manifests
from equipot.artifacts import load_model, verify
from equipot.artifacts._inspect import inspect_file

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize(
    "name",
    [
        *(f"format_{version}.equipot.zip" for version in range(1, manifests.FORMAT_VERSION + 1)),
        *(f"format_{version}.ckpt" for version in range(1, checkpoint.FORMAT_VERSION + 1)),
    ],
)
def test_files_of_every_format_load(name):
    """All of them are of one model, as ``make_format_files.py`` makes them."""
    assert inspect_file(DATA / name).verdict == "safe"
    model, first = load_model(DATA / name), load_model(DATA / "format_1.equipot.zip")
    batch = golden.random_frames(model.info)["molecule"]
    assert torch.equal(model(batch)["total_energy"], first(batch)["total_energy"])
    if name.endswith(".zip"):
        assert max(verify(DATA / name).values()) < 1e-12
