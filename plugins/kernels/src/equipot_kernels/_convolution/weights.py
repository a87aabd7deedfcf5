"""C++ text for the weights of a path: read from a tensor, or interpolated from a table of cubics."""

from __future__ import annotations

from dataclasses import dataclass

from equipot_kernels._convolution.plan import PathPlan

_ROW = "        t.w[n] = table + row[e] * (4 * WEIGHTS);\n        t.f[n] = T(place[e]);\n"

BEYOND = "(row[e] + 1) % num_knots == 0"
"""Whether edge e is at or beyond the cutoff radius, where it uses the table's last row, which is zero."""


@dataclass(frozen=True)
class Weights:
    """Where a unit takes its weights from."""

    table: bool
    """Whether they come from a table; edges at or beyond the cutoff radius are then skipped."""

    @property
    def prefix(self) -> str:
        """The first part of the unit's name."""
        return "table_" if self.table else ""

    @property
    def arguments(self) -> str:
        """C declarations of the weights."""
        return "const double* place, const I* row, const T* table, I num_knots" if self.table else "const T* w"

    @property
    def cotangents(self) -> str:
        """C declaration of the argument that gives the change of the weights."""
        return "const double* hr" if self.table else "const T* hw"

    def fill(self, *, skipped: str = "", double: bool = False, sent: bool = False) -> str:
        """Statements that locate the weights of edge e for lane n.

        Args:
            skipped: Statements for an edge without weights.
            double: Whether to locate their change too.
            sent: Whether edges are processed in the order of ``sent``.
        """
        if self.table:
            text = f"        if ({BEYOND}) {{ {skipped}continue; }}\n{_ROW}"
            return text + ("        t.h[n] = T(hr[e]);\n" if double else "")
        lines = ""
        for name in ("w", "hw") if double else ("w",):
            lines += f"        t.{name}[n] = {name} + e * WEIGHTS;\n"
            row = f"{name} + sent[next + W] * WEIGHTS" if sent else f"t.{name}[n] + W * WEIGHTS"
            last = "sent_ptr[n_atoms]" if sent else "ptr[n_atoms]"
            lines += f"        if (next + W < {last}) fetch({row}, WEIGHTS);\n"
        return lines

    def load(self, path: PathPlan, *, slope: bool = False, change: bool = False) -> str:
        """Define w for the M channels from c on, and if needed its derivative d along the place or its change h."""
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
