"""Every op in a process that knows nothing of equipot: the same numbers as in Python."""

import importlib

import pytest
import torch

from equipot_kernels._build import registry, torch_ops
from equipot_kernels._native.code import kernel_code
from equipot_test_support.kernel_files import CHANNELS, convolution, packed, small_specs

N_ATOMS, N_EDGES, NUM_KNOTS = 6, 23, 4


class Calls:
    """Arguments for every op, some of them with strides, and the results that Python gives."""

    def __init__(self, dtype, only=()):
        registry.import_ops()
        self.only = only or torch_ops.schemas()
        self.random, self.dtype = torch.Generator().manual_seed(1), getattr(torch, dtype)
        self.specs = small_specs(dtype)
        self.handles = {name: registry.handle_of(spec) for name, spec in self.specs.items()}
        self.made, self.results = [], []
        self.lists()
        self.convolutions()
        self.contractions()
        self.others()

    def add(self, name, *arguments):
        found = getattr(torch.ops.equipot_kernels, name)(*arguments)
        if name in self.only:
            self.made.append((name, arguments))
            self.results.append((found,) if isinstance(found, torch.Tensor) else tuple(found))
        return found

    def draw(self, *shape, dtype=None):
        drawn = torch.randn(*shape[:-1], 2 * shape[-1], generator=self.random, dtype=torch.float64)
        return drawn.to(dtype or self.dtype)[..., ::2]

    def whole(self, high, count):
        return torch.randint(high, (count,), generator=self.random)

    def lists(self):
        centre = self.whole(N_ATOMS - 1, N_EDGES).sort()[0]  # the last atom has no edges
        self.index = torch.stack([centre, self.whole(N_ATOMS, N_EDGES)])
        self.ptr, self.sent_ptr, self.sent = self.add("edge_lists", self.index, N_ATOMS)
        self.types = self.add("type_lists", self.whole(3, N_ATOMS), 4)

    def convolutions(self):
        kernel, layer = self.handles["conv"], convolution(self.dtype)
        lists = (self.index, self.ptr, self.sent_ptr, self.sent)
        shapes = ((N_ATOMS, layer.layout_in.dim), (N_EDGES, layer.layout_edge.dim), (N_EDGES, layer.num_weights))
        x, y, w = (self.draw(*shape) for shape in shapes)
        g = self.draw(N_ATOMS, layer.layout_out.dim)
        self.add("conv_forward", x, y, w, *lists, kernel)
        flags = [(bool(n & 1), bool(n & 2), bool(n & 4)) for n in range(1, 8)]
        for wanted in flags:
            self.add("conv_backward", g, x, y, w, *lists, kernel, *wanted)
        hx, hy, hw = (self.draw(*shape) for shape in shapes)
        self.add("conv_double", hx, hy, hw, g, x, y, w, *lists, kernel)
        table = self.draw(2 * NUM_KNOTS, 4, layer.num_weights)
        place, row = self.draw(N_EDGES, dtype=torch.float64), self.whole(2 * NUM_KNOTS, N_EDGES)
        rest = (row, *lists, NUM_KNOTS, kernel)
        self.add("conv_table_forward", x, y, place, table, *rest)
        for wanted in flags:
            self.add("conv_table_backward", g, x, y, place, table, *rest, *wanted)
        for wanted in (False, True):
            more = (self.draw(N_EDGES, dtype=torch.float64), g, x, y, place, table)
            self.add("conv_table_double", hx, hy, *more, *rest, wanted)

    def contractions(self):
        u, ptr, h = CHANNELS, self.ptr, self.handles
        matrices, x, g = self.draw(N_ATOMS, 4, 3, u), self.draw(N_EDGES, 4, u), self.draw(N_EDGES, 3, u)
        self.add("al_mv", matrices, x, ptr, h["al"])
        self.add("al_mvt", matrices, g, ptr, h["al"])
        self.add("al_outer", x, g, ptr, h["al"])
        y, w, sums = self.draw(N_EDGES, 4), self.draw(N_EDGES, 3 * u)[:, : 2 * u], self.draw(N_ATOMS, 4, u)
        self.add("env_sum", y, w, ptr, h["env"])
        self.add("env_weights", y, sums, ptr, h["env"])
        self.add("env_attributes", w.contiguous(), sums, ptr, h["env"])
        self.add("init_apply", matrices, y, w, ptr, h["init"])
        self.add("init_outer", y, w, g, ptr, h["init"])
        for wanted in ((True, True), (True, False), (False, True)):
            self.add("init_backward", matrices, y, w, g, ptr, h["init"], *wanted)
        sizes = registry.sizes(h["cg"])
        q, entries = self.draw(sizes["paths"], u), self.draw(N_ATOMS, sizes["dim_in"], sizes["dim_out"], u)
        self.add("cg_matrices", q, sums, h["cg"])
        self.add("cg_environment", q, entries, h["cg"])
        self.add("cg_weights", sums, entries, h["cg"])

    def others(self):
        kernel, row = self.handles["spline"], self.whole(NUM_KNOTS, N_EDGES)
        table, g = self.draw(NUM_KNOTS, 4, CHANNELS), self.draw(N_EDGES, CHANNELS)
        place, scale = self.draw(N_EDGES, dtype=torch.float64), self.draw(N_EDGES, dtype=torch.float64)
        for factor, order in ((None, 0), (scale, 1)):
            self.add("spline_evaluate", table, row, place, factor, order, kernel)
            self.add("spline_contract", table, row, place, g, order, kernel)
            self.add("spline_scatter", g, row, place, factor, NUM_KNOTS, order, kernel)
        sizes, (ptr, atoms) = registry.sizes(self.handles["typed"]), self.types
        matrices = self.draw(4, sizes["size"])
        x, h = self.draw(N_ATOMS, sizes["dim_in"]), self.draw(N_ATOMS, sizes["dim_out"])
        self.add("typed_apply", matrices, x, ptr, atoms, self.handles["typed"])
        self.add("typed_transposed", matrices, h, ptr, atoms, self.handles["typed"])
        self.add("typed_outer", x, h, ptr, atoms, self.handles["typed"])


@pytest.fixture
def all_units(monkeypatch):
    """Files hold the kernels of training too."""
    for name in registry.FAMILIES.values():
        family = importlib.import_module(name)
        monkeypatch.setattr(family, "FORCES", tuple(family.UNITS))


@pytest.mark.slow
@pytest.mark.usefixtures("all_units")
def test_every_op_gives_the_same_bits(engine, tmp_path):
    """All ops with two files in one process, for several numbers of threads; float64 takes the same way to kernels."""
    calls = Calls("float32")
    assert {name for name, _ in calls.made} == set(torch_ops.schemas())
    wider = Calls("float64", only=("edge_lists", "conv_forward", "spline_evaluate"))
    files = [
        packed(tmp_path / "all.pt2", kernel_code(list(calls.specs.values()))),
        packed(tmp_path / "some.pt2", kernel_code([wider.specs[name] for name in ("edges", "conv", "spline")])),
    ]
    said, results = engine(files, [*calls.made, *wider.made], threads=(1, 3))
    assert said == [None, None]
    for found, wanted in zip(results, 2 * [*calls.results, *wider.results], strict=True):
        for one, other in zip(found, wanted, strict=True):
            assert one.dtype == other.dtype
            assert torch.equal(one, other)
