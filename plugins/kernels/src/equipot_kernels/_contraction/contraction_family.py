"""The family ``contraction``: matrices of atoms times tensors of their edges, channel by channel.

With S(M, x, g) = Σ_e Σ_ik M[n(e), i, k] x[e, i] g[e, k], which is linear in each of the three:

- ``apply``: ∂S/∂g;
- ``transposed``: ∂S/∂x;
- ``outer``: ∂S/∂M.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from equipot_kernels._build.registry import INTEGER, POINTER
from equipot_kernels._build.vectors import ATOMS, CHUNK, FENCE, GROUPS, check_sizes, groups_and_blocks, prelude

OPS = "equipot_kernels._contraction.contraction_ops"

UNITS: dict[str, list[Any]] = {
    "apply": [INTEGER, *[POINTER] * 4, INTEGER],
    "transposed": [INTEGER, *[POINTER] * 4, INTEGER],
    "outer": [INTEGER, *[POINTER] * 4, INTEGER],
}

FORCES = ("apply", "transposed", "outer")

_REGISTERS = 25
"""Number of sums that fit into registers; with more, an edge's tensors are read again."""

_PRODUCT = """
template <int M, int G, int Q> static inline void block(const T* m, const T* in, T* out, bool far) {{
  V s[G * Q] = {{}};
  for (int i = 0; i < {from}; i++) {{
    V x[G];
    UNROLL for (int a = 0; a < G; a++) x[a] = load<M>(in + (a * {from} + i) * U);
    UNROLL for (int k = 0; k < Q; k++) {{
      const V v = load<M>(m + ({index}) * U);
      UNROLL for (int a = 0; a < G; a++) s[a * Q + k] += v * x[a];
    }}
  }}
  UNROLL for (int a = 0; a < G; a++)
    UNROLL for (int k = 0; k < Q; k++) stream<M>(out + (a * {to} + k) * U, s[a * Q + k], far);
}}
extern "C" void {unit}(I n_atoms, const T* matrices, const T* in, const I* ptr, T* out, I threads) {{
  const bool far = ptr[n_atoms] * I({to} * U * sizeof(T)) > CACHED;
{atoms}
    over_groups<{group}>(ptr[n], ptr[n + 1], [&](auto edges, I e) __attribute__((always_inline)) {{
      {chunk}
        constexpr int G = decltype(edges)::number;
        const T* m = matrices + n * {dim_in} * {dim_out} * U + c;
        const T* p = in + e * {from} * U + c;
        T* q = out + e * {to} * U + c;
{calls}
      }});
    }});
{fence}
  }}
}}
"""

_OUTER = """
template <int M, int R, int Q> static inline void block(const T* x, const T* g, I first, I last, T* out) {{
  V sums[R * Q] = {{}};
  for (I e = first; e < last; e++) {{
    V left[R];
    UNROLL for (int i = 0; i < R; i++) left[i] = load<M>(x + (e * {dim_in} + i) * U);
    UNROLL for (int k = 0; k < Q; k++) {{
      const V right = load<M>(g + (e * {dim_out} + k) * U);
      UNROLL for (int i = 0; i < R; i++) sums[i * Q + k] += left[i] * right;
    }}
  }}
  UNROLL for (int i = 0; i < R; i++)
    UNROLL for (int k = 0; k < Q; k++) store<M>(out + (i * {dim_out} + k) * U, sums[i * Q + k]);
}}
extern "C" void outer(I n_atoms, const T* x, const T* g, const I* ptr, T* out, I threads) {{
{atoms}
    T* o = out + n * {dim_in} * {dim_out} * U;
    const I a = ptr[n], b = ptr[n + 1];
    {chunk}
{calls}
    }});
  }}
}}
"""


def check(spec: Mapping[str, Any]) -> None:
    """Check a spec.

    Raises:
        KernelError: If it is not valid.
    """
    check_sizes(dict(spec), {"dim_in": 64, "dim_out": 64, "channels": 4096})


def sizes(spec: Mapping[str, Any]) -> dict[str, int]:  # noqa: ARG001 - as all families have it
    """Numbers that the shapes of results depend on."""
    return {}


def source(spec: Mapping[str, Any], unit: str) -> str:
    """The C++ source text of a unit."""
    values: dict[str, Any] = {"dim_in": spec["dim_in"], "dim_out": spec["dim_out"], "unit": unit}
    values.update(atoms=ATOMS, chunk=CHUNK, fence=FENCE)
    head = prelude(spec["dtype"], spec["channels"])
    if unit == "outer":
        calls = [
            f"      block<M, {rows}, {columns}>(x + {i} * U + c, g + {k} * U + c, a, b, "
            f"o + ({i} * {spec['dim_out']} + {k}) * U + c);"
            for i, k, rows, columns in outer_blocks(spec["dim_in"], spec["dim_out"])
        ]
        return head + _OUTER.format(**values, calls="\n".join(calls))
    forward = unit == "apply"
    ends = (spec["dim_in"], spec["dim_out"]) if forward else (spec["dim_out"], spec["dim_in"])
    down, across = (spec["dim_out"], 1) if forward else (1, spec["dim_out"])
    group, blocks = groups_and_blocks(ends[1])
    calls = [f"        block<M, G, {size}>(m + {k * across} * U, p, q + {k} * U, far);" for k, size in blocks]
    values.update(zip(("from", "to"), ends, strict=True))
    values.update(group=group, calls="\n".join(calls), index=f"i * {down} + k * {across}")
    return head + GROUPS + _PRODUCT.format(**values)


def outer_blocks(dim_in: int, dim_out: int) -> Iterator[tuple[int, int, int, int]]:
    """Blocks that cover a matrix and fit into registers: first row and column, number of rows and columns.

    Args:
        dim_in: Rows of the matrix.
        dim_out: Columns.
    """
    side = math.isqrt(_REGISTERS)
    width = min(dim_out, side if dim_in >= side else _REGISTERS // dim_in)
    height = min(dim_in, _REGISTERS // width // 2 * 2 if width < side else side)
    for i in range(0, dim_in, height):
        for k in range(0, dim_out, width):
            yield i, k, min(height, dim_in - i), min(width, dim_out - k)
