import json
import os
import subprocess
import sys

import pytest
import torch

from equipot.nn.clebsch_gordan import clebsch_gordan

ALL = [
    (l_1, l_2, l_out) for l_1 in range(5) for l_2 in range(5) for l_out in range(abs(l_1 - l_2), min(l_1 + l_2, 4) + 1)
]


@pytest.mark.parametrize(("l_1", "l_2", "l_out"), ALL)
def test_sign_and_norm(l_1, l_2, l_out):
    tensor = clebsch_gordan(l_1, l_2, l_out)
    odd = (l_1 + l_2 + l_out) % 2
    assert tensor[l_1, l_2 + odd, l_out - odd] > 1e-3
    assert torch.linalg.vector_norm(tensor) == pytest.approx(1.0, abs=1e-12)


def test_swapped_factors_give_the_transposed_tensor():
    """With the sign (-1)^(l_1 + l_2 + l_out), as for 3j symbols."""
    for l_1, l_2, l_out in ALL:
        swapped = clebsch_gordan(l_2, l_1, l_out).transpose(0, 1)
        sign = -1.0 if (l_1 + l_2 + l_out) % 2 else 1.0
        torch.testing.assert_close(clebsch_gordan(l_1, l_2, l_out), sign * swapped, rtol=0.0, atol=1e-12)


CODE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import e3nn
from equipot.nn.clebsch_gordan import clebsch_gordan
print(json.dumps([e3nn.__version__, [clebsch_gordan(*one).tolist() for one in json.loads(sys.argv[1])]]))
"""


@pytest.mark.slow
def test_the_e3nn_of_mace_gives_the_same_tensors(tmp_path):
    """MACE 0.3 needs e3nn 0.4.4, so one environment may hold both programs."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), "e3nn==0.4.4"]
    subprocess.run(command, check=True, capture_output=True)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(ALL)], check=True, capture_output=True, text=True, env=environment
    )
    version, tensors = json.loads(done.stdout)
    assert version == "0.4.4"
    for one, found in zip(ALL, tensors, strict=True):
        torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), clebsch_gordan(*one), rtol=0.0, atol=1e-12)
