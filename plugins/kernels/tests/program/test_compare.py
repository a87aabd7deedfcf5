"""Rounding is accepted, also where numbers cancel out; anything else is not."""

import pytest
import torch

from equipot_kernels._program.compare import Tolerances, difference, gradient_difference
from equipot_testing.frames import batch_of, standard_structures
from equipot_testing.toy import ToyModel


@pytest.fixture
def found():
    """Outputs of a model whose isolated atoms have large energies, and what they may differ by."""
    options = {"type_names": ["H", "C", "O"], "r_max": 4.0, "model_dtype": "float32", "per_type_energy_shifts": -2000.0}
    model = ToyModel(**options).build().eval()
    batch = batch_of(standard_structures(3).values(), model.info)
    outputs = model(batch)
    return outputs, Tolerances.of(model, batch, outputs)


def test_outputs(found):
    outputs, tolerances = found
    assert difference(outputs, outputs, tolerances) == ""
    for name in ("atomic_energy", "total_energy", "forces"):
        off = 1e-6 * tolerances.energy
        assert difference({**outputs, name: outputs[name] + off}, outputs, tolerances) == ""
        text = difference({**outputs, name: outputs[name] + 1e-2 * tolerances.energy}, outputs, tolerances)
        assert text.startswith(f"{name} differs by ")
    assert "instead of" in difference({"forces": outputs["forces"]}, outputs, tolerances)
    assert "shape or type" in difference({**outputs, "forces": outputs["forces"].float()}, outputs, tolerances)
    assert "stress_mask differs" in difference({**outputs, "stress_mask": ~outputs["stress_mask"]}, outputs, tolerances)
    broken = outputs["forces"].clone()
    broken[0] = float("nan")
    assert "forces differs by inf" in difference({**outputs, "forces": broken}, outputs, tolerances)
    assert difference({**outputs, "forces": broken}, {**outputs, "forces": broken.clone()}, tolerances) == ""


def test_gradients():
    large, small = torch.full((3,), 10.0), torch.full((3,), 1e-6)

    def text(*found):
        return gradient_difference(("a", "b", "c"), found, (large, small, None), "float32")

    assert text(large, small, None) == ""
    assert text(large, 1.5 * small, None) == ""
    assert text(1.01 * large, small, None).startswith("the gradient of a differs by 1.0e-01 (accepted: ")
    assert text(large, small, small) == "the gradient of c is not to be there"
    assert text(large, None, None) == "the gradient of b is missing"
