"""C++ text that kernels over channels begin with: the data type, vectors, and how to load and store parts of them."""

from __future__ import annotations

from equipot.errors import problem
from equipot_kernels._build.errors import KernelError

C_TYPES = {"float32": "float", "float64": "double"}
"""Data types of kernels and their C names."""

_TYPES = """
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
typedef T V __attribute__((vector_size(W * sizeof(T))));
template <int M> struct Lanes {{ enum {{ number = M }}; }};
template <int M> static inline V load(const T* p) {{ V v = {{}}; __builtin_memcpy(&v, p, M * sizeof(T)); return v; }}
template <int M> static inline void store(T* p, V v) {{ __builtin_memcpy(p, &v, M * sizeof(T)); }}
// Write data that the caches cannot hold until it is read (far): whole lines bypass them and are not read first.
#if defined(__clang__)
#define STREAM(p, v) __builtin_nontemporal_store(v, (V*)(p))
#elif defined(__AVX512F__) && {wanted_bytes} >= 64
#define STREAM(p, v) __builtin_ia32_movntp{letter}512(p, v)
#elif defined(__AVX__) && {wanted_bytes} >= 32
#define STREAM(p, v) __builtin_ia32_movntp{letter}256(p, v)
#else
#define STREAM(p, v) __builtin_memcpy(p, &v, sizeof(V))
#endif
enum {{ CACHED = 2 << 20 }}; // bytes of a result that the caches keep until it is read
template <int M> static inline void stream(T* p, V v, bool far) {{
  if (M == W && far && (__UINTPTR_TYPE__)p % sizeof(V) == 0) STREAM(p, v);
  else store<M>(p, v);
}}
"""

_LOOPS = """
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 64") // sums stay in registers only if the loops over them are unrolled
#endif
enum {{ U = {channels} }};
template <int L> static inline T tree(const T* p) {{
  if constexpr (L == 1) {{
    return p[0];
  }} else {{
    typedef T Half __attribute__((vector_size(L / 2 * sizeof(T))));
    Half a, b;
    __builtin_memcpy(&a, p, sizeof(a));
    __builtin_memcpy(&b, p + L / 2, sizeof(b));
    a += b;
    return tree<L / 2>((const T*)&a);
  }}
}}
static inline T sum(V v) {{ return tree<W>((const T*)&v); }}
template <class F> static inline __attribute__((always_inline)) void over_channels(F chunk) {{
  int c = 0;
  for (; c + W <= U; c += W) chunk(Lanes<W>{{}}, c);
  if constexpr (U % W != 0) chunk(Lanes<U % W>{{}}, c);
}}
"""

CHUNK = (
    "over_channels([&](auto lanes, int c) __attribute__((always_inline)) { constexpr int M = decltype(lanes)::number;"
)
"""Begins the loop over vectors of channels, which ends with ``});``."""

GROUPS = """
template <int G, class F> static inline __attribute__((always_inline)) void over_groups(I first, I last, F group) {
  I e = first;
  for (; e + G <= last; e += G) group(Lanes<G>{}, e);
  if constexpr (G > 1) for (; e < last; e++) group(Lanes<1>{}, e);
}
"""
"""Loop over edges in groups of G, whose sums are in registers at once; the last edges are taken one by one."""

_SUMS = 20
"""Number of sums that fit into registers besides what is added to them."""


def groups_and_blocks(dim: int) -> tuple[int, list[tuple[int, int]]]:
    """How the sums for the components of several edges fit into registers.

    Args:
        dim: Number of components, each of which is one sum for each edge.

    Returns:
        Number of edges in a group; first component and number of components of each block.
    """
    count = -(-dim // (_SUMS // 2))
    width = -(-dim // count)
    blocks = [(first, min(width, dim - first)) for first in range(0, dim, width)]
    return min(_SUMS // width, 4), blocks


ATOMS = """
  #pragma omp parallel for num_threads(int(threads)) schedule(dynamic, 4) if (threads > 1)
  for (I n = 0; n < n_atoms; n++) {
"""
"""Begins the loop over atoms."""

FENCE = "    __atomic_thread_fence(__ATOMIC_SEQ_CST);"
"""Ends the loop over atoms of a unit that uses ``stream``, whose stores other threads must see afterwards."""


def vector_types(c_type: str, wanted: int) -> str:
    """The data type T, the vector V of W numbers, and functions that load, store and stream its first M.

    Args:
        c_type: ``float`` or ``double``.
        wanted: Largest W; a processor with narrower vectors has a smaller one.
    """
    letter, size = ("s", 4) if c_type == "float" else ("d", 8)
    return _TYPES.format(c_type=c_type, wanted=wanted, wanted_bytes=wanted * size, letter=letter)


def prelude(dtype: str, channels: int) -> str:
    """Vector types, sums over a vector, and the loop over channels.

    Args:
        dtype: Key of ``C_TYPES``.
        channels: Number of channels.
    """
    wanted = next(width for width in (2, 4, 8, 16) if width >= min(channels, 16))
    return vector_types(C_TYPES[dtype], wanted) + _LOOPS.format(channels=channels)


def check_sizes(spec: dict[str, object], limits: dict[str, int]) -> None:
    """Check the data type and the integers of a spec, and that it holds nothing else.

    Args:
        spec: May come from an untrusted file.
        limits: Name of each integer and its largest value; the smallest is 1.

    Raises:
        KernelError: If a value is missing, unknown or out of range.
    """
    if spec.keys() != {"family", "dtype", *limits}:
        raise KernelError(problem("kernels", f"a spec must hold family, dtype and {sorted(limits)}", got=spec))
    if spec["dtype"] not in list(C_TYPES):  # which need not be hashable
        raise KernelError(problem("kernels", f"dtype must be one of {sorted(C_TYPES)}", got=spec["dtype"]))
    for name, largest in limits.items():
        value = spec[name]
        if type(value) is not int or not 1 <= value <= largest:
            raise KernelError(problem(f"kernels.{name}", f"must be an integer from 1 to {largest}", got=value))
