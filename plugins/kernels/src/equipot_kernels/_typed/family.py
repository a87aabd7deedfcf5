"""The family ``typed``: features of atoms times matrices of their types, irrep by irrep.

With S(M, x, g) = Σ_n Σ_kuw M[t(n), u, w] x[n, k, u] g[n, k, w], summed over the irreps that input and output share,
which is linear in each of the three:

- ``apply``: ∂S/∂g;
- ``transposed``: ∂S/∂x;
- ``outer``: ∂S/∂M.

The matrices of one type follow one another, in the order of irreps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from equipot.errors import problem
from equipot.nn.irreps import FeatureLayout
from equipot_kernels._build.errors import KernelError
from equipot_kernels._build.registry import INTEGER, POINTER
from equipot_kernels._build.vectors import check_sizes, prelude

OPS = "equipot_kernels._typed.ops"

UNITS: dict[str, list[Any]] = {
    "apply": [INTEGER, *[POINTER] * 5, INTEGER],
    "transposed": [INTEGER, INTEGER, *[POINTER] * 6, INTEGER],
    "outer": [INTEGER, *[POINTER] * 5, INTEGER],
}

FORCES = ("apply", "transposed")

LAYOUTS = ("layout_in", "layout_out")

_LARGEST, _HIGHEST = 65536, 12
"""Largest number of features of an atom, and largest angular momentum."""


class Shared(NamedTuple):
    """An irrep that input and output have: sizes of its matrix, and where it begins."""

    dim: int
    rows: int
    columns: int
    begin_in: int
    begin_out: int
    begin: int
    """First number of its matrix among those of a type."""


_TILES = """
#if defined(__AVX512F__)
enum { WIDE = 2, ROWS = 12 };
#elif defined(__AVX__)
enum { WIDE = 1, ROWS = 12 };
#else
enum { WIDE = 2, ROWS = 8 };
#endif
enum { ATOMS = 64 };
// How many columns are done at once: whole vectors, of which the last may have M < W numbers.
template <int B, class F> static inline __attribute__((always_inline)) void over_columns(F part) {
  enum { STEP = WIDE * W, REST = B % STEP, C = (REST + W - 1) / W };
  int c = 0;
  for (; c + STEP <= B; c += STEP) part(Lanes<WIDE>{}, Lanes<W>{}, c);
  if constexpr (REST != 0) part(Lanes<C>{}, Lanes<REST - (C - 1) * W>{}, c);
}
template <int C, int M> static inline __attribute__((always_inline)) void load_columns(const T* p, V* v) {
  UNROLL for (int j = 0; j < C - 1; j++) v[j] = load<W>(p + j * W);
  v[C - 1] = load<M>(p + (C - 1) * W);
}
template <int C, int M> static inline __attribute__((always_inline)) void store_columns(T* p, const V* v) {
  UNROLL for (int j = 0; j < C - 1; j++) store<W>(p + j * W, v[j]);
  store<M>(p + (C - 1) * W, v[C - 1]);
}
"""

_PRODUCT = """
template <int K, int A, int B, int G, int C, int M>
static inline __attribute__((always_inline)) void tile(const T* x, const T* m, T* y, const I* atoms) {
  const T* p[G];
  V s[G * K * C] = {};
  UNROLL for (int a = 0; a < G; a++) p[a] = x + atoms[a] * FROM;
  for (int u = 0; u < A; u++) {
    V v[C];
    load_columns<C, M>(m + u * B, v);
    UNROLL for (int a = 0; a < G; a++)
      UNROLL for (int k = 0; k < K; k++)
        UNROLL for (int j = 0; j < C; j++) s[(a * K + k) * C + j] += p[a][k * A + u] * v[j];
  }
  UNROLL for (int a = 0; a < G; a++)
    UNROLL for (int k = 0; k < K; k++) store_columns<C, M>(y + atoms[a] * TO + k * B, s + (a * K + k) * C);
}
template <int K, int A, int B, int G, int C, int M>
static inline __attribute__((always_inline)) void tiles(const T* x, const T* m, T* y, const I* atoms, I e, I count) {
  for (; e + G <= count; e += G) tile<K, A, B, G, C, M>(x, m, y, atoms + e);
  if constexpr (G > 1) tiles<K, A, B, G / 2, C, M>(x, m, y, atoms, e, count);
}
template <int K, int A, int B>
static __attribute__((noinline)) void product(const T* x, const T* m, T* y, const I* atoms, I count) {
  enum { G = 8 * K <= ROWS ? 8 : 4 * K <= ROWS ? 4 : 2 * K <= ROWS ? 2 : 1 };
  over_columns<B>([&](auto vectors, auto lanes, int c) __attribute__((always_inline)) {
    tiles<K, A, B, G, decltype(vectors)::number, decltype(lanes)::number>(x, m + c, y + c, atoms, 0, count);
  });
}
static inline void products(I n_atoms, const T* matrices, const T* x, const I* ptr, const I* atoms, T* y, I threads) {
  #pragma omp parallel for num_threads(int(threads)) schedule(static) if (threads > 1 && n_atoms >= 4 * ATOMS)
  for (I first = 0; first < n_atoms; first += ATOMS) {
    const I last = first + ATOMS < n_atoms ? first + ATOMS : n_atoms;
    I t = 0;
    for (I e = first; e < last;) {
      while (ptr[t + 1] <= e) t++;
      const I end = ptr[t + 1] < last ? ptr[t + 1] : last;
      const T* m = matrices + t * SIZE;
PARTS
      e = end;
    }
  }
}
"""

_APPLY = """
extern "C" void apply(I n_atoms, const T* matrices, const T* x, const I* ptr, const I* atoms, T* y, I threads) {
  products(n_atoms, matrices, x, ptr, atoms, y, threads);
}
"""

_TRANSPOSED = """
template <int A, int B> static inline void transpose(const T* m, T* out) {
  for (int u = 0; u < A; u += 4)
    for (int w = 0; w < B; w++)
      for (int i = u; i < A && i < u + 4; i++) out[w * A + i] = m[i * B + w];
}
extern "C" void transposed(I n_types, I n_atoms, const T* matrices, T* spare, const T* g, const I* ptr, const I* atoms,
                           T* x, I threads) {
  #pragma omp parallel for num_threads(int(threads)) schedule(static) if (threads > 1 && n_atoms >= 4 * ATOMS)
  for (I t = 0; t < n_types; t++) {
    if (ptr[t] == ptr[t + 1]) continue;
    const T* m = matrices + t * SIZE;
    T* o = spare + t * SIZE;
TRANSPOSES
  }
  products(n_atoms, spare, g, ptr, atoms, x, threads);
}
"""

_OUTER = """
template <int K, int A, int B, int R, int C, int M>
static inline __attribute__((always_inline)) void tile(const T* x, const T* g, const I* atoms, I first, I last,
                                                              T* out) {
  V s[R * C] = {};
  if (first) UNROLL for (int i = 0; i < R; i++) load_columns<C, M>(out + i * B, s + i * C);
  for (I e = first; e < last; e++) {
    const T *p = x + atoms[e] * FROM, *q = g + atoms[e] * TO;
    UNROLL for (int k = 0; k < K; k++) {
      V v[C];
      load_columns<C, M>(q + k * B, v);
      UNROLL for (int i = 0; i < R; i++)
        UNROLL for (int j = 0; j < C; j++) s[i * C + j] += p[k * A + i] * v[j];
    }
  }
  UNROLL for (int i = 0; i < R; i++) store_columns<C, M>(out + i * B, s + i * C);
}
template <int K, int A, int B>
static __attribute__((noinline)) void sums(const T* x, const T* g, const I* atoms, I count, T* out) {
  if (!count) __builtin_memset(out, 0, A * B * sizeof(T));
  for (I first = 0; first < count; first += ATOMS) {
    const I last = first + ATOMS < count ? first + ATOMS : count;
    over_columns<B>([&](auto vectors, auto lanes, int c) __attribute__((always_inline)) {
      enum { C = decltype(vectors)::number, M = decltype(lanes)::number };
      int u = 0;
      for (; u + ROWS <= A; u += ROWS) tile<K, A, B, ROWS, C, M>(x + u, g + c, atoms, first, last, out + u * B + c);
      if constexpr (A % ROWS != 0) tile<K, A, B, A % ROWS, C, M>(x + u, g + c, atoms, first, last, out + u * B + c);
    });
  }
}
extern "C" void outer(I n_types, const T* x, const T* g, const I* ptr, const I* atoms, T* out, I threads) {
  #pragma omp parallel for num_threads(int(threads)) schedule(dynamic, 1) if (threads > 1 && ptr[n_types] >= 4 * ATOMS)
  for (I task = 0; task < n_types * BLOCKS; task++) {
    const I t = task / BLOCKS, count = ptr[t + 1] - ptr[t];
    const I* of = atoms + ptr[t];
    T* o = out + t * SIZE;
    switch (task % BLOCKS) {
CASES
    }
  }
}
"""


def check(spec: Mapping[str, Any]) -> None:
    """Check a spec.

    Raises:
        KernelError: If it is not valid.
    """
    check_sizes({key: value for key, value in spec.items() if key not in LAYOUTS}, {})
    for name in LAYOUTS:
        try:
            layout = FeatureLayout.parse(spec[name])
            fits = layout.dim <= _LARGEST and all(block.irrep.l <= _HIGHEST for block in layout.blocks)
        except (KeyError, ValueError, TypeError, AttributeError):
            fits = False
        if not fits:
            what = f"must be irreps with at most {_LARGEST} features and l up to {_HIGHEST}"
            raise KernelError(problem(f"kernels.{name}", what, got=spec.get(name)))
    if not shared_blocks(spec):
        raise KernelError(problem("kernels.layout_out", "must share an irrep with layout_in", got=spec["layout_out"]))


def shared_blocks(spec: Mapping[str, Any]) -> list[Shared]:
    """The irreps that input and output share.

    Args:
        spec: With the two layouts.
    """
    layout_in, layout_out = (FeatureLayout.parse(spec[name]) for name in LAYOUTS)
    found, begin = [], 0
    for block in layout_out.blocks:
        if block.irrep in layout_in:
            given = layout_in.block(block.irrep)
            found.append(Shared(block.irrep.dim, given.mul, block.mul, given.start, block.start, begin))
            begin += given.mul * block.mul
    return found


def sizes(spec: Mapping[str, Any]) -> dict[str, int]:
    """Numbers that the shapes of results depend on."""
    layout_in, layout_out = (FeatureLayout.parse(spec[name]) for name in LAYOUTS)
    size = sum(one.rows * one.columns for one in shared_blocks(spec))
    return {"dim_in": layout_in.dim, "dim_out": layout_out.dim, "size": size}


def source(spec: Mapping[str, Any], unit: str) -> str:
    """The C++ source text of a unit."""
    layout_in, layout_out = (FeatureLayout.parse(spec[name]) for name in LAYOUTS)
    shared, forward = shared_blocks(spec), unit != "transposed"
    given, target = (layout_in, layout_out) if forward else (layout_out, layout_in)
    size = sum(one.rows * one.columns for one in shared)
    sizes = f"enum {{ FROM = {given.dim}, TO = {target.dim}, SIZE = {size}, BLOCKS = {len(shared)} }};\n"
    widest = max(max(one.rows, one.columns) for one in shared)
    head = prelude(spec["dtype"], widest) + sizes + _TILES
    if unit == "outer":
        return head + _OUTER.replace("CASES", "\n".join(_cases(shared)))
    parts = [*_products(shared, forward=forward), *_zeros(shared, target, forward=forward)]
    head += _PRODUCT.replace("PARTS", "\n".join(parts))
    return head + (_APPLY if forward else _TRANSPOSED.replace("TRANSPOSES", "\n".join(_transposes(shared))))


def _products(shared: list[Shared], *, forward: bool) -> Iterator[str]:
    for one in shared:
        ends = ((one.rows, one.begin_in), (one.columns, one.begin_out))
        (a, x), (b, y) = ends if forward else ends[::-1]
        yield f"      product<{one.dim}, {a}, {b}>(x + {x}, m + {one.begin}, y + {y}, atoms + e, end - e);"


def _zeros(shared: list[Shared], target: FeatureLayout, *, forward: bool) -> Iterator[str]:
    """Statements for the irreps of the result that nothing contributes to."""
    reached = {one.begin_out if forward else one.begin_in for one in shared}
    for block in target.blocks:
        if block.start not in reached:
            yield (
                f"      for (I a = e; a < end; a++) "
                f"__builtin_memset(y + atoms[a] * TO + {block.start}, 0, {block.size} * sizeof(T));"
            )


def _transposes(shared: list[Shared]) -> Iterator[str]:
    for one in shared:
        yield f"    transpose<{one.rows}, {one.columns}>(m + {one.begin}, o + {one.begin});"


def _cases(shared: list[Shared]) -> Iterator[str]:
    for number, one in enumerate(shared):
        sizes = f"{one.dim}, {one.rows}, {one.columns}"
        call = f"sums<{sizes}>(x + {one.begin_in}, g + {one.begin_out}, of, count, o + {one.begin})"
        yield f"      case {number}: {call}; break;"
