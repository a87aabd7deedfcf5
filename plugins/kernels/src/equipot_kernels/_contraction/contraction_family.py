"""The family ``contraction``: matrices of atoms times tensors of their edges, channel by channel.

With S(M, x, g) = Σ_e Σ_ik M[n(e), i, k] x[e, i] g[e, k], which is linear in each of the three:

- ``apply``: ∂S/∂g;
- ``transposed``: ∂S/∂x;
- ``outer``: ∂S/∂M.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from equipot_kernels._build.registry import INTEGER, POINTER
from equipot_kernels._build.vectors import ATOMS, CHUNK, check_sizes, prelude

OPS = "equipot_kernels._contraction.contraction_ops"

UNITS: dict[str, list[Any]] = {
    "apply": [INTEGER, *[POINTER] * 4, INTEGER],
    "transposed": [INTEGER, *[POINTER] * 4, INTEGER],
    "outer": [INTEGER, *[POINTER] * 4, INTEGER],
}

_REGISTERS = 24
"""Number of sums that fit into registers; with more, an edge's tensors are read again."""

_PRODUCT = """
extern "C" void {unit}(I n_atoms, const T* matrices, const T* in, const I* ptr, T* out, I threads) {{
{atoms}
    const T* m = matrices + n * {dim_in} * {dim_out} * U;
    {chunk}
      for (I e = ptr[n]; e < ptr[n + 1]; e++) {{
        const T* p = in + e * {from} * U + c;
        V x[{from}];
        for (int i = 0; i < {from}; i++) x[i] = load<M>(p + i * U);
        T* q = out + e * {to} * U + c;
        for (int k = 0; k < {to}; k++) {{
          V s = {{}};
          for (int i = 0; i < {from}; i++) s += load<M>(m + ({index}) * U + c) * x[i];
          store<M>(q + k * U, s);
        }}
      }}
    }});
  }}
}}
"""

_OUTER = """
template <int M, int R, int Q> static inline void block(const T* x, const T* g, I first, I last, T* out) {{
  V sums[R * Q] = {{}};
  for (I e = first; e < last; e++) {{
    V right[Q];
    for (int k = 0; k < Q; k++) right[k] = load<M>(g + (e * {dim_out} + k) * U);
    for (int i = 0; i < R; i++) {{
      const V left = load<M>(x + (e * {dim_in} + i) * U);
      for (int k = 0; k < Q; k++) sums[i * Q + k] += left * right[k];
    }}
  }}
  for (int i = 0; i < R; i++)
    for (int k = 0; k < Q; k++) store<M>(out + (i * {dim_out} + k) * U, sums[i * Q + k]);
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


def source(spec: Mapping[str, Any], unit: str) -> str:
    """The C++ source text of a unit."""
    values = {"dim_in": spec["dim_in"], "dim_out": spec["dim_out"], "atoms": ATOMS, "chunk": CHUNK, "unit": unit}
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
    index = f"i * {spec['dim_out']} + k" if forward else f"k * {spec['dim_out']} + i"
    return head + _PRODUCT.format(**values, **dict(zip(("from", "to"), ends, strict=True)), index=index)


def outer_blocks(dim_in: int, dim_out: int) -> Iterator[tuple[int, int, int, int]]:
    """Blocks that cover a matrix and fit into registers: first row and column, number of rows and columns.

    Args:
        dim_in: Rows of the matrix.
        dim_out: Columns.
    """
    width = min(dim_out, _REGISTERS // 2)
    height = max(_REGISTERS // width // 2 * 2, 1)
    for i in range(0, dim_in, height):
        for k in range(0, dim_out, width):
            yield i, k, min(height, dim_in - i), min(width, dim_out - k)
