"""The family ``coupling``: how an atom's environment acts on the tensors of its edges, as one matrix per channel.

With S(q, a, g) = Σ_n Σ_ik Σ_b q[p] c[b, i, k] a[n, b] g[n, i, k], channel by channel, where b, i and k fix the
path p, which is linear in each of the three:

- ``matrices``: ∂S/∂g;
- ``environment``: ∂S/∂a;
- ``weights``: ∂S/∂q.

Most coefficients c are zero; the source text lists the others in tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equipot.errors import problem
from equipot.nn.contraction import contraction_coupling
from equipot.nn.irreps import FeatureLayout
from equipot_kernels._build.errors import KernelError
from equipot_kernels._build.registry import INTEGER, POINTER
from equipot_kernels._build.vectors import ATOMS, CHUNK, check_sizes, prelude

OPS = "equipot_kernels._contraction.coupling_ops"

UNITS: dict[str, list[Any]] = {
    "matrices": [INTEGER, *[POINTER] * 3, INTEGER],
    "environment": [INTEGER, *[POINTER] * 3, INTEGER],
    "weights": [INTEGER, *[POINTER] * 3, INTEGER],
}

LAYOUTS = ("layout_in", "layout_edge", "layout_out")

_MOST_COMPONENTS = 64
_NEGLIGIBLE = 1e-12
"""Smaller coefficients are zero up to rounding."""

_MATRICES = """
extern "C" void matrices(I n_atoms, const T* q, const T* a, T* out, I threads) {{
{atoms}
    {chunk}
      V products[PAIRS];
      for (int j = 0; j < PAIRS; j++)
        products[j] = load<M>(q + PATH[j] * U + c) * load<M>(a + (n * DIM_EDGE + COMPONENT[j]) * U + c);
      for (int k = 0; k < ENTRIES; k++) {{
        V s = {{}};
        for (int t = FIRST[k]; t < FIRST[k + 1]; t++) s += VALUE[t] * products[PAIR[t]];
        store<M>(out + (n * ENTRIES + k) * U + c, s);
      }}
    }});
  }}
}}
"""

_SUMS = """
template <int M> static inline void sums(const T* g, V* s) {
  for (int j = 0; j < PAIRS; j++) s[j] = V{};
  for (int k = 0; k < ENTRIES; k++) {
    const V v = load<M>(g + k * U);
    for (int t = FIRST[k]; t < FIRST[k + 1]; t++) s[PAIR[t]] += VALUE[t] * v;
  }
}
"""

_ENVIRONMENT = """
extern "C" void environment(I n_atoms, const T* q, const T* g, T* out, I threads) {{
{atoms}
    {chunk}
      V s[PAIRS], total[DIM_EDGE] = {{}};
      sums<M>(g + n * ENTRIES * U + c, s);
      for (int j = 0; j < PAIRS; j++) total[COMPONENT[j]] += load<M>(q + PATH[j] * U + c) * s[j];
      for (int b = 0; b < DIM_EDGE; b++) store<M>(out + (n * DIM_EDGE + b) * U + c, total[b]);
    }});
  }}
}}
"""

_WEIGHTS = """
extern "C" void weights(I n_atoms, const T* a, const T* g, T* out, I) {{
  {chunk}
    V s[PAIRS], total[PATHS] = {{}};
    for (I n = 0; n < n_atoms; n++) {{
      sums<M>(g + n * ENTRIES * U + c, s);
      for (int j = 0; j < PAIRS; j++) total[PATH[j]] += load<M>(a + (n * DIM_EDGE + COMPONENT[j]) * U + c) * s[j];
    }}
    for (int p = 0; p < PATHS; p++) store<M>(out + p * U + c, total[p]);
  }});
}}
"""


def layouts_of(spec: Mapping[str, Any]) -> tuple[FeatureLayout, FeatureLayout, FeatureLayout]:
    """Layouts of the tensors, the edge attributes and the result, from a checked spec."""
    first, second, third = (FeatureLayout.parse(spec[name]) for name in LAYOUTS)
    return first, second, third


def check(spec: Mapping[str, Any]) -> None:
    """Check a spec.

    Raises:
        KernelError: If it is not valid.
    """
    check_sizes({key: value for key, value in spec.items() if key not in LAYOUTS}, {"channels": 4096})
    for name in LAYOUTS:
        try:
            layout = FeatureLayout.parse(spec[name])
            fits = layout.dim <= _MOST_COMPONENTS and all(block.mul == 1 for block in layout.blocks)
        except (KeyError, ValueError, TypeError, AttributeError):
            fits = False
        if not fits:
            what = f"must be irreps of multiplicity 1 with at most {_MOST_COMPONENTS} components"
            raise KernelError(problem(f"kernels.{name}", what, got=spec.get(name)))


def source(spec: Mapping[str, Any], unit: str) -> str:
    """The C++ source text of a unit."""
    text = {"matrices": _MATRICES, "environment": _ENVIRONMENT, "weights": _WEIGHTS}[unit]
    body = text.format(atoms=ATOMS, chunk=CHUNK)
    sums = "" if unit == "matrices" else _SUMS
    return prelude(spec["dtype"], spec["channels"]) + _tables(spec) + sums + body


def _tables(spec: Mapping[str, Any]) -> str:
    """C++ tables of the terms of each matrix entry (i, k): a coefficient times a path's weight times a component."""
    coupling, path_of_entry = contraction_coupling(*layouts_of(spec))
    numbers: dict[tuple[int, int], int] = {}
    first, pair, value = [0], [], []
    for k in range(coupling[0].numel()):
        for b, c in enumerate(coupling.flatten(1)[:, k].tolist()):
            if abs(c) > _NEGLIGIBLE:
                key = (int(path_of_entry.flatten(1)[b, k]), b)
                pair.append(numbers.setdefault(key, len(numbers)))
                value.append(c)
        first.append(len(pair))
    sizes = {"ENTRIES": coupling[0].numel(), "PAIRS": len(numbers), "DIM_EDGE": coupling.shape[0]}
    sizes["PATHS"] = int(path_of_entry.max()) + 1
    tables = {"FIRST": first, "PAIR": pair, "PATH": [p for p, _ in numbers], "COMPONENT": [b for _, b in numbers]}
    lines = [f"enum {{ {', '.join(f'{name} = {size}' for name, size in sizes.items())} }};"]
    lines += [f"static const int {name}[] = {{{', '.join(map(str, values))}}};" for name, values in tables.items()]
    lines.append(f"static const T VALUE[] = {{{', '.join(f'T({c!r})' for c in value)}}};")
    return "\n".join(lines)
