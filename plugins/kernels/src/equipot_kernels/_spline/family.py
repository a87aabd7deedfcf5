"""The family ``spline``: tables of cubics, and what their derivatives of any order need.

With F(n; T, f, s, g) = Σ_e s_e Σ_c g_ec · dⁿ/dfⁿ Σ_q f_e^q T[row_e, q, c], which is linear in s, g and T:

- ``evaluate``: ∂F/∂g;
- ``contract``: ∂F/∂s;
- ``scatter``: ∂F/∂T.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equipot_kernels._build.registry import INTEGER, POINTER
from equipot_kernels._build.vectors import CHUNK, check_sizes, prelude

OPS = "equipot_kernels._spline.ops"

UNITS: dict[str, list[Any]] = {
    "evaluate": [INTEGER, *[POINTER] * 5, INTEGER, INTEGER],
    "contract": [INTEGER, *[POINTER] * 5, INTEGER, INTEGER],
    "scatter": [INTEGER, INTEGER, *[POINTER] * 7, INTEGER, INTEGER],
}

FORCES = ("evaluate", "contract")

_BASIS = """
struct Basis {
  T b[4];
  Basis(I n, double f, double s) {
    if (n == 0) { b[0] = s; b[1] = s * f; b[2] = s * f * f; b[3] = s * f * f * f; }
    else if (n == 1) { b[0] = 0; b[1] = s; b[2] = 2 * s * f; b[3] = 3 * s * f * f; }
    else if (n == 2) { b[0] = b[1] = 0; b[2] = 2 * s; b[3] = 6 * s * f; }
    else { b[0] = b[1] = b[2] = 0; b[3] = n == 3 ? 6 * s : 0; }
  }
};
"""

_PARALLEL = "#pragma omp parallel for num_threads(int(threads)) schedule(static) if (threads > 1)"

_EVALUATE = """
extern "C" void evaluate(I n_edges, const T* table, const I* row, const double* place, const double* scale, T* out,
                         I order, I threads) {{
  {parallel}
  for (I e = 0; e < n_edges; e++) {{
    const Basis q(order, place[e], scale ? scale[e] : 1.0);
    const T* t = table + row[e] * 4 * U;
    T* o = out + e * U;
    {chunk}
      V v = q.b[1] * load<M>(t + U + c) + q.b[2] * load<M>(t + 2 * U + c) + q.b[3] * load<M>(t + 3 * U + c);
      if (order == 0) v += q.b[0] * load<M>(t + c);
      store<M>(o + c, v);
    }});
  }}
}}
"""

_CONTRACT = """
extern "C" void contract(I n_edges, const T* table, const I* row, const double* place, const T* g, double* out,
                         I order, I threads) {{
  {parallel}
  for (I e = 0; e < n_edges; e++) {{
    const Basis q(order, place[e], 1.0);
    const T *t = table + row[e] * 4 * U, *h = g + e * U;
    V s = {{}};
    {chunk}
      V v = q.b[1] * load<M>(t + U + c) + q.b[2] * load<M>(t + 2 * U + c) + q.b[3] * load<M>(t + 3 * U + c);
      if (order == 0) v += q.b[0] * load<M>(t + c);
      s += v * load<M>(h + c);
    }});
    out[e] = sum(s);
  }}
}}
"""

_SCATTER = """
extern "C" void scatter(I n_edges, I n_rows, const I* row, const double* place, const double* scale, const T* g,
                        I* first, I* sorted, T* out, I order, I threads) {{
  for (I r = 0; r <= n_rows; r++) first[r] = 0;
  for (I e = 0; e < n_edges; e++) first[row[e] + 1]++;
  for (I r = 0; r < n_rows; r++) first[r + 1] += first[r];
  for (I e = 0; e < n_edges; e++) sorted[first[row[e]]++] = e;
  #pragma omp parallel for num_threads(int(threads)) schedule(dynamic, 8) if (threads > 1)
  for (I r = 0; r < n_rows; r++) {{
    T* o = out + r * 4 * U;
    __builtin_memset(o, 0, 4 * U * sizeof(T));
    for (I k = r ? first[r - 1] : 0; k < first[r]; k++) {{
      const I e = sorted[k];
      const Basis q(order, place[e], scale ? scale[e] : 1.0);
      const T* h = g + e * U;
      {chunk}
        const V v = load<M>(h + c);
        for (I p = order; p < 4; p++) store<M>(o + p * U + c, load<M>(o + p * U + c) + q.b[p] * v);
      }});
    }}
  }}
}}
"""


def check(spec: Mapping[str, Any]) -> None:
    """Check a spec.

    Raises:
        KernelError: If it is not valid.
    """
    check_sizes(dict(spec), {"channels": 65536})


def sizes(spec: Mapping[str, Any]) -> dict[str, int]:  # noqa: ARG001 - as all families have it
    """Numbers that the shapes of results depend on."""
    return {}


def source(spec: Mapping[str, Any], unit: str) -> str:
    """The C++ source text of a unit."""
    text = {"evaluate": _EVALUATE, "contract": _CONTRACT, "scatter": _SCATTER}[unit]
    return prelude(spec["dtype"], spec["channels"]) + _BASIS + text.format(chunk=CHUNK, parallel=_PARALLEL)
