"""C++ text for the weights of a path: read from a tensor, or interpolated from a table of cubics."""

from __future__ import annotations

from dataclasses import dataclass

from equipot_kernels.convolution_plan import PathPlan

LOCATE = """
// Row of the table, and place f between two knots, of a length; what is no number stays so.
static inline I locate(double r, I pair, I num_knots, T& f) {
  const double s = r * double(num_knots - 1);
  I k = r > 0 ? I(s) : 0;
  if (k > num_knots - 1) k = num_knots - 1;
  f = T(s - double(k));
  return pair * num_knots + k;
}
"""

_ROW = "        t.w[n] = table + locate(r[e], pairs ? pairs[e] : 0, num_knots, t.f[n]) * (4 * WEIGHTS);\n"


@dataclass(frozen=True)
class Weights:
    """Where a unit takes weights from."""

    table: bool
    """From a table: edges with r at or beyond 1 have none and are passed over."""

    @property
    def prefix(self) -> str:
        """Begins the unit's name."""
        return "table_" if self.table else ""

    @property
    def helpers(self) -> str:
        """Functions that the unit needs."""
        return LOCATE if self.table else ""

    @property
    def arguments(self) -> str:
        """C declarations of the weights."""
        return "const double* r, const I* pairs, const T* table, I num_knots" if self.table else "const T* w"

    @property
    def cotangents(self) -> str:
        """C declaration of what the weights' change is given by."""
        return "const double* hr" if self.table else "const T* hw"

    def fill(self, *, skipped: str = "", double: bool = False, sent: bool = False) -> str:
        """Statements that find the weights of edge e for lane n.

        Args:
            skipped: Statements for an edge without weights.
            double: Also their change.
            sent: Edges are taken in the order of ``sent``.
        """
        if self.table:
            text = f"        if (r[e] >= 1) {{ {skipped}continue; }}\n{_ROW}"
            return text + ("        t.h[n] = T(hr[e] * double(num_knots - 1));\n" if double else "")
        lines = ""
        for name in ("w", "hw") if double else ("w",):
            lines += f"        t.{name}[n] = {name} + e * WEIGHTS;\n"
            row = f"{name} + sent[next + W] * WEIGHTS" if sent else f"t.{name}[n] + W * WEIGHTS"
            guard = "if (next + W < sent_ptr[n_atoms]) " if sent else ""
            lines += f"        {guard}fetch({row}, WEIGHTS);\n"
        return lines

    def load(self, path: PathPlan, *, slope: bool = False, change: bool = False) -> str:
        """Define w, and maybe its derivative d by the place, or its change h, for M channels from c on."""
        if not self.table:
            more = f", h = load<M>(t.hw[e] + {path.weight} + c)" if change else ""
            return f"        const V w = load<M>(t.w[e] + {path.weight} + c){more};\n"
        rows = [f"load<M>(t.w[e] + {power} * WEIGHTS + {path.weight} + c)" for power in range(4)]
        text = f"        const V c1 = {rows[1]}, c2 = {rows[2]}, c3 = {rows[3]};\n        const T f = t.f[e];\n"
        text += f"        const V w = {rows[0]} + f * (c1 + f * (c2 + f * c3));\n"
        if slope:
            text += "        const V d = c1 + f * (T(2) * c2 + (T(3) * f) * c3);\n"
        if change:
            text += "        const V h = t.h[e] * (c1 + f * (T(2) * c2 + (T(3) * f) * c3));\n"
        return text
