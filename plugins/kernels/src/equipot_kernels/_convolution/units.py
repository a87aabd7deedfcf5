"""C++ text of the units that loop over atoms: value, gradient, and gradient of the gradient.

With S(g, x, Y, w) = Σ g · convolution(x, Y, w), which is linear in each of the four:

- ``forward``: ∂S/∂g;
- ``backward_*``: ∂S/∂x, ∂S/∂Y, ∂S/∂w, as the letters x, y, w in the unit's name say; with a table, r is the
  derivative by the place between two knots;
- ``double_receive`` and ``double_send``: ∂/∂g, and ∂/∂x and ∂/∂w, of S(g, h_x, Y, w) + S(g, x, h_Y, w) +
  S(g, x, Y, h_w).

With a table the units' names begin with ``table_``; see ``tables`` for the gradient of the table.
"""

from __future__ import annotations

from equipot_kernels._convolution.plan import BlockPlan, Plan
from equipot_kernels._convolution.source import (
    Couplings,
    Rotated,
    block_function,
    calls,
    join,
    loop_function,
    plus,
    prelude,
    received,
    result_rows,
    rows,
    stored_rows,
)
from equipot_kernels._convolution.weights import Weights

_RECEIVE = ("n_atoms", "ptr", "next")
_SEND = ("n_atoms", "sent_ptr", "sent[next]")


def _each_edge(*, double: bool = False) -> str:
    """Begin the loop over the edges of a tile."""
    pointers = "*a = A + e, *y = t.y + e" + (", *b = B + e, *hy = t.hy + e" if double else "")
    return f"    for (int e = 0; e < t.count; e++) {{\n      [[maybe_unused]] const T {pointers};\n"


def forward(plan: Plan, weights: Weights) -> str:
    """Unit ``forward``."""
    text = prelude(plan)
    for number, block in enumerate(plan.blocks):
        couplings = Couplings(block)
        chunk = result_rows(block, "load") + _each_edge() + rows("x", "t.x[e]", block)
        for index, path in enumerate(block.paths):
            chunk += "      {\n" + weights.load(path)
            for k in path.values(2):
                chunk += f"        o{index}_{k} += w * ({couplings.applied(index, path, k, 'a', 'x')});\n"
            chunk += "      }\n"
        chunk += "    }\n" + result_rows(block, "store")
        text += block_function(number, "const Tile& t, T* out", couplings.declare("A", "t.y"), chunk, block)
    return text + loop_function(
        f"{weights.prefix}forward",
        f"I n_atoms, const T* x, const T* y, {weights.arguments}, const I* ptr, const I* neighbour, T* out",
        _RECEIVE,
        "    __builtin_memset(out + i * DIM_OUT, 0, DIM_OUT * sizeof(T));\n",
        weights.fill() + "        t.x[n] = x + neighbour[e] * DIM_IN;\n",
        "      transpose(t.y, y, t);\n" + calls(plan, "t, out + i * DIM_OUT"),
    )


def backward(plan: Plan, weights: Weights, outputs: str) -> str:
    """Unit ``backward_`` + outputs, which are letters of ``xyw`` or ``xyr``."""
    text = prelude(plan)
    for number, block in enumerate(plan.blocks):
        couplings = Couplings(block)
        chunk = _backward_chunk(block, couplings, weights, outputs)
        before = couplings.declare("A", "t.y")
        # A null pointer is not even passed on, because arithmetic with it would be undefined.
        arguments = "Tile& t, const T* x" + (", T* gx" if "x" in outputs else "")
        text += block_function(number, arguments, before, chunk, block)
    with_y, with_r = "y" in outputs, "r" in outputs
    skipped = "for (int j = 0; j < DIM_EDGE; j++) gy[e * DIM_EDGE + j] = 0; " if with_y else ""
    skipped += "gr[e] = 0; " if with_r else ""
    fill = weights.fill(skipped=skipped, sent=True) + "        t.g[n] = g + centre[e] * DIM_OUT;\n"
    if "w" in outputs:
        fill += "        t.gw[n] = gw + e * WEIGHTS;\n"
    body = "      transpose(t.y, y, t);\n"
    body += "      __builtin_memset(t.ys, 0, n * DIM_EDGE * W * sizeof(T));\n" if with_y else ""
    body += "      __builtin_memset(t.rs, 0, n * W * sizeof(T));\n" if with_r else ""
    body += calls(plan, "t, x + i * DIM_IN" + (", gx + i * DIM_IN" if "x" in outputs else ""))
    body += _reduced(with_y=with_y, with_r=with_r)
    return text + loop_function(
        f"{weights.prefix}backward_{outputs}",
        f"I n_atoms, const T* g, const T* x, const T* y, {weights.arguments}, const I* sent_ptr, const I* sent, "
        f"const I* centre, T* gx, T* gy, {'double* gr' if weights.table else 'T* gw'}",
        _SEND,
        "    __builtin_memset(gx + i * DIM_IN, 0, DIM_IN * sizeof(T));\n" if "x" in outputs else "",
        fill,
        body,
        streams="w" in outputs,
    )


def _backward_chunk(block: BlockPlan, couplings: Couplings, weights: Weights, outputs: str) -> str:
    """Statements for M channels of a block."""
    turned = Rotated(block, "z", "x")
    components = sorted({j for path in block.paths for j in path.values(1)}) if "y" in outputs else []
    chunk = rows("x", "x", block) + turned.text + (rows("s", "gx", block) if "x" in outputs else "")
    chunk += _each_edge() + join(f"      V y{j} = load<W>(t.ys + (e * DIM_EDGE + {j}) * W);" for j in components)
    chunk += "      V dr = load<W>(t.rs + e * W);\n" if "r" in outputs else ""
    for index, path in enumerate(block.paths):
        chunk += "      {\n" + weights.load(path, slope="r" in outputs) + received(path)
        if outputs != "x":
            chunk += join(f"        const V q{j} = {turned.contracted(index, path, j)};" for j in path.values(1))
        by_weight = plus(f"y[{j} * W] * q{j}" for j in path.values(1))
        if "w" in outputs:
            chunk += f"        stream<M>(t.gw[e] + {path.weight} + c, {by_weight}, t.far);\n"
        if "r" in outputs:
            chunk += f"        dr += d * ({by_weight});\n"
        if "y" in outputs:
            chunk += join(f"        y{j} += w * q{j};" for j in path.values(1))
        if "x" in outputs:
            along = [(i, couplings.transposed(index, path, i, "a", "g")) for i in path.values(0)]
            chunk += join(f"        s{i} += w * ({value});" for i, value in along)
        chunk += "      }\n"
    chunk += join(f"      store<W>(t.ys + (e * DIM_EDGE + {j}) * W, y{j});" for j in components)
    chunk += "      store<W>(t.rs + e * W, dr);\n" if "r" in outputs else ""
    return chunk + "    }\n" + (stored_rows("s", "gx", block) if "x" in outputs else "")


def _reduced(*, with_y: bool, with_r: bool) -> str:
    """Sum over channels and write the results of the edges."""
    if not (with_y or with_r):
        return ""
    text = "      for (int a = 0; a < n; a++) {\n"
    if with_y:
        text += "        for (int j = 0; j < DIM_EDGE; j++)\n"
        text += "          gy[t.edge[a] * DIM_EDGE + j] = Sum<W>::of(load<W>(t.ys + (a * DIM_EDGE + j) * W));\n"
    if with_r:
        text += "        gr[t.edge[a]] = double(Sum<W>::of(load<W>(t.rs + a * W)));\n"
    return text + "      }\n"


def double_receive(plan: Plan, weights: Weights) -> str:
    """Unit ``double_receive``."""
    text = prelude(plan)
    for number, block in enumerate(plan.blocks):
        couplings = Couplings(block)
        chunk = result_rows(block, "load") + _each_edge(double=True)
        chunk += rows("x", "t.x[e]", block) + rows("z", "t.hx[e]", block)
        for index, path in enumerate(block.paths):
            chunk += "      {\n" + weights.load(path, change=True)
            for k in path.values(2):
                parts = [couplings.applied(index, path, k, *pair) for pair in (("a", "x"), ("b", "x"), ("a", "z"))]
                chunk += f"        o{index}_{k} += h * ({parts[0]}) + w * ({parts[1]} + {parts[2]});\n"
            chunk += "      }\n"
        chunk += "    }\n" + result_rows(block, "store")
        before = couplings.declare("A", "t.y") + couplings.declare("B", "t.hy")
        text += block_function(number, "const Tile& t, T* out", before, chunk, block)
    fill = "        t.x[n] = x + neighbour[e] * DIM_IN;\n        t.hx[n] = hx + neighbour[e] * DIM_IN;\n"
    return text + loop_function(
        f"{weights.prefix}double_receive",
        f"I n_atoms, const T* hx, const T* hy, {weights.cotangents}, const T* x, const T* y, {weights.arguments}, "
        "const I* ptr, const I* neighbour, T* out",
        _RECEIVE,
        "    __builtin_memset(out + i * DIM_OUT, 0, DIM_OUT * sizeof(T));\n",
        weights.fill(double=True) + fill,
        "      transpose(t.y, y, t);\n      transpose(t.hy, hy, t);\n" + calls(plan, "t, out + i * DIM_OUT"),
    )


def double_send(plan: Plan, weights: Weights) -> str:
    """Unit ``double_send``; with a table it does not compute the gradient with respect to the weights."""
    text = prelude(plan)
    for number, block in enumerate(plan.blocks):
        couplings = Couplings(block)
        chunk = _double_send_chunk(block, couplings, weights)
        before = couplings.declare("A", "t.y") + couplings.declare("B", "t.hy")
        text += block_function(number, "Tile& t, const T* x, const T* hx, T* gx", before, chunk, block)
    fill = weights.fill(double=True, sent=True) + "        t.g[n] = g + centre[e] * DIM_OUT;\n"
    if not weights.table:
        fill += "        t.gw[n] = gw + e * WEIGHTS;\n"
    body = "      transpose(t.y, y, t);\n      transpose(t.hy, hy, t);\n"
    return text + loop_function(
        f"{weights.prefix}double_send",
        f"I n_atoms, const T* hx, const T* hy, {weights.cotangents}, const T* g, const T* x, const T* y, "
        f"{weights.arguments}, const I* sent_ptr, const I* sent, const I* centre, T* gx"
        + ("" if weights.table else ", T* gw"),
        _SEND,
        "    __builtin_memset(gx + i * DIM_IN, 0, DIM_IN * sizeof(T));\n",
        fill,
        body + calls(plan, "t, x + i * DIM_IN, hx + i * DIM_IN, gx + i * DIM_IN"),
        streams=not weights.table,
    )


def _double_send_chunk(block: BlockPlan, couplings: Couplings, weights: Weights) -> str:
    """Statements for M channels of a block."""
    chunk = rows("s", "gx", block)
    turned, also_turned = Rotated(block, "z", "x"), Rotated(block, "u", "v")
    if not weights.table:
        chunk += rows("x", "x", block) + rows("v", "hx", block) + turned.text + also_turned.text
    chunk += _each_edge(double=True)
    for index, path in enumerate(block.paths):
        chunk += "      {\n" + weights.load(path, change=True) + received(path)
        if not weights.table:
            terms = []
            for j in path.values(1):
                terms.append(f"hy[{j} * W] * ({turned.contracted(index, path, j)})")
                terms.append(f"y[{j} * W] * ({also_turned.contracted(index, path, j)})")
            chunk += f"        stream<M>(t.gw[e] + {path.weight} + c, {plus(terms)}, t.far);\n"
        for i in path.values(0):
            first, second = (couplings.transposed(index, path, i, array, "g") for array in "ab")
            chunk += f"        s{i} += h * ({first}) + w * ({second});\n"
        chunk += "      }\n"
    return chunk + "    }\n" + stored_rows("s", "gx", block)
