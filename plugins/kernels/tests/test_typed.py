import copy
import itertools

import pytest
import torch

from equipot.errors import DataError
from equipot.nn.irreps import FeatureLayout
from equipot.nn.linear import PerTypeLinear
from equipot_kernels._build import registry
from equipot_kernels._build.errors import KernelError
from equipot_kernels._typed import ops
from equipot_kernels._typed.family import shared_blocks
from equipot_kernels._typed.fused import FusedPerTypeLinear, fused_per_type_linear
from equipot_kernels._typed.lists import type_lists
from equipot_test_support.ops import check_strides, check_to_the_third

DTYPES = {torch.float32: 1e-5, torch.float64: 1e-13}
"""Data types and how much results may differ, relative to the largest."""

UNEQUAL = ("4x0e+2x1e+3x1o+1x2e", "5x0e+2x0o+2x1o+3x2e")
"""Irreps that only one side has, on both sides."""
LARGE = ("19x0e+35x1o+2x4e", "70x0e+16x1o+3x4e")
"""Whole and partial vectors of channels, more than one tile of rows and columns."""

SPEC = {"family": "typed", "dtype": "float64", "layout_in": "2x0e+2x1o+1x1e", "layout_out": "3x0e+1x0o+1x1o"}


def linear(layouts=UNEQUAL, dtype=torch.float64):
    given, wanted = map(FeatureLayout.parse, layouts)
    return PerTypeLinear(given, wanted, embedding_dim=4, dtype=dtype, generator=torch.Generator().manual_seed(0))


def random(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)), dtype=dtype)


def derivatives(module, x, types, embedding):
    """Results, first derivatives, and derivatives of these."""
    parts = [x.clone().requires_grad_(), embedding.clone().requires_grad_(), *module.parameters()]
    y = module(parts[0], types, parts[1])
    first = torch.autograd.grad(y, parts, random(*y.shape, dtype=y.dtype, seed=1), create_graph=True)
    second = torch.autograd.grad(sum(part.square().sum() for part in first), parts)
    return y, *first, *second


ONE = torch.zeros(1, dtype=torch.int64)
CASES = {
    "a type without atoms": (3, torch.tensor([2, 0, 2, 2, 0])),
    "one atom": (2, ONE + 1),
    "no atom": (2, ONE[:0]),
    "one type": (1, ONE.repeat(9)),
    "40 types": (40, torch.arange(100) * 7 % 40),
    "many atoms of a type": (2, (torch.arange(331) % 3).clamp(max=1)),
}


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize(("layouts", "name"), [*itertools.product([UNEQUAL], CASES), (LARGE, "many atoms of a type")])
def test_the_same_as_the_reference(layouts, name, dtype):
    n_types, types = CASES[name]
    reference = linear(layouts, dtype)
    x, embedding = random(len(types), reference.layout_in.dim, dtype=dtype), random(n_types, 4, dtype=dtype)
    fused = FusedPerTypeLinear(reference)
    assert list(fused.state_dict()) == list(reference.state_dict())
    expected = derivatives(reference, x, types, embedding)
    for given in (types, torch.nn.functional.one_hot(types, n_types).to(dtype)):
        for one, other in zip(derivatives(fused, x, given, embedding), expected, strict=True):
            scale = max(1.0, float(other.detach().abs().max())) if other.numel() else 1.0
            torch.testing.assert_close(one, other, rtol=0, atol=DTYPES[dtype] * scale)


def operands(name):
    """An op, small tensors for it, and its constants."""
    kernel = registry.handle_of(SPEC)
    size = sum(one.rows * one.columns for one in shared_blocks(SPEC))
    m, x, g = random(3, size), random(5, 11), random(5, 7)
    given = {"typed_apply": (m, x), "typed_transposed": (m, g), "typed_outer": (x, g)}[name]
    lists = type_lists(torch.tensor([2, 0, 2, 2, 0]), 3)
    return getattr(ops, name), tuple(part.requires_grad_() for part in given), (*lists, kernel)


OPS = ["typed_apply", "typed_transposed", "typed_outer"]


@pytest.mark.parametrize("name", OPS)
def test_derivatives_to_the_third(name):
    check_to_the_third(*operands(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", OPS)
def test_ops_are_what_torch_expects(name):
    op, tensors, rest = operands(name)
    torch.library.opcheck(op.default, (*tensors, *rest))


@pytest.mark.parametrize("name", OPS)
def test_strided_arguments(name):
    check_strides(*operands(name))


def test_threads_change_no_bit(monkeypatch):
    reference, types = linear(), torch.arange(700) % 3
    fused, x, embedding = FusedPerTypeLinear(reference), random(700, reference.layout_in.dim), random(3, 4)
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(derivatives(fused, x, types, embedding))
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))


def test_lists():
    ptr, atoms = type_lists(torch.tensor([2, 0, 2, 2, 0]), 4)
    assert ptr.tolist() == [0, 2, 2, 5, 5]
    assert atoms.tolist() == [1, 4, 0, 2, 3]
    torch.library.opcheck(type_lists.default, (torch.tensor([2, 0, 2]), 3))


@pytest.mark.parametrize("wrong", [-1, 3])
def test_types_out_of_range_are_refused(wrong):
    fused = FusedPerTypeLinear(linear())
    types = torch.tensor([0, wrong])
    with pytest.raises(DataError, match=r"atom_types: must hold types from 0 to 2, got \("):
        fused(random(2, fused.reference.layout_in.dim), types, random(3, 4))


def test_kernels_and_copies(monkeypatch):
    fused = FusedPerTypeLinear(linear())
    specs = fused.kernel_specs(torch.float32)
    assert [spec["family"] for spec in specs] == ["type_lists", "typed"]
    registry.prepare(specs)
    arguments = random(2, fused.reference.layout_in.dim), torch.tensor([1, 0]), random(2, 4)
    expected = fused(*arguments)
    monkeypatch.setattr(registry, "_specs", {})
    monkeypatch.setattr(registry, "_functions", {})
    assert torch.equal(copy.deepcopy(fused)(*arguments), expected)


def test_what_kernels_cannot_do_is_left_to_the_reference():
    reference = linear().to(torch.bfloat16)
    x, types, embedding = (
        random(3, reference.layout_in.dim).bfloat16(),
        torch.tensor([1, 0, 1]),
        random(2, 4).bfloat16(),
    )
    assert torch.equal(FusedPerTypeLinear(reference)(x, types, embedding), reference(x, types, embedding))
    assert fused_per_type_linear(linear(("2x0e", "3x1o"))) is None
    assert fused_per_type_linear(FusedPerTypeLinear(linear())) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "float16"}, "dtype"),
        ({"channels": 1}, "a spec must hold"),
        ({"layout_in": 3}, "layout_in: must be irreps"),
        ({"layout_out": "1x13e"}, "layout_out: must be irreps"),
        ({"layout_out": "99999x0e"}, "layout_out: must be irreps"),
        ({"layout_out": "1x2e"}, "layout_out: must share an irrep"),
    ],
)
def test_wrong_specs_are_refused(change, message):
    with pytest.raises(KernelError, match=message):
        registry.handle_of(SPEC | change)
