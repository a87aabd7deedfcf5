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
"""

_LOOPS = """
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

ATOMS = """
  #pragma omp parallel for num_threads(int(threads)) schedule(dynamic, 4) if (threads > 1)
  for (I n = 0; n < n_atoms; n++) {
"""
"""Begins the loop over atoms."""


def vector_types(c_type: str, wanted: int) -> str:
    """The data type T, the vector V of W numbers, and functions that load and store its first M.

    Args:
        c_type: ``float`` or ``double``.
        wanted: Largest W; a processor with narrower vectors has a smaller one.
    """
    return _TYPES.format(c_type=c_type, wanted=wanted)


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
