"""C++ text of the units with explicit weights: value, gradient, and gradient of the gradient.

With S(g, x, Y, w) = Σ g · convolution(x, Y, w), which is linear in each of the four:

- ``forward``: ∂S/∂g;
- ``backward_*``: ∂S/∂x, ∂S/∂Y, ∂S/∂w, as the letters x, y, w in the unit's name say;
- ``double_receive`` and ``double_send``: ∂/∂g, and ∂/∂x and ∂/∂w, of S(g, h_x, Y, w) + S(g, x, h_Y, w) +
  S(g, x, Y, h_w).
"""

from __future__ import annotations

from equipot_kernels.convolution_plan import BlockPlan, PathPlan, Plan
from equipot_kernels.convolution_source import (
    Couplings,
    block_function,
    contracted,
    join,
    plus,
    prelude,
    rotated,
    rows,
)

_LOOP = """
  #pragma omp parallel for num_threads(int(threads)) schedule(dynamic, 4) if (threads > 1)
  for (I i = 0; i < n_atoms; i++) {
"""

_TRANSPOSE = """
      if (count < W) __builtin_memset({Y}, 0, sizeof({Y}));
      for (int a = 0; a < count; a++)
        for (int j = 0; j < DIM_EDGE; j++) {Y}[j * W + a] = {y}[{edge} * DIM_EDGE + j];
"""


def _transpose(target: str, source: str, edge: str) -> str:
    return f"      alignas(64) T {target}[DIM_EDGE * W];" + _TRANSPOSE.replace("{Y}", target).replace(
        "{y}", source
    ).replace("{edge}", edge)


def _calls(name: str, plan: Plan, arguments: str) -> str:
    return join(f"      {name}_{number}(count, {arguments});" for number in range(len(plan.blocks)))


def forward(plan: Plan) -> str:
    """Unit ``forward``."""
    text = prelude(plan)
    for number, block in enumerate(plan.blocks):
        couplings = Couplings(block)
        arguments = "const T* const* xs, const T* const* ws, const T* Y, T* out"
        chunk = _results(block, "load") + "    for (int e = 0; e < count; e++) {\n      const T* a = A + e;\n"
        chunk += rows("x", "xs[e]", block)
        for index, path in enumerate(block.paths):
            chunk += f"      {{ V w = load<M>(ws[e] + {path.weight} + c);\n"
            for k in path.values(2):
                chunk += f"        o{index}_{k} += w * ({couplings.applied(index, path, k, 'a', 'x')});\n"
            chunk += "      }\n"
        chunk += "    }\n" + _results(block, "store")
        text += block_function(f"block_{number}", arguments, couplings.declare("A", "Y"), chunk, block)
    return (
        text
        + """
extern "C" void forward(I n_atoms, const T* x, const T* y, const T* w, const I* ptr, const I* neighbour, T* out,
                        I threads) {"""
        + _LOOP
        + """    T* o = out + i * DIM_OUT;
    __builtin_memset(o, 0, DIM_OUT * sizeof(T));
    for (I first = ptr[i]; first < ptr[i + 1]; first += W) {
      const int count = ptr[i + 1] - first < W ? int(ptr[i + 1] - first) : int(W);
      const T *xs[W], *ws[W];
      for (int a = 0; a < count; a++) {
        xs[a] = x + neighbour[first + a] * DIM_IN;
        ws[a] = w + (first + a) * WEIGHTS;
      }
"""
        + _transpose("Y", "y", "(first + a)")
        + _calls("block", plan, "xs, ws, Y, o")
        + "    }\n  }\n}\n"
    )


def _results(block: BlockPlan, what: str) -> str:
    """Load or store the rows of the result that a block adds to."""
    lines = []
    for index, path in enumerate(block.paths):
        for k in path.values(2):
            place = f"out + {path.out + k * path.stride} + c"
            name = f"o{index}_{k}"
            lines.append(f"    V {name} = load<M>({place});" if what == "load" else f"    store<M>({place}, {name});")
    return join(lines)


def _received(path: PathPlan) -> str:
    """Load the rows of the result's gradient that belong to a path."""
    return join(f"        V g{k} = load<M>(gs[e] + {path.out + k * path.stride} + c);" for k in path.values(2))


def backward(plan: Plan, outputs: str) -> str:
    """Unit ``backward_`` + outputs, which is a part of ``xyw``."""
    text = prelude(plan)
    for number, block in enumerate(plan.blocks):
        couplings = Couplings(block)
        arguments = "const T* x, const T* const* gs, const T* const* ws, T* const* gws, const T* Y, T* gx, T* ys"
        turned, numbers = rotated(block, "z", "x")
        chunk = rows("x", "x", block) + turned
        if "x" in outputs:
            chunk += rows("s", "gx", block)
        chunk += "    for (int e = 0; e < count; e++) {\n      const T *a = A + e, *y = Y + e;\n      T* q = ys + e * DIM_EDGE * W;\n"
        components = sorted({j for path in block.paths for j in path.values(1)})
        if "y" in outputs:
            chunk += join(f"      V y{j} = load<W>(q + {j} * W);" for j in components)
        for index, path in enumerate(block.paths):
            chunk += f"      {{ V w = load<M>(ws[e] + {path.weight} + c);\n" + _received(path)
            for j in path.values(1):
                chunk += f"        V q{j} = {contracted(numbers, index, path, j, 'z')};\n"
            if "w" in outputs:
                value = plus(f"y[{j} * W] * q{j}" for j in path.values(1))
                chunk += f"        store<M>(gws[e] + {path.weight} + c, {value});\n"
            if "y" in outputs:
                chunk += join(f"        y{j} += w * q{j};" for j in path.values(1))
            if "x" in outputs:
                for i in path.values(0):
                    chunk += f"        s{i} += w * ({couplings.transposed(index, path, i, 'a', 'g')});\n"
            chunk += "      }\n"
        if "y" in outputs:
            chunk += join(f"      store<W>(q + {j} * W, y{j});" for j in components)
        chunk += "    }\n"
        if "x" in outputs:
            chunk += _stored("s", "gx", block)
        text += block_function(f"block_{number}", arguments, couplings.declare("A", "Y"), chunk, block)
    zero = "    __builtin_memset(gx + i * DIM_IN, 0, DIM_IN * sizeof(T));\n" if "x" in outputs else ""
    reduce = """
      for (int a = 0; a < count; a++)
        for (int j = 0; j < DIM_EDGE; j++)
          gy[sent[first + a] * DIM_EDGE + j] = Sum<W>::of(load<W>(ys + (a * DIM_EDGE + j) * W));
"""
    return (
        text
        + f"""
extern "C" void backward_{outputs}(I n_atoms, const T* g, const T* x, const T* y, const T* w, const I* sent_ptr,
                                   const I* sent, const I* centre, T* gx, T* gy, T* gw, I threads) {{"""
        + _LOOP
        + zero
        + """    for (I first = sent_ptr[i]; first < sent_ptr[i + 1]; first += W) {
      const int count = sent_ptr[i + 1] - first < W ? int(sent_ptr[i + 1] - first) : int(W);
      const T *gs[W], *ws[W];
      T* gws[W];
      for (int a = 0; a < count; a++) {
        const I e = sent[first + a];
        gs[a] = g + centre[e] * DIM_OUT;
        ws[a] = w + e * WEIGHTS;
        gws[a] = gw + e * WEIGHTS;
      }
      alignas(64) T ys[W * DIM_EDGE * W];
"""
        + ("      __builtin_memset(ys, 0, count * DIM_EDGE * W * sizeof(T));\n" if "y" in outputs else "")
        + _transpose("Y", "y", "sent[first + a]")
        + _calls("block", plan, "x + i * DIM_IN, gs, ws, gws, Y, gx + i * DIM_IN, ys")
        + (reduce if "y" in outputs else "")
        + "    }\n  }\n}\n"
    )


def _stored(name: str, pointer: str, block: BlockPlan) -> str:
    return join(f"    store<M>({pointer} + {block.start + i * block.mul} + c, {name}{i});" for i in range(block.dim))


def double_receive(plan: Plan) -> str:
    """Unit ``double_receive``."""
    text = prelude(plan)
    for number, block in enumerate(plan.blocks):
        couplings = Couplings(block)
        arguments = (
            "const T* const* xs, const T* const* hxs, const T* const* ws, const T* const* hws, const T* Y, "
            "const T* H, T* out"
        )
        chunk = _results(block, "load")
        chunk += "    for (int e = 0; e < count; e++) {\n      const T *a = A + e, *b = B + e;\n"
        chunk += rows("x", "xs[e]", block) + rows("z", "hxs[e]", block)
        for index, path in enumerate(block.paths):
            chunk += f"      {{ V w = load<M>(ws[e] + {path.weight} + c), h = load<M>(hws[e] + {path.weight} + c);\n"
            for k in path.values(2):
                first = couplings.applied(index, path, k, "a", "x")
                second = couplings.applied(index, path, k, "b", "x")
                third = couplings.applied(index, path, k, "a", "z")
                chunk += f"        o{index}_{k} += h * ({first}) + w * ({second} + {third});\n"
            chunk += "      }\n"
        chunk += "    }\n" + _results(block, "store")
        before = couplings.declare("A", "Y") + couplings.declare("B", "H")
        text += block_function(f"block_{number}", arguments, before, chunk, block)
    return (
        text
        + """
extern "C" void double_receive(I n_atoms, const T* hx, const T* hy, const T* hw, const T* x, const T* y, const T* w,
                               const I* ptr, const I* neighbour, T* out, I threads) {"""
        + _LOOP
        + """    T* o = out + i * DIM_OUT;
    __builtin_memset(o, 0, DIM_OUT * sizeof(T));
    for (I first = ptr[i]; first < ptr[i + 1]; first += W) {
      const int count = ptr[i + 1] - first < W ? int(ptr[i + 1] - first) : int(W);
      const T *xs[W], *hxs[W], *ws[W], *hws[W];
      for (int a = 0; a < count; a++) {
        xs[a] = x + neighbour[first + a] * DIM_IN;
        hxs[a] = hx + neighbour[first + a] * DIM_IN;
        ws[a] = w + (first + a) * WEIGHTS;
        hws[a] = hw + (first + a) * WEIGHTS;
      }
"""
        + _transpose("Y", "y", "(first + a)")
        + _transpose("H", "hy", "(first + a)")
        + _calls("block", plan, "xs, hxs, ws, hws, Y, H, o")
        + "    }\n  }\n}\n"
    )


def double_send(plan: Plan) -> str:
    """Unit ``double_send``."""
    text = prelude(plan)
    for number, block in enumerate(plan.blocks):
        couplings = Couplings(block)
        arguments = (
            "const T* x, const T* hx, const T* const* gs, const T* const* ws, const T* const* hws, T* const* gws, "
            "const T* Y, const T* H, T* gx"
        )
        turned, numbers = rotated(block, "z", "x")
        also_turned, _ = rotated(block, "u", "v")
        chunk = rows("x", "x", block) + rows("v", "hx", block) + turned + also_turned + rows("s", "gx", block)
        chunk += "    for (int e = 0; e < count; e++) {\n"
        chunk += "      const T *a = A + e, *b = B + e, *y = Y + e, *hy = H + e;\n"
        for index, path in enumerate(block.paths):
            chunk += f"      {{ V w = load<M>(ws[e] + {path.weight} + c), h = load<M>(hws[e] + {path.weight} + c);\n"
            chunk += _received(path)
            terms = []
            for j in path.values(1):
                terms.append(f"hy[{j} * W] * ({contracted(numbers, index, path, j, 'z')})")
                terms.append(f"y[{j} * W] * ({contracted(numbers, index, path, j, 'u')})")
            chunk += f"        store<M>(gws[e] + {path.weight} + c, {plus(terms)});\n"
            for i in path.values(0):
                first = couplings.transposed(index, path, i, "a", "g")
                second = couplings.transposed(index, path, i, "b", "g")
                chunk += f"        s{i} += h * ({first}) + w * ({second});\n"
            chunk += "      }\n"
        chunk += "    }\n" + _stored("s", "gx", block)
        before = couplings.declare("A", "Y") + couplings.declare("B", "H")
        text += block_function(f"block_{number}", arguments, before, chunk, block)
    return (
        text
        + """
extern "C" void double_send(I n_atoms, const T* hx, const T* hy, const T* hw, const T* g, const T* x, const T* y,
                            const T* w, const I* sent_ptr, const I* sent, const I* centre, T* gx, T* gw, I threads) {"""
        + _LOOP
        + """    __builtin_memset(gx + i * DIM_IN, 0, DIM_IN * sizeof(T));
    for (I first = sent_ptr[i]; first < sent_ptr[i + 1]; first += W) {
      const int count = sent_ptr[i + 1] - first < W ? int(sent_ptr[i + 1] - first) : int(W);
      const T *gs[W], *ws[W], *hws[W];
      T* gws[W];
      for (int a = 0; a < count; a++) {
        const I e = sent[first + a];
        gs[a] = g + centre[e] * DIM_OUT;
        ws[a] = w + e * WEIGHTS;
        hws[a] = hw + e * WEIGHTS;
        gws[a] = gw + e * WEIGHTS;
      }
"""
        + _transpose("Y", "y", "sent[first + a]")
        + _transpose("H", "hy", "sent[first + a]")
        + _calls("block", plan, "x + i * DIM_IN, hx + i * DIM_IN, gs, ws, hws, gws, Y, H, gx + i * DIM_IN")
        + "    }\n  }\n}\n"
    )
