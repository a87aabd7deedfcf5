"""The family ``coupling``: how an atom's environment acts on the tensors of its edges, as one matrix per channel.

With S(q, a, g) = Σ_n Σ_ik Σ_b q[p] c[b, i, k] a[n, b] g[n, i, k], channel by channel, where b, i and k fix the
path p, which is linear in each of the three:

- ``matrices``: ∂S/∂g;
- ``environment``: ∂S/∂a;
- ``weights``: ∂S/∂q.

Most coefficients c are zero; the source text has a statement for each sum of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from equipot.errors import problem
from equipot.nn.contraction import contraction_coupling, contraction_paths
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

FORCES = ("matrices", "environment")

Products = dict[tuple[int, int], list[tuple[int, float]]]
"""Path and component of the environment; entries of the matrix, each with its coefficient."""

LAYOUTS = ("layout_in", "layout_edge", "layout_out")

_MOST_COMPONENTS = 64
_NEGLIGIBLE = 1e-12
"""Smaller coefficients are zero up to rounding."""

_MATRICES = """
extern "C" void matrices(I n_atoms, const T* q, const T* a, T* out, I threads) {{
{atoms}
    {chunk}
      const T *p = q + c, *b = a + n * {dim_edge} * U + c;
      T* o = out + n * {entries} * U + c;
{lines}
    }});
  }}
}}
"""

_ENVIRONMENT = """
extern "C" void environment(I n_atoms, const T* q, const T* g, T* out, I threads) {{
{atoms}
    {chunk}
      const T *p = q + c, *h = g + n * {entries} * U + c;
      T* o = out + n * {dim_edge} * U + c;
{lines}
    }});
  }}
}}
"""

_WEIGHTS = """
extern "C" void weights(I n_atoms, const T* a, const T* g, T* out, I) {{
  {chunk}
    V total[{paths}] = {{}};
    for (I n = 0; n < n_atoms; n++) {{
      const T *b = a + n * {dim_edge} * U + c, *h = g + n * {entries} * U + c;
{lines}
    }}
    for (int p = 0; p < {paths}; p++) store<M>(out + p * U + c, total[p]);
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


def sizes(spec: Mapping[str, Any]) -> dict[str, int]:
    """Numbers that the shapes of results depend on."""
    layouts = layouts_of(spec)
    dims = dict(zip(("dim_in", "dim_edge", "dim_out"), (layout.dim for layout in layouts), strict=True))
    return {**dims, "paths": len(contraction_paths(*layouts))}


def source(spec: Mapping[str, Any], unit: str) -> str:
    """The C++ source text of a unit."""
    coupling, path_of_entry = contraction_coupling(*layouts_of(spec))
    products = _products(coupling.flatten(1), path_of_entry.flatten(1))
    text, lines = {
        "matrices": (_MATRICES, _matrix_lines),
        "environment": (_ENVIRONMENT, _environment_lines),
        "weights": (_WEIGHTS, _weight_lines),
    }[unit]
    sizes = {"entries": coupling[0].numel(), "dim_edge": coupling.shape[0], "paths": int(path_of_entry.max()) + 1}
    body = text.format(atoms=ATOMS, chunk=CHUNK, lines="\n".join(lines(products, sizes)), **sizes)
    return prelude(spec["dtype"], spec["channels"]) + body


def _products(coupling: torch.Tensor, path_of_entry: torch.Tensor) -> Products:
    """The products of a weight and a component, each with the entries that it contributes to."""
    found: Products = {}
    for b, k in torch.nonzero(coupling.abs() > _NEGLIGIBLE).tolist():
        found.setdefault((int(path_of_entry[b, k]), b), []).append((k, float(coupling[b, k])))
    return found


def _matrix_lines(products: Products, sizes: dict[str, int]) -> Iterator[str]:
    terms: list[list[str]] = [[] for _ in range(sizes["entries"])]
    for number, ((path, b), entered) in enumerate(products.items()):
        yield f"      const V x{number} = load<M>(p + {path} * U) * load<M>(b + {b} * U);"
        for k, value in entered:
            terms[k].append(f"T({value!r}) * x{number}")
    for k, parts in enumerate(terms):
        yield f"      store<M>(o + {k} * U, {' + '.join(parts) or 'V{}'});"


def _environment_lines(products: Products, sizes: dict[str, int]) -> Iterator[str]:
    terms: list[list[str]] = [[] for _ in range(sizes["dim_edge"])]
    for (path, b), entered in products.items():
        terms[b].append(f"load<M>(p + {path} * U) * ({_entered(entered)})")
    for b, parts in enumerate(terms):
        yield f"      store<M>(o + {b} * U, {' + '.join(parts) or 'V{}'});"


def _weight_lines(products: Products, sizes: dict[str, int]) -> Iterator[str]:  # noqa: ARG001 - as the others
    for (path, b), entered in products.items():
        yield f"      total[{path}] += load<M>(b + {b} * U) * ({_entered(entered)});"


def _entered(entered: list[tuple[int, float]]) -> str:
    """The sum over the entries of a product, each times its coefficient."""
    return " + ".join(f"T({value!r}) * load<M>(h + {k} * U)" for k, value in entered)
