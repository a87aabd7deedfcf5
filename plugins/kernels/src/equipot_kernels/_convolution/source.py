"""Pieces of the C++ text of the convolution kernels.

Every unit is one function that loops in parallel over atoms (or rows of a table) and takes the edges
of each atom in tiles, with as many edges as a vector has lanes. Within a tile, each block of features and each
vector of its channels is finished for all edges before the next one begins, so that sums stay in registers.
The couplings A[i, k] = Σ_j c_ijk Y_j are computed for all edges of a tile at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from equipot_kernels._build.vectors import vector_types
from equipot_kernels._convolution.plan import BlockPlan, PathPlan, Plan

_PRELUDE = """
enum {{ DIM_IN = {dim_in}, DIM_EDGE = {dim_edge}, DIM_OUT = {dim_out}, WEIGHTS = {num_weights} }};
static inline void fetch(const T* p, int n) {{
  for (int k = 0; k < n; k += 64 / int(sizeof(T))) __builtin_prefetch(p + k, 0, 2);
}}
template <int L> struct Sum {{
  typedef T Half __attribute__((vector_size(L / 2 * sizeof(T))));
  typedef T Whole __attribute__((vector_size(L * sizeof(T))));
  static inline T of(Whole v) {{
    Half a, b;
    __builtin_memcpy(&a, &v, sizeof(a));
    __builtin_memcpy(&b, (const char*)&v + sizeof(a), sizeof(b));
    return Sum<L / 2>::of(a + b);
  }}
}};
template <> struct Sum<2> {{
  typedef T Whole __attribute__((vector_size(2 * sizeof(T))));
  static inline T of(Whole v) {{ return v[0] + v[1]; }}
}};
// What a unit knows of each edge of a tile; a unit uses the members it needs.
struct Tile {{
  alignas(64) T y[DIM_EDGE * W], hy[DIM_EDGE * W]; // edge attributes and their cotangents, lanes are edges
  alignas(64) T ys[W * DIM_EDGE * W], rs[W * W];   // gradients of attributes and lengths, lanes are channels
  const T *x[W], *hx[W], *g[W], *w[W], *hw[W];     // rows of features, of the result's gradient, of weights
  T* gw[W];
  T f[W], h[W]; // place between two knots, cotangent of the place
  I edge[W];
  int count;
  bool far; // whether gradients of weights bypass the caches
}};
static inline void transpose(T* target, const T* rows, const Tile& t) {{
  if (t.count < W) __builtin_memset(target, 0, DIM_EDGE * W * sizeof(T));
  for (int a = 0; a < t.count; a++)
    for (int j = 0; j < DIM_EDGE; j++) target[j * W + a] = rows[t.edge[a] * DIM_EDGE + j];
}}
"""

_LOOP = """
extern "C" void {name}({arguments}, I threads) {{
  #pragma omp parallel for num_threads(int(threads)) schedule(dynamic, 4) if (threads > 1)
  for (I i = 0; i < {number}; i++) {{
    Tile t;
{far}{before}    for (I next = {first}[i]; next < {first}[i + 1];) {{
      int n = 0;
      for (; next < {first}[i + 1] && n < W; next++) {{
        const I e = {edge};
{fill}        t.edge[n++] = e;
      }}
      if (n == 0) break;
      t.count = n;
{body}    }}
{after}  }}
}}
"""


def join(lines: Iterable[str]) -> str:
    """Lines as text."""
    return "".join(f"{line}\n" for line in lines)


def plus(terms: Iterable[str]) -> str:
    """Sum of terms."""
    return " + ".join(terms)


def prelude(plan: Plan) -> str:
    """Types and helpers of every unit."""
    most = max(block.mul for block in plan.blocks)
    wanted = next(width for width in (4, 8, 16) if width >= min(most, 16))  # lanes that the widest block fills
    return vector_types(plan.c_type, wanted) + _PRELUDE.format(
        dim_in=plan.dim_in,
        dim_edge=plan.dim_edge,
        dim_out=plan.dim_out,
        num_weights=plan.num_weights,
    )


def loop_function(
    name: str, arguments: str, over: tuple[str, str, str], before: str, fill: str, body: str, *, streams: bool = False
) -> str:
    """The function of a unit.

    Args:
        name: Of the unit.
        arguments: C declarations of all arguments except the number of threads.
        over: Number of atoms, array of each one's first edge, expression for the edge at ``next``.
        before: Statements for each atom.
        fill: Statements that fill lane n with edge e.
        body: Statements for each tile.
        streams: Whether it uses ``stream``, whose stores must be visible to other threads when the loop ends.
    """
    number, first, edge = over
    return _LOOP.format(
        name=name,
        arguments=arguments,
        number=number,
        first=first,
        edge=edge,
        before=before,
        fill=fill,
        body=body,
        far=f"    t.far = {first}[{number}] * I(WEIGHTS * sizeof(T)) > CACHED;\n" if streams else "",
        after="    __atomic_thread_fence(__ATOMIC_SEQ_CST);\n" if streams else "",
    )


def block_function(number: int, arguments: str, before: str, chunk: str, block: BlockPlan) -> str:
    """The function that processes one block of features for one tile of edges.

    Args:
        number: Of the block.
        arguments: C declarations.
        before: Statements before the loop over channels.
        chunk: Statements for the M channels that begin with c.
        block: The block.
    """
    return f"""
static __attribute__((noinline)) void block_{number}({arguments}) {{
{before}  auto chunk = [&](auto lanes, int c) __attribute__((always_inline)) {{
    constexpr int M = decltype(lanes)::number;
{chunk}  }};
  int c = 0;
  for (; c + W <= {block.mul}; c += W) chunk(Lanes<W>{{}}, c);
  if constexpr ({block.mul} % W != 0) chunk(Lanes<{block.mul} % W>{{}}, c);
  __asm__ volatile("" : : : "memory"); // GCC 12 takes a function that writes to t only for one without effects
}}
"""


def calls(plan: Plan, arguments: str) -> str:
    """Call the functions of all blocks."""
    return join(f"      block_{number}({arguments});" for number in range(len(plan.blocks)))


class Couplings:
    """The couplings A[i, k] of all paths of a block, numbered."""

    def __init__(self, block: BlockPlan) -> None:
        pairs = [(index, pair) for index, path in enumerate(block.paths) for pair in path.by(0, 2, 1)]
        self.number = {key: number for number, key in enumerate(pairs)}
        self._block = block

    def declare(self, array: str, attributes: str) -> str:
        """Source text that computes them for the edges of a tile."""
        lines = [f"  alignas(64) T {array}[{len(self.number)} * W];"]
        for index, path in enumerate(self._block.paths):
            for pair, terms in path.by(0, 2, 1).items():
                value = plus(f"T({c!r}) * load<W>({attributes} + {j} * W)" for j, c in terms)
                lines.append(f"  store<W>({array} + {self.number[index, pair]} * W, {value});")
        return join(lines)

    def applied(self, index: int, path: PathPlan, k: int, array: str, x: str) -> str:
        """Σ_i A[i, k] x_i."""
        pairs = [pair for pair in path.by(0, 2, 1) if pair[1] == k]
        return plus(f"{array}[{self.number[index, pair]} * W] * {x}{pair[0]}" for pair in pairs)

    def transposed(self, index: int, path: PathPlan, i: int, array: str, g: str) -> str:
        """Σ_k A[i, k] g_k."""
        pairs = [pair for pair in path.by(0, 2, 1) if pair[0] == i]
        return plus(f"{array}[{self.number[index, pair]} * W] * {g}{pair[1]}" for pair in pairs)


class Rotated:
    """Z[j, k] = Σ_i c_ijk x_i for all paths of a block; they are the same for all edges of an atom."""

    def __init__(self, block: BlockPlan, name: str, x: str) -> None:
        self._name = name
        self._number: dict[tuple[int, int, int], int] = {}
        lines = []
        for index, path in enumerate(block.paths):
            for (j, k), terms in path.by(1, 2, 0).items():
                number = self._number[index, j, k] = len(self._number)
                lines.append(f"    const V {name}{number} = {plus(f'T({c!r}) * {x}{i}' for i, c in terms)};")
        self.text = join(lines)

    def contracted(self, index: int, path: PathPlan, j: int) -> str:
        """Σ_k Z[j, k] g_k."""
        pairs = [pair for pair in path.by(1, 2, 0) if pair[0] == j]
        return plus(f"{self._name}{self._number[index, j, k]} * g{k}" for _, k in pairs)


def rows(name: str, pointer: str, block: BlockPlan) -> str:
    """Load all components of a block's features."""
    return join(f"    V {name}{i} = load<M>({pointer} + {block.start + i * block.mul} + c);" for i in range(block.dim))


def stored_rows(name: str, pointer: str, block: BlockPlan) -> str:
    """Store all components of a block's features."""
    return join(f"    store<M>({pointer} + {block.start + i * block.mul} + c, {name}{i});" for i in range(block.dim))


def result_rows(block: BlockPlan, what: str) -> str:
    """Load or store the rows of the result to which a block contributes."""
    lines = []
    for index, path in enumerate(block.paths):
        for k in path.values(2):
            place, name = f"out + {path.out + k * path.stride} + c", f"o{index}_{k}"
            lines.append(f"    V {name} = load<M>({place});" if what == "load" else f"    store<M>({place}, {name});")
    return join(lines)


def received(path: PathPlan) -> str:
    """Load the rows of the result's gradient that belong to a path."""
    return join(f"        V g{k} = load<M>(t.g[e] + {path.out + k * path.stride} + c);" for k in path.values(2))
