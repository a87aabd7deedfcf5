"""C++ text of the convolution kernels.

Every unit is one function that loops over atoms in parallel: ``forward`` and ``double_receive`` over
centres (their edges are consecutive), the others over neighbours (their edges are listed by
``sent``). An atom's edges are taken in tiles of as many as a vector has lanes; within a tile every
block of features, and of it every vector of channels, is done for all edges before the next one, so
that sums stay in registers. Couplings A[i, k] = Σ_j c_ijk Y_j of a tile are computed for all its edges
at once. The last vector of a block is loaded and stored in part.
"""

from __future__ import annotations

from collections.abc import Iterable

from equipot_kernels.convolution_plan import BlockPlan, PathPlan, Plan

PRELUDE = """
typedef {c_type} T;
typedef __INT64_TYPE__ I;
#if defined(__AVX512F__)
enum {{ NATIVE = 64 / sizeof(T) }};
#elif defined(__AVX__)
enum {{ NATIVE = 32 / sizeof(T) }};
#else
enum {{ NATIVE = 16 / sizeof(T) }};
#endif
enum {{ W = {wanted} < int(NATIVE) ? {wanted} : int(NATIVE) }};
enum {{ DIM_IN = {dim_in}, DIM_EDGE = {dim_edge}, DIM_OUT = {dim_out}, WEIGHTS = {num_weights} }};
typedef T V __attribute__((vector_size(W * sizeof(T))));
template <int M> struct Lanes {{ enum {{ number = M }}; }};
template <int M> static inline V load(const T* p) {{ V v = {{}}; __builtin_memcpy(&v, p, M * sizeof(T)); return v; }}
template <int M> static inline void store(T* p, V v) {{ __builtin_memcpy(p, &v, M * sizeof(T)); }}
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
"""


def join(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def plus(terms: Iterable[str]) -> str:
    return " + ".join(terms)


def wanted_width(plan: Plan) -> int:
    """Lanes that the widest block fills: a power of two from 4 to 16."""
    most = max(block.mul for block in plan.blocks)
    return next(width for width in (4, 8, 16) if width >= min(most, 16))


class Couplings:
    """Numbering of a block's couplings A[i, k] of all its paths."""

    def __init__(self, block: BlockPlan) -> None:
        pairs = [(index, pair) for index, path in enumerate(block.paths) for pair in path.by(0, 2, 1)]
        self.number = {key: number for number, key in enumerate(pairs)}
        self.lines = [
            f"  store<W>({{A}} + {self.number[index, pair]} * W, "
            + f"{plus(f'T({c!r}) * load<W>({{Y}} + {j} * W)' for j, c in terms)});"
            for index, path in enumerate(block.paths)
            for pair, terms in path.by(0, 2, 1).items()
        ]

    def declare(self, array: str, attributes: str) -> str:
        """Text that computes them for the edges of a tile."""
        lines = [line.replace("{A}", array).replace("{Y}", attributes) for line in self.lines]
        return join([f"  alignas(64) T {array}[{len(self.lines)} * W];", *lines])

    def applied(self, index: int, path: PathPlan, k: int, array: str, x: str) -> str:
        """Σ_i A[i, k] x_i."""
        pairs = [pair for pair in path.by(0, 2, 1) if pair[1] == k]
        return plus(f"{array}[{self.number[index, pair]} * W] * {x}{pair[0]}" for pair in pairs)

    def transposed(self, index: int, path: PathPlan, i: int, array: str, g: str) -> str:
        """Σ_k A[i, k] g_k."""
        pairs = [pair for pair in path.by(0, 2, 1) if pair[0] == i]
        return plus(f"{array}[{self.number[index, pair]} * W] * {g}{pair[1]}" for pair in pairs)


def rotated(block: BlockPlan, array: str, x: str) -> tuple[str, dict[tuple[int, int, int], int]]:
    """Text for Z[j, k] = Σ_i c_ijk x_i of all paths, which is the same for all edges of an atom."""
    number: dict[tuple[int, int, int], int] = {}
    lines = []
    for index, path in enumerate(block.paths):
        for (j, k), terms in path.by(1, 2, 0).items():
            number[index, j, k] = len(number)
            value = plus(f"T({c!r}) * {x}{i}" for i, c in terms)
            lines.append(f"    const V {array}{number[index, j, k]} = {value};")
    return join(lines), number


def contracted(number: dict[tuple[int, int, int], int], index: int, path: PathPlan, j: int, array: str) -> str:
    """Σ_k Z[j, k] g_k."""
    pairs = [pair for pair in path.by(1, 2, 0) if pair[0] == j]
    return plus(f"{array}{number[index, j, k]} * g{k}" for _, k in pairs)


def rows(name: str, pointer: str, block: BlockPlan) -> str:
    """Load all components of a block's features."""
    return join(f"    V {name}{i} = load<M>({pointer} + {block.start + i * block.mul} + c);" for i in range(block.dim))


def block_function(name: str, arguments: str, before: str, chunk: str, block: BlockPlan) -> str:
    """The function that handles a block of features for one tile of edges.

    Args:
        name: Its name.
        arguments: C declarations.
        before: Statements before the loop over channels.
        chunk: Statements for M channels from c on.
        block: The block.
    """
    return f"""
static __attribute__((noinline)) void {name}(int count, {arguments}) {{
{before}  auto chunk = [&](auto lanes, int c) __attribute__((always_inline)) {{
    constexpr int M = decltype(lanes)::number;
{chunk}  }};
  int c = 0;
  for (; c + W <= {block.mul}; c += W) chunk(Lanes<W>{{}}, c);
  if constexpr ({block.mul} % W != 0) chunk(Lanes<{block.mul} % W>{{}}, c);
}}
"""


def prelude(plan: Plan) -> str:
    """Types and helpers of every unit."""
    return PRELUDE.format(
        c_type=plan.c_type,
        wanted=wanted_width(plan),
        dim_in=plan.dim_in,
        dim_edge=plan.dim_edge,
        dim_out=plan.dim_out,
        num_weights=plan.num_weights,
    )
