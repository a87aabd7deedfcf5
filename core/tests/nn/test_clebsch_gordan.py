import itertools
import json
import os
import subprocess
import sys

import pytest
import torch

from equipot.nn.clebsch_gordan import clebsch_gordan
from equipot.nn.spherical import SphericalHarmonics

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
import torch
with torch.serialization.safe_globals([slice]):  # e3nn 0.4 reads its tables with torch.load when it is imported
    from e3nn import __version__
    from e3nn.o3 import wigner_3j
tensors = [wigner_3j(*one, dtype=torch.float64).tolist() for one in json.loads(sys.argv[1])]
print(json.dumps([__version__, tensors]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("version", ["0.4.4", "0.6.0"])
def test_e3nn_has_the_same_tensors_up_to_a_sign(tmp_path, version):
    """That of MACE 0.3 too, so that weights of its models mean the same."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path)]
    subprocess.run([*command, f"e3nn=={version}"], check=True, capture_output=True)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(ALL)], check=True, capture_output=True, text=True, env=environment
    )
    found_version, tensors = json.loads(done.stdout)
    assert found_version == version
    for one, found in zip(ALL, tensors, strict=True):
        expected, tensor = torch.tensor(found, dtype=torch.float64), clebsch_gordan(*one)
        sign = torch.sign((expected * tensor).sum())
        torch.testing.assert_close(tensor, sign * expected, rtol=0.0, atol=1e-12)


def test_rotations_leave_it_as_it_is():
    """Around the axis of m and the one across it, by matrices found from the harmonics themselves."""
    random = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=random, dtype=torch.float64))[0]
    rotation = rotation * torch.linalg.det(rotation)
    points = torch.nn.functional.normalize(torch.randn(60, 3, generator=random, dtype=torch.float64), dim=1)
    harmonics = SphericalHarmonics(3)
    starts = [0, 1, 4, 9, 16]
    before, after = harmonics(points), harmonics(points @ rotation.T)
    turned = [
        torch.linalg.lstsq(before[:, begin:end], after[:, begin:end]).solution.T
        for begin, end in itertools.pairwise(starts)
    ]
    for one in [one for one in ALL if max(one) <= 3]:
        tensor = clebsch_gordan(*one)
        found = torch.einsum("ia,jb,kc,abc->ijk", *(turned[degree] for degree in one), tensor)
        torch.testing.assert_close(found, tensor, rtol=0.0, atol=1e-12)


def test_what_is_given_may_be_changed():
    clebsch_gordan(1, 1, 2).zero_()
    assert float(clebsch_gordan(1, 1, 2).abs().max()) > 0.1


@pytest.mark.slow
def test_no_compiler_of_torch_is_imported():
    """It would take longer than all that a cached start of a model does."""
    code = "import sys; from equipot.nn.clebsch_gordan import clebsch_gordan as c; c(1, 1, 1); "
    done = subprocess.run(
        [sys.executable, "-c", code + "print(sorted({'e3nn', 'torch._dynamo', 'sympy'} & set(sys.modules)))"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[]\n"
