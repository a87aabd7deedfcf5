import torch
from e3nn.math import normalize2mom
from e3nn.nn import Gate as E3nnGate

from equipot.nn.gate import SILU_SCALE, TANH_SCALE, Gate
from equipot.nn.irreps import FeatureLayout


def test_gates_are_even_scalars_after_the_kept_ones():
    gate = Gate(FeatureLayout.parse("4x0e+2x0o+3x1o+1x2e"))
    assert str(gate.layout_in) == "8x0e+2x0o+3x1o+1x2e"


def test_by_hand():
    gate = Gate(FeatureLayout.parse("1x0e+1x0o+2x1o"))
    scalar, gates, odd = 0.3, torch.tensor([0.5, -1.2]), -0.7
    vectors = torch.tensor([[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]])
    x = torch.cat([torch.tensor([scalar]), gates, torch.tensor([odd]), vectors.flatten()])[None]

    def silu(z):
        return SILU_SCALE * z / (1 + torch.exp(-torch.as_tensor(z)))

    expected = [
        silu(scalar).item(),
        TANH_SCALE * torch.tanh(torch.tensor(odd)).item(),
        *(vectors * silu(gates)).flatten().tolist(),
    ]
    torch.testing.assert_close(gate(x), torch.tensor([expected]))


def test_equals_e3nn():
    layout = FeatureLayout.parse("4x0e+2x0o+3x1e+2x1o+1x2e")
    gate = Gate(layout)
    x = torch.randn(5, gate.layout_in.dim, dtype=torch.float64)
    silu, tanh = torch.nn.functional.silu, torch.tanh
    theirs = E3nnGate("4x0e+2x0o", [silu, tanh], "6x0e", [silu], "3x1e+2x1o+1x2e")
    assert str(theirs.irreps_in) == "2x0o+10x0e+2x1o+3x1e+1x2e"
    order = [block for block in gate.layout_in.blocks if block.irrep.l < 2]
    even, odd, axial, polar = (gate.layout_in.to_e3nn(x)[:, block.start : block.start + block.size] for block in order)
    tail = gate.layout_in.to_e3nn(x)[:, -5:]
    expected = theirs(torch.cat([odd, even, polar, axial, tail], dim=1))
    torch.testing.assert_close(layout.to_e3nn(gate(x)), expected, rtol=1e-12, atol=1e-12)


def test_constants_are_those_of_e3nn():
    assert normalize2mom(torch.nn.functional.silu).cst == SILU_SCALE
    assert normalize2mom(torch.tanh).cst == TANH_SCALE


def test_zero_stays_exactly_zero():
    gate = Gate(FeatureLayout.parse("3x0e+2x0o+4x1o"))
    assert (gate(torch.zeros(2, gate.layout_in.dim)) == 0).all()


def test_scalars_alone():
    gate = Gate(FeatureLayout.parse("3x0e"))
    assert gate.layout_in == gate.layout_out
    x = torch.randn(4, 3)
    torch.testing.assert_close(gate(x), SILU_SCALE * torch.nn.functional.silu(x))
