"""C++ text of the units for the gradient of a table: they loop over its rows, so that each row has one thread.

Edges are ordered by row. With v_p = Σ_k g_k (A x)_k, an edge adds f^q v_p to coefficient q of path p;
``table_double_gradient`` is the gradient of the gradient, with v_p of S(g, h_x, Y, ·) + S(g, x, h_Y, ·) and,
from the change of the length, q f^(q-1) h_f u_p with u_p of S(g, x, Y, ·).
"""

from __future__ import annotations

from equipot_kernels._convolution.plan import BlockPlan, Plan
from equipot_kernels._convolution.source import (
    Couplings,
    block_function,
    calls,
    join,
    loop_function,
    plus,
    prelude,
    received,
    rows,
)
from equipot_kernels._convolution.weights import BEYOND

_SORT = """
extern "C" void table_rows(I n_edges, const I* row, I num_knots, I n_rows, I* row_ptr, I* order) {
  for (I k = 0; k <= n_rows; k++) row_ptr[k] = 0;
  for (I e = 0; e < n_edges; e++) if (!(@BEYOND@)) row_ptr[row[e] + 1]++;
  for (I k = 0; k < n_rows; k++) row_ptr[k + 1] += row_ptr[k];
  for (I e = 0; e < n_edges; e++) if (!(@BEYOND@)) order[row_ptr[row[e]]++] = e;
  for (I k = n_rows; k > 0; k--) row_ptr[k] = row_ptr[k - 1];
  row_ptr[0] = 0;
}
""".replace("@BEYOND@", BEYOND)

_OVER = ("n_rows", "row_ptr", "order[next]")


def rows_of_edges(plan: Plan) -> str:
    """Unit ``table_rows``."""
    return prelude(plan) + _SORT


def gradient(plan: Plan, *, double: bool) -> str:
    """Unit ``table_gradient`` or ``table_double_gradient``."""
    text = prelude(plan)
    for number, block in enumerate(plan.blocks):
        couplings = Couplings(block)
        before = couplings.declare("A", "t.y") + (couplings.declare("B", "t.hy") if double else "")
        chunk = _chunk(block, couplings, double=double)
        text += block_function(number, "const Tile& t, T* out", before, chunk, block)
    fill = "        t.f[n] = T(place[e]);\n"
    fill += "        t.x[n] = x + neighbour[e] * DIM_IN;\n        t.g[n] = g + centre[e] * DIM_OUT;\n"
    if double:
        fill += "        t.hx[n] = hx + neighbour[e] * DIM_IN;\n        t.h[n] = T(hr[e]);\n"
    cotangents = "const T* hx, const T* hy, const double* hr, " if double else ""
    body = "      transpose(t.y, y, t);\n" + ("      transpose(t.hy, hy, t);\n" if double else "")
    return text + loop_function(
        "table_double_gradient" if double else "table_gradient",
        f"I n_rows, {cotangents}const T* g, const T* x, const T* y, const double* place, const I* row_ptr, "
        "const I* order, const I* centre, const I* neighbour, T* gtable",
        _OVER,
        "    __builtin_memset(gtable + i * 4 * WEIGHTS, 0, 4 * WEIGHTS * sizeof(T));\n",
        fill,
        body + calls(plan, "t, gtable + i * 4 * WEIGHTS"),
    )


def _chunk(block: BlockPlan, couplings: Couplings, *, double: bool) -> str:
    """Statements for M channels of a block: path by path, so that the four sums stay in registers."""
    chunk = ""
    for index, path in enumerate(block.paths):
        places = [f"out + {power} * WEIGHTS + {path.weight} + c" for power in range(4)]
        chunk += "    {\n" + join(f"    V t{power} = load<M>({place});" for power, place in enumerate(places))
        chunk += "    for (int e = 0; e < t.count; e++) {\n      const T *a = A + e;\n      const T f = t.f[e];\n"
        chunk += rows("x", "t.x[e]", block) + received(path)
        u = plus(f"g{k} * ({couplings.applied(index, path, k, 'a', 'x')})" for k in path.values(2))
        if double:
            chunk += "      const T* b = B + e;\n" + rows("z", "t.hx[e]", block)
            parts = []
            for k in path.values(2):
                first, second = couplings.applied(index, path, k, "b", "x"), couplings.applied(index, path, k, "a", "z")
                parts.append(f"g{k} * ({first} + {second})")
            chunk += f"      const V v = {plus(parts)}, u = t.h[e] * ({u});\n"
            chunk += "      t0 += v; t1 += f * v + u; t2 += f * (f * v + T(2) * u);\n"
            chunk += "      t3 += (f * f) * (f * v + T(3) * u);\n"
        else:
            chunk += f"      const V v = {u};\n      t0 += v; t1 += f * v; t2 += (f * f) * v; t3 += (f * f * f) * v;\n"
        chunk += "    }\n" + join(f"    store<M>({place}, t{power});" for power, place in enumerate(places)) + "    }\n"
    return chunk
