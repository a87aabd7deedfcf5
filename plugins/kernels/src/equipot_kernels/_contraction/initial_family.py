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
from equipot_kernels._build.vectors import ATOMS, CHUNK, FENCE, GROUPS, check_sizes, groups_and_blocks, prelude
from equipot_kernels._contraction.contraction_family import outer_blocks
from equipot_kernels._contraction.environment_family import check_blocks

OPS = "equipot_kernels._contraction.initial_ops"

UNITS: dict[str, list[Any]] = {
    "apply": [INTEGER, *[POINTER] * 3, INTEGER, *[POINTER] * 2, INTEGER],
    "outer": [INTEGER, *[POINTER] * 2, INTEGER, *[POINTER] * 3, INTEGER],
    "backward": [INTEGER, *[POINTER] * 3, INTEGER, *[POINTER] * 4, INTEGER],
}

FORCES = ("apply", "outer", "backward")

_APPLY = """
template <int M, int G, int Q> static inline void block(const T* m, const T* y, const T* w, I stride, T* out,
                                                          bool far) {{
  V s[G * Q] = {{}};
  for (int i = 0; i < {dim_in}; i++) {{
    V x[G];
    UNROLL for (int a = 0; a < G; a++) x[a] = y[a * {dim_in} + i] * load<M>(w + a * stride + BLOCK[i] * U);
    UNROLL for (int k = 0; k < Q; k++) {{
      const V v = load<M>(m + (i * {dim_out} + k) * U);
      UNROLL for (int a = 0; a < G; a++) s[a * Q + k] += v * x[a];
    }}
  }}
  UNROLL for (int a = 0; a < G; a++)
    UNROLL for (int k = 0; k < Q; k++) stream<M>(out + (a * {dim_out} + k) * U, s[a * Q + k], far);
}}
extern "C" void apply(I n_atoms, const T* matrices, const T* y, const T* w, I stride, const I* ptr, T* out,
                      I threads) {{
  const bool far = ptr[n_atoms] * I({dim_out} * U * sizeof(T)) > CACHED;
{atoms}
    over_groups<{group}>(ptr[n], ptr[n + 1], [&](auto edges, I e) __attribute__((always_inline)) {{
      {chunk}
        constexpr int G = decltype(edges)::number;
        const T* m = matrices + n * {dim_in} * {dim_out} * U + c;
        const T *a = y + e * {dim_in}, *b = w + e * stride + c;
        T* q = out + e * {dim_out} * U + c;
{calls}
      }});
    }});
{fence}
  }}
}}
"""

_OUTER = """
template <int M, int R, int Q, int FROM> static inline void block(const T* y, const T* w, I stride, const T* g, I first,
                                                                  I last, T* out) {{
  V sums[R * Q] = {{}};
  for (I e = first; e < last; e++) {{
    V left[R];
    UNROLL for (int i = 0; i < R; i++)
      left[i] = y[e * {dim_in} + FROM + i] * load<M>(w + e * stride + BLOCK[FROM + i] * U);
    UNROLL for (int k = 0; k < Q; k++) {{
      const V right = load<M>(g + (e * {dim_out} + k) * U);
      UNROLL for (int i = 0; i < R; i++) sums[i * Q + k] += left[i] * right;
    }}
  }}
  UNROLL for (int i = 0; i < R; i++)
    UNROLL for (int k = 0; k < Q; k++) store<M>(out + (i * {dim_out} + k) * U, sums[i * Q + k]);
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
template <int M, int G, int R, int FROM> static inline void block(const T* m, const T* y, const T* w, I stride,
                                                                  const T* g, V* of_y, V* of_w) {{
  V z[G * R] = {{}};
  for (int k = 0; k < {dim_out}; k++) {{
    V right[G];
    UNROLL for (int a = 0; a < G; a++) right[a] = load<M>(g + (a * {dim_out} + k) * U);
    UNROLL for (int i = 0; i < R; i++) {{
      const V v = load<M>(m + ((FROM + i) * {dim_out} + k) * U);
      UNROLL for (int a = 0; a < G; a++) z[a * R + i] += v * right[a];
    }}
  }}
  UNROLL for (int a = 0; a < G; a++)
    UNROLL for (int i = 0; i < R; i++) {{
      of_w[a * {blocks} + BLOCK[FROM + i]] += y[a * {dim_in} + FROM + i] * z[a * R + i];
      of_y[a * {dim_in} + FROM + i] += load<M>(w + a * stride + BLOCK[FROM + i] * U) * z[a * R + i];
    }}
}}
extern "C" void backward(I n_atoms, const T* matrices, const T* y, const T* w, I stride, const T* g, const I* ptr,
                         T* gy, T* gw, I threads) {{
{atoms}
    const T* m = matrices + n * {dim_in} * {dim_out} * U;
    over_groups<{group}>(ptr[n], ptr[n + 1], [&](auto edges, I e) __attribute__((always_inline)) {{
      constexpr int G = decltype(edges)::number;
      const T *a = y + e * {dim_in}, *b = w + e * stride, *h = g + e * {dim_out} * U;
      V of_y[G * {dim_in}] = {{}};
      {chunk}
        V of_w[G * {blocks}] = {{}};
{calls}
        if (gw)
          for (int j = 0; j < G * {blocks}; j++) store<M>(gw + (e * {blocks} + j) * U + c, of_w[j]);
      }});
      if (gy)
        for (int i = 0; i < G * {dim_in}; i++) gy[e * {dim_in} + i] = sum(of_y[i]);
    }});
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


def sizes(spec: Mapping[str, Any]) -> dict[str, int]:  # noqa: ARG001 - as all families have it
    """Numbers that the shapes of results depend on."""
    return {}


def source(spec: Mapping[str, Any], unit: str) -> str:
    """The C++ source text of a unit."""
    sizes, dim_out = spec["blocks"], spec["dim_out"]
    block_of = list(itertools.chain.from_iterable([block] * size for block, size in enumerate(sizes)))
    dim_in = len(block_of)
    values: dict[str, Any] = {"dim_in": dim_in, "dim_out": dim_out, "blocks": len(sizes)}
    if unit == "outer":
        calls = [
            f"      block<M, {rows}, {columns}, {i}>(y, w + c, stride, g + {k} * U + c, a, b, "
            f"o + ({i} * {dim_out} + {k}) * U + c);"
            for i, k, rows, columns in outer_blocks(dim_in, dim_out)
        ]
    else:
        values["group"], blocks = groups_and_blocks(dim_out if unit == "apply" else dim_in)
        call = {
            "apply": "        block<M, G, {1}>(m + {0} * U, a, b, stride, q + {0} * U, far);",
            "backward": "        block<M, G, {1}, {0}>(m + c, a, b + c, stride, h + c, of_y, of_w);",
        }[unit]
        calls = [call.format(*block) for block in blocks]
    text = {"apply": _APPLY, "outer": _OUTER, "backward": _BACKWARD}[unit]
    head = prelude(spec["dtype"], spec["channels"]) + GROUPS
    table = f"static constexpr int BLOCK[] = {{{', '.join(map(str, block_of))}}};\n"
    return head + table + text.format(**values, calls="\n".join(calls), atoms=ATOMS, chunk=CHUNK, fence=FENCE)
