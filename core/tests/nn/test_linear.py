import math

import pytest
import torch
from e3nn import o3

from equipot.nn.irreps import FeatureLayout
from equipot.nn.linear import IrrepsLinear, PerTypeLinear, slot_product

IN = FeatureLayout.parse("4x0e+2x1e+3x1o+1x2e")
OUT = FeatureLayout.parse("5x0e+2x0o+2x1o+3x2e")


def random(seed: int = 0):
    return {"dtype": torch.float64, "generator": torch.Generator().manual_seed(seed)}


def test_linear_by_hand():
    linear, x = IrrepsLinear(IN, OUT, **random()), torch.randn(6, IN.dim, dtype=torch.float64)
    y = linear(x)
    assert y.shape == (6, OUT.dim)
    for block in OUT.blocks:
        found = OUT.view(y, block)
        if block.irrep not in IN:
            assert str(block.irrep) == "0o"
            assert (found == 0).all()
            continue
        source = IN.block(block.irrep)
        weight = linear.weights[str(block.irrep)].detach()
        expected = torch.einsum("nau,uw->naw", IN.view(x, source), weight) / math.sqrt(source.mul)
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


def test_only_irreps_on_both_sides_have_weights():
    linear = IrrepsLinear(IN, OUT, **random())
    assert {name: tuple(weight.shape) for name, weight in linear.state_dict().items()} == {
        "weights.0e": (4, 5),
        "weights.1o": (3, 2),
        "weights.2e": (1, 3),
    }


def test_linear_equals_e3nn():
    linear, x = IrrepsLinear(IN, OUT, **random()), torch.randn(6, IN.dim, dtype=torch.float64)
    theirs = o3.Linear(str(IN), str(OUT)).double()
    flat = [linear.weights[key].detach().flatten() for key in ("0e", "1o", "2e")]
    expected = OUT.from_e3nn(theirs(IN.to_e3nn(x), torch.cat(flat)))
    torch.testing.assert_close(linear(x).detach(), expected, rtol=1e-12, atol=1e-12)


def test_per_type_linear_equals_the_product_with_the_embedding():
    width, types = 3, torch.tensor([0, 2, 1, 1, 0])
    linear = PerTypeLinear(IN, OUT, embedding_dim=width, **random())
    table, x = torch.randn(3, width, dtype=torch.float64), torch.randn(5, IN.dim, dtype=torch.float64)
    y = linear(x, torch.nn.functional.one_hot(types, 3).double(), table).detach()
    theirs = o3.FullyConnectedTensorProduct(
        str(IN), f"{width}x0e", str(OUT), internal_weights=False, shared_weights=True
    ).double()
    flat = torch.cat([linear.weights[key].detach().flatten() for key in ("0e", "1o", "2e")])
    expected = OUT.from_e3nn(theirs(IN.to_e3nn(x), table[types], flat))
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)


def test_per_type_linear_with_one_type_and_with_no_atoms():
    linear = PerTypeLinear(IN, OUT, embedding_dim=2, **random())
    table, x = torch.randn(1, 2, dtype=torch.float64), torch.randn(4, IN.dim, dtype=torch.float64)
    padded = torch.cat([table, torch.zeros(1, 2, dtype=torch.float64)])
    one_hot = torch.ones(4, 1, dtype=torch.float64)
    two_types = linear(x, torch.cat([one_hot, torch.zeros_like(one_hot)], dim=1), padded)
    torch.testing.assert_close(linear(x, one_hot, table), two_types, rtol=1e-13, atol=1e-13)
    assert linear(x[:0], one_hot[:0], table).shape == (0, OUT.dim)


@pytest.mark.parametrize("num_types", [1, 3, 5])  # slots for types, or for the columns of the embedding
def test_per_type_linear_takes_types_and_one_hot_rows(num_types):
    linear = PerTypeLinear(IN, OUT, embedding_dim=2, **random())
    types = torch.tensor([0, 2, 4, 4, 1, 0]) % num_types
    table, x = torch.randn(num_types, 2, dtype=torch.float64), torch.randn(6, IN.dim, dtype=torch.float64)
    one_hot = torch.nn.functional.one_hot(types, num_types).double()
    y = linear(x, types, table)
    torch.testing.assert_close(linear(x, one_hot_types=one_hot, embedding=table), y, rtol=1e-13, atol=1e-13)
    begin, matrices = 0, linear.matrices(table)[types]
    for block in OUT.blocks:
        if block.irrep not in IN:
            continue
        source = IN.block(block.irrep)
        size = source.mul * block.mul
        matrix = matrices[:, begin : begin + size].view(6, source.mul, block.mul)
        expected = torch.einsum("nku,nuw->nkw", IN.view(x, source), matrix)
        torch.testing.assert_close(OUT.view(y, block), expected, rtol=1e-13, atol=1e-13)
        begin += size
    assert begin == matrices.shape[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matrices_of_a_type_do_not_depend_on_the_number_of_types(dtype):
    """Bit for bit, so that a model to which types are added computes the same for the old ones."""
    layout = FeatureLayout.parse("16x0e+16x1o")
    linear = PerTypeLinear(layout, layout, embedding_dim=12, dtype=dtype, generator=torch.Generator().manual_seed(1))
    table = torch.randn(20, 12, dtype=dtype, generator=torch.Generator().manual_seed(2))
    expected = linear.matrices(table)
    for count in (2, 3, 8, 9):
        assert torch.equal(linear.matrices(table[:count]), expected[:count])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("sizes", "width", "out"), [([1] * 12, 128, 128), ([1] * 9, 5, 7), ([1, 3, 5, 7, 9], 16, 64)])
def test_products_of_slots_do_not_depend_on_the_number_of_slots(dtype, sizes, width, out):
    """Bit for bit, and so their gradients; one product of all slots is rounded by their number."""
    generator = torch.Generator().manual_seed(1)
    random = lambda *shape: torch.randn(shape, dtype=dtype, generator=generator)  # noqa: E731
    matrices, x, factors = random(sum(sizes), width, out), random(9, 3, width).requires_grad_(), random(9, 3, out)
    for count in range(1, len(sizes)):
        few = sum(sizes[:count])
        rows = torch.nn.functional.one_hot(torch.arange(9) % few, sum(sizes)).to(dtype)
        found = []
        for some in (sizes[:count], sizes):
            y = slot_product(x, rows[:, : sum(some)], matrices[: sum(some)], some)
            found.append((y, *torch.autograd.grad((y * factors).sum(), x)))
        expected = torch.einsum("nku,nuw->nkw", x, matrices[torch.arange(9) % few])
        torch.testing.assert_close(found[0][0], expected, rtol=1e-4, atol=1e-4)
        assert all(torch.equal(*pair) for pair in zip(*found, strict=True))
