"""The family ``initial``: matrices of atoms times tensors that are attributes times weights of their edges.

With S(M, y, w, g) = Σ_e Σ_ik M[n(e), i, k] y[e, i] w[e, l(i)] g[e, k], channel by channel, which is linear in
each of the four:

- ``apply``: ∂S/∂g;
- ``outer``: ∂S/∂M;
- ``backward``: ∂S/∂y and ∂S/∂w; a result whose address is null is not stored.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from equipot_kernels._build.registry import INTEGER, POINTER
from equipot_kernels._build.vectors import ATOMS, CHUNK, check_sizes, prelude
from equipot_kernels._contraction.contraction_family import outer_blocks
from equipot_kernels._contraction.environment_family import check_blocks

OPS = "equipot_kernels._contraction.initial_ops"

UNITS: dict[str, list[Any]] = {
    "apply": [INTEGER, *[POINTER] * 3, INTEGER, *[POINTER] * 2, INTEGER],
    "outer": [INTEGER, *[POINTER] * 2, INTEGER, *[POINTER] * 3, INTEGER],
    "backward": [INTEGER, *[POINTER] * 3, INTEGER, *[POINTER] * 4, INTEGER],
}

_APPLY = """
extern "C" void apply(I n_atoms, const T* matrices, const T* y, const T* w, I stride, const I* ptr, T* out,
                      I threads) {{
{atoms}
    const T* m = matrices + n * {dim_in} * {dim_out} * U;
    {chunk}
      for (I e = ptr[n]; e < ptr[n + 1]; e++) {{
        const T *a = y + e * {dim_in}, *b = w + e * stride + c;
        V x[{dim_in}];
        for (int i = 0; i < {dim_in}; i++) x[i] = a[i] * load<M>(b + BLOCK[i] * U);
        T* q = out + e * {dim_out} * U + c;
        for (int k = 0; k < {dim_out}; k++) {{
          V s = {{}};
          for (int i = 0; i < {dim_in}; i++) s += load<M>(m + (i * {dim_out} + k) * U + c) * x[i];
          store<M>(q + k * U, s);
        }}
      }}
    }});
  }}
}}
"""

_OUTER = """
template <int M, int R, int Q, int FROM> static inline void block(const T* y, const T* w, I stride, const T* g, I first,
                                                                  I last, T* out) {{
  V sums[R * Q] = {{}};
  for (I e = first; e < last; e++) {{
    V right[Q];
    for (int k = 0; k < Q; k++) right[k] = load<M>(g + (e * {dim_out} + k) * U);
    for (int i = 0; i < R; i++) {{
      const V left = y[e * {dim_in} + FROM + i] * load<M>(w + e * stride + BLOCK[FROM + i] * U);
      for (int k = 0; k < Q; k++) sums[i * Q + k] += left * right[k];
    }}
  }}
  for (int i = 0; i < R; i++)
    for (int k = 0; k < Q; k++) store<M>(out + (i * {dim_out} + k) * U, sums[i * Q + k]);
}}
extern "C" void outer(I n_atoms, const T* y, const T* w, I stride, const T* g, const I* ptr, T* out, I threads) {{
{atoms}
    T* o = out + n * {dim_in} * {dim_out} * U;
    const I a = ptr[n], b = ptr[n + 1];
    {chunk}
{calls}
    }});
  }}
}}
"""

_BACKWARD = """
extern "C" void backward(I n_atoms, const T* matrices, const T* y, const T* w, I stride, const T* g, const I* ptr,
                         T* gy, T* gw, I threads) {{
{atoms}
    const T* m = matrices + n * {dim_in} * {dim_out} * U;
    for (I e = ptr[n]; e < ptr[n + 1]; e++) {{
      const T *a = y + e * {dim_in}, *b = w + e * stride;
      V of_y[{dim_in}] = {{}};
      {chunk}
        V right[{dim_out}], of_w[{blocks}] = {{}};
        for (int k = 0; k < {dim_out}; k++) right[k] = load<M>(g + (e * {dim_out} + k) * U + c);
        for (int i = 0; i < {dim_in}; i++) {{
          V z = {{}};
          for (int k = 0; k < {dim_out}; k++) z += load<M>(m + (i * {dim_out} + k) * U + c) * right[k];
          of_w[BLOCK[i]] += a[i] * z;
          of_y[i] += load<M>(b + BLOCK[i] * U + c) * z;
        }}
        if (gw)
          for (int j = 0; j < {blocks}; j++) store<M>(gw + (e * {blocks} + j) * U + c, of_w[j]);
      }});
      if (gy)
        for (int i = 0; i < {dim_in}; i++) gy[e * {dim_in} + i] = sum(of_y[i]);
    }}
  }}
}}
"""


def check(spec: Mapping[str, Any]) -> None:
    """Check a spec.

    Raises:
        KernelError: If it is not valid.
    """
    check_sizes({key: value for key, value in spec.items() if key != "blocks"}, {"dim_out": 64, "channels": 4096})
    check_blocks(spec.get("blocks"))


def source(spec: Mapping[str, Any], unit: str) -> str:
    """The C++ source text of a unit."""
    sizes, dim_out = spec["blocks"], spec["dim_out"]
    block_of = list(itertools.chain.from_iterable([block] * size for block, size in enumerate(sizes)))
    calls = [
        f"      block<M, {rows}, {columns}, {i}>(y, w + c, stride, g + {k} * U + c, a, b, "
        f"o + ({i} * {dim_out} + {k}) * U + c);"
        for i, k, rows, columns in outer_blocks(len(block_of), dim_out)
    ]
    text = {"apply": _APPLY, "outer": _OUTER, "backward": _BACKWARD}[unit]
    head = prelude(spec["dtype"], spec["channels"])
    table = f"static constexpr int BLOCK[] = {{{', '.join(map(str, block_of))}}};\n"
    values = {"dim_in": len(block_of), "dim_out": dim_out, "blocks": len(sizes), "calls": "\n".join(calls)}
    return head + table + text.format(**values, atoms=ATOMS, chunk=CHUNK)
