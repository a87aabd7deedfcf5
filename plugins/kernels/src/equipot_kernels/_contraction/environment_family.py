"""The family ``environment``: sums over an atom's edges of attributes times weights.

With S(y, w, g) = Σ_e Σ_bu y[e, b] w[e, l(b), u] g[n(e), b, u], which is linear in each of the three:

- ``sum``: ∂S/∂g;
- ``weights``: ∂S/∂w;
- ``attributes``: ∂S/∂y.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equipot.errors import problem
from equipot_kernels._build.errors import KernelError
from equipot_kernels._build.registry import INTEGER, POINTER
from equipot_kernels._build.vectors import ATOMS, CHUNK, check_sizes, prelude

OPS = "equipot_kernels._contraction.environment_ops"

UNITS: dict[str, list[Any]] = {
    "sum": [INTEGER, *[POINTER] * 2, INTEGER, *[POINTER] * 2, INTEGER],
    "weights": [INTEGER, *[POINTER] * 4, INTEGER],
    "attributes": [INTEGER, POINTER, INTEGER, *[POINTER] * 3, INTEGER],
}

FORCES = ("sum", "weights", "attributes")

_MAX_BLOCKS, _MAX_BLOCK = 16, 32

_SUM = """
extern "C" void sum(I n_atoms, const T* y, const T* w, I stride, const I* ptr, T* out, I threads) {{
{atoms}
    T* o = out + n * {dim} * U;
    {chunk}
      V s[{dim}] = {{}};
      for (I e = ptr[n]; e < ptr[n + 1]; e++) {{
        const T *a = y + e * {dim}, *b = w + e * stride + c;
{lines}
      }}
      for (int j = 0; j < {dim}; j++) store<M>(o + j * U + c, s[j]);
    }});
  }}
}}
"""

_WEIGHTS = """
extern "C" void weights(I n_atoms, const T* y, const T* g, const I* ptr, T* out, I threads) {{
{atoms}
    const T* h = g + n * {dim} * U;
    {chunk}
      V s[{dim}];
      for (int j = 0; j < {dim}; j++) s[j] = load<M>(h + j * U + c);
      for (I e = ptr[n]; e < ptr[n + 1]; e++) {{
        const T* a = y + e * {dim};
        T* o = out + e * {blocks} * U + c;
{lines}
      }}
    }});
  }}
}}
"""

_ATTRIBUTES = """
extern "C" void attributes(I n_atoms, const T* w, I stride, const T* g, const I* ptr, T* out, I threads) {{
{atoms}
    const T* h = g + n * {dim} * U;
    for (I e = ptr[n]; e < ptr[n + 1]; e++) {{
      const T* b = w + e * stride;
      V s[{dim}] = {{}};
      {chunk}
{lines}
      }});
      for (int j = 0; j < {dim}; j++) out[e * {dim} + j] = ::sum(s[j]);
    }}
  }}
}}
"""


def check(spec: Mapping[str, Any]) -> None:
    """Check a spec.

    Raises:
        KernelError: If it is not valid.
    """
    others = {key: value for key, value in spec.items() if key != "blocks"}
    check_sizes(others, {"channels": 4096})
    check_blocks(spec.get("blocks"))


def check_blocks(blocks: object) -> None:
    """Check the sizes of the blocks of components that share their weights.

    Raises:
        KernelError: If it is not valid.
    """
    sizes = isinstance(blocks, list) and all(type(size) is int and 1 <= size <= _MAX_BLOCK for size in blocks)
    if not sizes or not 1 <= len(blocks) <= _MAX_BLOCKS:  # type: ignore[arg-type]
        what = f"must hold 1 to {_MAX_BLOCKS} sizes from 1 to {_MAX_BLOCK}"
        raise KernelError(problem("kernels.blocks", what, got=blocks))


def sizes(spec: Mapping[str, Any]) -> dict[str, int]:
    """Numbers that the shapes of results depend on."""
    return {"dim": sum(spec["blocks"]), "blocks": len(spec["blocks"]), "channels": spec["channels"]}


def source(spec: Mapping[str, Any], unit: str) -> str:
    """The C++ source text of a unit."""
    lines, first = [], 0
    for block, size in enumerate(spec["blocks"]):
        lines.append(_line(unit, block, range(first, first + size)))
        first += size
    text = {"sum": _SUM, "weights": _WEIGHTS, "attributes": _ATTRIBUTES}[unit]
    head = prelude(spec["dtype"], spec["channels"])
    return head + text.format(dim=first, blocks=len(spec["blocks"]), lines="\n".join(lines), atoms=ATOMS, chunk=CHUNK)


def _line(unit: str, block: int, components: range) -> str:
    """The statement of a unit for the components that share the weights of a block."""
    if unit == "weights":
        return f"        store<M>(o + {block} * U, {' + '.join(f'a[{j}] * s[{j}]' for j in components)});"
    if unit == "sum":
        added = " ".join(f"s[{j}] += a[{j}] * v;" for j in components)
        return f"        {{ const V v = load<M>(b + {block} * U); {added} }}"
    added = " ".join(f"s[{j}] += v * load<M>(h + {j} * U + c);" for j in components)
    return f"        {{ const V v = load<M>(b + {block} * U + c); {added} }}"
