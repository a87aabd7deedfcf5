"""How fast each convolution kernel of equipot-kernels is, as a part of what the processor can do; build times.

    python benchmarks/kernels.py [--layout 32x0e+32x1o+32x2e] [--l-max 2] [--dtype float32] [--rounds 15]

One layer on random numbers, on one thread: its arithmetic is counted in the generated source, its time is
the least CPU time of the rounds, and the peak is that of a loop of fused multiply-adds in registers. Kernels
are built again in a temporary folder.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import tempfile
import time
from collections.abc import Callable

import torch

from equipot.nn.edges import Edges
from equipot.nn.irreps import FeatureLayout
from equipot.nn.tensor_product import Convolution
from equipot_kernels._build import cache, registry
from equipot_kernels._convolution import ops as convolution_ops
from equipot_kernels._convolution import table_ops as convolution_table_ops
from equipot_kernels._convolution.family import source
from equipot_kernels._convolution.plan import plan_of, spec_of_convolution
from equipot_kernels._edge_lists import edge_lists

PEAK = """
typedef {c_type} T;
typedef T V __attribute__((vector_size({bytes})));
extern "C" double peak(long n) {{
  V a[12], b = V{{}} + T(0.999), c = V{{}} + T(1e-3);
  for (int i = 0; i < 12; i++) a[i] = V{{}} + T(i);
  for (long k = 0; k < n; k++) for (int i = 0; i < 12; i++) a[i] = a[i] * b + c;
  T s = 0;
  for (int i = 0; i < 12; i++) for (int l = 0; l < int(sizeof(V) / sizeof(T)); l++) s += a[i][l];
  return s;
}}
"""


def cpu_time(function: Callable[[], object], rounds: int) -> float:
    """Least CPU time of a call, after two warm-up calls."""
    times = []
    for _ in range(rounds + 2):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times[2:])


def peak(dtype: torch.dtype, rounds: int) -> float:
    """Operations per second of a loop of fused multiply-adds, the best of the vector lengths."""
    best, size = 0.0, torch.finfo(dtype).bits // 8
    for width in (16, 32, 64):
        text = PEAK.format(c_type="float" if size == 4 else "double", bytes=width)
        loop = cache.load(text, "peak").peak
        loop.argtypes, loop.restype = [ctypes.c_long], ctypes.c_double
        count = 2_000_000
        best = max(best, 24 * count * width / size / cpu_time(lambda loop=loop, count=count: loop(count), rounds))
    return best


def operations(text: str, muls: list[int]) -> int:
    """Additions and multiplications for one edge, counted in the loops over edges of a unit's source."""
    total = 0
    for number, mul in enumerate(muls):
        body = text.split(f"block_{number}(", 1)[1].split("int c = 0;", maxsplit=1)[0]
        loops = "".join(part.split("store<M>(out", 1)[0] for part in body.split("e < t.count; e++) {")[1:])
        plain = re.sub(r"load<\w>\((?:[^()]|\([^()]*\))*\)|\[[^\]]*\]|\[\[maybe_unused\]\].*", "", loops)
        plain = re.sub(r"(?:store|stream)<\w>\([^,]*,", "(", plain)
        plain = re.sub(r"const T \*.*", "", plain)
        total += mul * (plain.count("*") + plain.count("+") - plain.count("++"))
    return total


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--layout", default="32x0e+32x1o+32x2e")
    parser.add_argument("--l-max", type=int, default=2)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--atoms", type=int, default=192)
    parser.add_argument("--neighbors", type=int, default=55)
    parser.add_argument("--knots", type=int, default=513)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EQUIPOT_CACHE_DIR"] = folder
        measure(args)


def measure(args: argparse.Namespace) -> None:
    """One layer."""
    dtype: torch.dtype = getattr(torch, args.dtype)
    layout, edge = FeatureLayout.parse(args.layout), FeatureLayout.spherical_harmonics(args.l_max)
    convolution = Convolution(layout, edge, [block.irrep for block in layout.blocks], dtype=dtype)
    spec = spec_of_convolution(convolution, dtype)
    kernel, plan = registry.handle_of(spec), plan_of(spec)
    muls = [block.mul for block in plan.blocks]
    best = peak(dtype, args.rounds)
    n_edges = args.atoms * args.neighbors
    print(f"{args.layout}, l_max {args.l_max}, {args.dtype}: {len(convolution.paths)} paths, {n_edges} edges")
    print(f"peak {best / 1e9:.0f} GFLOP/s on one thread")
    print(f"{'unit':26s} {'build s':>7s} {'ms':>7s} {'kFLOP/edge':>10s} {'of peak':>7s}")
    for units, call in _calls(args, convolution, kernel, dtype).items():
        built, counted = 0.0, 0
        for unit in units.split(" + "):
            start = time.perf_counter()
            registry.function(kernel, unit)
            built += time.perf_counter() - start
            counted += operations(source(spec, unit), muls)
        seconds = cpu_time(call, args.rounds)
        part = counted * n_edges / seconds / best
        print(f"{units:26s} {built:7.2f} {seconds * 1e3:7.2f} {counted / 1e3:10.2f} {part:7.0%}")


def _calls(
    args: argparse.Namespace, convolution: Convolution, kernel: int, dtype: torch.dtype
) -> dict[str, Callable[[], object]]:
    """What is timed, by the units that it runs."""
    n_edges, n_atoms, knots = args.atoms * args.neighbors, args.atoms, args.knots
    index = torch.stack([torch.arange(n_atoms).repeat_interleave(args.neighbors), torch.randint(n_atoms, (n_edges,))])
    x = torch.randn(n_atoms, convolution.layout_in.dim, dtype=dtype)
    y = torch.randn(n_edges, convolution.layout_edge.dim, dtype=dtype)
    w = torch.randn(n_edges, convolution.num_weights, dtype=dtype)
    g = torch.randn(n_atoms, convolution.layout_out.dim, dtype=dtype)
    table = torch.randn(knots, 4, convolution.num_weights, dtype=dtype)
    place, row = torch.rand(n_edges, dtype=torch.float64), torch.randint(knots - 1, (n_edges,))
    lists = (index, *edge_lists(Edges(index, row.double(), y), n_atoms))
    rest, of_table = (*lists, kernel), (row, *lists, knots, kernel)
    explicit, tabled = convolution_ops, convolution_table_ops
    return {
        "forward": lambda: explicit.conv_forward(x, y, w, *rest),
        "backward_xyw": lambda: explicit.conv_backward(g, x, y, w, *rest, True, True, True),
        "backward_xw": lambda: explicit.conv_backward(g, x, y, w, *rest, True, False, True),
        "double_receive + double_send": lambda: explicit.conv_double(x, y, w, g, x, y, w, *rest),
        "table_forward": lambda: tabled.table_forward(x, y, place, table, *of_table),
        "table_backward_xyr": lambda: tabled.table_backward(g, x, y, place, table, *of_table, True, True, False),
        "table_backward_x": lambda: tabled.table_backward(g, x, y, place, table, *of_table, True, False, False),
        "table_gradient": lambda: tabled.table_backward(g, x, y, place, table, *of_table, False, False, True),
        "table_double_receive + table_double_send": lambda: tabled.table_double(
            x, y, place, g, x, y, place, table, *of_table, False
        ),
    }


if __name__ == "__main__":
    main()
